"""Bills by day as files to download: what happened, written as the platform writes it (sheet §4, checklist 6 and 11).

The bill of a day is made when it is first asked for, after ten o'clock of the next morning, and is the same from then
on. Files are UTF-8 with a byte order mark, CRLF rows, and a back-tick before each data cell. The link works for thirty
seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation import bill_lines
from unicom_coupon_adapters.wechatpay.emulation.downloads import download_link
from unicom_coupon_adapters.wechatpay.emulation.fields import Choice, Text
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal, bad_field
from unicom_coupon_adapters.wechatpay.emulation.world import BEIJING, Call, Reply, Route
from unicom_coupon_sdk.domain.bill import BillKind, RowKind
from unicom_coupon_sdk.domain.money import yuan_text
from unicom_coupon_sdk.sandbox.bills import BillLine, MadeBill

LINK_LIFE: Final = timedelta(seconds=30)
READY_AT: Final = time(10)
_KEPT_DAYS: Final = 92

_TRADE_TOTALS: Final = "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
_FLOW_TOTALS: Final = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"


def trade_bill(call: Call) -> Reply:
    """Ask for the trade bill of ``bill_date``: hash and link."""
    day = _day(call)
    kind = call.query_value("bill_type", Choice(("ALL", "SUCCESS", "REFUND"))) or "ALL"
    if call.query_value("sub_mchid", Text(32)):
        raise Refusal("NO_AUTH", "子商户号与服务商无绑定关系", "The sub-merchant is not yours.")
    made = _made(call, BillKind.TRADE, day, total_of=RowKind.PAYMENT)
    wanted = {"ALL": (RowKind.PAYMENT, RowKind.REFUND), "SUCCESS": (RowKind.PAYMENT,), "REFUND": (RowKind.REFUND,)}
    lines = [line for line in made.lines if line.kind in wanted[kind]]
    paid = [line for line in lines if line.kind is RowKind.PAYMENT]
    refunded = [line for line in lines if line.kind is RowKind.REFUND]
    columns = [name for name in bill_lines.TRADE if kind != "SUCCESS" or name not in bill_lines.REFUND_COLUMNS]
    sums = {
        "总交易单数": f"{len(lines)}.0",
        "应结订单总金额": yuan_text(sum(line.cells["settled_fen"] for line in paid)),
        "退款总金额": yuan_text(_sum(refunded)),
        "充值券退款总金额": yuan_text(0),
        "手续费总金额": bill_lines.fee_text(sum(line.cells["fee_fen"] for line in lines)),
        "订单总金额": yuan_text(_sum(paid) + (made.total_off_fen if paid else 0)),
        "申请退款总金额": yuan_text(_sum(refunded)),
    }
    return _offered(call, _file(columns, map(bill_lines.trade_row, lines), totals=_ordered(_TRADE_TOTALS, sums)))


def fund_flow_bill(call: Call) -> Reply:
    """Ask for the fund-flow bill of ``bill_date``; only the basic account has movements."""
    day = _day(call)
    if (call.query_value("account_type", Choice(("BASIC", "OPERATION", "FEES"))) or "BASIC") != "BASIC":
        raise _nothing()
    made = _made(call, BillKind.FUNDS, day, total_of=RowKind.PAY_OUT)
    inward = [line for line in made.lines if line.cells["is_inward"]]
    outward = [line for line in made.lines if not line.cells["is_inward"]]
    sums = {
        "资金流水总笔数": f"{len(made.lines)}.0",
        "收入笔数": f"{len(inward)}.0",
        "收入金额": yuan_text(_sum(inward)),
        "支出笔数": f"{len(outward)}.0",
        "支出金额": yuan_text(_sum(outward) + made.total_off_fen),
    }
    rows = bill_lines.flow_rows(made.lines)
    return _offered(call, _file(bill_lines.FLOW, rows, totals=_ordered(_FLOW_TOTALS, sums)))


def share_bill(call: Call) -> Reply:
    """Ask for the profit-sharing bill of ``bill_date``. Its columns are unconfirmed, and so are totals: it has none."""
    day = _day(call)
    if call.query_value("sub_mchid", Text(32)):
        raise Refusal("NO_AUTH", "子商户号与服务商无绑定关系", "The sub-merchant is not yours.")
    made = _made(call, BillKind.SHARE, day)
    return _offered(call, _file(bill_lines.SHARE, map(bill_lines.share_row, made.lines)))


def _made(call: Call, bill: BillKind, day: date, *, total_of: RowKind | None = None) -> MadeBill:
    """The day's bill. Raises 400 ``NO_STATEMENT_EXIST`` for an empty one."""
    world = call.world
    made = world.frame.make_bill(
        bill,
        day,
        lines=lambda: bill_lines.MAKERS[bill](world, day),
        invent=lambda line: bill_lines.invented(world, line),
        total_of=total_of,
    )
    if not made.lines:
        raise _nothing()
    return made


def _nothing() -> Refusal:
    return Refusal("NO_STATEMENT_EXIST", "账单文件不存在", "There is no statement: nothing happened that day.")


def _day(call: Call) -> date:
    """The asked day, once its bill is ready. Raises 400 before ten o'clock of the next morning."""
    text = call.query_value("bill_date", Text(10, required=True, pattern=r"\d{4}-\d\d-\d\d")) or ""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise bad_field("bill_date", "日期不存在", "is no date", value=text, location="query") from None
    today = call.world.today()
    if day >= today or today - day > timedelta(days=_KEPT_DAYS):
        raise Refusal("INVALID_REQUEST", "账单日期不正确", "bill_date must be a past day of the last three months.")
    if call.world.now() < datetime.combine(day + timedelta(days=1), READY_AT, BEIJING):
        raise Refusal("STATEMENT_CREATING", "账单生成中，请稍后再试", "The statement is being made; ask after 10:00.")
    return day


def _offered(call: Call, content: str) -> dict[str, Any]:
    packed = call.query_value("tar_type", Choice(("GZIP",))) == "GZIP"
    link = download_link(call, content, life=LINK_LIFE, packed=packed)
    digest = hashlib.sha1(content.encode()).hexdigest()  # noqa: S324 - the platform's choice
    return {"hash_type": "SHA1", "hash_value": digest, "download_url": link}


def _file(columns: Sequence[str], rows: Iterable[Mapping[str, str]], *, totals: Sequence[str] = ()) -> str:
    lines = [",".join(columns), *(_ticked(row[name] for name in columns) for row in rows), *totals]
    return "\ufeff" + "".join(f"{line}\r\n" for line in lines)


def _ordered(names: str, sums: Mapping[str, str]) -> tuple[str, str]:
    return names, _ticked(sums[name] for name in names.split(","))


def _ticked(cells: Iterable[str]) -> str:
    return ",".join(f"`{cell}" for cell in cells)


def _sum(lines: Iterable[BillLine]) -> int:
    return sum(line.amount_fen for line in lines)


ROUTES: Final = (
    Route("GET", "/v3/bill/tradebill", trade_bill),
    Route("GET", "/v3/bill/fundflowbill", fund_flow_bill),
    Route("GET", "/v3/profitsharing/bills", share_bill),
)
