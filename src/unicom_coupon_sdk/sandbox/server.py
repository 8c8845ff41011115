"""A small HTTP/1.1 server that a platform's quirks can be played on.

h11 reads, but for the most ordinary requests (``shortcut``): raw target, and header pairs in their own case. The answer
is written by us as bytes, because a sandbox must be able to spell header names as the platform does, cut a body in
half, and close without an answer; h11 rightly refuses the latter two.

Each listener is independent; many share one event loop. Every peer is bounded: the size of head and body, the time
until a request is complete, the time between requests, the number of connections, and how much unread answer may pile
up. A listener for another protocol (frames over TCP) needs what ``Listener`` says and nothing else of this module.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol, TypeAlias

import h11

from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Received
from unicom_coupon_sdk.sandbox.shortcut import ordinary_request

LARGEST_HEAD: Final = 64 * 1024
LARGEST_BODY: Final = 8 * 1024 * 1024
MOST_CONNECTIONS: Final = 1024
REQUEST_S: Final = 60.0
IDLE_S: Final = 75.0
LINGER_S: Final = 3.0
SWEEP_S: Final = 1.0

_log = logging.getLogger(__name__)
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back. Without an ``answer`` the connection is closed; ``is_half`` sends half the body, then closes.

    The rest is for frames alone, and as ``FrameAnswer`` says.
    """

    answer: HttpAnswer | None
    delay_s: float = 0.0
    is_half: bool = False
    is_silent: bool = False
    pace_s: float = 0.0
    ahead: tuple[bytes, ...] = ()


Handler: TypeAlias = Callable[[Received, str], Reply | Awaitable[Reply]]
"""Serves a request, given with its request line. A plain ``Reply`` is the fast way; an awaitable may take its time."""

Refusal: TypeAlias = Callable[[int], HttpAnswer]
"""The answer for a request that cannot be read, by status."""


class Listener(Protocol):
    """One listening socket of the sandbox. ``base_url`` says where, once it listens."""

    base_url: str

    async def start(self, host: str, port: int) -> int:
        """Listen; the port. Raises ``ConfigurationError`` (``sandbox.port_in_use``)."""

    async def close(self) -> None:
        """Stop listening, let what is being answered finish shortly, and close every connection."""


def _plain_refusal(status: int) -> HttpAnswer:
    return HttpAnswer(status, (("Content-Length", "0"),))


class HttpListener:
    """Serves HTTP/1.1 on one address with ``handler``.

    Answers that are ready in the same pass of the loop go out together, after one call of ``settle``, which makes
    durable what they say. When it raises, none of them goes out and their connections are closed.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        largest_body: int = LARGEST_BODY,
        refusal: Refusal = _plain_refusal,
        settle: Callable[[], None] = lambda: None,
        request_s: float = REQUEST_S,
        idle_s: float = IDLE_S,
    ) -> None:
        self.handler = handler
        self.largest_body = largest_body
        self.refusal = refusal
        self._settle = settle
        self._outbox: list[tuple[_Connection, bytes, bool]] = []
        self.request_s = request_s
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
        self.base_url = f"http://{url_host(host)}:{bound}"
        self._sweeper = loop.create_task(self._sweep(loop))
        return bound

    async def close(self) -> None:
        """Stop listening, let what is being answered finish shortly, and close every connection."""
        if self._server is None or self._sweeper is None:
            return
        self._server.close()
        self._sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._sweeper
        tasks = [connection.task for connection in self.connections if connection.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=LINGER_S)
        self._send_all()
        for connection in list(self.connections):
            connection.shut()
        await self._server.wait_closed()

    def post(self, connection: _Connection, data: bytes, *, is_last: bool) -> None:
        """Send ``data`` to a peer with the next batch, and close its connection if it is the last."""
        if not self._outbox:
            asyncio.get_running_loop().call_soon(self._send_all)
        self._outbox.append((connection, data, is_last))

    def _send_all(self) -> None:
        outbox, self._outbox = self._outbox, []
        try:
            if outbox:
                self._settle()
        except Exception as error:  # noqa: BLE001 - nothing that was not stored may be answered
            _log.error("answers could not be stored: %s", type(error).__name__)
            for connection, _, _ in outbox:
                connection.shut()
            return
        for connection, data, is_last in outbox:
            connection.send(data, is_last=is_last)

    async def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = loop.time()
            for connection in list(self.connections):
                if connection.deadline < now:
                    connection.shut()


async def listening(
    loop: asyncio.AbstractEventLoop, protocol: Callable[[], asyncio.BaseProtocol], *, host: str, port: int
) -> asyncio.Server:
    """A server socket. Raises ``ConfigurationError`` that names the port when it is taken or the host is not ours."""
    try:
        return await loop.create_server(protocol, host, port, backlog=512)
    except OSError as error:
        code = "sandbox.port_in_use" if error.errno == errno.EADDRINUSE else "sandbox.cannot_listen"
        raise ConfigurationError(
            code, field="port_base", host=host, port=port, reason=errno.errorcode.get(error.errno or 0, "?")
        ) from None


def url_host(host: str) -> str:
    """``host`` as it stands in a URL that a client on this machine can use."""
    if host in {"0.0.0.0", ""}:  # noqa: S104 - compared with, not bound to
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


class _Connection(asyncio.Protocol):
    """One peer. Requests are answered in their order, one at a time; others of the loop are not held up."""

    def __init__(self, listener: HttpListener, loop: asyncio.AbstractEventLoop) -> None:
        self._listener = listener
        self._loop = loop
        self._transport: asyncio.Transport = _NO_TRANSPORT
        self._parser = _parser()
        self._request: h11.Request | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._is_busy = False
        self._is_choked = False
        self._is_over = False
        self._has_continued = False
        self._has_ended = False
        self._is_between = True
        self._is_head = False
        self._keeps = True
        self._later: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None
        self.deadline = math.inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._listener.connections.add(self)
        self.deadline = self._loop.time() + self._listener.request_s
        if len(self._listener.connections) > MOST_CONNECTIONS:
            self._refuse(503)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_over = True
        self._listener.connections.discard(self)
        if self._later is not None:
            self._later.cancel()

    def shut(self) -> None:
        """Close at once, whatever is under way."""
        self._is_over = True
        self._transport.abort()

    def pause_writing(self) -> None:
        self._is_choked = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_choked = False
        self._go_on()

    def eof_received(self) -> bool:
        # A client may close its sending side and still wait for the answer under way.
        self._has_ended = True
        return self._is_busy and not self._is_over

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        if self._is_between and not (self._is_busy or self._is_choked):
            asked = ordinary_request(data, largest_body=self._listener.largest_body)
            if asked is not None:
                self._is_head, self._keeps = False, True
                self._serve(asked.method, asked.target, "1.1", asked.headers, asked.content)
                return
        self._is_between = False
        self._parser.receive_data(data)
        self._read()

    def _read(self) -> None:
        while not (self._is_busy or self._is_choked or self._is_over):
            try:
                event = self._parser.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint)
                return
            kind = type(event)
            if kind is h11.Request:
                assert isinstance(event, h11.Request)
                self._begin(event)
            elif kind is h11.Data:
                assert isinstance(event, h11.Data)
                self._size += len(event.data)
                if self._size > self._listener.largest_body:
                    self._refuse(413)
                    return
                self._body.append(bytes(event.data))
            elif kind is h11.EndOfMessage:
                self._serve_read()
            else:
                if self._parser.they_are_waiting_for_100_continue and not self._has_continued:
                    self._has_continued = True
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                if self._has_ended:
                    self._end()
                return

    def _begin(self, request: h11.Request) -> None:
        self._request = request
        self._body, self._size, self._has_continued = [], 0, False
        self.deadline = self._loop.time() + self._listener.request_s
        size = 0
        for name, value in request.headers:
            size += len(name) + len(value)
            if name == b"content-length" and int(value) > self._listener.largest_body:
                self._refuse(413)
        if size > LARGEST_HEAD:  # h11 bounds only a head that comes in pieces
            self._refuse(431)

    def _serve_read(self) -> None:
        """Serve the request that h11 has read to its end."""
        request = self._request
        assert request is not None
        left = self._parser.trailing_data[0]
        # A new reader for each request: the answer does not pass through h11, so the old one would wait for it.
        self._parser = _parser()
        if left:
            self._parser.receive_data(left)
        self._is_between = not left
        self._is_head, self._keeps = request.method == b"HEAD", _keeps_alive(request)
        self._serve(
            request.method.decode("latin-1"),
            request.target.decode("latin-1"),
            request.http_version.decode("latin-1"),
            tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw_items()]),
            b"".join(self._body),
        )

    def _serve(self, method: str, target: str, version: str, headers: Headers, content: bytes) -> None:
        received = Received(method, target, headers, content, self._listener.base_url)
        self._is_busy = True
        self.deadline = math.inf
        try:
            reply = self._listener.handler(received, f"{method} {target} HTTP/{version}")
        except Exception as error:  # noqa: BLE001 - the peer must not wait for ever
            _log.error("a request failed: %s", type(error).__name__)
            self.shut()
            return
        if not isinstance(reply, Reply):
            self._transport.pause_reading()
            self.task = self._loop.create_task(self._wait_for(reply))
        elif reply.delay_s:
            self._transport.pause_reading()
            self._later = self._loop.call_later(reply.delay_s, self._finish, reply)
        else:
            self._answer(reply)

    async def _wait_for(self, reply: Awaitable[Reply]) -> None:
        try:
            self._finish(await reply)
        except Exception as error:  # noqa: BLE001 - the peer must not wait for ever
            _log.error("a request failed: %s", type(error).__name__)
            self.shut()
        finally:
            self.task = None

    def _finish(self, reply: Reply) -> None:
        if not self._is_over:
            self._answer(reply)

    def _go_on(self) -> None:
        if self._is_over or self._is_busy or self._is_choked:
            return
        self._transport.resume_reading()
        if not self._is_between:
            self._read()
        elif self._has_ended:
            self._end()

    def _answer(self, reply: Reply) -> None:
        answer = reply.answer
        if answer is None:
            self._listener.post(self, b"", is_last=True)
            return
        try:
            head = head_of(answer, keeps_alive=self._keeps and not reply.is_half)
        except ValueError:
            _log.error("an answer has a line break in a header and was not sent")
            self.shut()
            return
        body = b"" if self._is_head else answer.content
        if reply.is_half:
            body = body[: len(body) // 2]
        self._listener.post(self, head + body, is_last=reply.is_half or not self._keeps)

    def send(self, data: bytes, *, is_last: bool) -> None:
        """Send the answer that was posted, and go on with what has come meanwhile."""
        if self._is_over:
            return
        self._is_busy = False
        self.deadline = self._loop.time() + self._listener.idle_s
        if data:
            self._transport.write(data)
        if is_last:
            self._end()
        else:
            self._go_on()

    def _end(self) -> None:
        self._is_over = True
        self.deadline = self._loop.time() + LINGER_S
        self._transport.close()

    def _refuse(self, status: int) -> None:
        """Answer what cannot be served, then read and drop for a moment.

        Closing with data unread would reset the connection, and the peer would lose the answer.
        """
        if self._is_over:
            return
        self._is_over = True
        self.deadline = self._loop.time() + LINGER_S
        answer = self._listener.refusal(status)
        self._transport.write(head_of(answer, keeps_alive=False) + answer.content)
        if self._transport.can_write_eof():
            self._transport.write_eof()


def head_of(answer: HttpAnswer, *, keeps_alive: bool) -> bytes:
    """Status line and headers as bytes, names as they are spelled. Raises ``ValueError`` for a smuggled line break."""
    lines = [f"HTTP/1.1 {answer.status} {_REASONS.get(answer.status, 'Unknown')}\r\n"]
    lines += [f"{name}: {value}\r\n" for name, value in answer.headers]
    if not keeps_alive:
        lines.append("Connection: close\r\n")
    head = "".join(lines)
    if head.count("\n") != len(lines) or head.count("\r") != len(lines):
        raise ValueError("line break in a header")
    head += "\r\n"
    try:
        return head.encode("latin-1")
    except UnicodeEncodeError:
        return head.encode()


def _parser() -> h11.Connection:
    return h11.Connection(h11.SERVER, max_incomplete_event_size=LARGEST_HEAD)


def _keeps_alive(request: h11.Request) -> bool:
    if request.http_version < b"1.1":
        return False
    return not any(name == b"connection" and b"close" in value.lower() for name, value in request.headers)


_NO_TRANSPORT: Final = asyncio.Transport()
