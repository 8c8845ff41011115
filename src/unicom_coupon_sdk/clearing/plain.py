"""The plain engine: both sides in dictionaries, for bills of some hundred thousand rows, with nothing installed."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final, TypeVar

from unicom_coupon_sdk.clearing.matching import (
    SHARES,
    Carried,
    Comparison,
    Difference,
    amount_class,
    is_expected,
    matched_by,
)
from unicom_coupon_sdk.clearing.rows import listed_rows, totals
from unicom_coupon_sdk.clearing.snapshot import pair_line, read_listed, read_snapshot
from unicom_coupon_sdk.domain.bill import BillFile, BillKind, NoBill, RowKind, RowState
from unicom_coupon_sdk.domain.reconciliation import DiscrepancyClass, Entry, ListedRow, Pair, Tally
from unicom_coupon_sdk.platform.bill import BillSource
from unicom_coupon_sdk.platform.bill_files import whole

Side = Entry | ListedRow
T = TypeVar("T")


def _by_both(side: Side) -> Hashable:
    return (side.kind, side.number, side.platform_no) if side.number and side.platform_no else None


def _by_amount(side: Side) -> Hashable:
    return (side.kind, side.number, side.amount_fen) if side.number else None


def _by_number(side: Side) -> Hashable:
    return (side.kind, side.number) if side.number else None


def _by_platform_no(side: Side) -> Hashable:
    return (side.kind, side.platform_no) if side.platform_no else None


ROUNDS: Final[tuple[Callable[[Side], Hashable], ...]] = (_by_both, _by_amount, _by_number, _by_platform_no)

_CLASSES: Final = {found: at for at, found in enumerate(DiscrepancyClass)}
_KINDS: Final = {kind: at for at, kind in enumerate(RowKind)}


class Plain:
    """Compares in memory, in plain Python."""

    @contextmanager
    def session(
        self, ours: Path, carried: Carried, *, bills: Sequence[BillFile], folder: Path
    ) -> Iterator[PlainSession]:
        """Both sides of earlier days, and our side of this one, read."""
        entries = [] if carried.entries is None else list(read_snapshot(carried.entries))
        rows = [] if carried.rows is None else list(read_listed(carried.rows))
        yield PlainSession(entries=[*entries, *read_snapshot(ours)], rows=rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainSession:
    """``entries`` and ``rows`` are those of earlier days first."""

    entries: Sequence[Entry]
    rows: Sequence[ListedRow]

    @property
    def places(self) -> frozenset[tuple[RowKind, BillKind | None]]:
        """The kinds that occur among our entries, with the bill that they are restricted to."""
        return frozenset((entry.kind, entry.bill) for entry in self.entries)

    def compare(self, bill: BillFile | NoBill, source: BillSource, *, day: date, pairs: Path) -> Comparison:
        """Compare one bill. Raises as ``read_rows`` does."""
        read = list(listed_rows(bill, source.layout)) if isinstance(bill, BillFile) else []
        matching = _Matching(
            entries=[entry for entry in self.entries if is_expected(entry.kind, entry.bill, source=source)],
            rows=[
                *(row for row in self.rows if row.bill is source.kind),
                *(row for row in read if row.kind is not RowKind.OTHER),
            ],
            lists=source.lists,
        )
        with whole(pairs) as file:
            file.writelines(f"{pair_line(pair)}\n".encode() for pair in matching.pairs())
        return Comparison(totals=totals(read), agreed=matching.tallies(source.kind), differences=matching.differences())


class _Matching:
    """Rows paired with entries, by their places."""

    def __init__(self, *, entries: Sequence[Entry], rows: Sequence[ListedRow], lists: frozenset[RowKind]) -> None:
        self.entries, self.rows, self.lists = entries, rows, lists
        self.partners: dict[int, tuple[int, bool]] = {}
        free_rows, free_entries = list(range(len(rows))), list(range(len(entries)))
        for key in ROUNDS:
            waiting: defaultdict[Hashable, deque[int]] = defaultdict(deque)
            for at in free_entries:
                waiting[key(entries[at])].append(at)
            waiting.pop(None, None)
            for at in free_rows:
                if found := waiting.get(key(rows[at])):
                    self.partners[at] = found.popleft(), key is _by_platform_no
            taken = {at for at, _ in self.partners.values()}
            free_rows = [at for at in free_rows if at not in self.partners]
            free_entries = [at for at in free_entries if at not in taken]
        self.free_rows, self.free_entries = free_rows, free_entries

    def pairs(self) -> Iterator[Pair]:
        """What agrees, in the order of the rows."""
        for row, entry, by_platform_no in self._agreed():
            yield Pair(
                operation_id=entry.operation_id,
                bill=row.bill,
                kind=row.kind,
                state=row.state,
                matched_by=matched_by(row.kind, by_platform_no=by_platform_no),
                fee_fen=row.fee_fen,
                net_fen=row.net_fen,
                settles_on=row.settles_on,
            )

    def tallies(self, bill: BillKind) -> list[Tally]:
        """What agrees, in numbers."""
        counts: dict[RowKind, list[int]] = {}
        for row, _, _ in self._agreed():
            counts.setdefault(row.kind, []).append(row.amount_fen)
        return [
            Tally(bill=bill, kind=kind, found=None, rows=len(sums), ours_fen=sum(sums), theirs_fen=sum(sums))
            for kind, sums in sorted(counts.items(), key=lambda item: _KINDS[item[0]])
        ]

    def differences(self) -> Iterator[Difference]:
        """What does not agree, in its order."""
        found = [*self._differing(), *self._left_of_bill(), *self._left_of_ours()]
        for kind, at_row, at_entry in sorted(found, key=self._order):
            yield Difference(
                found=kind,
                entry=None if at_entry is None else self.entries[at_entry],
                row=None if at_row is None else self.rows[at_row],
            )

    def _order(self, found: _Found) -> tuple[int, int, str, int, int]:
        kind, at_row, at_entry = found
        entry = None if at_entry is None else self.entries[at_entry]
        row = None if at_row is None else self.rows[at_row]
        side = entry or row
        assert side is not None
        number = side.number or (row.number if row else None) or ""
        return (
            _CLASSES[kind],
            _KINDS[side.kind],
            number,
            -1 if at_row is None else at_row,
            -1 if at_entry is None else at_entry,
        )

    def _agreed(self) -> Iterator[tuple[ListedRow, Entry, bool]]:
        for at_row, (at_entry, by_platform_no) in sorted(self.partners.items()):
            row, entry = self.rows[at_row], self.entries[at_entry]
            if row.state is entry.state and not _amounts_differ(row, entry):
                yield row, entry, by_platform_no

    def _differing(self) -> Iterator[_Found]:
        for at_row, (at_entry, _) in self.partners.items():
            row, entry = self.rows[at_row], self.entries[at_entry]
            if _amounts_differ(row, entry):
                yield amount_class(row.kind), at_row, at_entry
            if row.state is not entry.state:
                yield DiscrepancyClass.STATE_DIFFERS, at_row, at_entry
            if row.day != entry.day:
                yield DiscrepancyClass.DATE_DIFFERS, at_row, at_entry

    def _left_of_bill(self) -> Iterator[_Found]:
        ours = _first(self.entries, _names)
        rows = _first(self.rows, lambda row: [_identity(row)])
        for at in self.free_rows:
            row = self.rows[at]
            identity = _identity(row)
            if identity is not None and identity in ours:
                yield DiscrepancyClass.DUPLICATE, at, ours[identity]
            elif row.kind in self.lists:
                repeats = identity is not None and rows[identity] < at
                yield (DiscrepancyClass.DUPLICATE if repeats else DiscrepancyClass.MISSING_HERE), at, None

    def _left_of_ours(self) -> Iterator[_Found]:
        entries = _first(self.entries, lambda entry: [_entry_identity(entry)])
        for at in self.free_entries:
            entry = self.entries[at]
            if entry.state is not RowState.FAILED:
                identity = _entry_identity(entry)
                repeats = identity is not None and entries[identity] < at
                yield (DiscrepancyClass.DUPLICATE if repeats else DiscrepancyClass.MISSING_THERE), None, at


_Found = tuple[DiscrepancyClass, int | None, int | None]


def _amounts_differ(row: ListedRow, entry: Entry) -> bool:
    if row.amount_fen != entry.amount_fen:
        return True
    return row.fee_fen is not None and entry.fee_fen is not None and row.fee_fen != entry.fee_fen


def _first(sides: Sequence[T], names: Callable[[T], Iterable[Hashable]]) -> dict[Hashable, int]:
    """Where each name occurs first."""
    found: dict[Hashable, int] = {}
    for at, side in enumerate(sides):
        for name in names(side):
            if name is not None:
                found.setdefault(name, at)
    return found


def _names(side: Side) -> list[Hashable]:
    """What something may be known by: our number, the platform's. Of a share, each with the amount."""
    amount = side.amount_fen if side.kind in SHARES else None
    return [
        (side.kind, which, number, amount)
        for which, number in (("ours", side.number), ("platform's", side.platform_no))
        if number
    ]


def _identity(side: Side) -> Hashable:
    """What something is known by."""
    return next(iter(_names(side)), None)


def _entry_identity(entry: Entry) -> Hashable:
    return _by_both(entry) if entry.kind in SHARES else _by_number(entry)
