"""The documents of one emulator: an image in memory, made durable by SQLite.

Every document lives in memory as JSON text, so a read costs one decoding and no statement. A transaction gathers its
changes and commits them together before the caller goes on. The server has many requests at hand at once; it lets
their transactions be ``gathered`` and commits them with one ``flush`` before any of their answers goes out. Either way
an answer is sent only after what it says is on disk.

The database runs in WAL mode with ``synchronous=NORMAL``. A commit then hands its pages to the operating system with
``write`` and does not wait for the disk. That is enough here: what a process has written survives its own ``kill -9``,
because the pages belong to the kernel; only a crash of the whole machine can lose the last moments, and then the
merchant under test is gone too. It makes a commit some twenty microseconds instead of some hundreds.

The lock is exclusive: a second sandbox on the same folder would answer from a stale image, so it is refused at start.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeAlias

from unicom_coupon_sdk.errors import ConfigurationError

NUMBERS: Final = "frame.numbers"
"""The kind that keeps the counters of ``next_number``. Kinds that begin with ``frame.`` are the frame's."""

KEYS: Final = "keys"
"""The kind that ``clear`` leaves in place: credentials outlive ``POST /reset``."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    position INTEGER NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID
"""
_READ = "SELECT kind, key, position, value FROM documents ORDER BY position"
_WRITE = (
    "INSERT INTO documents (kind, key, position, value) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (kind, key) DO UPDATE SET position = excluded.position, value = excluded.value"
)
_DELETE = "DELETE FROM documents WHERE kind = ? AND key = ?"


class DocumentStore:
    """Documents by kind and key. Without a ``path`` they live in memory only.

    Outside ``transaction`` each write is its own commit. One thread at a time may be in a transaction; others wait.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.RLock()
        self._image: dict[str, dict[str, _Placed]] = {}
        self._undo: list[tuple[str, str, _Placed | None]] = []
        self._changed: set[tuple[str, str]] = set()
        self._depth = 0
        self._position = 0
        self._transaction = _Transaction(self, is_gathered=False)
        self._gathered = _Transaction(self, is_gathered=True)
        self._database = None if path is None else _open(path)
        self._load()

    def close(self) -> None:
        """Let the database go. The store cannot be used afterwards."""
        if self._database is not None:
            self._database.close()

    def transaction(self) -> AbstractContextManager[None]:
        """All writes within the block are committed together at its end, or undone when it raises.

        A block within a block joins the outer one.
        """
        return self._transaction

    def gathered(self) -> AbstractContextManager[None]:
        """As ``transaction``, but what it wrote is durable only after the next commit or ``flush``."""
        return self._gathered

    def flush(self) -> None:
        """Commit what was gathered. When that fails, it is undone: documents are again as they are on disk."""
        with self._lock:
            try:
                self._commit()
            except BaseException:
                self._load()
                raise

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """A copy of the document, or ``None``."""
        placed = self._image.get(kind, _NOTHING).get(key)
        if placed is None:
            return None
        document: dict[str, Any] = json.loads(placed[1])
        return document

    def put(self, kind: str, key: str, value: Mapping[str, Any]) -> None:
        """Write a document whole."""
        self._set(kind, key, _encode(value))

    def delete(self, kind: str, key: str) -> None:
        """Forget a document; nothing happens when there is none."""
        if key in self._image.get(kind, _NOTHING):
            self._set(kind, key, None)

    def all(self, kind: str) -> Sequence[tuple[str, dict[str, Any]]]:
        """Every document of a kind, in the order of first writing."""
        with self._lock:
            return [(key, json.loads(text)) for key, (_, text) in self._image.get(kind, _NOTHING).items()]

    def count(self, kind: str) -> int:
        """How many documents of a kind there are."""
        return len(self._image.get(kind, _NOTHING))

    def keys(self, kind: str) -> Sequence[str]:
        """The keys of a kind, in the order of first writing, with no document decoded."""
        with self._lock:
            return list(self._image.get(kind, _NOTHING))

    def next_number(self, name: str) -> int:
        """1, 2, 3, … for each name."""
        with self.transaction():
            placed = self._image.get(NUMBERS, _NOTHING).get(name)
            number = int(placed[1]) + 1 if placed else 1
            self._set(NUMBERS, name, str(number))
        return number

    def clear(self) -> None:
        """Forget everything but the documents of kind ``keys``, the counters too."""
        with self.transaction():
            for kind in [kind for kind in self._image if kind != KEYS]:
                for key in list(self._image[kind]):
                    self._set(kind, key, None)

    def _set(self, kind: str, key: str, text: str | None) -> None:
        with self.transaction():
            self._change(kind, key, text)

    def _change(self, kind: str, key: str, text: str | None) -> None:
        documents = self._image.setdefault(kind, {})
        before = documents.get(key)
        if text is None:
            documents.pop(key, None)
        elif before is not None:
            documents[key] = (before[0], text)
        else:
            self._position += 1
            documents[key] = (self._position, text)
        self._undo.append((kind, key, before))
        self._changed.add((kind, key))

    def enter(self) -> None:
        """Begin a transaction, or join the one that this thread is in."""
        self._lock.acquire()
        self._depth += 1

    def leave(self, *, is_failed: bool, is_gathered: bool) -> None:
        """End what ``enter`` began: the outermost commits, or leaves that to ``flush``, or undoes what failed."""
        try:
            if self._depth == 1 and self._undo:
                try:
                    if is_failed:
                        self._roll_back()
                    elif not is_gathered:
                        self._commit_or_roll_back()
                finally:
                    self._undo.clear()
        finally:
            self._depth -= 1
            self._lock.release()

    def _commit_or_roll_back(self) -> None:
        try:
            self._commit()
        except BaseException:
            self._roll_back()
            raise

    def _load(self) -> None:
        self._changed.clear()
        if self._database is None:
            return
        self._image.clear()
        for kind, key, position, value in self._database.execute(_READ):
            self._image.setdefault(kind, {})[key] = (position, value)
            self._position = position

    def _commit(self) -> None:
        if self._database is None:
            self._changed.clear()
        if self._database is None or not self._changed:
            return
        execute = self._database.execute
        execute("BEGIN IMMEDIATE")
        try:
            for kind, key in self._changed:
                placed = self._image[kind].get(key)
                if placed is None:
                    execute(_DELETE, (kind, key))
                else:
                    execute(_WRITE, (kind, key, *placed))
            execute("COMMIT")
        except BaseException:
            self._database.rollback()
            raise
        self._changed.clear()

    def _roll_back(self) -> None:
        disordered: set[str] = set()
        for kind, key, before in reversed(self._undo):
            documents = self._image[kind]
            if before is None:
                documents.pop(key, None)
            else:
                if key not in documents:
                    disordered.add(kind)
                documents[key] = before
        for kind in disordered:
            self._image[kind] = dict(sorted(self._image[kind].items(), key=lambda item: item[1][0]))


class _Transaction(AbstractContextManager[None]):
    """A block of ``DocumentStore``'s. It has no state of its own, so one serves every block of its kind."""

    def __init__(self, store: DocumentStore, *, is_gathered: bool) -> None:
        self._store = store
        self._is_gathered = is_gathered

    def __enter__(self) -> None:
        self._store.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.leave(is_failed=kind is not None, is_gathered=self._is_gathered)


_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_Placed: TypeAlias = tuple[int, str]
"""A document's place in the order of first writing, and its JSON text."""

_NOTHING: Final[dict[str, _Placed]] = {}


def _open(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=0.2)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA wal_autocheckpoint = 4000")  # a checkpoint waits for the disk; so seldom
        database.execute(_SCHEMA)
        database.execute("BEGIN EXCLUSIVE")
        database.execute("COMMIT")
    except sqlite3.OperationalError as error:
        database.close()
        code = "sandbox.directory_in_use" if "locked" in str(error) else "sandbox.state_unreadable"
        raise ConfigurationError(code, field="dir", path=str(path.parent)) from None
    except sqlite3.DatabaseError:
        database.close()
        raise ConfigurationError("sandbox.state_unreadable", field="dir", path=str(path.parent)) from None
    return database
