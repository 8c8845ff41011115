"""Bills in this project's layout (sheet §3.8): a zip of two CSV files, raw from T+1 10:30, cleared from T+1 16:30.

Both stages are one bill. A refund of a settled coupon order would be a row too; the refund API takes paid orders only,
so there is none.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from unicom_coupon_adapters.bank.emulation import orders
from unicom_coupon_adapters.bank.emulation.coupons import check_who, day_of, masked
from unicom_coupon_adapters.bank.emulation.keys import MER_ID
from unicom_coupon_adapters.bank.emulation.refusals import Refusal
from unicom_coupon_adapters.bank.emulation.world import BEIJING, Call, World, stamp
from unicom_coupon_sdk.crypto import sm3
from unicom_coupon_sdk.domain.bill import BillKind, RowKind, RowState
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox.bills import ANY_LINE, BillDefect, BillLine, MadeBill

PATH: Final = "/polypay/v1.0/coupon/bill/"
READY: Final = {"RAW": time(10, 30), "CLEARED": time(16, 30)}
DETAIL: Final = (
    "bizDate", "txnTime", "kind", "merId", "storeId", "userId", "termId", "orderId", "cmbOrderId", "origOrderId",
    "couponCodeMask", "couponBatch", "faceAmt", "txnAmt", "merchantShareAmt", "issuerShareAmt", "feeAmt", "netAmt",
    "tradeState", "settleDate", "mchReserved",
)  # fmt: skip
SUMMARY: Final = (
    "bizDate", "settleDate", "redeemCount", "redeemAmt", "reverseCount", "reverseAmt", "refundCount", "refundAmt",
    "feeAmt", "netAmt", "sm3OfDetail",
)  # fmt: skip
_KINDS: Final = {"REDEEM": RowKind.REDEMPTION, "REVERSE": RowKind.REVERSAL}
_KEPT: Final = ("kind", "store", "user", "term", "bank_number", "orig", "code", "batch", "face", "state", "reserved")


def statementurl(call: Call) -> Mapping[str, Any]:
    """Where the bill is. Raises ``BILL_NOT_READY`` before its time, ``BILL_NOT_EXIST`` for a day without a row."""
    check_who(call)
    day = day_of(call.text("billDate", longest=8))
    kind = call.text("billType", longest=3, required=False) or "zip"
    stage = call.text("billStage", longest=8, required=False) or "CLEARED"
    if kind not in {"zip", "csv"} or stage not in READY:
        raise Refusal("UNDEFINED_PRAM")
    ready = datetime.combine(day + timedelta(days=1), READY[stage], tzinfo=BEIJING)
    if call.world.now() < ready:
        raise Refusal("BILL_NOT_READY")
    if call.text("merId") != MER_ID or not _made(call.world, day).lines:
        raise Refusal("BILL_NOT_EXIST")
    ticket = call.world.frame.random_bytes(16).hex()
    call.world.store.put("bill", ticket, {"day": day.isoformat(), "kind": kind, "stage": stage})
    return {"fileDownloadUrl": f"{call.base_url}{PATH}{ticket}"}


def download(world: World, ticket: str) -> HttpAnswer:
    """The file behind a ticket; 404 for one that was not given out."""
    told = world.store.get("bill", ticket)
    if told is None:
        return HttpAnswer(404, ())
    day = date.fromisoformat(told["day"])
    detail, summary = _files(_made(world, day), day, cleared=told["stage"] == "CLEARED")
    if told["kind"] == "csv":
        return HttpAnswer(200, (("Content-Type", "text/csv;charset=UTF-8"),), detail)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (("DETAIL", detail), ("SUMMARY", summary)):
            archive.writestr(zipfile.ZipInfo(f"{name}_{told['stage']}.csv"), content)
    name = f'attachment; filename="{MER_ID}_{day:%Y%m%d}.zip"'
    return HttpAnswer(200, (("Content-Type", "application/zip"), ("Content-Disposition", name)), packed.getvalue())


def _made(world: World, day: date) -> MadeBill:
    """The day's bill: the same for both stages, and whenever it is asked for."""
    return world.frame.make_bill(
        BillKind.COUPON,
        day,
        lines=lambda: _lines(world, day),
        invent=lambda line: _invented(world, line),
        total_of=RowKind.REDEMPTION,
    )


def _lines(world: World, day: date) -> Iterator[BillLine]:
    for _, order in world.store.all("order"):
        is_ours = order["day"] == day.isoformat() and order.get("mer") == MER_ID and order["kind"] in _KINDS
        if is_ours and order["state"] in {"S", "R"}:
            yield BillLine(
                kind=_KINDS[order["kind"]],
                number=order["order_id"],
                at=datetime.fromisoformat(order["at"]),
                amount_fen=order["amount"],
                wrong_state=RowState.FAILED,
                defects=ANY_LINE | {BillDefect.STATE_DIFFERS},
                cells={name: order.get(name, "") for name in _KEPT},
            )


def _invented(world: World, line: BillLine) -> BillLine:
    number = f"X{world.digits(25)}"
    return replace(line, number=number, cells={**line.cells, "bank_number": world.bank_number()})


def _files(made: MadeBill, day: date, *, cleared: bool) -> tuple[bytes, bytes]:
    settles = orders.settle_day(day)[0].strftime("%Y%m%d") if cleared else ""
    lines = sorted(made.lines, key=lambda line: line.cells["bank_number"])
    detail = _csv(DETAIL, [_row(line, day, settles=settles, cleared=cleared) for line in lines])
    amounts = {kind: [_signed(line) for line in lines if line.kind is kind] for kind in _KINDS.values()}
    redeemed, reversed_ = amounts[RowKind.REDEMPTION], amounts[RowKind.REVERSAL]
    total = {
        "bizDate": day.strftime("%Y%m%d"),
        "settleDate": settles,
        "redeemCount": len(redeemed),
        "redeemAmt": sum(redeemed) + made.total_off_fen,
        "reverseCount": len(reversed_),
        "reverseAmt": sum(reversed_),
        "refundCount": 0,
        "refundAmt": 0,
        "feeAmt": 0 if cleared else "",
        "netAmt": sum(redeemed) + sum(reversed_) if cleared else "",
        "sm3OfDetail": sm3.digest(detail).hex(),
    }
    return detail, _csv(SUMMARY, [total])


def _signed(line: BillLine) -> int:
    return line.amount_fen if line.kind is RowKind.REDEMPTION else -line.amount_fen


def _row(line: BillLine, day: date, *, settles: str, cleared: bool) -> dict[str, Any]:
    cells, amount = line.cells, _signed(line)
    return {
        "bizDate": day.strftime("%Y%m%d"),
        "txnTime": stamp(line.at),
        "kind": cells["kind"],
        "merId": MER_ID,
        "storeId": cells["store"],
        "userId": cells["user"],
        "termId": cells["term"],
        "orderId": line.number,
        "cmbOrderId": cells["bank_number"],
        "origOrderId": cells["orig"],
        "couponCodeMask": masked(cells["code"]),
        "couponBatch": cells["batch"],
        "faceAmt": cells["face"],
        "txnAmt": amount,
        "merchantShareAmt": 0,
        "issuerShareAmt": amount,
        "feeAmt": 0 if cleared else "",
        "netAmt": amount if cleared else "",
        "tradeState": "F" if line.state is RowState.FAILED else cells["state"],
        "settleDate": settles,
        "mchReserved": cells["reserved"],
    }


def _csv(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
