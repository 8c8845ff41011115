"""The phone: texts that a user would have received, one-time codes and reminders.

Kept in the store of the emulator that sent them, in the same transaction as the request, the latest ten thousand.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from unicom_coupon_sdk.sandbox.store import DocumentStore

_KIND: Final = "frame.messages"
KEPT: Final = 10_000


class MessageOutbox:
    """What one platform has sent to phones, oldest first."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    def add(self, to: str, *, kind: str, text: str, at: datetime, code: str | None = None) -> None:
        """Send a text."""
        with self._store.transaction():
            number = self._store.next_number(_KIND)
            message: dict[str, Any] = {"at": at.isoformat(), "to": to, "kind": kind, "text": text}
            if code is not None:
                message["code"] = code
            self._store.put(_KIND, str(number), message)
            self._store.delete(_KIND, str(number - KEPT))

    def sent(self, to: str | None = None) -> list[dict[str, Any]]:
        """The texts as ``GET /messages`` lists them; to one phone, or all."""
        return [message for _, message in self._store.all(_KIND) if to is None or message["to"] == to]
