"""A redemption and its reversal: asked for, held, concluded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated

from pydantic import StringConstraints

from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.coupon import CouponTemplate, Identifier, PlatformName
from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.domain.settlement import SettlementDate
from unicom_coupon_sdk.domain.state import OperationState, ReversalCause
from unicom_coupon_sdk.domain.token import QrToken
from unicom_coupon_sdk.domain.verification import Challenge, Proof
from unicom_coupon_sdk.errors import CouponError, Effected

IdempotencyKey = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z._:-]{1,64}$")]
"""Chosen by the caller, once for each thing they want done: 1 to 64 of ``0-9 A-Z a-z . _ : -``."""


class RedeemRequest(Value):
    """Spend one coupon on one order on one platform.

    ``coupon`` is the code as typed or scanned, or a rotating token. ``idempotency_key`` names the wish: the same key
    with the same request gives the same answer and never redeems twice.
    """

    idempotency_key: IdempotencyKey
    platform: PlatformName
    coupon: CouponCode | QrToken
    order: Order
    proof: Proof


class PayOutRequest(Value):
    """Pay a cash coupon out to its holder's account on ``platform``, the user to whom it is bound there.

    ``reference`` is the merchant's own number of the pay-out. ``payee_name`` is the holder's real name, which platforms
    check above some amount; it is passed on encrypted and never kept. One ``idempotency_key`` is one pay-out for ever:
    the platform's request number is made once with it, and a lost answer is asked about, never sent anew.
    """

    idempotency_key: IdempotencyKey
    platform: PlatformName
    coupon: CouponCode | QrToken
    reference: Identifier
    proof: Proof
    payee_name: Secret | None = None


class ReverseRequest(Value):
    """Take a redemption back in full. ``redemption_id`` is that of the ``Redemption``."""

    idempotency_key: IdempotencyKey
    redemption_id: Identifier
    cause: ReversalCause = ReversalCause.CUSTOMER_REQUEST
    note: Annotated[str, StringConstraints(max_length=64)] = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A template as one platform knows it: the platform's own ids, such as ``stock_id`` or ``activity_id``."""

    template_id: str
    platform: str
    refs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Binding:
    """A coupon as one platform knows it, with its user there. ``pending`` until the platform says it was delivered."""

    coupon_id: str
    platform: str
    user: PlatformUser | None
    refs: Mapping[str, str]
    pending: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a platform made of an operation.

    ``DONE`` with the platform's number and time; ``NOT_DONE`` or ``UNKNOWN`` with the error that says why;
    ``PENDING`` when it was taken on and somebody there has yet to act. Refs are the platform's own names that later
    calls need. ``instructions`` is what the user's front end needs to act on what is pending; it is kept, so that a
    repeated request gets it again, and holds no personal data.
    """

    effected: Effected
    at: datetime | None = None
    platform_no: str | None = None
    refs: Mapping[str, str] = field(default_factory=dict)
    error: CouponError | None = None
    instructions: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, error: CouponError) -> Outcome:
        """The outcome that ``error`` stands for; its ``outcome`` decides."""
        return cls(effected=error.outcome, error=error)


@dataclass(frozen=True, slots=True)
class Redemption:
    """A redemption as the ledger has it; immutable, ask ``query`` for a newer one.

    ``redemption_id`` is also the request number that the platform knows it by. ``value_fen`` is what the coupon took
    off the order. ``error`` says why it was released or is unknown.
    """

    redemption_id: str
    idempotency_key: str
    coupon_id: str
    template_id: str
    merchant_id: str
    platform: str
    order: Order
    value_fen: int
    state: OperationState
    held_at: datetime
    deadline: datetime
    concluded_at: datetime | None = None
    platform_no: str | None = None
    settles_on: SettlementDate | None = None
    error_code: str | None = None
    platform_code: str | None = None
    request_id: str | None = None

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left for ``recover``: done, released or reversed."""
        return self.state not in _OPEN


@dataclass(frozen=True, slots=True)
class PayOut:
    """A pay-out: the redemption of its cash coupon, and what the user's front end needs while it is PENDING."""

    redemption: Redemption
    instructions: Mapping[str, str]


_OPEN = frozenset({OperationState.HELD, OperationState.UNKNOWN, OperationState.PENDING, OperationState.REVERSING})


@dataclass(frozen=True, slots=True)
class Reversal:
    """The taking back of a redemption, as the ledger has it. ``reversal_id`` is its request number."""

    reversal_id: str
    idempotency_key: str
    redemption_id: str
    coupon_id: str
    platform: str
    cause: ReversalCause
    value_fen: int
    state: OperationState
    held_at: datetime
    deadline: datetime
    concluded_at: datetime | None = None
    platform_no: str | None = None
    error_code: str | None = None
    platform_code: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class HeldRedemption:
    """All an adapter needs to carry a redemption out, ask about it, or take it back.

    ``proof`` and ``challenge`` are there only while the redemption is first carried out, for platforms that check the
    proof themselves, and so is ``payee_name`` of a pay-out; they are never stored.
    """

    redemption: Redemption
    code: CouponCode
    template: CouponTemplate
    listing: Listing
    binding: Binding
    proof: Proof | None = field(default=None, repr=False)
    challenge: Challenge | None = field(default=None, repr=False)
    payee_name: Secret | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HeldReversal:
    """All an adapter needs to take a redemption back."""

    reversal: Reversal
    redeemed: HeldRedemption
