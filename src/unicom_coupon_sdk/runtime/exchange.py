"""One HTTP/1.1 request as bytes, and its answer as h11 reads it; no socket is known here.

h11 forgives three things that we do not, since a guess about where an answer ends is a guess about whose answer the
next one is: folded lines, lines that end in a bare line feed, and a length beside chunks. The size limits hold while
reading.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import h11

from unicom_coupon_sdk.platform.wire import Headers, HttpRequest
from unicom_coupon_sdk.runtime.transport import LARGEST_HELD

LARGEST_HEAD = 64 * 1024
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_END = h11.EndOfMessage()


Pour = Callable[[int, Headers], Callable[[bytes], object] | None]


class BadAnswer(Exception):
    """What came is no answer, or too large a one; ``reason`` is ``malformed``, ``too_large`` or ``closed``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Exchange:
    """One request, and its answer in the making: feed it until it is whole.

    ``written`` is the whole request. ``status``, ``headers`` and ``content`` are the answer as received, but for h11's
    spelling of the values of ``Content-Length``, which it gives once if repeated alike, and of ``Transfer-Encoding``.
    ``keeps_line`` tells whether another request may follow on the same connection. ``headers`` must be complete;
    ``largest`` is the most bytes of content. ``pour`` is asked when the answer's head has come, and may give a function
    that takes the content as it comes, so that none is kept here; if it gives none, ``LARGEST_HELD`` holds as well.
    """

    __slots__ = (
        "_connection",
        "_content",
        "_largest",
        "_pour",
        "_size",
        "_take",
        "_told",
        "headers",
        "status",
        "written",
    )

    def __init__(self, request: HttpRequest, headers: Headers, *, largest: int, pour: Pour | None = None) -> None:
        # One h11 connection for each exchange: to start its next cycle takes as long as to make another.
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD)
        self._content = bytearray()
        self._take: Callable[[bytes], object] = self._content.extend
        self._pour = pour
        self._largest = largest
        self._size = 0
        self._told = 0  # bytes of content that are to come, if the head says so
        self.status = 0
        self.headers: Headers = ()
        self._connection.send(_request(request.method))
        self._connection.send(_END)
        fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
        self.written = f"{request.method} {request.target} HTTP/1.1\r\n{fields}\r\n".encode("ascii") + request.content

    @property
    def content(self) -> bytes:
        """What was received, chunks put together, nothing else undone."""
        return bytes(self._content)

    @property
    def keeps_line(self) -> bool:
        """Neither side closes or wants to, and nothing came that nobody asked for."""
        is_done = self._connection.our_state is self._connection.their_state is h11.DONE
        return is_done and self._connection.trailing_data == (b"", False)

    def feed(self, data: bytes) -> bool:
        """Whether the answer is whole now; ``b""`` is the end of the connection. Raises ``BadAnswer``."""
        try:
            self._connection.receive_data(data)
            return self._read()
        except h11.RemoteProtocolError as error:
            is_large = error.error_status_hint == 431
            raise BadAnswer("too_large" if is_large else "malformed" if data else "closed") from None

    def _read(self) -> bool:
        while True:
            unread = b"" if self.status else self._connection.trailing_data[0]
            event = self._connection.next_event()
            if event is h11.NEED_DATA:
                self._check_size(max(self._told, self._size))
                return False
            if isinstance(event, h11.EndOfMessage):
                return True
            if isinstance(event, h11.Data):
                self._size += len(event.data)
                self._check_size(self._size)
                self._take(event.data)
            elif isinstance(event, (h11.Response, h11.InformationalResponse)):
                _check_head(unread[: len(unread) - len(self._connection.trailing_data[0])])
                if isinstance(event, h11.Response):
                    self._begin(event)
            else:
                raise BadAnswer("malformed")

    def _begin(self, answer: h11.Response) -> None:
        framing = {name: value for name, value in answer.headers if name in _FRAMING}
        if len(framing) > 1:
            raise BadAnswer("malformed")
        self._told = int(framing.get(b"content-length", 0))
        self.status = answer.status_code
        self.headers = tuple(
            [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers.raw_items()]
        )
        if self._pour is not None:
            pour = self._pour(self.status, self.headers)
            if pour is None:
                self._largest = min(self._largest, LARGEST_HELD)
            else:
                self._take = pour

    def _check_size(self, size: int) -> None:
        if size > self._largest:
            raise BadAnswer("too_large")


@lru_cache
def _request(method: str) -> h11.Request:
    """All that h11 must know of a request to read its answer.

    The request itself, which ``transport.complete_headers`` has looked through, is written past it: to check it again
    costs as much time as to read the answer.
    """
    return h11.Request(method=method, target="/", headers=[("Host", "any")])


def _check_head(head: bytes) -> None:
    if len(head) > LARGEST_HEAD:
        raise BadAnswer("too_large")
    if head.count(b"\n") != head.count(b"\r\n") or b"\n " in head or b"\n\t" in head:
        raise BadAnswer("malformed")
