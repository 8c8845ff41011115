"""An act of the demonstration: one holder at a platform's day limit, on the eve of days off.

It plays wherever a profile bounds what a holder may redeem in a day, and plays first: the sandbox's clock moves to the
next morning that a weekend or a holiday follows, so the money of that day shows how T+1 counts. The holder and the two
coupons are the act's own, and what it redeems stays redeemed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Protocol

from unicom_coupon_sdk.clearing.workdays import WorkingCalendar
from unicom_coupon_sdk.client import AsyncCouponClient
from unicom_coupon_sdk.domain.coupon import AmountOff, Coupon, CouponTemplate
from unicom_coupon_sdk.domain.limits import Limit, Subject, Window
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import RedeemRequest, Redemption
from unicom_coupon_sdk.domain.requests import BindRequest, IssueRequest
from unicom_coupon_sdk.domain.settlement import CalendarNotPublished, Cycle, DayCount, SettlementDate
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.times import BEIJING, business_date
from unicom_coupon_sdk.domain.verification import Proof
from unicom_coupon_sdk.errors import LimitError
from unicom_coupon_sdk.platform.profile import PlatformProfile

MORNING = time(9, 0)
EVENING = time(20, 0)
"""From here on a day is too far gone: the demonstration takes an hour of it, and its reversals want the same day."""


class Prove(Protocol):
    """What the holder of a coupon hands over for an order on a platform."""

    def __call__(self, coupon: Coupon, *, platform: str, order: Order) -> Awaitable[Proof]:
        """The proof."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitDay:
    """What happened on one platform: a redemption ``at`` the limit, and what a fen ``above`` it met.

    ``refusal`` is the code of the limit error; ``due_on`` is when money comes by the calendar, counted day by day, and
    ``None`` where the platform does not count working days.
    """

    platform: str
    limit: Limit
    day: date
    at: Redemption
    above: Redemption | None
    refusal: str | None
    due_on: SettlementDate | None
    coupons: tuple[Coupon, Coupon]

    @property
    def is_held(self) -> bool:
        """Whether the limit was used up to the fen, and not a fen more."""
        return self.at.state is OperationState.DONE and self.above is None and self.refusal is not None

    @property
    def is_dated(self) -> bool:
        """Whether the money is expected when the calendar says."""
        return self.due_on is None or self.at.settles_on == self.due_on


def limit_of(profile: PlatformProfile, *, on: date) -> Limit | None:
    """What bounds every holder's day on the platform, in fen; ``None`` where nothing does."""
    return next(
        (
            limit
            for limit in profile.limits_on(on)
            if (limit.subject, limit.window, limit.tier) == (Subject.HOLDER, Window.DAY, None) and limit.max_fen
        ),
        None,
    )


def eve_of_rest(calendar: WorkingCalendar, *, now: datetime) -> datetime:
    """The next morning that a day off follows, or a day that no notice covers; ``now`` if that morning is today's."""
    local = now.astimezone(BEIJING)
    day = local.date() + timedelta(days=local.time() >= EVENING)
    while calendar.is_worked(day + timedelta(days=1)) is True:
        day += timedelta(days=1)
    return max(now, datetime.combine(day, MORNING, tzinfo=BEIJING))


def due_on(profile: PlatformProfile, calendar: WorkingCalendar, *, day: date) -> SettlementDate | None:
    """The first working day after ``day``, where the platform pays by it."""
    terms = profile.terms_on(day)
    if (terms.cycle, terms.days) != (Cycle.T_1, DayCount.WORKING):
        return None
    worked: bool | CalendarNotPublished = False
    while worked is False:
        day += timedelta(days=1)
        worked = calendar.is_worked(day)
    return worked if isinstance(worked, CalendarNotPublished) else day


async def play(
    client: AsyncCouponClient, *, holder: Holder, prove: Prove, move_clock: Callable[[datetime], Awaitable[None]]
) -> list[LimitDay]:
    """The act on every platform that has such a limit; without one the clock stays."""
    setting, now = client.setting, client.clock.now()
    limits = {
        name: limit
        for name, adapter in sorted(setting.adapters.items())
        if (limit := limit_of(adapter.profile, on=business_date(now))) is not None
    }
    eve = eve_of_rest(setting.calendar, now=now)
    if limits and eve > now:
        await move_clock(eve)
    return [
        await _at_the_limit(client, platform=platform, limit=limit, holder=holder, prove=prove)
        for platform, limit in limits.items()
    ]


async def _at_the_limit(
    client: AsyncCouponClient, *, platform: str, limit: Limit, holder: Holder, prove: Prove
) -> LimitDay:
    assert limit.max_fen is not None
    day = business_date(client.clock.now())
    whole, fen = [await _coupon(client, platform, worth, holder=holder) for worth in (limit.max_fen, 1)]
    at = await client.redeem(await _wish(whole, platform, limit.max_fen, prove=prove))
    above, refusal = None, None
    try:
        above = await client.redeem(await _wish(fen, platform, 1, prove=prove))
    except LimitError as error:
        refusal = error.code
    due = due_on(client.setting.adapter(platform).profile, client.setting.calendar, day=day)
    return LimitDay(
        platform=platform, limit=limit, day=day, at=at, above=above, refusal=refusal, due_on=due, coupons=(whole, fen)
    )


async def _coupon(client: AsyncCouponClient, platform: str, worth_fen: int, *, holder: Holder) -> Coupon:
    """A coupon of ``worth_fen`` in the holder's hands."""
    now = client.clock.now()
    template = CouponTemplate(
        template_id=f"LIMIT{worth_fen}_{platform}"[:32],
        name="演示限额券",
        benefit=AmountOff(off_fen=worth_fen),
        valid_from=now - timedelta(minutes=1),
        valid_until=now + timedelta(days=30),
        platforms=frozenset({platform}),
    )
    batch = await client.issue(IssueRequest(idempotency_key=f"demo-{template.template_id}", template=template, count=1))
    coupon = batch.coupons[0]
    await client.bind(BindRequest(coupon=coupon.code, platform=platform, holder=holder))
    return coupon


async def _wish(coupon: Coupon, platform: str, worth_fen: int, *, prove: Prove) -> RedeemRequest:
    key = f"limit-{worth_fen}-{platform}"
    order = Order(order_no=key.replace("-", "_")[:32], amount_fen=worth_fen)
    proof = await prove(coupon, platform=platform, order=order)
    return RedeemRequest(idempotency_key=key, platform=platform, coupon=coupon.code, order=order, proof=proof)
