"""The PRC working calendar: weekends, holidays, and the make-up days on which people work instead.

The days are the State Council's yearly notice, as the ``chinesecalendar`` package carries it, with an override file
for a notice that is newer than the package. A year without a notice is a typed answer, ``CalendarNotPublished``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

from unicom_coupon_sdk.domain.settlement import CalendarNotPublished
from unicom_coupon_sdk.errors import ConfigurationError


class WorkingCalendar:
    """Which days are worked. ``overrides`` maps single days to ``True`` (worked) or ``False``, and wins."""

    def __init__(self, overrides: Mapping[date, bool] | None = None) -> None:
        self._overrides = dict(overrides or {})
        self._overridden_years = {day.year for day in self._overrides}

    @classmethod
    def from_file(cls, path: Path) -> WorkingCalendar:
        """From a TOML file with ``holidays = [dates]`` and ``workdays = [dates]``. Raises ``ConfigurationError``."""
        try:
            data = tomllib.loads(path.read_text(encoding="utf-8"))
            days = dict.fromkeys(data.get("holidays", []), False) | dict.fromkeys(data.get("workdays", []), True)
        except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, AttributeError, TypeError):
            raise ConfigurationError("calendar.unreadable", field="calendar.file", path=str(path)) from None
        if not days or not all(type(day) is date for day in days):
            raise ConfigurationError("calendar.unreadable", field="calendar.file", path=str(path))
        return cls(days)

    def is_worked(self, day: date) -> bool | CalendarNotPublished:
        """Whether ``day`` is a working day."""
        if day in self._overrides:
            return self._overrides[day]
        import chinese_calendar  # 20 ms to import, and most callers never ask

        try:
            return bool(chinese_calendar.is_workday(day))
        except NotImplementedError:
            # A year that the override file covers is published: its other days are plain weekdays and weekends.
            if day.year in self._overridden_years:
                return day.weekday() < 5
            return CalendarNotPublished(day.year)

    def next_worked(self, day: date, *, after: int = 1) -> date | CalendarNotPublished:
        """The ``after``-th working day later than ``day``."""
        found = 0
        while found < after:
            day += timedelta(days=1)
            worked = self.is_worked(day)
            if isinstance(worked, CalendarNotPublished):
                return worked
            found += worked
        return day
