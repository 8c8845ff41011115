"""A small server for platforms that speak frames over TCP: two bytes of length, then the message.

The frames of one connection are answered as they come, and a slow answer holds up no other: real hosts do the same,
and their clients must match answers to requests. Every peer is bounded: the size of a frame, the time until a begun
frame is complete, the time between frames, the number of connections, and how many answers may be outstanding.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from typing import Final

from unicom_coupon_sdk.sandbox.emulator import FRAME_METHOD, Received
from unicom_coupon_sdk.sandbox.server import LINGER_S, MOST_CONNECTIONS, SWEEP_S, Handler, Reply, listening, url_host

LENGTH_BYTES: Final = 2
LARGEST_FRAME: Final = 8192
FRAME_S: Final = 30.0
IDLE_S: Final = 180.0
MOST_OUTSTANDING: Final = 64

_log = logging.getLogger(__name__)


class FrameListener:
    """Serves frames on one address with ``handler``. A length above ``largest_frame`` closes the connection."""

    def __init__(
        self,
        handler: Handler,
        *,
        largest_frame: int = LARGEST_FRAME,
        frame_s: float = FRAME_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self.handler = handler
        self.largest_frame = largest_frame
        self.frame_s = frame_s
        self.idle_s = idle_s
        self.base_url = ""
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; the port. Raises ``ConfigurationError`` (``sandbox.port_in_use``)."""
        loop = asyncio.get_running_loop()
        self._server = await listening(loop, lambda: _Connection(self, loop), host=host, port=port)
        bound: int = self._server.sockets[0].getsockname()[1]
        self.base_url = f"tcp://{url_host(host)}:{bound}"
        self._sweeper = loop.create_task(self._sweep(loop))
        return bound

    async def close(self) -> None:
        """Stop listening and close every connection. Answers that were held back on purpose are not waited for."""
        if self._server is None or self._sweeper is None:
            return
        self._server.close()
        self._sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sweeper
        for connection in list(self.connections):
            connection.shut()
        await self._server.wait_closed()

    async def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = loop.time()
            for connection in list(self.connections):
                if connection.deadline < now:
                    connection.shut()


class _Connection(asyncio.Protocol):
    """One peer."""

    def __init__(self, listener: FrameListener, loop: asyncio.AbstractEventLoop) -> None:
        self._listener = listener
        self._loop = loop
        self._transport = asyncio.Transport()
        self._received = bytearray()
        self._outstanding: set[asyncio.TimerHandle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._has_ended = False
        self.deadline = math.inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._listener.connections.add(self)
        self.deadline = self._loop.time() + self._listener.idle_s
        if len(self._listener.connections) > MOST_CONNECTIONS:
            self.shut()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self._listener.connections.discard(self)
        for handle in self._outstanding:
            handle.cancel()
        for task in self._tasks:
            task.cancel()

    def shut(self) -> None:
        """Close at once, whatever is under way."""
        self._is_over = True
        self._transport.abort()

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        if not self._is_over:
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        # A terminal may close its sending side and still wait for its answers.
        self._has_ended = True
        self._end_if_done()
        return not self._is_over

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        self._received += data
        while not self._is_over and len(self._received) >= LENGTH_BYTES:
            length = int.from_bytes(self._received[:LENGTH_BYTES], "big")
            if not 0 < length <= self._listener.largest_frame:
                self._end()
                return
            end = LENGTH_BYTES + length
            if len(self._received) < end:
                break
            content = bytes(self._received[LENGTH_BYTES:end])
            del self._received[:end]
            self._serve(content)
        waits_s = self._listener.frame_s if self._received else self._listener.idle_s
        if not self._is_over:
            self.deadline = self._loop.time() + waits_s

    def _serve(self, content: bytes) -> None:
        received = Received(FRAME_METHOD, "", (), content, self._listener.base_url)
        try:
            reply = self._listener.handler(received, FRAME_METHOD)
        except Exception as error:  # noqa: BLE001 - the peer must not wait for ever
            _log.error("a frame failed: %s", type(error).__name__)
            self.shut()
            return
        if not isinstance(reply, Reply):
            raise TypeError("a frame is answered at once")
        if not reply.delay_s:
            self._send(reply)
            return
        if len(self._outstanding) >= MOST_OUTSTANDING:
            self.shut()
            return
        handle: asyncio.TimerHandle

        def later() -> None:
            self._outstanding.discard(handle)
            if not self._is_over:
                self._send(reply)
                self._end_if_done()

        handle = self._loop.call_later(reply.delay_s, later)
        self._outstanding.add(handle)

    def _send(self, reply: Reply) -> None:
        if reply.is_silent:
            return
        if reply.answer is None:
            self._end()
            return
        frames = b"".join(len(frame).to_bytes(2, "big") + frame for frame in (*reply.ahead, reply.answer.content))
        if reply.is_half:
            self._transport.write(frames[: len(frames) // 2])
            self._end()
        elif reply.pace_s:
            task = self._loop.create_task(self._drip(frames, reply.pace_s))
            self._tasks.add(task)
            task.add_done_callback(self._dripped)
        else:
            self._transport.write(frames)

    async def _drip(self, data: bytes, pace_s: float) -> None:
        for byte in data:
            if self._is_over:
                return
            self._transport.write(bytes([byte]))
            await asyncio.sleep(pace_s)

    def _dripped(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._has_ended and not self._outstanding and not self._tasks:
            self._end()

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self.deadline = self._loop.time() + LINGER_S
            self._transport.close()
