"""What a comparison found, told as discrepancies, counted, and carried on to the next day where it is still open."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import IO, Final

from unicom_coupon_sdk.clearing.causes import explain, explain_total
from unicom_coupon_sdk.clearing.matching import Carried, Comparison, Difference
from unicom_coupon_sdk.clearing.outcome import CARRIED_ENTRIES, CARRIED_ROWS, DISCREPANCIES, discrepancy_line
from unicom_coupon_sdk.clearing.rows import disagreeing
from unicom_coupon_sdk.clearing.snapshot import (
    ENTRY_COLUMNS,
    LISTED_COLUMNS,
    entry_line,
    listed_line,
    read_listed,
    read_snapshot,
)
from unicom_coupon_sdk.domain.bill import BillFile, BillKind, RowKind, Total
from unicom_coupon_sdk.domain.reconciliation import Discrepancy, DiscrepancyClass, Entry, ListedRow, Tally

_ID_LENGTH: Final = 24


def discrepancy_id(
    platform: str, bill: BillKind, found: DiscrepancyClass, kind: RowKind, *, key: str, copy: int = 1
) -> str:
    """The name of a discrepancy, the same on every day on which it is found. ``copy`` counts those of one ``key``."""
    named = "\n".join((platform, bill, found, kind, key, str(copy)))
    return hashlib.sha256(named.encode()).hexdigest()[:_ID_LENGTH]


@dataclass(slots=True, kw_only=True)
class Findings:
    """Writes what is found on ``day`` into the files of a run, bill by bill, and gathers the numbers."""

    platform: str
    day: date
    discrepancies: IO[str]
    carried_entries: IO[str]
    carried_rows: IO[str]
    tallies: list[Tally] = field(default_factory=list)

    @classmethod
    @contextmanager
    def into(cls, folder: Path, *, platform: str, day: date) -> Iterator[Findings]:
        """Findings whose files in ``folder`` are complete when the block ends."""
        with ExitStack() as files:

            def new(name: str, columns: Sequence[str] = ()) -> IO[str]:
                file = files.enter_context((folder / name).open("w", encoding="ascii", newline="\n"))
                file.write(",".join(columns) + "\n" if columns else "")
                return file

            yield cls(
                platform=platform,
                day=day,
                discrepancies=new(DISCREPANCIES),
                carried_entries=new(CARRIED_ENTRIES, ENTRY_COLUMNS),
                carried_rows=new(CARRIED_ROWS, LISTED_COLUMNS),
            )

    def add(self, bill: BillKind, comparison: Comparison, *, file: BillFile | None) -> None:
        """Take down all that one bill's comparison found."""
        counts: defaultdict[tuple[DiscrepancyClass, RowKind], list[int]] = defaultdict(lambda: [0, 0, 0])
        for one in self._told(bill, comparison, file=file):
            self.discrepancies.write(discrepancy_line(one) + "\n")
            sums = counts[one.found, one.kind]
            for at, part in enumerate((1, _fen(one.ours), _fen(one.theirs))):
                sums[at] += part
        self.tallies += comparison.agreed
        self.tallies += [
            Tally(bill=bill, kind=kind, found=found, rows=rows, ours_fen=ours, theirs_fen=theirs)
            for (found, kind), (rows, ours, theirs) in counts.items()
        ]

    def pass_on(self, carried: Carried, *, bills: frozenset[BillKind]) -> None:
        """Carry on what is open in bills that were not compared today: those may come later."""
        for entry in () if carried.entries is None else read_snapshot(carried.entries):
            if entry.bill not in bills:
                self.carried_entries.write(entry_line(entry) + "\n")
        for row in () if carried.rows is None else read_listed(carried.rows):
            if row.bill not in bills:
                self.carried_rows.write(listed_line(row) + "\n")

    def _told(self, bill: BillKind, comparison: Comparison, *, file: BillFile | None) -> Iterator[Discrepancy]:
        last, copy = None, 0
        for difference in comparison.differences:
            side = difference.entry or difference.row
            assert side is not None
            this = (difference.found, side.kind, _key(side))
            last, copy = this, copy + 1 if this == last else 1
            self._carry(bill, difference)
            yield self._discrepancy(bill, difference, side=side, copy=copy)
        for kind, total in disagreeing(file.declared, comparison.totals).items() if file else ():
            assert file is not None
            yield self._total(bill, kind, declared=file.declared[kind], found=total)

    def _discrepancy(
        self, bill: BillKind, difference: Difference, *, side: Entry | ListedRow, copy: int
    ) -> Discrepancy:
        cause, action = explain(difference, day=self.day)
        return Discrepancy(
            discrepancy_id=discrepancy_id(self.platform, bill, difference.found, side.kind, key=_key(side), copy=copy),
            platform=self.platform,
            bill=bill,
            found=difference.found,
            kind=side.kind,
            number=side.number,
            since=side.day,
            open_days=max(0, (self.day - side.day).days),
            ours=difference.entry,
            theirs=difference.row,
            cause=cause,
            action=action,
            resolves=self._resolved(bill, difference),
        )

    def _resolved(self, bill: BillKind, difference: Difference) -> str | None:
        """The id under which an earlier day told of what has now been met."""
        entry, row = difference.entry, difference.row
        if difference.found is not DiscrepancyClass.DATE_DIFFERS or entry is None or row is None:
            return None
        if entry.day < row.day:
            return discrepancy_id(self.platform, bill, DiscrepancyClass.MISSING_THERE, entry.kind, key=_key(entry))
        return discrepancy_id(self.platform, bill, DiscrepancyClass.MISSING_HERE, row.kind, key=_key(row))

    def _carry(self, bill: BillKind, difference: Difference) -> None:
        if difference.found is DiscrepancyClass.MISSING_THERE and difference.entry is not None:
            self.carried_entries.write(entry_line(replace(difference.entry, bill=bill)) + "\n")
        elif difference.found is DiscrepancyClass.MISSING_HERE and difference.row is not None:
            self.carried_rows.write(listed_line(difference.row) + "\n")

    def _total(self, bill: BillKind, kind: RowKind, *, declared: Total, found: Total) -> Discrepancy:
        cause, action = explain_total(declared, found)
        return Discrepancy(
            discrepancy_id=discrepancy_id(
                self.platform, bill, DiscrepancyClass.TOTAL_DIFFERS, kind, key=self.day.isoformat()
            ),
            platform=self.platform,
            bill=bill,
            found=DiscrepancyClass.TOTAL_DIFFERS,
            kind=kind,
            number=None,
            since=self.day,
            open_days=0,
            ours=found,
            theirs=declared,
            cause=cause,
            action=action,
        )


def _key(side: Entry | ListedRow) -> str:
    """What names one side for as long as it is open."""
    if side.number or side.platform_no:
        return side.number or f"platform:{side.platform_no}"
    assert isinstance(side, ListedRow)
    return f"line:{side.day}:{side.line}"


def _fen(side: Entry | ListedRow | Total | None) -> int:
    return 0 if side is None else side.amount_fen or 0
