"""A terminal's memory: trace, batch, working keys, and what it owes the host (sheet 8).

A terminal of the real world has a battery. Ours writes notes into the ledger's database (``platform.notebook``), each
change one transaction before the first byte leaves: a crash burns a trace number at worst, never reuses one, and never
forgets a reversal. Two kinds of notes:

``terminal/<merchant>/<number>``
    the last trace, the batch, the working keys **as the host sent them** (under the TMK, so the note is no secret),
    the operations whose end is not known, and the batch that is being settled, if one is.

``operation/<id>``
    one transaction, under the id by which the SDK and the host know it (tag 03). It names trace and batch for ever, so
    that a query, a void or a reversal years later finds its original. The coupon code in it is sealed.

The states of an operation, and who moves it::

    sent ──answer──▶ done │ declined          unsent ◀── nothing left this machine
     │ no answer
     ▼
    lost ──before the next transaction──▶ reversing ──00──▶ reversed
     │                                      │ 3 sends
     │                                      ▼
     └──── outcome query says done ──▶ done ◀── parked (kept, and tried again)

    asked: the host itself said that it does not know (68, 94, 96, 98); it cancels, we ask: done │ declined │ reversed

``lost`` may still become ``done`` by an outcome query, but only while nobody has begun to reverse it: both are moves of
one note, so exactly one of them wins. A reversal that was sent and not answered may lie in a network for
``REVERSAL_LIFETIME_S``; until then the host's "done" is not believed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos import batch_book
from unicom_coupon_adapters.unionpay_pos.messages import Sequence
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import PlatformUnavailable
from unicom_coupon_sdk.platform.effects import Transact
from unicom_coupon_sdk.platform.notebook import Notebook, noting

PLATFORM: Final = "unionpay_pos"
SENDS_BEFORE_PARKING: Final = 3
BETWEEN_SENDS_S: Final = 60.0
PARKED_AGAIN_S: Final = 600.0
REVERSAL_LIFETIME_S: Final = 300.0
"""How long a reversal can still arrive after it was sent: the profile's request lifetime, and two minutes of clocks."""

_ANSWER_SLACK_S: Final = 30.0
_LAST: Final = 999_999


class State(StrEnum):
    """How an operation of a terminal stands."""

    SENT = "sent"
    DONE = "done"
    DECLINED = "declined"
    UNSENT = "unsent"
    LOST = "lost"
    ASKED = "asked"
    REVERSING = "reversing"
    REVERSED = "reversed"
    PARKED = "parked"


ENDED: Final = frozenset({State.DONE, State.DECLINED, State.UNSENT, State.REVERSED})


@dataclass(frozen=True, slots=True)
class WrappedKeys:
    """Working keys as a sign-on brought them: field 62 under the TMK, told apart by ``network`` (field 60.3)."""

    network: str
    field62: bytes


@dataclass(frozen=True, slots=True)
class Operation:
    """One transaction of a terminal, as its note has it."""

    operation_id: str
    note: Mapping[str, Any]

    @property
    def state(self) -> State:
        """How it stands."""
        return State(self.note["state"])

    @property
    def sequence(self) -> Sequence:
        """Its trace and batch."""
        return Sequence(trace=self.note["trace"], batch=self.note["batch"])

    @property
    def last_send(self) -> float:
        """When the last reversal was sent, in seconds since 1970; 0 when none was."""
        return float(self.note.get("last_send", 0.0))

    def text(self, name: str) -> str | None:
        """A part of the note that is text, else ``None``."""
        value = self.note.get(name)
        return value if isinstance(value, str) and value else None


@dataclass(frozen=True, slots=True)
class Begun:
    """Leave to send: the operation with its fresh trace, and the keys in force."""

    operation: Operation
    keys: WrappedKeys


class TerminalBook:
    """The notes of one terminal. Every method is one transaction, to be yielded."""

    def __init__(self, number: str, *, merchant: str, first_batch: int = 1) -> None:
        self.number = number
        self._id = f"{merchant}/{number}"
        self._name = f"terminal/{self._id}"
        self._first: dict[str, Any] = {"trace": 0, "batch": first_batch, "keys": None, "open": [], "settling": 0}

    def opened(self, notes: Notebook) -> dict[str, Any]:
        """The terminal's note, within a transaction."""
        return {**self._first, **notes.opened(self._name, first=self._first)}

    def keep(self, notes: Notebook, terminal: Mapping[str, Any]) -> None:
        """Write the terminal's note, within a transaction."""
        notes.put(self._name, terminal)

    def take(self, notes: Notebook) -> tuple[dict[str, Any], Sequence]:
        """The terminal's note with its next trace, already written, within a transaction."""
        terminal = self.opened(notes)
        terminal["trace"] = terminal["trace"] % _LAST + 1
        self.keep(notes, terminal)
        return terminal, Sequence(trace=terminal["trace"], batch=terminal["batch"])

    def batch_name(self, batch: int) -> str:
        """The name of a batch's note."""
        return f"batch/{self._id}/{batch:06d}"

    def state(self) -> Transact[dict[str, Any]]:
        """The terminal's note."""
        return noting(PLATFORM, self.opened)

    def keys(self, *, now: datetime) -> Transact[WrappedKeys | None]:
        """The working keys of today; ``None`` when the terminal must sign on first."""

        def read(notes: Notebook) -> WrappedKeys | None:
            return _keys_of(self.opened(notes), now=now)

        return noting(PLATFORM, read)

    def next_sequence(self) -> Transact[Sequence]:
        """A fresh trace for a message that changes nothing: a sign-on, an echo, an enquiry."""
        return noting(PLATFORM, lambda notes: self.take(notes)[1])

    def signed_on(self, keys: WrappedKeys, *, batch: int, trace: int, now: datetime) -> Transact[None]:
        """Keep what a sign-on brought; the host's batch number wins. An older sign-on never overwrites a newer one."""

        def write(notes: Notebook) -> None:
            terminal = self.opened(notes)
            known = terminal["keys"]
            if known is not None and known["day"] == _day(now) and known["batch"] == batch and known["trace"] > trace:
                return
            terminal["batch"] = batch
            terminal["keys"] = {
                "network": keys.network,
                "field62": keys.field62.hex(),
                "day": _day(now),
                "trace": trace,
                "batch": batch,
            }
            self.keep(notes, terminal)

        return noting(PLATFORM, write)

    def drop_keys(self, keys: WrappedKeys | None) -> Transact[None]:
        """Sign on before the next message, unless somebody has done so since ``keys`` were in force."""

        def write(notes: Notebook) -> None:
            terminal = self.opened(notes)
            known = terminal["keys"]
            if known is not None and (keys is None or known["field62"] == keys.field62.hex()):
                terminal["keys"] = None
                self.keep(notes, terminal)

        return noting(PLATFORM, write)

    def begin(
        self, operation_id: str, *, note: Mapping[str, Any], now: datetime, timeout_s: float
    ) -> Transact[Begun | None]:
        """Take the next trace for ``operation_id`` and write down that it is about to be sent.

        ``None`` when it was begun before: an operation is sent once. Raises ``PlatformUnavailable`` when the terminal
        is not signed on, settles its batch, or has a full one.
        """

        def write(notes: Notebook) -> Begun | None:
            if notes.get(_operation(operation_id)) is not None:
                return None
            terminal, sequence = self.take(notes)
            keys = _keys_of(terminal, now=now)
            if keys is None:
                raise PlatformUnavailable("unionpay_pos.sign_on_needed", platform=PLATFORM)
            if terminal["settling"]:
                raise PlatformUnavailable("unionpay_pos.settling", platform=PLATFORM, terminal=self.number)
            batch = notes.get(self.batch_name(terminal["batch"]))
            if batch is not None and batch_book.is_full(batch, coming=len(terminal["open"])):
                raise PlatformUnavailable("unionpay_pos.batch_full", platform=PLATFORM, terminal=self.number)
            written = {
                **note,
                "terminal": self.number,
                "trace": sequence.trace,
                "batch": sequence.batch,
                "state": State.SENT,
                "until": now.timestamp() + timeout_s + _ANSWER_SLACK_S,
                "sends": 0,
            }
            terminal["open"] = [*terminal["open"], operation_id]
            self.keep(notes, terminal)
            notes.put(_operation(operation_id), written)
            return Begun(Operation(operation_id, written), keys)

        return noting(PLATFORM, write)

    def conclude(
        self,
        operation: Operation,
        state: State,
        *,
        told: Mapping[str, str] | None = None,
        only_from: frozenset[State] | None = None,
        quiet_since: float | None = None,
    ) -> Transact[Operation | None]:
        """Move an operation to ``state``, with what the answer ``told``; ``None`` when it may not move there.

        ``only_from`` names the states that it may come from, and ``quiet_since`` demands that no reversal was sent
        since that instant. What has ended stays as it is; what is done joins its batch.
        """

        def write(notes: Notebook) -> Operation | None:
            known = notes.get(_operation(operation.operation_id))
            if known is None:
                return None
            current = State(known["state"])
            if current is state and current in ENDED:
                return Operation(operation.operation_id, known)
            if current in ENDED or (only_from is not None and current not in only_from):
                return None
            if quiet_since is not None and known.get("last_send", 0.0) > quiet_since:
                return None
            changed = {**known, **(told or {}), "state": state}
            notes.put(_operation(operation.operation_id), changed)
            if state in ENDED:
                self._close(notes, operation.operation_id)
            if state is State.DONE:
                name = self.batch_name(changed["batch"])
                batch_book.log(notes, name, operation_id=operation.operation_id, note=changed)
            return Operation(operation.operation_id, changed)

        return noting(PLATFORM, write)

    def annotate(self, operation: Operation, **told: str) -> Transact[None]:
        """Add to an operation's note what has no bearing on its state."""

        def write(notes: Notebook) -> None:
            known = notes.get(_operation(operation.operation_id)) or operation.note
            notes.put(_operation(operation.operation_id), {**known, **told})

        return noting(PLATFORM, write)

    def owed(self, *, now: datetime, parked_again_s: float = PARKED_AGAIN_S) -> Transact[tuple[Operation, ...]]:
        """The operations whose reversal is due: lost ones, those that a crash left behind, parked ones now and then."""

        def read(notes: Notebook) -> tuple[Operation, ...]:
            terminal = self.opened(notes)
            found = []
            for operation_id in terminal["open"]:
                note = notes.get(_operation(operation_id))
                if note is not None and _is_owed(note, at=now.timestamp(), parked_again_s=parked_again_s):
                    found.append(Operation(operation_id, note))
            return tuple(found)

        return noting(PLATFORM, read)

    def unfinished(self) -> Transact[tuple[Operation, ...]]:
        """The operations whose end is not known, oldest first."""

        def read(notes: Notebook) -> tuple[Operation, ...]:
            found = ((name, notes.get(_operation(name))) for name in self.opened(notes)["open"])
            return tuple(Operation(name, note) for name, note in found if note is not None)

        return noting(PLATFORM, read)

    def blocked(self) -> Transact[bool]:
        """Whether a reversal stands before every new transaction."""

        def read(notes: Notebook) -> bool:
            terminal = self.opened(notes)
            states = [(notes.get(_operation(name)) or {}).get("state") for name in terminal["open"]]
            return State.REVERSING in states

        return noting(PLATFORM, read)

    def claim(
        self, operation: Operation, *, now: datetime, parked_again_s: float = PARKED_AGAIN_S
    ) -> Transact[Operation | None]:
        """The right to send this reversal now; ``None`` when it is no longer due, or somebody else sends it."""

        def write(notes: Notebook) -> Operation | None:
            note = notes.get(_operation(operation.operation_id))
            if note is None or not _is_owed(note, at=now.timestamp(), parked_again_s=parked_again_s):
                return None
            note |= {"state": State.REVERSING, "sends": note["sends"] + 1, "last_send": now.timestamp()}
            notes.put(_operation(operation.operation_id), note)
            return Operation(operation.operation_id, note)

        return noting(PLATFORM, write)

    def _close(self, notes: Notebook, operation_id: str) -> None:
        terminal = self.opened(notes)
        if operation_id in terminal["open"]:
            terminal["open"] = [name for name in terminal["open"] if name != operation_id]
            self.keep(notes, terminal)


def recorded(operation_id: str) -> Transact[Operation | None]:
    """An operation by its id, whichever terminal sent it; ``None`` when none ever began."""

    def read(notes: Notebook) -> Operation | None:
        note = notes.get(_operation(operation_id))
        return None if note is None else Operation(operation_id, note)

    return noting(PLATFORM, read)


def _operation(operation_id: str) -> str:
    return f"operation/{operation_id}"


def _day(now: datetime) -> str:
    return now.astimezone(UTC).astimezone(BEIJING).date().isoformat()


def _keys_of(terminal: Mapping[str, Any], *, now: datetime) -> WrappedKeys | None:
    keys = terminal["keys"]
    if keys is None or keys["day"] != _day(now):
        return None
    return WrappedKeys(keys["network"], bytes.fromhex(keys["field62"]))


def _is_owed(note: Mapping[str, Any], *, at: float, parked_again_s: float) -> bool:
    if not note.get("reversible"):
        return False
    match State(note["state"]):
        case State.LOST:
            return True
        case State.SENT:
            return bool(note["until"] < at)
        case State.REVERSING:
            return bool(note["last_send"] + BETWEEN_SENDS_S <= at)
        case State.PARKED:
            return bool(note["last_send"] + parked_again_s <= at)
        case _:
            return False
