"""分账: receivers, shares, and what is left of an order (sheet §3.2).

A share is taken on as PROCESSING and carried out by the next look at it, each receiver by itself. Readings of what the
sheet leaves open: the order's parts together may be 30 % of the amount after the fee (the documented default; the
console can set it higher); too early, too late, too much and already released are 400 INVALID_REQUEST; a receiver that
was never added is no refusal but a part CLOSED with NO_RELATION. Only receivers are told of a share, so the merchant
of this sandbox is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.fields import Choice, Flag, Integer, Many, Members, Rule, Text
from unicom_coupon_adapters.wechatpay.emulation.refusals import bad_field, not_now, not_there
from unicom_coupon_adapters.wechatpay.emulation.repeats import once
from unicom_coupon_adapters.wechatpay.emulation.security import opened_field
from unicom_coupon_adapters.wechatpay.emulation.trades import fee_fen
from unicom_coupon_adapters.wechatpay.emulation.world import (
    BEIJING,
    Call,
    Reply,
    Route,
    World,
    check_appid,
    moment_of,
)

_BASE: Final = "/v3/profitsharing"
EARLIEST: Final = timedelta(minutes=1)
LATEST: Final = timedelta(days=30)
MOST_CALLS: Final = 50
MOST_BASIS_POINTS: Final = 3000
BEHAVIOUR: Final = "receiver-behaviour"
"""The kind of document that says how a receiver behaves; see ``share_returns.set_receiver``."""

RELATIONS: Final = (
    "SERVICE_PROVIDER",
    "STORE",
    "STAFF",
    "STORE_OWNER",
    "PARTNER",
    "HEADQUARTER",
    "BRAND",
    "DISTRIBUTOR",
    "USER",
    "SUPPLIER",
    "CUSTOM",
)
NUMBER: Final = r"[0-9A-Za-z_\-|*@]+"
_RECEIVER: Final[Mapping[str, Rule]] = {
    "type": Choice(("MERCHANT_ID", "PERSONAL_OPENID"), required=True),
    "account": Text(64, required=True),
    "name": Text(1024),
}
_KNOWN: Final = Members(
    {
        "appid": Text(32, required=True),
        **_RECEIVER,
        "relation_type": Choice(RELATIONS, required=True),
        "custom_relation": Text(10),
    }
)
_PART: Final = Members({**_RECEIVER, "amount": Integer(1, required=True), "description": Text(80, required=True)})
_SHARE: Final = Members(
    {
        "appid": Text(32, required=True),
        "transaction_id": Text(32, required=True),
        "out_order_no": Text(64, required=True, pattern=NUMBER),
        "receivers": Many(_PART, 50, least=1, required=True),
        "unfreeze_unsplit": Flag(required=True),
    }
)
_UNFREEZE: Final = Members(
    {
        "transaction_id": Text(32, required=True),
        "out_order_no": Text(64, required=True, pattern=NUMBER),
        "description": Text(80, required=True),
    }
)


def add_receiver(call: Call) -> Reply:
    """Make a receiver known; adding it again succeeds, with the new name."""
    body = call.body(_KNOWN)
    check_appid(body["appid"])
    if body["type"] == "MERCHANT_ID" and "name" not in body:
        raise bad_field("/name", "商户类型的接收方须填写商户全称", "is required for a merchant")
    receiver = {name: body[name] for name in ("type", "account", "relation_type")}
    kept = call.store.get("receiver", _key(call.caller.mchid, body)) or {}
    told = {**kept, **receiver, "name_digest": _digest(_name(call, body, at="/name"))}
    call.store.put("receiver", _key(call.caller.mchid, body), told)
    return receiver


def forget_receiver(call: Call) -> Reply:
    """Forget a receiver."""
    shape = Members({name: _KNOWN.members[name] for name in ("appid", "type", "account")})
    body = call.body(shape)
    check_appid(body["appid"])
    call.store.delete("receiver", _key(call.caller.mchid, body))
    return {name: body[name] for name in ("type", "account")}


def share(call: Call) -> Reply:
    """Take a share on. Idempotent by ``out_order_no``; a repeat gives the share as it stands."""
    body = call.body(_SHARE)
    check_appid(body["appid"])
    parts = [
        {**part, "name": _name(call, part, at=f"/receivers/{place}/name")}
        for place, part in enumerate(body["receivers"])
    ]
    if len({(part["type"], part["account"]) for part in parts}) != len(parts):
        raise bad_field("/receivers", "分账接收方重复", "names a receiver twice")
    number = body["out_order_no"]
    # A name is encrypted anew each time, so it counts as what it says.
    once(call, "share", number, {**body, "receivers": parts}, act=lambda: _taken_on(call, body, parts))
    return _shown(call.store.get("share", number) or {})


def read(call: Call) -> Reply:
    """The share as of now."""
    transaction_id = call.query_value("transaction_id", Text(32, required=True))
    kept = current(call.world, call.arguments["out_order_no"])
    if kept is None or kept["mchid"] != call.caller.mchid or kept["transaction_id"] != transaction_id:
        raise not_there("分账单不存在", "There is no such share.")
    return _shown(kept)


def unfreeze(call: Call) -> Reply:
    """Release what is left of an order to the merchant. Idempotent by ``out_order_no``."""
    body = call.body(_UNFREEZE)
    number = body["out_order_no"]
    wish = {**body, "receivers": [], "unfreeze_unsplit": True}
    once(call, "share", number, body, act=lambda: _taken_on(call, wish, []))
    return _shown(current(call.world, number) or {})


def unsplit(call: Call) -> Reply:
    """How much of an order may still be shared."""
    trade = _trade(call, call.arguments["transaction_id"])
    return {"transaction_id": trade["transaction_id"], "unsplit_amount": _left(call.world, trade)}


def current(world: World, number: str) -> dict[str, Any] | None:
    """The share as of now: what was taken on is carried out by the first look after."""
    kept = world.store.get("share", number)
    if kept is None or kept["state"] == "FINISHED":
        return kept
    parts = [_carried_out(world, kept["mchid"], part) for part in kept["receivers"]]
    trade = world.store.get("trade", kept["out_trade_no"]) or {}
    failed = sum(part["amount"] for part in parts if part["result"] == "CLOSED")
    trade["shared"] -= failed
    rest = _left(world, trade) if kept["unfreeze_unsplit"] else 0
    if kept["unfreeze_unsplit"]:
        trade["released"] = True
        parts += [_released(world, kept["mchid"], rest)] if rest else []
    world.store.put("trade", trade["out_trade_no"], trade)
    finished = {**kept, "state": "FINISHED", "receivers": parts}
    world.store.put("share", number, finished)
    world.store.put(f"share-day|{world.today().isoformat()}", number, {})
    world.store.delete("share-open", number)
    return finished


def carry_out_due(world: World) -> None:
    """Carry out the shares that were taken on; called after each move of the clock."""
    for number, _ in world.store.all("share-open"):
        current(world, number)


def shared_on(world: World, day: date) -> list[dict[str, Any]]:
    """The shares that were finished on a Beijing day."""
    numbers = [number for number, _ in world.store.all(f"share-day|{day.isoformat()}")]
    return [kept for number in numbers if (kept := world.store.get("share", number)) is not None]


# --- shares ---


def _taken_on(call: Call, body: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    world = call.world
    trade = _trade(call, body["transaction_id"])
    _check_order(world, trade)
    asked = sum(part["amount"] for part in parts)
    after_fee = trade["total"] - fee_fen(trade["total"])
    if asked > _left(world, trade):
        raise not_now("分账金额超过订单剩余待分金额", "More would be shared than is left of the order.")
    if (trade.get("shared", 0) + asked) * 10_000 > after_fee * MOST_BASIS_POINTS:
        raise not_now("分账金额超过最大分账比例", "The parts together would be more than the agreed ratio.")
    now = world.now_text()
    number = body["out_order_no"]
    kept = {
        "mchid": call.caller.mchid,
        "transaction_id": trade["transaction_id"],
        "out_trade_no": trade["out_trade_no"],
        "out_order_no": number,
        "order_id": draw_id(world, "3008"),
        "state": "PROCESSING",
        "unfreeze_unsplit": body["unfreeze_unsplit"],
        "receivers": [
            {
                **{name: part[name] for name in ("type", "account", "amount", "description")},
                "name_digest": _digest(part["name"]),
                "result": "PENDING",
                "detail_id": draw_id(world, "3601"),
                "create_time": now,
            }
            for part in parts
        ],
    }
    world.store.put("share", number, kept)
    world.store.put("share-open", number, {})
    counted = {"shared": trade.get("shared", 0) + asked, "shares": trade.get("shares", 0) + 1}
    world.store.put("trade", trade["out_trade_no"], trade | counted)
    return {}


def _check_order(world: World, trade: Mapping[str, Any]) -> None:
    if not trade["profit_sharing"]:
        raise not_now("非分账订单不支持分账", "The order was not placed for sharing.")
    age = world.now() - moment_of(trade["success_time"])
    if age < EARLIEST:
        raise not_now("订单支付未满一分钟，请稍后再试", "The order was paid less than a minute ago.")
    if trade.get("released") or age > LATEST:
        raise not_now("订单资金已解冻", "The order's money has been released.")
    if trade.get("shares", 0) >= MOST_CALLS:
        raise not_now("分账次数超过限制", "The order was shared too often.")


def _carried_out(world: World, mchid: str, part: Mapping[str, Any]) -> dict[str, Any]:
    known = world.store.get("receiver", _key(mchid, part))
    reason = (world.store.get(BEHAVIOUR, part["account"]) or {}).get("share_fails")
    if known is None:
        reason = "NO_RELATION"
    elif part["name_digest"] is not None and known["name_digest"] not in {None, part["name_digest"]}:
        reason = "RECEIVER_REAL_NAME_NOT_VERIFIED"
    result = {"result": "CLOSED", "fail_reason": reason} if reason else {"result": "SUCCESS"}
    return {**part, **result, "finish_time": world.now_text()}


def _released(world: World, mchid: str, rest: int) -> dict[str, Any]:
    """The merchant's own part, as the platform lists it with the others."""
    now = world.now_text()
    return {
        "type": "MERCHANT_ID",
        "account": mchid,
        "amount": rest,
        "description": "解冻给分账方",
        "name_digest": None,
        "result": "SUCCESS",
        "detail_id": draw_id(world, "3601"),
        "create_time": now,
        "finish_time": now,
    }


def _trade(call: Call, transaction_id: str) -> dict[str, Any]:
    kept = call.store.get("transaction", transaction_id) or {}
    trade = call.store.get("trade", kept.get("out_trade_no", ""))
    if trade is None or trade["mchid"] != call.caller.mchid:
        raise not_there("订单不存在", "The order does not exist.")
    return trade


def _left(world: World, trade: Mapping[str, Any]) -> int:
    """What may still be shared: the amount after fee and refunds, less the parts that were given or promised."""
    is_over = world.now() - moment_of(trade["success_time"]) > LATEST
    if trade.get("released") or is_over or not trade["profit_sharing"]:
        return 0
    return max(0, int(trade["total"] - fee_fen(trade["total"]) - trade["refunded"] - trade.get("shared", 0)))


def _shown(kept: Mapping[str, Any]) -> dict[str, Any]:
    names = ("type", "account", "amount", "description", "result", "fail_reason", "detail_id", "create_time")
    return {
        **{name: kept[name] for name in ("transaction_id", "out_order_no", "order_id", "state")},
        "receivers": [
            {name: part[name] for name in (*names, "finish_time") if part.get(name) is not None}
            for part in kept["receivers"]
        ],
    }


def _key(mchid: str, receiver: Mapping[str, Any]) -> str:
    return f"{mchid}|{receiver['type']}|{receiver['account']}"


def _name(call: Call, receiver: Mapping[str, Any], *, at: str) -> str | None:
    if "name" not in receiver:
        return None
    return opened_field(call, receiver["name"], at=at).decode("utf-8", errors="replace")


def _digest(name: str | None) -> str | None:
    return None if name is None else hashlib.sha256(name.encode()).hexdigest()


def draw_id(world: World, prefix: str) -> str:
    """A number of the platform's for something of profit sharing."""
    day = f"{world.now().astimezone(BEIJING):%Y%m%d}"
    return f"{prefix}{world.digits(6)}{day}{world.store.next_number('sharing'):010d}"


ROUTES: Final = (
    Route("POST", _BASE + "/receivers/add", add_receiver),
    Route("POST", _BASE + "/receivers/delete", forget_receiver),
    Route("POST", _BASE + "/orders", share),
    Route("GET", _BASE + "/orders/{out_order_no}", read),
    Route("POST", _BASE + "/orders/unfreeze", unfreeze),
    Route("GET", _BASE + "/transactions/{transaction_id}/amounts", unsplit),
)
