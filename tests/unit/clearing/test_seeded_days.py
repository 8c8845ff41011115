"""A hundred seeded days of every form of bill, with defects of every class in them: exactly those are found."""

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.bill_days import BANK, DAY, FORMS, Row

from unicom_coupon_sdk.clearing.columnar import Columnar
from unicom_coupon_sdk.clearing.matching import SHARES, Carried
from unicom_coupon_sdk.clearing.outcome import every
from unicom_coupon_sdk.clearing.plain import Plain
from unicom_coupon_sdk.clearing.reconciliation import reconcile
from unicom_coupon_sdk.clearing.snapshot import write_snapshot
from unicom_coupon_sdk.domain.bill import RowState, Total
from unicom_coupon_sdk.domain.reconciliation import DiscrepancyClass, Entry

OF = DiscrepancyClass
TOMORROW = DAY + timedelta(days=1)
SEEDS = range(100)


class SeededDay:
    """What happened on a day, what the platform's bills of that day and the next say, and what is wrong in them."""

    def __init__(self, form, seed):
        self.form, self.rng = form, random.Random(f"{form.layout.name}{seed}")
        self.entries = [self._entry(at) for at in range(self.rng.randrange(40, 80))]
        self.rows = [self._row(entry) for entry in self.entries]
        self.rng.shuffle(self.rows)
        self.late: list[Row] = []
        self.truth: Counter = Counter()
        untouched = list(self.rows)
        self.rng.shuffle(untouched)
        for defect in (
            self.amount_differs, self.state_differs, self.date_differs, self.missing_here, self.missing_there, self.duplicate,
        ):  # fmt: skip
            for _ in range(self.rng.randrange(1, 4)):
                defect(untouched.pop())
        self.declared = self.sums(self.rows)
        self.total_differs()

    def _entry(self, at):
        kind = self.rng.choice(self.form.kinds)
        fen = self.rng.randrange(1, 10**6) * (-1 if kind is self.form.negative else 1)
        number = f"{self.rng.choice('ABC')}{at:05d}"
        platform_no = f"P{at:05d}" if self.rng.random() < 0.7 else None
        fee = self.rng.choice([None, fen // 100]) if self.form.has_fees else None
        return Entry(
            kind=kind, number=number, platform_no=platform_no, amount_fen=fen, fee_fen=fee, state=RowState.DONE, day=DAY,
            operation_id=f"O{at:05d}",
        )  # fmt: skip

    def _row(self, entry):
        number = "" if entry.platform_no and self.rng.random() < 0.1 else entry.number
        fee = self.rng.choice([None, entry.amount_fen // 100]) if self.form.has_fees else None
        return Row(
            kind=entry.kind,
            number=number,
            platform_no=entry.platform_no or "",
            amount_fen=entry.amount_fen,
            fee_fen=fee,
        )

    def amount_differs(self, row):
        self.rows[self.rows.index(row)] = replace(
            row, amount_fen=row.amount_fen + self.rng.choice([1, 17]) * (-1 if row.amount_fen < 0 else 1)
        )
        self.truth[OF.SHARING_DIFFERS if row.kind in SHARES else OF.AMOUNT_DIFFERS, self.ours(row)] += 1

    def state_differs(self, row):
        if self.form is BANK:
            state = self.rng.choice([RowState.UNDONE, RowState.OPEN, RowState.FAILED])
            self.rows[self.rows.index(row)] = replace(row, state=state)
            self.truth[OF.STATE_DIFFERS, self.ours(row)] += 1

    def date_differs(self, row):
        self.rows.remove(row)
        self.late.append(row)
        self.truth[OF.DATE_DIFFERS, self.ours(row)] += 1

    def missing_there(self, row):
        self.rows.remove(row)
        self.truth[OF.MISSING_THERE, self.ours(row)] += 1

    def missing_here(self, row):
        listed = sorted(self.form.source.lists)
        if listed:
            number = f"X{len(self.truth):05d}{self.rng.randrange(10**6)}"
            kind = self.rng.choice(listed)
            fen = -1 if kind is self.form.negative else 1
            made = replace(row, kind=kind, number=number, platform_no="", amount_fen=fen)
            self.rows.insert(self.rng.randrange(len(self.rows)), made)
            self.truth[OF.MISSING_HERE, number] += 1

    def duplicate(self, row):
        self.rows.insert(self.rng.randrange(len(self.rows)), row)
        self.truth[OF.DUPLICATE, self.ours(row)] += 1

    def total_differs(self):
        kind = self.rng.choice(self.form.kinds)
        total = self.declared.get(kind, Total(rows=0, amount_fen=0))
        wrong = self.rng.choice([replace(total, rows=total.rows + 1), replace(total, amount_fen=total.amount_fen - 1)])
        self.declared[kind] = wrong
        self.truth[OF.TOTAL_DIFFERS, None] += 1

    def ours(self, row):
        """Our number of what a row is about."""
        return row.number or next(one.number for one in self.entries if one.platform_no == row.platform_no)

    @staticmethod
    def sums(rows):
        found = {}
        for row in rows:
            total = found.get(row.kind, Total(rows=0, amount_fen=0))
            found[row.kind] = Total(rows=total.rows + 1, amount_fen=total.amount_fen + row.amount_fen)
        return found

    def found(self, folder, engine):
        """What two reconciliations say, less what the second one resolves."""
        write_snapshot(self.entries, folder / "today.csv")
        write_snapshot([], folder / "tomorrow.csv")
        bills = [
            self.form.bill(folder, self.rows, declared=self.declared),
            self.form.bill(folder, self.late, day=TOMORROW, declared=self.sums(self.late)),
        ]
        said, carried = {}, Carried()
        for name, day, bill in zip(("today", "tomorrow"), (DAY, TOMORROW), bills, strict=True):
            outcome = reconcile(
                folder / f"{name}.csv",
                [(bill, self.form.source)],
                carried,
                day=day,
                folder=folder / "runs",
                engine=engine,
            )
            carried = outcome.carried
            for one in every(outcome.discrepancies):
                said.pop(one.resolves, None)
                said[one.discrepancy_id] = (
                    one.found,
                    one.number or (one.ours.number if isinstance(one.ours, Entry) else None),
                )
        return Counter(said.values())


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_over_a_hundred_days_exactly_the_defects_are_found(form, tmp_path):
    classes = set()
    for seed in SEEDS:
        day = SeededDay(form, seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert day.found(folder, Plain()) == day.truth, f"seed {seed}"
        classes |= {found for found, _ in day.truth}
    everywhere = {OF.DATE_DIFFERS, OF.MISSING_THERE, OF.DUPLICATE, OF.TOTAL_DIFFERS}
    special = {
        "account": {OF.AMOUNT_DIFFERS, OF.SHARING_DIFFERS, OF.MISSING_HERE},
        "alipay": {OF.AMOUNT_DIFFERS, OF.MISSING_HERE},
        "wechat": {OF.AMOUNT_DIFFERS},
        "acp": {OF.AMOUNT_DIFFERS, OF.MISSING_HERE},
        "bank": {OF.AMOUNT_DIFFERS, OF.SHARING_DIFFERS, OF.STATE_DIFFERS, OF.MISSING_HERE},
    }
    assert classes == everywhere | special[next(name for name, one in FORMS.items() if one is form)]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_columnar_engine_finds_exactly_them_too(form, tmp_path):
    pytest.importorskip("duckdb")
    for seed in SEEDS[::20]:
        day = SeededDay(form, seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert day.found(folder, Columnar(threads=1)) == day.truth, f"seed {seed}"
