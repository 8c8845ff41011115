"""Simulated time: what happens next, and when. Nothing waits; a day takes as long as its events take to compute."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

START = datetime(2026, 5, 20, 2, 0, tzinfo=UTC)


class Schedule:
    """Events in the order of their time; those of the same time in the order in which they were put there."""

    def __init__(self) -> None:
        self.now = START
        self._queue: list[tuple[datetime, int, Callable[[], None]]] = []
        self._count = 0

    def put(self, after_s: float, event: Callable[[], None]) -> None:
        """Let ``event`` happen ``after_s`` seconds from now."""
        self._count += 1
        heapq.heappush(self._queue, (self.now + timedelta(seconds=after_s), self._count, event))

    def step(self) -> bool:
        """Let the next event happen. ``False`` when there is none."""
        if not self._queue:
            return False
        at, _, event = heapq.heappop(self._queue)
        self.now = max(self.now, at)
        event()
        return True
