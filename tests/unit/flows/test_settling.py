"""What should arrive on which day: every operation in one settlement, nothing guessed, late is said."""

from datetime import date, timedelta

import pytest

from unicom_coupon_sdk import OperationState, ReverseRequest
from unicom_coupon_sdk.domain.times import business_date


@pytest.fixture
def tomorrow(shop):
    return business_date(shop.sandbox.clock.now()) + timedelta(days=1)


def redeemed(shop, count=1):
    return [shop.client.redeem(shop.wish(shop.bound())) for _ in range(count)]


def ledger_of(shop):
    return shop.setting.ledger


def finish(shop):
    now = shop.sandbox.clock.now()
    return shop.client.read(ledger_of(shop).finish_settlements("sandbox", "wechatpay", now=now))


def test_what_is_due_is_gathered_once(shop, tomorrow):
    redeemed(shop, 2)
    assert shop.client.settle(tomorrow - timedelta(days=1)).made == ()
    (made,) = shop.client.settle(tomorrow).made
    assert (made.size, made.value_fen, made.fee_fen, made.net_fen) == (2, 1_000, 6, 994)
    assert shop.client.settle(tomorrow).made == ()


def test_what_comes_later_is_a_second_settlement_of_the_day(shop, tomorrow):
    redeemed(shop)
    shop.client.settle(tomorrow)
    redeemed(shop)
    (made,) = shop.client.settle(tomorrow).made
    assert (made.number, made.size) == (2, 1)


def test_a_reversal_is_taken_off(shop, tomorrow):
    one, _ = redeemed(shop, 2)
    shop.client.reverse(ReverseRequest(idempotency_key="back", redemption_id=one.redemption_id))
    (made,) = shop.client.settle(tomorrow).made
    assert (made.size, made.value_fen, made.fee_fen) == (3, 500, 3)


def test_an_open_redemption_is_not_expected(shop, tomorrow):
    wish = shop.wish(shop.bound())
    shop.fault("drop_after")
    assert shop.client.redeem(wish).state is OperationState.UNKNOWN
    shop.calm()
    assert shop.client.settle(tomorrow).made == ()
    shop.client.recover()
    assert len(shop.client.settle(tomorrow).made) == 1


def test_money_that_did_not_come_is_late_from_the_day_after(shop, tomorrow):
    redeemed(shop)
    shop.client.settle(tomorrow)
    shop.sandbox.control.advance(timedelta(days=1).total_seconds())
    assert shop.client.settle(tomorrow).late == ()
    shop.sandbox.control.advance(timedelta(days=2).total_seconds())
    (late,) = shop.client.settle(tomorrow).late
    assert late.late_days(business_date(shop.sandbox.clock.now())) == 2


def test_a_settlement_is_booked_once_when_every_item_was_shown(shop, tomorrow):
    shown = [redemption.redemption_id for redemption in redeemed(shop, 2)]
    shop.client.settle(tomorrow)
    now = shop.sandbox.clock.now()
    assert shop.client.read(ledger_of(shop).match_items(shown[:1], by="bill", now=now)) == 1
    assert finish(shop) == ()
    assert shop.client.read(ledger_of(shop).match_items(shown, by="bill", now=now)) == 1
    (settled,) = finish(shop)
    assert settled.settled_at is not None
    assert finish(shop) == ()
    balance = shop.client.read(ledger_of(shop).trial_balance())
    assert {name: fen for name, fen in balance.items() if fen} == {
        "marketing_expense": 1_000,
        "platform_clearing:wechatpay": -1_000,
    }


def test_a_day_without_a_published_calendar_is_not_guessed(shop):
    unpublished = date(2199, 1, 4)
    assert shop.client.settle(unpublished).made == ()
    redeemed(shop)
    (made,) = shop.client.settle(unpublished).made
    assert made.size == 1


def test_the_journal_is_exported_by_day_with_no_entry_torn(shop):
    redeemed(shop, 3)
    today = business_date(shop.sandbox.clock.now())
    first = shop.client.read(ledger_of(shop).journal_lines(since=today, until=today, limit=2))
    rest = shop.client.read(ledger_of(shop).journal_lines(since=today, until=today, after=first[-1].entry_id))
    assert len({line.entry_id for line in first}) == 2
    assert len({line.entry_id for line in rest}) == 1
    assert sum(line.amount_fen for line in (*first, *rest)) == 0
    assert shop.client.read(ledger_of(shop).journal_lines(since=date(2020, 1, 1), until=date(2020, 1, 2))) == ()
