"""Refunds of orders: ask, read, and the news of it (sheet §3.3).

The first answer is PROCESSING. The money is back at once in this sandbox, so a query right after says SUCCESS and the
callback REFUND.SUCCESS is due at once; the retry plan is the documented one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.callbacks import notify
from unicom_coupon_adapters.wechatpay.emulation.fields import Anything, Choice, Integer, Many, Members, Text, Url
from unicom_coupon_adapters.wechatpay.emulation.refusals import bad_field, not_now, not_there
from unicom_coupon_adapters.wechatpay.emulation.repeats import once
from unicom_coupon_adapters.wechatpay.emulation.world import BEIJING, Call, Reply, Route, World, moment_of

_BASE: Final = "/v3/refund/domestic/refunds"
_WINDOW: Final = timedelta(days=365)
_MOST_REFUNDS: Final = 50
_AMOUNT: Final = Members(
    {
        "refund": Integer(1, required=True),
        "total": Integer(1, required=True),
        "currency": Choice(("CNY",), required=True),
        "from": Many(
            Members({"account": Choice(("AVAILABLE", "UNAVAILABLE"), required=True), "amount": Integer(1)}), 2
        ),
    },
    required=True,
)
_REFUND: Final = Members(
    {
        "transaction_id": Text(32),
        "out_trade_no": Text(32),
        "out_refund_no": Text(64, required=True, pattern=r"[0-9A-Za-z_\-|*@]+"),
        "reason": Text(80),
        "notify_url": Url(),
        "funds_account": Choice(("AVAILABLE", "UNSETTLED")),
        "amount": _AMOUNT,
        "goods_detail": Many(Anything(), 100),
    }
)


def refund(call: Call) -> Reply:
    """Give money back, whole or in part. Idempotent by ``out_refund_no``; a new number refunds again."""
    body = call.body(_REFUND)
    if ("transaction_id" in body) == ("out_trade_no" in body):
        issue = "transaction_id与out_trade_no必须且只能填一个"
        raise bad_field("/transaction_id", issue, "give exactly one order number")
    return once(call, "refund", body["out_refund_no"], body, act=lambda: _refunded(call, body))


def read(call: Call) -> Reply:
    """The refund as it stands."""
    kept = call.store.get("refund", call.arguments["out_refund_no"])
    if kept is None or kept["mchid"] != call.caller.mchid:
        raise not_there("退款单不存在", "There is no such refund.")
    return shown(kept)


def shown(kept: Mapping[str, Any]) -> dict[str, Any]:
    """The refund as the calls answer it."""
    return {name: value for name, value in kept.items() if name not in {"mchid", "day"}}


def _refunded(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    world = call.world
    trade = _paid_trade(call, body)
    amount = body["amount"]
    if amount["total"] != trade["total"]:
        raise not_now("订单金额与退款请求的订单金额不一致", "amount.total is not the order's total.")
    if trade["refunded"] + amount["refund"] > trade["total"]:
        raise not_now("累计退款金额大于订单金额", "More would be refunded than was paid.")
    if trade["refunds"] >= _MOST_REFUNDS:
        raise not_now("部分退款次数超过限制", "Too many partial refunds.")
    if world.now() - moment_of(trade["success_time"]) > _WINDOW:
        raise not_now("订单已超过可退款期限", "The order is too old to be refunded.")
    back = _payer_share(amount["refund"], trade)
    now = world.now_text()
    kept = {
        "mchid": call.caller.mchid,
        "day": world.today().isoformat(),
        "refund_id": _refund_id(world),
        "out_refund_no": body["out_refund_no"],
        "transaction_id": trade["transaction_id"],
        "out_trade_no": trade["out_trade_no"],
        "channel": "ORIGINAL",
        "user_received_account": "支付用户零钱",
        "create_time": now,
        "status": "PROCESSING",
        "funds_account": body.get("funds_account", "UNSETTLED"),
        "amount": {
            "total": trade["total"],
            "refund": amount["refund"],
            "payer_total": trade["payer_total"],
            "payer_refund": back,
            "settlement_refund": amount["refund"],
            "settlement_total": trade["total"],
            "discount_refund": amount["refund"] - back,
            "currency": "CNY",
            "refund_fee": 0,
            **({"from": amount["from"]} if "from" in amount else {}),
        },
        "promotion_detail": [
            {
                "promotion_id": one["coupon_id"],
                "scope": one["scope"],
                "type": one["type"],
                "amount": one["amount"],
                "refund_amount": amount["refund"] - back,
            }
            for one in trade["promotions"]
        ],
    }
    refunded = {
        "trade_state": "REFUND",
        "refunded": trade["refunded"] + amount["refund"],
        "refunds": trade["refunds"] + 1,
    }
    world.store.put("trade", trade["out_trade_no"], trade | refunded)
    done = {**kept, "status": "SUCCESS", "success_time": now}
    world.store.put("refund", body["out_refund_no"], done)
    world.store.put("refund-id", kept["refund_id"], {"out_refund_no": body["out_refund_no"]})
    _tell(world, done, url=body.get("notify_url"))
    return shown(kept)


def _paid_trade(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    number = body.get("out_trade_no")
    if number is None:
        number = (call.store.get("transaction", body["transaction_id"]) or {}).get("out_trade_no", "")
    trade = call.store.get("trade", number)
    if trade is None or trade["mchid"] != call.caller.mchid:
        raise not_there("订单不存在", "The order does not exist.")
    if trade["trade_state"] not in {"SUCCESS", "REFUND"}:
        raise not_now("订单未支付，不可退款", "The order is not paid.")
    return trade


def _refund_id(world: World) -> str:
    day = f"{world.now().astimezone(BEIJING):%Y%m%d}"
    return f"5030{world.digits(7)}{day}{world.store.next_number('refund'):010d}"


def _payer_share(refunded: int, trade: Mapping[str, Any]) -> int:
    """What the user gets where cash coupons paid a part: in proportion, rounded half up (sheet §3.3)."""
    total = trade["total"]
    return int((2 * refunded * trade["payer_total"] + total) // (2 * total))


def _tell(world: World, done: Mapping[str, Any], *, url: str | None) -> None:
    plaintext = {
        "mchid": done["mchid"],
        "out_trade_no": done["out_trade_no"],
        "transaction_id": done["transaction_id"],
        "out_refund_no": done["out_refund_no"],
        "refund_id": done["refund_id"],
        "refund_status": done["status"],
        "success_time": done["success_time"],
        "user_received_account": done["user_received_account"],
        "amount": {name: done["amount"][name] for name in ("total", "refund", "payer_total", "payer_refund")},
    }
    notify(world, "REFUND.SUCCESS", plaintext, original_type="refund", associated_data="refund", url=url)


ROUTES: Final = (
    Route("POST", _BASE, refund),
    Route("GET", _BASE + "/{out_refund_no}", read),
)
