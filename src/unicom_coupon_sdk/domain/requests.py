"""What a caller can ask for, beside ``RedeemRequest`` and ``ReverseRequest``, and what issuing gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, StringConstraints

from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.coupon import Coupon, CouponTemplate, PlatformName
from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import IdempotencyKey
from unicom_coupon_sdk.domain.token import QrToken
from unicom_coupon_sdk.domain.verification import Method


class IssueRequest(Value):
    """Make ``count`` coupons of ``template`` and list them on its platforms.

    The same ``idempotency_key`` with the same template and count gives the same coupons. A batch is at most 1 000:
    a larger campaign is several batches of one template.
    """

    idempotency_key: IdempotencyKey
    template: CouponTemplate
    count: Annotated[int, Field(strict=True, gt=0, le=1000)]


class BindRequest(Value):
    """Give a coupon to ``holder`` on ``platform``. Repeating it changes nothing; another holder is refused."""

    coupon: CouponCode
    platform: PlatformName
    holder: Holder


class ChallengeRequest(Value):
    """Ask the holder to prove who they are by ``method``, for this coupon and this order."""

    coupon: CouponCode | QrToken
    platform: PlatformName
    method: Method
    order: Order


class VoidRequest(Value):
    """Withdraw an unused coupon everywhere. Cannot be undone."""

    coupon: CouponCode
    reason: Annotated[str, StringConstraints(min_length=1, max_length=64)]


@dataclass(frozen=True, slots=True)
class IssuedBatch:
    """The coupons of one issue, with the platforms' own ids of their template."""

    batch_id: str
    coupons: tuple[Coupon, ...]
    refs: Mapping[str, Mapping[str, str]]
    is_repeat: bool
