"""Bills in this project's layout (sheet §3.8): a zip of two CSV files, raw from T+1 10:30, cleared from T+1 16:30."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from unicom_coupon_adapters.bank.emulation import orders
from unicom_coupon_adapters.bank.emulation.coupons import check_who, day_of
from unicom_coupon_adapters.bank.emulation.keys import MER_ID
from unicom_coupon_adapters.bank.emulation.refusals import Refusal
from unicom_coupon_adapters.bank.emulation.world import BEIJING, Call, World, stamp
from unicom_coupon_sdk.crypto import sm3
from unicom_coupon_sdk.platform.wire import HttpAnswer

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


def statementurl(call: Call) -> Mapping[str, Any]:
    """Where the bill is. Raises ``BILL_NOT_READY`` before its time."""
    check_who(call)
    day = day_of(call.text("billDate", longest=8))
    kind = call.text("billType", longest=3, required=False) or "zip"
    stage = call.text("billStage", longest=8, required=False) or "CLEARED"
    if kind not in {"zip", "csv"} or stage not in READY:
        raise Refusal("UNDEFINED_PRAM")
    ready = datetime.combine(day + timedelta(days=1), READY[stage], tzinfo=BEIJING)
    if call.world.now() < ready:
        raise Refusal("BILL_NOT_READY")
    ticket = call.world.frame.random_bytes(16).hex()
    call.world.store.put("bill", ticket, {"day": day.isoformat(), "kind": kind, "stage": stage})
    return {"fileDownloadUrl": f"{call.base_url}{PATH}{ticket}"}


def download(world: World, ticket: str) -> HttpAnswer:
    """The file behind a ticket; 404 for one that was not given out."""
    told = world.store.get("bill", ticket)
    if told is None:
        return HttpAnswer(404, ())
    day = date.fromisoformat(told["day"])
    detail, summary = _files(world, day, cleared=told["stage"] == "CLEARED")
    if told["kind"] == "csv":
        return HttpAnswer(200, (("Content-Type", "text/csv;charset=UTF-8"),), detail)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (("DETAIL", detail), ("SUMMARY", summary)):
            archive.writestr(zipfile.ZipInfo(f"{name}_{told['stage']}.csv"), content)
    name = f'attachment; filename="{MER_ID}_{day:%Y%m%d}.zip"'
    return HttpAnswer(200, (("Content-Type", "application/zip"), ("Content-Disposition", name)), packed.getvalue())


def _files(world: World, day: date, *, cleared: bool) -> tuple[bytes, bytes]:
    settles = orders.settle_day(day)[0].strftime("%Y%m%d") if cleared else ""
    found = [order for _, order in world.store.all("order") if order["day"] == day.isoformat()]
    kept = [
        order
        for order in found
        if order["kind"] in {"REDEEM", "REVERSE"} and order["state"] in {"S", "R"} and order["bank_number"]
    ]
    rows = [
        _row(order, settles=settles, cleared=cleared) for order in sorted(kept, key=lambda order: order["bank_number"])
    ]
    detail = _csv(DETAIL, rows)
    amounts = {kind: [int(row["txnAmt"]) for row in rows if row["kind"] == kind] for kind in ("REDEEM", "REVERSE")}
    total = {
        "bizDate": day.strftime("%Y%m%d"),
        "settleDate": settles,
        "redeemCount": len(amounts["REDEEM"]),
        "redeemAmt": sum(amounts["REDEEM"]),
        "reverseCount": len(amounts["REVERSE"]),
        "reverseAmt": sum(amounts["REVERSE"]),
        "refundCount": 0,
        "refundAmt": 0,
        "feeAmt": 0 if cleared else "",
        "netAmt": sum(map(sum, amounts.values())) if cleared else "",
        "sm3OfDetail": sm3.digest(detail).hex(),
    }
    return detail, _csv(SUMMARY, [total])


def _row(order: Mapping[str, Any], *, settles: str, cleared: bool) -> dict[str, Any]:
    amount = order["amount"] if order["kind"] == "REDEEM" else -order["amount"]
    return {
        "bizDate": order["day"].replace("-", ""),
        "txnTime": stamp(datetime.fromisoformat(order["at"])),
        "kind": order["kind"],
        "merId": order["mer"],
        "storeId": order["store"],
        "userId": order["user"],
        "termId": order["term"],
        "orderId": order["order_id"],
        "cmbOrderId": order["bank_number"],
        "origOrderId": order.get("orig", ""),
        "couponCodeMask": f"{order['code'][:4]}***{order['code'][-4:]}",
        "couponBatch": order["batch"],
        "faceAmt": order["face"],
        "txnAmt": amount,
        "merchantShareAmt": 0,
        "issuerShareAmt": amount,
        "feeAmt": 0 if cleared else "",
        "netAmt": amount if cleared else "",
        "tradeState": order["state"],
        "settleDate": settles,
        "mchReserved": order["reserved"],
    }


def _csv(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
