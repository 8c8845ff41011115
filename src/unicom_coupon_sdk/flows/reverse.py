"""Reverse: take a redemption back. The same three steps as redeeming, with the coupon REVERSING in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from unicom_coupon_sdk.domain.redemption import HeldReversal, Outcome, Reversal, ReverseRequest
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.errors import CouponError, PlatformRefused, UnsupportedOperation
from unicom_coupon_sdk.flows.pay_out import is_pay_out
from unicom_coupon_sdk.flows.redeem import outcome_of
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.platform.effects import Flow, NewId, Now, Transact
from unicom_coupon_sdk.platform.profile import Capability


def reverse(request: ReverseRequest, *, setting: Setting) -> Flow[Reversal]:
    """The reversal: ``DONE``, or ``UNKNOWN`` when the platform has yet to tell.

    Once by ``idempotency_key``. A coupon whose last day is over is not usable again: it goes on to EXPIRED. A definite
    refusal is raised and the redemption stands. Raises ``CouponStateError`` for a redemption that is not done, or
    whose reversal is under way.
    """
    ledger = setting.ledger
    redemption = yield from Transact(ledger.redemption(request.redemption_id, merchant_id=setting.merchant_id))
    adapter = setting.adapter(redemption.platform)
    adapter.profile.require(Capability.REVERSE)
    if Capability.PAY_OUT in adapter.profile.capabilities:
        held = yield from Transact(ledger.held(request.redemption_id))
        if is_pay_out(held, adapter):
            raise UnsupportedOperation("reversal.paid_out", field="redemption_id", platform=redemption.platform)
    reversal_id = yield from NewId()
    now = yield from Now()
    hold = yield from Transact(
        ledger.hold_reversal(
            request,
            merchant_id=setting.merchant_id,
            reversal_id=reversal_id,
            deadline=now + timedelta(seconds=adapter.profile.send_window_s),
            now=now,
        )
    )
    if hold.is_repeat:
        return _answer(hold.held.reversal)
    try:
        outcome = yield from adapter.reverse(hold.held)
    except CouponError as error:
        outcome = outcome_of(error)
    reversal = yield from conclude_reversal(hold.held, outcome, setting=setting)
    if reversal.state is OperationState.RELEASED and outcome.error is not None:
        raise outcome.error
    return reversal


def conclude_reversal(held: HeldReversal, outcome: Outcome, *, setting: Setting) -> Flow[Reversal]:
    """Write down what came of ``held``."""
    adapter = setting.adapter(held.reversal.platform)
    kept = replace(outcome, refs=adapter.compliance.kept(outcome.refs))
    now = yield from Now()
    redeemed = held.redeemed.redemption
    expectation = setting.expect(adapter.profile, redeemed.value_fen, at=outcome.at or now)
    return (
        yield from Transact(setting.ledger.conclude_reversal(held, kept, settles_on=expectation.settles_on, now=now))
    )


def _answer(reversal: Reversal) -> Reversal:
    if reversal.state is OperationState.RELEASED:
        raise PlatformRefused(
            reversal.error_code or "platform.refused",
            platform=reversal.platform,
            platform_code=reversal.platform_code,
            request_id=reversal.request_id,
        )
    return reversal
