"""A POS host over a ledger of its own, and terminals that call it, with sockets or without."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
from collections.abc import Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.unit.unionpay_pos.bench import RawTerminal

from unicom_coupon_adapters.unionpay_pos.frame_errors import FrameError
from unicom_coupon_adapters.unionpay_pos.host import UnionPayPosHost
from unicom_coupon_sdk.client import AsyncCouponClient
from unicom_coupon_sdk.config import Settings
from unicom_coupon_sdk.domain.coupon import AmountOff, Coupon, CouponTemplate
from unicom_coupon_sdk.domain.order import Holder
from unicom_coupon_sdk.domain.requests import BindRequest, IssueRequest
from unicom_coupon_sdk.runtime.clock import Clock

T = TypeVar("T")
MERCHANT = "999290054110001"
NUMBERS = ("10000001", "10000002")
OFF_FEN = 2_000


def settings(directory: Path, *, role: str = "host", port: int = 8583, ledger: str = "host.db") -> Settings:
    key = directory / "ledger.key"
    if not key.exists():
        key.write_bytes(base64.b64encode(os.urandom(32)))
    terminals = {}
    for number in NUMBERS:
        path = directory / f"{number}.tmk"
        if not path.exists():
            path.write_text(os.urandom(16).hex())
        terminals[number] = {"serial": f"N{number}", "tmk": f"file:{path}"}
    section = {"role": role, "host": "127.0.0.1", "port": port, "tls": False, "merchant_no": MERCHANT}
    return Settings.parse(
        {
            "merchant": {"id": "partner"},
            "ledger": {"url": f"sqlite:///{directory / ledger}", "master_key": f"file:{key}"},
            "platforms": {"unionpay_pos": {**section, "terminals": terminals}},
        }
    )


class HostBench:
    """The host's loop runs in a thread of its own, so that terminals may block."""

    def __init__(self, directory: Path, *, clock: Clock | None = None, **options: Any) -> None:
        self.directory = directory
        self._clock = clock
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.client = self.run(self._open())
        self.host = self.run(self._host(options))
        self.port = self.run(self.host.start("127.0.0.1", 0))
        self._templates = 0

    async def _open(self) -> AsyncCouponClient:
        return AsyncCouponClient(settings(self.directory), clock=self._clock)

    async def _host(self, options: dict[str, Any]) -> UnionPayPosHost:
        return UnionPayPosHost(self.client, **options)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def terminal(self, number: str = NUMBERS[0]) -> RawTerminal:
        tmk = bytes.fromhex((self.directory / f"{number}.tmk").read_text())
        made = RawTerminal(self.send, tmk, number=number)
        made.sign_on()
        return made

    def send(self, content: bytes) -> bytes | None:
        try:
            return self.run(self.host.answer(content))
        except FrameError:
            return None

    def coupons(self, count: int = 1, *, bound: bool = True, **changes: Any) -> tuple[Coupon, ...]:
        self._templates += 1
        now = self.client.clock.now()
        template = CouponTemplate(
            **{
                "template_id": f"T{self._templates}",
                "name": "满减券",
                "benefit": AmountOff(off_fen=OFF_FEN, min_spend_fen=5_000),
                "valid_from": now - timedelta(hours=1),
                "valid_until": now + timedelta(days=3),
                "platforms": frozenset({"unionpay_pos"}),
                **changes,
            }
        )
        wish = IssueRequest(idempotency_key=f"i{self._templates}", template=template, count=count)
        made = self.run(self.client.issue(wish)).coupons
        for number, coupon in enumerate(made if bound else ()):
            holder = Holder.parse({"phone": f"138{number:08d}"})
            self.run(self.client.bind(BindRequest(coupon=coupon.code, platform="unionpay_pos", holder=holder)))
        return made

    def code(self, **changes: Any) -> str:
        return self.coupons(**changes)[0].code.reveal()

    def state(self, code: str) -> str:
        from unicom_coupon_sdk.domain.code import CouponCode

        found = self.run(self.client.read(self.client.setting.ledger.coupon_of_code(CouponCode(code))))
        return found.state.value

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.run(self.client.read(self.client.setting.ledger.audit())) == ()
        self.run(self.host.close(drain_s=1))
        self.run(self.client.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
