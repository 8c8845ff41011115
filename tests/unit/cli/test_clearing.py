"""The commands of clearing: what a finance team types, and a script reads."""

import csv
import io
from datetime import timedelta

import pytest
from tests.unit.cli.test_command import PLATFORM, coupon, heard, run, server, token

from unicom_coupon_sdk.cli import clearing  # noqa: F401 - it registers itself
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.domain.times import business_date

__all__ = ["coupon", "run", "server"]


@pytest.fixture
def today(server):
    with CouponClient.from_config(server.settings_file) as client:
        return business_date(client.clock.now())


@pytest.fixture
def redeemed(run, coupon):
    key = coupon["coupon_id"]
    words = ("redeem", token(run, coupon), "-p", PLATFORM, "-k", key, "--order", "CLEAR1", "--amount-fen", 2_000)
    return heard(run(*words, "--json"))


def test_settling_gathers_what_is_due_and_says_it_in_yuan(run, redeemed, today):
    tomorrow = (today + timedelta(days=1)).isoformat()
    made = heard(run("settle", "--date", tomorrow, "--json"))["made"]
    assert [(one["platform"], one["net_fen"], one["late_days"]) for one in made] == [
        (PLATFORM, 497 * made[0]["size"], 0)
    ]
    assert heard(run("settle", "--date", tomorrow, "--json"))["made"] == []
    told = run("settle", "--date", tomorrow, "--lang", "zh").stdout
    assert "逾期" in told


def test_the_trial_balance_sums_to_zero_and_its_journal_is_csv(run, redeemed, today):
    told = heard(run("trial-balance", "--json"))
    assert (told["ok"], told["sum_fen"]) == (True, 0)
    assert told["balances"]["marketing_expense"] >= 500
    assert "0.00" in run("trial-balance", "--lang", "en").stdout
    rows = list(csv.DictReader(io.StringIO(run("trial-balance", "--journal").stdout)))
    mine = [row for row in rows if row["operation_id"] == redeemed["redemption_id"]]
    assert sum(int(row["amount_fen"]) for row in mine) == 0
    assert {row["booked_on"] for row in mine} == {today.isoformat()}
    earlier = (today - timedelta(days=9)).isoformat()
    assert heard(run("trial-balance", "--date", earlier, "--json"))["balances"] == {}


@pytest.mark.parametrize("day", ["20260520", "2026-13-01", "yesterday"])
def test_what_is_no_day_is_refused(run, day):
    told = heard(run("settle", "--date", day, "--json", code=4))
    assert told["error"]["code"] == "cli.day"


def test_a_rule_that_is_not_in_the_settings_is_named(run, redeemed):
    words = ("share", redeemed["redemption_id"], "-k", "s1", "--rule", "standard", "--amount-fen", 100, "--json")
    result = run(*words, code=4 if "share" not in _offered() else 3)
    assert heard(result)["error"]["code"] in ("platform.unsupported", "share.no_rule")


def test_what_is_not_cash_is_not_paid_out(run, coupon):
    words = ("pay-out", token(run, coupon), "-p", PLATFORM, "-k", "p1", "--reference", "P1", "--json")
    told = heard(run(*words, code=4))
    assert told["error"]["code"] in ("platform.unsupported", "coupon.not_cash")


def _offered():
    from unicom_coupon_sdk.platform import registry

    return {capability.value for capability in registry.load(PLATFORM).profile.capabilities}
