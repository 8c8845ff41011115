"""The asyncio runtime: performs a flow's effects without blocking the event loop.

What takes no time (the clock, ids, random bytes) is done inline; calls and waits are awaited; transactions go to a
thread that gathers those of all waiting flows into one commit. The flows are the same as in the blocking runtime.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.platform.effects import (
    Effect,
    Flow,
    FrameCall,
    HttpCall,
    Local,
    NewId,
    Now,
    RandomBytes,
    Sleep,
    Transact,
)
from unicom_coupon_sdk.runtime import forks
from unicom_coupon_sdk.runtime.clock import Clock, SystemClock
from unicom_coupon_sdk.runtime.frames import AsyncFrames, AsyncFrameTransport
from unicom_coupon_sdk.runtime.http import async_transport
from unicom_coupon_sdk.runtime.ids import Ulids
from unicom_coupon_sdk.runtime.transactions import Transactions
from unicom_coupon_sdk.runtime.transport import AsyncTransport

if TYPE_CHECKING:
    import httpx
    from sqlalchemy import Engine

T = TypeVar("T")


async def _in_thread(work: Callable[[], T]) -> T:
    """What ``work`` returns. It is ended even when nobody waits for it any more, so that no file is left half made."""
    context = contextvars.copy_context()
    future = asyncio.get_running_loop().run_in_executor(None, context.run, work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if not future.cancelled():
            await asyncio.wait([future])
            future.exception()
        raise


class _Running:
    """How many flows run on one event loop, and a way to wait for none."""

    def __init__(self) -> None:
        self.count = 0
        self.none = asyncio.Event()


class AsyncRuntime:
    """Runs flows on asyncio: as many at once as there are tasks, from any event loop, and on after a fork.

    ``engine`` is the ledger's, for flows that use one; its ``begin()`` gives a write transaction. ``http`` is an
    ``httpx.AsyncClient`` of the caller's, or anything with an asynchronous ``send(call)``, and stays the caller's to
    close; by default we have our own. ``entropy(count)`` gives random bytes.
    """

    def __init__(
        self,
        *,
        engine: Engine | None = None,
        http: httpx.AsyncClient | AsyncTransport | None = None,
        frames: AsyncFrameTransport | None = None,
        clock: Clock | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        clock, ids = clock or SystemClock(), Ulids(entropy=entropy)
        transport = async_transport(http)
        self._own_http = transport if http is None else None
        self._transactions = None if engine is None else Transactions(engine)
        self._awaited: Mapping[type[Effect[Any]], Callable[[Any], Awaitable[Any]]] = {
            Transact: self._transact,
            HttpCall: transport.send,
            FrameCall: (frames or AsyncFrames()).send,
            Local: lambda effect: _in_thread(effect.work),
            Sleep: lambda effect: clock.async_sleep(effect.seconds),
        }
        self._instant: Mapping[type[Effect[Any]], Callable[[Any], Any]] = {
            Now: lambda _: clock.now(),
            NewId: lambda _: ids.new(clock.now()),
            RandomBytes: lambda effect: entropy(effect.count),
        }
        self._running: defaultdict[asyncio.AbstractEventLoop, _Running] = defaultdict(_Running)
        forks.watch(self)

    def after_fork(self) -> None:
        """In a child: the parent's flows do not run here."""
        self._running.clear()

    async def run(self, flow: Flow[T]) -> T:
        """What ``flow`` returns. What it raises is raised.

        A failed effect is raised inside the flow, at its ``yield from``. Cancelling closes the flow where it
        stands: a transaction that has begun is finished first, one that has not never runs, a call under way is cut
        off and its outcome open.
        """
        loop = asyncio.get_running_loop()
        running = self._running[loop]
        running.count += 1
        try:
            effect = next(flow)
            while True:
                try:
                    kind = type(effect)
                    if (perform := self._awaited.get(kind)) is not None:
                        result = await perform(effect)
                    elif (instant := self._instant.get(kind)) is not None:
                        result = instant(effect)
                    else:
                        raise ConfigurationError("runtime.effect", effect=kind.__name__)
                except Exception as error:  # noqa: BLE001 - the flow decides, and what it does not catch is raised
                    effect = flow.throw(error)
                else:
                    effect = flow.send(result)
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            running.count -= 1
            if not running.count:
                running.none.set()
                if self._running.get(loop) is running:
                    del self._running[loop]
            flow.close()

    async def _transact(self, effect: Transact[T]) -> T:
        if self._transactions is None:
            raise ConfigurationError("runtime.no_ledger")
        return await self._transactions.async_run(effect.work)

    async def close(self) -> None:
        """Wait for this loop's flows to end, then close its connections and the writer thread.

        The engine, and a transport that was given, are the caller's. A later flow starts anew.
        """
        running = self._running.get(asyncio.get_running_loop())
        if running is not None:
            await running.none.wait()
        if self._own_http is not None:
            await self._own_http.close()
        if self._transactions is not None:
            await asyncio.to_thread(self._transactions.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
