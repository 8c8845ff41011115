"""The bank says T+1 on every day of three years as the State Council's notices do (§5.3)."""

from datetime import date

from tests.unit.clearing.test_every_day import DAYS, LAST, next_working_day

from unicom_coupon_adapters.bank.emulation.orders import settle_day


def test_money_of_every_day_comes_on_the_next_worked_day():
    days = [day for day in DAYS if day < LAST]
    assert [settle_day(day) for day in days] == [(next_working_day(day), False) for day in days]


def test_money_of_a_year_without_notice_has_a_provisional_day():
    assert settle_day(date(2080, 12, 31)) == (date(2081, 1, 1), True)
