"""The contract suite's cases of clearing: bills that show what happened, spoiled bills, pay-outs and shares.

A part of ``contract.AdapterContract``. A platform that lacks what a case is about says so in its profile, and the case
says so in its results.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest

from unicom_coupon_sdk.clearing.outcome import discrepancy_of, every, read_outcome
from unicom_coupon_sdk.domain.bill import BillNotReady
from unicom_coupon_sdk.domain.coupon import Cash, Coupon
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.reconciliation import Action, Discrepancy, DiscrepancyClass, Entry, ListedRow
from unicom_coupon_sdk.domain.redemption import PayOutRequest, RedeemRequest, Redemption, ReverseRequest
from unicom_coupon_sdk.domain.sharing import ShareRequest
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.times import BEIJING, business_date
from unicom_coupon_sdk.errors import IdempotencyConflict
from unicom_coupon_sdk.flows.reconcile import Reconciliation
from unicom_coupon_sdk.platform.profile import Capability
from unicom_coupon_sdk.sandbox.stage import ORDER_FEN, Stage

EVENING = time(17, 30)
"""By this time of the next day every platform has made its bills."""

SPOILED = 2
"""Rows of each class that are spoiled in one day's bills."""

CASH_FEN = 5_000
SHARED_FEN = 1_000


class ClearingCases:
    """Cases over one ``stage``; see ``contract``."""

    def test_a_days_bills_show_what_happened_and_its_settlement_comes(self, stage: Stage) -> None:
        _require(stage, Capability.FETCH_BILL)
        day = _morning(stage)
        redeemed = [_redeemed(stage) for _ in range(3)]
        stage.call("reverse", ReverseRequest(idempotency_key="back", redemption_id=redeemed[0].redemption_id))
        _to_the_evening_after(stage, day)
        settled = stage.call("settle", business_date(stage.sandbox.clock.now()) + timedelta(days=7))
        run = stage.call("reconcile", stage.platform, day)
        assert run.is_clean, _told(stage, [run])
        assert sum(run.shown_by.values()) == 4
        assert [one.settlement_id for one in run.settled] == [
            one.settlement_id for one in settled.made if one.platform == stage.platform
        ]
        assert run.is_final

    def test_a_day_reconciled_again_is_the_same(self, stage: Stage) -> None:
        _require(stage, Capability.FETCH_BILL)
        day = _morning(stage)
        _redeemed(stage)
        _to_the_evening_after(stage, day)
        first, again = (stage.call("reconcile", stage.platform, day) for _ in range(2))
        assert (again.folder, again.tallies, again.shown_by) == (first.folder, first.tallies, first.shown_by)

    def test_a_day_without_business_is_clean(self, stage: Stage) -> None:
        _require(stage, Capability.FETCH_BILL)
        day = _morning(stage)
        _to_the_evening_after(stage, day)
        run = stage.call("reconcile", stage.platform, day)
        assert run.is_clean
        assert not sum(run.shown_by.values())

    def test_bills_that_are_not_made_yet_are_an_answer(self, stage: Stage) -> None:
        _require(stage, Capability.FETCH_BILL)
        day = _morning(stage)
        _redeemed(stage)
        stage.sandbox.control.set_clock(_at(day + timedelta(days=1), time(0, 30)))
        answer = stage.call("reconcile", stage.platform, day)
        assert isinstance(answer, BillNotReady)
        assert answer.ready_at > stage.sandbox.clock.now()

    def test_every_spoiled_row_is_found_and_nothing_else(self, stage: Stage) -> None:
        _require(stage, Capability.FETCH_BILL)
        day = _morning(stage)
        for number in range(1, 7 * SPOILED + 1):
            _redeemed(stage, number=number)
        for found in DiscrepancyClass:
            stage.sandbox.control.add_fault(stage.platform, "bill_defect", code=found.value, times=SPOILED)
        after = _to_the_evening_after(stage, day)
        runs = [stage.call("reconcile", stage.platform, day)]
        stage.calm()
        _to_the_evening_after(stage, after)
        runs.append(stage.call("reconcile", stage.platform, after))
        defects = stage.sandbox.control.bill_defects(platform=stage.platform)
        injected = [(defect["class"], defect["number"]) for defect in defects]
        told = _told(stage, runs)
        assert injected
        for name, number in injected:
            assert any(one.found.value == name and number in _numbers(one) for one in told), (name, number)
        for one in told:
            assert any(one.found.value == name and number in _numbers(one) for name, number in injected), one

    def test_an_open_redemption_is_left_to_recover(self, stage: Stage) -> None:
        """Found as open, and over with what ``query`` finds; a bill may show it on an earlier day than the ledger."""
        _require(stage, Capability.FETCH_BILL)
        day = _morning(stage)
        wish = stage.wish(stage.coupon())
        stage.fault("drop_after", times=20)
        redemption = stage.call("redeem", wish)
        assert redemption.state is OperationState.UNKNOWN
        stage.calm()
        after = _to_the_evening_after(stage, day)
        (told,) = (one for one in _told(stage, [stage.call("reconcile", stage.platform, day)]) if one.ours is not None)
        assert (told.operation_id, told.action) == (redemption.redemption_id, Action.RECOVER)
        found = stage.call("query", redemption.redemption_id)
        assert found.state is not OperationState.UNKNOWN
        _to_the_evening_after(stage, after)
        told_then = _told(stage, [stage.call("reconcile", stage.platform, each) for each in (day, after)])
        assert not [one for one in told_then if one.ours is not None and one.action is Action.RECOVER]
        if found.state is OperationState.DONE:
            assert {one.found for one in told_then} <= {DiscrepancyClass.DATE_DIFFERS}

    def test_a_cash_coupon_is_paid_out_once_whatever_is_lost(self, stage: Stage) -> None:
        _require(stage, Capability.PAY_OUT)
        day = _morning(stage)
        request = _pay_out_wish(stage)
        for match in stage.traits.pay_out_matches:
            stage.fault("drop_after", match=match, times=20)
        first = stage.call("pay_out", request)
        assert first.redemption.state is OperationState.UNKNOWN
        stage.calm()
        assert stage.call("pay_out", request).redemption.redemption_id == first.redemption.redemption_id
        stage.call("recover")
        stage.traits.take_money(stage, first.redemption)
        stage.call("recover")
        assert stage.call("query", first.redemption.redemption_id).state is OperationState.DONE
        _to_the_evening_after(stage, day)
        run = stage.call("reconcile", stage.platform, day)
        assert run.is_clean, _told(stage, [run])
        assert sum(run.shown_by.values()) == 1

    def test_another_key_does_not_pay_a_cash_coupon_out_again(self, stage: Stage) -> None:
        _require(stage, Capability.PAY_OUT)
        request = _pay_out_wish(stage)
        stage.call("pay_out", request)
        sent = stage.requests()
        with pytest.raises(Exception, match=r"coupon\.(held|redeemed)"):
            stage.call("pay_out", request.replaced(idempotency_key="other"))
        assert stage.requests() == sent

    def test_a_share_is_done_once_whatever_is_lost_and_fetched_back_on_reversal(self, stage: Stage) -> None:
        _require(stage, Capability.SHARE)
        day = _morning(stage)
        redemption = _redeemed(stage)
        stage.advance(seconds=120)
        request = _share_wish(redemption)
        for match in stage.traits.share_matches:
            stage.fault("drop_after", match=match, times=20)
        assert stage.call("share", request).state is OperationState.UNKNOWN
        stage.calm()
        stage.advance(seconds=60)
        stage.call("recover")
        stage.call("recover")
        made = stage.call("share", request)
        assert [line.state for line in made.lines] == [OperationState.DONE]
        with pytest.raises(IdempotencyConflict):
            stage.call("share", request.replaced(amount_fen=SHARED_FEN + 1))
        stage.call("reverse", ReverseRequest(idempotency_key="back", redemption_id=redemption.redemption_id))
        for _ in range(3):
            stage.advance(seconds=120)
            stage.call("recover")
        balance = stage.read(stage.ledger.trial_balance())
        assert balance.get("profit_share", 0) == 0
        _to_the_evening_after(stage, day)
        run = stage.call("reconcile", stage.platform, day)
        assert run.is_clean, _told(stage, [run])


def _require(stage: Stage, capability: Capability) -> None:
    if capability not in stage.adapter.profile.capabilities:
        pytest.skip(f"the platform offers no {capability.value}")


def _at(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, BEIJING)


def _morning(stage: Stage) -> date:
    """Ten o'clock of the next day, so that all of a case happens on one day; that day."""
    day = business_date(stage.sandbox.clock.now()) + timedelta(days=1)
    stage.sandbox.control.set_clock(_at(day, time(10)))
    return day


def _to_the_evening_after(stage: Stage, day: date) -> date:
    stage.sandbox.control.set_clock(_at(day + timedelta(days=1), EVENING))
    return day + timedelta(days=1)


def _redeemed(stage: Stage, *, number: int = 1) -> Redemption:
    """A coupon of holder ``number`` redeemed, on an order that was paid there where the traits know how."""
    coupon, holder = stage.issue().coupons[0], stage.holder(number)
    stage.bind(coupon, holder=holder)
    order = _paid(stage, holder)
    wish = stage.wish(coupon) if order is None else _wish(stage, coupon, order)
    redemption: Redemption = stage.call("redeem", wish)
    assert redemption.state is OperationState.DONE
    return redemption


def _wish(stage: Stage, coupon: Coupon, order: Order) -> RedeemRequest:
    return RedeemRequest(
        idempotency_key=f"paid-{order.order_no}",
        platform=stage.platform,
        coupon=coupon.code,
        order=order,
        proof=stage.proof(coupon, order),
    )


def _paid(stage: Stage, holder: Holder) -> Order | None:
    if stage.traits.paid_order is None:
        return None
    assert holder.user is not None
    return stage.traits.paid_order(stage, ORDER_FEN, holder.user)


def _pay_out_wish(stage: Stage) -> PayOutRequest:
    coupon = stage.coupon(benefit=Cash(cash_fen=CASH_FEN))
    return PayOutRequest(
        idempotency_key="pay",
        platform=stage.platform,
        coupon=coupon.code,
        reference="PAYOUT1",
        proof=stage.proof(coupon, Order(order_no="PAYOUT1", amount_fen=0)),
        payee_name=stage.traits.payee_name,
    )


def _share_wish(redemption: Redemption) -> ShareRequest:
    return ShareRequest(
        idempotency_key="share",
        redemption_id=redemption.redemption_id,
        rule="contract",
        amount_fen=SHARED_FEN,
    )


def _told(stage: Stage, runs: Iterable[Reconciliation]) -> list[Discrepancy]:
    """What is open, by bills or by asking, and what was met on another day than it was expected."""
    last = business_date(stage.sandbox.clock.now())
    is_open = stage.read(stage.ledger.open_discrepancies(stage.merchant_id, last=last, after="", limit=1_000))
    found = [one for run in runs for one in every(read_outcome(run.folder).discrepancies)]
    return [
        *(discrepancy_of(known.content) for known in is_open),
        *(one for one in found if one.found is DiscrepancyClass.DATE_DIFFERS),
    ]


def _numbers(one: Discrepancy) -> set[Any]:
    numbers: set[Any] = {one.number}
    for side in (one.ours, one.theirs):
        if isinstance(side, Entry | ListedRow):
            numbers |= {side.number, side.platform_no}
    return numbers if one.found is not DiscrepancyClass.TOTAL_DIFFERS else {None}
