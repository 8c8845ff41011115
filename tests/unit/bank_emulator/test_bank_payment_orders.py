"""聚合支付 at the bank: what it takes, and the edges of an order's end (sheet §1.7, §1.8)."""

from base64 import b64encode
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from unicom_coupon_adapters.bank import messages
from unicom_coupon_adapters.bank.envelopes.icbc import request_text
from unicom_coupon_sdk.domain.sensitive import Secret

NEWS = "https://shop.invalid/bank"


def pay(bench, order="PAY1", *, code=None, device="SUC00001", amount="900", **wish):
    shown = code or bench.sandbox.control.deliver("bank", action="payment_code", **wish)["payment_code"]
    biz = {"orderId": order, "termId": "SUC00001", "authCode": shown, "notifyUrl": NEWS, "txnAmt": amount}
    terminal = {"device_type": Secret("11"), "device_id": Secret(device), "device_ip": Secret("192.0.2.10")}
    return bench.call(messages.PAY, biz, sealed={"encryptTerminalInfo": terminal})


def ended(bench, api, order="PAY1"):
    reply = bench.call(api, {"origOrderId": order})
    return reply.error_code or reply.text("cancelState") or reply.text("closeState")


def state(bench, order="PAY1"):
    return bench.call(messages.ORDER_QUERY, {"orderId": order}).text("tradeState")


def test_a_payment_says_what_the_sheet_lists(cmb):
    reply = pay(cmb)
    assert (reply.text("tradeState"), reply.text("txnAmt"), reply.text("dscAmt")) == ("S", "900", "0")
    assert reply.text("payType") == "EC"
    assert len(reply.text("cmbOrderId")) == 26


def test_a_number_is_taken_once_by_whatever_order(cmb):
    assert pay(cmb).error_code is None
    assert pay(cmb).error_code == "ORDERID_DUPLICATION"
    qr = {"orderId": "PAY1", "notifyUrl": NEWS, "txnAmt": "900", "payValidTime": "900"}
    assert cmb.call(messages.QR_ORDER, qr).error_code == "ORDERID_DUPLICATION"


def test_the_terminal_inside_must_be_the_one_outside(cmb):
    assert pay(cmb, device="SUC00002").error_code == "DEVICEINFO_NOT_LAWFUL"


def test_a_payment_is_cancelled_from_its_fifteenth_second_to_its_seventh_day(cmb):
    pay(cmb, needs_password=True)
    cmb.advance(14)
    assert ended(cmb, messages.CANCEL) == "NOT_ALLOWED"
    cmb.advance(1)
    assert ended(cmb, messages.CANCEL) == "D"
    cmb.advance(7 * 86_400 - 15)
    assert ended(cmb, messages.CANCEL) == "D"
    cmb.advance(1)
    assert ended(cmb, messages.CANCEL) == "NOT_ALLOWED"


def test_the_first_end_of_an_order_stands(cmb):
    pay(cmb, needs_password=True)
    cmb.advance(15)
    assert ended(cmb, messages.CLOSE) == "C"
    assert ended(cmb, messages.CANCEL) == "C"
    pay(cmb, "PAY2", needs_password=True)
    cmb.advance(15)
    assert ended(cmb, messages.CANCEL, "PAY2") == "D"
    assert ended(cmb, messages.CLOSE, "PAY2") == "C"
    assert (state(cmb), state(cmb, "PAY2")) == ("C", "D")


def test_a_qr_order_is_closed_and_not_cancelled(cmb):
    qr = {"orderId": "QR1", "notifyUrl": NEWS, "txnAmt": "900", "payValidTime": "900"}
    cmb.call(messages.QR_ORDER, qr)
    cmb.advance(15)
    assert ended(cmb, messages.CANCEL, "QR1") == "NOT_ALLOWED"
    assert ended(cmb, messages.CLOSE, "QR1") == "C"


def test_an_order_that_nobody_paid_in_its_life_is_closed(cmb):
    pay(cmb, needs_password=True)
    cmb.advance(900)
    assert state(cmb) == "P"
    cmb.advance(1)
    assert state(cmb) == "C"


def test_an_order_is_asked_about_for_fifteen_days(cmb):
    pay(cmb)
    cmb.advance(15 * 86_400)
    assert state(cmb) == "S"
    cmb.advance(1)
    assert cmb.call(messages.ORDER_QUERY, {"orderId": "PAY1"}).error_code == "NOT_ALLOWED"


def test_an_order_is_refunded_fifty_times_and_never_beyond_what_was_paid(cmb):
    pay(cmb, amount="100")
    for number in range(50):
        back = {"orderId": f"B{number}", "origOrderId": "PAY1", "txnAmt": "100", "refundAmt": "1"}
        assert cmb.call(messages.REFUND, back).error_code is None
    assert cmb.call(messages.REFUND, {**back, "orderId": "B50"}).error_code == "NOT_ALLOWED"
    assert cmb.call(messages.REFUND, {**back, "orderId": "B51", "refundAmt": "51"}).error_code == "REFUNDAMT_ERROR"
    assert cmb.call(messages.REFUND, {**back, "orderId": "B52", "txnAmt": "99"}).error_code == "TXNAMT_ERROR"
    assert cmb.call(messages.REFUND, back).text("replay") == "Y"


@pytest.mark.parametrize("path", ["mchorders/pay", "mchorders/orderquery", "coupon/other"])
def test_the_icbc_face_has_the_coupon_calls_alone(icbc, path):
    def elsewhere(request):
        url = f"https://{request.host}/api/unicom/{path}/V1"
        params = dict(parse_qsl(request.content.decode()))
        params["sign"] = b64encode(
            icbc.adapter.gateway.envelope.signer.sign_sha256(request_text(urlsplit(url).path, params).encode())
        ).decode()
        return replace(request, url=url, content=urlencode(params).encode())

    wish = {"couponCode": icbc.coupon()}
    assert icbc.call(messages.VERIFY, wish, raw=True, changed=elsewhere).status == 404
    assert icbc.call(messages.VERIFY, wish).error_code is None
