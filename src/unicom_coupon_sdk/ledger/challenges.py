"""Challenges: kept sealed until they are answered, once, within their time."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from unicom_coupon_sdk.domain.verification import Challenge, Method
from unicom_coupon_sdk.errors import VerificationError
from unicom_coupon_sdk.ledger import schema
from unicom_coupon_sdk.ledger.codec import instant, micros
from unicom_coupon_sdk.ledger.sealing import Sealer
from unicom_coupon_sdk.ledger.statement import Command, Query

_C = schema.challenge.c


class _Row(NamedTuple):
    challenge_id: str
    coupon_id: str
    platform: str
    method: str
    expires_at: int
    instructions_sealed: bytes
    attempts: int
    used_at: int | None


_OPEN = Command(insert(schema.challenge))
_FIND = Query(
    select(
        _C.challenge_id,
        _C.coupon_id,
        _C.platform,
        _C.method,
        _C.expires_at,
        _C.instructions_sealed,
        _C.attempts,
        _C.used_at,
    ).where(_C.challenge_id == bindparam("which")),
    _Row,
)
_SPEND = Command(
    update(schema.challenge)
    .where(_C.challenge_id == bindparam("which"), _C.used_at.is_(None), _C.expires_at > bindparam("now"))
    .values(used_at=bindparam("now"))
)
_ATTEMPT = Command(
    update(schema.challenge).where(_C.challenge_id == bindparam("which")).values(attempts=_C.attempts + 1)
)
_FORGET = Command(delete(schema.challenge).where(_C.expires_at < bindparam("before")))


def open_new(connection: Connection, sealer: Sealer, challenge: Challenge, *, holder_index: bytes | None) -> Challenge:
    """``challenge``, kept so that it can be answered."""
    _OPEN.run(
        connection,
        challenge_id=challenge.challenge_id,
        coupon_id=challenge.coupon_id,
        platform=challenge.platform,
        method=challenge.method.value,
        expires_at=micros(challenge.expires_at),
        instructions_sealed=sealer.seal_instructions(challenge.instructions, challenge_id=challenge.challenge_id),
        holder_index=holder_index,
        attempts=0,
        used_at=None,
    )
    return challenge


def find(connection: Connection, sealer: Sealer, challenge_id: str) -> Challenge:
    """The challenge, if it was not used. Raises ``VerificationError``: unknown, or used."""
    row = _read(connection, challenge_id)
    if row.used_at is not None:
        raise VerificationError("challenge.used", field="proof.challenge_id")
    return Challenge(
        challenge_id=row.challenge_id,
        coupon_id=row.coupon_id,
        platform=row.platform,
        method=Method(row.method),
        expires_at=instant(row.expires_at),
        instructions=sealer.open_instructions(row.instructions_sealed, challenge_id=challenge_id),
    )


def spend(connection: Connection, challenge_id: str, *, now: datetime) -> None:
    """Use the challenge up. Raises ``VerificationError`` when it is unknown, used or expired; one caller wins."""
    if _SPEND.run(connection, which=challenge_id, now=micros(now)):
        return
    row = _read(connection, challenge_id)
    raise VerificationError(
        "challenge.expired" if row.used_at is None else "challenge.used", field="proof.challenge_id"
    )


def count_attempt(connection: Connection, challenge_id: str) -> int:
    """How often the challenge was tried, this time included. Raises ``VerificationError`` for an unknown one."""
    _ATTEMPT.run(connection, which=challenge_id)
    return _read(connection, challenge_id).attempts


def forget(connection: Connection, *, before: datetime) -> int:
    """How many challenges that ended before ``before`` were deleted."""
    return _FORGET.run(connection, before=micros(before))


def _read(connection: Connection, challenge_id: str) -> _Row:
    row = _FIND.one(connection, which=challenge_id)
    if row is None:
        raise VerificationError("challenge.unknown", field="proof.challenge_id")
    return row
