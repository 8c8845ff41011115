"""A strict DER reader and writer, as far as SM2 keys, signatures and ciphertexts need one.

Strict, because a second encoding of one signature is a second signature: definite, shortest lengths; positive,
shortest integers; nothing after the end.
"""

from __future__ import annotations

INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_ID = 0x06
SEQUENCE = 0x30
FIRST_TAGGED = 0xA0


class DerError(ValueError):
    """The bytes are not the DER that was asked for. It carries nothing of them."""


class Reader:
    """Reads elements one after another. Each step raises ``DerError`` where the bytes are otherwise."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def tag(self) -> int:
        """The tag of the next element, or -1 at the end."""
        return self._data[self._at] if self._at < len(self._data) else -1

    def take(self, tag: int) -> bytes:
        """The content of the next element, which has ``tag``."""
        data, at = self._data, self._at
        if len(data) < at + 2 or data[at] != tag:
            raise DerError
        length, start = data[at + 1], at + 2
        if length >= 0x80:
            size = length - 0x80
            length = int.from_bytes(data[start : start + size], "big")
            start += size
            if not 0 < size <= 4 or length < 0x80 or length >> (8 * (size - 1)) == 0:
                raise DerError
        end = start + length
        if end > len(data):
            raise DerError
        self._at = end
        return data[start:end]

    def inside(self, tag: int) -> Reader:
        """A reader over the content of the next element, which has ``tag``."""
        return Reader(self.take(tag))

    def integer(self) -> int:
        """The next element as a number: not negative, in its shortest form."""
        content = self.take(INTEGER)
        if not content or content[0] >= 0x80 or (content[0] == 0 and len(content) > 1 and content[1] < 0x80):
            raise DerError
        return int.from_bytes(content, "big")

    def end(self) -> None:
        """Raises unless nothing is left."""
        if self._at != len(self._data):
            raise DerError


def element(tag: int, *contents: bytes) -> bytes:
    """One element around ``contents``."""
    content = b"".join(contents)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content


def integer(number: int) -> bytes:
    """A number that is not negative, in its shortest form."""
    return element(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))
