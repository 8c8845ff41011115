"""Who is at the till: payment codes told apart, phone numbers of ``my.getPhoneNumber``, logins (sheet §5).

What Alipay can vouch for is small, and this says no to the rest. A scanned text shows that somebody holds it, not who
they are: a payment code is authority to pay, the coupon's own QR a bearer value. Only a phone number that Alipay
signed and encrypted, and a login code that Alipay redeems, show a person.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from unicom_coupon_adapters.alipay.gateway import AlipayGateway
from unicom_coupon_adapters.alipay.keys import AlipayKeys
from unicom_coupon_adapters.alipay.requests import Api, Rest, members
from unicom_coupon_adapters.alipay.signing import verify_text
from unicom_coupon_sdk.domain.redemption import Binding
from unicom_coupon_sdk.domain.sensitive import PhoneNumber, PlatformUser
from unicom_coupon_sdk.domain.verification import LoginProof, Method, PhoneProof, ScanProof, Testimony
from unicom_coupon_sdk.errors import (
    ConfigurationError,
    ForgedMessage,
    PlatformRefused,
    ValidationError,
    VerificationError,
)
from unicom_coupon_sdk.platform.effects import Flow

_PAYMENT_CODE = re.compile(r"(?:2[5-9]|30)[0-9]{14,22}")
_WECHAT_PAYMENT_CODE = re.compile(r"1[0-5][0-9]{16}")
_FACE = re.compile(r"fp[0-9A-Za-z]{33}")

TOKEN = Api(
    method="alipay.system.oauth.token",
    required=members("grant_type"),
    optional=members("code refresh_token"),
    is_write=False,
    rest=Rest("POST", "/v3/alipay/system/oauth/token"),
    in_parameters=True,
    codeless=True,
)
"""The login code is spent by asking, so this is never repeated; yet it changes nothing of ours."""


class Scanned(Enum):
    """What a scanned text is, by its form alone."""

    PAYMENT_CODE = "payment_code"  # Alipay 付款码
    FACE = "face"  # a face terminal's text, also authority to pay
    WECHAT_PAYMENT_CODE = "wechat_payment_code"
    OTHER = "other"


def scanned(text: str) -> Scanned:
    """What ``text`` is: 16–24 digits beginning 25–30, 35 characters beginning ``fp``, or 18 digits beginning 10–15."""
    if _PAYMENT_CODE.fullmatch(text):
        return Scanned.PAYMENT_CODE
    if _WECHAT_PAYMENT_CODE.fullmatch(text):
        return Scanned.WECHAT_PAYMENT_CODE
    return Scanned.FACE if _FACE.fullmatch(text) else Scanned.OTHER


_SCANNED_CODES = {
    Scanned.PAYMENT_CODE: "alipay.scanned_payment_code",
    Scanned.FACE: "alipay.scanned_payment_code",
    Scanned.WECHAT_PAYMENT_CODE: "alipay.scanned_wechat_code",
    Scanned.OTHER: "alipay.scanned_other",
}


def refuse_scan(proof: ScanProof) -> VerificationError:
    """Why a scanned text that is not our rotating token shows nobody; the guard takes our own tokens itself."""
    return VerificationError(_SCANNED_CODES[scanned(proof.token.reveal())], field="proof.token", platform="alipay")


def phone_testimony(proof: PhoneProof, *, keys: AlipayKeys, at: datetime) -> Testimony:
    """The phone number bound to the user's Alipay account.

    The signature is checked over the ciphertext with its quotes before anything is decrypted. Alipay puts neither a
    time nor a nonce in: the front end must hand the payload over at once, over the user's own session.
    Raises ``VerificationError`` (``alipay.phone_shape``, ``alipay.phone_unsigned``, ``alipay.phone_forged``,
    ``alipay.phone_refused``, ``alipay.phone_foreign``) and ``ConfigurationError`` without a content key.
    """
    payload = _payload(proof)
    response, sign = payload.get("response"), payload.get("sign")
    if not isinstance(response, str) or not response:
        raise VerificationError("alipay.phone_shape", field="proof.response", platform="alipay")
    in_clear = response.startswith("{")
    if not isinstance(sign, str) or not sign:
        raise _phone_failure("alipay.phone_unsigned", response if in_clear else "")
    text = response if in_clear else f'"{response}"'
    if not any(
        verify_text(text, sign=sign, verifier=verifier, sign_type=keys.sign_type)
        for verifier in keys.verifiers(None, at)
    ):
        raise VerificationError("alipay.phone_forged", field="proof.response", platform="alipay")
    if in_clear:
        raise _phone_failure("alipay.phone_refused", response)
    if keys.cipher is None:
        raise ConfigurationError("alipay.mode_keys", field="aes_key", mode="my.getPhoneNumber")
    try:
        members = json.loads(keys.cipher.decrypt(response))
    except (ForgedMessage, ValueError, RecursionError):
        raise VerificationError("alipay.phone_forged", field="proof.response", platform="alipay") from None
    if not isinstance(members, dict) or str(members.get("code")) != "10000":
        raise VerificationError("alipay.phone_refused", field="proof.response", platform="alipay")
    try:
        return Testimony(method=Method.PHONE, phone=PhoneNumber(str(members.get("mobile", ""))))
    except ValidationError:
        raise VerificationError("alipay.phone_foreign", field="proof.response", platform="alipay") from None


def login_testimony(proof: LoginProof, *, gateway: AlipayGateway, binding: Binding) -> Flow[Testimony]:
    """The user whose mini-program session gave the login code. Sent once: Alipay spends the code by answering.

    Alipay may know a person by ``user_id`` and by ``open_id``; the one that the coupon is bound to is given.
    Raises ``VerificationError`` ``alipay.login_code`` for a code that is spent or wrong, ``PlatformError``.
    """
    call = TOKEN.call({"grant_type": "authorization_code", "code": proof.login_code})
    try:
        node = yield from gateway.send(call)
    except PlatformRefused as error:
        if error.code == "alipay.login_code":
            raise VerificationError(
                error.code,
                field="proof.login_code",
                platform="alipay",
                platform_code=error.platform_code,
                request_id=error.request_id,
            ) from None
        raise
    known = [PlatformUser(name) for name in (node.text("user_id"), node.text("open_id")) if name]
    if not known:
        raise VerificationError("alipay.login_code", field="proof.login_code", platform="alipay")
    return Testimony(method=Method.LOGIN, user=next((user for user in known if user == binding.user), known[0]))


def _payload(proof: PhoneProof) -> Mapping[str, Any]:
    try:
        payload = json.loads(proof.response.reveal())
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise VerificationError("alipay.phone_shape", field="proof.response", platform="alipay")
    return payload


def _phone_failure(code: str, response: str) -> VerificationError:
    """The failure that Alipay wrote into the payload, in camel case (§5.2); hearsay where it is not signed."""
    try:
        told = json.loads(response) if response else {}
    except (ValueError, RecursionError):
        told = {}
    sub_code = told.get("subCode") if isinstance(told, dict) else None
    known = isinstance(sub_code, str) and re.fullmatch(r"[0-9a-z.-]{1,64}", sub_code)
    return VerificationError(code, field="proof.response", platform="alipay", platform_code=sub_code if known else None)
