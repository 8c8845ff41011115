"""The contract suite: what every adapter must do, on either runtime and any ledger.

An adapter's tests subclass ``AdapterContract`` and name the platform's traits; nothing else is needed::

    class TestWechatPay(AdapterContract):
        traits = Traits(platform="wechatpay", redeem_match="/v3/…/use", …)

Each case is written once, runs over both runtimes and over the ledgers of ``ledger_urls``, and ends with the ledger's
own audit. A platform joins the house by passing; its capability table is printed from profile and results.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest

from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import RedeemRequest, ReverseRequest
from unicom_coupon_sdk.domain.requests import VoidRequest
from unicom_coupon_sdk.domain.state import CouponState, OperationState
from unicom_coupon_sdk.domain.token import QrToken
from unicom_coupon_sdk.domain.verification import Method, ScanProof
from unicom_coupon_sdk.errors import (
    CouponStateError,
    Effected,
    IdempotencyConflict,
    LimitError,
    PlatformError,
    PlatformRefused,
    PlatformUnavailable,
    ValidationError,
    VerificationError,
)
from unicom_coupon_sdk.platform.adapter import CheckState
from unicom_coupon_sdk.platform.profile import Capability
from unicom_coupon_sdk.sandbox import contract_results
from unicom_coupon_sdk.sandbox.clearing_contract import ClearingCases
from unicom_coupon_sdk.sandbox.inprocess import Sandbox
from unicom_coupon_sdk.sandbox.stage import OFF_FEN, Stage, Traits

MANY = 20
"""More faults than an adapter has attempts."""


def cases() -> tuple[str, ...]:
    """The names of all cases."""
    return tuple(sorted(name for name in dir(AdapterContract) if name.startswith("test_")))


class AdapterContract(ClearingCases):
    """The cases. ``ledger_urls`` may hold ``{directory}``, which is a fresh folder for each case."""

    traits: ClassVar[Traits]
    ledger_urls: ClassVar[tuple[str, ...]] = ("sqlite:///{directory}/ledger.db",)

    @pytest.fixture(params=["blocking", "asyncio"])
    def runtime(self, request: pytest.FixtureRequest) -> str:
        """Which runtime."""
        chosen: str = request.param
        return chosen

    @pytest.fixture
    def ledger_url(self, tmp_path: Path) -> str:
        """Which ledger; override to add more."""
        return self.ledger_urls[0].format(directory=tmp_path)

    @pytest.fixture
    def stage(
        self, request: pytest.FixtureRequest, coupon_sandbox: Sandbox, runtime: str, ledger_url: str
    ) -> Iterator[Stage]:
        """The world of one case. However the case ends, the ledger's audit must find nothing."""
        request.node.user_properties.append((contract_results.PROPERTY, self.traits.platform))
        with Stage(coupon_sandbox, self.traits, runtime=runtime, ledger_url=ledger_url) as stage:
            yield stage
            assert stage.violations() == ()

    # issuing and binding

    def test_issued_coupons_have_codes_of_their_own(self, stage: Stage) -> None:
        batch = stage.issue(count=3)
        assert len({coupon.code for coupon in batch.coupons}) == 3
        assert set(batch.refs) == {stage.platform}

    def test_issuing_again_with_the_same_key_gives_the_same_coupons(self, stage: Stage) -> None:
        template = stage.template()
        first = stage.issue(count=2, key="same", template=template)
        again = stage.issue(count=2, key="same", template=template)
        assert again.is_repeat
        assert [coupon.code for coupon in again.coupons] == [coupon.code for coupon in first.coupons]

    def test_issuing_with_the_same_key_and_another_count_is_a_conflict(self, stage: Stage) -> None:
        template = stage.template()
        stage.issue(count=2, key="same", template=template)
        with pytest.raises(IdempotencyConflict):
            stage.issue(count=3, key="same", template=template)

    def test_a_template_bounds_what_may_be_issued(self, stage: Stage) -> None:
        template = stage.template(max_total=2)
        stage.issue(count=2, template=template)
        with pytest.raises(LimitError):
            stage.issue(count=1, template=template)

    def test_binding_twice_changes_nothing(self, stage: Stage) -> None:
        coupon = stage.issue().coupons[0]
        stage.bind(coupon)
        sent = stage.requests()
        stage.bind(coupon)
        assert stage.requests() == sent

    def test_a_coupon_that_is_bound_is_nobody_elses(self, stage: Stage) -> None:
        coupon = stage.coupon()
        with pytest.raises(CouponStateError):
            stage.bind(coupon, holder=stage.holder(2))

    # redeeming

    def test_a_redemption_is_done_here_and_there(self, stage: Stage) -> None:
        coupon = stage.coupon()
        redemption = stage.call("redeem", stage.wish(coupon))
        assert redemption.state is OperationState.DONE
        assert redemption.value_fen == OFF_FEN
        assert redemption.settles_on is not None
        assert stage.is_used_there(coupon)

    def test_the_same_wish_again_has_the_same_answer_and_is_not_sent(self, stage: Stage) -> None:
        wish = stage.wish(stage.coupon())
        first = stage.call("redeem", wish)
        sent = stage.requests()
        assert stage.call("redeem", wish) == first
        assert stage.requests() == sent

    def test_the_same_key_for_another_order_is_a_conflict(self, stage: Stage) -> None:
        coupon = stage.coupon()
        wish = stage.wish(coupon, key="same")
        stage.call("redeem", wish)
        with pytest.raises(IdempotencyConflict):
            stage.call("redeem", wish.replaced(order=Order(order_no="OTHER", amount_fen=20_000)))

    def test_a_redeemed_coupon_is_refused_before_anything_is_sent(self, stage: Stage) -> None:
        coupon = stage.coupon()
        stage.call("redeem", stage.wish(coupon))
        wish = RedeemRequest.parse(
            {
                "idempotency_key": "second",
                "platform": stage.platform,
                "coupon": coupon.code,
                "order": Order(order_no="SECOND", amount_fen=10_000),
                "proof": {"method": "scan", "token": stage.call("show", coupon.coupon_id)},
            }
        )
        sent = stage.requests()
        with pytest.raises(CouponStateError) as refused:
            stage.call("redeem", wish)
        assert refused.value.code == "coupon.redeemed"
        assert stage.requests() == sent

    def test_below_the_minimum_spend_nothing_is_sent(self, stage: Stage) -> None:
        wish = stage.wish(stage.coupon())
        sent = stage.requests()
        with pytest.raises(CouponStateError, match=r"coupon\.min_spend"):
            stage.call("redeem", wish.replaced(order=Order(order_no="SMALL", amount_fen=9_999)))
        assert stage.requests() == sent

    def test_an_unknown_code_is_refused(self, stage: Stage) -> None:
        wish = stage.wish(stage.coupon())
        with pytest.raises(CouponStateError, match=r"coupon\.unknown"):
            stage.call("redeem", wish.replaced(coupon=CouponCode("FOREIGNCODE12345678")))

    def test_an_expired_coupon_is_refused(self, stage: Stage) -> None:
        now = stage.sandbox.clock.now()
        coupon = stage.coupon(valid_until=now + timedelta(days=2))
        stage.advance(seconds=2 * 86_400 + 1)
        wish = RedeemRequest.parse(
            {
                "idempotency_key": "late",
                "platform": stage.platform,
                "coupon": coupon.code,
                "order": Order(order_no="LATE", amount_fen=10_000),
                "proof": {"method": "scan", "token": stage.call("show", coupon.coupon_id)},
            }
        )
        with pytest.raises(CouponStateError, match=r"coupon\.expired"):
            stage.call("redeem", wish)
        assert stage.call("expire") == 1
        assert stage.call("coupon", coupon.coupon_id).state is CouponState.EXPIRED

    # the holder's proof

    def test_a_screenshot_of_the_token_is_worthless(self, stage: Stage) -> None:
        if Method.SCAN not in stage.adapter.profile.methods:
            pytest.skip("the platform takes no scanned tokens")
        wish = stage.wish(stage.coupon())
        stage.advance(seconds=120)
        with pytest.raises(VerificationError, match=r"token\.stale"):
            stage.call("redeem", wish)

    def test_another_coupons_token_proves_nothing(self, stage: Stage) -> None:
        if Method.SCAN not in stage.adapter.profile.methods:
            pytest.skip("the platform takes no scanned tokens")
        coupon, other = stage.coupon(), stage.coupon()
        wish = stage.wish(coupon).replaced(proof=ScanProof(token=stage.call("show", other.coupon_id)))
        with pytest.raises(VerificationError, match=r"verification\.other_coupon"):
            stage.call("redeem", wish)

    def test_a_token_made_by_somebody_else_is_forged(self, stage: Stage) -> None:
        coupon = stage.coupon()
        token = stage.call("show", coupon.coupon_id).reveal()
        forged = QrToken(token[:-1] + ("A" if token[-1] != "A" else "B"))
        with pytest.raises(VerificationError, match=r"token\.forged"):
            stage.call("redeem", stage.wish(coupon).replaced(coupon=forged))

    def test_a_method_that_the_platform_does_not_take_is_refused(self, stage: Stage) -> None:
        absent = next(method for method in (Method.WALLET, Method.SMS) if method not in stage.adapter.profile.methods)
        proofs = {
            Method.WALLET: {"method": "wallet", "authorisation": "x"},
            Method.SMS: {"method": "sms", "challenge_id": "x", "one_time_code": "123456"},
        }
        wish = RedeemRequest.parse({**_plain(stage.wish(stage.coupon())), "proof": proofs[absent]})
        with pytest.raises(VerificationError, match=r"verification\.method"):
            stage.call("redeem", wish)

    # what goes wrong on the way

    def test_a_refusal_of_the_platform_frees_the_coupon(self, stage: Stage) -> None:
        coupon = stage.coupon()
        wish = stage.wish(coupon)
        stage.fault("error", code=stage.traits.refusal_code)
        with pytest.raises(PlatformRefused) as refused:
            stage.call("redeem", wish)
        assert refused.value.outcome is Effected.NOT_DONE
        assert refused.value.platform_code == stage.traits.refusal_code
        assert stage.call("coupon", coupon.coupon_id).state is CouponState.AVAILABLE
        stage.calm()
        assert stage.call("redeem", stage.wish(coupon)).state is OperationState.DONE

    def test_a_refused_wish_is_refused_again_alike(self, stage: Stage) -> None:
        wish = stage.wish(stage.coupon())
        stage.fault("error", code=stage.traits.refusal_code)
        with pytest.raises(PlatformRefused) as first:
            stage.call("redeem", wish)
        stage.calm()
        with pytest.raises(PlatformRefused) as again:
            stage.call("redeem", wish)
        assert (again.value.code, again.value.platform_code) == (first.value.code, first.value.platform_code)

    @pytest.mark.parametrize("kind", ["drop_after", "half_body", "bad_signature", "wrong_serial", "stale_timestamp"])
    def test_done_but_not_told_is_unknown_until_the_platform_is_asked(self, stage: Stage, kind: str) -> None:
        coupon = stage.coupon()
        wish = stage.wish(coupon)
        stage.fault(kind, times=MANY)
        redemption = stage.call("redeem", wish)
        assert redemption.state is OperationState.UNKNOWN
        assert stage.call("coupon", coupon.coupon_id).state is CouponState.HELD
        stage.calm()
        assert stage.call("recover").done == 1
        assert stage.call("query", redemption.redemption_id).state is OperationState.DONE
        assert stage.call("redeem", wish).state is OperationState.DONE

    def test_a_lost_request_is_released_only_when_it_can_no_longer_arrive(self, stage: Stage) -> None:
        coupon = stage.coupon()
        wish = stage.wish(coupon)
        stage.fault("drop_before", times=MANY)
        redemption = stage.call("redeem", wish)
        assert redemption.state is OperationState.UNKNOWN
        stage.calm()
        assert stage.call("recover").still_open == 1
        stage.outlive_requests()
        assert stage.call("recover").not_done == 1
        assert stage.call("coupon", coupon.coupon_id).state is CouponState.AVAILABLE
        with pytest.raises(PlatformError):
            stage.call("redeem", wish)

    def test_while_an_outcome_is_unknown_nobody_else_gets_the_coupon(self, stage: Stage) -> None:
        coupon = stage.coupon()
        other = stage.wish(coupon)
        stage.fault("drop_before", times=MANY)
        stage.call("redeem", stage.wish(coupon))
        stage.calm()
        with pytest.raises(CouponStateError, match=r"coupon\.held"):
            stage.call("redeem", other)

    def test_a_platform_that_cannot_be_asked_keeps_its_operations_open(self, stage: Stage) -> None:
        stage.fault("drop_after", times=MANY)
        wish = stage.wish(stage.coupon())
        stage.call("redeem", wish)
        stage.calm()
        stage.sandbox.control.add_fault(stage.platform, "drop_before", times=MANY)
        recovery = stage.call("recover")
        assert (recovery.done, recovery.still_open) == (0, 1)
        assert len(recovery.errors) == 1
        stage.calm()
        assert stage.call("recover").done == 1

    # reversing

    def test_a_reversal_makes_the_coupon_usable_again(self, stage: Stage) -> None:
        coupon = stage.coupon()
        redemption = stage.call("redeem", stage.wish(coupon))
        reversal = stage.call("reverse", _back(redemption.redemption_id))
        assert reversal.state is OperationState.DONE
        assert not stage.is_used_there(coupon)
        assert stage.call("query", redemption.redemption_id).state is OperationState.REVERSED
        assert stage.call("redeem", stage.wish(coupon)).state is OperationState.DONE

    def test_the_same_reversal_again_has_the_same_answer(self, stage: Stage) -> None:
        redemption = stage.call("redeem", stage.wish(stage.coupon()))
        first = stage.call("reverse", _back(redemption.redemption_id))
        assert stage.call("reverse", _back(redemption.redemption_id)) == first

    def test_a_second_reversal_is_refused(self, stage: Stage) -> None:
        redemption = stage.call("redeem", stage.wish(stage.coupon()))
        stage.call("reverse", _back(redemption.redemption_id))
        with pytest.raises(CouponStateError):
            stage.call("reverse", _back(redemption.redemption_id, key="again"))

    def test_a_reversal_that_nobody_heard_of_is_recovered(self, stage: Stage) -> None:
        coupon = stage.coupon()
        redemption = stage.call("redeem", stage.wish(coupon))
        stage.fault("drop_after", match=stage.traits.reverse_match, times=MANY)
        reversal = stage.call("reverse", _back(redemption.redemption_id))
        assert reversal.state is OperationState.UNKNOWN
        stage.calm()
        stage.call("recover")
        assert stage.call("query", redemption.redemption_id).state is OperationState.REVERSED
        assert stage.call("coupon", coupon.coupon_id).state is CouponState.AVAILABLE

    def test_a_lost_reversal_leaves_the_redemption_standing(self, stage: Stage) -> None:
        coupon = stage.coupon()
        redemption = stage.call("redeem", stage.wish(coupon))
        stage.fault("drop_before", match=stage.traits.reverse_match, times=MANY)
        stage.call("reverse", _back(redemption.redemption_id))
        stage.calm()
        stage.outlive_requests()
        stage.call("recover")
        assert stage.call("query", redemption.redemption_id).state is OperationState.DONE
        assert stage.is_used_there(coupon)

    def test_an_unknown_redemption_is_not_reversed(self, stage: Stage) -> None:
        stage.fault("drop_after", times=MANY)
        redemption = stage.call("redeem", stage.wish(stage.coupon()))
        with pytest.raises(CouponStateError):
            stage.call("reverse", _back(redemption.redemption_id))

    def test_a_redemption_of_another_id_is_not_found(self, stage: Stage) -> None:
        with pytest.raises(ValidationError, match=r"redemption\.unknown"):
            stage.call("query", "NOSUCHREDEMPTION")

    # withdrawing, and the doctor

    def test_a_voided_coupon_is_worthless(self, stage: Stage) -> None:
        coupon = stage.coupon()
        wish = stage.wish(coupon)
        voided = stage.call("void", VoidRequest(coupon=coupon.code, reason="contract"))
        assert (voided.coupon.state, voided.errors) == (CouponState.VOID, ())
        with pytest.raises(CouponStateError, match=r"coupon\.void"):
            stage.call("redeem", wish)

    def test_the_doctor_finds_a_sandbox_in_health(self, stage: Stage) -> None:
        findings = stage.call("diagnose", stage.platform)
        assert findings
        assert [finding for finding in findings if finding.state is CheckState.FAIL] == []

    def test_a_busy_platform_is_unavailable_and_nothing_is_done(self, stage: Stage) -> None:
        """A host that cannot be reached at all is certain: the coupon is free at once."""
        coupon = stage.coupon()
        wish = stage.wish(coupon)
        world = stage.sandbox.world
        station = world.stations.pop(stage.platform)
        try:
            with pytest.raises(PlatformUnavailable):
                stage.call("redeem", wish)
        finally:
            world.stations[stage.platform] = station
        assert stage.call("coupon", coupon.coupon_id).state is CouponState.AVAILABLE

    def test_what_the_profile_leaves_out_is_refused_before_any_request(self, stage: Stage) -> None:
        missing = set(Capability) - stage.adapter.profile.capabilities
        for capability in missing & {Capability.CHALLENGE, Capability.VOID}:
            sent = stage.requests()
            with pytest.raises(Exception, match=r"platform\.unsupported"):
                stage.adapter.profile.require(capability)
            assert stage.requests() == sent


def _back(redemption_id: str, *, key: str = "back") -> ReverseRequest:
    return ReverseRequest(idempotency_key=key, redemption_id=redemption_id)


def _plain(request: RedeemRequest) -> dict[str, Any]:
    return {name: getattr(request, name) for name in type(request).model_fields}


__all__ = ["AdapterContract", "Holder", "Stage", "Traits"]
