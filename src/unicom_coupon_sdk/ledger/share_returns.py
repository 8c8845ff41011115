"""Returns: what a receiver got of an order whose redemption was reversed, fetched back.

A return is owed from the moment at which both are known, the line that was paid and the reversal. It has one number
for ever; sending it again changes nothing at the platform, so it is sent again until it is done. Only the platform's
definite refusal ends it otherwise, and that is for a person to look at.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, select, update

from unicom_coupon_sdk.domain.redemption import Outcome
from unicom_coupon_sdk.domain.state import OperationMove, OperationState
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.ledger import journal, operations, schema
from unicom_coupon_sdk.ledger.codec import instant, micros
from unicom_coupon_sdk.ledger.statement import Command, Query

_S, _L, _T = schema.share.c, schema.share_line.c, schema.share_return.c


class ReturnRow(NamedTuple):
    """A return."""

    return_id: str
    share_id: str
    number: int
    platform: str
    amount_fen: int
    deadline: int
    state: str
    conclusions: int


class _DoneLine(NamedTuple):
    share_id: str
    platform: str
    number: int
    amount_fen: int


_ROW: Any = select(
    _T.return_id, _T.share_id, _T.number, _T.platform, _T.amount_fen, _T.deadline, _T.state, _T.conclusions
)
_BY_ID = Query(_ROW.where(_T.return_id == bindparam("which")), ReturnRow)
_OF_SHARE = Query(_ROW.where(_T.share_id == bindparam("which")).order_by(_T.number), ReturnRow)
_DONE_LINES = Query(
    select(_S.share_id, _S.platform, _L.number, _L.amount_fen)
    .join_from(schema.share, schema.share_line, and_(_S.share_id == _L.share_id))
    .where(_S.redemption_id == bindparam("which"), _L.state == OperationState.DONE.value)
    .order_by(_S.share_id, _L.number),
    _DoneLine,
)
_OWE = Command(lambda insert: insert(schema.share_return).on_conflict_do_nothing(index_elements=["share_id", "number"]))
_MOVE = operations.mover(schema.share_return, key="return_id")
_SEND = Command(
    update(schema.share_return)
    .where(_T.return_id == bindparam("which"), _T.deadline == bindparam("was"))
    .values(deadline=bindparam("until"))
)


def number_of(share_id: str, number: int) -> str:
    """The request number of the return of a line: 26 of ``0-9 A-Z``, always the same for the same line."""
    digest = int.from_bytes(hashlib.sha256(f"return\n{share_id}\n{number}".encode()).digest()[:16])
    text = ""
    for _ in range(25):
        digest, rest = divmod(digest, 36)
        text += "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[rest]
    return f"R{text}"


def owe(connection: Connection, share_id: str, platform: str, number: int, *, amount_fen: int, now: datetime) -> None:
    """A return of the line, due now. One that is owed already stays as it is."""
    _OWE.run(
        connection,
        return_id=number_of(share_id, number),
        share_id=share_id,
        number=number,
        platform=platform,
        amount_fen=amount_fen,
        held_at=micros(now),
        deadline=micros(now),
        state=OperationState.HELD.value,
        conclusions=0,
    )


def owe_of_redemption(connection: Connection, redemption_id: str, *, now: datetime) -> None:
    """A return of every line that was paid of the redemption's order."""
    for line in _DONE_LINES.all(connection, which=redemption_id):
        owe(connection, line.share_id, line.platform, line.number, amount_fen=line.amount_fen, now=now)


def row_of(connection: Connection, return_id: str) -> ReturnRow:
    """The return. Raises ``ValidationError`` (``share.unknown``)."""
    row = _BY_ID.one(connection, which=return_id)
    if row is None:
        raise ValidationError("share.unknown", field="return_id")
    return row


def of_share(connection: Connection, share_id: str) -> tuple[ReturnRow, ...]:
    """The returns of a share's lines."""
    return tuple(_OF_SHARE.all(connection, which=share_id))


def start(connection: Connection, return_id: str, *, until: datetime, now: datetime) -> bool:
    """Leave to send the return until ``until``; none while somebody else's leave lasts, or once it has ended."""
    row = row_of(connection, return_id)
    if row.state in (OperationState.DONE.value, OperationState.RELEASED.value) or row.deadline > micros(now):
        return False
    return bool(_SEND.run(connection, which=return_id, was=row.deadline, until=micros(until)))


def conclude(connection: Connection, return_id: str, outcome: Outcome, *, coupon_id: str, now: datetime) -> None:
    """Write down what came of the return. Raises ``LedgerError`` (``ledger.contradiction``)."""
    row = row_of(connection, return_id)
    state = OperationState(row.state)
    move = operations.verdict_move(state, outcome.effected, operation_id=return_id)
    if move is None:
        return
    target = operations.target_of(state, move)
    number = row.conclusions + 1
    operations.move(
        connection, _MOVE, return_id, state=row.state, number=row.conclusions, to_state=target.value, to_number=number
    )
    operations.write_conclusion(
        connection, return_id, outcome, number=number, from_state=row.state, to_state=target.value, now=now
    )
    if move is OperationMove.FINISH:
        journal.book_reversal(
            connection,
            f"{row.share_id}.{row.number}",
            reversal_id=return_id,
            coupon_id=coupon_id,
            at=outcome.at or now,
            now=now,
        )


def deadline_of(row: ReturnRow) -> datetime:
    """Until when the return may still be sent by somebody."""
    return instant(row.deadline)
