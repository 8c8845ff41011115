"""The two sets of algorithms that can stand behind APIv3's signatures: RSA with AES, and the Chinese SM algorithms.

A suite turns key material into things that sign, verify and decrypt; nothing else in the adapter knows an algorithm.
The SM engine is loaded only when the SM suite is used (sheet 1.9), so that a machine without one serves RSA merchants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from unicom_coupon_adapters.wechatpay.signing import RSA_SCHEME, SM_SCHEME, MerchantKey, PlatformKey
from unicom_coupon_sdk.crypto.aead import AesGcm
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey, RsaPublicKey


class Aead(Protocol):
    """Authenticated decryption under one key."""

    def decrypt(self, ciphertext: bytes, *, nonce: bytes, aad: bytes = b"") -> bytes:
        """The plaintext. Raises ``ForgedMessage`` (``message.undecryptable``)."""
        ...


@dataclass(frozen=True, slots=True)
class PlatformCertificate:
    """A platform certificate: serial, dates, and its key."""

    serial: str
    not_before: datetime
    not_after: datetime
    key: PlatformKey


@dataclass(frozen=True, slots=True)
class Suite:
    """One set of algorithms. The functions take material and the setting's name for errors (``ConfigurationError``)."""

    name: str
    scheme: str
    certificate_algorithm: str
    aead_name: str
    merchant_key: Callable[[bytes, str], MerchantKey]
    platform_key: Callable[[bytes, str], PlatformKey]
    certificate_key: Callable[[Certificate], PlatformKey]
    cipher: Callable[[bytes, str], Aead]

    def platform_certificate(self, material: bytes, field: str) -> PlatformCertificate:
        """A certificate with the key inside it. Raises ``ConfigurationError``."""
        certificate = Certificate.load(material, field=field)
        return PlatformCertificate(
            certificate.serial, certificate.not_before, certificate.not_after, self.certificate_key(certificate)
        )

    def is_pair(self, key: MerchantKey, certificate: Certificate) -> bool:
        """Whether ``key`` is the private half of ``certificate``: what it signs, the certificate verifies."""
        sample = b"pair"
        return self.certificate_key(certificate).verify(key.sign(sample), sample)


def _rsa_merchant_key(material: bytes, field: str) -> MerchantKey:
    key = RsaPrivateKey.load(material, field=field)
    return MerchantKey(sign=key.sign_sha256, decrypt_field=key.decrypt_oaep_sha1)


def _rsa_platform_key(material: bytes, field: str) -> PlatformKey:
    return _of_rsa(RsaPublicKey.load(material, field=field))


def _of_rsa(key: RsaPublicKey) -> PlatformKey:
    return PlatformKey(verify=key.verify_sha256, encrypt_field=key.encrypt_oaep_sha1)


def _aes(key: bytes, field: str) -> Aead:
    return AesGcm(key, field=field)


RSA = Suite(
    name="rsa",
    scheme=RSA_SCHEME,
    certificate_algorithm="RSA",
    aead_name="AEAD_AES_256_GCM",
    merchant_key=_rsa_merchant_key,
    platform_key=_rsa_platform_key,
    certificate_key=lambda certificate: _of_rsa(certificate.public_key),
    cipher=_aes,
)
"""SHA256-RSA2048 with AES-256-GCM and OAEP: all merchants."""


def _sm_merchant_key(material: bytes, field: str) -> MerchantKey:
    from unicom_coupon_sdk.crypto.sm2 import Sm2PrivateKey

    key = Sm2PrivateKey.from_pem(material, field=field)
    return MerchantKey(sign=key.sign, decrypt_field=key.decrypt)


def _sm_platform_key(material: bytes, field: str) -> PlatformKey:
    from unicom_coupon_sdk.crypto.sm2 import Sm2PublicKey

    key = Sm2PublicKey.from_pem(material, field=field)
    return PlatformKey(verify=key.verify, encrypt_field=key.encrypt)


def _sm_certificate_key(certificate: Certificate) -> PlatformKey:
    return _sm_platform_key(certificate.spki, "platform_certificates")


def _sm4(key: bytes, field: str) -> Aead:
    """The cipher's key is the first 16 bytes of SM3 over the APIv3 key (sheet 1.9)."""
    from unicom_coupon_sdk.crypto import sm3
    from unicom_coupon_sdk.crypto.sm4 import Sm4Gcm

    return Sm4Gcm(sm3.digest(key)[:16], field=field)


SM = Suite(
    name="sm",
    scheme=SM_SCHEME,
    certificate_algorithm="SM2",
    aead_name="AEAD_SM4_GCM",
    merchant_key=_sm_merchant_key,
    platform_key=_sm_platform_key,
    certificate_key=_sm_certificate_key,
    cipher=_sm4,
)
"""SM2 with SM3 and SM4-GCM: merchants who asked WeChat Pay for it. DER signatures, user id ``1234567812345678``."""

SUITES = {"rsa": RSA, "sm": SM}
