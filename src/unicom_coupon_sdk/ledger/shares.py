"""Shares of an order's money, receiver by receiver, and the fetching back of what a reversal undoes.

A share is held before the platform hears of it and concluded like every operation; beside that, each line ends by
itself, since a platform may pay one receiver and refuse another. A line that is done is booked at once. When the
redemption is reversed, each done line owes a return, which is written in the transaction that makes it due: whoever
runs ``recover`` finds it and has the platform carry it out, under the same number until it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select, update

from unicom_coupon_sdk.domain.redemption import Outcome, Redemption
from unicom_coupon_sdk.domain.sharing import (
    HeldShare,
    LineResult,
    Share,
    ShareLine,
    ShareOutcome,
    ShareRequest,
    ShareRole,
)
from unicom_coupon_sdk.domain.state import OperationMove, OperationState
from unicom_coupon_sdk.errors import CouponStateError, Effected, IdempotencyConflict, PlatformError, ValidationError
from unicom_coupon_sdk.ledger import journal, operations, redemptions, schema, share_returns
from unicom_coupon_sdk.ledger.answers import HoldShare
from unicom_coupon_sdk.ledger.codec import instant, instant_or_none, micros
from unicom_coupon_sdk.ledger.sealing import Sealer
from unicom_coupon_sdk.ledger.statement import Command, Query

_S, _L = schema.share.c, schema.share_line.c


class _Row(NamedTuple):
    share_id: str
    merchant_id: str
    idempotency_key: str
    input_hash: bytes
    redemption_id: str
    platform: str
    rule: str
    amount_fen: int
    held_at: int
    deadline: int
    state: str
    conclusions: int
    concluded_at: int | None
    platform_no: str | None
    refs: str | None
    error_code: str | None
    platform_code: str | None
    request_id: str | None
    settles_on: str | None


class _LineRow(NamedTuple):
    number: int
    role: str
    receiver_sealed: bytes
    amount_fen: int
    state: str
    platform_no: str | None
    error_code: str | None


class _Sum(NamedTuple):
    shared_fen: int | None


_ROW: Any = select(
    _S.share_id, _S.merchant_id, _S.idempotency_key, _S.input_hash, _S.redemption_id, _S.platform, _S.rule,
    _S.amount_fen, _S.held_at, _S.deadline, _S.state, _S.conclusions, *operations.CONCLUSION_COLUMNS,
).outerjoin_from(
    schema.share, schema.conclusion, operations.conclusion_join(schema.share, key="share_id")
)  # fmt: skip
_BY_ID = Query(_ROW.where(_S.share_id == bindparam("which")), _Row)
_BY_KEY = Query(_ROW.where(_S.merchant_id == bindparam("merchant"), _S.idempotency_key == bindparam("key")), _Row)
_OF_REDEMPTION = Query(_ROW.where(_S.redemption_id == bindparam("which")).order_by(_S.share_id), _Row)
_LINES = Query(
    select(_L.number, _L.role, _L.receiver_sealed, _L.amount_fen, _L.state, _L.platform_no, _L.error_code)
    .where(_L.share_id == bindparam("which"))
    .order_by(_L.number),
    _LineRow,
)
_SHARED = Query(
    select(func.sum(_L.amount_fen).label("shared_fen"))
    .join_from(schema.share, schema.share_line)
    .where(_S.redemption_id == bindparam("which"), _L.state != OperationState.RELEASED.value),
    _Sum,
)
_HOLD = Command(
    lambda insert: insert(schema.share).on_conflict_do_nothing(index_elements=["merchant_id", "idempotency_key"])
)
_ADD_LINE = Command(insert(schema.share_line))
_END_LINE = Command(
    update(schema.share_line)
    .where(_L.share_id == bindparam("which"), _L.number == bindparam("line"), _L.state == OperationState.HELD.value)
    .values(
        state=bindparam("to_state"),
        platform_no=bindparam("new_platform_no"),
        error_code=bindparam("new_error_code"),
        ended_at=bindparam("now"),
    )
)
_MOVE = operations.mover(schema.share, key="share_id")


def hold(
    connection: Connection,
    sealer: Sealer,
    request: ShareRequest,
    lines: tuple[ShareLine, ...],
    *,
    merchant_id: str,
    share_id: str,
    deadline: datetime,
    now: datetime,
) -> HoldShare:
    """A share of the redemption, held; or what its key stands for.

    Raises ``IdempotencyConflict``; ``ValidationError`` for an unknown redemption and for more than the order has
    (``share.more_than_order``); ``CouponStateError`` (``share.not_redeemed``) for a redemption that is not done.
    """
    digest = operations.input_hash(request.redemption_id, request.rule, str(request.amount_fen))
    known = _BY_KEY.one(connection, merchant=merchant_id, key=request.idempotency_key)
    if known is not None:
        operations.check_repeat(
            same_input=known.input_hash == digest, state=known.state, deadline=known.deadline, now=now
        )
        return HoldShare(held=_held_of(connection, sealer, known), is_repeat=True)
    redemption = redemptions.find(connection, request.redemption_id, merchant_id=merchant_id)
    _check(connection, redemption, lines)
    written = _HOLD.run(
        connection,
        share_id=share_id,
        merchant_id=merchant_id,
        idempotency_key=request.idempotency_key,
        input_hash=digest,
        redemption_id=redemption.redemption_id,
        platform=redemption.platform,
        rule=request.rule,
        amount_fen=request.amount_fen,
        held_at=micros(now),
        deadline=micros(deadline),
        state=OperationState.HELD.value,
        conclusions=0,
    )
    if not written:  # another transaction wrote this key between our look-up and now
        raise IdempotencyConflict("idempotency.in_progress", field="idempotency_key")
    _ADD_LINE.run_many(
        connection,
        [
            {
                "share_id": share_id,
                "number": line.number,
                "role": line.role.value,
                "receiver_sealed": sealer.seal_receiver(line.receiver, share_id=share_id, number=line.number),
                "amount_fen": line.amount_fen,
                "state": line.state.value,
                "platform_no": None,
                "error_code": None,
                "ended_at": None,
            }
            for line in lines
        ],
    )
    return HoldShare(held=held(connection, sealer, share_id), is_repeat=False)


def _check(connection: Connection, redemption: Redemption, lines: tuple[ShareLine, ...]) -> None:
    if redemption.state is not OperationState.DONE:
        raise CouponStateError("share.not_redeemed", field="redemption_id", state=redemption.state.value)
    found = _SHARED.one(connection, which=redemption.redemption_id)
    shared = int((found.shared_fen if found else None) or 0)
    room = redemption.order.amount_fen - redemption.value_fen - shared
    if sum(line.amount_fen for line in lines) > room:
        raise ValidationError("share.more_than_order", field="amount_fen", room_fen=room)


def conclude(connection: Connection, sealer: Sealer, share_id: str, outcome: ShareOutcome, *, now: datetime) -> Share:
    """The share with ``outcome`` written down: its lines, the journal, its own state.

    Lines that have ended stay as they are. Raises ``LedgerError`` (``ledger.contradiction``).
    """
    row = _row_of(connection, share_id)
    state = OperationState(row.state)
    move = operations.verdict_move(state, outcome.effected, operation_id=share_id)
    if state not in (OperationState.DONE, OperationState.RELEASED):
        results = outcome.lines
        if outcome.effected is Effected.NOT_DONE:
            refused = LineResult(Effected.NOT_DONE, platform_code=outcome.platform_code)
            results = {line.number: refused for line in _LINES.all(connection, which=share_id)}
        _end_lines(connection, row, results, at=outcome.at or now, now=now)
    if move is not None:
        _move(connection, row, outcome, move, now=now)
    return find(connection, sealer, share_id)


def _end_lines(
    connection: Connection, row: _Row, results: Mapping[int, LineResult], *, at: datetime, now: datetime
) -> None:
    redemption = redemptions.row_of(connection, row.redemption_id)
    for line in _LINES.all(connection, which=row.share_id):
        result = results.get(line.number)
        if result is None or result.effected not in (Effected.DONE, Effected.NOT_DONE):
            continue
        is_done = result.effected is Effected.DONE
        ended = _END_LINE.run(
            connection,
            which=row.share_id,
            line=line.number,
            to_state=(OperationState.DONE if is_done else OperationState.RELEASED).value,
            new_platform_no=result.platform_no,
            new_error_code=result.platform_code,
            now=micros(now),
        )
        if not ended or not is_done:
            continue
        journal.book(
            connection,
            journal.share_postings(ShareRole(line.role), platform=row.platform, amount_fen=line.amount_fen),
            operation_id=line_entry(row.share_id, line.number),
            coupon_id=redemption.coupon_id,
            at=at,
            now=now,
        )
        if redemption.state == OperationState.REVERSED.value:
            share_returns.owe(connection, row.share_id, row.platform, line.number, amount_fen=line.amount_fen, now=now)


def _move(connection: Connection, row: _Row, outcome: ShareOutcome, move: OperationMove, *, now: datetime) -> None:
    target = operations.target_of(OperationState(row.state), move)
    number = row.conclusions + 1
    operations.move(
        connection,
        _MOVE,
        row.share_id,
        state=row.state,
        number=row.conclusions,
        to_state=target.value,
        to_number=number,
    )
    error = None
    if outcome.error_code is not None:
        error = PlatformError(
            outcome.error_code,
            platform=row.platform,
            platform_code=outcome.platform_code,
            request_id=outcome.request_id,
        )
    kept = Outcome(outcome.effected, at=outcome.at, platform_no=outcome.platform_no, error=error)
    operations.write_conclusion(
        connection, row.share_id, kept, number=number, from_state=row.state, to_state=target.value, now=now
    )


def line_entry(share_id: str, number: int) -> str:
    """What names the journal's entry of a line."""
    return f"{share_id}.{number}"


def find(connection: Connection, sealer: Sealer, share_id: str) -> Share:
    """The share. Raises ``ValidationError`` (``share.unknown``)."""
    return _decode(connection, sealer, _row_of(connection, share_id))


def of_redemption(connection: Connection, sealer: Sealer, redemption_id: str) -> tuple[Share, ...]:
    """All shares of a redemption, the oldest first."""
    return tuple(_decode(connection, sealer, row) for row in _OF_REDEMPTION.all(connection, which=redemption_id))


def held(connection: Connection, sealer: Sealer, share_id: str) -> HeldShare:
    """All an adapter needs for the share."""
    return _held_of(connection, sealer, _row_of(connection, share_id))


def _held_of(connection: Connection, sealer: Sealer, row: _Row) -> HeldShare:
    redemption = redemptions.find(connection, row.redemption_id, merchant_id=None)
    return HeldShare(share=_decode(connection, sealer, row), redemption=redemption)


def _row_of(connection: Connection, share_id: str) -> _Row:
    row = _BY_ID.one(connection, which=share_id)
    if row is None:
        raise ValidationError("share.unknown", field="share_id")
    return row


def _decode(connection: Connection, sealer: Sealer, row: _Row) -> Share:
    lines = tuple(
        ShareLine(
            number=line.number,
            role=ShareRole(line.role),
            receiver=sealer.open_receiver(line.receiver_sealed, share_id=row.share_id, number=line.number),
            amount_fen=line.amount_fen,
            state=OperationState(line.state),
            platform_no=line.platform_no,
            error_code=line.error_code,
        )
        for line in _LINES.all(connection, which=row.share_id)
    )
    return Share(
        share_id=row.share_id,
        idempotency_key=row.idempotency_key,
        redemption_id=row.redemption_id,
        merchant_id=row.merchant_id,
        platform=row.platform,
        rule=row.rule,
        amount_fen=row.amount_fen,
        state=OperationState(row.state),
        held_at=instant(row.held_at),
        deadline=instant(row.deadline),
        lines=lines,
        platform_no=row.platform_no,
        concluded_at=instant_or_none(row.concluded_at),
        error_code=row.error_code,
        platform_code=row.platform_code,
    )
