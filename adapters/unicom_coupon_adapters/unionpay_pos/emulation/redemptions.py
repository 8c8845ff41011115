"""The coupon transactions of the host: enquiry, redemption, void, return, reversal, outcome query (sheet 5, 9.2).

A transaction is kept for ever under merchant, terminal, batch and trace, with the answer that it got, so that a repeat
is answered alike and carried out once. A reversal that comes before its original leaves a tombstone there, and the late
original is answered 94 without a look at the coupon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.coupon_block import CouponState, Tag
from unicom_coupon_adapters.unionpay_pos.emulation import coupons
from unicom_coupon_adapters.unionpay_pos.emulation.world import Decline, Request, Told, World, key_of
from unicom_coupon_adapters.unionpay_pos.messages import COUPON_CONDITION
from unicom_coupon_adapters.unionpay_pos.subfields import Original

TRANSACTION: Final = "transaction"
WISH: Final = "wish"
REFERENCE: Final = "reference"
CANCEL: Final = "cancel"
SUCCESS, DECLINED, REVERSED, CANCELLING = "SUCCESS", "DECLINED", "REVERSED", "CANCELLING"
VOIDED, RETURNED, TOMBSTONE = "VOIDED", "RETURNED", "TOMBSTONE"
CANCEL_AFTER_S: Final = 10.0
"""How long the back end of trigger 9010 takes before it lets a cancellation through."""


@dataclass(frozen=True)
class Operation:
    """A transaction kind of the profile: how it is carried out, and whether it is kept."""

    handler: Callable[[Request], Told]
    is_kept: bool


def operation_of(request: Request) -> Operation | None:
    """The kind of a message by type, processing code, condition and 60.1; ``None`` when it is no coupon's."""
    message = request.message
    if message.fields.get(25) != COUPON_CONDITION:
        return None
    return _OPERATIONS.get((message.mti, str(message.fields.get(3)), request.kind.kind))


def kept(world: World, key: str) -> dict[str, Any] | None:
    """A transaction by its key."""
    return world.store.get(TRANSACTION, key)


def keep(request: Request, **told: Any) -> dict[str, Any]:
    """Write a transaction down, with what is told of it."""
    message, world = request.message, request.world
    local = world.local()
    transaction: dict[str, Any] = {
        "key": request.key,
        "terminal": request.terminal,
        "merchant": request.merchant,
        "batch": request.kind.batch,
        "trace": request.trace,
        "mti": message.mti,
        "proc": message.fields.get(3),
        "type": request.kind.kind,
        "amount": request.amount,
        "code": request.block.get(Tag.CODE, ""),
        "wish": request.wish,
        "date": f"{local:%m%d}",
        "time": f"{local:%H%M%S}",
        "clearing": world.clearing(),
        "at": world.now().isoformat(),
        "returned": 0,
        **told,
    }
    world.store.put(TRANSACTION, request.key, transaction)
    return transaction


def change(world: World, transaction: Mapping[str, Any], **told: Any) -> None:
    """Write down what became of a transaction."""
    world.store.put(TRANSACTION, transaction["key"], {**transaction, **told})


# --- asking ---


def enquire(request: Request) -> Told:
    """The state and value of a coupon."""
    return Told(tags=coupons.tags_of(coupons.known(request)))


def outcome(request: Request) -> Told:
    """What became of a transaction: 00 with tag 8A when it stands, 22 when it was undone, 25 when there is none.

    Fields 37, 38, 13 and 15 and tag 81 are the original's, so that who lost the answer can still void it.
    """
    world = request.world
    original = Original.parse(request.message.text(61)) if 61 in request.message else None
    found = _by_wish(world, request)
    if found is None and original is not None:
        found = kept(world, key_of(request.merchant, request.terminal, original.batch, original.trace))
    if found is None or found["state"] == TOMBSTONE:
        raise Decline("25", text="原交易不存在")
    coupon = coupons.find(world, found["code"])
    tags = {Tag.ORIGINAL_RESPONSE: found["response"]}
    if found.get("unicom_no"):
        tags[Tag.UNICOM_NO] = found["unicom_no"]
    if coupon is not None:
        tags[Tag.STATE] = coupons.state_of(coupon).value
    undone = found["state"] in {REVERSED, VOIDED, RETURNED, CANCELLING}
    fields = {37: found["reference"], 13: found["date"], 12: found["time"], 15: found["clearing"]}
    if found.get("authorization"):
        fields[38] = found["authorization"]
    return Told("22" if undone else "00", fields=fields, tags=tags)


def _by_wish(world: World, request: Request) -> dict[str, Any] | None:
    if Tag.KEY not in request.block:
        return None
    link = world.store.get(WISH, f"{request.merchant}|{request.wish}")
    return kept(world, link["key"]) if link else None


# --- redeeming and giving back ---


def redeem(request: Request) -> Told:
    """Use a coupon. The same key again (another trace, the same tag 03) is told what it was told before."""
    world = request.world
    same = _by_wish(world, request)
    if same is not None and same["code"] == request.code and same["state"] == SUCCESS:
        tags = {Tag.CODE: request.code, Tag.UNICOM_NO: same["unicom_no"], Tag.STATE: CouponState.USED.value}
        return Told(fields={37: same["reference"], 38: same["authorization"]}, tags=tags)
    coupon = coupons.known(request)
    coupons.check_redeemable(request, coupon)
    told = _concluded(request)
    coupons.move(
        world,
        coupon,
        state=coupons.USED,
        event="use",
        number=request.wish,
        used_by=request.key,
        used_for=request.amount,
    )
    tags = {Tag.CODE: request.code, Tag.UNICOM_NO: told["unicom_no"], Tag.STATE: CouponState.USED.value}
    if coupon["face_fen"] is not None:
        tags |= {Tag.FACE_VALUE: f"{coupon['face_fen']:012d}", Tag.REMAINING: "0" * 12}
    return _approved(told, tags)


def void(request: Request) -> Told:
    """Take a redemption back within its batch and clearing day."""
    world = request.world
    named = Original.parse(request.message.text(61))
    found = kept(world, key_of(request.merchant, request.terminal, named.batch, named.trace))
    original = _undoable(request, found)
    if original["clearing"] != world.clearing() or named.batch != request.kind.batch:
        raise Decline("25", text="原交易不在当日批次")
    if request.amount != original["amount"]:
        raise Decline("64", text="金额与原交易不符")
    told = _concluded(request, original=original["key"])
    change(world, original, state=VOIDED)
    coupon = _coupon(world, original)
    coupons.move(world, coupon, state=coupons.freed(world, coupon), event="void", number=request.wish, used_by=None)
    return _approved(told, {Tag.CODE: request.code, Tag.UNICOM_NO: told["unicom_no"]})


def give_back(request: Request) -> Told:
    """Return a redemption of an earlier batch or day, in whole or in parts; whole makes the coupon usable again."""
    world = request.world
    Original.parse(request.message.text(61))
    link = world.store.get(REFERENCE, f"{request.merchant}|{request.message.text(37)}")
    original = _undoable(request, kept(world, link["key"]) if link else None)
    returned = original["returned"] + request.amount
    if returned > original["amount"]:
        raise Decline("61", text="超过可退金额")
    told = _concluded(request, original=original["key"])
    is_whole = returned == original["amount"]
    change(world, original, returned=returned, state=RETURNED if is_whole else SUCCESS)
    if is_whole:
        coupon = _coupon(world, original)
        coupons.move(
            world, coupon, state=coupons.freed(world, coupon), event="return", number=request.wish, used_by=None
        )
    return _approved(told, {Tag.CODE: request.code, Tag.UNICOM_NO: told["unicom_no"]})


def _undoable(request: Request, found: dict[str, Any] | None) -> dict[str, Any]:
    if found is None or found["type"] != "22" or found["state"] in {DECLINED, TOMBSTONE}:
        raise Decline("25", text="原交易不存在")
    if found["reference"] != request.message.text(37) or request.block.get(Tag.ORIGINAL_NO) not in {
        None,
        found["unicom_no"],
    }:
        raise Decline("25", text="原交易不存在")
    if found["code"] != request.code:
        raise Decline("14", state=CouponState.UNKNOWN_CODE, text="券码与原交易不符")
    if found["state"] != SUCCESS:
        raise Decline("22", state=CouponState.RETURNED, text="原交易已撤销")
    return found


def _concluded(request: Request, **more: Any) -> dict[str, Any]:
    world = request.world
    number = world.store.next_number("unicom")
    told = keep(
        request,
        state=SUCCESS,
        response="00",
        reference=world.reference(),
        authorization=f"U{number % 100_000:05d}",
        unicom_no=f"CU{world.local():%Y%m%d%H%M%S}{number % 10**6:06d}",
        **more,
    )
    world.store.put(WISH, f"{request.merchant}|{request.wish}", {"key": request.key})
    world.store.put(REFERENCE, f"{request.merchant}|{told['reference']}", {"key": request.key})
    return told


def _approved(told: Mapping[str, Any], tags: Mapping[Tag, str]) -> Told:
    fields = {37: told["reference"], 38: told["authorization"], 15: told["clearing"]}
    return Told(fields=fields, tags=tags)


def _coupon(world: World, transaction: Mapping[str, Any]) -> dict[str, Any]:
    coupon = coupons.find(world, transaction["code"])
    assert coupon is not None, "a transaction's coupon is never forgotten"
    return coupon


# --- reversing ---


def reverse(request: Request) -> Told:
    """Undo a redemption or a void whose answer was lost. Whatever can be answered 00 is: the terminal then stops."""
    world = request.world
    found = kept(world, request.key)
    if found is None:
        keep(request, state=TOMBSTONE, response="", reference="")
        return Told(world.mode("unknown_reversal"))
    if found["state"] in {TOMBSTONE, REVERSED, CANCELLING, VOIDED, RETURNED}:
        return Told()
    if found["type"] != request.kind.kind or found["amount"] != request.amount:
        raise Decline("64", text="金额与原交易不符")
    if found["state"] == DECLINED:
        return Told()
    if found["clearing"] != world.clearing() or found.get("is_settled"):
        raise Decline("25", text="原交易已结算")
    if found["type"] == "23":
        _restore(request, found)
    else:
        cancel(world, found, number=request.wish)
    return Told()


def cancel(world: World, transaction: Mapping[str, Any], *, number: str, after_s: float = 0.0) -> None:
    """Owe the cancellation of a redemption: written down first, then carried out as soon as it can be."""
    coupon = _coupon(world, transaction)
    coupons.move(world, coupon, state=coupons.LOCKED, event=None, number=number)
    change(world, transaction, state=CANCELLING)
    due = world.now().timestamp() + after_s
    world.store.put(CANCEL, transaction["key"], {"due": due, "number": number})
    run_cancels(world)


def run_cancels(world: World) -> None:
    """Carry out the cancellations that are due."""
    now = world.now().timestamp()
    for key, job in world.store.all(CANCEL):
        if job["due"] > now:
            continue
        transaction = kept(world, key)
        assert transaction is not None
        coupon = _coupon(world, transaction)
        state = coupons.freed(world, coupon)
        coupons.move(world, coupon, state=state, event="reverse", number=job["number"], used_by=None)
        change(world, transaction, state=REVERSED)
        world.store.delete(CANCEL, key)


def _restore(request: Request, found: Mapping[str, Any]) -> None:
    """Undo a void: the redemption stands again, unless the coupon has been used otherwise meanwhile."""
    world = request.world
    coupon = _coupon(world, found)
    original = kept(world, found["original"])
    if original is None or coupon["state"] not in {coupons.USABLE, coupons.EXPIRED}:
        raise Decline("22", state=coupons.state_of(coupon), text="券已另行使用")
    number = original["wish"]
    coupons.move(world, coupon, state=coupons.USED, event="use", number=number, used_by=original["key"])
    change(world, original, state=SUCCESS)
    change(world, found, state=REVERSED)


_OPERATIONS: Final[Mapping[tuple[str, str, str], Operation]] = {
    ("0200", "310000", "03"): Operation(enquire, is_kept=False),
    ("0200", "310000", "61"): Operation(outcome, is_kept=False),
    ("0200", "000000", "22"): Operation(redeem, is_kept=True),
    ("0200", "200000", "23"): Operation(void, is_kept=True),
    ("0220", "200000", "25"): Operation(give_back, is_kept=True),
    ("0400", "000000", "22"): Operation(reverse, is_kept=False),
    ("0400", "200000", "23"): Operation(reverse, is_kept=False),
}
