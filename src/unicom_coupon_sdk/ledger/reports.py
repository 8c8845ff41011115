"""Figures over the whole ledger, for operators."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Connection, func, literal, select, union_all

from unicom_coupon_sdk.ledger import schema
from unicom_coupon_sdk.ledger.statement import Query


class _Count(NamedTuple):
    thing: str
    state: str
    amount: int


def _by_state(thing: str, table: Any) -> Any:
    return select(literal(thing).label("thing"), table.c.state, func.count().label("amount")).group_by(table.c.state)


def _all_of(thing: str, table: Any, *conditions: Any) -> Any:
    return (
        select(literal(thing).label("thing"), literal("all").label("state"), func.count().label("amount"))
        .select_from(table)
        .where(*conditions)
    )


_COUNTS = Query(
    select(
        union_all(
            _by_state("coupon", schema.coupon),
            _by_state("redemption", schema.redemption),
            _by_state("reversal", schema.reversal),
            _all_of("template", schema.template),
            _all_of("event", schema.outbox),
            _all_of("unpublished", schema.outbox, schema.outbox.c.published_at.is_(None)),
            _all_of("notification", schema.inbox),
        ).subquery()
    ),
    _Count,
)


def statistics(connection: Connection) -> dict[str, int]:
    """How many of everything there are, by kind and state.

    ``coupon.available``, ``redemption.unknown``, ``event.all``, ``unpublished.all``, …; a state with nothing in it is
    absent.
    """
    return {f"{row.thing}.{row.state}": row.amount for row in _COUNTS.all(connection)}
