"""Calls as data: each API once, with its path, its fields, and which of them are encrypted.

``coupon/…`` is this project's profile over the bank's envelope, not a bank's protocol (sheet §3); ``coupon/issuer/…``
is its smallest extension by which the issuer, China Unicom, tells the gateway which codes exist and whose they are.
``mchorders/…`` is China Merchants Bank's own (sheet §1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unicom_coupon_adapters.bank.compliance import SHIM
from unicom_coupon_sdk.domain.sensitive import Sensitive
from unicom_coupon_sdk.errors import ValidationError

PLATFORM = "bank"
_WHO = frozenset({"merId", "reqNo", "userId"})
_PLACE = frozenset({"storeId", "termId"})
_LENGTHS = {
    "couponCode": 20,
    "orderId": 32,
    "origOrderId": 32,
    "reqNo": 32,
    "termId": 8,
    "smsToken": 32,
    "authCode": 128,
    "txnAmt": 13,
    "refundAmt": 13,
    "body": 128,
    "mchReserved": 128,
    "reason": 256,
    "refundReason": 256,
}
_LONGEST = 6000


@dataclass(frozen=True, slots=True)
class Call:
    """One call before its envelope. ``sealed`` holds the plaintext objects of the encrypted fields, by field name."""

    api: Api
    biz: Mapping[str, Any] = field(repr=False)
    sealed: Mapping[str, Mapping[str, str]] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Api:
    """One API. ``is_write``: its outcome can be unknown. ``is_repeatable``: the same number again changes nothing.

    ``unknown`` are codes that leave the outcome open here, beside those that always do.
    """

    name: str
    path: str
    is_write: bool
    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    sealed: frozenset[str] = frozenset()
    is_repeatable: bool = True
    unknown: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Raises ``ComplianceError`` for a listed field that may not be sent: such an API cannot be defined."""
        SHIM.outgoing(dict.fromkeys(self.required | self.optional | self.sealed))

    def call(self, biz: Mapping[str, Any], *, sealed: Mapping[str, Mapping[str, Sensitive]] | None = None) -> Call:
        """The call with these values; fields that are ``None`` or empty are left out (sheet §1.2).

        Raises ``ValidationError`` (``bank.field_missing``, ``bank.field_unlisted``, ``bank.field_length``) and
        ``ComplianceError``.
        """
        given = {name: _plain(value) for name, value in biz.items() if value is not None and value != ""}
        secrets = sealed or {}
        for name in self.required - given.keys() - secrets.keys():
            raise ValidationError("bank.field_missing", field=name, platform=PLATFORM)
        for name in given.keys() - self.required - self.optional | secrets.keys() - self.sealed:
            raise ValidationError("bank.field_unlisted", field=name, platform=PLATFORM)
        for name, value in given.items():
            longest = _LENGTHS.get(name, _LONGEST)
            if isinstance(value, str) and len(value) > longest:
                raise ValidationError("bank.field_length", field=name, platform=PLATFORM, longest=longest)
        SHIM.outgoing(given)
        for inner in secrets.values():
            SHIM.outgoing(inner)
        return Call(
            self, given, {name: {key: v.reveal() for key, v in inner.items()} for name, inner in secrets.items()}
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Sensitive):
        return value.reveal()
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _coupon_api(name: str, fields: str, *, optional: str = "", sealed: str = "", is_write: bool = True) -> Api:
    return Api(
        name=f"coupon.{name}",
        path=f"coupon/{name}",
        is_write=is_write,
        required=_WHO | frozenset(fields.split()) | frozenset(sealed.split()),
        optional=_PLACE | frozenset(optional.split()),
        sealed=frozenset(sealed.split()),
    )


VERIFY = _coupon_api("verify", "couponCode", optional="txnAmt", is_write=False)
SMS_APPLY = _coupon_api("smsapply", "couponCode txnAmt scene")
REDEEM = _coupon_api(
    "redeem", "orderId couponCode txnAmt smsToken", optional="orderOrigAmt notifyUrl mchReserved", sealed="encryptSms"
)
REVERSE = _coupon_api("reverse", "orderId txnAmt", optional="origOrderId origCmbOrderId reason")
QUERY = _coupon_api("query", "", optional="orderId cmbOrderId", is_write=False)
STATEMENT = _coupon_api("statementurl", "billDate", optional="billType billStage", is_write=False)
REGISTER = _coupon_api("issuer/register", "templateId couponName faceAmt minTxnAmt validFrom validTo couponCodes")
BIND = _coupon_api("issuer/bind", "couponCode", sealed="encryptMobile")
VOID = _coupon_api("issuer/void", "couponCode", optional="reason")


def _order_api(
    name: str,
    fields: str,
    *,
    optional: str = "",
    sealed: str = "",
    is_write: bool = True,
    is_repeatable: bool = True,
    unknown: str = "",
) -> Api:
    return Api(
        name=f"mchorders.{name}",
        path=f"mchorders/{name}",
        is_write=is_write,
        required=frozenset({"merId", *fields.split(), *sealed.split()}),
        optional=frozenset(optional.split()),
        sealed=frozenset(sealed.split()),
        is_repeatable=is_repeatable,
        unknown=frozenset(unknown.split()),
    )


# An order's number is taken by the first request that arrives, so these two are not sent again (sheet §1.9).
QR_ORDER = _order_api(
    "qrcodeapply",
    "orderId userId notifyUrl txnAmt payValidTime",
    optional="currencyCode body mchReserved termId",
    is_repeatable=False,
)
PAY = _order_api(
    "pay",
    "orderId userId termId authCode notifyUrl txnAmt",
    optional="currencyCode body mchReserved",
    sealed="encryptTerminalInfo",
    is_repeatable=False,
)
ORDER_QUERY = _order_api("orderquery", "userId", optional="orderId cmbOrderId", is_write=False)
CANCEL = _order_api("cancel", "userId", optional="origOrderId origCmbOrderId", unknown="OPERATING_FREQUENTLY")
CLOSE = _order_api("close", "userId", optional="origOrderId origCmbOrderId")
REFUND = _order_api(
    "refund",
    "orderId userId txnAmt refundAmt",
    optional="origOrderId origCmbOrderId notifyUrl refundReason mchReserved currencyCode refundOrigAmt refundCouponAmt",
)
REFUND_QUERY = _order_api("refundquery", "userId", optional="orderId cmbOrderId", is_write=False)
ORDER_STATEMENT = _order_api("statementurl", "billDate", optional="billType", is_write=False)
