"""Marketing subsidies of 商家券: a merchant pays another what a coupon cost it, and takes it back (sheet §2.1, B15).

Accounts of the sandbox are never empty. A rule that the platform finds broken only while paying is not a refusal but a
receipt that failed, with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.fields import Integer, Members, Rule, Text
from unicom_coupon_adapters.wechatpay.emulation.holdings import find
from unicom_coupon_adapters.wechatpay.emulation.refusals import not_now, not_there
from unicom_coupon_adapters.wechatpay.emulation.repeats import once
from unicom_coupon_adapters.wechatpay.emulation.stocks import owned_stock
from unicom_coupon_adapters.wechatpay.emulation.world import BEIJING, Call, Reply, Route, World

_BASE: Final = "/v3/marketing/busifavor/subsidy"
_COMMON: Final[Mapping[str, Rule]] = {
    "stock_id": Text(20, required=True),
    "coupon_code": Text(128, required=True),
    "transaction_id": Text(32, shortest=28, required=True),
    "payer_merchant": Text(32, required=True),
    "payee_merchant": Text(32, required=True),
    "amount": Integer(1, required=True),
    "description": Text(1024, required=True),
}
_PAY: Final = Members({**_COMMON, "out_subsidy_no": Text(128, required=True)})
_RETURN: Final = Members(
    {
        **_COMMON,
        "out_subsidy_no": Text(128),
        "subsidy_receipt_id": Text(32),
        "refund_id": Text(32, required=True),
        "out_subsidy_return_no": Text(128, required=True),
    }
)


def pay(call: Call) -> Reply:
    """Pay the subsidy of a used coupon's order. Idempotent by ``out_subsidy_no``."""
    body = call.body(_PAY)
    return once(call, "busifavor.subsidy.pay", body["out_subsidy_no"], body, act=lambda: _paid(call, body))


def read(call: Call) -> Reply:
    """One payment receipt."""
    return _kept(call, "subsidy", call.arguments["receipt_id"])


def listed(call: Call) -> Reply:
    """The payment receipts of a coupon."""
    stock_id = call.query_value("stock_id", Text(20, required=True)) or ""
    code = call.query_value("coupon_code", Text(128, required=True)) or ""
    number = call.query_value("out_subsidy_no", Text(128))
    owned_stock(call, stock_id)
    found = _of_coupon(call.world, "subsidy", stock_id, code)
    return {"pay_receipt_list": [one for one in found if number in {None, one["out_subsidy_no"]}]}


def give_back(call: Call) -> Reply:
    """Take a subsidy back after the order was refunded. Idempotent by ``out_subsidy_return_no``."""
    body = call.body(_RETURN)
    number = body["out_subsidy_return_no"]
    return once(call, "busifavor.subsidy.return", number, body, act=lambda: _returned(call, body))


def read_return(call: Call) -> Reply:
    """One return receipt."""
    return _kept(call, "subsidy-return", call.arguments["receipt_id"])


def _paid(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    world = call.world
    stock = owned_stock(call, body["stock_id"])
    if not stock.get("subsidy"):
        raise not_now("批次未开通营销补差", "The stock does not allow subsidies.")
    if stock["stock_type"] not in {"NORMAL", "DISCOUNT"}:
        raise not_now("批次类型不支持营销补差", "The stock's type does not allow subsidies.")
    coupon = find(world, body["stock_id"], body["coupon_code"])
    if coupon is None or coupon.state == "DELETED":
        raise not_there("券不存在", "There is no such coupon.")
    if coupon.state != "USED":
        raise not_now("券未被核销", "The coupon is not used.")
    trade = _trade(world, body["transaction_id"])
    reason = _reason(world, stock, trade, body)
    now = world.now_text()
    receipt = {
        **body,
        "subsidy_receipt_id": _receipt_id(world, "112"),
        "status": "PAY_RECEIPT_FAIL" if reason else "PAY_RECEIPT_SUCCESS",
        "create_time": now,
        **({"fail_reason": reason} if reason else {"success_time": now}),
    }
    _keep(world, "subsidy", receipt["subsidy_receipt_id"], receipt)
    return receipt


def _reason(world: World, stock: Mapping[str, Any], trade: Mapping[str, Any], body: Mapping[str, Any]) -> str | None:
    before = [
        one
        for one in _of_coupon(world, "subsidy", body["stock_id"], body["coupon_code"])
        if one["status"] != "PAY_RECEIPT_FAIL"
    ]
    limit = stock["coupon_use_rule"].get("fixed_normal_coupon", {}).get("discount_amount", trade["total"])
    if not trade["profit_sharing"]:
        return "PAY_RECEIPT_NOT_INCOMESPLIT_ORDER"
    if before:
        return "PAY_RECEIPT_EXCEED_SUBSIDY_COUNT_QUOTA"
    return "PAY_RECEIPT_EXCEED_SUBSIDY_AMOUNT_QUOTA" if body["amount"] > limit else None


def _returned(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    world = call.world
    owned_stock(call, body["stock_id"])
    paid = [
        one
        for one in _of_coupon(world, "subsidy", body["stock_id"], body["coupon_code"])
        if one["transaction_id"] == body["transaction_id"] and one["status"] != "PAY_RECEIPT_FAIL"
    ]
    if not paid:
        raise not_there("补差付款单不存在", "There is no such subsidy.")
    trade = _trade(world, body["transaction_id"])
    if trade["refunded"] == 0 or world.store.get("refund-id", body["refund_id"]) is None:
        raise not_now("订单未退款，不可回退补差", "The order is not refunded.")
    returned = sum(
        one["amount"]
        for one in _of_coupon(world, "subsidy-return", body["stock_id"], body["coupon_code"])
        if one["transaction_id"] == body["transaction_id"]
    )
    total = returned + body["amount"]
    if total > paid[0]["amount"]:
        raise not_now("累计回退金额大于补差金额", "More would be returned than was paid.")
    now = world.now_text()
    receipt = {
        **body,
        "subsidy_return_receipt_id": _receipt_id(world, "113"),
        "status": "RETURN_RECEIPT_SUCCESS",
        "return_create_time": now,
        "return_done_time": now,
    }
    _keep(world, "subsidy-return", receipt["subsidy_return_receipt_id"], receipt)
    whole = "PAY_RECEIPT_FULL_RETURN" if total == paid[0]["amount"] else "PAY_RECEIPT_PARTIAL_RETURN"
    world.store.put("subsidy", paid[0]["subsidy_receipt_id"], paid[0] | {"status": whole})
    return receipt


def _trade(world: World, transaction_id: str) -> dict[str, Any]:
    kept = world.store.get("transaction", transaction_id) or {}
    trade = world.store.get("trade", kept.get("out_trade_no", ""))
    if trade is None:
        raise not_there("订单不存在", "The order does not exist.")
    return trade


def _receipt_id(world: World, prefix: str) -> str:
    day = f"{world.now().astimezone(BEIJING):%Y%m%d}"
    return f"{prefix}0{day}{world.digits(6)}{world.store.next_number('subsidy'):010d}"


def _keep(world: World, kind: str, receipt_id: str, receipt: Mapping[str, Any]) -> None:
    world.store.put(kind, receipt_id, receipt)
    world.store.put(f"{kind}|{receipt['stock_id']}|{receipt['coupon_code']}", receipt_id, {})


def _of_coupon(world: World, kind: str, stock_id: str, code: str) -> list[dict[str, Any]]:
    found = [world.store.get(kind, key) for key, _ in world.store.all(f"{kind}|{stock_id}|{code}")]
    return [one for one in found if one is not None]


def _kept(call: Call, kind: str, receipt_id: str) -> dict[str, Any]:
    receipt = call.store.get(kind, receipt_id)
    if receipt is None:
        raise not_there("补差单不存在", "There is no such receipt.")
    owned_stock(call, receipt["stock_id"])
    return receipt


ROUTES: Final = (
    Route("POST", _BASE + "/pay-receipts", pay),
    Route("GET", _BASE + "/pay-receipts", listed),
    Route("GET", _BASE + "/pay-receipts/{receipt_id}", read),
    Route("POST", _BASE + "/return-receipts", give_back),
    Route("GET", _BASE + "/return-receipts/{receipt_id}", read_return),
)
