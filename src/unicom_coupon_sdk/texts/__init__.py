"""Every text for people, from one catalogue in Chinese and English.

An entry is a key with its words in both languages side by side in ``texts.toml``, so a missing translation is seen in
review. An adapter ships its own ``texts.toml`` for keys that begin with its platform's name; the lookup finds it by
that name, and the core need not know the adapter.
"""

from __future__ import annotations

import importlib.util
import os
import tomllib
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LANGUAGES = ("zh", "en")
_language: ContextVar[str | None] = ContextVar("unicom_coupon_language", default=None)


def current_language() -> str:
    """``zh`` or ``en``: what ``use_language`` set, else ``UNICOM_COUPON_LANG``, else the locale, else English."""
    chosen = _language.get() or os.environ.get("UNICOM_COUPON_LANG")
    if not chosen:
        chosen = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "en")
    return "zh" if chosen.lower().startswith("zh") else "en"


@contextmanager
def use_language(language: str) -> Iterator[None]:
    """Within the block, texts come in ``language`` (for this thread or task)."""
    token = _language.set(language)
    try:
        yield
    finally:
        _language.reset(token)


def text(key: str, *, values: Mapping[str, object], part: str = "message", language: str | None = None) -> str:
    """The words for ``key``, filled with ``values``; a value that is not given reads as ``?``.

    ``part`` is ``message``, ``cause`` or ``remedy`` for errors. A key without an entry reads as itself, so an error is
    never lost to a missing text; a test pins that no such key is in use.
    """
    entry = find(key)
    words = entry.get(language or current_language(), {}) if entry else {}
    template = words.get(part) if isinstance(words, dict) else (words if part == "message" else None)
    if template is None:
        return key if part == "message" else ""
    return str(template).format_map(_Filled(values))


def find(key: str) -> dict[str, Any] | None:
    """The catalogue entry of ``key`` (``{language: words or {part: words}}``), or ``None``."""
    entry = _core().get(key)
    if entry is None:
        entry = _of_adapter(key.partition(".")[0]).get(key)
    return entry


class _Filled(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return "?"


@cache
def _core() -> dict[str, dict[str, Any]]:
    return _read(Path(__file__).with_name("texts.toml"))


@cache
def _of_adapter(platform: str) -> dict[str, dict[str, Any]]:
    if not platform.isidentifier():
        return {}
    try:
        spec = importlib.util.find_spec(f"unicom_coupon_adapters.{platform}")
    except ModuleNotFoundError:
        return {}
    if spec is None or spec.origin is None:
        return {}
    path = Path(spec.origin).with_name("texts.toml")
    return _read(path) if path.exists() else {}


def _read(path: Path) -> dict[str, dict[str, Any]]:
    with path.open("rb") as file:
        return tomllib.load(file)
