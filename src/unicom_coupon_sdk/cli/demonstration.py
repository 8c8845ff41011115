"""The demonstration: a sandbox over loopback, a few hundred coupons, everything that goes wrong, and the proof.

It uses what any integrator has: the configuration that the sandbox writes, the client, and the sandbox's control API.
Nothing is looked up behind the scenes but for the last act, where the ledger is compared with the platforms' own view.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import httpx

from unicom_coupon_sdk.cli import day_limits
from unicom_coupon_sdk.cli.closing import Books, Closing
from unicom_coupon_sdk.cli.day_limits import LimitDay
from unicom_coupon_sdk.client import AsyncCouponClient
from unicom_coupon_sdk.domain.coupon import AmountOff, Coupon, CouponTemplate, Funding
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import RedeemRequest, Redemption, ReverseRequest
from unicom_coupon_sdk.domain.requests import BindRequest, ChallengeRequest, IssueRequest
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.domain.sharing import Ratio, Receiver, Remainder, SharePart, ShareRole, ShareRule
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.times import instant_of, rfc3339
from unicom_coupon_sdk.domain.verification import Method, Proof, ScanProof, SmsProof
from unicom_coupon_sdk.errors import CallerError, CouponError, PlatformError
from unicom_coupon_sdk.flows.recover import Recovery
from unicom_coupon_sdk.runtime.clock import FollowedClock

T = TypeVar("T")

AT_ONCE = 32
RACERS = 4
ORDER_FEN = 10_000
LIMIT_HOLDER = 9_999_998
"""The number of the holder who reaches a day limit: nobody else's."""
PATIENCE_S = 3_600
"""How far the sandbox clock moves before the last recovery: past every deadline and request lifetime."""

FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("delay", {"times": 20, "seconds": 0.3}),
    ("drop_before", {"times": 60}),
    ("drop_after", {"times": 60}),
    ("half_body", {"times": 15}),
    ("bad_signature", {"times": 40}),
    ("bad_signature", {"times": 10, "probe": True}),
    ("wrong_serial", {"times": 10}),
    ("stale_timestamp", {"times": 10}),
)
"""What goes wrong, in this order. Long enough that some requests are unlucky in all their attempts."""

BOOKS_HOLDER = 700_000
"""The first of the holders who buy on the days whose books are closed."""

SHARING = ShareRule(
    name="demo",
    parts=(
        SharePart(
            role=ShareRole.PLATFORM,
            size=Ratio(basis_points=1_000),
            receiver=Receiver(merchant_account="1900000109", name=Secret("演示服务商")),
        ),
        SharePart(role=ShareRole.MERCHANT, size=Remainder()),
    ),
)
"""A tenth of what there is to share goes to a service provider."""

Progress = Callable[[str, int, int], None]
"""Called with the name of a step, how much is done, and how much there is."""


@dataclass
class Tally:
    """What was counted. The names are those of ``demo --json``."""

    issued: int = 0
    redeemed: int = 0
    reversed: int = 0
    refused: int = 0
    retried_same_answer: int = 0
    unknown_at_first: int = 0
    recovered_unknown: int = 0
    races: int = 0
    races_with_one_winner: int = 0
    double_redemptions: int = 0
    journal_sum_fen: int = 0
    ledger_platform_differences: int = 0
    violations: list[str] = field(default_factory=list)
    day_limits: list[LimitDay] = field(default_factory=list)
    books: Books | None = None
    by_platform: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every proof holds."""
        return (
            not self.violations
            and self.double_redemptions == 0
            and self.journal_sum_fen == 0
            and self.ledger_platform_differences == 0
            and self.races == self.races_with_one_winner
            and (self.books is None or self.books.holds)
            and all(played.is_held and played.is_dated for played in self.day_limits)
        )

    def count(self, platform: str, what: str, many: int = 1) -> None:
        """Add to one platform's column."""
        column = self.by_platform.setdefault(platform, {})
        column[what] = column.get(what, 0) + many


class Demonstration:
    """One run. ``control_url`` is the sandbox's; ``seed`` makes the choices repeatable."""

    def __init__(
        self, client: AsyncCouponClient, *, control_url: str, coupons: int, seed: int, progress: Progress
    ) -> None:
        self._client = client
        self._coupons_wanted = coupons
        self._random = random.Random(seed)  # noqa: S311 - choices of a show, not secrets
        self._progress = progress
        self._http = httpx.AsyncClient(base_url=control_url, trust_env=False, timeout=60)
        self._platforms = sorted(client.setting.adapters)
        self._redeemed: dict[str, Redemption] = {}
        self._coupons: dict[str, Coupon] = {}
        self._typed: dict[tuple[str, str], Proof] = {}
        self.tally = Tally()

    async def run(self) -> Tally:
        """All acts in order; the tally at the end."""
        async with self._http:
            await self._reach_limits()
            coupons = await self._issue()
            await self._bind(coupons)
            await self._send_codes(coupons)
            await self._set_faults()
            await self._redeem(coupons)
            await self._race(coupons)
            await self._reverse()
            self._take_in_limits()
            await self._recover()
            await self._prove()
            self.tally.books = await self._close_books()
        return self.tally

    async def _close_books(self) -> Books:
        closing = Closing(self._client, _Backstage(self), first_holder=BOOKS_HOLDER, rule=SHARING.name)
        books = await closing.play()
        setting = self._client.setting
        self.tally.violations += [str(found) for found in await self._client.read(setting.ledger.audit())]
        self.tally.journal_sum_fen += sum((await self._client.read(setting.ledger.trial_balance())).values())
        return books

    async def _reach_limits(self) -> None:
        """The day limits, before anything goes wrong; it also sets the day on which all else happens."""
        self.tally.day_limits = await day_limits.play(
            self._client,
            holder=_holder(LIMIT_HOLDER),
            prove=partial(self._proof, number=LIMIT_HOLDER),
            move_clock=lambda to: self._move_clock(now=rfc3339(to)),
        )
        if self.tally.day_limits:
            self._progress("limits", 1, 1)

    def _take_in_limits(self) -> None:
        """Let what the first act redeemed be proved with the rest; it is not among those that are reversed."""
        for played in self.tally.day_limits:
            self.tally.issued += len(played.coupons)
            if played.refusal is not None:
                self.tally.refused += 1
                self.tally.count(played.platform, "refused")
            self._coupons |= {coupon.coupon_id: coupon for coupon in played.coupons}
            self._redeemed |= {made.redemption_id: made for made in (played.at, played.above) if made is not None}

    async def _issue(self) -> list[Coupon]:
        """One template on all platforms, so that any coupon can be raced on any two."""
        now = instant_of((await self._control("GET", "/clock"))["now"])
        template = CouponTemplate(
            template_id=f"DEMO{self._random.randrange(10**8):08d}",
            name="演示满100减20券",
            benefit=AmountOff(off_fen=2_000, min_spend_fen=ORDER_FEN),
            funding=Funding.POINTS,
            valid_from=now - timedelta(minutes=1),
            valid_until=now + timedelta(days=30),
            platforms=frozenset(self._platforms),
        )
        made: list[Coupon] = []
        while len(made) < self._coupons_wanted:
            count = min(100, self._coupons_wanted - len(made))
            request = IssueRequest(idempotency_key=f"demo-issue-{len(made)}", template=template, count=count)
            made.extend((await self._client.issue(request)).coupons)
            self._progress("issue", len(made), self._coupons_wanted)
        self.tally.issued = len(made)
        self._coupons = {coupon.coupon_id: coupon for coupon in made}
        return made

    async def _bind(self, coupons: Sequence[Coupon]) -> None:
        async def bind(number: int, coupon: Coupon) -> None:
            for platform in self._platforms:
                request = BindRequest(coupon=coupon.code, platform=platform, holder=_holder(number))
                await self._client.bind(request)

        await self._at_once("bind", [bind(number, coupon) for number, coupon in enumerate(coupons)])

    async def _send_codes(self, coupons: Sequence[Coupon]) -> None:
        """One-time codes to the phones of those who will need one, before anything goes wrong: they live 300 s."""
        wanted = [
            (number, coupon, platform)
            for platform in self._platforms
            if self._needs_code(platform)
            for number, coupon in enumerate(coupons)
            if self._is_wanted(number, platform)
        ]

        async def send(number: int, coupon: Coupon, platform: str) -> None:
            order = Order(order_no=f"CODE{number}", amount_fen=ORDER_FEN)
            self._typed[coupon.coupon_id, platform] = await self._proof(
                coupon, platform=platform, order=order, number=number
            )

        if wanted:
            await self._at_once("codes", [send(*each) for each in wanted])

    async def _proof(self, coupon: Coupon, *, platform: str, order: Order, number: int) -> Proof:
        """What holder ``number`` hands over: a code off their phone where the platform wants one, else their token."""
        if not self._needs_code(platform):
            return ScanProof(token=await self._client.show(coupon.coupon_id))
        request = ChallengeRequest(coupon=coupon.code, platform=platform, method=Method.SMS, order=order)
        challenge = await self._client.challenge(request)
        messages = (await self._control("GET", f"/messages?to={_phone(number)}"))["messages"]
        return SmsProof(challenge_id=challenge.challenge_id, one_time_code=messages[-1]["code"])

    def _needs_code(self, platform: str) -> bool:
        methods = self._client.setting.adapter(platform).profile.methods
        return Method.SMS in methods and Method.SCAN not in methods

    def _is_wanted(self, number: int, platform: str) -> bool:
        """Whether coupon ``number`` is redeemed or raced on ``platform``: the choices of ``_redeem`` and ``_race``."""
        if number % 5 == 4:
            return number % 10 == 4
        return self._platforms[(number - number // 5) % len(self._platforms)] == platform

    async def _set_faults(self) -> None:
        for platform in self._platforms:
            # A terminal's line carries one message at a time, so there one fault of each kind stops a whole lane.
            is_line = Method.TERMINAL in self._client.setting.adapter(platform).profile.methods
            for kind, details in FAULTS:
                share = {"times": 1 if is_line else max(1, details["times"] // len(self._platforms))}
                await self._control("POST", "/faults", {"platform": platform, "kind": kind, **details, **share})

    async def _redeem(self, coupons: Sequence[Coupon]) -> None:
        """Four fifths of the coupons, one wish each; every tenth wish is sent twice at once, and twice again."""
        chosen = [coupon for number, coupon in enumerate(coupons) if number % 5 != 4]

        async def redeem(number: int, coupon: Coupon) -> None:
            platform = self._platforms[number % len(self._platforms)]
            request = await self._request(coupon, platform, key=f"demo-{number}")
            if number % 10:
                await self._redeem_once(request)
                return
            await asyncio.gather(self._redeem_once(request), self._redeem_once(request))
            first, again = await self._redeem_once(request), await self._redeem_once(request)
            if first is not None and again is not None and first.redemption_id == again.redemption_id:
                self.tally.retried_same_answer += 1

        await self._at_once("redeem", [redeem(number, coupon) for number, coupon in enumerate(chosen)])

    async def _race(self, coupons: Sequence[Coupon]) -> None:
        """Half of the rest are wanted by several tills at once, on every platform; exactly one may win."""
        chosen = [coupon for number, coupon in enumerate(coupons) if number % 10 == 4]

        async def race(number: int, coupon: Coupon) -> None:
            requests = [
                await self._request(coupon, self._platforms[n % len(self._platforms)], key=f"race-{number}-{n}")
                for n in range(max(RACERS, len(self._platforms)))
            ]
            answers = await asyncio.gather(*[self._redeem_once(request) for request in requests])
            self.tally.races += 1
            winners = [answer for answer in answers if answer is not None]
            if not winners:  # whoever held it was refused by the platform: the tills that found it held ask again
                again = [await self._redeem_once(request) for request in requests]
                winners = [answer for answer in again if answer is not None]
            self.tally.races_with_one_winner += len(winners) == 1

        await self._at_once("race", [race(number, coupon) for number, coupon in enumerate(chosen)])

    async def _redeem_once(self, request: RedeemRequest) -> Redemption | None:
        try:
            redemption = await self._client.redeem(request)
        except (CallerError, PlatformError):
            self.tally.refused += 1
            self.tally.count(request.platform, "refused")
            return None
        if redemption.redemption_id not in self._redeemed:
            self._redeemed[redemption.redemption_id] = redemption
            self._note_unknown(redemption.state, redemption.platform)
        return redemption

    def _note_unknown(self, state: OperationState, platform: str) -> None:
        if state is OperationState.UNKNOWN:
            self.tally.unknown_at_first += 1
            self.tally.count(platform, "unknown_at_first")

    async def _reverse(self) -> None:
        done = [r for r in self._redeemed.values() if r.state is OperationState.DONE]

        async def reverse(redemption: Redemption) -> None:
            request = ReverseRequest(
                idempotency_key=f"back-{redemption.redemption_id}", redemption_id=redemption.redemption_id
            )
            try:
                reversal = await self._client.reverse(request)
                self._note_unknown(reversal.state, redemption.platform)
            except CouponError:
                self.tally.refused += 1
                self.tally.count(redemption.platform, "refused")

        await self._at_once("reverse", [reverse(redemption) for redemption in done[::10]])

    async def _recover(self) -> None:
        """Recover what is unknown: at once what the platform has done, and the rest when it can no longer arrive."""
        await self._control("DELETE", "/faults")
        first = await self._client.recover()
        await self._move_clock(advance_s=PATIENCE_S)
        second = await self._client.recover()
        self.tally.recovered_unknown = _ended(first) + _ended(second)
        if second.still_open or second.errors:
            self.tally.violations.append(f"{second.still_open} still open: {[str(e) for e in second.errors]}")
        self._progress("recover", 1, 1)

    async def _prove(self) -> None:
        """Ask the ledger and the platforms, each for itself, and compare."""
        setting = self._client.setting
        self.tally.violations += [str(found) for found in await self._client.read(setting.ledger.audit())]
        self.tally.journal_sum_fen = sum((await self._client.read(setting.ledger.trial_balance())).values())
        by_coupon: dict[str, list[Redemption]] = {}
        for redemption_id in self._redeemed:
            redemption = await self._client.query(redemption_id)
            by_coupon.setdefault(redemption.coupon_id, []).append(redemption)
            if redemption.state is OperationState.DONE:
                self.tally.redeemed += 1
                self.tally.count(redemption.platform, "redeemed")
            elif redemption.state is OperationState.REVERSED:
                self.tally.reversed += 1
                self.tally.count(redemption.platform, "reversed")
        self.tally.double_redemptions = sum(
            len([r for r in found if r.state is OperationState.DONE]) > 1 for found in by_coupon.values()
        )
        await self._at_once("prove", [self._compare(coupon, by_coupon) for coupon in self._coupons.values()])

    async def _compare(self, coupon: Coupon, by_coupon: dict[str, list[Redemption]]) -> None:
        """The platforms on which a coupon is used must be exactly those on which we say it is redeemed."""
        ours = {r.platform for r in by_coupon.get(coupon.coupon_id, ()) if r.state is OperationState.DONE}
        theirs = set()
        for platform in self._platforms:
            if await self._is_used(platform, coupon):
                theirs.add(platform)
        self.tally.ledger_platform_differences += len(ours ^ theirs)

    async def _is_used(self, platform: str, coupon: Coupon) -> bool:
        """What the platform itself says. One that never met the coupon (a POS line) knows nothing of it."""
        answer = await self._http.get(f"/coupons/{platform}/{coupon.code.reveal()}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return False
        answer.raise_for_status()
        return str(answer.json()["state"]).lower() in {"used", "redeemed"}

    async def _request(self, coupon: Coupon, platform: str, *, key: str) -> RedeemRequest:
        order = Order(order_no=f"O{key.replace('-', '_')}", amount_fen=ORDER_FEN)
        proof = self._typed.get((coupon.coupon_id, platform))
        if proof is None:
            proof = ScanProof(token=await self._client.show(coupon.coupon_id))
        return RedeemRequest(idempotency_key=key, platform=platform, coupon=coupon.code, order=order, proof=proof)

    async def _at_once(self, name: str, work: Iterable[Awaitable[T]]) -> None:
        """Run ``work`` with at most ``AT_ONCE`` under way, telling how far it is."""
        gate = asyncio.Semaphore(AT_ONCE)
        todo = list(work)
        done = 0

        async def one(item: Awaitable[T]) -> None:
            nonlocal done
            async with gate:
                await item
            done += 1
            self._progress(name, done, len(todo))

        async with asyncio.TaskGroup() as tasks:
            for item in todo:
                tasks.create_task(one(item))

    async def _move_clock(self, **to: Any) -> None:
        await self._control("POST", "/clock", to)
        if isinstance(self._client.clock, FollowedClock):
            await asyncio.to_thread(self._client.clock.refresh)

    async def _control(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = await self._http.request(method, path, json=body)
        answer.raise_for_status()
        held: dict[str, Any] = answer.json()
        return held


class _Backstage:
    """What the demonstration lends to its last acts."""

    def __init__(self, demonstration: Demonstration) -> None:
        self.control = demonstration._control  # noqa: SLF001 - one class, told in two
        self.move_clock = demonstration._move_clock  # noqa: SLF001
        self.at_once = demonstration._at_once  # noqa: SLF001
        self.proof = demonstration._proof  # noqa: SLF001

    def holder(self, number: int) -> Holder:
        """Holder ``number``."""
        return _holder(number)


def _holder(number: int) -> Holder:
    return Holder(user=f"oDemoHolder{number:08d}", phone=_phone(number))


def _phone(number: int) -> str:
    """A phone of the demonstration; none of the test numbers that a platform reserves."""
    return f"138{number:07d}8"


def _ended(recovery: Recovery) -> int:
    return recovery.done + recovery.not_done


async def timed(demonstration: Demonstration) -> tuple[Tally, float]:
    """The tally, and how many seconds the run took."""
    started = time.perf_counter()
    tally = await demonstration.run()
    return tally, time.perf_counter() - started
