"""Money given back: refunds, their query, and the cancelling of a payment whose outcome is open (sheet §2.11).

The buyer's own money goes back first, the merchant's voucher part last. ``refund_fee`` is cumulative. A repeat of a
number answers ``fund_change`` N; a number with another sum, or other receivers, is ``DISCORDANT_REPEAT_REQUEST``.

Of a trade that was shared, one paid at a till takes each receiver's part back by ratio and by itself, and refuses
``refund_royalty_parameters`` (that it refuses is unconfirmed); any other takes back what they name (sheet §3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation import account, shares
from unicom_coupon_adapters.alipay.emulation.fields import Fields
from unicom_coupon_adapters.alipay.emulation.moments import yuan
from unicom_coupon_adapters.alipay.emulation.platform_keys import SELLER_ID
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_adapters.alipay.emulation.trades import LARGEST_FEN, PREFIX, tell, trade_of
from unicom_coupon_adapters.alipay.emulation.world import Call, Reply, Route, World
from unicom_coupon_sdk.domain.bill import RowKind


def refund(call: Call) -> Reply:
    """Give a sum back."""
    fields = call.fields(prefix=PREFIX)
    trade = trade_of(call, fields)
    amount = fields.money("refund_amount", least=1, most=LARGEST_FEN)
    number = fields.text("out_request_no", longest=64)
    if number is None and amount != trade["total"]:
        raise fields.refusal("out_request_no", "部分退款时不能为空")
    number = number or trade["out_trade_no"]
    key = f"{trade['out_trade_no']}|{number}"
    made = call.store.get("refund", key)
    parts = _parts(fields, trade, amount=amount)
    if made is not None and (made["amount"], made["parts"]) != (amount, parts):
        raise Refusal("ACQ.DISCORDANT_REPEAT_REQUEST", "请求信息不一致")
    if made is not None:
        return _told(trade, made, changed=False)
    if not trade["paid_at"] or trade["status"] != "TRADE_SUCCESS":
        closed = trade["paid_at"] and trade["refunded"] == trade["total"]
        raise Refusal("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL" if closed else "ACQ.TRADE_STATUS_ERROR")
    if trade["refunded"] + amount > trade["total"]:
        raise Refusal("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "退款金额超限")
    _check_parts(call.world, trade, parts)
    trade, made = _give_back(call.world, trade, number=number, amount=amount, parts=parts)
    return _told(trade, made, changed=True)


def query(call: Call) -> Reply:
    """Whether a refund was made; without one the answer names nothing."""
    fields = call.fields(prefix=PREFIX)
    trade = trade_of(call, fields)
    number = fields.needed("out_request_no", longest=64)
    made = call.store.get("refund", f"{trade['out_trade_no']}|{number}")
    if made is None:
        return {}
    return {
        "trade_no": trade["trade_no"],
        "out_trade_no": trade["out_trade_no"],
        "out_request_no": number,
        "total_amount": yuan(trade["total"]),
        "refund_amount": yuan(made["amount"]),
        "refund_status": "REFUND_SUCCESS",
        "gmt_refund_pay": made["at"],
    }


def cancel(call: Call) -> Reply:
    """Undo a payment: closed if it is not paid, refunded whole if it is."""
    fields = call.fields(prefix=PREFIX)
    try:
        trade = trade_of(call, fields)
    except Refusal as told:
        if not told.sub_code.endswith("TRADE_NOT_EXIST"):
            raise
        return {"out_trade_no": fields.text("out_trade_no") or "", "retry_flag": "N"}
    action = None
    if not trade["paid_at"]:
        action = "close"
        call.store.put("trade", trade["out_trade_no"], trade | {"status": "TRADE_CLOSED"})
    elif trade["refunded"] < trade["total"]:
        action = "refund"
        rest = trade["total"] - trade["refunded"]
        _give_back(call.world, trade, number=f"{trade['out_trade_no']}CANCEL", amount=rest)
    told_: dict[str, Any] = {
        "trade_no": trade["trade_no"],
        "out_trade_no": trade["out_trade_no"],
        "retry_flag": "N",
    }
    return told_ | ({"action": action} if action else {})


def _give_back(
    world: World, trade: dict[str, Any], *, number: str, amount: int, parts: Sequence[Sequence[Any]] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    taken = [(str(receiver), int(fen)) for receiver, fen in parts]
    if trade.get("is_at_till"):
        taken = [(one, fen * amount // trade["total"]) for one, fen in shares.received(world, trade).items()]
    for receiver, fen in taken:
        if fen:
            shares.give_back(world, trade, receiver, fen, number=number)
    refunded = trade["refunded"] + amount
    cash = min(amount, max(0, trade["payer"] - trade["refunded"]))
    status = "TRADE_CLOSED" if refunded == trade["total"] else trade["status"]
    after = trade | {"refunded": refunded, "status": status}
    made = {
        "number": number,
        "amount": amount,
        "cash": cash,
        "sum": refunded,
        "at": world.now_text(),
        "out_trade_no": trade["out_trade_no"],
        "parts": list(parts),
        "fee": trade["fee"] * amount // trade["total"],
    }
    _move(world, trade, made)
    world.store.put("trade", trade["out_trade_no"], after)
    world.store.put("refund", f"{trade['out_trade_no']}|{number}", made)
    world.store.put(f"book|{world.day()}", f"{trade['out_trade_no']}|{number}", {"kind": "refund"})
    tell(
        world,
        after,
        gmt_refund=f"{made['at']}.000",
        refund_fee=yuan(refunded),
        out_biz_no=number,
    )
    return after, made


def _move(world: World, trade: dict[str, Any], made: dict[str, Any]) -> None:
    """The sum leaves the account, and Alipay gives its own part back."""
    named = {"number": made["number"], "platform_no": trade["trade_no"], "subject": trade["subject"]}
    account.move(world, -made["cash"], business="交易退款", other=f"***({trade['user_id'][-4:]})", **named)
    if made["fee"]:
        account.move(world, made["fee"], business="退费", kind=RowKind.FEE, **named)
    if trade.get("is_frozen") and not trade.get("is_finished"):
        account.freeze(world, -min(made["cash"], max(0, shares.left(trade))))


def _parts(fields: Fields, trade: dict[str, Any], *, amount: int) -> list[list[Any]]:
    """Who is to give how much back, as the refund names it."""
    if not fields.has("refund_royalty_parameters"):
        return []
    if trade.get("is_at_till"):
        raise fields.refusal("refund_royalty_parameters", "当面付交易按比率退分账，不支持指定")
    parts: list[list[Any]] = []
    asked: dict[str, int] = {}
    for row in fields.rows("refund_royalty_parameters", most=50):
        row.choice("royalty_type", "transfer", default="transfer")
        if row.needed("trans_in", longest=64) != SELLER_ID:
            raise row.refusal("trans_in", "应为交易收款方")
        receiver, fen = row.needed("trans_out", longest=128), row.money("amount", least=1, most=LARGEST_FEN)
        asked[receiver] = asked.get(receiver, 0) + fen
        parts.append([receiver, fen])
    if sum(asked.values()) > amount:
        raise Refusal("ACQ.ALLOC_AMOUNT_VALIDATE_ERROR", "退分账金额超过退款金额")
    return parts


def _check_parts(world: World, trade: dict[str, Any], parts: list[list[Any]]) -> None:
    has = shares.received(world, trade)
    for receiver in {receiver for receiver, _ in parts}:
        if sum(fen for one, fen in parts if one == receiver) > has.get(receiver, 0):
            raise Refusal("ACQ.ALLOC_AMOUNT_VALIDATE_ERROR", "退分账金额超过已分账金额")


def _told(trade: dict[str, Any], made: dict[str, Any], *, changed: bool) -> Reply:
    return {
        "trade_no": trade["trade_no"],
        "out_trade_no": trade["out_trade_no"],
        "buyer_logon_id": f"{trade['user_id'][-3:]}******{trade['user_id'][-2:]}",
        "fund_change": "Y" if changed else "N",
        "refund_fee": yuan(trade["refunded"]),
        "refund_detail_item_list": [{"fund_channel": "ALIPAYACCOUNT", "amount": yuan(made["cash"])}],
        "send_back_fee": yuan(made["cash"]),
        "gmt_refund_pay": made["at"],
        "buyer_user_id": trade["user_id"],
        "buyer_open_id": trade["open_id"],
    }


ROUTES: Final = (
    Route("alipay.trade.refund", refund),
    Route("alipay.trade.fastpay.refund.query", query),
    Route("alipay.trade.cancel", cancel),
)
