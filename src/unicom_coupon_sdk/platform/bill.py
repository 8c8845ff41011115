"""What an adapter declares of its platform's bills: which there are, when they are ready, and how their rows read.

A layout is data, not code, because two readers work from it: a plain one, row by row, and a columnar one that hands the
file's own bytes to a database engine. Columns are found by the names in the file's header; one that is new is kept in
the raw row and otherwise ignored, one that is missing is an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from itertools import accumulate
from pathlib import Path

from unicom_coupon_sdk.domain.bill import BillKind, RowKind, RowState
from unicom_coupon_sdk.domain.times import BEIJING

_HALF_AN_HOUR = timedelta(minutes=30)


class Unit(StrEnum):
    """What a platform counts money in."""

    FEN = "fen"  # a whole number
    YUAN = "yuan"  # decimal text; digits beyond the second are rounded half up
    SIGNED_FEN = "signed_fen"  # a whole number behind C (merchant receives) or D (merchant pays)


@dataclass(frozen=True, slots=True)
class Delimited:
    """Cells between separators, in lines. ``strip`` (ASCII) is taken off both ends of each cell.

    ``quote`` may enclose a cell that holds separators, but not one that holds a line end. A separator may have up to
    four characters. A row has as many cells as the header, no more and no fewer, so that none is taken for another.
    """

    separator: str = ","
    strip: str = " \t`"
    quote: str = '"'


@dataclass(frozen=True, slots=True)
class FixedWidth:
    """Cells of so many **bytes**, ``gap`` bytes between two."""

    widths: tuple[int, ...]
    gap: int = 1

    @property
    def places(self) -> tuple[slice, ...]:
        """Where each cell stands in a line."""
        ends = accumulate(width + self.gap for width in self.widths)
        return tuple(
            slice(end - self.gap - width, end - self.gap) for width, end in zip(self.widths, ends, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RowRule:
    """How one kind of row reads. The first rule of a layout whose ``when`` holds applies.

    ``when`` maps columns to the values that they may have; all must hold. The other members name columns. ``sign`` is
    put before amounts that the platform writes without one: a written sign (``+ -``, ``C D``) stands. A fee is positive
    where the merchant pays it; ``fee_sign`` is -1 where the platform writes that as a negative amount (``D``, ``-``).
    ``states`` maps the values of ``state`` to ours; without ``state`` the row is DONE. ``at`` and ``settles_on`` are
    read by the ``strptime`` formats beside them (``%Y %m %d %H %M %S``, ASCII between them), in Beijing time. ``at``
    may name several columns, joined without a gap, and have no year: it is the one nearest to the bill's day.
    """

    kind: RowKind
    amount: str
    when: Mapping[str, frozenset[str]] = field(default_factory=dict)
    number: str | None = None
    platform_no: str | None = None
    original_no: str | None = None
    sign: int = 1
    fee: str | None = None
    fee_sign: int = 1
    net: str | None = None
    state: str | None = None
    states: Mapping[str, RowState] = field(default_factory=dict)
    at: tuple[str, ...] = ()
    at_format: str = "%Y-%m-%d %H:%M:%S"
    settles_on: str | None = None
    settles_on_format: str = "%Y%m%d"

    @property
    def columns(self) -> Iterator[str]:
        """The columns that the rule names."""
        yield from self.when
        single = (self.number, self.platform_no, self.original_no, self.amount, self.fee, self.net, self.state)
        yield from (name for name in (*single, *self.at, self.settles_on) if name is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLayout:
    """How the rows of one kind of file read. ``name`` is unique within the platform. ``encoding`` is Python's name.

    A row that no rule fits is ``OTHER``, and nothing in it is read.
    """

    name: str
    encoding: str
    form: Delimited | FixedWidth
    unit: Unit
    rules: tuple[RowRule, ...]
    source: str

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that the rules name, each once, in the order in which they name them."""
        named = (name for rule in self.rules for name in rule.columns)
        return tuple(dict.fromkeys(named))


@dataclass(frozen=True, slots=True, kw_only=True)
class BillSource:
    """One kind of bill that a platform offers.

    Ready at ``ready_at`` (Beijing) ``days_after`` days after its day. ``lists`` names the kinds of row in it that are
    **ours alone**: each such row must have its record in the ledger. Rows of other kinds may be other business of the
    merchant's (a trade bill lists every order). ``keeps_days`` is how far back the platform goes.
    """

    kind: BillKind
    layout: BillLayout
    ready_at: time
    days_after: int = 1
    lists: frozenset[RowKind] = frozenset()
    keeps_days: int = 90
    source: str = ""

    def opens(self, day: date) -> datetime:
        """When the platform promises the bill of ``day``."""
        return datetime.combine(day + timedelta(days=self.days_after), self.ready_at, tzinfo=BEIJING)

    def ask_at(self, day: date, *, now: datetime) -> datetime:
        """When to ask again for the bill of ``day`` that is not there ``now``: at its time, else in half an hour."""
        opens = self.opens(day)
        return opens if now < opens else now + _HALF_AN_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class BillOrder:
    """Ask for the bill of ``kind`` of a Beijing ``day``. Files are made in ``folder``, which exists, alone."""

    kind: BillKind
    day: date
    folder: Path
