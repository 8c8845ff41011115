"""Rounds of the postman: which callbacks are delivered when, with no delivery in it.

A round is a generator: it yields the attempts that are to be made together and is sent the merchant's answers. Over
sockets the postman makes them on the event loop; in process a function is called. So both deliver in the same order.

Moving the clock goes step by step from one due callback to the next, and each is signed at its own time. So moving it
by an hour does what sixty moves by a minute do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox.notifications import Attempt
from unicom_coupon_sdk.sandbox.station import Station

if TYPE_CHECKING:
    from unicom_coupon_sdk.sandbox.world import SandboxWorld

T = TypeVar("T")
Round: TypeAlias = Generator[Sequence[Attempt], Sequence[HttpAnswer | None], T]
Due: TypeAlias = tuple[Station, str]

LONGEST_S: Final = 60.0
"""How long one call may deliver, in real seconds. What is left stays pending and follows in the background."""

_log = logging.getLogger(__name__)


def deliver_due(world: SandboxWorld) -> Round[int]:
    """Deliver what is due at the simulated time, and what becomes due by that; how many attempts were made."""
    until = time.monotonic() + LONGEST_S
    made = 0
    while (due := world.due()) and time.monotonic() < until:
        done = yield from _attempt(world, due)
        made += done
        if not done:
            break
    return made


def deliver_pending(world: SandboxWorld) -> Round[list[Due]]:
    """Deliver everything that is pending once, due or not, and its duplicates; what was attempted."""
    pending = [(station, key) for station in world.stations.values() for key in station.notifications.pending()]
    yield from _attempt(world, pending)
    again = [(station, key) for station, key in pending if station.notifications.is_repeated(key)]
    yield from _attempt(world, again)
    return pending


def move_clock(world: SandboxWorld, target: datetime) -> Round[datetime]:
    """Make it ``target``, with all that falls due on the way done; the new time."""
    until = time.monotonic() + LONGEST_S
    while (at := world.next_due()) is not None and at < target and time.monotonic() < until:
        if at > world.clock.now():
            world.clock.set(at)
            world.tick()
        if not (yield from _attempt(world, world.due(at))):
            break
    world.clock.set(target)
    world.tick()
    yield from deliver_due(world)
    return world.clock.now()


def drive(round_: Round[T], deliver: Callable[[Attempt], HttpAnswer | None]) -> T:
    """Run a round with a function that makes one delivery."""
    answers: Sequence[HttpAnswer | None] | None = None
    while True:
        try:
            attempts = round_.send(answers) if answers is not None else next(round_)
        except StopIteration as stop:
            result: T = stop.value
            return result
        answers = [deliver(attempt) for attempt in attempts]


def _attempt(world: SandboxWorld, due: Iterable[Due]) -> Round[int]:
    """Make one attempt at each of ``due``; how many were tried. What is under way already is left alone."""
    taken: list[Due] = []
    attempts: list[Attempt] = []
    free = [(station, key) for station, key in due if (station.platform, key) not in world.in_flight]
    for station, key in free:
        attempt = _prepared(station, key)
        if attempt is not None:
            world.in_flight.add((station.platform, key))
            taken.append((station, key))
            attempts.append(attempt)
    try:
        answers = (yield attempts) if attempts else []
        for (station, _), attempt, answer in zip(taken, attempts, answers, strict=True):
            station.conclude(attempt, answer)
    finally:
        world.in_flight.difference_update((station.platform, key) for station, key in taken)
    return len(free)


def _prepared(station: Station, key: str) -> Attempt | None:
    try:
        return station.prepare(key)
    except Exception as error:  # noqa: BLE001 - one callback that cannot be made must not hold up the others
        _log.error("%s cannot make a callback: %s", station.platform, type(error).__name__)
        station.abandon(key)
        return None
