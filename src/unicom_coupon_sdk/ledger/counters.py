"""Limit counters: what holders, merchants, terminals and devices have used of their limits.

A counter is one row, moved by one conditional upsert that either takes room or changes nothing, so two processes never
spend the same room. What a redemption took is kept beside it (``consumption``): it is given back from there, and
``mismatches`` proves at any time that the counters equal their redemptions.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, bindparam, func, insert, literal, select, union_all, update

from unicom_coupon_sdk.domain.limits import Consumption
from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.errors import LedgerError, LimitError
from unicom_coupon_sdk.ledger import schema
from unicom_coupon_sdk.ledger.answers import CounterMismatch
from unicom_coupon_sdk.ledger.codec import micros
from unicom_coupon_sdk.ledger.statement import Command, InsertMaker, Query

_C, _U = schema.counter.c, schema.consumption.c
_UNBOUNDED = 2**62
_KEY = ("limit_name", "platform", "subject", "subject_index", "window_name")


def _take(insert_into: InsertMaker) -> Any:
    made = insert_into(schema.counter).values(
        {name: bindparam(name) for name in _KEY} | {"used_fen": bindparam("amount_fen"), "used_count": literal(1)}
    )
    return made.on_conflict_do_update(
        index_elements=list(_KEY),
        set_={"used_fen": _C.used_fen + made.excluded.used_fen, "used_count": _C.used_count + 1},
        where=(_C.used_fen + made.excluded.used_fen <= bindparam("max_fen", type_=BigInteger))
        & (_C.used_count < bindparam("max_count", type_=BigInteger)),
    )


class _Taken(NamedTuple):
    number: int
    limit_name: str
    platform: str
    subject: str
    subject_index: str
    window_name: str
    amount_fen: int


_TAKE = Command(_take)
_REMEMBER = Command(insert(schema.consumption))
_TAKEN = Query(
    select(_U.number, _U.limit_name, _U.platform, _U.subject, _U.subject_index, _U.window_name, _U.amount_fen)
    .where(_U.redemption_id == bindparam("which"), _U.given_back_at.is_(None))
    .order_by(_U.limit_name, _U.subject, _U.subject_index, _U.window_name),
    _Taken,
)
_RETURN = Command(
    update(schema.counter)
    .where(*(_C[name] == bindparam(f"the_{name}") for name in _KEY))
    .values(used_fen=_C.used_fen - bindparam("amount_fen"), used_count=_C.used_count - 1)
)
_MARK = Command(
    update(schema.consumption)
    .where(_U.redemption_id == bindparam("which"), _U.number == bindparam("line"), _U.given_back_at.is_(None))
    .values(given_back_at=bindparam("now"))
)


def take(connection: Connection, consumptions: Sequence[Consumption]) -> None:
    """Take all of ``consumptions`` or raise ``LimitError`` naming the first limit without room.

    Counters are taken in one order everywhere, so that two redemptions never wait for each other in a circle.
    """
    for item in _in_order(consumptions):
        max_fen = _UNBOUNDED if item.max_fen is None else item.max_fen
        max_count = _UNBOUNDED if item.max_count is None else item.max_count
        fits = item.amount_fen <= max_fen and max_count >= 1
        if not fits or not _TAKE.run(
            connection, **_key(item), amount_fen=item.amount_fen, max_fen=max_fen, max_count=max_count
        ):
            raise LimitError(
                "limit.exceeded",
                field="order.amount_fen",
                platform=item.platform,
                limit=item.limit,
                window=item.window,
                max_fen=item.max_fen,
                max_count=item.max_count,
            )


def remember(connection: Connection, consumptions: Sequence[Consumption], *, redemption_id: str) -> None:
    """Keep what ``redemption_id`` took, so that it can be given back."""
    for number, item in enumerate(_in_order(consumptions), start=1):
        _REMEMBER.run(
            connection,
            redemption_id=redemption_id,
            number=number,
            **_key(item),
            amount_fen=item.amount_fen,
            given_back_at=None,
        )


def give_back(connection: Connection, redemption_id: str, *, now: datetime, only_current: bool = False) -> None:
    """Give back what ``redemption_id`` took.

    ``only_current``: only for windows that ``now`` falls into. A reversal on a later day does not make room in a day
    that is over, as the platforms count; a redemption that never happened leaves no trace in any window.
    """
    today = business_date(now).isoformat()
    for row in _TAKEN.all(connection, which=redemption_id):
        if only_current and not (row.window_name == "ever" or today.startswith(row.window_name)):
            continue
        key = {f"the_{name}": getattr(row, name) for name in _KEY}
        marked = _MARK.run(connection, which=redemption_id, line=row.number, now=micros(now))
        if not marked or not _RETURN.run(connection, **key, amount_fen=row.amount_fen):
            raise LedgerError("ledger.counter", reason=row.limit_name)


def _in_order(consumptions: Sequence[Consumption]) -> Sequence[Consumption]:
    if len(consumptions) < 2:
        return consumptions
    return sorted(consumptions, key=lambda item: (item.limit, item.subject, item.subject_index, item.window))


def _key(item: Consumption) -> dict[str, str]:
    return {
        "limit_name": item.limit,
        "platform": item.platform,
        "subject": item.subject,
        "subject_index": item.subject_index,
        "window_name": item.window,
    }


class _Sums(NamedTuple):
    limit_name: str
    platform: str
    subject: str
    subject_index: str
    window_name: str
    used_fen: int
    used_count: int
    expected_fen: int
    expected_count: int


_KEPT = (_C[name] for name in _KEY)
_SIDES = union_all(
    select(
        *_KEPT,
        _C.used_fen.label("used_fen"),
        _C.used_count.label("used_count"),
        literal(0, BigInteger).label("expected_fen"),
        literal(0, BigInteger).label("expected_count"),
    ),
    select(
        *(_U[name] for name in _KEY),
        literal(0, BigInteger),
        literal(0, BigInteger),
        _U.amount_fen,
        literal(1, BigInteger),
    ).where(_U.given_back_at.is_(None)),
).subquery()
_FIGURES = ("used_fen", "used_count", "expected_fen", "expected_count")
_TOTALS = {name: func.sum(_SIDES.c[name]) for name in _FIGURES}
_MISMATCHES = Query(
    select(*(_SIDES.c[name] for name in _KEY), *(total.label(name) for name, total in _TOTALS.items()))
    .group_by(*(_SIDES.c[name] for name in _KEY))
    .having((_TOTALS["used_fen"] != _TOTALS["expected_fen"]) | (_TOTALS["used_count"] != _TOTALS["expected_count"])),
    _Sums,
)


def mismatches(connection: Connection) -> tuple[CounterMismatch, ...]:
    """Counters that do not equal the redemptions they count; empty when all is well."""
    return tuple(
        CounterMismatch(
            limit=row.limit_name,
            platform=row.platform,
            window=row.window_name,
            used_fen=int(row.used_fen),
            used_count=int(row.used_count),
            expected_fen=int(row.expected_fen),
            expected_count=int(row.expected_count),
        )
        for row in _MISMATCHES.all(connection)
    )
