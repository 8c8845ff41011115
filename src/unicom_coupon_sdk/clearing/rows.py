"""The plain reader of bills: row by row, in constant memory, without anything installed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import NoReturn

from unicom_coupon_sdk.clearing.reading import LONGEST_LINE, Reading, RuleReading, fen_of, number_of
from unicom_coupon_sdk.domain.bill import BillFile, BillRow, RowKind, RowState, Total
from unicom_coupon_sdk.domain.reconciliation import ListedRow
from unicom_coupon_sdk.platform.bill import BillLayout


def read_rows(bill: BillFile, layout: BillLayout) -> Iterator[BillRow]:
    """The rows of a bill in the order of the file.

    Empty lines are passed over and not counted. Raises ``ValidationError``: ``bill.column_missing`` when a column that
    the layout reads is not in the file, ``bill.row`` with line and column for a row that cannot be read, and never with
    what stands there. Rows before that one have been given by then.
    """
    for line, raw, cells in _ruled(Reading.of(bill, layout)):
        if cells is None:
            yield BillRow(
                kind=RowKind.OTHER, state=RowState.DONE, number=None, platform_no=None, amount_fen=0, line=line, raw=raw
            )
            continue
        rule = cells.rule
        yield BillRow(
            kind=rule.rule.kind,
            state=cells.state(),
            number=cells.number(rule.number),
            platform_no=cells.number(rule.platform_no),
            original_no=cells.number(rule.original_no),
            amount_fen=cells.amount_needed(),
            fee_fen=cells.fee(),
            net_fen=cells.amount(rule.net),
            at=cells.at_needed(),
            settles_on=cells.settles_on(),
            line=line,
            raw=raw,
        )


def listed_rows(bill: BillFile, layout: BillLayout) -> Iterator[ListedRow]:
    """The same rows, as far as they are compared. A time that cannot be read is absent: it is only shown to people."""
    for line, _, cells in _ruled(Reading.of(bill, layout)):
        if cells is None:
            yield ListedRow(
                bill=bill.kind, kind=RowKind.OTHER, state=RowState.DONE, number=None, platform_no=None, amount_fen=0,
                day=bill.day, line=line,
            )  # fmt: skip
            continue
        rule = cells.rule
        yield ListedRow(
            bill=bill.kind,
            kind=rule.rule.kind,
            state=cells.state(),
            number=cells.number(rule.number),
            platform_no=cells.number(rule.platform_no),
            amount_fen=cells.amount_needed(),
            fee_fen=cells.fee(),
            net_fen=cells.amount(rule.net),
            at=rule.moment("".join(cells.cells[place] for place in rule.at), near=bill.day),
            settles_on=cells.settles_on(),
            day=bill.day,
            line=line,
        )


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file without their ends, empty ones left out. A piece of ``LONGEST_LINE`` is no whole line."""
    with path.open("rb") as file:
        while line := file.readline(LONGEST_LINE):
            is_whole = len(line) < LONGEST_LINE or line.endswith(b"\n")
            if plain := line.rstrip(b"\r\n") if is_whole else line:
                yield plain


def totals(rows: Iterable[BillRow | ListedRow]) -> dict[RowKind, Total]:
    """How many rows of each kind there are, and the sums of their amounts and fees."""
    counts: dict[RowKind, list[int]] = {}
    for row in rows:
        sums = counts.setdefault(row.kind, [0, 0, 0])
        sums[0] += 1
        sums[1] += row.amount_fen
        sums[2] += row.fee_fen or 0
    return {kind: Total(rows=rows, amount_fen=amount, fee_fen=fee) for kind, (rows, amount, fee) in counts.items()}


def disagreeing(declared: Mapping[RowKind, Total], found: Mapping[RowKind, Total]) -> dict[RowKind, Total]:
    """What was found of each kind whose declared total says otherwise. What is not declared is not compared."""
    nothing = Total(rows=0, amount_fen=0, fee_fen=0)
    return {
        kind: found.get(kind, nothing)
        for kind, total in sorted(declared.items())
        if _differs(total, found.get(kind, nothing))
    }


def _differs(declared: Total, found: Total) -> bool:
    told = (declared.rows, declared.amount_fen, declared.fee_fen)
    counted = (found.rows, found.amount_fen, found.fee_fen)
    return any(said is not None and said != was for said, was in zip(told, counted, strict=True))


def _ruled(reading: Reading) -> Iterator[tuple[int, bytes, _Cells | None]]:
    """Each line with its cells under the rule that fits it, if one does."""
    for number, raw in enumerate(lines(reading.bill.rows), start=1):
        cells = reading.cells(raw.decode("latin-1"))
        if cells is None or len(raw) >= LONGEST_LINE:
            reading.refuse_row(line=number, column=reading.layout.name)
        rule = next((rule for rule in reading.rules if all(cells[at] in words for at, words in rule.when)), None)
        yield number, raw, None if rule is None else _Cells(reading, rule, cells, number)


@dataclass(frozen=True, slots=True)
class _Cells:
    """The cells of one row, read by a rule."""

    reading: Reading
    rule: RuleReading
    cells: list[str]
    line: int

    def number(self, place: int | None) -> str | None:
        return None if place is None else number_of(self.cells[place], strip=self.reading.strip)

    def amount(self, place: int | None) -> int | None:
        if place is None or not self.cells[place]:
            return None
        try:
            return fen_of(self.cells[place], unit=self.reading.layout.unit, sign=self.rule.rule.sign)
        except ValueError:
            self.refuse(place)

    def state(self) -> RowState:
        place = self.rule.state
        if place is None:
            return RowState.DONE
        state = self.rule.states.get(self.cells[place])
        if state is None:
            self.refuse(place)
        return state

    def amount_needed(self) -> int:
        amount_fen = self.amount(self.rule.amount)
        if amount_fen is None:
            self.refuse(self.rule.amount)
        return amount_fen

    def fee(self) -> int | None:
        fee_fen = self.amount(self.rule.fee)
        return None if fee_fen is None else fee_fen * self.rule.rule.fee_sign

    def at_needed(self) -> datetime | None:
        text = "".join(self.cells[place] for place in self.rule.at)
        at = self.rule.moment(text, near=self.reading.bill.day)
        if text and at is None:
            self.refuse(self.rule.at[0])
        return at

    def settles_on(self) -> date | None:
        place = self.rule.settles_on
        if place is None or not self.cells[place]:
            return None
        try:
            return self.rule.settles_moment.read(self.cells[place], near=self.reading.bill.day).date()
        except ValueError:
            self.refuse(place)

    def refuse(self, place: int) -> NoReturn:
        self.reading.refuse_row(line=self.line, column=self.reading.bill.columns[place])
