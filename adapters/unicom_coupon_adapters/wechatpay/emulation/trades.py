"""Orders: made by the control API as a user would pay them, read and closed by the merchant (sheet §3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.fields import Members, Text
from unicom_coupon_adapters.wechatpay.emulation.platform_keys import APPID
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal, not_yours
from unicom_coupon_adapters.wechatpay.emulation.world import BEIJING, Call, Reply, Route, World

_BASE: Final = "/v3/pay/transactions"
_FEE_PER_MYRIAD: Final = 60
_CLOSE: Final = Members({"mchid": Text(32, required=True)})
_STATE_TEXTS: Final = {"SUCCESS": "支付成功", "REFUND": "转入退款", "NOTPAY": "订单未支付", "CLOSED": "订单已关闭"}


def add_trade(
    world: World,
    *,
    mchid: str,
    openid: str,
    total: int,
    out_trade_no: str | None = None,
    paid: bool = True,
    profit_sharing: bool = False,
    promotions: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """A new order of ``total`` fen; the user pays what promotions of kind COUPON leave. Raises ``ValueError``."""
    number = out_trade_no or f"SB{world.now().astimezone(BEIJING):%Y%m%d}{world.store.next_number('trade'):010d}"
    if world.store.get("trade", number) is not None:
        raise ValueError("out_trade_no is taken")
    trade: dict[str, Any] = {
        "appid": APPID,
        "mchid": mchid,
        "out_trade_no": number,
        "trade_type": "JSAPI",
        "trade_state": "SUCCESS" if paid else "NOTPAY",
        "bank_type": "OTHERS",
        "attach": "",
        "openid": openid,
        "total": total,
        "payer_total": max(0, total - sum(one["amount"] for one in promotions or [])),
        "promotions": promotions or [],
        "profit_sharing": profit_sharing,
        "refunded": 0,
        "refunds": 0,
        "transaction_id": None,
    }
    if paid:
        day = f"{world.now().astimezone(BEIJING):%Y%m%d}"
        trade["transaction_id"] = f"42000{world.digits(5)}{day}{world.store.next_number('transaction'):010d}"
        trade["success_time"] = world.now_text()
        world.store.put("transaction", trade["transaction_id"], {"out_trade_no": number})
    world.store.put("trade", number, trade)
    return trade


def tie(world: World, number: str, *, coupon: str) -> None:
    """Remember under which key the coupon is kept that the order was placed with."""
    trade = world.store.get("trade", number) or {}
    world.store.put("trade", number, trade | {"coupon": coupon})


def fee_fen(fen: int) -> int:
    """What the platform keeps of an order of ``fen``: 0.60 %, half up to the fen; negative for what it gives back."""
    return (abs(fen) * _FEE_PER_MYRIAD + 5000) // 10000 * (1 if fen >= 0 else -1)


def by_number(call: Call) -> Reply:
    """Query by the merchant's order number."""
    return shown(_checked(call, call.arguments["out_trade_no"]))


def by_transaction(call: Call) -> Reply:
    """Query by the platform's order number."""
    kept = call.store.get("transaction", call.arguments["transaction_id"]) or {}
    return shown(_checked(call, kept.get("out_trade_no", "")))


def close(call: Call) -> Reply:
    """Close an unpaid order: 204; closing it again is no error."""
    body = call.body(_CLOSE)
    trade = _owned(call, call.arguments["out_trade_no"], mchid=body["mchid"])
    if trade["trade_state"] not in {"NOTPAY", "CLOSED"}:
        raise Refusal("ORDER_PAID", "订单已支付，不能关单", "The order is paid and cannot be closed.")
    call.store.put("trade", trade["out_trade_no"], trade | {"trade_state": "CLOSED"})
    return None


def order_unknown() -> Refusal:
    """404 ``ORDER_NOT_EXIST`` with its tail."""
    return Refusal("ORDER_NOT_EXIST", "订单不存在", "The order does not exist.")


def shown(trade: Mapping[str, Any]) -> dict[str, Any]:
    """The order as a query answers it; what an unpaid one has not is left out."""
    told: dict[str, Any] = {name: trade[name] for name in ("appid", "mchid", "out_trade_no")}
    told |= {"trade_state": trade["trade_state"], "trade_state_desc": _STATE_TEXTS[trade["trade_state"]]}
    told["amount"] = {"total": trade["total"], "currency": "CNY"}
    if trade["transaction_id"] is None:
        return told
    told |= {name: trade[name] for name in ("transaction_id", "trade_type", "bank_type", "attach", "success_time")}
    told["payer"] = {"openid": trade["openid"]}
    told["amount"] |= {"payer_total": trade["payer_total"], "payer_currency": "CNY"}
    if trade["promotions"]:
        told["promotion_detail"] = trade["promotions"]
    return told


def _checked(call: Call, number: str) -> dict[str, Any]:
    return _owned(call, number, mchid=call.query_value("mchid", Text(32, required=True)) or "")


def _owned(call: Call, number: str, *, mchid: str) -> dict[str, Any]:
    if mchid != call.caller.mchid:
        raise not_yours("商户号与调用商户号不一致", "mchid is not the caller.")
    trade = call.store.get("trade", number)
    if trade is None or trade["mchid"] != mchid:
        raise order_unknown()
    return trade


ROUTES: Final = (
    Route("GET", _BASE + "/out-trade-no/{out_trade_no}", by_number),
    Route("GET", _BASE + "/id/{transaction_id}", by_transaction),
    Route("POST", _BASE + "/out-trade-no/{out_trade_no}/close", close),
)
