"""Notifications through the flow: verified, once, and never overwriting what the ledger knows."""

import dataclasses

import pytest

from unicom_coupon_sdk import BindRequest, CouponState, ForgedMessage, NewsKind, OperationState, ValidationError
from unicom_coupon_sdk.domain.events import VerifiedEvent
from unicom_coupon_sdk.flows.notify import notify

PLATFORM = "wechatpay"


class Ear:
    """The merchant's callback address: keeps what the platform sends."""

    def __init__(self):
        self.heard = []

    def __call__(self, request):
        self.heard.append(request)
        return


@pytest.fixture
def ear(coupon_sandbox):
    found = Ear()
    coupon_sandbox.merchant = found
    coupon_sandbox.control.register_callback(PLATFORM, "https://merchant.invalid/news")
    return found


def deliver(sandbox, ear):
    ear.heard.clear()
    sandbox.control.deliver_notifications()
    assert ear.heard
    return ear.heard[-1]


def taken_by_holder(shop):
    """A coupon that its holder claimed on an H5 page; our side only knows that it was offered."""
    coupon = shop.issued()
    binding = shop.client.bind(BindRequest(coupon=coupon.code, platform=PLATFORM, holder=shop.holder()))
    assert binding.pending
    shop.sandbox.control.deliver(PLATFORM, kind="h5", url=binding.refs["url"])
    return coupon


def test_news_of_a_delivery_makes_the_coupon_usable(open_shop, coupon_sandbox, ear):
    shop = open_shop(delivery="h5")
    coupon = taken_by_holder(shop)
    assert shop.client.coupon(coupon.coupon_id).state is CouponState.ISSUED
    news = deliver(coupon_sandbox, ear)
    notice = shop.client.receive(PLATFORM, headers=news.headers, body=news.content)
    assert notice.event.kind is NewsKind.DELIVERED
    assert not notice.is_repeat
    assert notice.acknowledgement.status in {200, 204}
    assert shop.client.coupon(coupon.coupon_id).state is CouponState.AVAILABLE
    assert shop.client.redeem(shop.wish(coupon)).state is OperationState.DONE


def test_the_same_news_again_is_acknowledged_and_does_nothing(open_shop, coupon_sandbox, ear):
    shop = open_shop(delivery="h5")
    coupon = taken_by_holder(shop)
    news = deliver(coupon_sandbox, ear)
    shop.client.receive(PLATFORM, headers=dict(news.headers), body=news.content)
    version = shop.client.coupon(coupon.coupon_id).version
    again = shop.client.receive(PLATFORM, headers=dict(news.headers), body=news.content)
    assert again.is_repeat
    assert again.acknowledgement.status in {200, 204}
    assert shop.client.coupon(coupon.coupon_id).version == version


def test_news_that_was_changed_on_the_way_is_refused_and_asks_for_another_copy(open_shop, coupon_sandbox, ear):
    shop = open_shop(delivery="h5")
    coupon = taken_by_holder(shop)
    news = deliver(coupon_sandbox, ear)
    with pytest.raises(ForgedMessage) as refused:
        shop.client.receive(PLATFORM, headers=news.headers, body=news.content + b" ")
    assert shop.client.acknowledge(PLATFORM, error=refused.value).status >= 400
    assert shop.client.coupon(coupon.coupon_id).state is CouponState.ISSUED


def test_a_body_that_was_decoded_on_the_way_is_refused_with_the_reason(shop):
    with pytest.raises(ValidationError):
        shop.client.receive(PLATFORM, headers={}, body="{}")


def test_news_of_a_coupon_that_is_not_ours_is_acknowledged_and_left_alone(open_shop, coupon_sandbox, ear):
    shop = open_shop()
    coupon_sandbox.control.issue_coupons(PLATFORM, face_fen=500)
    news = deliver(coupon_sandbox, ear)
    notice = shop.client.receive(PLATFORM, headers=news.headers, body=news.content)
    assert notice.event.kind is NewsKind.DELIVERED
    assert not notice.is_repeat


class Telling:
    """An adapter that hands over one prepared event; everything else is the real adapter's."""

    def __init__(self, adapter, event):
        self._adapter = adapter
        self._event = event

    def __getattr__(self, name):
        return getattr(self._adapter, name)

    def parse_notification(self, headers, body):
        return self._event
        yield


def event(**changes):
    plain = {
        "platform": PLATFORM,
        "event_id": "N1",
        "kind": NewsKind.REDEEMED,
        "type_name": "TEST",
        "occurred_at": None,
    }
    return VerifiedEvent(**{**plain, **changes})


def tell(shop, news):
    adapter = Telling(shop.setting.adapter(PLATFORM), dataclasses.replace(news, occurred_at=shop.sandbox.clock.now()))
    setting = dataclasses.replace(shop.setting, adapters={PLATFORM: adapter})
    return shop.client.run(notify(PLATFORM, (), b"", setting=setting))


def test_news_of_an_open_redemption_makes_us_ask_and_decides_nothing_itself(shop):
    coupon = shop.bound()
    shop.fault("drop_after")
    redemption = shop.client.redeem(shop.wish(coupon))
    assert redemption.state is OperationState.UNKNOWN
    shop.calm()
    tell(shop, event(operation_no=redemption.redemption_id))
    with_ledger = shop.client.read(shop.setting.ledger.redemption(redemption.redemption_id))
    assert with_ledger.state is OperationState.DONE


def test_news_that_the_platform_then_denies_changes_nothing(shop):
    coupon = shop.bound()
    shop.fault("drop_before")
    redemption = shop.client.redeem(shop.wish(coupon))
    shop.calm()
    tell(shop, event(operation_no=redemption.redemption_id))
    assert shop.client.read(shop.setting.ledger.redemption(redemption.redemption_id)).state is OperationState.UNKNOWN


def test_when_the_platform_cannot_be_asked_the_news_is_still_taken_in(shop):
    coupon = shop.bound()
    shop.fault("drop_after")
    redemption = shop.client.redeem(shop.wish(coupon))
    notice = tell(shop, event(operation_no=redemption.redemption_id))
    assert not notice.is_repeat
    assert shop.client.read(shop.setting.ledger.redemption(redemption.redemption_id)).state is OperationState.UNKNOWN


def test_a_delivery_without_a_code_is_taken_in(shop):
    assert not tell(shop, event(kind=NewsKind.DELIVERED)).is_repeat
