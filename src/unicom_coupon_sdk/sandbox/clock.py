"""The simulated clock: the real clock plus an offset, so that a test can make it next month.

It offers what a runtime's clock offers (``now``, ``sleep``, ``async_sleep``), so a client in process shares the
sandbox's time. Its sleeps do not wait: they move the offset, and a flow that backs off for an hour costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.sandbox.store import DocumentStore

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)

_KIND: Final = "clock"
_KEY: Final = "offset"


def real_now() -> datetime:
    """The machine's time, aware, UTC."""
    return datetime.now(UTC)


class SimulatedClock:
    """The time that every emulator and every signature of a sandbox uses.

    The offset is kept in ``store``, so a restarted sandbox goes on in its own time. ``real`` is the clock underneath;
    a frozen one makes a world fully repeatable.
    """

    def __init__(self, store: DocumentStore, *, real: Callable[[], datetime] = real_now) -> None:
        self._store = store
        self._real = real
        kept = store.get(_KIND, _KEY)
        self._offset = timedelta(microseconds=kept["microseconds"]) if kept else timedelta()

    def now(self) -> datetime:
        """The simulated time, aware, UTC."""
        return self._real() + self._offset

    def set(self, at: datetime) -> None:
        """Make it ``at`` now; durable when it returns. Raises ``ValidationError`` beyond the years 2000 to 2099."""
        if not EARLIEST <= at < LATEST:
            raise ValidationError("sandbox.clock_range", field="now")
        self._offset = at - self._real()
        self._store.put(_KIND, _KEY, {"microseconds": self._offset // timedelta(microseconds=1)})

    def shift(self, seconds: float) -> None:
        """Move by ``seconds``, without anything due being done; a later move of the clock does that."""
        self.set(self.now() + timedelta(seconds=seconds))

    def sleep(self, seconds: float) -> None:
        """``seconds`` of simulated time pass at once."""
        if seconds > 0:
            self.shift(seconds)

    async def async_sleep(self, seconds: float) -> None:
        """``seconds`` of simulated time pass at once."""
        self.sleep(seconds)

    def reset(self) -> None:
        """The offset is nothing again: simulated time is real time."""
        self._offset = timedelta()
        self._store.delete(_KIND, _KEY)
