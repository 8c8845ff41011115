"""A seeded world: a few coupons, many who want them, and everything that can go wrong.

The same seed gives the same world, effect for effect, so a failure is repeated by its number alone. Tills redeem (some
of them the same coupon, some the same wish twice), reverse, crash and start again; a recoverer and an expirer come by;
platforms send news; clocks are off; keys rotate. After every transaction and at the end the invariants are checked,
and in the end the network calms down, time passes, and nothing may be left open. In some worlds the bills of the days
are then reconciled with the ledger, and must agree.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from unicom_coupon_sdk.client import House
from unicom_coupon_sdk.config import Settings
from unicom_coupon_sdk.domain.bill import BillKind, BillNotReady, RowKind
from unicom_coupon_sdk.domain.coupon import AmountOff, Coupon, CouponTemplate, Funding
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import RedeemRequest, Redemption, ReverseRequest
from unicom_coupon_sdk.domain.requests import BindRequest, IssueRequest
from unicom_coupon_sdk.domain.sharing import ShareRule
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.times import BEIJING, business_date
from unicom_coupon_sdk.domain.verification import Proof
from unicom_coupon_sdk.errors import CouponError, ForgedMessage
from unicom_coupon_sdk.flows.bind import bind
from unicom_coupon_sdk.flows.expire import expire
from unicom_coupon_sdk.flows.issue import issue
from unicom_coupon_sdk.flows.notify import notify
from unicom_coupon_sdk.flows.query import query
from unicom_coupon_sdk.flows.reconcile import reconcile
from unicom_coupon_sdk.flows.recover import recover
from unicom_coupon_sdk.flows.redeem import redeem
from unicom_coupon_sdk.flows.reverse import reverse
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.flows.settle import settle
from unicom_coupon_sdk.ledger.preparation import memory_engine
from unicom_coupon_sdk.platform.effects import Flow
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox import papers
from unicom_coupon_sdk.sandbox.bills import BillBook, BillLine, MadeBill
from unicom_coupon_sdk.sandbox.emulator import Callback, Emulator
from unicom_coupon_sdk.sandbox.faults import FaultBook
from unicom_coupon_sdk.sandbox.simulation.actor import Host
from unicom_coupon_sdk.sandbox.simulation.holders import Holders
from unicom_coupon_sdk.sandbox.simulation.invariants import Answers, Broken, check_ledger, check_platform
from unicom_coupon_sdk.sandbox.simulation.network import WEATHERS, Network
from unicom_coupon_sdk.sandbox.simulation.schedule import START, Schedule
from unicom_coupon_sdk.sandbox.store import DocumentStore

MERCHANT = "simulated"
_keys_in_use: list[House] = []
"""The last world's keys, so that the next world of this process need not load the same ones again."""
MOST_STEPS = 20_000
BOOKS_EVERY = 40
"""In one world of so many the books are closed as well, which takes longer than all else that happens in it."""

EVENING = time(17, 30)
"""By this time of the next day every platform has made its bills."""


@dataclass
class SimulatedFrame:
    """The frame of an emulator in a world: its clock is the schedule's, its callbacks go to the world."""

    store: DocumentStore
    directory: Path
    schedule: Schedule
    random: random.Random
    on_callback: Callable[[Callback], None]
    files_url: str
    messages: list[Mapping[str, str | None]] = field(default_factory=list)

    def now(self) -> datetime:
        """The world's true time."""
        return self.schedule.now

    def random_bytes(self, count: int) -> bytes:
        """From the world's seed."""
        return self.random.randbytes(count)

    def send_callback(self, callback: Callback) -> None:
        """Hand a callback to the world."""
        self.on_callback(callback)

    def send_message(self, to: str, *, kind: str, text: str, code: str | None = None) -> None:
        """Keep a phone message."""
        self.messages.append({"to": to, "kind": kind, "text": text, "code": code})

    def registered_url(self, event: str) -> str | None:
        """The simulated merchant listens to everything."""
        return f"https://merchant.invalid/{event or 'news'}"

    def make_bill(
        self,
        bill: BillKind,
        day: date,
        *,
        lines: Callable[[], Iterable[BillLine]],
        invent: Callable[[BillLine], BillLine],
        total_of: RowKind | None = None,
    ) -> MadeBill:
        """As the sandbox makes it; nobody gives a world faults of this kind."""
        book = BillBook(self.store, faults=FaultBook(self.store))
        return book.made(bill, day, lines=lines, invent=invent, total_of=total_of)


@dataclass(frozen=True, slots=True)
class Told:
    """What a world was, in numbers."""

    seed: int
    steps: int
    requests: int
    redeemed: int
    reversed: int
    refused: int
    crashed: int


class World:
    """One seeded run. ``platforms`` maps names to emulator classes; every coupon is listed on all of them.

    ``sections`` changes the settings of some platforms; ``sharing`` are the rules by which a redemption may be shared.
    """

    def __init__(
        self,
        seed: int,
        *,
        platforms: Mapping[str, type[Any]],
        directory: Path,
        sections: Mapping[str, Mapping[str, Any]] | None = None,
        sharing: tuple[ShareRule, ...] = (),
    ) -> None:
        self.seed = seed
        self.random = random.Random(seed)  # noqa: S311 - a simulation must repeat
        self.schedule = Schedule()
        self.network = Network(self.schedule, self.random, emulators={}, calm=True)
        self.emulators: dict[str, Emulator] = {}
        self.callbacks: list[tuple[str, Callback]] = []
        changes, told = sections or {}, {}
        phones: dict[str, list[Mapping[str, str | None]]] = {}
        for name, kind in platforms.items():
            base_url = f"https://{name.replace('_', '-')}.invalid"
            # Its own source: what an emulator draws (keys, at the first start) must not change the world.
            drawn = random.Random(f"{seed}:{name}")  # noqa: S311
            frame = SimulatedFrame(DocumentStore(), directory, self.schedule, drawn, self._news(name), base_url)
            emulator = kind(frame)
            emulator.credentials()
            phones[name] = frame.messages
            told[name] = {**emulator.client_settings(base_url), **changes.get(name, {})}
            self.emulators[name] = self.network.emulators[base_url.removeprefix("https://")] = emulator
        self.house = House(_settings(told, directory).replaced(sharing=sharing), engine=memory_engine())
        self.ledger = self.house.ledger
        self.holders = Holders(self.schedule, self.random, self.setting, self.house.token_key, phones)
        self.network.after_arrival = self._check
        self.answers = Answers()
        self.coupons: list[Coupon] = []
        self.known: dict[str, Redemption] = {}
        self.counts = dict.fromkeys(("redeemed", "reversed", "refused", "crashed"), 0)
        self._steps = 0
        self._doze = self.random.choice((0.005, 0.005, 0.1))
        self._checked: tuple[int, int] | None = None
        self._codes: tuple[str, ...] = ()
        self.connection = self.house.engine.connect()
        self._driver: Any = self.connection.connection.driver_connection
        _keys_in_use[:] = [self.house]

    def run(self) -> Told:
        """Live through the world. Raises ``Broken`` when an invariant does not hold."""
        try:
            self.found()
            self.network.calm = False
            self.network.weather = self.random.choice(list(WEATHERS))
            for wish in range(self.random.randint(4, 10)):
                self.schedule.put(self.random.uniform(0, 600), self._wish(wish))
            for _ in range(self.random.randint(1, 3)):
                self.schedule.put(self.random.uniform(60, 1500), lambda: self._start(recover(setting=self.setting)))
            if self.random.random() < 0.2:
                self.schedule.put(self.random.uniform(60, 600), self._rotate)
            self._drain()
            self.settle()
        finally:
            self.connection.close()
            self.house.engine.dispose()
        return Told(seed=self.seed, steps=self._steps, requests=self.network.carried, **self.counts)

    @property
    def setting(self) -> Setting:
        """What flows work with here."""
        return self.house.setting

    def found(self) -> None:
        """Issue and bind, on a calm network: what goes wrong there is for the crash tests."""
        template = CouponTemplate(
            template_id=f"T{self.seed}",
            name="模拟券",
            benefit=AmountOff(off_fen=self.random.choice((500, 2_000)), min_spend_fen=1_000),
            funding=self.random.choice(list(Funding)),
            valid_from=START - timedelta(hours=1),
            valid_until=START + timedelta(seconds=self.random.choice((900, 86_400, 86_400))),
            platforms=frozenset(self.emulators),
        )
        count = self.random.randint(1, 3)
        wish = IssueRequest(idempotency_key="founding", template=template, count=count)
        self.coupons = list(self.calmly(issue(wish, setting=self.setting)).coupons)
        self._codes = tuple(coupon.code.reveal() for coupon in self.coupons)
        for number, coupon in enumerate(self.coupons):
            for platform in self.emulators:
                holder = Holder(phone=f"1380013800{number}", user=f"oSimulatedUser{self.seed}n{number}")
                request = BindRequest(coupon=coupon.code, platform=platform, holder=holder)
                self.calmly(bind(request, setting=self.setting))

    def _wish(self, number: int) -> Callable[[], None]:
        """Somebody's wish to spend a coupon; after a crash or an unknown answer they may repeat the key."""
        coupon = self.random.choice(self.coupons)
        platform = self.random.choice(list(self.emulators))
        tries = self.random.randint(1, 3)

        def begin() -> None:
            for attempt in range(tries):
                delay_s = 0.0 if attempt == 0 else self.random.uniform(0, 400)
                self.schedule.put(delay_s, lambda: self._redeem(f"wish-{number}", coupon, platform))

        return begin

    def _redeem(self, key: str, coupon: Coupon, platform: str) -> None:
        order = Order(order_no=f"O{key.replace('-', '_')}", amount_fen=10_000)

        def proved(proof: Proof) -> None:
            request = RedeemRequest(
                idempotency_key=key, platform=platform, coupon=coupon.code, order=order, proof=proof
            )
            self._start(redeem(request, setting=self.setting), self._redeemed)

        self.holders.prove(coupon, platform, order, proved, start=self._start)

    def proof(self, coupon: Coupon, platform: str, order: Order) -> Proof:
        """What the genuine holder shows now, typed right, with nothing going wrong on the way."""
        told: list[Proof] = []
        mistypes, self.holders.mistypes = self.holders.mistypes, 0.0
        self.holders.prove(coupon, platform, order, told.append, start=self.host(crash=0.0, skew_s=0.0).run)
        while not told:
            if not self.schedule.step():
                raise Broken("a flow stopped without an end")
        self.holders.mistypes = mistypes
        return told[0]

    def _redeemed(self, answer: Redemption | CouponError) -> None:
        if isinstance(answer, CouponError):
            self.counts["refused"] += 1
            return
        self._note(answer)
        if answer.state is OperationState.DONE:
            self.counts["redeemed"] += 1
            if self.random.random() < 0.4:
                self.schedule.put(self.random.uniform(0, 300), lambda: self._reverse(answer.redemption_id))
        else:
            again = query(answer.redemption_id, setting=self.setting)
            wait_s = self.random.uniform(1, self.random.choice((30, 600)))
            self.schedule.put(wait_s, lambda: self._start(again, self._redeemed))

    def _reverse(self, redemption_id: str) -> None:
        request = ReverseRequest(idempotency_key=f"back-{redemption_id}", redemption_id=redemption_id)

        def reversed_(answer: Any) -> None:
            self.counts["reversed" if not isinstance(answer, CouponError) else "refused"] += 1

        for attempt in range(self.random.randint(1, 2)):
            flow = reverse(request, setting=self.setting)
            self.schedule.put(attempt * self.random.uniform(0, 400), lambda flow=flow: self._start(flow, reversed_))  # type: ignore[misc]

    def _note(self, redemption: Redemption) -> None:
        self.answers.note(redemption)
        self.known[redemption.redemption_id] = redemption

    def _news(self, platform: str) -> Callable[[Callback], None]:
        """Deliver a platform's callbacks: late, doubled, and now and then spoiled on the way."""

        def send(callback: Callback) -> None:
            self.callbacks.append((platform, callback))
            for wait_s in (*callback.schedule_s[:1], *((60.0,) if self.random.random() < 0.3 else ())):
                self.schedule.put(wait_s + self.random.uniform(0, 90), lambda: self._tell(platform, callback))

        return send

    def _tell(self, platform: str, callback: Callback) -> None:
        _, headers, body = self.emulators[platform].render_callback(callback)
        if self.random.random() < 0.2:
            spoiled = HttpAnswer(200, headers, body)
            kind = self.random.choice(("bad_signature", "wrong_serial"))
            forged = self.emulators[platform].spoil(kind, spoiled, probe=False)

            def must_refuse(answer: Any) -> None:
                if not isinstance(answer, ForgedMessage):
                    raise Broken(f"a forged callback of {platform} was taken for genuine")

            self.host(crash=0.0, skew_s=0.0).run(
                notify(platform, forged.headers, forged.content, setting=self.setting), must_refuse
            )
        self._start(notify(platform, headers, body, setting=self.setting))

    def _rotate(self) -> None:
        for emulator in self.emulators.values():
            steps = emulator.key_steps()
            if steps:
                emulator.rotate(steps[0])

    def _start(self, flow: Flow[Any], done: Callable[[Any], None] | None = None) -> None:
        skew_s = self.random.choice((0.0, 0.0, -25.0, 25.0))
        self.host(crash=0.03, skew_s=skew_s).run(flow, done or _ignore)

    def host(self, *, crash: float, skew_s: float) -> Host:
        """A host of this world."""
        return Host(
            schedule=self.schedule,
            network=self.network,
            connection=self.connection,
            random=self.random,
            skew_s=skew_s,
            crash=crash,
            doze=self._doze if crash else 0.0,
            after_transact=self._check,
            on_death=self._died,
        )

    def _died(self) -> None:
        self.counts["crashed"] += 1

    def calmly(self, flow: Flow[Any]) -> Any:
        """Run a flow to its end with nothing going wrong."""
        told: list[Any] = []
        self.host(crash=0.0, skew_s=0.0).run(flow, told.append)
        while not told:
            if not self.schedule.step():
                raise Broken("a flow stopped without an end")
        if isinstance(told[0], CouponError):
            raise Broken(f"on a calm network: {told[0]}")
        return told[0]

    def _drain(self) -> None:
        while self.schedule.step():
            self._steps += 1
            if self._steps > MOST_STEPS:
                raise Broken("the world does not come to rest")

    def settle(self) -> None:
        """The storm is over: in time every hold must end, and both sides must agree."""
        self.network.calm = True
        self.schedule.now += timedelta(hours=1)
        for emulator in self.emulators.values():
            emulator.tick()
        recovered = self.calmly(recover(setting=self.setting))
        if recovered.still_open or recovered.errors:
            raise Broken(f"{recovered.still_open} operations never end: {recovered.errors}")
        for redemption_id in self.known:
            self._note(self.calmly(query(redemption_id, setting=self.setting)))
        self.schedule.now += timedelta(days=2)
        self.calmly(expire(setting=self.setting))
        self._drain()
        self._check()
        self._check_agreement()
        if self.seed % BOOKS_EVERY == 0:
            self._close_books()

    def _close_books(self) -> None:
        """Days later: whatever was lost on the way, every platform's bills and word agree with the ledger."""
        first = business_date(START)
        last = business_date(self.schedule.now)
        self.schedule.now = max(self.schedule.now, datetime.combine(last + timedelta(days=1), EVENING, BEIJING))
        self.calmly(settle(last, setting=self.setting))
        for number in range((last - first).days + 1):
            for platform in self.emulators:
                run = self.calmly(reconcile(platform, first + timedelta(days=number), setting=self.setting))
                if isinstance(run, BillNotReady) or not run.is_clean:
                    raise Broken(f"the books do not close: {run}")
        self._check()

    def _check(self) -> None:
        """After each transaction and each arrival that changed something."""
        seen = (self._driver.total_changes, self.network.arrived)
        if seen == self._checked:
            return
        self._checked = seen
        with self.connection.begin():
            check_ledger(self.ledger, self.connection)
            for emulator in self.emulators.values():
                check_platform(self.ledger, self.connection, emulator=emulator, codes=self._codes)

    def _check_agreement(self) -> None:
        """At rest: what is done here is used there, on the platform that carried it out."""
        for redemption_id in self.known:
            with self.connection.begin():
                held = self.ledger.held(redemption_id)(self.connection)
            view = self.emulators[held.redemption.platform].view(held.code.reveal())
            used_by = [step.get("request_no") for step in (view or {}).get("history", []) if step["event"] == "use"]
            if held.redemption.state is OperationState.DONE and redemption_id not in used_by:
                raise Broken(f"{redemption_id} is done here and unknown to {held.redemption.platform}")


def _ignore(answer: Any) -> None:
    """Nobody waits for this flow."""


def _settings(sections: dict[str, dict[str, Any]], directory: Path) -> Settings:
    key = directory / "simulated.key"
    if not key.exists():
        key.write_text("c2ltdWxhdGVkLXNpbXVsYXRlZC1zaW11bGF0ZWQtMTI=", encoding="ascii")
    return Settings.parse(
        {
            "merchant": {"id": MERCHANT},
            "ledger": {"url": "sqlite://", "master_key": f"file:{key}"},
            "clearing": papers.clearing_settings(directory / uuid4().hex),  # worlds may share the rest, but no bills
            "platforms": sections,
        }
    )
