"""Where keys come from: settings hold references, never keys.

A reference is text: ``file:PATH`` or ``env:NAME``. Further schemes (a KMS, an HSM) are added to ``Keys`` by name. Key
text itself is taken only as a ``Secret`` built in code, so that it cannot sit in a settings file by mistake.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ConfigurationError, CouponError

T = TypeVar("T")
_LARGEST = 1 << 20
_log = logging.getLogger("unicom_coupon_sdk.crypto")


_LONGEST_PATH = 200


@runtime_checkable
class Signer(Protocol):
    """What signs requests: ``RsaPrivateKey``, or an object that asks an HSM."""

    def sign_sha256(self, message: bytes) -> bytes:
        """The RSASSA-PKCS1-v1_5 signature with SHA-256 over ``message``."""
        ...


@runtime_checkable
class KeySource(Protocol):
    """Something that holds keys and gives one out by name. Raises ``ConfigurationError`` naming ``field``."""

    def load(self, reference: str, *, field: str) -> bytes:
        """The bytes of the key; ``reference`` is what follows the scheme and its colon."""
        ...


class FileKeys:
    """Keys in files: ``file:/etc/keys/merchant.pem``, ``file:~/keys/merchant.pem``."""

    def load(self, reference: str, *, field: str) -> bytes:
        """The content of the file. Raises ``ConfigurationError`` ``key.file_missing`` or ``key.file_unreadable``."""
        try:
            with Path(reference).expanduser().open("rb") as file:
                content = file.read(_LARGEST + 1)
        except FileNotFoundError:
            raise ConfigurationError("key.file_missing", field=field, path=_shown(reference)) from None
        except (OSError, ValueError, RuntimeError):
            raise ConfigurationError("key.file_unreadable", field=field, path=_shown(reference)) from None
        if not content or len(content) > _LARGEST:
            raise ConfigurationError("key.file_unreadable", field=field, path=_shown(reference))
        return content

    @staticmethod
    def is_exposed(reference: str) -> bool:
        """Whether group or others may read the file. For the doctor's warning; loading does not refuse it."""
        mode = Path(reference).expanduser().stat().st_mode
        return bool(mode & (stat.S_IRGRP | stat.S_IROTH))


class EnvironmentKeys:
    """Keys in environment variables: ``env:MERCHANT_KEY``."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment

    def load(self, reference: str, *, field: str) -> bytes:
        """The variable's text in UTF-8. Raises ``ConfigurationError`` ``key.variable_missing``."""
        text = self._environment.get(reference, "")
        if not text:
            raise ConfigurationError("key.variable_missing", field=field, variable=reference)
        return text.encode()


class Keys:
    """All sources by scheme. ``Keys()`` knows ``file`` and ``env``; give ``sources`` to add or replace some."""

    def __init__(self, sources: Mapping[str, KeySource] | None = None) -> None:
        self._sources: dict[str, KeySource] = {"file": FileKeys(), "env": EnvironmentKeys(), **(sources or {})}

    @classmethod
    def default(cls) -> Keys:
        """Files and environment variables."""
        return cls()

    def load(self, reference: str | Secret, *, field: str) -> bytes:
        """The bytes a reference stands for. A ``Secret`` is the key itself (an ``inline:`` before it is dropped).

        Raises ``ConfigurationError``: ``key.reference`` (no scheme, or one nobody serves), ``key.inline`` (key text
        where a reference belongs), and what the source raises.
        """
        if isinstance(reference, Secret):
            return reference.reveal().removeprefix("inline:").encode()
        scheme, colon, rest = reference.partition(":")
        if scheme in {"inline", "text"} or "-----BEGIN" in reference:
            raise ConfigurationError("key.inline", field=field)
        source = self._sources.get(scheme)
        if not colon or not rest or source is None:
            raise ConfigurationError("key.reference", field=field, schemes=", ".join(sorted(self._sources)))
        return source.load(rest, field=field)

    def text(self, reference: str | Secret, *, field: str) -> str:
        """The same as text without surrounding blanks, for keys that are passwords. Raises ``key.unreadable``."""
        try:
            return self.load(reference, field=field).decode().strip()
        except UnicodeDecodeError:
            raise ConfigurationError("key.unreadable", field=field) from None


Stamp = tuple[int, int, int]


class Rotating(Generic[T]):
    """What ``build`` made of one or more key files, made anew when a file changes, with no restart.

    ``build`` gets the content of each path, in order, and should check what belongs together (that a certificate and
    a key are a pair): while it raises, the old value stays and ``report`` is told once a change. Files are looked at
    on ``current()``, at most every ``every_s`` seconds, by one thread; the others never wait. The first build is made
    at once, and its errors are raised.
    """

    def __init__(
        self,
        build: Callable[..., T],
        *,
        paths: Sequence[str | Path],
        field: str,
        every_s: float = 5.0,
        report: Callable[[CouponError], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._build = build
        self._paths = tuple(Path(path).expanduser() for path in paths)
        self._field = field
        self._every_s = every_s
        self._report = report or _log_report
        self._monotonic = monotonic
        self._checking = threading.Lock()
        self._seen = self._stamps()
        self._value = self._made()
        self._next = monotonic() + every_s

    def current(self) -> T:
        """The value of the newest good files."""
        if self._monotonic() >= self._next and self._checking.acquire(blocking=False):
            try:
                self._check()
            finally:
                self._next = self._monotonic() + self._every_s
                self._checking.release()
        return self._value

    def _check(self) -> None:
        try:
            stamps = self._stamps()
            if stamps == self._seen:
                return
            self._seen = stamps  # remembered before reading: a later write changes it again
            self._value = self._made()
        except CouponError as error:
            self._report(error)
        except Exception as error:  # noqa: BLE001 - a fault in ``build`` must not stop who signs with the old key
            self._report(ConfigurationError("key.unreadable", field=self._field, reason=type(error).__name__))

    def _stamps(self) -> tuple[Stamp | None, ...]:
        return tuple(_stamp(path) for path in self._paths)

    def _made(self) -> T:
        source = FileKeys()
        return self._build(*(source.load(str(path), field=self._field) for path in self._paths))


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _log_report(error: CouponError) -> None:
    _log.warning("a changed key file was not taken over: %s (%s)", error.code, error.field)


def _shown(path: str) -> str:
    """A path for an error; not what somebody pasted in the place of a path."""
    return path if len(path) <= _LONGEST_PATH and path.isprintable() and "-----" not in path else "?"
