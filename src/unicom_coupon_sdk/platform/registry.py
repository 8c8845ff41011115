"""Adapters are found by entry point, checked, and loaded only when they are used.

A distribution offers ``[project.entry-points."unicom_coupon.adapters"]`` with the platform's name pointing at an
``AdapterPlugin``. Every error here names the distribution, so that whoever installed it knows whom to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.platform.adapter import PlatformAdapter
from unicom_coupon_sdk.platform.profile import INTERFACE_VERSION, PlatformProfile

GROUP = "unicom_coupon.adapters"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterPlugin:
    """What an adapter distribution offers.

    ``settings`` is the type of its section in the configuration; ``build`` makes an adapter from such a section
    and a key source (``crypto.providers.Keys``), loading keys, without any network. ``emulator`` imports and
    returns the sandbox emulator's class: a function, so that a merchant's process never imports it. ``host``, where
    the platform calls us, does the same for the server that takes its calls. ``faces`` are further emulators, for a
    platform that is reached by more than one protocol: the sandbox serves each under its own name, beside the first.
    """

    profile: PlatformProfile
    settings: type[Value]
    build: Callable[[Any, Keys], PlatformAdapter]
    emulator: Callable[[], type[Any]]
    host: Callable[[], type[Any]] | None = None
    faces: Mapping[str, Callable[[], type[Any]]] = field(default_factory=dict)
    interface_version: int = INTERFACE_VERSION


@cache
def available() -> Mapping[str, EntryPoint]:
    """The installed adapters by platform name, not loaded; looked up once a process.

    Raises ``ConfigurationError`` when two claim one name.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            raise ConfigurationError(
                "adapter.conflict", platform=point.name, first=_distribution(other), second=_distribution(point)
            )
        found[point.name] = point
    return dict(sorted(found.items()))


def load(name: str) -> AdapterPlugin:
    """The plugin for ``name``. Raises ``ConfigurationError``: unknown, broken, or built for another interface."""
    installed = available()
    point = installed.get(name)
    if point is None:
        raise ConfigurationError("adapter.unknown", field="platform", platform=name, known=", ".join(installed) or "-")
    try:
        plugin = point.load()
    except ImportError as error:
        raise ConfigurationError(
            "adapter.broken", platform=name, distribution=_distribution(point), reason=str(error)
        ) from error
    if not isinstance(plugin, AdapterPlugin) or plugin.interface_version != INTERFACE_VERSION:
        raise ConfigurationError(
            "adapter.interface",
            platform=name,
            distribution=_distribution(point),
            offered=getattr(plugin, "interface_version", "?"),
            expected=INTERFACE_VERSION,
        )
    return plugin


def emulators(names: Iterable[str] | None = None) -> dict[str, type[Any]]:
    """The sandbox's emulators by name: those of every installed adapter with all their faces, or the named ones.

    Raises as ``load`` does; a name that is neither a platform nor a face is ``adapter.unknown``.
    """
    offered = available()
    if names is None:
        names = [*offered, *_faces(offered)]
    return {name: load(name).emulator() if name in offered else _face(name, offered) for name in dict.fromkeys(names)}


def _face(name: str, platforms: Iterable[str]) -> type[Any]:
    faces = _faces(platforms)
    if name not in faces:
        known = ", ".join((*platforms, *faces)) or "-"
        raise ConfigurationError("adapter.unknown", field="platform", platform=name, known=known)
    return faces[name]()


def _faces(platforms: Iterable[str]) -> dict[str, Callable[[], type[Any]]]:
    return {face: make for name in platforms for face, make in load(name).faces.items()}


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value
