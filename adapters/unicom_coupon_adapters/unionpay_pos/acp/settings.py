"""The settings of one merchant at UnionPay's online gateway, checked before anything is sent.

::

    [platforms.unionpay_pos.acp]
    mer_id = "777290058110048"
    signing_pfx = "file:/etc/shop/acp_sign.pfx"
    signing_pfx_password = "env:ACP_SIGN_PASSWORD"
    root_certs = ["file:/etc/shop/acp_root.cer"]
    middle_certs = ["file:/etc/shop/acp_middle.cer"]
    back_url = "https://shop.example/notify/unionpay"

Version 5.1.0 with ``signMethod`` 01. Whoever signs with a shared key (11, 12) or by version 5.0.0 makes an
``AcpMerchant`` with ``AcpKeys`` of their own, out of the ``SharedKey`` or ``PinnedVerifier`` of ``acp.signing``.
"""

from __future__ import annotations

from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from unicom_coupon_adapters.unionpay_pos.references import KeyReference
from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.errors import ConfigurationError

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+$", max_length=256)]
Certificates = Annotated[tuple[KeyReference, ...], Field(min_length=1)]


class AcpSettings(Value):
    """One merchant at the gateway; times in seconds.

    The signing key comes as ``signing_pfx`` with its password, or in PEM as ``signing_key`` and ``signing_cert``.
    ``root_certs`` and ``middle_certs`` are UnionPay's: answers are believed only from a certificate under them.
    ``encryption_cert`` is fetched from the gateway where none is given. ``accept_test_names`` also takes the names of
    the test environment's certificates: never in production. ``back_url`` is where notices go. Raises
    ``ConfigurationError`` ``unionpay_pos.acp_signing_key`` and ``unionpay_pos.acp_url``.
    """

    mer_id: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z]{15}$")]
    signing_pfx: KeyReference | None = None
    signing_pfx_password: KeyReference | None = None
    signing_key: KeyReference | None = None
    signing_cert: KeyReference | None = None
    root_certs: Certificates
    middle_certs: Certificates
    encryption_cert: KeyReference | None = None
    accept_test_names: bool = False
    gateway_url: Url = "https://gateway.95516.com"
    file_url: Url = "https://filedownload.95516.com"
    back_url: Url | None = None
    read_timeout_s: Annotated[float, Field(gt=0, le=60)] = 15.0

    @model_validator(mode="after")
    def _checked(self) -> Self:
        for name in ("gateway_url", "file_url"):
            parts = urlsplit(getattr(self, name))
            if not parts.hostname or (parts.scheme != "https" and parts.hostname not in _LOOPBACK):
                raise ConfigurationError("unionpay_pos.acp_url", field=f"acp.{name}", platform="unionpay_pos")
        pfx = [self.signing_pfx is not None, self.signing_pfx_password is not None]
        pem = [self.signing_key is not None, self.signing_cert is not None]
        if not (all(pfx) and not any(pem)) and not (all(pem) and not any(pfx)):
            raise ConfigurationError("unionpay_pos.acp_signing_key", field="acp.signing_pfx", platform="unionpay_pos")
        return self

    @property
    def hosts(self) -> tuple[str, ...]:
        """The gateway's hosts, as the settings have them."""
        return tuple(dict.fromkeys(urlsplit(url).hostname or "" for url in (self.gateway_url, self.file_url)))
