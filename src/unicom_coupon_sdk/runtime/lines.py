"""Connections for HTTP on asyncio, kept and shared: one request at a time on each, and each request sent once.

Measured with 64 calls at once, ``httpx.AsyncClient`` spends most of a call in its pool and aiohttp a good part of it
in generality; what a signed call needs is little: write these bytes, read one answer (``exchange.py``). And it needs
to know for sure whether anything was sent, which here is a matter of one line: until ``write`` nothing was, after it
something may have been. There is no second ``write`` for a request anywhere in this file.

Everything belongs to one event loop and is touched by no other thread.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

from unicom_coupon_sdk.errors import ConfigurationError, CouponError
from unicom_coupon_sdk.platform.effects import HttpCall
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer, TransportRules, header
from unicom_coupon_sdk.runtime.exchange import BadAnswer, Exchange
from unicom_coupon_sdk.runtime.saved import SavedBody, saves
from unicom_coupon_sdk.runtime.transport import WHOLE_ANSWER, Origin, no_answer, not_reached, origin_of, whole_answer

MOST_LINES = 256
"""Connections to one origin; further calls wait their turn."""

IDLE_S = 20.0
"""A connection that was idle for longer is not used again: servers close theirs after 30 s and more."""

_NEXT_ADDRESS_S = 0.25


class Connections:
    """The connections of one event loop. Make it, and use it, on that loop only."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._pools: dict[Origin, _Pool] = {}
        self._closes_with_loop = self._until_closed()

    async def open(self) -> None:
        """Tie these connections to the running loop.

        A started asynchronous generator is closed when its loop shuts down (``asyncio.run`` does so): the one hook that
        a loop offers, so a caller who forgets to close leaves no open sockets behind.
        """
        await anext(self._closes_with_loop)

    async def close(self) -> None:
        """Close all connections. A call under way ends as one without an answer."""
        await self._closes_with_loop.aclose()

    async def _until_closed(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            lines = [line for pool in self._pools.values() for line in pool.close()]
            await asyncio.gather(*[line.lost for line in lines])

    async def send(self, call: HttpCall, headers: Headers) -> HttpAnswer:
        """Send once and hand back the whole answer. ``headers`` are complete. Raises as ``HttpCall`` says."""
        request, rules = call.request, call.rules
        origin = origin_of(request.url)
        pool = self._pools.get(origin)
        if pool is None:
            tls = self._tls if origin.scheme == "https" else None
            pool = self._pools[origin] = _Pool(origin, tls)
        body = _Pouring(call)
        exchange = Exchange(request, headers, largest=rules.largest_answer, pour=body if call.save_to else None)
        line = await pool.lease(rules)
        try:
            await line.perform(exchange, rules)
            if body.saved is not None:
                return body.saved.finish()
        except BadAnswer as failure:
            line.abort()
            raise no_answer(failure.reason, host=origin.host) from None
        except BaseException:
            line.abort()
            raise
        finally:
            if body.saved is not None:
                body.saved.drop()
            pool.give_back(line)
        return whole_answer(exchange.status, exchange.headers, exchange.content, call=call)


class _Pouring:
    """Opens the file of a call that wants its answer saved, once there is an answer to save."""

    def __init__(self, call: HttpCall) -> None:
        self._call = call
        self.saved: SavedBody | None = None

    def __call__(self, status: int, headers: Headers) -> Callable[[bytes], object] | None:
        if not saves(self._call, status):
            return None
        self.saved = SavedBody(self._call, status, headers, coding=header(headers, "content-encoding"))
        return self.saved.take


class _Line(asyncio.Protocol):
    """One connection, and the exchange that is on it."""

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._heard_at = self._ends_at = self._silence_s = 0.0
        self._unsent = 0
        self.lost: asyncio.Future[None] = self._loop.create_future()
        self.idle_since = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a request may be written."""
        return self._transport is not None and not self._transport.is_closing()

    async def perform(self, exchange: Exchange, rules: TransportRules) -> None:
        """Write the request and wait until the whole answer is there. Raises ``BadAnswer`` when it does not come."""
        assert self._transport is not None
        now = self._loop.time()
        self._exchange, self._waiter = exchange, self._loop.create_future()
        self._heard_at, self._silence_s = now, rules.read_timeout_s
        self._ends_at = now + WHOLE_ANSWER * rules.read_timeout_s
        due = now + rules.read_timeout_s
        if self._timer is None or self._timer.when() > due:
            self._watch(due)
        self._transport.write(exchange.written)
        self._unsent = self._transport.get_write_buffer_size()
        await self._waiter

    def _watch(self, due: float) -> None:
        # One timer serves a connection's exchanges one after the other: it looks again when it is due, instead of being
        # cancelled and set anew for every call.
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done() or self._transport is None:
            return
        now, unsent = self._loop.time(), self._transport.get_write_buffer_size()
        if unsent < self._unsent:  # a large body is on its way, and the peer reads it
            self._heard_at, self._unsent = now, unsent
        due = min(self._heard_at + self._silence_s, self._ends_at)
        if now < due:
            self._watch(due)
        else:
            self._end(BadAnswer("timeout"))

    def _end(self, failure: BadAnswer | CouponError | None = None) -> None:
        exchange, waiter = self._exchange, self._waiter
        self._exchange = self._waiter = None
        if failure is not None or exchange is None or not exchange.keeps_line:
            self.abort() if failure is not None else self._close()
        if waiter is not None and not waiter.done():
            if failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(failure)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:  # nobody asked
            self.abort()
            return
        self._heard_at = self._loop.time()
        try:
            is_whole = self._exchange.feed(data)
        except (BadAnswer, CouponError) as failure:
            self._end(failure)
        else:
            if is_whole:
                self._end()

    def eof_received(self) -> None:
        if self._exchange is not None:
            self.data_received(b"")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._waiter is not None:
            self._end(BadAnswer("closed"))
        self._pool.forget(self)
        if not self.lost.done():
            self.lost.set_result(None)


class _Pool:
    """The connections to one origin: those at rest, how many there are, and who waits for one."""

    def __init__(self, origin: Origin, tls: ssl.SSLContext | None) -> None:
        self._origin = origin
        self._tls = tls
        self._idle: deque[_Line] = deque()
        self._count = 0  # leased, idle or being connected
        self._waiting: deque[asyncio.Future[_Line | None]] = deque()
        self._lines: set[_Line] = set()
        self._is_closed = False

    def close(self) -> tuple[_Line, ...]:
        """End all connections, and make no more; those that are about to end."""
        self._is_closed = True
        for line in self._lines:
            line.abort()
        return tuple(self._lines)

    async def lease(self, rules: TransportRules) -> _Line:
        """A connection for one exchange, to be given back. Raises ``PlatformUnavailable`` if none comes in time."""
        oldest_ok = asyncio.get_running_loop().time() - IDLE_S
        while self._idle:
            line = self._idle.pop()
            if line.is_open and line.idle_since >= oldest_ok:
                return line
            line.abort()
            self._count -= 1
        if self._count < MOST_LINES:
            self._count += 1
        elif (line_or_place := await self._turn(rules)) is not None:
            return line_or_place
        try:
            return await self._connected(rules)
        except BaseException:
            self._free_place()
            raise

    def give_back(self, line: _Line) -> None:
        """Take a leased connection back, for the one who waits longest, or for later."""
        if not line.is_open:
            self._free_place()
        elif (waiter := self._next_waiter()) is not None:
            waiter.set_result(line)
        else:
            line.idle_since = asyncio.get_running_loop().time()
            self._idle.append(line)
            while line.idle_since - self._idle[0].idle_since > IDLE_S:
                self._idle.popleft().abort()
                self._count -= 1

    def forget(self, line: _Line) -> None:
        """``line`` has ended."""
        self._lines.discard(line)
        if line in self._idle:
            self._idle.remove(line)
            self._free_place()

    def _free_place(self) -> None:
        waiter = self._next_waiter()
        if waiter is None:
            self._count -= 1
        else:
            waiter.set_result(None)

    def _next_waiter(self) -> asyncio.Future[_Line | None] | None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                return waiter
        return None

    async def _turn(self, rules: TransportRules) -> _Line | None:
        """Wait for one's turn: an open connection, or (``None``) the place to make one."""
        waiter: asyncio.Future[_Line | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(rules.connect_timeout_s + rules.read_timeout_s):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():  # granted in the very moment of giving up
                self._pass_on(waiter.result())
            if isinstance(error, TimeoutError):
                raise not_reached("pool", host=self._origin.host) from None
            raise
        line = waiter.result()
        return line if line is not None and line.is_open else None

    def _pass_on(self, line: _Line | None) -> None:
        if line is None:
            self._free_place()
        else:
            self.give_back(line)

    async def _connected(self, rules: TransportRules) -> _Line:
        if self._is_closed:
            raise ConfigurationError("transport.closed")
        host = self._origin.host
        names: dict[str, Any] = {"ssl": self._tls, "server_hostname": host} if self._tls else {}
        try:
            async with asyncio.timeout(rules.connect_timeout_s):
                _, line = await asyncio.get_running_loop().create_connection(
                    lambda: _Line(self), host, self._origin.port, happy_eyeballs_delay=_NEXT_ADDRESS_S, **names
                )
        except TimeoutError:
            raise not_reached("timeout", host=host) from None
        except ssl.SSLError:
            raise not_reached("tls", host=host) from None
        except (OSError, UnicodeError):
            raise not_reached("connect", host=host) from None
        self._lines.add(line)
        return line
