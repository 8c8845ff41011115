import itertools
from datetime import timedelta

import pytest

from unicom_coupon_sdk import (
    AmountOff,
    BindRequest,
    CouponClient,
    CouponTemplate,
    Holder,
    IssueRequest,
    Order,
    RedeemRequest,
    ScanProof,
    Settings,
)
from unicom_coupon_sdk.platform import registry
from unicom_coupon_sdk.sandbox import SandboxServer

PLATFORMS = tuple(name for name in ("alipay", "wechatpay") if name in registry.available())
"""Those that take a scanned token and any number of requests at once; a POS line or a bank's SMS has its own tests."""


class Shop:
    """A sandbox over real sockets, and a ledger file that any process may open."""

    def __init__(self, server):
        self.server = server
        self.settings_file = server.settings_file
        self._numbers = itertools.count(1)

    def client(self):
        return CouponClient(Settings.load(self.settings_file))

    def coupons(self, count):
        """Coupons bound to their holders on every platform."""
        with self.client() as client:
            now = client.clock.now()
            template = CouponTemplate(
                template_id=f"SHOP{next(self._numbers)}",
                name="多进程测试券",
                benefit=AmountOff(off_fen=500),
                valid_from=now - timedelta(minutes=1),
                valid_until=now + timedelta(days=30),
                platforms=frozenset(PLATFORMS),
            )
            request = IssueRequest(idempotency_key=template.template_id, template=template, count=count)
            made = client.issue(request).coupons
            for number, coupon in enumerate(made):
                holder = Holder(user=f"oShopHolder{number:08d}", phone=f"139{number:08d}")
                for platform in PLATFORMS:
                    client.bind(BindRequest(coupon=coupon.code, platform=platform, holder=holder))
        return made

    def is_used(self, coupon):
        return [
            platform
            for platform in PLATFORMS
            if self.server.control.coupon(platform, coupon.code.reveal())["state"] in {"USED", "used"}
        ]


def wish(client, coupon, *, key, platform=PLATFORMS[0]):
    return RedeemRequest(
        idempotency_key=key,
        platform=platform,
        coupon=coupon.code,
        order=Order(order_no="O" + key.replace("-", "_"), amount_fen=10_000),
        proof=ScanProof(token=client.show(coupon.coupon_id)),
    )


@pytest.fixture
def shop(tmp_path):
    with SandboxServer(tmp_path / "sandbox", port_base=0, platforms=PLATFORMS) as server:
        yield Shop(server)
