"""When the money of a redemption is expected, as dated terms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What ``platform`` should pay ``merchant_id`` on the Beijing day ``settles_on``.

    ``size`` operations, of which a bill has shown ``matched``. ``value_fen`` is what the coupons took off (reversals
    are negative); the platform keeps ``fee_fen`` and, for advanced funds, ``advance_fee_fen``. Settled, once for ever,
    when every one has been shown.
    """

    settlement_id: str
    merchant_id: str
    platform: str
    settles_on: date
    number: int
    made_at: datetime
    size: int
    matched: int
    value_fen: int
    fee_fen: int
    advance_fee_fen: int
    settled_at: datetime | None = None

    @property
    def net_fen(self) -> int:
        """What should arrive."""
        return self.value_fen - self.fee_fen - self.advance_fee_fen

    def late_days(self, today: date) -> int:
        """For how many days the money has been late; 0 while it is not, or has come."""
        return 0 if self.settled_at is not None else max(0, (today - self.settles_on).days)
