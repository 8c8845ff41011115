"""Retries as data: how often, how long between, and after which outcomes.

The policy is tenacity's own stop and wait objects, driven by ``Now`` and ``Sleep`` instead of a real clock, so a
simulated day takes a millisecond. What is repeated is decided by the caller of ``repeating``: only what a platform
documents as safe, with the same request number each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from tenacity import RetryCallState, Retrying, stop_after_attempt, stop_after_delay, wait_exponential
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from unicom_coupon_sdk.errors import PlatformError, PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.platform.effects import Flow, Now, Sleep

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again. ``repeat_unknown`` only for reads, and for writes that the platform makes idempotent."""

    stop: stop_base
    wait: wait_base
    repeat_unknown: bool = False

    def allows(self, error: PlatformError) -> bool:
        """Whether ``error`` is of a kind that this policy repeats."""
        return isinstance(error, PlatformUnavailable) or (self.repeat_unknown and isinstance(error, PlatformUnknown))


NEVER = RetryPolicy(stop=stop_after_attempt(1), wait=wait_exponential())
"""One attempt."""

GENTLE = RetryPolicy(
    stop=stop_after_attempt(3) | stop_after_delay(20),
    wait=wait_exponential(multiplier=0.5, min=0.5, max=4),
    repeat_unknown=True,
)
"""Three attempts, half a second and one second apart; for reads and for idempotent writes."""


def repeating(attempt: Callable[[int], Flow[T]], policy: RetryPolicy) -> Flow[T]:
    """Run ``attempt(0)``, ``attempt(1)``, … until one returns, raises what may not be repeated, or the policy stops.

    Raises the last attempt's error; but once an attempt's outcome was unknown, a later "not done" does not undo that:
    the unknown is raised, since the earlier request may still take effect.
    """
    started = yield from Now()
    state = RetryCallState(retry_object=_UNUSED, fn=None, args=(), kwargs={})
    unknown: PlatformUnknown | None = None
    while True:
        try:
            return (yield from attempt(state.attempt_number - 1))
        except PlatformError as error:
            unknown = error if isinstance(error, PlatformUnknown) else unknown
            now = yield from Now()
            state.start_time, state.outcome_timestamp = 0.0, (now - started).total_seconds()
            if not policy.allows(error) or policy.stop(state):
                if unknown is not None and unknown is not error:
                    raise unknown from error
                raise
            pause = max(policy.wait(state), error.retry_after_s or 0.0)
        yield from Sleep(pause)
        state.attempt_number += 1


_UNUSED: Any = Retrying()
