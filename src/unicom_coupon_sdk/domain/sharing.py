"""Profit sharing (分账): who gets which part of an order's money, by dated rules, to the fen.

A rule's parts are fixed sums, ratios, and one remainder. Fixed sums and ratios are taken first, ratios rounded down,
and the remainder gets what is left, so that no fen is ever lost or made. The merchant's own part is never sent
anywhere: it stays where it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from unicom_coupon_sdk.domain.coupon import Identifier
from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.domain.money import PositiveFen
from unicom_coupon_sdk.domain.redemption import IdempotencyKey, Redemption
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.errors import Effected, ValidationError


class ShareRole(StrEnum):
    """In which capacity somebody gets a part."""

    ISSUER = "issuer"
    MERCHANT = "merchant"
    PLATFORM = "platform"
    USER = "user"  # a rebate


class Fixed(Value):
    """So many fen."""

    kind: Literal["fixed"] = "fixed"
    fen: PositiveFen


class Ratio(Value):
    """Ten-thousandths of the whole, rounded down to a fen."""

    kind: Literal["ratio"] = "ratio"
    basis_points: Annotated[int, Field(strict=True, gt=0, le=10_000)]


class Remainder(Value):
    """What is left."""

    kind: Literal["remainder"] = "remainder"


PartSize = Annotated[Fixed | Ratio | Remainder, Field(discriminator="kind")]


class Receiver(Value):
    """Whom the platform pays: a merchant account there, or a user of its. ``name`` where the platform checks it.

    Neither is kept in the clear.
    """

    merchant_account: Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z_@.-]{1,64}$")] | None = None
    user: PlatformUser | None = None
    name: Secret | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.merchant_account is None) == (self.user is None):
            raise ValidationError("share.receiver", field="receiver")
        return self


class SharePart(Value):
    """One part of a rule. ``receiver`` is absent for the merchant, whose money stays where it is."""

    role: ShareRole
    size: PartSize
    receiver: Receiver | None = None

    @model_validator(mode="after")
    def _receiver_of_role(self) -> Self:
        if (self.role is ShareRole.MERCHANT) != (self.receiver is None):
            raise ValidationError("share.receiver", field="receiver")
        return self


class ShareRule(Value):
    """How an order's money is shared, in force from ``since`` to before ``until`` (Beijing days).

    Has exactly one remainder, and ratios of at most 10 000 basis points together.
    """

    name: Identifier
    parts: Annotated[tuple[SharePart, ...], Field(min_length=2, max_length=51)]
    since: date = date(2000, 1, 1)
    until: date = date(9999, 12, 31)

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        remainders = sum(isinstance(part.size, Remainder) for part in self.parts)
        ratios = sum(part.size.basis_points for part in self.parts if isinstance(part.size, Ratio))
        if remainders != 1 or ratios > 10_000:
            raise ValidationError("share.rule", field="parts")
        return self

    def in_force(self, on: date) -> bool:
        """Whether the rule holds on ``on``."""
        return self.since <= on < self.until

    def allocate(self, amount_fen: int) -> tuple[int, ...]:
        """The fen of each part, in order; they sum to ``amount_fen`` exactly.

        Raises ``ValidationError`` (``share.too_small``) when fixed sums and ratios are more than there is.
        """
        sizes = [_fen_of(part.size, amount_fen) for part in self.parts]
        left = amount_fen - sum(size for size in sizes if size is not None)
        if left < 0:
            raise ValidationError("share.too_small", field="amount_fen", rule=self.name)
        return tuple(left if size is None else size for size in sizes)


def _fen_of(size: Fixed | Ratio | Remainder, amount_fen: int) -> int | None:
    match size:
        case Fixed(fen=fen):
            return fen
        case Ratio(basis_points=basis_points):
            return amount_fen * basis_points // 10_000
        case Remainder():
            return None


class ShareRequest(Value):
    """Share ``amount_fen`` of a redeemed order's money by the rule ``rule`` of the merchant's settings.

    ``amount_fen`` is what there is to share: the order less the coupon and the platform's fee, as the merchant
    reckons it. Once by ``idempotency_key``.
    """

    idempotency_key: IdempotencyKey
    redemption_id: Identifier
    rule: Identifier
    amount_fen: PositiveFen


@dataclass(frozen=True, slots=True)
class ShareLine:
    """One receiver's part of a share. ``number`` counts from 1 and is part of the platform's request numbers.

    ``state`` is DONE, RELEASED (the platform refused this receiver; ``error_code`` says why), or still open.
    """

    number: int
    role: ShareRole
    receiver: Receiver
    amount_fen: int
    state: OperationState = OperationState.HELD
    platform_no: str | None = None
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """A share as the ledger has it.

    DONE means that every line has ended; each line says how. ``share_id`` is the request number that the platform
    knows it by.
    """

    share_id: str
    idempotency_key: str
    redemption_id: str
    merchant_id: str
    platform: str
    rule: str
    amount_fen: int
    state: OperationState
    held_at: datetime
    deadline: datetime
    lines: tuple[ShareLine, ...]
    platform_no: str | None = None
    concluded_at: datetime | None = None
    error_code: str | None = None
    platform_code: str | None = None


@dataclass(frozen=True, slots=True)
class HeldShare:
    """All an adapter needs to carry a share out or ask about it. The order is ``redemption.order``."""

    share: Share
    redemption: Redemption


@dataclass(frozen=True, slots=True)
class HeldShareReturn:
    """All an adapter needs to fetch one receiver's part back. ``return_id`` is its request number."""

    return_id: str
    share: Share
    line: ShareLine
    redemption: Redemption
    deadline: datetime


@dataclass(frozen=True, slots=True)
class LineResult:
    """What the platform says of one line: DONE, NOT_DONE with ``error_code`` (the platform's reason), or PENDING."""

    effected: Effected
    platform_no: str | None = None
    platform_code: str | None = None


@dataclass(frozen=True, slots=True)
class ShareOutcome:
    """What a platform made of a share: the whole request, and each line by number.

    ``effected`` is DONE when every line has ended, PENDING while one is under way, NOT_DONE when the request was
    refused and no money moved, UNKNOWN otherwise.
    """

    effected: Effected
    platform_no: str | None = None
    lines: Mapping[int, LineResult] = field(default_factory=dict)
    at: datetime | None = None
    platform_code: str | None = None
    request_id: str | None = None
    error_code: str | None = None
