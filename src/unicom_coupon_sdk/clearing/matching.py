"""Which row belongs to which entry, and what is said of those that belong to none. Both engines keep these rules.

Rows and entries of one kind are paired in four rounds, each over what the rounds before have left: by number and
platform number, by number and amount, by number, by platform number. Several that share a key are paired in their
order, those of earlier days first. So a number that stands for several rows (a share has one for each receiver) finds
each its own, and a row that stands twice leaves its second copy over.

What is left over of a bill is a DUPLICATE if its number is one of ours, or if such rows are ours alone and another has
its number before it; else MISSING_HERE if such rows are ours alone; else other business of the merchant's. A row
without a number goes by the platform's, and one of a share by its amount too. What is left over of ours is a DUPLICATE
if another entry has its number before it, of a share with the same platform number; else MISSING_THERE, unless it
FAILED and nothing was expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, Protocol

from unicom_coupon_sdk.domain.bill import BillFile, BillKind, NoBill, RowKind, Total
from unicom_coupon_sdk.domain.reconciliation import DiscrepancyClass, Entry, ListedRow, MatchedBy, Tally
from unicom_coupon_sdk.platform.bill import BillSource

SHARES: Final = frozenset({RowKind.SHARE, RowKind.SHARE_RETURN})
"""Kinds in which one number may stand for several rows, of other receivers and amounts."""

ORDERS: Final = frozenset({RowKind.PAYMENT, RowKind.REFUND})
"""Kinds that are no operation of ours: they stand for the coupon that was used on the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """What earlier days left open: entries that no bill had yet, rows that the ledger did not know yet.

    Files as ``write_snapshot`` and ``write_listed`` make them; an ``Outcome`` has those for the next day. Each entry in
    ``entries`` says in which ``bill`` it was missed.
    """

    entries: Path | None = None
    rows: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing to be said: both sides, or the one that there is."""

    found: DiscrepancyClass
    entry: Entry | None
    row: ListedRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One bill compared: the totals of its own rows, what agrees, and what does not, in order.

    ``differences`` is read once, and before the session ends.
    """

    totals: Mapping[RowKind, Total]
    agreed: Sequence[Tally]
    differences: Iterator[Difference]


class Session(Protocol):
    """Our side, loaded."""

    @property
    def places(self) -> frozenset[tuple[RowKind, BillKind | None]]:
        """The kinds that occur among our entries, with the bill that they are restricted to."""

    def compare(self, bill: BillFile | NoBill, source: BillSource, *, day: date, pairs: Path) -> Comparison:
        """Compare one bill with the entries that belong in it, and write the pairs that agree to ``pairs``."""


class Engine(Protocol):
    """A way to compare large files."""

    def session(
        self, ours: Path, carried: Carried, *, bills: Sequence[BillFile], folder: Path
    ) -> AbstractContextManager[Session]:
        """Our side loaded, for the ``bills``. What is put down meanwhile goes into ``folder``, which exists."""


def covered(source: BillSource) -> frozenset[RowKind]:
    """The kinds of rows that a bill has."""
    return frozenset(rule.kind for rule in source.layout.rules) - {RowKind.OTHER}


def matched_by(kind: RowKind, *, by_platform_no: bool) -> MatchedBy:
    """What to call a match."""
    if kind in ORDERS:
        return MatchedBy.TRADE_BILL
    return MatchedBy.PLATFORM_NO if by_platform_no else MatchedBy.NUMBER


def amount_class(kind: RowKind) -> DiscrepancyClass:
    """The class of another amount."""
    return DiscrepancyClass.SHARING_DIFFERS if kind in SHARES else DiscrepancyClass.AMOUNT_DIFFERS


def is_expected(kind: RowKind, bill: BillKind | None, *, source: BillSource) -> bool:
    """Whether an entry of ``kind``, restricted to ``bill``, should stand in the bill that ``source`` describes."""
    return kind in covered(source) and bill in {None, source.kind}
