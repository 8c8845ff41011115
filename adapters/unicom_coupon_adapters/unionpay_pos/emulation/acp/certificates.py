"""The gateway's authority and certificates, and the merchant's signing key, on disk; made at first use and kept.

Folders in the machine's temporary directory (in-process sandboxes) share one set of key pairs for the life of the
process, since making an RSA key takes a tenth of a second. Folders elsewhere get their own.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.pkcs12 import KeyAndCertificate
from unicom_coupon_sdk.crypto.pkcs12 import load as load_pkcs12
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey
from unicom_coupon_sdk.sandbox.emulator import Frame

SIGN: Final = "acp_sign"
ENCRYPT: Final = "acp_enc"
STRANGER: Final = "acp_stranger"
_ROOT: Final = "acp_root"
_MIDDLE: Final = "acp_middle"
_MERCHANT: Final = "acp_merchant"
_PASSWORD: Final = "000000"  # noqa: S105 - UnionPay's own test files have it, and this one is as public
_NAMES: Final = {
    _ROOT: "Sandbox UnionPay Root CA",
    _MIDDLE: "Sandbox UnionPay Middle CA",
    SIGN: "041@8310000000083040@中国银联股份有限公司@00016493",
    ENCRYPT: "041@8310000000083040@中国银联股份有限公司@00016494",
    STRANGER: "041@8310000000083040@某某商户有限公司@00016495",
    _MERCHANT: "041@8310000000083040@Sandbox Merchant@00016496",
}
_BEFORE: Final = timedelta(days=2 * 365)
_LASTING: Final = timedelta(days=10 * 365)


@dataclass(frozen=True)
class Certificates:
    """All of one emulator. A certificate under the authority is renewed by a higher ``generation``."""

    frame: Frame

    def key(self, name: str, *, generation: int = 1) -> RsaPrivateKey:
        """The private key called ``name``."""
        return _loaded(self._pem(name, generation))

    def certificate(self, name: str, *, generation: int = 1) -> Certificate:
        """The certificate over that key."""
        return _parsed(self.certificate_file(name, generation=generation).read_bytes())

    def certificate_file(self, name: str, *, generation: int = 1) -> Path:
        """Where that certificate lives, in PEM; made if there is none.

        It is valid from two years before the simulated month in which it was made, for ten years.
        """
        file = self._file(f"{name}_{generation}_cert.pem")
        if not file.exists():
            issuer = _MIDDLE if name not in {_ROOT, _MIDDLE} else _ROOT
            month = self.frame.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            _write(file, _issued(name, self._pem(name, generation), issuer, self._pem(issuer, 1), month - _BEFORE))
        return file

    @property
    def root_file(self) -> Path:
        """UnionPay's root certificate."""
        return self.certificate_file(_ROOT)

    @property
    def middle_file(self) -> Path:
        """UnionPay's middle certificate."""
        return self.certificate_file(_MIDDLE)

    def encryption_file(self, generation: int) -> Path:
        """UnionPay's encryption certificate."""
        return self.certificate_file(ENCRYPT, generation=generation)

    @property
    def merchant(self) -> Certificate:
        """The certificate that the merchant's requests must be signed with."""
        file, password = self.merchant_pfx()
        return _opened(file.read_bytes(), password.read_text("ascii")).certificate

    def merchant_pfx(self) -> tuple[Path, Path]:
        """The merchant's key and certificate as a PKCS#12 file, and the file of its password."""
        file, password = self._file("acp_merchant.pfx"), self._file("acp_merchant_password.txt")
        if not file.exists():
            certificate = self.certificate_file(_MERCHANT).read_bytes()
            _write(file, _packed(self._pem(_MERCHANT, 1), certificate))
        if not password.exists():
            _write(password, _PASSWORD.encode())
        return file, password

    def _pem(self, name: str, generation: int) -> bytes:
        file = self._file(f"{name}_{generation}_key.pem")
        if not file.exists():
            temporary = Path(tempfile.gettempdir()).resolve()
            is_shared = self.frame.directory.resolve().is_relative_to(temporary)
            _write(file, _shared_pem(name, generation) if is_shared else _new_pem())
        return file.read_bytes()

    def _file(self, name: str) -> Path:
        return (self.frame.directory / name).absolute()


def _new_pem() -> bytes:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@lru_cache(maxsize=64)
def _shared_pem(name: str, generation: int) -> bytes:
    """One pair a name and generation for the whole process."""
    assert name
    assert generation
    return _new_pem()


@lru_cache(maxsize=64)
def _loaded(pem: bytes) -> RsaPrivateKey:
    return RsaPrivateKey.load(pem, field="emulator key")


@lru_cache(maxsize=64)
def _parsed(pem: bytes) -> Certificate:
    return Certificate.load(pem, field="emulator certificate")


@lru_cache(maxsize=64)
def _issued(name: str, pem: bytes, issuer: str, issuer_pem: bytes, not_before: datetime) -> bytes:
    key, authority = (serialization.load_pem_private_key(one, password=None) for one in (pem, issuer_pem))
    assert isinstance(key, rsa.RSAPrivateKey)
    assert isinstance(authority, rsa.RSAPrivateKey)
    serial = int.from_bytes(hashlib.sha256(pem + not_before.isoformat().encode()).digest()[:5]) | 1 << 38
    is_authority = name in {_ROOT, _MIDDLE}
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(issuer))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_before + _LASTING)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


@lru_cache(maxsize=64)
def _opened(pfx: bytes, password: str) -> KeyAndCertificate:
    """Held for the life of the process, so that a client in it opens the same file at no cost."""
    return load_pkcs12(pfx, password=password, field="emulator pfx")


@lru_cache(maxsize=64)
def _packed(pem: bytes, certificate: bytes) -> bytes:
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    lock = serialization.BestAvailableEncryption(_PASSWORD.encode())
    return pkcs12.serialize_key_and_certificates(b"acp", key, x509.load_pem_x509_certificate(certificate), None, lock)


def _named(name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.COMMON_NAME, _NAMES[name]),
        ]
    )


def _write(file: Path, content: bytes) -> None:
    """Whole or not at all, for the owner only: a sandbox killed at its first start leaves no half key."""
    draft = file.with_name(file.name + ".new")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as opened:
        opened.write(content)
    draft.replace(file)
