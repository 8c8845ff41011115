"""Answers: whether a frame answers a request, whether it may be believed, and what its response code means.

Sources: sheet 3.3 (matching), section 7 (codes), 5.3 (coupon results), 13.4 (declines without a MAC).

A code means one of four things, and everything that is not in the table means "declined, nothing done", never success.
Three codes say that somebody behind the host did not answer, or that the host has seen the request before: after them
nobody knows, and the host is asked (outcome query) before anything else happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from unicom_coupon_adapters.unionpay_pos.codec import unpack
from unicom_coupon_adapters.unionpay_pos.coupon_block import MAGIC, CouponBlock, Tag
from unicom_coupon_adapters.unionpay_pos.frame_errors import FrameError
from unicom_coupon_adapters.unionpay_pos.framing import Frame
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.mac import MacKey
from unicom_coupon_sdk.errors import (
    ForgedMessage,
    PlatformError,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
)

PLATFORM: Final = "unionpay_pos"


class Meaning(Enum):
    """What a response code says about the transaction."""

    DONE = "done"
    DECLINED = "declined"  # definitely not done
    SIGN_ON = "sign_on"  # not done; keys or batch are out of step
    BUSY = "busy"  # not done; try again later
    UNKNOWN = "unknown"  # the host must be asked


SUCCESSES: Final = frozenset({"00", "10", "11", "16", "A2", "A4", "A5", "A6"})
"""The only codes that may mean success. ``10`` (partial amount) is none here: a coupon has no parts."""

_MEANINGS: Final = MappingProxyType(
    dict.fromkeys(("00", "11", "16", "A2", "A4", "A5", "A6"), (Meaning.DONE, ""))
    | dict.fromkeys(("77", "99", "A0"), (Meaning.SIGN_ON, "unionpay_pos.sign_on_needed"))
    | dict.fromkeys(("90", "91", "92"), (Meaning.BUSY, "unionpay_pos.busy"))
    | dict.fromkeys(("10", "68", "94", "96", "98"), (Meaning.UNKNOWN, "unionpay_pos.undecided"))
    | dict.fromkeys(("03", "97"), (Meaning.DECLINED, "unionpay_pos.not_registered"))
    | dict.fromkeys(("13", "51", "61", "64"), (Meaning.DECLINED, "unionpay_pos.amount"))
    | {
        "12": (Meaning.DECLINED, "unionpay_pos.original_refused"),
        "14": (Meaning.DECLINED, "unionpay_pos.code_unknown"),
        "22": (Meaning.DECLINED, "unionpay_pos.original_refused"),
        "25": (Meaning.DECLINED, "unionpay_pos.original_missing"),
        "30": (Meaning.DECLINED, "unionpay_pos.format"),
        "54": (Meaning.DECLINED, "unionpay_pos.expired"),
        "57": (Meaning.DECLINED, "unionpay_pos.not_valid_here"),
        "58": (Meaning.DECLINED, "unionpay_pos.not_valid_here"),
        "62": (Meaning.DECLINED, "unionpay_pos.locked"),
        "65": (Meaning.DECLINED, "unionpay_pos.used"),
    }
)


def meaning_of(code: str) -> Meaning:
    """What ``code`` (field 39, case matters) means; codes outside the table are declines."""
    return _MEANINGS.get(code, (Meaning.DECLINED, ""))[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """A message that answers ours, read and matched. ``is_authentic`` says that its MAC was there and right."""

    message: Message
    code: str
    requirement: int
    is_authentic: bool

    @property
    def meaning(self) -> Meaning:
        """What field 39 says."""
        return meaning_of(self.code)

    @property
    def block(self) -> CouponBlock:
        """The coupon block; empty where the answer has none or one that cannot be read."""
        private = self.message.fields.get(62)
        if isinstance(private, bytes) and private.startswith(MAGIC):
            try:
                return CouponBlock.parse(private)
            except FrameError:  # texts for the cashier change nothing of what field 39 says
                return CouponBlock({})
        return CouponBlock({})

    def field(self, number: int) -> str | None:
        """The text of a field, without the spaces behind it; ``None`` when it is absent or blank."""
        value = self.message.fields.get(number)
        return (value.strip() or None) if isinstance(value, str) else None

    def error(self) -> PlatformError:
        """The error that the code stands for. Only for codes that mean no success."""
        meaning, code = _MEANINGS.get(self.code, (Meaning.DECLINED, "unionpay_pos.declined"))
        kind: type[PlatformError] = {
            Meaning.SIGN_ON: PlatformUnavailable,
            Meaning.BUSY: PlatformUnavailable,
            Meaning.UNKNOWN: PlatformUnknown,
        }.get(meaning, PlatformRefused)
        return kind(
            code or "unionpay_pos.declined",
            platform=PLATFORM,
            platform_code=self.code,
            request_id=self.field(37),
            retry_after_s=60.0 if meaning is Meaning.BUSY else None,
            upstream=self.block.get(Tag.UPSTREAM_CODE, "-"),
        )


def is_answer(request: Message) -> Callable[[bytes], bool]:
    """What tells frames that answer ``request`` from late answers to others: type, trace, terminal.

    A frame that cannot be read is let through: it is not for somebody else, it is unusable, and reading it says so.
    """
    wanted = (request.answer_type(), request.fields.get(11), request.fields.get(41))

    def accepts(content: bytes) -> bool:
        try:
            found = unpack(Frame.parse(content).body)
        except FrameError:
            return True
        return (found.mti, found.fields.get(11), found.fields.get(41)) == wanted

    return accepts


def read_answer(content: bytes, *, request: Message, key: MacKey | None) -> Answer:
    """The answer in a frame. ``key`` is the MAC key of a financial message, ``None`` for management messages.

    A success whose MAC is missing or wrong is never believed. Raises ``ForgedMessage`` (``unionpay_pos.mac_missing``,
    ``unionpay_pos.mac_wrong``) for that, and ``PlatformUnknown`` (``unionpay_pos.answer_unreadable``,
    ``unionpay_pos.answer_mismatch``) for a frame that cannot be read or does not belong to ``request``.
    """
    try:
        frame = Frame.parse(content)
        message = unpack(frame.body)
    except FrameError as error:
        raise _unusable("unionpay_pos.answer_unreadable", reason=error.code, field=error.field) from None
    if message.mti != request.answer_type():
        raise _unusable("unionpay_pos.answer_mismatch", reason="mti", field="mti")
    for number in (11, 41):
        if message.fields.get(number) != request.fields.get(number):
            raise _unusable("unionpay_pos.answer_mismatch", reason="echo", field=str(number))
    for number in (3, 4):
        if message.fields.get(number, request.fields.get(number)) != request.fields.get(number):
            raise _unusable("unionpay_pos.answer_mismatch", reason="echo", field=str(number))
    code = message.fields.get(39)
    if message.mti == "0510" and code is None:
        code = "00"  # a settlement that was carried out has flags in field 48 instead
    if not isinstance(code, str) or len(code) != 2:
        raise _unusable("unionpay_pos.answer_unreadable", reason="code", field="39")
    is_authentic = False
    if key is not None:
        is_authentic = _is_authentic(frame.body, key=key, must=code in SUCCESSES)
    if code in SUCCESSES and message.fields.get(42) != request.fields.get(42):
        raise _unusable("unionpay_pos.answer_mismatch", reason="echo", field="42")
    return Answer(message, code, frame.processing_requirement, is_authentic)


def _is_authentic(body: bytes, *, key: MacKey, must: bool) -> bool:
    try:
        key.open(body)
    except ForgedMessage:
        if must:
            raise
        return False
    return True


def _unusable(fault: str, *, reason: str, field: str | None) -> PlatformUnknown:
    return PlatformUnknown(fault, platform=PLATFORM, reason=reason, field=field)
