"""Returns of what a merchant receiver got (sheet §3.2), and how receivers behave in the sandbox.

A return is taken on as PROCESSING and carried out by the next look at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.fields import Integer, Members, Text
from unicom_coupon_adapters.wechatpay.emulation.refusals import not_now, not_there
from unicom_coupon_adapters.wechatpay.emulation.repeats import once
from unicom_coupon_adapters.wechatpay.emulation.sharing import BEHAVIOUR, NUMBER, current, draw_id
from unicom_coupon_adapters.wechatpay.emulation.world import Call, Reply, Route, World, moment_of

_BASE: Final = "/v3/profitsharing/return-orders"
RETURNABLE: Final = timedelta(days=180)
MOST_RETURNS: Final = 50
LINE_REASONS: Final = (
    "ACCOUNT_ABNORMAL",
    "NO_RELATION",
    "RECEIVER_HIGH_RISK",
    "RECEIVER_REAL_NAME_NOT_VERIFIED",
    "NO_AUTH",
    "RECEIVER_RECEIPT_LIMIT",
    "PAYER_ACCOUNT_ABNORMAL",
    "INVALID_REQUEST",
)
RETURN_REASONS: Final = (
    "ACCOUNT_ABNORMAL",
    "BALANCE_NOT_ENOUGH",
    "TIME_OUT_CLOSED",
    "PAYER_ACCOUNT_ABNORMAL",
    "INVALID_REQUEST",
)
_RETURN: Final = Members(
    {
        "order_id": Text(64),
        "out_order_no": Text(64),
        "out_return_no": Text(64, required=True, pattern=NUMBER),
        "return_mchid": Text(32, required=True),
        "amount": Integer(1, required=True),
        "description": Text(80, required=True),
    }
)


def give_back(call: Call) -> Reply:
    """Fetch a merchant receiver's part back. Idempotent by ``out_return_no``; a repeat gives it as it stands."""
    body = call.body(_RETURN)
    number = body["out_return_no"]
    once(call, "share-return", number, body, act=lambda: _return_taken_on(call, body))
    return _return_shown(call.store.get("share-return", number) or {})


def read_return(call: Call) -> Reply:
    """The return as of now."""
    out_order_no = call.query_value("out_order_no", Text(64, required=True))
    kept = current_return(call.world, call.arguments["out_return_no"])
    if kept is None or kept["mchid"] != call.caller.mchid or kept["out_order_no"] != out_order_no:
        raise not_there("分账回退单不存在", "There is no such return.")
    return _return_shown(kept)


def set_receiver(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """How a receiver behaves, for ``POST /deliveries`` of kind ``receiver``.

    ``account`` names it; ``share_fails`` and ``return_fails`` give the ``fail_reason`` of its next parts and returns,
    ``null`` lets them succeed again.
    """
    account = wish.get("account")
    if not isinstance(account, str) or not account:
        raise ValueError("account is missing")
    for name, known in (("share_fails", LINE_REASONS), ("return_fails", RETURN_REASONS)):
        if wish.get(name) is not None and wish[name] not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}")
    behaviour = {name: wish.get(name) for name in ("share_fails", "return_fails")}
    world.store.put(BEHAVIOUR, account, behaviour)
    return {"account": account, **behaviour}


def current_return(world: World, number: str) -> dict[str, Any] | None:
    """The return as of now: carried out by the first look after it was taken on."""
    kept = world.store.get("share-return", number)
    if kept is None or kept["result"] != "PROCESSING":
        return kept
    reason = (world.store.get(BEHAVIOUR, kept["return_mchid"]) or {}).get("return_fails")
    told = {"result": "FAILED", "fail_reason": reason} if reason else {"result": "SUCCESS"}
    done = {**kept, **told, "finish_time": world.now_text()}
    world.store.put("share-return", number, done)
    world.store.delete("share-return-open", number)
    if not reason:
        world.store.put(f"share-return-day|{world.today().isoformat()}", number, {})
    return done


def carry_out_due(world: World) -> None:
    """Carry out the returns that were taken on; called after each move of the clock."""
    for number, _ in world.store.all("share-return-open"):
        current_return(world, number)


def returned_on(world: World, day: date) -> list[dict[str, Any]]:
    """The returns that arrived on a Beijing day."""
    numbers = [number for number, _ in world.store.all(f"share-return-day|{day.isoformat()}")]
    return [kept for number in numbers if (kept := world.store.get("share-return", number)) is not None]


def _return_taken_on(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    world = call.world
    shared = _share_of(call, body)
    account = body["return_mchid"]
    part = next(
        (one for one in shared["receivers"] if one["account"] == account and one["type"] == "MERCHANT_ID"), None
    )
    if part is None or part["result"] != "SUCCESS" or account == shared["mchid"]:
        raise not_now("该商户未分得资金，不可回退", "That merchant got no part that could be returned.")
    if world.now() - moment_of(part["finish_time"]) > RETURNABLE:
        raise not_now("超过分账回退期限", "The share is too old to be returned.")
    numbers = [key for key, _ in world.store.all(f"share-returns|{shared['out_order_no']}")]
    before = [kept for key in numbers if (kept := world.store.get("share-return", key)) is not None]
    standing = [kept for kept in before if kept["return_mchid"] == account and kept["result"] != "FAILED"]
    if len(before) >= MOST_RETURNS or sum(kept["amount"] for kept in standing) + body["amount"] > part["amount"]:
        raise not_now("累计回退金额超过分账金额", "More would be returned than was shared.")
    number = body["out_return_no"]
    kept = {
        "mchid": call.caller.mchid,
        "transaction_id": shared["transaction_id"],
        "order_id": shared["order_id"],
        "detail_id": part["detail_id"],
        "out_order_no": shared["out_order_no"],
        "out_return_no": number,
        "return_id": draw_id(world, "3009"),
        "return_mchid": account,
        "amount": body["amount"],
        "description": body["description"],
        "result": "PROCESSING",
        "create_time": world.now_text(),
    }
    world.store.put("share-return", number, kept)
    world.store.put(f"share-returns|{shared['out_order_no']}", number, {})
    world.store.put("share-return-open", number, {})
    return {}


def _share_of(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    number = body.get("out_order_no")
    if number is None:
        wanted = body.get("order_id")
        number = next((key for key, kept in call.store.all("share") if kept["order_id"] == wanted), "")
    kept = current(call.world, number)
    if kept is None or kept["mchid"] != call.caller.mchid:
        raise not_there("分账单不存在", "There is no such share.")
    return kept


def _return_shown(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kept.items() if name not in {"mchid", "detail_id", "transaction_id"}}


ROUTES: Final = (
    Route("POST", _BASE, give_back),
    Route("GET", _BASE + "/{out_return_no}", read_return),
)
