"""The coupons behind the host: the emulated Unicom back end, which says whether a code may be used.

Codes come from the control API, or from the SDK under test: the POS network has no message that lists a coupon, and the
merchant under test is the issuer, so a code with the form and the check character of this package's own codes is taken
for one that it has issued, worth what its redemption says. Any other unknown code is unknown (14).

Every change is written into the coupon's history under the request number that caused it, so that a test can see who
used it, who gave it back, and how often.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.coupon_block import CouponState, Tag
from unicom_coupon_adapters.unionpay_pos.emulation.world import Decline, Request, World
from unicom_coupon_sdk.domain.code import is_well_formed
from unicom_coupon_sdk.domain.times import BEIJING

KIND: Final = "coupon"
_WRONG: Final = "wrong codes"
_WRONG_S: Final = 600
_MOST_WRONG: Final = 5

USABLE, USED, EXPIRED, LOCKED, VOIDED = "USABLE", "USED", "EXPIRED", "LOCKED", "VOID"
_SHOWN: Final[Mapping[str, CouponState]] = {
    USABLE: CouponState.USABLE,
    USED: CouponState.USED,
    EXPIRED: CouponState.EXPIRED,
    LOCKED: CouponState.LOCKED,
    VOIDED: CouponState.RETURNED,
}
STATES: Final = tuple(_SHOWN)
_REFUSALS: Final = {
    USED: ("65", "COUPON_USED", "券已被使用"),
    EXPIRED: ("54", "COUPON_EXPIRED", "券已过期"),
    LOCKED: ("62", "COUPON_LOCKED", "券已锁定"),
    VOIDED: ("57", "COUPON_VOID", "券已作废"),
}


def find(world: World, code: str) -> dict[str, Any] | None:
    """The coupon with that code, expired if its day is over; ``None`` when there is none."""
    coupon = world.store.get(KIND, code)
    if coupon is None and is_well_formed(code):
        coupon = {"code": code, "state": USABLE, "face_fen": None, "min_spend_fen": 0, "history": []}
    if coupon is not None and coupon["state"] == USABLE and _is_over(coupon, world.now()):
        coupon["state"] = EXPIRED
    return coupon


def known(request: Request) -> dict[str, Any]:
    """The coupon that a message names. Raises ``Decline`` 14; 62 for a terminal that has guessed too often."""
    now = request.world.now().timestamp()
    kept = request.store.get(_WRONG, request.terminal) or {"at": []}
    recent = [at for at in kept["at"] if at > now - _WRONG_S]
    if len(recent) >= _MOST_WRONG:
        raise Decline("62", state=CouponState.LOCKED, upstream="TOO_MANY_TRIES", text="尝试次数过多")
    coupon = find(request.world, request.code)
    if coupon is None:
        request.store.put(_WRONG, request.terminal, {"at": [*recent, now]})
        raise Decline("14", state=CouponState.UNKNOWN_CODE, upstream="COUPON_UNKNOWN", text="券码不存在")
    return coupon


def state_of(coupon: Mapping[str, Any]) -> CouponState:
    """Tag 82."""
    return _SHOWN[coupon["state"]]


def tags_of(coupon: Mapping[str, Any]) -> dict[Tag, str]:
    """Tags 82 to 86 of an answer."""
    found = {Tag.CODE: coupon["code"], Tag.STATE: state_of(coupon).value}
    if coupon["face_fen"] is not None:
        left = coupon["face_fen"] if coupon["state"] == USABLE else 0
        found |= {Tag.FACE_VALUE: f"{coupon['face_fen']:012d}", Tag.REMAINING: f"{left:012d}"}
    if "valid_until" in coupon:
        until = datetime.fromisoformat(coupon["valid_until"]).astimezone(BEIJING)
        found[Tag.VALID_UNTIL] = f"{until:%Y%m%d}"
    if "name" in coupon:
        found[Tag.NAME] = coupon["name"]
    return found


def check_redeemable(request: Request, coupon: Mapping[str, Any]) -> None:
    """Raises ``Decline`` by the table of sheet 5.3."""
    if coupon["state"] != USABLE:
        code, upstream, text = _REFUSALS[coupon["state"]]
        raise Decline(code, state=state_of(coupon), upstream=upstream, text=text)
    face, amount = coupon["face_fen"], request.amount
    if face is not None:
        if amount == 0 and face:
            raise Decline("13", state=CouponState.USABLE, upstream="AMOUNT", text="金额无效")
        if amount > face:
            raise Decline("61", state=CouponState.USABLE, upstream="ABOVE_FACE", text="超过券面值")
    spent = request.block.get(Tag.ORDER_AMOUNT)
    if spent is not None and int(spent) < coupon["min_spend_fen"]:
        raise Decline("51", state=CouponState.USABLE, upstream="MIN_SPEND", text="未达使用门槛")
    holder, tail = coupon.get("holder"), request.block.get(Tag.PHONE_TAIL)
    if tail is not None and isinstance(holder, str) and holder.isdigit() and holder[-4:] != tail:
        raise Decline("57", state=CouponState.NOT_VALID_HERE, upstream="HOLDER", text="持券人不符")


def move(
    world: World, coupon: Mapping[str, Any], *, state: str, event: str | None, number: str, **more: object
) -> dict[str, Any]:
    """Write a coupon in its new state, with the event and its request number in the history."""
    changed: dict[str, Any] = {**coupon, "state": state, **more}
    if event is not None:
        at = world.now().isoformat()
        changed["history"] = [*coupon["history"], {"at": at, "event": event, "request_no": number}]
    world.store.put(KIND, coupon["code"], changed)
    return changed


def freed(world: World, coupon: Mapping[str, Any]) -> str:
    """The state of a coupon that is given back: usable, or expired when its day is over."""
    return EXPIRED if _is_over(coupon, world.now()) else USABLE


def _is_over(coupon: Mapping[str, Any], now: datetime) -> bool:
    return "valid_until" in coupon and now >= datetime.fromisoformat(coupon["valid_until"])
