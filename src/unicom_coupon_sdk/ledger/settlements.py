"""Settlements: what a platform should pay a merchant on a day, and whether it came.

A settlement gathers every finished operation whose money is expected on or before its day and that is in no settlement
yet; one that is concluded late goes into a later number of the same day. An operation is in exactly one settlement,
which is the primary key of its item. Amounts come from the operation's own postings, so that a settlement cannot differ
from the journal. It is settled when a bill has shown each of its items, and is booked then:

============================  =================================
``merchant_payable:<who>``    +(value − fee − price of advance)
``platform_fee``              +fee
``advance_fee``               +price of advance
``platform_clearing:<where>`` −value
============================  =================================

A pay-out and a share are not the merchant's receivables, and are in none.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, union_all, update

from unicom_coupon_sdk.domain.settlement import Settlement
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.ledger import journal, operations, schema
from unicom_coupon_sdk.ledger.codec import instant, instant_or_none, micros
from unicom_coupon_sdk.ledger.statement import Command, Query

_R, _V, _N, _P = schema.redemption.c, schema.reversal.c, schema.conclusion.c, schema.posting.c
_S, _I = schema.settlement.c, schema.settlement_item.c


class _Due(NamedTuple):
    operation_id: str
    value_fen: int


class _Posted(NamedTuple):
    account: str
    amount_fen: int


class _Number(NamedTuple):
    last: int | None


class _Row(NamedTuple):
    settlement_id: str
    merchant_id: str
    platform: str
    settles_on: str
    number: int
    made_at: int
    size: int
    value_fen: int
    fee_fen: int
    advance_fee_fen: int
    settled_at: int | None
    matched: int


def _due(table: Any, *, key: str, states: tuple[OperationState, ...], sign: int) -> Any:
    """Finished operations with a claim of the merchant's, expected by the asked day, that no settlement has."""
    columns = table.c
    owed = select(1).where(_P.entry_id == columns[key], _P.account == bindparam("payable")).exists()
    taken = select(1).where(_I.operation_id == columns[key]).exists()
    return (
        select(columns[key].label("operation_id"), (columns.value_fen * sign).label("value_fen"))
        .join_from(table, schema.conclusion, operations.conclusion_join(table, key=key))
        .where(
            columns.merchant_id == bindparam("merchant"),
            columns.platform == bindparam("on_platform"),
            or_(*(columns.state == state.value for state in states)),
            _N.settles_on <= bindparam("by"),
            owed,
            ~taken,
        )
    )


_O = OperationState
_DUE = Query(
    select(
        union_all(
            _due(schema.redemption, key="redemption_id", states=(_O.DONE, _O.REVERSING, _O.REVERSED), sign=1),
            _due(schema.reversal, key="reversal_id", states=(_O.DONE,), sign=-1),
        ).subquery()
    )
    .order_by("operation_id")
    .limit(bindparam("at_most")),
    _Due,
)
_POSTED = Query(select(_P.account, _P.amount_fen).where(_P.entry_id == bindparam("which")), _Posted)
_LAST = Query(
    select(func.max(_S.number).label("last")).where(
        _S.merchant_id == bindparam("merchant"),
        _S.platform == bindparam("on_platform"),
        _S.settles_on == bindparam("on_day"),
    ),
    _Number,
)
_ADD = Command(insert(schema.settlement))
_ADD_ITEM = Command(insert(schema.settlement_item))
_ROW: Any = (
    select(
        _S.settlement_id, _S.merchant_id, _S.platform, _S.settles_on, _S.number, _S.made_at, _S.size, _S.value_fen,
        _S.fee_fen, _S.advance_fee_fen, _S.settled_at, func.count(_I.matched_at).label("matched"),
    )
    .join_from(schema.settlement, schema.settlement_item)
    .group_by(*schema.settlement.c)
)  # fmt: skip
_OF_MERCHANT = (_S.merchant_id == bindparam("merchant"), _S.platform == bindparam("on_platform"))
_OF_DAY = Query(_ROW.where(*_OF_MERCHANT, _S.settles_on == bindparam("on_day")).order_by(_S.number), _Row)
_EXPECTED = Query(
    _ROW.where(_S.merchant_id == bindparam("merchant"), _S.settled_at.is_(None)).order_by(
        _S.settles_on, _S.platform, _S.number
    ),
    _Row,
)
_WHOLE = Query(
    _ROW.where(*_OF_MERCHANT, _S.settled_at.is_(None))
    .having(func.count(_I.matched_at) == func.count())
    .order_by(_S.settles_on, _S.number),
    _Row,
)
_MATCH = Command(
    update(schema.settlement_item)
    .where(_I.operation_id == bindparam("which"), _I.matched_at.is_(None))
    .values(matched_at=bindparam("now"), matched_by=bindparam("by_what"))
)
_SETTLE = Command(
    update(schema.settlement)
    .where(and_(_S.settlement_id == bindparam("which"), _S.settled_at.is_(None)))
    .values(settled_at=bindparam("now"))
)


def settle(
    connection: Connection,
    *,
    merchant_id: str,
    platform: str,
    day: date,
    settlement_id: str,
    limit: int,
    now: datetime,
) -> Settlement | None:
    """A new settlement of at most ``limit`` operations that are due by ``day``; ``None`` when none is."""
    payable = journal.merchant_payable(merchant_id)
    due = _DUE.all(
        connection, merchant=merchant_id, on_platform=platform, by=day.isoformat(), payable=payable, at_most=limit
    )
    if not due:
        return None
    items = [_item(connection, one, settlement_id=settlement_id) for one in due]
    last = _LAST.one(connection, merchant=merchant_id, on_platform=platform, on_day=day.isoformat())
    _ADD.run(
        connection,
        settlement_id=settlement_id,
        merchant_id=merchant_id,
        platform=platform,
        settles_on=day.isoformat(),
        number=((last.last if last else None) or 0) + 1,
        made_at=micros(now),
        size=len(items),
        value_fen=sum(item["value_fen"] for item in items),
        fee_fen=sum(item["fee_fen"] for item in items),
        advance_fee_fen=sum(item["advance_fee_fen"] for item in items),
        settled_at=None,
    )
    _ADD_ITEM.run_many(connection, items)
    return of_day(connection, merchant_id=merchant_id, platform=platform, day=day)[-1]


def _item(connection: Connection, due: _Due, *, settlement_id: str) -> dict[str, Any]:
    posted = {row.account: int(row.amount_fen) for row in _POSTED.all(connection, which=due.operation_id)}
    return {
        "operation_id": due.operation_id,
        "settlement_id": settlement_id,
        "value_fen": int(due.value_fen),
        "fee_fen": -posted.get(journal.PLATFORM_FEE, 0),
        "advance_fee_fen": -posted.get(journal.ADVANCE_FEE, 0),
        "matched_at": None,
        "matched_by": None,
    }


def of_day(connection: Connection, *, merchant_id: str, platform: str, day: date) -> tuple[Settlement, ...]:
    """The settlements of one day, by number."""
    rows = _OF_DAY.all(connection, merchant=merchant_id, on_platform=platform, on_day=day.isoformat())
    return tuple(map(_decode, rows))


def expected(connection: Connection, *, merchant_id: str) -> tuple[Settlement, ...]:
    """Every settlement that no bill has shown whole yet, the oldest day first."""
    return tuple(map(_decode, _EXPECTED.all(connection, merchant=merchant_id)))


def match(connection: Connection, operation_ids: Iterable[str], *, by: str, now: datetime) -> int:
    """How many operations a bill (or a query, ``by``) has shown for the first time."""
    at = micros(now)
    return sum(_MATCH.run(connection, which=operation_id, now=at, by_what=by) for operation_id in operation_ids)


def finish(connection: Connection, *, merchant_id: str, platform: str, now: datetime) -> tuple[Settlement, ...]:
    """The settlements whose every item has been shown, booked and settled now."""
    found = []
    for row in _WHOLE.all(connection, merchant=merchant_id, on_platform=platform):
        if not _SETTLE.run(connection, which=row.settlement_id, now=micros(now)):
            continue
        journal.book(
            connection,
            journal.settlement_postings(
                merchant_id,
                platform=platform,
                value_fen=int(row.value_fen),
                fee_fen=int(row.fee_fen),
                advance_fee_fen=int(row.advance_fee_fen),
            ),
            operation_id=row.settlement_id,
            coupon_id=None,
            at=now,
            now=now,
        )
        found.append(_decode(row._replace(settled_at=micros(now))))
    return tuple(found)


def _decode(row: _Row) -> Settlement:
    return Settlement(
        settlement_id=row.settlement_id,
        merchant_id=row.merchant_id,
        platform=row.platform,
        settles_on=date.fromisoformat(row.settles_on),
        number=row.number,
        made_at=instant(row.made_at),
        size=row.size,
        matched=row.matched,
        value_fen=int(row.value_fen),
        fee_fen=int(row.fee_fen),
        advance_fee_fen=int(row.advance_fee_fen),
        settled_at=instant_or_none(row.settled_at),
    )
