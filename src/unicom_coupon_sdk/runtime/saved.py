"""An answer's body that goes to disk as it comes: a bill may be larger than memory.

The bytes are written beside the wanted file and moved there when all have come, so that a file of that name is always
whole. Writing is a copy into the page cache, which takes less time than to hand the bytes to another thread.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.platform.effects import HttpCall
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer
from unicom_coupon_sdk.runtime.transport import decoder_of, no_answer


def saves(call: HttpCall, status: int) -> bool:
    """Whether the body of an answer with ``status`` goes to disk."""
    return call.save_to is not None and status == 200


def save(answer: HttpAnswer, call: HttpCall) -> HttpAnswer:
    """``answer``, whole and decoded, with its body in the call's file where that is wanted."""
    if not saves(call, answer.status):
        return answer
    body = SavedBody(call, answer.status, answer.headers, coding=None)
    try:
        body.take(answer.content)
        return body.finish()
    finally:
        body.drop()


class SavedBody:
    """The file in the making; ``coding`` is the transport coding that its bytes come in. ``finish`` it or ``drop`` it.

    Raises ``PlatformUnknown`` as ``HttpCall`` says, and ``ConfigurationError`` (``runtime.cannot_save``) when this
    machine's disk does not take it.
    """

    def __init__(self, call: HttpCall, status: int, headers: Headers, *, coding: str | None) -> None:
        assert call.save_to is not None
        self._host = call.request.host
        self._largest = call.rules.largest_answer
        self._status, self._headers = status, headers
        self._decoder = decoder_of(coding, host=self._host)
        self._path: Path = call.save_to
        self._part = self._path.with_name(f"{self._path.name}.part")
        self._size = 0
        with self._on_disk():
            self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")

    def take(self, chunk: bytes) -> None:
        """Write the next bytes, with their transport coding undone."""
        if self._decoder is None:
            self._write(chunk)
            return
        while chunk:
            try:
                plain = self._decoder.decompress(chunk, self._largest - self._size + 1)
            except zlib.error:
                raise no_answer("coding", host=self._host) from None
            self._write(plain)
            chunk = self._decoder.unconsumed_tail

    def _write(self, plain: bytes) -> None:
        self._size += len(plain)
        if self._size > self._largest:
            raise no_answer("too_large", host=self._host)
        with self._on_disk():
            self._file.write(plain)

    def finish(self) -> HttpAnswer:
        """The answer, whose body is now in the file."""
        if self._decoder is not None and self._size and not self._decoder.eof:
            raise no_answer("coding", host=self._host)
        with self._on_disk():
            self._file.close()
            self._part.replace(self._path)
        return HttpAnswer(self._status, self._headers)

    def drop(self) -> None:
        """Forget what has come. Does nothing after ``finish``."""
        with suppress(OSError):  # closing flushes, and a full disk has been reported before
            self._file.close()
        self._part.unlink(missing_ok=True)

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigurationError(
                "runtime.cannot_save", field="save_to", path=str(self._path), reason=error.strerror or "?"
            ) from None
