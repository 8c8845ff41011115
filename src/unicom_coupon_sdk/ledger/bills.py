"""Bills that were fetched: which version of which day, what its summary says, and where its files are.

The files themselves are on disk, under the folder of the settings; their paths here are relative to it, so the folder
may move. A version is named by its digest: a bill that a platform corrects is another row, and the newest one counts.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, select

from unicom_coupon_sdk.domain.bill import BillFile, BillKind, NoBill, RowKind, Total
from unicom_coupon_sdk.ledger import schema
from unicom_coupon_sdk.ledger.codec import canonical, micros
from unicom_coupon_sdk.ledger.statement import Command, Query

_B = schema.bill.c


class _Row(NamedTuple):
    sha256: str
    content: str
    is_final: int


_SAVE = Command(
    lambda insert: (made := insert(schema.bill)).on_conflict_do_update(
        index_elements=["platform", "kind", "day", "sha256"],
        set_={name: made.excluded[name] for name in ("content", "is_final", "fetched_at")},
    )
)
_NEWEST = Query(
    select(_B.sha256, _B.content, _B.is_final)
    .where(_B.platform == bindparam("on_platform"), _B.kind == bindparam("of_kind"), _B.day == bindparam("on_day"))
    .order_by(_B.is_final.desc(), _B.fetched_at.desc(), _B.sha256)
    .limit(1),
    _Row,
)


def save(connection: Connection, bill: BillFile | NoBill, *, now: datetime) -> None:
    """Keep what the platform gave. The same version again is only dated anew. Paths are relative."""
    content = {}
    if isinstance(bill, BillFile):
        content = {
            "layout": bill.layout,
            "original": bill.original.as_posix(),
            "rows": bill.rows.as_posix(),
            "columns": list(bill.columns),
            "declared": {
                kind.value: [total.rows, total.amount_fen, total.fee_fen] for kind, total in bill.declared.items()
            },
        }
    _SAVE.run(
        connection,
        platform=bill.platform,
        kind=bill.kind.value,
        day=bill.day.isoformat(),
        sha256=bill.sha256 if isinstance(bill, BillFile) else "",
        content=canonical(content),
        is_final=int(bill.is_final) if isinstance(bill, BillFile) else 1,
        fetched_at=micros(now),
    )


def newest(connection: Connection, platform: str, kind: BillKind, day: date) -> BillFile | NoBill | None:
    """The version that counts: a final one before any other, then the latest; ``None`` when none was fetched."""
    row = _NEWEST.one(connection, on_platform=platform, of_kind=kind.value, on_day=day.isoformat())
    if row is None:
        return None
    if not row.sha256:
        return NoBill(platform=platform, kind=kind, day=day)
    content = json.loads(row.content)
    return BillFile(
        platform=platform,
        kind=kind,
        day=day,
        layout=content["layout"],
        original=Path(content["original"]),
        rows=Path(content["rows"]),
        columns=tuple(content["columns"]),
        sha256=row.sha256,
        declared={RowKind(name): Total(*sums) for name, sums in content["declared"].items()},
        is_final=bool(row.is_final),
    )


def under(bill: BillFile, folder: Path) -> BillFile:
    """``bill`` with the paths that lead to its files."""
    return replace(bill, original=folder / bill.original, rows=folder / bill.rows)
