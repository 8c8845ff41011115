"""Profit sharing: parts of a paid trade sent to bound receivers, read back, and given back (sheet §3.2).

Synchronous: at most five receivers, all or none. Asynchronous: at most fifty, each for itself, a moment later
(``delay_s`` of the console), and then news. ``royalty_finish`` releases what is left.

Choices where the sheet is open, the stricter ones: only a trade paid with ``royalty_freeze`` can be shared; a refund
ends the sharing; together at most thirty hundredths of the trade go to others (console: ``royalty_ratio``), as
integrators quote it; frozen money is free after thirty days; a settle that is not known is INVALID_PARAMETER, the only
documented code that fits; news of a synchronous settle is not sent, its answer says it all.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation import account, relations, shares
from unicom_coupon_adapters.alipay.emulation.callbacks import send_event
from unicom_coupon_adapters.alipay.emulation.fields import NUMBER, Fields
from unicom_coupon_adapters.alipay.emulation.moments import moment_of, yuan
from unicom_coupon_adapters.alipay.emulation.platform_keys import SELLER_ID
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_adapters.alipay.emulation.repeats import parameters_digest
from unicom_coupon_adapters.alipay.emulation.trades import PREFIX, trade_of
from unicom_coupon_adapters.alipay.emulation.world import Call, Reply, Route, World

EVENT: Final = "alipay.trade.order.settle.notify"
RATIO: Final = 30
FROZEN_FOR: Final = timedelta(days=30)
_SYNC, _ASYNC = (5, 50), (50, 300)
"""Receivers at once, and requests for one trade."""

_DELAY_S: Final = 0.5
_LARGEST_FEN: Final = 10_000_000_000


def settle(call: Call) -> Reply:
    """Send parts of a trade's money on."""
    fields, world = call.fields(prefix=PREFIX), call.world
    number = fields.needed("out_request_no", longest=64, pattern=NUMBER)
    trade = trade_of(call, fields)
    key, digest = f"{trade['trade_no']}|{number}", parameters_digest(call.content)
    made = call.store.get("settle", key)
    if made is not None and made["digest"] != digest:
        raise Refusal("ACQ.DISCORDANT_REPEAT_REQUEST", "同一请求号参数不一致")
    if made is not None:
        return {"trade_no": trade["trade_no"], "settle_no": made["settle_no"]}
    mode = fields.choice("royalty_mode", "sync", "async", default="sync")
    extend = fields.maybe("extend_params")
    finish = extend is not None and extend.flag("royalty_finish")
    parts = _parts(call, fields, trade, most=(_SYNC if mode == "sync" else _ASYNC)[0])
    _check_trade(world, trade, parts, mode=mode)
    if mode == "sync":
        for part in parts:
            if (code := _trouble(world, part["account"])) is not None:
                raise Refusal(f"ACQ.{code}", "分账接收方账户异常")
    made = {
        "number": number,
        "digest": digest,
        "settle_no": f"{world.day()}00210{world.number('settle', digits=19)}",
        "trade_no": trade["trade_no"],
        "mode": mode,
        "at": world.now_text(),
        "due": world.now().timestamp() + (_delay_s(world) if mode == "async" else 0.0),
        "lines": [{**part, "state": "PROCESSING", "back": 0, "detail_id": _detail_id(world)} for part in parts],
        "finish": finish,
    }
    total = sum(part["fen"] for part in parts)
    settles = [*trade.get("settles", []), number]
    trade |= {"shared": trade.get("shared", 0) + total, "settles": settles, "is_finished": finish}
    call.store.put("trade", trade["out_trade_no"], trade)
    call.store.put("settle", key, made)
    call.store.put("settle-no", made["settle_no"], {"key": key})
    if mode == "sync":
        _conclude(world, key, made)
    else:
        call.store.put("settle-due", key, {})
    return {"trade_no": trade["trade_no"], "settle_no": made["settle_no"]}


def query(call: Call) -> Reply:
    """What each receiver got, and gave back."""
    fields = call.fields(prefix=PREFIX)
    conclude_due(call.world)
    settle_no = fields.text("settle_no", longest=64)
    if settle_no is not None:
        kept = call.store.get("settle-no", settle_no)
        key = kept["key"] if kept else ""
    else:
        number = fields.needed("out_request_no", longest=64, pattern=NUMBER)
        key = f"{fields.needed('trade_no', longest=64)}|{number}"
        if call.store.get("trade-no", key.partition("|")[0]) is None:
            raise Refusal("ACQ.MERCHANT_TRADE_NOT_MATCH", "商户与交易不匹配")
    made = call.store.get("settle", key)
    if made is None:
        raise fields.refusal("out_request_no", "分账请求不存在")
    rows = [row for line in made["lines"] for row in shares.rows(made, line)]
    return {"out_request_no": made["number"], "operation_dt": made["at"], "royalty_detail_list": rows}


def rate_query(call: Call) -> Reply:
    """The most that may go to others, in hundredths."""
    call.fields().needed("out_request_no", longest=32, pattern=NUMBER)
    return {"user_id": SELLER_ID, "max_ratio": _ratio(call.world)}


def unsettled_query(call: Call) -> Reply:
    """What is left to share of a trade."""
    trade = trade_of(call, call.fields(prefix=PREFIX))
    return {
        "unsettled_amount": yuan(shares.left(trade) if trade.get("is_frozen") and not trade.get("is_finished") else 0)
    }


def conclude_due(world: World) -> None:
    """Carry out the asynchronous settles whose moment has come."""
    for key, _ in world.store.all("settle-due"):
        made = world.store.get("settle", key)
        if made is not None and made["due"] <= world.now().timestamp():
            world.store.delete("settle-due", key)
            _conclude(world, key, made)


def _conclude(world: World, key: str, made: dict[str, Any]) -> None:
    trade_no = made["trade_no"]
    trade = world.store.get("trade", (world.store.get("trade-no", trade_no) or {})["out_trade_no"])
    assert trade is not None
    for line in made["lines"]:
        code = _trouble(world, line["account"])
        line |= {"state": "FAIL" if code else "SUCCESS", "execute_dt": world.now_text(), "error_code": code or ""}
        if code is None:
            account.freeze(world, -line["fen"])
            shares.move(world, -line["fen"], made, line, number=made["number"])
    failed = sum(line["fen"] for line in made["lines"] if line["state"] == "FAIL")
    trade |= {"shared": trade["shared"] - failed}
    if made["finish"]:
        account.freeze(world, -shares.left(trade))
    world.store.put("trade", trade["out_trade_no"], trade)
    world.store.put("settle", key, made)
    if made["mode"] == "async":
        rows = [row for line in made["lines"] for row in shares.rows(made, line)]
        named = {"out_request_no": made["number"], "trade_no": trade_no, "settle_no": made["settle_no"]}
        send_event(world, EVENT, {**named, "operation_dt": made["at"], "royalty_detail_list": rows})


def _parts(call: Call, fields: Fields, trade: Mapping[str, Any], *, most: int) -> list[dict[str, Any]]:
    parts = []
    for row in fields.rows("royalty_parameters", most=most):
        row.choice("royalty_type", "transfer", default="transfer")
        out = row.text("trans_out", longest=64)
        if out not in (None, SELLER_ID):
            raise Refusal("ACQ.MUST_ALLOC_FROM_ROOT_ACCOUNT", "仅支持从收款方分账")
        kind = row.choice("trans_in_type", *relations.TYPES)
        receiver = row.needed("trans_in", longest=128)
        if row.has("amount_percentage"):
            fen = trade["payer"] * row.whole("amount_percentage", least=1, most=100) // 100
        else:
            fen = row.money("amount", least=1, most=_LARGEST_FEN)
        if not relations.is_bound(call, receiver):
            raise Refusal("ACQ.ROYALTY_RECEIVER_INVALID", "分账接收方未绑定")
        parts.append({"account": receiver, "type": kind, "fen": fen, "desc": row.text("desc", longest=1000) or ""})
    return parts


def _check_trade(world: World, trade: Mapping[str, Any], parts: list[dict[str, Any]], *, mode: str) -> None:
    if trade["status"] not in {"TRADE_SUCCESS", "TRADE_FINISHED"} or not trade["paid_at"]:
        raise Refusal("ACQ.TRADE_STATUS_ERROR", "交易状态不支持分账")
    if not trade.get("is_frozen"):
        raise Refusal("ACQ.NOT_SUPPORT_ROYALTY", "交易未冻结待分账资金")
    if trade["refunded"]:
        raise Refusal("ACQ.ALLOC_REFUSE_AFTER_REFUND", "退款后不允许分账")
    if trade.get("is_finished") or world.now() > moment_of(trade["paid_at"]) + FROZEN_FOR:
        raise Refusal("ACQ.ALREADY_FINISH_ALLOC", "分账已完结")
    if len(trade.get("settles", [])) >= (_SYNC if mode == "sync" else _ASYNC)[1]:
        raise Refusal("ACQ.FREQUENCY_LIMITED", "分账次数超限")
    total = sum(part["fen"] for part in parts)
    if total > shares.left(trade) or (trade.get("shared", 0) + total) * 100 > trade["total"] * _ratio(world):
        raise Refusal("ACQ.ALLOC_AMOUNT_VALIDATE_ERROR", "分账金额超过限额")


def _trouble(world: World, receiver: str) -> str | None:
    trouble = (world.store.get("payee", receiver) or {}).get("trouble")
    if trouble is None:
        return None
    return "ROYALTY_ACCOUNT_NOT_EXIST" if trouble == "missing" else "USER_ACCOUNT_HAD_FREEZEN"


def _detail_id(world: World) -> str:
    return f"{world.day()}00211{world.number('royalty', digits=19)}"


def _ratio(world: World) -> int:
    return int((world.store.get("console", "settings") or {}).get("royalty_ratio", RATIO))


def _delay_s(world: World) -> float:
    return float((world.store.get("console", "settings") or {}).get("delay_s", _DELAY_S))


ROUTES: Final = (
    Route("alipay.trade.order.settle", settle),
    Route("alipay.trade.order.settle.query", query),
    Route("alipay.trade.order.onsettle.query", unsettled_query),
    Route("alipay.trade.royalty.rate.query", rate_query),
)
