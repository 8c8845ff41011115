"""The messages of coupon profile UCP-1 and of a terminal's day, built from what they mean (sheet 3, 5.1, 8).

Each function hands back a message without field 64; ``codec.pack_unsealed`` and ``MacKey.seal`` finish those that need
a MAC. None can carry a card number, a track, a PIN or chip data: there is no argument for them.

Traces and batches are numbers from 1 to 999999, amounts are fen. All raise ``FrameError`` for a value that does not
fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from unicom_coupon_adapters.unionpay_pos.coupon_block import CouponBlock, Tag
from unicom_coupon_adapters.unionpay_pos.frame_errors import refuse
from unicom_coupon_adapters.unionpay_pos.iso_message import FieldValue, Message
from unicom_coupon_adapters.unionpay_pos.subfields import (
    BatchDetail,
    Original,
    Totals,
    TransactionType,
    pack_details,
    pack_sequence,
    pack_totals,
)
from unicom_coupon_adapters.unionpay_pos.terminals import Terminal

COUPON_CONDITION: Final = "63"
YUAN: Final = "156"

_NOT_REPEATED: Final = frozenset({26, 35, 36, 37, 52, 53, 55, 59, 64})
"""What a reversal leaves out of its original. Field 59 too: its ciphertext belonged to the original."""

_REVERSIBLE: Final = frozenset({("0200", "000000"), ("0200", "200000")})


class Entry(Enum):
    """How the coupon code came into the terminal (field 22)."""

    SCANNED = "032"
    KEYED = "012"
    CARD_BOUND = "022"


class Reason(Enum):
    """Why a terminal reverses (field 39 of a 0400)."""

    NO_ANSWER = "98"
    WRONG_MAC = "A0"
    OTHER = "06"


class SignOn(Enum):
    """Which keys a sign-on asks for (field 60.3)."""

    SINGLE = "001"
    DOUBLE = "003"
    DOUBLE_WITH_TRACK_KEY = "004"
    SM4 = "006"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Where a message stands: the terminal's trace (field 11) and batch (field 60.2)."""

    trace: int
    batch: int

    def __post_init__(self) -> None:
        if not (1 <= self.trace <= 999_999 and 1 <= self.batch <= 999_999):
            refuse("subfield", field="11" if not 1 <= self.trace <= 999_999 else "60.2")

    def key(self, terminal: Terminal) -> str:
        """The idempotency key that a host derives when tag 03 is absent: terminal, batch, trace."""
        return f"{terminal.number}{self.batch:06d}{self.trace:06d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeemed:
    """An earlier redemption, as its void, return or outcome query names it.

    ``date`` is MMDD as the host answered (``0000`` when no answer came), ``reference`` its field 37, ``authorization``
    its field 38 where there was one, ``unicom_no`` tag 81 of the answer.
    """

    sequence: Sequence
    amount_fen: int
    date: str = "0000"
    reference: str | None = None
    authorization: str | None = None
    unicom_no: str | None = None

    def original(self, *, with_date: bool) -> str:
        """Field 61."""
        trace, batch = f"{self.sequence.trace:06d}", f"{self.sequence.batch:06d}"
        return Original(batch=batch, trace=trace, date=self.date if with_date else None).packed()


def _amount(fen: int) -> str:
    if not 0 <= fen <= 999_999_999_999:
        refuse("length", field="4", largest=12)
    return f"{fen:012d}"


def _kind(terminal: Terminal, sequence: Sequence, *, kind: str) -> str:
    batch = f"{sequence.batch:06d}"
    return TransactionType(
        kind=kind, batch=batch, network="000", capability=terminal.capability, chip="0", partial="0"
    ).packed()


def _coupon(
    terminal: Terminal,
    sequence: Sequence,
    *,
    mti: str,
    processing: str,
    entry: Entry,
    kind: str,
    tags: Mapping[Tag, str],
    more: Mapping[int, FieldValue | None],
) -> Message:
    """A financial message of the profile; fields of ``more`` that are ``None`` are left out."""
    fields: dict[int, FieldValue | None] = {
        3: processing,
        11: f"{sequence.trace:06d}",
        22: entry.value,
        25: COUPON_CONDITION,
        41: terminal.number,
        42: terminal.merchant,
        49: YUAN,
        59: terminal.information(tags[Tag.CODE]),
        60: _kind(terminal, sequence, kind=kind),
        62: CouponBlock(tags).packed(code_pad=terminal.code_pad),
        **more,
    }
    return Message(mti, {number: value for number, value in sorted(fields.items()) if value is not None})


def enquiry(terminal: Terminal, *, sequence: Sequence, code: str, entry: Entry = Entry.SCANNED) -> Message:
    """Asks for a coupon's state and value. Changes nothing."""
    return _coupon(
        terminal,
        sequence,
        mti="0200",
        processing="310000",
        entry=entry,
        kind="03",
        tags={Tag.CODE: code},
        more={},
    )


def redeem(
    terminal: Terminal,
    *,
    sequence: Sequence,
    code: str,
    value_fen: int,
    entry: Entry = Entry.SCANNED,
    key: str | None = None,
    about: Mapping[Tag, str] | None = None,
) -> Message:
    """Redeems a coupon for ``value_fen`` (0 for goods coupons). Once for each key.

    ``key`` is tag 03, by default the derived one. ``about`` may add the order's amount and number, the last four digits
    of the holder's phone, the product, the operator and the terminal's time.
    """
    allowed = {
        Tag.CAMPAIGN,
        Tag.ORDER_AMOUNT,
        Tag.ORDER_NO,
        Tag.PHONE_TAIL,
        Tag.PRODUCT,
        Tag.OPERATOR,
        Tag.TERMINAL_TIME,
    }
    added = dict(about or {})
    for tag in added:
        if tag not in allowed:
            refuse("coupon_value", field=f"62.VA.{int(tag):02X}")
    tags = {Tag.CODE: code, Tag.KEY: key or sequence.key(terminal), **added}
    return _coupon(
        terminal,
        sequence,
        mti="0200",
        processing="000000",
        entry=entry,
        kind="22",
        tags=tags,
        more={4: _amount(value_fen)},
    )


def _undo_tags(code: str, original: Redeemed, key: str | None) -> dict[Tag, str]:
    tags = {Tag.CODE: code}
    if key is not None:
        tags[Tag.KEY] = key
    if original.unicom_no is None:
        refuse("missing", field="62.VA.09")
    return {**tags, Tag.ORIGINAL_NO: original.unicom_no}


def void(terminal: Terminal, *, sequence: Sequence, code: str, original: Redeemed, key: str | None = None) -> Message:
    """Takes back a redemption that is known to have succeeded in the same batch and clearing day.

    Raises ``FrameError`` ``unionpay_pos.frame_missing`` unless ``original`` has the answer's reference and number.
    """
    if original.reference is None:
        refuse("missing", field="37")
    return _coupon(
        terminal,
        sequence,
        mti="0200",
        processing="200000",
        entry=Entry.KEYED,
        kind="23",
        tags=_undo_tags(code, original, key),
        more={
            4: _amount(original.amount_fen),
            37: original.reference,
            38: original.authorization,
            61: original.original(with_date=False),
        },
    )


def give_back(
    terminal: Terminal,
    *,
    sequence: Sequence,
    code: str,
    original: Redeemed,
    amount_fen: int | None = None,
    organisation: str = "CUP",
    key: str | None = None,
) -> Message:
    """Returns a coupon on a later day or in a later batch; ``amount_fen`` at most what was redeemed, by default all.

    Raises ``FrameError`` as ``void`` does, and when more would come back than was redeemed.
    """
    if original.reference is None:
        refuse("missing", field="37")
    amount = original.amount_fen if amount_fen is None else amount_fen
    if amount > original.amount_fen:
        refuse("length", field="4", largest=original.amount_fen)
    return _coupon(
        terminal,
        sequence,
        mti="0220",
        processing="200000",
        entry=Entry.KEYED,
        kind="25",
        tags=_undo_tags(code, original, key),
        more={
            4: _amount(amount),
            37: original.reference,
            61: original.original(with_date=True),
            63: organisation,
        },
    )


def reversal(original: Message, *, reason: Reason, authorization: str | None = None) -> Message:
    """Undoes a redemption or void whose answer was not believed. It has the original's trace and batch.

    The coupon block keeps code and key only, so the host finds the original whatever else it held. ``authorization`` is
    field 38, when the answer had been read. Raises ``FrameError`` ``unionpay_pos.frame_mti`` for a message that is not
    reversible: returns, enquiries and management.
    """
    if (original.mti, original.fields.get(3)) not in _REVERSIBLE:
        refuse("mti", field="mti")
    block = CouponBlock.parse(original.data(62))
    kept = {tag: block[tag] for tag in (Tag.CODE, Tag.KEY) if tag in block}
    fields = {number: value for number, value in original.fields.items() if number not in _NOT_REPEATED | {38}}
    fields |= {39: reason.value, 62: CouponBlock(kept).packed(code_pad=_pad_of(original.data(62)))}
    if authorization is not None:
        fields[38] = authorization
    return Message("0400", dict(sorted(fields.items())))


def _pad_of(field62: bytes) -> int:
    """The width of the code in a block that was made here: tag 01 comes first."""
    return field62[6] if field62[5:6] == bytes([Tag.CODE]) else 0


def outcome_query(
    terminal: Terminal, *, sequence: Sequence, code: str, original: Redeemed, key: str | None = None
) -> Message:
    """Asks what became of ``original``: tag 8A of the answer is its field 39. Changes nothing."""
    return _coupon(
        terminal,
        sequence,
        mti="0200",
        processing="310000",
        entry=Entry.KEYED,
        kind="61",
        tags={Tag.CODE: code, Tag.KEY: key or original.sequence.key(terminal)},
        more={61: original.original(with_date=True)},
    )


# --- a terminal's day ---------------------------------------------------------------------------------------------


def _management(
    terminal: Terminal, sequence: Sequence, *, mti: str, network: str, more: Mapping[int, FieldValue]
) -> Message:
    kind = TransactionType(kind="00", batch=f"{sequence.batch:06d}", network=network).packed()
    fields = {11: f"{sequence.trace:06d}", 41: terminal.number, 42: terminal.merchant, 60: kind, **more}
    return Message(mti, dict(sorted(fields.items())))


def _operator(operator: str) -> str:
    if not (0 < len(operator) <= 3 and operator.isascii() and operator.isalnum()):
        refuse("text", field="63")
    return operator.ljust(3)


def sign_on(
    terminal: Terminal, *, sequence: Sequence, keys: SignOn, certificate: str, serial: str, operator: str = "01"
) -> Message:
    """Asks for working keys; ``certificate`` (four digits) and ``serial`` are the terminal's network licence."""
    more: dict[int, FieldValue] = {62: pack_sequence(certificate, serial), 63: _operator(operator)}
    return _management(terminal, sequence, mti="0800", network=keys.value, more=more)


def sign_off(terminal: Terminal, *, sequence: Sequence) -> Message:
    """Ends the terminal's day at the host; the working keys are void afterwards."""
    return _management(terminal, sequence, mti="0820", network="002", more={})


def echo(terminal: Terminal, *, sequence: Sequence) -> Message:
    """Asks whether the line lives."""
    return _management(terminal, sequence, mti="0820", network="301", more={})


def receipt(terminal: Terminal, *, original: Redeemed, clearing: str, tags: bytes, image: bytes) -> Message:
    """Uploads the receipt of ``original``, under its trace and batch: field 55 in ``tags``, an image in field 62.

    ``clearing`` is the original's clearing day, MMDD. This one has a MAC. Raises ``FrameError``
    ``unionpay_pos.frame_missing`` unless ``original`` has the answer's reference.
    """
    if original.reference is None:
        refuse("missing", field="37")
    kind = TransactionType(kind="07", batch=f"{original.sequence.batch:06d}", network="800").packed()
    more: dict[int, FieldValue] = {
        4: _amount(original.amount_fen),
        15: clearing,
        37: original.reference,
        55: tags,
        60: kind,
        62: image,
    }
    return _management(terminal, original.sequence, mti="0820", network="800", more=more)


def settlement(
    terminal: Terminal, *, sequence: Sequence, domestic: Totals, foreign: Totals | None = None, operator: str = "01"
) -> Message:
    """Compares the batch's totals with the host's. Bookkeeping only: it moves no money."""
    more = {48: pack_totals(domestic, foreign or Totals()), 49: YUAN, 63: _operator(operator)}
    return _management(terminal, sequence, mti="0500", network="201", more=more)


def batch_details(terminal: Terminal, *, sequence: Sequence, details: tuple[BatchDetail, ...]) -> Message:
    """Uploads up to eight transactions of a batch whose totals did not agree."""
    return _management(terminal, sequence, mti="0320", network="201", more={48: pack_details(details)})


def batch_return(terminal: Terminal, *, sequence: Sequence, original: Redeemed, reference: str) -> Message:
    """Uploads one return of a batch whose totals did not agree, as a notice of its own.

    ``sequence`` and ``reference`` are the return's, ``original`` the redemption that it gave back. Which of 203 to 206
    a return takes is not confirmed; 205 is the upload of what was done in a batch that does not agree.
    """
    kind = TransactionType(kind="25", batch=f"{sequence.batch:06d}", network="205").packed()
    more = {
        3: "200000",
        4: _amount(original.amount_fen),
        25: COUPON_CONDITION,
        37: reference,
        49: YUAN,
        60: kind,
        61: original.original(with_date=True),
    }
    return _management(terminal, sequence, mti="0320", network="205", more=more)


def batch_end(terminal: Terminal, *, sequence: Sequence, sent: int, is_balanced: bool) -> Message:
    """Ends the upload of a batch with the number of details ``sent``."""
    if not 0 <= sent <= 9999:
        refuse("subfield", field="48", largest=9999)
    network = "207" if is_balanced else "202"
    return _management(terminal, sequence, mti="0320", network=network, more={48: f"{sent:04d}"})
