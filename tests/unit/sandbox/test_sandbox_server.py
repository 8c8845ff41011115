"""The HTTP server with peers that are pipelined, slow, large, malformed or gone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import pytest
from tests.unit.sandbox.conftest import EMULATORS, Served

from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox import SandboxServer
from unicom_coupon_sdk.sandbox import server as server_module
from unicom_coupon_sdk.sandbox.emulator import Received
from unicom_coupon_sdk.sandbox.server import HttpListener, Reply, head_of

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


def echo(received: Received, line: str) -> Reply:
    return Reply(HttpAnswer(200, (("X-LINE", line), ("Content-Length", str(len(received.content)))), received.content))


def talk(
    work: Callable[[int, HttpListener], Awaitable[None]],
    *,
    handler: server_module.Handler = echo,
    largest_body: int = 1000,
    request_s: float = 60.0,
    idle_s: float = 60.0,
    settle: Callable[[], None] = lambda: None,
) -> None:
    async def run() -> None:
        listener = HttpListener(handler, largest_body=largest_body, request_s=request_s, idle_s=idle_s, settle=settle)
        port = await listener.start("127.0.0.1", 0)
        try:
            async with asyncio.timeout(10):
                await work(port, listener)
        finally:
            await listener.close()

    asyncio.run(run())


async def exchange(port: int, data: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    async with peer(port) as (reader, writer):
        writer.write(data)
        with suppress(ConnectionResetError):
            await writer.drain()
        return await reader.read()


@asynccontextmanager
async def peer(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


def closing(request: bytes) -> bytes:
    return request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def test_pipelined_requests_are_answered_in_their_order() -> None:
    async def work(port: int, _listener: HttpListener) -> None:
        requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(50))
        answer = await exchange(port, requests + closing(GET))
        assert [int(part.split(b" ")[0]) for part in answer.split(b"X-LINE: GET /")[1:-1]] == list(range(50))

    talk(work)


def test_a_request_that_comes_byte_by_byte_is_read() -> None:
    async def work(port: int, _listener: HttpListener) -> None:
        async with peer(port) as (reader, writer):
            for byte in b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc":
                writer.write(bytes([byte]))
                await writer.drain()
            assert (await reader.read()).endswith(b"\r\n\r\nabc")

    talk(work)


def test_a_chunked_body_arrives_whole() -> None:
    async def work(port: int, _listener: HttpListener) -> None:
        head = b"POST /c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        assert (await exchange(port, head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")).endswith(b"\r\n\r\nabcde")

    talk(work)


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n",
    ],
)
def test_a_body_over_the_limit_is_refused(data: bytes) -> None:
    async def work(port: int, _listener: HttpListener) -> None:
        assert (await exchange(port, data)).startswith(b"HTTP/1.1 413 ")

    talk(work)


def test_a_large_refused_body_still_hears_why() -> None:
    async def work(port: int, _listener: HttpListener) -> None:
        data = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n" + b"x" * 4_000_000
        assert (await exchange(port, data)).startswith(b"HTTP/1.1 413 ")

    talk(work)


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /\xc3\xa4 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_and_the_line_closed(data: bytes) -> None:
    async def work(port: int, _listener: HttpListener) -> None:
        answer = await exchange(port, data)
        assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
        assert b"Connection: close" in answer

    talk(work)


def test_head_has_the_length_and_no_body() -> None:
    def handler(received: Received, line: str) -> Reply:
        return Reply(HttpAnswer(200, (("Content-Length", "5"),), b"hello"))

    async def work(port: int, _listener: HttpListener) -> None:
        answer = await exchange(port, closing(GET.replace(b"GET", b"HEAD")))
        assert b"Content-Length: 5" in answer
        assert answer.endswith(b"\r\n\r\n")

    talk(work, handler=handler)


def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    async def work(port: int, _listener: HttpListener) -> None:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        async with peer(port) as (reader, writer):
            writer.write(head)
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"ok")
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b"ok")
        assert b"100 Continue" not in answer

    talk(work)


def test_an_old_client_is_answered_and_closed() -> None:
    async def work(port: int, _listener: HttpListener) -> None:
        assert (await exchange(port, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")

    talk(work)


def test_a_client_that_closed_its_sending_side_still_gets_its_late_answer() -> None:
    has_left = asyncio.Event()

    async def handler_later() -> Reply:
        await has_left.wait()
        return Reply(HttpAnswer(200, (("Content-Length", "4"),), b"late"))

    async def work(port: int, _listener: HttpListener) -> None:
        async with peer(port) as (reader, writer):
            writer.write(GET)
            writer.write_eof()
            asyncio.get_running_loop().call_later(0.05, has_left.set)
            assert await reader.readexactly(4) == b"HTTP"

    talk(work, handler=lambda received, line: handler_later())


def test_peers_that_say_nothing_or_stop_half_way_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.01)

    async def work(port: int, listener: HttpListener) -> None:
        for data in (b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab", GET):
            with suppress(ConnectionResetError):
                await exchange(port, data)
        assert not listener.connections

    talk(work, request_s=0.05, idle_s=0.05)


def test_a_peer_that_never_reads_does_not_fill_the_memory() -> None:
    served = 0

    def handler(received: Received, line: str) -> Reply:
        nonlocal served
        served += 1
        return Reply(HttpAnswer(200, (("Content-Length", "1000000"),), b"x" * 1_000_000))

    async def work(port: int, _listener: HttpListener) -> None:
        async with peer(port) as (_reader, writer):
            writer.write(GET * 500)
            before = -1
            while served != before or not served:
                before = served
                for _ in range(50):
                    await asyncio.sleep(0)
            assert 0 < served < 50

    talk(work, handler=handler)


def test_more_connections_than_allowed_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MOST_CONNECTIONS", 1)

    async def work(port: int, _listener: HttpListener) -> None:
        async with peer(port) as (_reader, first):
            first.write(b"GET")
            await first.drain()
            assert (await exchange(port, b"")).startswith(b"HTTP/1.1 503 ")

    talk(work)


def test_a_handler_that_fails_closes_the_line_and_nothing_more() -> None:
    async def fail() -> Reply:
        raise KeyError("x")

    async def work(port: int, listener: HttpListener) -> None:
        for _ in range(2):
            with suppress(ConnectionResetError):
                assert await exchange(port, GET) == b""

    talk(work, handler=lambda received, line: fail())


def test_answers_that_cannot_be_made_durable_are_not_sent() -> None:
    is_full = True

    def settle() -> None:
        if is_full:
            raise OSError

    async def work(port: int, _listener: HttpListener) -> None:
        nonlocal is_full
        with suppress(ConnectionResetError):
            assert await exchange(port, GET) == b""
        is_full = False
        assert (await exchange(port, closing(GET))).startswith(b"HTTP/1.1 200 ")

    talk(work, settle=settle)


def test_answers_that_are_ready_together_are_made_durable_together() -> None:
    settled = 0

    def settle() -> None:
        nonlocal settled
        settled += 1

    async def work(port: int, _listener: HttpListener) -> None:
        async with AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(peer(port)) for _ in range(20)]
            for _, writer in peers:
                writer.write(GET)
            for reader, _ in peers:
                assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        assert settled < 20

    talk(work, settle=settle)


def test_a_full_disk_closes_the_line_and_undoes_the_use(tmp_path: Path) -> None:
    with SandboxServer(tmp_path, emulators=EMULATORS) as server:
        served = Served.of(server.credentials)
        code = served.coupon()
        database = server.service.world.stations["tokenpay"].store._database
        assert database is not None
        database.execute("PRAGMA query_only = ON")
        with pytest.raises(OSError):  # noqa: PT011 - either way of closing is one
            served.use(code)
        database.execute("PRAGMA query_only = OFF")
        assert served.told("GET", f"/coupons/tokenpay/{code}")["state"] == "SENT"
        assert served.use(code).status == 200


def test_header_names_go_out_as_they_are_spelled() -> None:
    head = head_of(HttpAnswer(404, (("Wechatpay-Nonce", "a"), ("x-lower", "b"))), keeps_alive=True)
    assert head == b"HTTP/1.1 404 Not Found\r\nWechatpay-Nonce: a\r\nx-lower: b\r\n\r\n"


def test_an_answer_with_a_smuggled_line_break_is_not_sent(served: Served) -> None:
    with pytest.raises((ConnectionResetError, ConnectionError, OSError)):
        served.send("GET", "/v1/smuggle")


def test_an_emulator_that_fails_has_done_nothing_and_says_nothing(
    served: Served, server: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    answer = served.send("POST", "/v1/crash", {})
    assert (answer.status, answer.content) == (500, b"")
    assert server.service.world.stations["tokenpay"].store.get("crash", "1") is None
    assert "RuntimeError at tokenpay.py" in caplog.text
    assert "SECRET" not in caplog.text


def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as error, SandboxServer(emulators=EMULATORS, port_base=port):
            pass
        assert error.value.code == "sandbox.port_in_use"
        assert str(port) in str(error.value)


def test_ports_follow_the_port_base() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        base = free.getsockname()[1]
    emulators = {"wechatpay": EMULATORS["tokenpay"], "bank": EMULATORS["tokenpay"]}
    try:
        with SandboxServer(emulators=emulators, port_base=base) as server:
            told = {name: section["base_url"] for name, section in server.credentials.items()}
    except ConfigurationError as error:
        pytest.xfail(f"a neighbouring port is taken: {error.code}")
    assert told == {
        "control": f"http://127.0.0.1:{base}",
        "wechatpay": f"http://127.0.0.1:{base + 2}",
        "bank": f"http://127.0.0.1:{base + 5}",
    }


def test_a_host_beyond_loopback_is_refused_without_i_know() -> None:
    with pytest.raises(ConfigurationError) as error, SandboxServer(emulators=EMULATORS, host="0.0.0.0"):
        pass
    assert error.value.code == "sandbox.not_loopback"


def test_a_port_base_too_high_for_its_row_is_refused() -> None:
    with pytest.raises(ConfigurationError) as error, SandboxServer(emulators=EMULATORS, port_base=65_535):
        pass
    assert error.value.code == "sandbox.port_range"
