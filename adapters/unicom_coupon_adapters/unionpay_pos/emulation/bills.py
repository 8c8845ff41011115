"""The acquirer's file of one clearing day, in our own layout ``UCP`` (sheet 11.4). Coupon codes are masked in it."""

from __future__ import annotations

import csv
import hashlib
import io
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.emulation.cards import MERCHANT
from unicom_coupon_adapters.unionpay_pos.emulation.redemptions import (
    CANCELLING,
    DECLINED,
    TOMBSTONE,
    TRANSACTION,
)
from unicom_coupon_adapters.unionpay_pos.emulation.world import World, shown_of

COLUMNS: Final = (
    *("clearing_date", "merchant", "terminal", "local_date", "local_time", "batch", "trace", "rrn", "mti", "proc"),
    *("cond", "type", "coupon_masked", "unicom_txn", "amount_fen", "fee_fen", "net_fen", "resp", "status"),
    *("orig_batch", "orig_trace"),
)
FEE_BP: Final = 60
"""The merchant's fee in ten-thousandths: the rate of the sheet's sample bill."""


def bill_of(world: World, *, day: str) -> tuple[str, str]:
    """File name and text. Raises ``ValueError`` unless ``day`` is YYYYMMDD."""
    if len(day) != 8 or not day.isdigit():
        raise ValueError("date must be YYYYMMDD")
    rows = [_row(one, day=day) for _, one in world.store.all(TRANSACTION) if _is_in(one, day=day)]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([row[name] for name in COLUMNS] for row in rows)
    debit = sum(row["amount_fen"] for row in rows if row["type"] == "22" and row["status"] != "REVERSED")
    credit = sum(row["amount_fen"] for row in rows if row["type"] in {"23", "25"} and row["status"] != "REVERSED")
    digest = hashlib.sha256(text.getvalue().encode()).hexdigest()
    return f"UCP_{MERCHANT}_{day}.csv", f"{text.getvalue()}#TOTAL,{len(rows)},{debit},{credit},{digest}\n"


def _is_in(one: dict[str, Any], *, day: str) -> bool:
    return one["clearing"] == day[4:] and one["state"] not in {DECLINED, TOMBSTONE}


def _row(one: dict[str, Any], *, day: str) -> dict[str, Any]:
    fee = (one["amount"] * FEE_BP + 5_000) // 10_000 if one["type"] == "22" else 0
    _, _, batch, trace = one.get("original", "|||").split("|")
    return {
        "clearing_date": day,
        "merchant": one["merchant"],
        "terminal": one["terminal"],
        "local_date": one["date"],
        "local_time": one["time"],
        "batch": one["batch"],
        "trace": one["trace"],
        "rrn": one["reference"],
        "mti": one["mti"],
        "proc": one["proc"],
        "cond": "63",
        "type": one["type"],
        "coupon_masked": shown_of(one)["code"],
        "unicom_txn": one.get("unicom_no", ""),
        "amount_fen": one["amount"],
        "fee_fen": fee,
        "net_fen": one["amount"] - fee,
        "resp": one["response"],
        "status": "REVERSED" if one["state"] == CANCELLING else one["state"],
        "orig_batch": batch,
        "orig_trace": trace,
    }
