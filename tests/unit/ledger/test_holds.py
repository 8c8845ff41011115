from dataclasses import replace
from datetime import timedelta

import pytest
from tests.ledger_house import ALSO, DAY, DONE, MERCHANT, NOT_DONE, NOW, PAY, UNKNOWN, USER, day_limit, template

from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.token import make_token
from unicom_coupon_sdk.domain.verification import Challenge, Method
from unicom_coupon_sdk.errors import (
    CouponStateError,
    IdempotencyConflict,
    LedgerError,
    LimitError,
    ValidationError,
    VerificationError,
)

MINUTE = timedelta(minutes=1)


def test_a_hold_takes_the_coupon_and_tells_the_adapter_all_it_needs(house):
    coupon = house.bound()
    hold = house.hold(coupon)
    held = hold.held
    assert (hold.is_repeat, house.state(coupon), held.redemption.state.value) == (False, "held", "held")
    assert (held.code, held.binding.user, dict(held.listing.refs)) == (coupon.code, USER, {"stock_id": "S-testpay"})
    assert (held.redemption.value_fen, held.redemption.order.order_no) == (500, "O1")
    assert house.kinds(coupon) == ["issued", "bound", "held"]


def test_what_is_held_reads_back_the_same(house):
    held = house.hold(house.bound()).held
    assert house.run(house.ledger.held(held.redemption.redemption_id)) == held
    assert house.run(house.ledger.redemption_of_key(MERCHANT, "order-1")) == held.redemption


def test_a_key_in_progress_says_so_and_holds_nothing_twice(house):
    coupon = house.bound()
    house.hold(coupon)
    with pytest.raises(IdempotencyConflict, match=r"idempotency\.in_progress"):
        house.hold(coupon)
    with pytest.raises(IdempotencyConflict, match=r"idempotency\.in_progress"):
        house.run(house.ledger.repeat(house.request(coupon), merchant_id=MERCHANT, now=NOW))


def test_a_key_whose_deadline_is_over_gives_the_held_redemption(house):
    coupon = house.bound()
    first = house.hold(coupon)
    house.now = NOW + MINUTE
    again = house.hold(coupon)
    assert (again.is_repeat, again.held) == (True, first.held)


@pytest.mark.parametrize(
    ("outcome", "state"), [(DONE, "done"), (NOT_DONE, "released"), (UNKNOWN, "unknown")], ids=["done", "not", "unknown"]
)
def test_a_known_key_gives_the_same_outcome(house, outcome, state):
    coupon = house.bound()
    redemption = house.redeem(coupon, outcome=outcome)
    again = house.hold(coupon)
    assert (again.is_repeat, again.held.redemption) == (True, redemption)
    assert redemption.state.value == state
    repeat = house.ledger.repeat(house.request(coupon), merchant_id=MERCHANT, now=NOW)
    assert house.run(repeat) == redemption


@pytest.mark.parametrize(
    "changes",
    [
        {"order": Order(order_no="O2", amount_fen=2000)},
        {"order": Order(order_no="O1", amount_fen=2001)},
        {"order": Order(order_no="O1", amount_fen=2000, store_no="S1")},
        {"platform": ALSO},
    ],
)
def test_a_known_key_with_another_request_is_a_conflict(house, changes):
    coupon = house.bound()
    house.redeem(coupon)
    request = house.request(coupon).replaced(**changes)
    with pytest.raises(IdempotencyConflict, match=r"idempotency\.conflict"):
        house.run(
            house.ledger.hold(request, house.admission(coupon), merchant_id=MERCHANT, redemption_id="R9", now=NOW)
        )
    with pytest.raises(IdempotencyConflict, match=r"idempotency\.conflict"):
        house.run(house.ledger.repeat(request, merchant_id=MERCHANT, now=NOW))


def test_a_known_key_with_another_coupon_is_a_conflict(house):
    first, second = house.bound(), house.bound()
    house.redeem(first)
    with pytest.raises(IdempotencyConflict, match=r"idempotency\.conflict"):
        house.hold(second)
    assert house.state(second) == "available"


def test_another_proof_and_a_rotating_token_are_the_same_request(house):
    coupon = house.bound()
    redemption = house.redeem(coupon)
    token = make_token(coupon.coupon_id, at=NOW, key=b"t" * 32)
    shown = house.request(coupon).replaced(coupon=token)
    assert house.run(house.ledger.repeat(shown, merchant_id=MERCHANT, now=NOW)) == redemption


def test_keys_of_two_merchants_do_not_meet(house):
    house.redeem(house.bound())
    other = house.bound()
    work = house.ledger.hold(
        house.request(other), house.admission(other), merchant_id="M2", redemption_id="R-M2", now=NOW
    )
    assert not house.run(work).is_repeat


def test_a_new_key_is_no_repeat(house):
    assert house.run(house.ledger.repeat(house.request(house.bound()), merchant_id=MERCHANT, now=NOW)) is None


def test_an_unknown_code_under_a_known_key_is_no_way_to_the_redemption(house):
    coupon = house.bound()
    house.redeem(coupon)
    token = make_token("C-other", at=NOW, key=b"t" * 32)
    with pytest.raises(IdempotencyConflict, match=r"idempotency\.conflict"):
        house.run(house.ledger.repeat(house.request(coupon).replaced(coupon=token), merchant_id=MERCHANT, now=NOW))


def test_a_held_coupon_is_refused_to_another_key(house):
    coupon = house.bound()
    house.hold(coupon)
    with pytest.raises(CouponStateError, match=r"coupon\.held"):
        house.hold(coupon, key="order-2")
    assert house.audit() == ()


def test_a_coupon_is_judged_again_by_its_dates(house):
    coupon = house.bound()
    for now, code in ((NOW + 30 * DAY, "coupon.expired"), (NOW - 2 * DAY, "coupon.not_yet_valid")):
        house.now = now
        with pytest.raises(CouponStateError) as caught:
            house.hold(coupon)
        assert caught.value.code == code


def test_a_coupon_is_redeemed_only_where_it_is_bound(house):
    coupon = house.bound()
    with pytest.raises(CouponStateError, match=r"coupon\.not_bound"):
        house.hold(coupon, platform=ALSO)
    with pytest.raises(CouponStateError, match=r"coupon\.not_on_platform"):
        house.hold(coupon, platform="thirdpay")


def test_a_binding_that_waits_for_delivery_is_no_binding_yet(house):
    coupon = house.bound()
    house.bind(coupon.coupon_id, platform=ALSO, pending=True, user=None)
    with pytest.raises(CouponStateError, match=r"coupon\.not_bound"):
        house.hold(coupon, platform=ALSO)


def test_a_verdict_over_another_coupon_holds_nothing(house):
    coupon = house.bound()
    stolen = replace(house.admission(coupon), verified=house.admission(house.bound()).verified)
    with pytest.raises(VerificationError, match=r"verification\.other_coupon"):
        house.hold(coupon, admission=stolen)


def test_a_limit_that_is_full_undoes_the_whole_hold(house):
    coupon = house.bound()
    limits = [day_limit(500), day_limit(500, subject="holder-2", max_fen=499)]
    with pytest.raises(LimitError, match=r"limit\.exceeded") as caught:
        house.hold(coupon, consumptions=limits)
    assert caught.value.details["limit"] == "day"
    assert (house.state(coupon), house.counters(), house.kinds(coupon)) == ("available", {}, ["issued", "bound"])


def challenge(coupon, **changes):
    facts = Challenge("H1", coupon.coupon_id, PAY, Method.SMS, NOW + 5 * MINUTE, {"resend_after_s": 60})
    return replace(facts, **changes)


def test_a_hold_spends_its_challenge(house):
    first = house.bound()
    house.run(house.ledger.open_challenge(challenge(first)))
    assert house.run(house.ledger.challenge("H1")) == challenge(first)
    house.hold(first, challenge_id="H1")
    with pytest.raises(VerificationError, match=r"challenge\.used"):
        house.run(house.ledger.challenge("H1"))


def test_a_challenge_serves_one_hold(house):
    first, second = house.bound(), house.bound()
    house.run(house.ledger.open_challenge(challenge(first)))
    house.hold(first, challenge_id="H1")
    with pytest.raises(VerificationError, match=r"challenge\.used"):
        house.hold(second, key="order-2", challenge_id="H1")
    assert house.state(second) == "available"


def test_the_challenge_of_the_verdict_is_spent_too(house):
    coupon = house.bound()
    opened = house.run(house.ledger.open_challenge(challenge(coupon)))
    admission = house.admission(coupon)
    house.hold(coupon, admission=replace(admission, verified=replace(admission.verified, challenge=opened)))
    with pytest.raises(VerificationError, match=r"challenge\.used"):
        house.run(house.ledger.challenge("H1"))


@pytest.mark.parametrize(
    ("challenge_id", "after", "code"),
    [("H1", 5 * MINUTE, "challenge.expired"), ("H9", timedelta(), "challenge.unknown")],
)
def test_a_late_or_unknown_challenge_is_refused(house, challenge_id, after, code):
    coupon = house.bound()
    house.run(house.ledger.open_challenge(challenge(coupon)))
    with pytest.raises(VerificationError) as caught:
        house.run(house.ledger.answer_challenge(challenge_id, now=NOW + after))
    assert caught.value.code == code


def test_attempts_at_a_challenge_are_counted(house):
    house.run(house.ledger.open_challenge(challenge(house.bound())))
    assert [house.run(house.ledger.count_attempt("H1")) for _ in range(3)] == [1, 2, 3]


def test_old_challenges_are_forgotten(house):
    house.run(house.ledger.open_challenge(challenge(house.bound())))
    assert house.run(house.ledger.forget_challenges(before=NOW)) == 0
    assert house.run(house.ledger.forget_challenges(before=NOW + DAY)) == 1


def test_an_unknown_redemption_and_another_merchants_look_alike(house):
    redemption = house.redeem(house.bound())
    for work in (
        house.ledger.redemption("R-none"),
        house.ledger.redemption(redemption.redemption_id, merchant_id="M2"),
        house.ledger.held("R-none"),
    ):
        with pytest.raises(ValidationError, match=r"redemption\.unknown"):
            house.run(work)
    assert house.run(house.ledger.redemption(redemption.redemption_id, merchant_id=MERCHANT)) == redemption


def test_a_redemption_id_is_used_once(house):
    first, second = house.bound(), house.bound()
    house.hold(first, redemption_id="R1")
    with pytest.raises(LedgerError, match=r"ledger\.constraint"):
        house.hold(second, key="order-2", redemption_id="R1")
    assert house.state(second) == "available"


def test_a_coupon_below_its_platforms_is_listed_before_it_is_held(house):
    batch = house.issue(of=template(template_id="T7"))
    coupon = house.bind(batch.coupons[0].coupon_id)
    with pytest.raises(CouponStateError, match=r"coupon\.not_bound"):
        house.hold(coupon)
