"""Redeem: hold the coupon, carry the redemption out, conclude it.

Three steps, each durable before the next. The hold takes the coupon away from everybody else; only then does the
platform hear of it; what came of it is a second record. A crash anywhere leaves a state that ``recover`` finishes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from unicom_coupon_sdk.domain.redemption import HeldRedemption, Outcome, RedeemRequest, Redemption
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.errors import (
    CallerError,
    CouponError,
    Effected,
    PlatformError,
    PlatformRefused,
    PlatformUnknown,
)
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.ledger import Hold
from unicom_coupon_sdk.platform.effects import Flow, NewId, Now, Transact
from unicom_coupon_sdk.platform.profile import Capability

INSTRUCTIONS = "front_end."
"""Put before the names of what a user's front end needs, where these are kept among a conclusion's references."""


def redeem(request: RedeemRequest, *, setting: Setting) -> Flow[Redemption]:
    """The redemption: ``DONE``, or ``UNKNOWN`` when the platform has yet to tell.

    Once by ``idempotency_key``: the same request again gives the same answer, whatever it was. A definite refusal is
    raised (``CallerError`` before anything was sent, ``PlatformRefused`` or ``PlatformUnavailable`` after), and the
    coupon is free again. An unknown outcome is a result: keep the goods, run ``recover``, ask again.
    """
    adapter = setting.adapter(request.platform)
    return (yield from spend(Spending(request, Capability.REDEEM, adapter.redeem), setting=setting))


@dataclass(frozen=True, slots=True)
class Spending:
    """How a coupon is spent: the request, the capability that it takes, and the adapter's verb that carries it out."""

    request: RedeemRequest
    by: Capability
    carry_out: Callable[[HeldRedemption], Flow[Outcome]]
    payee_name: Secret | None = None


def spend(spending: Spending, *, setting: Setting) -> Flow[Redemption]:
    """Hold, carry out, conclude; or the answer that the request's key already has. Raises as ``redeem`` says."""
    request, ledger = spending.request, setting.ledger
    now = yield from Now()
    repeat = yield from Transact(ledger.repeat(request, merchant_id=setting.merchant_id, now=now))
    if repeat is not None:
        return answer(repeat)
    try:
        hold = yield from _hold(spending, setting=setting)
    except CallerError:
        # A copy of this very request may have taken the coupon since the look-up: then the key answers, not the coupon.
        now = yield from Now()
        repeat = yield from Transact(ledger.repeat(request, merchant_id=setting.merchant_id, now=now))
        if repeat is None:
            raise
        return answer(repeat)
    if hold.is_repeat:
        return answer(hold.held.redemption)
    held = hold.held
    try:
        outcome = yield from spending.carry_out(held)
    except CouponError as error:
        outcome = outcome_of(error)
    redemption = yield from conclude(held, outcome, setting=setting)
    if redemption.state is OperationState.RELEASED and outcome.error is not None:
        raise outcome.error
    return redemption


def _hold(spending: Spending, *, setting: Setting) -> Flow[Hold]:
    """The coupon, taken for the request; with what is never stored at hand for the platform."""
    request = spending.request
    admission = yield from setting.guard.admit(
        request,
        adapter=setting.adapter(request.platform),
        merchant_id=setting.merchant_id,
        by=spending.by,
        payee_name=spending.payee_name,
    )
    redemption_id = yield from NewId()
    now = yield from Now()
    hold = yield from Transact(
        setting.ledger.hold(request, admission, merchant_id=setting.merchant_id, redemption_id=redemption_id, now=now)
    )
    held = replace(
        hold.held,
        proof=request.proof,
        challenge=admission.verified.challenge,
        payee_name=spending.payee_name,
    )
    return replace(hold, held=held)


def conclude(held: HeldRedemption, outcome: Outcome, *, setting: Setting) -> Flow[Redemption]:
    """Write down what came of ``held``, with the day on which its money is expected."""
    adapter = setting.adapter(held.redemption.platform)
    now = yield from Now()
    at = outcome.at or now
    expectation = setting.expect(adapter.profile, held.redemption.value_fen, at=at)
    instructions = {f"{INSTRUCTIONS}{name}": value for name, value in outcome.instructions.items()}
    kept = replace(outcome, refs={**adapter.compliance.kept(outcome.refs), **instructions})
    return (
        yield from Transact(
            setting.ledger.conclude(
                held,
                kept,
                settles_on=expectation.settles_on,
                fee_fen=expectation.fee_fen,
                advance_fee_fen=expectation.advance_fee_fen,
                now=now,
            )
        )
    )


def outcome_of(error: CouponError) -> Outcome:
    """What an error after the hold means. Only an error that is definite by its class is believed.

    A caller's error is raised before anything is sent, and platform errors say themselves; anything else (a forged
    answer, a store that failed half-way) leaves the outcome unknown.
    """
    if isinstance(error, CallerError | PlatformError):
        return Outcome.of(error)
    unknown = PlatformUnknown(
        "platform.unknown",
        platform=error.platform,
        platform_code=error.platform_code,
        request_id=error.request_id,
        reason=error.code,
    )
    return Outcome(effected=Effected.UNKNOWN, error=unknown)


def answer(redemption: Redemption) -> Redemption:
    """The same answer as the first time: a released redemption is raised as the refusal that released it."""
    if redemption.state is OperationState.RELEASED:
        raise PlatformRefused(
            redemption.error_code or "platform.refused",
            platform=redemption.platform,
            platform_code=redemption.platform_code,
            request_id=redemption.request_id,
        )
    return redemption
