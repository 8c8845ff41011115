"""One transport among threads, event loops and processes; cancelling; closing."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from tests.peers import answering, call_to, ok, peer

from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.runtime import AsyncRuntime, BlockingRuntime, Inline
from unicom_coupon_sdk.runtime.http import AsyncHttp, BlockingHttp


def flow_of(call):
    return (yield from call)


def test_threads_share_a_transport():
    http, seen = BlockingHttp(), []
    with peer(answering(ok())) as server:
        threads = [
            threading.Thread(target=lambda: seen.extend(http.send(call_to(server.port)).status for _ in range(5)))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        http.close()
    assert seen == [200] * 40
    assert server.connections <= 8


def test_many_tasks_share_a_transport():
    async def main(port):
        http = AsyncHttp()
        answers = await asyncio.gather(*[http.send(call_to(port, content=b"%d" % number)) for number in range(64)])
        await http.close()
        return [answer.status for answer in answers]

    with peer(answering(ok())) as server:
        assert asyncio.run(main(server.port)) == [200] * 64


def test_each_event_loop_has_its_own_connections_and_they_end_with_it():
    http = AsyncHttp()

    async def main(port):
        return (await http.send(call_to(port))).status

    with peer(answering(ok())) as server:
        assert [asyncio.run(main(server.port)) for _ in range(3)] == [200] * 3
        assert server.connections == 3
    gc.collect()  # an open connection would warn here, and warnings are errors


def test_event_loops_in_two_threads_share_a_transport():
    http, seen, both = AsyncHttp(), [], threading.Barrier(2)

    async def main(port):
        both.wait(10)
        seen.extend([(await http.send(call_to(port))).status for _ in range(5)])

    with peer(answering(ok())) as server:
        threads = [threading.Thread(target=asyncio.run, args=(main(server.port),)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == [200] * 10


def test_a_transport_that_was_closed_on_a_loop_can_be_used_again():
    async def main(port):
        http = AsyncHttp()
        for _ in range(2):
            assert (await http.send(call_to(port))).status == 200
            await http.close()

    with peer(answering(ok())) as server:
        asyncio.run(main(server.port))
    assert server.connections == 2


def test_a_closed_blocking_transport_says_so():
    http = BlockingHttp()
    http.close()
    with pytest.raises(ConfigurationError) as refusal:
        http.send(call_to(9))
    assert refusal.value.code == "transport.closed"


@pytest.mark.parametrize("kind", ["httpx.Client", "httpx.AsyncClient"])
def test_a_callers_client_that_is_closed_says_so(kind):
    async def closed_async():
        client = httpx.AsyncClient()
        await client.aclose()
        await AsyncHttp(client).send(call_to(9))

    def closed():
        client = httpx.Client()
        client.close()
        BlockingHttp(client).send(call_to(9))

    with pytest.raises(ConfigurationError) as refusal:
        closed() if kind == "httpx.Client" else asyncio.run(closed_async())
    assert refusal.value.code == "transport.closed"


def test_a_cancelled_call_closes_its_line():
    def script(line):
        line.request()
        line.peer.seen.set()
        line.wait_for_end()

    async def main(server):
        async with AsyncRuntime() as runtime:
            task = asyncio.create_task(runtime.run(flow_of(call_to(server.port))))
            await asyncio.to_thread(server.seen.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(server.ended.wait, 10)

    with peer(script) as server:
        server.seen = threading.Event()
        asyncio.run(main(server))


def test_a_callers_httpx_client_carries_the_blocking_runtime_and_stays_open():
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(201))) as client:
        with BlockingRuntime(http=client) as runtime:
            assert runtime.run(flow_of(call_to(9))).status == 201
        assert not client.is_closed


def test_a_callers_httpx_client_carries_the_asyncio_runtime_and_stays_open():
    async def main():
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(201))) as client:
            async with AsyncRuntime(http=client) as runtime:
                assert (await runtime.run(flow_of(call_to(9)))).status == 201
            assert not client.is_closed

    asyncio.run(main())


def test_a_client_of_the_wrong_kind_is_refused():
    with pytest.raises(ConfigurationError) as refusal:
        BlockingRuntime(http=httpx.AsyncClient())
    assert refusal.value.code == "transport.kind"
    with httpx.Client() as client, pytest.raises(ConfigurationError):
        AsyncRuntime(http=client)


def test_a_transport_in_process_serves_either_runtime():
    class InProcess:
        closed = False

        def send(self, call):
            return call.request.target

        def close(self):
            self.closed = True

    given = InProcess()
    with BlockingRuntime(http=given) as runtime:
        assert runtime.run(flow_of(call_to(9, target="/a"))) == "/a"

    async def main():
        inline = Inline(given)
        async with AsyncRuntime(http=inline) as runtime:
            assert await runtime.run(flow_of(call_to(9, target="/b"))) == "/b"
        assert not given.closed
        await inline.close()

    asyncio.run(main())
    assert given.closed


ROOT = Path(__file__).parents[2]
FORKING = """
import asyncio, os, sys
from tests.peers import call_to
from unicom_coupon_sdk.runtime.http import AsyncHttp, BlockingHttp

port, kind = int(sys.argv[1]), sys.argv[2]
if kind == "blocking":
    http = BlockingHttp()
    send = lambda name: http.send(call_to(port, content=name)).status
else:
    http, loop = AsyncHttp(), asyncio.new_event_loop()
    send = lambda name: loop.run_until_complete(http.send(call_to(port, content=name))).status
send(b"parent before")
child = os.fork()
if child == 0:
    loop = asyncio.new_event_loop()
    os._exit(0 if send(b"child") == 200 else 1)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert send(b"parent after") == 200
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("kind", ["blocking", "asyncio"])
def test_a_child_process_never_touches_its_parents_connections(kind):
    lines = []

    def script(line):
        mine = []
        lines.append(mine)
        while True:
            mine.append(line.request().rpartition(b"\r\n")[2])
            line.send(ok())

    with peer(script) as server:
        subprocess.run([sys.executable, "-c", FORKING, str(server.port), kind], check=True, timeout=60, cwd=ROOT)
    assert lines == [[b"parent before", b"parent after"], [b"child"]]
