"""State machines are tables: all moves of a thing, as data, in one place.

The ledger moves a row only along a table here, by compare-and-set on its version; docs draw their diagrams from the
tables, and a test walks every move that is not in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

State = TypeVar("State", bound=StrEnum)
Move = TypeVar("Move", bound=StrEnum)


class CouponState(StrEnum):
    """Where a coupon is."""

    ISSUED = "issued"  # exists, belongs to nobody yet
    AVAILABLE = "available"  # bound to a holder, may be redeemed
    HELD = "held"  # a redemption is under way
    REDEEMED = "redeemed"  # spent
    REVERSING = "reversing"  # a reversal is under way
    EXPIRED = "expired"  # its last day is over
    VOID = "void"  # withdrawn by the issuer


class CouponMove(StrEnum):
    """What moves a coupon."""

    BIND = "bind"
    HOLD = "hold"
    REDEEM = "redeem"
    RELEASE = "release"
    HOLD_REVERSAL = "hold_reversal"
    REVERSE = "reverse"
    KEEP_REDEEMED = "keep_redeemed"
    EXPIRE = "expire"
    VOID = "void"


class OperationState(StrEnum):
    """Where an operation is. ``UNKNOWN`` is a state, not a failure: the platform has yet to tell.

    ``PENDING`` is known: the platform has taken it on, and the user (of a pay-out) or a receiver has yet to act.
    """

    HELD = "held"
    DONE = "done"
    RELEASED = "released"
    UNKNOWN = "unknown"
    PENDING = "pending"
    REVERSING = "reversing"  # of a redemption: its reversal is under way
    REVERSED = "reversed"  # of a redemption: its reversal is done


class OperationMove(StrEnum):
    """What moves an operation."""

    FINISH = "finish"
    RELEASE = "release"
    LOSE_SIGHT = "lose_sight"
    WAIT = "wait"
    START_REVERSAL = "start_reversal"
    FINISH_REVERSAL = "finish_reversal"
    DROP_REVERSAL = "drop_reversal"


class ReversalCause(StrEnum):
    """Why a redemption was taken back. Kept on every reversal record: no step backwards without one."""

    CUSTOMER_REQUEST = "customer_request"
    ORDER_CANCELLED = "order_cancelled"
    MERCHANT_ERROR = "merchant_error"
    PLATFORM_REVERSAL = "platform_reversal"


@dataclass(frozen=True, slots=True)
class Moves(Generic[State, Move]):
    """A state machine: which move leads from where to where."""

    start: State
    table: Mapping[tuple[State, Move], State]

    def after(self, state: State, move: Move) -> State | None:
        """Where ``move`` leads from ``state``; ``None`` when it is not allowed there."""
        return self.table.get((state, move))

    def sources(self, move: Move) -> frozenset[State]:
        """The states from which ``move`` is allowed."""
        return frozenset(state for state, named in self.table if named is move)


_C, _M = CouponState, CouponMove
COUPON_MOVES: Moves[CouponState, CouponMove] = Moves(
    start=_C.ISSUED,
    table={
        (_C.ISSUED, _M.BIND): _C.AVAILABLE,
        (_C.AVAILABLE, _M.HOLD): _C.HELD,
        (_C.HELD, _M.REDEEM): _C.REDEEMED,
        (_C.HELD, _M.RELEASE): _C.AVAILABLE,
        (_C.REDEEMED, _M.HOLD_REVERSAL): _C.REVERSING,
        (_C.REVERSING, _M.REVERSE): _C.AVAILABLE,
        (_C.REVERSING, _M.KEEP_REDEEMED): _C.REDEEMED,
        (_C.ISSUED, _M.EXPIRE): _C.EXPIRED,
        (_C.AVAILABLE, _M.EXPIRE): _C.EXPIRED,
        (_C.ISSUED, _M.VOID): _C.VOID,
        (_C.AVAILABLE, _M.VOID): _C.VOID,
    },
)

_O, _N = OperationState, OperationMove
OPERATION_MOVES: Moves[OperationState, OperationMove] = Moves(
    start=_O.HELD,
    table={
        (_O.HELD, _N.FINISH): _O.DONE,
        (_O.HELD, _N.RELEASE): _O.RELEASED,
        (_O.HELD, _N.LOSE_SIGHT): _O.UNKNOWN,
        (_O.HELD, _N.WAIT): _O.PENDING,
        (_O.UNKNOWN, _N.FINISH): _O.DONE,
        (_O.UNKNOWN, _N.RELEASE): _O.RELEASED,
        (_O.UNKNOWN, _N.WAIT): _O.PENDING,
        (_O.PENDING, _N.FINISH): _O.DONE,
        (_O.PENDING, _N.RELEASE): _O.RELEASED,
        (_O.DONE, _N.START_REVERSAL): _O.REVERSING,
        (_O.REVERSING, _N.FINISH_REVERSAL): _O.REVERSED,
        (_O.REVERSING, _N.DROP_REVERSAL): _O.DONE,
    },
)
