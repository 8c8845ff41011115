"""商家券 (ordervoucher): our coupons as Alipay's activities and vouchers, and its answers as ours (sheet §2.2–§2.7).

Every content is a function of what the ledger holds, never of the clock or of chance, so that a repeat by another
process under the same ``out_biz_no`` is the same request: Alipay answers it as it answered the first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from unicom_coupon_adapters.alipay.gateway import Node
from unicom_coupon_adapters.alipay.requests import Api, Call, Rest, beijing_text, members
from unicom_coupon_adapters.alipay.settings import AccessMode, AlipaySettings, CodeMode
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.coupon import AmountOff, CouponTemplate, Exchange, PercentOff
from unicom_coupon_sdk.domain.money import yuan_text
from unicom_coupon_sdk.domain.redemption import Binding, HeldRedemption, HeldReversal, Listing
from unicom_coupon_sdk.domain.sensitive import PlatformUser
from unicom_coupon_sdk.errors import CouponStateError, UnsupportedOperation, ValidationError
from unicom_coupon_sdk.platform.adapter import BindOrder

CODES_PER_DEPOSIT = 1000
MOST_IN_ACTIVITY = 999_999
PUBLISH_SPAN = timedelta(days=180)
_ALIPAY_PAID, _OTHERWISE_PAID = "ZHIFUBAO_TRADE_CHANNEL", "OTHER_TRADE_CHANNEL"
USER_ID = re.compile(r"2088[0-9]{12}")
LOGON_ID = re.compile(r"1[0-9]{10}|[^@\s]+@[^@\s]+")
"""A phone number or a mail address; what is neither this nor a user id is an open id."""
_VOUCHER_CODE = re.compile(r"[0-9A-Za-z_+=|-]{1,64}")

_V3 = "/v3/alipay/marketing/ordervoucher/activity"
_FAMILY = "alipay.marketing.activity.ordervoucher"

CREATE = Api(
    method=f"{_FAMILY}.create",
    required=members(
        "out_biz_no merchant_access_mode activity_base_info voucher_deduct_info voucher_send_mode_info"
        " voucher_use_rule_info voucher_display_pattern_info voucher_customer_guide_info voucher_available_scope_info"
    ),
    rest=Rest("POST", _V3),
)
QUERY_ACTIVITY = Api(
    method=f"{_FAMILY}.query",
    required=members("activity_id"),
    optional=members("merchant_access_mode"),
    is_write=False,
    rest=Rest("GET", "/v3/alipay/marketing/activity/ordervoucher/query"),
)
DEPOSIT_CODES = Api(
    method=f"{_FAMILY}.codedeposit",
    required=members("activity_id out_biz_no voucher_codes merchant_access_mode"),
    rest=Rest("POST", f"{_V3}/{{activity_id}}/voucher/codedeposit"),
)
COUNT_CODES = Api(
    method=f"{_FAMILY}.codecount",
    required=members("activity_id"),
    optional=members("merchant_access_mode"),
    is_write=False,
    rest=Rest("GET", f"{_V3}/{{activity_id}}/voucher/codecount"),
)
APPEND = Api(
    method=f"{_FAMILY}.append",
    required=members("activity_id out_biz_no voucher_quantity merchant_access_mode"),
    rest=Rest("PATCH", f"{_V3}/{{activity_id}}/append"),
)
RECEIVE = Api(
    method=f"{_FAMILY}.receive",
    required=members("receive_info_list"),
    optional=members("user_id user_open_id"),
)
USE = Api(
    method=f"{_FAMILY}.use",
    required=members("activity_id voucher_code out_biz_no biz_dt total_fee trade_channel merchant_access_mode"),
    optional=members("trade_no store_id"),
    rest=Rest("POST", f"{_V3}/{{activity_id}}/voucher/{{voucher_code}}/use"),
)
REFUND = Api(
    method=f"{_FAMILY}.refund",
    required=members("activity_id voucher_code out_biz_no biz_dt total_fee merchant_access_mode"),
    rest=Rest("POST", f"{_V3}/{{activity_id}}/voucher/{{voucher_code}}/refund"),
)
INVALID = Api(
    method=f"{_FAMILY}.invalid",
    required=members("activity_id voucher_code out_biz_no biz_dt merchant_access_mode"),
)
QUERY_VOUCHER = Api(
    method="alipay.marketing.activity.user.queryvoucher",
    required=members("activity_id voucher_code"),
    optional=members("user_id open_id merchant_id merchant_access_mode"),
    is_write=False,
    rest=Rest("GET", "/v3/alipay/marketing/activity/ordervoucher/user/voucher"),
)


@dataclass(frozen=True, slots=True)
class VoucherState:
    """What ``user.queryvoucher`` tells of one voucher. It tells neither who used it nor under which number."""

    status: str
    used_times: int | None
    max_times: int | None

    @property
    def is_used(self) -> bool | None:
        """Whether the voucher is spent at Alipay; ``None`` where its answer does not say so plainly.

        Our activities are single-use. ``EXPIRED`` alone says nothing about use, so then the count must.
        """
        match self.status:
            case "USED":
                return True
            case "SENDED":
                return None if self.used_times else False
            case "EXPIRED":
                return None if self.used_times is None else self.used_times > 0
            case _:
                return None


class Messages:
    """The calls of the ordervoucher family for one application's settings."""

    def __init__(self, settings: AlipaySettings) -> None:
        self._settings = settings
        self._mode = settings.access_mode.wire

    def create(self, template: CouponTemplate) -> Call:
        """The activity of ``template``. Its number is made from the template's id: one template, one activity.

        Raises ``ValidationError`` (``alipay.range``, ``alipay.discount``) for what Alipay cannot express, and
        ``UnsupportedOperation`` for a benefit that no voucher type carries.
        """
        settings = self._settings
        base: dict[str, Any] = {
            "activity_name": template.name,
            "code_mode": settings.code_mode.wire,
            "out_activity_id": template.template_id,
        }
        if settings.access_mode is AccessMode.AGENCY:
            base["belong_merchant_info"] = {
                "business_type": "ISV_FOR_MERCHANT",
                "merchant_id": settings.belong_merchant_id,
                "merchant_id_type": "PID",
            }
        content: dict[str, Any] = {
            "out_biz_no": f"CREATE_{template.template_id}",
            "merchant_access_mode": self._mode,
            "activity_base_info": base,
            "voucher_deduct_info": _deduction(template),
            "voucher_send_mode_info": {
                "voucher_send_mode": "DIRECT_SEND_MODE",
                "voucher_send_rule_info": self._send_rule(template),
            },
            "voucher_use_rule_info": _use_rule(template),
            "voucher_display_pattern_info": {
                "voucher_name": template.name,
                "brand_name": settings.brand_name,
                "brand_logo": settings.brand_logo,
                "voucher_image": settings.voucher_image,
                "customer_service_mobile": settings.customer_service_mobile,
            },
            "voucher_customer_guide_info": {"voucher_use_guide_info": {"use_guide_mode": ["OFFLINE_CODE"]}},
            "voucher_available_scope_info": self._scope(template),
        }
        return CREATE.call(content)

    def _send_rule(self, template: CouponTemplate) -> dict[str, Any]:
        uploads = self._settings.code_mode is CodeMode.MERCHANT_UPLOAD
        last = template.valid_until - timedelta(seconds=2)  # it must lie before the last valid second
        return {
            "publish_start_time": beijing_text(template.valid_from),
            "publish_end_time": beijing_text(min(template.valid_from + PUBLISH_SPAN, last)),
            "quantity": 0 if uploads else min(template.max_total, MOST_IN_ACTIVITY),
            "quantity_limit_per_user": template.max_per_holder,
            "quantity_limit_per_user_period_type": "LIFE_CYCLE",
        }

    def _scope(self, template: CouponTemplate) -> dict[str, Any]:
        shops = self._settings.shop_ids
        scope: dict[str, Any] = (
            {
                "available_geography_scope_type": "SHOP",
                "available_geography_shop_info": {"available_shop_ids": sorted(shops)},
            }
            if shops
            else {"available_geography_scope_type": "CITY_CODE", "available_geography_city_info": {"all_city": True}}
        )
        found: dict[str, Any] = {"voucher_available_geography_scope_info": scope}
        if isinstance(template.benefit, Exchange) and template.benefit.price_fen:
            found["voucher_available_goods_info"] = {
                "goods_name": template.benefit.item,
                "origin_amount": _ranged(template.benefit.worth_fen, 10, 999_900, field="benefit.worth_fen"),
            }
        return found

    def query_activity(self, activity_id: str) -> Call:
        """How an activity stands."""
        return QUERY_ACTIVITY.call({"activity_id": activity_id, "merchant_access_mode": self._mode})

    def deposit(self, activity_id: str, codes: list[str], *, number: str) -> Call:
        """Upload at most 1 000 codes. ``number`` names this upload."""
        for code in codes:
            if not _VOUCHER_CODE.fullmatch(code):
                raise ValidationError("alipay.voucher_code", field="codes", platform="alipay")
        return DEPOSIT_CODES.call(
            {
                "activity_id": activity_id,
                "out_biz_no": number,
                "voucher_codes": codes,
                "merchant_access_mode": self._mode,
            }
        )

    def count_codes(self, activity_id: str) -> Call:
        """How many codes were uploaded so far."""
        return COUNT_CODES.call({"activity_id": activity_id, "merchant_access_mode": self._mode})

    def append(self, activity_id: str, *, template_id: str, total: int) -> Call:
        """Set the activity's quantity to ``total``, the number of codes uploaded. The number is made from both."""
        return APPEND.call(
            {
                "activity_id": activity_id,
                "out_biz_no": f"APPEND{total}_{template_id}",
                "voucher_quantity": total,
                "merchant_access_mode": self._mode,
            }
        )

    def receive(self, order: BindOrder) -> Call:
        """Put one voucher with our code into the user's wallet."""
        user = order.holder.user
        if user is None:
            raise ValidationError("alipay.user_needed", field="holder.user", platform="alipay")
        row = {
            "activity_id": activity_of(order.listing),
            "out_biz_no": order.binding_no,
            "voucher_code": _code_text(order.code),
        }
        return RECEIVE.call({"receive_info_list": [row], **named(user, open_id="user_open_id")})

    def use(self, held: HeldRedemption) -> Call:
        """Tell Alipay that the coupon is redeemed. ``biz_dt`` is the time of the hold, in every repeat."""
        redemption = held.redemption
        order = redemption.order
        return USE.call(
            {
                "activity_id": activity_of(held.listing),
                "voucher_code": _code_text(held.code),
                "out_biz_no": redemption.redemption_id,
                "biz_dt": beijing_text(redemption.held_at),
                "total_fee": _ranged(order.amount_fen, 1, 10_000_000_000, field="order.amount_fen"),
                "trade_channel": _ALIPAY_PAID if order.platform_order_no else _OTHERWISE_PAID,
                "trade_no": order.platform_order_no,
                "store_id": order.store_no if order.store_no in self._settings.shop_ids else None,
                "merchant_access_mode": self._mode,
            }
        )

    def refund(self, held: HeldReversal) -> Call:
        """Tell Alipay that the redemption is taken back; with a number of its own."""
        redeemed = held.redeemed
        return REFUND.call(
            {
                "activity_id": activity_of(redeemed.listing),
                "voucher_code": _code_text(redeemed.code),
                "out_biz_no": held.reversal.reversal_id,
                "biz_dt": beijing_text(held.reversal.held_at),
                "total_fee": _ranged(redeemed.redemption.order.amount_fen, 1, 10_000_000_000, field="order.amount_fen"),
                "merchant_access_mode": self._mode,
            }
        )

    def invalidate(self, listing: Listing, code: CouponCode, *, number: str, at: datetime) -> Call:
        """Withdraw an unused voucher."""
        return INVALID.call(
            {
                "activity_id": activity_of(listing),
                "voucher_code": _code_text(code),
                "out_biz_no": number,
                "biz_dt": beijing_text(at),
                "merchant_access_mode": self._mode,
            }
        )

    def query_voucher(self, listing: Listing, binding: Binding, code: CouponCode) -> Call:
        """How one voucher stands. The user goes with it where known: Alipay wants both (§2.7)."""
        return QUERY_VOUCHER.call(
            {
                "activity_id": activity_of(listing),
                "voucher_code": _code_text(code),
                "merchant_access_mode": self._mode,
                **(named(binding.user) if binding.user is not None else {}),
            }
        )


def voucher_state(node: Node, *, code: CouponCode) -> VoucherState | None:
    """The state in an answer to ``query_voucher``; ``None`` when the answer is about another code or says nothing."""
    base = node.part("user_voucher_base_info") or node.members
    if base.get("voucher_code") not in (None, "", code.reveal()):
        return None
    status = base.get("voucher_status")
    if not isinstance(status, str):
        return None
    return VoucherState(
        status=status,
        used_times=_count(base.get("voucher_used_times")),
        max_times=_count(base.get("voucher_max_use_times")),
    )


def named(user: PlatformUser, *, open_id: str = "open_id") -> dict[str, str]:
    """The member that names ``user``: a ``user_id`` begins with 2088 and has 16 digits, all else is an open id."""
    text = user.reveal()
    return {"user_id": text} if USER_ID.fullmatch(text) else {open_id: text}


def activity_of(listing: Listing) -> str:
    """The activity id in a listing. Raises ``CouponStateError`` ``coupon.not_listed``."""
    activity_id = listing.refs.get("activity_id")
    if not activity_id:
        raise CouponStateError("coupon.not_listed", field="coupon", platform="alipay")
    return activity_id


def _deduction(template: CouponTemplate) -> dict[str, Any]:
    benefit = template.benefit
    floor = (
        {"floor_amount": _ranged(benefit.min_spend_fen, 10, 5_000_000, field="benefit.min_spend_fen")}
        if benefit.min_spend_fen
        else {}
    )
    match benefit:
        case AmountOff(off_fen=off):
            amount = _ranged(off, 10, 300_000, field="benefit.off_fen")
            return {"voucher_type": "FIX_VOUCHER", "fix_voucher_info": {"amount": amount, **floor}}
        case PercentOff(basis_points=points, max_off_fen=most):
            if points % 100 or not 100 <= points <= 9_900:
                raise ValidationError("alipay.discount", field="benefit.basis_points", platform="alipay")
            told: dict[str, Any] = {"discount": f"{(10_000 - points) // 1000}.{(10_000 - points) // 100 % 10}", **floor}
            if most is not None:
                told["ceiling_amount"] = _ranged(most, 10, 1_500_000, field="benefit.max_off_fen")
            return {"voucher_type": "DISCOUNT_VOUCHER", "discount_voucher_info": told}
        case Exchange(price_fen=price) if price:
            amount = _ranged(price, 0, 99_900, field="benefit.price_fen")
            return {"voucher_type": "SPECIAL_VOUCHER", "special_voucher_info": {"special_amount": amount, **floor}}
        case Exchange(worth_fen=worth):
            amount = _ranged(worth, 10, 300_000, field="benefit.worth_fen")
            exchange = {"amount": amount, "biz_type": "FIX_EXCHANGE_VOUCHER", **floor}
            return {"voucher_type": "EXCHANGE_VOUCHER", "exchange_voucher_info": exchange}
        case _:
            raise UnsupportedOperation("coupon.kind_not_offered", platform="alipay", kind=benefit.kind)


def _use_rule(template: CouponTemplate) -> dict[str, Any]:
    return {
        "voucher_max_use_times": 1,
        "voucher_use_time_info": {
            "period_type": "ABSOLUTE",
            "absolute_period_info": {
                "valid_begin_time": beijing_text(template.valid_from),
                "valid_end_time": beijing_text(template.valid_until - timedelta(seconds=1)),
            },
        },
    }


def _ranged(fen: int, least: int, most: int, *, field: str) -> str:
    """``fen`` as yuan text. Raises ``ValidationError`` ``alipay.range`` outside what Alipay takes."""
    if not least <= fen <= most:
        raise ValidationError(
            "alipay.range", field=field, platform="alipay", least=yuan_text(least), most=yuan_text(most)
        )
    return yuan_text(fen)


def _code_text(code: CouponCode) -> str:
    text = code.reveal()
    if not _VOUCHER_CODE.fullmatch(text):
        raise ValidationError("alipay.voucher_code", field="code", platform="alipay")
    return text


def _count(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else None
