"""Real processes at a holder's day limit: ten tills with one ledger, and ten tills with none in common."""

import multiprocessing

import pytest

from unicom_coupon_sdk import (
    AmountOff,
    BindRequest,
    ChallengeRequest,
    CouponClient,
    CouponError,
    CouponTemplate,
    Holder,
    IssueRequest,
    Method,
    Order,
    RedeemRequest,
    Settings,
    SmsProof,
)
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.sandbox import SandboxServer

ROUNDS = 5
TILLS = 10
BIG = 550_000
"""5 500 yuan: nine fit into a day's 50 000, ten do not."""


@pytest.fixture
def server(tmp_path):
    """At nine in the morning in Beijing."""
    with SandboxServer(tmp_path / "sandbox", port_base=0, platforms=["bank"]) as server:
        server.control.set_clock(server.control.now().astimezone(BEIJING).replace(hour=9, minute=0))
        yield server


def ledger_of(settings, folder, number):
    """The settings with a ledger that nobody else opens."""
    return settings.replaced(ledger=settings.ledger.replaced(url=f"sqlite:///{folder}/till{number}.db"))


def wishes(client, server, *, phone, count, key):
    """``count`` redemptions of one holder, each with a code that their phone received."""
    now = client.clock.now()
    template = CouponTemplate(
        template_id=f"LIMIT{key}",
        name="限额测试券",
        benefit=AmountOff(off_fen=BIG),
        valid_from=now,
        valid_until=now.replace(year=now.year + 1),
        platforms=frozenset({"bank"}),
        max_per_holder=count,
    )
    made = []
    for number, coupon in enumerate(
        client.issue(IssueRequest(idempotency_key=key, template=template, count=count)).coupons
    ):
        client.bind(BindRequest(coupon=coupon.code, platform="bank", holder=Holder(phone=phone)))
        order = Order(order_no=f"O{key}N{number}", amount_fen=BIG)
        challenge = client.challenge(
            ChallengeRequest(coupon=coupon.code, platform="bank", method=Method.SMS, order=order)
        )
        code = server.control.messages(to=phone)[-1]["code"]
        proof = SmsProof(challenge_id=challenge.challenge_id, one_time_code=code)
        made.append(
            RedeemRequest(
                idempotency_key=f"{key}-{number}", platform="bank", coupon=coupon.code, order=order, proof=proof
            )
        )
    return made


def till(settings, barrier, wishes, answers):
    """One till: each round's redemption at the same moment as all others."""
    with CouponClient(settings) as client:
        for round_number, wish in enumerate(wishes):
            barrier.wait(timeout=60)
            try:
                answers.put((round_number, client.redeem(wish).state.value))
            except CouponError as refused:
                answers.put((round_number, refused.code))


def heard(settings_and_wishes):
    """Each round's answers, sorted."""
    context = multiprocessing.get_context("forkserver")
    barrier, answers = context.Barrier(TILLS), context.Queue()
    processes = [
        context.Process(target=till, args=(settings, barrier, wishes, answers))
        for settings, wishes in settings_and_wishes
    ]
    for process in processes:
        process.start()
    told = [answers.get(timeout=120) for _ in range(TILLS * ROUNDS)]
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    return [sorted(answer for number, answer in told if number == round_number) for round_number in range(ROUNDS)]


@pytest.mark.slow
def test_of_ten_processes_with_one_ledger_nine_redeem_five_times_over(server):
    settings = Settings.load(server.settings_file)
    with CouponClient(settings) as client:
        rounds = [
            wishes(client, server, phone=f"1390000123{number}", count=TILLS, key=f"round{number}")
            for number in range(ROUNDS)
        ]
        told = heard([(settings, [made[number] for made in rounds]) for number in range(TILLS)])
        assert told == [["done"] * 9 + ["limit.exceeded"]] * ROUNDS
        assert client.read(client.setting.ledger.audit()) == ()


@pytest.mark.slow
def test_of_ten_processes_that_know_nothing_of_each_other_the_bank_lets_nine_redeem_five_times_over(server, tmp_path):
    shared = Settings.load(server.settings_file)
    tills = []
    for number in range(TILLS):
        settings = ledger_of(shared, tmp_path, number)
        with CouponClient(settings) as client:
            own = [
                wishes(client, server, phone=f"1390000123{round_}", count=1, key=f"round{round_}till{number}")[0]
                for round_ in range(ROUNDS)
            ]
        tills.append((settings, own))
    assert heard(tills) == [["bank.limit"] + ["done"] * 9] * ROUNDS
