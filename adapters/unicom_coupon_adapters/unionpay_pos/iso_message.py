"""One message between a terminal and its acquirer, as numbers and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from unicom_coupon_adapters.unionpay_pos.frame_errors import refuse

FieldValue: TypeAlias = str | bytes
"""Text for digits, nibbles and texts; bytes for 52, 55, 57, 58, 59, 62 and 64."""

_LOGGED: Final = frozenset({3, 4, 11, 12, 13, 15, 22, 25, 37, 39, 41, 42, 49, 53, 60, 61, 64})


class Message:
    """A message type (four digits) and its fields. Equal when both are; ``repr`` shows numbers only, never values."""

    __slots__ = ("fields", "mti")

    def __init__(self, mti: str, fields: Mapping[int, FieldValue]) -> None:
        self.mti = mti
        self.fields = fields

    def text(self, number: int) -> str:
        """The text of a field. Raises ``FrameError`` ``unionpay_pos.frame_missing``, or ``…frame_type`` for bytes."""
        value = self.fields.get(number)
        if not isinstance(value, str):
            refuse("missing" if value is None else "type", field=str(number), wanted="str")
        return value

    def data(self, number: int) -> bytes:
        """The bytes of a field. Raises ``FrameError`` ``unionpay_pos.frame_missing``, or ``…frame_type`` for text."""
        value = self.fields.get(number)
        if not isinstance(value, bytes):
            refuse("missing" if value is None else "type", field=str(number), wanted="bytes")
        return value

    def __contains__(self, number: int) -> bool:
        return number in self.fields

    def answer_type(self) -> str:
        """The message type of the answer: ten more (``0200`` → ``0210``). Raises ``FrameError`` ``…frame_mti``."""
        if not (len(self.mti) == 4 and self.mti.isascii() and self.mti.isdigit() and self.mti[2] in "02468"):
            refuse("mti", field="mti")
        return f"{int(self.mti) + 10:04d}"

    def loggable(self) -> dict[str, str]:
        """The message as a log may show it (sheet 13.1).

        Field 2 keeps its first six and last four digits; tracks, PIN block, chip data, details and private fields are
        lengths only; what names a transaction and its outcome is whole.
        """
        return {"mti": self.mti, **{str(number): self._shown(number) for number in sorted(self.fields)}}

    def _shown(self, number: int) -> str:
        value = self.fields[number]
        if number in _LOGGED:
            return value if isinstance(value, str) else value.hex().upper()
        if number == 2 and isinstance(value, str) and len(value) > 12:
            return f"{value[:6]}{'*' * (len(value) - 10)}{value[-4:]}"
        return f"[{len(value)}]"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Message):
            return NotImplemented
        return self.mti == other.mti and dict(self.fields) == dict(other.fields)

    __hash__ = None  # type: ignore[assignment]  # its fields are a mapping

    def __repr__(self) -> str:
        return f"Message({self.mti}, {' '.join(map(str, sorted(self.fields)))})"
