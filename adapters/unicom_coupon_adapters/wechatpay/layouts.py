"""How the rows of WeChat Pay's bills read, as data (sheet 4).

All three are UTF-8, in yuan, with a back-tick before each cell. A cell ends at a comma *with* the next back-tick, so a
comma in a product's name ends nothing. The columns of the profit-sharing bill are unconfirmed: those here are a choice,
and every one is found by its name.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time

from unicom_coupon_sdk.domain.bill import BillKind, RowKind, RowState
from unicom_coupon_sdk.platform.bill import BillLayout, BillSource, Delimited, RowRule, Unit

SEPARATOR = ",`"
AROUND = " \t`"
PAY_OUT_TYPES = frozenset({"商家转账", "商家转账到零钱"})
"""What a pay-out may be called in the fund-flow bill; the name of the newer product there is unconfirmed."""

PAID_STATES = frozenset({"SUCCESS", "REVOKED"})

_FORM = Delimited(separator=SEPARATOR, strip=AROUND)
_REFUND_STATES = {
    "SUCCESS": RowState.DONE,
    "PROCESSING": RowState.OPEN,
    "CHANGE": RowState.FAILED,
    "ABNORMAL": RowState.FAILED,
    "FAIL": RowState.FAILED,
    "CLOSED": RowState.FAILED,
}
_SHARE_STATES = {
    **dict.fromkeys(("SUCCESS", "成功"), RowState.DONE),
    **dict.fromkeys(("PENDING", "PROCESSING", "处理中"), RowState.OPEN),
    **dict.fromkeys(("CLOSED", "FAILED", "已关闭", "失败"), RowState.FAILED),
}

TRADE = BillLayout(
    name="trade",
    encoding="utf-8",
    form=_FORM,
    unit=Unit.YUAN,
    source="sheet §4: trade bill ALL, 27 columns",
    rules=(
        RowRule(
            kind=RowKind.PAYMENT,
            when={"交易状态": PAID_STATES},
            number="商户订单号",
            platform_no="微信订单号",
            amount="订单金额",
            fee="手续费",
            state="交易状态",
            states={"SUCCESS": RowState.DONE, "REVOKED": RowState.UNDONE},
            at=("交易时间",),
        ),
        RowRule(
            kind=RowKind.REFUND,
            when={"交易状态": frozenset({"REFUND"})},
            number="商户退款单号",
            platform_no="微信退款单号",
            original_no="微信订单号",
            amount="退款金额",
            sign=-1,
            fee="手续费",
            state="退款状态",
            states=_REFUND_STATES,
            at=("交易时间",),
        ),
    ),
)


FUNDS = BillLayout(
    name="funds",
    encoding="utf-8",
    form=_FORM,
    unit=Unit.YUAN,
    source="sheet §4: fund-flow bill BASIC, 11 columns; what pay-outs are called in it is unconfirmed",
    rules=(
        RowRule(
            kind=RowKind.PAY_OUT,
            when={"业务类型": PAY_OUT_TYPES, "收支类型": frozenset({"支出"})},
            number="业务凭证号",
            platform_no="微信支付业务单号",
            amount="收支金额(元)",
            at=("记账时间",),
        ),
    ),
)
"""Pay-outs stand in no other bill. Payments and refunds enter the account when they are settled, so the trade bill
tells their day, and shares have a bill of their own: all of these are other business here."""

SHARE = BillLayout(
    name="share",
    encoding="utf-8",
    form=_FORM,
    unit=Unit.YUAN,
    source="sheet §4: yuan and back-ticks are documented; the columns are unconfirmed",
    rules=(
        RowRule(
            kind=RowKind.SHARE,
            when={"业务类型": frozenset({"分账"})},
            number="商户分账/回退单号",
            platform_no="分账明细单号",
            amount="分账金额",
            state="处理状态",
            states=_SHARE_STATES,
            at=("分账时间",),
        ),
        RowRule(
            kind=RowKind.SHARE_RETURN,
            when={"业务类型": frozenset({"分账回退"})},
            number="商户分账/回退单号",
            platform_no="微信分账/回退单号",
            original_no="分账明细单号",
            amount="分账金额",
            sign=-1,
            state="处理状态",
            states=_SHARE_STATES,
            at=("分账时间",),
        ),
    ),
)

SOURCES = (
    BillSource(kind=BillKind.TRADE, layout=TRADE, ready_at=time(10), source="sheet §4: fetch after 10:00; 3 months"),
    BillSource(
        kind=BillKind.FUNDS,
        layout=FUNDS,
        ready_at=time(10),
        lists=frozenset({RowKind.PAY_OUT}),
        source="sheet §4: fetch after 10:00; 3 months",
    ),
    BillSource(
        kind=BillKind.SHARE,
        layout=SHARE,
        ready_at=time(10),
        lists=frozenset({RowKind.SHARE, RowKind.SHARE_RETURN}),
        source="sheet §4: fetch after 10:00; 3 months",
    ),
)
"""No bill lists 商家券 or 商品券: those are reconciled by their orders, and by query (sheet 0).

A pay-out or a share that the ledger does not know is money that left without it, so the bills of both count as ours
alone; a merchant whose other systems pay out as well sees their rows there.
"""


def columns_needed(layout: BillLayout) -> Iterator[str]:
    """The columns that the rules of ``layout`` read."""
    for rule in layout.rules:
        named = (rule.amount, rule.number, rule.platform_no, rule.original_no, rule.fee, rule.state)
        yield from (name for name in (*rule.when, *named, *rule.at) if name is not None)
