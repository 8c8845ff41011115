"""What a day's bills list, and how a line is written as a row (sheet §4).

A line is the ledger's business when the merchant's own record of it exists: a payment for which a coupon was used, a
transfer, a part of a share that was paid or returned. Only such a line may be spoiled. The names of transfers and
shares in the fund-flow bill, and all columns of the profit-sharing bill, are unconfirmed: those here are a choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.holdings import at_key
from unicom_coupon_adapters.wechatpay.emulation.share_returns import returned_on
from unicom_coupon_adapters.wechatpay.emulation.sharing import shared_on
from unicom_coupon_adapters.wechatpay.emulation.trades import fee_fen
from unicom_coupon_adapters.wechatpay.emulation.transfers import paid_on
from unicom_coupon_adapters.wechatpay.emulation.world import BEIJING, World, moment_of
from unicom_coupon_sdk.domain.bill import BillKind, RowKind, RowState
from unicom_coupon_sdk.domain.money import yuan_text
from unicom_coupon_sdk.sandbox.bills import ANY_LINE, BillDefect, BillLine

FEE_PERCENT: Final = "0.60%"
_TRADE_TEXT: Final = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,"
    "付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,"
    "退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
_FLOW_TEXT: Final = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),"
    "资金变更提交申请人,备注,业务凭证号"
)
_SHARE_TEXT: Final = (
    "分账时间,分账发起方,分账方,微信订单号,微信分账/回退单号,分账明细单号,商户分账/回退单号,订单金额,"
    "分账接收方,分账金额,业务类型,处理状态,分账描述,备注"
)
TRADE: Final = _TRADE_TEXT.split(",")
FLOW: Final = _FLOW_TEXT.split(",")
SHARE: Final = _SHARE_TEXT.split(",")
REFUND_COLUMNS: Final = frozenset(
    ("微信退款单号", "商户退款单号", "退款金额", "充值券退款金额", "退款类型", "退款状态", "申请退款金额")
)

# A trade bill lists every order of the merchant's, so an order that the ledger does not know is nothing strange in it.
_PAYMENT_DEFECTS: Final = ANY_LINE - {BillDefect.MISSING_HERE} | {BillDefect.STATE_DIFFERS}
_SHARE_DEFECTS: Final = ANY_LINE - {BillDefect.AMOUNT_DIFFERS} | {
    BillDefect.STATE_DIFFERS,
    BillDefect.SHARING_DIFFERS,
}


def invented(world: World, line: BillLine) -> BillLine:
    """A line like ``line`` under numbers that were never given out."""
    row = line.cells["row"] | {line.cells["platform_no"]: world.digits(28)}
    return replace(line, number=f"0{world.hexadecimal(25).upper()}", cells={**line.cells, "row": row})


def fee_text(fen: int) -> str:
    """A fee in yuan with five decimals."""
    return yuan_text(fen) + "000"


# --- the trade bill ---


def _trade_lines(world: World, day: date) -> Iterator[BillLine]:
    for trade in _trades_of(world, day):
        fee = fee_fen(trade["total"])
        settled = trade["total"] - sum(one["amount"] for one in trade["promotions"] if one["type"] == "DISCOUNT")
        row = {
            "应结订单金额": yuan_text(settled),
            "代金券金额": yuan_text(trade["total"] - trade["payer_total"]),
            "手续费": fee_text(fee),
        }
        yield BillLine(
            kind=RowKind.PAYMENT,
            number=trade["out_trade_no"],
            at=moment_of(trade["success_time"]),
            amount_fen=trade["total"],
            wrong_state=RowState.UNDONE,
            defects=_PAYMENT_DEFECTS if _is_for_a_coupon(world, trade) else frozenset(),
            cells={
                "row": _parties(trade) | row,
                "platform_no": "微信订单号",
                "settled_fen": settled,
                "fee_fen": fee,
            },
        )
    for one in _refunds_of(world, day):
        amount = one["amount"]["refund"]
        fee = fee_fen(-amount)
        row = {"微信退款单号": one["refund_id"], "退款类型": "ORIGINAL", "手续费": fee_text(fee)}
        yield BillLine(
            kind=RowKind.REFUND,
            number=one["out_refund_no"],
            at=moment_of(one["success_time"]),
            amount_fen=amount,
            cells={"row": _parties(one["trade"]) | row, "platform_no": "微信退款单号", "fee_fen": fee},
        )


def trade_row(line: BillLine) -> dict[str, str]:
    """A row of the trade bill; of a refund, the order's amounts are zero."""
    zero = ("应结订单金额", "代金券金额", "退款金额", "充值券退款金额", "订单金额", "申请退款金额")
    blank = dict.fromkeys(TRADE, "") | dict.fromkeys(zero, "0.00")
    blank |= {"微信退款单号": "0", "商户退款单号": "0", "特约商户号": "0", "费率": FEE_PERCENT, "货币种类": "CNY"}
    told = {**blank, "商品名称": "联通电子券,满减", **line.cells["row"], "交易时间": _clock(line)}
    amount = yuan_text(line.amount_fen)
    if line.kind is RowKind.REFUND:
        refund = {"商户退款单号": line.number, "退款金额": amount, "申请退款金额": amount}
        return told | refund | {"交易状态": "REFUND", "退款状态": "SUCCESS"}
    state = "SUCCESS" if line.state is RowState.DONE else "REVOKED"
    return told | {"商户订单号": line.number, "订单金额": amount, "交易状态": state}


def _parties(trade: Mapping[str, Any]) -> dict[str, str]:
    return {
        "公众账号ID": trade["appid"],
        "商户号": trade["mchid"],
        "微信订单号": trade["transaction_id"],
        "商户订单号": trade["out_trade_no"],
        "用户标识": trade["openid"],
        "交易类型": trade["trade_type"],
        "付款银行": trade["bank_type"],
    }


def _is_for_a_coupon(world: World, trade: Mapping[str, Any]) -> bool:
    coupon = at_key(world, trade.get("coupon", ""))
    return coupon is not None and coupon.state == "USED"


def _trades_of(world: World, day: date) -> list[dict[str, Any]]:
    kept = [trade for _, trade in world.store.all("trade") if trade["transaction_id"] is not None]
    return [trade for trade in kept if trade["success_time"].startswith(day.isoformat())]


def _refunds_of(world: World, day: date) -> list[dict[str, Any]]:
    found = [one for _, one in world.store.all("refund") if one["day"] == day.isoformat()]
    return [one | {"trade": world.store.get("trade", one["out_trade_no"]) or {}} for one in found]


# --- the fund-flow bill ---


def _flow_lines(world: World, day: date) -> Iterator[BillLine]:
    for trade in _trades_of(world, day):
        told = {"at": trade["success_time"], "number": trade["out_trade_no"], "platform_no": trade["transaction_id"]}
        yield _movement(RowKind.PAYMENT, "交易", trade["total"], is_inward=True, **told)
        if fee := fee_fen(trade["total"]):
            yield _movement(RowKind.FEE, "扣除交易手续费", fee, is_inward=False, **told)
    for one in _refunds_of(world, day):
        told = {"at": one["success_time"], "number": one["out_refund_no"], "platform_no": one["refund_id"]}
        yield _movement(RowKind.REFUND, "退款", one["amount"]["refund"], is_inward=False, **told)
    for transfer in paid_on(world, day):
        told = {
            "at": transfer["update_time"],
            "number": transfer["out_bill_no"],
            "platform_no": transfer["transfer_bill_no"],
        }
        line = _movement(RowKind.PAY_OUT, "商家转账", transfer["transfer_amount"], is_inward=False, **told)
        yield replace(line, defects=ANY_LINE)
    for shared, part in _parts_of(world, day):
        if part["result"] == "SUCCESS" and part["account"] != shared["mchid"]:
            told = {"at": part["finish_time"], "number": shared["out_order_no"], "platform_no": part["detail_id"]}
            yield _movement(RowKind.SHARE, "分账", part["amount"], is_inward=False, **told)
    for back in returned_on(world, day):
        told = {"at": back["finish_time"], "number": back["out_return_no"], "platform_no": back["return_id"]}
        yield _movement(RowKind.SHARE_RETURN, "分账回退", back["amount"], is_inward=True, **told)


def _movement(
    kind: RowKind, business: str, fen: int, *, is_inward: bool, at: str, number: str, platform_no: str
) -> BillLine:
    row = {"微信支付业务单号": platform_no, "业务名称": business, "业务类型": business}
    return BillLine(
        kind=kind,
        number=number,
        at=moment_of(at),
        amount_fen=fen,
        cells={"row": row, "platform_no": "微信支付业务单号", "is_inward": is_inward},
    )


def flow_rows(lines: Sequence[BillLine]) -> Iterator[dict[str, str]]:
    """Rows of the fund-flow bill, each with the balance after it; the account begins the day empty."""
    balance = 0
    for place, line in enumerate(lines, 1):
        is_inward, row = line.cells["is_inward"], line.cells["row"]
        balance += line.amount_fen if is_inward else -line.amount_fen
        yield {
            **row,
            "记账时间": _clock(line),
            "资金流水单号": f"{row['微信支付业务单号']}{place:04d}",
            "收支类型": "收入" if is_inward else "支出",
            "收支金额(元)": yuan_text(line.amount_fen),
            "账户结余(元)": yuan_text(balance),
            "资金变更提交申请人": "system",
            "备注": "",
            "业务凭证号": line.number,
        }


# --- the profit-sharing bill ---


def _share_lines(world: World, day: date) -> Iterator[BillLine]:
    for shared, part in _parts_of(world, day):
        is_rest = part["account"] == shared["mchid"]
        is_paid = part["result"] == "SUCCESS"
        row = {
            **_share_parties(shared, receiver=part["account"], description=part["description"]),
            "微信分账/回退单号": shared["order_id"],
            "分账明细单号": part["detail_id"],
            "业务类型": "解冻" if is_rest else "分账",
            "订单金额": yuan_text((world.store.get("trade", shared["out_trade_no"]) or {})["total"]),
        }
        yield BillLine(
            kind=RowKind.OTHER if is_rest else RowKind.SHARE,
            number=shared["out_order_no"],
            at=moment_of(part["finish_time"]),
            amount_fen=part["amount"],
            state=RowState.DONE if is_paid else RowState.FAILED,
            wrong_state=RowState.FAILED,
            defects=_SHARE_DEFECTS if is_paid and not is_rest else frozenset(),
            cells={"row": row, "platform_no": "分账明细单号"},
        )
    for back in returned_on(world, day):
        row = {
            **_share_parties(back, receiver=back["return_mchid"], description=back["description"]),
            "微信分账/回退单号": back["return_id"],
            "分账明细单号": back["detail_id"],
            "业务类型": "分账回退",
        }
        yield BillLine(
            kind=RowKind.SHARE_RETURN,
            number=back["out_return_no"],
            at=moment_of(back["finish_time"]),
            amount_fen=back["amount"],
            wrong_state=RowState.FAILED,
            defects=_SHARE_DEFECTS,
            cells={"row": row, "platform_no": "微信分账/回退单号"},
        )


def share_row(line: BillLine) -> dict[str, str]:
    """A row of the profit-sharing bill."""
    return {
        **dict.fromkeys(SHARE, ""),
        **line.cells["row"],
        "分账时间": _clock(line),
        "商户分账/回退单号": line.number,
        "分账金额": yuan_text(line.amount_fen),
        "处理状态": "SUCCESS" if line.state is RowState.DONE else "CLOSED",
    }


def _share_parties(kept: Mapping[str, Any], *, receiver: str, description: str) -> dict[str, str]:
    return {
        "分账发起方": kept["mchid"],
        "分账方": kept["mchid"],
        "微信订单号": kept["transaction_id"],
        "分账接收方": receiver,
        "分账描述": description,
    }


def _parts_of(world: World, day: date) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for shared in shared_on(world, day):
        yield from ((shared, part) for part in shared["receivers"])


def _clock(line: BillLine) -> str:
    return line.at.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


MAKERS: Final[Mapping[BillKind, Callable[[World, date], Iterable[BillLine]]]] = {
    BillKind.TRADE: _trade_lines,
    BillKind.FUNDS: _flow_lines,
    BillKind.SHARE: _share_lines,
}
"""The lines of each kind of bill."""
