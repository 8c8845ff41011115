"""Every HTTP transport that a runtime may have, behind one blocking ``send``."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator

import httpx
import httpx_aiohttp
import pytest

from unicom_coupon_sdk.platform.effects import HttpCall
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.runtime.http import AsyncHttp, BlockingHttp

OURS = ("blocking", "asyncio")
CALLERS = ("httpx.Client", "httpx.AsyncClient", "httpx-aiohttp")


class Sender:
    """One transport, kept for a whole test, so that its connections are."""

    def __init__(self, kind: str, *, tls: ssl.SSLContext | None = None) -> None:
        self.kind = kind
        self.is_ours = kind in OURS
        self._runner = asyncio.Runner()
        self._ends: list[Callable[[], object]] = []
        match kind:
            case "blocking":
                blocking = BlockingHttp(tls=tls)
                self._send: Callable[[HttpCall], HttpAnswer] = blocking.send
                self._ends.append(blocking.close)
            case "httpx.Client":
                client = httpx.Client(verify=tls or True, trust_env=False)
                self._send = BlockingHttp(client).send
                self._ends.append(client.close)
            case "asyncio":
                asynchronous = AsyncHttp(tls=tls)
                self._send = lambda call: self._runner.run(asynchronous.send(call))
            case _:
                kinds = {"httpx.AsyncClient": httpx.AsyncClient, "httpx-aiohttp": httpx_aiohttp.HttpxAiohttpClient}
                theirs = kinds[kind](verify=tls or True, trust_env=False)
                over = AsyncHttp(theirs)
                self._send = lambda call: self._runner.run(over.send(call))
                self._ends.append(lambda: self._runner.run(theirs.aclose()))

    def __call__(self, call: HttpCall) -> HttpAnswer:
        return self._send(call)

    def close(self) -> None:
        for end in self._ends:
            end()
        self._runner.close()


@pytest.fixture(params=(*OURS, *CALLERS))
def send(request: pytest.FixtureRequest) -> Iterator[Sender]:
    """Each transport in turn."""
    sender = Sender(request.param)
    yield sender
    sender.close()


@pytest.fixture(params=OURS)
def our_send(request: pytest.FixtureRequest) -> Iterator[Sender]:
    """Each of our own transports in turn."""
    sender = Sender(request.param)
    yield sender
    sender.close()


@pytest.fixture(params=CALLERS)
def their_send(request: pytest.FixtureRequest) -> Iterator[Sender]:
    """Each kind of client that a caller may pass, in turn."""
    sender = Sender(request.param)
    yield sender
    sender.close()


@pytest.fixture(params=OURS)
def our_sender(request: pytest.FixtureRequest) -> Iterator[Callable[[ssl.SSLContext], Sender]]:
    """Makes one of our own transports with a TLS context."""
    made: list[Sender] = []

    def make(tls: ssl.SSLContext) -> Sender:
        made.append(Sender(request.param, tls=tls))
        return made[-1]

    yield make
    for sender in made:
        sender.close()
