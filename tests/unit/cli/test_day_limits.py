"""The demonstration's first act: a holder at the day limit, on the eve of days off."""

import asyncio
import json
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from tests.profiles import profile
from typer.testing import CliRunner

from unicom_coupon_sdk.clearing.workdays import WorkingCalendar
from unicom_coupon_sdk.cli import day_limits, demo  # noqa: F401 - it registers itself
from unicom_coupon_sdk.cli.app import app
from unicom_coupon_sdk.cli.output import ExitCode
from unicom_coupon_sdk.client import AsyncCouponClient
from unicom_coupon_sdk.domain.limits import Limit, Subject, Window
from unicom_coupon_sdk.domain.order import Holder
from unicom_coupon_sdk.domain.requests import ChallengeRequest
from unicom_coupon_sdk.domain.settlement import CalendarNotPublished, Cycle, DayCount, SettlementTerms
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.domain.verification import Method, SmsProof
from unicom_coupon_sdk.sandbox.inprocess import Sandbox

HOLDER = Holder(phone="13800001238")
CALENDAR = WorkingCalendar()


def beijing(text):
    return datetime.fromisoformat(text).replace(tzinfo=BEIJING)


@pytest.mark.parametrize(
    ("now", "eve"),
    [
        ("2026-11-29T14:00", "2026-12-04T09:00"),  # Sunday: the next Friday
        ("2026-12-04T08:59", "2026-12-04T09:00"),
        ("2026-12-04T19:59", "2026-12-04T19:59"),  # Friday, and time enough
        ("2026-12-04T20:00", "2026-12-05T09:00"),  # too late: Saturday, before a Sunday
        ("2026-02-09T10:00", "2026-02-14T09:00"),  # a made-up Saturday before the Spring Festival
        ("2026-09-28T10:00", "2026-09-30T09:00"),  # the National Day
        ("2080-05-06T10:00", "2080-05-06T10:00"),  # nobody knows the days off of that year
    ],
)
def test_the_act_plays_on_the_next_morning_that_a_day_off_follows(now, eve):
    assert day_limits.eve_of_rest(CALENDAR, now=beijing(now)) == beijing(eve)


@pytest.mark.parametrize(
    ("day", "due"),
    [
        (date(2026, 12, 4), date(2026, 12, 7)),
        (date(2026, 2, 14), date(2026, 2, 24)),
        (date(2026, 9, 30), date(2026, 10, 8)),
        (date(2080, 12, 31), CalendarNotPublished(2081)),
    ],
)
def test_money_is_due_on_the_next_worked_day(day, due):
    working = SettlementTerms(cycle=Cycle.T_1, days=DayCount.WORKING, source="test")
    assert day_limits.due_on(profile(settlement=(working,)), CALENDAR, day=day) == due


@pytest.mark.parametrize(("cycle", "days"), [(Cycle.T_1, DayCount.CALENDAR), (Cycle.T_0, DayCount.WORKING)])
def test_money_that_does_not_count_working_days_is_not_this_acts(cycle, days):
    terms = SettlementTerms(cycle=cycle, days=days, source="test")
    assert day_limits.due_on(profile(settlement=(terms,)), CALENDAR, day=date(2026, 12, 4)) is None


def test_only_a_limit_of_every_holders_day_counts():
    limits = [
        Limit(name="tiered", subject=Subject.HOLDER, window=Window.DAY, source="test", max_fen=1, tier="silver"),
        Limit(name="once", subject=Subject.HOLDER, window=Window.ONCE, source="test", max_fen=1),
        Limit(name="till", subject=Subject.TERMINAL, window=Window.DAY, source="test", max_fen=1),
        Limit(name="count", subject=Subject.HOLDER, window=Window.DAY, source="test", max_count=1),
    ]
    wanted = Limit(name="day", subject=Subject.HOLDER, window=Window.DAY, source="test", max_fen=100)
    on = date(2026, 12, 4)
    assert day_limits.limit_of(profile(limits=tuple(limits)), on=on) is None
    assert day_limits.limit_of(profile(limits=(*limits, wanted)), on=on) is wanted


def played(platform, *, now):
    """The act in process: what came of it, how often the platform was asked to redeem, and what time it is then."""
    with Sandbox(seed=7, platforms=[platform], real=lambda: now) as sandbox:

        async def run():
            client = AsyncCouponClient(
                sandbox.settings(),
                transport=sandbox.async_transport(),
                frames=sandbox.async_frames(),
                clock=sandbox.clock,
            )

            async def prove(coupon, *, platform, order):
                wish = ChallengeRequest(coupon=coupon.code, platform=platform, method=Method.SMS, order=order)
                challenge = await client.challenge(wish)
                code = sandbox.control.messages()[-1]["code"]
                return SmsProof(challenge_id=challenge.challenge_id, one_time_code=code)

            async def move_clock(to):
                sandbox.control.set_clock(to)

            async with client:
                told = await day_limits.play(client, holder=HOLDER, prove=prove, move_clock=move_clock)
                return told, await client.read(client.setting.ledger.audit())

        told, violations = asyncio.run(run())
        assert violations == ()
        redeems = [request for request in sandbox.control.requests() if "coupon/redeem" in request["request_line"]]
        return told, len(redeems), sandbox.clock.now()


def test_a_holder_reaches_the_limit_to_the_fen_and_a_fen_more_is_not_even_sent():
    (told,), redeems, now = played("bank", now=beijing("2026-11-29T14:00"))
    assert (told.at.state, told.at.value_fen, told.above, told.refusal) == (
        OperationState.DONE,
        told.limit.max_fen,
        None,
        "limit.exceeded",
    )
    assert (told.day, told.at.settles_on, told.due_on) == (date(2026, 12, 4), *[date(2026, 12, 7)] * 2)
    assert told.is_held
    assert told.is_dated
    assert redeems == 1
    assert now == beijing("2026-12-04T09:00")


def test_a_year_without_notice_is_shown_as_such():
    (told,), _, now = played("bank", now=beijing("2080-05-06T10:00"))
    assert told.at.settles_on == told.due_on == CalendarNotPublished(2080)
    assert told.is_dated
    assert now == beijing("2080-05-06T10:00")


def test_where_no_such_limit_is_nothing_happens_and_the_clock_stays():
    moment = beijing("2026-11-29T14:00")
    assert played("wechatpay", now=moment) == ([], 0, moment)


def test_a_limit_that_was_passed_and_a_wrong_date_are_seen():
    (told,), _, _ = played("bank", now=beijing("2026-11-29T14:00"))
    assert not replace(told, above=told.at, refusal=None).is_held
    assert not replace(told, at=replace(told.at, state=OperationState.UNKNOWN)).is_held
    for wrong in (told.day + timedelta(days=1), None, CalendarNotPublished(2026)):
        assert not replace(told, at=replace(told.at, settles_on=wrong)).is_dated


@pytest.mark.parametrize("change", [{"refusal": None}, {"due_on": date(2026, 12, 5)}])
def test_the_demo_fails_when_the_limit_or_the_date_is_wrong(monkeypatch, change):
    play = day_limits.play

    async def spoiling(*args, **kwargs):
        return [replace(real, **change) for real in await play(*args, **kwargs)]

    monkeypatch.setattr(day_limits, "play", spoiling)
    result = CliRunner().invoke(app, ["demo", "--coupons", "10", "--json", "--platform", "bank"])
    assert result.exit_code == ExitCode.BROKEN
    report = json.loads(result.stdout)
    assert report["ok"] is False
    assert (report["violations"], report["ledger_platform_differences"]) == ([], 0)
    (row,) = report["day_limits"]
    assert row["ok"] is False
    assert row["a_fen_above"] == ("accepted" if "refusal" in change else "limit.exceeded")


def test_the_demo_shows_limit_and_date_and_leaves_no_difference_behind():
    result = CliRunner().invoke(app, ["demo", "--coupons", "10", "--lang", "zh", "--platform", "bank"])
    assert result.exit_code == 0
    text = "".join(result.stdout.split())
    assert "bank：核销至每人日限额，多一分被拒" in text
    assert "50000.00" in text
    assert "天的资金到账日" in text
    assert "全部证明成立" in text
