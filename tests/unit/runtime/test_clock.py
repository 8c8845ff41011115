"""Clocks."""

import asyncio
import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from tests.peers import answering, ok, peer, unused_port

from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.runtime.clock import FollowedClock, OffsetClock, SystemClock

HOUR = timedelta(hours=1)


def near(one, other):
    return abs(one - other) < timedelta(seconds=30)


def test_the_system_clock_tells_utc():
    assert near(SystemClock().now(), datetime.now(UTC))
    assert SystemClock().now().tzinfo is UTC


@pytest.mark.parametrize("seconds", [0, -1, 0.001])
def test_clocks_wait_for_a_moment_or_none(seconds):
    for clock in (SystemClock(), OffsetClock()):
        clock.sleep(seconds)
        asyncio.run(clock.async_sleep(seconds))


def test_an_offset_clock_can_be_set_and_advanced():
    clock, noon = OffsetClock(offset=HOUR), datetime(2030, 1, 1, 12, tzinfo=UTC)
    assert near(clock.now(), datetime.now(UTC) + HOUR)
    assert near(clock.set(noon), noon)
    assert near(clock.advance(HOUR), noon + HOUR)
    assert near(clock.advance(-2 * HOUR), noon - HOUR)


def test_advancing_wakes_a_sleeping_thread():
    clock, asleep = OffsetClock(), threading.Event()

    def sleep():
        asleep.set()
        clock.sleep(3600)

    thread = threading.Thread(target=sleep, daemon=True)
    thread.start()
    asleep.wait(10)
    while thread.is_alive():
        clock.advance(HOUR)
        thread.join(0.01)


def test_advancing_wakes_a_sleeping_task_from_another_thread():
    clock = OffsetClock()

    async def main():
        task = asyncio.create_task(clock.async_sleep(3600))
        await asyncio.sleep(0)
        await asyncio.to_thread(clock.advance, HOUR)
        await asyncio.wait_for(task, 10)

    asyncio.run(main())


def test_advancing_less_than_the_sleep_does_not_wake():
    clock = OffsetClock()

    async def main():
        task = asyncio.create_task(clock.async_sleep(3600))
        await asyncio.sleep(0)
        clock.advance(HOUR / 2)
        clock.advance(-HOUR)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
        clock.advance(HOUR / 2)
        await asyncio.wait_for(task, 10)

    asyncio.run(main())


def test_a_cancelled_sleep_is_forgotten():
    clock = OffsetClock()

    async def main():
        task = asyncio.create_task(clock.async_sleep(3600))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    clock.advance(HOUR)
    assert clock._sleepers == {}


def sandbox_at(now):
    return answering(ok(json.dumps({"now": now.isoformat()}).encode()))


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_followed_clock_takes_the_sandboxs_time(ending):
    then = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)
    with peer(sandbox_at(then)) as control:
        clock = FollowedClock(f"http://127.0.0.1:{control.port}{ending}")
        assert near(clock.now(), then)
    assert control.requests[0].startswith(b"GET /clock HTTP/1.1\r\n")
    assert control.connections == 1


def test_a_followed_clock_reads_again_when_asked():
    times = [datetime(2031, 1, 1, tzinfo=UTC), datetime(2032, 1, 1, tzinfo=UTC)]

    def script(line):
        while True:
            line.request()
            line.send(ok(json.dumps({"now": times.pop(0).isoformat().replace("+00:00", "Z")}).encode()))

    with peer(script) as control:
        clock = FollowedClock(f"http://127.0.0.1:{control.port}")
        assert clock.now().year == 2031
        assert near(clock.refresh(), datetime(2032, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "control", ["https://time.example", "http://10.0.0.1:8000", "http://127.0.0.1.example", "nonsense"]
)
def test_only_a_sandbox_on_this_machine_is_followed(control):
    with pytest.raises(ConfigurationError) as refusal:
        FollowedClock(control)
    assert refusal.value.code == "clock.not_loopback"


@pytest.mark.parametrize(
    "content", [b"[]", b"{}", b'{"now": 1}', b'{"now": "soon"}', b"\xff", b'{"now": "2031-01-01T00:00:00"}']
)
def test_an_answer_that_is_no_time_is_refused(content):
    with peer(answering(ok(content))) as control, pytest.raises(ConfigurationError) as refusal:
        FollowedClock(f"http://127.0.0.1:{control.port}")
    assert refusal.value.code == "clock.unreadable"


def test_a_sandbox_that_is_not_there_is_a_matter_of_configuration():
    with pytest.raises(ConfigurationError) as refusal:
        FollowedClock(f"http://127.0.0.1:{unused_port()}")
    assert (refusal.value.code, refusal.value.details["reason"]) == ("clock.unreadable", "platform.not_reached")
