"""ICBC's envelope (sheet §4): RSA over ``path?sorted parameters``, replies signed over their exact text.

The envelope is the bank's, seen in public clients; the coupon API inside it (``/api/unicom/coupon/…/V1``) and the
SM4 encryption of its sensitive fields are this project's. A reply is signed with SHA-1 by the bank even when the
request was RSA2, so both are accepted; a request of ours is always SHA-256.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from unicom_coupon_adapters.bank.envelopes.base import PLATFORM, Reply, compact, json_object, seal_fields
from unicom_coupon_adapters.bank.messages import Call
from unicom_coupon_sdk.crypto.providers import Signer
from unicom_coupon_sdk.crypto.rsa import RsaPublicKey
from unicom_coupon_sdk.crypto.sm2 import Sm2PublicKey
from unicom_coupon_sdk.domain.events import Acknowledgement
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import CouponError, ForgedMessage, UnsupportedOperation
from unicom_coupon_sdk.platform.wire import HttpRequest

NAMES: Mapping[str, str] = {
    "merId": "mer_id",
    "orderId": "out_trade_no",
    "txnAmt": "order_amt",
    "txnTime": "orig_date_time",
    "tradeState": "status",
}
"""BCG names and ICBC's (sheet §4, the profile mapping)."""

_OURS = {theirs: ours for ours, theirs in NAMES.items()}
_STATES = {"1": "S", "2": "F", "3": "P", "4": "R"}
_DECODER = json.JSONDecoder()
_UNKNOWN_CODES = frozenset({"-500041", "-500042", "-500044", "-500099"})
_BUSY_CODES = frozenset({"500031", "500032"})


@dataclass(frozen=True, slots=True)
class IcbcEnvelope:
    """Keys and names of one merchant at ICBC."""

    base_url: str
    app_id: str
    signer: Signer
    bank_rsa: RsaPublicKey
    bank_keys: tuple[Sm2PublicKey, ...]
    bank: str = "icbc"
    entropy_bytes: int = 32

    def build(self, call: Call, *, now: datetime, entropy: bytes) -> HttpRequest:
        """The signed form. ``entropy`` is the SM4 key of sensitive fields and the message number.

        Raises ``UnsupportedOperation`` for the payment side, which this envelope does not carry.
        """
        if not call.api.path.startswith("coupon/"):
            raise UnsupportedOperation("platform.unsupported", platform=PLATFORM, operation=call.api.name)
        path = path_of(call.api.path)
        biz, sealed_key = seal_fields(call, key=entropy[:16], bank_key=self.bank_keys[0])
        if sealed_key is not None:
            biz["encryptKey"] = sealed_key
        params = {
            "app_id": self.app_id,
            "msg_id": entropy[16:].hex(),
            "format": "json",
            "charset": "UTF-8",
            "sign_type": "RSA2",
            "timestamp": now.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S"),
            "biz_content": compact({NAMES.get(name, name): value for name, value in biz.items()}),
        }
        params["sign"] = b64encode(self.signer.sign_sha256(request_text(path, params).encode())).decode()
        headers = (
            ("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8"),
            ("Accept", "application/json"),
            ("APIGW-VERSION", "v2_20170324"),
        )
        return HttpRequest("POST", self.base_url.rstrip("/") + path, headers, urlencode(params).encode())

    def read_reply(self, content: bytes) -> Reply:
        """The verified reply. Raises ``ForgedMessage``."""
        text = reply_text(content)
        sign = json_object(content).get("sign")
        if not isinstance(sign, str) or not self._is_signed(text, sign):
            raise ForgedMessage("bank.signature", platform=PLATFORM)
        told = json_object(text)
        biz = ours(told)
        code = str(told.get("return_code", ""))
        if code == "0":
            return Reply(biz)
        named = biz.get("errCode")
        return Reply(biz, error_code=_error(code, named if isinstance(named, str) else None), is_understood=bool(named))

    def read_notification(self, body: bytes) -> Mapping[str, Any]:
        """The business fields of a form notice: signed over ``api?sorted parameters``. Raises ``ForgedMessage``."""
        try:
            params = dict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, strict_parsing=True))
        except (UnicodeDecodeError, ValueError):
            raise ForgedMessage("bank.message_malformed", platform=PLATFORM) from None
        sign = params.pop("sign", "")
        if not self._is_signed(request_text(params.get("api", ""), params), sign):
            raise ForgedMessage("bank.signature", platform=PLATFORM)
        return ours(json_object(params.get("biz_content", "")))

    def acknowledge(self, error: CouponError | None) -> Acknowledgement:
        """``response_biz_content`` signed over its text with the names around it (sheet §4)."""
        told = {"return_code": 0 if error is None else -1, "return_msg": "" if error is None else error.code}
        inner = f'"response_biz_content":{compact(told)},"sign_type":"RSA2"'
        sign = b64encode(self.signer.sign_sha256(inner.encode())).decode()
        content = f'{{{inner},"sign":"{sign}"}}'.encode()
        return Acknowledgement(
            status=200, headers=(("Content-Type", "application/json;charset=UTF-8"),), content=content
        )

    def _is_signed(self, text: str, sign: str) -> bool:
        try:
            signature = b64decode(sign, validate=True)
        except (BadBase64, ValueError):
            return False
        return self.bank_rsa.verify_sha256(signature, text.encode()) or self.bank_rsa.verify_sha1(
            signature, text.encode()
        )


def path_of(api_path: str) -> str:
    """Our coupon API in this envelope: ``/api/unicom/coupon/redeem/V1``."""
    return f"/api/unicom/{api_path}/V1"


def request_text(path: str, params: Mapping[str, str]) -> str:
    """``path?`` and the sorted parameters, empty ones and ``sign`` left out."""
    pairs = (f"{name}={params[name]}" for name in sorted(params) if name != "sign" and params[name])
    return f"{path}?{'&'.join(pairs)}"


def reply_text(content: bytes) -> str:
    """The text of ``response_biz_content``, byte for byte as received. Raises ``ForgedMessage``."""
    try:
        text = content.decode("utf-8")
        name = '"response_biz_content"'
        start = text.index(name) + len(name)
        while text[start] in " \t\r\n:":
            start += 1
        value, end = _DECODER.raw_decode(text, start)
    except (UnicodeDecodeError, ValueError, IndexError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ForgedMessage("bank.message_malformed", platform=PLATFORM)
    return text[start:end]


def ours(biz: Mapping[str, Any]) -> dict[str, Any]:
    """The fields in BCG names; states as letters."""
    named = {_OURS.get(name, name): value for name, value in biz.items()}
    if isinstance(named.get("tradeState"), str):
        named["tradeState"] = _STATES.get(named["tradeState"], named["tradeState"])
    return named


def _error(code: str, named: str | None) -> str:
    """Negative codes are the gateway's own failures: what happened behind it is not known (sheet §4)."""
    if named is not None:
        return named
    if code in _BUSY_CODES:
        return "OPERATING_FREQUENTLY"
    if code.startswith("-") or code in _UNKNOWN_CODES:
        return "SYSTERM_ERROR"
    return "SIGN_ERROR" if code == "400017" else f"ICBC_{code}"
