"""Coupons at the gateway: their state by the sheet's table (§3.7), their history, and the holder's daily limit."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from unicom_coupon_adapters.bank.emulation.onetime import live_token
from unicom_coupon_adapters.bank.emulation.refusals import Refusal
from unicom_coupon_adapters.bank.emulation.world import Call, World

DAY_LIMIT: Final = 5_000_000
_BY_STATE: Final = {"R": "COUPON_USED", "X": "COUPON_EXPIRED", "Z": "COUPON_FROZEN", "V": "COUPON_VOID"}
VIEWED: Final = {"A": "ACTIVE", "L": "HELD", "R": "USED", "X": "EXPIRED", "Z": "FROZEN", "V": "VOID"}


def find(world: World, code: str) -> dict[str, Any]:
    """The coupon. Raises ``COUPON_NOT_EXIST``."""
    coupon = world.store.get("coupon", code)
    if coupon is None:
        raise Refusal("COUPON_NOT_EXIST")
    return coupon


def state_of(world: World, coupon: dict[str, Any]) -> str:
    """The state letter now: stored, or by date, or held by an open code or an order without an outcome."""
    base = str(coupon["base"])
    if base not in {"A", "P"}:
        return base
    if base == "A" and world.now() >= datetime.fromisoformat(coupon["until"]):
        return "X"
    return "L" if base == "P" or live_token(world, coupon["code"]) is not None else "A"


def check_usable(call: Call, coupon: dict[str, Any]) -> None:
    """Raises the refusal of a coupon that cannot be redeemed now, or is another bank's or still without a holder."""
    world = call.world
    state = state_of(world, coupon)
    if coupon["bank"] != "cmb":
        raise Refusal("COUPON_BANK_MISMATCH")
    if state in _BY_STATE:
        raise Refusal(_BY_STATE[state])
    if world.now() < datetime.fromisoformat(coupon["from"]):
        raise Refusal("COUPON_NOT_STARTED")
    if not coupon["mobile"]:
        raise Refusal("NOT_ALLOWED")
    held = live_token(world, coupon["code"])
    if coupon["base"] == "P" or (held is not None and held["mer"] != call.biz.get("merId")):
        raise Refusal("COUPON_HELD")


def check_amount(call: Call, coupon: dict[str, Any]) -> int:
    """The amount to burn. The minimum counts against the bill where the request names it, else against the amount."""
    amount = call.amount()
    if amount > coupon["face"]:
        raise Refusal("AMOUNT_OVER_BALANCE")
    bill = call.amount("orderOrigAmt", required=False)
    if call.operation == "coupon/redeem" and (bill or amount) < coupon["min"]:
        raise Refusal("AMOUNT_BELOW_MIN")
    return amount


def record(world: World, coupon: dict[str, Any], *, event: str, number: str, **changes: Any) -> None:
    """Write a coupon with one more event in its history."""
    step = {"at": world.now().isoformat(), "event": event, "request_no": number}
    world.store.put("coupon", coupon["code"], {**coupon, **changes, "history": [*coupon["history"], step]})


def used_today(world: World, mobile: str, day: str) -> int:
    """What the holder has redeemed on a business day, pending orders included."""
    found = world.store.get("limit", f"{mobile}:{day}")
    return int(found["used"]) if found else 0


def take_room(world: World, mobile: str, amount: int, *, day: str) -> None:
    """Raises ``DAY_LIMIT_EXCEEDED`` when ``amount`` does not fit any more."""
    used = used_today(world, mobile, day)
    if used + amount > DAY_LIMIT:
        raise Refusal("DAY_LIMIT_EXCEEDED")
    world.store.put("limit", f"{mobile}:{day}", {"used": used + amount})


def give_room(world: World, mobile: str, amount: int, *, day: str) -> None:
    """Room given back by a same-day reversal or a failed order."""
    world.store.put("limit", f"{mobile}:{day}", {"used": used_today(world, mobile, day) - amount})
