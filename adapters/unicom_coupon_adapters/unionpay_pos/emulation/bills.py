"""The acquirer's file of one clearing day, in our own layout ``UCP`` (sheet 11.4). Coupon codes are masked in it.

It is offered over HTTP from 10:00 of the next day on. Its sums leave out what was reversed, as the host's totals of a
batch do, and it has no fees: what an acquirer takes for a coupon is contract, and this one takes nothing. A wrong state
is no defect that it can have: a row that was reversed by mistake is one that is missing.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.emulation.cards import MERCHANT
from unicom_coupon_adapters.unionpay_pos.emulation.redemptions import (
    CANCELLING,
    DECLINED,
    REVERSED,
    SUCCESS,
    TOMBSTONE,
    TRANSACTION,
)
from unicom_coupon_adapters.unionpay_pos.emulation.world import World, shown_of
from unicom_coupon_adapters.unionpay_pos.profile import clearing_date
from unicom_coupon_sdk.domain.bill import BillKind, RowKind, RowState
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox.bills import ANY_LINE, BillLine, MadeBill

COLUMNS: Final = (
    *("clearing_date", "merchant", "terminal", "local_date", "local_time", "batch", "trace", "rrn", "mti", "proc"),
    *("cond", "type", "coupon_masked", "unicom_txn", "amount_fen", "fee_fen", "net_fen", "resp", "status"),
    *("orig_batch", "orig_trace"),
)
READY: Final = time(10, 0)
_PATH: Final = re.compile(rf"/bills/UCP_{MERCHANT}_(\d{{8}})\.csv", re.ASCII)
_KEPT: Final = ("terminal", "batch", "trace", "mti", "proc", "type", "unicom_no", "response", "original")


def url_template(files_url: str) -> str:
    """Where the files are, with the places that a client fills in."""
    return f"{files_url}/bills/UCP_{{merchant}}_{{day}}.csv"


def download(world: World, path: str) -> HttpAnswer:
    """The file that ``path`` names; 404 while there is none."""
    found = _PATH.fullmatch(path)
    try:
        _, text = bill_of(world, day=found[1] if found else "")
    except ValueError:
        return HttpAnswer(404, ())
    return HttpAnswer(200, (("Content-Type", "text/csv; charset=utf-8"),), text.encode())


def bill_of(world: World, *, day: str) -> tuple[str, str]:
    """File name and text. Raises ``ValueError`` unless ``day`` is YYYYMMDD and its bill is made."""
    wanted = datetime.strptime(day, "%Y%m%d").replace(tzinfo=BEIJING).date()
    if world.now() < datetime.combine(wanted + timedelta(days=1), READY, tzinfo=BEIJING):
        raise ValueError("the bill of that date is not made yet")
    made = world.frame.make_bill(
        BillKind.COUPON,
        wanted,
        lines=lambda: _lines(world, wanted),
        invent=lambda line: _invented(world, line),
        total_of=RowKind.REDEMPTION,
    )
    return f"UCP_{MERCHANT}_{day}.csv", _text(made, wanted)


def _lines(world: World, day: date) -> Iterator[BillLine]:
    for _, one in world.store.all(TRANSACTION):
        at = datetime.fromisoformat(one["at"])
        if clearing_date(at) == day and one["state"] not in {DECLINED, TOMBSTONE}:
            is_undone = one["state"] in {REVERSED, CANCELLING}
            yield BillLine(
                kind=RowKind.REDEMPTION if one["type"] == "22" else RowKind.REVERSAL,
                number=one["reference"],
                at=at,
                amount_fen=one["amount"],
                state=RowState.UNDONE if is_undone else RowState.DONE,
                defects=frozenset() if is_undone else ANY_LINE,
                cells={
                    **{name: one.get(name, "") for name in _KEPT},
                    "code": shown_of(one)["code"],
                    "status": SUCCESS if is_undone else one["state"],
                },
            )


def _invented(world: World, line: BillLine) -> BillLine:
    number = world.store.next_number("invented")
    cells = {**line.cells, "unicom_no": f"CUX{number:019d}", "trace": f"{999_999 - number % 999_999:06d}"}
    return replace(line, number=world.reference(), cells=cells)


def _text(made: MadeBill, day: date) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in made.lines:
        row = _row(line, day)
        writer.writerow([row[name] for name in COLUMNS])
    standing = [line for line in made.lines if line.state is not RowState.UNDONE]
    debit = sum(line.amount_fen for line in standing if line.kind is RowKind.REDEMPTION) + made.total_off_fen
    credit = sum(line.amount_fen for line in standing if line.kind is RowKind.REVERSAL)
    digest = hashlib.sha256(text.getvalue().encode()).hexdigest()
    return f"{text.getvalue()}#TOTAL,{len(made.lines)},{debit},{credit},{digest}\n"


def _row(line: BillLine, day: date) -> dict[str, Any]:
    cells, local = line.cells, line.at.astimezone(BEIJING)
    _, _, batch, trace = (cells["original"] or "|||").split("|")
    return {
        "clearing_date": f"{day:%Y%m%d}",
        "merchant": MERCHANT,
        "terminal": cells["terminal"],
        "local_date": f"{local:%m%d}",
        "local_time": f"{local:%H%M%S}",
        "batch": cells["batch"],
        "trace": cells["trace"],
        "rrn": line.number,
        "mti": cells["mti"],
        "proc": cells["proc"],
        "cond": "63",
        "type": cells["type"],
        "coupon_masked": cells["code"],
        "unicom_txn": cells["unicom_no"],
        "amount_fen": line.amount_fen,
        "fee_fen": 0,
        "net_fen": line.amount_fen,
        "resp": cells["response"],
        "status": REVERSED if line.state is RowState.UNDONE else cells["status"],
        "orig_batch": batch,
        "orig_trace": trace,
    }
