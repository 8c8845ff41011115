"""Instants are aware UTC datetimes; business dates are the calendar days of Asia/Shanghai."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Annotated

from pydantic import AfterValidator

from unicom_coupon_sdk.errors import ValidationError

BEIJING = timezone(timedelta(hours=8), "Asia/Shanghai")
"""China has kept one offset without daylight saving since 1991, so no zone database is needed."""


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValidationError("time.naive", field="time")
    return value.astimezone(UTC)


Instant = Annotated[datetime, AfterValidator(_aware)]
"""A point in time: an aware datetime, held in UTC."""


def business_date(at: datetime) -> date:
    """The day it is in Beijing at ``at``."""
    return at.astimezone(BEIJING).date()


def rfc3339(at: datetime) -> str:
    """``at`` in Beijing time with its offset, to the second: ``2026-05-20T13:29:35+08:00``."""
    return at.astimezone(BEIJING).isoformat(timespec="seconds")


def instant_of(text: str, *, field: str = "time") -> datetime:
    """An RFC 3339 text with offset as a UTC instant. Raises ``ValidationError``."""
    try:
        parsed = datetime.fromisoformat(text)
    except (ValueError, TypeError):
        raise ValidationError("time.shape", field=field) from None
    if parsed.tzinfo is None:
        raise ValidationError("time.naive", field=field)
    return parsed.astimezone(UTC)
