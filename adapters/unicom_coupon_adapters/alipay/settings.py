"""The Alipay section of the configuration: names, key references and choices. No key is written here."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, StringConstraints, ValidationInfo, model_validator

from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ConfigurationError, ValidationError

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
"""Hosts of this machine: a sandbox, which may be spoken to in the clear."""

_REFERENCE = re.compile(r"[a-z][a-z0-9+.-]*:.+")


def _key_reference(value: object, about: ValidationInfo) -> object:
    """A reference, or a ``Secret`` made in code. Plain key text is refused, or it would sit in a settings file."""
    if isinstance(value, Secret) or (isinstance(value, str) and _REFERENCE.fullmatch(value)):
        return value
    raise ValidationError("key.reference", field=about.field_name or "key", schemes="file, env")


KeyReference = Annotated[str | Secret, BeforeValidator(_key_reference)]
"""``file:PATH`` or ``env:NAME``; a ``Secret`` only where settings are built in code."""

Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+$")]
Number = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,64}$")]
Host = Annotated[str, StringConstraints(pattern=r"^[0-9a-z.-]{1,253}$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Mode(StrEnum):
    """How each side knows the other's key (sheet §1.4, §1.8). Fund APIs demand certificates."""

    PUBLIC_KEY = "public_key"
    CERTIFICATE = "certificate"


class Gateway(StrEnum):
    """Which wire format calls use. Calls without a v3 form go by the classic gateway either way (§1.11)."""

    CLASSIC = "classic"
    V3 = "v3"


class CodeMode(StrEnum):
    """Who hands a code to the user (§2.2): we, at sending; or Alipay, out of a store of codes we uploaded."""

    MERCHANT_API = "merchant_api"
    MERCHANT_UPLOAD = "merchant_upload"

    @property
    def wire(self) -> str:
        """As Alipay spells it."""
        return self.value.upper()


class Family(StrEnum):
    """Which product carries the coupon (§2.1): 商家券, or 凭证 where it is sold as local-life goods."""

    ORDERVOUCHER = "ordervoucher"
    CERTIFICATE = "certificate"


class AccessMode(StrEnum):
    """Who calls (§2.1): the merchant itself, or a service provider for it."""

    SELF = "self"
    AGENCY = "agency"

    @property
    def wire(self) -> str:
        """As Alipay spells it."""
        return f"{self.value.upper()}_MODE"


class AlipaySettings(Value):
    """One Alipay application.

    ``alipay_public_keys`` and ``alipay_certs`` are newest first: older ones verify until they are removed. ``aes_key``
    is needed for phone proofs and for ``encrypt_content``. ``shop_ids`` are the Alipay shops of the activities; empty
    means every city. ``v3_request_life_s`` is sent as ``expired_seconds``. ``bill_hosts`` are the only hosts that bills
    are fetched from.

    Pay-outs need ``mode`` certificate. ``transfer_scene_name`` is the scene that the contract names, with its reports
    (``info_type`` to ``info_content``); ``transfer_remark`` is the reason that payees read, demanded from 50 000 yuan
    on. Profit sharing needs ``seller_id``; ``share_finishes`` says whether a share also releases what is left of the
    order's frozen money, after which nothing more of it can be shared.

    Raises ``ConfigurationError``: ``alipay.mode_keys`` when the keys of ``mode`` are missing, ``alipay.agency`` without
    a merchant to act for, ``alipay.transfer_scene`` for a scene without reports or the other way round.
    """

    app_id: Annotated[str, StringConstraints(pattern=r"^[0-9]{10,32}$")]
    app_private_key: KeyReference
    seller_id: Number | None = None
    mode: Mode = Mode.PUBLIC_KEY
    sign_type: Annotated[str, StringConstraints(pattern=r"^(RSA2|SM2)$")] = "RSA2"
    alipay_public_keys: tuple[KeyReference, ...] = ()
    app_cert: KeyReference | None = None
    alipay_certs: tuple[KeyReference, ...] = ()
    alipay_root_cert: KeyReference | None = None
    aes_key: KeyReference | None = None
    encrypt_content: bool = False
    app_auth_token: KeyReference | None = None

    gateway: Gateway = Gateway.CLASSIC
    gateway_url: Url = "https://openapi.alipay.com/gateway.do"
    v3_url: Url = "https://openapi.alipay.com"
    v3_request_life_s: Annotated[int, Field(strict=True, ge=30, le=600)] = 120
    notify_url: Url | None = None
    read_timeout_s: Annotated[float, Field(gt=0, le=60)] = 15.0

    access_mode: AccessMode = AccessMode.SELF
    belong_merchant_id: Number | None = None
    coupon_family: Family = Family.ORDERVOUCHER
    code_mode: CodeMode = CodeMode.MERCHANT_API
    shop_ids: frozenset[Number] = frozenset()
    certificate_item_id: Number | None = None
    brand_name: Annotated[str, StringConstraints(min_length=1, max_length=20)] = "中国联通"
    brand_logo: Number | None = None
    voucher_image: Number | None = None
    customer_service_mobile: Annotated[str, StringConstraints(pattern=r"^[0-9-]{5,20}$")] = "10010"
    activation_wait_s: Annotated[int, Field(strict=True, ge=0, le=120)] = 30

    bill_hosts: frozenset[Host] = frozenset({"dwbillcenter.alipay.com"})
    transfer_scene_name: Words | None = None
    transfer_scene_reports: dict[Words, Words] = Field(default_factory=dict)
    transfer_remark: Words | None = None
    share_finishes: bool = True

    @model_validator(mode="after")
    def _addresses_and_scene(self) -> Self:
        for name in ("gateway_url", "v3_url"):
            parts = urlsplit(getattr(self, name))
            if not parts.hostname or (parts.scheme != "https" and parts.hostname not in LOOPBACK):
                raise ConfigurationError("alipay.url", field=name)
        if (self.transfer_scene_name is None) != (not self.transfer_scene_reports):
            raise ConfigurationError("alipay.transfer_scene", field="transfer_scene_reports")
        if self.gateway is Gateway.V3 and self.sign_type != "RSA2":
            raise ConfigurationError("alipay.v3_sign_type", field="sign_type")
        return self

    @model_validator(mode="after")
    def _keys_of_mode(self) -> Self:
        certificates = (self.app_cert, self.alipay_root_cert, self.alipay_certs)
        if self.mode is Mode.CERTIFICATE and not all(certificates):
            raise ConfigurationError(
                "alipay.mode_keys", field="app_cert, alipay_certs, alipay_root_cert", mode=self.mode
            )
        if self.mode is Mode.PUBLIC_KEY and not self.alipay_public_keys:
            raise ConfigurationError("alipay.mode_keys", field="alipay_public_keys", mode=self.mode)
        if self.encrypt_content and self.aes_key is None:
            raise ConfigurationError("alipay.mode_keys", field="aes_key", mode="encrypt_content")
        if self.access_mode is AccessMode.AGENCY and self.belong_merchant_id is None:
            raise ConfigurationError("alipay.agency", field="belong_merchant_id")
        return self
