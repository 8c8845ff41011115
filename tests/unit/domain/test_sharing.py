from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicom_coupon_sdk.domain.sharing import Fixed, Ratio, Receiver, Remainder, SharePart, ShareRole, ShareRule
from unicom_coupon_sdk.errors import ValidationError


def part(role, size):
    receiver = None if role is ShareRole.MERCHANT else Receiver(merchant_account="1900000001")
    return SharePart(role=role, size=size, receiver=receiver)


def rule(*sizes, merchant=None):
    parts = [part(ShareRole.PLATFORM, size) for size in sizes]
    return ShareRule(name="r1", parts=(*parts, part(ShareRole.MERCHANT, merchant or Remainder())))


def test_the_remainder_gets_what_rounding_leaves():
    assert rule(Fixed(fen=3), Ratio(basis_points=3_333)).allocate(100) == (3, 33, 64)


@given(
    amount=st.integers(1, 10**12),
    fixed=st.lists(st.integers(1, 1_000), max_size=5),
    ratios=st.lists(st.integers(1, 2_000), min_size=1, max_size=5),
)
def test_no_fen_is_lost_or_made(amount, fixed, ratios):
    shared = rule(*(Fixed(fen=fen) for fen in fixed), *(Ratio(basis_points=points) for points in ratios))
    taken = sum(fixed) + sum(amount * points // 10_000 for points in ratios)
    if taken > amount:
        with pytest.raises(ValidationError, match=r"share\.too_small"):
            shared.allocate(amount)
        return
    sizes = shared.allocate(amount)
    assert sum(sizes) == amount
    assert min(sizes) >= 0


@pytest.mark.parametrize(
    ("sizes", "merchant"),
    [
        ((Ratio(basis_points=6_000), Ratio(basis_points=4_001)), None),
        ((Remainder(),), None),
        ((Ratio(basis_points=1),), Fixed(fen=1)),
    ],
)
def test_a_rule_that_cannot_add_up_is_refused(sizes, merchant):
    with pytest.raises(ValidationError, match=r"share\.rule"):
        rule(*sizes, merchant=merchant)


def test_only_the_merchants_part_has_no_receiver():
    with pytest.raises(ValidationError, match=r"share\.receiver"):
        SharePart(role=ShareRole.USER, size=Remainder())
    with pytest.raises(ValidationError, match=r"share\.receiver"):
        SharePart(role=ShareRole.MERCHANT, size=Remainder(), receiver=Receiver(merchant_account="1"))
    with pytest.raises(ValidationError, match=r"share\.receiver"):
        Receiver()


def test_a_rule_holds_from_its_first_day_to_before_its_last():
    dated = ShareRule(name="r", parts=rule(Fixed(fen=1)).parts, since=date(2026, 1, 1), until=date(2026, 2, 1))
    assert [dated.in_force(day) for day in (date(2025, 12, 31), date(2026, 1, 1), date(2026, 2, 1))] == [0, 1, 0]
