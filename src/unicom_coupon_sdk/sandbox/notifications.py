"""Callbacks on their way to the merchant: what is queued, when it is due, how often it was tried.

The queue decides and remembers; it sends nothing. An attempt is handed out as a value, whoever drives the sandbox
performs it (over a socket, or by calling a function in process), and its result is handed back. A notification is
stored in the same transaction as the request that caused it.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from unicom_coupon_sdk.platform.wire import Headers
from unicom_coupon_sdk.runtime.transport import is_loopback
from unicom_coupon_sdk.sandbox.emulator import Callback
from unicom_coupon_sdk.sandbox.store import DocumentStore

_KIND: Final = "frame.notifications"
KEPT: Final = 10_000

PENDING: Final = "pending"
DELIVERED: Final = "delivered"
FAILED: Final = "failed"
BLOCKED: Final = "blocked"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One delivery to be made.

    ``is_half``: only half the body goes out; ``is_lost``: nothing goes out; ``is_unheard``: the merchant's answer is
    not heard, so the platform will try again.
    """

    platform: str
    notification_id: str
    method: str
    url: str
    headers: Headers = field(repr=False)
    content: bytes = field(repr=False)
    is_half: bool = False
    is_lost: bool = False
    is_unheard: bool = False


def is_loopback_url(url: str) -> bool:
    """Whether ``url`` is HTTP(S) to this machine, by its literal host. No name but ``localhost`` is looked up."""
    parts = urlsplit(url)
    return parts.scheme in {"http", "https"} and is_loopback(parts.hostname or "")


class NotificationQueue:
    """The notifications of one platform. ``reaches`` tells whether a URL may be called at all."""

    def __init__(self, store: DocumentStore, *, platform: str, reaches_all: bool = False) -> None:
        self._store = store
        self._platform = platform
        self._reaches_all = reaches_all
        # Times and ids of what may be pending. An entry that the store no longer confirms is stale and dropped when
        # it surfaces, so a rolled-back request or a reset need not search this heap.
        self._heap: list[tuple[datetime, str]] = []
        self._finished = 0
        for key, document in store.all(_KIND):
            self._finished += document["state"] != PENDING
            if document["state"] == PENDING:
                heapq.heappush(self._heap, (datetime.fromisoformat(document["due"]), key))

    def add(self, callback: Callback, *, now: datetime, delay_s: float = 0.0, copies: int = 1) -> None:
        """Queue a callback, ``copies`` times accepted before it is over. A URL out of reach is kept as ``blocked``."""
        key = callback.callback_id
        with self._store.transaction():
            if self._store.get(_KIND, key) is not None:
                key = f"{key}-{self._store.next_number(_KIND)}"
            due = now + timedelta(seconds=delay_s + (callback.schedule_s[0] if callback.schedule_s else 0.0))
            state = PENDING if self._reaches_all or is_loopback_url(callback.url) else BLOCKED
            self._store.put(
                _KIND,
                key,
                {
                    "callback_id": callback.callback_id,
                    "event": callback.event,
                    "url": callback.url,
                    "payload": callback.payload,
                    "schedule_s": list(callback.schedule_s),
                    "due": due.isoformat(),
                    "attempts": 0,
                    "copies": copies,
                    "state": state,
                },
            )
            if state == PENDING:
                heapq.heappush(self._heap, (due, key))
            else:
                self._prune()

    def listed(self) -> list[dict[str, Any]]:
        """The notifications as ``GET /notifications`` lists them, oldest first."""
        return [
            {"id": key, "platform": self._platform}
            | {name: document[name] for name in ("event", "url", "due", "attempts", "state")}
            for key, document in self._store.all(_KIND)
        ]

    def next_due(self) -> datetime | None:
        """When the next attempt is due, or ``None`` when nothing is pending."""
        while self._heap:
            due, key = self._heap[0]
            document = self._store.get(_KIND, key)
            if document and document["state"] == PENDING and datetime.fromisoformat(document["due"]) == due:
                return due
            heapq.heappop(self._heap)
        return None

    def due(self, at: datetime) -> list[str]:
        """The ids of what is due at ``at``, earliest first, each once."""
        found: dict[str, None] = {}
        while (due := self.next_due()) is not None and due <= at:
            found[heapq.heappop(self._heap)[1]] = None
        for key in found:
            # Still pending: whoever attempts it tells the result, and until then it must be found again after a crash.
            self._push(key)
        return list(found)

    def pending(self) -> list[str]:
        """The ids of all that is pending, due or not."""
        return [key for key, document in self._store.all(_KIND) if document["state"] == PENDING]

    def is_pending(self, key: str) -> bool:
        """Whether more is to be delivered."""
        document = self._store.get(_KIND, key)
        return document is not None and document["state"] == PENDING

    def is_repeated(self, key: str) -> bool:
        """Whether it was accepted once and its duplicate is still to come."""
        document = self._store.get(_KIND, key)
        return document is not None and document["state"] == PENDING and document.get("accepted", False)

    def callback(self, key: str) -> Callback | None:
        """The callback behind an id, if it is pending."""
        document = self._store.get(_KIND, key)
        if document is None or document["state"] != PENDING:
            return None
        return Callback(
            callback_id=document["callback_id"],
            event=document["event"],
            url=document["url"],
            payload=document["payload"],
            schedule_s=tuple(document["schedule_s"]),
        )

    def conclude(self, key: str, *, accepted: bool, now: datetime) -> None:
        """Remember an attempt: over, to be tried again on schedule, or to be repeated as a duplicate at once."""
        with self._store.transaction():
            document = self._store.get(_KIND, key)
            if document is None or document["state"] != PENDING:
                return
            document["attempts"] += 1
            schedule = document["schedule_s"]
            was_accepted = document.get("accepted", False)
            if accepted or was_accepted:
                document["copies"] -= 1
                document["accepted"] = True
                document["state"] = PENDING if document["copies"] > 0 else DELIVERED
                document["due"] = now.isoformat()
            elif document["attempts"] < len(schedule):
                document["due"] = (now + timedelta(seconds=schedule[document["attempts"]])).isoformat()
            else:
                document["state"] = FAILED
            self._store.put(_KIND, key, document)
            if document["state"] == PENDING:
                self._push(key)
            else:
                self._prune()

    def _push(self, key: str) -> None:
        document = self._store.get(_KIND, key)
        if document is not None:
            heapq.heappush(self._heap, (datetime.fromisoformat(document["due"]), key))

    def _prune(self) -> None:
        """Forget the oldest finished notifications, some at a time, so that the search for them is rare."""
        self._finished += 1
        if self._finished <= KEPT + KEPT // 10:
            return
        finished = [key for key, document in self._store.all(_KIND) if document["state"] != PENDING]
        for key in finished[: max(0, len(finished) - KEPT)]:
            self._store.delete(_KIND, key)
        self._finished = min(len(finished), KEPT)
