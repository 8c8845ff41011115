"""The request log of the command: one line for each request, gathered for a moment and written together.

A logging record a request would cost a tenth of all that the sandbox does for it. A line holds the platform, the number
of the recorded exchange, the method, the route and the status; who wants more asks ``GET /requests`` by that number.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, TextIO

DELAY_S: Final = 0.05


class RequestLog:
    """Writes lines to ``stream``, at the latest ``DELAY_S`` after they came. Belongs to the thread of ``loop``."""

    def __init__(self, stream: TextIO, *, loop: asyncio.AbstractEventLoop) -> None:
        self._stream = stream
        self._loop = loop
        self._lines: list[str] = []

    def line(self, text: str) -> None:
        """Write ``text`` soon, with the time in front."""
        if not self._lines:
            self._loop.call_later(DELAY_S, self.flush)
        self._lines.append(text)

    def flush(self) -> None:
        """Write what has come."""
        if self._lines:
            at = time.strftime("%Y-%m-%d %H:%M:%S")
            self._stream.write("".join([f"{at} {line}\n" for line in self._lines]))
            self._stream.flush()
            self._lines.clear()
