"""Key material as operators paste it: told apart by what it is, before anything is done with it.

Consoles hand keys out as PEM, as naked base64 on one line, or as DER; secret stores flatten line ends to a backslash
and an n. Most support threads about a "wrong signature" are a certificate where a key belongs, or a public key where
the private one does. So material is first classified, and an error names the setting and what was found in it, never
its bytes.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from enum import StrEnum

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

from unicom_coupon_sdk.errors import ConfigurationError

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_LARGEST = 1 << 20


class Kind(StrEnum):
    """What a piece of key material is."""

    RSA_PRIVATE = "an RSA private key"
    RSA_PUBLIC = "an RSA public key"
    OTHER_PRIVATE = "a private key of another kind (EC, SM2, Ed25519)"
    OTHER_PUBLIC = "a public key of another kind (EC, SM2, Ed25519)"
    CERTIFICATE = "a certificate"
    REQUEST = "a certificate request"


@dataclass(frozen=True, slots=True, repr=False)
class Material:
    """Material that was read: its kind, its DER, and the key or certificate where the library knows the algorithm."""

    kind: Kind
    der: bytes
    loaded: PrivateKeyTypes | PublicKeyTypes | x509.Certificate | None


def to_der(material: bytes, *, field: str) -> tuple[bytes, str]:
    """The DER bytes inside PEM, DER or naked base64, and the PEM label (empty without one).

    Raises ``ConfigurationError`` ``key.unreadable`` naming ``field``.
    """
    if not isinstance(material, bytes) or not 0 < len(material) <= _LARGEST:
        raise ConfigurationError("key.unreadable", field=field)
    if material[:1] == b"\x30" and _fills(material):
        return material, ""
    text = material.removeprefix(b"\xef\xbb\xbf").replace(b"\\r", b"").replace(b"\\n", b"\n").strip()
    label, body = "", text
    blocks = (found for found in _PEM.finditer(text) if not found.group(1).endswith(b"PARAMETERS"))
    block = next(blocks, None)
    if block is not None:
        label, body = block.group(1).decode(), block.group(2)
    elif b"-----" in text:
        raise ConfigurationError("key.unreadable", field=field)
    try:
        der = base64.b64decode(b"".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError("key.unreadable", field=field) from None
    if not _fills(der):
        raise ConfigurationError("key.unreadable", field=field)
    return der, label


def pem_blocks(material: bytes, *, label: str) -> list[bytes]:
    """Every PEM block with ``label``, in file order, as PEM with line ends restored."""
    text = material.removeprefix(b"\xef\xbb\xbf").replace(b"\\r", b"").replace(b"\\n", b"\n")
    return [block.group(0) for block in _PEM.finditer(text) if block.group(1).decode() == label]


def read(material: bytes, *, field: str, password: bytes | None = None) -> Material:
    """``material`` classified and loaded.

    Raises ``ConfigurationError``: ``key.unreadable``, or ``key.password`` where the key is encrypted and the password
    is absent or wrong.
    """
    if isinstance(material, bytes) and (b"ENCRYPTED" in material or password is not None):
        return _encrypted(material, field=field, password=password)
    der, _ = to_der(material, field=field)
    try:
        for attempt in (_private, _public, _certificate, _request):
            found = attempt(der)
            if found is not None:
                return found
    except TypeError:  # the library's word for: encrypted, and no password was given
        raise ConfigurationError("key.password", field=field) from None
    raise ConfigurationError("key.unreadable", field=field)


def _encrypted(material: bytes, *, field: str, password: bytes | None) -> Material:
    text = material.removeprefix(b"\xef\xbb\xbf").replace(b"\\n", b"\n").strip()
    load = serialization.load_pem_private_key if b"-----BEGIN" in text else serialization.load_der_private_key
    try:
        key = load(text if b"-----BEGIN" in text else to_der(material, field=field)[0], password)
    except UnsupportedAlgorithm:
        raise ConfigurationError("key.not_rsa", field=field, found=Kind.OTHER_PRIVATE.value) from None
    except TypeError:
        if password is None:
            raise ConfigurationError("key.password", field=field) from None
        return read(material, field=field)  # a password was given, the key needs none
    except ValueError:
        raise ConfigurationError("key.password", field=field) from None
    der = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Material(Kind.RSA_PRIVATE if isinstance(key, rsa.RSAPrivateKey) else Kind.OTHER_PRIVATE, der, key)


def _private(der: bytes) -> Material | None:
    try:
        key = serialization.load_der_private_key(der, None)
    except UnsupportedAlgorithm:
        return Material(Kind.OTHER_PRIVATE, der, None)
    except ValueError:
        return None
    return Material(Kind.RSA_PRIVATE if isinstance(key, rsa.RSAPrivateKey) else Kind.OTHER_PRIVATE, der, key)


def _public(der: bytes) -> Material | None:
    try:
        key = serialization.load_der_public_key(der)
    except UnsupportedAlgorithm:
        return Material(Kind.OTHER_PUBLIC, der, None)
    except ValueError:
        return None
    return Material(Kind.RSA_PUBLIC if isinstance(key, rsa.RSAPublicKey) else Kind.OTHER_PUBLIC, der, key)


def _certificate(der: bytes) -> Material | None:
    try:
        return Material(Kind.CERTIFICATE, der, x509.load_der_x509_certificate(der))
    except ValueError:
        return None


def _request(der: bytes) -> Material | None:
    try:
        x509.load_der_x509_csr(der)
    except ValueError:
        return None
    return Material(Kind.REQUEST, der, None)


def _fills(der: bytes) -> bool:
    """Whether ``der`` is one SEQUENCE and nothing more."""
    if len(der) < 2 or der[0] != 0x30:
        return False
    if der[1] < 0x80:
        return len(der) == 2 + der[1]
    size = der[1] & 0x7F
    return 0 < size <= 4 and len(der) == 2 + size + int.from_bytes(der[2 : 2 + size], "big")


def pem(der: bytes, *, label: str) -> bytes:
    """``der`` in PEM, 64 characters a line."""
    text = base64.b64encode(der)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return b"\n".join((f"-----BEGIN {label}-----".encode(), *lines, f"-----END {label}-----".encode(), b""))
