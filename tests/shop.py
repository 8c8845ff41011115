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
)

PLATFORM = "wechatpay"


class Shop:
    """A client of the sandbox, with the props that tests of flows need."""

    def __init__(self, sandbox, **section):
        settings = sandbox.settings()
        chosen = {**settings.platforms[PLATFORM], **section}
        self.sandbox = sandbox
        self.client = CouponClient(
            settings.replaced(platforms={PLATFORM: chosen}), transport=sandbox.transport(), clock=sandbox.clock
        )
        self.setting = self.client.setting
        self._numbers = itertools.count(1)

    def template(self, **changes):
        now = self.sandbox.clock.now()
        facts = {
            "template_id": f"FLOW{next(self._numbers)}",
            "name": "流程测试",
            "benefit": AmountOff(off_fen=500),
            "valid_from": now - timedelta(days=1),
            "valid_until": now + timedelta(days=9),
            "platforms": {PLATFORM},
        }
        return CouponTemplate(**{**facts, **changes})

    def issued(self, **changes):
        template = self.template(**changes)
        request = IssueRequest(idempotency_key=template.template_id, template=template, count=1)
        return self.client.issue(request).coupons[0]

    def bound(self, **changes):
        coupon = self.issued(**changes)
        self.client.bind(BindRequest(coupon=coupon.code, platform=PLATFORM, holder=self.holder()))
        return coupon

    def holder(self, **changes):
        return Holder(**{"user": "oFlowHolder000001", "phone": "13800138000", **changes})

    def wish(self, held, **changes):
        number = next(self._numbers)
        plain = {
            "idempotency_key": f"wish-{number}",
            "platform": PLATFORM,
            "coupon": held.code,
            "order": Order(order_no=f"O{number}", amount_fen=1_000),
            "proof": ScanProof(token=self.client.show(held.coupon_id)),
        }
        return RedeemRequest(**{**plain, **changes})

    def fault(self, kind, **more):
        self.sandbox.control.add_fault(PLATFORM, kind, times=more.pop("times", 20), **more)

    def calm(self):
        self.sandbox.control.clear_faults()


@pytest.fixture
def open_shop(coupon_sandbox):
    shops = []

    def open_one(**section):
        shops.append(Shop(coupon_sandbox, **section))
        return shops[-1]

    yield open_one
    for shop in shops:
        assert shop.client.read(shop.setting.ledger.audit()) == ()
        shop.client.close()


@pytest.fixture
def shop(open_shop):
    return open_shop()
