"""When the money of a redemption is expected, as dated terms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time
from enum import StrEnum


class Cycle(StrEnum):
    """How long after the business day the merchant is paid."""

    PAYMENT = "payment"  # payment is settlement
    REAL_TIME = "real_time"
    T_0 = "t0"  # same day, with funds advanced
    D_0 = "d0"  # same day by contract, any day
    T_1 = "t1"  # next day


class DayCount(StrEnum):
    """Which days count."""

    CALENDAR = "calendar"
    WORKING = "working"  # PRC working days, make-up days included


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementTerms:
    """In force from ``since`` to before ``until``. Redemptions from ``cut_off`` (Beijing) on count for the next day.

    ``fee_bp`` and ``advance_fee_bp`` are ten-thousandths of the settled amount; ``advance_fee_bp`` is the price of
    advanced funds (T+0). ``contract`` names terms that hold only where the merchant has agreed them.
    """

    cycle: Cycle
    days: DayCount
    source: str
    cut_off: time | None = None
    fee_bp: int = 0
    advance_fee_bp: int = 0
    contract: str | None = None
    since: date = date(2000, 1, 1)
    until: date = date(9999, 12, 31)

    def in_force(self, on: date) -> bool:
        """Whether the terms hold on ``on``."""
        return self.since <= on < self.until


@dataclass(frozen=True, slots=True)
class CalendarNotPublished:
    """The State Council has not published the working days of ``year`` yet: no date is guessed."""

    year: int


SettlementDate = date | CalendarNotPublished
