"""Fields with an inner structure in digits: 48, 53, 60, 61, and the sequence number in 62 (sheet 4.4 to 4.7, 4.10)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from unicom_coupon_adapters.unionpay_pos.frame_errors import refuse

DETAILS_A_MESSAGE: Final = 8
"""Batch details that fit one 0320."""

_COUNTED: Final = 31


def _digits(text: str, *, size: int, name: str) -> str:
    if not (isinstance(text, str) and len(text) == size and text.isascii() and text.isdigit()):
        refuse("subfield", field=name)
    return text


def _number(value: int, *, size: int, name: str) -> str:
    if not 0 <= value < 10**size:
        refuse("subfield", field=name)
    return f"{value:0{size}d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionType:
    """Field 60, by its parts. A part that is ``None`` is not there, and nothing behind it is.

    Raises ``FrameError`` ``unionpay_pos.frame_subfield``.
    """

    kind: str  # 60.1
    batch: str  # 60.2
    network: str  # 60.3
    capability: str | None = None  # 60.4
    chip: str | None = None  # 60.5
    partial: str | None = None  # 60.6
    account: str | None = None  # 60.7
    rest: str | None = None  # two digits of one acquirer

    @classmethod
    def parse(cls, text: str) -> TransactionType:
        """The parts of 11 (management), 12, 13, 14, 17 or 19 digits."""
        if len(text) not in {11, 12, 13, 14, 17, 19}:
            refuse("subfield", field="60", length=len(text))
        _digits(text, size=len(text), name="60")
        parts = (text[11:12], text[12:13], text[13:14], text[14:17], text[17:19])
        capability, chip, partial, account, rest = (part or None for part in parts)
        return cls(
            kind=text[:2],
            batch=text[2:8],
            network=text[8:11],
            capability=capability,
            chip=chip,
            partial=partial,
            account=account,
            rest=rest,
        )

    def packed(self) -> str:
        """The digits of field 60."""
        text = _digits(self.kind, size=2, name="60.1")
        text += _digits(self.batch, size=6, name="60.2") + _digits(self.network, size=3, name="60.3")
        tail = (self.capability, self.chip, self.partial, self.account, self.rest)
        ended = False
        for index, (part, size) in enumerate(zip(tail, (1, 1, 1, 3, 2), strict=True)):
            ended = ended or part is None
            if part is None:
                continue
            if ended:
                refuse("subfield", field=f"60.{index + 4}")
            text += _digits(part, size=size, name=f"60.{index + 4}")
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """Field 61: which transaction is meant. ``date`` is MMDD, ``0000`` when it is not known.

    Raises ``FrameError`` ``unionpay_pos.frame_subfield``.
    """

    batch: str
    trace: str
    date: str | None = None
    authorization_mode: str | None = None
    institution: str | None = None

    @classmethod
    def parse(cls, text: str) -> Original:
        """The parts of 12, 16, 18 or 29 digits."""
        if len(text) not in {12, 16, 18, 29}:
            refuse("subfield", field="61", length=len(text))
        _digits(text, size=len(text), name="61")
        date, mode, institution = (part or None for part in (text[12:16], text[16:18], text[18:29]))
        return cls(batch=text[:6], trace=text[6:12], date=date, authorization_mode=mode, institution=institution)

    def packed(self) -> str:
        """The digits of field 61."""
        text = _digits(self.batch, size=6, name="61.1") + _digits(self.trace, size=6, name="61.2")
        for part, size, before, name in (
            (self.date, 4, True, "61.3"),
            (self.authorization_mode, 2, self.date, "61.4"),
            (self.institution, 11, self.authorization_mode, "61.5"),
        ):
            if part is not None:
                if before is None:
                    refuse("subfield", field=name)
                text += _digits(part, size=size, name=name)
        return text


class Balance(Enum):
    """The host's judgement of one half of the totals. ``ASKED`` is what a request carries."""

    ASKED = "0"
    BALANCED = "1"
    UNBALANCED = "2"
    ERROR = "3"


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """One half (domestic or foreign cards) of a batch's totals; amounts in fen."""

    debit_fen: int = 0
    debits: int = 0
    credit_fen: int = 0
    credits: int = 0
    balance: Balance = Balance.ASKED

    def packed(self) -> str:
        """31 digits. Raises ``FrameError`` ``unionpay_pos.frame_subfield`` when a sum or a count does not fit."""
        return (
            _number(self.debit_fen, size=12, name="48")
            + _number(self.debits, size=3, name="48")
            + _number(self.credit_fen, size=12, name="48")
            + _number(self.credits, size=3, name="48")
            + self.balance.value
        )

    @classmethod
    def parse(cls, text: str) -> Totals:
        """One half of 31 digits."""
        _digits(text, size=_COUNTED, name="48")
        if text[30] not in "0123":
            refuse("subfield", field="48", offset=30)
        return cls(
            debit_fen=int(text[:12]),
            debits=int(text[12:15]),
            credit_fen=int(text[15:27]),
            credits=int(text[27:30]),
            balance=Balance(text[30]),
        )


def pack_totals(domestic: Totals, foreign: Totals) -> str:
    """Field 48 of a settlement, 62 digits."""
    return domestic.packed() + foreign.packed()


def parse_totals(text: str) -> tuple[Totals, Totals]:
    """Domestic and foreign totals from field 48. Raises ``FrameError`` ``unionpay_pos.frame_subfield``."""
    _digits(text, size=2 * _COUNTED, name="48")
    return Totals.parse(text[:_COUNTED]), Totals.parse(text[_COUNTED:])


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDetail:
    """One transaction of a batch upload. A coupon has no card number: ``account`` is then empty. Amount in fen."""

    trace: str
    amount_fen: int
    account: str = field(default="", repr=False)
    is_foreign: bool = False


def pack_details(details: tuple[BatchDetail, ...]) -> str:
    """Field 48 of an upload: at most 8 details. Raises ``FrameError`` ``unionpay_pos.frame_subfield``."""
    if not 0 < len(details) <= DETAILS_A_MESSAGE:
        refuse("subfield", field="48", length=len(details), largest=DETAILS_A_MESSAGE)
    parts = [f"{len(details):02d}"]
    for detail in details:
        parts += [
            "01" if detail.is_foreign else "00",
            _digits(detail.trace, size=6, name="48"),
            _digits(detail.account.rjust(20, "0"), size=20, name="48"),
            _number(detail.amount_fen, size=12, name="48"),
        ]
    return "".join(parts)


def parse_details(text: str) -> tuple[BatchDetail, ...]:
    """The details of an upload. Raises ``FrameError`` ``unionpay_pos.frame_subfield``."""
    _digits(text, size=len(text), name="48")
    count = int(text[:2] or 0)
    if not 0 < count <= DETAILS_A_MESSAGE or len(text) != 2 + 40 * count:
        refuse("subfield", field="48", length=len(text))
    found = []
    for at in range(2, len(text), 40):
        if text[at : at + 2] not in {"00", "01"}:
            refuse("subfield", field="48", offset=at)
        found.append(
            BatchDetail(
                is_foreign=text[at : at + 2] == "01",
                trace=text[at + 2 : at + 8],
                account=text[at + 8 : at + 28].lstrip("0"),
                amount_fen=int(text[at + 28 : at + 40]),
            )
        )
    return tuple(found)


def pack_sequence(certificate: str, serial: str) -> bytes:
    """Field 62 of a sign-on: ``Sequence No``, a length, four digits of certificate number and the serial.

    Raises ``FrameError`` ``unionpay_pos.frame_subfield``.
    """
    number = certificate + serial
    if not (len(certificate) == 4 and number.isascii() and number.isalnum() and len(number) < 100 and serial):
        refuse("subfield", field="62")
    return f"Sequence No{len(number):02d}{number}".encode("ascii")


def parse_sequence(data: bytes) -> tuple[str, str]:
    """Certificate number and serial from field 62 of a sign-on. Raises ``unionpay_pos.frame_subfield``."""
    head, digits, number = data[:11], data[11:13], data[13:]
    if head != b"Sequence No" or not digits.isdigit() or int(digits) != len(number) or not number.isalnum():
        refuse("subfield", field="62")
    if len(number) < 5:
        refuse("subfield", field="62", length=len(number))
    return number[:4].decode("ascii"), number[4:].decode("ascii")
