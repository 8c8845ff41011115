"""The keys of one merchant, loaded and compared, without any network; and the envelope made of them."""

from __future__ import annotations

from unicom_coupon_adapters.bank.envelopes import CmbEnvelope, Envelope, ExperimentalEnvelope, IcbcEnvelope
from unicom_coupon_adapters.bank.settings import BankSettings, KeyReference
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey, RsaPublicKey
from unicom_coupon_sdk.crypto.sm2 import Backend, Sm2PrivateKey, Sm2PublicKey, engine
from unicom_coupon_sdk.crypto.sm2_engines import Engine
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ConfigurationError

_HEX_DIGITS = 64
_OWN_KEY = "bank.own_public_key"


def envelope_of(settings: BankSettings, keys: Keys) -> Envelope:
    """The envelope of the bank that ``settings`` names.

    Raises ``ConfigurationError`` that names the setting: a key of another kind, our own public key in the bank's place,
    or no SM2 engine on this machine (``sm2.no_engine``, which says what to install).
    """
    if settings.bank == "cmb":
        return _cmb(settings, keys)
    if settings.bank == "icbc":
        return _icbc(settings, keys)
    return ExperimentalEnvelope(settings.bank)


def _cmb(settings: BankSettings, keys: Keys) -> CmbEnvelope:
    assert settings.merchant_private_key is not None  # the settings refuse it otherwise
    assert settings.app_secret is not None
    chosen = engine(Backend(settings.sm2_backend))
    signer = _private(settings, keys, chosen)
    bank_keys = _bank_keys(settings, keys, chosen)
    if signer.public_key in bank_keys:
        raise ConfigurationError(_OWN_KEY, field="bank_public_keys", platform="bank")
    return CmbEnvelope(
        base_url=settings.base_url,
        app_id=settings.app_id,
        app_secret=Secret(keys.text(settings.app_secret, field="app_secret")),
        signer=signer,
        bank_keys=bank_keys,
        digest=settings.header_digest,
    )


def _icbc(settings: BankSettings, keys: Keys) -> IcbcEnvelope:
    assert settings.icbc_private_key is not None
    assert settings.icbc_public_key is not None
    private = RsaPrivateKey.load(_load(settings.icbc_private_key, keys, "icbc_private_key"), field="icbc_private_key")
    public = RsaPublicKey.load(_load(settings.icbc_public_key, keys, "icbc_public_key"), field="icbc_public_key")
    if public.matches(private):
        raise ConfigurationError(_OWN_KEY, field="icbc_public_key", platform="bank")
    return IcbcEnvelope(
        base_url=settings.base_url,
        app_id=settings.app_id,
        signer=private,
        bank_rsa=public,
        bank_keys=_bank_keys(settings, keys, engine(Backend(settings.sm2_backend))),
    )


def _private(settings: BankSettings, keys: Keys, chosen: Engine) -> Sm2PrivateKey:
    field = "merchant_private_key"
    assert settings.merchant_private_key is not None
    material = _load(settings.merchant_private_key, keys, field).strip()
    public = None
    if settings.merchant_public_key is not None:
        public = _public(settings.merchant_public_key, keys, "merchant_public_key", chosen)
    if len(material) == _HEX_DIGITS:
        return Sm2PrivateKey.from_hex(
            material.decode("ascii", "replace"), field=field, public_key=public, engine=chosen
        )
    return Sm2PrivateKey.from_pem(material, field=field, public_key=public, engine=chosen)


def _bank_keys(settings: BankSettings, keys: Keys, chosen: Engine) -> tuple[Sm2PublicKey, ...]:
    return tuple(
        _public(reference, keys, f"bank_public_keys[{position}]", chosen)
        for position, reference in enumerate(settings.bank_public_keys)
    )


def _public(reference: KeyReference, keys: Keys, field: str, chosen: Engine) -> Sm2PublicKey:
    return Sm2PublicKey.from_pem(_load(reference, keys, field).strip(), field=field, engine=chosen)


def _load(reference: KeyReference, keys: Keys, field: str) -> bytes:
    return keys.load(reference, field=field)
