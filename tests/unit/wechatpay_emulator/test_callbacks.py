"""Callbacks: whom, when, encrypted and signed afresh (sheet §1.8, §2.3)."""

from __future__ import annotations

import pytest
from cryptography.exceptions import InvalidTag

from unicom_coupon_sdk.platform.wire import HttpAnswer

from .bench import BASE, Bench, decrypted, header

URL = "https://merchant.example/notify"


def test_nobody_is_told_when_no_address_is_known(bench: Bench) -> None:
    bench.issue()
    assert bench.frame.sent == []


def test_a_send_is_told_to_the_console_address(bench: Bench) -> None:
    bench.frame.urls["COUPON.SEND"] = URL
    coupon = bench.issue(holder="oTold")
    (sent,) = bench.frame.sent
    assert (sent.event, sent.url) == ("COUPON.SEND", URL)
    envelope, told, request = bench.open_callback(sent)
    assert bench.verifies(request)
    assert envelope["id"] == sent.callback_id
    assert (envelope["event_type"], envelope["resource_type"]) == ("COUPON.SEND", "encrypt-resource")
    assert envelope["resource"]["original_type"] == "coupon"
    assert len(envelope["resource"]["nonce"]) == 12
    assert told == {
        "event_type": "EVENT_TYPE_BUSICOUPON_SEND",
        "coupon_code": coupon["code"],
        "stock_id": coupon["stock_id"],
        "send_time": "2026-05-20T12:00:00+08:00",
        "openid": "oTold",
        "send_channel": "BUSICOUPON_SEND_CHANNEL_API",
        "send_merchant": bench.told["mchid"],
        "attach_info": {},
    }


def test_the_address_set_by_the_api_wins_over_the_console(bench: Bench) -> None:
    bench.frame.urls["COUPON.SEND"] = URL
    bench.post(f"{BASE}/callbacks", {"notify_url": f"{URL}/api"})
    bench.send_coupon(bench.stock())
    assert [sent.url for sent in bench.frame.sent] == [f"{URL}/api"]


def test_a_repeated_send_is_told_once(bench: Bench) -> None:
    bench.frame.urls["COUPON.SEND"] = URL
    stock = bench.stock()
    for _ in range(2):
        bench.send_coupon(stock, out_request_no="S1")
    assert len(bench.frame.sent) == 1


def test_the_plan_is_at_once_and_then_every_minute_eleven_times(bench: Bench) -> None:
    bench.frame.urls["COUPON.SEND"] = URL
    bench.issue()
    assert bench.frame.sent[0].schedule_s == (0, *([60] * 11))


def test_a_refund_keeps_the_payment_plan_of_fifteen_retries_over_a_day(bench: Bench) -> None:
    order = bench.emulator.order({"amount_fen": 100})
    body = {
        "out_trade_no": order["out_trade_no"],
        "out_refund_no": "R1",
        "notify_url": URL,
        "amount": {"refund": 100, "total": 100, "currency": "CNY"},
    }
    assert bench.post("/v3/refund/domestic/refunds", body).status == 200
    (sent,) = bench.frame.sent
    assert len(sent.schedule_s) == 16
    assert sum(sent.schedule_s) == 24 * 3600 + 4 * 60


def test_each_attempt_is_signed_and_encrypted_anew(bench: Bench) -> None:
    bench.frame.urls["COUPON.SEND"] = URL
    bench.issue()
    first, told, _ = bench.open_callback(bench.frame.sent[0])
    bench.frame.time = bench.frame.time.replace(hour=5)
    second, again, request = bench.open_callback(bench.frame.sent[0])
    assert told == again
    assert first["id"] == second["id"]
    assert first["resource"]["nonce"] != second["resource"]["nonce"]
    assert int(header(request, "Wechatpay-Timestamp")) == int(bench.frame.time.timestamp())


def test_headers_are_those_seen_in_the_wild(bench: Bench) -> None:
    bench.frame.urls["COUPON.SEND"] = URL
    bench.issue()
    _, _, request = bench.open_callback(bench.frame.sent[0])
    assert header(request, "User-Agent") == "Mozilla/4.0"
    assert header(request, "Content-Type") == "application/json"
    assert header(request, "Wechatpay-Signature-Type") == "WECHATPAY2-SHA256-RSA2048"


def test_without_an_apiv3_key_nothing_is_sent(bench: Bench) -> None:
    bench.frame.urls["COUPON.SEND"] = URL
    bench.emulator.rotate("apiv3_key_unset")
    bench.issue()
    assert bench.frame.sent == []


def test_after_a_change_of_the_apiv3_key_retries_come_under_the_new_one(bench: Bench) -> None:
    bench.frame.urls["COUPON.SEND"] = URL
    bench.issue()
    old = bench.told["apiv3_key"]
    bench.told = dict(bench.emulator.rotate("apiv3_key_new"))
    envelope, _, _ = bench.open_callback(bench.frame.sent[0])
    with pytest.raises(InvalidTag):
        decrypted(envelope["resource"], key=old)


@pytest.mark.parametrize(
    ("status", "accepted"), [(200, True), (204, True), (201, False), (302, False), (400, False), (500, False)]
)
def test_only_200_and_204_end_the_delivery(bench: Bench, status: int, *, accepted: bool) -> None:
    assert bench.emulator.is_accepted(HttpAnswer(status, (), b'{"code":"FAIL"}')) is accepted
