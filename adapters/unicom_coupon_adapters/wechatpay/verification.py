"""Who is there: the mini-program's login, a device's biometric verdict over our challenge, and the way without a face.

A biometric proof is bound to one coupon and one order: the challenge text that the device signs holds a digest of both.
It cannot be replayed, since a challenge lives five minutes and is spent with its redemption; SOTER's growing counter
would add nothing to that. WeChat never hands out a face or a finger, and nothing of the kind comes here.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

import pydantic_core

from unicom_coupon_adapters.wechatpay.settings import WechatPaySettings
from unicom_coupon_adapters.wechatpay.weixin import MiniProgram
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.redemption import Binding
from unicom_coupon_sdk.domain.sensitive import PlatformUser
from unicom_coupon_sdk.domain.verification import BiometricProof, LoginProof, Method, Testimony
from unicom_coupon_sdk.errors import VerificationError
from unicom_coupon_sdk.platform.adapter import ChallengeOrder, VerifyOrder
from unicom_coupon_sdk.platform.effects import Flow, Now

PLATFORM = "wechatpay"
LONGEST_CHALLENGE = 512


def challenge_text(order: ChallengeOrder) -> str:
    """What the device signs: challenge id, nonce, and a digest of coupon and order under that nonce."""
    nonce = order.nonce.hex()
    return f"{order.challenge_id}.{nonce}.{_digest(order.binding, order.order, nonce=nonce)}"


def instructions(order: ChallengeOrder, *, settings: WechatPaySettings) -> Mapping[str, object]:
    """What the front end does for each method. Every biometric challenge names the ways without a face."""
    without_face = [Method.LOGIN.value, Method.SCAN.value]
    match order.method:
        case Method.BIOMETRIC:
            return {
                "call": "wx.startSoterAuthentication",
                "requestAuthModes": ["fingerPrint", "facial"],
                "challenge": challenge_text(order),
                "authContent": "请验证身份以使用优惠券",
                "without_face": without_face,
            }
        case Method.LOGIN:
            page = {"path": settings.mini_program_path} if settings.mini_program_path else {}
            return {"call": "wx.login", "appid": settings.appid, **page}
        case Method.SCAN:
            return {"call": "show_qr"}
        case _:
            raise VerificationError("verification.method", field="method", platform=PLATFORM, method=order.method.value)


def testimony(order: VerifyOrder, *, program: MiniProgram) -> Flow[Testimony]:
    """Whom the proof shows. Raises ``VerificationError`` when it shows nobody, or somebody else than the holder.

    A ``ScanProof`` comes here only when its token is not one of ours (the guard checks those itself), and such a token
    proves nothing here: WeChat's payment codes name nobody until they are charged.
    """
    proof = order.proof
    if isinstance(proof, LoginProof):
        openid = yield from program.openid_of(proof.login_code)
        return _shown(Method.LOGIN, PlatformUser(openid), order)
    if isinstance(proof, BiometricProof):
        return (yield from _biometric(proof, order, program=program))
    raise VerificationError("wechatpay.proof", field="proof", platform=PLATFORM, method=proof.method)


def _biometric(proof: BiometricProof, order: VerifyOrder, *, program: MiniProgram) -> Flow[Testimony]:
    """Everything that needs no network is looked at first."""
    shown = _shown(Method.BIOMETRIC, proof.user, order)
    challenge = order.challenge
    if challenge is None or challenge.challenge_id != proof.challenge_id:
        raise VerificationError("challenge.unknown", field="proof.challenge_id", platform=PLATFORM)
    now = yield from Now()
    if now >= challenge.expires_at:
        raise VerificationError("challenge.expired", field="proof.challenge_id", platform=PLATFORM)
    text = str(challenge.instructions.get("challenge", ""))
    if not _is_bound(text, order) or not _is_signed_over(text, proof):
        raise VerificationError("wechatpay.challenge_mismatch", field="proof.result_json", platform=PLATFORM)
    is_genuine = yield from program.is_genuine(
        openid=proof.user.reveal(), result_json=proof.result_json, signature=proof.signature
    )
    if not is_genuine:
        raise VerificationError("wechatpay.biometric_refused", field="proof.signature", platform=PLATFORM)
    return shown


def _shown(method: Method, user: PlatformUser, order: VerifyOrder) -> Testimony:
    if order.binding.user is None or user != order.binding.user:  # compared in constant time by the type
        raise VerificationError("verification.other_user", field="proof", platform=PLATFORM)
    return Testimony(method=method, user=user)


def _is_signed_over(text: str, proof: BiometricProof) -> bool:
    try:
        result = pydantic_core.from_json(proof.result_json.reveal())
    except ValueError:
        return False
    raw = result.get("raw") if isinstance(result, dict) else None
    return isinstance(raw, str) and hmac.compare_digest(raw.encode(), text.encode())


def _is_bound(text: str, order: VerifyOrder) -> bool:
    """Whether the challenge was made for this coupon and this order, and not for another one of the same coupon."""
    _, _, rest = text.partition(".")
    nonce, _, digest = rest.partition(".")
    wanted = _digest(order.binding, order.order, nonce=nonce)
    return bool(nonce) and hmac.compare_digest(digest.encode(), wanted.encode())


def _digest(binding: Binding, order: Order, *, nonce: str) -> str:
    subject = f"{binding.coupon_id}\n{order.order_no}\n{order.amount_fen}\n"
    return hmac.digest(bytes.fromhex(nonce) if _is_hex(nonce) else b"", subject.encode(), hashlib.sha256).hex()


def _is_hex(text: str) -> bool:
    return len(text) % 2 == 0 and all(letter in "0123456789abcdef" for letter in text)
