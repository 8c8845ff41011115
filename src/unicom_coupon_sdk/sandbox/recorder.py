"""Recorded exchanges: every request to a platform and what went back, byte for byte.

A record is appended to a segment file before the answer goes out, so it survives the process like the state does.
Segments are cut at a fixed size and the oldest is deleted, so the disk use is bounded; memory keeps only where each
record lies. Without a folder (in process) the records stay in memory, the latest ten thousand.
"""

from __future__ import annotations

import base64
import errno
import os
import struct
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from itertools import chain, groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

from unicom_coupon_sdk.platform.wire import Headers

SEGMENT_BYTES: Final = 16 * 1024 * 1024
SEGMENTS: Final = 4
KEPT_IN_MEMORY: Final = 10_000

_LENGTHS: Final = struct.Struct("!III")
"""Lengths of the head (one text a line, see ``_head``), the request's body and the answer's body; then the three."""


class Exchange(NamedTuple):
    """One request and its answer. ``status`` is ``None`` when nothing was sent back, or when frames have none."""

    at: datetime
    platform: str
    request_line: str
    headers: Headers
    content: bytes
    status: int | None
    answer_headers: Headers
    answer: bytes


class _Place(NamedTuple):
    seq: int
    platform: str
    segment: int
    offset: int
    length: int


class Recorder:
    """The exchanges of all platforms, numbered 1, 2, 3, … in the order of their answers.

    Numbers go on over a restart and after ``clear``. Not safe for threads by itself: the world's lock guards it.
    """

    def __init__(
        self, directory: Path | None = None, *, segment_bytes: int = SEGMENT_BYTES, segments: int = SEGMENTS
    ) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._segments = segments
        self._last = 0
        self._places: deque[_Place] = deque()
        self._memory: deque[tuple[_Place, bytes]] = deque(maxlen=KEPT_IN_MEMORY)
        self._unwritten: list[bytes] = []
        self._file = -1
        self._segment = 0
        self._size = 0
        if directory is not None:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._reopen(directory)

    def close(self) -> None:
        """Close the segment file."""
        if self._file >= 0:
            self.flush()
            os.close(self._file)
            self._file = -1

    def record(self, exchange: Exchange) -> int:
        """Keep an exchange; its number. On disk after ``flush``."""
        seq = self._last + 1
        head = _head(seq, exchange)
        lengths = _LENGTHS.pack(len(head), len(exchange.content), len(exchange.answer))
        data = b"".join((lengths, head, exchange.content, exchange.answer))
        if self._directory is None:
            self._memory.append((_Place(seq, exchange.platform, 0, 0, len(data)), data))
        else:
            if self._size and self._size + len(data) > self._segment_bytes:
                self._cut(self._directory)
            self._unwritten.append(data)
            self._places.append(_Place(seq, exchange.platform, self._segment, self._size, len(data)))
            self._size += len(data)
        self._last = seq
        return seq

    def exchanges(self, *, platform: str | None = None, since: int = 0) -> list[dict[str, Any]]:
        """The exchanges after number ``since`` as ``GET /requests`` lists them; of one platform, or all."""

        def wanted(place: _Place) -> bool:
            return place.seq > since and platform in {None, place.platform}

        self.flush()
        if self._directory is None:
            return [_shown(data) for place, data in self._memory if wanted(place)]
        shown = []
        for segment, places in groupby(filter(wanted, self._places), key=lambda place: place.segment):
            with _path(self._directory, segment).open("rb") as file:
                for place in places:
                    file.seek(place.offset)
                    shown.append(_shown(file.read(place.length)))
        return shown

    def clear(self) -> None:
        """Forget all exchanges; their numbers are not given out again."""
        self._memory.clear()
        self._places.clear()
        if self._directory is not None:
            self._cut(self._directory)
            for path in _segment_files(self._directory)[:-1]:
                path.unlink()

    def flush(self) -> None:
        """Write what was recorded. Raises ``OSError`` when the disk takes less than all; then none of it is kept."""
        if not self._unwritten:
            return
        data = b"".join(self._unwritten)
        self._unwritten.clear()
        whole = self._size - len(data)
        try:
            if os.write(self._file, data) != len(data):
                raise OSError(errno.ENOSPC, "the recorded exchanges were cut short")
        except OSError:
            os.ftruncate(self._file, whole)
            self._size = whole
            while self._places and self._places[-1].segment == self._segment and self._places[-1].offset >= whole:
                self._places.pop()
            raise

    def _cut(self, directory: Path) -> None:
        """Begin the next segment with a file whose name carries the next number; drop what is too old."""
        self._append_to(directory, max(self._segment + 1, self._last + 1), size=0)
        for path in _segment_files(directory)[: -self._segments]:
            path.unlink()
        oldest = _number(_segment_files(directory)[0])
        while self._places and self._places[0].segment < oldest:
            self._places.popleft()

    def _append_to(self, directory: Path, segment: int, *, size: int) -> None:
        self.close()
        self._file = os.open(_path(directory, segment), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._segment, self._size = segment, size

    def _reopen(self, directory: Path) -> None:
        segment, whole = 1, 0
        for path in _segment_files(directory):
            segment, whole = _number(path), 0
            self._last = max(self._last, segment - 1)
            with path.open("rb") as file:
                for place in _scan(file.read(), segment):
                    self._places.append(place)
                    self._last = place.seq
                    whole = place.offset + place.length
            if whole != path.stat().st_size:
                os.truncate(path, whole)
        self._append_to(directory, segment, size=whole)


def _head(seq: int, exchange: Exchange) -> bytes:
    """Number, time, platform, request line, status, count of request headers, then each name and value: a line each.

    Raises ``ValueError`` when one of them has a line break, which no head on the wire can have.
    """
    texts = [
        str(seq),
        exchange.at.isoformat(),
        exchange.platform,
        exchange.request_line,
        "" if exchange.status is None else str(exchange.status),
        str(len(exchange.headers)),
        *chain.from_iterable(exchange.headers),
        *chain.from_iterable(exchange.answer_headers),
    ]
    head = "\n".join(texts)
    if head.count("\n") != len(texts) - 1:
        raise ValueError("line break in a header")
    return head.encode()


def _scan(data: bytes, segment: int) -> Iterator[_Place]:
    """The whole records of a segment; a torn last one is not among them."""
    offset = 0
    while offset + _LENGTHS.size <= len(data):
        head, content, answer = _LENGTHS.unpack_from(data, offset)
        length = _LENGTHS.size + head + content + answer
        if offset + length > len(data):
            return
        fields = data[offset + _LENGTHS.size : offset + _LENGTHS.size + head].decode().split("\n", 3)
        yield _Place(int(fields[0]), fields[2], segment, offset, length)
        offset += length


def _shown(data: bytes) -> dict[str, Any]:
    head, content, answer = _LENGTHS.unpack_from(data)
    start = _LENGTHS.size
    seq, at, platform, request_line, status, count, *rest = data[start : start + head].decode().split("\n")
    pairs = [list(pair) for pair in zip(rest[::2], rest[1::2], strict=True)]
    headers, answer_headers = pairs[: int(count)], pairs[int(count) :]
    start += head
    return {
        "seq": int(seq),
        "at": at,
        "platform": platform,
        "request_line": request_line,
        "headers": headers,
        "body_b64": base64.b64encode(data[start : start + content]).decode(),
        "status": int(status) if status else None,
        "answer_headers": answer_headers,
        "answer_b64": base64.b64encode(data[start + content : start + content + answer]).decode(),
    }


def _segment_files(directory: Path) -> list[Path]:
    return sorted(directory.glob("exchanges-*.bin"), key=_number)


def _path(directory: Path, segment: int) -> Path:
    return directory / f"exchanges-{segment:012d}.bin"


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])
