"""What is matched, what is said, what is carried on, and what a run leaves on disk. By both engines."""

import dataclasses
import json
import os
from datetime import date, datetime, timedelta

import pytest
from tests.bill_days import ACP, ALIPAY, BANK, DAY, Row

from unicom_coupon_sdk.clearing import reconciliation
from unicom_coupon_sdk.clearing.columnar import Columnar
from unicom_coupon_sdk.clearing.matching import Carried
from unicom_coupon_sdk.clearing.outcome import every, read_outcome
from unicom_coupon_sdk.clearing.plain import Plain
from unicom_coupon_sdk.clearing.reconciliation import inputs_digest, reconcile
from unicom_coupon_sdk.clearing.snapshot import read_listed, read_snapshot, write_snapshot
from unicom_coupon_sdk.domain.bill import BillKind, NoBill, RowKind, RowState, Total
from unicom_coupon_sdk.domain.reconciliation import Action, Cause, DiscrepancyClass, Entry, MatchedBy
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import ConfigurationError, ValidationError

OF = DiscrepancyClass
R, P = RowKind.REDEMPTION, RowKind.PAYMENT


def engines():
    yield pytest.param(Plain(), id="plain")
    yield pytest.param(Columnar(threads=1), id="columnar")


@pytest.fixture(params=engines())
def engine(request):
    if isinstance(request.param, Columnar):
        pytest.importorskip("duckdb")
    return request.param


@pytest.fixture
def run(engine, tmp_path):
    """Reconcile entries against rows of one form, a day after another."""

    def run(entries, rows, *, form=ACP, day=DAY, carried=None, bill=None, **more):
        write_snapshot(entries, tmp_path / f"ours.{day}.csv")
        bill = bill or form.bill(tmp_path, rows, day=day, **more)
        return reconcile(
            tmp_path / f"ours.{day}.csv",
            [(bill, form.source)],
            carried or Carried(),
            day=day,
            folder=tmp_path / "runs",
            engine=engine,
        )

    return run


def entry(number, *, kind=R, amount_fen=100, day=DAY, state=RowState.DONE, **more):
    told = {"operation_id": f"O{number}"} | more
    return Entry(kind=kind, number=number, amount_fen=amount_fen, state=state, day=day, **told)


def row(number, *, kind=R, amount_fen=100, **more):
    return Row(kind=kind, number=number, amount_fen=amount_fen, **more)


def said(outcome):
    return [(one.found, one.number, one.cause, one.action) for one in every(outcome.discrepancies)]


def test_what_agrees_is_a_pair_with_the_bills_word_on_fee_and_settlement(run):
    share = entry("S1", kind=RowKind.SHARE, amount_fen=100)
    listed = row("S1", kind=RowKind.SHARE, fee_fen=1, net_fen=99, settles_on=date(2026, 5, 21))
    outcome = run([share], [listed], form=BANK)
    (pair,) = every(outcome.pairs)
    assert (pair.operation_id, pair.bill, pair.kind, pair.state) == (
        "OS1",
        BillKind.SHARE,
        RowKind.SHARE,
        RowState.DONE,
    )
    assert (pair.fee_fen, pair.net_fen, pair.settles_on) == (1, 99, date(2026, 5, 21))
    assert pair.matched_by is MatchedBy.NUMBER
    assert outcome.is_clean
    assert outcome.rows == {BillKind.SHARE: 1}


def test_it_says_by_what_each_was_matched(run):
    outcome = run([entry("R1"), entry("R2", platform_no="P2")], [row("R1"), row("X2", platform_no="P2")])
    assert [pair.matched_by for pair in every(outcome.pairs)] == [MatchedBy.NUMBER, MatchedBy.PLATFORM_NO]
    outcome = run([entry("T1", kind=P)], [row("T1", kind=P)], form=ALIPAY)
    assert [pair.matched_by for pair in every(outcome.pairs)] == [MatchedBy.TRADE_BILL]


@pytest.mark.parametrize(
    ("ours", "theirs", "fees", "cause"),
    [
        (100, 101, (None, None), Cause.ROUNDING),
        (100, -100, (None, None), Cause.SIGN),
        (100, 10_000, (None, None), Cause.UNIT),
        (10_000, 100, (None, None), Cause.UNIT),
        (100, 94, (6, None), Cause.NET_OF_FEE),
        (100, 94, (None, 6), Cause.NET_OF_FEE),
        (100, 100, (6, 7), Cause.FEE_TERMS),
        (100, 50, (None, None), Cause.OTHER_AMOUNT),
    ],
)
def test_another_amount_or_fee_is_told_with_a_guess(run, ours, theirs, fees, cause):
    outcome = run([entry("R1", amount_fen=ours, fee_fen=fees[0])], [row("R1", amount_fen=theirs, fee_fen=fees[1])])
    assert [one[:3] for one in said(outcome)] == [(OF.AMOUNT_DIFFERS, "R1", cause)]
    assert not list(every(outcome.pairs))
    (one,) = every(outcome.discrepancies)
    assert (one.ours.amount_fen, one.theirs.amount_fen, one.operation_id) == (ours, theirs, "OR1")


def test_a_fee_that_one_side_does_not_state_is_not_compared(run):
    assert run([entry("R1", fee_fen=6)], [row("R1")]).is_clean


def test_another_amount_of_a_share_has_its_own_class(run):
    shares = [entry("S1", kind=RowKind.SHARE), entry("S2", kind=RowKind.SHARE_RETURN)]
    rows = [row("S1", kind=RowKind.SHARE, amount_fen=90), row("S2", kind=RowKind.SHARE_RETURN, amount_fen=101)]
    assert said(run(shares, rows, form=BANK)) == [
        (OF.SHARING_DIFFERS, "S1", Cause.OTHER_RULE, Action.COMPARE_RULE),
        (OF.SHARING_DIFFERS, "S2", Cause.ROUNDING, Action.COMPARE_ORDER),
    ]


@pytest.mark.parametrize(
    ("ours", "theirs", "cause", "action"),
    [
        (RowState.OPEN, RowState.DONE, Cause.OPEN_HERE, Action.RECOVER),
        (RowState.DONE, RowState.OPEN, Cause.OPEN_THERE, Action.WAIT),
        (RowState.DONE, RowState.UNDONE, Cause.TAKEN_BACK_THERE, Action.REVERSE_HERE),
        (RowState.UNDONE, RowState.DONE, Cause.NOT_TAKEN_BACK_THERE, Action.REVERSE_THERE),
        (RowState.DONE, RowState.FAILED, Cause.REFUSED_THERE, Action.ASK_PLATFORM),
        (RowState.FAILED, RowState.DONE, Cause.DONE_THERE, Action.CHECK_LEDGER),
    ],
)
def test_another_state_is_told_with_what_to_do(run, ours, theirs, cause, action):
    shares = [entry("S1", kind=RowKind.SHARE, state=ours)]
    assert said(run(shares, [row("S1", kind=RowKind.SHARE, state=theirs)], form=BANK)) == [
        (OF.STATE_DIFFERS, "S1", cause, action)
    ]


@pytest.mark.parametrize("ours", RowState)
@pytest.mark.parametrize("theirs", RowState)
def test_every_two_states_have_their_cause(run, ours, theirs):
    outcome = run(
        [entry("S1", kind=RowKind.SHARE, state=ours)], [row("S1", kind=RowKind.SHARE, state=theirs)], form=BANK
    )
    assert [one.found for one in every(outcome.discrepancies)] == ([] if ours is theirs else [OF.STATE_DIFFERS])


def test_what_the_bill_lacks_is_missing_there_and_may_come_tomorrow(run):
    assert said(run([entry("R1")], [])) == [(OF.MISSING_THERE, "R1", Cause.NEXT_DAY, Action.WAIT)]


def test_an_open_operation_that_the_bill_lacks_is_for_recover(run):
    assert said(run([entry("R1", state=RowState.OPEN)], [])) == [
        (OF.MISSING_THERE, "R1", Cause.OPEN_HERE, Action.RECOVER)
    ]


def test_a_failed_operation_is_expected_nowhere(run):
    outcome = run([entry("R1", state=RowState.FAILED)], [])
    assert outcome.is_clean
    assert not outcome.tallies


def test_what_the_ledger_lacks_is_missing_here(run):
    midnight = datetime(2026, 5, 20, 23, 30, tzinfo=BEIJING)
    assert said(run([], [row("R1"), row("R2", at=midnight)])) == [
        (OF.MISSING_HERE, "R1", Cause.NOT_FROM_HERE, Action.FIND_ORIGIN),
        (OF.MISSING_HERE, "R2", Cause.NEAR_MIDNIGHT, Action.WAIT),
    ]


def test_rows_of_other_business_in_a_trade_bill_are_never_missing_here(run):
    outcome = run([], [row("T1", kind=P), row("T1", kind=P), row("T2", kind=RowKind.REFUND)], form=ALIPAY)
    assert [one[:2] for one in said(outcome)] == [(OF.MISSING_HERE, "T2")]
    assert outcome.rows == {BillKind.TRADE: 3}


def test_a_row_that_stands_twice_is_a_duplicate_once_with_our_entry_beside_it(run):
    outcome = run(
        [entry("R1")], [row("R1", platform_no="P1"), row("R1", platform_no="P1"), row("R1", platform_no="P9")]
    )
    assert [one[:2] for one in said(outcome)] == [(OF.DUPLICATE, "R1")] * 2
    found = list(every(outcome.discrepancies))
    assert [one.theirs.line for one in found] == [2, 3]
    assert {one.operation_id for one in found} == {"OR1"}
    assert len({one.discrepancy_id for one in found}) == 2
    assert len(list(every(outcome.pairs))) == 1


def test_a_row_without_a_number_that_repeats_one_of_ours_is_a_duplicate(run):
    outcome = run([entry("R1", platform_no="P1")], [row("R1", platform_no="P1"), row("", platform_no="P1")])
    assert [one[:2] for one in said(outcome)] == [(OF.DUPLICATE, "R1")]


def test_an_unknown_row_that_stands_twice_is_missing_here_once(run):
    assert [one[:2] for one in said(run([], [row("R1"), row("R1")]))] == [(OF.MISSING_HERE, "R1"), (OF.DUPLICATE, "R1")]


def test_an_entry_that_stands_twice_in_the_ledger_is_a_duplicate(run):
    outcome = run([entry("R1"), entry("R1", operation_id="O2")], [row("R1")])
    assert said(outcome) == [(OF.DUPLICATE, "R1", Cause.ENTRY_TWICE, Action.CHECK_LEDGER)]


def test_rows_of_one_share_find_each_its_receiver(run):
    parts = [("P1", 10), ("P2", 20), ("P3", 30)]
    shares = [entry("S1", kind=RowKind.SHARE, amount_fen=fen, platform_no=no, operation_id=no) for no, fen in parts]
    rows = [row("S1", kind=RowKind.SHARE, amount_fen=fen, platform_no=no) for no, fen in reversed(parts)]
    assert run(shares, rows, form=BANK).is_clean
    outcome = run(shares, [rows[0], rows[2]], form=BANK)
    assert [(one.found, one.operation_id) for one in every(outcome.discrepancies)] == [(OF.MISSING_THERE, "P2")]


def test_receivers_whose_platform_number_is_unknown_are_told_apart_by_amount(run):
    shares = [entry("S1", kind=RowKind.SHARE, amount_fen=fen, operation_id=f"O{fen}") for fen in (10, 20)]
    outcome = run(shares, [row("S1", kind=RowKind.SHARE, amount_fen=20, platform_no="P2")], form=BANK)
    assert [(one.found, one.operation_id) for one in every(outcome.discrepancies)] == [(OF.MISSING_THERE, "O10")]


@pytest.mark.parametrize(("rows", "cause"), [(2, Cause.ROWS_ADDED), (4, Cause.ROWS_LOST), (3, Cause.SUMS_DIFFER)])
def test_a_summary_that_the_rows_do_not_bear_out_is_told(run, rows, cause):
    declared = {R: Total(rows=rows, amount_fen=999)}
    numbers = ["R1", "R2", "R3"]
    outcome = run(map(entry, numbers), list(map(row, numbers)), declared=declared)
    assert said(outcome) == [(OF.TOTAL_DIFFERS, None, cause, Action.FETCH_AGAIN)]
    (one,) = every(outcome.discrepancies)
    assert (one.ours, one.theirs) == (Total(rows=3, amount_fen=300, fee_fen=0), declared[R])


def test_a_bill_that_does_not_exist_lacks_everything(run):
    bill = NoBill(platform="alipay", kind=BillKind.COUPON, day=DAY)
    assert [one[:2] for one in said(run([entry("R1")], [], bill=bill))] == [(OF.MISSING_THERE, "R1")]


def test_entries_that_no_bill_lists_are_named_to_be_asked_about(run):
    unlisted = [entry("C1", kind=RowKind.REVERSAL, operation_id="O1"), entry("R1", bill=BillKind.FUNDS)]
    outcome = run([entry("T1", kind=P), *unlisted], [row("T1", kind=P)], form=ALIPAY)
    assert outcome.is_clean
    assert outcome.unlisted_count == 2
    assert list(every(outcome.unlisted)) == unlisted


def test_what_was_missing_there_is_found_in_the_next_bill(run):
    first = run([entry("R1"), entry("R2")], [row("R1")])
    (open_,) = every(first.discrepancies)
    tomorrow = DAY + timedelta(days=1)
    second = run([entry("R3", day=tomorrow)], [row("R3"), row("R2")], day=tomorrow, carried=first.carried)
    (met,) = every(second.discrepancies)
    assert (met.found, met.number, met.cause, met.action) == (OF.DATE_DIFFERS, "R2", Cause.MET, Action.NONE)
    assert (met.resolves, met.open_days) == (open_.discrepancy_id, 1)
    assert second.is_clean
    assert [pair.operation_id for pair in every(second.pairs)] == ["OR3", "OR2"]
    assert list(read_snapshot(second.carried.entries)) == []


def test_what_was_missing_here_is_found_when_the_ledger_catches_up(run):
    first = run([], [row("R1")])
    (open_,) = every(first.discrepancies)
    tomorrow = DAY + timedelta(days=1)
    second = run([entry("R1", day=tomorrow)], [], day=tomorrow, carried=first.carried)
    (met,) = every(second.discrepancies)
    assert (met.found, met.resolves) == (OF.DATE_DIFFERS, open_.discrepancy_id)
    assert (met.theirs.day, met.theirs.line) == (DAY, 1)
    assert list(read_listed(second.carried.rows)) == []


def test_what_is_not_found_is_carried_on_under_the_same_id_and_grows_old(run):
    outcome = run([entry("R1"), entry("R2", state=RowState.OPEN)], [row("X1")])
    ids = {one.discrepancy_id for one in every(outcome.discrepancies)}
    for days in (1, 2, 3):
        outcome = run([], [], day=DAY + timedelta(days=days), carried=outcome.carried)
        found = list(every(outcome.discrepancies))
        assert {one.discrepancy_id for one in found} == ids
        assert {one.open_days for one in found} == {days}
        assert {one.cause for one in found} == {Cause.NEVER_ARRIVED, Cause.OPEN_HERE, Cause.NOT_FROM_HERE}


def test_what_is_open_in_a_bill_that_is_not_at_hand_today_is_not_forgotten(run):
    first = run([entry("R1")], [row("X1")])
    tomorrow = DAY + timedelta(days=1)
    second = run([], [], form=BANK, day=tomorrow, carried=first.carried)
    assert second.is_clean
    assert [one.number for one in read_snapshot(second.carried.entries)] == ["R1"]
    assert [one.number for one in read_listed(second.carried.rows)] == ["X1"]
    third = run([], [row("R1")], day=tomorrow + timedelta(days=1), carried=second.carried)
    assert [one[:2] for one in said(third)] == [(OF.MISSING_HERE, "X1"), (OF.DATE_DIFFERS, "R1")][::-1]


def test_several_bills_of_a_day_are_compared_each_by_itself(engine, tmp_path):
    write_snapshot(
        [entry("R1"), entry("S1", kind=RowKind.SHARE), entry("S2", kind=RowKind.SHARE)], tmp_path / "ours.csv"
    )
    bills = [
        (ACP.bill(tmp_path, [row("R1")]), ACP.source),
        (BANK.bill(tmp_path, [row("S1", kind=RowKind.SHARE)]), BANK.source),
    ]
    outcome = reconcile(tmp_path / "ours.csv", bills, Carried(), day=DAY, folder=tmp_path / "runs", engine=engine)
    assert [(pair.bill, pair.operation_id) for pair in every(outcome.pairs)] == [
        (BillKind.COUPON, "OR1"),
        (BillKind.SHARE, "OS1"),
    ]
    assert [(one.bill, one.number) for one in every(outcome.discrepancies)] == [(BillKind.SHARE, "S2")]
    assert outcome.rows == {BillKind.COUPON: 1, BillKind.SHARE: 1}


def test_lists_are_read_in_pages_from_where_one_stopped(run):
    numbers = [f"R{at:03d}" for at in range(25)]
    outcome = run([entry(number) for number in numbers], [row(number) for number in numbers[:12]])
    page = outcome.pairs(limit=5)
    assert [pair.operation_id for pair in page.items] == [f"O{number}" for number in numbers[:5]]
    assert [pair.operation_id for pair in outcome.pairs(page.next, limit=7).items] == [f"O{n}" for n in numbers[5:12]]
    assert outcome.pairs(page.next, limit=7).next is None
    assert len(list(every(outcome.discrepancies))) == 13


def test_a_run_that_has_ended_is_not_done_again(run, monkeypatch):
    first = run([entry("R1")], [row("R1")])
    monkeypatch.setattr(Plain, "session", None)
    monkeypatch.setattr(Columnar, "session", None)
    assert run([entry("R1")], [row("R1")]) == first


def test_other_inputs_are_another_run_beside_the_first(run):
    first = run([entry("R1")], [row("R1")])
    second = run([entry("R1")], [row("R1", amount_fen=99)])
    assert first.folder != second.folder
    assert first.is_clean
    assert read_outcome(first.folder) == first
    assert not second.is_clean


def test_another_run_that_is_at_work_on_the_same_is_left_alone(engine, tmp_path):
    write_snapshot([entry("R1")], tmp_path / "ours.csv")
    bills = [(ACP.bill(tmp_path, [row("R1")]), ACP.source)]
    name = inputs_digest(tmp_path / "ours.csv", bills, Carried(), day=DAY)[:32]
    theirs = tmp_path / "runs" / f"{name}.part-other"
    theirs.mkdir(parents=True)
    (theirs / "pairs.csv").write_text("half")
    reconcile(tmp_path / "ours.csv", bills, Carried(), day=DAY, folder=tmp_path / "runs", engine=engine)
    assert (theirs / "pairs.csv").read_text() == "half"


def test_a_run_that_was_killed_leaves_nothing_that_is_taken_for_a_run(engine, tmp_path, monkeypatch):
    write_snapshot([entry("R1")], tmp_path / "ours.csv")
    bills = [(ACP.bill(tmp_path, [row("R1")]), ACP.source)]

    def killed(*_args, **_more):
        raise KeyboardInterrupt

    name = inputs_digest(tmp_path / "ours.csv", bills, Carried(), day=DAY)[:32]
    stale = tmp_path / "runs" / f"{name}.part-killed"
    stale.mkdir(parents=True)
    (stale / "pairs.csv").write_text("half")
    for left in (stale / "pairs.csv", stale):
        os.utime(left, (0, 0))
    with monkeypatch.context() as patch:
        patch.setattr(reconciliation, "summary_text", killed)
        with pytest.raises(KeyboardInterrupt):
            reconcile(tmp_path / "ours.csv", bills, Carried(), day=DAY, folder=tmp_path / "runs", engine=engine)
    assert list((tmp_path / "runs").iterdir()) == []
    outcome = reconcile(tmp_path / "ours.csv", bills, Carried(), day=DAY, folder=tmp_path / "runs", engine=engine)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [name]
    assert sorted(path.name for path in outcome.folder.iterdir()) == [
        "carried_entries.csv", "carried_rows.csv", "discrepancies.jsonl", "outcome.json", "pairs.csv", "unlisted.csv",
    ]  # fmt: skip


def test_the_digest_knows_every_input(tmp_path):
    write_snapshot([entry("R1")], tmp_path / "ours.csv")
    write_snapshot([], tmp_path / "other.csv")
    bill = ACP.bill(tmp_path, [row("R1")])

    def digest(ours="ours.csv", bill=bill, source=ACP.source, carried=Carried(), day=DAY):  # noqa: B008
        return inputs_digest(tmp_path / ours, [(bill, source)], carried, day=day)

    layout = dataclasses.replace(ACP.layout, encoding="gb18030")
    different = [
        digest(ours="other.csv"),
        digest(bill=dataclasses.replace(bill, sha256="0" * 64)),
        digest(bill=dataclasses.replace(bill, declared={R: Total(rows=1)})),
        digest(bill=NoBill(platform="alipay", kind=BillKind.COUPON, day=DAY)),
        digest(source=dataclasses.replace(ACP.source, layout=layout)),
        digest(source=dataclasses.replace(ACP.source, lists=frozenset())),
        digest(carried=Carried(entries=tmp_path / "other.csv")),
        digest(carried=Carried(rows=tmp_path / "other.csv")),
        digest(day=DAY + timedelta(days=1)),
    ]
    assert len({digest(), *different}) == 10
    moved = tmp_path / "moved.csv"
    moved.write_bytes((tmp_path / "ours.csv").read_bytes())
    assert digest(ours="moved.csv") == digest()


@pytest.mark.parametrize("bills", ["none", "twice", "other day", "other platform"])
def test_bills_that_do_not_belong_together_are_refused(bills, tmp_path):
    write_snapshot([], tmp_path / "ours.csv")
    good = ACP.bill(tmp_path, [])
    given = {
        "none": [],
        "twice": [(good, ACP.source)] * 2,
        "other day": [(ACP.bill(tmp_path, [], day=date(2026, 5, 19)), ACP.source)],
        "other platform": [
            (good, ACP.source),
            (dataclasses.replace(BANK.bill(tmp_path, []), platform="x"), BANK.source),
        ],
    }[bills]
    with pytest.raises(ValidationError, match=r"reconcile\.bills"):
        reconcile(tmp_path / "ours.csv", given, Carried(), day=DAY, folder=tmp_path / "runs")


def test_a_file_that_is_no_snapshot_is_refused_by_line(run, engine, tmp_path):
    write_snapshot([entry("R1"), entry("R2")], tmp_path / "ours.csv")
    bills = [(ACP.bill(tmp_path, []), ACP.source)]
    for old, new, line in (
        (b"done", b"dull", 1),
        (b"bill,", b"bell,", 0),
        (b"R2,,100", b"R2,,x", 2),
        (b",OR2", b"", 2),
    ):
        broken = (tmp_path / "ours.csv").read_bytes().replace(old, new, 1)
        (tmp_path / "broken.csv").write_bytes(broken)
        with pytest.raises(ValidationError, match=r"reconcile\.snapshot") as refused:
            reconcile(tmp_path / "broken.csv", bills, Carried(), day=DAY, folder=tmp_path / "runs", engine=engine)
        assert refused.value.details["line"] == line


@pytest.mark.parametrize("field", ["number", "platform_no", "operation_id"])
@pytest.mark.parametrize("number", ["", "a b", "订单", "a,b", 'a"b', "a\nb", "x" * 65])
def test_a_number_that_no_platform_could_have_taken_is_not_written_down(tmp_path, field, number):
    with pytest.raises(ValidationError, match=r"reconcile\.number") as refused:
        write_snapshot([dataclasses.replace(entry("R1"), **{field: number})], tmp_path / "ours.csv")
    assert refused.value.field == field
    assert not (tmp_path / "ours.csv").exists()


def test_a_large_bill_without_the_extra_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(reconciliation, "PLAIN_ROWS", 1)
    monkeypatch.setattr(reconciliation, "find_spec", lambda name: None)
    write_snapshot([], tmp_path / "ours.csv")
    bills = [(ACP.bill(tmp_path, [row("R1"), row("R2")]), ACP.source)]
    with pytest.raises(ConfigurationError, match=r"reconcile\.extra_missing") as refused:
        reconcile(tmp_path / "ours.csv", bills, Carried(), day=DAY, folder=tmp_path / "runs")
    assert "unicom-coupon-sdk[recon]" in refused.value.diagnostics("en").remedy


def test_without_an_engine_the_size_decides(tmp_path, monkeypatch):
    used = []
    for kind in (Plain, Columnar):
        monkeypatch.setattr(
            kind, "session", lambda self, *_, **__: used.append(type(self)) or (_ for _ in ()).throw(EOFError)
        )
    monkeypatch.setattr(reconciliation, "PLAIN_ROWS", 2)
    write_snapshot([], tmp_path / "ours.csv")
    for count in (2, 3):
        bills = [(ACP.bill(tmp_path, [row(f"R{at}") for at in range(count)]), ACP.source)]
        with pytest.raises((EOFError, TypeError)):
            reconcile(tmp_path / "ours.csv", bills, Carried(), day=DAY, folder=tmp_path / "runs")
    assert used == [Plain, Columnar]


def test_an_outcome_reads_back_as_it_was(run):
    outcome = run([entry("R1"), entry("R2")], [row("R1", amount_fen=1), row("X1")], declared={R: Total(rows=9)})
    assert read_outcome(outcome.folder) == outcome
    assert json.loads((outcome.folder / "outcome.json").read_text())["day"] == "2026-05-20"
    assert {tally.found: tally.rows for tally in outcome.tallies} == {
        OF.AMOUNT_DIFFERS: 1, OF.MISSING_HERE: 1, OF.MISSING_THERE: 1, OF.TOTAL_DIFFERS: 1,
    }  # fmt: skip
