"""Encrypted fields, opened (sheet 10.7): what came under another certificate, or cannot be opened, is refused.

A card number is looked at and forgotten; nothing of these fields is stored.
"""

from __future__ import annotations

import base64
import binascii

from unicom_coupon_adapters.unionpay_pos.emulation.acp.refusals import Refusal
from unicom_coupon_adapters.unionpay_pos.emulation.acp.world import Call
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey
from unicom_coupon_sdk.errors import ForgedMessage


def check_sealed(call: Call) -> None:
    """Nothing, when ``accNo`` and ``customerInfo`` can be opened, or there are none. Raises 10."""
    account, customer = call.text("accNo"), call.text("customerInfo")
    if not (account or customer):
        return
    key, certificate = call.world.encryption
    if call.text("encryptCertId") != certificate.serial_decimal:
        raise Refusal("10", "报文格式错误[encryptCertId]")
    if account:
        number = _opened(key, account, field="accNo")
        if not (number.isascii() and number.isdigit() and 13 <= len(number) <= 19):
            raise Refusal("10", "报文格式错误[accNo]")
    if customer:
        _check_customer(key, customer)


def _check_customer(key: RsaPrivateKey, customer: str) -> None:
    """``{k=v&…&encryptedInfo=…}`` in Base64; the encrypted part is pairs again."""
    text = _decoded(customer, field="customerInfo").decode("utf-8", "replace")
    if not (text.startswith("{") and text.endswith("}")):
        raise Refusal("10", "报文格式错误[customerInfo]")
    pairs = dict(pair.partition("=")[::2] for pair in text[1:-1].split("&"))
    sealed = pairs.get("encryptedInfo")
    if sealed is not None and "=" not in _opened(key, sealed, field="customerInfo"):
        raise Refusal("10", "报文格式错误[encryptedInfo]")


def _opened(key: RsaPrivateKey, text: str, *, field: str) -> str:
    try:
        return key.decrypt_pkcs1(_decoded(text, field=field)).decode("utf-8", "replace")
    except ForgedMessage:
        raise Refusal("10", f"报文格式错误[{field}]") from None


def _decoded(text: str, *, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refusal("10", f"报文格式错误[{field}]") from None
