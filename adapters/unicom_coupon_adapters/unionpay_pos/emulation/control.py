"""What the sandbox's control API does at the host: coupons into pockets, and the management calls of sheet 9.4."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.emulation import bills, coupons
from unicom_coupon_adapters.unionpay_pos.emulation.cards import MERCHANT, NUMBERS
from unicom_coupon_adapters.unionpay_pos.emulation.management import SETTLEMENT
from unicom_coupon_adapters.unionpay_pos.emulation.receipts import RECEIPT
from unicom_coupon_adapters.unionpay_pos.emulation.redemptions import CANCEL, TRANSACTION
from unicom_coupon_adapters.unionpay_pos.emulation.world import DEFAULT_MODES, World, shown_of

_VALUES: Final[Mapping[str, frozenset[str]]] = {
    "duplicate": frozenset({"replay", "reject94"}),
    "unknown_reversal": frozenset({"00", "25"}),
    "void_in_totals": frozenset({"credit", "removed"}),
    "coupon_in_totals": frozenset({"yes", "no"}),
}


def issue(world: World, wish: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Single-use coupons. ``holder`` is a mobile number, if any; its last digits are what tag 06 is compared with."""
    days = wish.get("valid_days", 30)
    until = (world.now() + timedelta(days=days)).isoformat()
    made = []
    for _ in range(wish["count"]):
        # 17 digits and a letter: no code ends like a fault trigger.
        number = world.store.next_number("coupon")
        drawn = int.from_bytes(world.frame.random_bytes(6), "big") % 10**9
        code = f"UC{drawn:09d}{number % 10**7:07d}X"
        coupon = {
            "code": code,
            "state": coupons.USABLE,
            "face_fen": wish["face_fen"],
            "min_spend_fen": wish.get("min_spend_fen", 0),
            "valid_until": until,
            "name": "联通电子券",
            "holder": wish.get("holder"),
            "history": [{"at": world.now().isoformat(), "event": "issue"}],
        }
        world.store.put(coupons.KIND, code, coupon)
        known = {"code": code, "face_fen": wish["face_fen"], "valid_until": until, "merchant_no": MERCHANT}
        made.append(known | ({"mobile": wish["holder"]} if wish.get("holder") else {}))
    return made


def view(world: World, code: str) -> dict[str, Any] | None:
    """The coupon with that code, its state and history."""
    if world.store.get(coupons.KIND, code) is None:
        return None
    coupon = coupons.find(world, code)
    assert coupon is not None
    return {"code": code, "state": coupon["state"], "face_fen": coupon["face_fen"], "history": coupon["history"]}


def manage(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """One management call, by ``action``.

        ``transactions`` (``terminal_no``?) lists them; ``settlements`` lists batches with the records uploaded;
    ``receipts`` lists what slips have come; ``expire_batch`` and ``force_key_change`` (``terminal_no``) put a
    terminal out of step; ``close_terminal`` and ``open_terminal`` (``terminal_no``); ``coupon_state`` (``code``,
    ``state``); ``mode`` (``name``, ``value``); ``cancels`` lists what the host still has to cancel; ``bill``
    (``date`` YYYYMMDD) is the UCP file of a clearing day, once it is made. Raises ``ValueError`` with what is wrong.
    """
    match wish.get("action"):
        case "transactions":
            only = wish.get("terminal_no")
            found = [shown_of(one) for _, one in world.store.all(TRANSACTION) if only in {None, one["terminal"]}]
            return {"transactions": found}
        case "settlements":
            return {"settlements": [{"batch": key, **one} for key, one in world.store.all(SETTLEMENT)]}
        case "receipts":
            return {"receipts": [{"key": key, **one} for key, one in world.store.all(RECEIPT)]}
        case "cancels":
            return {"cancels": [{"key": key, **job} for key, job in world.store.all(CANCEL)]}
        case "mode":
            return _mode(world, name=str(wish.get("name")), value=str(wish.get("value")))
        case "coupon_state":
            return _coupon_state(world, code=str(wish.get("code")), state=str(wish.get("state")))
        case "bill":
            name, text = bills.bill_of(world, day=str(wish.get("date", "")))
            return {"name": name, "text": text}
        case "expire_batch" | "force_key_change" | "close_terminal" | "open_terminal" as action:
            return _terminal(world, number=str(wish.get("terminal_no", NUMBERS[0])), action=action)
    raise ValueError(
        "action must be transactions, settlements, receipts, cancels, mode, coupon_state, bill, expire_batch,"
        " force_key_change, close_terminal or open_terminal"
    )


def _terminal(world: World, *, number: str, action: str) -> dict[str, Any]:
    card = world.cards.card(number)
    if card is None:
        raise ValueError("there is no terminal with that number")
    if action == "force_key_change":
        world.cards.forget_keys(number)
        return {"terminal_no": number}
    if action == "expire_batch":
        card["batch"] = card["batch"] % 999_999 + 1
    else:
        card["is_inactive"] = action == "close_terminal"
    world.cards.write(number, card)
    return {"terminal_no": number, "batch": card["batch"], "is_inactive": card.get("is_inactive", False)}


def _mode(world: World, *, name: str, value: str) -> dict[str, Any]:
    if value not in _VALUES.get(name, ()):
        choices = "; ".join(f"{key}: {', '.join(sorted(values))}" for key, values in _VALUES.items())
        raise ValueError(f"name and value must be of {choices}")
    kept = world.store.get("modes", "modes") or dict(DEFAULT_MODES)
    world.store.put("modes", "modes", {**kept, name: value})
    return {"name": name, "value": value}


def _coupon_state(world: World, *, code: str, state: str) -> dict[str, Any]:
    coupon = coupons.find(world, code)
    if coupon is None:
        raise ValueError("there is no coupon with that code")
    if state not in coupons.STATES:
        raise ValueError(f"state must be one of {', '.join(coupons.STATES)}")
    coupons.move(world, coupon, state=state, event=f"set {state}", number="control")
    return {"code": code, "state": state}
