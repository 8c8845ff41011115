import pytest
from tests.ledger_house import DAY, DONE, MERCHANT, NOT_DONE, NOW, UNKNOWN, day_limit

from unicom_coupon_sdk.domain.redemption import ReverseRequest
from unicom_coupon_sdk.domain.state import ReversalCause
from unicom_coupon_sdk.errors import CouponStateError, IdempotencyConflict, LedgerError, ValidationError


def test_a_reversal_makes_the_coupon_available_again_and_says_why(house):
    coupon = house.bound()
    redemption = house.redeem(coupon)
    reversal = house.reverse(redemption, cause=ReversalCause.ORDER_CANCELLED)
    assert (house.state(coupon), reversal.state.value, reversal.cause.value) == (
        "available",
        "done",
        "order_cancelled",
    )
    assert house.run(house.ledger.redemption(redemption.redemption_id)).state.value == "reversed"
    assert house.run(house.ledger.reversal(reversal.reversal_id)) == reversal
    assert house.kinds(coupon)[-2:] == ["reversing", "reversed"]


def test_the_adapter_gets_the_redemption_with_what_the_platform_named(house):
    redemption = house.redeem(house.bound())
    held = house.hold_reversal(redemption).held
    assert held.redeemed.redemption.platform_no == "P1"
    assert dict(held.redeemed.binding.refs) == {"card_id": "K1", "trade_no": "T1"}
    assert house.run(house.ledger.held_reversal(held.reversal.reversal_id)) == held


def test_a_reversed_coupon_can_be_redeemed_again(house):
    coupon = house.bound()
    house.reverse(house.redeem(coupon))
    assert house.redeem(coupon, key="order-2").state.value == "done"
    assert house.audit() == ()


def test_the_old_key_of_a_reversed_redemption_redeems_nothing(house):
    coupon = house.bound()
    house.reverse(house.redeem(coupon))
    again = house.hold(coupon)
    assert (again.is_repeat, again.held.redemption.state.value, house.state(coupon)) == (True, "reversed", "available")


def test_a_refused_reversal_leaves_the_redemption_as_it_was(house):
    coupon = house.bound()
    redemption = house.redeem(coupon)
    reversal = house.reverse(redemption, outcome=NOT_DONE)
    assert (house.state(coupon), reversal.state.value, reversal.error_code) == (
        "redeemed",
        "released",
        "platform.refused",
    )
    assert house.run(house.ledger.redemption(redemption.redemption_id)) == redemption
    assert house.kinds(coupon)[-1] == "reversal_dropped"
    assert house.reverse(redemption, key="reverse-2").state.value == "done"


@pytest.mark.parametrize(("verdict", "state"), [(DONE, "available"), (NOT_DONE, "redeemed")], ids=["done", "not"])
def test_an_unknown_reversal_is_resolved_either_way(house, verdict, state):
    coupon = house.bound()
    held = house.hold_reversal(house.redeem(coupon)).held
    assert house.conclude_reversal(held, UNKNOWN).state.value == "unknown"
    assert house.state(coupon) == "reversing"
    house.conclude_reversal(held, verdict)
    assert house.state(coupon) == state
    assert house.audit() == ()


def test_a_coupon_past_its_last_day_goes_on_to_expired(house):
    coupon = house.bound()
    redemption = house.redeem(coupon)
    house.now = NOW + 30 * DAY
    house.reverse(redemption)
    assert (house.state(coupon), house.kinds(coupon)[-2:]) == ("expired", ["reversed", "expired"])


def test_limits_are_given_back_within_their_window_alone(house):
    limits = [
        day_limit(500),
        day_limit(500, subject="month", window="2026-05"),
        day_limit(500, subject="ever", window="ever"),
    ]
    redemption = house.redeem(house.bound(), consumptions=limits)
    house.now = NOW + DAY
    house.reverse(redemption)
    assert house.counters() == {("holder-1", "2026-05-20"): (500, 1)}
    assert house.audit() == ()


def test_the_journal_is_turned_back_to_nothing(house):
    redemption = house.redeem(house.bound(), fee_fen=3)
    reversal = house.reverse(redemption)
    assert house.balance() == {}
    there = house.run(house.ledger.postings(redemption.redemption_id))
    back = house.run(house.ledger.postings(reversal.reversal_id))
    assert [(line.account, -line.amount_fen) for line in there] == [(line.account, line.amount_fen) for line in back]


@pytest.mark.parametrize("outcome", [DONE, NOT_DONE, UNKNOWN], ids=["done", "not", "unknown"])
def test_the_same_verdict_again_changes_nothing(house, outcome):
    coupon = house.bound()
    held = house.hold_reversal(house.redeem(coupon)).held
    first = house.conclude_reversal(held, outcome)
    kinds = house.kinds(coupon)
    assert house.conclude_reversal(held, outcome) == first
    assert house.kinds(coupon) == kinds


@pytest.mark.parametrize(("first", "second"), [(DONE, NOT_DONE), (NOT_DONE, DONE)], ids=["took back", "came late"])
def test_the_opposite_of_what_was_concluded_is_a_contradiction(house, first, second):
    held = house.hold_reversal(house.redeem(house.bound())).held
    house.conclude_reversal(held, first)
    with pytest.raises(LedgerError, match=r"ledger\.contradiction"):
        house.conclude_reversal(held, second)


def test_a_key_in_progress_says_so_and_later_gives_its_outcome(house):
    redemption = house.redeem(house.bound())
    held = house.hold_reversal(redemption).held
    with pytest.raises(IdempotencyConflict, match=r"idempotency\.in_progress"):
        house.hold_reversal(redemption)
    reversal = house.conclude_reversal(held)
    again = house.hold_reversal(redemption)
    assert (again.is_repeat, again.held.reversal) == (True, reversal)


@pytest.mark.parametrize(
    "changes", [{"cause": ReversalCause.MERCHANT_ERROR}, {"note": "other"}, {"redemption_id": "Rother"}]
)
def test_a_known_key_with_another_request_is_a_conflict(house, changes):
    redemption = house.redeem(house.bound())
    house.reverse(redemption)
    request = ReverseRequest(idempotency_key="reverse-1", redemption_id=redemption.redemption_id).replaced(**changes)
    work = house.ledger.hold_reversal(request, merchant_id=MERCHANT, reversal_id="V9", deadline=NOW, now=NOW)
    with pytest.raises(IdempotencyConflict, match=r"idempotency\.conflict"):
        house.run(work)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [(None, "reversal.not_redeemed"), (UNKNOWN, "reversal.not_redeemed"), (NOT_DONE, "reversal.not_redeemed")],
    ids=["held", "unknown", "released"],
)
def test_only_what_is_done_can_be_taken_back(house, outcome, code):
    held = house.hold(house.bound()).held
    redemption = held.redemption if outcome is None else house.conclude(held, outcome)
    with pytest.raises(CouponStateError) as caught:
        house.hold_reversal(redemption)
    assert caught.value.code == code


def test_a_second_reversal_is_refused_during_and_after_the_first(house):
    redemption = house.redeem(house.bound())
    held = house.hold_reversal(redemption).held
    with pytest.raises(CouponStateError, match=r"reversal\.under_way"):
        house.hold_reversal(redemption, key="reverse-2")
    house.conclude_reversal(held)
    with pytest.raises(CouponStateError, match=r"reversal\.done_before"):
        house.hold_reversal(redemption, key="reverse-2")


def test_another_merchants_redemption_is_unknown(house):
    redemption = house.redeem(house.bound())
    request = ReverseRequest(idempotency_key="reverse-1", redemption_id=redemption.redemption_id)
    work = house.ledger.hold_reversal(request, merchant_id="M2", reversal_id="V9", deadline=NOW, now=NOW)
    with pytest.raises(ValidationError, match=r"redemption\.unknown"):
        house.run(work)
    with pytest.raises(ValidationError, match=r"reversal\.unknown"):
        house.run(house.ledger.reversal("V-none"))
