"""Redemptions at the gateway: limits, idempotency, reversal, pending ones, states (sheet §3)."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from unicom_coupon_adapters.bank import messages

FACE = 550_000


def test_the_day_limit_takes_exactly_fifty_thousand_yuan_and_not_a_fen_more(bench):
    for _ in range(9):
        assert bench.redeemed(bench.coupon(face=FACE), amount=str(FACE)).error_code is None
    over, last = bench.coupon(face=50_001), bench.coupon(face=50_000)
    token = bench.apply(over, amount="50001").text("smsToken")
    secret = bench.sent()
    assert bench.redeem(over, token, secret, amount="50001").error_code == "DAY_LIMIT_EXCEEDED"
    assert bench.redeem(over, token, secret, amount="50001").error_code == "SMS_TOKEN_INVALID"
    bench.advance(86_400)
    assert bench.redeemed(last, amount="50000").error_code is None


@pytest.mark.parametrize("_", range(5))
def test_of_ten_redemptions_at_once_the_bank_itself_takes_nine(bench, _):
    """Nobody in front of it counts here: ten tills, each knowing only its own coupon."""
    wishes = []
    for number in range(10):
        code = bench.coupon(face=FACE)
        token = bench.apply(code, amount=str(FACE)).text("smsToken")
        wishes.append((f"TILL{number}", code, token, bench.sent()))
    start = threading.Barrier(10)

    def redeem(wish):
        order, code, token, secret = wish
        start.wait(30)
        return bench.redeem(code, token, secret, amount=str(FACE), order=order, reqNo=order).error_code

    with ThreadPoolExecutor(10) as pool:
        told = list(pool.map(redeem, wishes))
    assert sorted(told, key=str) == ["DAY_LIMIT_EXCEEDED"] + [None] * 9
    assert [bench.state(code) for _, code, _, _ in wishes].count("USED") == 9


def test_a_same_day_reversal_gives_room_back(bench):
    first = bench.coupon(face=5_000_000)
    assert bench.redeemed(first, amount="5000000", order="BIG").error_code is None
    second = bench.coupon(face=1)
    assert bench.redeemed(second, amount="1").error_code == "DAY_LIMIT_EXCEEDED"
    back = bench.call(messages.REVERSE, {"orderId": "BACK", "origOrderId": "BIG", "txnAmt": "5000000"})
    assert (back.text("reverseState"), back.text("couponState")) == ("S", "A")
    bench.advance(60)
    assert bench.redeemed(second, amount="1").error_code is None


def test_the_limit_is_a_holders_own(bench):
    assert bench.redeemed(bench.coupon(face=5_000_000), amount="5000000").error_code is None
    other = bench.coupon(holder="13800005678")
    assert bench.redeemed(other, mobile="13800005678").error_code is None


def test_a_repeat_is_answered_alike_and_another_request_is_a_duplicate(bench):
    code = bench.coupon()
    token = bench.apply(code).text("smsToken")
    secret = bench.sent()
    first = bench.redeem(code, token, secret, order="ONE", reqNo="R1")
    again = bench.redeem(code, token, secret, order="ONE", reqNo="R1")
    assert (again.text("cmbOrderId"), again.text("replay")) == (first.text("cmbOrderId"), "Y")
    assert bench.redeem(code, token, secret, order="ONE", reqNo="R2").error_code == "ORDERID_DUPLICATION"


def test_a_final_refusal_is_given_again_when_the_coupon_has_become_usable(bench):
    code = bench.coupon()
    token = bench.apply(code).text("smsToken")
    secret = bench.sent()
    bench.sandbox.control.deliver("bank", action="freeze", code=code)
    assert bench.redeem(code, token, secret, order="ONE", reqNo="R1").error_code == "COUPON_FROZEN"
    bench.sandbox.control.deliver("bank", action="unfreeze", code=code)
    assert bench.redeem(code, token, secret, order="ONE", reqNo="R1").error_code == "COUPON_FROZEN"
    assert bench.redeem(code, token, secret).error_code is None


def test_a_redemption_is_reversed_on_its_day_before_half_past_eleven_and_no_later(bench):
    codes = [bench.coupon() for _ in range(3)]
    for number, code in enumerate(codes):
        assert bench.redeemed(code, order=f"O{number}").error_code is None
    back = lambda number: {"orderId": f"B{number}", "origOrderId": f"O{number}", "txnAmt": "5000"}  # noqa: E731
    bench.advance((14 * 60 + 29) * 60 + 59)  # 23:29:59
    assert bench.call(messages.REVERSE, back(0)).error_code is None
    bench.advance(1)
    assert bench.call(messages.REVERSE, back(1)).error_code == "REVERSE_WINDOW_CLOSED"
    bench.advance(3600)
    assert bench.call(messages.REVERSE, back(2)).error_code == "REVERSE_WINDOW_CLOSED"


def test_a_reversal_wants_the_same_amount_and_a_done_redemption(bench):
    bench.redeemed(bench.coupon(), order="ONE")
    wrong = bench.call(messages.REVERSE, {"orderId": "B1", "origOrderId": "ONE", "txnAmt": "4999"})
    assert wrong.error_code == "REVERSE_AMOUNT"
    assert bench.call(messages.REVERSE, {"orderId": "B2", "origOrderId": "ONE", "txnAmt": "5000"}).error_code is None
    twice = bench.call(messages.REVERSE, {"orderId": "B3", "origOrderId": "ONE", "txnAmt": "5000"})
    assert twice.error_code == "REVERSE_STATE"
    told = bench.call(messages.QUERY, {"orderId": "ONE"})
    assert (told.text("tradeState"), told.text("reversedBy")) == ("R", "B2")


@pytest.mark.parametrize(("suffix", "end", "state"), [("_PND", "S", "USED"), ("_PNF", "F", "ACTIVE")])
def test_a_pending_redemption_is_decided_after_three_queries(bench, suffix, end, state):
    code = bench.coupon()
    number = f"ORDER{suffix}"
    assert bench.redeemed(code, order=number).text("tradeState") == "P"
    assert bench.state(code) == "HELD"
    seen = [bench.call(messages.QUERY, {"orderId": number}).text("tradeState") for _ in range(4)]
    assert seen == ["P", "P", "P", end]
    assert bench.state(code) == state


def test_faults_by_suffix_after_and_before_the_burn(cmb):
    after, before = cmb.coupon(), cmb.coupon()
    assert cmb.redeemed(after, order="ONE_SYS").error_code == "SYSTERM_ERROR"
    assert cmb.state(after) == "USED"
    assert cmb.redeemed(before, order="ONE_SYN").error_code == "SYSTERM_ERROR"
    assert cmb.state(before) == "HELD"
    extra = cmb.redeemed(cmb.coupon(), order="ONE_XTR")
    assert extra.error_code is None
    assert extra.biz["bankNote"] == {"seen": 1}
    assert cmb.redeemed(cmb.coupon(), order="ONE_ESC").text("receiptUrl") == "https://bank.invalid/receipt/1"


def test_coupons_of_each_state_are_refused_by_name(bench):
    expired, void, low = bench.coupon(valid_days=1), bench.coupon(), bench.coupon(min_spend_fen=10_000)
    bench.call(messages.VOID, {"couponCode": void})
    assert bench.apply(void).error_code == "COUPON_VOID"
    token = bench.apply(low).text("smsToken")
    assert bench.redeem(low, token, bench.sent(), orderOrigAmt="9999").error_code == "AMOUNT_BELOW_MIN"
    assert bench.redeem(low, token, bench.sent(), orderOrigAmt="10000").error_code is None
    bench.advance(86_400)
    assert bench.apply(expired).error_code == "COUPON_EXPIRED"
    told = bench.call(messages.VERIFY, {"couponCode": expired})
    assert (told.text("couponState"), told.text("dayLimitAmt")) == ("X", "5000000")


def test_merchant_cashier_and_shop_are_checked(bench):
    code = bench.coupon()
    assert bench.apply(code, merId="NOBODY").error_code == "MERID_NOT_EXIST"
    assert bench.apply(code, userId="NOBODY").error_code == "USERID_NOT_EXIST"
    assert bench.apply(code, merId="3089991701207X8").error_code == "MERCHANT_NOT_COOPERATED"
    assert bench.apply(code, storeId="X1").error_code == "STORE_NOT_COOPERATED"
    assert bench.apply(code, storeId="S001").error_code is None


def test_a_request_that_is_too_old_or_spoiled_is_refused_in_the_sheets_order(cmb):
    code = cmb.coupon()
    headers = lambda **new: lambda r: replace(r, headers=tuple((k, new.get(k, v)) for k, v in r.headers))  # noqa: E731

    def body(**new):
        return lambda r: replace(r, content=json.dumps({**json.loads(r.content), **new}).encode())

    def refusal(changed):
        return cmb.call(messages.VERIFY, {"couponCode": code}, changed=changed).error_code

    now = int(cmb.sandbox.clock.now().timestamp())
    assert refusal(headers(appid="other")) == "APPID_INVALID"
    assert refusal(headers(timestamp=str(now - 301))) == "TIMESTAMP_EXPIRED"
    assert refusal(headers(timestamp=str(now - 300))) == "APISIGN_ERROR"
    assert refusal(headers(apisign="0" * 32)) == "APISIGN_ERROR"
    assert refusal(body(version="0.0.2")) == "VERSION_ERROR"
    assert refusal(body(biz_content="{}")) == "SIGN_ERROR"
    assert refusal(lambda r: replace(r, content=b"no json")) == "JSON_FORMAT_ERROR"
