"""The keys of one merchant at the gateway, loaded and compared, without any network."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from unicom_coupon_adapters.unionpay_pos.acp.settings import AcpSettings
from unicom_coupon_adapters.unionpay_pos.acp.signing import (
    UNIONPAY,
    UNIONPAY_TEST,
    CertificateSigner,
    ChainVerifier,
    Signer,
    Verifier,
)
from unicom_coupon_adapters.unionpay_pos.references import KeyReference
from unicom_coupon_sdk.crypto import pkcs12
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.pkcs12 import KeyAndCertificate
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey
from unicom_coupon_sdk.errors import ConfigurationError


@dataclass(frozen=True, slots=True, repr=False)
class AcpKeys:
    """What signs and what verifies. ``certificates`` are those with dates that the doctor looks at, by setting.

    ``own`` is our signing certificate, ``None`` with a shared key; ``encryption`` UnionPay's, where one is configured.
    """

    signer: Signer
    verifier: Verifier
    own: Certificate | None = None
    encryption: Certificate | None = None
    certificates: tuple[tuple[str, Certificate], ...] = ()

    @classmethod
    def load(cls, settings: AcpSettings, keys: Keys) -> AcpKeys:
        """The keys that ``settings`` name.

        Raises ``ConfigurationError`` naming the setting: what ``crypto.pkcs12``, ``crypto.rsa`` and
        ``crypto.certificates`` raise, ``unionpay_pos.acp_key_pair`` and ``unionpay_pos.acp_chain``.
        """
        pair = _signing(settings, keys)
        roots = _certificates(settings.root_certs, keys, field="acp.root_certs")
        middles = _certificates(settings.middle_certs, keys, field="acp.middle_certs")
        if not all(any(middle.is_signed_by(root) for root in roots) for middle in middles):
            raise ConfigurationError("unionpay_pos.acp_chain", field="acp.middle_certs", platform="unionpay_pos")
        names = frozenset({UNIONPAY, UNIONPAY_TEST} if settings.accept_test_names else {UNIONPAY})
        encryption = _encryption(settings.encryption_cert, keys)
        return cls(
            signer=CertificateSigner(pair.key, pair.certificate),
            verifier=ChainVerifier(roots=roots, middles=middles, names=names),
            own=pair.certificate,
            encryption=encryption,
            certificates=(
                ("acp.signing_cert", pair.certificate),
                *(("acp.root_certs", root) for root in roots),
                *(("acp.middle_certs", middle) for middle in middles),
                *((("acp.encryption_cert", encryption),) if encryption is not None else ()),
            ),
        )

    def require_dates(self, now: datetime) -> None:
        """Raises ``ConfigurationError`` ``unionpay_pos.acp_expired`` outside the dates of our signing certificate."""
        if self.own is not None and not self.own.valid_at(now):
            raise ConfigurationError(
                "unionpay_pos.acp_expired",
                field="acp.signing_cert",
                platform="unionpay_pos",
                first=f"{self.own.not_before:%Y-%m-%d}",
                last=f"{self.own.not_after:%Y-%m-%d}",
            )

    def __repr__(self) -> str:
        return f"AcpKeys({self.own})"


def _signing(settings: AcpSettings, keys: Keys) -> KeyAndCertificate:
    if settings.signing_pfx is not None and settings.signing_pfx_password is not None:
        material = keys.load(settings.signing_pfx, field="acp.signing_pfx")
        password = keys.text(settings.signing_pfx_password, field="acp.signing_pfx_password")
        return pkcs12.load(material, password=password, field="acp.signing_pfx")
    assert settings.signing_key is not None  # the settings' validator
    assert settings.signing_cert is not None
    key = RsaPrivateKey.load(keys.load(settings.signing_key, field="acp.signing_key"), field="acp.signing_key")
    certificate = Certificate.load(keys.load(settings.signing_cert, field="acp.signing_cert"), field="acp.signing_cert")
    return KeyAndCertificate(key, certificate)


def _certificates(references: tuple[KeyReference, ...], keys: Keys, *, field: str) -> tuple[Certificate, ...]:
    return tuple(
        certificate
        for reference in references
        for certificate in Certificate.load_all(keys.load(reference, field=field), field=field)
    )


def _encryption(reference: KeyReference | None, keys: Keys) -> Certificate | None:
    if reference is None:
        return None
    field = "acp.encryption_cert"
    certificate = Certificate.load(keys.load(reference, field=field), field=field)
    _ = certificate.public_key.bits  # another kind of key is refused now, not at the first payment
    return certificate
