"""The transactions of a terminal: redeem, void, return, ask, reverse (sheet 5, 8.1, 8.2).

What decides is the order of two things: a note in the terminal's book, and a frame on the wire. The note is always
first. So whatever dies, and whenever, the book knows at least as much as the host may have heard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos import messages
from unicom_coupon_adapters.unionpay_pos.answers import PLATFORM, Answer, Meaning, meaning_of
from unicom_coupon_adapters.unionpay_pos.coupon_block import Tag
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.line import Line
from unicom_coupon_adapters.unionpay_pos.messages import Entry, Reason, Redeemed, Sequence
from unicom_coupon_adapters.unionpay_pos.profile import clearing_date, date_of
from unicom_coupon_adapters.unionpay_pos.terminal import (
    BETWEEN_SENDS_S,
    PARKED_AGAIN_S,
    REVERSAL_LIFETIME_S,
    SENDS_BEFORE_PARKING,
    Operation,
    State,
    WrappedKeys,
    recorded,
)
from unicom_coupon_sdk.crypto.fields import FieldCipher
from unicom_coupon_sdk.domain.redemption import Outcome
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import (
    Effected,
    ForgedMessage,
    PlatformError,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    ValidationError,
)
from unicom_coupon_sdk.platform.effects import Flow, Now

_NOT_REVERSED: Final = frozenset({State.SENT, State.LOST, State.ASKED})
_OPEN: Final = _NOT_REVERSED | {State.REVERSING, State.PARKED}
_CLAIM_GOOD_FOR_S: Final = 30.0
_REDEEM, _VOID, _RETURN = "redeem", "void", "return"


@dataclass(frozen=True, slots=True)
class Wish:
    """One transaction to be carried out, under the id by which everybody knows it."""

    operation_id: str
    kind: str
    code: str
    amount_fen: int
    deadline: datetime
    entry: Entry = Entry.KEYED
    original: Operation | None = None
    about: Mapping[Tag, str] | None = None


class Transactions:
    """The transactions of one terminal. ``cipher`` seals coupon codes in its book."""

    def __init__(self, line: Line, *, cipher: FieldCipher) -> None:
        self.line = line
        self._book = line.book
        self._cipher = cipher

    def carry_out(self, wish: Wish) -> Flow[Outcome]:
        """Send a transaction, once. What is owed from before goes first.

        Raises ``PlatformRefused`` and ``PlatformUnavailable`` when it is certain that nothing was done, and
        ``PlatformUnknown`` when no answer came that can be believed; a reversal is owed then.
        """
        yield from self.line.signed_on()
        yield from self.reverse_owed()
        now = yield from Now()
        if now > wish.deadline:
            raise PlatformUnavailable("unionpay_pos.too_late", platform=PLATFORM)
        note = self._note(wish)
        begun = yield from self._book.begin(wish.operation_id, note=note, now=now, timeout_s=self.line.timeout_s)
        if begun is None:
            raise PlatformUnknown("unionpay_pos.sent_before", platform=PLATFORM)
        operation = begun.operation
        message = self._message(operation, wish)
        now = yield from Now()
        if now > wish.deadline:  # writing the note took long: a paused machine, a busy database
            yield from self._book.conclude(operation, State.UNSENT)
            raise PlatformUnavailable("unionpay_pos.too_late", platform=PLATFORM)
        try:
            answer = yield from self.line.exchange(message, keys=begun.keys)
        except PlatformUnavailable:  # the connection never stood
            yield from self._book.conclude(operation, State.UNSENT)
            raise
        except ForgedMessage as error:
            raise (yield from self._lost(operation, Reason.WRONG_MAC, cause=error.code)) from None
        except PlatformUnknown as error:
            yield from self._lost(operation, Reason.NO_ANSWER, cause=error.code)
            raise
        return (yield from self._heard(operation, answer, keys=begun.keys))

    def _heard(self, operation: Operation, answer: Answer, *, keys: WrappedKeys) -> Flow[Outcome]:
        now = yield from Now()
        if answer.meaning is Meaning.DONE:
            told = _told(answer)
            concluded = yield from self._book.conclude(operation, State.DONE, told=told, only_from=_NOT_REVERSED)
            if concluded is None:  # we slept so long that another process has begun to reverse it
                raise PlatformUnknown("unionpay_pos.undecided", platform=PLATFORM, platform_code=answer.code)
            return _done(concluded, now=now)
        if answer.meaning is Meaning.SIGN_ON:
            yield from self._book.drop_keys(keys)
        if not self.line.is_believed(answer):
            raise (yield from self._lost(operation, Reason.WRONG_MAC, cause="unionpay_pos.decline_unverified"))
        error = answer.error()
        state = State.ASKED if answer.meaning is Meaning.UNKNOWN else State.DECLINED
        yield from self._book.conclude(
            operation, state, told={"response": answer.code}, only_from=frozenset({State.SENT})
        )
        raise error

    def _lost(self, operation: Operation, reason: Reason, *, cause: str) -> Flow[PlatformUnknown]:
        told = {"reason": reason.value}
        yield from self._book.conclude(operation, State.LOST, told=told, only_from=frozenset({State.SENT}))
        return PlatformUnknown("unionpay_pos.no_believable_answer", platform=PLATFORM, reason=cause)

    # --- reversals ---

    def reverse_owed(self) -> Flow[None]:
        """Send the reversals that are owed, before anything else goes out.

        Raises ``PlatformUnavailable`` (``unionpay_pos.reversal_pending``) while one of them has no answer; after three
        sends it is parked, tried again now and then, and no longer in the way. It is never dropped.
        """
        yield from self._reverse_owed(parked_again_s=PARKED_AGAIN_S)

    def finish(self) -> Flow[None]:
        """Bring everything that is open to its end, before the batch is settled (sheet 8.4, step 1).

        Reversals are sent, parked ones as well, and what is still open is asked about. Raises ``PlatformUnavailable``:
        ``unionpay_pos.reversal_pending`` as ``reverse_owed`` does, ``unionpay_pos.unfinished`` while anything is left.
        """
        yield from self._reverse_owed(parked_again_s=BETWEEN_SENDS_S)
        now = yield from Now()
        for operation in (yield from self._book.unfinished()):
            is_over = operation.state is not State.SENT or operation.note["until"] < now.timestamp()
            if is_over:  # else somebody is waiting for its answer
                yield from self._asked(operation, now=now)
        left = yield from self._book.unfinished()
        if left:
            raise PlatformUnavailable(
                "unionpay_pos.unfinished", platform=PLATFORM, terminal=self.line.terminal.number, count=len(left)
            )

    def _reverse_owed(self, *, parked_again_s: float) -> Flow[None]:
        now = yield from Now()
        for operation in (yield from self._book.owed(now=now, parked_again_s=parked_again_s)):
            yield from self._reverse(operation, parked_again_s=parked_again_s)
        if (yield from self._book.blocked()):
            raise PlatformUnavailable("unionpay_pos.reversal_pending", platform=PLATFORM, retry_after_s=60.0)

    def _reverse(self, owed: Operation, *, parked_again_s: float) -> Flow[None]:
        keys = yield from self.line.signed_on()
        now = yield from Now()
        operation = yield from self._book.claim(owed, now=now, parked_again_s=parked_again_s)
        if operation is None:
            return
        first = self._rebuilt(operation)
        reason = Reason(operation.note.get("reason", Reason.NO_ANSWER.value))
        now = yield from Now()
        if now.timestamp() - operation.last_send > _CLAIM_GOOD_FOR_S:
            return  # we slept: whoever comes next sends it, so that its time in the note stays true
        try:
            answer = yield from self.line.exchange(messages.reversal(first, reason=reason), keys=keys)
        except (PlatformError, ForgedMessage):
            answer = None
        if answer is not None and answer.meaning is Meaning.SIGN_ON:
            yield from self._book.drop_keys(keys)
        if answer is not None and self.line.is_believed(answer) and answer.code in {"00", "12", "22", "25"}:
            yield from self._answered(operation, answer)
            return
        if operation.note["sends"] >= SENDS_BEFORE_PARKING:
            yield from self._book.conclude(operation, State.PARKED, only_from=frozenset({State.REVERSING}))

    def _answered(self, operation: Operation, answer: Answer) -> Flow[None]:
        """A final answer. ``00`` undid it. The others undid nothing: the host is asked what it has instead."""
        if answer.code == "00":
            yield from self._book.conclude(operation, State.REVERSED, told={"response": answer.code})
            return
        told = {"response": answer.code, "reversible": ""}
        yield from self._book.conclude(operation, State.ASKED, told=told)

    # --- asking ---

    def verdict(self, operation_id: str) -> Flow[Outcome]:
        """What became of a transaction: from the book where it has ended, else by asking the host.

        Raises ``PlatformError`` when the host cannot be asked.
        """
        now = yield from Now()
        operation = yield from recorded(operation_id)
        if operation is None:
            return _not_done("unionpay_pos.never_sent", code=None)
        match operation.state:
            case State.DONE:
                return _done(operation, now=now)
            case State.DECLINED | State.UNSENT | State.REVERSED:
                return _not_done("unionpay_pos.not_done", code=operation.text("response"))
            case _:
                return (yield from self._asked(operation, now=now))

    def _asked(self, operation: Operation, *, now: datetime) -> Flow[Outcome]:
        """The host's word, and what follows from it for the book.

        Undone and declined are final. "Not found" is final for what the host has spoken of before, and for what was
        parked, or sent and never to be reversed, long ago. Of anything else the original may still be on its way, and
        its reversal stays owed.
        """
        quiet_since = (now - timedelta(seconds=REVERSAL_LIFETIME_S)).timestamp()
        answer = yield from self.outcome_of(operation)
        if answer.code == "25":
            is_long_ago = not operation.note["reversible"] and operation.note["until"] < quiet_since
            known = _NOT_REVERSED if is_long_ago else frozenset({State.ASKED})
            if (yield from self._book.conclude(operation, State.DECLINED, only_from=known)) is None:
                parked = frozenset({State.PARKED})
                yield from self._book.conclude(operation, State.DECLINED, only_from=parked, quiet_since=quiet_since)
            return _not_done("unionpay_pos.not_found", code=answer.code)
        if answer.code == "22":
            yield from self._book.conclude(operation, State.REVERSED, only_from=_OPEN)
            return _not_done("unionpay_pos.reversed", code=answer.code)
        if answer.meaning is not Meaning.DONE:
            error = answer.error()
            raise (
                error
                if error.outcome is Effected.UNKNOWN
                else PlatformUnavailable("unionpay_pos.not_asked", platform=PLATFORM, platform_code=answer.code)
            )
        stored = answer.block.get(Tag.ORIGINAL_RESPONSE, "")
        meaning = meaning_of(stored) if stored else Meaning.UNKNOWN
        if meaning is Meaning.UNKNOWN:
            return _undecided(stored or answer.code)
        if meaning is not Meaning.DONE:
            yield from self._book.conclude(operation, State.DECLINED, told={"response": stored}, only_from=_OPEN)
            return _not_done("unionpay_pos.not_done", code=stored)
        concluded = yield from self._book.conclude(
            operation, State.DONE, told=_told(answer), only_from=_OPEN, quiet_since=quiet_since
        )
        return _undecided(stored) if concluded is None else _done(concluded, now=now)

    def outcome_of(self, operation: Operation) -> Flow[Answer]:
        """The host's answer about ``operation``, with a right MAC. Signs on again once when keys are out of step."""
        code = self._opened(operation)
        original = Redeemed(
            sequence=operation.sequence, amount_fen=operation.note["amount"], date=operation.note["date"]
        )
        for is_last in (False, True):
            keys = yield from self.line.signed_on()
            sequence = yield from self._book.next_sequence()
            question = messages.outcome_query(
                self.line.terminal, sequence=sequence, code=code, original=original, key=operation.operation_id
            )
            try:
                answer = yield from self.line.ask(question, keys=keys)
            except (ForgedMessage, PlatformUnavailable) as error:
                if is_last or (isinstance(error, PlatformUnavailable) and not error.code.startswith(PLATFORM)):
                    raise _not_asked(error) from None
                yield from self._book.drop_keys(keys)
                continue
            if is_last or answer.meaning is not Meaning.SIGN_ON:
                return answer
            yield from self._book.drop_keys(keys)
        raise AssertionError("the loop returns or raises")

    def enquire(self, code: str, *, entry: Entry = Entry.SCANNED) -> Flow[Answer]:
        """The host's view of a coupon (tags 82 to 86 of the answer's block). Changes nothing."""
        keys = yield from self.line.signed_on()
        sequence = yield from self._book.next_sequence()
        question = messages.enquiry(self.line.terminal, sequence=sequence, code=code, entry=entry)
        return (yield from self.line.ask(question, keys=keys))

    # --- messages and notes ---

    def _note(self, wish: Wish) -> dict[str, Any]:
        sealed = self._cipher.seal(wish.code, context=f"{PLATFORM}/{wish.operation_id}")
        note: dict[str, Any] = {
            "kind": wish.kind,
            "amount": wish.amount_fen,
            "entry": wish.entry.value,
            "date": "0000",
            "code": sealed.hex(),
            "reversible": "" if wish.kind == _RETURN else "yes",
        }
        if wish.original is not None:
            note["original"] = wish.original.operation_id
            note["original_sequence"] = [wish.original.note["trace"], wish.original.note["batch"]]
            note["original_reference"] = wish.original.text("reference")
            note["original_unicom_no"] = wish.original.text("unicom_no")
        return note

    def _opened(self, operation: Operation) -> str:
        blob = bytes.fromhex(operation.note["code"])
        return self._cipher.open(blob, context=f"{PLATFORM}/{operation.operation_id}")

    def _message(self, operation: Operation, wish: Wish) -> Message:
        if wish.kind == _REDEEM:
            return messages.redeem(
                self.line.terminal,
                sequence=operation.sequence,
                code=wish.code,
                value_fen=wish.amount_fen,
                entry=wish.entry,
                key=wish.operation_id,
                about=wish.about,
            )
        assert wish.original is not None
        make = messages.void if wish.kind == _VOID else messages.give_back
        return make(
            self.line.terminal,
            sequence=operation.sequence,
            code=wish.code,
            original=redeemed_of(wish.original),
            key=wish.operation_id,
        )

    def _rebuilt(self, operation: Operation) -> Message:
        """The message of an operation as its reversal copies it: everything that names it, nothing else."""
        code, note = self._opened(operation), operation.note
        if note["kind"] == _REDEEM:
            return messages.redeem(
                self.line.terminal,
                sequence=operation.sequence,
                code=code,
                value_fen=note["amount"],
                entry=Entry(note["entry"]),
                key=operation.operation_id,
            )
        trace, batch = note["original_sequence"]
        original = Redeemed(
            sequence=Sequence(trace=trace, batch=batch),
            amount_fen=note["amount"],
            reference=note["original_reference"],
            unicom_no=note["original_unicom_no"],
        )
        return messages.void(
            self.line.terminal,
            sequence=operation.sequence,
            code=code,
            original=original,
            key=operation.operation_id,
        )

    def undoing(
        self, operation_id: str, *, original: Operation, code: str, deadline: datetime, now: datetime
    ) -> Flow[Wish]:
        """The transaction that takes ``original`` back: a void in its batch and clearing day, else a return."""
        terminal = yield from self._book.state()
        is_same = (
            original.note["batch"] == terminal["batch"] and original.text("clearing") == f"{clearing_date(now):%m%d}"
        )
        return Wish(
            operation_id=operation_id,
            kind=_VOID if is_same and original.note["terminal"] == self.line.terminal.number else _RETURN,
            code=code,
            amount_fen=original.note["amount"],
            deadline=deadline,
            original=original,
        )


def redeemed_of(original: Operation) -> Redeemed:
    """A transaction as later ones name it. Raises ``PlatformRefused`` when its answer did not name it."""
    for name in ("reference", "unicom_no"):
        if original.text(name) is None:
            raise PlatformRefused("unionpay_pos.original_unnamed", platform=PLATFORM, field=name)
    return Redeemed(
        sequence=original.sequence,
        amount_fen=original.note["amount"],
        date=original.note["date"],
        reference=original.text("reference"),
        authorization=original.text("authorization"),
        unicom_no=original.text("unicom_no"),
    )


def _told(answer: Answer) -> dict[str, str]:
    """What a later void, return or query needs from an answer. Names are those of the compliance table."""
    found = {
        "response": answer.code,
        "date": answer.field(13) or "0000",
        "time": answer.field(12),
        "clearing": answer.field(15),
        "reference": answer.field(37),
        "authorization": answer.field(38),
        "unicom_no": answer.block.get(Tag.UNICOM_NO),
    }
    return {name: value for name, value in found.items() if value}


def _done(operation: Operation, *, now: datetime) -> Outcome:
    note = operation.note
    refs = {
        "terminal_no": note["terminal"],
        "trace": f"{note['trace']:06d}",
        "batch": f"{note['batch']:06d}",
        "reference": operation.text("reference"),
        "authorization": operation.text("authorization"),
        "unicom_no": operation.text("unicom_no"),
        "clearing_date": operation.text("clearing"),
        "local_date": operation.text("date"),
        "local_time": operation.text("time"),
    }
    return Outcome(
        effected=Effected.DONE,
        at=instant_of(note, now=now),
        platform_no=operation.text("reference") or operation.operation_id,
        refs={name: value for name, value in refs.items() if value},
    )


def instant_of(note: Mapping[str, Any], *, now: datetime) -> datetime:
    """The host's local date and time as an instant; ``now`` where they are no time."""
    try:
        day = date_of(note.get("date", ""), near=now)
        clock = datetime.strptime(note.get("time", ""), "%H%M%S").time()  # noqa: DTZ007 - a time of day, Beijing's
    except (ValidationError, ValueError):
        return now
    return datetime.combine(day, clock, tzinfo=BEIJING).astimezone(UTC)


def _not_done(error_code: str, *, code: str | None) -> Outcome:
    error = PlatformRefused(error_code, platform=PLATFORM, platform_code=code)
    return Outcome(effected=Effected.NOT_DONE, error=error)


def _undecided(code: str) -> Outcome:
    error = PlatformUnknown("unionpay_pos.undecided", platform=PLATFORM, platform_code=code)
    return Outcome(effected=Effected.UNKNOWN, error=error)


def _not_asked(error: PlatformUnavailable | ForgedMessage) -> PlatformUnavailable:
    if isinstance(error, PlatformUnavailable):
        return error
    return PlatformUnavailable("unionpay_pos.not_asked", platform=PLATFORM, platform_code=None, reason=error.code)
