"""PKCS#12 files (``.pfx``, ``.p12``): a private key and its certificate under one password."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from weakref import WeakValueDictionary

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, pkcs12

from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.material import Kind
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey
from unicom_coupon_sdk.errors import ConfigurationError

_SEQUENCE = b"\x30"
_HEAD = re.compile(rb"\x30(?:\x80|\x82..|\x83...)\x02\x01\x03", re.DOTALL)
"""A SEQUENCE, of definite length or not, that begins with version 3 (RFC 7292)."""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class KeyAndCertificate:
    """What one PKCS#12 file holds. Further certificates in it are left alone."""

    key: RsaPrivateKey
    certificate: Certificate


_in_use: WeakValueDictionary[bytes, KeyAndCertificate] = WeakValueDictionary()
"""Files that somebody in this process holds open, by digest: as ``rsa`` does for keys, and for the same reason."""


def load(material: bytes, *, password: str, field: str) -> KeyAndCertificate:
    """The RSA key and certificate in a PKCS#12 file, DER or base64; ``field`` is the setting's name for errors.

    Raises ``ConfigurationError``: ``key.not_pkcs12``, ``key.password`` (wrong), ``key.pkcs12_cipher`` (an old cipher
    that this OpenSSL lacks), ``key.pkcs12_parts``, ``key.not_rsa``, ``key.too_short``.
    """
    digest = hashlib.sha256(hashlib.sha256(password.encode()).digest() + material).digest()
    known = _in_use.get(digest)
    if known is not None:
        return known
    return _in_use.setdefault(digest, _opened(material, password=password, field=field))


def _opened(material: bytes, *, password: str, field: str) -> KeyAndCertificate:
    try:
        key, certificate, _ = pkcs12.load_key_and_certificates(_file(material, field=field), password.encode())
    except UnsupportedAlgorithm:
        raise ConfigurationError("key.pkcs12_cipher", field=field) from None
    except ValueError:  # the library says the same of a wrong password and of damage further in
        raise ConfigurationError("key.password", field=field) from None
    if key is None or certificate is None:
        raise ConfigurationError("key.pkcs12_parts", field=field, missing="certificate" if key else "private key")
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(
            "key.not_rsa", field=field, found=Kind.OTHER_PRIVATE.value, wanted=Kind.RSA_PRIVATE.value
        )
    own = Certificate.load(certificate.public_bytes(Encoding.DER), field=field)
    return KeyAndCertificate(RsaPrivateKey.of(key, field=field), own)


def _file(material: bytes, *, field: str) -> bytes:
    """The file's bytes: ``material`` itself or out of its base64, when it begins as a PKCS#12 file does."""
    try:
        content = material if material[:1] == _SEQUENCE else base64.b64decode(b"".join(material.split()), validate=True)
    except binascii.Error:
        content = b""
    if not _HEAD.match(content):
        raise ConfigurationError("key.not_pkcs12", field=field)
    return content
