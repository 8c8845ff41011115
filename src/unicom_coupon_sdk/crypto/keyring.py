"""Keys side by side while their dates last, chosen by the serial a message names.

Platforms change keys while messages under the old one are still on their way. Readers take one immutable snapshot and
need no lock; a writer builds the next snapshot and swaps it in.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from unicom_coupon_sdk.errors import ForgedMessage, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

V = TypeVar("V")
_SHORTEST_HEX_SERIAL = 16


class Verifier(Protocol):
    """Anything that checks an RSA-SHA256 signature: ``RsaPublicKey``, or an object before an HSM."""

    def verify_sha256(self, signature: bytes, message: bytes) -> bool:
        """Whether ``signature`` is right for ``message``. Never raises for a wrong one."""
        ...


@dataclass(frozen=True, slots=True)
class Entry(Generic[V]):
    """One key with its dates (aware; ``None`` where it has no such date)."""

    serial: str
    verifier: V
    not_before: datetime | None = None
    not_after: datetime | None = None

    def valid_at(self, at: datetime) -> bool:
        """Whether the key may be used at ``at``; both dates belong to the time it may."""
        return (self.not_before is None or self.not_before <= at) and (self.not_after is None or at <= self.not_after)


class KeyRing(Generic[V]):
    """Verifier keys by serial. Serials compare without regard to case or to leading zeros of a hex number."""

    def __init__(self) -> None:
        self._entries: Mapping[str, Entry[V]] = MappingProxyType({})
        self._writing = threading.Lock()

    def add(
        self, serial: str, verifier: V, not_before: datetime | None = None, not_after: datetime | None = None
    ) -> None:
        """Take ``verifier`` in under ``serial``, in place of one that was there. Dates are aware."""
        for date in (not_before, not_after):
            if date is not None and date.tzinfo is None:
                raise ValidationError("time.naive", field="not_before" if date is not_before else "not_after")
        if not serial.strip():
            raise ValidationError("request.invalid", field="serial", reason="empty")
        entry = Entry(serial.strip(), verifier, not_before, not_after)
        with self._writing:
            self._entries = MappingProxyType({**self._entries, _normal(serial): entry})

    def drop(self, serial: str) -> None:
        """Forget ``serial``; no error if it is not here."""
        with self._writing:
            self._entries = MappingProxyType({k: v for k, v in self._entries.items() if k != _normal(serial)})

    def drop_expired(self, at: datetime) -> int:
        """Forget every key whose last moment is before ``at``; how many went."""
        with self._writing:
            kept = {k: v for k, v in self._entries.items() if v.not_after is None or at <= v.not_after}
            gone = len(self._entries) - len(kept)
            self._entries = MappingProxyType(kept)
        return gone

    def find(self, serial: str, at: datetime) -> V:
        """The verifier for ``serial`` that is valid at ``at``.

        Raises ``ForgedMessage``: ``message.unknown_key`` (refresh the keys once, then refuse) or
        ``message.key_not_in_force`` (known, but outside its dates).
        """
        entries = self._entries
        entry = entries.get(serial) or entries.get(_normal(serial))  # most serials come in their normal form
        if entry is None:
            raise ForgedMessage("message.unknown_key")
        if not entry.valid_at(at):
            raise ForgedMessage("message.key_not_in_force")
        return entry.verifier

    def knows(self, serial: str) -> bool:
        """Whether ``serial`` is here, whatever its dates."""
        return _normal(serial) in self._entries

    def serials(self) -> tuple[str, ...]:
        """All serials as they were added, oldest first."""
        return tuple(entry.serial for entry in self._entries.values())

    def newest(self, at: datetime) -> Entry[V]:
        """The key valid at ``at`` that began last (of equals, the one added last): the one to encrypt with.

        Raises ``ForgedMessage`` ``message.unknown_key`` if none is valid.
        """
        best: Entry[V] | None = None
        for entry in self._entries.values():
            if entry.valid_at(at) and (best is None or _began(entry) >= _began(best)):
                best = entry
        if best is None:
            raise ForgedMessage("message.unknown_key")
        return best

    def __len__(self) -> int:
        return len(self._entries)


def _began(entry: Entry[V]) -> float:
    return entry.not_before.timestamp() if entry.not_before else float("-inf")


def _normal(serial: str) -> str:
    plain = serial.strip().upper()
    if len(plain) >= _SHORTEST_HEX_SERIAL and all(digit in "0123456789ABCDEF" for digit in plain):
        return plain.lstrip("0")  # some clients print the number without its leading zeros
    return plain
