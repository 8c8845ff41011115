"""Wire values: what is signed is what is sent.

A request's body is bytes from the moment it is signed; nothing between the signature and the socket serialises again.
An answer keeps its bytes and its headers as received, and verification works on those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Header pairs in order, names in the case in which they go over the wire."""


def header(headers: Headers, name: str) -> str | None:
    """The first value of ``name``, whatever its case."""
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), None)


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request. ``url`` is absolute and already percent-encoded; it goes out as it stands.

    The URL is not shown either: some platforms want a user, a coupon code or a secret in it.
    """

    method: str
    url: str = field(repr=False)
    headers: Headers = field(repr=False)
    content: bytes = field(default=b"", repr=False)

    @property
    def target(self) -> str:
        """Path and query, byte for byte as in the request line."""
        parts = urlsplit(self.url)
        return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")

    @property
    def host(self) -> str:
        """Host name without port."""
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """One HTTP answer, whole."""

    status: int
    headers: Headers = field(repr=False)
    content: bytes = field(default=b"", repr=False)

    def header(self, name: str) -> str | None:
        """The first value of ``name``, whatever its case."""
        return header(self.headers, name)


@dataclass(frozen=True, slots=True)
class TransportRules:
    """What the transport must keep to: which hosts, how long, how much.

    Plain HTTP is allowed to loopback addresses only. TLS is at least 1.2 and always verified. ``largest_answer`` is in
    bytes.
    """

    allowed_hosts: frozenset[str]
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 15.0
    largest_answer: int = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class FrameEndpoint:
    """A TCP or TLS peer that speaks frames with a two-byte big-endian length in front."""

    host: str
    port: int
    tls: bool = True
    server_name: str | None = None
    ca_file: str | None = None
    largest_frame: int = 4096
