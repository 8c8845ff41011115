"""Who is there: login, a device's verdict over our challenge, and the ways without a face."""

import json
from datetime import timedelta

import pytest
from tests.driving import START

from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.domain.token import QrToken
from unicom_coupon_sdk.domain.verification import BiometricProof, Challenge, LoginProof, Method, ScanProof
from unicom_coupon_sdk.errors import (
    ConfigurationError,
    PlatformUnavailable,
    RiskError,
    VerificationError,
)
from unicom_coupon_sdk.platform.adapter import ChallengeOrder, VerifyOrder

ORDER = Order(order_no="o1", amount_fen=12000)


def challenge_order(world, method=Method.BIOMETRIC, order=ORDER):
    return ChallengeOrder(
        challenge_id="ch1",
        method=method,
        code=CouponCode(world.code),
        binding=world.binding(),
        listing=world.listing(),
        order=order,
        nonce=bytes(range(16)),
        expires_at=START + timedelta(seconds=300),
    )


def challenge(world, method=Method.BIOMETRIC, order=ORDER):
    instructions = world.run(world.adapter.challenge(challenge_order(world, method, order)))
    return Challenge("ch1", "c1", "wechatpay", method, START + timedelta(seconds=300), dict(instructions))


def verify(world, proof, *answers, challenge=None, order=ORDER, user="oXsd3434454567676"):
    wanted = VerifyOrder(
        proof=proof,
        challenge=challenge,
        code=CouponCode(world.code),
        binding=world.binding(user),
        listing=world.listing(),
        order=order,
    )
    return world.run(world.adapter.verify(wanted), *answers)


def biometric(raw, user="oXsd3434454567676"):
    result = json.dumps({"raw": raw, "counter": 7, "cpu_id": "x"})
    return BiometricProof(
        challenge_id="ch1", user=PlatformUser(user), result_json=Secret(result), signature=Secret("sig")
    )


def token(world, text="TOKEN1", expires_in=7200):
    return world.weixin(access_token=text, expires_in=expires_in)


def genuine(world):
    return world.weixin(errcode=0, errmsg="ok", is_ok=True)


def test_a_login_code_shows_the_holder(world):
    shown = verify(world, LoginProof(login_code=Secret("jscode")), world.weixin(openid=world.openid, session_key="k"))
    assert shown.user == PlatformUser(world.openid)
    assert shown.method is Method.LOGIN
    assert world.requests[0].target.startswith("/sns/jscode2session?appid=wx1234567889999&secret=")
    assert "mini-program-secret" not in repr(world.requests)


def test_a_login_of_somebody_else_is_refused(world):
    with pytest.raises(VerificationError) as raised:
        verify(world, LoginProof(login_code=Secret("jscode")), world.weixin(openid="oSomebodyElse"))
    assert raised.value.code == "verification.other_user"


@pytest.mark.parametrize(
    ("errcode", "kind", "code"),
    [
        (40029, VerificationError, "wechatpay.login_code"),
        (40163, VerificationError, "wechatpay.login_code"),
        (40226, RiskError, "wechatpay.user_blocked"),
        (45011, PlatformUnavailable, "wechatpay.weixin_busy"),
        (-1, PlatformUnavailable, "wechatpay.weixin_busy"),
        (40125, ConfigurationError, "wechatpay.app_secret"),
    ],
)
def test_each_refusal_of_a_login_has_its_meaning(world, errcode, kind, code):
    with pytest.raises(kind) as raised:
        verify(world, LoginProof(login_code=Secret("jscode")), world.weixin(errcode=errcode, errmsg="jscode invalid"))
    assert raised.value.code == code
    assert "jscode" not in str(raised.value.details)


def test_a_login_code_is_never_sent_twice(world):
    with pytest.raises(PlatformUnavailable):
        verify(world, LoginProof(login_code=Secret("jscode")), world.lost)


def test_a_biometric_challenge_fits_the_platform_and_names_the_ways_without_a_face(world):
    instructions = challenge(world).instructions
    assert len(instructions["challenge"]) <= 512
    assert instructions["requestAuthModes"] == ["fingerPrint", "facial"]
    assert instructions["without_face"] == ["login", "scan"]


def test_a_devices_verdict_over_our_challenge_shows_the_holder(world):
    asked = challenge(world)
    shown = verify(world, biometric(asked.instructions["challenge"]), token(world), genuine(world), challenge=asked)
    assert shown.method is Method.BIOMETRIC
    sent = json.loads(world.requests[1].content)
    assert sent["json_string"] == json.dumps({"raw": asked.instructions["challenge"], "counter": 7, "cpu_id": "x"})
    assert sent["openid"] == world.openid


def test_the_access_token_is_kept_until_shortly_before_its_end(world):
    asked = challenge(world)
    proof = biometric(asked.instructions["challenge"])
    verify(world, proof, token(world), genuine(world), challenge=asked)
    verify(world, proof, genuine(world), challenge=asked)
    world.driver.now += timedelta(seconds=6901)
    later = Challenge("ch1", "c1", "wechatpay", Method.BIOMETRIC, world.driver.now + timedelta(60), asked.instructions)
    verify(world, proof, token(world, "TOKEN2"), genuine(world), challenge=later)
    assert world.requests[-1].target.endswith("access_token=TOKEN2")


def test_a_token_that_weixin_no_longer_takes_is_replaced_once(world):
    asked = challenge(world)
    proof = biometric(asked.instructions["challenge"])
    stale = world.weixin(errcode=40001, errmsg="invalid credential")
    verify(world, proof, token(world), stale, token(world, "TOKEN2"), genuine(world), challenge=asked)
    assert world.requests[-1].target.endswith("access_token=TOKEN2")


@pytest.mark.parametrize(
    "answer", [{"errcode": 0, "is_ok": False}, {"errcode": 90009, "errmsg": "bad"}, {"errcode": 0}]
)
def test_a_verdict_that_weixin_does_not_vouch_for_is_refused(world, answer):
    asked = challenge(world)
    with pytest.raises(VerificationError) as raised:
        verify(world, biometric(asked.instructions["challenge"]), token(world), world.weixin(**answer), challenge=asked)
    assert raised.value.code == "wechatpay.biometric_refused"


def test_a_verdict_over_another_text_is_refused_without_asking(world):
    asked = challenge(world)
    for raw in ("something", asked.instructions["challenge"] + "x", ""):
        with pytest.raises(VerificationError) as raised:
            verify(world, biometric(raw), challenge=asked)
        assert raised.value.code == "wechatpay.challenge_mismatch"
    assert world.requests == []


@pytest.mark.parametrize(
    "other", [Order(order_no="o2", amount_fen=12000), Order(order_no="o1", amount_fen=99900)], ids=["order", "amount"]
)
def test_a_verdict_for_one_order_does_not_serve_another(world, other):
    asked = challenge(world)
    with pytest.raises(VerificationError) as raised:
        verify(world, biometric(asked.instructions["challenge"]), challenge=asked, order=other)
    assert raised.value.code == "wechatpay.challenge_mismatch"


def test_a_verdict_of_another_user_or_too_late_or_of_another_challenge_is_refused(world):
    asked = challenge(world)
    raw = asked.instructions["challenge"]
    with pytest.raises(VerificationError):
        verify(world, biometric(raw, user="oSomebodyElse"), challenge=asked)
    with pytest.raises(VerificationError):
        verify(world, biometric(raw), challenge=None)
    world.driver.now = asked.expires_at
    with pytest.raises(VerificationError) as raised:
        verify(world, biometric(raw), challenge=asked)
    assert raised.value.code == "challenge.expired"


def test_a_scanned_text_that_is_none_of_our_tokens_proves_nothing(world):
    with pytest.raises(VerificationError) as raised:
        verify(world, ScanProof(token=QrToken("134567890123456789")))
    assert raised.value.code == "wechatpay.proof"


def test_login_and_scan_are_explained_to_the_front_end(world):
    assert challenge(world, Method.LOGIN).instructions == {"call": "wx.login", "appid": "wx1234567889999"}
    assert challenge(world, Method.SCAN).instructions == {"call": "show_qr"}
    with pytest.raises(VerificationError):
        challenge(world, Method.SMS)


def test_without_a_secret_a_login_cannot_be_checked(world):
    world.build(app_secret=None)
    with pytest.raises(ConfigurationError):
        verify(world, LoginProof(login_code=Secret("jscode")))
