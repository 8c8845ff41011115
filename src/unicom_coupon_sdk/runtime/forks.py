"""What must not cross a fork: sockets, locks and threads.

A child process that uses its parent's keep-alive connection mixes two conversations on one socket, and a lock that
another thread held at the fork stays locked for ever. Whoever owns such things registers here and is told, in the
child, before any other code runs; so the hot paths need not compare process ids.
"""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class ForkAware(Protocol):
    """An owner of process-bound resources."""

    def after_fork(self) -> None:
        """In the child: forget what belongs to the parent, without closing it. Must not raise, nor take a lock."""


_watched: WeakSet[ForkAware] = WeakSet()


def watch(owner: ForkAware) -> None:
    """From now on call ``owner.after_fork()`` in each child process, for as long as ``owner`` lives."""
    _watched.add(owner)


def _tell_all() -> None:
    for owner in tuple(_watched):
        owner.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_tell_all)
