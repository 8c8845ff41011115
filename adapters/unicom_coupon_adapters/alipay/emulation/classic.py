"""The classic gateway's front door: parameters read from the wire, and the request verified.

Sheet §1.2 to §1.4 and §10.2. Query and form are merged, the form wins; every value is decoded once, in the request's
own charset. The checks run in the platform's order: application, method, required parameters, signature type, charset
and time, certificate numbers, signature, encryption. Until the application is known, answers are not signed.

Choices where the sheet is open: a parameter given twice in one place is refused; the timestamp may be a day off, since
unmodified clients on hosts in other time zones send local time (real tolerance unconfirmed).
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from unicom_coupon_adapters.alipay.emulation.canonical import SIGN_TYPES, is_signed, signing_text
from unicom_coupon_adapters.alipay.emulation.moments import parse_moment
from unicom_coupon_adapters.alipay.emulation.platform_keys import APP_ID
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_adapters.alipay.emulation.sealing import Unreadable, opened
from unicom_coupon_adapters.alipay.emulation.world import World
from unicom_coupon_sdk.crypto.rsa import RsaPublicKey
from unicom_coupon_sdk.sandbox.emulator import Received

GATEWAY: Final = "/gateway.do"
TOLERANCE: Final = timedelta(hours=24)
CHARSETS: Final = {"utf-8": "utf-8", "utf8": "utf-8", "gbk": "gbk", "gb2312": "gbk", "gb18030": "gb18030"}
_PUBLIC: Final = frozenset(
    {
        "app_id",
        "method",
        "format",
        "charset",
        "sign_type",
        "sign",
        "timestamp",
        "version",
        "notify_url",
        "return_url",
        "app_auth_token",
        "auth_token",
        "biz_content",
        "encrypt_type",
        "app_cert_sn",
        "alipay_root_cert_sn",
        "target_app_id",
        "alipay_sdk",
        "prod_code",
        "terminal_type",
        "terminal_info",
        "ws_service_url",
    }
)
_ABSOLUTE: Final = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_BOUNDARY: Final = re.compile(rb'boundary="?([^";,]+)"?', re.IGNORECASE)
_NAME: Final = re.compile(rb'[; ]name="([^"]*)"')
_METHOD: Final = re.compile(r"[a-z][a-z0-9._]{0,127}")


def origin_form(target: str) -> str:
    """Path and query of a request target, also of an absolute one, which the official Python client sends."""
    found = _ABSOLUTE.match(target)
    rest = target[found.end() :] if found else target
    return rest if rest.startswith("/") else f"/{rest}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as far as it can be read before it is verified: enough to word any answer."""

    raw: Mapping[str, bytes] = field(repr=False)
    repeated: str | None

    @classmethod
    def read(cls, request: Received) -> Asked:
        """The raw parameters of query and body. Never raises."""
        _, _, query = origin_form(request.target).partition("?")
        merged: dict[str, bytes] = {}
        repeated: str | None = None
        for pairs in (_pairs(query.encode("latin-1", "replace")), _body_pairs(request)):
            seen: set[str] = set()
            for name, value in pairs:
                repeated = name if name in seen else repeated
                seen.add(name)
                merged[name] = value
        return cls(merged, repeated)

    def ascii(self, name: str) -> str:
        """A parameter that is plain text by its nature; empty when absent."""
        return self.raw.get(name, b"").decode("ascii", "replace")

    @property
    def method(self) -> str:
        """The method's name; empty when it is none."""
        name = self.ascii("method")
        return name if _METHOD.fullmatch(name) else ""

    @property
    def charset(self) -> str:
        """Python's name of the charset; UTF-8 for one that Alipay does not use."""
        return CHARSETS.get(self.ascii("charset").lower(), "utf-8")

    @property
    def is_certified(self) -> bool:
        """Whether the request is in certificate mode."""
        return bool(self.raw.get("app_cert_sn"))

    @property
    def is_application_known(self) -> bool:
        """Whether the answer is to be signed."""
        return self.ascii("app_id") == APP_ID

    @property
    def wants_encryption(self) -> bool:
        """Whether a success is to be encrypted."""
        return self.ascii("encrypt_type") == "AES"


@dataclass(frozen=True, slots=True)
class Verified:
    """A request whose signature is right: its parameters as text, and its business content."""

    parameters: Mapping[str, str] = field(repr=False)
    content: Mapping[str, Any] = field(repr=False)


def check_application(asked: Asked) -> None:
    """The checks before the method is looked at. Raises ``Refusal``."""
    if not asked.raw.get("app_id"):
        raise Refusal("isv.missing-app-id", "缺少AppID参数")
    if not asked.is_application_known:
        raise Refusal("isv.invalid-app-id", "无效的AppID参数")
    if not asked.raw.get("method"):
        raise Refusal("isv.missing-method", "缺少方法名参数")


def verify(asked: Asked, *, world: World, flat: bool) -> Verified:
    """All checks after the method is known. Raises ``Refusal``."""
    _check_required(asked)
    parameters = _decoded(asked)
    _check_time(parameters, world)
    keys = _keys(parameters, world)
    text = signing_text(parameters)
    sign = parameters["sign"].replace(" ", "+")
    if not is_signed(text.encode(asked.charset), sign, keys=keys, sign_type=parameters["sign_type"]):
        told = html.escape(text, quote=True).replace("&#x27;", "'")
        raise Refusal(
            "isv.invalid-signature",
            f"验签出错，建议检查签名字符串或签名私钥与应用公钥是否匹配，网关生成的验签字符串为：{told}",
        )
    content = _content(parameters, world, charset=asked.charset)
    if flat:
        content = {name: value for name, value in parameters.items() if name not in _PUBLIC and value}
        content |= {name: parameters[name] for name in ("auth_token",) if parameters.get(name)}
    return Verified(parameters, content)


def _check_required(asked: Asked) -> None:
    for name, code in (
        ("sign", "isv.missing-signature"),
        ("sign_type", "isv.missing-signature-type"),
        ("timestamp", "isv.missing-timestamp"),
        ("version", "isv.missing-version"),
    ):
        if not asked.raw.get(name):
            raise Refusal(code, f"缺少{name}参数")
    if asked.repeated is not None:
        raise Refusal("isv.invalid-parameter", "参数重复")
    if asked.ascii("sign_type") not in SIGN_TYPES:
        raise Refusal("isv.invalid-signature-type", "无效的签名类型")
    if asked.ascii("charset").lower() not in CHARSETS:
        raise Refusal("isv.invalid-charset", "字符集错误")
    if asked.raw.get("format") and asked.ascii("format").lower() != "json":
        raise Refusal("isv.invalid-format", "无效的数据格式")
    if asked.ascii("version") != "1.0":
        raise Refusal("isv.invalid-parameter", "version参数无效")


def _decoded(asked: Asked) -> dict[str, str]:
    try:
        return {name: value.decode(asked.charset) for name, value in asked.raw.items()}
    except UnicodeDecodeError:
        raise Refusal("isv.invalid-charset", "参数编码与charset不一致") from None


def _check_time(parameters: Mapping[str, str], world: World) -> None:
    sent = parse_moment(parameters["timestamp"])
    if sent is None or abs(world.now() - sent) > TOLERANCE:
        raise Refusal("isv.invalid-timestamp", "非法的时间戳参数")


def _keys(parameters: Mapping[str, str], world: World) -> list[RsaPublicKey]:
    """The keys that may have signed: the certificate's that the request names, else the application's own."""
    serial, root = parameters.get("app_cert_sn", ""), parameters.get("alipay_root_cert_sn", "")
    if not serial:
        if root:
            raise Refusal("isv.missing-app-cert-sn", "缺少应用公钥证书SN")
        return world.keys.app_keys()
    found = world.keys.app_key(serial)
    if found is None:
        raise Refusal("isv.app-cert-not-exist", "应用公钥证书不存在")
    key, certificate, state = found
    if state == "void" or not certificate.valid_at(world.now()):
        raise Refusal("isv.app-cert-expired", "应用公钥证书已失效")
    if root != world.keys.root_serial():
        raise Refusal("isv.invalid-alipay-root-cert-sn", "支付宝根证书SN无效")
    return [key]


def _content(parameters: Mapping[str, str], world: World, *, charset: str) -> dict[str, Any]:
    kind, text = parameters.get("encrypt_type", ""), parameters.get("biz_content", "")
    if kind not in {"", "AES"}:
        raise Refusal("isv.invalid-encrypt-type", "不支持的加密类型")
    if kind and text:
        text = unsealed(text, world=world).decode(charset, "replace")
    elif text and not text.lstrip().startswith("{") and not kind:
        raise Refusal("isv.decryption-error-missing-encrypt-type", "解密出错，未指定加密算法")
    return parsed(text)


def unsealed(ciphertext: str, *, world: World) -> bytes:
    """The plaintext under one of the application's content keys. Raises ``Refusal``."""
    for key in world.keys.content_keys():
        try:
            return opened(ciphertext, key=key)
        except Unreadable:
            continue
    raise Refusal("isv.decryption-error-unknown", "解密出错", code="40002")


def parsed(text: str) -> dict[str, Any]:
    """Business content from its JSON text. Raises ``Refusal``."""
    try:
        found = json.loads(text or "{}", parse_constant=_no_constant)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refusal("isv.invalid-parameter", "biz_content不是合法的JSON")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _body_pairs(request: Received) -> list[tuple[str, bytes]]:
    media = (request.header("Content-Type") or "").encode("latin-1", "replace")
    if not request.content:
        return []
    if media.lower().startswith(b"multipart/form-data"):
        found = _BOUNDARY.search(media)
        return _parts(request.content, found[1].strip()) if found else []
    return _pairs(request.content)


def _pairs(raw: bytes) -> list[tuple[str, bytes]]:
    found = []
    for pair in raw.split(b"&"):
        name, equals, value = pair.partition(b"=")
        if name and equals:
            key = unquote_to_bytes(name.replace(b"+", b" ")).decode("ascii", "replace")
            found.append((key, unquote_to_bytes(value.replace(b"+", b" "))))
    return found


def _parts(raw: bytes, boundary: bytes) -> list[tuple[str, bytes]]:
    """The text fields of a multipart form; files are never signed (sheet §1.3)."""
    found = []
    for part in raw.split(b"--" + boundary)[1:]:
        head, blank, body = part.partition(b"\r\n\r\n")
        named = _NAME.search(head)
        if blank and named and b"filename=" not in head:
            found.append((named[1].decode("ascii", "replace"), body.removesuffix(b"\r\n")))
    return found
