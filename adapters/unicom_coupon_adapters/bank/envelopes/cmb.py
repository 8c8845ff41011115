r"""China Merchants Bank's envelope (sheet §1.2 to §1.6): SM2withSM3 over sorted top-level parameters.

``biz_content`` is a JSON text and never written twice: what was serialised is what is signed and sent, and what was
received is what is verified. The bank signs a text in which ``/`` is written ``\/``; where a proxy took the
backslashes away, they are put back for one second try.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from unicom_coupon_adapters.bank.envelopes.base import (
    PLATFORM,
    Reply,
    compact,
    is_signed,
    json_object,
    seal_fields,
    signed_text,
)
from unicom_coupon_adapters.bank.messages import Call
from unicom_coupon_sdk.crypto import sm3
from unicom_coupon_sdk.crypto.sm2 import Sm2PublicKey, Sm2Signer
from unicom_coupon_sdk.domain.events import Acknowledgement
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import CouponError, ForgedMessage
from unicom_coupon_sdk.platform.wire import HttpRequest

PREFIX = "/polypay/v1.0/"
_CONSTANT = {"version": "0.0.1", "encoding": "UTF-8", "signMethod": "02"}
_DIGESTS: Mapping[str, Callable[[bytes], str]] = {
    "md5": lambda text: hashlib.md5(text, usedforsecurity=False).hexdigest(),  # the bank's rule, under an SM2 signature
    "sm3": lambda text: sm3.digest(text).hex(),
}


@dataclass(frozen=True, slots=True)
class CmbEnvelope:
    """Keys and names of one merchant at CMB. ``bank_keys`` are tried in order; fields are encrypted to the first."""

    base_url: str
    app_id: str
    app_secret: Secret
    signer: Sm2Signer
    bank_keys: tuple[Sm2PublicKey, ...]
    digest: str = "md5"
    bank: str = "cmb"
    entropy_bytes: int = 16

    def build(self, call: Call, *, now: datetime, entropy: bytes) -> HttpRequest:
        """The signed request. ``entropy`` is the SM4 key of its sensitive fields."""
        biz, sealed_key = seal_fields(call, key=entropy, bank_key=self.bank_keys[0])
        params = {**_CONSTANT, "biz_content": compact(biz)}
        if sealed_key is not None:
            params["encryptKey"] = sealed_key
        params = self.signed(params)
        timestamp = str(int(now.timestamp()))
        headers = (
            ("Content-Type", "application/json;charset=UTF-8"),
            ("Accept", "application/json"),
            ("appid", self.app_id),
            ("timestamp", timestamp),
            ("apisign", self.header_digest(params["sign"], timestamp=timestamp)),
        )
        return HttpRequest(
            "POST", self.base_url.rstrip("/") + PREFIX + call.api.path, headers, compact(params).encode()
        )

    def signed(self, params: Mapping[str, str]) -> dict[str, str]:
        """``params`` with ``sign``."""
        return {**params, "sign": b64encode(self.signer.sign(signed_text(params).encode())).decode()}

    def header_digest(self, sign: str, *, timestamp: str) -> str:
        """``apisign``: MD5 by the document; SM3 is this project's option."""
        secret = self.app_secret.reveal()
        text = f"appid={self.app_id}&secret={secret}&sign={sign}&timestamp={timestamp}"
        return _DIGESTS[self.digest](text.encode())

    def read_reply(self, content: bytes) -> Reply:
        """The verified reply, failures too.

        Raises ``ForgedMessage``: ``bank.signature``, ``bank.unsigned_failure``, ``bank.message_malformed``.
        """
        params = _texts(json_object(content))
        biz = self._verified(params)
        outcome = (params.get("returnCode"), params.get("respCode"))
        if outcome == ("SUCCESS", "SUCCESS"):
            return Reply(biz)
        code = next((found for found in (params.get("errCode"), biz.get("errCode")) if isinstance(found, str)), None)
        if code is None and outcome[1] not in {None, "SUCCESS", "FAIL"}:
            code = outcome[1]  # ORDER_PAID was documented in the place of respCode (sheet §1.12)
        return Reply(biz, error_code=code or "UNDEFINED_PRAM", is_understood=outcome[0] == "SUCCESS")

    def read_notification(self, body: bytes) -> Mapping[str, Any]:
        """The business fields of a form-encoded notice, flat or inside ``biz_content`` (sheet §1.4)."""
        params = _form(body)
        biz = self._verified(params)
        return biz if "biz_content" in params else {k: v for k, v in params.items() if k not in {*_CONSTANT, "sign"}}

    def acknowledge(self, error: CouponError | None) -> Acknowledgement:
        """JSON signed with the merchant's key. Forged news could not be read; any other error is our own failure."""
        told = {**_CONSTANT, "returnCode": "SUCCESS", "respCode": "SUCCESS"}
        if isinstance(error, ForgedMessage):
            told = {**_CONSTANT, "returnCode": "FAIL", "errCode": "SIGN_ERROR", "respMsg": error.code}
        elif error is not None:
            told = {**told, "respCode": "FAIL", "respMsg": error.code}
        content = compact(self.signed(told)).encode()
        return Acknowledgement(
            status=200, headers=(("Content-Type", "application/json;charset=UTF-8"),), content=content
        )

    def _verified(self, params: Mapping[str, str]) -> dict[str, Any]:
        sign = params.get("sign")
        if not sign:
            code = "bank.unsigned_failure" if params.get("returnCode") == "FAIL" else "bank.signature"
            raise ForgedMessage(code, platform=PLATFORM)
        if is_signed(signed_text(params), sign, keys=self.bank_keys):
            return json_object(params["biz_content"]) if "biz_content" in params else {}
        biz = params.get("biz_content", "")
        if "/" in biz and "\\/" not in biz:
            mended = {**params, "biz_content": biz.replace("/", "\\/")}
            if is_signed(signed_text(mended), sign, keys=self.bank_keys):
                return json_object(biz)
        raise ForgedMessage("bank.signature", platform=PLATFORM)


def _texts(params: Mapping[str, Any]) -> dict[str, str]:
    """Top-level values as the texts that were signed. Raises ``ForgedMessage`` for nested ones."""
    for value in params.values():
        if not isinstance(value, str):
            raise ForgedMessage("bank.message_malformed", platform=PLATFORM)
    return dict(params)


def _form(body: bytes) -> dict[str, str]:
    """Pairs split on ``&`` and the first ``=``, percent-decoded once; ``+`` is a blank, as in every HTML form."""
    found: dict[str, str] = {}
    for pair in body.split(b"&"):
        name, equals, value = pair.partition(b"=")
        try:
            key, text = _decoded(name), _decoded(value)
        except UnicodeDecodeError:
            raise ForgedMessage("bank.message_malformed", platform=PLATFORM) from None
        if not equals or key in found:  # a repeated name has no one signed value
            raise ForgedMessage("bank.message_malformed", platform=PLATFORM)
        found[key] = text
    return found


def _decoded(part: bytes) -> str:
    return unquote_to_bytes(part.replace(b"+", b" ")).decode("utf-8")
