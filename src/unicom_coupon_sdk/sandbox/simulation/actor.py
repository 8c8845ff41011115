"""One process on one host: it runs a flow effect by effect, and may be killed before or after any of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from unicom_coupon_sdk.errors import CouponError
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
from unicom_coupon_sdk.runtime.ids import Ulids
from unicom_coupon_sdk.sandbox.simulation.network import Network
from unicom_coupon_sdk.sandbox.simulation.schedule import Schedule

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass
class Host:
    """A machine whose clock is ``skew_s`` seconds off.

    At every effect, on each side, it dies with probability ``crash``; after one, it stops for minutes (a paused
    virtual machine) with probability ``doze``.
    """

    schedule: Schedule
    network: Network
    connection: Connection
    random: random.Random
    skew_s: float = 0.0
    crash: float = 0.0
    doze: float = 0.0
    after_transact: Callable[[], None] = field(default=lambda: None)
    on_death: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        self._ids = Ulids(entropy=self.random.randbytes)

    def run(self, flow: Flow[Any], done: Callable[[Any], None]) -> None:
        """Begin ``flow``; ``done`` is called with its result or its ``CouponError``, or never if the process dies."""
        self.schedule.put(0.0, lambda: self._advance(flow, lambda: flow.send(None), done))

    def _advance(self, flow: Flow[Any], go: Callable[[], Effect[Any]], done: Callable[[Any], None]) -> None:
        while True:
            try:
                effect = go()
            except StopIteration as ended:
                done(ended.value)
                return
            except CouponError as error:
                done(error)
                return
            if self._dies(flow):
                return
            try:
                value = self._inline(effect)
            except _Elsewhere:
                self._perform(effect, flow, done)
                return
            go = _sending(flow, value)

    def _inline(self, effect: Effect[Any]) -> Any:
        """What takes no time: the clock, ids, randomness."""
        match effect:
            case Now():
                return self.schedule.now + timedelta(seconds=self.skew_s)
            case NewId():
                return self._ids.new(self.schedule.now)
            case RandomBytes(count=count):
                return self.random.randbytes(count)
        raise _Elsewhere

    def _perform(self, effect: Effect[Any], flow: Flow[Any], done: Callable[[Any], None]) -> None:
        match effect:
            case Transact(work=work):
                try:
                    with self.connection.begin():
                        value = work(self.connection)
                except CouponError as error:
                    self._resume(flow, _throwing(flow, error), done)
                else:
                    self._resume(flow, _sending(flow, value), done)
                self.after_transact()
            case Local(work=work):
                try:
                    value = work()
                except CouponError as error:
                    self._resume(flow, _throwing(flow, error), done)
                else:
                    self._resume(flow, _sending(flow, value), done)
            case Sleep(seconds=seconds):
                self.schedule.put(seconds, lambda: self._advance(flow, _sending(flow, None), done))
            case HttpCall() | FrameCall():
                self.network.carry(
                    effect,
                    lambda reply: self._resume(
                        flow,
                        _throwing(flow, reply) if isinstance(reply, CouponError) else _sending(flow, reply),
                        done,
                    ),
                )
            case _:
                raise AssertionError(f"the simulator does not know {type(effect).__name__}")

    def _resume(self, flow: Flow[Any], go: Callable[[], Effect[Any]], done: Callable[[Any], None]) -> None:
        """Go on, at once or a while later (a busy host, a paused machine), unless the process dies here."""
        if self._dies(flow):
            return
        pause_s = self.random.choice((0.0, 0.0, 0.0, 0.05, 1.0))
        if self.doze and self.random.random() < self.doze:
            pause_s = self.random.uniform(30, 900)
        self.schedule.put(pause_s, lambda: self._advance(flow, go, done))

    def _dies(self, flow: Flow[Any]) -> bool:
        if self.crash and self.random.random() < self.crash:
            flow.close()
            self.on_death()
            return True
        return False


class _Elsewhere(Exception):
    """The effect is not performed inline."""


def _sending(flow: Flow[Any], value: Any) -> Callable[[], Effect[Any]]:
    return lambda: flow.send(value)


def _throwing(flow: Flow[Any], error: Exception) -> Callable[[], Effect[Any]]:
    return lambda: flow.throw(error)
