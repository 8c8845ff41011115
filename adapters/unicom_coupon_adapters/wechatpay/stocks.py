"""A template as a 商家券 stock: benefit, dates and limits in the platform's words (sheet 2.1, B1)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from unicom_coupon_adapters.wechatpay.settings import WechatPaySettings
from unicom_coupon_sdk.domain.coupon import AmountOff, CouponTemplate, Exchange, PercentOff, PhoneCredit
from unicom_coupon_sdk.domain.times import rfc3339
from unicom_coupon_sdk.errors import ValidationError

PLATFORM = "wechatpay"
LONGEST_VALIDITY = timedelta(days=366)
DEAREST_FEN = 10_000_000


def stock_body(template: CouponTemplate, *, settings: WechatPaySettings) -> dict[str, Any]:
    """The body of B1. The times are the template's; the platform's end is inclusive, so one second earlier.

    Raises ``ValidationError`` for a template that a stock cannot say.
    """
    if template.valid_until - template.valid_from > LONGEST_VALIDITY:
        raise ValidationError(
            "wechatpay.validity", field="valid_until", platform=PLATFORM, longest=LONGEST_VALIDITY.days
        )
    stock_type, rule = _rule(template)
    usage: dict[str, Any] = {"use_method": "OFF_LINE"}
    if settings.mini_program_path is not None:
        usage = {
            "use_method": "MINI_PROGRAMS",
            "mini_programs_appid": settings.appid,
            "mini_programs_path": settings.mini_program_path,
        }
    return {
        "stock_name": template.name,
        "belong_merchant": settings.mchid,
        "goods_name": template.name[:15],
        "stock_type": stock_type,
        "coupon_use_rule": {
            "coupon_available_time": {
                "available_begin_time": rfc3339(template.valid_from),
                "available_end_time": rfc3339(template.valid_until - timedelta(seconds=1)),
            },
            **rule,
            **usage,
        },
        "stock_send_rule": {
            "max_coupons": template.max_total,
            "max_coupons_per_user": template.max_per_holder,
            "natural_person_limit": False,
            "prevent_api_abuse": False,
        },
        "out_request_no": f"{settings.mchid}_{template.template_id}",
        "coupon_code_mode": settings.code_mode.upper(),
        "notify_config": {"notify_appid": settings.appid},
        **_description(template),
    }


def _rule(template: CouponTemplate) -> tuple[str, dict[str, Any]]:
    """Stock type and rule of a benefit. Raises ``ValidationError`` for what a stock cannot say."""
    benefit = template.benefit
    minimum = max(1, benefit.min_spend_fen)
    match benefit:
        case AmountOff(off_fen=off) | PhoneCredit(credit_fen=off) if off <= DEAREST_FEN:
            return "NORMAL", {"fixed_normal_coupon": {"discount_amount": off, "transaction_minimum": minimum}}
        case PercentOff(basis_points=points) if points % 100 == 0:
            percent = 100 - points // 100
            return "DISCOUNT", {"discount_coupon": {"discount_percent": percent, "transaction_minimum": minimum}}
        case Exchange(price_fen=price) if price <= DEAREST_FEN:
            return "EXCHANGE", {"exchange_coupon": {"exchange_price": price, "transaction_minimum": minimum}}
        case _:
            raise ValidationError("wechatpay.benefit", field="benefit", platform=PLATFORM, kind=benefit.kind)


def _description(template: CouponTemplate) -> dict[str, Any]:
    """A stock has no field for a cap on a discount, so the user is told in words."""
    match template.benefit:
        case PercentOff(max_off_fen=int(cap)):
            text = f"最高优惠{cap // 100}.{cap % 100:02d}元"
        case Exchange(item=item):
            text = item
        case _:
            return {}
    return {"display_pattern_info": {"description": text}}
