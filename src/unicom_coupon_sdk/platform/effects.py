"""Effects: what a flow asks of the outside world.

A flow is a generator that yields effects and is sent their results; it does no I/O itself. Always write
``answer = yield from HttpCall(...)``: the effect's type parameter is then the type of ``answer``. Two runtimes perform
effects, one blocking, one asyncio; a test can drive a flow by hand, and the simulator crashes it before and after each.

What fails comes back into the flow as an exception at its ``yield from``: a transport error as
``PlatformUnavailable`` when nothing was sent and as ``PlatformUnknown`` when something may have been.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from unicom_coupon_sdk.platform.wire import FrameEndpoint, HttpAnswer, HttpRequest, TransportRules

if TYPE_CHECKING:
    from sqlalchemy import Connection


T = TypeVar("T")


class Effect(Generic[T]):
    """One request to the outside world; ``yield from effect`` hands back a ``T``."""

    __slots__ = ()

    def __iter__(self) -> Generator[Effect[Any], Any, T]:
        result: T = yield self
        return result


Flow: TypeAlias = Generator[Effect[Any], Any, T]
"""A process: yields effects, returns a ``T``."""


@dataclass(frozen=True, slots=True)
class HttpCall(Effect[HttpAnswer]):
    """Send ``request`` once, as it is, and hand back the whole answer, whatever its status.

    Raises ``PlatformUnavailable`` (``platform.not_reached``) when no byte was sent, ``PlatformUnknown``
    (``platform.no_answer``) when the request may have arrived and no whole answer came back.

    With ``save_to`` the body of an answer 200 goes into that file as it comes, however large, and ``content`` is empty;
    the file is made anew, readable by its owner alone, and is gone again when no whole answer came. Any other answer
    comes back as usual. ``rules.largest_answer`` holds in both cases.
    """

    request: HttpRequest
    rules: TransportRules
    save_to: Path | None = None


@dataclass(frozen=True, slots=True)
class FrameCall(Effect[bytes]):
    """Send one framed message and hand back the first answering frame that ``accepts`` (default: the first).

    Frames that are not accepted (late answers to earlier requests) are dropped. Raises like ``HttpCall``.
    """

    endpoint: FrameEndpoint
    content: bytes = field(repr=False)
    timeout_s: float
    accepts: Callable[[bytes], bool] | None = None


@dataclass(frozen=True, slots=True)
class Transact(Effect[T]):
    """Run ``work`` in one transaction of the ledger: all of it happens, durably, or none.

    ``work`` does nothing but read and write through its connection, so a runtime may run it again after a
    serialisation failure, or beside others in one commit.
    """

    work: Callable[[Connection], T]


@dataclass(frozen=True, slots=True)
class Local(Effect[T]):
    """Run ``work``, which reads and writes files of this machine and nothing else, off the event loop.

    Long work is fine. Cancelling a flow lets the work end first; it must leave files whole or not at all.
    """

    work: Callable[[], T]


@dataclass(frozen=True, slots=True)
class Now(Effect[datetime]):
    """The time, as an aware UTC datetime."""


@dataclass(frozen=True, slots=True)
class Sleep(Effect[None]):
    """Wait for ``seconds``."""

    seconds: float


@dataclass(frozen=True, slots=True)
class NewId(Effect[str]):
    """A new id: 26 characters of ``0-9 A-Z`` (ULID), ordered by time, unguessable, fit for every platform."""


@dataclass(frozen=True, slots=True)
class RandomBytes(Effect[bytes]):
    """``count`` bytes from the operating system's secure source."""

    count: int
