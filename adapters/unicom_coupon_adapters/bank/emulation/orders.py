"""Orders of the gateway: one number space a merchant, and answers kept for repeats (sheet §3.11)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from unicom_coupon_adapters.bank.emulation.refusals import Refusal
from unicom_coupon_adapters.bank.emulation.world import Call, World
from unicom_coupon_sdk.crypto import sm3


def fingerprint(call: Call) -> str:
    """SM3 of the business fields, sorted, without the encrypted ones: their key is new in every repeat."""
    plain = {name: value for name, value in call.biz.items() if not name.startswith("encrypt")}
    text = json.dumps({"path": call.operation, **plain}, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return sm3.digest(text.encode()).hex()


def key_of(call: Call, number: str) -> str:
    """Where an order is kept: pay, refund, redeem and reverse share the space."""
    return f"{call.text('merId')}/{number}"


def find(world: World, key: str) -> dict[str, Any] | None:
    """The order, or ``None``."""
    return world.store.get("order", key)


def by_number(call: Call, *, ours: str, theirs: str) -> tuple[str, dict[str, Any]]:
    """The order that a request names by either number; the bank's wins. Raises when there is none."""
    world = call.world
    number = call.text(theirs, longest=32, required=False)
    if number:
        index = world.store.get("bank_number", number)
        order = find(world, index["key"]) if index else None
        if index is None or order is None or not index["key"].startswith(f"{call.text('merId')}/"):
            raise Refusal("CMBORDERID_NOT_EXIST")
        return index["key"], order
    key = key_of(call, call.text(ours, longest=32))
    order = find(world, key)
    if order is None:
        raise Refusal("ORDERID_NOT_EXIST")
    return key, order


def repeat(call: Call, number: str) -> Mapping[str, Any] | None:
    """The stored reply to the same request, with ``replay``; its stored refusal is raised again.

    Raises ``ORDERID_DUPLICATION`` for another request under the number.
    """
    order = find(call.world, key_of(call, number))
    if order is None:
        return None
    if order.get("fingerprint") != fingerprint(call):
        raise Refusal("ORDERID_DUPLICATION")
    if order["state"] == "F":
        raise Refusal(order["refusal"] or "NOT_ALLOWED", replay="Y")
    return {**order["reply"], "replay": "Y"}


def repeated_request(call: Call) -> Mapping[str, Any] | None:
    """The same for calls that have no order: by merchant, path and ``reqNo``."""
    stored = call.world.store.get("request", _request_key(call))
    if stored is None:
        return None
    if stored["fingerprint"] != fingerprint(call):
        raise Refusal("ORDERID_DUPLICATION")
    return {**stored["reply"], "replay": "Y"}


def keep_request(call: Call, reply: Mapping[str, Any]) -> Mapping[str, Any]:
    """Remember the reply to a call that has no order."""
    call.world.store.put("request", _request_key(call), {"fingerprint": fingerprint(call), "reply": dict(reply)})
    return reply


def put(world: World, key: str, order: Mapping[str, Any]) -> None:
    """Write an order, findable by the bank's number too."""
    world.store.put("order", key, order)
    if order["bank_number"]:
        world.store.put("bank_number", order["bank_number"], {"key": key})


def keep_refusal(call: Call, number: str, refusal: Refusal, *, kind: str) -> None:
    """An order in state F, so that a late copy of the request is refused for the same reason."""
    world = call.world
    told = {
        "kind": kind, "order_id": number, "bank_number": "", "state": "F", "refusal": refusal.code, "reply": {},
        "fingerprint": fingerprint(call), "at": world.now().isoformat(), "amount": 0, "day": world.today().isoformat(),
    }  # fmt: skip
    put(world, key_of(call, number), told)


def settle_day(day: date) -> tuple[date, bool]:
    """The first legal working day after ``day``, and whether it is a guess because a year is not published."""
    import chinese_calendar

    provisional = False
    while True:
        day += timedelta(days=1)
        try:
            is_worked = bool(chinese_calendar.is_workday(day))
        except NotImplementedError:
            is_worked, provisional = day.weekday() < 5, True
        if is_worked:
            return day, provisional


def _request_key(call: Call) -> str:
    return f"{call.text('merId')}/{call.operation}/{call.text('reqNo', longest=32)}"
