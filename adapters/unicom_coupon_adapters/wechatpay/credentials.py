"""Keys and certificates of one merchant, loaded and checked against each other, without any network.

Most failures in the field are a key of the wrong kind in the right place (sheet 9, nos. 1, 4, 8), so each pair that
must belong together is compared here, and the error says which one is wrong and why.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from unicom_coupon_adapters.wechatpay.settings import WechatPaySettings, normal_serial
from unicom_coupon_adapters.wechatpay.signing import AnswerVerifier, MerchantKey, PlatformKey, RequestSigner
from unicom_coupon_adapters.wechatpay.suites import SUITES, Aead, PlatformCertificate, Suite
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.keyring import KeyRing
from unicom_coupon_sdk.crypto.material import Kind, pem_blocks, read
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage

APIV3_KEY_BYTES = 32


@dataclass(slots=True, repr=False)
class Credentials:
    """What signs, verifies and decrypts for one merchant. Holds key objects, never key text (but the APIv2 key)."""

    suite: Suite
    merchant_key: MerchantKey
    signer: RequestSigner
    ring: KeyRing[PlatformKey]
    verifier: AnswerVerifier
    ciphers: tuple[Aead, ...]
    public_key: tuple[str, PlatformKey] | None
    merchant_certificate: Certificate | None
    apiv2_key: Secret | None
    app_secret: Secret | None
    accepts_certificates: bool
    certificate_dates: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)

    def decrypt(self, ciphertext: bytes, *, nonce: bytes, aad: bytes) -> bytes:
        """The plaintext under the first APIv3 key that fits, newest first.

        Raises ``ForgedMessage`` (``wechatpay.undecryptable``) when none does.
        """
        for cipher in self.ciphers:
            try:
                return cipher.decrypt(ciphertext, nonce=nonce, aad=aad)
            except ForgedMessage:
                continue  # an older key may still fit: callbacks outlive a key change
        raise ForgedMessage("wechatpay.undecryptable", platform="wechatpay", keys=len(self.ciphers))

    def encryption_key(self, now: datetime) -> tuple[str, PlatformKey] | None:
        """Serial and key for fields sent at ``now``: the public key, else the certificate that began last.

        The serial is what ``Wechatpay-Serial`` of the request must say; it also chooses the key of the answer.
        """
        if self.public_key is not None:
            return self.public_key
        try:
            newest = self.ring.newest(now)
        except ForgedMessage:
            return None  # certificate mode before its first download
        return newest.serial, newest.verifier

    def add_certificate(self, certificate: PlatformCertificate) -> None:
        """Take a platform certificate in beside those that are there; they stay until their dates end."""
        self.ring.add(certificate.serial, certificate.key, certificate.not_before, certificate.not_after)
        self.certificate_dates[certificate.serial] = (certificate.not_before, certificate.not_after)


def load_credentials(settings: WechatPaySettings, keys: Keys) -> Credentials:
    """All keys that ``settings`` names. Raises ``ConfigurationError`` that names the setting and what is wrong."""
    suite = SUITES[settings.signing]
    private = keys.load(settings.merchant_private_key, field="merchant_private_key")
    merchant_key = suite.merchant_key(private, "merchant_private_key")
    certificate = _merchant_certificate(settings, keys)
    serial = _checked_serial(settings, certificate)
    if certificate is not None and not suite.is_pair(merchant_key, certificate):
        raise _wrong("wechatpay.key_not_of_certificate", field="merchant_private_key", serial=certificate.serial)
    ring: KeyRing[PlatformKey] = KeyRing()
    made = Credentials(
        suite=suite,
        merchant_key=merchant_key,
        signer=RequestSigner(merchant_key.sign, caller=settings.mchid, serial=serial, scheme=suite.scheme),
        ring=ring,
        verifier=AnswerVerifier(ring, scheme=suite.scheme),
        ciphers=_ciphers(settings, keys, suite),
        public_key=_public_key(settings, keys, suite, merchant_key),
        merchant_certificate=certificate,
        apiv2_key=_text(settings.apiv2_key, keys, field="apiv2_key"),
        app_secret=_text(settings.app_secret, keys, field="app_secret"),
        accepts_certificates=settings.mode != "public_key",
    )
    if made.public_key is not None:
        ring.add(*made.public_key)
    if made.accepts_certificates:
        for reference in settings.platform_certificates:
            _add_platform_certificates(made, keys.load(reference, field="platform_certificates"), own_serial=serial)
    return made


def _merchant_certificate(settings: WechatPaySettings, keys: Keys) -> Certificate | None:
    if settings.merchant_cert is None:
        return None
    return Certificate.load(keys.load(settings.merchant_cert, field="merchant_cert"), field="merchant_cert")


def _checked_serial(settings: WechatPaySettings, certificate: Certificate | None) -> str:
    """The merchant's serial. A short decimal one looks like hex and is told only by its certificate."""
    given = settings.merchant_serial
    if certificate is None:
        return given
    if given == certificate.serial_decimal or _same(given, certificate.serial):
        return certificate.serial
    raise _wrong(
        "wechatpay.serial_not_of_certificate", field="merchant_serial", given=given, certificate=certificate.serial
    )


def _ciphers(settings: WechatPaySettings, keys: Keys, suite: Suite) -> tuple[Aead, ...]:
    ciphers = []
    for position, reference in enumerate(settings.apiv3_keys):
        name = f"apiv3_keys[{position}]"
        key = keys.text(reference, field=name).encode()
        if len(key) != APIV3_KEY_BYTES:
            raise _wrong("wechatpay.apiv3_key_length", field=name, length=len(key), wanted=APIV3_KEY_BYTES)
        ciphers.append(suite.cipher(key, name))
    return tuple(ciphers)


def _public_key(
    settings: WechatPaySettings, keys: Keys, suite: Suite, merchant_key: MerchantKey
) -> tuple[str, PlatformKey] | None:
    if (
        settings.platform_public_key is None
        or settings.platform_public_key_id is None
        or settings.mode == "certificate"
    ):
        return None
    material = keys.load(settings.platform_public_key, field="platform_public_key")
    key = suite.platform_key(material, "platform_public_key")
    sample = b"Is this our own public key?"
    if key.verify(merchant_key.sign(sample), sample):
        raise _wrong("wechatpay.own_public_key", field="platform_public_key")
    return settings.platform_public_key_id, key


def _add_platform_certificates(made: Credentials, material: bytes, *, own_serial: str) -> None:
    field_name = "platform_certificates"
    for block in pem_blocks(material, label="CERTIFICATE") or [material]:
        if read(block, field=field_name).kind is not Kind.CERTIFICATE:
            raise _wrong("wechatpay.platform_certificate_kind", field=field_name)
        certificate = made.suite.platform_certificate(block, field_name)
        if _same(certificate.serial, own_serial):
            raise _wrong("wechatpay.merchant_certificate_as_platform", field=field_name, serial=certificate.serial)
        made.add_certificate(certificate)


def _same(first: str, second: str) -> bool:
    left, right = (normal_serial(serial, field="serial").lstrip("0") for serial in (first, second))
    return hmac.compare_digest(left, right)


def _text(reference: str | Secret | None, keys: Keys, *, field: str) -> Secret | None:
    return None if reference is None else Secret(keys.text(reference, field=field))


def _wrong(code: str, *, field: str, **details: Any) -> ConfigurationError:
    return ConfigurationError(code, field=field, platform="wechatpay", **details)
