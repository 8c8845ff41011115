"""Fields that travel under UnionPay's encryption certificate (sheet 10.7).

Not part of the package's public face: coupons need none of these. Only what a merchant may handle can be put in; card
verification numbers, expiry dates, PINs and tracks are refused by name.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final

from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.rsa import RsaPublicKey
from unicom_coupon_sdk.errors import ComplianceError

_MERCHANT_MAY_HOLD: Final = frozenset({"phoneNo", "smsCode", "certifTp", "certifId", "customerNm"})


class FieldEncryption:
    """Encrypts for UnionPay. ``cert_id`` goes into the request as ``encryptCertId``."""

    def __init__(self, certificate: Certificate) -> None:
        self._key: RsaPublicKey = certificate.public_key
        self.cert_id = certificate.serial_decimal

    def encrypt(self, text: str) -> str:
        """``text`` by RSA PKCS#1 v1.5, in Base64; different each time. Raises ``crypto.too_long``."""
        return base64.b64encode(self._key.encrypt_pkcs1(text.encode())).decode("ascii")

    def customer_info(self, *, plain: Mapping[str, str], secret: Mapping[str, str]) -> str:
        """The value of ``customerInfo``: ``{k=v&…&encryptedInfo=…}`` in Base64.

        Raises ``ComplianceError`` ``unionpay_pos.acp_card_data`` for a part that a merchant may not hold.
        """
        for name in (*plain, *secret):
            if name not in _MERCHANT_MAY_HOLD:
                raise ComplianceError("unionpay_pos.acp_card_data", field=name, platform="unionpay_pos")
        parts = [f"{name}={value}" for name, value in plain.items()]
        if secret:
            parts.append("encryptedInfo=" + self.encrypt("&".join(f"{name}={value}" for name, value in secret.items())))
        return base64.b64encode(f"{{{'&'.join(parts)}}}".encode()).decode("ascii")
