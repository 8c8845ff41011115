import itertools

import pytest

from unicom_coupon_sdk.domain.state import (
    COUPON_MOVES,
    OPERATION_MOVES,
    CouponMove,
    CouponState,
    OperationMove,
    OperationState,
)

COUPON_PATHS = {
    ("issued", "bind"): "available",
    ("available", "hold"): "held",
    ("held", "redeem"): "redeemed",
    ("held", "release"): "available",
    ("redeemed", "hold_reversal"): "reversing",
    ("reversing", "reverse"): "available",
    ("reversing", "keep_redeemed"): "redeemed",
    ("issued", "expire"): "expired",
    ("available", "expire"): "expired",
    ("issued", "void"): "void",
    ("available", "void"): "void",
}


@pytest.mark.parametrize(("state", "move"), list(itertools.product(CouponState, CouponMove)))
def test_every_coupon_move_is_allowed_or_refused_as_written(state, move):
    assert COUPON_MOVES.after(state, move) == COUPON_PATHS.get((state.value, move.value))


def test_a_spent_or_dead_coupon_has_no_way_back_but_a_reversal():
    assert [m for s, m in COUPON_MOVES.table if s is CouponState.REDEEMED] == [CouponMove.HOLD_REVERSAL]
    assert not [m for s, m in COUPON_MOVES.table if s in (CouponState.EXPIRED, CouponState.VOID)]


@pytest.mark.parametrize("state", list(OperationState))
def test_a_released_or_reversed_operation_never_moves_again(state):
    moves = [move for source, move in OPERATION_MOVES.table if source is state]
    assert bool(moves) == (state not in (OperationState.RELEASED, OperationState.REVERSED))


def test_unknown_never_goes_back_to_held():
    assert OperationState.HELD not in OPERATION_MOVES.table.values()
    assert OPERATION_MOVES.sources(OperationMove.FINISH) == {
        OperationState.HELD,
        OperationState.UNKNOWN,
        OperationState.PENDING,
    }
