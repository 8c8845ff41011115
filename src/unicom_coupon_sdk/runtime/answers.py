"""Reading one HTTP/1.1 answer, byte by byte as it comes; no socket is known here.

Strict on purpose: where RFC 9112 lets a reader guess (two lengths, a length beside chunks, folded or half-broken
lines), this one refuses, since a guess about where an answer ends is a guess about whose answer the next one is. The
size limit holds while reading. The content is what was received, chunks put together, nothing else undone.
"""

from __future__ import annotations

import re

from unicom_coupon_sdk.platform.wire import Headers

LARGEST_HEAD = 64 * 1024
_LARGEST_LINE = 1024
_END = b"\r\n"
_BLANK = b"\r\n\r\n"
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n\0]*)?")
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n\0]*)?")
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})
_WITHOUT_CONTENT = frozenset({204, 304})


class BadAnswer(Exception):
    """What came is no answer, or too large a one; ``reason`` is ``malformed`` or ``too_large``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AnswerReader:
    """One answer in the making. Feed it until it is whole; then ``status``, ``headers`` and ``content`` are there.

    ``largest`` is the most bytes of content; ``is_head`` says that the request's method was HEAD. ``keeps_line`` tells
    whether another request may follow on the same connection.
    """

    __slots__ = (
        "_chunks",
        "_head_end",
        "_is_head",
        "_largest",
        "_left",
        "_received",
        "content",
        "headers",
        "keeps_line",
        "status",
    )

    def __init__(self, *, largest: int, is_head: bool = False) -> None:
        self.status = 0
        self.headers: Headers = ()
        self.content = b""
        self.keeps_line = False
        self._is_head = is_head
        self._largest = largest
        self._received = bytearray()
        self._head_end = -1
        self._left: int | None = None  # bytes of content to come; None: to the end of the connection, or chunks
        self._chunks: _Chunks | None = None

    def feed(self, data: bytes) -> bool:
        """Whether the answer is whole now. Raises ``BadAnswer``."""
        self._received += data
        if self._head_end < 0 and not self._read_head():
            return False
        if self._chunks is not None:
            if not self._chunks.take(self._received):
                return False
            return self._finish(bytes(self._chunks.content), left_over=self._received)
        if self._left is None:
            if len(self._received) > self._largest:
                raise BadAnswer("too_large")
            return False
        if len(self._received) < self._left:
            return False
        return self._finish(bytes(self._received[: self._left]), left_over=self._received[self._left :])

    def end(self) -> bool:
        """Whether the answer is whole, now that the peer has ended the connection."""
        if self._head_end < 0 or self._chunks is not None or self._left is not None:
            return False
        return self._finish(bytes(self._received), left_over=bytearray())

    def _finish(self, content: bytes, *, left_over: bytearray) -> bool:
        self.content = content
        if left_over:  # nobody asked for more: whatever it is, it must not be taken for the next answer
            self.keeps_line = False
        return True

    def _read_head(self) -> bool:
        while (end := self._received.find(_BLANK)) >= 0:
            head = self._received[:end].decode("latin-1")
            del self._received[: end + len(_BLANK)]
            first, *lines = head.split("\r\n")
            status = _STATUS.fullmatch(first)
            if status is None or end > LARGEST_HEAD:
                raise BadAnswer("malformed" if status is None else "too_large")
            self.status = int(status[2])
            self.headers, framing = _headers(lines)
            if self.status >= 200:
                self._head_end = end
                self._frame(framing, is_newer=status[1] == "1")
                return True
            if self.status == 101:  # a change of protocol that nobody asked for
                raise BadAnswer("malformed")
        if len(self._received) > LARGEST_HEAD:
            raise BadAnswer("too_large")
        return False

    def _frame(self, framing: dict[str, list[str]], *, is_newer: bool) -> None:
        """Where the content ends (RFC 9112, 6.3) and whether the line may be kept (9.3)."""
        lengths, codings = framing.get("content-length", []), framing.get("transfer-encoding", [])
        wishes = {wish.strip().lower() for line in framing.get("connection", []) for wish in line.split(",")}
        self.keeps_line = "close" not in wishes and (is_newer or "keep-alive" in wishes)
        if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
            raise BadAnswer("malformed")
        if lengths and _LENGTH.fullmatch(lengths[0]) is None:
            raise BadAnswer("malformed")
        if codings and (codings[0].lower() != "chunked" or not is_newer):
            raise BadAnswer("malformed")
        if self._is_head or self.status in _WITHOUT_CONTENT:
            self._left = 0
        elif codings:
            self._chunks = _Chunks(largest=self._largest)
        elif lengths:
            self._left = int(lengths[0])
            if self._left > self._largest:
                raise BadAnswer("too_large")
        else:
            self.keeps_line = False


class _Chunks:
    """Content that comes in chunks, each with its size in front, and lines at the end that are dropped."""

    __slots__ = ("_is_trailing", "_largest", "_size", "content")

    def __init__(self, *, largest: int) -> None:
        self.content = bytearray()
        self._largest = largest
        self._size: int | None = None
        self._is_trailing = False

    def take(self, received: bytearray) -> bool:
        """Move what is complete from ``received`` to the content; whether the last chunk and its end have come."""
        while True:
            if self._size is not None:
                if len(received) < self._size + len(_END):
                    return False
                if received[self._size : self._size + len(_END)] != _END:
                    raise BadAnswer("malformed")
                self.content += received[: self._size]
                del received[: self._size + len(_END)]
                self._size = None
                continue
            line = _line(received)
            if line is None:
                return False
            if self._is_trailing:
                if not line:
                    return True
                continue
            size = _CHUNK.fullmatch(line)
            if size is None:
                raise BadAnswer("malformed")
            self._begin(int(size[1], 16))

    def _begin(self, size: int) -> None:
        if len(self.content) + size > self._largest:
            raise BadAnswer("too_large")
        if size:
            self._size = size
        else:
            self._is_trailing = True


def _line(received: bytearray) -> bytes | None:
    end = received.find(_END, 0, _LARGEST_LINE)
    if end < 0:
        if len(received) > _LARGEST_LINE:
            raise BadAnswer("malformed")
        return None
    line = bytes(received[:end])
    del received[: end + len(_END)]
    return line


def _headers(lines: list[str]) -> tuple[Headers, dict[str, list[str]]]:
    """All header pairs, and the values of those that say where the content ends."""
    pairs: list[tuple[str, str]] = []
    framing: dict[str, list[str]] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None:
            raise BadAnswer("malformed")
        name, value = found.groups()
        pairs.append((name, value))
        if name.lower() in _FRAMING:
            framing.setdefault(name.lower(), []).append(value)
    return tuple(pairs), framing
