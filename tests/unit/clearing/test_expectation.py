from datetime import UTC, date, datetime, time

import pytest
from tests.profiles import profile

from unicom_coupon_sdk.clearing.expectation import expect
from unicom_coupon_sdk.clearing.workdays import WorkingCalendar
from unicom_coupon_sdk.domain.settlement import CalendarNotPublished, Cycle, DayCount, SettlementTerms

NONE = frozenset()


def terms(cycle, days=DayCount.CALENDAR, **more):
    return SettlementTerms(cycle=cycle, days=days, source="test", **more)


def expected(*offered, at, contracts=NONE, value_fen=10_000):
    return expect(profile(settlement=offered), value_fen, at=at, calendar=WorkingCalendar(), contracts=contracts)


AT = datetime(2026, 5, 1, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize("cycle", [Cycle.PAYMENT, Cycle.REAL_TIME, Cycle.T_0, Cycle.D_0])
def test_same_day_cycles_settle_on_the_day_in_beijing(cycle):
    assert expected(terms(cycle), at=AT).settles_on == date(2026, 5, 1)
    assert expected(terms(cycle), at=datetime(2026, 5, 1, 16, tzinfo=UTC)).settles_on == date(2026, 5, 2)


def test_t_plus_1_counts_calendar_or_working_days():
    assert expected(terms(Cycle.T_1), at=AT).settles_on == date(2026, 5, 2)
    assert expected(terms(Cycle.T_1, DayCount.WORKING), at=AT).settles_on == date(2026, 5, 6)


def test_from_the_cut_off_on_a_redemption_counts_for_the_next_day():
    late = terms(Cycle.T_1, cut_off=time(23, 0))
    assert expected(late, at=datetime(2026, 5, 20, 14, 59, 59, tzinfo=UTC)).settles_on == date(2026, 5, 21)
    assert expected(late, at=datetime(2026, 5, 20, 15, 0, tzinfo=UTC)).settles_on == date(2026, 5, 22)


def test_terms_by_contract_need_the_contract():
    advance = terms(Cycle.T_0, contract="advance", advance_fee_bp=5)
    usual = terms(Cycle.T_1, fee_bp=60)
    assert expected(advance, usual, at=AT).fee_fen == 60
    agreed = expected(advance, usual, at=AT, contracts=frozenset({"advance"}))
    assert (agreed.settles_on, agreed.fee_fen, agreed.advance_fee_fen) == (date(2026, 5, 1), 0, 5)


def test_terms_are_those_in_force_on_the_day():
    old = terms(Cycle.T_1, fee_bp=60, until=date(2026, 6, 1))
    new = terms(Cycle.T_1, fee_bp=38, since=date(2026, 6, 1))
    assert expected(old, new, at=AT).fee_fen == 60
    assert expected(old, new, at=datetime(2026, 5, 31, 16, tzinfo=UTC)).fee_fen == 38


def test_an_unpublished_year_is_said_and_not_guessed():
    at = datetime(2026, 12, 31, 4, tzinfo=UTC)
    assert expected(terms(Cycle.T_1, DayCount.WORKING), at=at).settles_on == CalendarNotPublished(2027)
