"""What reconciling found: the newest run of each platform and day, and every discrepancy until it is over.

A discrepancy keeps its id from day to day. It is over when the missing side came in another day's bill (``met``), or
when its day was reconciled again and it was not found any more (``gone``): because a bill was corrected, or because
somebody did what was proposed. Nothing here changes a coupon or a posting.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select, update

from unicom_coupon_sdk.ledger import schema
from unicom_coupon_sdk.ledger.codec import instant, micros
from unicom_coupon_sdk.ledger.statement import Command, Query

_R, _D = schema.reconciliation.c, schema.discrepancy.c


@dataclass(frozen=True, slots=True)
class Run:
    """A reconciliation that ended. ``content`` is its summary as JSON, ``inputs`` the digest of what it compared."""

    platform: str
    day: date
    inputs: str
    made_at: datetime
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A discrepancy to be kept. ``since`` is the day of its event, ``content`` all of it as JSON."""

    discrepancy_id: str
    difference: str
    since: date
    content: str
    met_on: date | None = None
    resolves: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownFinding:
    """A discrepancy as it is kept. Open while it is neither met nor gone."""

    discrepancy_id: str
    platform: str
    difference: str
    since: date
    seen_on: date
    found_at: datetime
    content: str
    met_on: date | None
    gone_at: datetime | None


class _RunRow(NamedTuple):
    platform: str
    day: str
    inputs: str
    made_at: int
    content: str


class _FindingRow(NamedTuple):
    discrepancy_id: str
    platform: str
    day: str
    difference: str
    content: str
    found_at: int
    seen_on: str
    met_on: str | None
    gone_at: int | None


_RUN = select(_R.platform, _R.day, _R.inputs, _R.made_at, _R.content)
_OF_DAY = Query(
    _RUN.where(
        _R.merchant_id == bindparam("merchant"), _R.platform == bindparam("on_platform"), _R.day == bindparam("on_day")
    ),
    _RunRow,
)
_BEFORE = Query(
    _RUN.where(
        _R.merchant_id == bindparam("merchant"), _R.platform == bindparam("on_platform"), _R.day < bindparam("on_day")
    )
    .order_by(_R.day.desc())
    .limit(1),
    _RunRow,
)
_BETWEEN = Query(
    _RUN.where(
        _R.merchant_id == bindparam("merchant"), _R.day >= bindparam("first"), _R.day <= bindparam("last")
    ).order_by(_R.day, _R.platform),
    _RunRow,
)
_SAVE = Command(
    lambda insert: (made := insert(schema.reconciliation)).on_conflict_do_update(
        index_elements=["merchant_id", "platform", "day"],
        set_={name: made.excluded[name] for name in ("inputs", "made_at", "content")},
    )
)
_FINDING = select(
    _D.discrepancy_id, _D.platform, _D.day, _D.difference, _D.content, _D.found_at, _D.seen_on, _D.met_on, _D.gone_at
)
_OPEN = Query(
    _FINDING.where(
        _D.merchant_id == bindparam("merchant"),
        _D.day <= bindparam("last"),
        _D.met_on.is_(None),
        _D.gone_at.is_(None),
        _D.discrepancy_id > bindparam("after"),
    )
    .order_by(_D.discrepancy_id)
    .limit(bindparam("at_most")),
    _FindingRow,
)
_FIND = Command(
    lambda insert: (made := insert(schema.discrepancy)).on_conflict_do_update(
        index_elements=["merchant_id", "discrepancy_id"],
        set_={**{name: made.excluded[name] for name in ("content", "seen_on", "met_on")}, "gone_at": None},
    )
)
_MEET = Command(
    update(schema.discrepancy)
    .where(_D.merchant_id == bindparam("merchant"), _D.discrepancy_id == bindparam("which"), _D.met_on.is_(None))
    .values(met_on=bindparam("on_day"))
)
_GONE = Command(
    update(schema.discrepancy)
    .where(
        _D.merchant_id == bindparam("merchant"),
        _D.platform == bindparam("on_platform"),
        _D.seen_on == bindparam("on_day"),
        _D.gone_at.is_(None),
    )
    .values(gone_at=bindparam("now"))
)
_UNMEET = Command(
    update(schema.discrepancy)
    .where(
        _D.merchant_id == bindparam("merchant"),
        _D.platform == bindparam("on_platform"),
        _D.seen_on < bindparam("on_day"),
        _D.met_on == bindparam("on_day"),
    )
    .values(met_on=None)
)


def begin(connection: Connection, *, merchant_id: str, platform: str, day: date, now: datetime) -> None:
    """Take back what an earlier run of this day found; what this run finds again comes back with its first date."""
    named = {"merchant": merchant_id, "on_platform": platform, "on_day": day.isoformat()}
    _GONE.run(connection, **named, now=micros(now))
    _UNMEET.run(connection, **named)


def keep(
    connection: Connection,
    findings: Iterable[Finding],
    *,
    merchant_id: str,
    platform: str,
    day: date,
    now: datetime,
) -> int:
    """How many findings were kept. One that is known stays dated from its first day; one that it resolves is met."""
    count = 0
    for finding in findings:
        _FIND.run(
            connection,
            merchant_id=merchant_id,
            discrepancy_id=finding.discrepancy_id,
            platform=platform,
            day=finding.since.isoformat(),
            difference=finding.difference,
            content=finding.content,
            found_at=micros(now),
            seen_on=day.isoformat(),
            met_on=finding.met_on.isoformat() if finding.met_on else None,
            gone_at=None,
        )
        if finding.resolves is not None:
            _MEET.run(connection, merchant=merchant_id, which=finding.resolves, on_day=day.isoformat())
        count += 1
    return count


def save(
    connection: Connection, *, merchant_id: str, platform: str, day: date, inputs: str, content: str, now: datetime
) -> None:
    """Keep a run that ended; the newest of a day counts."""
    _SAVE.run(
        connection,
        merchant_id=merchant_id,
        platform=platform,
        day=day.isoformat(),
        inputs=inputs,
        made_at=micros(now),
        content=content,
    )


def of_day(connection: Connection, *, merchant_id: str, platform: str, day: date) -> Run | None:
    """The newest run of the day."""
    row = _OF_DAY.one(connection, merchant=merchant_id, on_platform=platform, on_day=day.isoformat())
    return None if row is None else _run(row)


def before(connection: Connection, *, merchant_id: str, platform: str, day: date) -> Run | None:
    """The run of the last day before ``day`` that was reconciled; what it left open is carried on from it."""
    row = _BEFORE.one(connection, merchant=merchant_id, on_platform=platform, on_day=day.isoformat())
    return None if row is None else _run(row)


def between(connection: Connection, *, merchant_id: str, first: date, last: date) -> tuple[Run, ...]:
    """The newest runs of some days, by day and platform."""
    rows = _BETWEEN.all(connection, merchant=merchant_id, first=first.isoformat(), last=last.isoformat())
    return tuple(map(_run, rows))


def still_open(
    connection: Connection, *, merchant_id: str, last: date, after: str, limit: int
) -> tuple[KnownFinding, ...]:
    """Discrepancies of days up to ``last`` that are not over, by id; continues behind ``after``."""
    rows = _OPEN.all(connection, merchant=merchant_id, last=last.isoformat(), after=after, at_most=limit)
    return tuple(map(_finding, rows))


def _run(row: _RunRow) -> Run:
    return Run(row.platform, date.fromisoformat(row.day), row.inputs, instant(row.made_at), row.content)


def _finding(row: _FindingRow) -> KnownFinding:
    return KnownFinding(
        discrepancy_id=row.discrepancy_id,
        platform=row.platform,
        difference=row.difference,
        since=date.fromisoformat(row.day),
        seen_on=date.fromisoformat(row.seen_on),
        found_at=instant(row.found_at),
        content=row.content,
        met_on=date.fromisoformat(row.met_on) if row.met_on else None,
        gone_at=None if row.gone_at is None else instant(row.gone_at),
    )
