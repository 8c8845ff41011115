"""How the files of an acquirer and of the online gateway read (sheet 11.3, 11.4).

Both are of a clearing day, from 23:00 to 23:00 in Beijing.
"""

from __future__ import annotations

from datetime import time
from typing import Final, Literal

from unicom_coupon_adapters.unionpay_pos.acp import bill
from unicom_coupon_adapters.unionpay_pos.messages import COUPON_CONDITION
from unicom_coupon_sdk.domain.bill import BillKind, RowKind
from unicom_coupon_sdk.platform.bill import BillLayout, BillSource, Delimited, FixedWidth, RowRule, Unit

REDEEMED: Final = frozenset({"22"})
GIVEN_BACK: Final = frozenset({"23", "25"})
"""Field 60.1: a redemption; a void, and a return."""

REVERSED: Final = "REVERSED"
"""What was undone before it was settled: no row of ours stands for it, and the file's totals leave it out."""

STANDING: Final = frozenset({"SUCCESS", "VOIDED", "RETURNED"})
"""What a void or a return took back stands all the same: taking back is a row of its own."""

_AT: Final = "%m%d%H%M%S"


def statement_of(role: Literal["terminal", "host"]) -> BillLayout:
    """The acquirer's file. At a host, ``unicom_txn`` is the number that we told the terminal: our own.

    At a terminal it is somebody else's, and ours (tag 03) is in no column: rows are found by the retrieval reference,
    which the ledger keeps as the platform's number.
    """

    def rule(kind: RowKind, types: frozenset[str], *, sign: int) -> RowRule:
        return RowRule(
            kind=kind,
            when={"cond": frozenset({COUPON_CONDITION}), "type": types, "status": STANDING},
            number="unicom_txn" if role == "host" else None,
            platform_no="rrn",
            amount="amount_fen",
            sign=sign,
            fee="fee_fen",
            net="net_fen",
            at=("local_date", "local_time"),
            at_format=_AT,
        )

    return BillLayout(
        name=f"ucp_{role}",
        encoding="utf-8",
        form=Delimited(),
        unit=Unit.FEN,
        rules=(rule(RowKind.REDEMPTION, REDEEMED, sign=1), rule(RowKind.REVERSAL, GIVEN_BACK, sign=-1)),
        source="sheet §11.4: UCP, this project's profile; other rows of the merchant's may stand between ours",
    )


def _fixed(name: str, layout: bill.Layout, *rules: RowRule) -> BillLayout:
    widths = tuple(width for _, width in layout.columns)
    return BillLayout(
        name=name,
        encoding="gbk",
        form=FixedWidth(widths),
        unit=Unit.SIGNED_FEN,
        rules=rules,
        source="sheet §11.3: columns of so many bytes, one space between two",
    )


def _cleared(kind: RowKind, types: frozenset[str], *, sign: int) -> RowRule:
    return RowRule(
        kind=kind,
        when={"txnType": types},
        number="orderId",
        platform_no="queryId",
        original_no=None if kind is RowKind.PAYMENT else "origQryId",
        amount="txnAmt",
        sign=sign,
        fee="merFee",
        fee_sign=-1,
        net="settleAmt",
        at=("txnTime",),
        at_format=_AT,
    )


ZM: Final = _fixed(
    "acp_zm",
    bill.ZM,
    _cleared(RowKind.PAYMENT, frozenset({"01"}), sign=1),
    _cleared(RowKind.REFUND, frozenset({"04", "31"}), sign=-1),
)
"""Consumptions, and what was refunded (04) or undone (31). The file cuts an order's number at 32 characters."""

ZME: Final = _fixed("acp_zme", bill.ZME, RowRule(kind=RowKind.OTHER, amount="txnAmt"))
"""Errors and adjustments, to be looked at by a person: what their columns mean is not confirmed."""

_READY: Final = time(10, 0)


def statement_source(role: Literal["terminal", "host"]) -> BillSource:
    """The acquirer's file, delivered some time on the next day."""
    return BillSource(
        kind=BillKind.COUPON,
        layout=statement_of(role),
        ready_at=_READY,
        lists=frozenset({RowKind.REDEMPTION, RowKind.REVERSAL}),
        source="sheet §11.4; the hour is the acquirer's",
    )


GATEWAY_SOURCES: Final = tuple(
    BillSource(kind=kind, layout=layout, ready_at=_READY, source="sheet §11.3: about 10:00 next day, unconfirmed")
    for kind, layout in ((BillKind.TRADE, ZM), (BillKind.FUNDS, ZME))
)
"""The files of the online gateway, in one archive."""
