"""Transactions of the ledger, gathered: many callers' work in one durable commit.

SQLite writes one transaction at a time and each ends in an fsync, so under load the fsync is what costs. Works that
wait while another commit is under way are run together in the next transaction, each in a savepoint of its own: one
that fails is undone alone, the others are not touched, and nobody is answered before the commit is durable. A work
that waits alone runs without savepoint and without delay.

Blocking callers take turns at leading: whoever holds the lead runs the oldest works, its own among them, and those
who waited find theirs done. Asyncio callers have a thread that leads for them. Works are taken in the order of
arrival, at most ``LARGEST_BATCH`` at once, so no one starves. A database server writes many transactions at once
and its row locks would turn long batches into deadlocks, so there each work has its own connection and transaction,
on up to ``LANES`` threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from unicom_coupon_sdk.errors import Effected, LedgerError
from unicom_coupon_sdk.runtime import forks

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPICursor

LARGEST_BATCH = 64
LANES = 8
_ATTEMPTS = 5
_SERIALISATION_STATES = frozenset({"40001", "40P01"})
_SQLITE_BUSY = 5
_MOVED = "ledger.moved"  # another transaction was faster: nothing was written, and the work may run again

T = TypeVar("T")


class _Job:
    """One work and, once it is done, its value or error."""

    __slots__ = ("error", "future", "is_done", "is_settled", "is_taken", "loop", "value", "work")

    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self.work = work
        self.value: Any = None
        self.error: BaseException | None = None
        self.is_taken = False
        self.is_done = False
        self.is_settled = False
        self.loop: asyncio.AbstractEventLoop | None = None
        self.future: asyncio.Future[None] | None = None

    def outcome(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


class Transactions:
    """Runs works on ``engine``, whose ``begin`` gives a write transaction. Thread-safe, fork-safe, for any event loop.

    Raises what the work raises; the store's own errors come as ``LedgerError`` without the values that they carry.
    After a serialisation failure the work is run again, up to five times.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_gathering = engine.dialect.name == "sqlite"
        self._lanes = 1 if self._is_gathering else LANES
        self._reset()
        forks.watch(self)

    def _reset(self) -> None:
        self._queue: deque[_Job] = deque()
        self._mutex = threading.Lock()
        self._lead = threading.Lock()
        self._draining = 0
        self._executor: ThreadPoolExecutor | None = None

    def after_fork(self) -> None:
        """In a child: the parent's threads and what they were doing are not ours."""
        self._reset()

    def run(self, work: Callable[[Connection], T]) -> T:
        """``work``'s result, committed. Blocks."""
        job = _Job(work)
        if not self._is_gathering:
            self._alone(job)
        else:
            with self._mutex:
                self._queue.append(job)
            try:
                with self._lead:
                    while not job.is_done:
                        self._next_batch(own=job)
            except BaseException:
                self._withdraw(job)
                raise
        result: T = job.outcome()
        return result

    async def async_run(self, work: Callable[[Connection], T]) -> T:
        """``work``'s result, committed.

        When cancelled before it began, it never runs; when cancelled in the middle, it is finished before
        ``CancelledError`` goes on. So whoever is cancelled leaves a whole transaction behind, or none.
        """
        job = _Job(work)
        job.loop = asyncio.get_running_loop()
        job.future = job.loop.create_future()
        self._submit(job)
        try:
            await job.future
        except asyncio.CancelledError:
            if not self._withdraw(job):
                await self._finished(job)
            raise
        result: T = job.outcome()
        return result

    async def _finished(self, job: _Job) -> None:
        while not job.is_settled:
            job.future = asyncio.get_running_loop().create_future()
            try:
                await job.future
            except asyncio.CancelledError:
                continue  # cancelled again: the first cancellation is raised when the work is done

    def _submit(self, job: _Job) -> None:
        with self._mutex:
            self._queue.append(job)
            if self._draining >= self._lanes:
                return
            self._draining += 1
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self._lanes, thread_name_prefix="unicom-coupon-ledger")
            self._executor.submit(self._drain)

    def _withdraw(self, job: _Job) -> bool:
        with self._mutex:
            if job.is_taken:
                return False
            if job in self._queue:
                self._queue.remove(job)
            return True

    def _drain(self) -> None:
        while True:
            if self._is_gathering:
                with self._lead:
                    self._next_batch(own=None)
            elif batch := self._take(1):
                self._alone(batch[0])
                _answer(batch)
            with self._mutex:
                if not self._queue:
                    self._draining -= 1
                    return

    def _take(self, most: int) -> list[_Job]:
        with self._mutex:
            batch = [self._queue.popleft() for _ in range(min(most, len(self._queue)))]
            for job in batch:
                job.is_taken = True
        return batch

    def _put_back(self, batch: Sequence[_Job]) -> None:
        with self._mutex:
            for job in reversed(batch):
                job.is_taken, job.value, job.error = False, None, None
                self._queue.appendleft(job)

    def _next_batch(self, *, own: _Job | None) -> None:
        """Run the oldest works. ``own`` is the leader's: what interrupts this thread ends that one, not the others."""
        batch = self._take(LARGEST_BATCH)
        if not batch:
            return
        try:
            if len(batch) == 1 or not self._together(batch):
                for job in batch:
                    self._alone(job)
        except BaseException as error:
            left = [job for job in batch if not job.is_done and job is not own]
            if own is not None:
                self._put_back(left)
                raise
            for job in left:  # raised by a work, since nothing interrupts this thread
                job.error, job.is_done = error, True
        finally:
            _answer([job for job in batch if job.is_done])

    def _together(self, batch: Sequence[_Job]) -> bool:
        """Run ``batch`` in one transaction; ``False`` when that failed, was undone, and each must be run alone."""
        is_committing = False
        try:
            with self._engine.begin() as connection:
                cursor = connection.connection.cursor()
                for job in batch:
                    _in_savepoint(job, connection, cursor)
                is_committing = True
        except Exception:  # noqa: BLE001 - not lost: each work meets its own failure when it is run alone
            for job in batch:
                job.value, job.error = None, None
            return False
        except BaseException:
            if is_committing:  # interrupted while the commit was on its way: nobody can say which it was
                for job in batch:
                    job.error, job.is_done = _commit_unknown(), True
            raise
        for job in batch:
            job.is_done = True
        return True

    def _alone(self, job: _Job) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            is_committing = False
            try:
                with self._engine.begin() as connection:
                    value = job.work(connection)
                    is_committing = True
            except Exception as error:  # noqa: BLE001 - it is the caller's, and raised there
                if attempt < _ATTEMPTS and _is_serialisation(error):
                    continue
                job.error = _explained(error, is_committing=is_committing)
            else:
                job.value = value
            job.is_done = True
            return

    def close(self) -> None:
        """Finish what waits, then end the threads. A later call starts anew."""
        with self._mutex:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=True)


def _in_savepoint(job: _Job, connection: Connection, cursor: DBAPICursor) -> None:
    # The driver's own cursor: SQLAlchemy's nested transaction costs as much as three statements of a work.
    cursor.execute("SAVEPOINT work")
    try:
        job.value = job.work(connection)
    except Exception as error:  # noqa: BLE001 - it is the caller's, and raised there
        cursor.execute("ROLLBACK TO work")
        job.error = _explained(error, is_committing=False)
    cursor.execute("RELEASE work")


def _answer(batch: Sequence[_Job]) -> None:
    """Wake the tasks whose works are done, with one call for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in batch:
        if job.loop is not None:
            by_loop.setdefault(job.loop, []).append(job)
    for loop, jobs in by_loop.items():
        if not loop.is_closed():
            try:
                loop.call_soon_threadsafe(_settle, jobs)
            except RuntimeError:
                continue  # closed in this very moment: no one is left to tell


def _settle(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.is_settled = True
        if job.future is not None and not job.future.done():
            job.future.set_result(None)


def _is_serialisation(error: Exception) -> bool:
    from sqlalchemy.exc import DBAPIError

    if isinstance(error, LedgerError):
        return error.code == _MOVED
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _SERIALISATION_STATES


def _explained(error: Exception, *, is_committing: bool) -> Exception:
    """``error`` as the caller may see it: SQLAlchemy's own text quotes statements with their values."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    if not isinstance(error, SQLAlchemyError):
        return error
    origin = error.orig if isinstance(error, DBAPIError) else error
    if is_committing and isinstance(error, DBAPIError) and error.connection_invalidated:
        return _commit_unknown()
    if getattr(origin, "sqlite_errorcode", 0) & 0xFF == _SQLITE_BUSY:
        busy = LedgerError("ledger.busy")
        busy.retryable = True
        return busy
    return LedgerError("ledger.failed", reason=type(origin).__name__)


def _commit_unknown() -> LedgerError:
    error = LedgerError("ledger.commit_unknown")
    error.outcome = Effected.UNKNOWN
    return error
