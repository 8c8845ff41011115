import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from unicom_coupon_sdk.clearing.workdays import WorkingCalendar
from unicom_coupon_sdk.domain.settlement import CalendarNotPublished
from unicom_coupon_sdk.errors import ConfigurationError

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "cn_workdays.json").read_text(encoding="utf-8"))


def worked_by_notice(day):
    """The State Council's notice, read independently of the calendar package."""
    year = VECTORS["years"][str(day.year)]
    if day.isoformat() in year["make_up_work"]:
        return True
    if any(first <= day.isoformat() <= last for first, last in year["off"]):
        return False
    return day.weekday() < 5


@pytest.mark.parametrize("year", [2025, 2026])
def test_every_day_of_a_published_year_is_as_the_notice_says(year):
    calendar = WorkingCalendar()
    days = [date(year, 1, 1) + timedelta(days=n) for n in range(365)]
    assert [calendar.is_worked(day) for day in days] == [worked_by_notice(day) for day in days]
    assert sum(map(worked_by_notice, days)) == VECTORS["years"][str(year)]["workdays"]


@pytest.mark.parametrize("vector", VECTORS["t_plus_1"], ids=lambda vector: vector["trade"])
def test_the_next_working_day_after_a_trade(vector):
    settled = WorkingCalendar().next_worked(date.fromisoformat(vector["trade"]))
    assert settled == date.fromisoformat(vector["settle"])


@pytest.mark.parametrize("vector", VECTORS["out_of_range"], ids=lambda vector: vector["trade"])
def test_a_year_without_a_notice_is_an_answer_and_not_a_guess(vector):
    trade = date.fromisoformat(vector["trade"])
    assert WorkingCalendar().next_worked(trade) == CalendarNotPublished(trade.year + 1)


def test_an_override_file_wins_and_publishes_its_year(tmp_path):
    file = tmp_path / "calendar.toml"
    file.write_text("holidays = [2027-01-01]\nworkdays = [2027-01-02]\n", encoding="utf-8")
    calendar = WorkingCalendar.from_file(file)
    assert calendar.next_worked(date(2026, 12, 31)) == date(2027, 1, 2)
    assert calendar.next_worked(date(2027, 1, 2)) == date(2027, 1, 4)


def test_days_are_counted_on_demand():
    assert WorkingCalendar().next_worked(date(2026, 9, 30), after=2) == date(2026, 10, 9)


@pytest.mark.parametrize(
    "text", ["", "holidays = 3", "holidays = ['x']", "holidays = [2027-01-01T00:00:00]", "not toml ["]
)
def test_a_calendar_file_that_cannot_be_used_is_named(tmp_path, text):
    file = tmp_path / "calendar.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        WorkingCalendar.from_file(file)
    assert refused.value.code == "calendar.unreadable"
    assert str(file) in str(refused.value)


def test_a_calendar_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"calendar\.unreadable"):
        WorkingCalendar.from_file(tmp_path / "none.toml")
