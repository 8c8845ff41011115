"""Bills: trade bill and fund-flow bill by day, as files to download (sheet §4, checklist 6 and 11).

A bill is made from the orders and refunds of the day, once that day's next morning has come to ten o'clock. Files are
UTF-8 with a byte order mark, CRLF rows, and a back-tick before each data cell. The link begins with the address the
client used and works for thirty seconds; the download is signed by the caller and answered unsigned.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.answers import unsigned
from unicom_coupon_adapters.wechatpay.emulation.fields import Choice, Text
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal, bad_field, not_there
from unicom_coupon_adapters.wechatpay.emulation.world import BEIJING, Call, Reply, Route, World, moment_of, moment_text

LINK_LIFE: Final = timedelta(seconds=30)
READY_AT: Final = time(10)
_KEPT_DAYS: Final = 92
FEE_PERCENT: Final = "0.60%"
_FEE_PER_MYRIAD: Final = 60

_TRADE_TEXT: Final = (
    "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,"
    "付款银行,货币种类,应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,"
    "退款类型,退款状态,商品名称,商户数据包,手续费,费率,订单金额,申请退款金额,费率备注"
)
_TRADE_TOTALS_TEXT: Final = (
    "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额,订单总金额,申请退款总金额"
)
_FLOW_TEXT: Final = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),"
    "资金变更提交申请人,备注,业务凭证号"
)
_FLOW_TOTALS_TEXT: Final = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
_REFUND_COLUMNS: Final = frozenset(
    ("微信退款单号", "商户退款单号", "退款金额", "充值券退款金额", "退款类型", "退款状态", "申请退款金额")
)
_TRADE_ALL: Final = _TRADE_TEXT.split(",")
_TRADE_TOTALS: Final = _TRADE_TOTALS_TEXT.split(",")
_FLOW: Final = _FLOW_TEXT.split(",")
_FLOW_TOTALS: Final = _FLOW_TOTALS_TEXT.split(",")


def trade_bill(call: Call) -> Reply:
    """Ask for the trade bill of ``bill_date``: hash and link."""
    day = _day(call)
    kind = call.query_value("bill_type", Choice(("ALL", "SUCCESS", "REFUND"))) or "ALL"
    if call.query_value("sub_mchid", Text(32)):
        raise Refusal("NO_AUTH", "子商户号与服务商无绑定关系", "The sub-merchant is not yours.")
    paid = [] if kind == "REFUND" else _trades_of(call.world, day)
    refunded = [] if kind == "SUCCESS" else _refunds_of(call.world, day)
    if not paid and not refunded:
        raise Refusal("NO_STATEMENT_EXIST", "账单文件不存在", "There is no statement: nothing happened that day.")
    columns = [name for name in _TRADE_ALL if kind != "SUCCESS" or name not in _REFUND_COLUMNS]
    rows = sorted(_trade_rows(paid, refunded), key=lambda row: str(row["交易时间"]))
    sums = {
        "总交易单数": f"{len(rows)}.0",
        "应结订单总金额": _yuan(sum(trade["total"] for trade in paid)),
        "退款总金额": _yuan(sum(one["amount"]["refund"] for one in refunded)),
        "充值券退款总金额": _yuan(0),
        "手续费总金额": _fee(sum(trade["total"] for trade in paid) - sum(one["amount"]["refund"] for one in refunded)),
        "订单总金额": _yuan(sum(trade["total"] for trade in paid)),
        "申请退款总金额": _yuan(sum(one["amount"]["refund"] for one in refunded)),
    }
    return _offered(call, _file(columns, rows, _TRADE_TOTALS, sums))


def fund_flow_bill(call: Call) -> Reply:
    """Ask for the fund-flow bill of ``bill_date``; only the basic account has movements."""
    day = _day(call)
    account = call.query_value("account_type", Choice(("BASIC", "OPERATION", "FEES"))) or "BASIC"
    moves = _moves(call.world, day) if account == "BASIC" else []
    if not moves:
        raise Refusal("NO_STATEMENT_EXIST", "账单文件不存在", "There is no statement: no funds moved that day.")
    rows = [row for row, _ in moves]
    inward = [amount for _, amount in moves if amount > 0]
    outward = [-amount for _, amount in moves if amount < 0]
    sums = {
        "资金流水总笔数": f"{len(rows)}.0",
        "收入笔数": f"{len(inward)}.0",
        "收入金额": _yuan(sum(inward)),
        "支出笔数": f"{len(outward)}.0",
        "支出金额": _yuan(sum(outward)),
    }
    return _offered(call, _file(_FLOW, rows, _FLOW_TOTALS, sums))


def download(call: Call) -> Reply:
    """The file behind a link, unsigned; gzip is of the bytes themselves, with no Content-Encoding."""
    kept = call.store.get("bill", call.query_value("token", Text(128, required=True)) or "")
    if kept is None or call.world.now() > moment_of(kept["until"]):
        raise not_there("下载链接已失效", "The link is over.")
    content = kept["content"].encode()
    if kept["gzip"]:
        return unsigned(call.world, 200, gzip.compress(content, mtime=0), content_type="application/octet-stream")
    return unsigned(call.world, 200, content, content_type="text/plain; charset=utf-8")


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
    zipped = call.query_value("tar_type", Choice(("GZIP",))) == "GZIP"
    token = call.world.hexadecimal(64)
    kept = {"content": content, "gzip": zipped, "until": moment_text(call.world.now() + LINK_LIFE)}
    call.store.put("bill", token, kept)
    for old, bill in call.store.all("bill"):
        if moment_of(bill["until"]) < call.world.now():
            call.store.delete("bill", old)
    link = f"{call.request.base_url}/v3/billdownload/file?token={token}" + ("&tartype=gzip" if zipped else "")
    digest = hashlib.sha1(content.encode()).hexdigest()  # noqa: S324 - the platform's choice
    return {"hash_type": "SHA1", "hash_value": digest, "download_url": link}


def _file(
    columns: Sequence[str], rows: Sequence[Mapping[str, str]], total_columns: Sequence[str], sums: Mapping[str, str]
) -> str:
    lines = [",".join(columns), *(",".join(f"`{row[name]}" for name in columns) for row in rows)]
    lines += [",".join(total_columns), ",".join(f"`{sums[name]}" for name in total_columns)]
    return "\ufeff" + "".join(f"{line}\r\n" for line in lines)


def _trade_rows(paid: Sequence[Mapping[str, Any]], refunded: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    rows = []
    for trade in paid:
        coupon = trade["total"] - trade["payer_total"]
        named = {"交易时间": _clock(trade["success_time"]), "交易状态": "SUCCESS", "商品名称": "联通电子券"}
        money = {"应结订单金额": _yuan(trade["total"] - _own(trade)), "代金券金额": _yuan(coupon)}
        fee = {"手续费": _fee(trade["total"]), "订单金额": _yuan(trade["total"])}
        rows.append(_blank() | _parties(trade) | named | money | fee)
    for one in refunded:
        refund = one["amount"]["refund"]
        named = {"交易时间": _clock(one["success_time"]), "交易状态": "REFUND", "商品名称": "联通电子券"}
        told = {
            "微信退款单号": one["refund_id"],
            "商户退款单号": one["out_refund_no"],
            "退款金额": _yuan(refund),
            "退款类型": "ORIGINAL",
            "退款状态": "SUCCESS",
            "申请退款金额": _yuan(refund),
            "手续费": _fee(-refund),
        }
        rows.append(_blank() | _parties(one["trade"]) | named | told)
    return rows


def _blank() -> dict[str, str]:
    zero = ("应结订单金额", "代金券金额", "退款金额", "充值券退款金额", "订单金额", "申请退款金额")
    told = dict.fromkeys(_TRADE_ALL, "") | dict.fromkeys(zero, "0.00")
    return told | {"微信退款单号": "0", "商户退款单号": "0", "特约商户号": "0", "费率": FEE_PERCENT, "货币种类": "CNY"}


def _parties(trade: Mapping[str, Any]) -> dict[str, str]:
    return {
        "公众账号ID": trade["appid"],
        "商户号": trade["mchid"],
        "微信订单号": trade["transaction_id"],
        "商户订单号": trade["out_trade_no"],
        "用户标识": trade["openid"],
        "交易类型": trade["trade_type"],
        "付款银行": trade["bank_type"],
    }


def _moves(world: World, day: date) -> list[tuple[dict[str, str], int]]:
    """Rows of the basic account with their signed amounts: payments in, their fees out, refunds out."""
    found: list[tuple[str, str, str, str, int]] = []
    for trade in _trades_of(world, day):
        at, number = _clock(trade["success_time"]), trade["transaction_id"]
        found.append((at, number, "交易", trade["out_trade_no"], trade["total"]))
        fee = _fee_fen(trade["total"])
        found += [(at, number, "扣除交易手续费", trade["out_trade_no"], -fee)] if fee else []
    for one in _refunds_of(world, day):
        found.append(
            (_clock(one["success_time"]), one["refund_id"], "退款", one["out_refund_no"], -one["amount"]["refund"])
        )
    found.sort(key=lambda move: move[0])
    balance, rows = 0, []
    for index, (at, number, kind, voucher, amount) in enumerate(found, 1):
        balance += amount
        row = dict(
            zip(
                _FLOW,
                (
                    at,
                    number,
                    f"{number}{index:04d}",
                    kind,
                    kind,
                    "收入" if amount > 0 else "支出",
                    _yuan(abs(amount)),
                    _yuan(balance),
                    "system",
                    "",
                    voucher,
                ),
                strict=True,
            )
        )
        rows.append((row, amount))
    return rows


def _trades_of(world: World, day: date) -> list[dict[str, Any]]:
    kept = [trade for _, trade in world.store.all("trade") if trade["transaction_id"] is not None]
    return [trade for trade in kept if trade["success_time"].startswith(day.isoformat())]


def _refunds_of(world: World, day: date) -> list[dict[str, Any]]:
    found = [one for _, one in world.store.all("refund") if one["day"] == day.isoformat()]
    return [one | {"trade": world.store.get("trade", one["out_trade_no"]) or {}} for one in found]


def _own(trade: Mapping[str, Any]) -> int:
    """The part of the order's discount that the merchant itself bears: it is not settled."""
    return sum(one["amount"] for one in trade["promotions"] if one["type"] == "DISCOUNT")


def _clock(text: str) -> str:
    return moment_of(text).astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def _yuan(fen: int) -> str:
    sign, fen = ("-" if fen < 0 else ""), abs(fen)
    return f"{sign}{fen // 100}.{fen % 100:02d}"


def _fee_fen(fen: int) -> int:
    """Half up, to the fen."""
    return (abs(fen) * _FEE_PER_MYRIAD + 5000) // 10000 * (1 if fen >= 0 else -1)


def _fee(fen: int) -> str:
    return _yuan(_fee_fen(fen)) + "000"


ROUTES: Final = (
    Route("GET", "/v3/bill/tradebill", trade_bill),
    Route("GET", "/v3/bill/fundflowbill", fund_flow_bill),
    Route("GET", "/v3/billdownload/file", download),
)
