"""The asyncio connections: how many, in what order, and what becomes of one that is not fit for use."""

from __future__ import annotations

import asyncio
import gc
import ssl
import threading

import pytest
from tests.peers import answering, call_to, ok, peer, self_signed

from unicom_coupon_sdk.errors import ConfigurationError, PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.runtime import lines
from unicom_coupon_sdk.runtime.http import AsyncHttp


class Held:
    """A script that answers only when it is let."""

    def __init__(self):
        self.busy, self.open = threading.Semaphore(0), threading.Event()

    def __call__(self, line):
        while True:
            line.request()
            self.busy.release()
            assert self.open.wait(30)
            line.send(ok())


async def until_busy(held, count):
    for _ in range(count):
        assert await asyncio.to_thread(held.busy.acquire, timeout=30)


def test_calls_beyond_the_limit_wait_their_turn_in_order(monkeypatch):
    monkeypatch.setattr(lines, "MOST_LINES", 1)
    held, done = Held(), []

    async def one(http, port, number):
        await http.send(call_to(port, content=b"%d" % number))
        done.append(number)

    async def main(port):
        http = AsyncHttp()
        tasks = [asyncio.create_task(one(http, port, number)) for number in range(8)]
        await until_busy(held, 1)
        held.open.set()
        await asyncio.gather(*tasks)
        await http.close()

    with peer(held) as server:
        asyncio.run(main(server.port))
    assert server.connections == 1
    assert done == list(range(8))
    assert [request[-1:] for request in server.requests] == [b"%d" % number for number in range(8)]


def test_a_call_that_gets_no_turn_in_time_was_not_sent(monkeypatch):
    monkeypatch.setattr(lines, "MOST_LINES", 1)
    held = Held()

    async def main(port):
        http = AsyncHttp()
        first = asyncio.create_task(http.send(call_to(port)))
        await until_busy(held, 1)
        with pytest.raises(PlatformUnavailable) as failure:
            await http.send(call_to(port, timeout_s=0.01, connect_timeout_s=0.01))
        held.open.set()
        assert (await first).status == 200
        assert (await http.send(call_to(port))).status == 200
        await http.close()
        return failure.value.details["reason"]

    with peer(held) as server:
        assert asyncio.run(main(server.port)) == "pool"
    assert (server.connections, len(server.requests)) == (1, 2)


def test_a_waiting_call_that_is_cancelled_leaves_its_turn_to_the_next(monkeypatch):
    monkeypatch.setattr(lines, "MOST_LINES", 1)
    held = Held()

    async def main(port):
        http = AsyncHttp()
        first, second, third = [asyncio.create_task(http.send(call_to(port, content=b"%d" % n))) for n in (1, 2, 3)]
        await until_busy(held, 1)
        second.cancel()
        held.open.set()
        assert (await first).status == (await third).status == 200
        assert second.cancelled()
        await http.close()

    with peer(held) as server:
        asyncio.run(main(server.port))
    assert [request[-1:] for request in server.requests] == [b"1", b"3"]


def test_a_turn_granted_in_the_moment_of_cancelling_is_passed_on(monkeypatch):
    monkeypatch.setattr(lines, "MOST_LINES", 1)

    async def main(port):
        http = AsyncHttp()
        await http.send(call_to(port))
        pool = next(iter(http._sessions.values()))._pools.popitem()[1]
        line = await pool.lease(call_to(port).rules)
        second, third = [asyncio.create_task(pool.lease(call_to(port).rules)) for _ in range(2)]
        await asyncio.sleep(0)
        pool.give_back(line)  # grants it to the second, which is cancelled before it can wake
        second.cancel()
        assert await third is line
        assert second.cancelled()
        await asyncio.gather(*[one.lost for one in pool.close()])

    with peer(answering(ok())) as server:
        asyncio.run(main(server.port))


def test_a_broken_line_leaves_its_place_to_the_next(monkeypatch):
    monkeypatch.setattr(lines, "MOST_LINES", 1)

    def script(line):
        if line.request().endswith(b"break"):
            return
        line.send(ok())
        line.wait_for_end()

    async def main(port):
        http = AsyncHttp()
        told = await asyncio.gather(
            *[http.send(call_to(port, content=content)) for content in (b"break", b"break", b"go on")],
            return_exceptions=True,
        )
        await http.close()
        return told

    with peer(script) as server:
        first, second, third = asyncio.run(main(server.port))
    assert isinstance(first, PlatformUnknown)
    assert isinstance(second, PlatformUnknown)
    assert third.status == 200


def test_a_refused_connection_leaves_its_place_to_the_next(monkeypatch):
    monkeypatch.setattr(lines, "MOST_LINES", 1)

    async def main():
        http = AsyncHttp()
        return await asyncio.gather(*[http.send(call_to(1)) for _ in range(5)], return_exceptions=True)

    assert {type(failure) for failure in asyncio.run(main())} == {PlatformUnavailable}


def test_lines_that_were_idle_for_too_long_are_not_used_again():
    async def main(port):
        http = AsyncHttp()
        await asyncio.gather(*[http.send(call_to(port)) for _ in range(3)])
        pool = next(iter(http._sessions.values()))._pools.copy().popitem()[1]
        old = list(pool._idle)
        for line in old:
            line.idle_since -= lines.IDLE_S + 1
        assert (await http.send(call_to(port))).status == 200
        await asyncio.gather(*[line.lost for line in old])
        assert pool._count == 1
        await http.close()

    with peer(answering(ok())) as server:
        asyncio.run(main(server.port))
    assert server.connections == 4


def test_lines_that_were_idle_for_too_long_end_when_another_comes_to_rest():
    async def main(port):
        http = AsyncHttp()
        await asyncio.gather(*[http.send(call_to(port)) for _ in range(3)])
        pool = next(iter(http._sessions.values()))._pools.copy().popitem()[1]
        first, second, last = pool._idle
        first.idle_since -= lines.IDLE_S + 1
        assert (await http.send(call_to(port))).status == 200
        await first.lost
        assert list(pool._idle) == [second, last]
        assert pool._count == 2
        await http.close()

    with peer(answering(ok())) as server:
        asyncio.run(main(server.port))
    assert server.connections == 3


def test_a_line_on_which_the_peer_speaks_unasked_is_not_used_again():
    spoken = threading.Event()

    def script(line):
        line.request()
        line.send(ok())
        if line.peer.connections == 1:
            line.send(ok(b"unasked"))
            line.wait_for_end()
            spoken.set()

    async def main(port):
        http = AsyncHttp()
        first = await http.send(call_to(port))
        assert await asyncio.to_thread(spoken.wait, 30)
        second = await http.send(call_to(port))
        await http.close()
        return first.content, second.content

    with peer(script) as server:
        assert asyncio.run(main(server.port)) == (b'{"ok":true}', b'{"ok":true}')
    assert server.connections == 2


def test_a_line_that_the_peer_ended_while_idle_is_replaced_without_a_failure():
    def script(line):
        line.request()
        line.send(ok())

    async def main(port):
        http = AsyncHttp()
        await http.send(call_to(port))
        pool = next(iter(http._sessions.values()))._pools.copy().popitem()[1]
        await asyncio.gather(*[line.lost for line in pool._lines])  # the peer's end has come in
        assert pool._count == 0
        assert (await http.send(call_to(port))).status == 200
        await http.close()

    with peer(script) as server:
        asyncio.run(main(server.port))
    assert server.connections == 2


def test_a_large_body_that_the_peer_reads_slowly_is_not_silence():
    def script(line):
        received = 0
        while received < 8_000_000:
            received += len(line.connection.recv(400_000))
            line.peer.stopping.wait(0.01)
        line.send(ok())
        line.wait_for_end()

    async def main(port):
        http = AsyncHttp()
        answer = await http.send(call_to(port, content=bytes(8_000_000), timeout_s=0.15))
        await http.close()
        return answer.status

    with peer(script) as server:
        assert asyncio.run(main(server.port)) == 200


def test_a_shorter_limit_holds_on_a_line_that_served_a_longer_one():
    def script(line):
        line.request()
        line.send(ok())
        line.wait_for_end()

    async def main(port):
        http = AsyncHttp()
        await http.send(call_to(port, timeout_s=3600))
        with pytest.raises(PlatformUnknown) as failure:
            await http.send(call_to(port, timeout_s=0.02))
        await http.close()
        return failure.value.details["reason"]

    with peer(script) as server:
        assert asyncio.run(asyncio.wait_for(main(server.port), 60)) == "timeout"


def test_closing_ends_calls_under_way_as_unknown_and_waiting_ones_as_not_sent(monkeypatch):
    monkeypatch.setattr(lines, "MOST_LINES", 1)
    held = Held()

    async def main(port):
        http = AsyncHttp()
        tasks = [asyncio.create_task(http.send(call_to(port))) for _ in range(2)]
        await until_busy(held, 1)
        await http.close()
        told = await asyncio.gather(*tasks, return_exceptions=True)
        held.open.set()
        return told

    with peer(held) as server:
        first, second = asyncio.run(main(server.port))
    assert isinstance(first, PlatformUnknown)
    assert isinstance(second, ConfigurationError)
    assert len(server.requests) == 1


def test_tls_lines_are_kept_and_end_with_their_loop(tmp_path):
    ca_file, tls = self_signed(tmp_path)
    http = AsyncHttp(tls=ssl.create_default_context(cafile=ca_file))

    async def main(port):
        return [(await http.send(call_to(port, scheme="https", content=b"x" * 70_000))).status for _ in range(3)]

    with peer(answering(ok(b"y" * 70_000)), tls=tls) as server:
        assert asyncio.run(main(server.port)) == [200] * 3
        assert server.connections == 1
    gc.collect()  # an open connection would warn here, and warnings are errors
