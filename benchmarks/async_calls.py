"""64 signed calls at once on asyncio: our runtime beside plain ``httpx.AsyncClient`` and wechatpayv3.

Run: ``python benchmarks/async_calls.py [calls a round] [rounds]``, with the extras ``clients`` and ``test``
installed. Every party signs each request (RSA-2048, SHA-256), sends it to the same server in another process, and
verifies the answer's signature. The server is as cheap as can be and its answer is signed beforehand, so that the
clients are what is measured. The parties take turns; a ratio is the median of those within each round. Beside it
stands the processor time that a call costs this process, which busy neighbours disturb least. At least 5 times plain
httpx is wanted.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from statistics import median
from typing import NamedTuple

import httpx
import httpx_aiohttp
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.type import RequestType

from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey, RsaPublicKey
from unicom_coupon_sdk.platform.effects import HttpCall, Now, RandomBytes
from unicom_coupon_sdk.platform.wire import HttpAnswer, HttpRequest, TransportRules
from unicom_coupon_sdk.runtime import AsyncRuntime

AT_ONCE = 64
PATH = "/v3/marketing/busifavor/coupons/use"
BODY = json.dumps({"coupon_code": "1227944923343", "stock_id": "100088", "appid": "wx1234567889999"}).encode()
ANSWER = json.dumps(
    {"stock_id": "100088", "openid": "oXsd3434454567676", "wechatpay_use_time": "2026-05-20T13:29:35+08:00"}
)
SERIAL, PUBLIC_KEY_ID = "1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C", "PUB_KEY_ID_0114232134912410000000000000"
NONCE = "5K8264ILTKCH16CQ2502SI8ZNMTM67VS"

Call = Callable[[], Awaitable[object]]


class Server(asyncio.Protocol):
    """Answers each request on a kept connection with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            at = head.find(b"\r\ncontent-length:")
            whole = end + 4 + (int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0)
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            self._transport.write(self._answer)


async def serve(answer: bytes) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Server(answer), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def signed_answer(platform: RsaPrivateKey) -> bytes:
    timestamp = str(int(time.time()))
    signature = platform.sign_sha256(f"{timestamp}\n{NONCE}\n{ANSWER}\n".encode())
    lines = (
        "HTTP/1.1 200 OK",
        "Content-Type: application/json",
        f"Wechatpay-Timestamp: {timestamp}",
        f"Wechatpay-Nonce: {NONCE}",
        f"Wechatpay-Serial: {PUBLIC_KEY_ID}",
        f"Wechatpay-Signature: {base64.b64encode(signature).decode()}",
        "Wechatpay-Signature-Type: WECHATPAY2-SHA256-RSA2048",
        f"Content-Length: {len(ANSWER)}",
        "",
        ANSWER,
    )
    return "\r\n".join(lines).encode()


class Work:
    """What every party does for one call, but for the sending."""

    def __init__(self, merchant: RsaPrivateKey, platform: RsaPublicKey) -> None:
        self._merchant = merchant
        self._platform = platform

    def headers(self, timestamp: int, nonce: str) -> tuple[tuple[str, str], ...]:
        message = f"POST\n{PATH}\n{timestamp}\n{nonce}\n".encode() + BODY + b"\n"
        signature = base64.b64encode(self._merchant.sign_sha256(message)).decode()
        authorization = (
            f'WECHATPAY2-SHA256-RSA2048 mchid="1900009191",nonce_str="{nonce}",signature="{signature}",'
            f'timestamp="{timestamp}",serial_no="{SERIAL}"'
        )
        return (
            ("Content-Type", "application/json"),
            ("Accept", "application/json"),
            ("User-Agent", "benchmark"),
            ("Wechatpay-Serial", PUBLIC_KEY_ID),
            ("Authorization", authorization),
        )

    def check(self, header: Callable[[str], str | None], content: bytes) -> None:
        message = f"{header('Wechatpay-Timestamp')}\n{header('Wechatpay-Nonce')}\n".encode() + content + b"\n"
        signature = base64.b64decode(header("Wechatpay-Signature") or "")
        if not self._platform.verify_sha256(signature, message):
            raise SystemExit("an answer was not genuine")


def flow_of(work: Work, base_url: str):
    rules = TransportRules(allowed_hosts=frozenset({"127.0.0.1"}))
    now = yield from Now()
    nonce = (yield from RandomBytes(16)).hex()
    headers = work.headers(int(now.timestamp()), nonce)
    answer: HttpAnswer = yield from HttpCall(HttpRequest("POST", base_url + PATH, headers, BODY), rules)
    work.check(answer.header, answer.content)


async def by_runtime(stack: AsyncExitStack, work: Work, base_url: str, http: httpx.AsyncClient | None = None) -> Call:
    runtime = await stack.enter_async_context(AsyncRuntime(http=http))
    return lambda: runtime.run(flow_of(work, base_url))


async def by_plain_httpx(stack: AsyncExitStack, work: Work, base_url: str) -> Call:
    client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))

    async def call() -> None:
        headers = work.headers(int(time.time()), os.urandom(16).hex())
        answer = await client.post(base_url + PATH, content=BODY, headers=headers)
        work.check(answer.headers.get, answer.content)

    return call


def by_wechatpayv3(stack: AsyncExitStack, merchant: bytes, platform: bytes, base_url: str) -> Call:
    """As its users do on asyncio: the blocking client in threads. Its asynchronous one is plain httpx beneath."""
    client = WeChatPay(
        wechatpay_type=WeChatPayType.JSAPI,
        mchid="1900009191",
        private_key=merchant.decode(),
        cert_serial_no=SERIAL,
        apiv3_key="0" * 32,
        appid="wx1234567889999",
        public_key=platform.decode(),
        public_key_id=PUBLIC_KEY_ID,
    )
    core = client._core  # noqa: SLF001 - it has no setting for the address
    core._gate_way = base_url  # noqa: SLF001
    threads = stack.enter_context(ThreadPoolExecutor(AT_ONCE))
    call = partial(core.request, PATH, method=RequestType.POST, data=json.loads(BODY))
    return lambda: asyncio.get_running_loop().run_in_executor(threads, call)


class Round(NamedTuple):
    """One party's turn: calls a second, and this process's own time for one call, in microseconds."""

    rate: float
    spent_us: float


async def turn(call: Call, calls: int) -> Round:
    async def worker() -> None:
        for _ in range(calls // AT_ONCE):
            await call()

    count = calls // AT_ONCE * AT_ONCE
    started, spent = time.perf_counter(), time.process_time()
    await asyncio.gather(*[worker() for _ in range(AT_ONCE)])
    return Round(count / (time.perf_counter() - started), (time.process_time() - spent) / count * 1e6)


async def compare(
    base_url: str, merchant: bytes, platform: bytes, *, calls: int, rounds: int
) -> dict[str, list[Round]]:
    work = Work(RsaPrivateKey.load(merchant, field="merchant"), RsaPublicKey.load(platform, field="platform"))
    async with AsyncExitStack() as stack:
        over_aiohttp = await stack.enter_async_context(httpx_aiohttp.HttpxAiohttpClient(trust_env=False))
        parties = {
            "our runtime": await by_runtime(stack, work, base_url),
            "our runtime, over httpx-aiohttp": await by_runtime(stack, work, base_url, over_aiohttp),
            "plain httpx.AsyncClient": await by_plain_httpx(stack, work, base_url),
            "wechatpayv3, in 64 threads": by_wechatpayv3(stack, merchant, platform, base_url),
        }
        found: dict[str, list[Round]] = {name: [] for name in parties}
        for call in parties.values():
            await turn(call, AT_ONCE * 2)  # connections and caches
        for _ in range(rounds):
            for name, call in parties.items():
                found[name].append(await turn(call, calls))
    return found


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 640
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    keys = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
    merchant, platform = pem(keys[0]), public_pem(keys[1])
    answer = signed_answer(RsaPrivateKey.load(pem(keys[1]), field="platform"))
    signing = RsaPrivateKey.load(merchant, field="merchant")
    with subprocess.Popen([sys.executable, __file__, "--serve", answer.hex()], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        base_url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        found = asyncio.run(compare(base_url, merchant, platform, calls=calls, rounds=rounds))
        server.terminate()
    started = time.perf_counter()
    for _ in range(500):
        signing.sign_sha256(BODY)
    print(f"{'signing alone':34}{500 / (time.perf_counter() - started):8.0f} /s")
    plain = found["plain httpx.AsyncClient"]
    for name, turns in found.items():
        times = median(one.rate / other.rate for one, other in zip(turns, plain, strict=True))
        rate, spent = median(one.rate for one in turns), min(one.spent_us for one in turns)
        less = min(one.spent_us for one in plain) / spent
        print(f"{name:34}{rate:8.0f} /s{times:8.2f} × plain httpx{spent:8.0f} µs of processor{less:8.2f} × less")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(bytes.fromhex(sys.argv[2])))
    else:
        main()
