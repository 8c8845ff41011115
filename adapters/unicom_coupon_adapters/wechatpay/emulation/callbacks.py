"""News to the merchant: who is told, on which plan, and the encrypted, signed request of one attempt.

Sheet §1.8. A callback's plaintext waits in the frame's queue; encryption and signature are made anew for each attempt
with the keys then in force, so a change of the APIv3 key reaches retries as well. Without an APIv3 key nothing is
sent.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.answers import signature_headers
from unicom_coupon_adapters.wechatpay.emulation.platform_keys import PUBLIC_KEY_ID, PlatformSigner
from unicom_coupon_adapters.wechatpay.emulation.world import World, moment_text
from unicom_coupon_sdk.platform.wire import Headers
from unicom_coupon_sdk.sandbox.emulator import Callback

_PAYMENT_PLAN: Final = (
    15.0,
    15.0,
    30.0,
    180.0,
    600.0,
    1200.0,
    1800.0,
    1800.0,
    1800.0,
    3600.0,
    *([10800.0] * 3),
    21600.0,
    21600.0,
)
PLANS: Final[Mapping[str, tuple[float, ...]]] = {
    "TRANSACTION": (0.0, *_PAYMENT_PLAN),
    "REFUND": (0.0, *_PAYMENT_PLAN),
    "PROFITSHARING": (0.0, *_PAYMENT_PLAN),
    "COUPON.SEND": (0.0, *([60.0] * 11)),
    "COUPON.USE": (0.0, *([60.0] * 9)),
    "PRODUCT_COUPON_SP": (0.0, *([60.0] * 11)),
    "PRODUCT_COUPON": (0.0, *([60.0] * 11)),
    "MCHTRANSFER": (0.0, *([15.0] * 10), *([300.0] * 10), *([1800.0] * 44)),
    "SECURITY_ECHO": (0.0, *_PAYMENT_PLAN),
}
"""Waits before each attempt in seconds, by event or by its first word: at once, then the sheet's retry plan."""

SUMMARIES: Final[Mapping[str, str]] = {
    "TRANSACTION.SUCCESS": "支付成功",
    "REFUND.SUCCESS": "退款成功",
    "REFUND.ABNORMAL": "退款异常",
    "REFUND.CLOSED": "退款关闭",
    "COUPON.SEND": "商家券领券通知",
    "COUPON.USE": "代金券核销通知",
    "PRODUCT_COUPON_SP.SEND": "商品券发放通知",
    "PRODUCT_COUPON.SEND": "商品券发放通知",
    "MCHTRANSFER.BILL.FINISHED": "商家转账单据终态通知",
    "SECURITY_ECHO.SUCCESS": "安全测试回调",
}


def notify(
    world: World,
    event: str,
    plaintext: Mapping[str, Any],
    *,
    original_type: str,
    associated_data: str,
    url: str | None = None,
    brand: bool = False,
) -> str | None:
    """Queue the news ``event``; its id, or ``None`` where nobody is to be told.

    ``url`` is the request's own or the one the merchant set by an API; else the one entered in the console counts.
    """
    target = url or world.frame.registered_url(event)
    if target is None or (not brand and world.keys.apiv3_key() is None):
        return None
    drawn = world.hexadecimal(32)
    callback_id = "-".join((drawn[:8], drawn[8:12], f"5{drawn[13:16]}", f"a{drawn[17:20]}", drawn[20:]))
    payload = {
        "create_time": moment_text(world.now()),
        "summary": SUMMARIES.get(event, event),
        "original_type": original_type,
        "associated_data": associated_data,
        "brand": brand,
        "plaintext": dict(plaintext),
    }
    plan = PLANS.get(event) or PLANS[event.partition(".")[0]]
    world.frame.send_callback(Callback(callback_id, event, target, payload, plan))
    return callback_id


def render(world: World, callback: Callback) -> tuple[str, Headers, bytes]:
    """Method, headers and body of the next attempt: encrypted and signed now."""
    told = callback.payload
    cipher = world.keys.brand_cipher() if told["brand"] else world.keys.apiv3_cipher()
    # The key may have been unset while a retry waited: what was queued is then still sent under the last one.
    if cipher is None:
        cipher = world.keys.last_apiv3_cipher()
    nonce = world.hexadecimal(12)
    plaintext = json.dumps(told["plaintext"], ensure_ascii=False, separators=(",", ":")).encode()
    sealed = cipher.encrypt(plaintext, nonce=nonce.encode(), aad=told["associated_data"].encode())
    envelope = {
        "id": callback.callback_id,
        "create_time": told["create_time"],
        "resource_type": "encrypt-resource",
        "event_type": callback.event,
        "summary": told["summary"],
        "resource": {
            "original_type": told["original_type"],
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": base64.b64encode(sealed).decode(),
            "associated_data": told["associated_data"],
            "nonce": nonce,
        },
    }
    body = json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()
    signer = world.keys.callback_signer(callback.callback_id)
    if told["brand"] and signer.serial != PUBLIC_KEY_ID:  # a brand knows the public key only (sheet §1.5 rule 5)
        signer = PlatformSigner(PUBLIC_KEY_ID, world.keys.public_signer.key)
    headers = (
        ("User-Agent", "Mozilla/4.0"),
        ("Accept", "*/*"),
        ("Pragma", "no-cache"),
        ("Cache-Control", "no-cache"),
        ("Content-Type", "application/json"),
        ("Request-ID", f"{world.hexadecimal(32).upper()}-0"),
        *signature_headers(body, signer=signer, world=world),
    )
    return "POST", headers, body
