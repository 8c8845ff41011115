"""X.509 certificates: the serial as platforms print it, the dates, the key, and who signed.

A certificate with an SM2 key parses too; its key and its signature are then handled by ``sm2``, because the X.509
library knows neither.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding

from unicom_coupon_sdk.crypto import material as materials
from unicom_coupon_sdk.crypto.material import Kind
from unicom_coupon_sdk.crypto.rsa import RsaPublicKey
from unicom_coupon_sdk.errors import ConfigurationError, ValidationError

SM2_WITH_SM3 = "1.2.156.10197.1.501"


class Certificate:
    """One certificate, parsed. Immutable; made by ``load``."""

    def __init__(self, parsed: x509.Certificate, *, field: str) -> None:
        self._parsed = parsed
        self._field = field
        self.not_before: datetime = parsed.not_valid_before_utc
        """The first moment it is valid, UTC."""
        self.not_after: datetime = parsed.not_valid_after_utc
        """The last moment it is valid, UTC."""

    @classmethod
    def load(cls, material: bytes, *, field: str) -> Certificate:
        """The (first) certificate in PEM, DER or naked base64; ``field`` is the setting's name for errors.

        Raises ``ConfigurationError``: ``key.not_certificate`` where it is a key, ``key.unreadable``.
        """
        found = materials.read(material, field=field)
        if not isinstance(found.loaded, x509.Certificate):
            raise ConfigurationError(
                "key.not_certificate", field=field, found=found.kind.value, wanted=Kind.CERTIFICATE.value
            )
        return cls(found.loaded, field=field)

    @classmethod
    def load_all(cls, material: bytes, *, field: str) -> tuple[Certificate, ...]:
        """Every certificate of a PEM bundle, in file order (one, where it is DER). Raises as ``load`` does."""
        blocks = materials.pem_blocks(material, label="CERTIFICATE")
        return tuple(cls.load(block, field=field) for block in blocks or [material])

    @cached_property
    def serial(self) -> str:
        """The serial in upper-case hex, whole bytes, so a leading zero digit is kept; 40 digits are usual."""
        number = self._parsed.serial_number
        return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big").hex().upper()

    @property
    def serial_decimal(self) -> str:
        """The serial as an unsigned decimal number."""
        return str(self._parsed.serial_number)

    @cached_property
    def subject(self) -> str:
        """Whom it names, as an RFC 4514 text (last element first)."""
        return self._parsed.subject.rfc4514_string()

    @cached_property
    def issuer(self) -> str:
        """Who gave it, as an RFC 4514 text (last element first)."""
        return self._parsed.issuer.rfc4514_string()

    @property
    def issuer_name(self) -> x509.Name:
        """The issuer's parsed name, for a platform that prints names its own way."""
        return self._parsed.issuer

    @property
    def signature_oid(self) -> str:
        """The dotted object identifier of the signature algorithm."""
        return self._parsed.signature_algorithm_oid.dotted_string

    @cached_property
    def public_key(self) -> RsaPublicKey:
        """Its RSA key. Raises ``ConfigurationError`` ``key.not_rsa`` for another kind; ``spki`` has every kind."""
        try:
            key = self._parsed.public_key()
        except (UnsupportedAlgorithm, ValueError):
            key = None
        if not isinstance(key, RSAPublicKey):
            raise ConfigurationError(
                "key.not_rsa", field=self._field, found=Kind.OTHER_PUBLIC.value, wanted=Kind.RSA_PUBLIC.value
            )
        return RsaPublicKey(key)

    @cached_property
    def spki(self) -> bytes:
        """Its key of whatever kind, as DER SubjectPublicKeyInfo."""
        return self._parsed.tbs_certificate_bytes[slice(*_spki_span(self._parsed.tbs_certificate_bytes))]

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self._parsed.public_bytes(Encoding.PEM)

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self._parsed.public_bytes(Encoding.DER)

    @cached_property
    def fingerprint(self) -> str:
        """The SHA-256 of ``der`` in lower-case hex."""
        return hashlib.sha256(self.der).hexdigest()

    def valid_at(self, now: datetime) -> bool:
        """Whether ``now`` (aware) is within its dates. Raises ``ValidationError`` ``time.naive``."""
        if now.tzinfo is None:
            raise ValidationError("time.naive", field="now")
        return self.not_before <= now <= self.not_after

    def is_signed_by(self, issuer: Certificate) -> bool:
        """Whether ``issuer``'s name is its issuer's and ``issuer``'s key signed it. Dates are not looked at."""
        if self._parsed.issuer != issuer._parsed.subject:
            return False
        if self.signature_oid == SM2_WITH_SM3:
            return self._is_signed_with_sm2(issuer)
        try:
            self._parsed.verify_directly_issued_by(issuer._parsed)
        except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
            return False
        return True

    def _is_signed_with_sm2(self, issuer: Certificate) -> bool:
        from unicom_coupon_sdk.crypto.sm2 import Sm2PublicKey

        try:
            key = Sm2PublicKey.from_der(issuer.spki, field=self._field)
        except ConfigurationError as error:
            if error.code == "sm2.no_engine":
                raise
            return False
        return key.verify(self._parsed.signature, self._parsed.tbs_certificate_bytes)

    def __eq__(self, other: object) -> bool:
        return self._parsed == other._parsed if isinstance(other, Certificate) else False

    def __hash__(self) -> int:
        return hash(self._parsed)

    def __repr__(self) -> str:
        return f"Certificate(serial={self.serial}, not_after={self.not_after:%Y-%m-%d})"


def _spki_span(tbs: bytes) -> tuple[int, int]:
    """Where SubjectPublicKeyInfo lies in a TBSCertificate the library has already parsed: its seventh field."""
    at, _ = _content(tbs, 0)
    if tbs[at] == 0xA0:  # explicit version; absent in version 1
        at = _content(tbs, at)[1]
    for _ in range(5):  # serial, algorithm, issuer, dates, subject
        at = _content(tbs, at)[1]
    return at, _content(tbs, at)[1]


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Start and end of the content of the element at ``at``."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(der[start : start + size], "big"), start + size
    return start, start + length
