"""Both engines give the same files, byte for byte, and the same errors, over random days, forms and damage."""

import dataclasses
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.bill_days import DAY, FORMS, Row

from unicom_coupon_sdk.clearing.columnar import Columnar
from unicom_coupon_sdk.clearing.matching import Carried
from unicom_coupon_sdk.clearing.plain import Plain
from unicom_coupon_sdk.clearing.reconciliation import reconcile
from unicom_coupon_sdk.clearing.snapshot import write_listed, write_snapshot
from unicom_coupon_sdk.domain.bill import NoBill, RowKind, RowState, Total
from unicom_coupon_sdk.domain.reconciliation import Entry, ListedRow
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import CouponError

pytest.importorskip("duckdb")

NUMBERS = ["R0", "R1", "R2", "R3", "r*4|"]
PLATFORM_NOS = ["P0", "P1", "P2"]
AMOUNTS = st.sampled_from([0, 1, 100, 101, 10_000, -100, -101])
FEES = st.none() | st.sampled_from([0, 1, 60])
TIMES = st.integers(0, 86_399).map(lambda s: datetime(2026, 5, 20, tzinfo=BEIJING) + timedelta(seconds=s))
DAYS = st.integers(0, 3).map(lambda n: DAY - timedelta(days=n))
DAMAGE = [
    ("100", "1e2"), ("1.00", "1.005"), ("1.00", "1"), ("1.00", "+1.00"), ("1.00", ".5"), ("1.00", "01.00"), ("1.00", " 1.0 "),
    ("1.00", "1,00"), ("100", "0100"), ("100", "1.0"), ("C0", "00"), ("C0", "D0"), ("C0", "X0"), ("12:00", "12:61"), ("20", "30"),
    ("05", "5"), ("2026", "0000"), ("R1", "R\t1"), ("R1", '"R1"'), ("R1", '"R,1"'), ("R2", '"R2'), ("R2", "R\r2"), ("R3", "R\0003"), ("R3", "R\x1f3"),
    ("R3", "订单3"), ("P1", "`P1 "), ("P1", ""), ("S", "s"), (",", ",,"), (",", ";"), ("\t", ""), ("\n", "\r\n"), ("\r\n", "\n"),
    ("\n", "\n\n"), ("\n", ",\n"), ("\n", "\r\n\r\n"), ("喆", "\x80"), ("交易", " 交易"), ("交易", "交易\t\t"), ("S22", "S2"), ("SUCCESS", "`SUCCESS\t"), ("D0", "00"),
]  # fmt: skip


def rows(form):
    return st.builds(
        Row,
        kind=st.sampled_from([*form.kinds, RowKind.OTHER]),
        number=st.sampled_from([*NUMBERS, ""]),
        platform_no=st.sampled_from([*PLATFORM_NOS, ""]),
        amount_fen=AMOUNTS,
        fee_fen=FEES,
        net_fen=FEES,
        state=st.sampled_from(RowState),
        at=TIMES,
        settles_on=st.none() | st.just(DAY + timedelta(days=1)),
    )


def entries(form, *, days):
    return st.builds(
        Entry,
        kind=st.sampled_from([*form.kinds, RowKind.FEE]),
        number=st.sampled_from(NUMBERS),
        platform_no=st.none() | st.sampled_from(PLATFORM_NOS),
        amount_fen=AMOUNTS,
        fee_fen=FEES,
        state=st.sampled_from(RowState),
        day=days,
        operation_id=st.integers(0, 99).map("O{}".format),
        bill=st.none() | st.just(form.source.kind),
    )


def listed(form):
    return st.builds(
        ListedRow,
        bill=st.just(form.source.kind),
        kind=st.sampled_from(form.kinds),
        state=st.sampled_from(RowState),
        number=st.none() | st.sampled_from(NUMBERS),
        platform_no=st.none() | st.sampled_from(PLATFORM_NOS),
        amount_fen=AMOUNTS,
        day=st.integers(1, 3).map(lambda n: DAY - timedelta(days=n)),
        line=st.integers(1, 9),
        fee_fen=FEES,
        at=st.none() | TIMES,
    )


def damaged(content, damage):
    """``content`` with pieces replaced, each at its n-th place, as far as it has one."""
    for (old, new), nth in damage:
        for encoding in ("gbk", "utf-8"):
            pieces = content.split(old.encode(encoding))
            if len(pieces) > 1:
                at = 1 + nth % (len(pieces) - 1)
                put = new.encode("latin-1" if new == "\x80" else encoding)
                content = old.encode(encoding).join(pieces[:at]) + put + old.encode(encoding).join(pieces[at:])
                break
    return content


def outcome_of(engine, folder, ours, bills, carried):
    try:
        outcome = reconcile(ours, bills, carried, day=DAY, folder=folder, engine=engine)
    except CouponError as error:
        assert not list(folder.iterdir()), "a run that failed leaves nothing"
        return error.code, error.state()
    return {path.name: path.read_bytes() for path in outcome.folder.iterdir()}


def agree(form, folder, data):
    some = data.draw(st.lists(rows(form), max_size=12), label="rows")
    damage = data.draw(st.lists(st.tuples(st.sampled_from(DAMAGE), st.integers(0, 9)), max_size=3), label="damage")
    content = damaged(form.content(some), damage)
    if data.draw(st.booleans(), label="cut") and content.endswith(b"\n"):
        content = content[:-1]
    declared = data.draw(st.dictionaries(st.sampled_from(RowKind), st.builds(Total, rows=st.integers(0, 3), amount_fen=st.none() | AMOUNTS), max_size=2), label="declared")  # fmt: skip
    bill = form.bill(folder, some, content=content, declared=declared)
    if not some and data.draw(st.booleans(), label="no bill"):
        bill = NoBill(platform=bill.platform, kind=bill.kind, day=bill.day)
    write_snapshot(
        data.draw(st.lists(entries(form, days=st.just(DAY)), max_size=12), label="ours"), folder / "ours.csv"
    )
    write_snapshot(
        (
            dataclasses.replace(entry, bill=form.source.kind)
            for entry in data.draw(st.lists(entries(form, days=DAYS), max_size=4), label="carried entries")
        ),
        folder / "entries.csv",
    )
    write_listed(data.draw(st.lists(listed(form), max_size=4), label="carried rows"), folder / "rows.csv")
    carried = Carried(entries=folder / "entries.csv", rows=folder / "rows.csv")
    found = [
        outcome_of(engine, folder / name, folder / "ours.csv", [(bill, form.source)], carried)
        for name, engine in (("plain", Plain()), ("columnar", Columnar(threads=2)))
        if (folder / name).mkdir() is None
    ]
    assert found[0] == found[1]


FOLDERS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@settings(FOLDERS, max_examples=20)
@given(data=st.data())
def test_both_engines_give_the_same_files_and_errors(form, tmp_path_factory, data):
    agree(form, tmp_path_factory.mktemp("day"), data)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@settings(FOLDERS, max_examples=50)
@given(data=st.data())
def test_both_engines_give_the_same_files_and_errors_over_many_days(form, tmp_path_factory, data):
    agree(form, tmp_path_factory.mktemp("day"), data)
