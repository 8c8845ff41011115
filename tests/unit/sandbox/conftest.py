"""A served sandbox with the test platform, a client that speaks it, and a merchant's server that takes callbacks."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.unit.sandbox.tokenpay import TokenPay, sign

from unicom_coupon_sdk.sandbox import Sandbox, SandboxServer

EMULATORS = {"tokenpay": TokenPay}


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)


def call(url: str, method: str, target: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request(method, target, body=body or None, headers=headers or {})
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


@dataclass
class Served:
    """A running sandbox from a client's side. ``platform`` and ``control`` are addresses."""

    platform: str
    control: str
    key: str
    token: str | None = None

    @classmethod
    def of(cls, document: dict[str, Any]) -> Served:
        section = document["tokenpay"]
        return cls(
            section["base_url"],
            document["control"]["base_url"],
            Path(section["key_file"]).read_text(),
            document["control"].get("token"),
        )

    def send(self, method: str, target: str, value: Any = None) -> Answer:
        """A signed request to the platform."""
        body = b"" if value is None else json.dumps(value).encode()
        return call(self.platform, method, target, body, {"Token-Signature": sign(self.key, body, "")})

    def use(self, code: str, request_no: str = "r1", **more: Any) -> Answer:
        return self.send("POST", "/v1/coupons/use", {"code": code, "request_no": request_no, **more})

    def ask(self, method: str, target: str, value: Any = None, **headers: str) -> Answer:
        """A request to the control API."""
        body = b"" if value is None else json.dumps(value).encode()
        given = {"Content-Type": "application/json"} if body else {}
        if self.token:
            given["Authorization"] = f"Bearer {self.token}"
        return call(self.control, method, target, body, given | headers)

    def told(self, method: str, target: str, value: Any = None) -> Any:
        """As ``ask``, which must succeed."""
        answer = self.ask(method, target, value)
        assert answer.status == 200, answer.content
        return answer.json()

    def coupon(self, **wish: Any) -> str:
        wish = {"platform": "tokenpay", "count": 1, "face_fen": 500} | wish
        code: str = self.told("POST", "/coupons", wish)["coupons"][0]["code"]
        return code


@dataclass
class Merchant:
    """A server that takes callbacks. ``answers`` are the statuses to give, in turn; then 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    received: list[tuple[list[tuple[str, str]], dict[str, Any]]] = field(default_factory=list)

    def events(self) -> list[str]:
        return [body["event"] for _, body in self.received]


@pytest.fixture
def merchant() -> Iterator[Merchant]:
    state = Merchant()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = state.answers.pop(0) if state.answers else 200
            state.received.append((self.headers.items(), json.loads(body)))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_request(self, code: object = "-", size: object = "-") -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_address[1]}/notify"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    with SandboxServer(emulators=EMULATORS, seed=1) as running:
        yield running


@pytest.fixture
def served(server: SandboxServer) -> Served:
    return Served.of(server.credentials)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(emulators=EMULATORS) as box:
        yield box
