"""The columnar engine (extra ``recon``): DuckDB over the files themselves, within a fixed memory.

Follows the rules of ``matching`` set by set. Nearly every row has a number that stands once on either side, so one join
settles those; only what it leaves goes through the rounds. What does not fit into memory is put down beside the run
and goes with it. The database sees the files of this run and no others, loads no extension and reaches no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from unicom_coupon_sdk.clearing import match_sql
from unicom_coupon_sdk.clearing.matching import Carried, Comparison, Difference, covered
from unicom_coupon_sdk.clearing.parts import BETWEEN, Part, UnreadableRowError, direct, parts
from unicom_coupon_sdk.clearing.reading import Reading
from unicom_coupon_sdk.clearing.row_sql import number_macro, quoted, select_rows
from unicom_coupon_sdk.clearing.rows import listed_rows
from unicom_coupon_sdk.clearing.snapshot import read_listed, read_snapshot
from unicom_coupon_sdk.domain.bill import BillFile, BillKind, NoBill, RowKind, RowState, Total
from unicom_coupon_sdk.domain.reconciliation import DiscrepancyClass, Entry, ListedRow, Tally
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.platform.bill import BillSource
from unicom_coupon_sdk.platform.bill_files import forget

if TYPE_CHECKING:
    import duckdb

_FETCHED: Final = 1000

_OURS: Final = (
    *("bill", "kind", "number", "platform_no", "amount_fen", "fee_fen", "state", "day", "settles_on", "operation_id"),
)
_THEIRS: Final = (
    *("kind", "state", "number", "platform_no", "amount_fen", "fee_fen", "net_fen", "settles_on"),
    *("rule", "told_at", "day", "line"),
)
"""What ``match_sql.DIFFERENCES`` gives of either side, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columnar:
    """Compares in DuckDB, on all processors unless ``threads`` says how many.

    ``memory_mb`` is the database's share, beyond which it uses the disk; the process needs some 150 MB more.
    """

    memory_mb: int = 640
    threads: int | None = None

    @contextmanager
    def session(
        self, ours: Path, carried: Carried, *, bills: Sequence[BillFile], folder: Path
    ) -> Iterator[ColumnarSession]:
        """Both sides of earlier days, and our side of this one, loaded.

        Raises ``ConfigurationError``: ``reconcile.extra_missing`` without the extra, ``reconcile.engine`` when the
        database gives up, for want of memory or room on the disk.
        """
        try:
            import duckdb
        except ImportError:
            raise ConfigurationError("reconcile.extra_missing", field="engine", extra="recon") from None
        snapshots = [path for path in (carried.entries, ours) if path is not None]
        files = [*snapshots, *(bill.rows for bill in bills), *([] if carried.rows is None else [carried.rows])]
        work = folder / "work"
        work.mkdir()
        database = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
        try:
            self._confine(database, folder=folder, files=files)
            session = ColumnarSession(database, work=work, carried_rows=carried.rows)
            session.load(snapshots)
            yield session
        except duckdb.Error as error:  # its text may quote a file, so only its name is told
            raise ConfigurationError("reconcile.engine", field="engine", reason=type(error).__name__) from None
        finally:
            database.close()
            forget(work)

    def _confine(self, database: duckdb.DuckDBPyConnection, *, folder: Path, files: Sequence[Path]) -> None:
        """Settle all bounds before anything is read."""
        settings = {
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "python_enable_replacements": "false",
            "preserve_insertion_order": "true",
            "disabled_optimizers": "'common_subexpressions'",  # it works out for all rows what a few need
            "memory_limit": quoted(f"{self.memory_mb}MB"),
            "temp_directory": quoted(str(folder.resolve() / "work")),
            "allowed_directories": f"[{quoted(str(folder.resolve()))}]",
            "allowed_paths": f"[{', '.join(quoted(str(path.resolve())) for path in files)}]",
            "enable_external_access": "false",
            "lock_configuration": "true",
        }
        if self.threads is not None:
            settings = {"threads": str(self.threads)} | settings
        for name, value in settings.items():
            database.execute(f"SET {name} = {value}")


class ColumnarSession:
    """Our side in a table; the rows of a bill come into another, one bill at a time."""

    def __init__(self, database: duckdb.DuckDBPyConnection, *, work: Path, carried_rows: Path | None) -> None:
        self._database, self._work, self._carried_rows = database, work, carried_rows
        self._carried_count = 0
        self._reading: Reading | None = None
        self._run(*match_sql.TYPES, number_macro(""))

    def load(self, snapshots: Sequence[Path]) -> None:
        """Take our side in, earlier days first."""
        self._run(match_sql.table("ours", match_sql.OURS))
        for path in snapshots:
            self._load(match_sql.TAKE_OURS, path, read_snapshot)

    @property
    def places(self) -> frozenset[tuple[RowKind, BillKind | None]]:
        """The kinds that occur among our entries, with the bill that they are restricted to."""
        rows = self._run(match_sql.PLACES).fetchall()
        return frozenset((RowKind(kind), None if bill is None else BillKind(bill)) for kind, bill in rows)

    def compare(self, bill: BillFile | NoBill, source: BillSource, *, day: date, pairs: Path) -> Comparison:
        """Compare one bill. Raises as ``read_rows`` does."""
        self._begin(source.kind)
        self._reading = Reading.of(bill, source.layout) if isinstance(bill, BillFile) else None
        if self._reading is not None:
            self._read(self._reading)
        self._run(*match_sql.views(source.kind, covered(source)), match_sql.JOIN)
        (is_crossed,) = self._one(match_sql.IS_CROSSED)
        self._run(*(match_sql.CROSSED if is_crossed else [match_sql.NOTHING_CROSSED]))
        self._run(*match_sql.REST, *match_sql.ROUNDS, *match_sql.LEFT, match_sql.differing(source.lists))
        self._run(match_sql.pairs(source.kind), file=str(pairs.resolve()))
        totals = self._run(match_sql.TOTALS, carried=self._carried_count).fetchall()
        agreed = self._run(match_sql.AGREED).fetchall()
        return Comparison(
            totals={RowKind(kind): Total(rows=rows, amount_fen=fen, fee_fen=fee) for kind, rows, fen, fee in totals},
            agreed=[
                Tally(bill=source.kind, kind=RowKind(kind), found=None, rows=rows, ours_fen=fen, theirs_fen=fen)
                for kind, rows, fen in agreed
            ],
            differences=self._differences(source.kind),
        )

    def _begin(self, bill: BillKind) -> None:
        """An empty table of rows, with those of earlier days in it."""
        self._run(match_sql.table("theirs", match_sql.THEIRS))
        if self._carried_rows is not None:
            self._load(match_sql.take_carried(bill), self._carried_rows, read_listed)
        (self._carried_count,) = self._one(match_sql.COUNT_THEIRS)

    def _read(self, reading: Reading) -> None:
        """The bill's rows, after those of earlier days: in the fastest way that its text allows."""
        import duckdb

        self._run(number_macro(reading.strip))
        whole = direct(reading)
        ways = [] if whole is None else [iter([whole])]
        ways += [parts(reading, self._work, is_careful=is_careful) for is_careful in (False, True)]
        for way in ways:
            try:
                self._take(reading, way)
            except (duckdb.InvalidInputException, duckdb.ConversionException, UnreadableRowError):
                unread = 1
            else:
                (unread,) = self._one(match_sql.UNREAD)
            if not unread:
                return
            self._begin(reading.bill.kind)
        for _ in listed_rows(reading.bill, reading.layout):  # raises what is wrong, as the plain engine does
            pass
        raise AssertionError(reading.layout.name)

    def _take(self, reading: Reading, made: Iterator[Part]) -> None:
        with ThreadPoolExecutor(max_workers=1) as ahead:  # the next part is written while this one is read
            following = ahead.submit(next, made, None)
            while (part := following.result()) is not None:
                following = ahead.submit(next, made, None)
                self._insert(reading, part)
                if part.is_ours:
                    part.path.unlink()

    def _insert(self, reading: Reading, part: Part) -> None:
        self._run(match_sql.take_rows(select_rows(reading, part), reading.bill.day), file=str(part.path.resolve()))

    def _load(self, statement: str, path: Path, read: Callable[[Path], Iterator[object]]) -> None:
        """Take a file of ours in. One that is none is left to ``read`` to refuse."""
        import duckdb

        next(read(path), None)
        try:
            self._run(statement, file=str(path.resolve()))
        except (duckdb.InvalidInputException, duckdb.ConversionException):
            for _ in read(path):
                pass
            raise

    def _differences(self, bill: BillKind) -> Iterator[Difference]:
        found = self._run(match_sql.DIFFERENCES, carried=self._carried_count)
        while rows := found.fetchmany(_FETCHED):
            for row in rows:
                yield self._difference(row, bill)

    def _difference(self, row: tuple[Any, ...], bill: BillKind) -> Difference:
        found, has_entry, *rest = row
        ours, (has_row, *theirs) = rest[: len(_OURS)], rest[len(_OURS) :]
        return Difference(
            found=DiscrepancyClass(found),
            entry=_entry(dict(zip(_OURS, ours, strict=True))) if has_entry else None,
            row=self._listed(dict(zip(_THEIRS, theirs, strict=True)), bill) if has_row else None,
        )

    def _listed(self, cells: dict[str, Any], bill: BillKind) -> ListedRow:
        rule, text = cells.pop("rule"), cells.pop("told_at") or ""
        if rule is None:
            at = datetime.fromisoformat(text).replace(tzinfo=BEIJING) if text else None
        else:
            assert self._reading is not None
            told = (part.strip(self._reading.strip) for part in text.split(BETWEEN))
            at = self._reading.rules[rule].moment("".join(told), near=cells["day"])
        named = {"bill": bill, "at": at, "kind": RowKind(cells["kind"]), "state": RowState(cells["state"])}
        return ListedRow(**cells | named)

    def _one(self, query: str) -> tuple[Any, ...]:
        row = self._run(query).fetchone()
        assert row is not None
        return row

    def _run(self, *statements: str, **parameters: object) -> duckdb.DuckDBPyConnection:
        for statement in statements:
            self._database.execute(statement, parameters or None)
        return self._database


def _entry(cells: dict[str, Any]) -> Entry:
    bill = cells["bill"] and BillKind(cells["bill"])
    return Entry(**cells | {"bill": bill, "kind": RowKind(cells["kind"]), "state": RowState(cells["state"])})
