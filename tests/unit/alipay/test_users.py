"""Who is at the till: payment codes refused, phone numbers verified and decrypted, logins asked for once."""

import json

import pytest
from tests.driving import Driver
from tests.unit.alipay.peer import (
    CODE,
    KEYS,
    LISTING,
    USER,
    VECTORS,
    Peer,
    adapter,
    alipay_sign,
    envelope,
    lost,
    refused,
    run,
)

from unicom_coupon_adapters.alipay.content import ContentCipher
from unicom_coupon_adapters.alipay.users import Scanned, scanned
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.redemption import Binding
from unicom_coupon_sdk.domain.sensitive import OneTimeCode, PhoneNumber, PlatformUser, Secret
from unicom_coupon_sdk.domain.token import QrToken
from unicom_coupon_sdk.domain.verification import LoginProof, Method, PhoneProof, ScanProof, SmsProof
from unicom_coupon_sdk.errors import ConfigurationError, PlatformUnavailable, VerificationError
from unicom_coupon_sdk.platform.adapter import VerifyOrder

BY_ID = {vector["id"]: vector for vector in VECTORS["vectors"]}
TOKEN = "alipay.system.oauth.token"
CIPHER = ContentCipher(KEYS["aes_key_base64"])


def order(proof, user=USER):
    return VerifyOrder(
        proof=proof,
        challenge=None,
        code=CODE,
        binding=Binding("C1", "alipay", user, {}),
        listing=LISTING,
        order=Order(order_no="O1", amount_fen=100),
    )


def verify(proof, *, peer=None, user=USER, **changes):
    return Driver(peer).run(adapter(**changes).verify(order(proof, user)))


def refusal(proof, **changes):
    with pytest.raises(VerificationError) as caught:
        verify(proof, **changes)
    return caught.value


def phone(payload):
    return PhoneProof(response=Secret(payload if isinstance(payload, str) else json.dumps(payload)))


def sealed(members, **changes):
    response = CIPHER.encrypt(json.dumps(members))
    return {"response": response, "sign": alipay_sign(f'"{response}"'), "sign_type": "RSA2", **changes}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("25" + "0" * 14, Scanned.PAYMENT_CODE),
        ("30" + "0" * 22, Scanned.PAYMENT_CODE),
        ("281234567890123456", Scanned.PAYMENT_CODE),
        ("24" + "0" * 14, Scanned.OTHER),
        ("31" + "0" * 14, Scanned.OTHER),
        ("25" + "0" * 13, Scanned.OTHER),
        ("25" + "0" * 23, Scanned.OTHER),
        ("25" + "0" * 13 + "x", Scanned.OTHER),
        ("１25" + "0" * 14, Scanned.OTHER),
        ("134567890123456789", Scanned.WECHAT_PAYMENT_CODE),
        ("164567890123456789", Scanned.OTHER),
        ("fp" + "a1" * 16 + "b", Scanned.FACE),
        ("fp" + "a1" * 16, Scanned.OTHER),
        (CODE.reveal(), Scanned.OTHER),
    ],
)
def test_codes_are_told_apart_by_their_form(text, kind):
    assert scanned(text) is kind


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("281234567890123456", "alipay.scanned_payment_code"),
        ("fp" + "a1" * 16 + "b", "alipay.scanned_payment_code"),
        ("134567890123456789", "alipay.scanned_wechat_code"),
        (CODE.reveal(), "alipay.scanned_other"),
    ],
)
def test_a_scanned_text_shows_nobody_and_is_sent_nowhere(text, code):
    assert refusal(ScanProof(token=QrToken(text))).code == code


def test_the_phone_of_the_account_is_decrypted_after_its_signature():
    testimony = verify(phone(BY_ID["G01"]["payload"]))
    assert testimony.method is Method.PHONE
    assert testimony.phone == PhoneNumber("13800000000")


def test_a_changed_payload_is_forged():
    payload = BY_ID["G01"]["payload"]
    other = CIPHER.encrypt('{"code":"10000","mobile":"13900000000"}')
    for broken in ({**payload, "response": other}, {**payload, "sign": alipay_sign(payload["response"])}):
        assert refusal(phone(broken)).code == "alipay.phone_forged"


def test_a_payload_without_a_signature_is_hearsay():
    assert refusal(phone({"response": BY_ID["G01"]["payload"]["response"]})).code == "alipay.phone_unsigned"
    error = refusal(phone(BY_ID["G02"]["payload"]))
    assert (error.code, error.platform_code) == ("alipay.phone_unsigned", "isv.missing-encrypt-key")


def test_a_signed_failure_says_why():
    text = BY_ID["G02"]["signed_text"]
    error = refusal(phone({"response": text, "sign": alipay_sign(text)}))
    assert (error.code, error.platform_code) == ("alipay.phone_refused", "isv.missing-encrypt-key")


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ("not json", "alipay.phone_shape"),
        ("[]", "alipay.phone_shape"),
        ({"sign": "x"}, "alipay.phone_shape"),
        (sealed({"code": "10000", "mobile": "44-7700900000"}), "alipay.phone_foreign"),
        (sealed({"code": "40003", "mobile": "13800000000"}), "alipay.phone_refused"),
        (sealed([]), "alipay.phone_refused"),
        ({"response": "abcd", "sign": alipay_sign('"abcd"')}, "alipay.phone_forged"),
    ],
)
def test_other_payloads_show_nobody(payload, code):
    error = refusal(phone(payload))
    assert error.code == code
    assert "13800000000" not in str(error)


def test_without_a_content_key_a_genuine_payload_is_a_matter_of_configuration():
    with pytest.raises(ConfigurationError):
        verify(phone(BY_ID["G01"]["payload"]), aes_key=None)
    assert Method.PHONE not in adapter(aes_key=None).profile.methods


def login(code="AUTHCODE1"):
    return LoginProof(login_code=Secret(code))


def test_a_login_code_shows_the_user_the_coupon_is_bound_to():
    body = envelope(TOKEN, {"user_id": USER.reveal(), "open_id": "openid1", "access_token": "x"})
    for user in (USER, PlatformUser("openid1")):
        assert verify(login(), peer=Peer(**{TOKEN: body}), user=user).user == user
    assert verify(login(), peer=Peer(**{TOKEN: body}), user=PlatformUser("somebody")).user == USER


def test_the_login_code_goes_beside_the_content_and_in_the_body():
    peer = Peer(**{TOKEN: envelope(TOKEN, {"open_id": "openid1"})})
    verify(login(), peer=peer)
    _, content, parameters = peer.calls[0]
    assert content == {}
    assert (parameters["code"], parameters["grant_type"]) == ("AUTHCODE1", "authorization_code")


def test_a_spent_login_code_shows_nobody():
    body = envelope(TOKEN, refused("isv.code-invalid", "40002"), error=True)
    error = refusal(login(), peer=Peer(**{TOKEN: body}))
    assert (error.code, error.platform_code) == ("alipay.login_code", "isv.code-invalid")


def test_a_login_code_is_asked_for_once():
    peer = Peer(**{TOKEN: lost()})
    with pytest.raises(PlatformUnavailable):
        verify(login(), peer=peer)
    assert len(peer.calls) == 1


def test_a_signed_answer_that_names_nobody_shows_nobody():
    assert refusal(login(), peer=Peer(**{TOKEN: envelope(TOKEN, {"expires_in": "1"})})).code == "alipay.login_code"


def test_a_proof_of_another_platform_is_refused():
    proof = SmsProof(challenge_id="X", one_time_code=OneTimeCode("123456"))
    assert refusal(proof).code == "verification.method"


def test_challenges_name_what_the_front_end_calls():
    from unicom_coupon_sdk.platform.adapter import ChallengeOrder

    for method, call in ((Method.PHONE, "my.getPhoneNumber"), (Method.LOGIN, "my.getAuthCode"), (Method.SCAN, None)):
        wish = ChallengeOrder("CH1", method, CODE, order(login()).binding, LISTING, order(login()).order, b"n", None)
        assert run(None, adapter().challenge(wish)).get("call") == call
