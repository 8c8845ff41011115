"""Framed messages over real sockets, blocking and asyncio."""

from __future__ import annotations

import asyncio
import socket

import pytest
from tests.peers import peer, self_signed, unused_port

from unicom_coupon_sdk.errors import ConfigurationError, PlatformUnavailable, PlatformUnknown, ValidationError
from unicom_coupon_sdk.platform.effects import FrameCall
from unicom_coupon_sdk.platform.wire import FrameEndpoint
from unicom_coupon_sdk.runtime.frames import AsyncFrames, BlockingFrames


@pytest.fixture(params=["blocking", "asyncio"])
def send(request):
    if request.param == "blocking":
        return BlockingFrames().send
    return lambda call: asyncio.run(AsyncFrames().send(call))


def call_to(port, content=b"0200", *, timeout_s=5.0, accepts=None, **endpoint):
    return FrameCall(
        endpoint=FrameEndpoint("127.0.0.1", port, **{"tls": False, **endpoint}),
        content=content,
        timeout_s=timeout_s,
        accepts=accepts,
    )


def framed(*contents):
    return b"".join(len(content).to_bytes(2, "big") + content for content in contents)


def answering(data):
    def script(line):
        line.frame()
        line.send(data)
        line.wait_for_end()

    return script


def test_a_frame_is_answered(send):
    with peer(answering(framed(b"0210"))) as server:
        assert send(call_to(server.port, b"\x00\xff" * 300)) == b"0210"
    assert server.requests == [b"\x00\xff" * 300]


def test_late_answers_to_earlier_requests_are_dropped(send):
    with peer(answering(framed(b"late", b"", b"later", b"mine", b"next"))) as server:
        assert send(call_to(server.port, accepts=lambda frame: frame == b"mine")) == b"mine"


def test_a_frame_may_arrive_in_pieces(send):
    def script(line):
        line.frame()
        line.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in framed(b"piece by piece"):
            line.send(bytes([byte]))
        line.wait_for_end()

    with peer(script) as server:
        assert send(call_to(server.port)) == b"piece by piece"


def test_tls_carries_frames(send, tmp_path):
    ca_file, tls = self_signed(tmp_path)
    with peer(answering(framed(b"0210")), tls=tls) as server:
        assert send(call_to(server.port, tls=True, ca_file=str(ca_file))) == b"0210"


@pytest.mark.parametrize("endpoint", [{}, {"server_name": "pos.example"}])
def test_a_peer_whose_certificate_is_wrong_gets_nothing(send, tmp_path, endpoint):
    ca_file, tls = self_signed(tmp_path)
    trust = {"ca_file": str(ca_file)} if endpoint else {}
    with peer(answering(framed(b"0210")), tls=tls) as server:
        with pytest.raises(PlatformUnavailable) as failure:
            send(call_to(server.port, tls=True, **trust, **endpoint))
        assert (failure.value.code, failure.value.details["reason"]) == ("platform.not_reached", "tls")
    assert not server.requests


def test_a_certificate_file_that_cannot_be_read_is_a_matter_of_configuration(send, tmp_path):
    with pytest.raises(ConfigurationError) as refusal:
        send(call_to(9, tls=True, ca_file=str(tmp_path / "none.pem")))
    assert refusal.value.code == "transport.ca_unreadable"


def test_a_refused_connection_is_not_reached(send):
    with pytest.raises(PlatformUnavailable) as failure:
        send(call_to(unused_port()))
    assert failure.value.code == "platform.not_reached"


def test_a_tls_handshake_that_hangs_is_not_reached(send):
    with peer(lambda line: line.wait_for_end()) as server, pytest.raises(PlatformUnavailable) as failure:
        send(call_to(server.port, tls=True, timeout_s=0.05))
    assert failure.value.details["reason"] == "timeout"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "closed", id="nothing"),
        pytest.param(framed(b"0210")[:4], "closed", id="half"),
        pytest.param(b"\x10\x01", "too_large", id="too large"),
        pytest.param(framed(*[b"stranger"] * 65), "strangers", id="strangers"),
        pytest.param(b"\0\0" * 65, "strangers", id="empty ones"),
    ],
)
def test_an_answer_that_is_none_leaves_the_outcome_open(send, data, reason):
    def script(line):
        line.frame()
        line.send(data)

    with peer(script) as server, pytest.raises(PlatformUnknown) as failure:
        send(call_to(server.port, accepts=lambda frame: frame == b"mine"))
    assert (failure.value.code, failure.value.details["reason"]) == ("platform.no_answer", reason)


def test_a_silent_peer_leaves_the_outcome_open(send):
    with peer(answering(b"")) as server, pytest.raises(PlatformUnknown) as failure:
        send(call_to(server.port, timeout_s=0.05))
    assert failure.value.details["reason"] == "timeout"


def test_a_reset_after_the_request_leaves_the_outcome_open(send):
    def script(line):
        line.frame()
        line.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with peer(script) as server, pytest.raises(PlatformUnknown):
        send(call_to(server.port))


@pytest.mark.parametrize("content", [b"", b"x" * 4097])
def test_a_message_that_fits_no_frame_is_never_sent(send, content):
    with pytest.raises(ValidationError) as refusal:
        send(call_to(9, content))
    assert refusal.value.code == "transport.malformed"
