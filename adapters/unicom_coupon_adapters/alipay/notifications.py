"""News from Alipay: trade notifies and From-platform messages (sheet §1.6, §2.8).

Both come as a form, signed over the values in it. The form is read once from the received bytes; a dictionary that a
web framework made of it is not taken, since lists, second decodings and dropped values have cost many a merchant their
signatures. Messages are sent again for a day with the time of their first sending, so there is no time window here:
what a repeat must not do twice is kept apart by its event id.

Of a transfer (``alipay.fund.trans.order.changed``) and a share (``alipay.trade.order.settle.notify``) only our number
is read (§3.1, §3.2): it makes us ask, and what they say of the outcome is left to the answer.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from unicom_coupon_adapters.alipay.gateway import AlipayGateway
from unicom_coupon_adapters.alipay.requests import of_beijing
from unicom_coupon_adapters.alipay.settings import AlipaySettings
from unicom_coupon_adapters.alipay.signing import AlipayVerifier, sign_text, verify_form
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.events import Acknowledgement, NewsKind, VerifiedEvent
from unicom_coupon_sdk.domain.sensitive import PlatformUser
from unicom_coupon_sdk.errors import CouponError, ForgedMessage, PlatformError, ValidationError
from unicom_coupon_sdk.platform.effects import Flow, Now

LARGEST_BODY = 1 << 20
_CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "gbk": "gb18030", "gb2312": "gb18030", "gb18030": "gb18030"}
_CERT_SN = re.compile(r"[0-9a-fA-F]{32}")
_KINDS = {
    "alipay.marketing.activity.message.created": NewsKind.CHANGED,
    "alipay.marketing.activity.message.modified": NewsKind.CHANGED,
    "alipay.marketing.activity.message.appended": NewsKind.CHANGED,
    "alipay.marketing.activity.message.stopped": NewsKind.CHANGED,
    "alipay.marketing.activity.message.received": NewsKind.DELIVERED,
    "alipay.marketing.activity.message.used": NewsKind.REDEEMED,
    "alipay.marketing.activity.message.expired": NewsKind.EXPIRED,
    "alipay.fund.trans.order.changed": NewsKind.CHANGED,
    "alipay.trade.order.settle.notify": NewsKind.CHANGED,
}
_SELF_CHECK = "alipay.service.check"


def read_form(body: bytes) -> tuple[dict[str, str], str]:
    """The values of a form, each decoded once, and the charset they are in.

    Raises ``ForgedMessage`` ``alipay.message_shape`` for a repeated name, a charset Alipay does not use, or bytes that
    are not in it.
    """
    if not 0 < len(body) <= LARGEST_BODY:
        raise _shapeless()
    raw: dict[str, bytes] = {}
    for pair in body.split(b"&"):
        name, _, value = pair.partition(b"=")
        key = unquote_to_bytes(name.replace(b"+", b" ")).decode("ascii", "replace")
        if not key or key in raw:
            raise _shapeless()
        raw[key] = unquote_to_bytes(value.replace(b"+", b" "))
    charset = _CHARSETS.get(raw.get("charset", b"utf-8").decode("ascii", "replace").lower())
    if charset is None:
        raise _shapeless()
    try:
        return {name: value.decode(charset) for name, value in raw.items()}, charset
    except UnicodeDecodeError:
        raise _shapeless() from None


def parse(body: bytes, *, gateway: AlipayGateway, settings: AlipaySettings) -> Flow[VerifiedEvent]:
    """The news in ``body``, verified over the received values and meant for this application.

    Raises ``ForgedMessage``: ``alipay.message_shape``, ``alipay.message_forged``, ``alipay.message_other_app``,
    ``message.undecryptable``.
    """
    form, charset = read_form(body)
    now = yield from Now()
    verifiers = yield from _verifiers(form, gateway, now)
    if not any(_verifies(form, verifier, charset) for verifier in verifiers):
        raise ForgedMessage("alipay.message_forged", platform="alipay")
    is_check = form.get("service") == _SELF_CHECK
    if form.get("app_id", settings.app_id if is_check else "") != settings.app_id:
        raise ForgedMessage("alipay.message_other_app", platform="alipay")
    if is_check:
        return _event("", NewsKind.ECHO, _SELF_CHECK, at=now, form=form)
    method = form.get("msg_method") or form.get("method") or form.get("service")
    if method:
        return _message(form, method, gateway=gateway, now=now)
    if settings.seller_id is not None and form.get("seller_id", settings.seller_id) != settings.seller_id:
        raise ForgedMessage("alipay.message_other_app", platform="alipay")
    return _trade(form, now=now)


def acknowledge(error: CouponError | None = None) -> Acknowledgement:
    """Exactly ``success``, seven bytes; ``fail`` asks Alipay to send it again."""
    content = b"success" if error is None else b"fail"
    return Acknowledgement(status=200, headers=(("Content-Type", "text/plain;charset=utf-8"),), content=content)


def acknowledge_check(gateway: AlipayGateway) -> Acknowledgement:
    """The XML answer to the application gateway's self check, with our public key, signed (§1.6)."""
    key = base64.b64encode(gateway.keys.app.spki or b"").decode("ascii")
    inside = f"<biz_content>{key}</biz_content><success>true</success>"
    sign = sign_text(inside, gateway.keys.app.signer)
    text = (
        '<?xml version="1.0" encoding="GBK"?>'
        f"<alipay><response>{inside}</response><sign>{sign}</sign><sign_type>{gateway.keys.sign_type}</sign_type></alipay>"
    )
    return Acknowledgement(status=200, headers=(("Content-Type", "text/xml;charset=GBK"),), content=text.encode("gbk"))


def _verifiers(form: Mapping[str, str], gateway: AlipayGateway, now: datetime) -> Flow[tuple[AlipayVerifier, ...]]:
    cert_sn = form.get("alipay_cert_sn") or None
    try:
        return gateway.keys.verifiers(cert_sn, now)
    except ForgedMessage as error:
        if error.code != "message.unknown_key" or cert_sn is None or not _CERT_SN.fullmatch(cert_sn):
            raise
    try:
        yield from gateway.fetch_certificate(cert_sn, now)
    except PlatformError:
        raise ForgedMessage("message.unknown_key", platform="alipay") from None
    return gateway.keys.verifiers(cert_sn, now)


def _verifies(form: Mapping[str, str], verifier: AlipayVerifier, charset: str) -> bool:
    try:
        verify_form(form, verifier=verifier, charset=charset)
    except ForgedMessage:
        return False
    return True


def _message(form: Mapping[str, str], method: str, *, gateway: AlipayGateway, now: datetime) -> VerifiedEvent:
    content = _content(form, gateway)
    user = _text(content, "receive_user_id", "receive_open_id", "user_id", "open_id")
    code = _text(content, "voucher_code")
    return _event(
        _text(content, "id"),
        _KINDS.get(method, NewsKind.OTHER),
        method,
        at=_of_millis(_text(content, "event_time") or form.get("utc_timestamp", "")) or now,
        form=form,
        code=_coupon_code(code),
        user=PlatformUser(user) if user and len(user) <= PlatformUser.longest else None,
        refs={name: _text(content, name) for name in ("activity_id", "voucher_id") if _text(content, name)},
        operation_no=_text(content, "out_biz_no", "out_request_no") or None,
        content=content,
    )


def _trade(form: Mapping[str, str], *, now: datetime) -> VerifiedEvent:
    status = form.get("trade_status", "")
    refunded = bool(form.get("gmt_refund") or form.get("refund_fee"))
    if refunded:
        kind = NewsKind.REFUNDED
    elif status in ("TRADE_SUCCESS", "TRADE_FINISHED"):
        kind = NewsKind.PAID
    else:
        kind = NewsKind.OTHER
    return _event(
        "",
        kind,
        form.get("notify_type") or "trade",
        at=of_beijing(form.get("notify_time", "")) or now,
        form=form,
        refs={name: form[name] for name in ("trade_no", "out_trade_no") if form.get(name)},
        operation_no=(form.get("out_biz_no") if refunded else form.get("out_trade_no")) or None,
        content=dict(form),
    )


def _event(
    own_id: str,
    kind: NewsKind,
    type_name: str,
    *,
    at: datetime,
    form: Mapping[str, str],
    code: CouponCode | None = None,
    user: PlatformUser | None = None,
    refs: Mapping[str, str] | None = None,
    operation_no: str | None = None,
    content: Mapping[str, object] | None = None,
) -> VerifiedEvent:
    """A marketing message has an id of its own, which stays when it is sent anew under another ``notify_id``."""
    event_id = own_id or form.get("notify_id") or ""
    if not event_id and kind is not NewsKind.ECHO:
        raise _shapeless()
    return VerifiedEvent(
        platform="alipay",
        event_id=(event_id or form.get("sign", "")[:32])[:128],
        kind=kind,
        type_name=type_name[:100],
        occurred_at=at,
        code=code,
        user=user,
        refs=refs or {},
        operation_no=operation_no,
        content=content if content is not None else dict(form),
    )


def _content(form: Mapping[str, str], gateway: AlipayGateway) -> Mapping[str, Any]:
    text = form.get("biz_content", "")
    if form.get("encrypt_type", "").upper() == "AES":
        if gateway.keys.cipher is None:
            raise ForgedMessage("message.undecryptable", platform="alipay")
        text = gateway.keys.cipher.decrypt(text)
    try:
        content = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        raise _shapeless() from None
    if not isinstance(content, dict):
        raise _shapeless()
    return content


def _text(content: Mapping[str, Any], *names: str) -> str:
    """The first of ``names`` that is there as text or number."""
    for name in names:
        value = content.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    return ""


def _coupon_code(text: str) -> CouponCode | None:
    try:
        return CouponCode(text) if text else None
    except ValidationError:  # a code of another form is not one of ours
        return None


def _of_millis(text: str) -> datetime | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 14):
        return None
    return datetime.fromtimestamp(int(text) / 1000, UTC)


def _shapeless() -> ForgedMessage:
    return ForgedMessage("alipay.message_shape", platform="alipay")
