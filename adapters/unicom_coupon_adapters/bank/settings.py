"""The settings of one merchant at one bank, checked before anything is sent.

Keys are references (``file:…``, ``env:…``), or a ``Secret`` when the settings are built in code. A host that is not
one of the bank's own must be declared in ``domestic_hosts``: data of bank customers stays on the mainland (NFRA
金规〔2024〕24号; sheet §6), and a typing mistake must not send it elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, StringConstraints, ValidationInfo, model_validator

from unicom_coupon_adapters.bank.bill_layout import DETAIL, SUMMARY
from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ValidationError

BankName = Literal["cmb", "icbc", "ccb", "boc", "abc"]

BASE_URLS: Mapping[str, str] = {
    "cmb": "https://api.cmbchina.com",
    "icbc": "https://gw.open.icbc.com.cn",
    "ccb": "https://ibsbjstar.ccb.com.cn",
    "boc": "https://ebspay.boc.cn",
    "abc": "https://pay.abchina.com",
}
"""Where each bank is reached in production (sheet §1.1, §4)."""

BANK_DOMAINS = ("cmbchina.com", "cmburl.cn", "icbc.com.cn", "ccb.com", "ccb.com.cn", "boc.cn", "abchina.com")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _key_reference(value: object, about: ValidationInfo) -> object:
    if isinstance(value, Secret):
        return value
    if isinstance(value, str) and re.match(r"[a-z][a-z0-9+.-]*:.", value) and "-----BEGIN" not in value:
        return value
    raise ValidationError("key.reference", field=about.field_name or "key", schemes="file, env")


KeyReference = Annotated[str | Secret, BeforeValidator(_key_reference)]
"""Where a key is: ``file:PATH`` or ``env:NAME``; in code also the key itself as a ``Secret``."""

Number = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,32}$")]
AppId = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_-]{1,64}$")]


class BankSettings(Value):
    """One merchant at one bank.

    ``bank`` chooses the envelope. ``mer_id`` and ``user_id`` are the merchant's and the cashier's numbers.
    ``bank_public_keys`` are tried in order, since an answer names no key: during a change of the bank's key both are
    listed, and fields are encrypted to the first. ``merchant_private_key`` is 64 hex characters or PKCS#8; its public
    half is needed only by the ``gmssl`` engine. ``header_digest`` "sm3" is this project's option and no bank's.
    ``bill_columns`` says what a bank's bill calls the columns of sheet §3.8, where it calls them otherwise.
    """

    bank: BankName = "cmb"
    base_url: str = BASE_URLS["cmb"]
    app_id: AppId
    app_secret: KeyReference | None = None
    mer_id: Number
    user_id: Number
    merchant_private_key: KeyReference | None = None
    merchant_public_key: KeyReference | None = None
    bank_public_keys: tuple[KeyReference, ...] = ()
    icbc_private_key: KeyReference | None = None
    icbc_public_key: KeyReference | None = None
    header_digest: Literal["md5", "sm3"] = "md5"
    sm2_backend: Literal["auto", "openssl", "gmssl"] = "auto"
    notify_url: str | None = None
    domestic_hosts: tuple[str, ...] = ()
    bill_columns: dict[str, str] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _own_base_url(cls, data: Any) -> Any:
        """Each bank has its own address unless one is named."""
        if isinstance(data, dict) and "base_url" not in data and data.get("bank") in BASE_URLS:
            return {**data, "base_url": BASE_URLS[data["bank"]]}
        return data

    @model_validator(mode="after")
    def _checked(self) -> Self:
        for name in _NEEDED.get(self.bank, ()):
            if not getattr(self, name):
                raise _wrong("bank.key_missing", field=name, bank=self.bank)
        self._check_host()
        unknown = self.bill_columns.keys() - {*DETAIL, *SUMMARY}
        if unknown:
            known = ", ".join(dict.fromkeys((*DETAIL, *SUMMARY)))
            raise _wrong("bank.bill_column", field=f"bill_columns.{min(unknown)}", known=known)
        if self.notify_url is not None and not _is_callback(self.notify_url):
            raise _wrong("bank.notify_url", field="notify_url")
        return self

    def _check_host(self) -> None:
        parts = urlsplit(self.base_url)
        host = parts.hostname or ""
        is_local = host in _LOOPBACK
        if (
            parts.path.strip("/")
            or parts.query
            or (parts.scheme != "https" and not (parts.scheme == "http" and is_local))
        ):
            raise _wrong("bank.base_url", field="base_url")
        known = any(host == domain or host.endswith(f".{domain}") for domain in BANK_DOMAINS)
        if not (known or is_local or host in self.domestic_hosts):
            raise _wrong("bank.host", field="base_url", host=host)

    @property
    def host(self) -> str:
        """The bank's host, without port."""
        return urlsplit(self.base_url).hostname or ""


_NEEDED: Mapping[str, tuple[str, ...]] = {
    "cmb": ("app_secret", "merchant_private_key", "bank_public_keys"),
    "icbc": ("icbc_private_key", "icbc_public_key", "bank_public_keys"),
}


def _is_callback(url: str) -> bool:
    parts = urlsplit(url)
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    return bool(secure and parts.hostname and len(url) <= 256)


def _wrong(code: str, *, field: str, **details: Any) -> ValidationError:
    return ValidationError(code, field=field, platform="bank", **details)
