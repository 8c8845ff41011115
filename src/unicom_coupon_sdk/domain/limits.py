"""Limits as dated data, and the counters that hold them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from unicom_coupon_sdk.domain.times import business_date


class Subject(StrEnum):
    """Whose use is counted."""

    HOLDER = "holder"
    MERCHANT = "merchant"
    TERMINAL = "terminal"
    DEVICE = "device"


class Window(StrEnum):
    """Over which stretch of Beijing time."""

    ONCE = "once"
    DAY = "day"
    MONTH = "month"
    EVER = "ever"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """At most ``max_fen`` and ``max_count`` for each subject and window. In force from ``since`` to before ``until``.

    ``source`` names the sheet section, law or contract the figure comes from. ``tier`` restricts the limit to holders
    or terminals of that tier; ``None`` means all.
    """

    name: str
    subject: Subject
    window: Window
    source: str
    max_fen: int | None = None
    max_count: int | None = None
    tier: str | None = None
    since: date = date(2000, 1, 1)
    until: date = date(9999, 12, 31)

    def in_force(self, on: date) -> bool:
        """Whether the limit holds on ``on``."""
        return self.since <= on < self.until

    def window_start(self, at: datetime) -> str:
        """The name of the window that ``at`` falls into: ``2026-05-20``, ``2026-05``, ``ever``."""
        day = business_date(at)
        match self.window:
            case Window.DAY | Window.ONCE:
                return day.isoformat()
            case Window.MONTH:
                return day.isoformat()[:7]
            case Window.EVER:
                return "ever"


@dataclass(frozen=True, slots=True)
class Consumption:
    """Room that a redemption takes from one counter: key (limit, subject, window) and the bounds it may not pass."""

    limit: str
    platform: str
    subject: str
    subject_index: str
    window: str
    amount_fen: int
    max_fen: int | None
    max_count: int | None
