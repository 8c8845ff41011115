"""What the control API asks for: coupons in holders' hands, paid orders, a payer's and an issuer's hand, a view."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.bank.emulation import orders, payments
from unicom_coupon_adapters.bank.emulation.holdings import VIEWED, record, state_of
from unicom_coupon_adapters.bank.emulation.keys import MER_ID
from unicom_coupon_adapters.bank.emulation.world import World

_MOST: Final = 10_000
_LARGEST_FEN: Final = 5_000_000
_RESERVED: Final = frozenset({"0000", "0001", "0002", "0003"})
"""Last four digits of magic mobiles (sheet §3.9): never drawn, only when a wish names them."""


def issue(world: World, wish: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``count`` coupons of ``face_fen`` for ``holder`` (a mobile), each with ``code`` and ``mobile``.

    ``bank`` "other" makes coupons of another bank.
    """
    count = _number(wish, "count", least=1, most=_MOST)
    face = _number(wish, "face_fen", least=1, most=_LARGEST_FEN)
    least = _number(wish, "min_spend_fen", least=0, most=10**10, default=0)
    days = _number(wish, "valid_days", least=1, most=3650, default=30)
    mobile = _mobile(world, wish)
    now = world.now()
    start, until = now - timedelta(minutes=1), now + timedelta(days=days)
    made = []
    for _ in range(count):
        code = f"6220{world.digits(16)}"
        coupon = {
            "code": code, "mobile": mobile, "batch": "SANDBOX", "name": "联通电子券", "face": face, "min": least,
            "from": start.isoformat(), "until": until.isoformat(), "base": "A", "history": [],
            "bank": "cmb" if wish.get("bank", "cmb") == "cmb" else "other",
        }  # fmt: skip
        record(world, coupon, event="issue", number="SANDBOX")
        told = {"code": code, "mobile": mobile, "face_fen": face, "min_spend_fen": least}
        made.append({**told, "valid_from": start.isoformat(), "valid_until": until.isoformat()})
    return made


def order(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """A paid order of ``amount_fen``; the bank has no coupon in an order."""
    amount = _number(wish, "amount_fen", least=1, most=10**12)
    number = str(wish.get("order_id") or f"SANDBOX{world.store.next_number('sandbox_order'):010d}")
    if orders.find(world, f"{MER_ID}/{number}") is not None or not 0 < len(number) <= 32:
        raise ValueError("order_id is taken or longer than 32 characters")
    made = payments.add(world, mer=MER_ID, number=number, amount=amount, url=str(wish.get("notify_url") or ""))
    paid = payments.settle(world, made) if wish.get("paid", True) is True else made
    return {"order_id": number, "cmb_order_id": paid["bank_number"], "amount_fen": amount, "state": paid["state"]}


def deliver(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """What a payer or the issuer does by hand.

    ``action`` "pay" with ``order_id``: a payer scans the QR, or types the password. "payment_code": a payer opens one;
    ``needs_password`` lets its payment wait, ``balance_fen`` bounds it. "freeze", "unfreeze" with ``code``: the issuer.
    """
    action = wish.get("action")
    if action == "payment_code":
        balance = _number(wish, "balance_fen", least=0, most=10**12, default=10**12)
        return {"payment_code": payments.show_code(world, balance, waits=wish.get("needs_password") is True)}
    if action == "pay":
        found = orders.find(world, f"{MER_ID}/{wish.get('order_id')}")
        if found is None or found["kind"] != "PAY":
            raise ValueError("there is no order with that order_id")
        paid = payments.settle(world, found)
        return {"order_id": paid["order_id"], "state": paid["state"]}
    if action in {"freeze", "unfreeze"}:
        coupon = world.store.get("coupon", str(wish.get("code")))
        wanted, made = ("A", "Z") if action == "freeze" else ("Z", "A")
        if coupon is None or coupon["base"] != wanted:
            raise ValueError(f"there is no coupon with that code to {action}")
        record(world, coupon, event=str(action), number="SANDBOX", base=made)
        return {"code": coupon["code"], "state": VIEWED[made]}
    raise ValueError("action must be pay, payment_code, freeze or unfreeze")


def view(world: World, code: str) -> dict[str, Any] | None:
    """The coupon, its state and all that happened to it."""
    coupon = world.store.get("coupon", code)
    if coupon is None:
        return None
    state = VIEWED[state_of(world, coupon)]
    return {
        "code": code,
        "state": state,
        "history": coupon["history"],
        "mobile": coupon["mobile"],
        "face_fen": coupon["face"],
    }


def _mobile(world: World, wish: Mapping[str, Any]) -> str:
    holder = wish.get("holder")
    if holder is None:
        drawn = world.digits(4)
        return f"1380000{drawn if drawn not in _RESERVED else '9' + drawn[1:]}"
    if not (
        isinstance(holder, str) and len(holder) == 11 and holder.isascii() and holder.isdigit() and holder[0] == "1"
    ):
        raise ValueError("holder must be a mobile number of 11 digits")
    return holder


def _number(wish: Mapping[str, Any], name: str, *, least: int, most: int, default: int | None = None) -> int:
    value = wish.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}")
    return value
