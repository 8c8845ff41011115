"""What a coupon is spent on, by whom, and where."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import StringConstraints, model_validator

from unicom_coupon_sdk.domain.coupon import Identifier
from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.domain.money import Currency, Fen
from unicom_coupon_sdk.domain.sensitive import PhoneNumber, PlatformUser
from unicom_coupon_sdk.errors import ValidationError

PlatformNumber = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_|*@-]{1,64}$")]
"""A number that a platform gave: a transaction, a trade, a shop."""


class Order(Value):
    """The merchant's order. ``amount_fen`` is its total before the coupon.

    ``platform_order_no`` is the platform's number when the order was paid there (WeChat ``transaction_id``, Alipay
    ``trade_no``); some coupon families demand it. ``store_no`` and ``terminal_no`` say where it happened.
    """

    order_no: Identifier
    amount_fen: Fen
    currency: Currency = Currency.CNY
    platform_order_no: PlatformNumber | None = None
    store_no: PlatformNumber | None = None
    terminal_no: PlatformNumber | None = None


class Holder(Value):
    """Whose coupon it is: a phone number, a platform's user, or both. Neither is kept in the clear."""

    phone: PhoneNumber | None = None
    user: PlatformUser | None = None

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.phone is None and self.user is None:
            raise ValidationError("holder.empty", field="holder")
        return self

    def identity(self, platform: str) -> str:
        """What the ledger's blind index of the holder is made from: the phone if known, else the platform's user."""
        if self.phone is not None:
            return f"phone:{self.phone.reveal()}"
        assert self.user is not None  # the validator above; noqa: S101
        return f"{platform}:{self.user.reveal()}"
