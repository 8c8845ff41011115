"""The coupon bill: its address, its archive, and what is checked before a row of it is read (sheet §1.11, §3.6, §3.8).

The bank makes a day's bill twice: raw in the morning, without fees and settlement dates, and cleared in the afternoon.
The archive carries no signature. It comes over TLS from the bank's own host, by an address in a signed reply, and its
two files prove each other: the summary holds the SM3 of the details.
"""

from __future__ import annotations

import csv
import hmac
import re
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from unicom_coupon_adapters.bank import bill_layout, messages
from unicom_coupon_adapters.bank.gateway import PLATFORM, Gateway
from unicom_coupon_sdk.domain.bill import BillAnswer, BillFile, BillKind, BillNotReady, NoBill, RowKind, Total
from unicom_coupon_sdk.errors import ForgedMessage, PlatformRefused
from unicom_coupon_sdk.platform import bill_files
from unicom_coupon_sdk.platform.bill import BillOrder
from unicom_coupon_sdk.platform.effects import Flow, Local, NewId, Now

RAW: Final = "RAW"
CLEARED: Final = "CLEARED"
CLEARING_TAKES: Final = timedelta(hours=6)
"""How long after the raw bill the cleared one is there."""

_LARGEST_SUMMARY: Final = 64 * 1024
_WHOLE: Final = re.compile(r"-?[0-9]{1,18}")


class Bills:
    """The bills of one merchant."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._names = gateway.settings.bill_columns
        self._source = bill_layout.source_of(self._names)

    def fetch(self, order: BillOrder) -> Flow[BillAnswer]:
        """The day's bill: cleared when its time has come and the bank has it, else raw (``is_final`` false).

        Raises ``ForgedMessage`` (``bank.bill_digest``), ``ValidationError`` (``bill.…``) and what calls raise.
        """
        now = yield from Now()
        opens = {CLEARED: self._source.opens(order.day) + CLEARING_TAKES, RAW: self._source.opens(order.day)}
        for stage, at in opens.items():
            if now < at:
                continue
            try:
                url = yield from self._address(order.day, stage=stage)
            except PlatformRefused as error:
                if error.platform_code == "BILL_NOT_READY":
                    continue
                if error.platform_code == "BILL_NOT_EXIST":
                    return NoBill(platform=PLATFORM, kind=order.kind, day=order.day)
                raise
            return (yield from self._downloaded(url, order, stage=stage))
        ready_at = self._source.ask_at(order.day, now=now)
        return BillNotReady(platform=PLATFORM, kind=order.kind, day=order.day, ready_at=ready_at)

    def _address(self, day: date, *, stage: str) -> Flow[str]:
        number = yield from NewId()
        body = {
            **self._gateway.who,
            "reqNo": number,
            "billDate": f"{day:%Y%m%d}",
            "billType": "zip",
            "billStage": stage,
        }
        reply = yield from self._gateway.call(messages.STATEMENT.call(body))
        url = reply.text("fileDownloadUrl")
        if url is None:
            raise PlatformRefused("bank.bill_absent", platform=PLATFORM, reason="fileDownloadUrl")
        return url

    def _downloaded(self, url: str, order: BillOrder, *, stage: str) -> Flow[BillAnswer]:
        archive = order.folder / f"{order.day:%Y%m%d}_{stage}.zip"
        yield from self._gateway.download(url, save_to=archive)
        return (yield from Local(lambda: self.read(archive, day=order.day, stage=stage)))

    def read(self, archive: Path, *, day: date, stage: str) -> BillFile | NoBill:
        """The bill in a downloaded archive, unpacked beside it. Raises as ``fetch``; the folder is gone then."""
        try:
            return self._read(archive, day=day, stage=stage)
        except BaseException:
            bill_files.forget(archive.parent)
            raise

    def _read(self, archive: Path, *, day: date, stage: str) -> BillFile | NoBill:
        found = bill_files.unzip(archive, archive.parent, platform=PLATFORM)
        names = [f"{name}_{stage}.csv" for name in ("DETAIL", "SUMMARY")]
        detail, summary = (
            bill_files.member(found, name, platform=PLATFORM).rename(archive.with_name(name)) for name in names
        )
        totals, digest = self._summary(summary, day=day)
        if not hmac.compare_digest(bill_files.digest(detail, algorithm="sm3").encode(), digest.lower().encode()):
            raise ForgedMessage("bank.bill_digest", platform=PLATFORM)
        rows = archive.with_suffix(".rows")
        split = bill_files.split(detail, rows, platform=PLATFORM, is_header=lambda _: True, is_tail=None)
        columns = bill_files.columns_of(split.header, self._source.layout, platform=PLATFORM, bill=BillKind.COUPON)
        for path in (detail, summary, *found.values()):
            path.unlink(missing_ok=True)
        if not split.rows_size and not any(total.rows for total in totals.values()):
            archive.unlink()
            rows.unlink()
            return NoBill(platform=PLATFORM, kind=BillKind.COUPON, day=day)
        return BillFile(
            platform=PLATFORM,
            kind=BillKind.COUPON,
            day=day,
            layout=self._source.layout.name,
            original=archive,
            rows=rows,
            columns=columns,
            sha256=bill_files.digest(archive),
            declared=totals,
            is_final=stage == CLEARED,
        )

    def _summary(self, path: Path, *, day: date) -> tuple[dict[RowKind, Total], str]:
        """What the summary declares, and the digest of the details in it."""
        cells = _only_line(path)
        of = {name: self._names.get(name, name) for name in bill_layout.SUMMARY}
        bill_files.require(of.values(), cells, platform=PLATFORM, bill=BillKind.COUPON)
        if cells[of[bill_layout.DAY]] != f"{day:%Y%m%d}":
            bill_files.refuse("other", platform=PLATFORM, field=of[bill_layout.DAY])
        totals = {
            kind: Total(_number(cells, of[count]), _number(cells, of[amount]))
            for kind, (count, amount) in bill_layout.COUNTED.items()
        }
        return totals, cells[of[bill_layout.DIGEST]]


def _only_line(path: Path) -> dict[str, str]:
    """The one line of a summary by column names. Raises ``ValidationError`` ``bill.summary``."""
    if path.stat().st_size > _LARGEST_SUMMARY:
        bill_files.refuse("summary", platform=PLATFORM, field="SUMMARY")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            (line,) = csv.DictReader(file, restval="", restkey="")
    except (UnicodeDecodeError, ValueError, csv.Error):
        bill_files.refuse("summary", platform=PLATFORM, field="SUMMARY")
    return {str(name).strip(): str(value).strip() for name, value in line.items()}


def _number(cells: Mapping[str, str], name: str) -> int:
    if not _WHOLE.fullmatch(cells[name]):
        bill_files.refuse("summary", platform=PLATFORM, field=name)
    return int(cells[name])
