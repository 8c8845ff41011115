"""The short way of reading and h11 agree on every request that the short way takes."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicom_coupon_sdk.sandbox.shortcut import OrdinaryRequest, ordinary_request

NAMES = st.sampled_from(
    ["Host", "host", "Content-Length", "X-A", "x-b", "Connection", "Expect", "Transfer-Encoding", "B ad", ""]
)
VALUES = st.one_of(
    st.sampled_from(
        [
            "x",
            "0",
            "3",
            " 3",
            "3 ",
            "03",
            "+3",
            "3,3",
            "keep-alive",
            "close",
            "chunked",
            "100-continue",
            "a b",
            "é",
            "\x00",
            "\t",
            "",
        ]
    ),
    st.text(st.characters(max_codepoint=255, blacklist_characters="\r\n"), max_size=5),
)
HEADERS = st.lists(st.tuples(NAMES, st.sampled_from([":", ": ", " : ", ":\t"]), VALUES), max_size=5)
METHODS = st.sampled_from(["GET", "POST", "HEAD", "get", "BREW", ""])
TARGETS = st.sampled_from(["/", "/a?b=%7E", "*", "http://x/", "/é", "/ a", ""])
VERSIONS = st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/2", "http/1.1"])


def by_h11(data: bytes) -> OrdinaryRequest | None:
    """What h11 makes of ``data``, when that is one whole request with nothing left over."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    request, content = None, b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                content += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                return None
    except h11.RemoteProtocolError:
        return None
    assert request is not None
    if connection.trailing_data[0]:
        return None
    pairs = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw_items())
    return OrdinaryRequest(request.method.decode(), request.target.decode(), pairs, content)


def bytes_of(method: str, target: str, version: str, headers: list[tuple[str, str, str]], body: bytes) -> bytes:
    lines = [f"{method} {target} {version}", *("".join(header) for header in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


@given(METHODS, TARGETS, VERSIONS, HEADERS, st.sampled_from([b"", b"abc", b"abcd", b"GET / HTTP/1.1\r\n\r\n"]))
def test_what_the_short_way_takes_h11_reads_alike(
    method: str, target: str, version: str, headers: list[tuple[str, str, str]], body: bytes
) -> None:
    data = bytes_of(method, target, version, [("Host", ": ", "x"), *headers], body)
    taken = ordinary_request(data, largest_body=100)
    assert taken is None or taken == by_h11(data)


def test_the_ordinary_request_goes_the_short_way() -> None:
    headers = [
        ("Host", ": ", "127.0.0.1:80"),
        ("X-CASE", ":", "a b"),
        ("Connection", ": ", "keep-alive"),
        ("content-length", ": ", "3"),
    ]
    data = bytes_of("POST", "/v3/x?a=%7E", "HTTP/1.1", headers, b"abc")
    taken = ordinary_request(data, largest_body=3)
    assert taken is not None
    assert taken == by_h11(data)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n",
    ],
)
def test_everything_else_is_left_to_h11(data: bytes) -> None:
    assert ordinary_request(data, largest_body=3) is None
