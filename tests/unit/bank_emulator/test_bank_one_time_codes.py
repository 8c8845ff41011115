"""The rules of one-time codes at their edges, on both faces (sheet §3.9)."""

import json

import pytest

MOBILE = "13800001234"


def test_a_code_lives_three_hundred_seconds_and_not_one_more(bench):
    code = bench.coupon()
    token = bench.apply(code).text("smsToken")
    bench.advance(300)
    assert bench.redeem(code, token, bench.sent()).error_code is None
    other = bench.coupon()
    token = bench.apply(other).text("smsToken")
    bench.advance(301)
    assert bench.redeem(other, token, bench.sent()).error_code == "SMS_EXPIRED"
    assert bench.state(other) == "ACTIVE"


def test_another_code_is_sent_after_sixty_seconds_and_not_before(bench):
    code = bench.coupon()
    first = bench.apply(code)
    old = bench.sent()
    bench.advance(59)
    early = bench.apply(code)
    assert (early.error_code, early.biz["resendAfter"]) == ("SMS_TOO_FREQUENT", 1)
    bench.advance(1)
    second = bench.apply(code)
    assert second.error_code is None
    assert bench.redeem(code, first.text("smsToken"), old).error_code == "SMS_TOKEN_INVALID"
    assert bench.redeem(code, second.text("smsToken"), bench.sent()).error_code is None


def test_a_new_code_keeps_the_count_of_wrong_ones(bench):
    code = bench.coupon()
    token = bench.apply(code).text("smsToken")
    assert bench.redeem(code, token, "xxxxxx").biz["attemptsLeft"] == 4
    bench.advance(60)
    assert bench.apply(code).biz["attemptsLeft"] == 4


def test_five_wrong_codes_lock_coupon_and_mobile_for_thirty_minutes(bench):
    code = bench.coupon()
    token = bench.apply(code).text("smsToken")
    left = [bench.redeem(code, token, "xxxxxx").biz["attemptsLeft"] for _ in range(5)]
    assert left == [4, 3, 2, 1, 0]
    assert bench.redeem(code, token, bench.sent()).error_code == "SMS_LOCKED"
    bench.advance(29 * 60 + 59)
    assert bench.apply(code).error_code == "SMS_LOCKED"
    bench.advance(1)
    token = bench.apply(code).text("smsToken")
    assert bench.redeem(code, token, bench.sent()).error_code is None


def test_the_third_lock_of_a_day_lasts_until_the_next_natural_day(bench):
    code = bench.coupon()
    for _ in range(3):
        token = bench.apply(code).text("smsToken")
        for _ in range(5):
            bench.redeem(code, token, "xxxxxx")
        bench.advance(1800)
    assert bench.apply(code).error_code == "SMS_LOCKED"
    bench.advance(86_400 - 9 * 3600 - 3 * 1800)  # Beijing midnight: the bench begins at nine
    assert bench.apply(code).error_code is None


def test_five_codes_a_coupon_and_ten_a_mobile_are_sent_a_day(bench):
    code = bench.coupon()
    for left in (4, 3, 2, 1, 0):
        assert bench.apply(code).biz["sendLeft"] == left
        bench.advance(60)
    assert bench.apply(code).error_code == "SMS_DAY_LIMIT"
    others = [bench.coupon() for _ in range(6)]
    assert [bench.apply(other).error_code for other in others] == [None] * 5 + ["SMS_DAY_LIMIT"]
    bench.advance(86_400)
    assert bench.apply(code).error_code is None


@pytest.mark.parametrize("changed", [{"amount": "4000"}, {"coupon": True}])
def test_a_code_for_something_else_costs_no_attempt(bench, changed):
    code, other = bench.coupon(), bench.coupon()
    token = bench.apply(code).text("smsToken")
    wanted = other if changed.get("coupon") else code
    refused = bench.redeem(wanted, token, bench.sent(), amount=changed.get("amount", "5000"))
    assert refused.error_code == "SMS_BINDING_MISMATCH"
    assert bench.redeem(code, token, "xxxxxx").biz["attemptsLeft"] == 4


def test_a_code_is_used_once(bench):
    code = bench.coupon()
    token = bench.apply(code).text("smsToken")
    secret = bench.sent()
    assert bench.redeem(code, token, secret, order="ONE").error_code is None
    bench.call(_reverse(), {"orderId": "BACK", "origOrderId": "ONE", "txnAmt": "5000"})
    assert bench.redeem(code, token, secret, order="TWO").error_code == "SMS_TOKEN_INVALID"


def test_the_last_digits_of_a_mobile_choose_what_happens(bench):
    zero = bench.coupon(holder="13800000000")
    token = bench.apply(zero).text("smsToken")
    assert bench.redeem(zero, token, "000000").error_code is None
    never = bench.coupon(holder="13800000001")
    token = bench.apply(never).text("smsToken")
    assert bench.redeem(never, token, bench.sent("13800000001")).error_code == "SMS_WRONG"
    bench.apply(bench.coupon(holder="13800000002"))
    assert bench.sandbox.control.messages(to="13800000002") == []
    assert bench.apply(bench.coupon(holder="13800000003")).error_code == "NOT_ALLOWED"


def test_no_code_is_kept_in_the_clear(bench):
    code = bench.coupon()
    bench.apply(code)
    secret = bench.sent()
    station = bench.sandbox.world.station("bank")
    with station.store.transaction():
        kept = [value for kind in ("token", "chain", "request", "coupon") for _, value in station.store.all(kind)]
    assert secret not in json.dumps(kept)


def _reverse():
    from unicom_coupon_adapters.bank import messages

    return messages.REVERSE
