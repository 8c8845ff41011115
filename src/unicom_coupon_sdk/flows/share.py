"""Share: parts of a redeemed order's money go to others, held before and read back receiver by receiver after.

The same three steps as redeeming. What is particular: a share has lines, each with an end of its own, and when the
redemption is reversed, what was paid is fetched back. A return is owed in the ledger before anybody is asked; sending
it is ``recover``'s business, so that it happens once whoever crashes.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from unicom_coupon_sdk.domain.redemption import Outcome
from unicom_coupon_sdk.domain.sharing import HeldShare, HeldShareReturn, Share, ShareLine, ShareOutcome, ShareRequest
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.errors import CouponError, Effected, PlatformRefused
from unicom_coupon_sdk.flows.redeem import outcome_of
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.platform.effects import Flow, NewId, Now, Transact
from unicom_coupon_sdk.platform.profile import Capability


def share(request: ShareRequest, *, setting: Setting) -> Flow[Share]:
    """The share: ``DONE`` when every receiver's part has ended (each line says how), ``PENDING`` or ``UNKNOWN``.

    Once by ``idempotency_key``. The rule is the version in force when the redemption was held. A refusal of the whole
    is raised, and no money moved then. Raises ``ConfigurationError`` (``share.no_rule``), ``CouponStateError`` for a
    redemption that is not done, ``ValidationError`` when there is not so much to share.
    """
    ledger = setting.ledger
    redemption = yield from Transact(ledger.redemption(request.redemption_id, merchant_id=setting.merchant_id))
    adapter = setting.adapter(redemption.platform)
    adapter.profile.require(Capability.SHARE)
    rule = setting.share_rule(request.rule, on=business_date(redemption.held_at))
    sizes = zip(rule.parts, rule.allocate(request.amount_fen), strict=True)
    paid = [(part, fen) for part, fen in sizes if part.receiver is not None and fen > 0]
    lines = tuple(
        ShareLine(number=number, role=part.role, receiver=part.receiver, amount_fen=fen)
        for number, (part, fen) in enumerate(paid, start=1)
        if part.receiver is not None
    )
    share_id = yield from NewId()
    now = yield from Now()
    hold = yield from Transact(
        ledger.hold_share(
            request,
            lines,
            merchant_id=setting.merchant_id,
            share_id=share_id,
            deadline=now + timedelta(seconds=adapter.profile.send_window_s),
            now=now,
        )
    )
    if hold.is_repeat:
        return _answer(hold.held.share)
    try:
        outcome = yield from adapter.share(hold.held)
    except CouponError as error:
        outcome = _outcome_of(error)
        concluded = yield from conclude_share(hold.held, outcome, setting=setting)
        if concluded.state is OperationState.RELEASED:
            raise
        return concluded
    return _answer((yield from conclude_share(hold.held, outcome, setting=setting)))


def conclude_share(held: HeldShare, outcome: ShareOutcome, *, setting: Setting) -> Flow[Share]:
    """Write down what came of ``held``. It is not done before every line has ended, whatever the platform calls it."""
    ended = {
        number for number, line in outcome.lines.items() if line.effected in (Effected.DONE, Effected.NOT_DONE)
    } | {line.number for line in held.share.lines if line.state is not OperationState.HELD}
    if outcome.effected is Effected.DONE and ended < {line.number for line in held.share.lines}:
        outcome = replace(outcome, effected=Effected.PENDING)
    now = yield from Now()
    return (yield from Transact(setting.ledger.conclude_share(held.share.share_id, outcome, now=now)))


def _outcome_of(error: CouponError) -> ShareOutcome:
    found = outcome_of(error)
    told = found.error or error
    return ShareOutcome(
        effected=found.effected,
        platform_code=told.platform_code,
        request_id=told.request_id,
        error_code=told.code,
    )


def _answer(found: Share) -> Share:
    """The same answer as the first time: a share that was refused whole is raised as that refusal."""
    if found.state is OperationState.RELEASED:
        raise PlatformRefused(
            found.error_code or "platform.refused", platform=found.platform, platform_code=found.platform_code
        )
    return found


def fetch_back(held: HeldShareReturn, *, setting: Setting) -> Flow[OperationState | None]:
    """Have one receiver's part returned, or ask how that stands; its state after, ``None`` when another is at it.

    Asked first, in case an earlier sending arrived; what the platform does not know is sent (again) under the same
    number. One that failed there for good is RELEASED, and a person must settle it with the receiver.
    """
    adapter, ledger = setting.adapter(held.share.platform), setting.ledger
    now = yield from Now()
    until = now + timedelta(seconds=adapter.profile.send_window_s)
    if not (yield from Transact(ledger.start_return(held.return_id, until=until, now=now))):
        return None
    held = replace(held, deadline=until)
    try:
        outcome = yield from adapter.query_share_return(held)
        if outcome.effected is Effected.NOT_DONE and outcome.platform_no is None:
            outcome = yield from adapter.return_share(held)
    except CouponError as error:
        outcome = outcome_of(error)
        if outcome.effected is Effected.NOT_DONE:  # nothing is owed less for being refused now: tried again, and shown
            outcome = Outcome(Effected.UNKNOWN, error=error)
    now = yield from Now()
    yield from Transact(ledger.conclude_return(held, outcome, now=now))
    return {
        Effected.DONE: OperationState.DONE,
        Effected.NOT_DONE: OperationState.RELEASED,
        Effected.PENDING: OperationState.PENDING,
        Effected.UNKNOWN: OperationState.UNKNOWN,
    }[outcome.effected]
