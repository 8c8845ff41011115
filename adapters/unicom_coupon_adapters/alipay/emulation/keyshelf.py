"""Key pairs, certificates and secrets on disk, made at first use and kept.

Private keys are PKCS#8, public keys SPKI, certificates X.509, all PEM; all readable by the owner only. Making an RSA
key takes a tenth of a second, so folders in the machine's temporary directory (in-process sandboxes, thousands of
simulated worlds) share one set of key pairs for the life of the process. Folders elsewhere get their own.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey

_BEFORE: Final = timedelta(days=2 * 365)
_LASTING: Final = timedelta(days=10 * 365)
_PREFIX: Final = "alipay_"
AUTHORITY: Final = "root_1"
_ROOTS: Final = (AUTHORITY, "root_ec", "root_2")
"""The bundle, in file order: the root that signs, one on an elliptic curve (no part of the number), another."""


@dataclass(frozen=True)
class KeyPair:
    """A key pair with the files it lives in."""

    private_pem: bytes
    private_file: Path
    public_file: Path

    @cached_property
    def private(self) -> RsaPrivateKey:
        """The RSA private key, loaded once a process whatever the folder."""
        return _loaded(self.private_pem)


@dataclass(frozen=True)
class KeyShelf:
    """The folder of one emulator. ``random_bytes`` is the frame's; ``now`` dates new certificates."""

    directory: Path
    now: Callable[[], datetime]
    random_bytes: Callable[[int], bytes]

    def pair(self, name: str) -> KeyPair:
        """The pair called ``name``, made if there is none. A name that ends in ``_ec`` is on the curve P-256."""
        private_file = self.directory / f"{_PREFIX}{name}_key.pem"
        public_file = self.directory / f"{_PREFIX}{name}_public_key.pem"
        if private_file.exists():
            pem = private_file.read_bytes()
        else:
            pem = _shared_pem(name) if self._is_temporary else _new_pem(name)
            _write(private_file, pem)
        if not public_file.exists():
            _write(public_file, _public_pem(pem))
        return KeyPair(pem, private_file.absolute(), public_file.absolute())

    def certificate(self, name: str, *, common_name: str) -> tuple[Certificate, Path]:
        """The certificate over the pair called ``name``, and its file; signed by the first root if there is none.

        It is valid from two years before the simulated month in which it was made, for ten years.
        """
        file = self.directory / f"{_PREFIX}{name}_cert.pem"
        if not file.exists():
            authority = self.pair(AUTHORITY).private_pem
            _write(file, _leaf(self.pair(name).private_pem, authority, common_name, self._month - _BEFORE))
        return _parsed(file.read_bytes()), file.absolute()

    def root_bundle(self) -> tuple[tuple[Certificate, ...], Path]:
        """The root certificates and their file: PEM, a blank line between them."""
        file = self.directory / f"{_PREFIX}root_cert.pem"
        if not file.exists():
            roots = [_root(self.pair(name).private_pem, name, self._month - _BEFORE) for name in _ROOTS]
            _write(file, b"\n".join(roots))
        return _parsed_all(file.read_bytes()), file.absolute()

    def secret_file(self, name: str, *, make: Callable[[], bytes]) -> Path:
        """The file of the secret called ``name``; what ``make`` gives is written if there is none."""
        file = (self.directory / f"{_PREFIX}{name}.txt").absolute()
        if not file.exists():
            _write(file, make())
        return file

    @property
    def _month(self) -> datetime:
        return self.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)

    @cached_property
    def _is_temporary(self) -> bool:
        return self.directory.resolve().is_relative_to(Path(tempfile.gettempdir()).resolve())


def _new_pem(name: str) -> bytes:
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    if name.endswith("_ec"):
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@lru_cache(maxsize=64)
def _shared_pem(name: str) -> bytes:
    """One pair a name for the whole process."""
    return _new_pem(name)


@lru_cache(maxsize=256)
def _loaded(pem: bytes) -> RsaPrivateKey:
    return RsaPrivateKey.load(pem, field="emulator key")


@lru_cache(maxsize=256)
def _parsed(pem: bytes) -> Certificate:
    return Certificate.load(pem, field="emulator certificate")


@lru_cache(maxsize=64)
def _parsed_all(pem: bytes) -> tuple[Certificate, ...]:
    return Certificate.load_all(pem, field="emulator root certificates")


@lru_cache(maxsize=256)
def _public_pem(pem: bytes) -> bytes:
    key = serialization.load_pem_private_key(pem, password=None)
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@lru_cache(maxsize=64)
def _root(pem: bytes, name: str, not_before: datetime) -> bytes:
    key = _signing_key(pem)
    subject = _root_name(name)
    return _signed(
        subject=subject, issuer=subject, key=key, authority=key, seed=pem, not_before=not_before, is_authority=True
    )


@lru_cache(maxsize=256)
def _leaf(pem: bytes, authority_pem: bytes, common_name: str, not_before: datetime) -> bytes:
    return _signed(
        subject=_name("Sandbox Merchant", "Alipay", common_name),
        issuer=_root_name(AUTHORITY),
        key=_signing_key(pem),
        authority=_signing_key(authority_pem),
        seed=pem,
        not_before=not_before,
        is_authority=False,
    )


def _signed(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    authority: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
    seed: bytes,
    not_before: datetime,
    is_authority: bool,
) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(_serial(seed + not_before.isoformat().encode()))
        .not_valid_before(not_before)
        .not_valid_after(not_before + _LASTING)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _signing_key(pem: bytes) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    return key


def _serial(seed: bytes) -> int:
    """A positive serial of 128 bits, the same for the same key and date."""
    return int.from_bytes(hashlib.sha256(seed).digest()[:16]) & ((1 << 127) - 1) | (1 << 126)


def _root_name(name: str) -> x509.Name:
    return _name("Coupon Sandbox", "Certification Authority", f"Coupon Sandbox CA {name.removeprefix('root_').upper()}")


def _name(organization: str, unit: str, common_name: str) -> x509.Name:
    """C, O, OU, CN in this order and with no commas: then all clients print the same text (sheet §1.8)."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all, for the owner only: a sandbox killed at its first start leaves no half key."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(file.name + ".new")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(content)
    draft.replace(file)
