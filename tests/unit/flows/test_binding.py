import pytest

from unicom_coupon_sdk import BindRequest, CouponState, CouponStateError, IssueRequest, PlatformError, PlatformRefused

PLATFORM = "wechatpay"


def request(shop, coupon, **changes):
    return BindRequest(**{"coupon": coupon.code, "platform": PLATFORM, "holder": shop.holder(), **changes})


def test_a_binding_that_the_platform_refuses_leaves_the_coupon_to_others(shop):
    coupon = shop.issued()
    shop.fault("error", code="INVALID_REQUEST")
    with pytest.raises(PlatformRefused):
        shop.client.bind(request(shop, coupon))
    shop.calm()
    other = shop.holder(user="oAnotherHolder0001", phone="13900139000")
    assert not shop.client.bind(request(shop, coupon, holder=other)).pending


def test_a_binding_whose_answer_was_lost_is_carried_on_with_the_same_number(shop):
    coupon = shop.issued()
    shop.fault("drop_after")
    with pytest.raises(PlatformError):
        shop.client.bind(request(shop, coupon))
    shop.calm()
    other = shop.holder(user="oAnotherHolder0001", phone="13900139000")
    with pytest.raises(CouponStateError, match=r"coupon\.bound_to_another"):
        shop.client.bind(request(shop, coupon, holder=other))
    shop.client.bind(request(shop, coupon))
    assert shop.client.coupon(coupon.coupon_id).state is CouponState.AVAILABLE


def test_a_coupon_is_bound_only_where_its_template_is_listed(shop):
    coupon = shop.issued()
    template = shop.template()
    shop.fault("drop_before")
    with pytest.raises(PlatformError):
        shop.client.issue(IssueRequest(idempotency_key="x", template=template, count=1))
    shop.calm()
    half = shop.client.read(shop.setting.ledger.unfinished_batches(limit=9, before=shop.sandbox.clock.now()))[0]
    with pytest.raises(CouponStateError, match=r"coupon\.not_listed"):
        shop.client.bind(request(shop, half.coupons[0]))
    assert shop.client.bind(request(shop, coupon)).coupon_id == coupon.coupon_id
