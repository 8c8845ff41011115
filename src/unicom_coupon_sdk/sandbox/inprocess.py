"""The sandbox in process: the same emulators, faults and clock, with no sockets, no threads and no waiting.

A client gets a transport that hands its request to the emulator by the URL's host and raises what the runtime would
raise when a fault spoils the connection. Time does not pass by itself in waits: a delay or a back-off moves the
simulated clock. Callbacks are delivered when the control is asked to, or when the clock moves, by calling a function.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.platform.effects import FrameCall, HttpCall
from unicom_coupon_sdk.platform.wire import HttpAnswer, HttpRequest
from unicom_coupon_sdk.runtime.frames import InlineFrames
from unicom_coupon_sdk.runtime.saved import save
from unicom_coupon_sdk.runtime.transport import Inline, complete_headers, no_answer, not_reached, whole_answer
from unicom_coupon_sdk.sandbox import papers
from unicom_coupon_sdk.sandbox.clock import SimulatedClock, real_now
from unicom_coupon_sdk.sandbox.control import DrivenControl
from unicom_coupon_sdk.sandbox.emulator import FRAME_METHOD, Emulator, Received
from unicom_coupon_sdk.sandbox.notifications import Attempt
from unicom_coupon_sdk.sandbox.rounds import Round, drive
from unicom_coupon_sdk.sandbox.world import SandboxWorld, base_url_of

if TYPE_CHECKING:
    from unicom_coupon_sdk.client import AsyncCouponClient, CouponClient
    from unicom_coupon_sdk.config import Settings
    from unicom_coupon_sdk.sandbox.service import SandboxServer

Merchant: TypeAlias = Callable[[HttpRequest], HttpAnswer | None]
"""Stands for the merchant's server: takes a callback, gives its answer, or ``None`` for no answer at all."""


class Sandbox:
    """Every platform in this process. Use as a context manager; what it holds is gone at its end.

    ``merchant`` receives the callbacks; it may be set later. ``real`` is the clock underneath: give a constant one to
    make a run repeatable to the second. Equal seeds give equal codes and nonces (keys are always new).
    """

    def __init__(
        self,
        seed: int | None = 7,
        platforms: Sequence[str] | None = None,
        *,
        emulators: Mapping[str, type[Emulator]] | None = None,
        merchant: Merchant | None = None,
        real: Callable[[], datetime] = real_now,
    ) -> None:
        self.world = SandboxWorld(platforms=platforms, emulators=emulators, seed=seed, reaches_all=True, real=real)
        self.merchant = merchant
        self.control = DrivenControl(self.world, run=self._drive, reaches_all=True)
        self._ledgers = 0

    @staticmethod
    def listen(port_base: int = 0, dir: Path | str | None = None, **options: Any) -> SandboxServer:  # noqa: A002 - as the command's option
        """The same over real sockets, in a background thread; ``options`` as ``SandboxServer`` takes them."""
        from unicom_coupon_sdk.sandbox.service import SandboxServer

        return SandboxServer(dir, port_base=port_base, **options)

    @property
    def clock(self) -> SimulatedClock:
        """The simulated clock; also a runtime's clock, whose sleeps pass at once."""
        return self.world.clock

    def credentials(self, platform: str) -> Mapping[str, Any]:
        """The platform's section of ``sandbox.json``."""
        station = self.world.station(platform)
        if station is None:
            raise ConfigurationError("sandbox.platform_absent", field="platform", platform=platform)
        with self.world.lock, station.store.transaction():
            return papers.section_of(platform, self.world.base_url(platform), station.emulator.credentials())

    def settings(self) -> Settings:
        """Settings for a client of this sandbox, with every platform in it and one ledger for all its clients."""
        from unicom_coupon_sdk.config import Settings

        ledger = papers.ledger_settings(self.world.directory)
        if self._ledgers:
            ledger["url"] = f"sqlite:///{self.world.directory / f'ledger-{self._ledgers}.db'}"
        return Settings.parse(
            {
                "merchant": {"id": "sandbox"},
                "ledger": ledger,
                "clearing": papers.clearing_settings(self.world.directory),
                "platforms": self.world.client_settings(self.world.base_url),
            }
        )

    def client(self) -> CouponClient:
        """A blocking client of this sandbox, on its clock. The caller closes it."""
        from unicom_coupon_sdk.client import CouponClient

        return CouponClient(self.settings(), transport=self.transport(), frames=self.frames(), clock=self.clock)

    def async_client(self) -> AsyncCouponClient:
        """An asyncio client of this sandbox, on its clock. The caller closes it."""
        from unicom_coupon_sdk.client import AsyncCouponClient

        return AsyncCouponClient(
            self.settings(), transport=self.async_transport(), frames=self.async_frames(), clock=self.clock
        )

    def transport(self) -> InProcessTransport:
        """What a blocking runtime sends with."""
        return InProcessTransport(self.world)

    def async_transport(self) -> Inline:
        """What an asyncio runtime sends with."""
        return Inline(self.transport())

    def frames(self) -> InProcessFrames:
        """What a blocking runtime sends frames with."""
        return InProcessFrames(self.world)

    def async_frames(self) -> InlineFrames:
        """What an asyncio runtime sends frames with."""
        return InlineFrames(self.frames())

    def reset(self) -> None:
        """Empty state and a new ledger for the clients made from now on; the same credentials."""
        self.control.reset()
        self._ledgers += 1

    def close(self) -> None:
        """Forget everything."""
        self.world.close()

    def _drive(self, round_: Round[Any]) -> Any:
        return drive(round_, self._deliver)

    def _deliver(self, attempt: Attempt) -> HttpAnswer | None:
        # A callback with half its body cannot be a whole request, so the merchant's server would never see it.
        if self.merchant is None or attempt.is_lost or attempt.is_half:
            return None
        return self.merchant(HttpRequest(attempt.method, attempt.url, attempt.headers, attempt.content))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class InProcessTransport:
    """Hands calls to the emulators of one world. Safe to share between threads."""

    def __init__(self, world: SandboxWorld) -> None:
        self._world = world

    def send(self, call: HttpCall) -> HttpAnswer:
        """The platform's answer.

        Raises as over the network: ``ConfigurationError`` for a host that the call does not allow,
        ``PlatformUnavailable`` (``platform.not_reached``) when no platform of the sandbox has this host,
        ``PlatformUnknown`` (``platform.no_answer``) when a fault or a too long delay swallows the answer.
        """
        request, rules = call.request, call.rules
        headers = complete_headers(call)
        station = self._world.station_of_url(request.url)
        if station is None:
            raise not_reached("connect", host=request.host)
        received = Received(request.method, request.target, headers, request.content, base_url_of(station.platform))
        reply = station.serve(received, f"{request.method} {request.target} HTTP/1.1")
        if reply.delay_s:
            self._world.clock.shift(min(reply.delay_s, rules.read_timeout_s))
        if reply.delay_s >= rules.read_timeout_s:
            raise no_answer("timeout", host=request.host)
        answer = reply.answer
        if answer is None or reply.is_half:
            raise no_answer("closed", host=request.host)
        if len(answer.content) > rules.largest_answer:
            raise no_answer("too_large", host=request.host)
        return save(whole_answer(answer.status, answer.headers, answer.content, call=call), call)

    def close(self) -> None:
        """Nothing to close."""


class InProcessFrames:
    """Hands frames to the emulators of one world. Safe to share between threads."""

    def __init__(self, world: SandboxWorld) -> None:
        self._world = world

    def send(self, call: FrameCall) -> bytes:
        """The first answering frame that the call accepts.

        Raises as over the network: ``PlatformUnavailable`` (``platform.not_reached``) when no platform of the sandbox
        has this host, ``PlatformUnknown`` (``platform.no_answer``) when no accepted answer comes in time.
        """
        host = call.endpoint.host
        station = self._world.station_of_host(host)
        if station is None or not station.speaks_frames:
            raise not_reached("connect", host=host)
        base_url = self._world.base_url(station.platform)
        reply = station.serve(Received(FRAME_METHOD, "", (), call.content, base_url), FRAME_METHOD)
        waited_s = min(reply.delay_s, call.timeout_s)
        if waited_s:
            self._world.clock.shift(waited_s)
        if reply.delay_s >= call.timeout_s:
            raise no_answer("timeout", host=host)
        if reply.answer is not None and not reply.is_half:
            for frame in (*reply.ahead, reply.answer.content):
                if call.accepts is None or call.accepts(frame):
                    return frame
        if reply.is_half or (reply.answer is None and not reply.is_silent):
            raise no_answer("closed", host=host)
        self._world.clock.shift(call.timeout_s - waited_s)
        raise no_answer("timeout", host=host)
