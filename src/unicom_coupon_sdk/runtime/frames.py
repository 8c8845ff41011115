"""Framed messages over TCP or TLS: two bytes of length, then the message (ISO 8583 hosts speak so).

Each call has a connection of its own, so what is sent and what is not is never in doubt: until the connection
stands nothing was sent (``PlatformUnavailable``), from the first byte on it may have been (``PlatformUnknown``).
Reading is bounded in time, in the size of a frame, and in the number of frames that are not the answer.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from contextlib import suppress
from functools import lru_cache
from typing import Protocol

from unicom_coupon_sdk.errors import ConfigurationError, ValidationError
from unicom_coupon_sdk.platform.effects import FrameCall
from unicom_coupon_sdk.platform.wire import FrameEndpoint
from unicom_coupon_sdk.runtime.transport import no_answer, not_reached

_LENGTH_BYTES = 2
_LARGEST = 0xFFFF
_MOST_STRANGERS = 64
_CHUNK = 4096


class FrameTransport(Protocol):
    """Performs ``FrameCall`` for the blocking runtime."""

    def send(self, call: FrameCall) -> bytes:
        """Send once and hand back the accepted frame; raise as ``FrameCall`` says."""


class AsyncFrameTransport(Protocol):
    """Performs ``FrameCall`` for the asyncio runtime."""

    async def send(self, call: FrameCall) -> bytes:
        """Send once and hand back the accepted frame; raise as ``FrameCall`` says."""


class InlineFrames:
    """A blocking frame transport that never waits (an emulator in this process) as an asyncio one."""

    def __init__(self, frames: FrameTransport) -> None:
        self._frames = frames

    async def send(self, call: FrameCall) -> bytes:
        """What the wrapped transport answers, at once."""
        return self._frames.send(call)


class BlockingFrames:
    """Frames over blocking sockets. Keeps nothing between calls, so threads and forks share it freely."""

    def send(self, call: FrameCall) -> bytes:
        """Send once and hand back the first frame that the call accepts; raises as ``FrameCall`` says."""
        frame, tls = _framed(call), _tls_of(call.endpoint)
        ends_at = time.monotonic() + call.timeout_s
        with _connected(call, tls, ends_at=ends_at) as peer:
            try:
                peer.settimeout(_left_s(ends_at))
                peer.sendall(frame)
                return _first_accepted(peer, call, ends_at=ends_at)
            except TimeoutError:
                raise no_answer("timeout", host=call.endpoint.host) from None
            except OSError:
                raise no_answer("closed", host=call.endpoint.host) from None


class AsyncFrames:
    """Frames over asyncio streams. Keeps nothing between calls, so loops share it freely."""

    async def send(self, call: FrameCall) -> bytes:
        """Send once and hand back the first frame that the call accepts; raises as ``FrameCall`` says."""
        frame, tls, host = _framed(call), _tls_of(call.endpoint), call.endpoint.host
        ends_at = asyncio.get_running_loop().time() + call.timeout_s
        try:
            async with asyncio.timeout_at(ends_at):
                reader, writer = await asyncio.open_connection(
                    host,
                    call.endpoint.port,
                    ssl=tls,
                    server_hostname=_server_name(call.endpoint) if tls else None,
                )
        except TimeoutError:
            raise not_reached("timeout", host=host) from None
        except OSError as error:
            raise not_reached(_reason(error), host=host) from None
        try:
            async with asyncio.timeout_at(ends_at):
                writer.write(frame)
                await writer.drain()
                inbox = _Inbox(call)
                while (answer := inbox.take(await reader.read(_CHUNK))) is None:
                    continue
                return answer
        except TimeoutError:
            raise no_answer("timeout", host=host) from None
        except OSError:
            raise no_answer("closed", host=host) from None
        finally:
            writer.close()
            with suppress(OSError):  # how a connection ends that we are done with changes nothing
                await writer.wait_closed()


class _Inbox:
    """Received bytes, cut into frames."""

    def __init__(self, call: FrameCall) -> None:
        self._call = call
        self._received = bytearray()
        self._strangers = 0

    def take(self, chunk: bytes) -> bytes | None:
        """The accepted frame, once it is complete with ``chunk``. An empty chunk is the peer's end."""
        host = self._call.endpoint.host
        if not chunk:
            raise no_answer("closed", host=host)
        self._received += chunk
        while len(self._received) >= _LENGTH_BYTES:
            length = int.from_bytes(self._received[:_LENGTH_BYTES], "big")
            if length > self._call.endpoint.largest_frame:
                raise no_answer("too_large", host=host)
            end = _LENGTH_BYTES + length
            if len(self._received) < end:
                return None
            frame = bytes(self._received[_LENGTH_BYTES:end])
            del self._received[:end]
            if length and (self._call.accepts is None or self._call.accepts(frame)):
                return frame
            self._strangers += 1  # a late answer to an earlier request, or an empty frame that keeps the line open
            if self._strangers > _MOST_STRANGERS:
                raise no_answer("strangers", host=host)
        return None


def _framed(call: FrameCall) -> bytes:
    if not 0 < len(call.content) <= min(call.endpoint.largest_frame, _LARGEST):
        raise ValidationError("transport.malformed", field="content")
    return len(call.content).to_bytes(_LENGTH_BYTES, "big") + call.content


def _tls_of(endpoint: FrameEndpoint) -> ssl.SSLContext | None:
    return _tls_context(endpoint.ca_file) if endpoint.tls else None


@lru_cache(maxsize=32)
def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError:
        raise ConfigurationError("transport.ca_unreadable", field="ca_file", path=ca_file) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _server_name(endpoint: FrameEndpoint) -> str:
    return endpoint.server_name or endpoint.host


def _connected(call: FrameCall, tls: ssl.SSLContext | None, *, ends_at: float) -> socket.socket:
    endpoint = call.endpoint
    try:
        peer = socket.create_connection((endpoint.host, endpoint.port), timeout=_left_s(ends_at))
        if tls is None:
            return peer
        try:
            peer.settimeout(_left_s(ends_at))
            return tls.wrap_socket(peer, server_hostname=_server_name(endpoint))
        except BaseException:
            peer.close()
            raise
    except TimeoutError:
        raise not_reached("timeout", host=endpoint.host) from None
    except OSError as error:
        raise not_reached(_reason(error), host=endpoint.host) from None


def _first_accepted(peer: socket.socket, call: FrameCall, *, ends_at: float) -> bytes:
    inbox = _Inbox(call)
    while True:
        peer.settimeout(_left_s(ends_at))
        answer = inbox.take(peer.recv(_CHUNK))
        if answer is not None:
            return answer


def _left_s(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:  # a socket would take 0 as "do not wait" and a negative number as a mistake
        raise TimeoutError
    return left


def _reason(error: OSError) -> str:
    return "tls" if isinstance(error, ssl.SSLError) else "connect"
