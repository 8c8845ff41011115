from datetime import UTC, date, datetime

import pytest
from tests.ledger_house import DAY, DONE, NOT_DONE, NOW, UNKNOWN, day_limit

from unicom_coupon_sdk.domain.settlement import CalendarNotPublished
from unicom_coupon_sdk.errors import CouponStateError, LedgerError


def test_done_redeems_the_coupon_and_keeps_what_the_platform_said(house):
    coupon = house.bound()
    redemption = house.conclude(house.hold(coupon).held, settles_on=date(2026, 5, 21))
    assert (house.state(coupon), redemption.state.value, redemption.platform_no) == ("redeemed", "done", "P1")
    assert (redemption.settles_on, redemption.concluded_at) == (date(2026, 5, 21), NOW)
    assert house.run(house.ledger.redemption(redemption.redemption_id)) == redemption
    assert house.kinds(coupon) == ["issued", "bound", "held", "redeemed"]


def test_a_settlement_day_that_nobody_knows_yet_is_kept_as_that(house):
    redemption = house.conclude(house.hold(house.bound()).held, settles_on=CalendarNotPublished(2031))
    assert house.run(house.ledger.redemption(redemption.redemption_id)).settles_on == CalendarNotPublished(2031)


def test_not_done_frees_the_coupon_and_gives_the_limits_back(house):
    coupon = house.bound()
    redemption = house.redeem(coupon, outcome=NOT_DONE, consumptions=[day_limit(500)])
    assert (house.state(coupon), redemption.state.value) == ("available", "released")
    assert (redemption.error_code, redemption.platform_code, redemption.request_id) == ("platform.refused", "NO", "Q1")
    assert (house.counters(), house.balance()) == ({}, {})
    assert house.kinds(coupon)[-1] == "released"


def test_a_freed_coupon_can_be_redeemed_again(house):
    coupon = house.bound()
    house.redeem(coupon, outcome=NOT_DONE)
    assert house.redeem(coupon, key="order-2").state.value == "done"
    assert house.audit() == ()


def test_unknown_keeps_the_coupon_and_the_limits_and_is_an_event(house):
    coupon = house.bound()
    redemption = house.redeem(coupon, outcome=UNKNOWN, consumptions=[day_limit(500)])
    assert (house.state(coupon), redemption.state.value) == ("held", "unknown")
    assert house.counters() == {("holder-1", "2026-05-20"): (500, 1)}
    assert house.kinds(coupon)[-1] == "unknown"
    with pytest.raises(CouponStateError, match=r"coupon\.held"):
        house.hold(coupon, key="order-2")


@pytest.mark.parametrize(("verdict", "state"), [(DONE, "done"), (NOT_DONE, "released")], ids=["done", "not"])
def test_an_unknown_is_resolved_either_way(house, verdict, state):
    coupon = house.bound()
    held = house.hold(coupon).held
    house.conclude(held, UNKNOWN)
    assert house.conclude(held, verdict).state.value == state
    assert house.audit() == ()


@pytest.mark.parametrize("outcome", [DONE, NOT_DONE, UNKNOWN], ids=["done", "not", "unknown"])
def test_the_same_verdict_again_changes_nothing(house, outcome):
    coupon = house.bound()
    held = house.hold(coupon, consumptions=[day_limit(500)]).held
    first = house.conclude(held, outcome)
    before = house.kinds(coupon), house.counters(), house.balance()
    assert house.conclude(held, outcome) == first
    assert (house.kinds(coupon), house.counters(), house.balance()) == before


@pytest.mark.parametrize("outcome", [DONE, NOT_DONE], ids=["done", "not"])
def test_not_knowing_later_does_not_undo_knowing(house, outcome):
    held = house.hold(house.bound()).held
    first = house.conclude(held, outcome)
    assert house.conclude(held, UNKNOWN) == first


@pytest.mark.parametrize(("first", "second"), [(DONE, NOT_DONE), (NOT_DONE, DONE)], ids=["took back", "came late"])
def test_the_opposite_of_what_was_concluded_is_a_contradiction(house, first, second):
    held = house.hold(house.bound()).held
    concluded = house.conclude(held, first)
    with pytest.raises(LedgerError, match=r"ledger\.contradiction") as caught:
        house.conclude(held, second)
    assert caught.value.details["concluded"] == concluded.state.value
    assert house.run(house.ledger.redemption(concluded.redemption_id)) == concluded


@pytest.mark.parametrize("reversed_too", [False, True])
def test_done_said_again_after_a_reversal_began_is_no_contradiction(house, reversed_too):
    held = house.hold(house.bound()).held
    redemption = house.conclude(held)
    reversal = house.hold_reversal(redemption).held
    if reversed_too:
        house.conclude_reversal(reversal)
    assert house.conclude(held).state.value == ("reversed" if reversed_too else "reversing")


def test_what_the_platform_named_is_there_for_later_calls(house):
    redemption = house.redeem(house.bound())
    held = house.run(house.ledger.held(redemption.redemption_id))
    assert dict(held.binding.refs) == {"card_id": "K1", "trade_no": "T1"}


def test_a_coupon_freed_after_its_last_day_expires_at_once(house):
    coupon = house.bound()
    held = house.hold(coupon).held
    house.now = NOW + 30 * DAY
    house.conclude(held, NOT_DONE)
    assert (house.state(coupon), house.kinds(coupon)[-2:]) == ("expired", ["released", "expired"])
    assert house.audit() == ()


def test_what_is_open_is_listed_by_deadline(house):
    late, early, unknown = house.bound(), house.bound(), house.bound()
    third = house.hold(unknown, key="order-3").held
    house.conclude(third, UNKNOWN)
    second = house.hold(early, key="order-2").held
    house.now = NOW + DAY
    house.hold(late)
    pending = house.ledger.unsettled(before=NOW + DAY, limit=9)
    assert {item.operation_id for item in house.run(pending)} == {
        second.redemption.redemption_id,
        third.redemption.redemption_id,
    }


def test_a_hold_that_may_still_be_sent_is_not_open(house):
    held = house.hold(house.bound()).held
    assert house.run(house.ledger.unsettled(before=NOW, limit=9)) == ()
    assert house.run(house.ledger.unsettled_of(held.redemption.redemption_id, before=NOW)) == ()


def test_what_stays_open_does_not_keep_the_rest_from_its_turn(house):
    ids = []
    for number in range(5):
        held = house.hold(house.bound(), key=f"order-{number}").held
        house.conclude(held, UNKNOWN)
        ids.append(held.redemption.redemption_id)
    seen, after = [], None
    while page := house.run(house.ledger.unsettled(before=NOW, limit=2, after=after)):
        seen += [item.operation_id for item in page]
        after = page[-1]
    assert sorted(seen) == sorted(ids)


def test_one_redemption_is_found_with_its_reversal(house):
    redemption = house.redeem(house.bound())
    reversal = house.hold_reversal(redemption).held.reversal
    house.now = NOW + DAY
    for name in (redemption.redemption_id, reversal.reversal_id):
        (item,) = house.run(house.ledger.unsettled_of(name, before=house.now))
        assert (item.kind.value, item.operation_id, item.deadline) == (
            "reverse",
            reversal.reversal_id,
            reversal.deadline,
        )
    assert house.run(house.ledger.unsettled_of("none", before=house.now)) == ()


def test_times_come_back_to_the_microsecond_in_utc(house):
    house.now = datetime(2026, 5, 20, 4, 0, 0, 123457, tzinfo=UTC)
    held = house.hold(house.bound()).held
    read = house.run(house.ledger.redemption(held.redemption.redemption_id))
    assert read.held_at == house.now
    assert read.held_at.tzinfo is UTC
