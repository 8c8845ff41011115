"""Real processes race for one coupon. Exactly one wins, in every round, however many want it."""

import multiprocessing

import pytest

from tests.processes.conftest import PLATFORMS, wish
from unicom_coupon_sdk import CouponClient, CouponError, OperationState, Settings

ROUNDS = 50


def till(settings_file, number, barrier, coupons, answers):
    """One till: in each round it wants the round's coupon, at the same moment as all the others."""
    with CouponClient(Settings.load(settings_file)) as client:
        platform = PLATFORMS[number % len(PLATFORMS)]
        for round_number, coupon in enumerate(coupons):
            request = wish(client, coupon, key=f"race-{round_number}-{number}", platform=platform)
            barrier.wait(timeout=60)
            try:
                answer = client.redeem(request).state.value
            except CouponError as refused:
                answer = refused.code
            answers.put((round_number, answer))


@pytest.mark.slow
@pytest.mark.parametrize("tills", [16, 64])
def test_one_coupon_many_processes_one_winner(shop, tills):
    coupons = shop.coupons(ROUNDS)
    # spawn: each till is a process of its own from the start, as on a real counter
    context = multiprocessing.get_context("forkserver")
    barrier, answers = context.Barrier(tills), context.Queue()
    processes = [
        context.Process(target=till, args=(shop.settings_file, number, barrier, coupons, answers))
        for number in range(tills)
    ]
    for process in processes:
        process.start()
    told = [answers.get(timeout=240) for _ in range(tills * ROUNDS)]
    for process in processes:
        process.join(timeout=60)
        assert process.exitcode == 0
    for round_number in range(ROUNDS):
        heard = [answer for number, answer in told if number == round_number]
        assert heard.count(OperationState.DONE.value) == 1
        assert set(heard) <= {OperationState.DONE.value, "coupon.held", "coupon.redeemed"}
    assert all(len(shop.is_used(coupon)) == 1 for coupon in coupons)
    with shop.client() as client:
        assert client.read(client.setting.ledger.audit()) == ()
