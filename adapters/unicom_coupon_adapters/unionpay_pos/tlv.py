"""Tag-length-value in its four dialects: chip data (55), electronic signatures (55), private text (59), coupons (62).

All readers are strict: a cut-off value, a tag that comes twice where order means nothing, or bytes left over is an
error, and the offset is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from unicom_coupon_adapters.unionpay_pos.frame_errors import refuse


def parse_chip_data(data: bytes) -> dict[str, bytes]:
    """Field 55 as BER-TLV: tags in hex (``9F26``), values in bytes. Raises ``unionpay_pos.frame_tlv``."""
    found: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        start = at
        at = _after_tag(data, at)
        tag = data[start:at].hex().upper()
        length, at = _ber_length(data, at)
        if at + length > len(data) or tag in found:
            refuse("tlv", field=f"55.{tag}", offset=start)
        found[tag] = data[at : at + length]
        at += length
    return found


def _after_tag(data: bytes, at: int) -> int:
    start = at
    many = data[at] & 0x1F == 0x1F
    at += 1
    while many:
        if at >= len(data) or at - start > 3:
            refuse("tlv", field="55", offset=start)
        many = bool(data[at] & 0x80)
        at += 1
    return at


def _ber_length(data: bytes, at: int) -> tuple[int, int]:
    if at >= len(data):
        refuse("tlv", field="55", offset=at)
    first = data[at]
    if first < 0x80:
        return first, at + 1
    size = first & 0x7F
    if size not in {1, 2} or at + 1 + size > len(data):
        refuse("tlv", field="55", offset=at)
    return int.from_bytes(data[at + 1 : at + 1 + size], "big"), at + 1 + size


def pack_chip_data(items: Mapping[str, bytes]) -> bytes:
    """Field 55 from tags in hex. Raises ``unionpay_pos.frame_tlv`` for a tag or length that cannot be."""
    parts: list[bytes] = []
    for tag, value in items.items():
        try:
            raw = bytes.fromhex(tag)
        except ValueError:
            refuse("tlv", field="55")
        if not raw or _after_tag(raw, 0) != len(raw) or len(value) > 0xFFFF:
            refuse("tlv", field=f"55.{tag}")
        size = len(value)
        head = b"" if size < 0x80 else b"\x81" if size < 0x100 else b"\x82"
        parts += [raw, head, size.to_bytes(2 if size >= 0x100 else 1, "big"), value]
    return b"".join(parts)


def parse_signature_tags(data: bytes) -> dict[str, bytes]:
    """Field 55 of an electronic signature: two-byte tags ``FFxx``, one-byte lengths (sheet 4.8).

    Values stay bytes: whether a tag is text or BCD is not confirmed. Raises ``FrameError`` ``unionpay_pos.frame_tlv``.
    """
    found: dict[str, bytes] = {}
    at = 0
    while at < len(data):
        tag = data[at : at + 2].hex().upper()
        end = at + 3 + data[at + 2] if at + 3 <= len(data) else len(data) + 1
        if end > len(data) or not tag.startswith("FF") or tag in found:
            refuse("tlv", field="55", offset=at)
        found[tag] = data[at + 3 : end]
        at = end
    return found


def parse_text(data: bytes, *, length_digits: int = 3, prefix_bytes: int = 0, field: str = "59") -> dict[str, str]:
    """Field 59, or a value inside it: two-character tags, decimal lengths, ASCII values.

    ``length_digits`` is 3 with some acquirers and 2 with others; ``prefix_bytes`` is what a host has agreed to put in
    front. Neither can be seen from the data, so neither is guessed. Raises ``FrameError`` ``unionpay_pos.frame_tlv``.
    """
    try:
        text = data[prefix_bytes:].decode("ascii")
    except UnicodeDecodeError as error:
        refuse("text", field=field, offset=prefix_bytes + error.start)
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        tag, digits = text[at : at + 2], text[at + 2 : at + 2 + length_digits]
        if not (len(digits) == length_digits and digits.isdigit() and tag.isalnum()):
            refuse("tlv", field=field, offset=prefix_bytes + at)
        start = at + 2 + length_digits
        if start + int(digits) > len(text) or tag in found:
            refuse("tlv", field=f"{field}.{tag}", offset=prefix_bytes + at)
        found[tag] = text[start : start + int(digits)]
        at = start + int(digits)
    return found


def pack_text(items: Mapping[str, str], *, length_digits: int = 3, field: str = "59") -> bytes:
    """What ``parse_text`` reads. Raises ``FrameError`` ``unionpay_pos.frame_tlv``."""
    parts: list[str] = []
    for tag, value in items.items():
        if not (
            len(tag) == 2 and tag.isascii() and tag.isalnum() and value.isascii() and len(value) < 10**length_digits
        ):
            refuse("tlv", field=f"{field}.{tag}")
        parts.append(f"{tag}{len(value):0{length_digits}d}{value}")
    return "".join(parts).encode("ascii")


def parse_binary(data: bytes, *, field: str, offset: int = 0) -> list[tuple[int, bytes]]:
    """One-byte tags and lengths, in order, repeats included. Raises ``FrameError`` ``unionpay_pos.frame_tlv``."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        end = at + 2 + data[at + 1] if at + 2 <= len(data) else len(data) + 1
        if end > len(data):
            refuse("tlv", field=f"{field}.{data[at]:02X}", offset=offset + at)
        found.append((data[at], data[at + 2 : end]))
        at = end
    return found


def pack_binary(items: Iterable[tuple[int, bytes]], *, field: str) -> bytes:
    """What ``parse_binary`` reads. Raises ``FrameError`` ``unionpay_pos.frame_tlv``."""
    parts: list[bytes] = []
    for tag, value in items:
        if not 0 <= tag <= 0xFF or len(value) > 0xFF:
            refuse("tlv", field=f"{field}.{tag:02X}")
        parts += [bytes((tag, len(value))), value]
    return b"".join(parts)
