"""What happens to coupons, as facts: ours to the outside (outbox), and a platform's to us (notifications)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.sensitive import PlatformUser


class EventKind(StrEnum):
    """The kinds of our own events. One for each change of a coupon."""

    ISSUED = "coupon.issued"
    BOUND = "coupon.bound"
    HELD = "coupon.held"
    REDEEMED = "coupon.redeemed"
    RELEASED = "coupon.released"
    UNKNOWN = "coupon.unknown"
    PENDING = "coupon.pending"
    REVERSING = "coupon.reversing"
    REVERSED = "coupon.reversed"
    REVERSAL_DROPPED = "coupon.reversal_dropped"
    EXPIRED = "coupon.expired"
    VOIDED = "coupon.voided"


@dataclass(frozen=True, slots=True)
class CouponEvent:
    """One change of one coupon. ``version`` is the coupon's after the change, so consumers order and deduplicate by it.

    ``event_id`` is ``<coupon id>.<version>``. No personal data and no code inside.
    """

    event_id: str
    kind: EventKind
    coupon_id: str
    version: int
    at: datetime
    platform: str | None = None
    operation_id: str | None = None
    value_fen: int | None = None


class NewsKind(StrEnum):
    """What a platform can tell us."""

    DELIVERED = "delivered"  # the user has the coupon
    REDEEMED = "redeemed"  # the platform saw it used
    REVERSED = "reversed"
    PAID = "paid"
    REFUNDED = "refunded"
    EXPIRED = "expired"
    REMOVED = "removed"  # the user deleted it
    CHANGED = "changed"  # the platform finished something asynchronous on an activity or stock
    ECHO = "echo"  # a self-test
    OTHER = "other"  # genuine, and of no concern to a coupon


@dataclass(frozen=True, slots=True)
class VerifiedEvent:
    """News from a platform whose signature, serial, time and nonce were found right. There is no unverified one.

    ``event_id`` is the platform's, and deduplicates. ``content`` is what was received, unknown fields included; it
    may hold personal data and is never logged or kept whole.
    """

    platform: str
    event_id: str
    kind: NewsKind
    type_name: str
    occurred_at: datetime
    code: CouponCode | None = None
    user: PlatformUser | None = None
    refs: Mapping[str, str] = field(default_factory=dict)
    operation_no: str | None = None
    content: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The exact answer that the platform wants from our callback address."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    content: bytes = b""
