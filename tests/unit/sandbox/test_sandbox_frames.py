"""Frames in the sandbox: the listener's bounds, how an answer may go out, and the transport in process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from unicom_coupon_sdk.errors import PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.platform.effects import FrameCall
from unicom_coupon_sdk.platform.wire import FrameEndpoint
from unicom_coupon_sdk.runtime.frames import AsyncFrames
from unicom_coupon_sdk.sandbox import Sandbox
from unicom_coupon_sdk.sandbox.emulator import FRAME_METHOD, FrameAnswer, Received
from unicom_coupon_sdk.sandbox.frame_server import FrameListener
from unicom_coupon_sdk.sandbox.server import Reply

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bytes]]


def framed(content: bytes) -> bytes:
    return len(content).to_bytes(2, "big") + content


def played(received: Received, line: str) -> Reply:
    assert (received.method, line) == (FRAME_METHOD, FRAME_METHOD)
    match received.content:
        case b"half":
            return Reply(FrameAnswer.of(b"answer"), is_half=True)
        case b"drop":
            return Reply(None)
        case b"silent":
            return Reply(None, is_silent=True)
        case b"late":
            return Reply(FrameAnswer.of(b"late"), delay_s=0.05)
        case b"ahead":
            return Reply(FrameAnswer.of(b"new"), ahead=(b"old",))
        case b"slow":
            return Reply(FrameAnswer.of(b"slow"), pace_s=0.001)
        case content:
            return Reply(FrameAnswer.of(content.upper()))


def talk(work: Talk, **options: float) -> bytes:
    async def run() -> bytes:
        listener = FrameListener(played, **options)  # type: ignore[arg-type]
        port = await listener.start("127.0.0.1", 0)
        assert listener.base_url == f"tcp://127.0.0.1:{port}"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            async with asyncio.timeout(5):
                return await work(reader, writer)
        finally:
            writer.close()
            await listener.close()

    return asyncio.run(run())


def saying(*chunks: bytes, count: int = -1) -> Talk:
    async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)
        return await (reader.read() if count < 0 else reader.readexactly(count))

    return work


def test_frames_are_answered_wherever_the_stream_was_cut() -> None:
    stream = framed(b"one") + framed(b"two")
    assert talk(saying(*(bytes([byte]) for byte in stream), count=10)) == framed(b"ONE") + framed(b"TWO")
    assert talk(saying(stream, count=10)) == framed(b"ONE") + framed(b"TWO")


def test_a_late_answer_holds_up_no_other() -> None:
    assert talk(saying(framed(b"late") + framed(b"now"), count=11)) == framed(b"NOW") + framed(b"late")


def test_answers_may_be_halved_dropped_kept_back_doubled_or_dripped() -> None:
    assert talk(saying(framed(b"half"))) == framed(b"answer")[:4]
    assert talk(saying(framed(b"drop"))) == b""
    assert talk(saying(framed(b"silent") + framed(b"x"), count=3)) == framed(b"X")
    assert talk(saying(framed(b"ahead"), count=10)) == framed(b"old") + framed(b"new")
    assert talk(saying(framed(b"slow"), count=6)) == framed(b"slow")


def test_a_peer_that_has_finished_sending_gets_its_late_answer_and_then_the_end() -> None:
    async def work(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(framed(b"late"))
        writer.write_eof()
        return await reader.read()

    assert talk(work) == framed(b"late")


@pytest.mark.parametrize("length", [b"\x00\x00", b"\xff\xff"])
def test_impossible_lengths_close_the_connection(length: bytes) -> None:
    assert talk(saying(length)) == b""


def test_peers_that_begin_a_frame_and_stop_or_never_begin_are_closed() -> None:
    for begun in (b"\x00\x09abc", b""):
        try:
            assert talk(saying(begun), frame_s=0.01, idle_s=0.01) == b""
        except ConnectionResetError:
            continue


def test_the_frame_transport_of_the_runtime_understands_the_listener() -> None:
    async def run() -> bytes:
        listener = FrameListener(played)
        port = await listener.start("127.0.0.1", 0)
        endpoint = FrameEndpoint("127.0.0.1", port, tls=False)
        try:
            return await AsyncFrames().send(
                FrameCall(endpoint, b"ahead", timeout_s=5, accepts=lambda frame: frame == b"new")
            )
        finally:
            await listener.close()

    assert asyncio.run(run()) == b"new"


def call(content: bytes, *, host: str = "unionpay-pos.sandbox.invalid", timeout_s: float = 60) -> FrameCall:
    return FrameCall(FrameEndpoint(host, 8583, tls=False), content, timeout_s=timeout_s)


def test_in_process_a_host_that_is_nobodys_was_not_reached() -> None:
    with Sandbox(platforms=["wechatpay"]) as sandbox:
        for host in ("nobody.invalid", "wechatpay.sandbox.invalid"):
            with pytest.raises(PlatformUnavailable):
                sandbox.frames().send(call(b"x", host=host))


def test_in_process_a_frame_that_is_dropped_has_no_answer_and_is_recorded() -> None:
    with Sandbox(platforms=["unionpay_pos"]) as sandbox:
        with pytest.raises(PlatformUnknown):
            sandbox.frames().send(call(b"x"))
        recorded = sandbox.control.requests(platform="unionpay_pos")
        assert [(one["request_line"], one["status"], one["headers"]) for one in recorded] == [("FRAME", None, [])]
