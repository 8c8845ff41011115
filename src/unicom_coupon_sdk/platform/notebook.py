"""The notebook: what an adapter must remember between two calls, kept in the ledger's own database.

Adapters hold no state, but some protocols do: a POS terminal has a trace number that may never be used twice, and a
reversal that must survive the death of the process that owes it. Such things are notes: JSON documents by platform and
name, read and written inside ``Transact``, so they are as durable, as shared between processes, and as recoverable as
the ledger itself. There is nothing to configure and no second store that could disagree with the first.

A note holds no secret and no personal data in the clear: an adapter seals what is either.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy import text

from unicom_coupon_sdk.platform.effects import Transact

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

_WHERE: Final = "WHERE platform = :platform AND name = :name"
_READ: Final = text(f"SELECT value FROM note {_WHERE}")  # noqa: S608 - our own constant
_READ_LOCKED: Final = text(f"SELECT value FROM note {_WHERE} FOR UPDATE")  # noqa: S608
_OPEN: Final = text(
    "INSERT INTO note (platform, name, value) VALUES (:platform, :name, :value) ON CONFLICT (platform, name) DO NOTHING"
)
_WRITE: Final = text(
    "INSERT INTO note (platform, name, value) VALUES (:platform, :name, :value)"
    " ON CONFLICT (platform, name) DO UPDATE SET value = excluded.value"
)
_DELETE: Final = text(f"DELETE FROM note {_WHERE}")  # noqa: S608


class Notebook:
    """One platform's notes within one transaction.

    A note that is read is locked until the transaction ends, so reading, changing and writing it is one step for
    everybody else. Values are JSON objects.
    """

    def __init__(self, connection: Connection, *, platform: str) -> None:
        self._connection = connection
        self._platform = platform
        self._read = _READ if connection.dialect.name == "sqlite" else _READ_LOCKED

    def get(self, name: str) -> dict[str, Any] | None:
        """The note, or ``None``."""
        found = self._connection.execute(self._read, {"platform": self._platform, "name": name}).scalar()
        if found is None:
            return None
        value: dict[str, Any] = json.loads(found)
        return value

    def opened(self, name: str, *, first: Mapping[str, Any]) -> dict[str, Any]:
        """The note; it is ``first`` when there was none. Two who open it at once get one note."""
        self._connection.execute(_OPEN, self._row(name, first))
        found = self.get(name)
        assert found is not None
        return found

    def put(self, name: str, value: Mapping[str, Any]) -> None:
        """Write the note whole."""
        self._connection.execute(_WRITE, self._row(name, value))

    def delete(self, name: str) -> None:
        """Forget the note; nothing happens when there is none."""
        self._connection.execute(_DELETE, {"platform": self._platform, "name": name})

    def _row(self, name: str, value: Mapping[str, Any]) -> dict[str, str]:
        text_of = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
        return {"platform": self._platform, "name": name, "value": text_of}


def noting(platform: str, work: Callable[[Notebook], T]) -> Transact[T]:
    """The effect that does ``work`` on the platform's notes in one transaction of the ledger."""
    return Transact(lambda connection: work(Notebook(connection, platform=platform)))
