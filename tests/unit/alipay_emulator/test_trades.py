from __future__ import annotations

import json
from typing import Any

import pytest

from .bench import Bench


def pay(bench: Bench, number: str = "ORD1", amount: str = "9.90", **wish: Any) -> dict[str, Any]:
    code = bench.emulator.deliver({"kind": "payment_code", "holder": "2088000000000001", **wish})["auth_code"]
    body = {"out_trade_no": number, "auth_code": code, "subject": "话费", "total_amount": amount}
    return bench.call("alipay.trade.pay", body | {"scene": "bar_code"})


def test_a_payment_takes_the_money_once(bench: Bench) -> None:
    told = pay(bench)
    assert (told["code"], told["buyer_user_id"], told["receipt_amount"]) == ("10000", "2088000000000001", "9.90")
    body = {"out_trade_no": "ORD1", "auth_code": "28" + "0" * 16, "subject": "话费", "total_amount": "9.90"}
    assert bench.refused("alipay.trade.pay", body) == "ACQ.TRADE_HAS_SUCCESS"
    assert bench.refused("alipay.trade.pay", body | {"total_amount": "9.91"}) == "ACQ.CONTEXT_INCONSISTENT"


def test_a_payment_code_serves_once_and_two_minutes(bench: Bench) -> None:
    code = bench.emulator.deliver({"kind": "payment_code"})["auth_code"]
    body = {"out_trade_no": "ORD1", "auth_code": code, "subject": "话费", "total_amount": "1"}
    bench.good("alipay.trade.pay", body)
    assert bench.refused("alipay.trade.pay", body | {"out_trade_no": "ORD2"}) == "ACQ.PAYMENT_AUTH_CODE_INVALID"
    late = bench.emulator.deliver({"kind": "payment_code"})["auth_code"]
    bench.advance(minutes=3)
    assert bench.refused("alipay.trade.pay", body | {"out_trade_no": "ORD3", "auth_code": late})
    coupon = bench.issue()["code"]
    told = bench.refused("alipay.trade.pay", body | {"out_trade_no": "ORD4", "auth_code": coupon})
    assert told == "ACQ.PAYMENT_AUTH_CODE_INVALID"


def test_a_payment_may_wait_for_the_password(bench: Bench) -> None:
    assert pay(bench, needs_password=True)["code"] == "10003"
    query = {"out_trade_no": "ORD1"}
    assert bench.good("alipay.trade.query", query)["trade_status"] == "WAIT_BUYER_PAY"
    bench.emulator.deliver({"kind": "pay", "out_trade_no": "ORD1"})
    assert bench.good("alipay.trade.query", query)["trade_status"] == "TRADE_SUCCESS"
    assert pay(bench, "ORD2", balance_fen=100)["sub_code"] == "ACQ.BUYER_BALANCE_NOT_ENOUGH"


def test_a_trade_nobody_pays_is_closed(bench: Bench) -> None:
    pay(bench, needs_password=True)
    bench.advance(hours=4)
    assert bench.good("alipay.trade.query", {"out_trade_no": "ORD1"})["trade_status"] == "TRADE_CLOSED"
    pay(bench, "ORD2", needs_password=True)
    bench.good("alipay.trade.close", {"out_trade_no": "ORD2"})
    assert bench.good("alipay.trade.query", {"out_trade_no": "ORD2"})["trade_status"] == "TRADE_CLOSED"
    pay(bench, "ORD3")
    assert bench.refused("alipay.trade.close", {"out_trade_no": "ORD3"}) == "ACQ.REASON_TRADE_STATUS_INVALID"
    assert bench.refused("alipay.trade.query", {"out_trade_no": "NOWHERE"}) == "ACQ.TRADE_NOT_EXIST"


def test_a_scanned_code_makes_the_trade(bench: Bench) -> None:
    body = {"out_trade_no": "QR1", "subject": "话费", "total_amount": "5.00"}
    qr_code = bench.good("alipay.trade.precreate", body)["qr_code"]
    assert bench.refused("alipay.trade.query", {"out_trade_no": "QR1"}) == "ACQ.TRADE_NOT_EXIST"
    paid = bench.emulator.deliver({"kind": "pay", "qr_code": qr_code})
    assert bench.good("alipay.trade.query", {"trade_no": paid["trade_no"]})["trade_status"] == "TRADE_SUCCESS"
    assert bench.refused("alipay.trade.precreate", body) == "ACQ.TRADE_HAS_SUCCESS"
    made = bench.good("alipay.trade.create", body | {"out_trade_no": "CR1", "buyer_id": "2088000000000001"})
    assert made["trade_no"]


def test_refunds_add_up_repeat_and_never_exceed(bench: Bench) -> None:
    pay(bench)
    wish = {"out_trade_no": "ORD1", "refund_amount": "4.00", "out_request_no": "R1"}
    first = bench.good("alipay.trade.refund", wish)
    assert (first["fund_change"], first["refund_fee"]) == ("Y", "4.00")
    again = bench.good("alipay.trade.refund", wish)
    assert (again["fund_change"], again["refund_fee"]) == ("N", "4.00")
    assert bench.refused("alipay.trade.refund", wish | {"refund_amount": "5.00"}) == "ACQ.DISCORDANT_REPEAT_REQUEST"
    more = wish | {"out_request_no": "R2", "refund_amount": "6.00"}
    assert bench.refused("alipay.trade.refund", more) == "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"
    nameless = {"out_trade_no": "ORD1", "refund_amount": "1.00"}
    assert bench.refused("alipay.trade.refund", nameless) == "ACQ.INVALID_PARAMETER"
    rest = bench.good("alipay.trade.refund", more | {"refund_amount": "5.90"})
    assert rest["refund_fee"] == "9.90"
    assert bench.good("alipay.trade.query", {"out_trade_no": "ORD1"})["trade_status"] == "TRADE_CLOSED"
    query = {"out_trade_no": "ORD1", "out_request_no": "R1"}
    assert bench.good("alipay.trade.fastpay.refund.query", query)["refund_status"] == "REFUND_SUCCESS"
    unknown = bench.good("alipay.trade.fastpay.refund.query", query | {"out_request_no": "NO"})
    assert "refund_status" not in unknown


def test_the_buyers_own_money_goes_back_before_the_voucher(bench: Bench) -> None:
    coupon = bench.issue(face_fen=2000)
    told = bench.emulator.order({"amount_fen": 10_000, "code": coupon["code"]})
    options = ["voucher_detail_list", "mdiscount_amount"]
    shown = bench.good("alipay.trade.query", {"trade_no": told["trade_no"], "query_options": options})
    assert (shown["total_amount"], shown["receipt_amount"], shown["mdiscount_amount"]) == ("100.00", "80.00", "20.00")
    (detail,) = shown["voucher_detail_list"]
    assert (detail["id"], detail["amount"], detail["merchant_contribute"]) == (coupon["voucher_id"], "20.00", "20.00")
    plain = bench.good("alipay.trade.query", {"trade_no": told["trade_no"]})
    assert "voucher_detail_list" not in plain
    wish = {"trade_no": told["trade_no"], "out_request_no": "R1", "refund_amount": "60.00"}
    assert bench.good("alipay.trade.refund", wish)["send_back_fee"] == "60.00"
    last = wish | {"out_request_no": "R2", "refund_amount": "40.00"}
    assert bench.good("alipay.trade.refund", last)["send_back_fee"] == "20.00"


def test_a_cancelled_payment_is_closed_or_refunded(bench: Bench) -> None:
    pay(bench)
    assert bench.good("alipay.trade.cancel", {"out_trade_no": "ORD1"})["action"] == "refund"
    again = bench.good("alipay.trade.cancel", {"out_trade_no": "ORD1"})
    assert ("action" in again, again["retry_flag"]) == (False, "N")
    pay(bench, "ORD2", needs_password=True)
    assert bench.good("alipay.trade.cancel", {"out_trade_no": "ORD2"})["action"] == "close"
    assert bench.good("alipay.trade.cancel", {"out_trade_no": "NOWHERE"})["retry_flag"] == "N"


@pytest.mark.parametrize(
    "changed", [{"subject": "a=b"}, {"total_amount": "0"}, {"out_trade_no": "a-b"}, {"timeout_express": "soon"}]
)
def test_faulty_orders_are_invalid_parameters(bench: Bench, changed: dict[str, str]) -> None:
    body = {"out_trade_no": "QR1", "subject": "话费", "total_amount": "5.00"}
    assert bench.refused("alipay.trade.precreate", body | changed) == "ACQ.INVALID_PARAMETER"


def test_trades_and_refunds_are_notified_without_empty_fields(bench: Bench) -> None:
    coupon = bench.issue()
    url = "https://merchant.invalid/trade"
    bench.emulator.order({"amount_fen": 1000, "code": coupon["code"], "out_trade_no": "O1", "notify_url": url})
    paid = bench.frame.sent[-1]
    assert (paid.url, paid.event, paid.schedule_s[:3]) == (url, "trade_status_sync", (0.0, 240.0, 600.0))
    told = bench.news(paid)
    assert (told["trade_status"], told["total_amount"], told["receipt_amount"]) == ("TRADE_SUCCESS", "10.00", "5.00")
    (detail,) = json.loads(told["voucher_detail_list"])
    assert (detail["voucherId"], detail["merchantContribute"]) == (coupon["voucher_id"], "5.00")
    assert json.loads(told["fund_bill_list"]) == [{"amount": "5.00", "fundChannel": "ALIPAYACCOUNT"}]
    bench.good("alipay.trade.refund", {"out_trade_no": "O1", "refund_amount": "1.00", "out_request_no": "R1"})
    back = bench.news()
    assert (back["refund_fee"], back["out_biz_no"], back["trade_status"]) == ("1.00", "R1", "TRADE_SUCCESS")
    assert back["gmt_refund"].endswith(".000")


def test_without_any_address_nobody_is_told(bench: Bench) -> None:
    bench.frame.gateway = None
    bench.emulator.order({"amount_fen": 1000})
    bench.issue()
    assert bench.frame.sent == []
