"""The POS host as a process: the command, 1 000 connections with 200 in flight, and kill -9 under load."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.processes.cashiers import Cashier, Line, cashiers, content_of, spoken
from tests.unit.unionpay_pos.bench import RawTerminal, code_of
from tests.unit.unionpay_pos.host_bench import NUMBERS, OFF_FEN, HostBench, settings
from unicom_coupon_adapters.unionpay_pos import messages
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.subfields import Balance, Totals, parse_totals
from unicom_coupon_sdk.runtime.clock import OffsetClock
from unicom_coupon_sdk.sandbox import papers

LOAD = 12
"""Coupons that are new in each life of the host; those that a kill interrupted come back as well."""

LINUX = Path("/proc/self/status").exists()
COMMAND = [sys.executable, "-c", "from unicom_coupon_sdk.cli import main; main()", "pos-host"]


def configured(directory: Path) -> Path:
    told = settings(directory)
    sections = {name: getattr(told, name) for name in ("merchant", "ledger")}
    document = {name: section.model_dump(exclude_defaults=True) for name, section in sections.items()}
    path = directory / "host.toml"
    papers.write_toml(path, {**document, "platforms": told.platforms})
    return path


@contextmanager
def started(config: Path, port: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command, until the block ends."""
    command = [*COMMAND, "--config", str(config), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("ready 127.0.0.1:"), line
            yield process, int(line.rsplit(":", 1)[1])
        finally:
            process.kill()


def over(port: int, directory: Path, number: str) -> RawTerminal:
    def send(content: bytes) -> bytes | None:
        async def once() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(len(content).to_bytes(2, "big") + content)
            head = await reader.readexactly(2)
            answer = await reader.readexactly(int.from_bytes(head, "big"))
            writer.transport.abort()
            return answer

        return asyncio.run(once())

    made = RawTerminal(send, bytes.fromhex((directory / f"{number}.tmk").read_text()), number=number)
    made.sign_on()
    return made


def test_the_command_serves_and_stops_when_it_is_told(tmp_path: Path) -> None:
    with HostBench(tmp_path) as bench:
        code = bench.code()
    with started(configured(tmp_path), 0) as (process, port):
        terminal = over(port, tmp_path, NUMBERS[0])
        assert code_of(terminal.call(terminal.redeem(code))) == "00"
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    with HostBench(tmp_path) as bench:
        assert bench.state(code) == "redeemed"


def test_the_command_does_not_listen_beyond_this_machine_in_the_clear(tmp_path: Path) -> None:
    command = [*COMMAND, "--config", str(configured(tmp_path))]
    done = subprocess.run([*command, "--listen", "0.0.0.0"], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode != 0
    assert "TLS" in done.stdout + done.stderr


def memory_of(process: int, name: str) -> int:
    """Bytes of a process's memory: ``VmRSS`` now, ``VmHWM`` at the most."""
    told = Path(f"/proc/{process}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in told.splitlines() if line.startswith(name + ":"))


@pytest.fixture
def _many_files() -> Iterator[None]:
    """A thousand sockets at this end; the command inherits the limit."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4_096:
        pytest.skip(f"this machine allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4_096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.usefixtures("_many_files")
def test_a_thousand_connections_with_two_hundred_in_flight_lose_and_double_nothing(tmp_path: Path) -> None:
    """Eight hundred have sent half a frame and wait; two hundred redeem at once, thrice over, in bounded memory."""
    with HostBench(tmp_path) as bench:
        codes = [coupon.code.reveal() for coupon in bench.coupons(600)]
    with started(configured(tmp_path), 0) as (process, port):
        terminal = over(port, tmp_path, NUMBERS[0])
        waves = [[content_of(terminal, terminal.redeem(code)) for code in codes[at : at + 200]] for at in (0, 200, 400)]
        at_rest = memory_of(process.pid, "VmRSS") if LINUX else 0

        async def storm() -> list[Message | None]:
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(800)]
            for _, writer in idle:
                writer.write(b"\x20\x00" + bytes(4_000))
            told = []
            for contents in waves:
                told += await asyncio.gather(*(spoken(port, content) for content in contents))
            for _, writer in idle:
                writer.transport.abort()
            return told

        told = asyncio.run(storm())
        most = memory_of(process.pid, "VmHWM") if LINUX else 0
    assert [code_of(answer) for answer in told] == ["00"] * 600
    assert most - at_rest < 64 * 1024 * 1024, f"{at_rest:,} bytes at rest, {most:,} at the most"
    with HostBench(tmp_path) as bench:
        assert {bench.state(code) for code in codes} == {"redeemed"}


NURSERY = """
import os, signal, sys
import unicom_coupon_adapters.unionpay_pos.host
from unicom_coupon_sdk.cli import main, pos_host, sandbox, verbs
from unicom_coupon_sdk.client import AsyncCouponClient
from unicom_coupon_sdk.runtime import asynchronous
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in sys.stdin:
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        main()
"""
"""The command again and again, with its imports made once: a life begins in a fraction of a second."""


class Nursery:
    """Gives the host one life after another."""

    def __init__(self, config: Path) -> None:
        command = [sys.executable, "-c", NURSERY, "pos-host", "--config", str(config), "--port", "0"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def born(self) -> tuple[int, int]:
        """A new host: its process and its port."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        process = int(self._process.stdout.readline())
        line = self._process.stdout.readline()
        assert line.startswith("ready 127.0.0.1:"), line
        return process, int(line.rsplit(":", 1)[1])

    def close(self) -> None:
        self._process.communicate()


async def killed_under(some: list[Cashier], *, port: int, process: int, after: int, later_s: float) -> None:
    """Let the cashiers work, and kill the host a moment after they have ``after`` answers."""
    loop = asyncio.get_running_loop()
    line = Line(port, after, lambda: loop.call_later(later_s, os.kill, process, signal.SIGKILL))
    await asyncio.gather(*(one.go(line) for one in some))
    assert line.heard >= after


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a host's lives are forked")
def test_a_host_that_is_killed_fifty_times_under_load_keeps_every_promise(tmp_path: Path) -> None:
    """Redemptions, voids and reversals, some voids sent twice, in flight at each of the kills."""
    chance, kills = random.Random(8583), int(os.environ.get("POS_KILLS", "50"))
    with HostBench(tmp_path) as bench:
        codes = [coupon.code.reveal() for coupon in bench.coupons(LOAD * kills)]
        terminals = [bench.terminal(number) for number in NUMBERS]
    everyone, interrupted = cashiers(terminals, codes, chance), Counter[str]()
    nursery = Nursery(configured(tmp_path))
    try:
        for life in range(kills):
            process, port = nursery.born()
            some = [one for one in everyone[: LOAD * (life + 1)] if not one.is_over]
            asyncio.run(
                killed_under(
                    some, port=port, process=process, after=chance.randint(1, LOAD), later_s=chance.uniform(0, 0.03)
                )
            )
            interrupted += Counter(one.owed.text(3) for one in some if one.owed is not None)
    finally:
        nursery.close()
    assert interrupted["000000"] > kills, "redemptions were in flight at the kills"
    assert interrupted["200000"] > kills // 5, "and voids"
    later = OffsetClock(offset=timedelta(seconds=400))  # by then nothing can be on its way any more
    with HostBench(tmp_path, clock=later) as bench:
        for terminal in terminals:
            terminal.send = bench.send
            terminal.sign_on()
        recovery = bench.run(bench.client.recover())  # as the host does by itself every minute
        assert (recovery.still_open, recovery.errors) == (0, ())
        asyncio.run(all_over(everyone, Line(bench.port)))
        assert bench.run(bench.host.run_cancels()) == 0
        assert {one.code: bench.state(one.code) for one in everyone} == {one.code: one.promised for one in everyone}
        for terminal, number in zip(terminals, NUMBERS, strict=True):
            mine = [one for one in everyone if one.terminal is terminal]
            assert_settles(terminal, mine)
            assert bench.run(bench.host.settled(number, batch=1)) is not None


async def all_over(everyone: list[Cashier], line: Line) -> None:
    at_once = asyncio.Semaphore(50)

    async def end(one: Cashier) -> None:
        async with at_once:
            await one.go(line)
            assert one.is_over

    await asyncio.gather(*map(end, everyone))


def assert_settles(terminal: RawTerminal, mine: list[Cashier]) -> None:
    """The cashiers' own sums are the host's: nothing is lost there, and nothing doubled."""
    debits, credits_ = sum(one.redeemed for one in mine), sum(one.voided for one in mine)
    totals = Totals(debit_fen=debits * OFF_FEN, debits=debits, credit_fen=credits_ * OFF_FEN, credits=credits_)
    answer = terminal.manage(messages.settlement(terminal.card, sequence=terminal.next(), domestic=totals))
    ours, _ = parse_totals(answer.text(48))
    assert ours == replace(totals, balance=Balance.BALANCED)
