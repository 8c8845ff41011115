"""Transactions, one by one and gathered."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.stores import CHILDREN, add, names, open_store

from unicom_coupon_sdk.errors import CouponStateError, Effected, LedgerError
from unicom_coupon_sdk.runtime.transactions import LARGEST_BATCH, Transactions, _Job


class Gate:
    """A work that waits in the middle of its transaction until it is let go on."""

    def __init__(self, name):
        self.begun, self.open = threading.Event(), threading.Event()
        self._add = add(name)

    def __call__(self, connection):
        self.begun.set()
        assert self.open.wait(30)
        return self._add(connection)


def refuse(connection):
    add("refused")(connection)
    raise CouponStateError("coupon.state")


async def behind(gate, transactions, works):
    """Have ``works`` wait behind ``gate``'s transaction, then let them all go; the outcomes in order."""
    first = asyncio.create_task(transactions.async_run(gate))
    await asyncio.to_thread(gate.begun.wait, 30)
    others = [asyncio.create_task(transactions.async_run(work)) for work in works]
    await asyncio.sleep(0)
    gate.open.set()
    return (await asyncio.gather(first, *others, return_exceptions=True))[1:]


def test_a_work_is_committed_and_its_value_handed_back(engine):
    assert Transactions(engine).run(add("a")) == "a"
    assert asyncio.run(Transactions(engine).async_run(add("b"))) == "b"
    assert names(engine) == ["a", "b"]


def test_a_work_that_fails_leaves_nothing(engine):
    with pytest.raises(CouponStateError):
        Transactions(engine).run(refuse)
    with pytest.raises(CouponStateError):
        asyncio.run(Transactions(engine).async_run(refuse))
    assert names(engine) == []


def test_works_that_wait_share_one_commit(engine, commits):
    waiting = [f"{number:03}" for number in range(40)]
    told = asyncio.run(behind(Gate("first"), Transactions(engine), [add(name) for name in waiting]))
    assert list(told) == waiting
    assert len(commits) == 2
    assert names(engine) == [*waiting, "first"]


def test_a_batch_is_bounded(engine, commits):
    waiting = [f"{number:03}" for number in range(LARGEST_BATCH + 1)]
    asyncio.run(behind(Gate("first"), Transactions(engine), [add(name) for name in waiting]))
    assert len(commits) == 3


def test_works_run_in_the_order_of_arrival(engine):
    order = []
    works = [lambda _, number=number: order.append(number) for number in range(200)]
    asyncio.run(behind(Gate("first"), Transactions(engine), works))
    assert order == list(range(200))


def test_a_work_that_fails_in_a_batch_fails_alone(engine, commits):
    works = [add("a"), refuse, add("b"), add("a"), lambda _: 1 / 0]
    told = asyncio.run(behind(Gate("first"), Transactions(engine), works))
    assert told[0] == "a"
    assert isinstance(told[1], CouponStateError)
    assert told[2] == "b"
    assert isinstance(told[3], LedgerError)
    assert isinstance(told[4], ZeroDivisionError)
    assert len(commits) == 2
    assert names(engine) == ["a", "b", "first"]


def test_a_work_that_spoils_the_commit_of_its_batch_fails_alone(engine):
    def orphan(connection):  # found at the commit, which it makes fail for the whole batch
        connection.execute(CHILDREN.insert().values(parent=1))

    told = asyncio.run(behind(Gate("first"), Transactions(engine), [add("a"), orphan, add("b")]))
    assert (told[0], told[2]) == ("a", "b")
    assert isinstance(told[1], LedgerError)
    assert names(engine) == ["a", "b", "first"]


def test_nobody_is_answered_before_the_commit(engine):
    answered = []

    async def main():
        transactions, gate = Transactions(engine), Gate("first")
        first = asyncio.create_task(transactions.async_run(gate))
        await asyncio.to_thread(gate.begun.wait, 30)
        others = [asyncio.create_task(transactions.async_run(add(name))) for name in "abc"]
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()

        def look(connection):  # in the writer's thread, just before the commit; the loop has had its turn
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(30)
            answered.append(sum(task.done() for task in others))

        sa.event.listen(engine, "commit", look)
        gate.open.set()
        await asyncio.gather(first, *others)
        sa.event.remove(engine, "commit", look)

    asyncio.run(main())
    assert answered == [0, 0]
    assert names(engine) == ["a", "b", "c", "first"]


def test_threads_and_tasks_share_the_writer(engine):
    transactions = Transactions(engine)

    async def tasks():
        await asyncio.gather(*[transactions.async_run(add(f"task {number}")) for number in range(50)])

    def blocking(thread):
        for number in range(20):
            transactions.run(add(f"thread {thread} {number}"))

    threads = [threading.Thread(target=blocking, args=(number,)) for number in range(4)]
    threads += [threading.Thread(target=asyncio.run, args=(tasks(),)), threading.Thread(target=lambda: None)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(engine)) == 4 * 20 + 50


def test_threads_that_wait_share_one_commit(engine, commits):
    transactions, gate = Transactions(engine), Gate("first")
    first = threading.Thread(target=transactions.run, args=(gate,))
    first.start()
    gate.begun.wait(30)
    others = [threading.Thread(target=transactions.run, args=(add(str(number)),)) for number in range(10)]
    for other in others:
        other.start()
    while len(transactions._queue) < len(others):
        threading.Event().wait(0.001)
    gate.open.set()
    for thread in (first, *others):
        thread.join()
    assert len(names(engine)) == 11
    assert len(commits) == 2 + 1  # the gate's, the others', and the reading of the names


def test_an_interrupt_ends_the_leaders_work_and_not_the_others(engine):
    def interrupted(connection):
        add("mine")(connection)
        raise KeyboardInterrupt

    transactions = Transactions(engine)
    other, mine = _Job(add("theirs")), _Job(interrupted)
    transactions._queue.extend([other, mine])
    with pytest.raises(KeyboardInterrupt):
        transactions._next_batch(own=mine)
    assert names(engine) == []
    transactions.run(add("later"))
    assert (other.is_done, other.outcome()) == (True, "theirs")
    assert names(engine) == ["later", "theirs"]


def test_an_interrupt_at_the_commit_leaves_the_others_outcome_open(engine):
    def interrupt(connection):
        raise KeyboardInterrupt

    transactions = Transactions(engine)
    other, mine = _Job(add("theirs")), _Job(add("mine"))
    transactions._queue.extend([mine, other])
    sa.event.listen(engine, "commit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        transactions._next_batch(own=mine)
    with pytest.raises(LedgerError) as failure:
        other.outcome()
    assert (failure.value.code, failure.value.outcome) == ("ledger.commit_unknown", Effected.UNKNOWN)


def test_an_exit_in_a_work_ends_that_works_task_and_not_the_writer(engine):
    def leave(connection):
        raise SystemExit(3)

    async def main():
        transactions = Transactions(engine)
        with pytest.raises(SystemExit):
            await transactions.async_run(leave)
        return await transactions.async_run(add("a"))

    assert asyncio.run(main()) == "a"


def test_a_work_cancelled_while_it_waits_never_runs(engine):
    async def main():
        transactions, gate = Transactions(engine), Gate("first")
        first = asyncio.create_task(transactions.async_run(gate))
        await asyncio.to_thread(gate.begun.wait, 30)
        waiting = asyncio.create_task(transactions.async_run(add("waiting")))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.open.set()
        await first

    asyncio.run(main())
    assert names(engine) == ["first"]


def test_a_work_cancelled_in_the_middle_is_finished_first(engine):
    async def main():
        transactions, gate = Transactions(engine), Gate("first")
        task = asyncio.create_task(transactions.async_run(gate))
        await asyncio.to_thread(gate.begun.wait, 30)
        for _ in range(3):  # impatience changes nothing
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        gate.open.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert names(engine) == ["first"]

    asyncio.run(main())


def test_a_time_limit_around_a_work_waits_for_its_commit(engine):
    async def main():
        transactions, gate, limits = Transactions(engine), Gate("first"), []

        async def limited():
            async with asyncio.timeout(30) as limit:
                limits.append(limit)
                await transactions.async_run(gate)

        task = asyncio.create_task(limited())
        await asyncio.to_thread(gate.begun.wait, 30)
        limits[0].reschedule(0)
        for _ in range(3):
            await asyncio.sleep(0)
        assert limits[0].expired()
        assert not task.done()
        gate.open.set()
        with pytest.raises(TimeoutError):
            await task
        assert names(engine) == ["first"]

    asyncio.run(main())


def test_a_store_that_fails_is_explained_without_its_values(engine):
    def secret(connection):
        connection.execute(sa.text("insert into nowhere values (:phone)"), {"phone": "13800000000"})

    with pytest.raises(LedgerError) as failure:
        Transactions(engine).run(secret)
    assert (failure.value.code, failure.value.details["reason"]) == ("ledger.failed", "OperationalError")
    assert "13800000000" not in repr(failure.value) + repr(failure.value.__context__) + repr(failure.value.__cause__)


def test_a_store_that_another_process_holds_is_busy(tmp_path):
    engine = open_store(tmp_path / "store.db")
    hasty = sa.create_engine(engine.url, poolclass=sa.NullPool, connect_args={"timeout": 0})

    @sa.event.listens_for(hasty, "begin")
    def _(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin(), pytest.raises(LedgerError) as failure:
        Transactions(hasty).run(add("a"))
    assert (failure.value.code, failure.value.retryable) == ("ledger.busy", True)


class Serialisation(Exception):
    sqlstate = "40001"


def failing(times):
    runs = []

    def work(connection):
        runs.append(1)
        if len(runs) <= times:
            raise sa.exc.DBAPIError("update coupons", {}, Serialisation())
        return len(runs)

    return work


def test_a_serialisation_failure_is_run_again(engine):
    assert Transactions(engine).run(failing(4)) == 5


def test_a_serialisation_failure_that_stays_is_told(engine):
    with pytest.raises(LedgerError) as failure:
        Transactions(engine).run(failing(5))
    assert failure.value.code == "ledger.failed"


def test_a_commit_whose_connection_broke_is_an_open_outcome(engine):
    def break_off(connection):
        raise sa.exc.DBAPIError("COMMIT", {}, Exception(), connection_invalidated=True)

    sa.event.listen(engine, "commit", break_off)
    with pytest.raises(LedgerError) as failure:
        Transactions(engine).run(add("a"))
    assert (failure.value.code, failure.value.outcome) == ("ledger.commit_unknown", Effected.UNKNOWN)


def test_a_database_server_gets_each_work_by_itself(engine, commits):
    engine.dialect.name = "another"
    transactions = Transactions(engine)
    assert transactions.run(add("a")) == "a"

    async def main():
        return await asyncio.gather(*[transactions.async_run(add(name)) for name in "bcdef"])

    try:
        assert asyncio.run(main()) == list("bcdef")
        assert len(commits) == 6
        transactions.close()
    finally:
        engine.dialect.name = "sqlite"


def test_closing_finishes_what_waits_and_a_later_work_starts_anew(engine):
    async def main():
        transactions = Transactions(engine)
        tasks = [asyncio.create_task(transactions.async_run(add(name))) for name in "abc"]
        await asyncio.sleep(0)
        await asyncio.to_thread(transactions.close)
        await asyncio.gather(*tasks)
        await transactions.async_run(add("d"))
        await asyncio.to_thread(transactions.close)

    asyncio.run(main())
    assert names(engine) == list("abcd")


def test_a_loop_that_ended_does_not_disturb_the_writer(engine):
    transactions, gate = Transactions(engine), Gate("orphan")
    loop = asyncio.new_event_loop()
    task = loop.create_task(transactions.async_run(gate))
    while not gate.begun.is_set():
        loop.run_until_complete(asyncio.sleep(0))
    task.get_coro().close()
    loop.close()
    gate.open.set()
    assert asyncio.run(transactions.async_run(add("next"))) == "next"
    assert names(engine) == ["next", "orphan"]
    task._log_destroy_pending = False


ROOT = Path(__file__).parents[3]
FORKING = """
import asyncio, os, sys
from pathlib import Path
from tests.stores import add, open_store
from unicom_coupon_sdk.runtime.transactions import Transactions

transactions = Transactions(open_store(Path(sys.argv[1])))
transactions._lead.acquire()  # as if another thread were writing at the fork
child = os.fork()
if child == 0:
    transactions.run(add("child"))
    asyncio.run(transactions.async_run(add("child's task")))
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
transactions._lead.release()
transactions.run(add("parent"))
"""


def test_a_child_process_waits_for_no_lock_of_its_parent(tmp_path):
    path = tmp_path / "store.db"
    subprocess.run([sys.executable, "-c", FORKING, str(path)], check=True, timeout=60, cwd=ROOT)
    engine = open_store(path)
    assert names(engine) == ["child", "child's task", "parent"]
