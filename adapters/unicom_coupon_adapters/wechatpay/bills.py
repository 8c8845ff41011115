"""Bills by day: asked for, downloaded, verified, and taken apart into the rows that a layout reads (sheet 4).

The link is asked for by a signed call, whose signed answer names the file's digest; the download is unsigned, so that
digest, over the uncompressed bytes, is its proof. The totals at the end of a bill are for all rows of one direction
together; here they are given by kind, as what is left when the bill's rows of the other kinds are taken off.
"""

from __future__ import annotations

import csv
import hmac
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from unicom_coupon_adapters.wechatpay import layouts, messages
from unicom_coupon_adapters.wechatpay.gateway import Gateway
from unicom_coupon_adapters.wechatpay.messages import Api
from unicom_coupon_sdk.domain.bill import BillAnswer, BillFile, BillKind, BillNotReady, NoBill, RowKind, Total
from unicom_coupon_sdk.domain.money import fen_of_yuan
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import (
    ForgedMessage,
    PlatformRefused,
    PlatformUnavailable,
    UnsupportedOperation,
    ValidationError,
)
from unicom_coupon_sdk.platform import bill_files
from unicom_coupon_sdk.platform.bill import BillOrder, BillSource
from unicom_coupon_sdk.platform.effects import Flow, Local, Now

PLATFORM = "wechatpay"
ASK_AGAIN = timedelta(minutes=15)
_END = 4096
_AROUND = f'{layouts.AROUND}\r\n"'
_AMOUNT = "收支金额(元)"
_COUNT = re.compile(r"(\d{1,12})(\.0+)?", re.ASCII)
_DIGESTS = {"SHA1": "sha1", "SM3": "sm3"}  # SM3 for merchants of the SM suite (sheet 1.9)

Totals = Mapping[str, str]
Rows = Callable[..., Iterator[list[str]]]
"""Called with names of columns, the cells of these of each row."""

Declare = Callable[[Totals, Rows], dict[RowKind, Total]]


@dataclass(frozen=True, slots=True)
class _Bill:
    """One kind of bill: its facts, how it is asked for, how its totals begin, and what they say by kind of row.

    ``must_total`` is false where the sheet does not say whether there are totals.
    """

    source: BillSource
    api: Api
    query: Mapping[str, str]
    totals: str
    declare: Declare
    must_total: bool = True


class Bills:
    """The bills of one merchant, over one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def fetch(self, order: BillOrder) -> Flow[BillAnswer]:
        """The bill of one day in ``order.folder``, its digest found right; or none, or not yet.

        Raises ``ForgedMessage`` (``wechatpay.bill_digest``), ``ValidationError`` for a file that is no such bill
        (``bill.…``, ``wechatpay.bill_column``, ``wechatpay.bill_totals``), and as ``Gateway.call``.
        """
        wanted = _BILLS.get(order.kind)
        if wanted is None:
            raise UnsupportedOperation("bill.not_offered", field="kind", platform=PLATFORM, kind=order.kind.value)
        now = yield from Now()
        ready_at = datetime.combine(order.day + timedelta(days=1), wanted.source.ready_at, BEIJING)
        if now < ready_at:
            return BillNotReady(platform=PLATFORM, kind=order.kind, day=order.day, ready_at=ready_at)
        query = {"bill_date": order.day.isoformat(), "tar_type": "GZIP", **wanted.query}
        try:
            answer = yield from self._gateway.call(wanted.api.call(query=query))
        except PlatformRefused as error:
            if error.code != "wechatpay.no_statement":
                raise
            return NoBill(platform=PLATFORM, kind=order.kind, day=order.day)
        except PlatformUnavailable as error:
            if error.code != "wechatpay.statement_creating":
                raise
            return BillNotReady(platform=PLATFORM, kind=order.kind, day=order.day, ready_at=now + ASK_AGAIN)
        url, digest = answer.text("download_url"), answer.text("hash_value")
        algorithm = _DIGESTS.get(answer.text("hash_type") or "")
        if url is None or digest is None or algorithm is None:
            raise PlatformUnavailable("wechatpay.answer_malformed", platform=PLATFORM, request_id=answer.request_id)
        original = order.folder / "original"
        yield from self._gateway.download(url, to=original)
        return (yield from Local(lambda: _taken_in(wanted, order, original, digest=digest, algorithm=algorithm)))


def _taken_in(wanted: _Bill, order: BillOrder, original: Path, *, digest: str, algorithm: str) -> BillFile:
    """The verified bill; when it is not right in any way, nothing of it is left."""
    try:
        plain = unpacked(original, digest=digest, algorithm=algorithm)
        rows, columns, totals = _parted(plain, wanted)
        declared = wanted.declare(totals, lambda *names: _picked(rows, [columns.index(name) for name in names]))
        if plain != original:
            plain.unlink()
        return BillFile(
            platform=PLATFORM,
            kind=order.kind,
            day=order.day,
            layout=wanted.source.layout.name,
            original=original,
            rows=rows,
            columns=columns,
            sha256=bill_files.digest(original),
            declared=declared,
        )
    except BaseException:
        bill_files.forget(order.folder)
        raise


def unpacked(original: Path, *, digest: str, algorithm: str = "sha1") -> Path:
    """The file with the uncompressed bytes, whose digest is ``digest``: ``original``, or one beside it.

    Raises ``ForgedMessage`` (``wechatpay.bill_digest``), and ``ValidationError`` as ``bill_files.gunzip``.
    """
    plain = original
    with original.open("rb") as file:
        is_packed = file.read(2) == b"\x1f\x8b"
    if is_packed:
        plain = original.with_name("plain")
        bill_files.gunzip(original, plain, platform=PLATFORM)
    if not hmac.compare_digest(bill_files.digest(plain, algorithm=algorithm).encode(), digest.lower().encode()):
        raise ForgedMessage("wechatpay.bill_digest", platform=PLATFORM)
    return plain


def _parted(plain: Path, wanted: _Bill) -> tuple[Path, tuple[str, ...], Totals]:
    """The file of rows, the columns' names, and the totals by name; none where the bill may do without and does."""
    rows = plain.with_name("rows")
    first = wanted.source.layout.rules[0].at[0]
    begins = tuple(f"{mark}{wanted.totals}".encode() for mark in ("", "`", '"', '"`'))
    split = bill_files.split(
        plain,
        rows,
        platform=PLATFORM,
        is_header=lambda line: _cells(line)[0] == first,
        is_tail=(lambda line: line.startswith(begins)) if wanted.must_total or _ends_with(plain, begins) else None,
    )
    columns = _cells(split.header)
    missing = [name for name in layouts.columns_needed(wanted.source.layout) if name not in columns]
    if missing:
        raise ValidationError("wechatpay.bill_column", field=missing[0], platform=PLATFORM)
    _without_quotes(rows)
    return rows, columns, _totals(split.tail)


def _ends_with(plain: Path, begins: tuple[bytes, ...]) -> bool:
    """Whether a line that begins like totals is among the last of the file."""
    with plain.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _END))
        return any(line.startswith(begins) for line in file.read().split(b"\n")[1:])


def _cells(line: bytes) -> tuple[str, ...]:
    """The cells of a line of names or totals, in which no comma stands inside a cell."""
    text = line.decode("utf-8", errors="replace")
    return tuple(cell.strip(_AROUND) for cell in text.split(","))


def _totals(tail: tuple[bytes, ...]) -> Totals:
    if not tail:
        return {}
    names, values = _cells(tail[0]), _cells(tail[1]) if len(tail) > 1 else ()
    if len(names) != len(values):
        bill_files.refuse("cut_short", platform=PLATFORM, field="plain")
    return dict(zip(names, values, strict=True))


def _without_quotes(rows: Path) -> None:
    """Rows whose cells stand in quotes, as one parser met them, are written as the platform otherwise does."""
    with rows.open("rb") as file:
        if file.read(1) != b'"':
            return
    try:
        with rows.open(encoding="utf-8", newline="") as source, bill_files.whole(rows) as target:
            for cells in csv.reader(source):
                target.write(",".join(f"`{cell.strip(layouts.AROUND)}" for cell in cells).encode() + b"\r\n")
    except (csv.Error, UnicodeDecodeError):
        bill_files.refuse("cut_short", platform=PLATFORM, field=rows.name)


def _picked(rows: Path, places: list[int]) -> Iterator[list[str]]:
    """The cells at ``places`` of each row that has them; what is wrong with a row is its reader's to say."""
    most = max(places)
    with rows.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for line in file:
            cells = line.split(layouts.SEPARATOR)
            if len(cells) > most:
                yield [cells[place].strip(_AROUND) for place in places]


# --- what the totals say, by kind ---


def _trade(totals: Totals, rows: Rows) -> dict[RowKind, Total]:
    """Orders and refunds are counted together and summed apart."""
    states = Counter(state for [state] in rows("交易状态"))
    others = sum(count for state, count in states.items() if state not in layouts.PAID_STATES)
    return {
        RowKind.PAYMENT: Total(rows=_count(totals, "总交易单数") - others, amount_fen=_fen(totals, "订单总金额")),
        RowKind.REFUND: Total(rows=states["REFUND"], amount_fen=-_fen(totals, "退款总金额")),
    }


def _funds(totals: Totals, rows: Rows) -> dict[RowKind, Total]:
    """Whatever went out is counted and summed together."""
    count, fen = _count(totals, "支出笔数"), _fen(totals, "支出金额")
    for way, business, amount in rows("收支类型", "业务类型", _AMOUNT):
        if way == "支出" and business not in layouts.PAY_OUT_TYPES:
            count -= 1
            fen -= _fen({_AMOUNT: amount}, _AMOUNT)
    return {RowKind.PAY_OUT: Total(rows=count, amount_fen=fen)}


def _nothing(totals: Totals, rows: Rows) -> dict[RowKind, Total]:  # noqa: ARG001 - one shape
    """What the profit-sharing bill's totals are called is unconfirmed."""
    return {}


def _count(totals: Totals, name: str) -> int:
    """A count, which can read ``45.0``."""
    match = _COUNT.fullmatch(totals.get(name, ""))
    if match is None:
        raise ValidationError("wechatpay.bill_totals", field=name, platform=PLATFORM)
    return int(match[1])


def _fen(cells: Mapping[str, str], name: str) -> int:
    try:
        return fen_of_yuan(cells[name], field=name)
    except (KeyError, ValidationError):
        raise ValidationError("wechatpay.bill_totals", field=name, platform=PLATFORM) from None


_TRADE_SOURCE, _FUNDS_SOURCE, _SHARE_SOURCE = layouts.SOURCES
_BILLS: Mapping[BillKind, _Bill] = {
    BillKind.TRADE: _Bill(_TRADE_SOURCE, messages.TRADE_BILL, {"bill_type": "ALL"}, "总交易单数", _trade),
    BillKind.FUNDS: _Bill(_FUNDS_SOURCE, messages.FUNDS_BILL, {"account_type": "BASIC"}, "资金流水总笔数", _funds),
    BillKind.SHARE: _Bill(_SHARE_SOURCE, messages.SHARE_BILL, {}, "总", _nothing, must_total=False),
}
