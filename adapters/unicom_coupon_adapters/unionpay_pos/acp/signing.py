"""Signatures of the ACP gateway: RSA over a hex digest (versions 5.1.0 and 5.0.0) and keyed digests (sheet 10.2).

A verifier is built for one version and method, and an answer in any other is forged: else an attacker could choose the
weakest. ``open_answer`` and ``open_notice`` hand out fields only after the signature held; there is no way to read one
unverified.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum
from types import MappingProxyType
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from unicom_coupon_adapters.unionpay_pos.acp.canonical import (
    SIGNATURE,
    cleaned,
    parse_answer,
    parse_notice,
    sign_string,
)
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage

UNIONPAY: Final = "中国银联股份有限公司"
"""The third part of the name in UnionPay's signing certificates."""

UNIONPAY_TEST: Final = "00040000:SIGN"
"""The same in the gateway's test environment. Never trust it in production."""


class Version(Enum):
    """The gateway's protocol version, which decides the digest of RSA signatures."""

    V5_1_0 = "5.1.0"
    V5_0_0 = "5.0.0"

    def hex_digest(self, text: str) -> bytes:
        """The lower-case hex digest that is signed: SHA-256, or SHA-1 for the old version."""
        if self is Version.V5_0_0:
            return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().encode()
        return hashlib.sha256(text.encode()).hexdigest().encode()


class KeyedDigest(Enum):
    """The digest of a shared-key signature; the value is ``signMethod``."""

    SHA256 = "11"
    SM3 = "12"

    def hex_of(self, data: bytes) -> str:
        """The digest of ``data`` in lower-case hex."""
        digest = hashes.Hash(hashes.SM3() if self is KeyedDigest.SM3 else hashes.SHA256())
        digest.update(data)
        return digest.finalize().hex()


class Signer(Protocol):
    """What makes a request the gateway accepts."""

    def sign(self, params: Mapping[str, str]) -> dict[str, str]:
        """The parameters to send, with ``signature``."""


class Verifier(Protocol):
    """What tells whether fields come from UnionPay."""

    def verify(self, params: Mapping[str, str], *, now: datetime) -> None:
        """Nothing, when they do. Raises ``ForgedMessage``."""


def _forged(code: str) -> ForgedMessage:
    return ForgedMessage(f"unionpay_pos.{code}", field=SIGNATURE, platform="unionpay_pos")


class CertificateSigner:
    """Signs with the merchant's private key and names its certificate (``signMethod`` 01).

    Raises ``ConfigurationError`` ``unionpay_pos.acp_key_pair`` when key and certificate are not a pair.
    """

    def __init__(self, key: RsaPrivateKey, certificate: Certificate, *, version: Version = Version.V5_1_0) -> None:
        if not certificate.public_key.matches(key):
            raise ConfigurationError("unionpay_pos.acp_key_pair", field="merchant_certificate")
        self._key = key
        self._cert_id = certificate.serial_decimal
        self._version = version

    def sign(self, params: Mapping[str, str]) -> dict[str, str]:
        """``params`` cleaned, with version, method, ``certId`` and the Base64 signature over the hex digest."""
        wanted = {**params, "version": self._version.value, "signMethod": "01", "certId": self._cert_id}
        digest = self._version.hex_digest(sign_string(wanted))
        sign = self._key.sign_sha1 if self._version is Version.V5_0_0 else self._key.sign_sha256
        return {**cleaned(wanted), SIGNATURE: base64.b64encode(sign(digest)).decode("ascii")}


class SharedKey:
    """Signs and verifies by a digest keyed with a shared secret (``signMethod`` 11 or 12, version 5.1.0)."""

    def __init__(self, key: str, *, digest: KeyedDigest = KeyedDigest.SHA256) -> None:
        if not key:
            raise ConfigurationError("unionpay_pos.acp_shared_key", field="acp_key")
        self._digest = digest
        self._key_digest = digest.hex_of(key.encode())

    def sign(self, params: Mapping[str, str]) -> dict[str, str]:
        """``params`` cleaned, with version, method and the hex signature; ``certId`` has no place here."""
        wanted = {name: value for name, value in params.items() if name != "certId"}
        wanted |= {"version": Version.V5_1_0.value, "signMethod": self._digest.value}
        return {**cleaned(wanted), SIGNATURE: self._signature(wanted)}

    def verify(self, params: Mapping[str, str], *, now: datetime) -> None:
        """Raises ``ForgedMessage``: ``unionpay_pos.acp_method``, ``unionpay_pos.acp_signature``."""
        _same_method(params, version=Version.V5_1_0, method=self._digest.value)
        if not hmac.compare_digest(self._signature(params).encode(), params.get(SIGNATURE, "").encode()):
            raise _forged("acp_signature")

    def _signature(self, params: Mapping[str, str]) -> str:
        return self._digest.hex_of(f"{sign_string(params)}&{self._key_digest}".encode())

    def __repr__(self) -> str:
        return f"SharedKey({self._digest.name}, ***)"


class ChainVerifier:
    """Verifies 5.1.0 answers by the certificate inside them, up to the certificates configured here.

    ``roots`` and ``middles`` are UnionPay's; ``names`` whom a signing certificate may belong to.
    """

    def __init__(
        self,
        *,
        roots: Iterable[Certificate],
        middles: Iterable[Certificate],
        names: frozenset[str] = frozenset({UNIONPAY}),
    ) -> None:
        self._roots = tuple(roots)
        self._middles = tuple(middles)
        self._names = names
        if not (self._roots and self._middles and names):
            raise ConfigurationError("unionpay_pos.acp_chain_missing", field="acp_certificates")

    def verify(self, params: Mapping[str, str], *, now: datetime) -> None:
        """Raises ``ForgedMessage``: ``unionpay_pos.acp_method``, ``…acp_signature`` or ``…acp_certificate``.

        ``…acp_certificate_dates``, ``…_chain`` and ``…_name`` say what is wrong with a readable certificate.
        """
        _same_method(params, version=Version.V5_1_0, method="01")
        leaf = self._trusted(params.get("signPubKeyCert", ""), now)
        _check_rsa(leaf, params, Version.V5_1_0)

    def _trusted(self, pem: str, now: datetime) -> Certificate:
        try:
            leaf = Certificate.load(pem.encode(), field="signPubKeyCert")
            name = _organisation(leaf)
        except (ConfigurationError, ValueError):
            raise _forged("acp_certificate") from None
        if not leaf.valid_at(now):
            raise _forged("acp_certificate_dates")
        chained = any(
            leaf.is_signed_by(middle) and middle.valid_at(now) and root.valid_at(now) and middle.is_signed_by(root)
            for middle in self._middles
            for root in self._roots
        )
        if not chained:
            raise _forged("acp_certificate_chain")
        if name not in self._names:
            raise _forged("acp_certificate_name")
        return leaf


class PinnedVerifier:
    """Verifies 5.0.0 answers by the installed certificate that their ``certId`` names."""

    def __init__(self, certificates: Iterable[Certificate]) -> None:
        self._by_id = MappingProxyType({certificate.serial_decimal: certificate for certificate in certificates})
        if not self._by_id:
            raise ConfigurationError("unionpay_pos.acp_chain_missing", field="acp_certificates")

    def verify(self, params: Mapping[str, str], *, now: datetime) -> None:
        """Raises ``ForgedMessage`` as ``ChainVerifier`` does; an unknown ``certId`` is ``acp_certificate``."""
        _same_method(params, version=Version.V5_0_0, method="01")
        certificate = self._by_id.get(params.get("certId", ""))
        if certificate is None:
            raise _forged("acp_certificate")
        if not certificate.valid_at(now):
            raise _forged("acp_certificate_dates")
        _check_rsa(certificate, params, Version.V5_0_0)


def _same_method(params: Mapping[str, str], *, version: Version, method: str) -> None:
    if params.get("version") != version.value or params.get("signMethod") != method:
        raise _forged("acp_method")


def _check_rsa(certificate: Certificate, params: Mapping[str, str], version: Version) -> None:
    try:
        key = certificate.public_key
        signature = base64.b64decode(params.get(SIGNATURE, ""), validate=True)
    except (ConfigurationError, binascii.Error, ValueError):
        raise _forged("acp_signature") from None
    digest = version.hex_digest(sign_string(params))
    verify = key.verify_sha1 if version is Version.V5_0_0 else key.verify_sha256
    if not verify(signature, digest):
        raise _forged("acp_signature")


def _organisation(certificate: Certificate) -> str:
    """The third part of the common name when split at ``@``; empty when there is no such part."""
    names = x509.load_der_x509_certificate(certificate.der).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    parts = str(names[0].value).split("@") if len(names) == 1 else []
    return parts[2] if len(parts) > 2 else ""


def open_answer(content: bytes, *, verifier: Verifier, now: datetime) -> Mapping[str, str]:
    """The fields of a synchronous answer, after its signature held.

    Raises ``ValidationError`` ``unionpay_pos.acp_answer`` or ``ForgedMessage``. To the caller of a payment both mean:
    the outcome is not known, ask.
    """
    return _opened(parse_answer(content), verifier, now)


def open_notice(content: bytes, *, verifier: Verifier, now: datetime) -> Mapping[str, str]:
    """The fields of a notice, after its signature held. Raises as ``open_answer`` does."""
    return _opened(parse_notice(content), verifier, now)


def _opened(params: Mapping[str, str], verifier: Verifier, now: datetime) -> Mapping[str, str]:
    verifier.verify(params, now=now)
    return MappingProxyType(cleaned(params))  # exactly what was signed: empty pairs could have been added by anyone
