"""The postman: delivers callbacks over sockets, on the event loop, and wakes up when one falls due.

A delivery is one connection and one request, its bytes as the emulator signed them. No proxy, no redirect, no name is
looked up but ``localhost``, and the merchant's answer is bounded in size and time: platforms wait five seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Sequence
from functools import cache
from typing import Final, TypeVar
from urllib.parse import urlsplit

import h11

from unicom_coupon_sdk.platform.wire import HttpAnswer, HttpRequest
from unicom_coupon_sdk.sandbox.notifications import Attempt
from unicom_coupon_sdk.sandbox.rounds import Round, deliver_due
from unicom_coupon_sdk.sandbox.world import SandboxWorld

T = TypeVar("T")

ATTEMPT_S: Final = 5.0
LARGEST_ANSWER: Final = 64 * 1024
AT_ONCE: Final = 32
TICK_S: Final = 30.0

_log = logging.getLogger(__name__)


class Postman:
    """Delivers for one world. One round at a time, so a control call that waits for deliveries has seen them all."""

    def __init__(self, world: SandboxWorld) -> None:
        self._world = world
        self._round = asyncio.Lock()
        self._woken = asyncio.Event()
        self._places = asyncio.Semaphore(AT_ONCE)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to deliver in the background what falls due."""
        self._task = asyncio.get_running_loop().create_task(self._go_round())

    async def close(self) -> None:
        """Stop. What was not delivered stays pending."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        """Look again: something may be due, or the clock was moved."""
        self._woken.set()

    async def run(self, round_: Round[T]) -> T:
        """Make the deliveries of a round; its result."""
        async with self._round:
            answers: Sequence[HttpAnswer | None] | None = None
            try:
                while True:
                    attempts = round_.send(answers) if answers is not None else next(round_)
                    answers = await asyncio.gather(*map(self._deliver, attempts))
            except StopIteration as stop:
                result: T = stop.value
                return result
            finally:
                round_.close()
                self.wake()

    async def _go_round(self) -> None:
        loop = asyncio.get_running_loop()
        next_tick = loop.time() + TICK_S
        while True:
            self._woken.clear()
            try:
                if self._world.due():
                    await self.run(deliver_due(self._world))
                    self._woken.clear()
                if loop.time() >= next_tick:
                    next_tick = loop.time() + TICK_S
                    self._world.tick()
            except Exception as error:  # noqa: BLE001 - the next round may do better; a dead postman never would
                _log.error("deliveries failed: %s", type(error).__name__)
                await asyncio.sleep(1.0)
            due = self._world.next_due()
            wait_s = next_tick - loop.time()
            if due is not None:
                wait_s = min(wait_s, (due - self._world.clock.now()).total_seconds())
            with contextlib.suppress(TimeoutError):
                # Not ``wait_for``: before Python 3.12 it loses a cancellation that meets the event.
                async with asyncio.timeout(max(wait_s, 0.001)):
                    await self._woken.wait()

    async def _deliver(self, attempt: Attempt) -> HttpAnswer | None:
        if attempt.is_lost:
            return None
        request = HttpRequest(attempt.method, attempt.url, attempt.headers, attempt.content)
        async with self._places:
            try:
                async with asyncio.timeout(ATTEMPT_S):
                    return await post(request, is_half=attempt.is_half)
            except (OSError, TimeoutError, h11.RemoteProtocolError, asyncio.IncompleteReadError, ValueError):
                return None


async def post(request: HttpRequest, *, is_half: bool = False) -> HttpAnswer | None:
    """Send one request on its own connection; the answer, or ``None`` when the body was cut with ``is_half``.

    Raises ``OSError`` when there is no connection, ``ValueError`` or h11's error for an answer that is none.
    """
    parts = urlsplit(request.url)
    is_tls = parts.scheme == "https"
    reader, writer = await asyncio.open_connection(
        parts.hostname or "", parts.port or (443 if is_tls else 80), ssl=_tls() if is_tls else None
    )
    try:
        content = request.content[: len(request.content) // 2] if is_half else request.content
        writer.write(_head(request) + content)
        await writer.drain()
        return None if is_half else await _answer(reader, request)
    finally:
        writer.close()


def _head(request: HttpRequest) -> bytes:
    parts = urlsplit(request.url)
    named = {name.lower() for name, _ in request.headers}
    lines = [f"{request.method} {request.target} HTTP/1.1"]
    if "host" not in named:
        lines.append(f"Host: {parts.netloc.rpartition('@')[2]}")
    lines += [f"{name}: {value}" for name, value in request.headers]
    if "content-length" not in named:
        lines.append(f"Content-Length: {len(request.content)}")
    lines.append("Connection: close")
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("line break in a header")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _answer(reader: asyncio.StreamReader, request: HttpRequest) -> HttpAnswer:
    """Read with h11, as a client that has sent ``request``."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_ANSWER)
    connection.send(h11.Request(method=request.method, target="/", headers=[("Host", "-"), ("Connection", "close")]))
    connection.send(h11.EndOfMessage())
    status, headers, content = 0, [], b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(LARGEST_ANSWER))
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers.raw_items()]
        elif isinstance(event, h11.Data):
            content += event.data
            if len(content) > LARGEST_ANSWER:
                raise ValueError("the answer is too large")
        elif isinstance(event, h11.EndOfMessage):
            return HttpAnswer(status, tuple(headers), content)
        elif isinstance(event, h11.ConnectionClosed):
            raise ConnectionResetError


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()
