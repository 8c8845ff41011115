"""The database's errors as ours: a stable code for each thing an operator can mend.

The driver's own text is dropped, since PostgreSQL puts values of the row into it; its name of the error stays.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from unicom_coupon_sdk.errors import CouponError, Effected, LedgerError

_SQLITE = {
    sqlite3.SQLITE_BUSY: "ledger.busy",
    sqlite3.SQLITE_LOCKED: "ledger.busy",
    sqlite3.SQLITE_READONLY: "ledger.read_only",
    sqlite3.SQLITE_NOTADB: "ledger.not_a_ledger",
    sqlite3.SQLITE_CANTOPEN: "ledger.cannot_open",
    sqlite3.SQLITE_FULL: "ledger.full",
    sqlite3.SQLITE_IOERR: "ledger.io",
    sqlite3.SQLITE_CORRUPT: "ledger.corrupt",
    sqlite3.SQLITE_CONSTRAINT: "ledger.constraint",
}
"""By SQLite's primary result code; the extended codes keep it in their low byte."""

_POSTGRESQL = {
    "40001": "ledger.moved",  # serialisation failure
    "40P01": "ledger.moved",  # deadlock
    "55P03": "ledger.busy",  # lock not available
    "25006": "ledger.read_only",
    "53100": "ledger.full",
}
_POSTGRESQL_CLASSES = {"08": "ledger.cannot_open", "23": "ledger.constraint", "57": "ledger.cannot_open"}

RETRYABLE = frozenset({"ledger.busy", "ledger.moved"})
"""Nothing was changed, and the same transaction may be run again as it is: after ``ledger.moved`` at once."""


def ledger_error(error: BaseException) -> LedgerError:
    """The ``LedgerError`` that a driver's error stands for. ``reason`` is the driver's name of the error."""
    if isinstance(error, LedgerError):
        return error
    code, reason = _sorted_out(error)
    made = LedgerError(code, reason=reason)
    made.retryable = code in RETRYABLE
    return made


def moved() -> LedgerError:
    """Somebody else was faster: what this transaction read is out of date, and it must be run again."""
    made = LedgerError("ledger.moved", reason="version")
    made.retryable = True
    return made


def _sorted_out(error: Any) -> tuple[str, str]:
    number = getattr(error, "sqlite_errorcode", None)
    if number is not None:
        return _SQLITE.get(number & 0xFF, "ledger.failed"), str(getattr(error, "sqlite_errorname", number))
    state = getattr(error, "sqlstate", None)
    if state is not None:
        return _POSTGRESQL.get(state) or _POSTGRESQL_CLASSES.get(state[:2], "ledger.failed"), str(state)
    if isinstance(error, PoolTimeoutError):
        return "ledger.busy", "pool"
    if type(error).__module__.partition(".")[0] == "psycopg" and type(error).__name__ == "OperationalError":
        return "ledger.cannot_open", type(error).__name__
    return "ledger.failed", type(error).__name__


def translate_errors(engine: Engine) -> None:
    """From now on what ``engine`` itself runs (connect, BEGIN, COMMIT) fails with ``LedgerError`` too.

    A COMMIT whose answer was lost, or whose write to disk failed half-way, is ``ledger.commit_unknown``: it may stand.
    """

    def translate(context: ExceptionContext) -> None:
        original = context.original_exception
        if isinstance(original, CouponError):
            return
        found = ledger_error(original)
        in_transaction = context.connection is not None and context.statement is None
        if in_transaction and (context.is_disconnect or found.code == "ledger.io"):
            found = LedgerError("ledger.commit_unknown", reason=found.details["reason"])
            found.outcome = Effected.UNKNOWN
        raise found from None

    event.listen(engine, "handle_error", translate)
