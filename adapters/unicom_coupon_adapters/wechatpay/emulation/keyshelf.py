"""Key pairs, certificates and secrets on disk, made at first use and kept.

Private keys are PKCS#8, public keys SPKI, certificates X.509, all PEM; secrets are text files; all readable by the
owner only. Making an RSA key takes a tenth of a second, so folders in the machine's temporary directory (in-process
sandboxes, thousands of simulated worlds) share one set of key pairs for the life of the process. Folders elsewhere
get their own.
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
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey

_LETTERS: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_BEFORE: Final = timedelta(days=2 * 365)
_AFTER: Final = timedelta(days=8 * 365)
_AUTHORITY: Final = "authority"


@dataclass(frozen=True)
class KeyPair:
    """An RSA-2048 pair with the files it lives in."""

    private_pem: bytes
    private_file: Path
    public_file: Path

    @cached_property
    def private(self) -> RsaPrivateKey:
        """The private key, loaded once a process whatever the folder."""
        return _loaded(self.private_pem)


@dataclass(frozen=True)
class KeyShelf:
    """The folder of one emulator. ``random_bytes`` is the frame's; ``now`` dates new certificates."""

    directory: Path
    now: Callable[[], datetime]
    random_bytes: Callable[[int], bytes]

    def pair(self, name: str) -> KeyPair:
        """The pair called ``name``, made if there is none."""
        private_file = self.directory / f"{name}_key.pem"
        public_file = self.directory / f"{name}_public_key.pem"
        if private_file.exists():
            pem = private_file.read_bytes()
        else:
            pem = _shared_pem(name) if self._is_temporary else _new_pem()
            _write(private_file, pem)
        if not public_file.exists():
            _write(public_file, _loaded(pem).public_key.pem)
        return KeyPair(pem, private_file.absolute(), public_file.absolute())

    def certificate(self, name: str, *, common_name: str) -> tuple[Certificate, Path]:
        """The certificate over the pair called ``name``, and its file; made and signed if there is none.

        It is valid from two years before the simulated day on which it was made, for ten years.
        """
        file = self.directory / f"{name}_cert.pem"
        if not file.exists():
            month = self.now().astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
            pem = _signed(self.pair(name).private_pem, self.pair(_AUTHORITY).private_pem, common_name, month - _BEFORE)
            _write(file, pem)
        return _parsed(file.read_bytes()), file.absolute()

    def secret(self, name: str, *, length: int) -> str:
        """The secret called ``name``: letters and digits, drawn if there is none."""
        file = self.secret_file(name)
        if not file.exists():
            drawn = "".join(_LETTERS[byte % len(_LETTERS)] for byte in self.random_bytes(length))
            _write(file, drawn.encode())
        return file.read_text(encoding="ascii")

    def secret_file(self, name: str) -> Path:
        """Where the secret called ``name`` lives."""
        return (self.directory / f"{name}.txt").absolute()

    @cached_property
    def _is_temporary(self) -> bool:
        return self.directory.resolve().is_relative_to(Path(tempfile.gettempdir()).resolve())


def _new_pem() -> bytes:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@lru_cache(maxsize=64)
def _shared_pem(name: str) -> bytes:
    """One pair a name for the whole process; ``name`` is the cache's key."""
    assert name
    return _new_pem()


@lru_cache(maxsize=256)
def _loaded(pem: bytes) -> RsaPrivateKey:
    return RsaPrivateKey.load(pem, field="emulator key")


@lru_cache(maxsize=256)
def _parsed(pem: bytes) -> Certificate:
    return Certificate.load(pem, field="emulator certificate")


@lru_cache(maxsize=256)
def _signed(subject_pem: bytes, authority_pem: bytes, common_name: str, not_before: datetime) -> bytes:
    subject = serialization.load_pem_private_key(subject_pem, password=None)
    authority = serialization.load_pem_private_key(authority_pem, password=None)
    assert isinstance(subject, rsa.RSAPrivateKey)
    assert isinstance(authority, rsa.RSAPrivateKey)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common_name, unit="Sandbox"))
        .issuer_name(_name("Sandbox Root CA", unit="CA Center"))
        .public_key(subject.public_key())
        .serial_number(_serial(subject_pem + not_before.isoformat().encode()))
        .not_valid_before(not_before)
        .not_valid_after(not_before + _BEFORE + _AFTER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=False)
    )
    return builder.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _serial(seed: bytes) -> int:
    """A serial of exactly 40 hex digits, positive, the same for the same key and date."""
    drawn = int.from_bytes(hashlib.sha256(seed).digest()[:20])
    return drawn & ((1 << 159) - 1) | (1 << 158)


def _name(common_name: str, *, unit: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "CN"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "WeChat Pay Sandbox"),
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
