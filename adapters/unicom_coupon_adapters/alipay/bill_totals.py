"""What a bill says of itself: the totals behind its rows, and those of its second file (sheet §4.1).

Both are the platform's word, so they must agree. What they agree on is declared by kind of row, and whoever reads the
rows compares.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from unicom_coupon_adapters.alipay.bill_layouts import EXPENSE, FUNDS, INCOME, TYPE
from unicom_coupon_sdk.domain.bill import RowKind, Total
from unicom_coupon_sdk.domain.money import fen_of_yuan
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.platform import bill_files

LARGEST: Final = 4 * 1024 * 1024
"""Bytes of the file of sums: a row for each shop, of which nobody has forty thousand."""

_ALL: Final = "合计"
_COUNT: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_ROWS: Final = r"([0-9]{1,12})"
_SUM: Final = r"(-?[0-9]{1,10}(?:\.[0-9]{1,2})?)元"
_TRADES: Final = {
    RowKind.PAYMENT: re.compile(rf"#交易合计：{_ROWS}笔，商家实收共{_SUM}，商家优惠共{_SUM}"),
    RowKind.REFUND: re.compile(rf"#退款合计：{_ROWS}笔，商家实收(?:退款)?共{_SUM}，商家优惠(?:退款)?共{_SUM}"),
}
_FUNDS: Final = {
    EXPENSE: re.compile(rf"#支出合计：{_ROWS}笔，共{_SUM}"),
    INCOME: re.compile(rf"#收入合计：{_ROWS}笔，共{_SUM}"),
}
_FUNDS_COUNTS: Final = {EXPENSE: "支出笔数", INCOME: "收入笔数"}
_COUPONS: Final = {
    RowKind.REDEMPTION: re.compile(rf"#核销合计：{_ROWS}笔，优惠共{_SUM}"),
    RowKind.REVERSAL: re.compile(rf"#退回合计：{_ROWS}笔，优惠共{_SUM}"),
}


@dataclass(frozen=True, slots=True)
class Sums:
    """The file of sums: its rows by column, each with its first cell as ``label``, and the last of them for all."""

    rows: Sequence[tuple[str, Mapping[str, str]]]

    @property
    def whole(self) -> Mapping[str, str]:
        """The row that stands for all. Raises ``ValidationError`` ``bill.cut_short`` without one."""
        if not self.rows or not self.rows[-1][0].startswith(_ALL):
            _cut_short()
        return self.rows[-1][1]


def read(path: Path) -> Sums:
    """The file of sums at ``path``. Raises ``ValidationError`` (``bill.…``)."""
    if path.stat().st_size > LARGEST:
        bill_files.refuse("too_large", platform="alipay", field="bill", largest=LARGEST)
    try:
        lines = path.read_bytes().decode("gb18030").splitlines()
        told = csv.reader(line for line in lines if line.strip() and not line.startswith("#"))
        cells = [[cell.strip(" \t") for cell in row] for row in told]
    except (UnicodeDecodeError, csv.Error):
        bill_files.refuse("no_header", platform="alipay", field="bill")
    if not cells:
        bill_files.refuse("no_header", platform="alipay", field="bill")
    header = cells[0]
    return Sums([(row[0], dict(zip(header, row, strict=False))) for row in cells[1:]])


def of_trades(tail: Sequence[str], sums: Sums | None) -> dict[RowKind, Total]:
    """Payments and refunds: how many, and their 订单金额.

    The lines behind the rows state 商家实收 and 商家优惠 of each kind, the file of sums 订单金额 of both together. On a
    day without red packets or cards of the merchant's the former add up to the latter, and so to each kind's; on
    another day the kinds' sums are not stated.
    """
    assert sums is not None
    told = {kind: _stated(pattern, tail) for kind, pattern in _TRADES.items()}
    whole = sums.whole
    for kind, column in ((RowKind.PAYMENT, "交易订单总笔数"), (RowKind.REFUND, "退款订单总笔数")):
        _agree(told[kind][0], _count(whole, column), column=column)
    for place, column in ((1, "商家实收（元）"), (2, "商家优惠（元）")):
        _agree(sum(one[place] for one in told.values()), _fen(whole, column), column=column)
    is_all = _fen(whole, "订单金额（元）") == sum(receipt + off for _, receipt, off in told.values())
    return {
        kind: Total(rows, amount_fen=receipt + off if is_all else None) for kind, (rows, receipt, off) in told.items()
    }


def of_funds(tail: Sequence[str], sums: Sums | None) -> dict[RowKind, Total]:
    """Pay-outs, shares and fees, from the row of each type; a type is one column's or the other's, as in the rows."""
    assert sums is not None
    whole = sums.whole
    for column, pattern in _FUNDS.items():
        rows, amount = _stated(pattern, tail)
        _agree(rows, _count(whole, _FUNDS_COUNTS[column]), column=_FUNDS_COUNTS[column])
        _agree(amount, _fen(whole, column), column=column)
    found: dict[RowKind, Total] = {}
    for rule in FUNDS.rules:
        chosen = [row for label, row in sums.rows[:-1] if label in rule.when[TYPE]]
        rows = sum(_count(row, _FUNDS_COUNTS[rule.amount]) for row in chosen)
        amount = rule.sign * abs(sum(_fen(row, rule.amount) for row in chosen))
        known = found.get(rule.kind, Total(0, amount_fen=0))
        found[rule.kind] = Total(known.rows + rows, amount_fen=(known.amount_fen or 0) + amount)
    return found


def of_coupons(tail: Sequence[str], sums: Sums | None) -> dict[RowKind, Total]:
    """Redemptions and reversals, where the file states them: none of its form is confirmed."""
    _ = sums
    found = {}
    for kind, pattern in _COUPONS.items():
        match = next((match for line in tail if (match := pattern.match(line))), None)
        if match is not None:
            found[kind] = Total(int(match[1]), amount_fen=fen_of_yuan(match[2]))
    return found


def _stated(pattern: re.Pattern[str], tail: Sequence[str]) -> tuple[int, ...]:
    match = next((match for line in tail if (match := pattern.match(line))), None)
    if match is None:
        _cut_short()
    return int(match[1]), *(fen_of_yuan(text) for text in match.groups()[1:])


def _agree(one: int, other: int, *, column: str) -> None:
    if one != other:
        raise ValidationError("alipay.bill_totals", field=column, platform="alipay")


def _count(row: Mapping[str, str], column: str) -> int:
    text = _cell(row, column)
    if not _COUNT.fullmatch(text):
        raise ValidationError("alipay.bill_totals", field=column, platform="alipay")
    return int(text)


def _fen(row: Mapping[str, str], column: str) -> int:
    text = _cell(row, column) or "0"
    try:
        return fen_of_yuan(text)
    except ValidationError:
        raise ValidationError("alipay.bill_totals", field=column, platform="alipay") from None


def _cell(row: Mapping[str, str], column: str) -> str:
    if column not in row:
        raise ValidationError("alipay.bill_column", field=column, platform="alipay", layout="汇总")
    return row[column]


def _cut_short() -> NoReturn:
    bill_files.refuse("cut_short", platform="alipay", field="bill")
