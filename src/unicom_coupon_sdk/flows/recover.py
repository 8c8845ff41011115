"""Recover: finish what a crash, a lost answer or a forged one left open.

The platform is asked, never told: recovering sends no redemption. Its "done" is believed at once. Its "not done" is
believed only when no request of ours can still arrive, that is after the deadline for sending plus the time for which
a signed request lives; until then the operation stays open. The instant that decides is read before the question is
asked, so the answer cannot be older than the certainty.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from unicom_coupon_sdk.domain.redemption import Outcome
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.errors import CouponError, Effected, LedgerError, PlatformError
from unicom_coupon_sdk.flows.issue import register
from unicom_coupon_sdk.flows.pay_out import asked_of
from unicom_coupon_sdk.flows.redeem import conclude
from unicom_coupon_sdk.flows.reverse import conclude_reversal
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.flows.share import conclude_share, fetch_back
from unicom_coupon_sdk.ledger import OperationKind, Pending
from unicom_coupon_sdk.platform.effects import Flow, Now, Transact
from unicom_coupon_sdk.platform.profile import PlatformProfile

PAGE = 200
"""How many operations are read at a time, so that those which stay open do not stand in front of the rest."""

STALE = timedelta(minutes=5)
"""How old a batch must be before it counts as stopped and not as under way."""

CLOCK_SLACK_S = 60
"""How far the clocks of two of our own hosts may differ, in seconds; added to every certainty."""


_BELIEVED = frozenset({Effected.DONE, Effected.PENDING})


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a run of ``recover`` did. ``errors`` are those of platforms that could not be asked."""

    done: int = 0
    not_done: int = 0
    still_open: int = 0
    batches: int = 0
    errors: tuple[CouponError, ...] = ()


def recover(*, setting: Setting, limit: int = 1000) -> Flow[Recovery]:
    """Ask about everything open, oldest first, at most ``limit`` operations. Safe to run often, and by many at once.

    A platform that cannot be asked keeps its operations open and is named in ``errors``; the others go on. So does an
    operation whose platform now says the opposite of what was concluded (``ledger.contradiction``): that is for a
    person to look at.
    """
    started = yield from Now()
    tally: Counter[OperationState | None] = Counter()
    errors: list[CouponError] = []
    last: Pending | None = None
    while (room := limit - tally.total()) > 0:
        page = yield from Transact(setting.ledger.unsettled(before=started, limit=min(room, PAGE), after=last))
        for item in page:
            last = item
            tally[(yield from _try(item, setting=setting, errors=errors))] += 1
        if len(page) < min(room, PAGE):
            break
    batches = yield from _finish_batches(setting=setting, before=started - STALE, limit=limit, errors=errors)
    done = tally[OperationState.DONE] + tally[OperationState.REVERSING] + tally[OperationState.REVERSED]
    not_done = tally[OperationState.RELEASED]
    return Recovery(
        done=done,
        not_done=not_done,
        still_open=tally.total() - done - not_done,
        batches=batches,
        errors=tuple(errors),
    )


def _try(item: Pending, *, setting: Setting, errors: list[CouponError]) -> Flow[OperationState | None]:
    """The state of ``item`` after asking; ``None`` when it could not be asked or concluded."""
    if item.platform not in setting.adapters:
        return None
    try:
        return (yield from resolve(item, setting=setting))
    except (PlatformError, LedgerError) as error:
        errors.append(error)
        return None


def _finish_batches(*, setting: Setting, before: datetime, limit: int, errors: list[CouponError]) -> Flow[int]:
    """Tell platforms about batches whose issuing stopped half-way; how many were finished."""
    finished = 0
    for batch in (yield from Transact(setting.ledger.unfinished_batches(limit=limit, before=before))):
        if not batch.template.platforms <= setting.adapters.keys():
            continue
        try:
            yield from register(batch, setting=setting)
            finished += 1
        except CouponError as error:
            errors.append(error)
    return finished


def resolve(item: Pending, *, setting: Setting) -> Flow[OperationState]:
    """Ask about one operation and conclude it if that can be done. Raises ``PlatformError`` when it cannot be asked."""
    match item.kind:
        case OperationKind.REDEEM:
            return (yield from _resolve_redemption(item, setting=setting))
        case OperationKind.REVERSE:
            return (yield from _resolve_reversal(item, setting=setting))
        case OperationKind.SHARE:
            return (yield from _resolve_share(item, setting=setting))
        case OperationKind.SHARE_RETURN:
            held = yield from Transact(setting.ledger.held_return(item.operation_id))
            return (yield from fetch_back(held, setting=setting)) or item.state


def _resolve_redemption(item: Pending, *, setting: Setting) -> Flow[OperationState]:
    adapter = setting.adapter(item.platform)
    held = yield from Transact(setting.ledger.held(item.operation_id))
    certain = yield from _nothing_can_arrive(adapter.profile, held.redemption.deadline)
    outcome = yield from asked_of(held, adapter)
    verdict = _verdict(outcome, state=held.redemption.state, certain=certain)
    if verdict is None:
        return held.redemption.state
    return (yield from conclude(held, verdict, setting=setting)).state


def _resolve_reversal(item: Pending, *, setting: Setting) -> Flow[OperationState]:
    adapter = setting.adapter(item.platform)
    held = yield from Transact(setting.ledger.held_reversal(item.operation_id))
    certain = yield from _nothing_can_arrive(adapter.profile, held.reversal.deadline)
    outcome = yield from adapter.query_reversal(held)
    verdict = _verdict(outcome, state=held.reversal.state, certain=certain)
    if verdict is None:
        return held.reversal.state
    return (yield from conclude_reversal(held, verdict, setting=setting)).state


def _resolve_share(item: Pending, *, setting: Setting) -> Flow[OperationState]:
    adapter = setting.adapter(item.platform)
    held = yield from Transact(setting.ledger.held_share(item.operation_id))
    certain = yield from _nothing_can_arrive(adapter.profile, held.share.deadline)
    outcome = yield from adapter.query_share(held)
    if outcome.effected not in _BELIEVED and not (outcome.effected is Effected.NOT_DONE and certain):
        if held.share.state is not OperationState.HELD:
            return held.share.state
        outcome = replace(outcome, effected=Effected.UNKNOWN)
    return (yield from conclude_share(held, outcome, setting=setting)).state


def _nothing_can_arrive(profile: PlatformProfile, deadline: datetime) -> Flow[bool]:
    now = yield from Now()
    return now >= deadline + timedelta(seconds=profile.request_lifetime_s + CLOCK_SLACK_S)


def _verdict(outcome: Outcome, *, state: OperationState, certain: bool) -> Outcome | None:
    """What may be concluded from the platform's answer; ``None`` when the operation stays as it is."""
    if outcome.effected in _BELIEVED or (outcome.effected is Effected.NOT_DONE and certain):
        return outcome
    if state is OperationState.HELD:
        return Outcome(effected=Effected.UNKNOWN, error=outcome.error)
    return None
