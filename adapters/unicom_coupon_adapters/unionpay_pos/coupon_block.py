"""The coupon block of profile UCP-1: ``VA``, a length, and tags, in field 62 (sheet 5.2).

UnionPay has no universal coupon field; this is our profile, in the container that one terminal application uses. The
table below says what each tag may hold. A block keeps what the table knows and drops other tags; of a repeated tag the
first counts. Coupon codes are bearer values, so a block never shows its contents.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Final

from unicom_coupon_adapters.unionpay_pos import tlv
from unicom_coupon_adapters.unionpay_pos.frame_errors import refuse

MAGIC: Final = b"VA"
LARGEST: Final = 512
"""Bytes of a whole block, with ``VA`` and its length."""

ALTERNATIVE_TAG: Final = "AV"
"""The tag of field 59 that carries the same tags in hex where a host keeps field 62 for itself."""


class Tag(IntEnum):
    """The tags, by what they hold."""

    CODE = 0x01
    CAMPAIGN = 0x02
    KEY = 0x03
    ORDER_AMOUNT = 0x04
    ORDER_NO = 0x05
    PHONE_TAIL = 0x06
    PRODUCT = 0x07
    OPERATOR = 0x08
    ORIGINAL_NO = 0x09
    TERMINAL_TIME = 0x0A
    UNICOM_NO = 0x81
    STATE = 0x82
    FACE_VALUE = 0x83
    REMAINING = 0x84
    VALID_UNTIL = 0x85
    NAME = 0x86
    UPSTREAM_CODE = 0x87
    CASHIER_TEXT = 0x88
    ORIGINAL_RESPONSE = 0x8A


class CouponState(Enum):
    """Tag 82: what the host knows of the coupon."""

    USABLE = "00"
    USED = "01"
    EXPIRED = "02"
    LOCKED = "03"
    RETURNED = "04"
    UNKNOWN_CODE = "05"
    NOT_VALID_HERE = "06"
    UNKNOWN = "99"


class _Kind(Enum):
    AN = "an"
    ANS = "ans"
    N = "n"
    GBK = "gbk"


@dataclass(frozen=True, slots=True)
class _Row:
    kind: _Kind
    shortest: int
    longest: int


_TAGS: Final = MappingProxyType(
    {
        Tag.CODE: _Row(_Kind.AN, 6, 32),
        Tag.CAMPAIGN: _Row(_Kind.AN, 1, 20),
        Tag.KEY: _Row(_Kind.AN, 1, 32),
        Tag.ORDER_AMOUNT: _Row(_Kind.N, 12, 12),
        Tag.ORDER_NO: _Row(_Kind.ANS, 1, 40),
        Tag.PHONE_TAIL: _Row(_Kind.N, 4, 4),
        Tag.PRODUCT: _Row(_Kind.ANS, 1, 20),
        Tag.OPERATOR: _Row(_Kind.ANS, 1, 8),
        Tag.ORIGINAL_NO: _Row(_Kind.ANS, 1, 32),
        Tag.TERMINAL_TIME: _Row(_Kind.N, 14, 14),
        Tag.UNICOM_NO: _Row(_Kind.ANS, 1, 32),
        Tag.STATE: _Row(_Kind.N, 2, 2),
        Tag.FACE_VALUE: _Row(_Kind.N, 12, 12),
        Tag.REMAINING: _Row(_Kind.N, 12, 12),
        Tag.VALID_UNTIL: _Row(_Kind.N, 8, 8),
        Tag.NAME: _Row(_Kind.GBK, 1, 40),
        Tag.UPSTREAM_CODE: _Row(_Kind.ANS, 1, 16),
        Tag.CASHIER_TEXT: _Row(_Kind.GBK, 1, 60),
        Tag.ORIGINAL_RESPONSE: _Row(_Kind.AN, 2, 2),
    }
)


class CouponBlock(Mapping[Tag, str]):
    """Tags and their texts, checked. ``repr`` shows tags only.

    Raises ``FrameError`` ``unionpay_pos.frame_coupon_value`` that names the first tag whose text does not fit.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[Tag, str]) -> None:
        for tag, text in values.items():
            _encoded(tag, text)
        self._values = dict(values)

    @classmethod
    def parse(cls, field62: bytes) -> CouponBlock:
        """The block that field 62 is.

        Raises ``FrameError``: ``unionpay_pos.frame_coupon_block``, ``…frame_tlv``, ``…frame_coupon_value``.
        """
        if len(field62) > LARGEST or field62[:2] != MAGIC:
            refuse("coupon_block", field="62.VA", offset=0)
        digits = field62[2:5]
        if len(digits) != 3 or not digits.isdigit() or int(digits) != len(field62) - 5:
            refuse("coupon_block", field="62.VA", offset=2)
        return cls._of(field62[5:], field="62.VA", offset=5)

    @classmethod
    def parse_alternative(cls, text: str) -> CouponBlock:
        """The block in tag ``AV`` of field 59: the same tags in upper-case hex. Raises as ``parse`` does."""
        if text != text.upper():
            refuse("coupon_block", field="59.AV", offset=0)
        try:
            data = binascii.unhexlify(text)
        except (ValueError, binascii.Error):
            refuse("coupon_block", field="59.AV", offset=0)
        return cls._of(data, field="59.AV", offset=0)

    @classmethod
    def _of(cls, data: bytes, *, field: str, offset: int) -> CouponBlock:
        values: dict[Tag, str] = {}
        for number, raw in tlv.parse_binary(data, field=field, offset=offset):
            if number not in _TAGS:
                continue
            tag = Tag(number)
            if tag not in values:
                values[tag] = _decoded(tag, raw)
        return cls(values)

    def packed(self, *, code_pad: int = 0) -> bytes:
        """Field 62. ``code_pad`` is the width to which a host wants the code filled with spaces (19 with some).

        Raises ``FrameError`` ``unionpay_pos.frame_coupon_block`` when it would be too large.
        """
        data = self._packed_tags(code_pad)
        if len(data) + 5 > LARGEST:
            refuse("coupon_block", field="62.VA", length=len(data) + 5, largest=LARGEST)
        return MAGIC + f"{len(data):03d}".encode() + data

    def packed_alternative(self, *, code_pad: int = 0) -> str:
        """The text of tag ``AV`` of field 59."""
        return self._packed_tags(code_pad).hex().upper()

    def _packed_tags(self, code_pad: int) -> bytes:
        items = [
            (tag, _encoded(tag, text).ljust(code_pad if tag is Tag.CODE else 0)) for tag, text in self._values.items()
        ]
        return tlv.pack_binary(items, field="62.VA")

    @property
    def state(self) -> CouponState:
        """Tag 82; a state that the profile does not know reads as ``UNKNOWN``, and so does none."""
        try:
            return CouponState(self.get(Tag.STATE, CouponState.UNKNOWN.value))
        except ValueError:
            return CouponState.UNKNOWN

    def __getitem__(self, tag: Tag) -> str:
        return self._values[tag]

    def __iter__(self) -> Iterator[Tag]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"CouponBlock({' '.join(f'{tag:02X}' for tag in self._values)})"


def _encoded(tag: Tag, text: str) -> bytes:
    row = _TAGS.get(tag)
    if row is None:
        refuse("coupon_value", field=f"62.VA.{int(tag):02X}")
    try:
        raw = text.encode("gbk" if row.kind is _Kind.GBK else "ascii")
    except (UnicodeEncodeError, AttributeError):
        refuse("coupon_value", field=f"62.VA.{tag:02X}")
    fits = {
        _Kind.AN: text.isalnum(),
        _Kind.N: text.isdigit(),
        _Kind.ANS: text.isprintable() and text == text.strip(),
        _Kind.GBK: True,
    }
    if not (row.shortest <= len(raw) <= row.longest and fits[row.kind]):
        refuse("coupon_value", field=f"62.VA.{tag:02X}", length=len(raw), largest=row.longest)
    return raw


def _decoded(tag: Tag, raw: bytes) -> str:
    try:
        text = raw.decode("gbk" if _TAGS[tag].kind is _Kind.GBK else "ascii")
    except UnicodeDecodeError:
        refuse("coupon_value", field=f"62.VA.{tag:02X}")
    return text if _TAGS[tag].kind in {_Kind.GBK, _Kind.N} else text.rstrip(" ")
