"""The world of a sandbox: its emulators, one clock, one record, with no sockets.

Built over a folder it keeps everything there; without one it lives in memory and a temporary folder of key files.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.platform import registry
from unicom_coupon_sdk.sandbox.clock import SimulatedClock, real_now
from unicom_coupon_sdk.sandbox.emulator import Emulator
from unicom_coupon_sdk.sandbox.recorder import Recorder
from unicom_coupon_sdk.sandbox.station import Station
from unicom_coupon_sdk.sandbox.store import DocumentStore

IN_PROCESS_DOMAIN: Final = "sandbox.invalid"
"""In process a platform's base URL is ``https://<platform>.sandbox.invalid``: a name that resolves nowhere."""


FRAME_PORT: Final = 8583
"""The port of a platform that speaks frames, in process: a number for settings that must have one."""


class SandboxWorld:
    """All emulators of one sandbox.

    ``emulators`` are classes by name; by default those that ``registry.emulators`` gives for ``platforms``.
    ``reaches_all`` lets callbacks leave this machine. Raises ``ConfigurationError``: an unknown platform, a folder
    that another sandbox uses (``sandbox.directory_in_use``) or that cannot be read.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        platforms: Sequence[str] | None = None,
        emulators: Mapping[str, type[Emulator]] | None = None,
        seed: int | None = None,
        reaches_all: bool = False,
        real: Callable[[], datetime] = real_now,
    ) -> None:
        self.lock = threading.RLock()
        self.in_flight: set[tuple[str, str]] = set()
        self.wake: Callable[[], None] = lambda: None
        """Called when a callback was queued; whoever delivers in the background sets it. May come from any thread."""
        self._temporary = directory is None
        self._stack = contextlib.ExitStack()
        self.directory = Path(tempfile.mkdtemp(prefix="unicom-sandbox-")) if directory is None else directory.absolute()
        if directory is None:
            self._stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        self._seed = seed
        self._reaches_all = reaches_all
        with contextlib.ExitStack() as undo:
            undo.push(self._stack)
            self._make_folder(self.directory)
            self.store = self._open_store(self.directory)
            self.clock = SimulatedClock(self.store, real=real)
            self.recorder = Recorder(None if self._temporary else self.directory / "requests")
            self._stack.callback(self.recorder.close)
            self.stations = {
                name: self._station(name, emulator)
                for name, emulator in (emulators if emulators is not None else registry.emulators(platforms)).items()
            }
            undo.pop_all()

    def close(self) -> None:
        """Let files go. A world in memory is gone."""
        self._stack.close()

    def station(self, platform: str) -> Station | None:
        """The station of a platform, if it is in this world."""
        return self.stations.get(platform)

    def station_of_url(self, url: str) -> Station | None:
        """The station that an in-process URL belongs to."""
        name, _, domain = (urlsplit(url).hostname or "").partition(".")
        return self.stations.get(name.replace("-", "_")) if domain == IN_PROCESS_DOMAIN else None

    def station_of_host(self, host: str) -> Station | None:
        """The station that an in-process host name belongs to."""
        return self.station_of_url(f"tcp://{host}")

    def base_url(self, platform: str) -> str:
        """Where an in-process client finds a platform of this world."""
        url = base_url_of(platform)
        return f"tcp://{urlsplit(url).hostname}:{FRAME_PORT}" if self.stations[platform].speaks_frames else url

    def client_settings(self, base_url: Callable[[str], str]) -> dict[str, dict[str, Any]]:
        """The platforms' sections of a client's settings. ``base_url`` says where each emulator is found.

        A further face adds to its platform's section what is not there yet.
        """
        sections: dict[str, dict[str, Any]] = {}
        for name, station in sorted(self.stations.items(), key=lambda item: item[1].face_of != item[0]):
            section = sections.setdefault(station.face_of, {})
            for key, value in station.emulator.client_settings(base_url(name)).items():
                section.setdefault(key, value)
        return sections

    def due(self, at: datetime | None = None) -> list[tuple[Station, str]]:
        """The notifications due at ``at`` (default: now) that nobody delivers at the moment."""
        at = at or self.clock.now()
        with self.lock:
            return [
                (station, key)
                for station in self.stations.values()
                for key in station.notifications.due(at)
                if (station.platform, key) not in self.in_flight
            ]

    def next_due(self) -> datetime | None:
        """When the next notification is due."""
        with self.lock:
            times = [at for station in self.stations.values() if (at := station.notifications.next_due()) is not None]
        return min(times, default=None)

    def tick(self) -> None:
        """Let every emulator do what is due at the simulated time."""
        for station in self.stations.values():
            station.tick()

    def flush(self) -> None:
        """Make durable what was handled and not yet answered."""
        with self.lock:
            for station in self.stations.values():
                station.store.flush()
            self.recorder.flush()

    def reset(self) -> None:
        """Empty every emulator and the record, and set the clock to real time; credentials stay."""
        with self.lock:
            for station in self.stations.values():
                station.store.clear()
            self.recorder.clear()
            self.clock.reset()

    def _station(self, name: str, emulator: type[Emulator]) -> Station:
        folder = self.directory / name
        self._make_folder(folder)
        return Station(
            emulator,
            platform=name,
            store=self._open_store(folder),
            directory=folder,
            clock=self.clock,
            recorder=self.recorder,
            lock=self.lock,
            seed=self._seed,
            reaches_all=self._reaches_all,
            wake=self._wake,
            files_url=base_url_of(name),
        )

    def _wake(self) -> None:
        self.wake()

    def _open_store(self, folder: Path) -> DocumentStore:
        store = DocumentStore(None if self._temporary else folder / "state.sqlite")
        self._stack.callback(store.close)
        return store

    @staticmethod
    def _make_folder(folder: Path) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                "sandbox.directory", field="dir", path=str(folder), reason=error.strerror or "?"
            ) from None


def base_url_of(platform: str) -> str:
    """The base URL of a platform in process."""
    return f"https://{platform.replace('_', '-')}.{IN_PROCESS_DOMAIN}"
