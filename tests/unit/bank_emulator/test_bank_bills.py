"""The coupon bill of a bank, fetched by the adapter from the emulator, on both faces."""

import csv
from datetime import UTC, date, datetime, timedelta

import pytest

from unicom_coupon_adapters.bank import messages
from unicom_coupon_sdk.domain.bill import BillFile, BillKind, BillNotReady, NoBill, RowKind, Total
from unicom_coupon_sdk.errors import PlatformRefused, PlatformUnavailable, UnsupportedOperation
from unicom_coupon_sdk.platform.bill import BillOrder
from unicom_coupon_sdk.platform.effects import HttpCall
from unicom_coupon_sdk.runtime.blocking import BlockingRuntime
from unicom_coupon_sdk.sandbox.bills import BillDefect

DAY = date(2026, 5, 20)
MOBILES = {"ONE": "13800009011", "TWO": "13800009012", "THREE": "13800009013"}
READY = {"RAW": datetime(2026, 5, 21, 2, 30, tzinfo=UTC), "CLEARED": datetime(2026, 5, 21, 8, 30, tzinfo=UTC)}


@pytest.fixture
def day_of_work(bench):
    """Three redemptions, one of them given back."""
    for order, mobile in MOBILES.items():
        bench.redeemed(bench.coupon(holder=mobile), order=order, mobile=mobile)
    bench.call(messages.REVERSE, {"orderId": "BACK", "origOrderId": "TWO", "txnAmt": "5000"})
    return bench


def fetched(bench, folder, *, day=DAY, kind=BillKind.COUPON):
    with BlockingRuntime(http=bench.sandbox.transport(), clock=bench.sandbox.clock) as runtime:
        return runtime.run(bench.adapter.fetch_bill(BillOrder(kind=kind, day=day, folder=folder)))


def rows_of(bill):
    return list(csv.DictReader(bill.rows.read_text(encoding="utf-8").splitlines(), bill.columns))


def spoil(bench, defect):
    bench.sandbox.control.add_fault("bank", "bill_defect", code=defect)


def test_the_cleared_bill_of_the_afternoon_says_what_happened(day_of_work, tmp_path):
    day_of_work.sandbox.control.set_clock(READY["CLEARED"])
    bill = fetched(day_of_work, tmp_path)
    assert isinstance(bill, BillFile)
    assert bill.is_final
    assert bill.declared == {
        RowKind.REDEMPTION: Total(3, 15_000),
        RowKind.REVERSAL: Total(1, -5_000),
        RowKind.REFUND: Total(0, 0),
    }
    told = [(row["kind"], row["orderId"], row["txnAmt"], row["tradeState"], row["settleDate"]) for row in rows_of(bill)]
    assert told == [
        ("REDEEM", "ONE", "5000", "S", "20260521"),
        ("REDEEM", "TWO", "5000", "R", "20260521"),
        ("REDEEM", "THREE", "5000", "S", "20260521"),
        ("REVERSE", "BACK", "-5000", "S", "20260521"),
    ]
    assert set(tmp_path.iterdir()) == {bill.original, bill.rows}


def test_the_bill_masks_codes_and_has_no_phone(day_of_work, tmp_path):
    day_of_work.sandbox.control.set_clock(READY["CLEARED"])
    bill = fetched(day_of_work, tmp_path)
    text = bill.rows.read_text(encoding="utf-8")
    assert "13800009" not in text
    assert all(row["couponCodeMask"][4:-4] == "*" * 12 for row in rows_of(bill))


def test_the_raw_bill_of_the_morning_has_no_fee_and_no_settlement_date(day_of_work, tmp_path):
    day_of_work.sandbox.control.set_clock(READY["RAW"])
    bill = fetched(day_of_work, tmp_path)
    assert isinstance(bill, BillFile)
    assert not bill.is_final
    assert {(row["feeAmt"], row["netAmt"], row["settleDate"]) for row in rows_of(bill)} == {("", "", "")}


def test_a_bill_before_its_time_is_an_answer(day_of_work, tmp_path):
    day_of_work.sandbox.control.set_clock(READY["RAW"] - timedelta(seconds=1))
    sent = len(day_of_work.sandbox.control.requests())
    answer = fetched(day_of_work, tmp_path)
    assert answer == BillNotReady(platform="bank", kind=BillKind.COUPON, day=DAY, ready_at=READY["RAW"])
    assert len(day_of_work.sandbox.control.requests()) == sent
    assert list(tmp_path.iterdir()) == []


def test_a_cleared_bill_that_is_late_is_given_raw(day_of_work, tmp_path):
    day_of_work.sandbox.control.set_clock(READY["CLEARED"])
    day_of_work.sandbox.control.add_fault("bank", "error", code="BILL_NOT_READY")
    bill = fetched(day_of_work, tmp_path)
    assert isinstance(bill, BillFile)
    assert not bill.is_final


def test_a_bank_that_is_late_is_asked_again_in_half_an_hour(day_of_work, tmp_path):
    day_of_work.sandbox.control.set_clock(READY["CLEARED"])
    day_of_work.sandbox.control.add_fault("bank", "error", code="BILL_NOT_READY", times=2)
    answer = fetched(day_of_work, tmp_path)
    assert isinstance(answer, BillNotReady)
    assert answer.ready_at == READY["CLEARED"] + timedelta(minutes=30)


def test_a_day_without_a_row_has_no_bill(day_of_work, tmp_path):
    day_of_work.sandbox.control.set_clock(READY["CLEARED"] + timedelta(days=1))
    answer = fetched(day_of_work, tmp_path, day=DAY + timedelta(days=1))
    assert answer == NoBill(platform="bank", kind=BillKind.COUPON, day=DAY + timedelta(days=1))


def test_a_kind_that_banks_do_not_offer_is_refused_before_anything_is_sent(bench, tmp_path):
    with pytest.raises(UnsupportedOperation, match=r"bill\.not_offered"):
        fetched(bench, tmp_path, kind=BillKind.TRADE)
    assert bench.sandbox.control.requests() == []


@pytest.mark.parametrize("kind", ["drop_after", "half_body"])
def test_a_download_that_breaks_leaves_nothing(day_of_work, tmp_path, kind):
    day_of_work.sandbox.control.set_clock(READY["CLEARED"])
    transport = day_of_work.sandbox.transport()

    class Breaking:
        def send(self, call: HttpCall):
            if call.save_to is not None:
                day_of_work.sandbox.control.add_fault("bank", kind)
            return transport.send(call)

        def close(self):
            pass

    with (
        BlockingRuntime(http=Breaking(), clock=day_of_work.sandbox.clock) as runtime,
        pytest.raises(PlatformUnavailable, match=r"platform\.no_answer"),
    ):
        runtime.run(day_of_work.adapter.fetch_bill(BillOrder(kind=BillKind.COUPON, day=DAY, folder=tmp_path)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["https://evil.example/b.zip", "https://bank.sandbox.invalid@evil.example/b.zip"])
def test_an_address_on_a_foreign_host_is_not_fetched(bench, tmp_path, url):
    with (
        BlockingRuntime(http=bench.sandbox.transport(), clock=bench.sandbox.clock) as runtime,
        pytest.raises(PlatformRefused, match=r"bank\.download_host") as refused,
    ):
        runtime.run(bench.adapter.gateway.download(url, save_to=tmp_path / "bill"))
    assert refused.value.details["host"] == "evil.example"


def test_a_spoiled_amount_or_state_is_told_by_its_number(day_of_work, tmp_path):
    spoil(day_of_work, BillDefect.STATE_DIFFERS)
    spoil(day_of_work, BillDefect.AMOUNT_DIFFERS)
    day_of_work.sandbox.control.set_clock(READY["CLEARED"])
    rows = {row["orderId"]: row for row in rows_of(fetched(day_of_work, tmp_path))}
    wrong = {one["class"]: one["number"] for one in day_of_work.sandbox.control.bill_defects()}
    assert rows[wrong["state_differs"]]["tradeState"] == "F"
    assert rows[wrong["amount_differs"]]["txnAmt"] == "5001"


def test_rows_are_left_out_doubled_and_invented(day_of_work, tmp_path):
    for defect in (BillDefect.MISSING_THERE, BillDefect.DUPLICATE, BillDefect.MISSING_HERE):
        spoil(day_of_work, defect)
    day_of_work.sandbox.control.set_clock(READY["CLEARED"])
    numbers = [row["orderId"] for row in rows_of(fetched(day_of_work, tmp_path))]
    wrong = {one["class"]: one["number"] for one in day_of_work.sandbox.control.bill_defects()}
    assert wrong["missing_there"] not in numbers
    assert numbers.count(wrong["duplicate"]) == 2
    assert wrong["missing_here"] in numbers
    assert wrong["missing_here"] not in {"ONE", "TWO", "THREE", "BACK"}


def test_a_row_of_another_date_stands_in_the_next_days_bill(day_of_work, tmp_path):
    spoil(day_of_work, BillDefect.DATE_DIFFERS)
    day_of_work.sandbox.control.set_clock(READY["CLEARED"] + timedelta(days=1))
    (tmp_path / "first").mkdir()
    first = {row["orderId"] for row in rows_of(fetched(day_of_work, tmp_path / "first"))}
    (wrong,) = day_of_work.sandbox.control.bill_defects()
    second = fetched(day_of_work, tmp_path, day=DAY + timedelta(days=1))
    assert wrong["number"] not in first
    assert [(row["orderId"], row["bizDate"]) for row in rows_of(second)] == [(wrong["number"], "20260521")]


def test_a_wrong_total_is_one_fen_off_and_no_row_is(day_of_work, tmp_path):
    spoil(day_of_work, BillDefect.TOTAL_DIFFERS)
    day_of_work.sandbox.control.set_clock(READY["CLEARED"])
    bill = fetched(day_of_work, tmp_path)
    assert bill.declared[RowKind.REDEMPTION] == Total(3, 15_001)
    assert sum(int(row["txnAmt"]) for row in rows_of(bill) if row["kind"] == "REDEEM") == 15_000


def test_both_stages_and_every_copy_are_the_same_bill(day_of_work, tmp_path):
    spoil(day_of_work, BillDefect.AMOUNT_DIFFERS)
    told = []
    for number, stage in enumerate(("RAW", "CLEARED", "CLEARED")):
        day_of_work.sandbox.control.set_clock(READY[stage])
        folder = tmp_path / str(number)
        folder.mkdir()
        told.append([(row["orderId"], row["txnAmt"]) for row in rows_of(fetched(day_of_work, folder))])
    assert told[0] == told[1] == told[2]
