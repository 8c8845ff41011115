"""Reconcile one platform's day: what the ledger expects against what the platform's bills say.

Files in, files out, no ledger and no network, so all of it belongs inside ``Local``. A run is named by the digest of
its inputs and stands in a folder of that name: made beside it first and moved there whole, so that a run that was
killed has left nothing and is simply repeated, and one that has ended is not done again. A bill that the platform has
corrected is another input, and makes another run beside the first.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from unicom_coupon_sdk.clearing.columnar import Columnar
from unicom_coupon_sdk.clearing.findings import Findings
from unicom_coupon_sdk.clearing.matching import Carried, Engine, Session, is_expected
from unicom_coupon_sdk.clearing.outcome import PAIRS, SUMMARY, UNLISTED, Outcome, read_outcome, summary_text
from unicom_coupon_sdk.clearing.plain import Plain
from unicom_coupon_sdk.clearing.snapshot import read_snapshot, write_snapshot
from unicom_coupon_sdk.domain.bill import BillFile, NoBill
from unicom_coupon_sdk.errors import ConfigurationError, ValidationError
from unicom_coupon_sdk.platform.bill import BillSource
from unicom_coupon_sdk.platform.bill_files import digest, forget

Bills = Sequence[tuple[BillFile | NoBill, BillSource]]

FORMAT: Final = 1
"""Of the files of a run. Another one makes other files of the same inputs."""

ABANDONED_S: Final = 6 * 3600
"""A draft that nobody has touched for so long was left by a process that died."""

PLAIN_ROWS: Final = 200_000
"""Rows on either side that the plain engine still takes on by itself."""


def reconcile(
    ours: Path,
    bills: Bills,
    carried: Carried,
    *,
    day: date,
    folder: Path,
    engine: Engine | None = None,
) -> Outcome:
    """What agrees and what differs between the snapshot ``ours`` and the ``bills`` of one platform's ``day``.

    Each bill is compared with the entries of the kinds that it has, and with what ``carried`` says earlier days left
    open in bills of its kind; ``NoBill`` is a bill without rows. The outcome is in a folder inside ``folder``, which is
    made if it is not there. The same inputs give the same files, byte for byte, by either ``engine``; without one, the
    columnar engine takes on what is large, if it is installed.

    Raises ``ValidationError``: ``bill.column_missing``, ``bill.row``, ``reconcile.snapshot``, ``reconcile.bills`` when
    the bills are not of one platform and this day; ``ConfigurationError`` (``reconcile.extra_missing``) for files that
    are too large without the extra ``recon``.
    """
    platform = _platform(bills, day=day)
    name = inputs_digest(ours, bills, carried, day=day)
    place = folder / name[:32]
    if not (place / SUMMARY).exists():
        files = [bill for bill, _ in bills if isinstance(bill, BillFile)]
        chosen = engine or _engine_for([ours, *(bill.rows for bill in files)])
        with _made_whole(place) as draft:
            with (
                chosen.session(ours, carried, bills=files, folder=draft) as session,
                Findings.into(draft, platform=platform, day=day) as findings,
            ):
                rows = {
                    source.kind: _compare(bill, source, session, findings, pairs=draft / PAIRS)
                    for bill, source in bills
                }
                findings.pass_on(carried, bills=frozenset(rows))
                sources = [source for _, source in bills]
                unlisted_count = _unlisted(ours, sources, session, path=draft / UNLISTED)
            outcome = Outcome(
                folder=draft,
                platform=platform,
                day=day,
                digest=name,
                rows=rows,
                tallies=findings.tallies,
                unlisted_count=unlisted_count,
            )
            (draft / SUMMARY).write_text(summary_text(outcome), encoding="ascii", newline="\n")
    return read_outcome(place)


def inputs_digest(ours: Path, bills: Bills, carried: Carried, *, day: date) -> str:
    """The digest of all that an outcome depends on. A bill is named by its own digest, and read by its layout."""
    snapshots = [None if path is None else digest(path) for path in (ours, carried.entries, carried.rows)]
    told = _ordered([FORMAT, day, snapshots, bills])
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _ordered(value: Any) -> object:
    """``value`` as JSON can hold it, sets and mappings in order. Where a file lies is no part of it."""
    if isinstance(value, Path):
        return None
    if is_dataclass(value):
        return [_ordered(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, Mapping):
        return sorted([str(key), _ordered(item)] for key, item in value.items())
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, list | tuple):
        return [_ordered(item) for item in value]
    return value if value is None or isinstance(value, int) else str(value)


def _compare(bill: BillFile | NoBill, source: BillSource, session: Session, findings: Findings, *, pairs: Path) -> int:
    """How many rows a bill has, when all that was found in it is taken down."""
    part = pairs.with_suffix(f".{source.kind}")
    comparison = session.compare(bill, source, day=findings.day, pairs=part)
    findings.add(source.kind, comparison, file=bill if isinstance(bill, BillFile) else None)
    if pairs.exists():
        with part.open("rb") as more, pairs.open("ab") as all_pairs:
            shutil.copyfileobj(more, all_pairs)
        part.unlink()
    else:
        part.rename(pairs)
    return sum(total.rows for total in comparison.totals.values())


def _unlisted(ours: Path, sources: Sequence[BillSource], session: Session, *, path: Path) -> int:
    """How many entries should stand in no bill of the day; those are in ``path``."""
    places = {place for place in session.places if not any(is_expected(*place, source=source) for source in sources)}
    entries = read_snapshot(ours) if places else iter(())
    return write_snapshot((entry for entry in entries if (entry.kind, entry.bill) in places), path)


def _platform(bills: Bills, *, day: date) -> str:
    platforms = {bill.platform for bill, _ in bills}
    kinds = [source.kind for bill, source in bills if (bill.kind, bill.day) == (source.kind, day)]
    if len(platforms) != 1 or len(set(kinds)) < len(bills):
        raise ValidationError("reconcile.bills", field="bills", day=day.isoformat())
    return platforms.pop()


def _engine_for(files: Sequence[Path]) -> Engine:
    if max(map(_line_count, files)) <= PLAIN_ROWS:
        return Plain()
    if find_spec("duckdb") is None:
        raise ConfigurationError("reconcile.extra_missing", field="engine", rows=PLAIN_ROWS, extra="recon")
    return Columnar()


def _line_count(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1024 * 1024), b""))


def _is_abandoned(draft: Path) -> bool:
    """Whether nobody has worked on ``draft`` for so long that its process must be gone; else another run is at it."""
    try:
        newest = max(one.stat().st_mtime for one in (draft, *draft.rglob("*")))
    except FileNotFoundError:  # somebody is at it: a file went while we looked
        return False
    return time.time() - newest > ABANDONED_S


@contextmanager
def _made_whole(place: Path) -> Iterator[Path]:
    """A new folder that stands at ``place`` once the block has ended well."""
    place.parent.mkdir(parents=True, exist_ok=True)
    for other in place.parent.glob(f"{place.name}.part-*"):
        if _is_abandoned(other):
            forget(other)
    draft = Path(tempfile.mkdtemp(prefix=f"{place.name}.part-", dir=place.parent))
    try:
        yield draft
        try:
            draft.rename(place)
        except OSError:
            if not (place / SUMMARY).exists():
                raise
    finally:
        forget(draft)
