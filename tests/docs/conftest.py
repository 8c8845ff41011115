"""One sandbox over sockets for all pages; each page gets it empty, with a ledger and a folder of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from unicom_coupon_sdk import AmountOff, BindRequest, Coupon, CouponClient, CouponTemplate, Holder, IssueRequest
from unicom_coupon_sdk.sandbox import SandboxServer


@pytest.fixture(scope="session")
def server() -> Iterator[SandboxServer]:
    with SandboxServer(platforms=["wechatpay"]) as running:
        yield running


@pytest.fixture
def folder(server: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder, current, with the configuration that a running sandbox wrote."""
    server.control.reset()
    server.control.clear_faults()
    settings = server.settings_file.read_text(encoding="utf-8")
    settings = re.sub(r'^url = "sqlite:.*"$', f'url = "sqlite:///{tmp_path}/ledger.db"', settings, flags=re.MULTILINE)
    (tmp_path / "unicom-coupon.toml").write_text(settings, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Till:
    """What a reader has before a page begins: coupons in holders' hands, and their phones."""

    def __init__(self, server: SandboxServer) -> None:
        self.server = server
        self.control = server.control
        self._made = 0

    def coupon(self, *, bound: bool = True) -> Coupon:
        """A coupon of ¥20 off ¥100; its holder is ``oHolder1``."""
        self._made += 1
        with CouponClient.from_config() as client:
            now = client.clock.now()
            template = CouponTemplate(
                template_id=f"DOCS{self._made}",
                name="满100减20",
                benefit=AmountOff(off_fen=2_000, min_spend_fen=10_000),
                valid_from=now - timedelta(minutes=1),
                valid_until=now + timedelta(days=30),
                platforms=frozenset({"wechatpay"}),
            )
            wish = IssueRequest(idempotency_key=f"docs-{self._made}", template=template, count=1)
            coupon = client.issue(wish).coupons[0]
            if bound:
                client.bind(
                    BindRequest(coupon=coupon.code, platform="wechatpay", holder=Holder.parse({"user": "oHolder1"}))
                )
            return coupon

    def scan(self, coupon: Coupon | None = None) -> str:
        """What the scanner reads from the holder's phone."""
        with CouponClient.from_config() as client:
            return client.show((coupon or self.coupon()).coupon_id).reveal()


@pytest.fixture
def till(server: SandboxServer, folder: Path) -> Till:
    return Till(server)
