"""Verdicts: what an answer or a query says about an operation, as an ``Outcome``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from unicom_coupon_adapters.wechatpay.gateway import Answer
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.redemption import Binding, Outcome
from unicom_coupon_sdk.domain.times import instant_of
from unicom_coupon_sdk.errors import (
    Effected,
    PlatformError,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    ValidationError,
)

PLATFORM = "wechatpay"


def done_at(at: datetime | None, *, number: str) -> Outcome:
    """It happened. WeChat Pay gives no number of its own, so the platform's number is the request number."""
    return Outcome(effected=Effected.DONE, at=at, platform_no=number)


def done_by(answer: Answer, *, time_field: str, number: str) -> Outcome:
    """It happened at the time that ``answer`` names.

    Raises ``PlatformUnknown`` (``wechatpay.answer_malformed``) when there is none: such an answer is not one to this
    call, and the query will tell.
    """
    at = instant_or_none(answer.content.get(time_field))
    if at is None:
        raise malformed(answer, field=time_field)
    return done_at(at, number=number)


def not_done(code: str, *, state: str) -> Outcome:
    """It did not happen, by the platform's own record."""
    return Outcome(
        effected=Effected.NOT_DONE, error=PlatformRefused(code, platform=PLATFORM, platform_code=state or None)
    )


def undecided(code: str, *, state: str) -> Outcome:
    """The platform's record does not say."""
    error = PlatformUnknown(code, platform=PLATFORM, platform_code=state or None, reason=code)
    return Outcome(effected=Effected.UNKNOWN, error=error)


def malformed(answer: Answer, *, field: str, is_write: bool = True) -> PlatformError:
    """A genuine answer that lacks what it must have: after a write, nothing is known."""
    kind = PlatformUnknown if is_write else PlatformUnavailable
    return kind(
        "wechatpay.answer_malformed", platform=PLATFORM, request_id=answer.request_id, field=field, reason=field
    )


def instant_or_none(value: object) -> datetime | None:
    """A time of the platform as a UTC instant; ``None`` when there is none that can be read."""
    if not isinstance(value, str) or not value:
        return None
    try:
        return instant_of(value)
    except ValidationError:
        return None


def openid_of(binding: Binding) -> str | None:
    """The holder's openid, where it is known."""
    return binding.user.reveal() if binding.user is not None else None


def text_of(data: Mapping[str, Any], name: str) -> str | None:
    """A field that is text and not empty, else ``None``."""
    value = data.get(name)
    return value if isinstance(value, str) and value else None


def code_of(value: object) -> CouponCode | None:
    """A coupon code; ``None`` for one of a form that no coupon of this package has (blanks, too short)."""
    try:
        return CouponCode(value) if isinstance(value, str) else None
    except ValidationError:
        return None
