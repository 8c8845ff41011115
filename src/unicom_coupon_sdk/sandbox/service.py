"""A sandbox over real sockets: listeners, postman and papers around one world, on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.runtime.transport import is_loopback
from unicom_coupon_sdk.sandbox import papers
from unicom_coupon_sdk.sandbox.control import Control, DrivenControl
from unicom_coupon_sdk.sandbox.door import LARGEST_BODY, ControlDoor
from unicom_coupon_sdk.sandbox.emulator import Emulator
from unicom_coupon_sdk.sandbox.frame_server import FrameListener
from unicom_coupon_sdk.sandbox.log import RequestLog
from unicom_coupon_sdk.sandbox.postman import Postman
from unicom_coupon_sdk.sandbox.rounds import Round
from unicom_coupon_sdk.sandbox.server import HttpListener, Listener
from unicom_coupon_sdk.sandbox.station import Station
from unicom_coupon_sdk.sandbox.store import KEYS
from unicom_coupon_sdk.sandbox.world import SandboxWorld

DEFAULT_DIRECTORY: Final = ".unicom-sandbox"
DEFAULT_PORT_BASE: Final = 8700
LOCALHOST: Final = "127.0.0.1"

_log = logging.getLogger(__name__)


class SandboxService:
    """Serves a world. ``start`` and ``close`` belong to one event loop; the world stays the caller's."""

    def __init__(
        self,
        world: SandboxWorld,
        *,
        host: str = LOCALHOST,
        port_base: int = DEFAULT_PORT_BASE,
        i_know: bool = False,
    ) -> None:
        self.world = world
        self.postman = Postman(world)
        self.file = world.directory / papers.SANDBOX_FILE
        self.settings_file = world.directory / papers.SETTINGS_FILE
        self.base_urls: dict[str, str] = {}
        self.control_url = ""
        self._host = host
        self._port_base = port_base
        self._file_stations = {f"{name}_files": one for name, one in world.stations.items() if one.serves_files}
        self._offsets = papers.offsets_of([*world.stations, *self._file_stations])
        self._listeners: list[Listener] = []
        is_local = is_loopback(host)
        if not (is_local or i_know):
            raise ConfigurationError("sandbox.not_loopback", field="host", host=host)
        if port_base and not 0 < port_base <= 65_535 - max(self._offsets.values(), default=0):
            raise ConfigurationError("sandbox.port_range", field="port_base", port=port_base)
        self._token = None if is_local else _token(world)
        self._reaches_all = i_know
        control = Control(world, reaches_all=i_know, on_credentials=self.write_papers)
        self._door = ControlDoor(control, self.postman, token=self._token)

    async def start(self) -> None:
        """Listen on every port, then write the papers. Raises ``ConfigurationError``; nothing listens then."""
        loop = asyncio.get_running_loop()
        try:
            door = HttpListener(self._door.serve, largest_body=LARGEST_BODY, refusal=self._door.refuse)
            port = await self._listen(door, offset=0)
            self.control_url = papers.control_url(self._host, port)
            for name, offset in self._offsets.items():
                listener = self._listener_of(name)
                await self._listen(listener, offset=offset)
                self.base_urls[name] = listener.base_url
            for name, station in self._file_stations.items():
                station.frame.files_url = self.base_urls[name]
            self.write_papers()
        except BaseException:
            await self.close()
            raise
        self.world.wake = lambda: _call_soon(loop, self.postman.wake)
        self.postman.start()
        for name, url in {"control": self.control_url, **self.base_urls}.items():
            _log.info("%s listens at %s", name, url)

    async def close(self) -> None:
        """Stop listening and delivering. All that was answered is stored."""
        self.world.wake = lambda: None
        await self.postman.close()
        for listener in self._listeners:
            await listener.close()
        self._listeners.clear()

    def control(self, loop: asyncio.AbstractEventLoop) -> DrivenControl:
        """The control for other threads than the one of ``loop``."""

        def run(round_: Round[Any]) -> Any:
            return asyncio.run_coroutine_threadsafe(self.postman.run(round_), loop).result()

        return DrivenControl(self.world, run=run, reaches_all=self._reaches_all, on_credentials=self.write_papers)

    def document(self) -> dict[str, Any]:
        """What ``sandbox.json`` holds."""
        control = {"base_url": self.control_url}
        if self._token is not None:
            control["token"] = self._token
        sections: dict[str, Any] = {"control": control}
        for name, station in self.world.stations.items():
            sections[name] = papers.section_of(name, self.base_urls[name], self._credentials(station))
        return sections

    def write_papers(self) -> None:
        """Write ``sandbox.json`` and ``unicom-coupon.toml``: at the start, and when credentials change."""
        settings = {
            "merchant": {"id": "sandbox"},
            "ledger": papers.ledger_settings(self.world.directory),
            "clearing": papers.clearing_settings(self.world.directory),
            "runtime": {"clock_url": self.control_url},
            "platforms": self.world.client_settings(self.base_urls.__getitem__),
        }
        papers.write_toml(self.settings_file, settings)
        papers.write_json(self.file, self.document())

    def _credentials(self, station: Station) -> Mapping[str, Any]:
        with self.world.lock, station.store.transaction():
            return station.emulator.credentials()

    def _listener_of(self, name: str) -> Listener:
        """The listener for what the station's platform speaks, or for its files."""
        station = self._file_stations.get(name) or self.world.stations[name]
        if station.speaks_frames and name not in self._file_stations:
            return FrameListener(station.serve)
        return HttpListener(station.handle, settle=self.world.flush)

    async def _listen(self, listener: Listener, *, offset: int) -> int:
        port = await listener.start(self._host, self._port_base + offset if self._port_base else 0)
        self._listeners.append(listener)
        return port


class SandboxServer:
    """A sandbox over real sockets in a background thread, for tests and demonstrations.

    ::

        with SandboxServer() as server:
            ...  # server.file names sandbox.json, server.control is the control API as methods

    Without a ``directory`` nothing is kept. Raises ``ConfigurationError`` when it cannot start.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        port_base: int = 0,
        host: str = LOCALHOST,
        platforms: Sequence[str] | None = None,
        emulators: Mapping[str, type[Emulator]] | None = None,
        seed: int | None = None,
        i_know: bool = False,
    ) -> None:
        self._open: Callable[[], SandboxWorld] = lambda: SandboxWorld(
            None if directory is None else Path(directory),
            platforms=platforms,
            emulators=emulators,
            seed=seed,
            reaches_all=i_know,
        )
        self._settings: dict[str, Any] = {"host": host, "port_base": port_base, "i_know": i_know}
        self._stack = contextlib.ExitStack()
        self._service: SandboxService | None = None
        self._control: DrivenControl | None = None

    @property
    def service(self) -> SandboxService:
        """The service that runs; only inside the ``with`` block."""
        assert self._service is not None, "the sandbox is not running"
        return self._service

    @property
    def control(self) -> DrivenControl:
        """The control API as methods."""
        assert self._control is not None, "the sandbox is not running"
        return self._control

    @property
    def file(self) -> Path:
        """``sandbox.json``."""
        return self.service.file

    @property
    def settings_file(self) -> Path:
        """``unicom-coupon.toml``."""
        return self.service.settings_file

    @property
    def credentials(self) -> dict[str, Any]:
        """What ``sandbox.json`` holds."""
        return self.service.document()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            world = self._open()
            undo.callback(world.close)
            service = SandboxService(world, **self._settings)
            loop = asyncio.new_event_loop()
            undo.callback(loop.close)
            thread = threading.Thread(target=loop.run_forever, name="unicom-coupon-sandbox", daemon=True)
            thread.start()
            undo.callback(thread.join)
            undo.callback(loop.call_soon_threadsafe, loop.stop)
            asyncio.run_coroutine_threadsafe(service.start(), loop).result()
            undo.callback(_closed, service, loop)
            self._service, self._control = service, service.control(loop)
            self._stack = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._service = self._control = None
        self._stack.close()


def serve(
    directory: Path | str = DEFAULT_DIRECTORY,
    *,
    host: str = LOCALHOST,
    port_base: int = DEFAULT_PORT_BASE,
    platforms: Sequence[str] | None = None,
    emulators: Mapping[str, type[Emulator]] | None = None,
    seed: int | None = None,
    i_know: bool = False,
) -> None:
    """Run a sandbox until SIGINT or SIGTERM: ``unicom-coupon sandbox up``.

    Prints ``ready DIR/sandbox.json`` on standard output when all listen, and nothing else there; logs to standard
    error. Raises ``ConfigurationError`` when it cannot start. Belongs to the main thread, for the signals.
    """
    _log_to_stderr()
    world = SandboxWorld(Path(directory), platforms=platforms, emulators=emulators, seed=seed, reaches_all=i_know)
    try:
        service = SandboxService(world, host=host, port_base=port_base, i_know=i_know)
        asyncio.run(_serve(service, announce=lambda: print(f"ready {service.file}", flush=True)))  # noqa: T201 - the contract's one line
    finally:
        world.close()


async def _serve(service: SandboxService, *, announce: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    log = RequestLog(sys.stderr, loop=loop)
    for station in service.world.stations.values():
        station.log = log.line
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stopped.set)
        except NotImplementedError:  # Windows has no such handlers on its loop
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))
    await service.start()
    try:
        announce()
        # What is loaded by now stays: the collector need not look at it again and again under load.
        gc.collect()
        gc.freeze()
        await stopped.wait()
        _log.info("stopping")
    finally:
        log.flush()
        await service.close()


def _token(world: SandboxWorld) -> str:
    kept = world.store.get(KEYS, "control")
    if kept is None:
        kept = {"token": secrets.token_urlsafe(32)}
        world.store.put(KEYS, "control", kept)
    token: str = kept["token"]
    return token


def _closed(service: SandboxService, loop: asyncio.AbstractEventLoop) -> None:
    asyncio.run_coroutine_threadsafe(service.close(), loop).result()


def _call_soon(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody delivers any more
        loop.call_soon_threadsafe(work)


def _log_to_stderr() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("unicom_coupon_sdk.sandbox")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
