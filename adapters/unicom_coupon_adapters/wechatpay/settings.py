"""The settings of one WeChat Pay merchant, checked before anything is sent.

Keys are references (``file:…``, ``env:…``), or a ``Secret`` when the settings are built in code. What can be wrong
without opening a key is found here; what needs the keys themselves is found in ``credentials``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, StringConstraints, ValidationInfo, model_validator

from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ValidationError

PRIMARY_URL = "https://api.mch.weixin.qq.com"
BACKUP_URL = "https://api2.mch.weixin.qq.com"
WEIXIN_URL = "https://api.weixin.qq.com"
_LONGEST_HEX_SERIAL = 40
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_HEX = re.compile(r"[0-9A-F]{1,40}")
_DECIMAL = re.compile(r"[0-9]{41,49}")
_TRANSFER = ("transfer_scene_id", "transfer_activity", "transfer_reward")
_PUBLIC_KEY_ID = re.compile(r"PUB_KEY_ID_[0-9]{6,60}")


def normal_serial(text: str, *, field: str) -> str:
    """A certificate serial as WeChat Pay prints it: upper-case hex.

    Accepts lower case, the colons of ``openssl x509 -text``, and the decimal form (recognised by being longer than any
    hex serial: 41 digits and more), which is what most PARAM_ERROR reports turn out to be (sheet 9, no. 8).
    Raises ``ValidationError`` (``wechatpay.serial``).
    """
    plain = text.strip().replace(":", "").replace(" ", "").upper().removeprefix("0X")
    if _DECIMAL.fullmatch(plain):
        plain = f"{int(plain):X}"
        plain = plain.rjust(len(plain) + len(plain) % 2, "0")
    if not _HEX.fullmatch(plain):
        raise ValidationError("wechatpay.serial", field=field, platform="wechatpay", longest=_LONGEST_HEX_SERIAL)
    return plain


def _key_reference(value: object, about: ValidationInfo) -> object:
    if isinstance(value, Secret):
        return value
    if isinstance(value, str) and re.match(r"[a-z][a-z0-9+.-]*:.", value) and "-----BEGIN" not in value:
        return value
    raise ValidationError("key.reference", field=about.field_name or "key", schemes="file, env")


KeyReference = Annotated[str | Secret, BeforeValidator(_key_reference)]
"""Where a key is: ``file:PATH`` or ``env:NAME``; in code also the key itself as a ``Secret``."""

Digits = Annotated[str, StringConstraints(pattern=r"^[0-9]{8,10}$")]
AppId = Annotated[str, StringConstraints(pattern=r"^wx[0-9a-zA-Z]{6,30}$")]
Told = Annotated[str, StringConstraints(min_length=1, max_length=32)]
ProductNumber = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,40}$")]


class WechatPaySettings(Value):
    """One merchant. See ``docs`` for where each value is found in the merchant console.

    ``mode`` is whose signatures are expected: ``public_key`` (the default of new merchants), ``certificate``, or
    ``mixed`` during the switch from the one to the other, when both come. ``apiv3_keys`` are tried newest first, so
    the old key stays in the list while callbacks encrypted with it are under way. ``apiv2_key`` signs front-end
    sending and is another key than APIv3's. ``backup_url`` is used when the first host cannot be reached.

    The three ``transfer_…`` values open paying out: the scene that the console granted (1000, 现金营销) and what is
    reported to it with each transfer, the activity's name (活动名称) and what the reward is for (奖励说明).
    """

    mchid: Digits
    appid: AppId
    merchant_serial: str
    merchant_private_key: KeyReference
    merchant_cert: KeyReference | None = None
    apiv3_keys: tuple[KeyReference, ...]
    apiv2_key: KeyReference | None = None
    platform_public_key_id: str | None = None
    platform_public_key: KeyReference | None = None
    platform_certificates: tuple[KeyReference, ...] = ()
    mode: Literal["public_key", "certificate", "mixed"] = "public_key"
    signing: Literal["rsa", "sm"] = "rsa"
    base_url: str = PRIMARY_URL
    backup_url: str | None = BACKUP_URL
    weixin_base_url: str = WEIXIN_URL
    app_secret: KeyReference | None = None
    notify_url: str | None = None
    code_mode: Literal["merchant_api", "merchant_upload"] = "merchant_api"
    coupon_family: Literal["busifavor", "product_coupon"] = "busifavor"
    brand_id: ProductNumber | None = None
    product_coupon_id: ProductNumber | None = None
    product_stock_id: ProductNumber | None = None
    delivery: Literal["api", "h5", "mini_program"] = "api"
    mini_program_path: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    funds_advanced: bool = False
    transfer_scene_id: Literal["1000"] | None = None
    transfer_activity: Told | None = None
    transfer_reward: Told | None = None

    @model_validator(mode="before")
    @classmethod
    def _alone_without_backup(cls, data: Any) -> Any:
        """A base URL of one's own (the sandbox) has no backup host unless one is named."""
        own = isinstance(data, dict) and data.get("base_url", PRIMARY_URL) != PRIMARY_URL
        return {**data, "backup_url": None} if own and "backup_url" not in data else data

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if not self.apiv3_keys:
            raise _wrong("wechatpay.apiv3_key_missing", field="apiv3_keys")
        object.__setattr__(self, "merchant_serial", normal_serial(self.merchant_serial, field="merchant_serial"))
        self._check_public_key()
        for name in ("base_url", "backup_url", "weixin_base_url"):
            _check_base_url(getattr(self, name), field=name)
        if self.notify_url is not None:
            fault = notify_url_fault(self.notify_url)
            if fault is not None:
                raise _wrong("wechatpay.notify_url", field="notify_url", fault=fault)
        if self.coupon_family == "product_coupon":
            for name in ("brand_id", "product_coupon_id", "product_stock_id"):
                if getattr(self, name) is None:
                    raise _wrong("wechatpay.product_missing", field=name)
        elif self.delivery != "api" and self.apiv2_key is None:
            raise _wrong("wechatpay.apiv2_key_missing", field="apiv2_key")
        transfer = {name: getattr(self, name) for name in _TRANSFER}
        if None in transfer.values() and any(transfer.values()):
            missing = next(name for name, value in transfer.items() if value is None)
            raise _wrong("wechatpay.transfer_half", field=missing)
        return self

    def _check_public_key(self) -> None:
        identity, key = self.platform_public_key_id, self.platform_public_key
        if identity is not None:
            identity = identity.strip().upper()
            if not _PUBLIC_KEY_ID.fullmatch(identity):
                raise _wrong("wechatpay.public_key_id", field="platform_public_key_id")
            object.__setattr__(self, "platform_public_key_id", identity)
        if (identity is None) != (key is None):
            missing = "platform_public_key_id" if identity is None else "platform_public_key"
            raise _wrong("wechatpay.public_key_half", field=missing)
        if key is None and self.mode != "certificate":
            raise _wrong("wechatpay.public_key_missing", field="platform_public_key", mode=self.mode)

    @property
    def base_urls(self) -> tuple[str, ...]:
        """The hosts of the API in the order in which they are tried, without a trailing slash."""
        return tuple(url.rstrip("/") for url in (self.base_url, self.backup_url) if url)


def notify_url_fault(url: str) -> str | None:
    """What is wrong with a callback address by sheet 1.8: ``scheme``, ``path``, ``query``, ``length`` or ``host``.

    ``http`` is accepted by the platform for some products; plain ``http`` is let through only to loopback, since a
    coupon's callback carries personal data.
    """
    parts = urlsplit(url)
    if not parts.hostname:
        return "host"
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return "scheme"
    if not parts.path or parts.path == "/":
        return "path"
    if parts.query or parts.fragment:
        return "query"
    return "length" if len(url) > 256 else None


def _check_base_url(url: str | None, *, field: str) -> None:
    if url is None:
        return
    parts = urlsplit(url)
    encrypted = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not parts.hostname or not encrypted or parts.path.strip("/") or parts.query or parts.fragment:
        raise _wrong("wechatpay.base_url", field=field)


def _wrong(code: str, *, field: str, **details: Any) -> ValidationError:
    return ValidationError(code, field=field, platform="wechatpay", **details)
