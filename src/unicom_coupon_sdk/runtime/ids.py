"""New ids: ULIDs, in order within a process and unguessable all the same.

An id is 48 bits of milliseconds since 1970 and 80 random bits, written in Crockford's base 32 (the layout of
github.com/ulid/spec). The specification's monotonic mode adds one within a millisecond, so who has seen one id
knows the next; here the step is a fresh 64-bit random number, which keeps both the order and the secrecy.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from unicom_coupon_sdk.runtime import forks

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_RANDOM_BITS = 80
_LARGEST_RANDOM = (1 << _RANDOM_BITS) - 1
_LARGEST_TIME = (1 << 48) - 1
_STEP_BYTES = 8


class Ulids:
    """A source of ids. Thread-safe; each id sorts after the one before it, even when the clock is set back.

    ``entropy(count)`` gives ``count`` random bytes; after a fork parent and child go separate ways.
    """

    def __init__(self, *, entropy: Callable[[int], bytes] = os.urandom) -> None:
        self._entropy = entropy
        self._lock = threading.Lock()
        self._time = -1
        self._random = 0
        forks.watch(self)

    def new(self, now: datetime) -> str:
        """The next id, 26 characters of ``0-9 A-Z``, for the instant ``now`` (aware)."""
        time = (now - _EPOCH) // _MILLISECOND
        with self._lock:
            if time > self._time:
                self._time, self._random = min(time, _LARGEST_TIME), self._fresh()
            else:
                step = 1 + int.from_bytes(self._entropy(_STEP_BYTES), "big")
                self._random += step
                if self._random > _LARGEST_RANDOM:  # after some 30 000 ids in one millisecond: borrow the next one
                    self._time, self._random = self._time + 1, self._fresh()
            number = (self._time << _RANDOM_BITS) | self._random
        return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])

    def _fresh(self) -> int:
        # The top bit starts clear, so that there is room for many steps within one millisecond.
        return int.from_bytes(self._entropy(_RANDOM_BITS // 8), "big") >> 1

    def after_fork(self) -> None:
        """Start afresh in a child process, so that it never repeats an id of its parent."""
        self._lock = threading.Lock()
        self._time, self._random = -1, 0
