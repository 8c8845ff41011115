"""What redemptions, reversals, shares and returns have in common: conclusions, and how a verdict moves them.

An operation's row is its hold; each conclusion is a new record and is never changed. The row keeps the state and the
number of its latest conclusion.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, and_, bindparam, insert, literal, or_, select, union_all, update

from unicom_coupon_sdk.domain.redemption import Outcome
from unicom_coupon_sdk.domain.settlement import SettlementDate
from unicom_coupon_sdk.domain.state import OPERATION_MOVES, OperationMove, OperationState
from unicom_coupon_sdk.errors import Effected, IdempotencyConflict, LedgerError
from unicom_coupon_sdk.ledger import schema
from unicom_coupon_sdk.ledger.answers import OperationKind, Pending
from unicom_coupon_sdk.ledger.codec import instant, micros, refs_text, settlement_text
from unicom_coupon_sdk.ledger.failures import moved
from unicom_coupon_sdk.ledger.statement import Command, Query

_VERDICTS = {
    Effected.DONE: OperationMove.FINISH,
    Effected.NOT_DONE: OperationMove.RELEASE,
    Effected.UNKNOWN: OperationMove.LOSE_SIGHT,
    Effected.PENDING: OperationMove.WAIT,
}
_SAYS_DONE = frozenset({OperationState.DONE, OperationState.REVERSING, OperationState.REVERSED})


class _PendingRow(NamedTuple):
    kind: str
    operation_id: str
    platform: str
    state: str
    deadline: int


_CONCLUDE = Command(insert(schema.conclusion))


def conclusion_join(table: Table, *, key: str) -> Any:
    """The condition that joins an operation with its latest conclusion."""
    return and_(schema.conclusion.c.operation_id == table.c[key], schema.conclusion.c.number == table.c.conclusions)


CONCLUSION_COLUMNS = (
    schema.conclusion.c.concluded_at,
    schema.conclusion.c.platform_no,
    schema.conclusion.c.refs,
    schema.conclusion.c.error_code,
    schema.conclusion.c.platform_code,
    schema.conclusion.c.request_id,
    schema.conclusion.c.settles_on,
)


def input_hash(*parts: str) -> bytes:
    """What tells one request from another under the same key: SHA-256 over its parts, a line each.

    Only the last part may be free text: ids and JSON hold no line breaks, so no two requests are hashed alike.
    """
    return hashlib.sha256("\n".join(parts).encode()).digest()


def check_repeat(*, same_input: bool, state: str, deadline: int, now: datetime) -> None:
    """The two answers to a known key that are errors; the other two are the operation as it is.

    Raises ``IdempotencyConflict``: ``idempotency.conflict`` for another request under the key,
    ``idempotency.in_progress`` while the first may still be sent.
    """
    if not same_input:
        raise IdempotencyConflict("idempotency.conflict", field="idempotency_key")
    if state == OperationState.HELD.value and micros(now) < deadline:
        raise IdempotencyConflict("idempotency.in_progress", field="idempotency_key")


def verdict_move(state: OperationState, verdict: Effected, *, operation_id: str) -> OperationMove | None:
    """The move that ``verdict`` asks for in ``state``; ``None`` when nothing is left to do.

    Not knowing contradicts nothing, and what is done may have been pending before. Raises ``LedgerError``
    (``ledger.contradiction``) when the platform now says the opposite of what was concluded: a person must look,
    because the coupon may already be elsewhere.
    """
    move = _VERDICTS[verdict]
    if OPERATION_MOVES.after(state, move) is not None:
        return move
    if verdict is Effected.PENDING:
        agrees = state is not OperationState.RELEASED
    else:
        agrees = verdict is Effected.UNKNOWN or (verdict is Effected.DONE) == (state in _SAYS_DONE)
    if not agrees:
        raise LedgerError(
            "ledger.contradiction", operation_id=operation_id, concluded=state.value, reported=verdict.value
        )
    return None


def target_of(state: OperationState, move: OperationMove) -> OperationState:
    """Where ``move`` leads, which the caller has found to be allowed."""
    target = OPERATION_MOVES.after(state, move)
    if target is None:
        raise LedgerError("ledger.illegal_move", state=state.value, move=move.value)
    return target


def mover(table: Table, *, key: str) -> Command:
    """The compare-and-set of an operation's state."""
    return Command(
        update(table)
        .where(
            table.c[key] == bindparam("which"),
            table.c.state == bindparam("was_state"),
            table.c.conclusions == bindparam("was_number"),
        )
        .values(state=bindparam("to_state"), conclusions=bindparam("number"))
    )


def move(
    connection: Connection,
    mover_of: Command,
    operation_id: str,
    *,
    state: str,
    number: int,
    to_state: str,
    to_number: int,
) -> None:
    """Compare and set. Raises ``LedgerError`` (``ledger.moved``) when somebody else was faster."""
    if not mover_of.run(
        connection, which=operation_id, was_state=state, was_number=number, to_state=to_state, number=to_number
    ):
        raise moved()


def write_conclusion(
    connection: Connection,
    operation_id: str,
    outcome: Outcome,
    *,
    number: int,
    from_state: str,
    to_state: str,
    now: datetime,
    settles_on: SettlementDate | None = None,
) -> dict[str, Any]:
    """Add the record of an outcome; its values, as they are read back."""
    error = outcome.error
    values = {
        "concluded_at": micros(now),
        "platform_no": outcome.platform_no,
        "refs": refs_text(outcome.refs),
        "error_code": error.code if error else None,
        "platform_code": error.platform_code if error else None,
        "request_id": error.request_id if error else None,
        "settles_on": settlement_text(settles_on),
    }
    _CONCLUDE.run(
        connection,
        operation_id=operation_id,
        number=number,
        from_state=from_state,
        to_state=to_state,
        done_at=micros(outcome.at) if outcome.at else None,
        **values,
    )
    return values


def _open_of(kind: OperationKind, table: Table, *, key: str) -> Any:
    columns = table.c
    return select(
        literal(kind.value).label("kind"),
        columns[key].label("operation_id"),
        columns.platform,
        columns.state,
        columns.deadline,
    ).where(
        or_(
            columns.state == OperationState.UNKNOWN.value,
            columns.state == OperationState.PENDING.value,
            and_(columns.state == OperationState.HELD.value, columns.deadline <= bindparam("before")),
        )
    )


_REDEMPTIONS = _open_of(OperationKind.REDEEM, schema.redemption, key="redemption_id")
_REVERSALS = _open_of(OperationKind.REVERSE, schema.reversal, key="reversal_id")
_SHARES = _open_of(OperationKind.SHARE, schema.share, key="share_id")
_RETURNS = _open_of(OperationKind.SHARE_RETURN, schema.share_return, key="return_id")
_OPEN = union_all(_REDEMPTIONS, _REVERSALS, _SHARES, _RETURNS).subquery()
_UNSETTLED = Query(
    select(_OPEN)
    .where(
        or_(
            _OPEN.c.deadline > bindparam("after_deadline"),
            and_(_OPEN.c.deadline == bindparam("after_deadline"), _OPEN.c.operation_id > bindparam("after_id")),
        )
    )
    .order_by(_OPEN.c.deadline, _OPEN.c.operation_id)
    .limit(bindparam("at_most")),
    _PendingRow,
)
_NAMED = union_all(
    _REDEMPTIONS.where(schema.redemption.c.redemption_id == bindparam("which")),
    _REVERSALS.where(
        or_(
            schema.reversal.c.reversal_id == bindparam("which"),
            schema.reversal.c.redemption_id == bindparam("which"),
        )
    ),
    _SHARES.where(
        or_(schema.share.c.share_id == bindparam("which"), schema.share.c.redemption_id == bindparam("which"))
    ),
    _RETURNS.where(
        or_(
            schema.share_return.c.return_id == bindparam("which"),
            schema.share_return.c.share_id == bindparam("which"),
        )
    ),
).subquery()
_UNSETTLED_OF = Query(select(_NAMED).order_by(_NAMED.c.deadline, _NAMED.c.operation_id), _PendingRow)


def unsettled(
    connection: Connection, *, before: datetime, limit: int, after: Pending | None = None
) -> tuple[Pending, ...]:
    """Operations UNKNOWN or PENDING, or HELD with a deadline at or before ``before``; the oldest deadline first.

    ``after`` continues behind an earlier answer, so that what stays open does not keep the rest from its turn.
    """
    rows = _UNSETTLED.all(
        connection,
        before=micros(before),
        after_deadline=-1 if after is None else micros(after.deadline),
        after_id="" if after is None else after.operation_id,
        at_most=limit,
    )
    return tuple(map(_pending, rows))


def unsettled_of(connection: Connection, operation_id: str, *, before: datetime) -> tuple[Pending, ...]:
    """As ``unsettled``, for one redemption with its reversals and shares, or for one of these."""
    return tuple(map(_pending, _UNSETTLED_OF.all(connection, which=operation_id, before=micros(before))))


def _pending(row: _PendingRow) -> Pending:
    return Pending(
        kind=OperationKind(row.kind),
        operation_id=row.operation_id,
        platform=row.platform,
        state=OperationState(row.state),
        deadline=instant(row.deadline),
    )
