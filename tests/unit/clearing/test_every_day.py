"""Each day of 2024 to 2026 on each platform and contract, against a table of our own of what the State Council said.

The table is written down from the yearly notices of the General Office, and the days are looked up in a list: nothing
of the calendar under test is used to judge it.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from unicom_coupon_sdk.clearing.expectation import expect
from unicom_coupon_sdk.clearing.workdays import WorkingCalendar
from unicom_coupon_sdk.domain.settlement import CalendarNotPublished, SettlementDate
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.platform import registry

# 国办发明电〔2023〕7号, 〔2024〕12号, 〔2025〕7号: days off, first to last, and weekend days that are worked.
OFF = """
2024-01-01 2024-01-01  元旦
2024-02-10 2024-02-17  春节
2024-04-04 2024-04-06  清明节
2024-05-01 2024-05-05  劳动节
2024-06-10 2024-06-10  端午节
2024-09-15 2024-09-17  中秋节
2024-10-01 2024-10-07  国庆节
2025-01-01 2025-01-01  元旦
2025-01-28 2025-02-04  春节
2025-04-04 2025-04-06  清明节
2025-05-01 2025-05-05  劳动节
2025-05-31 2025-06-02  端午节
2025-10-01 2025-10-08  国庆节、中秋节
2026-01-01 2026-01-03  元旦
2026-02-15 2026-02-23  春节
2026-04-04 2026-04-06  清明节
2026-05-01 2026-05-05  劳动节
2026-06-19 2026-06-21  端午节
2026-09-25 2026-09-27  中秋节
2026-10-01 2026-10-07  国庆节
"""
WORKED = """
2024-02-04 2024-02-18 2024-04-07 2024-04-28 2024-05-11 2024-09-14 2024-09-29 2024-10-12
2025-01-26 2025-02-08 2025-04-27 2025-09-28 2025-10-11
2026-01-04 2026-02-14 2026-02-28 2026-05-09 2026-09-20 2026-10-10
"""
FIRST, LAST = date(2024, 1, 1), date(2026, 12, 31)


def _span(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


DAYS = tuple(_span(FIRST, LAST))
_HOLIDAYS = {
    day for line in OFF.strip().splitlines() for day in _span(*(date.fromisoformat(text) for text in line.split()[:2]))
}
_MAKE_UP = {date.fromisoformat(text) for text in WORKED.split()}
WORKING_DAYS = tuple(
    day for day in DAYS if day in _MAKE_UP or (day not in _HOLIDAYS and day.isoweekday() not in {6, 7})
)

MOMENTS = (time(0, 0), time(12, 0), time(22, 59, 59, 999_999), time(23, 0), time(23, 59, 59, 999_999))
LATE = frozenset(MOMENTS[3:])


def same_day(day: date) -> date:
    return day


def next_day(day: date) -> date:
    return day + timedelta(days=1)


def next_working_day(day: date) -> date | None:
    """``None`` beyond the table: then no date is guessed, unless the next year's notice is out by now."""
    at = bisect_right(WORKING_DAYS, day)
    return WORKING_DAYS[at] if at < len(WORKING_DAYS) else None


def is_right(told: SettlementDate, wanted: date | None) -> bool:
    if wanted is None:
        return told == CalendarNotPublished(LAST.year + 1) or (isinstance(told, date) and told > LAST)
    return told == wanted


# platform, contract, whether 23:00 begins the next day, and what is right
CYCLES = (
    ("alipay", None, False, next_day),
    ("alipay", "alipay-fast-settlement", False, same_day),  # real time
    ("bank", None, False, next_working_day),
    ("unionpay_pos", None, True, next_working_day),
    ("unionpay_pos", "unionpay-d0", True, same_day),  # D+0
    ("wechatpay", None, False, next_day),
    ("wechatpay", "wechatpay-advance", False, same_day),  # T+0, funds advanced
)
CONTRACTS = frozenset(contract for _, contract, _, _ in CYCLES if contract is not None)


def wrong(platform: str, contracts: frozenset[str], *, is_cut: bool, right: object) -> list[tuple[object, ...]]:
    """The moments on which ``platform`` says another day than ``right``."""
    profile, calendar = registry.load(platform).profile, WorkingCalendar()
    found: list[tuple[object, ...]] = []
    for day in DAYS:
        for moment in MOMENTS:
            at = datetime.combine(day, moment, tzinfo=BEIJING).astimezone(UTC)
            business_day = day + timedelta(days=1) if is_cut and moment in LATE else day
            wanted = right(business_day)  # type: ignore[operator]
            told = expect(profile, 10_000, at=at, calendar=calendar, contracts=contracts).settles_on
            if not is_right(told, wanted):
                found.append((at, told, wanted))
    return found


@pytest.mark.parametrize(("platform", "contract", "is_cut", "right"), CYCLES)
def test_money_is_expected_on_the_right_day_whenever_it_is_redeemed(platform, contract, is_cut, right):
    contracts = frozenset() if contract is None else frozenset({contract})
    assert wrong(platform, contracts, is_cut=is_cut, right=right) == []


@pytest.mark.parametrize(("platform", "contract", "is_cut", "right"), CYCLES)
def test_contracts_with_others_change_nothing(platform, contract, is_cut, right):
    own = {told for name, told, _, _ in CYCLES if name == platform}
    contracts = CONTRACTS - own | ({contract} - {None})
    assert wrong(platform, contracts, is_cut=is_cut, right=right) == []


def test_every_cycle_that_a_profile_offers_is_walked():
    offered = {
        (name, terms.contract)
        for name in registry.available()
        for terms in registry.load(name).profile.settlement
        if any(terms.in_force(day) for day in DAYS)
    }
    assert offered == {(platform, contract) for platform, contract, _, _ in CYCLES}


def test_every_day_is_worked_or_not_as_the_notices_say():
    calendar = WorkingCalendar()
    assert [day for day in DAYS if calendar.is_worked(day) is not (day in WORKING_DAYS)] == []


def test_each_year_has_as_many_working_days_as_were_counted_elsewhere():
    assert [sum(day.year == year for day in WORKING_DAYS) for year in (2024, 2025, 2026)] == [251, 248, 248]


def test_the_notices_agree_with_the_vectors():
    vectors = json.loads((Path(__file__).parents[2] / "vectors" / "cn_workdays.json").read_text(encoding="utf-8"))
    for year, told in vectors["years"].items():
        off = {day for first, last in told["off"] for day in _span(date.fromisoformat(first), date.fromisoformat(last))}
        assert off == {day for day in _HOLIDAYS if day.year == int(year)}
        assert set(map(date.fromisoformat, told["make_up_work"])) == {d for d in _MAKE_UP if d.year == int(year)}
        assert told["workdays"] == sum(day.year == int(year) for day in WORKING_DAYS)
    for pair in vectors["t_plus_1"]:
        assert next_working_day(date.fromisoformat(pair["trade"])) == date.fromisoformat(pair["settle"])
