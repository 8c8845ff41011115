"""Notices: verified, for this merchant, acted upon once; sent again on the gateway's schedule."""

from datetime import timedelta
from urllib.parse import parse_qsl

import pytest
from tests.unit.unionpay_acp.conftest import PLATFORM

from unicom_coupon_adapters.unionpay_pos.acp.notices import payment_of_notice
from unicom_coupon_adapters.unionpay_pos.acp.payment import PaymentState
from unicom_coupon_sdk.domain.events import NewsKind
from unicom_coupon_sdk.errors import ForgedMessage
from unicom_coupon_sdk.platform.wire import HttpAnswer

URL = "https://shop.invalid/notify/unionpay"


class Shop:
    """The merchant's server: hands every notice to the client, and keeps what came of it."""

    def __init__(self, counter):
        self.counter = counter
        self.notices, self.errors, self.requests = [], [], []
        self.is_deaf = False
        counter.sandbox.merchant = self
        counter.sandbox.control.register_callback(PLATFORM, URL)

    def __call__(self, request):
        self.requests.append(request)
        if self.is_deaf:
            return HttpAnswer(503, ())
        try:
            notice = self.counter.client.receive("unionpay_pos", headers=request.headers, body=request.content)
        except ForgedMessage as error:
            self.errors.append(error.code)
            answer = self.counter.client.acknowledge("unionpay_pos", error=error)
        else:
            self.notices.append(notice)
            answer = notice.acknowledgement
        return HttpAnswer(answer.status, answer.headers, answer.content)

    def deliver(self):
        return self.counter.sandbox.control.deliver_notifications()


@pytest.fixture
def counter(fresh_counter):
    return fresh_counter


@pytest.fixture
def shop(counter):
    return Shop(counter)


def test_payment_undo_and_refund_are_told(counter, shop):
    counter.coupon(5_000)
    sale, payment = counter.paid(12_800)
    counter.run(counter.payments.undo(counter.instruction(12_800), original=payment))
    _, other = counter.paid(1_000)
    back = counter.instruction(400)
    counter.run(counter.payments.refund(back, original=other))
    assert counter.run(counter.payments.query(back)).state is PaymentState.OPEN
    shop.deliver()
    assert counter.run(counter.payments.query(back)).state is PaymentState.DONE  # as the notice told
    kinds = [notice.event.kind for notice in shop.notices]
    assert kinds == [NewsKind.PAID, NewsKind.REVERSED, NewsKind.PAID, NewsKind.REFUNDED]
    first = shop.notices[0].event
    assert (first.operation_no, first.type_name, first.refs["query_id"]) == (sale.order_id, "01/06", payment.query_id)
    told = payment_of_notice(first.content)
    assert told.is_of(sale)
    assert (told.state, told.kind, told.coupons[0].offset_fen) == (PaymentState.DONE, "01", 5_000)
    assert [one["state"] for one in counter.sandbox.control.notifications()] == ["delivered"] * 4


def test_a_refund_is_told_when_it_has_ended(counter, shop):
    _, payment = counter.paid(1_000)
    shop.deliver()
    counter.run(counter.payments.refund(counter.instruction(400), original=payment))
    counter.sandbox.control.advance(2)
    assert len(shop.notices) == 1
    counter.sandbox.control.advance(2)
    assert [notice.event.kind for notice in shop.notices] == [NewsKind.PAID, NewsKind.REFUNDED]


def test_the_address_of_the_request_wins(counter, shop):
    more = {"backUrl": "https://shop.invalid/other"}
    counter.run(counter.payments.scan(counter.instruction(), qr_no=counter.phone(), more=more))
    shop.deliver()
    assert [request.url for request in shop.requests] == ["https://shop.invalid/other"]


def test_nobody_is_told_without_an_address(counter):
    counter.paid()
    assert counter.sandbox.control.notifications() == []


def test_a_notice_is_sent_again_on_the_schedule_and_acted_upon_once(counter, shop):
    shop.is_deaf = True
    counter.paid()
    began = counter.now
    times = []
    for _ in range(40):
        before = len(shop.requests)
        counter.sandbox.control.advance(60)
        times += [round((counter.now - began) / timedelta(minutes=1))] * (len(shop.requests) - before)
    assert (len(shop.requests), times) == (6, [1, 1, 3, 7, 15, 31])  # at once, then after 1, 2, 4, 8 and 16 minutes
    assert counter.sandbox.control.notifications()[0]["state"] == "failed"


def test_a_repeat_changes_nothing(counter, shop):
    counter.sandbox.control.add_fault(PLATFORM, "duplicate_notification")
    counter.paid()
    shop.deliver()
    shop.deliver()
    assert [notice.is_repeat for notice in shop.notices] == [False, True]


def test_a_swallowed_notice_never_comes(counter, shop):
    counter.sandbox.control.add_fault(PLATFORM, "no_notification", match="consume.notice")
    sale, _ = counter.paid()
    assert shop.deliver() == []
    assert counter.run(counter.payments.outcome(sale)).state is PaymentState.DONE


@pytest.mark.parametrize(
    ("kind", "code"),
    [("bad_signature", "unionpay_pos.acp_signature"), ("wrong_serial", "unionpay_pos.acp_certificate_name")],
)
def test_a_forged_notice_is_refused_and_the_genuine_one_comes_again(counter, shop, kind, code):
    counter.fault(kind, match="consume.notice")
    counter.paid()
    shop.deliver()
    assert (shop.errors, shop.notices) == ([code], [])
    shop.deliver()
    assert [notice.event.kind for notice in shop.notices] == [NewsKind.PAID]


def test_old_news_is_genuine_and_about_another_transaction(counter, shop):
    counter.fault("stale_timestamp", match="consume.notice")
    sale, _ = counter.paid()
    shop.deliver()
    (notice,) = shop.notices
    assert not payment_of_notice(notice.event.content).is_of(sale)


def test_a_notice_lost_on_the_way_comes_again(counter, shop):
    for kind in ("drop_before", "drop_after"):
        counter.fault(kind, match="consume.notice")
    counter.paid()
    for _ in range(3):
        shop.deliver()
    assert [notice.is_repeat for notice in shop.notices] == [False, True]


@pytest.mark.parametrize("change", [("txnAmt=12800", "txnAmt=12801"), ("signMethod=01", "signMethod=11")])
def test_a_changed_notice_is_forged(counter, shop, change):
    counter.paid()
    shop.is_deaf = True
    shop.deliver()
    body = shop.requests[0].content.decode().replace(*change).encode()
    assert body != shop.requests[0].content
    with pytest.raises(ForgedMessage):
        counter.client.receive("unionpay_pos", headers=(), body=body)


def signed(counter, **fields):
    """A notice that UnionPay really signed."""
    from unicom_coupon_adapters.unionpay_pos.emulation.acp import wire

    station = counter.sandbox.world.station(PLATFORM)
    world = station.emulator._world
    base = {"version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", "merId": counter.acp.settings.mer_id}
    told = {**base, "txnType": "01", "txnSubType": "06", "orderId": "ORDER0000001", "txnTime": "20260520120000"}
    with station.store.transaction():
        return wire.notice(world, {**told, "respCode": "00", **fields})[2]


def receive(counter, body):
    return counter.client.receive("unionpay_pos", headers=(), body=body)


def test_a_notice_for_another_merchant_is_refused(counter):
    with pytest.raises(ForgedMessage, match=r"unionpay_pos\.acp_other_merchant"):
        receive(counter, signed(counter, merId="777290058110049"))


@pytest.mark.parametrize("fields", [{"orderId": ""}, {"txnTime": ""}, {"txnTime": "2026"}])
def test_a_notice_that_names_no_transaction_is_refused(counter, fields):
    with pytest.raises(ForgedMessage, match=r"unionpay_pos\.acp_notice"):
        receive(counter, signed(counter, **fields))


@pytest.mark.parametrize("body", [b"", b"a=1&a=2", b"<xml/>", "a=券".encode()])
def test_what_is_no_form_is_refused(counter, body):
    with pytest.raises(ForgedMessage, match=r"unionpay_pos\.acp_(answer|method)"):
        receive(counter, body)


def test_news_of_a_failure_decides_nothing_and_hides_no_later_success(counter):
    failed = receive(counter, signed(counter, respCode="64"))
    done = receive(counter, signed(counter))
    assert (failed.event.kind, done.event.kind) == (NewsKind.OTHER, NewsKind.PAID)
    assert (failed.is_repeat, done.is_repeat) == (False, False)


def test_a_notice_is_an_ordinary_form(counter, shop):
    counter.run(counter.payments.scan(counter.instruction(), qr_no=counter.phone(), reserved="a+b 中文"))
    shop.deliver()
    assert dict(parse_qsl(shop.requests[0].content.decode("ascii")))["reqReserved"] == "a+b 中文"
    assert shop.notices[0].event.content["reqReserved"] == "a+b 中文"
