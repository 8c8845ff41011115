"""Every verb in every state: what the table allows happens, and nothing else does."""

import pytest
from tests.ledger_house import DAY, HOLDER, NOT_DONE, NOW, PAY, USER

from unicom_coupon_sdk.domain.redemption import Binding
from unicom_coupon_sdk.domain.state import COUPON_MOVES, OPERATION_MOVES, CouponMove, CouponState, OperationMove
from unicom_coupon_sdk.errors import CouponStateError, LedgerError
from unicom_coupon_sdk.ledger import coupons, operations


def coupon_in(house, state):
    """A coupon that was brought into ``state`` by the verbs alone, and its redemption if it has one."""
    if state == "issued":
        return house.listed().coupons[0], None
    coupon = house.bound()
    if state == "held":
        return coupon, house.hold(coupon).held.redemption
    if state == "redeemed":
        return coupon, house.redeem(coupon)
    if state == "reversing":
        redemption = house.redeem(coupon)
        house.hold_reversal(redemption)
        return coupon, redemption
    if state == "expired":
        house.run(house.ledger.expire(NOW + 30 * DAY, limit=9))
    if state == "void":
        house.run(house.ledger.void(coupon.coupon_id, now=NOW))
    return coupon, None


def hold(house, coupon, _redemption):
    house.hold(coupon, key="another-order")


def void(house, coupon, _redemption):
    house.run(house.ledger.void(coupon.coupon_id, now=NOW))


def start_binding(house, coupon, _redemption):
    house.start(coupon.coupon_id, platform="otherpay")


def reverse(house, _coupon, redemption):
    house.hold_reversal(redemption, key="another-reversal")


STATES = [state.value for state in CouponState]
ALLOWED = {
    hold: {"available"},
    void: {"issued", "available", "void"},  # a void coupon stays void: voiding is idempotent
    start_binding: {"issued", "available"},
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("verb", ALLOWED, ids=lambda verb: verb.__name__)
def test_a_verb_works_in_the_states_of_its_table_alone(house, verb, state):
    coupon, redemption = coupon_in(house, state)
    before = house.kinds(coupon)
    if state in ALLOWED[verb]:
        verb(house, coupon, redemption)
    else:
        with pytest.raises(CouponStateError) as caught:
            verb(house, coupon, redemption)
        assert caught.value.code == f"coupon.{state}"
        assert (house.state(coupon), house.kinds(coupon)) == (state, before)
    assert house.audit() == ()


@pytest.mark.parametrize("state", ["held", "reversing"])
def test_a_redemption_is_taken_back_from_redeemed_alone(house, state):
    coupon, redemption = coupon_in(house, state)
    with pytest.raises(CouponStateError, match=r"reversal\."):
        reverse(house, coupon, redemption)
    assert house.state(coupon) == state


@pytest.mark.parametrize("state", STATES)
def test_time_expires_unused_coupons_alone(house, state):
    coupon, _ = coupon_in(house, state)
    expired = house.run(house.ledger.expire(NOW + 31 * DAY, limit=9))
    if state in ("issued", "available"):
        assert (expired, house.state(coupon)) == (1, "expired")
    else:
        assert (expired, house.state(coupon)) == (0, state)
    assert house.audit() == ()


@pytest.mark.parametrize("state", STATES)
def test_late_news_of_a_delivery_moves_an_issued_coupon_alone(house, state):
    coupon, _ = coupon_in(house, state)
    news = Binding(coupon.coupon_id, PAY, USER, {})
    house.run(house.ledger.finish_binding(news, holder=HOLDER, now=NOW))
    assert house.state(coupon) == ("available" if state == "issued" else state)
    assert house.audit() == ()


@pytest.mark.parametrize("move", CouponMove)
@pytest.mark.parametrize("state", CouponState)
def test_the_ledger_moves_a_coupon_as_the_table_says(house, state, move):
    coupon, _ = coupon_in(house, state.value)
    with house.engine.begin() as connection:
        row = coupons.by_id(connection, coupon.coupon_id)
        target = COUPON_MOVES.after(state, move)
        if target is not None:
            reached = coupons.move(connection, row.coupon_id, state=row.state, version=row.version, by=move)
            assert reached == (target, row.version + 1)
        else:
            with pytest.raises(CouponStateError):
                coupons.move(connection, row.coupon_id, state=row.state, version=row.version, by=move)
        connection.rollback()


def test_a_move_from_an_old_version_is_refused_by_the_state_that_won(house):
    coupon = house.bound()
    with house.engine.begin() as connection:
        seen = coupons.by_id(connection, coupon.coupon_id)
    house.hold(coupon)
    with house.engine.begin() as connection, pytest.raises(CouponStateError, match=r"coupon\.held"):
        coupons.move(connection, coupon.coupon_id, state=seen.state, version=seen.version, by=CouponMove.HOLD)


def test_a_move_from_an_old_version_in_the_same_state_must_be_run_again(house):
    coupon = house.bound()
    with house.engine.begin() as connection:
        seen = coupons.by_id(connection, coupon.coupon_id)
    house.redeem(coupon, outcome=NOT_DONE)
    with house.engine.begin() as connection, pytest.raises(LedgerError, match=r"ledger\.moved") as caught:
        coupons.move(connection, coupon.coupon_id, state=seen.state, version=seen.version, by=CouponMove.HOLD)
    assert caught.value.retryable


@pytest.mark.parametrize("move", OperationMove)
@pytest.mark.parametrize("state", OPERATION_MOVES.table.keys() and {state for state, _ in OPERATION_MOVES.table})
def test_an_operation_moves_as_its_table_says(state, move):
    target = OPERATION_MOVES.after(state, move)
    if target is not None:
        assert operations.target_of(state, move) is target
    else:
        with pytest.raises(LedgerError, match=r"ledger\.illegal_move"):
            operations.target_of(state, move)


def test_expiring_takes_no_more_than_asked_for_the_oldest_first(house):
    house.listed(5)
    assert house.run(house.ledger.expire(NOW + 31 * DAY, limit=2)) == 2
    assert house.run(house.ledger.expire(NOW + 31 * DAY, limit=9)) == 3


def test_the_last_instant_of_validity_is_still_valid(house):
    house.listed()
    end = NOW + 30 * DAY
    assert house.run(house.ledger.expire(end - DAY / 86_400_000_000, limit=9)) == 0
    assert house.run(house.ledger.expire(end, limit=9)) == 1
