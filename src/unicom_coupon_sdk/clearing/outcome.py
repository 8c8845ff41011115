"""What came of a reconciliation, on disk: small numbers in one file, long lists in others, read page by page.

A run's folder is written once and never changed, so a page is named by the byte at which it begins, and whoever reads
can stop after any page and go on from there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

from unicom_coupon_sdk.clearing.matching import Carried
from unicom_coupon_sdk.clearing.snapshot import entry_of, pair_of
from unicom_coupon_sdk.domain.bill import BillKind, RowKind, RowState, Total
from unicom_coupon_sdk.domain.reconciliation import (
    Action,
    Cause,
    Discrepancy,
    DiscrepancyClass,
    Entry,
    ListedRow,
    Pair,
    Tally,
)
from unicom_coupon_sdk.domain.times import BEIJING

SUMMARY: Final = "outcome.json"
PAIRS: Final = "pairs.csv"
DISCREPANCIES: Final = "discrepancies.jsonl"
UNLISTED: Final = "unlisted.csv"
CARRIED_ENTRIES: Final = "carried_entries.csv"
CARRIED_ROWS: Final = "carried_rows.csv"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some of a list in its order. ``next`` is where the following page begins; ``None`` when this is the last."""

    items: tuple[T, ...]
    next: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A reconciliation of one platform's day. ``digest`` names its inputs; the same inputs have the same outcome.

    ``rows`` counts all rows of each bill, ``unlisted_count`` the entries of kinds that no bill of this day has: those
    are to be asked about.
    """

    folder: Path
    platform: str
    day: date
    digest: str
    rows: Mapping[BillKind, int]
    tallies: Sequence[Tally]
    unlisted_count: int

    @property
    def carried(self) -> Carried:
        """What is still open, for the next day's reconciliation."""
        return Carried(entries=self.folder / CARRIED_ENTRIES, rows=self.folder / CARRIED_ROWS)

    @property
    def is_clean(self) -> bool:
        """Whether nothing differs, apart from what stood in another day's bill and was found."""
        return all(tally.found in {None, DiscrepancyClass.DATE_DIFFERS} for tally in self.tallies)

    def pairs(self, at: int = 0, *, limit: int = 1000) -> Page[Pair]:
        """What agrees, in the order of the bills' rows."""
        return _page(self.folder / PAIRS, pair_of, at=at, limit=limit)

    def discrepancies(self, at: int = 0, *, limit: int = 1000) -> Page[Discrepancy]:
        """What differs, by bill, class, kind and number. What earlier days left open is among it, until it is met."""
        return _page(self.folder / DISCREPANCIES, discrepancy_of, at=at, limit=limit)

    def unlisted(self, at: int = 0, *, limit: int = 1000) -> Page[Entry]:
        """Entries of kinds that no bill of this day has."""
        return _page(self.folder / UNLISTED, entry_of, at=at or _header_size(self.folder / UNLISTED), limit=limit)


def every(pages: Callable[[int], Page[T]]) -> Iterator[T]:
    """All items of ``outcome.pairs`` or one of its like, a page in memory at a time."""
    at: int | None = 0
    while at is not None:
        page = pages(at)
        yield from page.items
        at = page.next


def discrepancy_line(discrepancy: Discrepancy) -> str:
    """A discrepancy as a line of JSON, without its end."""
    told = asdict(discrepancy) | {"theirs": _told(discrepancy.theirs), "ours": _told(discrepancy.ours)}
    return json.dumps(told, default=_text, separators=(",", ":"))


def discrepancy_of(line: str) -> Discrepancy:
    """The discrepancy in a line. Raises ``ValueError`` or ``KeyError`` for another thing."""
    told: dict[str, Any] = json.loads(line)
    return Discrepancy(
        **told
        | {
            "bill": BillKind(told["bill"]),
            "found": DiscrepancyClass(told["found"]),
            "kind": RowKind(told["kind"]),
            "since": date.fromisoformat(told["since"]),
            "ours": _side(told["ours"], Entry),
            "theirs": _side(told["theirs"], ListedRow),
            "cause": Cause(told["cause"]),
            "action": Action(told["action"]),
        }
    )


def summary_text(outcome: Outcome) -> str:
    """The outcome without its lists, as JSON."""
    told = {
        "platform": outcome.platform,
        "day": outcome.day,
        "digest": outcome.digest,
        "rows": outcome.rows,
        "tallies": [asdict(tally) for tally in outcome.tallies],
        "unlisted_count": outcome.unlisted_count,
    }
    return json.dumps(told, default=_text, indent=1) + "\n"


def read_outcome(folder: Path) -> Outcome:
    """The outcome that stands in ``folder``. Raises ``FileNotFoundError`` when that run has not ended well."""
    told: dict[str, Any] = json.loads((folder / SUMMARY).read_text(encoding="ascii"))
    return Outcome(
        folder=folder,
        platform=told["platform"],
        day=date.fromisoformat(told["day"]),
        digest=told["digest"],
        rows={BillKind(kind): rows for kind, rows in told["rows"].items()},
        tallies=tuple(tally_of(one) for one in told["tallies"]),
        unlisted_count=told["unlisted_count"],
    )


def tally_of(told: dict[str, Any]) -> Tally:
    """The tally that was written down."""
    return Tally(
        bill=BillKind(told["bill"]),
        kind=RowKind(told["kind"]),
        found=None if told["found"] is None else DiscrepancyClass(told["found"]),
        rows=told["rows"],
        ours_fen=told["ours_fen"],
        theirs_fen=told["theirs_fen"],
    )


def _told(side: Entry | ListedRow | Total | None) -> dict[str, Any] | None:
    return None if side is None else asdict(side)


_READ: Final[dict[str, Callable[[str], object]]] = {
    "bill": BillKind,
    "kind": RowKind,
    "state": RowState,
    "day": date.fromisoformat,
    "settles_on": date.fromisoformat,
    "at": lambda text: datetime.fromisoformat(text).astimezone(BEIJING),
}


def _side(told: dict[str, Any] | None, kind: type[T]) -> T | Total | None:
    if told is None:
        return None
    if "rows" in told:
        return Total(**told)
    return kind(**{name: _READ[name](value) if value and name in _READ else value for name, value in told.items()})


def _text(value: object) -> str:
    assert isinstance(value, date | datetime)
    return value.isoformat()


def _header_size(path: Path) -> int:
    with path.open("rb") as file:
        return len(file.readline())


def _page(path: Path, value: Callable[[str], T], *, at: int, limit: int) -> Page[T]:
    items: list[T] = []
    with path.open("rb") as file:
        file.seek(at)
        while len(items) < limit and (line := file.readline()):
            items.append(value(line.decode("ascii").removesuffix("\n")))
        end = file.tell()
        more = bool(file.read(1))
    return Page(tuple(items), end if more else None)
