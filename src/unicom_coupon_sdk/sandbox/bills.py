"""A day's bill in the making: the lines of an emulator, what a fault spoils in them, and the record of what it spoiled.

An emulator says which lines the bill of a day has; the frame applies the faults of kind ``bill_defect`` that wait, and
remembers the result. So the same day asked for again is the same bill, whatever has happened since, and a test can ask
which lines are wrong (``GET /bills/defects``) and compare them with what a reconciliation found.

A line is spoiled once at most. A fault that finds too few lines that it may spoil waits with the rest for the next
bill. Totals are the emulator's to add up, over the lines as they came out, so that a wrong line does not also make a
wrong total; ``total_off_fen`` is what a fault wants added to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from unicom_coupon_sdk.domain.bill import BillKind, RowKind, RowState
from unicom_coupon_sdk.sandbox.faults import Fault, FaultBook, FaultKind
from unicom_coupon_sdk.sandbox.store import DocumentStore

_MADE: Final = "frame.bills"
_MOVED: Final = "frame.bills.moved"
_DEFECTS: Final = "frame.bills.defects"


class BillDefect(StrEnum):
    """What can be wrong with a bill, as the ledger sees it."""

    AMOUNT_DIFFERS = "amount_differs"
    STATE_DIFFERS = "state_differs"
    DATE_DIFFERS = "date_differs"  # the line stands in the next day's bill
    MISSING_HERE = "missing_here"  # an invented line: the ledger does not know it
    MISSING_THERE = "missing_there"  # the line is left out
    DUPLICATE = "duplicate"
    TOTAL_DIFFERS = "total_differs"
    SHARING_DIFFERS = "sharing_differs"  # the amount of a share


ANY_LINE: Final = frozenset(
    {
        BillDefect.AMOUNT_DIFFERS,
        BillDefect.DATE_DIFFERS,
        BillDefect.MISSING_HERE,
        BillDefect.MISSING_THERE,
        BillDefect.DUPLICATE,
    }
)
"""What may happen to a line that has its record in the ledger. Add ``STATE_DIFFERS`` where the bill shows a state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One line of a bill, before it is written. ``number`` is what the ledger knows it by, as the bill names it.

    ``defects`` are the classes that a fault may put on it: none for a line that is no business of the ledger's, for
    what is wrong with it nobody could see. ``wrong_state`` is what ``state_differs`` writes. ``cells`` is the
    emulator's own, JSON, and what it writes beside amount, state and time. The amount has no sign of its own.
    """

    kind: RowKind
    number: str
    at: datetime
    amount_fen: int
    state: RowState = RowState.DONE
    wrong_state: RowState | None = None
    defects: frozenset[BillDefect] = frozenset()
    cells: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MadeBill:
    """A day's bill as it stays: its lines by time, and what to add to the total of the kind that was asked for."""

    lines: tuple[BillLine, ...]
    total_off_fen: int = 0


class BillBook:
    """The bills that one emulator has made. Runs in the caller's transaction."""

    def __init__(self, store: DocumentStore, *, faults: FaultBook) -> None:
        self._store = store
        self._faults = faults

    def made(
        self,
        bill: BillKind,
        day: date,
        *,
        lines: Callable[[], Iterable[BillLine]],
        invent: Callable[[BillLine], BillLine],
        total_of: RowKind | None = None,
    ) -> MadeBill:
        """The bill of ``day``, made now if nobody has asked for it before.

        ``invent`` gives a line like another with numbers that nobody has given out. ``total_of`` is the kind whose
        summed amount the bill states; without one ``total_differs`` finds nothing to spoil.
        """
        key = _key(bill, day)
        kept = self._store.get(_MADE, key)
        if kept is not None:
            return MadeBill(tuple(_line(one) for one in kept["lines"]), kept["total_off_fen"])
        spoiling = _Spoiling(lines(), invent=invent, total_of=total_of)
        may_move = self._store.get(_MADE, _key(bill, day + timedelta(days=1))) is None
        for fault in self._faults.armed():
            if fault.kind is FaultKind.BILL_DEFECT and fault.match in {None, bill.value}:
                self._faults.use(fault, times=spoiling.apply(fault, may_move=may_move))
        result = spoiling.result(self._moved_here(key))
        self._keep(key, result)
        self._set_aside(bill, day + timedelta(days=1), spoiling.moved)
        for defect in spoiling.defects:
            self._record({"bill": bill.value, "day": day.isoformat(), **defect})
        return result

    def defects(self) -> list[dict[str, Any]]:
        """Every line and total that a fault has spoiled, in the order of making."""
        return [defect for _, defect in self._store.all(_DEFECTS)]

    def _keep(self, key: str, made: MadeBill) -> None:
        documents = [_document(line) for line in made.lines]
        self._store.put(_MADE, key, {"lines": documents, "total_off_fen": made.total_off_fen})

    def _moved_here(self, key: str) -> list[BillLine]:
        kept = self._store.get(_MOVED, key)
        return [_line(one) for one in kept["lines"]] if kept else []

    def _set_aside(self, bill: BillKind, day: date, moved: Iterable[BillLine]) -> None:
        if documents := [_document(line) for line in moved]:
            self._store.put(_MOVED, _key(bill, day), {"lines": documents})

    def _record(self, defect: Mapping[str, Any]) -> None:
        self._store.put(_DEFECTS, str(self._store.next_number(_DEFECTS)), defect)


class _Spoiling:
    """The lines of one bill while faults are applied to them."""

    def __init__(
        self,
        lines: Iterable[BillLine],
        *,
        invent: Callable[[BillLine], BillLine],
        total_of: RowKind | None,
    ) -> None:
        self._slots: list[tuple[BillLine, ...]] = [(line,) for line in lines]
        self._untouched = dict(enumerate(slot[0] for slot in self._slots))
        self._invent = invent
        self._total_of = total_of
        self._total_off_fen = 0
        self.moved: list[BillLine] = []
        self.defects: list[dict[str, Any]] = []

    def apply(self, fault: Fault, *, may_move: bool) -> int:
        """Spoil what ``fault`` asks for, as far as there are lines for it; how many were spoiled."""
        defect = BillDefect(fault.code or "")
        if defect is BillDefect.TOTAL_DIFFERS:
            return self._spoil_total()
        if defect is BillDefect.DATE_DIFFERS and not may_move:
            return 0
        chosen = [at for at, line in self._untouched.items() if _may(line, defect)][: fault.times]
        for at in chosen:
            self._spoil(at, self._untouched.pop(at), defect)
        return len(chosen)

    def result(self, moved_here: Iterable[BillLine]) -> MadeBill:
        """The bill as it came out, with what stands in it instead of in the day before's."""
        lines = [line for slot in self._slots for line in slot] + list(moved_here)
        return MadeBill(tuple(sorted(lines, key=lambda line: line.at)), self._total_off_fen)

    def _spoil(self, at: int, line: BillLine, defect: BillDefect) -> None:
        told = line
        match defect:
            case BillDefect.AMOUNT_DIFFERS | BillDefect.SHARING_DIFFERS:
                self._slots[at] = (replace(line, amount_fen=line.amount_fen + 1),)
            case BillDefect.STATE_DIFFERS:
                self._slots[at] = (replace(line, state=line.wrong_state or line.state),)
            case BillDefect.DATE_DIFFERS:
                self._slots[at] = ()
                self.moved.append(replace(line, at=line.at + timedelta(days=1)))
            case BillDefect.MISSING_THERE:
                self._slots[at] = ()
            case BillDefect.DUPLICATE:
                self._slots[at] = (line, line)
            case BillDefect.MISSING_HERE:
                told = self._invent(line)
                self._slots[at] = (line, told)
            case BillDefect.TOTAL_DIFFERS:
                raise AssertionError(defect)
        self._tell(defect, kind=told.kind, number=told.number, amount_fen=told.amount_fen)

    def _spoil_total(self) -> int:
        if self._total_of is None or self._total_off_fen or not self._slots:
            return 0
        self._total_off_fen = 1
        self._tell(BillDefect.TOTAL_DIFFERS, kind=self._total_of, number=None, amount_fen=None)
        return 1

    def _tell(self, defect: BillDefect, *, kind: RowKind, number: str | None, amount_fen: int | None) -> None:
        told = {"class": defect.value, "kind": kind.value, "number": number, "amount_fen": amount_fen}
        self.defects.append(told)


def _may(line: BillLine, defect: BillDefect) -> bool:
    return defect in line.defects and (defect is not BillDefect.STATE_DIFFERS or line.wrong_state is not None)


def _key(bill: BillKind, day: date) -> str:
    return f"{bill.value}/{day.isoformat()}"


def _document(line: BillLine) -> dict[str, Any]:
    told = {"at": line.at.isoformat(), "defects": [], "cells": dict(line.cells)}
    return asdict(line) | told


def _line(document: Mapping[str, Any]) -> BillLine:
    wrong = document["wrong_state"]
    return BillLine(
        kind=RowKind(document["kind"]),
        number=document["number"],
        at=datetime.fromisoformat(document["at"]),
        amount_fen=document["amount_fen"],
        state=RowState(document["state"]),
        wrong_state=None if wrong is None else RowState(wrong),
        cells=document["cells"],
    )
