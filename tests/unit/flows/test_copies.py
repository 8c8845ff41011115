"""A request that is sent twice at once: whatever the order of their steps, its key answers and not the coupon."""

import itertools

import pytest

from unicom_coupon_sdk import IdempotencyConflict, OperationState
from unicom_coupon_sdk.flows.redeem import redeem


def interrupted(flow, *, at, by):
    """``flow``, with ``by`` called before its effect number ``at``."""
    effect = flow.send(None)
    try:
        for count in itertools.count():
            if count == at:
                by()
            try:
                result = yield effect
            except Exception as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(result)
    except StopIteration as done:
        return done.value


def effects_of(flow):
    """How many effects ``flow`` has when nothing gets in its way."""
    count, effect = 1, flow.send(None)
    try:
        while True:
            result = yield effect
            effect = flow.send(result)
            count += 1
    except StopIteration:
        return count


def test_a_copy_at_any_moment_gets_the_same_answer_or_is_told_to_wait(shop):
    told = []
    for at in range(shop.client.run(effects_of(redeem(shop.wish(shop.bound()), setting=shop.setting)))):
        request, heard = shop.wish(shop.bound()), []

        def copy(request=request, heard=heard):
            try:
                heard.append(shop.client.redeem(request).redemption_id)
            except IdempotencyConflict as error:
                heard.append(error.code)

        redemption = shop.client.run(interrupted(redeem(request, setting=shop.setting), at=at, by=copy))
        assert redemption.state is OperationState.DONE
        assert heard in ([redemption.redemption_id], ["idempotency.in_progress"])
        told += heard
    assert {"idempotency.in_progress"} < set(told)


def test_another_request_for_the_coupon_is_refused_as_before(shop):
    coupon = shop.bound()
    shop.client.redeem(shop.wish(coupon))
    with pytest.raises(Exception, match=r"coupon\.redeemed"):
        shop.client.redeem(shop.wish(coupon))
