"""When a coupon of a stock can be used: its first and last moment, and the hours within.

Sheet §2.1 ``coupon_available_time``. Days are Beijing days. *N days after receipt* count the day on which the coupon
takes effect as the first and end at 23:59:59, as the platform's cards show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.world import BEIJING, moment_of

_LAST_SECOND: Final = time(23, 59, 59)
_DAY_NAMES: Final = ("SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")


def validity(times: Mapping[str, Any], *, received: datetime) -> tuple[datetime, datetime]:
    """First and last moment of a coupon received at ``received``. Reads 商家券 and 商品券 rules alike."""
    start = max(received, moment_of(times["available_begin_time"]))
    end = moment_of(times["available_end_time"])
    wait_days = times.get("wait_days_after_receive")
    if wait_days:
        first_day = received.astimezone(BEIJING).date() + timedelta(days=wait_days)
        start = max(start, datetime.combine(first_day, time(), BEIJING))
    lasting_days = times.get("available_day_after_receive") or times.get("available_days")
    if lasting_days:
        last_day = start.astimezone(BEIJING).date() + timedelta(days=lasting_days - 1)
        end = min(end, datetime.combine(last_day, _LAST_SECOND, BEIJING))
    lasting_s = times.get("available_second_after_receive")
    if lasting_s:
        end = min(end, start + timedelta(seconds=lasting_s))
    return start, end


def is_open(times: Mapping[str, Any], *, at: datetime) -> bool:
    """Whether weekly hours and listed periods of the rule allow use at ``at``; no such rule allows it always."""
    local = at.astimezone(BEIJING)
    week = times.get("available_week") or times.get("weekly_available_period")
    periods = times.get("irregulary_avaliable_time") or times.get("irregular_available_period_list")
    if not week and not periods:
        return True
    if periods and any(moment_of(one["begin_time"]) <= at <= moment_of(one["end_time"]) for one in periods):
        return True
    return week is not None and _is_in_week(week, local)


def _is_in_week(week: Mapping[str, Any], local: datetime) -> bool:
    weekday = (local.weekday() + 1) % 7
    days = week.get("week_day")
    names = week.get("day_list")
    if (days is not None and weekday not in days) or (names is not None and _DAY_NAMES[weekday] not in names):
        return False
    second = local.hour * 3600 + local.minute * 60 + local.second
    hours = week.get("available_day_time") or week.get("day_period_list")
    return not hours or any(one["begin_time"] <= second <= one["end_time"] for one in hours)
