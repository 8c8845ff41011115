"""Who signed a request: the ``Authorization`` header read and its signature verified over the raw bytes.

Sheet §1.2 to §1.4. The checks run in the platform's order: header, scheme, clock, merchant, APIv3 key, certificate,
signature; each failure is a 401 ``SIGN_ERROR`` with its own text, the last with ``sign_information``. The message is
put together from the raw request target and the raw body as received: nothing is decoded or serialised again.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.platform_keys import (
    BRAND_ID,
    MCHID,
    CallerCertificate,
    PlatformKeys,
    is_within,
)
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal
from unicom_coupon_sdk.sandbox.emulator import Received

MERCHANT_SCHEME: Final = "WECHATPAY2-SHA256-RSA2048"
BRAND_SCHEME: Final = "WECHATPAY-BRAND-SHA256-RSA2048"
CLOCK_WINDOW_S: Final = 300

_PAIR: Final = re.compile(r'\s*([a-z_]+)="([^"]*)"\s*(,|$)')
_BODY_SHOWN: Final = 6

CAUSES: Final[Mapping[str, tuple[str, str]]] = {
    "header_missing": (
        "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》",
        "The Authorization header is missing or malformed.",
    ),
    "scheme": ("Http头Authorization认证类型不正确", "The authentication scheme is not supported."),
    "timestamp": (
        "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟",
        "The timestamp is more than 5 minutes from the platform's time.",
    ),
    "no_certificate": ("商户未申请过证书", "The merchant never applied for an API certificate."),
    "apiv3_key_unset": ("商户未设置APIv3密钥", "The merchant has not set its APIv3 key."),
    "serial": (
        "商户证书序列号有误。请使用签名私钥匹配的证书序列号",
        "The certificate serial is not one of the merchant's.",
    ),
    "certificate_expired": ("商户证书已过期", "The merchant certificate has expired."),
    "certificate_revoked": ("商户证书已作废", "The merchant certificate was revoked."),
    "certificate_replaced": ("已更换证书，请使用新证书", "The certificate was replaced; use the new one."),
    "signature": ("错误的签名，验签失败", "The signature is wrong."),
}
"""The causes of a 401 (sheet §1.3), by a name that a fault may ask for: ``SIGN_ERROR/certificate_revoked``."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is calling: a merchant by ``mchid`` or a brand by ``brand_id``, never both."""

    mchid: str
    brand_id: str | None = None

    @property
    def name(self) -> str:
        """What request numbers are kept under."""
        return f"brand:{self.brand_id}" if self.brand_id else self.mchid


def sign_error(cause: str, *, information: Mapping[str, Any] | None = None) -> Refusal:
    """The 401 for ``cause``; the wrong signature comes with what the platform signed (sheet §1.3)."""
    zh, en = CAUSES[cause]
    detail: dict[str, Any] = {"field": "authorization", "location": "authorization", "issue": cause}
    if information is not None:
        detail = {
            "detail": {"issue": "sign not match"},
            "field": "signature",
            "location": "authorization",
            "sign_information": dict(information),
        }
    return Refusal("SIGN_ERROR", zh, en, detail=detail)


def authenticate(request: Received, *, keys: PlatformKeys, now: datetime) -> Caller:
    """The verified caller. Raises a 401 refusal; nothing is read from the body before the signature is right."""
    scheme, pairs = _read_header(request.header("Authorization"))
    is_brand = scheme == BRAND_SCHEME
    if abs(int(now.timestamp()) - int(pairs["timestamp"])) > CLOCK_WINDOW_S:
        raise sign_error("timestamp")
    certificate = _certificate_of(pairs, keys=keys, is_brand=is_brand)
    _check_state(certificate, now=now)
    message = signed_message(request, timestamp=pairs["timestamp"], nonce=pairs["nonce_str"])
    try:
        signature = base64.b64decode(pairs["signature"], validate=True)
    except (binascii.Error, ValueError):
        raise sign_error("signature", information=_information(request, message, pairs)) from None
    if not certificate.certificate.public_key.verify_sha256(signature, message):
        raise sign_error("signature", information=_information(request, message, pairs))
    return Caller(mchid="", brand_id=pairs["brand_id"]) if is_brand else Caller(mchid=pairs["mchid"])


def signed_message(request: Received, *, timestamp: str, nonce: str) -> bytes:
    """The five lines a caller must have signed, each with its line feed, over the bytes as they came."""
    lines = (request.method.upper(), request.target, timestamp, nonce)
    head = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    return head + _signed_body(request) + b"\n"


def _signed_body(request: Received) -> bytes:
    """The whole body; of a multipart upload only the text of the part called ``meta`` (sheet §1.3)."""
    kind = request.header("Content-Type") or ""
    found = re.search(r'boundary="?([^";,]+)"?', kind)
    if not kind.lower().startswith("multipart/form-data") or found is None:
        return request.content
    for part in request.content.split(b"--" + found.group(1).encode("ascii", "replace")):
        head, _, text = part.partition(b"\r\n\r\n")
        if b'name="meta"' in head:
            return text.removesuffix(b"\r\n")
    return b""


def _read_header(header: str | None) -> tuple[str, dict[str, str]]:
    scheme, _, rest = (header or "").strip().partition(" ")
    if not scheme or not rest:
        raise sign_error("header_missing")
    if scheme not in {MERCHANT_SCHEME, BRAND_SCHEME}:
        raise sign_error("scheme")
    pairs: dict[str, str] = {}
    at = 0
    while at < len(rest):
        found = _PAIR.match(rest, at)
        if found is None or found.group(1) in pairs:
            raise sign_error("header_missing")
        pairs[found.group(1)] = found.group(2)
        at = found.end()
    who = "brand_id" if scheme == BRAND_SCHEME else "mchid"
    complete = set(pairs) == {who, "nonce_str", "timestamp", "serial_no", "signature"} and all(pairs.values())
    if not complete or not re.fullmatch(r"[0-9]{1,12}", pairs["timestamp"]) or len(pairs["nonce_str"]) > 128:
        raise sign_error("header_missing")
    return scheme, pairs


def _certificate_of(pairs: Mapping[str, str], *, keys: PlatformKeys, is_brand: bool) -> CallerCertificate:
    if is_brand:
        found = keys.brand_certificate(pairs["serial_no"]) if pairs["brand_id"] == BRAND_ID else None
        if pairs["brand_id"] != BRAND_ID:
            raise sign_error("no_certificate")
    else:
        if pairs["mchid"] != MCHID:
            raise sign_error("no_certificate")
        if keys.apiv3_key() is None:
            raise sign_error("apiv3_key_unset")
        found = keys.merchant_certificate(pairs["serial_no"])
    if found is None:
        raise sign_error("serial")
    return found


def _check_state(found: CallerCertificate, *, now: datetime) -> None:
    if found.state == "revoked":
        raise sign_error("certificate_revoked")
    if found.state == "replaced":
        raise sign_error("certificate_replaced")
    if not is_within(found.certificate, now):
        raise sign_error("certificate_expired")


def _information(request: Received, message: bytes, pairs: Mapping[str, str]) -> dict[str, Any]:
    body = _signed_body(request)
    shown = body[:_BODY_SHOWN].decode("utf-8", "ignore")
    head = (request.method.upper(), request.target, pairs["timestamp"], pairs["nonce_str"], shown)
    return {
        "method": request.method.upper(),
        "url": request.target,
        "truncated_sign_message": "".join(f"{line}\n" for line in head),
        "sign_message_length": len(message),
    }
