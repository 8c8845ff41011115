"""The field table applied step by step: slow, plain, and exact about what is wrong.

``codec`` does the daily work with code made from the same table and comes here with every frame that it does not read
at full speed: malformed ones, to be explained, and the few legal ones with unusual padding. Tests hold the two against
each other.

Sheet 2.1. Read: a pad nibble behind an odd variable field may be 0 or F; written, it is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from unicom_coupon_adapters.unionpay_pos.fields import FIELDS, Content, Field
from unicom_coupon_adapters.unionpay_pos.frame_errors import refuse
from unicom_coupon_adapters.unionpay_pos.iso_message import FieldValue

HEAD: Final = 10
"""Bytes of the message type and the bitmap."""

_NIBBLES: Final = frozenset("0123456789ABCDEF")
_DIGITS: Final = frozenset("0123456789")


def read_body(body: bytes) -> tuple[str, dict[int, FieldValue]]:
    """Message type and fields of ``body`` (from the message type on). Raises ``FrameError`` at the first fault."""
    if len(body) < HEAD:
        refuse("short", field="mti" if len(body) < 2 else "bitmap", offset=len(body), length=len(body))
    mti = body[:2].hex()
    if not mti.isdigit():
        refuse("mti", field="mti", offset=0)
    numbers = _numbers(int.from_bytes(body[2:HEAD], "big"))
    fields: dict[int, FieldValue] = {}
    at = HEAD
    for number in numbers:
        fields[number], at = _read(FIELDS[number], body, at)
    if at != len(body):
        refuse("trailing", field="body", offset=at, extra=len(body) - at)
    return mti, fields


def _numbers(bits: int) -> list[int]:
    if bits >> 63:
        refuse("second_bitmap", field="bitmap", offset=2)
    numbers = [number for number in range(2, 65) if bits >> (64 - number) & 1]
    for number in numbers:
        if number not in FIELDS:
            refuse("unknown_field", field=str(number), offset=2 + (number - 1) // 8)
    return numbers


def _read(row: Field, body: bytes, at: int) -> tuple[FieldValue, int]:
    size, start = (row.size, at) if row.is_fixed else _length(row, body, at)
    end = start + ((size + 1) // 2 if row.shape.is_packed else size)
    if end > len(body):
        refuse("truncated", field=str(row.number), offset=start, wanted=end - start, length=len(body) - start)
    raw = body[start:end]
    if row.shape.is_packed:
        return _unpacked(row, raw, size, start), end
    if row.shape.content is Content.BYTES:
        return raw, end
    return _text(row, raw, start), end


def _length(row: Field, body: bytes, at: int) -> tuple[int, int]:
    start = at + row.shape.length_bytes
    if start > len(body):
        refuse("truncated", field=str(row.number), offset=at, wanted=start - at, length=len(body) - at)
    digits = body[at:start].hex()
    if not digits.isdigit():
        refuse("length", field=str(row.number), offset=at, largest=row.size)
    if int(digits) > row.size:
        refuse("length", field=str(row.number), offset=at, length=int(digits), largest=row.size)
    return int(digits), start


def _unpacked(row: Field, raw: bytes, size: int, start: int) -> str:
    nibbles = raw.hex().upper()
    pad = ""
    if size % 2:
        pad, nibbles = (nibbles[0], nibbles[1:]) if row.shape.pad == "left" else (nibbles[-1], nibbles[:-1])
    if pad not in ({"", "0"} if row.is_fixed else {"", "0", "F"}):
        refuse("padding", field=str(row.number), offset=start if row.shape.pad == "left" else start + len(raw) - 1)
    if row.shape.content is Content.DIGITS:
        for index, nibble in enumerate(nibbles):
            if nibble not in _DIGITS:
                refuse("digit", field=str(row.number), offset=start + (index + (row.shape.pad == "left")) // 2)
    return nibbles


def _text(row: Field, raw: bytes, start: int) -> str:
    try:
        text = raw.decode("gbk" if row.shape.content is Content.GBK else "ascii")
    except UnicodeDecodeError as error:
        refuse("text", field=str(row.number), offset=start + error.start)
    if row.shape.content is Content.ASCII:
        for index, character in enumerate(text):
            if not character.isprintable():
                refuse("text", field=str(row.number), offset=start + index)
    return text


def write_body(mti: str, fields: Mapping[int, FieldValue]) -> bytes:
    """The bytes of a message, from its type on. Raises ``FrameError`` at the first value that does not fit its field.

    A short value of a fixed text field gets spaces behind; digits are never filled in, because a missing digit of an
    amount is a mistake.
    """
    if not (isinstance(mti, str) and len(mti) == 4 and set(mti) <= _DIGITS):
        refuse("mti", field="mti")
    bits = 0
    parts = [bytes.fromhex(mti), b""]
    for number in sorted(fields):
        row = FIELDS.get(number)
        if row is None:
            refuse("unknown_field", field=str(number))
        bits |= 1 << (64 - number)
        parts.append(_written(row, fields[number]))
    parts[1] = bits.to_bytes(8, "big")
    return b"".join(parts)


def _written(row: Field, value: object) -> bytes:
    if row.shape.content is Content.BYTES:
        if not isinstance(value, bytes):
            refuse("type", field=str(row.number), wanted="bytes")
        return _with_length(row, value, len(value))
    if not isinstance(value, str):
        refuse("type", field=str(row.number), wanted="str")
    if row.shape.is_packed:
        return _packed(row, value)
    raw = _encoded(row, value)
    return _with_length(row, raw.ljust(row.size) if row.is_fixed else raw, max(len(raw), row.size * row.is_fixed))


def _packed(row: Field, value: str) -> bytes:
    nibbles = value.replace("=", "D") if row.shape.content is Content.NIBBLES else value
    if not set(nibbles) <= (_NIBBLES if row.shape.content is Content.NIBBLES else _DIGITS):
        refuse("digit", field=str(row.number))
    if len(nibbles) % 2:
        filled = f"0{nibbles}" if row.shape.pad == "left" else f"{nibbles}0"
        return _with_length(row, bytes.fromhex(filled), len(nibbles))
    return _with_length(row, bytes.fromhex(nibbles), len(nibbles))


def _encoded(row: Field, value: str) -> bytes:
    try:
        raw = value.encode("gbk" if row.shape.content is Content.GBK else "ascii")
    except UnicodeEncodeError:
        refuse("text", field=str(row.number))
    if row.shape.content is Content.ASCII and not value.isprintable():
        refuse("text", field=str(row.number))
    return raw


def _with_length(row: Field, raw: bytes, size: int) -> bytes:
    if size > row.size or (row.is_fixed and size != row.size):
        refuse("length", field=str(row.number), length=size, largest=row.size)
    if row.is_fixed:
        return raw
    return bytes.fromhex(f"{size:0{2 * row.shape.length_bytes}d}") + raw
