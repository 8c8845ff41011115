"""Statements that are compiled once: SQLAlchemy writes the SQL of each database, the driver runs it.

A redemption is a dozen small statements, and an ORM-grade execution path costs more than the database does. So each
statement is built once at import with bind parameters, compiled once per dialect, and then handed to the driver's own
cursor inside the connection's transaction. All values are integers, texts and bytes (see ``schema``), so there is
nothing for a type system to convert, and both databases get the very same Python values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Connection, Select, Table
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.sql.expression import ClauseElement, CompoundSelect

from unicom_coupon_sdk.errors import LedgerError
from unicom_coupon_sdk.ledger.failures import ledger_error

Row = TypeVar("Row", bound=tuple[Any, ...])
InsertMaker = Callable[[Table], Any]
"""``insert`` of a dialect that knows ON CONFLICT; SQLite and PostgreSQL spell it alike."""

Builder = Callable[[InsertMaker], ClauseElement]


class _Compiled(NamedTuple):
    text: str
    order: Callable[[Mapping[str, Any]], tuple[Any, ...]] | None
    constants: dict[str, Any]


class _Statement:
    """A clause, and its text for each dialect it has met."""

    __slots__ = ("_clause", "_known")

    def __init__(self, clause: ClauseElement | Builder) -> None:
        self._clause = clause
        self._known: dict[str, _Compiled] = {}

    def _arguments(self, connection: Connection, values: Mapping[str, Any]) -> tuple[str, Any]:
        dialect = connection.dialect.name
        text, order, constants = self._known.get(dialect) or self._compile(connection)
        if constants:
            values = {**constants, **values}
        return (text, values) if order is None else (text, order(values))

    def _compile(self, connection: Connection) -> _Compiled:
        clause = self._clause
        if not isinstance(clause, ClauseElement):
            clause = clause(postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert)
        compiled: Any = clause.compile(dialect=connection.dialect)
        found = _Compiled(
            text=str(compiled),
            order=_picker(compiled.positiontup) if compiled.positional else None,
            constants={name: bind.value for name, bind in compiled.binds.items() if not bind.required},
        )
        self._known[connection.dialect.name] = found
        return found


def _picker(names: Sequence[str]) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    if len(names) == 1:
        only = names[0]
        return lambda values: (values[only],)
    return itemgetter(*names) if names else lambda _: ()


class Query(_Statement, Generic[Row]):
    """A ``select`` whose rows are ``row``, a named tuple with the same names in the same order."""

    __slots__ = ("_row",)

    def __init__(self, clause: Select[Any] | CompoundSelect[Any], row: type[Row]) -> None:
        super().__init__(clause)
        names = tuple(column.key for column in clause.selected_columns)
        if names != row._fields:  # type: ignore[attr-defined]
            raise TypeError(f"{row.__name__} does not fit its statement")
        self._row: Callable[[Iterable[Any]], Row] = row._make  # type: ignore[attr-defined]

    def one(self, connection: Connection, /, **values: Any) -> Row | None:
        """The first row, or ``None``."""
        text, arguments = self._arguments(connection, values)
        try:
            found = _driver(connection).execute(text, arguments).fetchone()
        except _driver_error(connection) as error:
            raise ledger_error(error) from None
        return None if found is None else self._row(found)

    def all(self, connection: Connection, /, **values: Any) -> list[Row]:
        """Every row."""
        text, arguments = self._arguments(connection, values)
        try:
            found = _driver(connection).execute(text, arguments).fetchall()
        except _driver_error(connection) as error:
            raise ledger_error(error) from None
        return list(map(self._row, found))


class Command(_Statement):
    """An ``insert``, ``update`` or ``delete``; or a function that makes one from a dialect's own ``insert``."""

    __slots__ = ()

    def run(self, connection: Connection, /, **values: Any) -> int:
        """How many rows it changed."""
        _require_transaction(connection)
        text, arguments = self._arguments(connection, values)
        try:
            changed: int = _driver(connection).execute(text, arguments).rowcount
        except _driver_error(connection) as error:
            raise ledger_error(error) from None
        return changed

    def run_many(self, connection: Connection, rows: Iterable[Mapping[str, Any]], /) -> int:
        """How many rows it changed, run once for each of ``rows``."""
        _require_transaction(connection)
        batch = [self._arguments(connection, values) for values in rows]
        if not batch:
            return 0
        cursor = _driver(connection).cursor()
        try:
            cursor.executemany(batch[0][0], [arguments for _, arguments in batch])
            changed: int = cursor.rowcount
        except _driver_error(connection) as error:
            raise ledger_error(error) from None
        finally:
            cursor.close()
        return changed


def _require_transaction(connection: Connection) -> None:
    """Outside a transaction SQLite would keep each statement by itself, so a crash could leave half a redemption."""
    if not connection.in_transaction():
        raise LedgerError("ledger.no_transaction")


def _driver(connection: Connection) -> Any:
    """The driver's connection, inside whose transaction everything here happens; sqlite3 and psycopg 3 are alike."""
    return connection.connection.dbapi_connection


def _driver_error(connection: Connection) -> type[Exception]:
    found: type[Exception] = connection.dialect.loaded_dbapi.Error
    return found
