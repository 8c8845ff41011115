"""Bills: what a platform says, a day later, has happened; and the answer to asking for one.

A platform has several kinds of bill, and each lists some kinds of event. That a bill is not ready yet, or that nothing
happened on a day, is an answer and not an error. Whatever a row says, it is kept as received beside what we read in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path


class BillKind(StrEnum):
    """What a bill is about."""

    COUPON = "coupon"  # coupons used and given back
    TRADE = "trade"  # orders paid and refunded
    FUNDS = "funds"  # movements of the merchant's account
    SHARE = "share"  # profit sharing, receiver by receiver


class RowKind(StrEnum):
    """What a row of a bill says has happened. ``OTHER`` is genuine and none of our business."""

    REDEMPTION = "redemption"
    REVERSAL = "reversal"
    PAYMENT = "payment"
    REFUND = "refund"
    PAY_OUT = "pay_out"
    SHARE = "share"
    SHARE_RETURN = "share_return"
    FEE = "fee"
    OTHER = "other"


class RowState(StrEnum):
    """How far it came, by the platform's word."""

    DONE = "done"
    UNDONE = "undone"  # done first, then taken back, in the same row
    OPEN = "open"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Total:
    """How many rows of a kind, and their sums in fen; ``None`` where the platform states none."""

    rows: int
    amount_fen: int | None = None
    fee_fen: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BillFile:
    """A bill on our disk, whose digest or signature was found right, ready to be read.

    ``original`` is the file as received. ``rows`` holds the data lines alone, byte for byte as received, and
    ``columns`` names their cells in order, as the file's own header does. ``declared`` is what the platform's summary
    lines say, by kind of row. ``sha256`` is that of ``original`` and names this version of the bill: a corrected bill
    is another. ``is_final`` is false for a bill that will be followed by one with fees and settlement dates.
    """

    platform: str
    kind: BillKind
    day: date
    layout: str
    original: Path
    rows: Path
    columns: tuple[str, ...]
    sha256: str
    declared: Mapping[RowKind, Total] = field(default_factory=dict)
    is_final: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NoBill:
    """Nothing of this kind happened on that day, the platform says."""

    platform: str
    kind: BillKind
    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class BillNotReady:
    """The platform has yet to make the bill. ``ready_at`` (aware) is when to ask again."""

    platform: str
    kind: BillKind
    day: date
    ready_at: datetime


BillAnswer = BillFile | NoBill | BillNotReady


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRow:
    """A row as read. Amounts in fen: positive towards the merchant's sales, negative back.

    ``number`` is the one that we gave (a redemption, a reversal, an order, a pay-out, a share), ``platform_no`` the
    platform's own, ``original_no`` what a reversal or refund takes back, as the platform names it. ``line`` counts the
    data lines from 1, and ``raw`` is that line as received.
    """

    kind: RowKind
    state: RowState
    number: str | None
    platform_no: str | None
    amount_fen: int
    line: int
    raw: bytes = field(repr=False)
    original_no: str | None = None
    fee_fen: int | None = None
    net_fen: int | None = None
    at: datetime | None = None
    settles_on: date | None = None
