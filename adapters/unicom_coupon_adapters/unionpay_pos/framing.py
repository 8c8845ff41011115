"""What is around a message on the wire: length, TPDU and header (sheet 1.1 and 1.2), and the stream they come in.

The parts are opaque bytes: a live header was seen with a hexadecimal digit. Only what the sheet gives a meaning is
looked into: the address kind, the two addresses that an answer swaps, and the digit by which a host asks for a sign-on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from unicom_coupon_adapters.unionpay_pos.frame_errors import refuse

TPDU_BYTES: Final = 5
HEADER_BYTES: Final = 6
SHORTEST: Final = TPDU_BYTES + HEADER_BYTES + 2 + 8
LARGEST: Final = 8192
"""Bytes behind the length that are accepted by default. More would let a stranger fill the memory."""

_ADDRESS_KIND: Final = 0x60


class Framing(StrEnum):
    """How the length in front of a frame is written. The acquirer says which; the name is the setting's value."""

    BIN2 = "bin2"  # two bytes, big-endian: the usual one
    BCD2 = "bcd2"  # four decimal digits in two bytes
    ASCII4 = "ascii4"  # four ASCII digits
    NONE = "none"  # no length: another layer (HTTP) delimits the frame

    @property
    def width(self) -> int:
        """Bytes of the length."""
        return {Framing.BIN2: 2, Framing.BCD2: 2, Framing.ASCII4: 4, Framing.NONE: 0}[self]


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame without its length. ``body`` is the message, from its type on."""

    tpdu: bytes
    header: bytes
    body: bytes = field(repr=False)

    @classmethod
    def parse(cls, content: bytes, *, largest: int = LARGEST) -> Frame:
        """The parts of what follows the length.

        Raises ``FrameError``: ``unionpay_pos.frame_short``, ``…frame_long``, ``…frame_tpdu``.
        """
        if len(content) < SHORTEST:
            refuse("short", field="frame", offset=len(content), length=len(content))
        if len(content) > largest:
            refuse("long", field="frame", offset=largest, length=len(content), largest=largest)
        if content[0] != _ADDRESS_KIND:
            refuse("tpdu", field="tpdu", offset=0)
        head = TPDU_BYTES + HEADER_BYTES
        return cls(content[:TPDU_BYTES], content[TPDU_BYTES:head], content[head:])

    @property
    def content(self) -> bytes:
        """The bytes behind the length."""
        return self.tpdu + self.header + self.body

    def answer(self, body: bytes, *, requirement: int = 0) -> Frame:
        """The frame that answers this one: addresses swapped, header kept but for the processing requirement.

        ``requirement`` is a digit: 0 for nothing, 3 for "sign on again". Raises ``FrameError`` for others.
        """
        if not 0 <= requirement <= 9:
            refuse("header", field="header", offset=2)
        header = self.header[:2] + bytes([self.header[2] & 0xF0 | requirement]) + self.header[3:]
        return Frame(swapped(self.tpdu), header, body)

    @property
    def processing_requirement(self) -> int:
        """What the host wants after the transaction: 0 nothing, 3 sign on again, 1 2 4–7 9 downloads and uploads."""
        return self.header[2] & 0x0F

    @property
    def is_test_terminal(self) -> bool:
        """Whether the terminal says that it is in test mode."""
        return self.header[2] >> 4 == 1

    def packed(self, framing: Framing = Framing.BIN2, *, length_includes_itself: bool = False) -> bytes:
        """The frame with its length in front. Raises ``FrameError`` ``unionpay_pos.frame_long`` if too long."""
        content = self.content
        length = len(content) + framing.width * length_includes_itself
        if length > (0xFFFF if framing is Framing.BIN2 else 9999):
            refuse("long", field="frame", length=len(content), largest=9999)
        match framing:
            case Framing.BIN2:
                return length.to_bytes(2, "big") + content
            case Framing.BCD2:
                return bytes.fromhex(f"{length:04d}") + content
            case Framing.ASCII4:
                return f"{length:04d}".encode() + content
            case Framing.NONE:
                return content


def swapped(tpdu: bytes) -> bytes:
    """The TPDU of the answer: ``60 DDDD SSSS`` becomes ``60 SSSS DDDD``. Raises ``FrameError`` ``…frame_tpdu``."""
    if len(tpdu) != TPDU_BYTES or tpdu[0] != _ADDRESS_KIND:
        refuse("tpdu", field="tpdu", offset=0)
    return tpdu[:1] + tpdu[3:5] + tpdu[1:3]


def header_of(*, software: str = "310100", version: str = "31", application: str = "60") -> bytes:
    """The six header bytes of a request: application class, version, state 0, requirement 0, software version.

    Raises ``FrameError`` ``unionpay_pos.frame_header`` unless the parts are 6, 2 and 2 hexadecimal digits.
    """
    text = f"{application}{version}00{software}"
    if not (
        len(application) == 2 and len(version) == 2 and len(software) == 6 and set(text) <= set("0123456789ABCDEF")
    ):
        refuse("header", field="header")
    return bytes.fromhex(text)


class FrameReader:
    """Cuts a byte stream into frames, wherever the network cut it. One for each connection; not shared.

    After an error the stream cannot be trusted any more: close the connection.
    """

    __slots__ = ("_buffer", "_framing", "_includes", "_largest")

    def __init__(
        self, framing: Framing = Framing.BIN2, *, largest: int = LARGEST, length_includes_itself: bool = False
    ) -> None:
        if framing is Framing.NONE:
            refuse("length_header", field="length", offset=0)
        self._framing = framing
        self._largest = largest
        self._includes = framing.width if length_includes_itself else 0
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """The frames (without lengths) that are complete now, in order.

        A length is judged as soon as it is there, so no more than ``largest`` bytes are ever waited for. Raises
        ``FrameError``: ``unionpay_pos.frame_length_header``, ``…frame_short``, ``…frame_long``.
        """
        self._buffer += chunk
        found: list[bytes] = []
        at, width = 0, self._framing.width
        try:
            while len(self._buffer) - at >= width:
                length = self._length(bytes(self._buffer[at : at + width]))
                if len(self._buffer) - at - width < length:
                    break
                at += width
                found.append(bytes(self._buffer[at : at + length]))
                at += length
        finally:
            del self._buffer[:at]
        return found

    @property
    def waiting(self) -> int:
        """Bytes of a frame that is not complete."""
        return len(self._buffer)

    def _length(self, raw: bytes) -> int:
        if self._framing is Framing.BIN2:
            length = int.from_bytes(raw, "big")
        else:
            digits = raw.hex() if self._framing is Framing.BCD2 else raw.decode("latin-1")
            if not (digits.isascii() and digits.isdigit()):
                refuse("length_header", field="length", offset=0)
            length = int(digits)
        length -= self._includes
        if length < SHORTEST:
            refuse("short", field="length", offset=0, length=length)
        if length > self._largest:
            refuse("long", field="length", offset=0, length=length, largest=self._largest)
        return length
