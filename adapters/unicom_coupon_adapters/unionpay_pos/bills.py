"""The acquirer's file of a clearing day: taken from where it is delivered, and checked before a row of it is read.

Acquirers deliver such files by SFTP into a folder, or offer them on a portal (sheet 11.4). The digest in the last line
tells a file that was cut or damaged from a whole one. It is no signature: who may write to the folder, or answer for
the portal's name, is believed.
"""

from __future__ import annotations

import hmac
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from errno import ENOTDIR
from pathlib import Path
from typing import Final, NoReturn

from unicom_coupon_adapters.unionpay_pos.answers import PLATFORM
from unicom_coupon_adapters.unionpay_pos.bill_layouts import GIVEN_BACK, REDEEMED, REVERSED, STANDING
from unicom_coupon_adapters.unionpay_pos.messages import COUPON_CONDITION
from unicom_coupon_adapters.unionpay_pos.settings import UnionPayPosSettings
from unicom_coupon_sdk.domain.bill import BillAnswer, BillFile, BillKind, BillNotReady, NoBill, RowKind, Total
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import (
    ConfigurationError,
    CouponError,
    ForgedMessage,
    PlatformUnavailable,
    PlatformUnknown,
    ValidationError,
)
from unicom_coupon_sdk.platform import bill_files
from unicom_coupon_sdk.platform.bill import BillOrder, BillSource
from unicom_coupon_sdk.platform.effects import Flow, HttpCall, Local, Now
from unicom_coupon_sdk.platform.wire import HttpRequest, TransportRules

_TOTAL: Final = re.compile(rb"#TOTAL,([0-9]{1,12}),([0-9]{1,15}),([0-9]{1,15}),([0-9A-Fa-f]{64})")
_LONGEST: Final = 64 * 1024
_NEEDED: Final = ("clearing_date", "merchant", "cond", "type", "status", "amount_fen")
_AROUND: Final = ' \t"'
_KINDS: Final = dict.fromkeys(REDEEMED, RowKind.REDEMPTION) | dict.fromkeys(GIVEN_BACK, RowKind.REVERSAL)


@dataclass(frozen=True, slots=True)
class _Taken:
    """One merchant's file, found right and split."""

    original: Path
    rows: Path
    columns: tuple[str, ...]
    totals: Mapping[RowKind, Total]


class Statements:
    """The acquirer's files of the merchants whose terminals these settings bind. ``token`` opens the portal."""

    def __init__(self, settings: UnionPayPosSettings, source: BillSource, *, token: Secret | None) -> None:
        self._settings = settings
        self._source = source
        self._token = token

    def fetch(self, order: BillOrder) -> Flow[BillAnswer]:
        """The file of a clearing day; of several merchants, their files one behind the other.

        What is not there yet, of any merchant, is ``BillNotReady``; a file without rows says that there is no bill.
        Raises ``ForgedMessage`` (``unionpay_pos.bill_digest``) for a file that is not what its last line says,
        ``ValidationError`` (``bill.…``) for one that cannot be read, ``PlatformUnavailable``, and
        ``ConfigurationError`` (``unionpay_pos.bill_inbox``) for a folder that cannot be looked into.
        """
        wanted = {one: order.folder / f"UCP_{one}_{order.day:%Y%m%d}.csv" for one in self._settings.merchants}
        try:
            are_there = yield from self._all_received(wanted, day=order.day)
        except CouponError:
            yield from Local(lambda: bill_files.forget(order.folder))
            raise
        if are_there:
            return (yield from Local(lambda: self.read(wanted, day=order.day)))
        now = yield from Now()
        ready_at = self._source.ask_at(order.day, now=now)
        return BillNotReady(platform=PLATFORM, kind=order.kind, day=order.day, ready_at=ready_at)

    def _all_received(self, wanted: Mapping[str, Path], *, day: date) -> Flow[bool]:
        """Whether every merchant's file was there; else none is kept."""
        for merchant, path in wanted.items():
            if not (yield from self._received(path, merchant=merchant, day=day)):
                yield from Local(lambda: _take_away(wanted.values()))
                return False
        return True

    def _received(self, path: Path, *, merchant: str, day: date) -> Flow[bool]:
        """Whether the file was there, and is now at ``path``."""
        inbox, template = self._settings.bill_inbox, self._settings.bill_url
        if inbox is not None:
            return (yield from Local(lambda: _copied(inbox / path.name, path)))
        assert template is not None
        request = HttpRequest("GET", template.format(merchant=merchant, day=f"{day:%Y%m%d}"), self._headers())
        rules = TransportRules(allowed_hosts=frozenset({request.host}), largest_answer=bill_files.LARGEST)
        try:
            answer = yield from HttpCall(request, rules, save_to=path)
        except PlatformUnknown as error:
            raise PlatformUnavailable("platform.no_answer", platform=PLATFORM, reason=error.code) from error
        if answer.status not in {200, 404}:
            raise PlatformUnavailable("unionpay_pos.bill_status", platform=PLATFORM, status=answer.status)
        return answer.status == 200

    def _headers(self) -> tuple[tuple[str, str], ...]:
        own = () if self._token is None else (("Authorization", f"Bearer {self._token.reveal()}"),)
        return (("Accept", "text/csv"), *own)

    def read(self, received: Mapping[str, Path], *, day: date) -> BillFile | NoBill:
        """The bill in the files of ``day`` by merchant. Raises as ``fetch``; their folder is gone then."""
        folder = next(iter(received.values())).parent
        try:
            taken = [self._taken(path, merchant=merchant, day=day) for merchant, path in received.items()]
            return self._together(taken, day=day)
        except BaseException:
            bill_files.forget(folder)
            raise

    def _taken(self, path: Path, *, merchant: str, day: date) -> _Taken:
        rows = path.with_suffix(".rows")
        split = bill_files.split(
            path,
            rows,
            platform=PLATFORM,
            is_header=lambda _: True,
            is_tail=lambda line: line.startswith(b"#TOTAL,"),
        )
        columns = bill_files.columns_of(split.header, self._source.layout, platform=PLATFORM, bill=BillKind.COUPON)
        bill_files.require(_NEEDED, columns, platform=PLATFORM, bill=BillKind.COUPON)
        told = _TOTAL.fullmatch(split.tail[0])
        if told is None or len(split.tail) != 1:
            bill_files.refuse("summary", platform=PLATFORM, field="#TOTAL")
        if not hmac.compare_digest(bill_files.digest(path, size=split.rows_end).encode(), told[4].lower()):
            raise ForgedMessage("unionpay_pos.bill_digest", platform=PLATFORM)
        counted = _counted(rows, columns, merchant=merchant, day=day)
        return _Taken(path, rows, columns, counted.declared(rows=int(told[1]), debit=int(told[2]), credit=int(told[3])))

    def _together(self, taken: Sequence[_Taken], *, day: date) -> BillFile | NoBill:
        first, *others = taken
        for other in others:
            if other.columns != first.columns:
                bill_files.refuse("other", platform=PLATFORM, field=other.original.name)
            _append(other.original, to=first.original)
            _append(other.rows, to=first.rows)
        totals = {kind: _sum(one.totals[kind] for one in taken) for kind in first.totals}
        if not first.rows.stat().st_size and not any(total.rows for total in totals.values()):
            _take_away((first.original, first.rows))
            return NoBill(platform=PLATFORM, kind=BillKind.COUPON, day=day)
        return BillFile(
            platform=PLATFORM,
            kind=BillKind.COUPON,
            day=day,
            layout=self._source.layout.name,
            original=first.original,
            rows=first.rows,
            columns=first.columns,
            sha256=bill_files.digest(first.original),
            declared=totals,
        )


@dataclass(slots=True)
class _Counted:
    """What stands between the file's totals, which are of all its rows, and totals by kind."""

    given_back: int = 0
    others: int = 0
    others_fen: Counter[RowKind] = field(default_factory=Counter)

    def add(self, row: Mapping[str, str]) -> None:
        """Count one row. What was reversed is in the file's number of rows, and not in its sums."""
        kind = _KINDS.get(row["type"], RowKind.OTHER)
        is_ours = row["cond"] == COUPON_CONDITION and kind is not RowKind.OTHER and row["status"] in STANDING
        if is_ours:
            self.given_back += kind is RowKind.REVERSAL
        else:
            self.others += 1
            self.others_fen[kind] += 0 if row["status"] == REVERSED else int(row["amount_fen"])

    def declared(self, *, rows: int, debit: int, credit: int) -> dict[RowKind, Total]:
        """The file's totals, by kind: what is left when the rows of other kinds are taken off."""
        return {
            RowKind.REDEMPTION: Total(
                rows - self.given_back - self.others, debit - self.others_fen[RowKind.REDEMPTION]
            ),
            RowKind.REVERSAL: Total(self.given_back, self.others_fen[RowKind.REVERSAL] - credit),
        }


def _counted(rows: Path, columns: tuple[str, ...], *, merchant: str, day: date) -> _Counted:
    """The rows looked through once. Raises ``ValidationError`` for one of another day or merchant, or that is none."""
    found = _Counted()
    places = {name: columns.index(name) for name in _NEEDED}
    wanted = {"clearing_date": f"{day:%Y%m%d}", "merchant": merchant}
    for number, line in enumerate(_lines(rows), start=1):
        if not line.strip():
            continue
        cells = line.split(b",")
        if len(cells) < len(columns) or not line.endswith(b"\n"):
            _refuse(rows, reason="columns", line=number)
        row = {name: cells[place].decode("latin-1").strip(_AROUND) for name, place in places.items()}
        for name, value in wanted.items():
            if row[name] != value:
                bill_files.refuse("other", platform=PLATFORM, field=name, line=number)
        if not (row["amount_fen"].isascii() and row["amount_fen"].isdigit()):
            _refuse(rows, reason="amount", line=number)
        found.add(row)
    return found


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, none longer than ``_LONGEST``."""
    with path.open("rb") as file:
        while line := file.readline(_LONGEST):
            yield line


def _refuse(rows: Path, *, reason: str, line: int) -> NoReturn:
    error = ValidationError("unionpay_pos.bill", field=rows.stem, platform=PLATFORM, reason=reason)
    error.details["line"] = line
    raise error


def _sum(totals: Iterable[Total]) -> Total:
    told = tuple(totals)
    return Total(sum(one.rows for one in told), sum(one.amount_fen or 0 for one in told))


def _copied(source: Path, target: Path) -> bool:
    """Whether ``source`` was there, and is now at ``target``. Raises ``ConfigurationError`` and ``bill.too_large``."""
    try:
        if not source.parent.is_dir():
            raise NotADirectoryError(ENOTDIR, "no such folder")
        if source.stat().st_size > bill_files.LARGEST:
            bill_files.refuse("too_large", platform=PLATFORM, field=source.name, largest=bill_files.LARGEST)
        with source.open("rb") as file, bill_files.whole(target) as copy:
            shutil.copyfileobj(file, copy)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigurationError(
            "unionpay_pos.bill_inbox",
            field="bill_inbox",
            platform=PLATFORM,
            path=str(source.parent),
            reason=error.strerror or "?",
        ) from None
    return True


def _append(path: Path, *, to: Path) -> None:
    with path.open("rb") as file, to.open("ab") as whole:
        shutil.copyfileobj(file, whole)
    path.unlink()


def _take_away(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
