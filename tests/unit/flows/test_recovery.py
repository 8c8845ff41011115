"""What recover, query and issue do when things stand in their way."""

import dataclasses

import pytest

from unicom_coupon_sdk import (
    Cash,
    CouponState,
    ForgedMessage,
    IdempotencyConflict,
    IssueRequest,
    LedgerError,
    OperationState,
    PlatformError,
    PlatformRefused,
    ReverseRequest,
    UnsupportedOperation,
    VoidRequest,
)
from unicom_coupon_sdk.domain.redemption import Outcome
from unicom_coupon_sdk.errors import Effected
from unicom_coupon_sdk.flows.expire import void
from unicom_coupon_sdk.flows.issue import issue
from unicom_coupon_sdk.flows.recover import recover
from unicom_coupon_sdk.flows.redeem import outcome_of, redeem

PLATFORM = "wechatpay"


class Saying:
    """The real adapter, but for the verbs that are given."""

    def __init__(self, adapter, **verbs):
        self._adapter = adapter
        self._verbs = verbs

    def __getattr__(self, name):
        if name in self._verbs:
            return self._verbs[name]
        return getattr(self._adapter, name)


def saying(shop, **verbs):
    return dataclasses.replace(shop.setting, adapters={PLATFORM: Saying(shop.setting.adapter(PLATFORM), **verbs)})


def raising(error):
    def verb(*args, **kwargs):
        raise error
        yield

    return verb


def answering(outcome):
    def verb(*args, **kwargs):
        return outcome
        yield

    return verb


def unknown(shop, coupon, kind="drop_after"):
    shop.fault(kind)
    redemption = shop.client.redeem(shop.wish(coupon))
    shop.calm()
    assert redemption.state is OperationState.UNKNOWN
    return redemption


def test_a_kind_of_coupon_that_the_platform_lacks_is_refused_before_anything_is_made(shop):
    real = shop.setting.adapter(PLATFORM).profile
    setting = saying(shop, profile=dataclasses.replace(real, coupon_kinds=real.coupon_kinds - {"cash"}))
    request = IssueRequest(idempotency_key="cash", template=shop.template(benefit=Cash(cash_fen=100)), count=1)
    with pytest.raises(UnsupportedOperation, match=r"coupon\.kind_not_offered"):
        shop.client.run(issue(request, setting=setting))


def test_an_issue_that_the_platform_did_not_hear_of_is_carried_on_by_the_same_request(shop):
    template = shop.template()
    request = IssueRequest(idempotency_key="lost", template=template, count=2)
    shop.fault("drop_before")
    with pytest.raises(PlatformError):
        shop.client.issue(request)
    shop.calm()
    batch = shop.client.issue(request)
    assert batch.is_repeat
    assert set(batch.refs) == {PLATFORM}


def test_recover_carries_on_an_issue_that_stopped_half_way(shop):
    request = IssueRequest(idempotency_key="stopped", template=shop.template(), count=1)
    shop.fault("drop_before")
    with pytest.raises(PlatformError):
        shop.client.issue(request)
    assert shop.client.recover().batches == 0
    shop.sandbox.control.advance(600)
    assert len(shop.client.recover().errors) == 1
    shop.calm()
    assert shop.client.recover().batches == 1
    assert shop.client.recover().batches == 0


def test_a_batch_for_a_platform_that_is_gone_waits_for_it(shop):
    request = IssueRequest(idempotency_key="gone", template=shop.template(), count=1)
    shop.fault("drop_before")
    with pytest.raises(PlatformError):
        shop.client.issue(request)
    shop.calm()
    shop.sandbox.control.advance(600)
    setting = dataclasses.replace(shop.setting, adapters={})
    assert shop.client.run(recover(setting=setting)).batches == 0
    assert shop.client.recover().batches == 1


def test_operations_of_a_platform_that_is_not_set_up_stay_open(shop):
    unknown(shop, shop.bound())
    setting = dataclasses.replace(shop.setting, adapters={})
    recovery = shop.client.run(recover(setting=setting))
    assert (recovery.still_open, recovery.done, recovery.errors) == (1, 0, ())
    assert shop.client.recover().done == 1


def test_recover_reads_on_behind_what_stays_open(shop, monkeypatch):
    from unicom_coupon_sdk.flows import recover as module

    monkeypatch.setattr(module, "PAGE", 2)
    for _ in range(5):
        unknown(shop, shop.bound(), kind="drop_before")
    assert shop.client.recover().still_open == 5
    assert shop.client.recover(limit=3).still_open == 3


def test_an_answer_that_contradicts_the_ledger_is_reported_and_not_obeyed(shop):
    redemption = unknown(shop, shop.bound())
    done = Outcome(effected=Effected.DONE, platform_no="P1")

    def query(held):
        # between our reading and our writing, another process has concluded the opposite
        shop.sandbox.control.advance(2_000)
        shop.client.run(recover(setting=saying(shop, query=answering(Outcome(effected=Effected.NOT_DONE)))))
        return done
        yield

    recovery = shop.client.run(recover(setting=saying(shop, query=query)))
    assert [error.code for error in recovery.errors] == ["ledger.contradiction"]
    assert isinstance(recovery.errors[0], LedgerError)
    assert shop.client.query(redemption.redemption_id).state is OperationState.RELEASED


def test_a_query_that_cannot_be_answered_tells_what_the_ledger_knows(shop):
    redemption = unknown(shop, shop.bound())
    shop.fault("drop_before")
    assert shop.client.query(redemption.redemption_id).state is OperationState.UNKNOWN
    shop.calm()
    assert shop.client.query(redemption.redemption_id).state is OperationState.DONE


@pytest.mark.parametrize("error", [ForgedMessage(platform=PLATFORM), LedgerError("ledger.busy")])
def test_only_an_error_that_is_definite_by_its_class_counts_as_not_done(error):
    outcome = outcome_of(error)
    assert outcome.effected is Effected.UNKNOWN
    assert outcome.error.details["reason"] == error.code


def test_an_adapter_that_fails_on_the_store_leaves_the_outcome_open(shop):
    setting = saying(shop, redeem=raising(LedgerError("ledger.busy")))
    redemption = shop.client.run(redeem(shop.wish(shop.bound()), setting=setting))
    assert redemption.state is OperationState.UNKNOWN


def test_a_hold_that_meets_its_own_key_gives_the_same_answer(shop):
    """Two of one wish at once: the second passes the first look-up, and finds the hold."""
    coupon = shop.bound()
    wish = shop.wish(coupon)
    first = []

    def hesitating(proof_checked):
        first.append(shop.client.redeem(wish))
        return proof_checked

    guard = shop.setting.guard

    class Hesitant:
        def admit(self, *args, **kwargs):
            admission = yield from guard.admit(*args, **kwargs)
            return hesitating(admission)

    again = shop.client.run(redeem(wish, setting=dataclasses.replace(shop.setting, guard=Hesitant())))
    assert again == first[0]


def test_a_refused_reversal_stands_as_refused(shop):
    redemption = shop.client.redeem(shop.wish(shop.bound()))
    back = ReverseRequest(idempotency_key="back", redemption_id=redemption.redemption_id)
    shop.fault("error", code="INVALID_REQUEST")
    with pytest.raises(PlatformRefused) as first:
        shop.client.reverse(back)
    shop.calm()
    with pytest.raises(PlatformRefused) as again:
        shop.client.reverse(back)
    assert again.value.code == first.value.code
    assert shop.client.query(redemption.redemption_id).state is OperationState.DONE
    other = ReverseRequest(idempotency_key="back", redemption_id=redemption.redemption_id, note="other")
    with pytest.raises(IdempotencyConflict):
        shop.client.reverse(other)


def test_a_void_that_a_platform_refuses_holds_here_all_the_same(shop):
    coupon = shop.bound()
    setting = saying(shop, void=raising(PlatformRefused(platform=PLATFORM)))
    voided = shop.client.run(void(VoidRequest(coupon=coupon.code, reason="test"), setting=setting))
    assert [error.code for error in voided.errors] == ["platform.refused"]
    assert shop.client.coupon(coupon.coupon_id).state is CouponState.VOID


def test_a_void_tells_only_platforms_that_are_set_up(shop):
    coupon = shop.bound()
    setting = dataclasses.replace(shop.setting, adapters={})
    voided = shop.client.run(void(VoidRequest(coupon=coupon.code, reason="test"), setting=setting))
    assert voided.errors == ()
