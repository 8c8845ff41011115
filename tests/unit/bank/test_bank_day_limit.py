"""The holder's day limit of 50 000 yuan, through the client on either runtime (sheet §3.12)."""

import asyncio
import inspect
import threading
from datetime import timedelta

import pytest

from unicom_coupon_sdk.domain.coupon import AmountOff
from unicom_coupon_sdk.domain.redemption import ReverseRequest
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.errors import CouponError, LimitError

LIMIT = 5_000_000
BIG = 550_000


def ready(stage, *, face, count=1):
    """Coupons of one holder, each worth ``face``."""
    template = stage.template(benefit=AmountOff(off_fen=face, min_spend_fen=0), max_per_holder=100)
    coupons = stage.issue(count=count, template=template).coupons
    for coupon in coupons:
        stage.bind(coupon)
    return coupons


def at_once(stage, wishes):
    """All wishes at the same moment: from threads of their own, or as tasks of one loop. States and error codes."""
    if inspect.iscoroutinefunction(stage._client.redeem):

        async def gathered():
            return await asyncio.gather(*map(stage._client.redeem, wishes), return_exceptions=True)

        told = stage._loop.run_until_complete(gathered())
    else:
        told, start = [], threading.Barrier(len(wishes))

        def redeem(wish):
            start.wait(30)
            try:
                told.append(stage.call("redeem", wish))
            except CouponError as error:
                told.append(error)

        threads = [threading.Thread(target=redeem, args=(wish,)) for wish in wishes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sorted(answer.code if isinstance(answer, CouponError) else answer.state.value for answer in told)


@pytest.mark.parametrize("_", range(5))
def test_of_ten_parallel_redemptions_of_5500_yuan_nine_succeed(either, _):
    coupons = ready(either, face=BIG, count=10)
    wishes = [either.wish(coupon, amount_fen=BIG) for coupon in coupons]
    assert at_once(either, wishes) == ["done"] * 9 + ["limit.exceeded"]
    assert sum(map(either.is_used_there, coupons)) == 9
    assert either.violations() == ()


def test_at_the_limit_is_accepted_and_a_fen_above_is_refused_before_it_is_sent(either):
    (all_of_it,), (fen,) = ready(either, face=LIMIT), ready(either, face=1)
    assert either.call("redeem", either.wish(all_of_it, amount_fen=LIMIT)).state is OperationState.DONE
    above = either.wish(fen, amount_fen=1)
    sent = either.requests()
    with pytest.raises(LimitError) as refused:
        either.call("redeem", above)
    assert refused.value.details["max_fen"] == LIMIT
    assert either.requests() == sent


def test_one_redemption_of_a_fen_above_the_limit_is_refused(either):
    (coupon,) = ready(either, face=LIMIT + 1)
    with pytest.raises(LimitError):
        either.call("redeem", either.wish(coupon, amount_fen=LIMIT + 1))


def test_a_reversal_on_the_same_day_gives_the_room_back(either):
    (all_of_it,), (fen,) = ready(either, face=LIMIT), ready(either, face=1)
    done = either.call("redeem", either.wish(all_of_it, amount_fen=LIMIT))
    either.call("reverse", ReverseRequest(idempotency_key="back", redemption_id=done.redemption_id))
    assert either.call("redeem", either.wish(fen, amount_fen=1)).state is OperationState.DONE


def test_the_next_day_begins_at_midnight_in_beijing(either):
    (all_of_it,), (fen,) = ready(either, face=LIMIT), ready(either, face=1)
    either.call("redeem", either.wish(all_of_it, amount_fen=LIMIT))
    until_midnight = timedelta(hours=15).total_seconds()
    either.advance(seconds=until_midnight - 1)
    with pytest.raises(LimitError):
        either.call("redeem", either.wish(fen, amount_fen=1))
    either.advance(seconds=1)
    assert either.call("redeem", either.wish(fen, amount_fen=1)).state is OperationState.DONE
