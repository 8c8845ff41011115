"""T+1 on every day of three years, against the State Council's notices, and not against a calendar package (§5.3)."""

import json
from datetime import date, datetime, time, timedelta
from pathlib import Path

import pytest

from unicom_coupon_adapters.bank.emulation.orders import settle_day
from unicom_coupon_adapters.bank.profile import PROFILE
from unicom_coupon_sdk.clearing.expectation import expect
from unicom_coupon_sdk.clearing.workdays import WorkingCalendar
from unicom_coupon_sdk.domain.settlement import CalendarNotPublished
from unicom_coupon_sdk.domain.times import BEIJING

OFF = {
    2024: "0101-0101 0210-0217 0404-0406 0501-0505 0608-0610 0915-0917 1001-1007",
    2025: "0101-0101 0128-0204 0404-0406 0501-0505 0531-0602 1001-1008",
    2026: "0101-0103 0215-0223 0404-0406 0501-0505 0619-0621 0925-0927 1001-1007",
}
MADE_UP = {
    2024: "0204 0218 0407 0428 0511 0914 0929 1012",
    2025: "0126 0208 0427 0928 1011",
    2026: "0104 0214 0228 0509 0920 1010",
}
"""The notices for 2024, 2025 and 2026, written down by hand: days off, and days worked instead."""

WORKED = {2024: 251, 2025: 248, 2026: 248}
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "cn_workdays.json").read_text(encoding="utf-8"))
DAYS = [date(2024, 1, 1) + timedelta(days=n) for n in range(366 + 365 + 365)]


def is_worked(day):
    text = f"{day:%m%d}"
    if text in MADE_UP[day.year].split():
        return True
    return not any(part[:4] <= text <= part[5:] for part in OFF[day.year].split()) and day.weekday() < 5


def next_worked(day):
    day += timedelta(days=1)
    return day if is_worked(day) else next_worked(day)


def expected(day, *, at):
    moment = datetime.combine(day, at, tzinfo=BEIJING)
    told = expect(PROFILE, 1000, at=moment, calendar=WorkingCalendar(), contracts=frozenset())
    return told.settles_on


@pytest.mark.parametrize("year", [2025, 2026])
def test_the_table_is_the_published_one(year):
    notice = VECTORS["years"][str(year)]
    assert [f"{first[5:7]}{first[8:]}-{last[5:7]}{last[8:]}" for first, last in notice["off"]] == OFF[year].split()
    assert [f"{day[5:7]}{day[8:]}" for day in notice["make_up_work"]] == MADE_UP[year].split()


@pytest.mark.parametrize("year", WORKED)
def test_the_table_has_as_many_working_days_as_the_year(year):
    assert sum(is_worked(day) for day in DAYS if day.year == year) == WORKED[year]


@pytest.mark.parametrize("year", WORKED)
def test_money_of_every_day_comes_on_the_next_worked_day_and_the_bank_says_the_same(year):
    for day in [day for day in DAYS[:-1] if day.year == year]:
        wanted = next_worked(day)
        assert expected(day, at=time(0, 0)) == wanted, day
        assert expected(day, at=time(23, 59, 59, 999_999)) == wanted, day
        assert settle_day(day) == (wanted, False), day


def test_money_of_a_year_without_notice_has_no_date_here_and_a_provisional_one_at_the_bank():
    eve = date(2080, 12, 31)
    assert expected(eve, at=time(12, 0)) == CalendarNotPublished(2081)
    assert settle_day(eve) == (date(2081, 1, 1), True)
