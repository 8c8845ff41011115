"""Reversals: a redemption is taken back only under a record that says why, by whom asked, and what came of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select

from unicom_coupon_sdk.domain.events import EventKind
from unicom_coupon_sdk.domain.redemption import HeldReversal, Outcome, Reversal, ReverseRequest
from unicom_coupon_sdk.domain.settlement import SettlementDate
from unicom_coupon_sdk.domain.state import CouponMove, CouponState, OperationMove, OperationState, ReversalCause
from unicom_coupon_sdk.errors import CouponStateError, IdempotencyConflict, ValidationError
from unicom_coupon_sdk.ledger import (
    counters,
    coupons,
    journal,
    operations,
    outbox,
    redemptions,
    schema,
    share_returns,
)
from unicom_coupon_sdk.ledger.answers import HoldReversal
from unicom_coupon_sdk.ledger.codec import instant, instant_or_none, micros
from unicom_coupon_sdk.ledger.sealing import Sealer
from unicom_coupon_sdk.ledger.statement import Command, Query

_V, _C = schema.reversal.c, schema.coupon.c


class ReversalRow(NamedTuple):
    """A reversal with its latest conclusion and its coupon's whereabouts."""

    reversal_id: str
    merchant_id: str
    idempotency_key: str
    input_hash: bytes
    redemption_id: str
    coupon_id: str
    platform: str
    cause: str
    value_fen: int
    held_at: int
    deadline: int
    state: str
    conclusions: int
    coupon_state: str
    coupon_version: int
    valid_until: int
    concluded_at: int | None
    platform_no: str | None
    refs: str | None
    error_code: str | None
    platform_code: str | None
    request_id: str | None
    settles_on: str | None


_ROW: Any = (
    select(
        _V.reversal_id,
        _V.merchant_id,
        _V.idempotency_key,
        _V.input_hash,
        _V.redemption_id,
        _V.coupon_id,
        _V.platform,
        _V.cause,
        _V.value_fen,
        _V.held_at,
        _V.deadline,
        _V.state,
        _V.conclusions,
        _C.state.label("coupon_state"),
        _C.version.label("coupon_version"),
        _C.valid_until,
        *operations.CONCLUSION_COLUMNS,
    )
    .join_from(schema.reversal, schema.coupon)
    .outerjoin(schema.conclusion, operations.conclusion_join(schema.reversal, key="reversal_id"))
)
_BY_ID = Query(_ROW.where(_V.reversal_id == bindparam("which")), ReversalRow)
_BY_KEY = Query(
    _ROW.where(_V.merchant_id == bindparam("merchant"), _V.idempotency_key == bindparam("key")), ReversalRow
)
_HOLD = Command(
    lambda insert: insert(schema.reversal).on_conflict_do_nothing(index_elements=["merchant_id", "idempotency_key"])
)
_MOVE = operations.mover(schema.reversal, key="reversal_id")

_REFUSALS = {
    OperationState.REVERSING: "reversal.under_way",
    OperationState.REVERSED: "reversal.done_before",
}


def find(connection: Connection, reversal_id: str) -> Reversal:
    """The reversal. Raises ``ValidationError`` for an unknown id."""
    return _decode(_row_of(connection, reversal_id))


def held(connection: Connection, sealer: Sealer, reversal_id: str) -> HeldReversal:
    """All an adapter needs for the reversal."""
    return _held_of(connection, sealer, _row_of(connection, reversal_id))


def hold(
    connection: Connection,
    sealer: Sealer,
    request: ReverseRequest,
    *,
    merchant_id: str,
    reversal_id: str,
    deadline: datetime,
    now: datetime,
) -> HoldReversal:
    """A reversal of the redemption, held; or what its key stands for.

    Raises ``IdempotencyConflict``, ``ValidationError`` for an unknown redemption, and ``CouponStateError`` for one
    that is not done, or whose reversal is under way or done.
    """
    digest = operations.input_hash(request.redemption_id, request.cause.value, request.note)
    known = _BY_KEY.one(connection, merchant=merchant_id, key=request.idempotency_key)
    if known is not None:
        operations.check_repeat(
            same_input=known.input_hash == digest, state=known.state, deadline=known.deadline, now=now
        )
        return HoldReversal(held=_held_of(connection, sealer, known), is_repeat=True)
    redeemed = redemptions.row_of(connection, request.redemption_id)
    if redeemed.merchant_id != merchant_id:
        raise ValidationError("redemption.unknown", field="redemption_id")
    _start(connection, redeemed)
    _, version = coupons.move(
        connection,
        redeemed.coupon_id,
        state=redeemed.coupon_state,
        version=redeemed.coupon_version,
        by=CouponMove.HOLD_REVERSAL,
    )
    _write_hold(connection, request, redeemed, digest=digest, reversal_id=reversal_id, deadline=deadline, now=now)
    row = _row_of(connection, reversal_id)
    _record(connection, EventKind.REVERSING, row, version=version, now=now)
    return HoldReversal(held=_held_of(connection, sealer, row), is_repeat=False)


def _start(connection: Connection, redeemed: redemptions.RedemptionRow) -> None:
    state = OperationState(redeemed.state)
    if state is not OperationState.DONE:
        raise CouponStateError(_REFUSALS.get(state, "reversal.not_redeemed"), field="redemption_id")
    operations.move(
        connection,
        redemptions.MOVE,
        redeemed.redemption_id,
        state=redeemed.state,
        number=redeemed.conclusions,
        to_state=operations.target_of(state, OperationMove.START_REVERSAL).value,
        to_number=redeemed.conclusions,
    )


def _write_hold(
    connection: Connection,
    request: ReverseRequest,
    redeemed: redemptions.RedemptionRow,
    *,
    digest: bytes,
    reversal_id: str,
    deadline: datetime,
    now: datetime,
) -> None:
    written = _HOLD.run(
        connection,
        reversal_id=reversal_id,
        merchant_id=redeemed.merchant_id,
        idempotency_key=request.idempotency_key,
        input_hash=digest,
        redemption_id=redeemed.redemption_id,
        coupon_id=redeemed.coupon_id,
        platform=redeemed.platform,
        cause=request.cause.value,
        note=request.note,
        value_fen=redeemed.value_fen,
        held_at=micros(now),
        deadline=micros(deadline),
        state=OperationState.HELD.value,
        conclusions=0,
    )
    if not written:  # another transaction wrote this key between our look-up and now
        raise IdempotencyConflict("idempotency.in_progress", field="idempotency_key")


def conclude(
    connection: Connection,
    reversal_id: str,
    outcome: Outcome,
    *,
    settles_on: SettlementDate | None,
    now: datetime,
) -> Reversal:
    """The reversal with ``outcome`` written down: the redemption, the coupon, the counters, the journal, the event.

    An outcome that agrees with what was concluded changes nothing. Raises ``LedgerError`` (``ledger.contradiction``).
    """
    row = _row_of(connection, reversal_id)
    state = OperationState(row.state)
    move = operations.verdict_move(state, outcome.effected, operation_id=reversal_id)
    if move is None:
        return _decode(row)
    target = operations.target_of(state, move)
    number = row.conclusions + 1
    operations.move(
        connection, _MOVE, reversal_id, state=row.state, number=row.conclusions, to_state=target.value, to_number=number
    )
    concluded = operations.write_conclusion(
        connection,
        reversal_id,
        outcome,
        number=number,
        from_state=row.state,
        to_state=target.value,
        now=now,
        settles_on=settles_on if move is OperationMove.FINISH else None,
    )
    if move is OperationMove.FINISH:
        _finish(connection, row, at=outcome.at or now, now=now)
    elif move is OperationMove.RELEASE:
        _drop(connection, row, now=now)
    else:
        coupons.step(
            connection,
            row.coupon_id,
            state=row.coupon_state,
            version=row.coupon_version,
            to_state=CouponState.REVERSING.value,
        )
        _record(connection, EventKind.UNKNOWN, row, version=row.coupon_version + 1, now=now)
    return _decode(row._replace(state=target.value, conclusions=number, **concluded))


def _finish(connection: Connection, row: ReversalRow, *, at: datetime, now: datetime) -> None:
    _move_redemption(connection, row, OperationMove.FINISH_REVERSAL)
    journal.book_reversal(
        connection, row.redemption_id, reversal_id=row.reversal_id, coupon_id=row.coupon_id, at=at, now=now
    )
    counters.give_back(connection, row.redemption_id, now=now, only_current=True)
    share_returns.owe_of_redemption(connection, row.redemption_id, now=now)
    state, version = coupons.move(
        connection, row.coupon_id, state=row.coupon_state, version=row.coupon_version, by=CouponMove.REVERSE
    )
    _record(connection, EventKind.REVERSED, row, version=version, now=now)
    coupons.expire_if_over(
        connection, row.coupon_id, state=state, version=version, valid_until=row.valid_until, now=now
    )


def _drop(connection: Connection, row: ReversalRow, *, now: datetime) -> None:
    _move_redemption(connection, row, OperationMove.DROP_REVERSAL)
    _, version = coupons.move(
        connection,
        row.coupon_id,
        state=row.coupon_state,
        version=row.coupon_version,
        by=CouponMove.KEEP_REDEEMED,
    )
    _record(connection, EventKind.REVERSAL_DROPPED, row, version=version, now=now)


def _move_redemption(connection: Connection, row: ReversalRow, move: OperationMove) -> None:
    redeemed = redemptions.row_of(connection, row.redemption_id)
    operations.move(
        connection,
        redemptions.MOVE,
        redeemed.redemption_id,
        state=redeemed.state,
        number=redeemed.conclusions,
        to_state=operations.target_of(OperationState(redeemed.state), move).value,
        to_number=redeemed.conclusions,
    )


def _row_of(connection: Connection, reversal_id: str) -> ReversalRow:
    row = _BY_ID.one(connection, which=reversal_id)
    if row is None:
        raise ValidationError("reversal.unknown", field="reversal_id")
    return row


def _held_of(connection: Connection, sealer: Sealer, row: ReversalRow) -> HeldReversal:
    return HeldReversal(reversal=_decode(row), redeemed=redemptions.held(connection, sealer, row.redemption_id))


def _decode(row: ReversalRow) -> Reversal:
    return Reversal(
        reversal_id=row.reversal_id,
        idempotency_key=row.idempotency_key,
        redemption_id=row.redemption_id,
        coupon_id=row.coupon_id,
        platform=row.platform,
        cause=ReversalCause(row.cause),
        value_fen=row.value_fen,
        state=OperationState(row.state),
        held_at=instant(row.held_at),
        deadline=instant(row.deadline),
        concluded_at=instant_or_none(row.concluded_at),
        platform_no=row.platform_no,
        error_code=row.error_code,
        platform_code=row.platform_code,
        request_id=row.request_id,
    )


def _record(connection: Connection, kind: EventKind, row: ReversalRow, *, version: int, now: datetime) -> None:
    outbox.record(
        connection,
        kind,
        coupon_id=row.coupon_id,
        version=version,
        now=now,
        platform=row.platform,
        operation_id=row.reversal_id,
        value_fen=row.value_fen,
    )
