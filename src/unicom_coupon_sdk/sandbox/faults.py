"""Faults: what goes wrong next, as data.

A fault waits in its emulator's store until something matches it, and each use is counted down in the same transaction
as the request that it spoiled, so a restart neither forgets a fault nor applies it once more. A request meets one fault
at most, the oldest that matches; so two faults in a row mean two spoiled requests, in the order they were given.

A callback meets faults by its event type. ``no_notification`` and ``duplicate_notification`` may also go without
``match`` (the next callback) or name the request that causes the callback.

A bill meets faults of kind ``bill_defect`` when it is made (see ``bills``): ``code`` says what is wrong with it,
``times`` how many lines are, and ``match`` may name the kind of bill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from unicom_coupon_sdk.sandbox.store import DocumentStore

_KIND: Final = "frame.faults"


class FaultKind(StrEnum):
    """What can go wrong."""

    DROP_BEFORE = "drop_before"
    ERROR = "error"
    DROP_AFTER = "drop_after"
    HALF_BODY = "half_body"
    BAD_SIGNATURE = "bad_signature"
    WRONG_SERIAL = "wrong_serial"
    STALE_TIMESTAMP = "stale_timestamp"
    DELAY = "delay"
    DUPLICATE_NOTIFICATION = "duplicate_notification"
    NO_NOTIFICATION = "no_notification"
    BILL_DEFECT = "bill_defect"


SIGNATURE_FAULTS: Final = frozenset({FaultKind.BAD_SIGNATURE, FaultKind.WRONG_SERIAL, FaultKind.STALE_TIMESTAMP})
"""Made by ``Emulator.spoil``: the platform knows what its signature looks like."""

NOTIFICATION_FAULTS: Final = frozenset({FaultKind.DUPLICATE_NOTIFICATION, FaultKind.NO_NOTIFICATION})
REQUEST_FAULTS: Final = frozenset(FaultKind) - NOTIFICATION_FAULTS - {FaultKind.BILL_DEFECT}
ATTEMPT_FAULTS: Final = SIGNATURE_FAULTS | {FaultKind.DROP_BEFORE, FaultKind.DROP_AFTER, FaultKind.HALF_BODY}
"""What can go wrong with one delivery of a callback."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that will go wrong, ``times`` more times. ``code`` is the platform's own; ``seconds`` for a delay."""

    fault_id: str
    kind: FaultKind
    times: int = 1
    match: str | None = None
    code: str | None = None
    seconds: float = 0.0
    probe: bool = False

    def shown(self) -> dict[str, Any]:
        """The fault as ``GET /faults`` lists it, without its platform."""
        shown: dict[str, Any] = {"id": self.fault_id, "kind": self.kind.value, "times": self.times}
        if self.match is not None:
            shown["match"] = self.match
        if self.code is not None:
            shown["code"] = self.code
        if self.kind is FaultKind.DELAY:
            shown["seconds"] = self.seconds
        if self.kind in SIGNATURE_FAULTS:
            shown["probe"] = self.probe
        return shown


class FaultBook:
    """The faults of one platform, oldest first."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store

    def add(self, fault: Fault) -> None:
        """Arm a fault; durable when it returns."""
        self._store.put(
            _KIND,
            fault.fault_id,
            {
                "kind": fault.kind.value,
                "times": fault.times,
                "match": fault.match,
                "code": fault.code,
                "seconds": fault.seconds,
                "probe": fault.probe,
            },
        )

    def armed(self) -> list[Fault]:
        """The faults that still wait, oldest first."""
        return [_fault(fault_id, document) for fault_id, document in self._store.all(_KIND)]

    def clear(self) -> int:
        """Forget all; how many there were."""
        with self._store.transaction():
            names = self._store.keys(_KIND)
            for name in names:
                self._store.delete(_KIND, name)
        return len(names)

    def take(self, kinds: frozenset[FaultKind], *matches: str, unmatched: bool) -> Fault | None:
        """The oldest fault of ``kinds`` that names one of ``matches``, used once; or ``None``.

        ``unmatched`` says whether a fault that names nothing applies too. Runs in the caller's transaction.
        """
        if not self._store.count(_KIND):
            return None
        for fault in self.armed():
            if fault.kind in kinds and (fault.match in matches or (unmatched and fault.match is None)):
                self.use(fault)
                return fault
        return None

    def use(self, fault: Fault, *, times: int = 1) -> None:
        """Count ``fault``, as ``armed`` gave it, down by ``times``."""
        if fault.times > times:
            document = self._store.get(_KIND, fault.fault_id) or {}
            self._store.put(_KIND, fault.fault_id, {**document, "times": fault.times - times})
        else:
            self._store.delete(_KIND, fault.fault_id)


def _fault(fault_id: str, document: Mapping[str, Any]) -> Fault:
    return Fault(
        fault_id=fault_id,
        kind=FaultKind(document["kind"]),
        times=document["times"],
        match=document["match"],
        code=document["code"],
        seconds=document["seconds"],
        probe=document["probe"],
    )
