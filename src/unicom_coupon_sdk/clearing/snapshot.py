"""Both sides of a reconciliation on disk, and the pairs that were found.

Each file is lines of comma-separated cells under a header, none of which needs a quote. The same entries in the same
order make the same bytes, so that its digest names it, and either engine reads it as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Final, TypeVar

from unicom_coupon_sdk.clearing.reading import NUMBER
from unicom_coupon_sdk.domain.bill import BillKind, RowKind, RowState
from unicom_coupon_sdk.domain.reconciliation import Entry, ListedRow, MatchedBy, Pair
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.platform.bill_files import whole

ENTRY_COLUMNS: Final = (
    *("bill", "kind", "number", "platform_no", "amount_fen", "fee_fen", "state", "day", "settles_on", "operation_id"),
)
LISTED_COLUMNS: Final = (
    *("bill", "kind", "number", "platform_no", "amount_fen", "fee_fen", "net_fen", "state", "at", "settles_on"),
    *("day", "line"),
)

_T = TypeVar("_T")
_NUMBER: Final = re.compile(NUMBER)


def write_snapshot(entries: Iterable[Entry], path: Path) -> int:
    """How many entries now stand in ``path``, in the order given; the file is whole or not there.

    Raises ``ValidationError`` (``reconcile.number``) for an entry whose numbers no platform could have taken.
    """
    return _write(path, ENTRY_COLUMNS, map(entry_line, entries))


def read_snapshot(path: Path) -> Iterator[Entry]:
    """The entries of a snapshot. Raises ``ValidationError`` (``reconcile.snapshot``) for a file that is none."""
    return _read(path, ENTRY_COLUMNS, entry_of)


def write_listed(rows: Iterable[ListedRow], path: Path) -> int:
    """How many rows of bills now stand in ``path``, in the order given; the file is whole or not there."""
    return _write(path, LISTED_COLUMNS, map(listed_line, rows))


def read_listed(path: Path) -> Iterator[ListedRow]:
    """The rows in such a file. Raises ``ValidationError`` (``reconcile.snapshot``) for a file that is none."""
    return _read(path, LISTED_COLUMNS, _listed_of)


def entry_line(entry: Entry) -> str:
    """An entry as a line of a snapshot, without its end. Raises ``ValidationError`` (``reconcile.number``)."""
    for field, number in (
        ("number", entry.number),
        ("platform_no", entry.platform_no),
        ("operation_id", entry.operation_id),
    ):
        if number is not None and _NUMBER.fullmatch(number) is None:
            raise ValidationError("reconcile.number", field=field)
    return _line(
        entry.bill, entry.kind, entry.number, entry.platform_no, entry.amount_fen, entry.fee_fen,
        entry.state, entry.day, entry.settles_on, entry.operation_id,
    )  # fmt: skip


def entry_of(line: str) -> Entry:
    """The entry in a line of a snapshot. Raises ``ValueError``."""
    bill, kind, number, platform_no, amount, fee, state, day, settles_on, operation_id = line.split(",")
    return Entry(
        bill=_maybe(BillKind, bill),
        kind=RowKind(kind),
        number=number,
        platform_no=platform_no or None,
        amount_fen=int(amount),
        fee_fen=_maybe(int, fee),
        state=RowState(state),
        day=date.fromisoformat(day),
        settles_on=_maybe(date.fromisoformat, settles_on),
        operation_id=operation_id,
    )


def pair_line(pair: Pair) -> str:
    """A pair as a line, without its end."""
    return _line(
        pair.operation_id, pair.bill, pair.kind, pair.state, pair.matched_by, pair.fee_fen, pair.net_fen,
        pair.settles_on,
    )  # fmt: skip


def pair_of(line: str) -> Pair:
    """The pair in a line. Raises ``ValueError``."""
    operation_id, bill, kind, state, by, fee, net, settles_on = line.split(",")
    return Pair(
        operation_id=operation_id,
        bill=BillKind(bill),
        kind=RowKind(kind),
        state=RowState(state),
        matched_by=MatchedBy(by),
        fee_fen=_maybe(int, fee),
        net_fen=_maybe(int, net),
        settles_on=_maybe(date.fromisoformat, settles_on),
    )


def listed_line(row: ListedRow) -> str:
    """A row of a bill as a line, without its end."""
    at = None if row.at is None else f"{row.at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"
    return _line(
        row.bill, row.kind, row.number, row.platform_no, row.amount_fen, row.fee_fen, row.net_fen,
        row.state, at, row.settles_on, row.day, row.line,
    )  # fmt: skip


def _listed_of(line: str) -> ListedRow:
    bill, kind, number, platform_no, amount, fee, net, state, at, settles_on, day, place = line.split(",")
    return ListedRow(
        bill=BillKind(bill),
        kind=RowKind(kind),
        number=number or None,
        platform_no=platform_no or None,
        amount_fen=int(amount),
        fee_fen=_maybe(int, fee),
        net_fen=_maybe(int, net),
        state=RowState(state),
        at=_maybe(_beijing, at),
        settles_on=_maybe(date.fromisoformat, settles_on),
        day=date.fromisoformat(day),
        line=int(place),
    )


def _beijing(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BEIJING)


def _maybe(read: Callable[[str], _T], cell: str) -> _T | None:
    return read(cell) if cell else None


def _line(*cells: object) -> str:
    return ",".join("" if cell is None else str(cell) for cell in cells)


def _write(path: Path, columns: tuple[str, ...], lines: Iterable[str]) -> int:
    count = 0
    with whole(path) as file:
        file.write((",".join(columns) + "\n").encode())
        for line in lines:
            file.write((line + "\n").encode("ascii"))
            count += 1
    return count


def _read(path: Path, columns: tuple[str, ...], value: Callable[[str], _T]) -> Iterator[_T]:
    number = 0
    try:
        with path.open(encoding="ascii", newline="\n") as file:
            if file.readline() != ",".join(columns) + "\n":
                raise ValueError(path)
            for line in file:
                number += 1
                yield value(line.removesuffix("\n"))
    except ValueError:
        raise ValidationError("reconcile.snapshot", field=path.name, line=number) from None
