"""Coupons: looked up, and moved along their table by compare-and-set on their version, with one event a move."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, and_, bindparam, or_, select, update

from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.coupon import Coupon
from unicom_coupon_sdk.domain.events import EventKind
from unicom_coupon_sdk.domain.order import Holder
from unicom_coupon_sdk.domain.redemption import Binding, Listing
from unicom_coupon_sdk.domain.state import COUPON_MOVES, CouponMove, CouponState
from unicom_coupon_sdk.errors import CouponStateError
from unicom_coupon_sdk.ledger import journal, outbox, schema
from unicom_coupon_sdk.ledger.answers import Dossier
from unicom_coupon_sdk.ledger.codec import instant, micros, refs_of, template_of
from unicom_coupon_sdk.ledger.failures import moved
from unicom_coupon_sdk.ledger.sealing import Sealer
from unicom_coupon_sdk.ledger.statement import Command, Query

_C, _T, _L, _B = schema.coupon.c, schema.template.c, schema.listing.c, schema.binding.c


class CouponRow(NamedTuple):
    """A coupon with its template."""

    coupon_id: str
    code_sealed: bytes
    state: str
    version: int
    issued_at: int
    valid_until: int
    holder_index: bytes | None
    content: str


class DossierRow(NamedTuple):
    """A coupon with its template and, on one platform, its listing and binding."""

    coupon_id: str
    code_sealed: bytes
    state: str
    version: int
    issued_at: int
    valid_until: int
    holder_index: bytes | None
    content: str
    listing_refs: str | None
    user_sealed: bytes | None
    binding_refs: str | None
    stage: str | None


_COLUMNS = (
    _C.coupon_id,
    _C.code_sealed,
    _C.state,
    _C.version,
    _C.issued_at,
    _C.valid_until,
    _C.holder_index,
    _T.content,
)
_COUPON: Select[Any] = select(*_COLUMNS).join_from(schema.coupon, schema.template)
_DOSSIER: Select[Any] = (
    select(*_COLUMNS, _L.refs.label("listing_refs"), _B.user_sealed, _B.refs.label("binding_refs"), _B.stage)
    .join_from(schema.coupon, schema.template)
    .outerjoin(schema.listing, and_(_L.template_id == _C.template_id, _L.platform == bindparam("on_platform")))
    .outerjoin(schema.binding, and_(_B.coupon_id == _C.coupon_id, _B.platform == bindparam("on_platform")))
)
_BY_ID = Query(_COUPON.where(_C.coupon_id == bindparam("which")), CouponRow)
_BY_CODE = Query(_COUPON.where(_C.code_index == bindparam("index")), CouponRow)
_DOSSIER_BY_ID = Query(_DOSSIER.where(_C.coupon_id == bindparam("which")), DossierRow)
_DOSSIER_BY_CODE = Query(_DOSSIER.where(_C.code_index == bindparam("index")), DossierRow)
_OF_BATCH = Query(_COUPON.where(_C.batch_id == bindparam("which")).order_by(_C.serial), CouponRow)
_OF_HOLDER = Query(
    _COUPON.where(
        or_(
            _C.holder_index == bindparam("index"),
            _C.coupon_id.in_(
                select(_B.coupon_id).where(
                    _B.user_index == bindparam("user_index"), _B.platform == bindparam("on_platform")
                )
            ),
        )
    )
    .order_by(_C.valid_until, _C.coupon_id)
    .limit(bindparam("at_most")),
    CouponRow,
)
_PERISHED = Query(
    _COUPON.where(
        or_(*(_C.state == state.value for state in sorted(COUPON_MOVES.sources(CouponMove.EXPIRE)))),
        _C.valid_until <= bindparam("now"),
    )
    .order_by(_C.valid_until)
    .limit(bindparam("at_most"))
    .with_for_update(skip_locked=True, of=schema.coupon),
    CouponRow,
)
_MOVE = Command(
    update(schema.coupon)
    .where(
        _C.coupon_id == bindparam("which"),
        _C.version == bindparam("was_version"),
        _C.state == bindparam("was_state"),
    )
    .values(state=bindparam("to_state"), version=_C.version + 1)
)


def by_id(connection: Connection, coupon_id: str) -> CouponRow:
    """The row of a coupon. Raises ``CouponStateError`` for an unknown id."""
    row = _BY_ID.one(connection, which=coupon_id)
    if row is None:
        raise CouponStateError("coupon.unknown", field="coupon_id")
    return row


def by_code(connection: Connection, sealer: Sealer, code: CouponCode) -> CouponRow:
    """The row of the coupon with ``code``. Raises ``CouponStateError`` for an unknown code."""
    row = _BY_CODE.one(connection, index=sealer.code_index(code))
    if row is None:
        raise CouponStateError("coupon.unknown", field="coupon")
    return row


def of_batch(connection: Connection, batch_id: str) -> list[CouponRow]:
    """The rows of a batch's coupons, by serial."""
    return _OF_BATCH.all(connection, which=batch_id)


def of_holder(
    connection: Connection, sealer: Sealer, holder: Holder, *, platform: str, limit: int
) -> tuple[Coupon, ...]:
    """The holder's coupons, whatever their state, the first to expire first."""
    user_index = sealer.user_index(holder.user, platform=platform) if holder.user else b""
    rows = _OF_HOLDER.all(
        connection,
        index=sealer.holder_index(holder, platform=platform),
        user_index=user_index,
        on_platform=platform,
        at_most=limit,
    )
    return tuple(decode(row, sealer) for row in rows)


def dossier_row(connection: Connection, coupon_id: str, *, platform: str) -> DossierRow:
    """A coupon's row with its listing and binding on ``platform``. Raises ``CouponStateError`` for an unknown id."""
    row = _DOSSIER_BY_ID.one(connection, which=coupon_id, on_platform=platform)
    if row is None:
        raise CouponStateError("coupon.unknown", field="coupon")
    return row


def dossier_row_of_code(connection: Connection, sealer: Sealer, code: CouponCode, *, platform: str) -> DossierRow:
    """As ``dossier_row``, by code."""
    row = _DOSSIER_BY_CODE.one(connection, index=sealer.code_index(code), on_platform=platform)
    if row is None:
        raise CouponStateError("coupon.unknown", field="coupon")
    return row


def decode(row: CouponRow | DossierRow, sealer: Sealer) -> Coupon:
    """The coupon of ``row``; built without validating again what was validated before it was stored."""
    return Coupon.model_construct(
        coupon_id=row.coupon_id,
        code=sealer.open_code(row.code_sealed, coupon_id=row.coupon_id),
        template=template_of(row.content),
        state=CouponState(row.state),
        version=row.version,
        issued_at=instant(row.issued_at),
    )


def decode_dossier(
    row: DossierRow, sealer: Sealer, *, platform: str, learned: Mapping[str, str] | None = None
) -> Dossier:
    """All that is known of the coupon on ``platform``. ``learned`` are references that a later call added."""
    coupon = decode(row, sealer)
    listing = (
        None if row.listing_refs is None else Listing(coupon.template.template_id, platform, refs_of(row.listing_refs))
    )
    binding = None
    if row.stage is not None and row.stage != "started" and row.binding_refs is not None:
        user = row.user_sealed
        binding = Binding(
            coupon_id=row.coupon_id,
            platform=platform,
            user=None if user is None else sealer.open_user(user, coupon_id=row.coupon_id, platform=platform),
            refs={**refs_of(row.binding_refs), **(learned or {})},
            pending=row.stage == "pending",
        )
    holder = None if row.holder_index is None else row.holder_index.hex()
    return Dossier(coupon=coupon, holder_index=holder, listing=listing, binding=binding)


def refuse(state: str) -> CouponStateError:
    """The error of a coupon that is not where it should be."""
    return CouponStateError("coupon.state" if state == "available" else f"coupon.{state}", field="coupon")


def move(
    connection: Connection, coupon_id: str, *, state: str, version: int, by: CouponMove
) -> tuple[CouponState, int]:
    """Move the coupon by ``by`` from where it was seen; its new state and version.

    Raises ``CouponStateError`` when the table has no such move or somebody else was faster. One and only one of many
    who try from the same version succeeds, in whatever process they are.
    """
    target = COUPON_MOVES.after(CouponState(state), by)
    if target is None:
        raise refuse(state)
    step(connection, coupon_id, state=state, version=version, to_state=target.value)
    return target, version + 1


def step(connection: Connection, coupon_id: str, *, state: str, version: int, to_state: str) -> None:
    """Compare and set. A change that is an event but no move (an outcome that is unknown) steps in place."""
    if _MOVE.run(connection, which=coupon_id, was_version=version, was_state=state, to_state=to_state):
        return
    found = by_id(connection, coupon_id).state
    if found != state:
        raise refuse(found)
    raise moved()


def expire_if_over(
    connection: Connection, coupon_id: str, *, state: CouponState, version: int, valid_until: int, now: datetime
) -> None:
    """A coupon that comes back after its last day goes on to EXPIRED at once, as a second change."""
    if state is CouponState.AVAILABLE and micros(now) >= valid_until:
        _, version = move(connection, coupon_id, state=state.value, version=version, by=CouponMove.EXPIRE)
        outbox.record(connection, EventKind.EXPIRED, coupon_id=coupon_id, version=version, now=now)
        _book_expiry(connection, [by_id(connection, coupon_id)], now=now)


def expire(connection: Connection, *, now: datetime, limit: int) -> int:
    """How many unused coupons were moved to EXPIRED because their last day is over, at most ``limit``."""
    rows = _PERISHED.all(connection, now=micros(now), at_most=limit)
    events = []
    for row in rows:
        _, version = move(connection, row.coupon_id, state=row.state, version=row.version, by=CouponMove.EXPIRE)
        events.append(outbox.event_values(EventKind.EXPIRED, coupon_id=row.coupon_id, version=version, now=now))
    outbox.record_many(connection, events)
    for _, group in groupby(sorted(rows, key=lambda row: row.content), key=lambda row: row.content):
        _book_expiry(connection, list(group), now=now)
    return len(rows)


def _book_expiry(connection: Connection, rows: Sequence[CouponRow], *, now: datetime) -> None:
    """One entry for coupons of one template that expire together, named by the first: a coupon expires once."""
    name = min(row.coupon_id for row in rows)
    postings = journal.expiry_postings(template_of(rows[0].content), count=len(rows))
    journal.book(connection, postings, operation_id=f"{name}.expired", coupon_id=None, at=now, now=now)


def void(connection: Connection, sealer: Sealer, coupon_id: str, *, now: datetime) -> Coupon:
    """Withdraw an unused coupon; one that is void already stays so. Raises ``CouponStateError`` for any other."""
    row = by_id(connection, coupon_id)
    if row.state != CouponState.VOID.value:
        _, version = move(connection, coupon_id, state=row.state, version=row.version, by=CouponMove.VOID)
        outbox.record(connection, EventKind.VOIDED, coupon_id=coupon_id, version=version, now=now)
        postings = journal.void_postings(template_of(row.content))
        journal.book(connection, postings, operation_id=f"{coupon_id}.void", coupon_id=coupon_id, at=now, now=now)
        row = by_id(connection, coupon_id)
    return decode(row, sealer)
