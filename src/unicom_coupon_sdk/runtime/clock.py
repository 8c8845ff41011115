"""Clocks: the real one, one that can be moved, and one that follows a sandbox.

A clock tells the time and waits. That both are one thing matters for the movable clock: when a test advances it by a
day, whoever sleeps for less than that wakes at once. ``time.time`` and its kin appear here and nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol
from urllib.parse import urlsplit

from unicom_coupon_sdk.errors import ConfigurationError, PlatformError
from unicom_coupon_sdk.platform.effects import HttpCall
from unicom_coupon_sdk.platform.wire import HttpRequest, TransportRules
from unicom_coupon_sdk.runtime import forks
from unicom_coupon_sdk.runtime.transport import BlockingTransport, is_loopback


class Clock(Protocol):
    """The time, and waiting for it to pass."""

    def now(self) -> datetime:
        """The time, aware, UTC."""

    def sleep(self, seconds: float) -> None:
        """Block this thread for ``seconds`` of this clock's time."""

    async def async_sleep(self, seconds: float) -> None:
        """Suspend this task for ``seconds`` of this clock's time."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time, aware, UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        """Block this thread for ``seconds``."""
        time.sleep(max(seconds, 0.0))

    async def async_sleep(self, seconds: float) -> None:
        """Suspend this task for ``seconds``."""
        await asyncio.sleep(max(seconds, 0.0))


class OffsetClock:
    """The machine's clock plus an offset that can be moved while it runs. Thread-safe.

    Moving it forward lets sleepers whose time has come go on at once; moving it back does not make anyone sleep longer.
    """

    def __init__(self, *, offset: timedelta = timedelta(0)) -> None:
        self._offset = offset
        self._skipped_s = 0.0
        self._moved = threading.Condition()
        self._sleepers: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        forks.watch(self)

    @property
    def offset(self) -> timedelta:
        """How far this clock is ahead of the machine's."""
        return self._offset

    def now(self) -> datetime:
        """The time, aware, UTC."""
        return datetime.now(UTC) + self._offset

    def advance(self, by: timedelta) -> datetime:
        """Move by ``by`` (negative: back) and tell the new time."""
        with self._moved:
            self._offset += by
            self._skipped_s += max(by.total_seconds(), 0.0)
            self._moved.notify_all()
            sleepers = tuple(self._sleepers.items())
        for event, loop in sleepers:
            with suppress(RuntimeError):  # that loop has ended, and its sleeper with it
                loop.call_soon_threadsafe(event.set)
        return self.now()

    def set(self, now: datetime) -> datetime:
        """Move to ``now`` (aware) and tell the new time, which has gone on by a moment."""
        return self.advance(now - self.now())

    def sleep(self, seconds: float) -> None:
        """Block this thread for ``seconds`` of this clock's time."""
        wakes_at = self._elapsed_s() + seconds
        with self._moved:
            while (left := wakes_at - self._elapsed_s()) > 0:
                self._moved.wait(left)

    async def async_sleep(self, seconds: float) -> None:
        """Suspend this task for ``seconds`` of this clock's time."""
        wakes_at = self._elapsed_s() + seconds
        event = asyncio.Event()
        with self._moved:
            self._sleepers[event] = asyncio.get_running_loop()
        try:
            while (left := wakes_at - self._elapsed_s()) > 0:
                event.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await event.wait()
            await asyncio.sleep(0)
        finally:
            with self._moved:
                del self._sleepers[event]

    def _elapsed_s(self) -> float:
        return time.monotonic() + self._skipped_s

    def after_fork(self) -> None:
        """In a child: the parent's sleepers are not ours."""
        self._moved = threading.Condition()
        self._sleepers = {}


class FollowedClock(OffsetClock):
    """The clock of a running sandbox, read once from its control address: ``GET {control}/clock``.

    Only for sandboxes: an address that is not this machine's own raises ``ConfigurationError``
    (``clock.not_loopback``), so no configuration can put a production client under another host's time. A sandbox that
    cannot be read raises ``ConfigurationError`` (``clock.unreadable``). ``refresh`` reads it again.
    """

    def __init__(self, control: str, *, http: BlockingTransport | None = None) -> None:
        host = urlsplit(control).hostname or ""
        if not is_loopback(host):
            raise ConfigurationError("clock.not_loopback", field="control", host=host)
        super().__init__()
        self._http = http
        self._call = HttpCall(
            request=HttpRequest(method="GET", url=control.rstrip("/") + "/clock", headers=()),
            rules=TransportRules(
                allowed_hosts=frozenset({host}), connect_timeout_s=5, read_timeout_s=5, largest_answer=4096
            ),
        )
        self.refresh()

    def refresh(self) -> datetime:
        """Read the sandbox's clock again and tell its time."""
        asked = datetime.now(UTC)
        told = self._read()
        answered = datetime.now(UTC)
        self.advance(told - (asked + (answered - asked) / 2) - self._offset)
        return self.now()

    def _read(self) -> datetime:
        try:
            answer = self._send()
        except PlatformError as error:
            raise ConfigurationError("clock.unreadable", field="control", reason=error.code) from error
        try:
            told = datetime.fromisoformat(json.loads(answer)["now"])
        except (ValueError, KeyError, TypeError):
            raise ConfigurationError("clock.unreadable", field="control", reason="content") from None
        if told.tzinfo is None:
            raise ConfigurationError("clock.unreadable", field="control", reason="zone")
        return told

    def _send(self) -> bytes:
        if self._http is not None:
            return self._http.send(self._call).content
        from unicom_coupon_sdk.runtime.http import BlockingHttp

        http = BlockingHttp()
        try:
            return http.send(self._call).content
        finally:
            http.close()
