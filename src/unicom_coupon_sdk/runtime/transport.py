"""What every HTTP transport owes a call, before the first byte and after the last; no HTTP library is known here.

Before: the host is one of the allowed, plain HTTP stays on this machine, and the header list is complete, so that
no library below has anything to add. After: a transport coding is undone within the size limit. The two failures of
a transport are made here, in one place, because the difference between them is money: ``not_reached`` says that no
byte of the request was sent, ``no_answer`` that it may have been.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from ipaddress import ip_address
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from unicom_coupon_sdk.errors import ConfigurationError, PlatformUnavailable, PlatformUnknown, ValidationError
from unicom_coupon_sdk.platform.effects import HttpCall
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer, header

WHOLE_ANSWER = 4
"""The whole exchange may take this many times ``read_timeout_s``, however steadily the peer dribbles."""

LARGEST_HELD = 8 * 1024 * 1024
"""The most bytes that are kept in memory of what answers a call for a file, and is not the file."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_URL = re.compile(r"(https?://[^/?#\x00-\x20\x7f-\U0010ffff]+)[\x21\x22\x24-\x7e]*")  # printable, no space, no fragment
_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?")
_FRAMING = frozenset({"host", "content-length", "transfer-encoding", "expect"})
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


class Origin(NamedTuple):
    """Where connections lead: scheme, host name or address in lower case, and port."""

    scheme: str
    host: str
    port: int

    @property
    def shown(self) -> str:
        """As in a ``Host`` header: without the scheme's own port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


class BlockingTransport(Protocol):
    """Performs ``HttpCall`` for the blocking runtime: over the network, or in process."""

    def send(self, call: HttpCall) -> HttpAnswer:
        """Send once; raise as ``HttpCall`` says."""

    def close(self) -> None:
        """Give connections back."""


class AsyncTransport(Protocol):
    """Performs ``HttpCall`` for the asyncio runtime."""

    async def send(self, call: HttpCall) -> HttpAnswer:
        """Send once; raise as ``HttpCall`` says."""

    async def close(self) -> None:
        """Give connections back."""


class Inline:
    """A blocking transport that never waits (an emulator in this process) as an asyncio one."""

    def __init__(self, transport: BlockingTransport) -> None:
        self._transport = transport

    async def send(self, call: HttpCall) -> HttpAnswer:
        """What the wrapped transport answers, at once."""
        return self._transport.send(call)

    async def close(self) -> None:
        """Close the wrapped transport."""
        self._transport.close()


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether ``host`` (a name or an address, no port) is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def not_reached(reason: str, *, host: str) -> PlatformUnavailable:
    """No byte of the request was sent. ``reason`` is one word: ``connect``, ``timeout``, ``tls``, ``pool``."""
    return PlatformUnavailable("platform.not_reached", reason=reason, host=host)


def no_answer(reason: str, *, host: str) -> PlatformUnknown:
    """The request may have been sent, and no whole answer came. ``reason``: ``closed``, ``timeout``, …."""
    return PlatformUnknown("platform.no_answer", reason=reason, host=host)


def complete_headers(call: HttpCall) -> Headers:
    """The header list as it goes over the wire: ``Host``, the call's own in order and case, ``Content-Length``.

    Raises ``ConfigurationError`` for a host that the rules do not allow and for plain HTTP to another machine, and
    ``ValidationError`` (``transport.malformed``) for what would not arrive as it stands. Nothing was sent then.
    """
    request = call.request
    origin = origin_of(request.url)
    if request.method not in _METHODS:
        raise ValidationError("transport.malformed", field="method")
    if origin.host not in call.rules.allowed_hosts:
        raise ConfigurationError("transport.host", host=origin.host)
    if origin.scheme == "http" and not is_loopback(origin.host):
        raise ConfigurationError("transport.plain_http", host=origin.host)
    length = str(len(request.content))
    first, last = origin.shown, length if request.content or request.method in _WITH_BODY else None
    given: list[tuple[str, str]] = []
    for name, value in request.headers:
        special = _special(name)
        if _VALUE.fullmatch(value) is None:
            raise ValidationError("transport.malformed", field="headers")
        if special == "host":
            first = value
            continue
        if special == "content-length" and value == length:
            last = None
        elif special:
            raise ValidationError("transport.malformed", field=f"headers.{name}")
        given.append((name, value))
    ending = () if last is None else (("Content-Length", last),)
    return (("Host", first), *given, *ending)


@lru_cache(maxsize=512)
def _special(name: str) -> str:
    """``name`` in lower case when it is about framing, else the empty text. Raises when it is no header name."""
    if _NAME.fullmatch(name) is None:
        raise ValidationError("transport.malformed", field="headers")
    return name.lower() if name.lower() in _FRAMING else ""


def origin_of(url: str) -> Origin:
    """Scheme, host and port of ``url``. Raises ``ValidationError`` (``transport.malformed``)."""
    parts = _URL.fullmatch(url)
    if parts is None or url.endswith("?"):  # an empty query would get lost
        raise ValidationError("transport.malformed", field="url")
    return _origin(parts[1])


@lru_cache(maxsize=256)
def _origin(base: str) -> Origin:
    try:
        parts = urlsplit(base)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise ValidationError("transport.malformed", field="url") from None
    if not host or parts.username is not None or parts.password is not None:
        raise ValidationError("transport.malformed", field="url")
    return Origin(parts.scheme, host, _DEFAULT_PORTS[parts.scheme] if port is None else port)


def whole_answer(status: int, headers: Headers, content: bytes, *, call: HttpCall) -> HttpAnswer:
    """The answer with its transport coding (gzip, deflate) undone, headers as received.

    Signatures are over the decoded body. Raises ``PlatformUnknown`` for a body that does not decode, or is larger
    than allowed when decoded.
    """
    if content:
        decoder = decoder_of(header(headers, "content-encoding"), host=call.request.host)
        content = content if decoder is None else _decoded(content, decoder, call=call)
    return HttpAnswer(status, headers, content)


def decoder_of(coding: str | None, *, host: str) -> zlib._Decompress | None:
    """What undoes a transport coding, if there is one. Raises ``PlatformUnknown`` for one that is not known."""
    coding = (coding or "").strip().lower()
    if coding in {"", "identity"}:
        return None
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise no_answer("coding", host=host)
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | (32 if coding == "deflate" else 16))


def largest_held(call: HttpCall) -> int:
    """The most bytes of a body in memory: of a call for a file, what answers instead of the file is short."""
    largest = call.rules.largest_answer
    return largest if call.save_to is None else min(largest, LARGEST_HELD)


def _decoded(content: bytes, decoder: zlib._Decompress, *, call: HttpCall) -> bytes:
    host = call.request.host
    try:
        plain = decoder.decompress(content, largest_held(call) + 1)
    except zlib.error:
        raise no_answer("coding", host=host) from None
    if len(plain) > largest_held(call):
        raise no_answer("too_large", host=host)
    if not decoder.eof:
        raise no_answer("coding", host=host)
    return plain
