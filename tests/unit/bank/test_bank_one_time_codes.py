"""One-time codes at their edges, through the client on either runtime and the sandbox's clock (sheet §3.9)."""

import pytest

from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.redemption import RedeemRequest
from unicom_coupon_sdk.domain.requests import ChallengeRequest
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.verification import Method, SmsProof
from unicom_coupon_sdk.errors import PlatformRefused, VerificationError

ORDER = Order(order_no="ORDER", amount_fen=10_000)


class Holder:
    """One coupon and the phone beside it."""

    def __init__(self, stage):
        self.stage = stage
        self.coupon = stage.coupon()
        self.tries = 0

    def ask(self):
        return self.stage.call(
            "challenge",
            ChallengeRequest(coupon=self.coupon.code, platform="bank", method=Method.SMS, order=ORDER),
        )

    @property
    def read(self):
        """The newest code on the phone."""
        return self.stage.sandbox.control.messages()[-1]["code"]

    def type(self, challenge, code):
        self.tries += 1
        proof = SmsProof(challenge_id=challenge.challenge_id, one_time_code=code)
        wish = RedeemRequest(
            idempotency_key=f"try-{self.tries}", platform="bank", coupon=self.coupon.code, order=ORDER, proof=proof
        )
        return self.stage.call("redeem", wish).state

    def mistype(self, challenge):
        wrong = "000001" if self.read != "000001" else "000002"
        with pytest.raises(PlatformRefused, match=r"bank\.sms_wrong") as refused:
            self.type(challenge, wrong)
        return refused.value.details["attempts_left"]

    def lock(self):
        challenge = self.ask()
        assert [self.mistype(challenge) for _ in range(5)] == [4, 3, 2, 1, 0]
        return challenge


@pytest.fixture
def holder(either):
    return Holder(either)


def test_a_code_may_be_asked_for_again_after_60_seconds_and_not_after_59(holder):
    first, old = holder.ask(), holder.read
    holder.stage.advance(seconds=59)
    with pytest.raises(PlatformRefused, match=r"bank\.sms_too_frequent") as refused:
        holder.ask()
    assert refused.value.retry_after_s == 1
    holder.stage.advance(seconds=1)
    second = holder.ask()
    with pytest.raises(PlatformRefused, match=r"bank\.sms_token"):
        holder.type(first, old)
    assert holder.type(second, holder.read) is OperationState.DONE


def test_a_code_is_good_after_300_seconds(holder):
    challenge = holder.ask()
    holder.stage.advance(seconds=300)
    assert holder.type(challenge, holder.read) is OperationState.DONE


def test_a_code_is_dead_after_301_seconds_and_is_not_even_sent(holder):
    challenge = holder.ask()
    holder.stage.advance(seconds=301)
    sent = holder.stage.requests()
    with pytest.raises(VerificationError, match=r"challenge\.expired"):
        holder.type(challenge, holder.read)
    assert holder.stage.requests() == sent
    assert holder.type(holder.ask(), holder.read) is OperationState.DONE


def test_after_four_wrong_codes_the_right_one_is_taken(holder):
    challenge = holder.ask()
    assert [holder.mistype(challenge) for _ in range(4)] == [4, 3, 2, 1]
    assert holder.type(challenge, holder.read) is OperationState.DONE


def test_after_five_wrong_codes_the_right_one_is_refused(holder):
    challenge = holder.lock()
    with pytest.raises(PlatformRefused, match=r"bank\.sms_locked"):
        holder.type(challenge, holder.read)


def test_the_lock_holds_for_29_minutes_and_ends_after_30(holder):
    holder.lock()
    for minutes in (29, 0.5):
        holder.stage.advance(seconds=minutes * 60)
        with pytest.raises(PlatformRefused, match=r"bank\.sms_locked"):
            holder.ask()
    holder.stage.advance(seconds=30)
    assert holder.type(holder.ask(), holder.read) is OperationState.DONE
