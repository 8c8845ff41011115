"""The outbox: one event for each change of a coupon, written in the transaction of the change.

An event's id is ``<coupon id>.<version>`` and versions have no gaps, so a consumer orders and deduplicates by them. The
sequence orders events as they were written. On PostgreSQL a transaction that commits late may show an earlier
sequence after a later one: a publisher therefore takes ``unpublished`` and marks what it has sent; a cursor over
``since`` is for a store with one writer, and for reading.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from unicom_coupon_sdk.domain.events import CouponEvent, EventKind
from unicom_coupon_sdk.ledger import schema
from unicom_coupon_sdk.ledger.answers import SequencedEvent
from unicom_coupon_sdk.ledger.codec import instant, micros
from unicom_coupon_sdk.ledger.statement import Command, Query

_O = schema.outbox.c


class EventRow(NamedTuple):
    """A row of the outbox."""

    sequence: int
    coupon_id: str
    version: int
    kind: str
    happened_at: int
    platform: str | None
    operation_id: str | None
    value_fen: int | None


_EVENT = select(
    _O.sequence, _O.coupon_id, _O.version, _O.kind, _O.happened_at, _O.platform, _O.operation_id, _O.value_fen
)
_RECORD = Command(
    insert(schema.outbox).values(
        {
            name: bindparam(name)
            for name in ("coupon_id", "version", "kind", "happened_at", "platform", "operation_id", "value_fen")
        }
    )
)
_SINCE = Query(
    _EVENT.where(_O.sequence > bindparam("after")).order_by(_O.sequence).limit(bindparam("at_most")), EventRow
)
_UNPUBLISHED = Query(
    _EVENT.where(_O.published_at.is_(None)).order_by(_O.sequence).limit(bindparam("at_most")), EventRow
)
_OF_COUPON = Query(_EVENT.where(_O.coupon_id == bindparam("which")).order_by(_O.version), EventRow)
_PUBLISH = Command(
    update(schema.outbox)
    .where(_O.sequence == bindparam("which"), _O.published_at.is_(None))
    .values(published_at=bindparam("now"))
)


def event_values(kind: EventKind, *, coupon_id: str, version: int, now: datetime) -> dict[str, object]:
    """One event that concerns no operation, as a row for ``record_many``."""
    return {
        "coupon_id": coupon_id,
        "version": version,
        "kind": kind.value,
        "happened_at": micros(now),
        "platform": None,
        "operation_id": None,
        "value_fen": None,
    }


def record(
    connection: Connection,
    kind: EventKind,
    *,
    coupon_id: str,
    version: int,
    now: datetime,
    platform: str | None = None,
    operation_id: str | None = None,
    value_fen: int | None = None,
) -> None:
    """Write one event."""
    _RECORD.run(
        connection,
        coupon_id=coupon_id,
        version=version,
        kind=kind.value,
        happened_at=micros(now),
        platform=platform,
        operation_id=operation_id,
        value_fen=value_fen,
    )


def record_many(connection: Connection, rows: Iterable[dict[str, object]]) -> None:
    """Write very many events at once, each made by ``event_values``."""
    _RECORD.run_many(connection, rows)


def since(connection: Connection, *, after: int, limit: int) -> tuple[SequencedEvent, ...]:
    """Events after sequence ``after``, in order."""
    return tuple(map(_decode, _SINCE.all(connection, after=after, at_most=limit)))


def unpublished(connection: Connection, *, limit: int) -> tuple[SequencedEvent, ...]:
    """Events that were not marked as published, in order."""
    return tuple(map(_decode, _UNPUBLISHED.all(connection, at_most=limit)))


def mark_published(connection: Connection, sequences: Iterable[int], *, now: datetime) -> int:
    """How many events were marked now; those marked before keep their mark."""
    at = micros(now)
    return sum(_PUBLISH.run(connection, which=sequence, now=at) for sequence in sequences)


def path(connection: Connection, coupon_id: str) -> tuple[CouponEvent, ...]:
    """All events of a coupon, from its first."""
    return tuple(_decode(row).event for row in _OF_COUPON.all(connection, which=coupon_id))


def _decode(row: EventRow) -> SequencedEvent:
    return SequencedEvent(
        sequence=row.sequence,
        event=CouponEvent(
            event_id=f"{row.coupon_id}.{row.version}",
            kind=EventKind(row.kind),
            coupon_id=row.coupon_id,
            version=row.version,
            at=instant(row.happened_at),
            platform=row.platform,
            operation_id=row.operation_id,
            value_fen=row.value_fen,
        ),
    )
