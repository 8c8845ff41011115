"""Coupons that UnionPay, an issuer or the merchant gave to a payer, and that a payment then applies (sheet 10.8).

One coupon a payment: the one that the payer chose with the code, else the usable one that takes most off. An undo gives
it back; a refund does not, since no source says that it would.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.emulation.acp.world import MER_ID, Document, World

KIND: Final = "coupon"
USABLE: Final = "USABLE"
USED: Final = "USED"
SPONSORS: Final = {"unionpay": "00010000", "issuer": "03080000", "merchant": MER_ID}


def issue(world: World, wish: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Single-use coupons (CP02) of ``holder``. ``sponsor`` is unionpay, issuer or merchant.

    Raises ``ValueError`` without a holder, or for another sponsor.
    """
    holder, sponsor = wish.get("holder"), wish.get("sponsor", "unionpay")
    if not holder:
        raise ValueError("holder must name the payer whose coupons these are")
    if sponsor not in SPONSORS:
        raise ValueError(f"sponsor must be one of {', '.join(SPONSORS)}")
    until = (world.now() + timedelta(days=wish.get("valid_days", 30))).isoformat()
    activity = f"ACT{world.digits(13)}"
    made = []
    for _ in range(wish["count"]):
        code = f"UP{world.digits(12)}{world.store.next_number('coupon') % 10**6:06d}"
        coupon = {
            "code": code,
            "holder": holder,
            "activity_id": activity,
            "face_fen": wish["face_fen"],
            "min_spend_fen": wish.get("min_spend_fen", 0),
            "valid_until": until,
            "sponsor": SPONSORS[sponsor],
            "state": USABLE,
            "history": [{"at": world.now().isoformat(), "event": "issue"}],
        }
        world.store.put(KIND, code, coupon)
        known = ("code", "activity_id", "holder", "face_fen", "valid_until")
        made.append({name: coupon[name] for name in known})
    return made


def view(world: World, code: str) -> dict[str, Any] | None:
    """The coupon with that code, its state and history."""
    coupon = world.store.get(KIND, code)
    if coupon is None:
        return None
    is_late = coupon["state"] == USABLE and not _is_in_time(world, coupon)
    state = "EXPIRED" if is_late else coupon["state"]
    return {"code": code, "state": state, "face_fen": coupon["face_fen"], "history": coupon["history"]}


def use(world: World, *, holder: str, code: str | None, amount: int, number: str) -> Document | None:
    """Apply the payer's coupon to a payment of ``amount``: what it takes off and how it is told. ``None`` for none."""
    coupon = _chosen(world, holder=holder, code=code, amount=amount)
    if coupon is None:
        return None
    _move(world, coupon, state=USED, event="use", number=number)
    offset = min(coupon["face_fen"], amount)
    row = {
        "type": "CP02",
        "spnsrId": coupon["sponsor"],
        "offstAmt": str(offset),
        "id": coupon["activity_id"],
        "desc": "联通电子券",
    }
    told = json.dumps([row], ensure_ascii=False, separators=(",", ":"))
    return {"code": coupon["code"], "sponsor": coupon["sponsor"], "offset": offset, "told": told}


def give_back(world: World, used: Mapping[str, Any] | None, *, number: str) -> None:
    """The payment was undone: its coupon, if any, may be used again."""
    if used is not None:
        coupon = world.store.get(KIND, used["code"])
        assert coupon is not None, "coupons are never forgotten"
        _move(world, coupon, state=USABLE, event="return", number=number)


def _chosen(world: World, *, holder: str, code: str | None, amount: int) -> Document | None:
    usable = [
        coupon
        for _, coupon in world.store.all(KIND)
        if coupon["holder"] == holder
        and coupon["state"] == USABLE
        and amount >= coupon["min_spend_fen"]
        and _is_in_time(world, coupon)
        and code in {None, coupon["code"]}
    ]
    return max(usable, key=lambda coupon: min(coupon["face_fen"], amount), default=None)


def _is_in_time(world: World, coupon: Mapping[str, Any]) -> bool:
    return world.now() <= datetime.fromisoformat(coupon["valid_until"])


def _move(world: World, coupon: Document, *, state: str, event: str, number: str) -> None:
    step = {"at": world.now().isoformat(), "event": event, "request_no": number}
    world.store.put(KIND, coupon["code"], {**coupon, "state": state, "history": [*coupon["history"], step]})
