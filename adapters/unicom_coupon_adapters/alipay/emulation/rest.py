"""OpenAPI v3's front door: paths onto the same methods, and the ``Authorization`` header verified over raw bytes.

Sheet §1.11. Path values and query become members of the content. A lifetime (``expired_seconds``) is kept to the
second; without one, the classic gateway's tolerance holds. Nonces are not remembered (unconfirmed): a repeat is a
repeat by its ``out_biz_no``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from unicom_coupon_adapters.alipay.emulation.answers import RestAsked
from unicom_coupon_adapters.alipay.emulation.canonical import is_signed, rest_text
from unicom_coupon_adapters.alipay.emulation.classic import TOLERANCE, origin_form, parsed, unsealed
from unicom_coupon_adapters.alipay.emulation.platform_keys import APP_ID
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_adapters.alipay.emulation.world import World
from unicom_coupon_sdk.crypto.rsa import RsaPublicKey
from unicom_coupon_sdk.sandbox.emulator import Received

SCHEME: Final = "ALIPAY-SHA256withRSA "
_ACTIVITY: Final = "/v3/alipay/marketing/ordervoucher/activity"
_OTHER: Final = "/v3/alipay/marketing/activity"
_VOUCHERS: Final = "alipay.marketing.activity.ordervoucher"
_TRADE: Final = "/v3/alipay/trade"

ROUTES: Final = (
    ("POST", _ACTIVITY, f"{_VOUCHERS}.create"),
    ("PATCH", _ACTIVITY + "/{activity_id}", f"{_VOUCHERS}.modify"),
    ("PATCH", _ACTIVITY + "/{activity_id}/append", f"{_VOUCHERS}.append"),
    ("PATCH", _ACTIVITY + "/{activity_id}/stop", f"{_VOUCHERS}.stop"),
    ("POST", _ACTIVITY + "/{activity_id}/voucher/codedeposit", f"{_VOUCHERS}.codedeposit"),
    ("GET", _ACTIVITY + "/{activity_id}/voucher/codecount", f"{_VOUCHERS}.codecount"),
    ("POST", _ACTIVITY + "/{activity_id}/voucher/{voucher_code}/use", f"{_VOUCHERS}.use"),
    ("POST", _ACTIVITY + "/{activity_id}/voucher/{voucher_code}/refund", f"{_VOUCHERS}.refund"),
    ("GET", _OTHER + "/ordervoucher/query", f"{_VOUCHERS}.query"),
    ("GET", _OTHER + "/ordervoucher/user/voucher", "alipay.marketing.activity.user.queryvoucher"),
    ("GET", _OTHER + "/ordervoucher/user/batchqueryvoucher", "alipay.marketing.activity.user.batchqueryvoucher"),
    ("POST", _OTHER + "/ordervoucher/associate", f"{_VOUCHERS}.associate"),
    ("POST", _OTHER + "/ordervoucher/disassociate", f"{_VOUCHERS}.disassociate"),
    ("POST", _OTHER + "/consult", "alipay.marketing.activity.consult"),
    ("POST", "/v3/alipay/marketing/delivery", "alipay.marketing.activity.delivery.create"),
    ("POST", "/v3/alipay/marketing/delivery/{delivery_id}/query", "alipay.marketing.activity.delivery.query"),
    ("PATCH", "/v3/alipay/marketing/delivery/{delivery_id}/stop", "alipay.marketing.activity.delivery.stop"),
    ("POST", _TRADE + "/pay", "alipay.trade.pay"),
    ("POST", _TRADE + "/query", "alipay.trade.query"),
    ("POST", _TRADE + "/refund", "alipay.trade.refund"),
    ("POST", _TRADE + "/cancel", "alipay.trade.cancel"),
    ("POST", _TRADE + "/close", "alipay.trade.close"),
    ("POST", _TRADE + "/create", "alipay.trade.create"),
    ("POST", _TRADE + "/precreate", "alipay.trade.precreate"),
    ("POST", _TRADE + "/fastpay/refund/query", "alipay.trade.fastpay.refund.query"),
    ("POST", _TRADE + "/order/settle", "alipay.trade.order.settle"),
    ("GET", _TRADE + "/order/settle/query", "alipay.trade.order.settle.query"),
    ("POST", _TRADE + "/royalty/relation/bind", "alipay.trade.royalty.relation.bind"),
    ("POST", _TRADE + "/royalty/relation/unbind", "alipay.trade.royalty.relation.unbind"),
    ("POST", _TRADE + "/royalty/relation/batchquery", "alipay.trade.royalty.relation.batchquery"),
    ("GET", _TRADE + "/royalty/rate/query", "alipay.trade.royalty.rate.query"),
    ("POST", "/v3/alipay/fund/trans/uni/transfer", "alipay.fund.trans.uni.transfer"),
    ("GET", "/v3/alipay/fund/trans/common/query", "alipay.fund.trans.common.query"),
    ("GET", "/v3/alipay/fund/account/query", "alipay.fund.account.query"),
    ("GET", "/v3/alipay/data/dataservice/bill/downloadurl/query", "alipay.data.dataservice.bill.downloadurl.query"),
    ("POST", "/v3/alipay/user/info/share", "alipay.user.info.share"),
    ("POST", "/v3/alipay/system/oauth/token", "alipay.system.oauth.token"),
)
"""Verb, path and the classic method that does the same."""

_TABLE: Final = tuple((verb, tuple(path.split("/")), method) for verb, path, method in ROUTES)


@dataclass(frozen=True, slots=True)
class Placed:
    """A v3 path recognised: the method behind it and the path's own members."""

    method: str
    members: Mapping[str, str] = field(repr=False)


def place(request: Received) -> Placed | None:
    """The method behind verb and path, or ``None``. Segments are matched raw and decoded afterwards."""
    given = origin_form(request.target).partition("?")[0].split("/")
    for verb, segments, method in _TABLE:
        if verb != request.method.upper() or len(segments) != len(given):
            continue
        pairs = list(zip(segments, given, strict=True))
        if all(wanted == found or (wanted.startswith("{") and found) for wanted, found in pairs):
            return Placed(method, {wanted[1:-1]: unquote(found) for wanted, found in pairs if wanted.startswith("{")})
    return None


def asked_of(request: Received) -> RestAsked:
    """What the answer must be like, as far as the header tells. Never raises."""
    values = _credentials(request.header("Authorization") or "")[1]
    return RestAsked(
        is_certified=bool(values.get("app_cert_sn")),
        is_application_known=values.get("app_id") == APP_ID,
        wants_encryption=request.header("alipay-encrypt-type") == "AES",
    )


def verify(request: Received, *, world: World) -> None:
    """Check the header and its signature over the raw request. Raises ``Refusal``."""
    text, values = _credentials(request.header("Authorization") or "")
    if not values.get("app_id"):
        raise Refusal("isv.missing-app-id", "缺少app_id")
    if values["app_id"] != APP_ID:
        raise Refusal("isv.invalid-app-id", "无效的AppID参数")
    if not values.get("sign"):
        raise Refusal("isv.missing-signature", "缺少签名")
    if not values.get("nonce"):
        raise Refusal("isv.invalid-parameter", "缺少nonce")
    _check_time(values, world)
    keys = _keys(request, values, world)
    message = rest_text(
        text,
        verb=request.method.upper(),
        target=origin_form(request.target),
        body=_signed_body(request),
        app_auth_token=request.header("alipay-app-auth-token"),
    )
    if not is_signed(message.encode("utf-8", "surrogateescape"), values["sign"], keys=keys):
        raise Refusal("isv.invalid-signature", "验签出错")


def content_of(request: Received, placed: Placed, *, world: World) -> dict[str, Any]:
    """Body or query and the path's values as one content. Raises ``Refusal``."""
    content: dict[str, Any]
    if request.method.upper() == "GET":
        query = origin_form(request.target).partition("?")[2]
        content = {name: _value(value) for name, value in parse_qsl(query, keep_blank_values=True)}
    else:
        text = _signed_body(request)
        if request.header("alipay-encrypt-type") == "AES" and text:
            text = unsealed(text, world=world).decode("utf-8", "replace")
        content = parsed(text)
    return {**content, **placed.members}


def _signed_body(request: Received) -> str:
    media = (request.header("Content-Type") or "").lower()
    if not media.startswith("multipart/"):
        return request.content.decode("utf-8", "surrogateescape")
    found = re.search(rb'name="data".*?\r\n\r\n(.*?)\r\n--', request.content, re.DOTALL)
    return found[1].decode("utf-8", "surrogateescape") if found else ""


def _credentials(header: str) -> tuple[str, dict[str, str]]:
    """The text before ``,sign=`` as it stands, and all values."""
    if not header.startswith(SCHEME):
        return "", {}
    text, _, sign = header.removeprefix(SCHEME).strip().partition(",sign=")
    values = dict(pair.partition("=")[::2] for pair in text.split(","))
    return text, {**values, "sign": sign}


def _check_time(values: Mapping[str, str], world: World) -> None:
    stamp = values.get("timestamp", "")
    if not stamp:
        raise Refusal("isv.missing-timestamp", "缺少timestamp")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) == 13):
        raise Refusal("isv.invalid-timestamp", "非法的时间戳参数")
    sent, now = datetime.fromtimestamp(int(stamp) / 1000, UTC), world.now()
    life = values.get("expired_seconds", "")
    expires = timedelta(seconds=int(life)) if life.isascii() and life.isdigit() and len(life) <= 6 else TOLERANCE
    if now - sent > expires or sent - now > TOLERANCE:
        raise Refusal("isv.illegal-timestamp", "请求已过期")


def _keys(request: Received, values: Mapping[str, str], world: World) -> list[RsaPublicKey]:
    serial = values.get("app_cert_sn", "")
    if not serial:
        return world.keys.app_keys()
    found = world.keys.app_key(serial)
    if found is None:
        raise Refusal("isv.app-cert-not-exist", "应用公钥证书不存在")
    key, certificate, state = found
    if state == "void" or not certificate.valid_at(world.now()):
        raise Refusal("isv.app-cert-expired", "应用公钥证书已失效")
    if request.header("alipay-root-cert-sn") != world.keys.root_serial():
        raise Refusal("isv.invalid-alipay-root-cert-sn", "支付宝根证书SN无效")
    return [key]


def _value(text: str) -> Any:
    """A query value: JSON for an object or a list, text for all else."""
    if text[:1] in {"{", "["}:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text
