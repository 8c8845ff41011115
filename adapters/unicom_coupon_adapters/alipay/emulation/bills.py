"""Bills: a URL for a day's file, good for thirty seconds, and the ZIP behind it (sheet §4).

``trade`` lists trades and refunds, ``signcustomer`` every movement of the account, ``merchant_act`` what happened to
vouchers: all of it as it happened here, whoever asked for it. A day is ready at 09:00 of the next, a month on the
third. What a fault ``bill_defect`` has spoiled in a day stays so. The other kinds are empty files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final

from unicom_coupon_adapters.alipay.emulation import bill_sheets
from unicom_coupon_adapters.alipay.emulation.acts import BACK, USED
from unicom_coupon_adapters.alipay.emulation.archives import zipped
from unicom_coupon_adapters.alipay.emulation.bill_sheets import ACCOUNT, Sheet
from unicom_coupon_adapters.alipay.emulation.moments import BEIJING, moment_of
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_adapters.alipay.emulation.world import Call, Reply, Route, World
from unicom_coupon_sdk.domain.bill import BillKind, RowKind, RowState
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox.bills import ANY_LINE, BillDefect, BillLine
from unicom_coupon_sdk.sandbox.emulator import Received

PATH: Final = "/bill/"
URL_LIFE: Final = timedelta(seconds=30)
_EMPTY: Final = frozenset({"trade_zft_merchant", "zft_acc", "settlementMerge"})
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_MONTH: Final = re.compile(r"\d{4}-\d\d")
_KINDS: Final = {USED: RowKind.REDEMPTION, BACK: RowKind.REVERSAL}
_COUPON_DEFECTS: Final = ANY_LINE | {BillDefect.STATE_DIFFERS}
_SHARE_DEFECTS: Final = (ANY_LINE - {BillDefect.AMOUNT_DIFFERS}) | {BillDefect.SHARING_DIFFERS}


@dataclass(frozen=True, slots=True)
class Bill:
    """A kind of bill: which lines a day has, how they are written, and the kind of line whose sum a fault may spoil."""

    kind: BillKind
    lines: Callable[[World, date], Iterable[BillLine]]
    write: Callable[[Sheet], list[tuple[str, str]]]
    total_of: RowKind


def query(call: Call) -> Reply:
    """Where the file of a day or month is for the next thirty seconds."""
    fields, world = call.fields(), call.world
    kind = fields.needed("bill_type", longest=20)
    if kind not in BILLS and kind not in _EMPTY:
        raise Refusal("TYPE_NOT_SUPPORTED", "账单类型不支持")
    text = fields.needed("bill_date", longest=15)
    days = _days(text, now=world.now())
    is_empty = kind in _EMPTY or not _sheet(world, BILLS[kind], days).lines
    token = world.hexadecimal(40)
    world.store.put("bill", token, {"kind": kind, "date": text, "until": world.now().timestamp() + 30})
    told = {"bill_download_url": f"{call.base_url}{PATH}{token}"}
    return told | ({"bill_file_code": "EMPTY_DATA_WITH_BILL_FILE"} if is_empty else {})


def download(world: World, request: Received) -> HttpAnswer:
    """The ZIP behind a URL, once and in time; 403 otherwise."""
    token = request.path.rpartition("/")[2]
    kept = world.store.get("bill", token)
    if request.method != "GET" or kept is None or world.now().timestamp() > kept["until"]:
        return HttpAnswer(403, (("Content-Type", "text/plain"),), b"expired")
    world.store.delete("bill", token)
    bill = BILLS.get(kept["kind"])
    files = [] if bill is None else bill.write(_sheet(world, bill, _days(kept["date"], now=world.now())))
    shown = f'attachment; filename="{ACCOUNT}_{kept["date"].replace("-", "")}.csv.zip"'
    headers = (("Content-Type", "application/octet-stream"), ("Content-Disposition", shown))
    return HttpAnswer(200, headers, zipped(files))


def _sheet(world: World, bill: Bill, days: list[date]) -> Sheet:
    """The lines of all days, as they were first made."""
    made = [
        world.frame.make_bill(
            bill.kind,
            day,
            lines=partial(bill.lines, world, day),
            invent=partial(_invented, world),
            total_of=bill.total_of,
        )
        for day in days
    ]
    lines = [line for one in made for line in one.lines]
    return Sheet(lines, days, world.now(), total_off_fen=sum(one.total_off_fen for one in made))


def _invented(world: World, line: BillLine) -> BillLine:
    """A line like another, under numbers that nobody has given out."""
    numbers = {
        name: f"{world.day()}{world.number('invented', digits=24)}"
        for name in ("serial", "platform_no")
        if name in line.cells
    }
    number = f"X{world.digits(7)}{world.number('invented', digits=18)}"
    return replace(line, number=number, cells={**line.cells, **numbers})


def _trades(world: World, day: date) -> Iterable[BillLine]:
    """Every order of the merchant's; whether one is also an order of a coupon's nobody can tell from here."""
    for key, entry in world.store.all(f"book|{day:%Y%m%d}"):
        number, _, request_no = key.partition("|")
        trade = world.store.get("trade", number)
        assert trade is not None
        made = world.store.get("refund", key) if entry["kind"] == "refund" else None
        done = made["at"] if made else trade["paid_at"]
        off = made["cash"] - made["amount"] if made else trade["total"] - trade["payer"]
        yield BillLine(
            kind=RowKind.REFUND if made else RowKind.PAYMENT,
            number=request_no or number,
            at=moment_of(done),
            amount_fen=-made["amount"] if made else trade["total"],
            cells={
                "trade_no": trade["trade_no"],
                "order_no": number,
                "business": "退款" if made else "交易",
                "subject": trade["subject"],
                "created": trade["created_at"],
                "done": done,
                "store": trade.get("store_id") or "",
                "other": f"***({trade['user_id'][-4:]})",
                "vouchers": "、".join(one["name"] for one in trade["vouchers"]),
                "request_no": request_no,
                "off": off,
                "fee": -made["fee"] if made else trade["fee"],
            },
        )


def _movements(world: World, day: date) -> Iterable[BillLine]:
    defects: Mapping[str, frozenset[BillDefect]] = {
        RowKind.PAY_OUT.value: ANY_LINE,
        RowKind.SHARE.value: _SHARE_DEFECTS,
    }
    for serial, entry in world.store.all(f"account|{day:%Y%m%d}"):
        yield BillLine(
            kind=RowKind(entry["kind"]),
            number=entry["number"],
            at=datetime.fromisoformat(entry["at"]),
            amount_fen=abs(entry["fen"]),
            defects=defects.get(entry["kind"], frozenset()),
            cells={
                **{name: entry[name] for name in ("platform_no", "balance", "business", "subject", "other")},
                "serial": serial,
                "is_income": entry["fen"] >= 0,
            },
        )


def _acts(world: World, day: date) -> Iterable[BillLine]:
    for serial, entry in world.store.all(f"acts|{day:%Y%m%d}"):
        kind = _KINDS.get(entry["business"], RowKind.OTHER)
        yield BillLine(
            kind=kind,
            number=entry["number"],
            at=datetime.fromisoformat(entry["at"]),
            amount_fen=entry["fen"],
            wrong_state=RowState.FAILED,
            defects=frozenset() if kind is RowKind.OTHER else _COUPON_DEFECTS,
            cells={"serial": serial, **{name: value for name, value in entry.items() if name not in _OWN}},
        )


_OWN: Final = frozenset({"number", "at", "fen"})


def _days(text: str, *, now: datetime) -> list[date]:
    local = now.astimezone(BEIJING)
    try:
        if _DAY.fullmatch(text):
            days = [date.fromisoformat(text)]
            ready = datetime.combine(days[0] + timedelta(days=1), datetime.min.time(), BEIJING) + timedelta(hours=9)
        elif _MONTH.fullmatch(text):
            first = date.fromisoformat(f"{text}-01")
            after = (first + timedelta(days=32)).replace(day=1)
            days = [first + timedelta(days=number) for number in range((after - first).days)]
            ready = datetime.combine(after + timedelta(days=2), datetime.min.time(), BEIJING)
        else:
            raise ValueError(text)
    except ValueError:
        raise Refusal("INVAILID_ARGUMENTS", "参数不合法") from None
    if local < ready:
        raise Refusal("BILL_NOT_EXIST", "账单不存在")
    if days[0] < local.date() - timedelta(days=6 * 366):
        raise Refusal("BILL_DATE_BEFORE_REGISTRATION", "账单日期早于注册日期")
    return days


BILLS: Final[Mapping[str, Bill]] = {
    "trade": Bill(BillKind.TRADE, _trades, bill_sheets.trade, RowKind.PAYMENT),
    "signcustomer": Bill(BillKind.FUNDS, _movements, bill_sheets.funds, RowKind.PAY_OUT),
    "merchant_act": Bill(BillKind.COUPON, _acts, bill_sheets.coupon, RowKind.REDEMPTION),
}
"""What can be asked for, by Alipay's name of it."""

ROUTES: Final = (Route("alipay.data.dataservice.bill.downloadurl.query", query),)
