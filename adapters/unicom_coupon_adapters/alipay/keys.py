"""The keys of one application, loaded and checked once: ours to sign, Alipay's to verify, and the content key.

Most support threads about Alipay are a key in the wrong place, so what can be told apart here is told apart here, in
plain words and before anything is sent: our public key given as Alipay's, a certificate of another key, a public key
where the private one belongs (sheet §9, items 1 and 2).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

from unicom_coupon_adapters.alipay.certificates import certificate_sn, check_chain, read_bundle, root_sn
from unicom_coupon_adapters.alipay.content import ContentCipher
from unicom_coupon_adapters.alipay.settings import AlipaySettings, KeyReference, Mode
from unicom_coupon_adapters.alipay.signing import AlipayVerifier, AppSigner, SignType
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.keyring import KeyRing
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey, RsaPublicKey
from unicom_coupon_sdk.crypto.sm2 import Sm2PrivateKey, Sm2PublicKey
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage

_RSA2_ONLY = frozenset({SignType.RSA2})


class RsaVerifier:
    """Alipay's RSA key. ``accepts`` is RSA2 alone unless SHA-1 messages of an old application must still be read."""

    __slots__ = ("_accepts", "_key")

    def __init__(self, key: RsaPublicKey, *, accepts: frozenset[SignType] = _RSA2_ONLY) -> None:
        self._key = key
        self._accepts = accepts

    def verifies(self, signature: bytes, message: bytes, sign_type: SignType) -> bool:
        """Whether ``signature`` is right, by a sign type that is accepted."""
        if sign_type not in self._accepts:
            return False
        if sign_type is SignType.RSA2:
            return self._key.verify_sha256(signature, message)
        return sign_type is SignType.RSA and self._key.verify_sha1(signature, message)


class Sm2Verifier:
    """Alipay's SM2 key: SM3withSM2 with the default user id and a DER signature (§1.10)."""

    __slots__ = ("_key",)

    def __init__(self, key: Sm2PublicKey) -> None:
        self._key = key

    def verifies(self, signature: bytes, message: bytes, sign_type: SignType) -> bool:
        """Whether ``signature`` is right; false for every other sign type."""
        return sign_type is SignType.SM2 and self._key.verify(signature, message)


@dataclass(frozen=True, slots=True, repr=False)
class AppKey:
    """Our half: what signs, and the public key beside it where it is known (an HSM may keep it to itself)."""

    signer: AppSigner
    spki: bytes | None

    @property
    def fingerprint(self) -> str:
        """Enough of the public key's SHA-256 to compare it by eye with what the console shows."""
        return hashlib.sha256(self.spki).hexdigest()[:16] if self.spki else "-"


class AlipayKeys:
    """All keys of one application. Safe to share between threads; ``trust`` adds a platform certificate."""

    def __init__(
        self,
        *,
        app: AppKey,
        sign_type: SignType,
        verifiers: KeyRing[AlipayVerifier],
        app_cert_sn: str | None = None,
        alipay_root_sn: str | None = None,
        roots: tuple[Certificate, ...] = (),
        cipher: ContentCipher | None = None,
        app_auth_token: str | None = None,
    ) -> None:
        self.app = app
        self.sign_type = sign_type
        self.app_cert_sn = app_cert_sn
        self.alipay_root_sn = alipay_root_sn
        self.cipher = cipher
        self.app_auth_token = app_auth_token
        self._verifiers = verifiers
        self._roots = roots

    @classmethod
    def load(cls, settings: AlipaySettings, keys: Keys, *, signer: AppKey | None = None) -> AlipayKeys:
        """The keys that ``settings`` name. ``signer`` stands in for the private key (an HSM).

        Raises ``ConfigurationError`` naming the setting: what ``crypto`` raises for unreadable or exchanged keys,
        ``alipay.own_public_key``, ``key.not_a_pair``, ``alipay.root_bundle``, ``alipay.aes_key``.
        """
        sign_type = SignType(settings.sign_type)
        app = signer or load_app_key(settings, keys)
        ring: KeyRing[AlipayVerifier] = KeyRing()
        app_sn = bundle_sn = None
        roots: tuple[Certificate, ...] = ()
        if settings.mode is Mode.CERTIFICATE:
            app_sn = certificate_sn(load_app_certificate(settings, keys, app))
            bundle = keys.load(_given(settings.alipay_root_cert), field="alipay_root_cert")
            bundle_sn = root_sn(bundle, sm2=sign_type is SignType.SM2)
            roots = read_bundle(bundle, field="alipay_root_cert")
            for reference in settings.alipay_certs:
                certificate = Certificate.load(keys.load(reference, field="alipay_certs"), field="alipay_certs")
                _add(ring, certificate, app=app, sign_type=sign_type)
        else:
            for place, reference in enumerate(settings.alipay_public_keys, start=1):
                material = keys.load(reference, field="alipay_public_keys")
                ring.add(f"public key {place}", _verifier(material, app=app, sign_type=sign_type))
        cipher = ContentCipher(keys.text(settings.aes_key, field="aes_key")) if settings.aes_key else None
        token = keys.text(settings.app_auth_token, field="app_auth_token") if settings.app_auth_token else None
        return cls(
            app=app,
            sign_type=sign_type,
            verifiers=ring,
            app_cert_sn=app_sn,
            alipay_root_sn=bundle_sn,
            roots=roots,
            cipher=cipher,
            app_auth_token=token,
        )

    def verifiers(self, cert_sn: str | None, at: datetime) -> tuple[AlipayVerifier, ...]:
        """Which keys may have signed a message: the one it names, else all that are in force at ``at``, newest first.

        A name counts in certificate mode only (§1.6: some public-key applications get a stray one). Raises
        ``ForgedMessage``: ``message.unknown_key`` for a name that is not here (download it once, then refuse),
        ``message.key_not_in_force``.
        """
        if cert_sn is not None and self.app_cert_sn is not None:
            return (self._verifiers.find(cert_sn, at),)
        found = []
        for serial in self._verifiers.serials():
            try:
                found.append(self._verifiers.find(serial, at))
            except ForgedMessage:  # outside its dates: it verifies nothing, the others still may
                continue
        return tuple(found)

    def trust(self, content: str, *, cert_sn: str, at: datetime) -> None:
        """Take in a downloaded platform certificate: base64 of PEM, as ``alipaycert.download`` gives it.

        Raises ``ForgedMessage`` ``alipay.certificate_untrusted`` unless it bears the asked name, descends from the
        root bundle and is valid at ``at``; nothing is taken in then.
        """
        try:
            chain = Certificate.load_all(base64.b64decode(content, validate=True), field="alipay_cert_content")
        except (binascii.Error, ValueError, ConfigurationError):
            raise ForgedMessage("alipay.certificate_untrusted", platform="alipay") from None
        leaf = check_chain(chain, roots=self._roots, at=at)
        if certificate_sn(leaf) != cert_sn.lower():
            raise ForgedMessage("alipay.certificate_untrusted", platform="alipay")
        _add(self._verifiers, leaf, app=self.app, sign_type=self.sign_type)

    def __repr__(self) -> str:
        return f"AlipayKeys({self.sign_type}, {len(self._verifiers)} of Alipay's)"


def load_app_key(settings: AlipaySettings, keys: Keys) -> AppKey:
    """Our private key, RSA or SM2 by ``sign_type``. Raises ``ConfigurationError`` naming ``app_private_key``."""
    material = keys.load(settings.app_private_key, field="app_private_key")
    if settings.sign_type == SignType.SM2:
        sm2 = Sm2PrivateKey.from_pem(material, field="app_private_key")
        return AppKey(sm2.sign, sm2.public_key.der)
    rsa = RsaPrivateKey.load(material, field="app_private_key")
    return AppKey(rsa.sign_sha256, rsa.public_key.der)


def load_app_certificate(settings: AlipaySettings, keys: Keys, app: AppKey) -> Certificate:
    """Our certificate. Raises ``ConfigurationError`` ``key.not_a_pair`` when it is of another key."""
    certificate = Certificate.load(keys.load(_given(settings.app_cert), field="app_cert"), field="app_cert")
    if app.spki is not None and not hmac.compare_digest(certificate.spki, app.spki):
        raise ConfigurationError("key.not_a_pair", field="app_cert, app_private_key")
    return certificate


def _add(ring: KeyRing[AlipayVerifier], certificate: Certificate, *, app: AppKey, sign_type: SignType) -> None:
    _refuse_own(certificate.spki, app, field="alipay_certs")
    verifier: AlipayVerifier
    if sign_type is SignType.SM2:
        verifier = Sm2Verifier(Sm2PublicKey.from_der(certificate.spki, field="alipay_certs"))
    else:
        verifier = RsaVerifier(certificate.public_key)
    ring.add(certificate_sn(certificate), verifier, certificate.not_before, certificate.not_after)


def _verifier(material: bytes, *, app: AppKey, sign_type: SignType) -> AlipayVerifier:
    if sign_type is SignType.SM2:
        sm2 = Sm2PublicKey.from_pem(material, field="alipay_public_keys")
        _refuse_own(sm2.der, app, field="alipay_public_keys")
        return Sm2Verifier(sm2)
    rsa = RsaPublicKey.load(material, field="alipay_public_keys")
    _refuse_own(rsa.der, app, field="alipay_public_keys")
    return RsaVerifier(rsa)


def _refuse_own(spki: bytes, app: AppKey, *, field: str) -> None:
    if app.spki is not None and hmac.compare_digest(spki, app.spki):
        raise ConfigurationError("alipay.own_public_key", field=field, platform="alipay", fingerprint=app.fingerprint)


def _given(reference: KeyReference | None) -> KeyReference:
    assert reference is not None  # the settings' validator
    return reference
