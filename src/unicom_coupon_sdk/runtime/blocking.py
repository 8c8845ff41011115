"""The blocking runtime: performs a flow's effects one after the other, in the calling thread."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
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
from unicom_coupon_sdk.runtime.clock import Clock, SystemClock
from unicom_coupon_sdk.runtime.frames import BlockingFrames, FrameTransport
from unicom_coupon_sdk.runtime.http import blocking_transport
from unicom_coupon_sdk.runtime.ids import Ulids
from unicom_coupon_sdk.runtime.transactions import Transactions
from unicom_coupon_sdk.runtime.transport import BlockingTransport

if TYPE_CHECKING:
    import httpx
    from sqlalchemy import Engine

T = TypeVar("T")


class BlockingRuntime:
    """Runs flows in the calling thread. May be shared by threads, and used on after a fork.

    ``engine`` is the ledger's, for flows that use one; its ``begin()`` gives a write transaction. ``http`` is an
    ``httpx.Client`` of the caller's, or anything with ``send(call)``, and stays the caller's to close; by default
    we have our own. ``entropy(count)`` gives random bytes.
    """

    def __init__(
        self,
        *,
        engine: Engine | None = None,
        http: httpx.Client | BlockingTransport | None = None,
        frames: FrameTransport | None = None,
        clock: Clock | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> None:
        clock, ids = clock or SystemClock(), Ulids(entropy=entropy)
        transport = blocking_transport(http)
        self._own_http = transport if http is None else None
        self._transactions = None if engine is None else Transactions(engine)
        self._performers: Mapping[type[Effect[Any]], Callable[[Any], Any]] = {
            Transact: self._transact,
            HttpCall: transport.send,
            FrameCall: (frames or BlockingFrames()).send,
            Local: lambda effect: effect.work(),
            Sleep: lambda effect: clock.sleep(effect.seconds),
            Now: lambda _: clock.now(),
            NewId: lambda _: ids.new(clock.now()),
            RandomBytes: lambda effect: entropy(effect.count),
        }

    def run(self, flow: Flow[T]) -> T:
        """What ``flow`` returns. What it raises is raised.

        A failed effect is raised inside the flow, at its ``yield from``. An interrupt (``KeyboardInterrupt``)
        closes the flow where it stands: a transaction under way is undone, a call under way is cut off and its
        outcome open.
        """
        try:
            effect = next(flow)
            while True:
                try:
                    result = self._perform(effect)
                except Exception as error:  # noqa: BLE001 - the flow decides, and what it does not catch is raised
                    effect = flow.throw(error)
                else:
                    effect = flow.send(result)
        except StopIteration as end:
            value: T = end.value
            return value
        finally:
            flow.close()

    def _perform(self, effect: Effect[Any]) -> Any:
        perform = self._performers.get(type(effect))
        if perform is None:
            raise ConfigurationError("runtime.effect", effect=type(effect).__name__)
        return perform(effect)

    def _transact(self, effect: Transact[T]) -> T:
        if self._transactions is None:
            raise ConfigurationError("runtime.no_ledger")
        return self._transactions.run(effect.work)

    def close(self) -> None:
        """Close our own connections. The engine, and a transport that was given, are the caller's."""
        if self._own_http is not None:
            self._own_http.close()
        if self._transactions is not None:
            self._transactions.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
