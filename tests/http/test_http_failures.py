"""Not sent, or perhaps sent: each way in which a call can fail is told apart."""

from __future__ import annotations

import gc
import socket
import ssl

import httpx
import pytest
from tests.peers import answering, call_to, ok, peer, self_signed, unused_port

from unicom_coupon_sdk.errors import ConfigurationError, Effected, PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.runtime.http import BlockingHttp, tls_context


def test_a_refused_connection_is_not_reached(send):
    with pytest.raises(PlatformUnavailable) as failure:
        send(call_to(unused_port()))
    assert (failure.value.code, failure.value.details["reason"]) == ("platform.not_reached", "connect")
    assert failure.value.outcome is Effected.NOT_DONE


def test_a_name_that_is_not_found_is_not_reached(send, monkeypatch):
    def unknown(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(PlatformUnavailable) as failure:
        send(call_to(443, scheme="https", host="pay.example"))
    assert failure.value.code == "platform.not_reached"


def test_a_connection_that_does_not_come_about_in_time_is_not_reached(send):
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:  # fills the queue of connections that nobody accepts; further ones get no answer
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        try:
            with pytest.raises(PlatformUnavailable) as failure:
                send(call_to(full.getsockname()[1], connect_timeout_s=0.05))
        finally:
            for one in waiting:
                one.close()
    assert (failure.value.code, failure.value.details["reason"]) == ("platform.not_reached", "timeout")


def test_a_certificate_that_nobody_vouches_for_is_not_reached(send, tmp_path):
    _, server_tls = self_signed(tmp_path)
    with peer(answering(ok()), tls=server_tls) as server:
        with pytest.raises(PlatformUnavailable) as failure:
            send(call_to(server.port, scheme="https"))
        assert (failure.value.code, failure.value.details["reason"]) == ("platform.not_reached", "tls")
    assert not server.requests


def test_a_certificate_for_another_host_is_not_reached(our_sender, tmp_path):
    ca_file, server_tls = self_signed(tmp_path, address="127.0.0.2")
    send = our_sender(ssl.create_default_context(cafile=ca_file))
    with peer(answering(ok()), tls=server_tls) as server:
        with pytest.raises(PlatformUnavailable) as failure:
            send(call_to(server.port, scheme="https"))
        assert failure.value.details["reason"] == "tls"
    assert not server.requests


def test_a_trusted_certificate_carries_the_call(our_sender, tmp_path):
    ca_file, server_tls = self_signed(tmp_path)
    send = our_sender(ssl.create_default_context(cafile=ca_file))
    with peer(answering(ok()), tls=server_tls) as server:
        assert send(call_to(server.port, scheme="https", content=b"x")).status == 200


def test_a_peer_that_leaves_in_the_tls_handshake_is_not_reached(send):
    def script(line):
        line.connection.recv(1)
        line.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with peer(script) as server, pytest.raises(PlatformUnavailable) as failure:
        send(call_to(server.port, scheme="https"))
    assert failure.value.code == "platform.not_reached"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="half a head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", id="half a body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", id="half the chunks"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n\r\n", id="not HTTP"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_line_that_breaks_after_the_request_is_no_answer(send, answer, method):
    def script(line):
        line.request()
        line.send(answer)

    with peer(script) as server, pytest.raises(PlatformUnknown) as failure:
        send(call_to(server.port, method=method))
    assert failure.value.code == "platform.no_answer"
    assert failure.value.details["reason"] in {"closed", "malformed"}
    assert failure.value.outcome is Effected.UNKNOWN
    if method == "POST":
        assert len(server.requests) == 1


def test_a_peer_that_resets_the_line_at_the_first_byte_is_no_answer(send):
    def script(line):
        line.connection.recv(1)
        line.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with peer(script) as server, pytest.raises(PlatformUnknown):
        send(call_to(server.port, content=b"x" * 100))


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
def test_a_kept_line_that_breaks_is_no_answer_and_nothing_is_sent_again(our_send, method):
    def script(line):
        line.request()
        line.send(ok())
        line.request()  # and leave without an answer

    with peer(script) as server:
        our_send(call_to(server.port, method=method))
        with pytest.raises(PlatformUnknown) as failure:
            our_send(call_to(server.port, method=method))
        assert failure.value.details["reason"] == "closed"
    assert (len(server.requests), server.connections) == (2, 1)


def test_a_callers_client_never_sends_a_post_again(send):
    def script(line):
        line.request()
        line.send(ok())
        line.request()

    with peer(script) as server:
        send(call_to(server.port))
        with pytest.raises(PlatformUnknown):
            send(call_to(server.port))
    assert (len(server.requests), server.connections) == (2, 1)


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
def test_a_peer_that_falls_silent_is_no_answer(send, sent):
    def script(line):
        line.request()
        line.send(sent)
        line.wait_for_end()

    with peer(script) as server:
        with pytest.raises(PlatformUnknown) as failure:
            send(call_to(server.port, timeout_s=0.05))
        assert (failure.value.code, failure.value.details["reason"]) == ("platform.no_answer", "timeout")
        if send.is_ours:
            assert server.ended.wait(5), "the line is closed, so a late answer cannot be taken for another's"


def test_a_peer_that_dribbles_is_given_up(send):
    def script(line):
        line.request()
        line.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not line.peer.stopping.wait(0.01):
            line.send(b".")

    with peer(script) as server, pytest.raises(PlatformUnknown) as failure:
        send(call_to(server.port, timeout_s=0.05, connect_timeout_s=0.05))
    assert failure.value.details["reason"] == "timeout"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", id="told"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"64\r\n" + b"x" * 100 + b"\r\n", id="chunked"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="to the end"),
    ],
)
def test_an_answer_beyond_the_limit_is_cut_off(send, answer):
    def script(line):
        line.request()
        line.send(answer)
        chunked = b"chunked" in answer
        while b"Length" not in answer:
            line.send((b"64\r\n" if chunked else b"") + b"x" * 100 + (b"\r\n" if chunked else b""))
        line.wait_for_end()

    with peer(script) as server, pytest.raises(PlatformUnknown) as failure:
        send(call_to(server.port, largest_answer=1000))
    assert failure.value.details["reason"] == "too_large"


def test_an_answer_of_exactly_the_limit_is_taken(send):
    with peer(answering(ok(b"x" * 1000))) as server:
        assert len(send(call_to(server.port, largest_answer=1000)).content) == 1000


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (httpx.ConnectError, PlatformUnavailable),
        (httpx.ConnectTimeout, PlatformUnavailable),
        (httpx.PoolTimeout, PlatformUnavailable),
        (httpx.ProxyError, PlatformUnavailable),
        (httpx.UnsupportedProtocol, PlatformUnavailable),
        (httpx.ReadTimeout, PlatformUnknown),
        (httpx.WriteTimeout, PlatformUnknown),
        (httpx.ReadError, PlatformUnknown),
        (httpx.WriteError, PlatformUnknown),
        (httpx.CloseError, PlatformUnknown),
        (httpx.RemoteProtocolError, PlatformUnknown),
        (httpx.LocalProtocolError, PlatformUnknown),
        (httpx.DecodingError, PlatformUnknown),
        (httpx.StreamClosed, PlatformUnknown),
        (ConnectionResetError, PlatformUnknown),
        (TimeoutError, PlatformUnknown),
    ],
)
def test_each_failure_of_a_callers_client_has_its_class(raised, expected):
    def handler(request):
        raise raised() if raised in {httpx.StreamClosed, ConnectionResetError, TimeoutError} else raised("canary")

    with httpx.Client(transport=httpx.MockTransport(handler)) as client, pytest.raises(expected) as failure:
        BlockingHttp(client).send(call_to(9))
    assert "canary" not in str(failure.value)
    assert failure.value.__suppress_context__


def test_a_failed_call_leaves_no_open_socket(our_send):
    def script(line):
        line.request()

    with peer(script) as server:
        for _ in range(3):
            with pytest.raises(PlatformUnknown):
                our_send(call_to(server.port))
    gc.collect()  # a socket that was forgotten would warn here, and warnings are errors


@pytest.mark.parametrize("flaw", ["old", "unverified", "any host"])
def test_a_weak_tls_context_is_refused(flaw):
    context = ssl.create_default_context()
    if flaw == "old":
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE if flaw == "unverified" else ssl.CERT_REQUIRED
    with pytest.raises(ConfigurationError) as refusal:
        BlockingHttp(tls=context)
    assert refusal.value.code == "transport.tls_weak"


def test_the_shared_tls_context_is_made_once_and_speaks_nothing_older_than_tls_1_2():
    assert tls_context() is tls_context()
    assert tls_context().minimum_version == ssl.TLSVersion.TLSv1_2
