"""How a bank's bill reads: the columns of this project's profile, and a real sheet's names for them (sheet §3.8).

No bank publishes its columns (sheet §1.11), so a setting maps ours to those of the file that a bank really gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from typing import Final

from unicom_coupon_sdk.domain.bill import BillKind, RowKind, RowState
from unicom_coupon_sdk.platform.bill import BillLayout, BillSource, Delimited, RowRule, Unit

DETAIL: Final = (
    *("kind", "orderId", "cmbOrderId", "origOrderId", "txnAmt", "feeAmt", "netAmt", "tradeState", "txnTime"),
    "settleDate",
)
"""The columns of the detail file that are read; the others stay in the raw row."""

_KINDS: Final = {"REDEEM": RowKind.REDEMPTION, "REVERSE": RowKind.REVERSAL, "REFUND": RowKind.REFUND}
COUNTED: Final = {
    RowKind.REDEMPTION: ("redeemCount", "redeemAmt"),
    RowKind.REVERSAL: ("reverseCount", "reverseAmt"),
    RowKind.REFUND: ("refundCount", "refundAmt"),
}
DAY: Final = "bizDate"
DIGEST: Final = "sm3OfDetail"
SUMMARY: Final = (DAY, *(name for pair in COUNTED.values() for name in pair), DIGEST)
"""The columns of the summary file that are read."""

_STATES: Final = {
    "S": RowState.DONE,
    "R": RowState.DONE,  # its reversal is a row of its own
    "P": RowState.OPEN,
    "F": RowState.FAILED,
}


def layout_of(names: Mapping[str, str]) -> BillLayout:
    """The layout of the detail file, whose columns ``names`` calls otherwise where they are otherwise called."""

    def of(name: str) -> str:
        return names.get(name, name)

    rules = tuple(
        RowRule(
            kind=kind,
            when={of("kind"): frozenset({word})},
            number=of("orderId"),
            platform_no=of("cmbOrderId"),
            original_no=None if kind is RowKind.REDEMPTION else of("origOrderId"),
            amount=of("txnAmt"),
            fee=of("feeAmt"),
            net=of("netAmt"),
            state=of("tradeState"),
            states=_STATES,
            at=(of("txnTime"),),
            at_format="%Y%m%d%H%M%S",
            settles_on=of("settleDate"),
        )
        for word, kind in _KINDS.items()
    )
    return BillLayout(
        name="bcg_detail",
        encoding="utf-8",
        form=Delimited(),
        unit=Unit.FEN,
        rules=rules,
        source="sheet §3.8: this project's profile; amounts of what is given back are negative",
    )


def source_of(names: Mapping[str, str]) -> BillSource:
    """The coupon bill of a bank. What it lists are coupons of ours alone."""
    return BillSource(
        kind=BillKind.COUPON,
        layout=layout_of(names),
        ready_at=time(10, 30),
        lists=frozenset(_KINDS.values()),
        source="sheet §1.11, §3.6: T+1 10:30 without fees and settlement dates, from 16:30 with them",
    )
