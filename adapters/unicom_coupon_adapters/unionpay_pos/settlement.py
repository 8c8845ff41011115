"""A terminal settles its batch: totals, upload, end, sign-off (sheet 4.5, 8.4).

The note of the batch is always ahead of the line: what goes out is written first, with its trace, and what was not
answered goes out again as it was. So a terminal that dies anywhere carries on where it was, and the host, which knows
messages by their traces and records by theirs, has every record once.

Settlement messages have no MAC (sheet 6.2). They move no money; what decides over coupons is done before them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from unicom_coupon_adapters.unionpay_pos import batch_book, messages
from unicom_coupon_adapters.unionpay_pos.answers import PLATFORM, Answer, Meaning
from unicom_coupon_adapters.unionpay_pos.batch_book import Parcel, Settlement, Step, VoidTotals
from unicom_coupon_adapters.unionpay_pos.frame_errors import FrameError
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.messages import Redeemed, Sequence
from unicom_coupon_adapters.unionpay_pos.subfields import Balance, Totals, parse_totals
from unicom_coupon_adapters.unionpay_pos.terminal import recorded
from unicom_coupon_adapters.unionpay_pos.transactions import Transactions
from unicom_coupon_sdk.errors import PlatformRefused, PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.platform.effects import Flow, Transact
from unicom_coupon_sdk.platform.notebook import Notebook, noting

_LAST_BATCH: Final = 999_999
_DELIVERED: Final = frozenset({"00", "94"})
"""An upload that the host has had before is delivered (sheet 7)."""


class SettlementBook:
    """The notes of one terminal's settlements. Every method is one transaction, to be yielded."""

    def __init__(self, transactions: Transactions, *, voids: VoidTotals) -> None:
        self._book = transactions.line.book
        self._voids = voids

    def under_way(self) -> Transact[Settlement | None]:
        """The settlement that has begun and not ended."""

        def read(notes: Notebook) -> Settlement | None:
            number = self._book.opened(notes)["settling"]
            return self._read(notes, number) if number else None

        return noting(PLATFORM, read)

    def begin(self) -> Transact[Settlement]:
        """Close the batch for transactions, with totals of what is in it.

        Raises ``PlatformUnavailable`` (``unionpay_pos.unfinished``) when a transaction has begun meanwhile.
        """

        def write(notes: Notebook) -> Settlement:
            terminal, sequence = self._book.take(notes)
            if terminal["settling"]:
                return self._read(notes, terminal["settling"])
            if terminal["open"]:
                raise PlatformUnavailable(
                    "unionpay_pos.unfinished",
                    platform=PLATFORM,
                    terminal=self._book.number,
                    count=len(terminal["open"]),
                )
            self._book.keep(notes, {**terminal, "settling": sequence.batch})
            name = self._book.batch_name(sequence.batch)
            batch = batch_book.opened(notes, name)
            notes.put(name, {**batch, "step": Step.TOTALS, "trace": sequence.trace})
            return self._read(notes, sequence.batch)

        return noting(PLATFORM, write)

    def move(
        self,
        seen: Settlement,
        step: Step,
        *,
        delivered: int = 0,
        verdict: tuple[Totals, Totals] | None = None,
    ) -> Transact[Settlement]:
        """Go on to ``step``, with a fresh trace for its message. Who comes second gets what the first has made of it.

        With the end the batch number moves on, as the next sign-on will confirm.
        """

        def write(notes: Notebook) -> Settlement:
            known = self._read(notes, seen.batch)
            if (known.step, known.trace) != (seen.step, seen.trace):
                return known
            terminal, sequence = self._book.take(notes)
            name = self._book.batch_name(seen.batch)
            told = dict(zip(("domestic", "foreign"), (half.packed() for half in verdict or ()), strict=False))
            batch = batch_book.opened(notes, name)
            notes.put(name, {**batch, **told, "step": step, "trace": sequence.trace, "delivered": delivered})
            if step in batch_book.ENDED:
                terminal |= {"settling": 0, "keys": None}
                if terminal["batch"] == seen.batch:
                    terminal["batch"] = seen.batch % _LAST_BATCH + 1
            self._book.keep(notes, terminal)
            return self._read(notes, seen.batch)

        return noting(PLATFORM, write)

    def parcel(self, seen: Settlement) -> Transact[Parcel]:
        """The records of the next upload message."""
        name = self._book.batch_name(seen.batch)
        return noting(PLATFORM, lambda notes: batch_book.parcel(notes, name, at=seen.delivered))

    def _read(self, notes: Notebook, number: int) -> Settlement:
        name = self._book.batch_name(number)
        return batch_book.settlement_of(notes, name, terminal=self._book.number, number=number, voids=self._voids)


class Settling:
    """Settles the batches of one terminal. Holds no state: every call carries on from the notes."""

    def __init__(self, transactions: Transactions, *, voids: VoidTotals) -> None:
        self._transactions = transactions
        self._line = transactions.line
        self._book = SettlementBook(transactions, voids=voids)

    def settle(self) -> Flow[Settlement]:
        """The settlement of the terminal's batch, from where it stands to its end; afterwards the next batch is open.

        Idempotent until it has ended: whoever calls again carries on. Raises ``PlatformUnavailable`` when something
        stands before it (an owed reversal, an open transaction, no connection), ``PlatformUnknown`` when a message was
        not answered, ``PlatformRefused`` when the host declines one, or has closed the batch by itself
        (``unionpay_pos.batch_closed``).
        """
        found = yield from self._book.under_way()
        if found is None:
            yield from self._line.signed_on()
            yield from self._transactions.finish()
            found = yield from self._book.begin()
        while found.step not in batch_book.ENDED:
            found = yield from self._steps[found.step](self, found)
        if found.step is Step.CLOSED:
            raise PlatformRefused("unionpay_pos.batch_closed", platform=PLATFORM, terminal=found.terminal)
        return found

    def _totals(self, found: Settlement) -> Flow[Settlement]:
        message = messages.settlement(self._line.terminal, sequence=_sequence(found), domestic=found.totals)
        answer = yield from self._line.exchange(message, keys=None)
        if answer.meaning is not Meaning.DONE:
            return (yield from self._declined(found, answer))
        try:
            domestic, foreign = parse_totals(answer.message.text(48))
        except FrameError as error:
            raise PlatformUnknown(
                "unionpay_pos.answer_unreadable", platform=PLATFORM, reason=error.code, field="48"
            ) from None
        # Ours are all domestic: a foreign half that does not agree has no records to show.
        is_uneven = domestic.balance is not Balance.BALANCED and found.records > 0
        step = Step.DETAILS if is_uneven else Step.END
        return (yield from self._book.move(found, step, verdict=(domestic, foreign)))

    def _details(self, found: Settlement) -> Flow[Settlement]:
        parcel = yield from self._book.parcel(found)
        message = yield from self._upload(found, parcel)
        answer = yield from self._line.exchange(message, keys=None)
        if answer.code not in _DELIVERED:
            return (yield from self._declined(found, answer))
        delivered = found.delivered + len(parcel)
        step = Step.DETAILS if delivered < found.records else Step.END
        return (yield from self._book.move(found, step, delivered=delivered))

    def _upload(self, found: Settlement, parcel: Parcel) -> Flow[Message]:
        terminal = self._line.terminal
        if parcel.returned is None:
            return messages.batch_details(terminal, sequence=_sequence(found), details=parcel.details)
        operation = yield from recorded(parcel.returned)
        assert operation is not None, "an operation is never forgotten"
        note, original = operation.note, (yield from recorded(operation.note["original"]))
        assert original is not None, "a return names an operation of ours"
        return messages.batch_return(
            terminal,
            sequence=operation.sequence,
            original=Redeemed(sequence=original.sequence, amount_fen=note["amount"], date=original.note["date"]),
            reference=note["reference"],
        )

    def _end(self, found: Settlement) -> Flow[Settlement]:
        message = messages.batch_end(
            self._line.terminal, sequence=_sequence(found), sent=found.delivered, is_balanced=found.is_balanced
        )
        answer = yield from self._line.exchange(message, keys=None)
        if answer.code not in _DELIVERED:
            return (yield from self._declined(found, answer))
        return (yield from self._book.move(found, Step.SIGN_OFF, delivered=found.delivered))

    def _sign_off(self, found: Settlement) -> Flow[Settlement]:
        """Sign off, which moves the host on. It says 77 when it has moved already: the next sign-on tells where.

        Some terminals name the new batch here. Ours names the old one, so that a sign-off that comes twice, or late,
        never closes the batch after it.
        """
        message = messages.sign_off(self._line.terminal, sequence=_sequence(found))
        answer = yield from self._line.exchange(message, keys=None)
        if answer.meaning is not Meaning.DONE and answer.code != "77":
            raise answer.error()
        return (yield from self._book.move(found, Step.SETTLED, delivered=found.delivered))

    def _declined(self, found: Settlement, answer: Answer) -> Flow[Settlement]:
        """Raises what the host said. An upload that it refuses begins again with the totals.

        Out of step (77): a sign-on tells the host's batch, and when that is another one, ours is closed.
        """
        if answer.code == "77":
            yield from self._line.sign_on()
            terminal = yield from self._line.book.state()
            if terminal["batch"] != found.batch:
                return (yield from self._book.move(found, Step.CLOSED, delivered=found.delivered))
        elif answer.meaning is Meaning.DECLINED and found.step is not Step.TOTALS:
            yield from self._book.move(found, Step.TOTALS)
        raise answer.error()

    _steps: Final[dict[Step, Callable[[Settling, Settlement], Flow[Settlement]]]] = {
        Step.TOTALS: _totals,
        Step.DETAILS: _details,
        Step.END: _end,
        Step.SIGN_OFF: _sign_off,
    }


def _sequence(found: Settlement) -> Sequence:
    return Sequence(trace=found.trace, batch=found.batch)
