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
_STATUS = re.compile(r"HTTP/1\.([01]) ([1-5][0-9]{2})(?: [^\r\n\0]*)?")
_HEADER = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_LENGTH = re.compile(r"[0-9]{1,18}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n\0]*)?")
_WITHOUT_CONTENT = frozenset({204, 304})


class BadAnswer(Exception):  # noqa: N818 - never leaves the runtime
    """What came is no answer, or too large a one; ``reason`` is one word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AnswerReader:
    """One answer in the making. Feed it until it is whole; then ``status``, ``headers`` and ``content`` are there.

    ``largest`` is the most bytes of content; ``is_head`` says that the request's method was HEAD. ``keeps_line`` tells
    whether another request may follow on the same connection.
    """

    __slots__ = ("_at", "_is_chunked", "_is_head", "_is_headed", "_largest", "_left", "_received", "_seen", "content")
    __slots__ += ("headers", "keeps_line", "status")

    def __init__(self, *, largest: int, is_head: bool = False) -> None:
        self.status = 0
        self.headers: Headers = ()
        self.content = b""
        self.keeps_line = False
        self._largest = largest
        self._is_head = is_head
        self._received = bytearray()
        self._seen = 0
        self._is_headed = False
        self._left: int | None = None
        self._is_chunked = False
        self._at = bytearray()

    def feed(self, data: bytes) -> bool:
        """Whether the answer is whole now. Raises ``BadAnswer``."""
        self._received += data
        if not self._is_headed and not self._read_head():
            return False
        if self._is_chunked:
            return self._read_chunks()
        if self._left is None:  # to the end of the connection
            if len(self._received) > self._largest:
                raise BadAnswer("too_large")
            return False
        if len(self._received) < self._left:
            return False
        self._finish(bytes(self._received[: self._left]), used=self._left)
        return True

    def end(self) -> bool:
        """Whether the answer is whole, now that the peer has ended the connection."""
        if not self._is_headed or self._is_chunked or self._left is not None:
            return False
        self._finish(bytes(self._received), used=len(self._received))
        return True
