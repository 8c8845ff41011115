"""The inbox: which news was taken in, so that a platform's repeats change nothing. No content of it is kept."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, select

from unicom_coupon_sdk.domain.events import VerifiedEvent
from unicom_coupon_sdk.ledger import schema
from unicom_coupon_sdk.ledger.codec import micros
from unicom_coupon_sdk.ledger.statement import Command, Query

_I, _N = schema.inbox.c, schema.nonce.c


class _Seen(NamedTuple):
    received_at: int


_RECEIVE = Command(lambda insert: insert(schema.inbox).on_conflict_do_nothing(index_elements=["platform", "event_id"]))
_SEEN = Query(
    select(_I.received_at).where(_I.platform == bindparam("on_platform"), _I.event_id == bindparam("which")), _Seen
)
_SPEND_NONCE = Command(lambda insert: insert(schema.nonce).on_conflict_do_nothing(index_elements=["platform", "nonce"]))
_FORGET_NONCES = Command(delete(schema.nonce).where(_N.expires_at < bindparam("now")))


def receive(connection: Connection, event: VerifiedEvent, *, now: datetime) -> bool:
    """Whether ``event`` is new; from now on it is not."""
    return bool(
        _RECEIVE.run(
            connection,
            platform=event.platform,
            event_id=event.event_id,
            kind=event.kind.value,
            type_name=event.type_name,
            operation_no=event.operation_no,
            occurred_at=micros(event.occurred_at),
            received_at=micros(now),
        )
    )


def has_received(connection: Connection, event: VerifiedEvent) -> bool:
    """Whether ``event`` was taken in before."""
    return _SEEN.one(connection, on_platform=event.platform, which=event.event_id) is not None


def spend_nonce(connection: Connection, nonce: str, *, platform: str, now: datetime, expires_at: datetime) -> bool:
    """Whether ``nonce`` is new on ``platform``. It is remembered until ``expires_at``, the end of its time window."""
    _FORGET_NONCES.run(connection, now=micros(now))
    return bool(_SPEND_NONCE.run(connection, platform=platform, nonce=nonce, expires_at=micros(expires_at)))
