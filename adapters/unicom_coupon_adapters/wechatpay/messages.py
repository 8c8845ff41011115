"""Calls as data: each API once, with its method, path template and fields; and compact JSON bytes made once.

An ``Api`` turns values into a ``Call``, whose target and content are what will be signed and sent, byte for byte. It
refuses a missing field and a field that the platform does not list, because WeChat Pay answers extra fields with 400
(sheet 1.1). Its own fields are checked against the compliance table when it is defined, and what is nested in their
values when it is called, so nothing leaves that the table does not let out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

import pydantic_core

from unicom_coupon_adapters.wechatpay.compliance import SHIM
from unicom_coupon_sdk.errors import ComplianceError, ValidationError

SEALED = frozenset({"name", "user_name"})
"""Names of people: they leave encrypted, under the key that ``serial`` names, or not at all."""

_FOUR_BYTE = re.compile(rb"[\xf0-\xf4]")


@dataclass(frozen=True, slots=True)
class Call:
    """One call, ready to be signed. ``serial`` is set when the body holds fields encrypted for that platform key."""

    api: Api
    target: str = field(repr=False)
    content: bytes = field(default=b"", repr=False)
    serial: str | None = None


@dataclass(frozen=True, slots=True)
class Api:
    """One API. ``is_write``: its outcome can be unknown, and it is idempotent by the number in its body.

    ``required`` and ``optional`` are the body's fields, ``query`` those of the query string.
    """

    name: str
    method: str
    path: str
    is_write: bool = True
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    query: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Raises ``ComplianceError`` for a listed field that may not be sent: such an API cannot be defined."""
        SHIM.outgoing(dict.fromkeys(self.required | self.optional))

    def call(
        self,
        body: Mapping[str, Any] | None = None,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, object] | None = None,
        serial: str | None = None,
    ) -> Call:
        """The call with these values; fields that are ``None`` are left out.

        Raises ``ValidationError`` (``wechatpay.field_missing``, ``wechatpay.field_unlisted``, ``wechatpay.charset``)
        and ``ComplianceError`` (``compliance.not_sent``).
        """
        target = (
            self.path.format_map({name: quote(value, safe="") for name, value in path.items()}) if path else self.path
        )
        if query:
            self._check(query.keys() - self.query, code="wechatpay.field_unlisted")
            given = {name: value for name, value in query.items() if value is not None}
            target = f"{target}?{urlencode(given, quote_via=quote)}" if given else target
        return Call(self, target, self._content(body, serial), serial)

    def _content(self, body: Mapping[str, Any] | None, serial: str | None) -> bytes:
        if body is None:
            self._check(self.required, code="wechatpay.field_missing")
            return b""
        given = {name: value for name, value in body.items() if value is not None}
        names = given.keys()
        if not self.required <= names:
            self._check(self.required - names, code="wechatpay.field_missing")
        if len(names) > len(self.required):
            self._check(names - self.required - self.optional, code="wechatpay.field_unlisted")
        for name, value in given.items():
            if isinstance(value, dict | list):
                SHIM.outgoing({name: value})
        if serial is None and _holds(given, SEALED):
            raise ComplianceError("compliance.not_sent", field=min(SEALED), platform="wechatpay")
        content = pydantic_core.to_json(given)
        if not content.isascii() and _FOUR_BYTE.search(content):
            raise ValidationError("wechatpay.charset", field=self.name, platform="wechatpay")
        return content

    def _check(self, wrong: frozenset[str] | set[str], *, code: str) -> None:
        if wrong:
            raise ValidationError(code, field=min(wrong), platform="wechatpay", api=self.name)


def _holds(value: Any, names: frozenset[str]) -> bool:
    """Whether a member of ``names`` stands anywhere in ``value``."""
    if isinstance(value, dict):
        return not names.isdisjoint(value) or any(_holds(nested, names) for nested in value.values())
    return isinstance(value, list) and any(_holds(nested, names) for nested in value)


def fields(names: str) -> frozenset[str]:
    """Field names from a text with blanks between them."""
    return frozenset(names.split())


_BUSIFAVOR = "/v3/marketing/busifavor"
_USER_COUPON = _BUSIFAVOR + "/users/{openid}/coupons/{coupon_code}/appids/{appid}"

CREATE_STOCK = Api(
    "busifavor.create_stock",
    "POST",
    f"{_BUSIFAVOR}/stocks",
    required=fields(
        "stock_name belong_merchant goods_name stock_type coupon_use_rule stock_send_rule out_request_no"
        " coupon_code_mode"
    ),
    optional=fields("comment display_pattern_info notify_config"),
)
READ_STOCK = Api("busifavor.read_stock", "GET", f"{_BUSIFAVOR}/stocks/{{stock_id}}", is_write=False)
UPLOAD_CODES = Api(
    "busifavor.upload_codes",
    "POST",
    f"{_BUSIFAVOR}/stocks/{{stock_id}}/couponcodes",
    required=fields("coupon_code_list upload_request_no"),
)
SEND_COUPON = Api(
    "busifavor.send",
    "POST",
    f"{_BUSIFAVOR}/coupons/send",
    required=fields("openid appid stock_id out_request_no"),
    optional=fields("coupon_code"),
)
USE_COUPON = Api(
    "busifavor.use",
    "POST",
    f"{_BUSIFAVOR}/coupons/use",
    required=fields("coupon_code stock_id appid use_time use_request_no"),
    optional=fields("openid"),
)
RETURN_COUPON = Api(
    "busifavor.return",
    "POST",
    f"{_BUSIFAVOR}/coupons/return",
    required=fields("coupon_code stock_id return_request_no"),
)
DEACTIVATE_COUPON = Api(
    "busifavor.deactivate",
    "POST",
    f"{_BUSIFAVOR}/coupons/deactivate",
    required=fields("coupon_code stock_id deactivate_request_no"),
    optional=fields("deactivate_reason"),
)
_ORDER_LINK = fields("stock_id coupon_code out_trade_no out_request_no")
ASSOCIATE_ORDER = Api("busifavor.associate", "POST", f"{_BUSIFAVOR}/coupons/associate", required=_ORDER_LINK)
DISASSOCIATE_ORDER = Api("busifavor.disassociate", "POST", f"{_BUSIFAVOR}/coupons/disassociate", required=_ORDER_LINK)
LIST_COUPONS = Api(
    "busifavor.list",
    "GET",
    f"{_BUSIFAVOR}/users/{{openid}}/coupons",
    is_write=False,
    query=fields("appid stock_id coupon_state creator_merchant belong_merchant sender_merchant offset limit"),
)
READ_COUPON = Api("busifavor.read", "GET", _USER_COUPON, is_write=False)
SET_CALLBACK = Api(
    "busifavor.set_callback",
    "POST",
    f"{_BUSIFAVOR}/callbacks",
    required=fields("notify_url"),
    optional=fields("mchid"),
)
READ_CALLBACK = Api("busifavor.read_callback", "GET", f"{_BUSIFAVOR}/callbacks", is_write=False, query=fields("mchid"))

_PRODUCT = "/v3/marketing/partner/product-coupon"
_PRODUCT_USER = _PRODUCT + "/users/{openid}/coupons"
_PRODUCT_IDS = "brand_id product_coupon_id stock_id appid"
PRODUCT_UPLOAD_CODES = Api(
    "product.upload_codes",
    "POST",
    _PRODUCT + "/product-coupons/{product_coupon_id}/stocks/{stock_id}/upload-coupon-codes",
    required=fields("brand_id out_request_no code_list"),
)
PRODUCT_SEND = Api(
    "product.send",
    "POST",
    _PRODUCT_USER,
    required=fields(f"{_PRODUCT_IDS} send_request_no"),
    optional=fields("coupon_code"),
)
PRODUCT_CONFIRM = Api(
    "product.confirm",
    "POST",
    _PRODUCT_USER + "/{coupon_code}/confirm",
    required=fields(f"{_PRODUCT_IDS} out_request_no"),
)
PRODUCT_USE = Api(
    "product.use",
    "POST",
    _PRODUCT_USER + "/{coupon_code}/use",
    required=fields(f"{_PRODUCT_IDS} use_time out_request_no associated_order_info"),
    optional=fields("store_id saved_amount"),
)
PRODUCT_RETURN = Api(
    "product.return",
    "POST",
    _PRODUCT_USER + "/{coupon_code}/return",
    required=fields(f"{_PRODUCT_IDS} out_request_no"),
)
PRODUCT_DEACTIVATE = Api(
    "product.deactivate",
    "POST",
    _PRODUCT_USER + "/{coupon_code}/deactivate",
    required=fields(f"{_PRODUCT_IDS} out_request_no deactivate_reason"),
)
PRODUCT_READ = Api(
    "product.read",
    "GET",
    _PRODUCT_USER + "/{coupon_code}",
    is_write=False,
    query=fields(_PRODUCT_IDS),
)

TRADE_BY_ORDER = Api(
    "trade.by_order", "GET", "/v3/pay/transactions/out-trade-no/{out_trade_no}", is_write=False, query=fields("mchid")
)
TRADE_BY_ID = Api(
    "trade.by_id", "GET", "/v3/pay/transactions/id/{transaction_id}", is_write=False, query=fields("mchid")
)
REFUND = Api(
    "refund.create",
    "POST",
    "/v3/refund/domestic/refunds",
    required=fields("out_refund_no amount"),
    optional=fields("transaction_id out_trade_no reason notify_url"),
)
READ_REFUND = Api("refund.read", "GET", "/v3/refund/domestic/refunds/{out_refund_no}", is_write=False)

_TRANSFER = "/v3/fund-app/mch-transfer/transfer-bills"
CREATE_TRANSFER = Api(
    "transfer.create",
    "POST",
    _TRANSFER,
    required=fields(
        "appid out_bill_no transfer_scene_id openid transfer_amount transfer_remark transfer_scene_report_infos"
    ),
    optional=fields("user_name notify_url"),
)
READ_TRANSFER = Api("transfer.read", "GET", _TRANSFER + "/out-bill-no/{out_bill_no}", is_write=False)
CANCEL_TRANSFER = Api("transfer.cancel", "POST", _TRANSFER + "/out-bill-no/{out_bill_no}/cancel")

_RECEIPT = "/v3/fund-app/mch-transfer/elecsign/out-bill-no"
ASK_RECEIPT = Api("transfer.ask_receipt", "POST", _RECEIPT, is_write=False, required=fields("out_bill_no"))
READ_RECEIPT = Api("transfer.read_receipt", "GET", _RECEIPT + "/{out_bill_no}", is_write=False)

_SHARING = "/v3/profitsharing"
ADD_RECEIVER = Api(
    "sharing.add_receiver",
    "POST",
    _SHARING + "/receivers/add",
    is_write=False,  # it moves no money, and adding twice is adding once
    required=fields("appid type account relation_type"),
    optional=fields("name"),
)
SHARE = Api(
    "sharing.share",
    "POST",
    _SHARING + "/orders",
    required=fields("appid transaction_id out_order_no receivers unfreeze_unsplit"),
)
READ_SHARE = Api(
    "sharing.read", "GET", _SHARING + "/orders/{out_order_no}", is_write=False, query=fields("transaction_id")
)
UNFREEZE = Api(
    "sharing.unfreeze",
    "POST",
    _SHARING + "/orders/unfreeze",
    required=fields("transaction_id out_order_no description"),
)
UNSPLIT = Api("sharing.unsplit", "GET", _SHARING + "/transactions/{transaction_id}/amounts", is_write=False)
RETURN_SHARE = Api(
    "sharing.return",
    "POST",
    _SHARING + "/return-orders",
    required=fields("out_order_no out_return_no return_mchid amount description"),
)
READ_SHARE_RETURN = Api(
    "sharing.read_return",
    "GET",
    _SHARING + "/return-orders/{out_return_no}",
    is_write=False,
    query=fields("out_order_no"),
)

CERTIFICATES = Api("certificates", "GET", "/v3/certificates", is_write=False, query=fields("algorithm_type"))
ECHO = Api(
    "security.echo",
    "POST",
    "/v3/security/echo",
    is_write=False,  # it changes nothing; asking twice is asking twice
    required=fields("echo_message"),
    optional=fields("encrypted_echo_message notify_url"),
)
TRADE_BILL = Api(
    "bill.trade", "GET", "/v3/bill/tradebill", is_write=False, query=fields("bill_date bill_type tar_type")
)
FUNDS_BILL = Api(
    "bill.funds", "GET", "/v3/bill/fundflowbill", is_write=False, query=fields("bill_date account_type tar_type")
)
SHARE_BILL = Api("bill.share", "GET", "/v3/profitsharing/bills", is_write=False, query=fields("bill_date tar_type"))
