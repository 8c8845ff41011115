"""Driving flows: the same flow under both runtimes, its failures, and its end when it is cancelled."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from tests.peers import call_to, peer
from tests.stores import add, names

from unicom_coupon_sdk.errors import ConfigurationError, CouponStateError, PlatformUnknown
from unicom_coupon_sdk.platform.effects import Effect, FrameCall, Local, NewId, Now, RandomBytes, Sleep, Transact
from unicom_coupon_sdk.platform.retry import GENTLE, repeating
from unicom_coupon_sdk.platform.wire import FrameEndpoint, HttpAnswer
from unicom_coupon_sdk.runtime import AsyncRuntime, BlockingRuntime, Inline, OffsetClock

ANSWER = HttpAnswer(200, (), b"answer")


class Platform:
    """An in-process transport."""

    def __init__(self, answer=ANSWER):
        self._answer = answer
        self.calls = []

    def send(self, call):
        self.calls.append(call)
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer

    def close(self):
        raise AssertionError("it is the caller's")


class Skipping(OffsetClock):
    """A clock whose sleeps pass at once."""

    def sleep(self, seconds):
        self.advance(timedelta(seconds=seconds))

    async def async_sleep(self, seconds):
        self.advance(timedelta(seconds=seconds))


@pytest.fixture(params=["blocking", "asyncio"])
def run(request, engine):
    """Run a flow in either runtime."""

    def blocking(flow, *, platform=None, **parts):
        with BlockingRuntime(
            **{"engine": engine, "clock": Skipping(), "http": platform or Platform(), **parts}
        ) as runtime:
            return runtime.run(flow)

    def asynchronous(flow, *, platform=None, **parts):
        async def main():
            parts_ = {"engine": engine, "clock": Skipping(), "http": Inline(platform or Platform()), **parts}
            async with AsyncRuntime(**parts_) as runtime:
                return await runtime.run(flow)

        return asyncio.run(main())

    return blocking if request.param == "blocking" else asynchronous


def test_each_effect_hands_its_result_back(run, engine):
    def flow():
        started = yield from Now()
        yield from Sleep(3600)
        passed = (yield from Now()) - started
        first, second = (yield from NewId()), (yield from NewId())
        entropy = yield from RandomBytes(7)
        answer = yield from call_to(9)
        kept = yield from Transact(add("kept"))
        return started, passed, first, second, entropy, answer, kept

    started, passed, first, second, entropy, answer, kept = run(flow())
    assert abs(started - datetime.now(UTC)) < timedelta(minutes=1)
    assert timedelta(hours=1) <= passed < timedelta(hours=1, minutes=1)
    assert len(first) == 26
    assert first < second
    assert len(entropy) == 7
    assert answer is ANSWER
    assert kept == "kept"
    assert names(engine) == ["kept"]


def test_entropy_may_be_given_for_a_repeatable_run(run):
    def flow():
        return (yield from RandomBytes(4)), (yield from NewId())[10:]

    assert run(flow(), entropy=bytes) == (bytes(4), "0" * 16)


def test_a_failed_effect_is_raised_in_the_flow_which_may_go_on(run):
    def flow():
        try:
            yield from call_to(9)
        except PlatformUnknown as error:
            return (yield from Transact(add(error.code)))

    assert run(flow(), platform=Platform(PlatformUnknown("platform.no_answer"))) == "platform.no_answer"


def test_a_failure_that_the_flow_does_not_catch_is_raised(run, engine):
    def refuse(connection):
        add("refused")(connection)
        raise CouponStateError("coupon.state")

    def flow():
        yield from Transact(refuse)

    with pytest.raises(CouponStateError):
        run(flow())
    assert names(engine) == []


def test_what_a_flow_raises_is_raised(run):
    def flow():
        yield from Now()
        raise KeyError("x")

    with pytest.raises(KeyError):
        run(flow())


def test_a_flow_without_effects_returns(run):
    def flow():
        return 7
        yield

    assert run(flow()) == 7


def test_a_stop_iteration_in_a_work_does_not_end_the_flow_quietly(run):
    def flow():
        yield from Transact(lambda _: next(iter(())))
        return "as if nothing had happened"

    with pytest.raises((RuntimeError, StopIteration)):
        run(flow())


def test_something_that_is_no_effect_is_refused_in_the_flow(run):
    @dataclass(frozen=True)
    class Strange(Effect[int]):
        pass

    def flow():
        with pytest.raises(ConfigurationError) as refusal:
            yield from Strange()
        return refusal.value.code, refusal.value.details["effect"]

    assert run(flow()) == ("runtime.effect", "Strange")


def test_a_transaction_needs_a_ledger(run):
    def flow():
        yield from Transact(add("a"))

    with pytest.raises(ConfigurationError) as refusal:
        run(flow(), engine=None)
    assert refusal.value.code == "runtime.no_ledger"


def test_a_retry_policy_is_driven_by_the_clock_of_the_runtime(run):
    platform = Platform(PlatformUnknown("platform.no_answer"))

    def attempt(_):
        return (yield from call_to(9))

    began = time.monotonic()
    with pytest.raises(PlatformUnknown):
        run(repeating(attempt, GENTLE), platform=platform)
    assert len(platform.calls) == 3
    assert time.monotonic() - began < 1.5


def test_frames_are_sent_by_the_given_transport(run):
    class Frames:
        def send(self, call):
            return call.content[::-1]

    class AsyncFrames:
        async def send(self, call):
            return call.content[::-1]

    def flow():
        return (yield from FrameCall(FrameEndpoint("127.0.0.1", 9), b"0200", 5))

    kind = Frames if "blocking" in run.__qualname__ else AsyncFrames
    assert run(flow(), frames=kind()) == b"0020"


def test_a_flow_is_closed_when_its_runtime_is_interrupted(run):
    ends = []

    def flow():
        try:
            yield from call_to(9)
        finally:
            ends.append("closed")

    with pytest.raises(KeyboardInterrupt):
        run(flow(), platform=Platform(KeyboardInterrupt()))
    assert ends == ["closed"]


class Waiting:
    """Brings a flow to a halt in the middle of one kind of effect."""

    def __init__(self):
        self.begun, self.open = threading.Event(), threading.Event()

    def work(self, connection):
        self.begun.set()
        assert self.open.wait(30)
        return add("in flight")(connection)

    def script(self, line):
        line.connection.recv(1)
        self.begun.set()
        line.wait_for_end()


@pytest.mark.parametrize("kind", ["http", "frame", "sleep", "transaction"])
def test_a_cancelled_flow_is_closed_at_its_effect(kind, engine):
    ends, waiting = [], Waiting()

    def effect(port):
        match kind:
            case "http":
                return call_to(port)
            case "frame":
                return FrameCall(FrameEndpoint("127.0.0.1", port, tls=False), b"0200", 30)
            case "sleep":
                waiting.begun.set()
                return Sleep(3600)
            case _:
                return Transact(waiting.work)

    def flow(port):
        try:
            yield from effect(port)
            ends.append("went on")
        except GeneratorExit:
            ends.append("closed")
            raise
        finally:
            ends.append("cleaned up")

    async def main(server):
        async with AsyncRuntime(engine=engine) as runtime:
            task = asyncio.create_task(runtime.run(flow(server.port)))
            await asyncio.to_thread(waiting.begun.wait, 30)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            if kind == "transaction":
                assert not task.done()
                waiting.open.set()
            with pytest.raises(asyncio.CancelledError):
                await task

    with peer(waiting.script) as server:
        asyncio.run(main(server))
    assert ends == ["closed", "cleaned up"]
    assert names(engine) == (["in flight"] if kind == "transaction" else [])


def test_many_flows_run_at_once_and_share_commits(engine, commits):
    def flow(number):
        yield from Transact(add(f"{number:03} held"))
        yield from call_to(9)
        return (yield from Transact(add(f"{number:03} done")))

    async def main():
        async with AsyncRuntime(engine=engine, http=Inline(Platform())) as runtime:
            return await asyncio.gather(*[runtime.run(flow(number)) for number in range(100)])

    assert asyncio.run(main()) == [f"{number:03} done" for number in range(100)]
    assert len(commits) < 50
    assert len(names(engine)) == 200


def test_threads_run_flows_of_one_runtime(engine):
    def flow(number):
        yield from Transact(add(f"{number:03}"))

    with BlockingRuntime(engine=engine) as runtime:
        threads = [
            threading.Thread(target=lambda first=first: [runtime.run(flow(first * 10 + n)) for n in range(10)])
            for first in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(names(engine)) == 80


def test_one_runtime_serves_several_event_loops(engine):
    runtime = AsyncRuntime(engine=engine, http=Inline(Platform()))

    def flow(name):
        yield from call_to(9)
        return (yield from Transact(add(name)))

    async def main(name):
        return await runtime.run(flow(name))

    assert [asyncio.run(main(name)) for name in "abc"] == list("abc")
    asyncio.run(runtime.close())


def test_closing_waits_for_the_flows_that_run(engine):
    waiting = Waiting()

    def flow():
        yield from Transact(waiting.work)
        return (yield from Transact(add("after")))

    async def main():
        runtime = AsyncRuntime(engine=engine)
        task = asyncio.create_task(runtime.run(flow()))
        await asyncio.to_thread(waiting.begun.wait, 30)
        closing = asyncio.create_task(runtime.close())
        await asyncio.sleep(0)
        assert not closing.done()
        waiting.open.set()
        await closing
        assert await task == "after"

    asyncio.run(main())


def test_importing_the_runtime_imports_no_heavy_library():
    import subprocess
    import sys

    script = (
        "import sys, unicom_coupon_sdk, unicom_coupon_sdk.runtime\n"
        "print(*[name for name in ('aiohttp', 'httpx', 'sqlalchemy', 'alembic', 'typer') if name in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60)
    assert told.stdout.strip() == ""


def test_local_work_gives_its_result_and_its_error(run, tmp_path):
    def flow():
        (yield from Local(lambda: (tmp_path / "made").write_text("x")))
        try:
            yield from Local((tmp_path / "missing").read_text)
        except FileNotFoundError:
            return (yield from Local((tmp_path / "made").read_text))

    assert run(flow()) == "x"


def test_local_work_leaves_the_event_loop_free_and_ends_when_its_flow_is_cancelled(tmp_path):
    begun, go_on = threading.Event(), threading.Event()

    def work():
        begun.set()
        assert go_on.wait(10)
        (tmp_path / "made").write_text("whole")

    def flow():
        yield from Local(work)

    async def main():
        async with AsyncRuntime() as runtime:
            task = asyncio.create_task(runtime.run(flow()))
            await asyncio.to_thread(begun.wait, 10)
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
            go_on.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (tmp_path / "made").read_text() == "whole"

    asyncio.run(main())
