"""Bills: asked for, downloaded within the URL's thirty seconds, unpacked, checked, and laid out for reading (sheet §4).

The URL comes in a signed answer; the file behind it is not signed. So it is fetched from Alipay's bill hosts alone
(``bill_hosts`` of the settings), and over TLS though Alipay still writes ``http://``: what stands in its query opens
the bill to anybody. An archive has a file of rows and one of sums per shop or per type, and both state totals. Where
they contradict each other the file is damaged and refused; where they agree, but not with the rows, that is a finding
of reconciliation and not of the download.
"""

from __future__ import annotations

import re
import shutil
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from unicom_coupon_adapters.alipay import bill_totals
from unicom_coupon_adapters.alipay.bill_layouts import COUPON, FUNDS, READY_AT, TRADE
from unicom_coupon_adapters.alipay.gateway import PATIENT, AlipayGateway
from unicom_coupon_adapters.alipay.profile import NAME
from unicom_coupon_adapters.alipay.requests import Api, Rest, members
from unicom_coupon_adapters.alipay.settings import LOOPBACK, AlipaySettings
from unicom_coupon_sdk.domain.bill import BillAnswer, BillFile, BillKind, BillNotReady, NoBill, RowKind, Total
from unicom_coupon_sdk.domain.times import BEIJING, business_date
from unicom_coupon_sdk.errors import (
    ConfigurationError,
    ForgedMessage,
    PlatformError,
    PlatformRefused,
    PlatformUnavailable,
    ValidationError,
)
from unicom_coupon_sdk.platform import bill_files
from unicom_coupon_sdk.platform.bill import BillLayout, BillOrder
from unicom_coupon_sdk.platform.effects import Flow, HttpCall, Local, Now
from unicom_coupon_sdk.platform.retry import repeating
from unicom_coupon_sdk.platform.wire import HttpRequest, TransportRules

QUERY = Api(
    method="alipay.data.dataservice.bill.downloadurl.query",
    required=members("bill_type bill_date"),
    is_write=False,
    rest=Rest("GET", "/v3/alipay/data/dataservice/bill/downloadurl/query"),
)
ASKS = 3
"""How many URLs are asked for before giving up. Each lives thirty seconds and serves once."""

LATE = timedelta(days=1)
"""How long after its time a bill may still be on its way. One that is missing after that will not come."""

PAUSE = timedelta(minutes=30)
LARGEST_ARCHIVE = 1 << 30
LARGEST = bill_files.LARGEST
_EMPTY = "EMPTY_DATA_WITH_BILL_FILE"
_URL = re.compile(r"https?://[0-9A-Za-z.-]+(?::[0-9]{1,5})?/[!-~]*")
_ACCOUNT = r"[0-9]{20}"


@dataclass(frozen=True, slots=True)
class Form:
    """How a kind of bill is asked for and packed. ``rows`` and ``sums`` are the ends of the members' names."""

    bill_type: str
    layout: BillLayout
    rows: str
    sums: str
    needs_sums: bool
    totals: Callable[[Sequence[str], bill_totals.Sums | None], Mapping[RowKind, Total]]


_SUMS = r"[(（]汇总[)）]"
FORMS: Mapping[BillKind, Form] = {
    BillKind.TRADE: Form("trade", TRADE, "业务明细", f"业务明细{_SUMS}", True, bill_totals.of_trades),
    BillKind.FUNDS: Form("signcustomer", FUNDS, "账务明细", f"账务明细{_SUMS}", True, bill_totals.of_funds),
    # The names in this archive are as unconfirmed as its columns.
    BillKind.COUPON: Form("merchant_act", COUPON, "[^_]*明细", f"[^_]*明细{_SUMS}", False, bill_totals.of_coupons),
}


def ready_at(day: date) -> datetime:
    """When the bill of ``day`` is usually there."""
    return datetime.combine(day + timedelta(days=1), READY_AT, BEIJING)


def fetch(order: BillOrder, *, gateway: AlipayGateway, settings: AlipaySettings) -> Flow[BillAnswer]:
    """The day's bill, checked; or that there is none, or not yet.

    Raises ``PlatformUnavailable`` (``alipay.bill_download``) when no URL could be used in time, ``PlatformRefused``,
    ``ConfigurationError`` (``alipay.bill_host``), ``ForgedMessage`` (``alipay.bill_other``) and ``ValidationError``
    (``bill.…``, ``alipay.bill_…``).
    """
    form = FORMS[order.kind]
    archive = order.folder / "bill.zip"
    failure: PlatformError | None = None
    for _ in range(ASKS):
        url = yield from _asked(order, form, gateway=gateway, settings=settings)
        if not isinstance(url, str):
            return url
        failure = yield from _downloaded(url, archive, settings=settings)
        if failure is None and (yield from Local(partial(_is_archive, archive))):
            return (yield from Local(partial(_opened, archive, order, form, account=settings.seller_id)))
    if failure is None:
        bill_files.refuse("packed", platform=NAME, field=archive.name)
    raise PlatformUnavailable("alipay.bill_download", platform=NAME, request_id=failure.request_id, times=ASKS)


def _asked(
    order: BillOrder, form: Form, *, gateway: AlipayGateway, settings: AlipaySettings
) -> Flow[str | NoBill | BillNotReady]:
    """A fresh URL; or the answer that needs none."""
    now = yield from Now()
    ready = ready_at(order.day)
    none = NoBill(platform=NAME, kind=order.kind, day=order.day)
    if business_date(now) <= order.day:
        return _not_ready(order, at=ready)
    call = QUERY.call({"bill_type": form.bill_type, "bill_date": order.day.isoformat()})
    try:
        node = yield from repeating(lambda _: gateway.send(call), PATIENT)
    except PlatformRefused as error:
        if error.code == "alipay.no_bill":
            return none
        if error.code != "alipay.bill_missing" or now >= ready + LATE:
            raise
        return _not_ready(order, at=max(ready, now + PAUSE))
    if node.text("bill_file_code").upper() == _EMPTY:
        return none
    return _trusted(node.text("bill_download_url"), hosts=settings.bill_hosts)


def _not_ready(order: BillOrder, *, at: datetime) -> BillNotReady:
    return BillNotReady(platform=NAME, kind=order.kind, day=order.day, ready_at=at)


def _trusted(url: str, *, hosts: frozenset[str]) -> str:
    """``url`` as it may be fetched: from an allowed host, over TLS unless that is this machine (a sandbox)."""
    parts = urlsplit(url) if _URL.fullmatch(url) else None
    host = (parts.hostname or "") if parts is not None else ""
    if host not in hosts:
        raise ConfigurationError("alipay.bill_host", field="bill_hosts", platform=NAME, host=host or "-")
    if host in LOOPBACK or url.startswith("https://"):
        return url
    assert parts is not None
    return parts._replace(scheme="https", netloc=host).geturl()


def _downloaded(url: str, archive: Path, *, settings: AlipaySettings) -> Flow[PlatformError | None]:
    """What went wrong; ``None`` when ``archive`` is there. Any other status than 200 means that the URL is spent."""
    rules = TransportRules(
        allowed_hosts=settings.bill_hosts, read_timeout_s=settings.read_timeout_s, largest_answer=LARGEST_ARCHIVE
    )
    try:
        answer = yield from HttpCall(HttpRequest("GET", url, (("Accept", "*/*"),)), rules, save_to=archive)
    except PlatformError as error:
        return error
    if answer.status == 200:
        return None
    return PlatformUnavailable("alipay.http_status", platform=NAME, platform_code=str(answer.status))


def _is_archive(archive: Path) -> bool:
    """Whether an archive came, and not a page that says that the URL has expired. What is none is removed."""
    is_archive = zipfile.is_zipfile(archive)
    if not is_archive:
        archive.unlink(missing_ok=True)
    return is_archive


def _opened(archive: Path, order: BillOrder, form: Form, *, account: str | None) -> BillFile:
    """The bill in ``archive``, checked and laid out. When it is refused, nothing is left in the folder."""
    unpacked, rows = order.folder / "unpacked", order.folder / "rows"
    try:
        unpacked.mkdir(mode=0o700)
        found = bill_files.unzip(archive, unpacked, platform=NAME, largest=LARGEST)
        detail = _member(found, form.rows, order, account=account)
        assert detail is not None
        sums = _member(found, form.sums, order, account=account, is_needed=form.needs_sums)
        parts = bill_files.split(
            detail,
            rows,
            platform=NAME,
            is_header=lambda line: bool(line.strip()) and not line.startswith(b"#"),
            is_tail=lambda line: line.startswith(b"#"),
        )
        columns = tuple(cell.strip(" \t") for cell in _text(parts.header).split(","))
        _check_columns(columns, form.layout)
        stated = bill_totals.read(sums) if sums is not None else None
        declared = form.totals([_text(line) for line in parts.tail], stated)
        return BillFile(
            platform=NAME,
            kind=order.kind,
            day=order.day,
            layout=form.layout.name,
            original=archive,
            rows=rows,
            columns=columns,
            sha256=bill_files.digest(archive),
            declared=declared,
        )
    except BaseException:
        archive.unlink(missing_ok=True)
        rows.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)


def _member(
    found: Mapping[str, Path], name: str, order: BillOrder, *, account: str | None, is_needed: bool = True
) -> Path | None:
    """The one member whose name ends so; its name also says whose bill it is, and of which day."""
    pattern = re.compile(rf"({_ACCOUNT})_([0-9]{{8}})_{name}\.csv")
    matches = [(match, path) for told, path in found.items() if (match := pattern.fullmatch(told.rpartition("/")[2]))]
    if not matches and not is_needed:
        return None
    if len(matches) != 1:
        raise ValidationError("alipay.bill_member", field="bill", platform=NAME, found=len(matches))
    ((match, path),) = matches
    if match[2] != f"{order.day:%Y%m%d}" or not match[1].startswith(account or ""):
        raise ForgedMessage("alipay.bill_other", platform=NAME)
    return path


def _check_columns(columns: tuple[str, ...], layout: BillLayout) -> None:
    """Each column that the layout reads stands in the header once. Others may come and go."""
    for rule in layout.rules:
        named = (
            *rule.when,
            rule.number,
            rule.platform_no,
            rule.original_no,
            rule.amount,
            rule.fee,
            rule.state,
            *rule.at,
        )
        for name in named:
            if name is not None and columns.count(name) != 1:
                raise ValidationError("alipay.bill_column", field=name, platform=NAME, layout=layout.name)


def _text(line: bytes) -> str:
    try:
        return line.decode("gb18030")
    except UnicodeDecodeError:
        bill_files.refuse("no_header", platform=NAME, field="bill")
