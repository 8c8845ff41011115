"""Who may spend a coupon: every proof and its broken siblings, and every kind of limit."""

import dataclasses
from datetime import date

import pytest

from unicom_coupon_sdk import (
    BiometricProof,
    ChallengeRequest,
    CouponState,
    CouponStateError,
    LimitError,
    LoginProof,
    Method,
    OperationState,
    Order,
    QrToken,
    ReverseRequest,
    ScanProof,
    SmsProof,
    TerminalProof,
    UnsupportedOperation,
    VerificationError,
)
from unicom_coupon_sdk.domain import verification
from unicom_coupon_sdk.domain.limits import Limit, Subject, Window
from unicom_coupon_sdk.domain.sensitive import PhoneNumber, PlatformUser
from unicom_coupon_sdk.flows.challenge import challenge
from unicom_coupon_sdk.flows.redeem import redeem

PLATFORM = "wechatpay"
USER = "oFlowHolder000001"


class Facts:
    """The real adapter with a changed profile, or with its own idea of who is there."""

    def __init__(self, adapter, *, testimony=None, **facts):
        self._adapter = adapter
        self._testimony = testimony
        self.profile = dataclasses.replace(adapter.profile, **facts)

    def __getattr__(self, name):
        return getattr(self._adapter, name)

    def verify(self, order):
        if self._testimony is None:
            return (yield from self._adapter.verify(order))
        return self._testimony


def with_facts(shop, **facts):
    return dataclasses.replace(shop.setting, adapters={PLATFORM: Facts(shop.setting.adapter(PLATFORM), **facts)})


def spend(shop, wish, **facts):
    return shop.client.run(redeem(wish, setting=with_facts(shop, **facts)))


def limit(**changes):
    plain = {"name": "test", "subject": Subject.HOLDER, "window": Window.DAY, "source": "test"}
    return Limit(**{**plain, **changes})


# proofs


def login_code(shop, user=USER):
    return shop.sandbox.control.deliver(PLATFORM, kind="login", openid=user)["js_code"]


def test_who_is_logged_in_as_the_holder_may_spend(shop):
    proof = LoginProof(login_code=login_code(shop), device_fingerprint="device-1")
    assert shop.client.redeem(shop.wish(shop.bound(), proof=proof)).state is OperationState.DONE


def test_who_is_logged_in_as_somebody_else_may_not(shop):
    coupon = shop.bound()
    proof = LoginProof(login_code=login_code(shop, "oSomebodyElse00001"))
    with pytest.raises(VerificationError) as refused:
        shop.client.redeem(shop.wish(coupon, proof=proof))
    assert refused.value.code == "verification.other_user"
    assert shop.client.coupon(coupon.coupon_id).state is CouponState.AVAILABLE


def face(shop, coupon, *, user=USER, passes=True):
    order = Order(order_no="FACE", amount_fen=1_000)
    request = ChallengeRequest(coupon=coupon.code, platform=PLATFORM, method=Method.BIOMETRIC, order=order)
    made = shop.client.challenge(request)
    verdict = shop.sandbox.control.deliver(
        PLATFORM, kind="face", openid=user, challenge=made.instructions["challenge"], passes=passes
    )
    proof = BiometricProof(
        challenge_id=made.challenge_id,
        user=user,
        result_json=verdict["resultJSON"],
        signature=verdict["resultJSONSignature"],
        device_fingerprint="device-1",
    )
    return order, proof


def test_a_face_checked_on_the_holders_device_may_spend_once(shop):
    coupon = shop.bound()
    order, proof = face(shop, coupon)
    redemption = shop.client.redeem(shop.wish(coupon, order=order, proof=proof))
    assert redemption.state is OperationState.DONE
    shop.client.reverse(ReverseRequest(idempotency_key="b", redemption_id=redemption.redemption_id))
    with pytest.raises(VerificationError, match=r"challenge\.used"):
        shop.client.redeem(shop.wish(coupon, order=order, proof=proof))


def test_a_face_that_did_not_pass_may_not(shop):
    coupon = shop.bound()
    order, proof = face(shop, coupon, passes=False)
    with pytest.raises(VerificationError):
        shop.client.redeem(shop.wish(coupon, order=order, proof=proof))


def test_a_face_that_was_checked_for_another_coupon_may_not(shop):
    coupon, other = shop.bound(), shop.bound()
    order, proof = face(shop, other)
    with pytest.raises(VerificationError, match=r"challenge\.other_coupon"):
        shop.client.redeem(shop.wish(coupon, order=order, proof=proof))


def test_a_challenge_that_is_too_old_may_not_be_answered(shop):
    coupon = shop.bound()
    order, proof = face(shop, coupon)
    shop.sandbox.control.advance(301)
    with pytest.raises(VerificationError, match=r"challenge\.expired"):
        shop.client.redeem(shop.wish(coupon, order=order, proof=proof))


def test_a_challenge_is_answered_by_the_method_it_asked_for(shop):
    coupon = shop.bound()
    _, proof = face(shop, coupon)
    sms = SmsProof(challenge_id=proof.challenge_id, one_time_code="123456")
    methods = (*shop.setting.adapter(PLATFORM).profile.methods, Method.SMS)
    with pytest.raises(VerificationError, match=r"challenge\.other_method"):
        spend(shop, shop.wish(coupon, proof=sms), methods=methods)


def test_a_challenge_that_does_not_exist_is_unknown(shop):
    proof = BiometricProof(challenge_id="NONE", user=USER, result_json="{}", signature="x")
    with pytest.raises(VerificationError, match=r"challenge\.unknown"):
        shop.client.redeem(shop.wish(shop.bound(), proof=proof))


def test_a_terminal_is_believed_only_where_the_platform_has_terminals(shop):
    proof = TerminalProof(terminal_no="T1", merchant_no="M1")
    with pytest.raises(VerificationError, match=r"verification\.method"):
        shop.client.redeem(shop.wish(shop.bound(), proof=proof))


LOGIN = LoginProof(login_code="x")


@pytest.mark.parametrize(
    ("testimony", "code"),
    [
        (verification.Testimony(method=Method.LOGIN), "verification.nobody"),
        (verification.Testimony(method=Method.LOGIN, terminal_no="T1"), "verification.nobody"),
        (verification.Testimony(method=Method.LOGIN, user=PlatformUser("oElse")), "verification.other_user"),
        (verification.Testimony(method=Method.LOGIN, phone=PhoneNumber("13900139000")), "verification.other_user"),
        (
            verification.Testimony(method=Method.LOGIN, user=PlatformUser(USER), phone=PhoneNumber("13900139000")),
            "verification.other_user",
        ),
    ],
)
def test_somebody_must_have_been_shown_and_everybody_shown_must_be_the_holder(shop, testimony, code):
    with pytest.raises(VerificationError) as refused:
        spend(shop, shop.wish(shop.bound(), proof=LOGIN), testimony=testimony)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "testimony",
    [
        verification.Testimony(method=Method.LOGIN, user=PlatformUser(USER)),
        verification.Testimony(method=Method.LOGIN, phone=PhoneNumber("13800138000")),
        verification.Testimony(method=Method.LOGIN, in_redemption=True),
    ],
)
def test_the_holder_is_known_by_user_or_phone_or_by_the_platform_itself(shop, testimony):
    assert spend(shop, shop.wish(shop.bound(), proof=LOGIN), testimony=testimony).state is OperationState.DONE


def test_a_terminals_word_counts_for_a_terminals_proof(shop):
    proof = TerminalProof(terminal_no="T1", merchant_no="M1")
    testimony = verification.Testimony(method=Method.TERMINAL, terminal_no="T1")
    wish = shop.wish(shop.bound(), proof=proof)
    assert spend(shop, wish, testimony=testimony, methods=(Method.TERMINAL,)).state is OperationState.DONE


# what is presented


def test_a_rotating_token_stands_for_the_coupon(shop):
    coupon = shop.bound()
    token = shop.client.show(coupon.coupon_id)
    wish = shop.wish(coupon, coupon=token, proof=ScanProof(token=token))
    assert shop.client.redeem(wish).state is OperationState.DONE


def test_a_text_that_is_no_token_is_refused(shop):
    wish = shop.wish(shop.bound(), coupon=QrToken("UC1.x"))
    with pytest.raises(Exception, match=r"token\.shape"):
        shop.client.redeem(wish)


def test_a_coupon_that_nobody_has_taken_is_not_bound(shop):
    coupon = shop.issued()
    with pytest.raises(CouponStateError, match=r"coupon\.not_bound"):
        shop.client.redeem(shop.wish(coupon))


def test_a_coupon_is_spent_only_on_its_own_platforms(shop):
    coupon = shop.bound()
    adapter = Facts(shop.setting.adapter(PLATFORM), name="otherpay")
    setting = dataclasses.replace(shop.setting, adapters={"otherpay": adapter})
    with pytest.raises(CouponStateError, match=r"coupon\.not_on_platform"):
        shop.client.run(redeem(shop.wish(coupon, platform="otherpay"), setting=setting))


def test_a_kind_that_the_platform_lost_is_refused(shop):
    with pytest.raises(UnsupportedOperation, match=r"coupon\.kind_not_offered"):
        spend(shop, shop.wish(shop.bound()), coupon_kinds=frozenset())


# challenges


def asked(shop, coupon, **changes):
    plain = {
        "coupon": coupon.code,
        "platform": PLATFORM,
        "method": Method.BIOMETRIC,
        "order": Order(order_no="A1", amount_fen=1_000),
    }
    return ChallengeRequest(**{**plain, **changes})


def test_a_challenge_shows_nothing_in_its_repr(shop):
    made = shop.client.challenge(asked(shop, shop.bound()))
    assert made.instructions["challenge"] not in repr(made)


def test_a_method_that_the_platform_lacks_is_not_asked_for(shop):
    with pytest.raises(VerificationError, match=r"verification\.method"):
        shop.client.challenge(asked(shop, shop.bound(), method=Method.WALLET))


def test_a_coupon_that_could_not_be_spent_is_not_asked_about(shop):
    coupon = shop.bound()
    shop.client.redeem(shop.wish(coupon))
    with pytest.raises(CouponStateError, match=r"coupon\.redeemed"):
        shop.client.challenge(asked(shop, coupon))


def test_a_platform_without_challenges_refuses(shop):
    setting = with_facts(shop, capabilities=frozenset())
    with pytest.raises(UnsupportedOperation):
        shop.client.run(challenge(asked(shop, shop.bound()), setting=setting))


# limits


def test_a_single_redemption_may_not_exceed_its_limit(shop):
    once = limit(window=Window.ONCE, max_fen=499)
    with pytest.raises(LimitError) as refused:
        spend(shop, shop.wish(shop.bound()), limits=(once,))
    assert refused.value.code == "limit.single"
    exact = limit(window=Window.ONCE, max_fen=500)
    assert spend(shop, shop.wish(shop.bound()), limits=(exact,)).state is OperationState.DONE


@pytest.mark.parametrize(
    "counted",
    [
        limit(max_fen=1_000),
        limit(max_count=2),
        limit(max_fen=1_499, window=Window.MONTH),
        limit(max_count=2, window=Window.EVER),
    ],
)
def test_what_is_used_up_is_refused_and_a_reversal_gives_room_back(shop, counted):
    first, second, third = shop.bound(), shop.bound(), shop.bound()
    redemption = spend(shop, shop.wish(first), limits=(counted,))
    spend(shop, shop.wish(second), limits=(counted,))
    with pytest.raises(LimitError, match=r"limit\."):
        spend(shop, shop.wish(third), limits=(counted,))
    shop.client.reverse(ReverseRequest(idempotency_key="b", redemption_id=redemption.redemption_id))
    assert spend(shop, shop.wish(third), limits=(counted,)).state is OperationState.DONE


def test_a_refused_redemption_uses_nothing_up(shop):
    counted = limit(max_count=1)
    shop.fault("error", code="INVALID_REQUEST")
    with pytest.raises(Exception, match="INVALID_REQUEST"):
        spend(shop, shop.wish(shop.bound()), limits=(counted,))
    shop.calm()
    assert spend(shop, shop.wish(shop.bound()), limits=(counted,)).state is OperationState.DONE


@pytest.mark.parametrize("subject", [Subject.MERCHANT, Subject.TERMINAL, Subject.DEVICE])
def test_limits_count_merchants_terminals_and_devices(shop, subject):
    counted = limit(subject=subject, max_count=1)

    def wish(number):
        order = Order(order_no=f"T{number}", amount_fen=1_000, terminal_no="TERM1")
        proof = LoginProof(login_code=login_code(shop), device_fingerprint="device-1")
        return shop.wish(shop.bound(), order=order, proof=proof)

    spend(shop, wish(1), limits=(counted,))
    with pytest.raises(LimitError):
        spend(shop, wish(2), limits=(counted,))


def test_a_limit_of_a_subject_that_is_not_there_does_not_apply(shop):
    counted = limit(subject=Subject.TERMINAL, max_count=0)
    assert spend(shop, shop.wish(shop.bound()), limits=(counted,)).state is OperationState.DONE


def test_a_limit_that_is_not_in_force_does_not_apply(shop):
    past = limit(max_count=0, until=date(2020, 1, 1))
    assert spend(shop, shop.wish(shop.bound()), limits=(past,)).state is OperationState.DONE


def test_limits_of_another_level_do_not_apply_and_without_a_level_all_do(shop):
    tiers = (limit(name="gold", tier="gold", max_fen=1_000), limit(name="plain", tier="plain", max_fen=499))
    gold = verification.Testimony(method=Method.LOGIN, user=PlatformUser(USER), tier="gold")
    plain = verification.Testimony(method=Method.LOGIN, user=PlatformUser(USER))
    with pytest.raises(LimitError):
        spend(shop, shop.wish(shop.bound(), proof=LOGIN), testimony=plain, limits=tiers)
    redemption = spend(shop, shop.wish(shop.bound(), proof=LOGIN), testimony=gold, limits=tiers)
    assert redemption.state is OperationState.DONE
