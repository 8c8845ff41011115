"""Bindings: whose coupon it is, and what each platform calls that.

A coupon has one holder. The first who starts a binding has the coupon reserved; a second platform may be bound for the
same holder and for nobody else. A binding is *started* (the platform was perhaps told), *pending* (the holder must
still take the coupon there) or *bound*.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, literal, select, update

from unicom_coupon_sdk.domain.coupon import Coupon
from unicom_coupon_sdk.domain.events import EventKind
from unicom_coupon_sdk.domain.order import Holder
from unicom_coupon_sdk.domain.redemption import Binding
from unicom_coupon_sdk.domain.sensitive import PlatformUser
from unicom_coupon_sdk.domain.state import CouponMove, CouponState
from unicom_coupon_sdk.errors import CouponStateError, LimitError
from unicom_coupon_sdk.ledger import coupons, outbox, schema
from unicom_coupon_sdk.ledger.answers import BindTicket
from unicom_coupon_sdk.ledger.codec import micros, refs_of, refs_text, template_of
from unicom_coupon_sdk.ledger.coupons import CouponRow
from unicom_coupon_sdk.ledger.sealing import Sealer
from unicom_coupon_sdk.ledger.statement import Command, InsertMaker, Query

_B, _C, _H = schema.binding.c, schema.coupon.c, schema.holder_count.c
_UNBOUNDED = 2**30


class _BindingRow(NamedTuple):
    coupon_id: str
    platform: str
    binding_no: str
    stage: str
    user_index: bytes | None
    user_sealed: bytes | None
    refs: str


def _count_in(insert_into: InsertMaker) -> Any:
    made = insert_into(schema.holder_count).values(
        template_id=bindparam("template_id"), holder_index=bindparam("holder_index"), bound=literal(1)
    )
    return made.on_conflict_do_update(
        index_elements=["template_id", "holder_index"],
        set_={"bound": _H.bound + 1},
        where=_H.bound < bindparam("at_most"),
    )


_BINDING = select(_B.coupon_id, _B.platform, _B.binding_no, _B.stage, _B.user_index, _B.user_sealed, _B.refs)
_FIND = Query(_BINDING.where(_B.coupon_id == bindparam("which"), _B.platform == bindparam("on_platform")), _BindingRow)
_OF_COUPON = Query(_BINDING.where(_B.coupon_id == bindparam("which")).order_by(_B.platform), _BindingRow)
_OF_USER = Query(
    _BINDING.where(_B.user_index == bindparam("index"), _B.platform == bindparam("on_platform"), _B.stage != "started")
    .order_by(_B.coupon_id)
    .limit(bindparam("at_most")),
    _BindingRow,
)
_RESERVE = Command(
    update(schema.coupon)
    .where(_C.coupon_id == bindparam("which"), _C.holder_index.is_(None))
    .values(holder_index=bindparam("index"))
)
_SET_FREE = Command(
    update(schema.coupon)
    .where(_C.coupon_id == bindparam("which"), _C.state == CouponState.ISSUED.value)
    .values(holder_index=None)
)
_COUNT_IN = Command(_count_in)
_COUNT_OUT = Command(
    update(schema.holder_count)
    .where(_H.template_id == bindparam("which"), _H.holder_index == bindparam("index"))
    .values(bound=_H.bound - 1)
)
_START = Command(insert(schema.binding))
_FINISH = Command(
    update(schema.binding)
    .where(_B.coupon_id == bindparam("which"), _B.platform == bindparam("on_platform"))
    .values(
        stage=bindparam("to_stage"),
        user_index=bindparam("index"),
        user_sealed=bindparam("sealed"),
        refs=bindparam("names"),
        bound_at=bindparam("now"),
    )
)
_DROP = Command(
    delete(schema.binding).where(
        _B.coupon_id == bindparam("which"), _B.platform == bindparam("on_platform"), _B.stage == "started"
    )
)


def find(connection: Connection, sealer: Sealer, coupon_id: str, platform: str) -> Binding | None:
    """The coupon's binding on ``platform``, once the platform has answered."""
    row = _FIND.one(connection, which=coupon_id, on_platform=platform)
    return None if row is None or row.stage == "started" else _decode(row, sealer)


def of_coupon(connection: Connection, sealer: Sealer, coupon_id: str) -> tuple[Binding, ...]:
    """The coupon's bindings on all platforms that have answered."""
    return tuple(_decode(row, sealer) for row in _OF_COUPON.all(connection, which=coupon_id) if row.stage != "started")


def of_user(
    connection: Connection, sealer: Sealer, user: PlatformUser, *, platform: str, limit: int
) -> tuple[Binding, ...]:
    """The bindings of a platform's user there."""
    index = sealer.user_index(user, platform=platform)
    return tuple(
        _decode(row, sealer) for row in _OF_USER.all(connection, index=index, on_platform=platform, at_most=limit)
    )


def start(
    connection: Connection,
    sealer: Sealer,
    coupon_id: str,
    *,
    platform: str,
    holder: Holder,
    binding_no: str,
    now: datetime,
) -> BindTicket:
    """Leave to bind the coupon to ``holder``; reserves the coupon for them.

    Raises ``CouponStateError`` when it is another's, past its last day or not to be had; ``LimitError`` when the
    holder has as many of the template as one may.
    """
    row = coupons.by_id(connection, coupon_id)
    known = _FIND.one(connection, which=coupon_id, on_platform=platform)
    _check_holder(row, known, sealer, holder=holder, platform=platform)
    if known is None or known.stage != "bound":
        _check_bindable(row, now=now)
    if row.holder_index is None:
        most = template_of(row.content).max_per_holder
        _reserve(connection, sealer, row, holder=holder, platform=platform, at_most=most)
    if known is None:
        known = _start(connection, coupon_id, platform=platform, binding_no=binding_no, now=now)
    return BindTicket(
        coupon=coupons.decode(row, sealer),
        binding=None if known.stage == "started" else _decode(known, sealer),
        binding_no=known.binding_no,
    )


def finish(connection: Connection, sealer: Sealer, binding: Binding, *, holder: Holder, now: datetime) -> Coupon:
    """The coupon with ``binding`` written down: AVAILABLE when it was ISSUED and the binding is not ``pending``.

    A platform's news of a delivery that we did not start counts as a binding too: the user has the coupon. Raises
    ``CouponStateError`` when the coupon is another's.
    """
    row = coupons.by_id(connection, binding.coupon_id)
    known = _FIND.one(connection, which=binding.coupon_id, on_platform=binding.platform)
    _check_holder(row, known, sealer, holder=holder, platform=binding.platform)
    if row.holder_index is None:
        _reserve(connection, sealer, row, holder=holder, platform=binding.platform, at_most=_UNBOUNDED)
    if known is None:
        known = _start(connection, binding.coupon_id, platform=binding.platform, binding_no=row.coupon_id, now=now)
    is_bound = known.stage == "bound" or not binding.pending
    user = binding.user
    _FINISH.run(
        connection,
        which=binding.coupon_id,
        on_platform=binding.platform,
        to_stage="bound" if is_bound else "pending",
        index=known.user_index if user is None else sealer.user_index(user, platform=binding.platform),
        sealed=known.user_sealed
        if user is None
        else sealer.seal_user(user, coupon_id=binding.coupon_id, platform=binding.platform),
        names=refs_text({**refs_of(known.refs), **binding.refs}),
        now=micros(now),
    )
    if is_bound and row.state == CouponState.ISSUED.value:
        _, version = coupons.move(connection, row.coupon_id, state=row.state, version=row.version, by=CouponMove.BIND)
        outbox.record(
            connection,
            EventKind.BOUND,
            coupon_id=row.coupon_id,
            version=version,
            now=now,
            platform=binding.platform,
        )
    return coupons.decode(coupons.by_id(connection, row.coupon_id), sealer)


def drop(connection: Connection, coupon_id: str, *, platform: str) -> bool:
    """Give up a binding that the platform definitely refused; whether there was one.

    A coupon without any binding left belongs to nobody again.
    """
    if not _DROP.run(connection, which=coupon_id, on_platform=platform):
        return False
    row = coupons.by_id(connection, coupon_id)
    is_last = not _OF_COUPON.all(connection, which=coupon_id)
    if is_last and row.holder_index is not None and _SET_FREE.run(connection, which=coupon_id):
        _COUNT_OUT.run(connection, which=template_of(row.content).template_id, index=row.holder_index)
    return True


def _check_bindable(row: CouponRow, *, now: datetime) -> None:
    if row.state not in (CouponState.ISSUED.value, CouponState.AVAILABLE.value):
        raise coupons.refuse(row.state)
    if micros(now) >= row.valid_until:
        raise CouponStateError("coupon.expired", field="coupon")


def _check_holder(row: CouponRow, known: _BindingRow | None, sealer: Sealer, *, holder: Holder, platform: str) -> None:
    """The coupon is nobody's, or ``holder``'s.

    A holder is recognised by phone, or by the platform's name for them, once the platform has told it; a binding that
    waits for the platform to tell takes the user who comes.
    """
    if row.holder_index is None or hmac.compare_digest(
        row.holder_index, sealer.holder_index(holder, platform=platform)
    ):
        return
    if known is not None and holder.user is not None and holder.phone is None:
        index = sealer.user_index(holder.user, platform=platform)
        if known.user_index is None or hmac.compare_digest(known.user_index, index):
            return
    raise CouponStateError("coupon.bound_to_another", field="holder", platform=platform)


def _reserve(
    connection: Connection, sealer: Sealer, row: CouponRow, *, holder: Holder, platform: str, at_most: int
) -> None:
    index = sealer.holder_index(holder, platform=platform)
    template_id = template_of(row.content).template_id
    if not _RESERVE.run(connection, which=row.coupon_id, index=index):
        raise CouponStateError("coupon.bound_to_another", field="holder", platform=platform)
    if not _COUNT_IN.run(connection, template_id=template_id, holder_index=index, at_most=at_most):
        raise LimitError("template.max_per_holder", field="holder", template_id=template_id, max_per_holder=at_most)


def _start(connection: Connection, coupon_id: str, *, platform: str, binding_no: str, now: datetime) -> _BindingRow:
    made = _BindingRow(coupon_id, platform, binding_no, "started", None, None, "{}")
    _START.run(connection, **made._asdict(), started_at=micros(now), bound_at=None)
    return made


def _decode(row: _BindingRow, sealer: Sealer) -> Binding:
    return Binding(
        coupon_id=row.coupon_id,
        platform=row.platform,
        user=None
        if row.user_sealed is None
        else sealer.open_user(row.user_sealed, coupon_id=row.coupon_id, platform=row.platform),
        refs=refs_of(row.refs),
        pending=row.stage == "pending",
    )
