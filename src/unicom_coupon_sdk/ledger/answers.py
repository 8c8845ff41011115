"""What the ledger is asked for and what it answers, beside the values of the domain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias, TypeVar

from sqlalchemy import Connection

from unicom_coupon_sdk.domain.coupon import Coupon, CouponTemplate
from unicom_coupon_sdk.domain.events import CouponEvent
from unicom_coupon_sdk.domain.redemption import Binding, HeldRedemption, HeldReversal, Listing
from unicom_coupon_sdk.domain.sharing import HeldShare
from unicom_coupon_sdk.domain.state import OperationState

T = TypeVar("T")

Work: TypeAlias = Callable[[Connection], T]
"""A piece of work inside one transaction; what ``Transact`` carries."""


@dataclass(frozen=True, slots=True)
class IssueWish:
    """``count`` coupons of ``template``. ``entropy`` is 16 secret random bytes for each; ``batch_id`` a new id."""

    merchant_id: str
    idempotency_key: str
    batch_id: str
    template: CouponTemplate
    count: int
    entropy: bytes = field(repr=False)
    now: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """The coupons of one issue, by their serial. ``registered`` names the platforms that know their codes."""

    batch_id: str
    template: CouponTemplate
    coupons: tuple[Coupon, ...]
    registered: frozenset[str]
    is_repeat: bool


@dataclass(frozen=True, slots=True)
class BindTicket:
    """Leave to bind ``coupon``. ``binding`` is there when the platform has answered before.

    ``binding_no`` is the number to tell the platform: the first attempt's, however often it is repeated.
    """

    coupon: Coupon
    binding: Binding | None
    binding_no: str


@dataclass(frozen=True, slots=True)
class Dossier:
    """A coupon with all that is known of it on one platform. ``holder_index`` is the holder's blind index in hex."""

    coupon: Coupon
    holder_index: str | None
    listing: Listing | None
    binding: Binding | None


@dataclass(frozen=True, slots=True)
class Hold:
    """A held redemption. ``is_repeat``: its key was known, and nothing was changed."""

    held: HeldRedemption
    is_repeat: bool


@dataclass(frozen=True, slots=True)
class HoldReversal:
    """A held reversal. ``is_repeat``: its key was known, and nothing was changed."""

    held: HeldReversal
    is_repeat: bool


@dataclass(frozen=True, slots=True)
class HoldShare:
    """A held share. ``is_repeat``: its key was known, and nothing was changed."""

    held: HeldShare
    is_repeat: bool


class OperationKind(StrEnum):
    """The kinds of operation that a platform carries out, and that ``recover`` asks about."""

    REDEEM = "redeem"
    REVERSE = "reverse"
    SHARE = "share"
    SHARE_RETURN = "share_return"


@dataclass(frozen=True, slots=True)
class Pending:
    """An operation that ``recover`` should ask about."""

    kind: OperationKind
    operation_id: str
    platform: str
    state: OperationState
    deadline: datetime


@dataclass(frozen=True, slots=True)
class SequencedEvent:
    """An event of the outbox with its place in it."""

    sequence: int
    event: CouponEvent


@dataclass(frozen=True, slots=True)
class CounterMismatch:
    """A limit counter that does not equal the redemptions it counts."""

    limit: str
    platform: str
    window: str
    used_fen: int
    used_count: int
    expected_fen: int
    expected_count: int


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold. ``rule`` is one of ``audit.RULES``; ``subject`` names a row, never a person."""

    rule: str
    subject: str
    details: str
