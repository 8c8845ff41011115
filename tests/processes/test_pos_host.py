"""The POS host as a process: the command, 1 000 connections with 200 in flight, and kill -9 under load."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.unionpay_pos.bench import RawTerminal, code_of
from tests.unit.unionpay_pos.host_bench import NUMBERS, HostBench, settings
from unicom_coupon_adapters.unionpay_pos.codec import pack_unsealed, unpack
from unicom_coupon_adapters.unionpay_pos.framing import Frame, header_of
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_sdk.sandbox import papers

COMMAND = [sys.executable, "-c", "from unicom_coupon_sdk.cli import main; main()", "pos-host"]
TPDU = bytes.fromhex("6000030000")


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


async def spoken(port: int, content: bytes) -> Message | None:
    try:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(len(content).to_bytes(2, "big") + content)
                head = await reader.readexactly(2)
                return unpack(Frame.parse(await reader.readexactly(int.from_bytes(head, "big"))).body)
            finally:
                writer.transport.abort()
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        return None


def content_of(terminal: RawTerminal, message: Message) -> bytes:
    assert terminal.key is not None
    return Frame(TPDU, header_of(), terminal.key.seal(pack_unsealed(message))).content


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


@pytest.mark.slow
def test_a_thousand_connections_with_two_hundred_in_flight_lose_and_double_nothing(tmp_path: Path) -> None:
    with HostBench(tmp_path) as bench:
        terminal = bench.terminal()
        codes = [coupon.code.reveal() for coupon in bench.coupons(200)]
        contents = [content_of(terminal, terminal.redeem(code)) for code in codes]

        async def storm() -> list[Message | None]:
            idle = [await asyncio.open_connection("127.0.0.1", bench.port) for _ in range(800)]
            told = await asyncio.gather(*(spoken(bench.port, content) for content in contents))
            for _, writer in idle:
                writer.transport.abort()
            return list(told)

        told = asyncio.run(storm())
        assert [code_of(answer) for answer in told] == ["00"] * 200
        assert {bench.state(code) for code in codes} == {"redeemed"}


async def killed_under(contents: list[bytes], *, port: int, process: subprocess.Popen[str]) -> list[Message | None]:
    calls = [asyncio.create_task(spoken(port, content)) for content in contents]
    await asyncio.sleep(0.15)
    process.kill()
    return list(await asyncio.gather(*calls))


@pytest.mark.slow
def test_a_host_that_is_killed_under_load_has_lost_nothing_that_it_answered(tmp_path: Path) -> None:
    with HostBench(tmp_path) as bench:
        codes = [coupon.code.reveal() for coupon in bench.coupons(60)]
    config = configured(tmp_path)
    answered: set[str] = set()
    rounds = int(os.environ.get("POS_KILLS", "3"))
    for round_ in range(rounds):
        some = codes[round_ * 60 // rounds : (round_ + 1) * 60 // rounds]
        with started(config, 0) as (process, port):
            terminal = over(port, tmp_path, NUMBERS[0])
            terminal.trace = 1_000 * (round_ + 1)
            contents = [content_of(terminal, terminal.redeem(code)) for code in some]
            told = asyncio.run(killed_under(contents, port=port, process=process))
        pairs = zip(some, told, strict=True)
        answered |= {code for code, answer in pairs if answer is not None and answer.fields[39] == "00"}
    with HostBench(tmp_path) as bench:
        assert {bench.state(code) for code in answered} <= {"redeemed"}
