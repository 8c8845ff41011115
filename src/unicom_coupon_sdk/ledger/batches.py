"""Issuing: a batch of coupons with their codes, durable before any platform hears of them."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, update

from unicom_coupon_sdk.domain.code import ALPHABET, RANDOM_BYTES, CouponCode, make_code
from unicom_coupon_sdk.domain.events import EventKind
from unicom_coupon_sdk.domain.redemption import Listing
from unicom_coupon_sdk.domain.state import COUPON_MOVES
from unicom_coupon_sdk.errors import IdempotencyConflict, ValidationError
from unicom_coupon_sdk.ledger import coupons, journal, operations, outbox, schema, templates
from unicom_coupon_sdk.ledger.answers import Batch, IssueWish
from unicom_coupon_sdk.ledger.codec import micros, template_of, template_text
from unicom_coupon_sdk.ledger.sealing import Sealer
from unicom_coupon_sdk.ledger.statement import Command, Query

ENTROPY_BYTES = 2 * RANDOM_BYTES
"""Secret random bytes for each coupon: half for its code, half for its id."""

_B, _P, _S, _T = schema.batch.c, schema.batch_platform.c, schema.serial.c, schema.template.c


class _BatchRow(NamedTuple):
    batch_id: str
    input_hash: bytes
    content: str


class _Next(NamedTuple):
    next: int


class _Platform(NamedTuple):
    platform: str


_BATCH = select(_B.batch_id, _B.input_hash, _T.content).join_from(schema.batch, schema.template)
_OF_KEY = Query(
    _BATCH.where(_B.merchant_id == bindparam("merchant"), _B.idempotency_key == bindparam("key")), _BatchRow
)
_BY_ID = Query(_BATCH.where(_B.batch_id == bindparam("which")), _BatchRow)
_UNFINISHED = Query(
    _BATCH.where(_B.finished_at.is_(None), _B.issued_at <= bindparam("before"))
    .order_by(_B.issued_at)
    .limit(bindparam("at_most")),
    _BatchRow,
)
_ADD = Command(insert(schema.batch))
_ADD_COUPON = Command(insert(schema.coupon))
_DRAW_SERIALS = Command(
    lambda insert_into: (made := insert_into(schema.serial)).on_conflict_do_update(
        index_elements=["name"], set_={"next": _S.next + made.excluded.next}
    )
)
_NEXT_SERIAL = Query(select(_S.next).where(_S.name == bindparam("which")), _Next)
_REGISTER = Command(
    lambda insert_into: insert_into(schema.batch_platform).on_conflict_do_nothing(
        index_elements=["batch_id", "platform"]
    )
)
_REGISTERED = Query(select(_P.platform).where(_P.batch_id == bindparam("which")), _Platform)
_FINISH = Command(
    update(schema.batch)
    .where(_B.batch_id == bindparam("which"), _B.finished_at.is_(None))
    .values(finished_at=bindparam("now"))
)


def issue(connection: Connection, sealer: Sealer, wish: IssueWish, *, code_key: bytes) -> Batch:
    """The coupons of ``wish``, new, or those of the first time when its key is known.

    Raises ``IdempotencyConflict``, ``LimitError`` above the template's total, and ``ValidationError``.
    """
    if wish.count < 1 or len(wish.entropy) < wish.count * ENTROPY_BYTES:
        raise ValidationError("issue.entropy", field="count", count=wish.count)
    digest = _input_hash(wish)
    known = _OF_KEY.one(connection, merchant=wish.merchant_id, key=wish.idempotency_key)
    if known is not None:
        if known.input_hash != digest:
            raise IdempotencyConflict("idempotency.conflict", field="idempotency_key")
        return _read(connection, sealer, known, is_repeat=True)
    templates.add(connection, wish.template, now=wish.now)
    templates.count_issued(connection, wish.template, more=wish.count)
    _ADD.run(
        connection,
        batch_id=wish.batch_id,
        merchant_id=wish.merchant_id,
        idempotency_key=wish.idempotency_key,
        input_hash=digest,
        template_id=wish.template.template_id,
        size=wish.count,
        issued_at=micros(wish.now),
        finished_at=None,
    )
    _mint(connection, sealer, wish, code_key=code_key)
    journal.book(
        connection,
        journal.issue_postings(wish.template, count=wish.count),
        operation_id=wish.batch_id,
        coupon_id=None,
        at=wish.now,
        now=wish.now,
    )
    made = _BatchRow(wish.batch_id, digest, template_text(wish.template))
    return _read(connection, sealer, made, is_repeat=False)


def _mint(connection: Connection, sealer: Sealer, wish: IssueWish, *, code_key: bytes) -> None:
    _DRAW_SERIALS.run(connection, name="coupon", next=wish.count)
    drawn = _NEXT_SERIAL.one(connection, which="coupon")
    assert drawn is not None  # written just now
    rows, events = [], []
    for place in range(wish.count):
        number = drawn.next - wish.count + place
        entropy = wish.entropy[place * ENTROPY_BYTES : (place + 1) * ENTROPY_BYTES]
        coupon_id = coupon_id_of(number, entropy[RANDOM_BYTES:])
        code = _draw_code(number, entropy, key=code_key)
        rows.append(
            {
                "coupon_id": coupon_id,
                "serial": number,
                "code_index": sealer.code_index(code),
                "code_sealed": sealer.seal_code(code, coupon_id=coupon_id),
                "template_id": wish.template.template_id,
                "batch_id": wish.batch_id,
                "state": COUPON_MOVES.start.value,
                "version": 1,
                "issued_at": micros(wish.now),
                "valid_until": micros(wish.template.valid_until),
                "holder_index": None,
            }
        )
        events.append(outbox.event_values(EventKind.ISSUED, coupon_id=coupon_id, version=1, now=wish.now))
    _ADD_COUPON.run_many(connection, rows)
    outbox.record_many(connection, events)


def coupon_id_of(number: int, entropy: bytes) -> str:
    """A coupon's id: ``C``, seven letters of its serial (so ids are unique), eight of chance (so none is guessed)."""
    chance = int.from_bytes(entropy[:RANDOM_BYTES], "big")
    return "C" + _letters(number, places=7) + _letters(chance, places=8)


def _letters(number: int, *, places: int) -> str:
    found = []
    for _ in range(places):
        number, value = divmod(number, len(ALPHABET))
        found.append(ALPHABET[value])
    return "".join(reversed(found))


def _draw_code(number: int, entropy: bytes, *, key: bytes) -> CouponCode:
    """The first draw that is not refused; later draws are hashed forward from the first, so they are as random."""
    drawn = entropy[:RANDOM_BYTES]
    while (code := make_code(number, entropy=drawn, key=key)) is None:
        drawn = hashlib.sha256(b"redraw" + entropy + drawn).digest()[:RANDOM_BYTES]
    return code


def _input_hash(wish: IssueWish) -> bytes:
    return operations.input_hash(str(wish.count), template_text(wish.template))


def _read(connection: Connection, sealer: Sealer, row: _BatchRow, *, is_repeat: bool) -> Batch:
    return Batch(
        batch_id=row.batch_id,
        template=template_of(row.content),
        coupons=tuple(coupons.decode(found, sealer) for found in coupons.of_batch(connection, row.batch_id)),
        registered=_registered(connection, row.batch_id),
        is_repeat=is_repeat,
    )


def _registered(connection: Connection, batch_id: str) -> frozenset[str]:
    return frozenset(row.platform for row in _REGISTERED.all(connection, which=batch_id))


def register(connection: Connection, listing: Listing, *, batch_id: str, now: datetime) -> None:
    """Keep what the platform calls the template, and that it knows the codes of ``batch_id``.

    A batch that all platforms of its template know is finished.
    """
    row = _BY_ID.one(connection, which=batch_id)
    if row is None:
        raise ValidationError("batch.unknown", field="batch_id")
    templates.save_listing(connection, listing)
    _REGISTER.run(connection, batch_id=batch_id, platform=listing.platform, registered_at=micros(now))
    if template_of(row.content).platforms <= _registered(connection, batch_id):
        _FINISH.run(connection, which=batch_id, now=micros(now))


def unfinished(connection: Connection, sealer: Sealer, *, before: datetime, limit: int) -> tuple[Batch, ...]:
    """Batches issued at or before ``before`` that a platform does not know yet, oldest first."""
    rows = _UNFINISHED.all(connection, before=micros(before), at_most=limit)
    return tuple(_read(connection, sealer, row, is_repeat=True) for row in rows)
