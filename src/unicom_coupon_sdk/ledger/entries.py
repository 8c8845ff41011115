"""Our side of a reconciliation: what the ledger says should stand in a platform's bills of a day.

An operation belongs to the day on which the platform says it was done, else to that of its conclusion; one that is
open or was released belongs to the day of its hold, since a bill that shows it tells us something. Rows come by kind
and id, in pages.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, bindparam, func, or_, select

from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.ledger import journal, operations, schema
from unicom_coupon_sdk.ledger.answers import OperationKind
from unicom_coupon_sdk.ledger.codec import micros
from unicom_coupon_sdk.ledger.statement import Query

_R, _V, _N, _T = schema.redemption.c, schema.reversal.c, schema.conclusion.c, schema.template.c
_S, _L, _K, _P = schema.share.c, schema.share_line.c, schema.share_return.c, schema.posting.c
_O = OperationState
_DONE = (_O.DONE, _O.REVERSING, _O.REVERSED)
_NOT_DONE = (_O.HELD, _O.UNKNOWN, _O.PENDING, _O.RELEASED)


class RedemptionEntry(NamedTuple):
    """A redemption or a pay-out. ``template`` is the template's content; ``fee_fen`` is the platform's, as booked.

    ``reversed_at`` is when it was taken back, if it was.
    """

    operation_id: str
    state: str
    value_fen: int
    order_json: str
    template: str
    platform_no: str | None
    settles_on: str | None
    fee_fen: int
    at: int
    reversed_at: int | None


class ReversalEntry(NamedTuple):
    """A reversal."""

    operation_id: str
    redemption_id: str
    state: str
    value_fen: int
    platform_no: str | None
    settles_on: str | None
    at: int


class ShareEntry(NamedTuple):
    """A receiver's part."""

    operation_id: str
    number: int
    state: str
    amount_fen: int
    platform_no: str | None
    at: int


class ShareReturnEntry(NamedTuple):
    """A part to be fetched back."""

    operation_id: str
    state: str
    amount_fen: int
    platform_no: str | None
    at: int


def _is(column: Any, states: tuple[OperationState, ...]) -> Any:
    return or_(*(column == state.value for state in states))


def _within(moment: Any) -> Any:
    return and_(moment >= bindparam("begins"), moment < bindparam("ends"))


def _is_of_the_day(table: Any, *, held_at: Any, ended: Any) -> Any:
    """What is done belongs to the day of its end; what is open or was released, to that of its hold."""
    done, not_done = _is(table.state, _DONE), _is(table.state, _NOT_DONE)
    return or_(and_(done, _within(ended)), and_(not_done, _within(held_at)))


def _paged(clause: Select[Any], key: Any) -> Any:
    return clause.where(key > bindparam("after")).order_by(key).limit(bindparam("at_most"))


_ended = func.coalesce(_N.done_at, _N.concluded_at)
_fee = (
    select(func.coalesce(func.sum(-_P.amount_fen), 0))
    .where(_P.entry_id == _R.redemption_id, or_(_P.account == journal.PLATFORM_FEE, _P.account == journal.ADVANCE_FEE))
    .scalar_subquery()
)
_back, _back_end = schema.reversal.alias(), schema.conclusion.alias()
_reversed_at = (
    select(func.max(func.coalesce(_back_end.c.done_at, _back_end.c.concluded_at)))
    .join_from(
        _back,
        _back_end,
        and_(_back_end.c.operation_id == _back.c.reversal_id, _back_end.c.number == _back.c.conclusions),
    )
    .where(_back.c.redemption_id == _R.redemption_id, _back.c.state == _O.DONE.value)
    .scalar_subquery()
)
_when = func.coalesce(_N.done_at, _N.concluded_at, _R.held_at)
_REDEMPTIONS = Query(
    _paged(
        select(
            _R.redemption_id.label("operation_id"), _R.state, _R.value_fen, _R.order_json,
            _T.content.label("template"), _N.platform_no, _N.settles_on, _fee.label("fee_fen"), _when.label("at"),
            _reversed_at.label("reversed_at"),
        )
        .join_from(schema.redemption, schema.template, _T.template_id == _R.template_id)
        .outerjoin(schema.conclusion, operations.conclusion_join(schema.redemption, key="redemption_id"))
        .where(
            _R.merchant_id == bindparam("merchant"),
            _R.platform == bindparam("on_platform"),
            _is_of_the_day(_R, held_at=_R.held_at, ended=_ended),
        ),
        _R.redemption_id,
    ),
    RedemptionEntry,
)  # fmt: skip
_REVERSALS = Query(
    _paged(
        select(
            _V.reversal_id.label("operation_id"), _V.redemption_id, _V.state, _V.value_fen, _N.platform_no,
            _N.settles_on, func.coalesce(_ended, _V.held_at).label("at"),
        )
        .outerjoin_from(
            schema.reversal, schema.conclusion, operations.conclusion_join(schema.reversal, key="reversal_id")
        )
        .where(
            _V.merchant_id == bindparam("merchant"),
            _V.platform == bindparam("on_platform"),
            _is_of_the_day(_V, held_at=_V.held_at, ended=_ended),
        ),
        _V.reversal_id,
    ),
    ReversalEntry,
)  # fmt: skip
_SHARES = Query(
    select(
        _S.share_id.label("operation_id"), _L.number, _L.state, _L.amount_fen, _L.platform_no,
        func.coalesce(_L.ended_at, _S.held_at).label("at"),
    )
    .join_from(schema.share, schema.share_line)
    .where(
        _S.merchant_id == bindparam("merchant"),
        _S.platform == bindparam("on_platform"),
        _is_of_the_day(_L, held_at=_S.held_at, ended=_L.ended_at),
        or_(_S.share_id > bindparam("after"), and_(_S.share_id == bindparam("after"), _L.number > bindparam("line"))),
    )
    .order_by(_S.share_id, _L.number)
    .limit(bindparam("at_most")),
    ShareEntry,
)  # fmt: skip
_RETURNS = Query(
    _paged(
        select(
            _K.return_id.label("operation_id"), _K.state, _K.amount_fen, _N.platform_no,
            func.coalesce(_ended, _K.held_at).label("at"),
        )
        .outerjoin_from(
            schema.share_return, schema.conclusion, operations.conclusion_join(schema.share_return, key="return_id")
        )
        .join(schema.share, _S.share_id == _K.share_id)
        .where(
            _S.merchant_id == bindparam("merchant"),
            _K.platform == bindparam("on_platform"),
            _is_of_the_day(_K, held_at=_K.held_at, ended=_ended),
        ),
        _K.return_id,
    ),
    ShareReturnEntry,
)  # fmt: skip

LedgerEntry = RedemptionEntry | ReversalEntry | ShareEntry | ShareReturnEntry
_QUERIES: dict[OperationKind, Query[Any]] = {
    OperationKind.REDEEM: _REDEMPTIONS,
    OperationKind.REVERSE: _REVERSALS,
    OperationKind.SHARE: _SHARES,
    OperationKind.SHARE_RETURN: _RETURNS,
}


def of_day(
    connection: Connection,
    kind: OperationKind,
    *,
    merchant_id: str,
    platform: str,
    begins: datetime,
    ends: datetime,
    after: LedgerEntry | None,
    limit: int,
) -> list[LedgerEntry]:
    """At most ``limit`` entries of one kind, from ``begins`` to before ``ends``; continues behind ``after``."""
    more = {"line": after.number if isinstance(after, ShareEntry) else 0} if kind is OperationKind.SHARE else {}
    return _QUERIES[kind].all(
        connection,
        merchant=merchant_id,
        on_platform=platform,
        begins=micros(begins),
        ends=micros(ends),
        after=after.operation_id if after is not None else "",
        at_most=limit,
        **more,
    )
