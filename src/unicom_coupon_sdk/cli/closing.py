"""The last acts of the demonstration: the books are closed, twice.

First the day as it was: the sandbox's clock moves to the next working day, every platform's bills are fetched and
compared, and nothing may differ. Then a day on which the bills are spoiled on purpose, in every way a bill can be
wrong: exactly what was spoiled must be found, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Protocol

from unicom_coupon_sdk.clearing.outcome import discrepancy_of, every, read_outcome
from unicom_coupon_sdk.client import AsyncCouponClient
from unicom_coupon_sdk.domain.bill import BillKind, BillNotReady
from unicom_coupon_sdk.domain.coupon import AmountOff, Coupon, CouponTemplate
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.reconciliation import Discrepancy, DiscrepancyClass, Entry, ListedRow
from unicom_coupon_sdk.domain.redemption import RedeemRequest, Redemption
from unicom_coupon_sdk.domain.requests import BindRequest, IssueRequest
from unicom_coupon_sdk.domain.settlement import CalendarNotPublished
from unicom_coupon_sdk.domain.sharing import ShareRequest
from unicom_coupon_sdk.domain.times import BEIJING, business_date
from unicom_coupon_sdk.domain.verification import Proof
from unicom_coupon_sdk.flows.reconcile import Reconciliation
from unicom_coupon_sdk.platform.profile import Capability, PlatformProfile

BILLS_ARE_READY = time(17, 30)
"""By this time of the next day every platform has made its bills."""

SALES = 32
"""Redemptions of the spoiled day on each platform: enough lines for every defect."""

SPOILED = 4
"""Lines of each class that are spoiled on each platform, as far as its bills have such lines."""

SHARES_SPOILED = 10
"""Shares that are spoiled; few platforms list any."""

MOST = 1_000
"""Discrepancies that the demo could find at most, by far."""

ORDER_FEN = 10_000
OFF_FEN = 2_000
SHARED_FEN = 1_000
AFTER_PAYMENT_S = 90
"""An order's money can be shared a while after it was paid."""

AFTER_SHARING_S = 60
"""The receivers have been paid by then, and the ledger asks for it on the same day."""


class Backstage(Protocol):
    """What the demonstration lends to this act."""

    async def control(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A call of the sandbox's control API."""

    async def move_clock(self, **to: Any) -> None:
        """Move the sandbox's clock, and ours with it."""

    async def at_once(self, name: str, work: Iterable[Awaitable[Any]]) -> None:
        """Run some work with a bound on how much is under way."""

    async def proof(self, coupon: Coupon, *, platform: str, order: Order, number: int) -> Proof:
        """What holder ``number`` hands over."""

    def holder(self, number: int) -> Holder:
        """Holder ``number``."""


@dataclass(slots=True)
class Books:
    """What closing the books of the days from ``first`` to ``last`` showed."""

    first: date
    last: date
    sold: int = 0
    settled_fen: int = 0
    shown: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    missed: int = 0
    false_alarms: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether the plain day was clean, and the spoiled one was seen through."""
        return not (self.unexplained or self.missed or self.false_alarms) and self.injected.total() > 0

    @property
    def precision(self) -> float:
        """Which part of what was found had been spoiled."""
        total = self.found.total()
        return 1.0 if not total else (total - self.false_alarms) / total

    @property
    def recall(self) -> float:
        """Which part of what had been spoiled was found."""
        total = self.injected.total()
        return 1.0 if not total else (total - self.missed) / total


class Closing:
    """Both acts over one client. ``first_holder`` is a number of a holder that nobody else plays."""

    def __init__(self, client: AsyncCouponClient, backstage: Backstage, *, first_holder: int, rule: str) -> None:
        self._client = client
        self._stage = backstage
        self._next_holder = first_holder
        self._rule = rule
        self._platforms = [
            name
            for name, adapter in sorted(client.setting.adapters.items())
            if Capability.FETCH_BILL in adapter.profile.capabilities
        ]
        self.books = Books(first=self._today(), last=self._today())

    async def play(self) -> Books:
        """The clean day, then the spoiled one."""
        first = self._today()
        for platform in self._platforms:
            if self._is_shared(platform):
                await self._sell(platform, count=SALES // 4, day=first)
        second = await self._to_the_morning_after(first)
        await self._client.settle(second)
        for told in await self._reconcile(first):
            self._take_in(told)
        await self._spoil(second)
        return self.books

    def _take_in(self, told: Reconciliation) -> None:
        self.books.shown.update({by.value: count for by, count in told.shown_by.items()})
        self.books.settled_fen += sum(one.net_fen for one in told.settled)
        differences = sum(
            count for found, count in told.discrepancies.items() if found is not DiscrepancyClass.DATE_DIFFERS
        )
        self.books.unexplained += differences + told.unasked
        if differences or told.unasked:
            self.books.notes.append(f"{told.platform} {told.day}: {dict(told.discrepancies)}, {told.unasked} unasked")

    async def _spoil(self, day: date) -> None:
        """Sell, spoil the day's bills as they are made, and see what is found in them and in the next day's."""
        for platform in self._platforms:
            await self._sell(platform, count=SALES, day=day)
        for platform in self._platforms:
            for found in DiscrepancyClass:
                times = SHARES_SPOILED if found is DiscrepancyClass.SHARING_DIFFERS else SPOILED
                fault = {"platform": platform, "kind": "bill_defect", "code": found.value, "times": times}
                await self._stage.control("POST", "/faults", fault)
        after = await self._to_the_morning_after(day)
        runs = await self._reconcile(day)
        await self._stage.control("DELETE", "/faults")
        await self._to_the_morning_after(after)
        runs += await self._reconcile(after)
        injected = (await self._stage.control("GET", "/bills/defects"))["defects"]
        self._compare(injected, await self._told(runs, last=after))
        self.books.last = after

    def _compare(self, injected: Sequence[dict[str, Any]], found: Sequence[Discrepancy]) -> None:
        self.books.injected.update(defect["class"] for defect in injected)
        self.books.found.update(one.found.value for one in found)
        explained = [[one for one in found if _is_of(one, defect)] for defect in injected]
        self.books.missed = sum(not some for some in explained)
        expected = {one.discrepancy_id for some in explained for one in some}
        alarms = [one for one in found if one.discrepancy_id not in expected]
        self.books.false_alarms = len(alarms)
        self.books.notes += [f"not spoiled: {one.platform} {one.found} {one.number}" for one in alarms]
        self.books.notes += [
            f"not found: {defect['platform']} {defect['class']} {defect['number']}"
            for defect, some in zip(injected, explained, strict=True)
            if not some
        ]

    async def _told(self, runs: Sequence[Reconciliation], *, last: date) -> list[Discrepancy]:
        """What is open, by bills or by asking, and what was met on another day than it was expected."""
        ledger, merchant_id = self._client.setting.ledger, self._client.setting.merchant_id
        is_open = await self._client.read(ledger.open_discrepancies(merchant_id, last=last, after="", limit=MOST))
        found = [one for run in runs for one in every(read_outcome(run.folder).discrepancies)]
        return [
            *(discrepancy_of(known.content) for known in is_open),
            *(one for one in found if one.found is DiscrepancyClass.DATE_DIFFERS),
        ]

    async def _reconcile(self, day: date) -> list[Reconciliation]:
        told = []
        for platform in self._platforms:
            answer = await self._client.reconcile(platform, day)
            if isinstance(answer, BillNotReady):
                self.books.unexplained += 1
                self.books.notes.append(f"{platform} {day}: no bill before {answer.ready_at}")
            else:
                told.append(answer)
        return told

    async def _sell(self, platform: str, *, count: int, day: date) -> None:
        """Redeem ``count`` coupons of one template; on paid orders, and shared, where shares stand in a bill."""
        now = self._client.clock.now()
        template = CouponTemplate(
            template_id=f"BOOKS{day:%m%d}{platform}"[:32],
            name="演示满100减20券",
            benefit=AmountOff(off_fen=OFF_FEN, min_spend_fen=ORDER_FEN),
            valid_from=now - timedelta(minutes=1),
            valid_until=now + timedelta(days=30),
            platforms=frozenset({platform}),
        )
        wish = IssueRequest(idempotency_key=f"demo-{template.template_id}", template=template, count=count)
        coupons = (await self._client.issue(wish)).coupons
        self.books.sold += len(coupons)
        redeemed: list[Redemption] = []

        async def sell(coupon: Coupon, number: int) -> None:
            await self._client.bind(
                BindRequest(coupon=coupon.code, platform=platform, holder=self._stage.holder(number))
            )
            order = await self._order(platform, coupon, number)
            proof = await self._stage.proof(coupon, platform=platform, order=order, number=number)
            key = f"books-{coupon.coupon_id}"
            request = RedeemRequest(
                idempotency_key=key, platform=platform, coupon=coupon.code, order=order, proof=proof
            )
            redeemed.append(await self._client.redeem(request))

        numbers = range(self._next_holder, self._next_holder + count)
        self._next_holder += count
        await self._stage.at_once("sell", [sell(*each) for each in zip(coupons, numbers, strict=True)])
        if self._is_shared(platform):
            await self._stage.move_clock(advance_s=AFTER_PAYMENT_S)
            await self._stage.at_once("share", [self._share(one) for one in redeemed])
            await self._stage.move_clock(advance_s=AFTER_SHARING_S)
            await self._client.recover()

    async def _order(self, platform: str, coupon: Coupon, number: int) -> Order:
        if not self._is_shared(platform):
            return Order(order_no=f"BOOKS{coupon.coupon_id}", amount_fen=ORDER_FEN)
        holder = self._stage.holder(number).user
        assert holder is not None
        wish = {
            "platform": platform,
            "amount_fen": ORDER_FEN,
            "holder": holder.reveal(),
            "code": coupon.code.reveal(),
            "profit_sharing": True,
        }
        paid = (await self._stage.control("POST", "/orders", wish))["order"]
        return Order(order_no=paid["out_trade_no"], amount_fen=ORDER_FEN, platform_order_no=paid.get("transaction_id"))

    async def _share(self, redemption: Redemption) -> None:
        await self._client.share(
            ShareRequest(
                idempotency_key=f"share-{redemption.redemption_id}",
                redemption_id=redemption.redemption_id,
                rule=self._rule,
                amount_fen=SHARED_FEN,
            )
        )

    def _is_shared(self, platform: str) -> bool:
        """Whether shares stand in a bill of the platform."""
        return any(source.kind is BillKind.SHARE for source in self._profile(platform).bills)

    def _profile(self, platform: str) -> PlatformProfile:
        return self._client.setting.adapter(platform).profile

    def _today(self) -> date:
        return business_date(self._client.clock.now())

    async def _to_the_morning_after(self, day: date) -> date:
        """The next working day, when every bill of ``day`` is there; the next day where no notice covers it."""
        then = self._client.setting.calendar.next_worked(day)
        then = day + timedelta(days=1) if isinstance(then, CalendarNotPublished) else then
        await self._stage.move_clock(now=datetime.combine(then, BILLS_ARE_READY, BEIJING).isoformat())
        await self._client.recover()  # as every minute: what was open, and receivers who have been paid meanwhile
        return then


def _is_of(one: Discrepancy, defect: dict[str, Any]) -> bool:
    """Whether ``one`` tells of the ``defect``, by either number that a side has."""
    if (one.platform, one.found.value) != (defect["platform"], defect["class"]):
        return False
    if defect["number"] is None:
        return (one.bill.value, one.since.isoformat()) == (defect["bill"], defect["day"])
    numbers = {one.number}
    for side in (one.ours, one.theirs):
        if isinstance(side, Entry | ListedRow):
            numbers |= {side.number, side.platform_no}
    return defect["number"] in numbers
