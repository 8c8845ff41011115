"""What goes over the wire is what was signed, and what comes back is what was received."""

from __future__ import annotations

import gzip
import logging
import zlib
from contextlib import suppress

import pytest
from tests.peers import answering, call_to, ok, peer, unused_port

from unicom_coupon_sdk.errors import ConfigurationError, PlatformUnknown, ValidationError

HEADERS = (
    ("Wechatpay-Serial", "5157F09EFDC096DE15EBE81A47057A72"),
    ("ACCEPT", "application/json"),
    ("authorization", 'WECHATPAY2-SHA256-RSA2048 mchid="1",nonce_str="x"'),
    ("Content-Type", "application/json; charset=UTF-8"),
    ("X-b", "2"),
    ("X-A", "1"),
)


def test_a_request_goes_out_byte_for_byte(our_send):
    content = b'{ "a" : 1,\r\n "b":"\xe5\x88\xb8" }\x00'
    with peer(answering(ok())) as server:
        our_send(call_to(server.port, target="/v3/a%2Fb?x=%7e&y=a,b", headers=HEADERS, content=content))
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    expected = [
        b"POST /v3/a%2Fb?x=%7e&y=a,b HTTP/1.1",
        b"Host: 127.0.0.1:%d" % server.port,
        *(f"{name}: {value}".encode() for name, value in HEADERS),
        b"Content-Length: %d" % len(content),
    ]
    assert head.split(b"\r\n") == expected
    assert body == content


def test_a_callers_client_keeps_names_order_and_body_too(send):
    with peer(answering(ok())) as server:
        send(call_to(server.port, headers=HEADERS, content=b"body"))
    lines = server.requests[0].partition(b"\r\n\r\n")[0].split(b"\r\n")
    ours = [f"{name}: {value}".encode() for name, value in HEADERS]
    if send.kind == "httpx-aiohttp":  # which sends names in lower case
        ours, lines = [line.lower() for line in ours], [line.lower() for line in lines]
    assert [line for line in lines if line in ours] == ours
    assert server.requests[0].endswith(b"\r\n\r\nbody")


def test_a_get_has_no_length_and_an_empty_post_has_zero(our_send):
    with peer(answering(ok())) as server:
        our_send(call_to(server.port, method="GET"))
        our_send(call_to(server.port, method="POST"))
    assert b"content-length" not in server.requests[0].lower()
    assert b"\r\nContent-Length: 0\r\n" in server.requests[1]


def test_a_length_that_the_caller_gave_stays_where_it_was(our_send):
    with peer(answering(ok())) as server:
        our_send(call_to(server.port, headers=(("content-length", "2"), ("X-A", "1")), content=b"ab"))
    assert server.requests[0].count(b"ength: 2") == 1
    assert server.requests[0].index(b"content-length: 2") < server.requests[0].index(b"X-A")


def test_a_host_that_the_caller_gave_is_sent_first(our_send):
    with peer(answering(ok())) as server:
        our_send(call_to(server.port, headers=(("X-A", "1"), ("host", "api.example"))))
    assert server.requests[0].split(b"\r\n")[1].lower() == b"host: api.example"


def test_a_large_body_arrives_whole(our_send):
    content = bytes(range(256)) * 10_000
    with peer(answering(ok())) as server:
        our_send(call_to(server.port, content=content))
    assert server.requests[0].endswith(content)


def test_an_answer_is_handed_back_as_received(send):
    with peer(answering(ok(b"{ }\n", headers=b"Wechatpay-Nonce: n\r\nx-Second: \xe9\r\n"))) as server:
        answer = send(call_to(server.port))
    assert (answer.status, answer.content) == (200, b"{ }\n")
    assert answer.headers == (("Wechatpay-Nonce", "n"), ("x-Second", "é"), ("Content-Length", "4"))


@pytest.mark.parametrize("status", [204, 302, 404, 500])
def test_any_status_is_an_answer_and_no_redirect_is_followed(send, status):
    answer = b"HTTP/1.1 %d Somehow\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n" % status
    with peer(answering(answer)) as server:
        assert send(call_to(server.port, method="GET")).status == status
    assert len(server.requests) == 1


def test_a_chunked_answer_is_put_together(send):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    with peer(answering(chunked)) as server:
        assert send(call_to(server.port)).content == b"abcde"


def test_calls_share_a_connection(send):
    with peer(answering(ok())) as server:
        for _ in range(3):
            send(call_to(server.port))
    assert (len(server.requests), server.connections) == (3, 1)


def test_a_line_that_the_peer_gives_up_politely_is_replaced(send):
    def script(line):
        line.request()
        line.send(ok(headers=b"Connection: close\r\n"))

    with peer(script) as server:
        for _ in range(2):
            assert send(call_to(server.port)).status == 200
    assert server.connections == 2


def test_cookies_are_not_kept(send):
    with peer(answering(ok(headers=b"Set-Cookie: a=b\r\n"))) as server:
        send(call_to(server.port))
        send(call_to(server.port))
    assert b"cookie" not in server.requests[1].lower()


def test_a_proxy_from_the_environment_is_not_used(our_send, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    with peer(answering(ok())) as server:
        assert our_send(call_to(server.port)).status == 200


def test_nothing_of_a_call_is_logged(send, caplog):
    caplog.set_level(logging.DEBUG)
    with peer(answering(ok(b"canary-answer"))) as server:
        send(call_to(server.port, target="/canary-path", headers=(("X-A", "canary-header"),), content=b"canary-body"))
    assert "canary" not in caplog.text


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_answer_is_unpacked(send, coding, pack):
    packed = ok(pack(b"signed over this"), headers=b"Content-Encoding: %s\r\n" % coding.encode())
    with peer(answering(packed)) as server:
        assert send(call_to(server.port)).content == b"signed over this"


@pytest.mark.parametrize(
    ("coding", "content", "reason"),
    [
        ("gzip", gzip.compress(bytes(100_000)), "too_large"),
        ("gzip", gzip.compress(b"cut in the middle", mtime=0)[:-4], "coding"),
        ("gzip", b"not gzip at all", "coding"),
        ("br", b"whatever", "coding"),
    ],
)
def test_an_answer_that_does_not_unpack_is_no_answer(send, coding, content, reason):
    with (
        peer(answering(ok(content, headers=b"Content-Encoding: %s\r\n" % coding.encode()))) as server,
        pytest.raises(PlatformUnknown) as failure,
    ):
        send(call_to(server.port, largest_answer=50_000))
    assert failure.value.details["reason"] == reason


@pytest.mark.parametrize("target", ["/a/../b", "/a/./b?c", "/%41", "/%7e?x=%2F/?", "/a?", "/a'b?c=(d)*!"])
def test_a_url_goes_out_as_it_stands_or_not_at_all(our_send, target):
    with peer(answering(ok())) as server, suppress(ValidationError):
        our_send(call_to(server.port, target=target))
    line = f"POST {target} HTTP/1.1\r\n".encode()
    assert [request[: len(line)] for request in server.requests] in ([line], [])


@pytest.mark.parametrize("target", ["/a b", "/a#f", "/券", "/a\r\nX: y"])
def test_a_url_that_is_none_is_refused(send, target):
    with pytest.raises(ValidationError) as refusal:
        send(call_to(9, target=target))
    assert refusal.value.code == "transport.malformed"


def test_a_callers_client_that_would_spell_the_url_anew_is_not_used(their_send):
    with peer(answering(ok())) as server:
        with pytest.raises(ValidationError) as refusal:
            their_send(call_to(server.port, target="/a/../b"))
        assert refusal.value.code == "transport.malformed"
    assert not server.requests


@pytest.mark.parametrize(
    "headers",
    [
        (("X-A", "1\r\nX-B: 2"),),
        (("X-A", " 1"),),
        (("X-A", "券"),),
        (("X A", "1"),),
        (("", "1"),),
        (("Content-Length", "7"),),
        (("Transfer-Encoding", "chunked"),),
        (("Expect", "100-continue"),),
    ],
)
def test_a_header_that_would_not_arrive_is_refused(send, headers):
    with peer(answering(ok())) as server:
        with pytest.raises(ValidationError) as refusal:
            send(call_to(server.port, headers=headers))
        assert refusal.value.code == "transport.malformed"
    assert server.connections == 0


@pytest.mark.parametrize("method", ["get", "GET ", "G\r\n", ""])
def test_a_method_that_would_not_arrive_is_refused(send, method):
    with pytest.raises(ValidationError) as refusal:
        send(call_to(9, method=method))
    assert refusal.value.field == "method"


def test_a_host_that_is_not_allowed_is_never_called(send):
    call = call_to(9)
    with pytest.raises(ConfigurationError) as refusal:
        send(type(call)(request=call.request, rules=call_to(9, host="localhost").rules))
    assert refusal.value.code == "transport.host"


@pytest.mark.parametrize("host", ["api.mch.weixin.qq.com", "10.0.0.1", "127.0.0.1.example"])
def test_plain_http_never_leaves_this_machine(send, host):
    with pytest.raises(ConfigurationError) as refusal:
        send(call_to(9, host=host))
    assert refusal.value.code == "transport.plain_http"


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "http://user:pw@127.0.0.1/", "http:///x", "127.0.0.1/x", "http://127.0.0.1:x/"]
)
def test_an_address_of_another_kind_is_refused(send, url):
    call = call_to(9)
    with pytest.raises(ValidationError) as refusal:
        send(type(call)(request=type(call.request)("GET", url, ()), rules=call.rules))
    assert refusal.value.code == "transport.malformed"
