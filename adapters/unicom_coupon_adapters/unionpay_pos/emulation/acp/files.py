"""The files of a clearing day: ``ZM``, ``ZME`` and a summary in a zip, deflated and in Base64 (sheet 11.3).

They are written from what happened here on that day, and are ready at ten the next morning. A day without any is 98.
Columns whose values the sheet does not know are blank; transaction codes S23 and S25 follow the POS kinds.
"""

from __future__ import annotations

import base64
import io
import zipfile
import zlib
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.emulation.acp import transactions
from unicom_coupon_adapters.unionpay_pos.emulation.acp.refusals import Refusal
from unicom_coupon_adapters.unionpay_pos.emulation.acp.world import BEIJING, MER_ID, Call, World

READY: Final = time(10)
FEE_BP: Final = 60
"""The merchant's fee in ten-thousandths: the rate of the sheet's sample bill."""

ADJUSTMENT: Final = "adjustment"
_INSTITUTION: Final = "00012900"
_CODES: Final = {"01": "S22", "31": "S23", "04": "S25"}
_ZM: Final = (
    *(3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2, 4, 32, 1, 21, 15, 1, 15, 32, 13),
    *(13, 8, 32, 13, 13, 12, 2, 1, 131),
)
_ZME: Final = (3, 11, 11, 6, 10, 19, 12, 4, 2, 2, 6, 10, 4, 12, 13, 13, 15, 15, 1, 12, 2, 135)
_STAMP: Final = (1980, 1, 1, 0, 0, 0)


def transfer(call: Call) -> Mapping[str, str]:
    """76/01: the zip of a clearing day (MMDD, the latest that has begun). Raises 98, and 10 for no day or kind."""
    if call.needed("fileType") != "00":
        raise Refusal("10", "报文格式错误[fileType]")
    settle_date = call.needed("settleDate")
    day = _day(call.world, settle_date)
    is_ready = call.world.local() >= datetime.combine(day + timedelta(days=1), READY, tzinfo=BEIJING)
    cleared = _cleared(call.world, day)
    adjusted = [one for _, one in call.store.all(ADJUSTMENT) if one["clearing"] == day.isoformat()]
    if not is_ready or not (cleared or adjusted):
        raise Refusal("98")
    content = zlib.compress(_archive(call.world, day, cleared, adjusted))
    return {
        "merId": MER_ID,
        "settleDate": settle_date,
        "fileType": "00",
        "txnTime": call.text("txnTime"),
        "fileName": f"{MER_ID}_{day:%Y%m%d}.zip",
        "fileContent": base64.b64encode(content).decode("ascii"),
        **transactions.outcome("00"),
    }


def adjust(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """A correction that the acquirer books for a payment today: ``order_id``, ``amount_fen`` (below 0: we pay)."""
    amount = wish.get("amount_fen")
    found = transactions.find(world, str(wish.get("order_id")))
    if found is None or found["state"] != transactions.DONE:
        raise ValueError("order_id must name a transaction that was done")
    if not isinstance(amount, int) or isinstance(amount, bool) or not amount:
        raise ValueError("amount_fen must be a whole number other than 0")
    day = world.clearing().isoformat()
    number = str(world.store.next_number(ADJUSTMENT))
    world.store.put(ADJUSTMENT, number, {"order_id": found["order_id"], "amount": amount, "clearing": day})
    return {"order_id": found["order_id"], "amount_fen": amount, "clearing": day}


def fee_of(amount: int) -> int:
    """The merchant's fee, half a fen rounded up."""
    return (amount * FEE_BP + 5_000) // 10_000


def _day(world: World, settle_date: str) -> date:
    """The latest day called ``settle_date`` that has begun."""
    today = world.clearing()
    for year in (today.year, today.year - 1):
        try:
            day = date(year, int(settle_date[:2]), int(settle_date[2:]))
        except ValueError:
            continue
        if len(settle_date) == 4 and day <= today:
            return day
    raise Refusal("10", "报文格式错误[settleDate]")


def _cleared(world: World, day: date) -> list[dict[str, Any]]:
    """What was done on ``day``, in the order in which it began."""
    standing = (transactions.find(world, number) for number, _ in world.store.all(transactions.KIND))
    wanted = (transactions.DONE, day.isoformat())
    return [one for one in standing if one is not None and (one["state"], one["clearing"]) == wanted]


def _archive(world: World, day: date, cleared: list[dict[str, Any]], adjusted: list[dict[str, Any]]) -> bytes:
    details = b"".join(_written(_ZM, _detail(world, one)) for one in cleared)
    corrections = b"".join(_written(_ZME, _correction(world, one)) for one in adjusted)
    paid = sum(one["amount"] for one in cleared if one["kind"] == "01")
    returned = sum(one["amount"] for one in cleared if one["kind"] != "01")
    summary = f"商户 {MER_ID} 清算日 {day:%Y%m%d} 笔数 {len(cleared)} 消费 {paid} 撤销及退货 {returned}\r\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        prefix = f"INN{day:%y%m%d}88"
        for name, content in (("ZM", details), ("ZME", corrections), ("ZMSUM", summary.encode("gbk"))):
            archive.writestr(zipfile.ZipInfo(f"{prefix}{name}_{MER_ID}", _STAMP), content)
    return packed.getvalue()


def _detail(world: World, one: Mapping[str, Any]) -> dict[int, str]:
    """The columns of a ``ZM`` record by their number in the sheet."""
    is_payment = one["kind"] == "01"
    gross, fee = transactions.settled(one), fee_of(one["amount"])
    original = transactions.find(world, one["original"]) if one["original"] else None
    coupon = one["coupon"]
    columns = {
        1: _CODES[one["kind"]],
        2: _INSTITUTION,
        3: _INSTITUTION,
        4: one["trace_no"],
        5: one["txn_time"][4:],
        6: "622155******0000",
        7: f"{one['amount']:012d}",
        8: "5411",
        9: "01",
        10: one["query_id"],
        12: one["order_id"][:32],
        13: "01",
        16: _sign(-fee if is_payment else fee),
        17: _sign(gross - fee if is_payment else fee - gross),
        18: "0001",
        20: one["kind"],
        21: one["sub_kind"],
        22: one["business"],
        23: "01",
        28: MER_ID,
        29: "0",
        34: one["terminal"][:8],
        36: _sign((coupon["offset"] if is_payment else -coupon["offset"]) if coupon else 0),
    }
    if original is not None:
        columns |= {14: original["trace_no"], 15: original["txn_time"][4:], 27: original["query_id"]}
    return columns


def _correction(world: World, one: Mapping[str, Any]) -> dict[int, str]:
    """The columns of a ``ZME`` record. Names behind the ninth are unconfirmed; 15 and 16 are of the width of sums."""
    original = transactions.find(world, one["order_id"])
    assert original is not None, "transactions are never forgotten"
    return {
        1: "E25" if one["amount"] < 0 else "E22",
        2: _INSTITUTION,
        3: _INSTITUTION,
        4: original["trace_no"],
        5: original["txn_time"][4:],
        6: "622155******0000",
        7: f"{abs(one['amount']):012d}",
        8: "5411",
        9: "01",
        11: original["trace_no"],
        12: original["txn_time"][4:],
        15: _sign(0),
        16: _sign(one["amount"]),
        17: MER_ID,
    }


def _written(widths: tuple[int, ...], columns: Mapping[int, str]) -> bytes:
    """A record: each column filled with blanks to its width in bytes of GBK, one blank between two, CR LF."""
    cells = [columns.get(number, "").encode("gbk").ljust(width) for number, width in enumerate(widths, start=1)]
    assert all(len(cell) == width for cell, width in zip(cells, widths, strict=True)), "a column is too long"
    return b" ".join(cells) + b"\r\n"


def _sign(fen: int) -> str:
    return f"{'C' if fen >= 0 else 'D'}{abs(fen):012d}"
