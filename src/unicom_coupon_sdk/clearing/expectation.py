"""What a redemption should bring in: the day, and the fees, by the terms in force when it happened."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from unicom_coupon_sdk.clearing.workdays import WorkingCalendar
from unicom_coupon_sdk.domain.money import portion
from unicom_coupon_sdk.domain.settlement import Cycle, DayCount, SettlementDate
from unicom_coupon_sdk.domain.times import BEIJING, business_date
from unicom_coupon_sdk.platform.profile import PlatformProfile


@dataclass(frozen=True, slots=True)
class Expectation:
    """Money to come: ``settles_on`` in Beijing; fees in fen, of which ``advance_fee_fen`` is the price of T+0."""

    settles_on: SettlementDate
    fee_fen: int
    advance_fee_fen: int


def expect(
    profile: PlatformProfile, value_fen: int, *, at: datetime, calendar: WorkingCalendar, contracts: frozenset[str]
) -> Expectation:
    """The expectation for ``value_fen`` redeemed at ``at`` (aware)."""
    local = at.astimezone(BEIJING)
    terms = profile.terms_on(local.date(), contracts=contracts)
    day = business_date(at)
    if terms.cut_off is not None and local.time() >= terms.cut_off:
        day += timedelta(days=1)
    settles_on: SettlementDate
    if terms.cycle is not Cycle.T_1:
        settles_on = day
    elif terms.days is DayCount.CALENDAR:
        settles_on = day + timedelta(days=1)
    else:
        settles_on = calendar.next_worked(day)
    return Expectation(
        settles_on=settles_on,
        fee_fen=portion(value_fen, terms.fee_bp),
        advance_fee_fen=portion(value_fen, terms.advance_fee_bp),
    )
