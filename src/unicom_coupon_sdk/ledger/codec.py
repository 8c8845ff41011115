"""How values become integers and texts of the tables, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any

from unicom_coupon_sdk.domain.coupon import CouponTemplate
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.settlement import CalendarNotPublished, SettlementDate

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_UNPUBLISHED = "unpublished:"


def micros(at: datetime) -> int:
    """An aware instant as whole microseconds since 1970 in UTC, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def instant(count: int) -> datetime:
    """The instant, in UTC, that ``micros`` made ``count`` of."""
    return _EPOCH + timedelta(microseconds=count)


def instant_or_none(count: int | None) -> datetime | None:
    """``instant``, where there is one."""
    return None if count is None else instant(count)


_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


def canonical(value: Any) -> str:
    """JSON with sorted names and no blanks: equal values give equal texts."""
    return _encode(value)


def refs_text(refs: Mapping[str, str]) -> str:
    """References as text. Adapters pass them through their compliance shim before, so they hold no personal data."""
    return canonical(dict(refs)) if refs else "{}"


def refs_of(text: str) -> dict[str, str]:
    """References as they were."""
    found: dict[str, str] = json.loads(text) if text != "{}" else {}
    return found


def template_text(template: CouponTemplate) -> str:
    """A template as canonical JSON; equal templates give equal texts."""
    content = template.model_dump(mode="json")
    content["platforms"] = sorted(content["platforms"])
    return canonical(content)


@lru_cache(maxsize=1024)
def template_of(text: str) -> CouponTemplate:
    """The template. Kept, because a template never changes and every coupon needs its own."""
    return CouponTemplate.parse_json(text)


def order_text(order: Order) -> str:
    """An order as JSON; equal orders give equal texts, also after an optional field is added to the class."""
    return order.model_dump_json(exclude_none=True)


def order_of(text: str) -> Order:
    """The order."""
    return Order.parse_json(text)


def settlement_text(day: SettlementDate | None) -> str | None:
    """A settlement date as ISO text, or the year whose working days are not published."""
    if isinstance(day, CalendarNotPublished):
        return f"{_UNPUBLISHED}{day.year}"
    return None if day is None else day.isoformat()


def settlement_of(text: str | None) -> SettlementDate | None:
    """The settlement date."""
    if text is None:
        return None
    if text.startswith(_UNPUBLISHED):
        return CalendarNotPublished(int(text.removeprefix(_UNPUBLISHED)))
    return date.fromisoformat(text)
