"""Bills: a URL for a day's file, good for thirty seconds, and the ZIP behind it (sheet §4).

``trade`` lists the day's trades and refunds in the published columns; the other kinds are empty files with
``EMPTY_DATA_WITH_BILL_FILE``, since their columns are unconfirmed. A day is ready at 09:00 of the next, a month on the
third. Files and their names are GBK without a flag that says so.
"""

from __future__ import annotations

import io
import re
import struct
import zlib
from datetime import date, datetime, timedelta
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation.moments import BEIJING, moment_of, moment_text, yuan
from unicom_coupon_adapters.alipay.emulation.platform_keys import SELLER_ID
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_adapters.alipay.emulation.world import Call, Reply, Route, World
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Received

PATH: Final = "/bill/"
URL_LIFE: Final = timedelta(seconds=30)
_KINDS: Final = ("trade", "signcustomer", "merchant_act", "trade_zft_merchant", "zft_acc", "settlementMerge")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_MONTH: Final = re.compile(r"\d{4}-\d\d")
_COLUMNS: Final = (
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,"
    "订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,"
    "商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注"
)
_SUMMARY: Final = (
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,"
    "卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）"
)


def query(call: Call) -> Reply:
    """Where the file of a day or month is for the next thirty seconds."""
    fields, world = call.fields(), call.world
    kind = fields.needed("bill_type", longest=20)
    if kind not in _KINDS:
        raise Refusal("TYPE_NOT_SUPPORTED", "账单类型不支持")
    text = fields.needed("bill_date", longest=15)
    days = _days(text, now=world.now())
    rows = _rows(world, days) if kind == "trade" else []
    token = world.hexadecimal(40)
    world.store.put("bill", token, {"kind": kind, "date": text, "until": world.now().timestamp() + 30})
    told = {"bill_download_url": f"{call.base_url}{PATH}{token}"}
    return told | ({} if rows else {"bill_file_code": "EMPTY_DATA_WITH_BILL_FILE"})


def download(world: World, request: Received) -> HttpAnswer:
    """The ZIP behind a URL, once and in time; 403 otherwise."""
    token = request.path.rpartition("/")[2]
    kept = world.store.get("bill", token)
    if request.method != "GET" or kept is None or world.now().timestamp() > kept["until"]:
        return HttpAnswer(403, (("Content-Type", "text/plain"),), b"expired")
    world.store.delete("bill", token)
    days = _days(kept["date"], now=world.now())
    name = f"{SELLER_ID}0156_{kept['date'].replace('-', '')}"
    rows = _rows(world, days) if kept["kind"] == "trade" else []
    files = [
        (f"{name}_业务明细.csv", _detail(world, rows, days)),
        (f"{name}_业务明细(汇总).csv", _summary(world, rows, days)),
    ]
    shown = f'attachment; filename="{name}.csv.zip"'
    headers = (("Content-Type", "application/octet-stream"), ("Content-Disposition", shown))
    return HttpAnswer(200, headers, _zipped(files))


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


def _rows(world: World, days: list[date]) -> list[dict[str, Any]]:
    rows = []
    for day in days:
        for key, entry in world.store.all(f"book|{day:%Y%m%d}"):
            number, _, request_no = key.partition("|")
            trade = world.store.get("trade", number) or {}
            made = world.store.get("refund", key) if entry["kind"] == "refund" else None
            rows.append({"trade": trade, "refund": made, "request_no": request_no})
    return rows


def _amounts(row: dict[str, Any]) -> tuple[int, int, int]:
    """Order sum, what the merchant gets, and the merchant's own discount, in fen; a refund's are negative."""
    trade, made = row["trade"], row["refund"]
    if made is not None:
        return -made["amount"], -made["cash"], -(made["amount"] - made["cash"])
    return trade["total"], trade["payer"], trade["total"] - trade["payer"]


def _detail(world: World, rows: list[dict[str, Any]], days: list[date]) -> str:
    lines = [
        *_head("支付宝业务明细查询", days),
        "#-----------------------------------------业务明细列表----------------------------------------",
        _COLUMNS,
    ]
    for row in rows:
        trade, made = row["trade"], row["refund"]
        total, receipt, off = _amounts(row)
        names = "、".join(one["name"] for one in trade["vouchers"])
        done = made["at"] if made else trade["paid_at"]
        kind = "退款" if made else "交易"
        texts = [trade["trade_no"], trade["out_trade_no"], kind, trade["subject"], trade["created_at"], done]
        texts += [trade.get("store_id") or "", "", "", "", f"***({trade['user_id'][-4:]})"]
        sums = [yuan(total), yuan(receipt), "0.00", "0.00", "0.00", yuan(off), "0.00"]
        cells = [f"{text}\t" for text in texts] + sums + [f"{names}\t", "0.00", "0.00", f"{row['request_no']}\t"]
        lines.append(",".join([*cells, "0.00", "0.00", "\t"]))
    lines.append("#-----------------------------------------业务明细列表结束------------------------------------")
    for word, chosen in (
        ("交易合计", [row for row in rows if row["refund"] is None]),
        ("退款合计", [row for row in rows if row["refund"] is not None]),
    ):
        receipts, offs = (sum(_amounts(row)[place] for row in chosen) for place in (1, 2))
        lines.append(f"#{word}：{len(chosen)}笔，商家实收共{yuan(receipts)}元，商家优惠共{yuan(offs)}元")
    return "\n".join([*lines, _made(world)]) + "\n"


def _summary(world: World, rows: list[dict[str, Any]], days: list[date]) -> str:
    trades = sum(row["refund"] is None for row in rows)
    total, receipt, off = (sum(_amounts(row)[place] for row in rows) for place in range(3))
    sums = [yuan(total), yuan(receipt), "0.00", yuan(off), "0.00", "0.00", "0.00", yuan(receipt)]
    line = ",".join(["合计\t", "\t", str(trades), str(len(rows) - trades), *sums])
    return "\n".join([*_head("支付宝业务汇总查询", days), _SUMMARY, line, _made(world)]) + "\n"


def _head(title: str, days: list[date]) -> list[str]:
    first = f"{days[0]:%Y年%m月%d日} 00:00:00"
    last = f"{days[-1] + timedelta(days=1):%Y年%m月%d日} 00:00:00"
    return [f"#{title}", f"#账号：[{SELLER_ID}0156]", f"#起始日期：[{first}]   终止日期：[{last}]"]


def _made(world: World) -> str:
    at = moment_of(moment_text(world.now())).astimezone(BEIJING)
    return f"#导出时间：[{at:%Y年%m月%d日 %H:%M:%S}]"


def _zipped(files: list[tuple[str, str]]) -> bytes:
    """A ZIP whose member names are GBK bytes without the UTF-8 flag, which Python's own writer would set."""
    out, index = io.BytesIO(), io.BytesIO()
    for name, text in files:
        raw_name, raw = name.encode("gbk"), text.encode("gbk", "replace")
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = packer.compress(raw) + packer.flush()
        at = out.tell()
        common = struct.pack("<HHHHHIII", 20, 0, 8, 0, 0x5C21, zlib.crc32(raw), len(packed), len(raw))
        common += struct.pack("<HH", len(raw_name), 0)
        out.write(b"PK\x03\x04" + common + raw_name + packed)
        index.write(b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, at) + raw_name)
    listed = index.getvalue()
    end = struct.pack("<HHHHIIH", 0, 0, len(files), len(files), len(listed), out.tell(), 0)
    return out.getvalue() + listed + b"PK\x05\x06" + end


ROUTES: Final = (Route("alipay.data.dataservice.bill.downloadurl.query", query),)
