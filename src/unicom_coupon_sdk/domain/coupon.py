"""What a coupon is: a template with a benefit, and single coupons made from it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.domain.money import Currency, Fen, PositiveFen, portion
from unicom_coupon_sdk.domain.state import CouponState
from unicom_coupon_sdk.domain.times import Instant
from unicom_coupon_sdk.errors import CouponStateError, ValidationError

Identifier = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_]{1,32}$")]
"""A name that every platform accepts as a request number: 1 to 32 of ``0-9 A-Z a-z _``."""

PlatformName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,31}$")]
"""An adapter's name, such as ``wechatpay``."""


class Funding(StrEnum):
    """Who has paid for the coupon, and when: decides which accounts a redemption moves."""

    FREE = "free"  # a campaign; the issuer bears it at redemption
    POINTS = "points"  # bought with points; a liability since issue
    PREPAID = "prepaid"  # bought with money; a liability since issue


class AmountOff(Value):
    """``off_fen`` off an order of at least ``min_spend_fen`` (满减)."""

    kind: Literal["amount_off"] = "amount_off"
    off_fen: PositiveFen
    min_spend_fen: Fen = 0

    def value_at(self, order_fen: int) -> int:
        """What the coupon takes off an order of ``order_fen``, never more than the order."""
        return min(self.off_fen, order_fen)


class PercentOff(Value):
    """``basis_points`` ten-thousandths off (1 200 is 12 % off, in Chinese 8.8 折), at most ``max_off_fen`` (折扣)."""

    kind: Literal["percent_off"] = "percent_off"
    basis_points: Annotated[int, Field(strict=True, gt=0, lt=10_000)]
    max_off_fen: PositiveFen | None = None
    min_spend_fen: Fen = 0

    def value_at(self, order_fen: int) -> int:
        """The discount, rounded half up to a fen, capped."""
        off = portion(order_fen, self.basis_points)
        return off if self.max_off_fen is None else min(off, self.max_off_fen)


class Exchange(Value):
    """An item worth ``worth_fen``, had for ``price_fen`` (换购, 权益)."""

    kind: Literal["exchange"] = "exchange"
    item: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    worth_fen: PositiveFen
    price_fen: Fen = 0
    min_spend_fen: Fen = 0

    @model_validator(mode="after")
    def _price_below_worth(self) -> Self:
        if self.price_fen >= self.worth_fen:
            raise ValidationError("template.exchange_price", field="price_fen")
        return self

    def value_at(self, order_fen: int) -> int:
        """What the holder does not pay for the item."""
        return min(self.worth_fen - self.price_fen, order_fen)


class PhoneCredit(Value):
    """``credit_fen`` of phone credit (话费)."""

    kind: Literal["phone_credit"] = "phone_credit"
    credit_fen: PositiveFen
    min_spend_fen: Literal[0] = 0

    def value_at(self, order_fen: int) -> int:
        """All of the credit; the order is the top-up itself."""
        return min(self.credit_fen, order_fen)


class Cash(Value):
    """``cash_fen`` paid out to the holder (现金)."""

    kind: Literal["cash"] = "cash"
    cash_fen: PositiveFen
    min_spend_fen: Literal[0] = 0

    def value_at(self, order_fen: int) -> int:
        """The whole amount; there is nothing it is taken off."""
        return self.cash_fen


Benefit = Annotated[AmountOff | PercentOff | Exchange | PhoneCredit | Cash, Field(discriminator="kind")]


class CouponTemplate(Value):
    """What all coupons of one campaign share. ``template_id`` is the issuer's own and makes issuing idempotent.

    Valid from ``valid_from`` (inclusive) to ``valid_until`` (exclusive). ``platforms`` names where it may be
    redeemed, at least one. ``max_total`` and ``max_per_holder`` bound what may be issued and bound.
    """

    template_id: Identifier
    name: Annotated[str, StringConstraints(min_length=1, max_length=20)]
    benefit: Benefit
    funding: Funding = Funding.FREE
    currency: Currency = Currency.CNY
    valid_from: Instant
    valid_until: Instant
    platforms: frozenset[PlatformName] = Field(min_length=1)
    max_total: Annotated[int, Field(strict=True, gt=0, le=100_000_000)] = 1_000_000
    max_per_holder: Annotated[int, Field(strict=True, gt=0, le=100)] = 100

    @model_validator(mode="after")
    def _dates_in_order(self) -> Self:
        if self.valid_until <= self.valid_from:
            raise ValidationError("template.dates", field="valid_until")
        return self

    def value_at(self, order_fen: int) -> int:
        """What a coupon takes off an order of ``order_fen``. Raises ``CouponStateError`` below the minimum spend."""
        if order_fen < self.benefit.min_spend_fen:
            raise CouponStateError(
                "coupon.min_spend", field="order.amount_fen", min_spend_fen=self.benefit.min_spend_fen
            )
        return self.benefit.value_at(order_fen)

    @property
    def face_fen(self) -> int | None:
        """The fixed value of one coupon, in fen; ``None`` when it depends on the order."""
        match self.benefit:
            case AmountOff(off_fen=face) | PhoneCredit(credit_fen=face) | Cash(cash_fen=face):
                return face
            case Exchange(worth_fen=worth, price_fen=price):
                return worth - price
            case PercentOff():
                return None


class Coupon(Value):
    """One coupon as the ledger has it. ``version`` grows by one with each move."""

    coupon_id: str
    code: CouponCode
    template: CouponTemplate
    state: CouponState
    version: int
    issued_at: Instant

    def refusal_at(self, now: datetime) -> CouponStateError | None:
        """Why the coupon cannot be redeemed at ``now``; ``None`` when it can. States first, then dates."""
        if self.state is not CouponState.AVAILABLE:
            return CouponStateError(f"coupon.{self.state.value}", field="coupon")
        if now >= self.template.valid_until:
            return CouponStateError("coupon.expired", field="coupon")
        if now < self.template.valid_from:
            return CouponStateError("coupon.not_yet_valid", field="coupon")
        return None
