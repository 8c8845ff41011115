"""Crash tests, generated: every flow is killed before and after every effect, then a new process carries on.

What is enumerated is each moment at which a process can die; the dry run of a flow counts them. After the death the
same request is made again with the same key, as an integrator would; time passes; ``recover`` runs; and then every
invariant must hold, nothing may be open, and ledger and platform must agree.
"""

import functools
import itertools
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta

import pytest

from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.coupon import AmountOff, Cash, CouponTemplate
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import PayOutRequest, RedeemRequest, ReverseRequest
from unicom_coupon_sdk.domain.requests import BindRequest, ChallengeRequest, IssueRequest, VoidRequest
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.domain.sharing import Ratio, Receiver, Remainder, SharePart, ShareRequest, ShareRole, ShareRule
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.times import BEIJING, business_date
from unicom_coupon_sdk.domain.verification import Method
from unicom_coupon_sdk.errors import CouponError
from unicom_coupon_sdk.flows.bind import bind
from unicom_coupon_sdk.flows.challenge import challenge
from unicom_coupon_sdk.flows.expire import expire, void
from unicom_coupon_sdk.flows.issue import issue
from unicom_coupon_sdk.flows.notify import notify
from unicom_coupon_sdk.flows.pay_out import pay_out
from unicom_coupon_sdk.flows.query import query
from unicom_coupon_sdk.flows.reconcile import reconcile
from unicom_coupon_sdk.flows.recover import recover
from unicom_coupon_sdk.flows.redeem import redeem
from unicom_coupon_sdk.flows.reverse import reverse
from unicom_coupon_sdk.flows.settle import settle
from unicom_coupon_sdk.flows.share import share
from unicom_coupon_sdk.platform import registry
from unicom_coupon_sdk.platform.profile import Capability
from unicom_coupon_sdk.sandbox.simulation import World
from unicom_coupon_sdk.sandbox.simulation.actor import Host
from unicom_coupon_sdk.sandbox.simulation.schedule import START

PLATFORMS = tuple(registry.available())
SECTIONS = {"alipay": {"mode": "certificate"}}
"""What a platform needs to offer all it can."""

RECEIVERS = {
    "alipay": Receiver(merchant_account="2088000000000011"),
    "wechatpay": Receiver(merchant_account="1900000109", name=Secret("联通服务商")),
}


@dataclass
class DoomedHost(Host):
    """Dies at the n-th moment at which it can; with no number it lives and counts."""

    dies_at: int | None = None
    moments: int = field(default=0)

    def _dies(self, flow):
        self.moments += 1
        if self.moments - 1 == self.dies_at:
            flow.close()
            return True
        return False


def template_of(world, platform):
    return CouponTemplate(
        template_id="CRASH",
        name="崩溃测试券",
        benefit=AmountOff(off_fen=500),
        valid_from=START - timedelta(hours=1),
        valid_until=START + timedelta(days=1),
        platforms=frozenset({platform}),
    )


def issuing(world, platform):
    wish = IssueRequest(idempotency_key="crash-issue", template=template_of(world, platform), count=2)
    return lambda: issue(wish, setting=world.setting)


def binding(world, platform):
    wish = IssueRequest(idempotency_key="crash-issue", template=template_of(world, platform), count=1)
    coupon = world.calmly(issue(wish, setting=world.setting)).coupons[0]
    request = BindRequest(coupon=coupon.code, platform=platform, holder=Holder(phone="13900139000", user="oCrashUser"))
    return lambda: bind(request, setting=world.setting)


def redeeming(world, platform, key="crash-redeem"):
    coupon = world.coupons[0]

    def make():
        order = Order(order_no="CRASH", amount_fen=10_000)
        request = RedeemRequest(
            idempotency_key=key,
            platform=platform,
            coupon=coupon.code,
            order=order,
            proof=world.proof(coupon, platform, order),
        )
        return redeem(request, setting=world.setting)

    return make


def redeemed(world, platform):
    redemption = world.calmly(redeeming(world, platform)())
    world.known[redemption.redemption_id] = redemption
    return redemption


def reversing(world, platform):
    request = ReverseRequest(idempotency_key="crash-back", redemption_id=redeemed(world, platform).redemption_id)
    return lambda: reverse(request, setting=world.setting)


def run_until_sent(world, flow):
    """Run ``flow`` until the platform has answered its first request, then let its process die."""
    before = world.network.carried
    host = host_of(world)
    original = host._dies
    host._dies = lambda dying: (world.network.carried > before and (dying.close() or True)) or original(dying)
    host.run(flow, lambda answer: None)
    world._drain()


def recovering(world, platform):
    run_until_sent(world, redeeming(world, platform)())
    world.schedule.now += timedelta(hours=1)
    return lambda: recover(setting=world.setting)


def querying(world, platform):
    run_until_sent(world, redeeming(world, platform)())
    world.schedule.now += timedelta(minutes=2)
    with world.connection.begin():
        held = world.ledger.redemption_of_key("simulated", "crash-redeem")(world.connection)
    return lambda: query(held.redemption_id, setting=world.setting)


def voiding(world, platform):
    request = VoidRequest(coupon=CouponCode(world.coupons[0].code.reveal()), reason="crash")
    return lambda: void(request, setting=world.setting)


def expiring(world, platform):
    world.schedule.now += timedelta(days=3)
    return lambda: expire(setting=world.setting)


def challenging(world, platform):
    methods = world.setting.adapter(platform).profile.methods
    method = next(
        method for method in (Method.BIOMETRIC, Method.SMS, Method.PHONE, Method.TERMINAL) if method in methods
    )
    request = ChallengeRequest(
        coupon=world.coupons[0].code,
        platform=platform,
        method=method,
        order=Order(order_no="CRASH", amount_fen=10_000),
    )
    return lambda: challenge(request, setting=world.setting)


def notifying(world, platform):
    """News that the holder has the coupon, or has used it, as often as the platform cares to repeat it."""
    if not any(found[0] == platform for found in world.callbacks):
        redeemed(world, platform)
    _, callback = next(found for found in world.callbacks if found[0] == platform)

    def make():
        _, headers, body = world.emulators[platform].render_callback(callback)
        return notify(platform, headers, body, setting=world.setting)

    return make


def settling(world, platform):
    redemption = redeemed(world, platform)
    return lambda: settle(redemption.settles_on, setting=world.setting)


def paying_out(world, platform):
    template = template_of(world, platform).replaced(benefit=Cash(cash_fen=5_000))
    wish = IssueRequest(idempotency_key="crash-issue", template=template, count=1)
    coupon = world.calmly(issue(wish, setting=world.setting)).coupons[0]
    holder = Holder(phone="13900139000", user="oCrashUser")
    world.calmly(bind(BindRequest(coupon=coupon.code, platform=platform, holder=holder), setting=world.setting))

    def make():
        request = PayOutRequest(
            idempotency_key="crash-pay",
            platform=platform,
            coupon=coupon.code,
            reference="CRASH",
            proof=world.proof(coupon, platform, Order(order_no="CRASH", amount_fen=0)),
        )
        return pay_out(request, setting=world.setting)

    return make


def sharing(world, platform):
    """A share of a redemption on an order that was paid there, and whose money may be shared."""
    wish = {"amount_fen": 10_000, "holder": "oCrashUser", "profit_sharing": True}
    paid = world.emulators[platform].order(wish)
    number = paid.get("transaction_id") or paid["trade_no"]
    order = Order(order_no=paid["out_trade_no"], amount_fen=10_000, platform_order_no=number)
    coupon = world.coupons[0]
    request = RedeemRequest(
        idempotency_key="crash-redeem",
        platform=platform,
        coupon=coupon.code,
        order=order,
        proof=world.proof(coupon, platform, order),
    )
    redemption = world.calmly(redeem(request, setting=world.setting))
    world.known[redemption.redemption_id] = redemption
    world.schedule.now += timedelta(minutes=2)
    wish = ShareRequest(
        idempotency_key="crash-share", redemption_id=redemption.redemption_id, rule="crash", amount_fen=1_000
    )
    return lambda: share(wish, setting=world.setting)


def reconciling(world, platform):
    redeemed(world, platform)
    day = business_date(world.schedule.now)
    world.schedule.now = evening_after(day)
    return lambda: reconcile(platform, day, setting=world.setting)


def evening_after(day):
    return datetime.combine(day + timedelta(days=1), time(17, 30), BEIJING)


FLOWS = {
    "pay_out": paying_out,
    "share": sharing,
    "reconcile": reconciling,
    "settle": settling,
    "challenge": challenging,
    "notify": notifying,
    "issue": issuing,
    "bind": binding,
    "redeem": redeeming,
    "reverse": reversing,
    "recover": recovering,
    "query": querying,
    "void": voiding,
    "expire": expiring,
}


NEEDED = {
    "challenge": Capability.CHALLENGE,
    "notify": Capability.NOTIFY,
    "pay_out": Capability.PAY_OUT,
    "share": Capability.SHARE,
    "reconcile": Capability.FETCH_BILL,
}
"""Flows that a platform may lack."""


def flows_of(platform):
    offered = registry.load(platform).profile.capabilities
    return [name for name in FLOWS if NEEDED.get(name, Capability.REDEEM) in offered]


@functools.cache
def directory():
    import tempfile
    from pathlib import Path

    return Path(tempfile.mkdtemp(prefix="unicom-crash-"))


def world_of(platform):
    receiver = RECEIVERS.get(platform)
    parts = () if receiver is None else (
        SharePart(role=ShareRole.PLATFORM, size=Ratio(basis_points=1_000), receiver=receiver),
        SharePart(role=ShareRole.MERCHANT, size=Remainder()),
    )  # fmt: skip
    world = World(
        1,
        platforms={platform: registry.load(platform).emulator()},
        directory=directory(),
        sections=SECTIONS,
        sharing=(ShareRule(name="crash", parts=parts),) if parts else (),
    )
    world.found()
    return world


def host_of(world, dies_at=None):
    return DoomedHost(
        schedule=world.schedule,
        network=world.network,
        connection=world.connection,
        random=world.random,
        after_transact=world._check,
        dies_at=dies_at,
    )


def run(world, flow, dies_at=None):
    """Run ``flow`` on one process; its answers, none if it died."""
    answers = []
    host = host_of(world, dies_at)
    host.run(flow, answers.append)
    world._drain()
    return host, answers


@functools.cache
def moments_of(name, platform):
    world = world_of(platform)
    host, answers = run(world, FLOWS[name](world, platform)())
    assert len(answers) == 1
    assert not isinstance(answers[0], CouponError), answers[0]
    return host.moments


def cases():
    return [
        pytest.param(platform, name, moment, id=f"{platform}-{name}-{moment}")
        for platform in PLATFORMS
        for name in flows_of(platform)
        for moment in range(moments_of(name, platform))
    ]


def double_cases():
    """Redeem and reverse die twice: in the first process, and in the one that comes after it."""
    return [
        pytest.param(platform, name, first, second, id=f"{platform}-{name}-{first}-{second}")
        for platform in PLATFORMS
        for name in ("redeem", "reverse")
        for first, second in itertools.product(range(0, moments_of(name, platform), 2), range(1, 16, 3))
    ]


def carry_on(world, make, platform, *, dies_at=None):
    """A new process: the same request again, later ``recover``; at last everything is at rest and right."""
    host, _ = run(world, make(), dies_at)
    world.schedule.now += timedelta(minutes=30)
    run(world, recover(setting=world.setting))
    _, answers = run(world, make())
    assert answers
    with world.connection.begin():
        kept = world.ledger.redemption_of_key("simulated", "crash-redeem")(world.connection)
    if kept is not None:
        world.known[kept.redemption_id] = kept
    let_money_arrive(world, platform)
    close_books(world, platform)
    world.settle()
    return host, answers[0]


def let_money_arrive(world, platform):
    """The payee takes what waits for them; sharing that takes a while is over."""
    with world.connection.begin():
        paid = world.ledger.redemption_of_key("simulated", "crash-pay")(world.connection)
    if paid is not None and paid.state is OperationState.PENDING:
        world.emulators[platform].deliver({"kind": "transfer", "out_bill_no": paid.redemption_id})
    run(world, recover(setting=world.setting))


def close_books(world, platform):
    """What was done once stands once in the platform's bills, or the platform says so when it is asked."""
    day = business_date(START)
    world.schedule.now = max(world.schedule.now, evening_after(day))
    run(world, recover(setting=world.setting))  # what was too young to be over
    found = world.calmly(reconcile(platform, day, setting=world.setting))
    assert found.is_clean, found


@pytest.mark.parametrize(("platform", "name", "moment"), cases())
def test_a_process_may_die_at_any_moment(platform, name, moment):
    world = world_of(platform)
    make = FLOWS[name](world, platform)
    _, answers = run(world, make(), moment)
    assert answers == []
    carry_on(world, make, platform)


@pytest.mark.parametrize(("platform", "name", "first", "second"), double_cases())
def test_and_the_next_process_may_die_as_well(platform, name, first, second):
    world = world_of(platform)
    make = FLOWS[name](world, platform)
    run(world, make(), first)
    carry_on(world, make, platform, dies_at=second)


def test_the_crash_cases_are_many():
    assert len(cases()) + len(double_cases()) >= 150 * len(PLATFORMS)
