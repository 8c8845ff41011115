"""Templates and their listings: what a campaign is, and what each platform calls it."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from unicom_coupon_sdk.domain.coupon import CouponTemplate
from unicom_coupon_sdk.domain.redemption import Listing
from unicom_coupon_sdk.errors import LimitError, ValidationError
from unicom_coupon_sdk.ledger import schema
from unicom_coupon_sdk.ledger.codec import micros, refs_of, refs_text, template_of, template_text
from unicom_coupon_sdk.ledger.statement import Command, Query

_T, _L = schema.template.c, schema.listing.c


class _Content(NamedTuple):
    content: str


class _Refs(NamedTuple):
    refs: str


_ADD = Command(lambda insert: insert(schema.template).on_conflict_do_nothing(index_elements=["template_id"]))
_FIND = Query(select(_T.content).where(_T.template_id == bindparam("which")), _Content)
_COUNT_ISSUED = Command(
    update(schema.template)
    .where(_T.template_id == bindparam("which"), _T.issued + bindparam("more") <= _T.max_total)
    .values(issued=_T.issued + bindparam("more"))
)
_LISTING = Query(
    select(_L.refs).where(_L.template_id == bindparam("which"), _L.platform == bindparam("on_platform")), _Refs
)
_SAVE_LISTING = Command(
    lambda insert: (made := insert(schema.listing)).on_conflict_do_update(
        index_elements=["template_id", "platform"], set_={"refs": made.excluded.refs}
    )
)


def add(connection: Connection, template: CouponTemplate, *, now: datetime) -> CouponTemplate:
    """``template``, kept from now on. Raises ``ValidationError`` when its id stands for another one."""
    text = template_text(template)
    added = _ADD.run(
        connection,
        template_id=template.template_id,
        content=text,
        max_total=template.max_total,
        issued=0,
        added_at=micros(now),
    )
    if not added and find(connection, template.template_id) != template:
        raise ValidationError("template.conflict", field="template.template_id", template_id=template.template_id)
    return template


def find(connection: Connection, template_id: str) -> CouponTemplate:
    """The template. Raises ``ValidationError`` for an unknown id."""
    row = _FIND.one(connection, which=template_id)
    if row is None:
        raise ValidationError("template.unknown", field="template_id", template_id=template_id)
    return template_of(row.content)


def count_issued(connection: Connection, template: CouponTemplate, *, more: int) -> None:
    """Take ``more`` from the template's total. Raises ``LimitError`` when that is not left."""
    if not _COUNT_ISSUED.run(connection, which=template.template_id, more=more):
        raise LimitError(
            "template.max_total", field="count", template_id=template.template_id, max_total=template.max_total
        )


def listing(connection: Connection, template_id: str, platform: str) -> Listing | None:
    """The template as the platform knows it, if it does."""
    row = _LISTING.one(connection, which=template_id, on_platform=platform)
    return None if row is None else Listing(template_id, platform, refs_of(row.refs))


def save_listing(connection: Connection, found: Listing) -> None:
    """Remember what the platform calls the template; newer names replace older ones."""
    _SAVE_LISTING.run(connection, template_id=found.template_id, platform=found.platform, refs=refs_text(found.refs))
