"""Callbacks: verify, then decrypt, then read. There is no unverified event, and no way to skip a step.

Only bytes are taken: a body that a framework parsed and wrote again has other bytes and another signature (sheet 9,
no. 2). Whatever is wrong with a message, the error is a ``ForgedMessage``, so that the platform sends it again.
"""

from __future__ import annotations

from binascii import Error as BadBase64
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from typing import Any

import pydantic_core

from unicom_coupon_adapters.wechatpay.credentials import Credentials
from unicom_coupon_adapters.wechatpay.outcomes import code_of, text_of
from unicom_coupon_sdk.domain.events import Acknowledgement, NewsKind, VerifiedEvent
from unicom_coupon_sdk.domain.sensitive import PlatformUser
from unicom_coupon_sdk.domain.times import instant_of
from unicom_coupon_sdk.errors import CouponError, ForgedMessage, ValidationError

PLATFORM = "wechatpay"

Read = Callable[[Mapping[str, Any]], dict[str, Any]]


def require_bytes(body: object) -> bytes:
    """``body`` itself. Raises ``ValidationError`` (``wechatpay.body_not_bytes``) for text or anything parsed."""
    if not isinstance(body, bytes):
        raise ValidationError("wechatpay.body_not_bytes", field="body", platform=PLATFORM, found=type(body).__name__)
    return body


def open_resource(body: bytes, *, credentials: Credentials) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Envelope and decrypted content of a callback whose signature was found right.

    Raises ``ForgedMessage``: ``wechatpay.notification_malformed``, ``wechatpay.undecryptable``.
    """
    try:
        envelope = pydantic_core.from_json(body)
        resource = envelope["resource"]
        if resource["algorithm"] != credentials.suite.aead_name:
            raise _malformed("resource.algorithm")
        plain = credentials.decrypt(
            a2b_base64(resource["ciphertext"], strict_mode=True),
            nonce=resource["nonce"].encode(),
            aad=(resource.get("associated_data") or "").encode(),
        )
        content = pydantic_core.from_json(plain)
    except (KeyError, TypeError, AttributeError, ValueError, BadBase64):
        raise _malformed("body") from None
    if not isinstance(content, dict):
        raise _malformed("resource")
    return envelope, content


def event_of(envelope: Mapping[str, Any], content: Mapping[str, Any]) -> VerifiedEvent:
    """The news in our words. A type that is not known is genuine news of kind ``OTHER``.

    Raises ``ForgedMessage`` (``wechatpay.notification_malformed``) when id, type or time is missing.
    """
    event_id, type_name = envelope.get("id"), envelope.get("event_type")
    if not (isinstance(event_id, str) and event_id and isinstance(type_name, str)):
        raise _malformed("id")
    try:
        occurred_at = instant_of(envelope.get("create_time", ""), field="create_time")
    except ValidationError:
        raise _malformed("create_time") from None
    kind = _kind(type_name, envelope, content)
    read = _BY_ORIGINAL.get(_original_type(envelope)) or _READERS.get(kind, _other)
    return VerifiedEvent(
        platform=PLATFORM,
        event_id=event_id,
        kind=kind,
        type_name=type_name,
        occurred_at=occurred_at,
        content=content,
        **read(content),
    )


def acknowledgement(error: CouponError | None) -> Acknowledgement:
    """204 accepts. With an error: 401 for a message that is not genuine, else 500; both make the platform repeat it."""
    if error is None:
        return Acknowledgement(status=204)
    status = 401 if isinstance(error, ForgedMessage) else 500
    content = pydantic_core.to_json({"code": "FAIL", "message": error.code})
    return Acknowledgement(status=status, headers=(("Content-Type", "application/json"),), content=content)


_KINDS: Mapping[str, NewsKind] = {
    "COUPON.SEND": NewsKind.DELIVERED,
    "PRODUCT_COUPON_SP.SEND": NewsKind.DELIVERED,
    "PRODUCT_COUPON.SEND": NewsKind.DELIVERED,
    "COUPON.USE": NewsKind.REDEEMED,  # 代金券 only: 商家券 have no callback for use (sheet 2.3)
    "PRODUCT_COUPON_SP.USE": NewsKind.REDEEMED,
    "PRODUCT_COUPON.USE": NewsKind.REDEEMED,
    "PRODUCT_COUPON_SP.RETURN": NewsKind.REVERSED,
    "PRODUCT_COUPON.RETURN": NewsKind.REVERSED,
    "REFUND.SUCCESS": NewsKind.REFUNDED,
    "REFUND.ABNORMAL": NewsKind.CHANGED,
    "REFUND.CLOSED": NewsKind.CHANGED,
    "SECURITY_ECHO.SUCCESS": NewsKind.ECHO,
}


def _kind(type_name: str, envelope: Mapping[str, Any], content: Mapping[str, Any]) -> NewsKind:
    original_type = _original_type(envelope)
    if original_type in _BY_ORIGINAL:  # profit-sharing notices were seen under other types: what is inside decides
        return NewsKind.CHANGED
    if type_name == "TRANSACTION.SUCCESS":
        return NewsKind.PAID if original_type == "transaction" else NewsKind.OTHER
    kind = _KINDS.get(type_name, NewsKind.OTHER)
    if type_name == "COUPON.SEND" and content.get("event_type", _SENT) != _SENT:
        return NewsKind.OTHER
    return kind


def _original_type(envelope: Mapping[str, Any]) -> str:
    return text_of(envelope["resource"], "original_type") or ""


_SENT = "EVENT_TYPE_BUSICOUPON_SEND"


def _coupon(content: Mapping[str, Any]) -> dict[str, Any]:
    """A delivered, used or returned coupon. The request number is ours where the payload carries one."""
    number = next(
        (
            content[name]
            for name in ("use_request_no", "return_request_no", "send_request_no")
            if isinstance(content.get(name), str)
        ),
        None,
    )
    return {
        "code": code_of(content.get("coupon_code")),
        "user": _user(content.get("openid")),
        "operation_no": number,
        "refs": _refs(
            content, "stock_id", "product_coupon_id", "brand_id", "send_channel", "send_request_no", "coupon_id"
        ),
    }


def _refund(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "operation_no": text_of(content, "out_refund_no"),
        "refs": _refs(content, "transaction_id", "out_trade_no", "refund_id", "out_refund_no", "refund_status"),
    }


def _transfer(content: Mapping[str, Any]) -> dict[str, Any]:
    """A transfer that came to an end; which end, the platform is asked."""
    return {
        "operation_no": text_of(content, "out_bill_no"),
        "user": _user(content.get("openid")),
        "refs": _refs(content, "out_bill_no", "transfer_bill_no"),
    }


def _sharing(content: Mapping[str, Any]) -> dict[str, Any]:
    """A part that a receiver got, or gave back. Told to receivers only, so the number need not be one of ours."""
    return {
        "operation_no": text_of(content, "out_order_no"),
        "refs": _refs(content, "transaction_id", "order_id", "out_order_no"),
    }


def _paid(content: Mapping[str, Any]) -> dict[str, Any]:
    payer = content.get("payer")
    return {
        "user": _user(payer.get("openid") if isinstance(payer, dict) else None),
        "refs": _refs(content, "transaction_id", "out_trade_no", "trade_state"),
    }


def _other(content: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG001 - one signature for every reader
    return {}


_BY_ORIGINAL: Mapping[str, Read] = {"mch_payment": _transfer, "profitsharing": _sharing}

_READERS: Mapping[NewsKind, Read] = {
    NewsKind.DELIVERED: _coupon,
    NewsKind.REDEEMED: _coupon,
    NewsKind.REVERSED: _coupon,
    NewsKind.REFUNDED: _refund,
    NewsKind.CHANGED: _refund,
    NewsKind.PAID: _paid,
}


def _refs(content: Mapping[str, Any], *names: str) -> dict[str, str]:
    return {name: value for name in names if isinstance(value := content.get(name), str)}


def _user(value: object) -> PlatformUser | None:
    return PlatformUser(value) if isinstance(value, str) and 0 < len(value) <= PlatformUser.longest else None


def _malformed(where: str) -> ForgedMessage:
    return ForgedMessage("wechatpay.notification_malformed", platform=PLATFORM, where=where)
