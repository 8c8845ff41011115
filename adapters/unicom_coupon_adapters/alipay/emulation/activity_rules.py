"""What an activity may be: the two generations of the ``create`` body, checked and brought into one form.

Sheet §2.2: ranges in yuan, spans, which members go together. Rules that the sheet leaves to the merchant (thresholds,
time restrictions, goods) are kept for display and not judged here.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation.fields import Fields
from unicom_coupon_adapters.alipay.emulation.moments import BEIJING, moment_of, moment_text

LONGEST_PUBLICATION: Final = timedelta(days=180)
_LAST_SECOND: Final = time(23, 59, 59)
_KINDS: Final = ("FIX_VOUCHER", "DISCOUNT_VOUCHER", "SPECIAL_VOUCHER", "EXCHANGE_VOUCHER")
_NEW_MARKS: Final = (
    "activity_base_info",
    "voucher_deduct_info",
    "voucher_send_mode_info",
    "voucher_use_rule_info",
    "voucher_display_pattern_info",
    "voucher_customer_guide_info",
    "voucher_available_scope_info",
)
_OLD_MARKS: Final = (
    "activity_name",
    "code_mode",
    "voucher_type",
    "publish_start_time",
    "voucher_send_rule",
    "voucher_use_rule",
    "voucher_display_info",
    "customer_guide",
)


def checked(body: Fields) -> dict[str, Any]:
    """The activity in one form whichever generation ``body`` is. Raises ``INVALID_PARAMETER``, also for a mixture."""
    is_new = any(body.has(name) for name in _NEW_MARKS)
    is_old = any(body.has(name) for name in _OLD_MARKS)
    if is_new == is_old:
        raise body.refusal("activity_base_info", "缺失或与旧版参数混用")
    body.choice("merchant_access_mode", "SELF_MODE", "AGENCY_MODE")
    activity = _new(body) if is_new else _old(body)
    return {**activity, "is_new": is_new}


def validity(activity: dict[str, Any], *, received: datetime) -> tuple[datetime, datetime]:
    """First and last second of a voucher received at ``received``, UTC. Days are Beijing days."""
    period = activity["period"]
    if period["type"] == "ABSOLUTE":
        return max(received, moment_of(period["begin"])), moment_of(period["end"])
    day = received.astimezone(BEIJING).date() + timedelta(days=period["wait"])
    start = received if not period["wait"] else datetime.combine(day, time(), BEIJING).astimezone(UTC)
    last = day + timedelta(days=period["days"] - (0 if period["backward"] else 1))
    return start, datetime.combine(last, _LAST_SECOND, BEIJING).astimezone(UTC)


def _new(body: Fields) -> dict[str, Any]:
    base, deduct = body.sub("activity_base_info"), body.sub("voucher_deduct_info")
    mode = base.choice("code_mode", "MERCHANT_UPLOAD", "MERCHANT_API")
    name = base.needed("activity_name", longest=20)
    kind = deduct.choice("voucher_type", *_KINDS)
    off = _deduction(deduct, kind, suffix="_info")
    sending = body.sub("voucher_send_mode_info")
    sending.choice("voucher_send_mode", "DIRECT_SEND_MODE", "SALE_MODE", "VOUCHER_PACKAGE")
    send_rule = sending.sub("voucher_send_rule_info")
    use_rule = body.sub("voucher_use_rule_info")
    pattern = body.maybe("voucher_display_pattern_info")
    shown = pattern.text("voucher_name") if pattern else None
    if kind == "EXCHANGE_VOUCHER" and not shown:
        raise body.refusal("voucher_display_pattern_info.voucher_name", "不能为空")
    times = use_rule.sub("voucher_use_time_info")
    period_type = times.choice("period_type", "ABSOLUTE", "RELATIVE")
    period = _period(times.sub(f"{period_type.lower()}_period_info"), period_type)
    return {
        "name": name,
        "voucher_name": shown or name,
        "code_mode": mode,
        "voucher_type": kind,
        "off_fen": off,
        "max_times": use_rule.whole("voucher_max_use_times", least=1, most=9999, default=1),
        "period": period,
        "shops": _shops(body.maybe("voucher_available_scope_info")),
        **_publication(send_rule, mode, period),
    }


def _old(body: Fields) -> dict[str, Any]:
    mode = body.choice("code_mode", "MERCHANT_UPLOAD", "MERCHANT_API")
    kind = body.choice("voucher_type", *_KINDS)
    name = body.needed("activity_name", longest=20)
    use_rule, send_rule = body.sub("voucher_use_rule"), body.sub("voucher_send_rule")
    valid = use_rule.sub("voucher_valid_period")
    period = _period(valid, valid.choice("type", "ABSOLUTE", "RELATIVE"))
    scope = use_rule.maybe("voucher_available_scope")
    shops = scope.maybe("voucher_available_shop") if scope else None
    pattern = body.maybe("voucher_display_info")
    shown = pattern.text("voucher_name") if pattern else None
    merged = Fields(
        {
            "publish_start_time": body.content.get("publish_start_time"),
            "publish_end_time": body.content.get("publish_end_time"),
            "quantity": send_rule.content.get("voucher_quantity"),
            "quantity_limit_per_user": send_rule.content.get("voucher_quantity_limit_per_user"),
        }
    )
    return {
        "name": name,
        "voucher_name": shown or name,
        "code_mode": mode,
        "voucher_type": kind,
        "off_fen": _deduction(use_rule, kind, suffix=""),
        "max_times": 1,
        "period": period,
        "shops": shops.texts("shop_ids", least=0, most=10_000) if shops else [],
        **_publication(merged, mode, period),
    }


def _deduction(holder: Fields, kind: str, *, suffix: str) -> int | None:
    """The benefit's amount in fen where the voucher has one, after the checks of its kind."""
    told = holder.sub(kind.lower() + suffix)
    if kind == "DISCOUNT_VOUCHER":
        discount = told.money("discount", least=10, most=990)
        if discount % 10:
            raise told.refusal("discount", "最多一位小数")
        told.maybe_money("ceiling_amount", least=10, most=1_500_000)
        told.maybe_money("floor_amount", least=0, most=5_000_000)
        return None
    if kind == "SPECIAL_VOUCHER":
        told.money("special_amount", least=0, most=99_900)
        told.maybe_money("floor_amount", least=0, most=5_000_000)
        return None
    amount = told.money("amount", least=10, most=300_000)
    told.maybe_money("floor_amount", least=10 if kind == "FIX_VOUCHER" else 0, most=5_000_000)
    if kind == "EXCHANGE_VOUCHER":
        told.choice("biz_type", "GROUP_BUY_EXCHANGE_VOUCHER", "FIX_EXCHANGE_VOUCHER", default="FIX_EXCHANGE_VOUCHER")
    return amount


def _publication(rule: Fields, mode: str, period: dict[str, Any]) -> dict[str, Any]:
    start, end = rule.moment("publish_start_time"), rule.moment("publish_end_time")
    if not start < end or end - start > LONGEST_PUBLICATION:
        raise rule.refusal("publish_end_time", "发放时间跨度错误")
    if period["type"] == "ABSOLUTE" and moment_of(period["end"]) <= end:
        raise rule.refusal("publish_end_time", "应早于券的可用结束时间")
    if mode == "MERCHANT_UPLOAD":
        quantity = rule.whole("quantity", most=0, default=0)
    else:
        quantity = rule.whole("quantity", least=1)
    periods = ("DAY", "WEEK", "MONTH", "LIFE_CYCLE")
    return {
        "publish_start": moment_text(start),
        "publish_end": moment_text(end),
        "quantity": quantity,
        "user_limit": rule.whole("quantity_limit_per_user", default=0),
        "user_limit_period": rule.choice("quantity_limit_per_user_period_type", *periods, default="LIFE_CYCLE"),
        "day_limit": rule.whole("max_quantity_by_day", default=0),
    }


def _period(told: Fields, kind: str) -> dict[str, Any]:
    if kind == "ABSOLUTE":
        begin, end = told.moment("valid_begin_time"), told.moment("valid_end_time")
        if not begin < end:
            raise told.refusal("valid_end_time", "应晚于开始时间")
        return {"type": kind, "begin": moment_text(begin), "end": moment_text(end)}
    rounding = told.choice("valid_days_relative_type", "ROUND_FORWARD", "ROUND_BACKWARD", default="ROUND_FORWARD")
    return {
        "type": kind,
        "days": told.whole("valid_days_after_receive", least=1, most=3650),
        "wait": told.whole("wait_days_after_receive", most=3650, default=0),
        "backward": rounding == "ROUND_BACKWARD",
    }


def _shops(scope: Fields | None) -> list[str]:
    """The shops where a voucher can be used; none named means everywhere in its cities."""
    geography = scope.maybe("voucher_available_geography_scope_info") if scope else None
    if geography is None:
        return []
    kind = geography.choice("available_geography_scope_type", "SHOP", "CITY_CODE", default="CITY_CODE")
    if kind != "SHOP":
        return []
    found = geography.maybe("available_geography_shop_info") or geography
    shops = found.texts("available_shop_ids", least=0, most=10_000)
    return shops + found.texts("available_real_shop_ids", least=0, most=10_000)
