"""The gateway's side of the wire: forms in, signed lines out, notices, and their faults (sheet 10.1, 10.2, 10.6).

Written from the sheet, apart from the adapter's: a mistake made in one shows in the other. Version 5.1.0 with
``signMethod`` 01 only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote_plus, unquote_to_bytes

from unicom_coupon_adapters.unionpay_pos.emulation.acp.certificates import STRANGER
from unicom_coupon_adapters.unionpay_pos.emulation.acp.refusals import Refusal
from unicom_coupon_adapters.unionpay_pos.emulation.acp.world import MER_ID, Call, World
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Received

_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_ANSWER_HEADERS: Final[Headers] = (("Content-Type", "text/html;charset=UTF-8"),)
_NOTICE_HEADERS: Final[Headers] = (("Content-Type", f"{_FORM_TYPE}; charset=UTF-8"),)
_STALE: Final = timedelta(minutes=6)
_MOST_FIELDS: Final = 100


def form_of(request: Received) -> dict[str, str] | None:
    """The fields of a request's form; ``None`` when it is none, or names a field twice."""
    kind = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
    return None if kind != _FORM_TYPE else _form(request.content)


def verified(world: World, fields: Mapping[str, str]) -> Call:
    """The request, once its signature was found right. Raises ``Refusal``: 10, 11, 13, 31."""
    for name in ("version", "encoding", "signMethod", "certId", "signature", "merId"):
        if not fields.get(name):
            raise Refusal("13", f"报文交易要素缺失[{name}]")
    if (fields["version"], fields["encoding"].upper(), fields["signMethod"]) != ("5.1.0", "UTF-8", "01"):
        raise Refusal("10", "报文格式错误[version encoding signMethod]")
    certificate = world.certificates.merchant
    if fields["certId"] != certificate.serial_decimal or not certificate.valid_at(world.now()):
        raise Refusal("11")
    try:
        signature = base64.b64decode(fields["signature"], validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("11") from None
    if not certificate.public_key.verify_sha256(signature, _digest(fields)):
        raise Refusal("11")
    if fields["merId"] != MER_ID:
        raise Refusal("31")
    return Call(world, {name: value for name, value in fields.items() if value})


def answer(world: World, fields: Mapping[str, str]) -> HttpAnswer:
    """The synchronous answer: one line of raw pairs. A value with a bare ``&`` cannot travel there and is left out."""
    told = {name: value for name, value in fields.items() if value and ("&" not in value or value[0] in "{[")}
    key, certificate = world.signing
    return HttpAnswer(200, _ANSWER_HEADERS, _line(_signed(told, key, certificate)))


def notice(world: World, fields: Mapping[str, str]) -> tuple[str, Headers, bytes]:
    """The notice: an ordinary form, signed now."""
    key, certificate = world.signing
    told = {name: value for name, value in fields.items() if value}
    return "POST", _NOTICE_HEADERS, _encoded(_signed(told, key, certificate))


def spoiled(world: World, kind: str, found: HttpAnswer) -> HttpAnswer:
    """An answer or notice with its signature spoiled; whatever has none comes back as it is.

    ``wrong_serial`` is signed, rightly, by somebody else's certificate under the same authority. An answer has no time
    of its own, so ``stale_timestamp`` is a rightly signed answer about a transaction of six minutes earlier.
    """
    is_notice = dict(found.headers).get("Content-Type", "").startswith(_FORM_TYPE)
    fields = _form(found.content) if is_notice else _pairs(found.content)
    if not fields or "signature" not in fields:
        return found
    key, certificate = world.signing
    told = {name: value for name, value in fields.items() if name not in {"signature", "signPubKeyCert"}}
    if kind == "bad_signature" or (kind == "stale_timestamp" and "txnTime" not in told):
        signature = bytearray(base64.b64decode(fields["signature"]))
        signature[0] ^= 0x01
        spoilt = {**fields, "signature": base64.b64encode(bytes(signature)).decode()}
    elif kind == "wrong_serial":
        stranger = world.certificates.key(STRANGER), world.certificates.certificate(STRANGER)
        spoilt = _signed(told, *stranger)
    else:
        earlier = datetime.strptime(told["txnTime"], "%Y%m%d%H%M%S") - _STALE  # noqa: DTZ007 - arithmetic alone
        spoilt = _signed({**told, "txnTime": f"{earlier:%Y%m%d%H%M%S}"}, key, certificate)
    return HttpAnswer(found.status, found.headers, _encoded(spoilt) if is_notice else _line(spoilt))


def _signed(fields: Mapping[str, str], key: RsaPrivateKey, certificate: Certificate) -> dict[str, str]:
    told = {**fields, "signPubKeyCert": certificate.pem.decode().strip()}
    return {**told, "signature": base64.b64encode(key.sign_sha256(_digest(told))).decode()}


def _digest(fields: Mapping[str, str]) -> bytes:
    """The hex digest that is signed: of the pairs in the order of their names, as they are, without ``signature``."""
    joined = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name != "signature" and fields[name])
    return hashlib.sha256(joined.encode()).hexdigest().encode("ascii")


def _line(fields: Mapping[str, str]) -> bytes:
    return "&".join(f"{name}={fields[name]}" for name in sorted(fields)).encode()


def _encoded(fields: Mapping[str, str]) -> bytes:
    return "&".join(f"{name}={quote_plus(fields[name])}" for name in sorted(fields)).encode("ascii")


def _form(content: bytes) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for pair in content.split(b"&"):
        name, equals, value = pair.partition(b"=")
        try:
            key, text = (unquote_to_bytes(part.replace(b"+", b" ")).decode() for part in (name, value))
        except UnicodeDecodeError:
            return None
        if not equals or not key or key in found or len(found) == _MOST_FIELDS:
            return None
        found[key] = text
    return found


def _pairs(content: bytes) -> dict[str, str]:
    """The pairs of our own answer line: a piece without a name of its own belongs to the value before it."""
    found: dict[str, str] = {}
    depth, last = 0, ""
    for piece in content.decode().split("&"):
        if depth == 0:
            last, _, value = piece.partition("=")
            found[last] = value
        else:
            found[last] += f"&{piece}"
        depth += sum(piece.count(mark) for mark in "{[") - sum(piece.count(mark) for mark in "}]")
    return found
