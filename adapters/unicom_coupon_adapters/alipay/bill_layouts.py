"""Alipay's bills as data: which there are, when they are ready, and how their rows read (sheet §4, §4.1, §4.2).

Columns are found by the header's own text, full-width brackets included. Texts of 业务类型 in account bills vary from
one product to the next, so each rule takes every spelling that is known; a row of another spelling is ``OTHER``.

**Unconfirmed:** no sample of ``merchant_act`` has been seen. The columns here are our choice, and what our emulator
writes; our number stands in 商户业务单号, since without it nothing could be matched. A real file that lacks one of them
is refused by its name, and nothing is guessed.
"""

from __future__ import annotations

from datetime import time

from unicom_coupon_sdk.domain.bill import BillKind, RowKind, RowState
from unicom_coupon_sdk.platform.bill import BillLayout, BillSource, Delimited, RowRule, Unit

_CELLS = Delimited(strip=" \t")
_UNSIGNED = Delimited(strip=" \t+-")
"""Cells without their signs: an account's bill has a column for what comes in and one, negative, for what goes out, and
each rule says what its own column means.
"""

_ENCODING = "gb18030"
READY_AT = time(9)
"""When, in the morning of the next day, a bill is usually there."""

_SIX_YEARS = 6 * 365

INCOME, EXPENSE = "收入金额（+元）", "支出金额（-元）"
TYPE = "业务类型"
TRANSFERRED = frozenset({"转账", "单笔转账", "转账到支付宝账户", "转账-转账到支付宝账户"})
SHARED = frozenset({"分账", "分润", "交易分账"})
SHARED_BACK = frozenset({"分账退回", "分润退回", "退分账", "交易退分账"})
CHARGED = frozenset({"服务费", "收费"})
CHARGED_BACK = frozenset({"退费", "服务费退回"})
_NONE = frozenset({"", "0", "0.00"})

TRADE = BillLayout(
    name="trade",
    encoding=_ENCODING,
    form=_CELLS,
    unit=Unit.YUAN,
    rules=(
        RowRule(
            kind=RowKind.PAYMENT,
            when={TYPE: frozenset({"交易"})},
            number="商户订单号",
            platform_no="支付宝交易号",
            amount="订单金额（元）",
            fee="服务费（元）",
            fee_sign=-1,
            at=("完成时间",),
        ),
        RowRule(
            kind=RowKind.REFUND,
            when={TYPE: frozenset({"退款"})},
            number="退款批次号/请求号",
            original_no="支付宝交易号",
            amount="订单金额（元）",
            fee="服务费（元）",
            fee_sign=-1,
            at=("完成时间",),
        ),
    ),
    source="sheet §4.1: 业务明细, 25 columns; a refund's sums are negative, and so is a fee that is charged",
)

FUNDS = BillLayout(
    name="signcustomer",
    encoding=_ENCODING,
    form=_UNSIGNED,
    unit=Unit.YUAN,
    rules=tuple(
        RowRule(
            kind=kind,
            when={TYPE: types, other: _NONE},
            number="商户订单号",
            platform_no="业务流水号",
            amount=amount,
            sign=sign,
            at=("发生时间",),
        )
        for kind, types, sign, amount, other in (
            (RowKind.PAY_OUT, TRANSFERRED, 1, EXPENSE, INCOME),
            (RowKind.SHARE, SHARED, 1, EXPENSE, INCOME),
            (RowKind.SHARE_RETURN, SHARED_BACK, -1, INCOME, EXPENSE),
            (RowKind.FEE, CHARGED, 1, EXPENSE, INCOME),
            (RowKind.FEE, CHARGED_BACK, -1, INCOME, EXPENSE),
        )
    ),
    source="sheet §4.1, §4.2: 账务明细; texts of 业务类型 vary",
)

COUPON = BillLayout(
    name="merchant_act",
    encoding=_ENCODING,
    form=_CELLS,
    unit=Unit.YUAN,
    rules=tuple(
        RowRule(
            kind=kind,
            when={TYPE: frozenset({word})},
            number="商户业务单号",
            platform_no="业务流水号",
            amount="优惠金额（元）",
            state="业务状态",
            states={"成功": RowState.DONE, "处理中": RowState.OPEN, "失败": RowState.FAILED},
            at=("发生时间",),
        )
        for kind, word in ((RowKind.REDEMPTION, "核销"), (RowKind.REVERSAL, "退回"))
    ),
    source="sheet §4: issue and redemption records; columns unconfirmed and chosen here",
)


def _source(kind: BillKind, layout: BillLayout, *, lists: frozenset[RowKind] = frozenset()) -> BillSource:
    return BillSource(
        kind=kind, layout=layout, ready_at=READY_AT, lists=lists, keeps_days=_SIX_YEARS, source="sheet §4"
    )


SOURCES = (
    _source(BillKind.COUPON, COUPON, lists=frozenset({RowKind.REDEMPTION, RowKind.REVERSAL})),
    _source(BillKind.TRADE, TRADE),
    _source(BillKind.FUNDS, FUNDS, lists=frozenset({RowKind.PAY_OUT, RowKind.SHARE, RowKind.SHARE_RETURN})),
)
"""Every bill. A pay-out or a share that the ledger does not know is money that left without it, so these count as ours
alone; a merchant whose other systems transfer or share from the same account sees their rows there.
"""
