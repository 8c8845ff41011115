"""The frame around one emulator: its store, folder, clock, randomness, callbacks and messages."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Final

from unicom_coupon_sdk.domain.bill import BillKind, RowKind
from unicom_coupon_sdk.sandbox.bills import BillBook, BillLine, MadeBill
from unicom_coupon_sdk.sandbox.clock import SimulatedClock
from unicom_coupon_sdk.sandbox.emulator import Callback
from unicom_coupon_sdk.sandbox.faults import NOTIFICATION_FAULTS, FaultBook, FaultKind
from unicom_coupon_sdk.sandbox.messages import MessageOutbox
from unicom_coupon_sdk.sandbox.notifications import NotificationQueue
from unicom_coupon_sdk.sandbox.store import DocumentStore

_ADDRESSES: Final = "frame.addresses"
_RANDOM: Final = "frame.random"
_ANY_EVENT: Final = "*"
_RESERVED: Final = 1024


class PlatformFrame:
    """What one emulator sees of the sandbox. ``serving`` names the request that is being served, for faults."""

    def __init__(
        self,
        store: DocumentStore,
        *,
        platform: str,
        directory: Path,
        clock: SimulatedClock,
        faults: FaultBook,
        notifications: NotificationQueue,
        messages: MessageOutbox,
        bills: BillBook,
        seed: int | None,
        wake: Callable[[], None],
        files_url: str,
    ) -> None:
        self._store = store
        self._platform = platform
        self._directory = directory
        self._clock = clock
        self._faults = faults
        self._notifications = notifications
        self._messages = messages
        self._bills = bills
        self._random = os.urandom if seed is None else SeededBytes(store, seed=seed, label=platform)
        self._wake = wake
        self.serving = ""
        self.files_url = files_url

    @property
    def store(self) -> DocumentStore:
        """Where all state lives."""
        return self._store

    @property
    def directory(self) -> Path:
        """The emulator's own folder for key files."""
        return self._directory

    def now(self) -> datetime:
        """The simulated time, aware, UTC."""
        return self._clock.now()

    def random_bytes(self, count: int) -> bytes:
        """From the seed when there is one, else from the operating system."""
        return self._random(count)

    def send_callback(self, callback: Callback) -> None:
        """Queue a callback, unless a fault swallows it."""
        matches = (callback.event, self.serving) if self.serving else (callback.event,)
        fault = self._faults.take(NOTIFICATION_FAULTS, *matches, unmatched=True)
        if fault is not None and fault.kind is FaultKind.NO_NOTIFICATION:
            return
        late = self._faults.take(frozenset({FaultKind.DELAY}), callback.event, unmatched=False)
        self._notifications.add(
            callback, now=self.now(), delay_s=late.seconds if late else 0.0, copies=2 if fault is not None else 1
        )
        self._wake()

    def send_message(self, to: str, *, kind: str, text: str, code: str | None = None) -> None:
        """Put a text into the outbox of phone messages."""
        self._messages.add(to, kind=kind, text=text, at=self.now(), code=code)

    def registered_url(self, event: str) -> str | None:
        """The address registered for ``event``, else the one for all events, else ``None``."""
        found = self._store.get(_ADDRESSES, event) or self._store.get(_ADDRESSES, _ANY_EVENT)
        return found["url"] if found else None

    def make_bill(
        self,
        bill: BillKind,
        day: date,
        *,
        lines: Callable[[], Iterable[BillLine]],
        invent: Callable[[BillLine], BillLine],
        total_of: RowKind | None = None,
    ) -> MadeBill:
        """The bill of ``day``, spoiled when it is first asked for, then always alike."""
        return self._bills.made(bill, day, lines=lines, invent=invent, total_of=total_of)

    def register_url(self, url: str, *, event: str | None) -> None:
        """Remember a callback address, for one event or for all."""
        self._store.put(_ADDRESSES, event or _ANY_EVENT, {"url": url})


class SeededBytes:
    """A repeatable stream of bytes: HMAC-SHA256 of the seed over a counter, never the same twice for one store.

    The counter is reserved ahead in steps, so that drawing bytes does not make every request write; after a restart
    it goes on behind what was reserved.
    """

    def __init__(self, store: DocumentStore, *, seed: int, label: str) -> None:
        self._store = store
        self._key = hashlib.sha256(f"{seed}:{label}".encode()).digest()
        self._next = self._reserved()
        self._limit = self._next

    def __call__(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        drawn = b""
        while len(drawn) < count:
            if self._reserved() != self._limit:
                # The store was emptied, or the transaction that reserved was undone: begin again where it stands.
                self._next = self._limit = self._reserved()
            if self._next == self._limit:
                self._limit += _RESERVED
                self._store.put(_RANDOM, "reserved", {"count": self._limit})
            drawn += hmac.digest(self._key, self._next.to_bytes(8), "sha256")
            self._next += 1
        return drawn[:count]

    def _reserved(self) -> int:
        kept = self._store.get(_RANDOM, "reserved")
        return int(kept["count"]) if kept else 0
