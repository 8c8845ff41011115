"""Engines: how the ledger's database is opened so that what was written stays written.

SQLite runs in WAL mode with ``synchronous=FULL``: a commit that returned survives a power cut. A transaction begins
with ``BEGIN IMMEDIATE``, so it never reads something, waits, and then finds that it may not write. A connection belongs
to the process that made it: after a fork the child makes its own and never touches, nor closes, the parent's.

This is the only module with SQL of one database in it.
"""

from __future__ import annotations

import os
import sqlite3
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import QueuePool

from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.ledger.failures import translate_errors

BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for another process's transaction before ``ledger.busy``, in seconds."""

_STATEMENTS_KEPT = 256
_POOL_SIZE = 8
_POOL_OVERFLOW = 56
_WAL_ATTEMPTS = 200

_engines: weakref.WeakSet[Engine] = weakref.WeakSet()
_inherited: list[object] = []


def open_engine(url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """An engine for a ledger. Nothing is opened yet; ``prepare`` it before use.

    ``url`` is ``sqlite:///relative.db``, ``sqlite:////absolute.db``, ``sqlite://`` (in memory, one connection, for
    tests) or ``postgresql://…``. Raises ``ConfigurationError``: ``ledger.url``, ``ledger.no_directory``,
    ``ledger.is_directory``, ``ledger.driver``.
    """
    try:
        target = make_url(url)
    except ArgumentError:
        raise ConfigurationError("ledger.url", field="ledger.url") from None
    if target.get_backend_name() == "sqlite":
        return _open_sqlite(target, busy_timeout_s=busy_timeout_s)
    if target.get_backend_name() == "postgresql":
        return _open_postgresql(target)
    raise ConfigurationError("ledger.url", field="ledger.url")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection that sees one state of the ledger, for work that only reads.

    On SQLite it waits for no writer, and no writer waits for it. What is written through it is undone.
    """
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.connection.cursor().execute("BEGIN")
        try:
            yield connection
        finally:
            connection.connection.rollback()


def is_in_memory(engine: Engine) -> bool:
    """Whether the ledger is gone with its engine."""
    return engine.url.get_backend_name() == "sqlite" and engine.url.database in (None, "", ":memory:")


def _open_sqlite(target: URL, *, busy_timeout_s: float) -> Engine:
    path = target.database
    in_memory = path in (None, "", ":memory:")
    if path and not in_memory and not path.startswith("file:"):
        if not Path(path).resolve().parent.is_dir():
            raise ConfigurationError("ledger.no_directory", field="ledger.url", path=str(Path(path).parent))
        if Path(path).is_dir():
            raise ConfigurationError("ledger.is_directory", field="ledger.url", path=path)
    engine = create_engine(
        target,
        poolclass=QueuePool,
        pool_size=1 if in_memory else _POOL_SIZE,
        max_overflow=0 if in_memory else _POOL_OVERFLOW,
        connect_args={
            "check_same_thread": False,  # the pool hands a connection to one thread at a time
            "timeout": busy_timeout_s,
            "cached_statements": _STATEMENTS_KEPT,
        },
    )
    event.listen(engine, "connect", _set_up_sqlite if not in_memory else _set_up_memory)
    # The dialect's own hook and not the ``begin`` event, which would add half to the price of a transaction.
    engine.dialect.do_begin = _begin_sqlite  # type: ignore[assignment,method-assign]
    return _guarded(engine)


def _open_postgresql(target: URL) -> Engine:
    if target.drivername == "postgresql":
        target = target.set(drivername="postgresql+psycopg")
    try:
        engine = create_engine(target, pool_pre_ping=True, pool_size=_POOL_SIZE, max_overflow=_POOL_OVERFLOW)
    except (ImportError, NoSuchModuleError):
        raise ConfigurationError("ledger.driver", field="ledger.url", extra="postgres") from None
    return _guarded(engine)


def _guarded(engine: Engine) -> Engine:
    translate_errors(engine)
    _engines.add(engine)
    return engine


def _set_up_memory(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours
    connection.execute("PRAGMA foreign_keys = ON")


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # BEGIN is ours
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    _enter_wal(connection)


def _enter_wal(connection: sqlite3.Connection) -> None:
    """WAL mode, entered once in a file's life. SQLite does not wait for a lock there, so we do."""
    for attempt in range(_WAL_ATTEMPTS):
        if connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            return
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or attempt == _WAL_ATTEMPTS - 1:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Any) -> None:
    if not connection.dbapi_connection.in_transaction:
        connection.dbapi_connection.execute("BEGIN IMMEDIATE")


def _leave_to_parent() -> None:
    """In the child of a fork: drop the pools unclosed, since closing a parent's SQLite handle can release its locks."""
    for engine in list(_engines):
        _inherited.append(engine.pool)
        engine.dispose(close=False)


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_leave_to_parent)
