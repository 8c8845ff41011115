"""The files of a clearing day: what the gateway writes, and what we read in them."""

import io
import zipfile
from datetime import UTC, date, datetime, timedelta

import pytest
from tests.unit.unionpay_acp.conftest import PLATFORM
from tests.unit.unionpay_pos.samples import VECTORS

from unicom_coupon_adapters.unionpay_pos.acp import bill
from unicom_coupon_adapters.unionpay_pos.acp.files import BillRow, read_bill
from unicom_coupon_adapters.unionpay_pos.acp.payment import Instruction
from unicom_coupon_adapters.unionpay_pos.emulation.acp import files as emulated
from unicom_coupon_sdk.errors import PlatformError, PlatformUnavailable, PlatformUnknown, ValidationError

DAY = date(2026, 5, 20)
MER_ID = "777290058110048"


def morning_after(counter, *, hour=10):
    counter.sandbox.control.set_clock(datetime(2026, 5, 21, hour - 8, tzinfo=UTC))


def fetch(counter, day=DAY):
    return counter.run(counter.acp.files.fetch(day))


def test_a_day_is_told_as_it_was(counter):
    counter.coupon(5_000, sponsor="merchant")
    sale, payment = counter.paid(12_800)
    back = counter.instruction(12_800)
    counter.run(counter.payments.undo(back, original=payment))
    plain, other = counter.paid(1_000, holder="bob")
    refund = counter.instruction(400)
    counter.run(counter.payments.refund(refund, original=other))
    morning_after(counter)
    told = fetch(counter)
    assert [(row.kind, row.amount_fen, row.fee_fen, row.settle_fen, row.discount_fen) for row in told.rows] == [
        ("01", 12_800, -77, 7_723, 5_000),  # as the sheet's ACP-08
        ("31", 12_800, 77, -7_723, -5_000),
        ("01", 1_000, -6, 994, 0),
        ("04", 400, 2, -398, 0),
    ]
    assert sum(row.settle_fen for row in told.rows) == 596
    for instruction, kind in ((sale, "01"), (back, "31"), (plain, "01"), (refund, "04")):
        assert told.find(instruction).kind == kind
    assert told.find(refund).original_query_id == other.query_id
    assert told.find(sale).columns["termId"] == "10000001"
    assert "笔数 4" in told.summary
    assert told.adjustments == ()


def test_what_was_declined_or_is_open_is_not_in_it(counter):
    counter.paid(500)
    for wish in ({"limit_fen": 0}, {"needs_password": True}):
        with pytest.raises(PlatformError):
            counter.scan(counter.instruction(700), **wish)
    counter.run(counter.payments.qr_code(counter.instruction(900)))
    morning_after(counter)
    assert [row.amount_fen for row in fetch(counter).rows] == [500]


def test_a_lost_payment_is_found_in_the_bill_or_was_not_done(counter):
    done, lost = counter.instruction(), counter.instruction()
    for kind, sale in (("drop_after", done), ("drop_before", lost)):
        counter.fault(kind, match="01/06")
        with pytest.raises(PlatformUnknown):
            counter.scan(sale)
    morning_after(counter)
    told = fetch(counter)
    assert told.find(done).amount_fen == 12_800
    assert told.find(lost) is None


def test_a_transaction_after_2300_belongs_to_the_next_day(counter):
    counter.sandbox.control.set_clock(datetime(2026, 5, 20, 15, 0, tzinfo=UTC))
    sale, _ = counter.paid()
    morning_after(counter)
    with pytest.raises(PlatformUnavailable, match=r"unionpay_pos\.acp_no_file"):
        fetch(counter)
    counter.sandbox.control.advance(86_400)
    assert fetch(counter, DAY + timedelta(days=1)).find(sale).txn_time == "0520230000"


@pytest.mark.parametrize("hour", [8, 9])
def test_a_file_is_ready_at_ten(counter, hour):
    counter.paid()
    morning_after(counter, hour=hour)
    with pytest.raises(PlatformUnavailable) as early:
        fetch(counter)
    assert (early.value.code, early.value.platform_code) == ("unionpay_pos.acp_no_file", "98")
    assert counter.sent().count("/") == 1
    morning_after(counter)
    assert len(fetch(counter).rows) == 1


def test_an_adjustment_comes_in_the_second_file(counter):
    sale, _ = counter.paid(1_000)
    counter.deliver("adjust", order_id=sale.order_id, amount_fen=-300)
    morning_after(counter)
    (record,) = fetch(counter).adjustments
    assert (record["tradeCode"], record["txnAmt"], record["column_16"]) == ("E25", "000000000300", "D000000000300")


@pytest.mark.parametrize("kind", ["bad_signature", "half_body", "drop_after", "wrong_serial"])
def test_a_file_that_cannot_be_trusted_is_fetched_again(counter, kind):
    counter.paid()
    morning_after(counter)
    counter.fault(kind, match="76/01")
    assert len(fetch(counter).rows) == 1


def test_bill_totals_equal_what_the_gateway_did(counter):
    amounts = [100 * number + 1 for number in range(1, 30)]
    for amount in amounts:
        counter.paid(amount)
    morning_after(counter)
    told = fetch(counter)
    assert [row.amount_fen for row in told.rows] == amounts
    assert all(row.amount_fen + row.fee_fen == row.settle_fen for row in told.rows)
    assert len({row.query_id for row in told.rows}) == len(amounts)


# --- files that are not as they should be ---


def archive(**members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return packed.getvalue()


LINE = VECTORS["ACP-08"]["line"].encode("gbk") + b"\r\n"
NAME = f"INN26052088ZM_{MER_ID}"


def test_the_sheets_line_is_a_row():
    (row,) = read_bill(archive(**{NAME: LINE}), day=DAY, mer_id=MER_ID).rows
    assert (row.amount_fen, row.fee_fen, row.settle_fen, row.discount_fen) == (12_800, -77, 7_723, 5_000)
    assert (row.order_id, row.txn_time, row.kind) == ("20260318101530000031", "0318101530", "01")


@pytest.mark.parametrize(
    "name", [f"INN26052188ZM_{MER_ID}", "INN26052088ZM_777290058110049", f"INN26052088ZME_{MER_ID}"]
)
def test_a_file_of_another_day_or_merchant_is_refused(name):
    with pytest.raises(ValidationError) as refused:
        read_bill(archive(**{name: LINE}), day=DAY, mer_id=MER_ID)
    assert refused.value.details["reason"] == "other"


@pytest.mark.parametrize("content", [LINE[:-2], LINE[1:], LINE.replace(b"000000012800", b"0000000128x0")])
def test_a_damaged_record_is_refused(content):
    with pytest.raises(ValidationError, match=r"unionpay_pos\.bill"):
        read_bill(archive(**{NAME: content}), day=DAY, mer_id=MER_ID)


def test_a_blank_sum_is_nothing_and_a_wrong_one_is_refused():
    columns = bill.ZM.parse(LINE[:-2])
    assert BillRow.of({**columns, "discountAmt": ""}).discount_fen == 0
    with pytest.raises(ValidationError) as refused:
        BillRow.of({**columns, "merFee": "77"})
    assert refused.value.field == "merFee"


def test_a_long_order_number_is_found_though_the_file_cuts_it(counter):
    sale = counter.instruction(order_id="A" * 40)
    counter.scan(sale)
    morning_after(counter)
    told = fetch(counter)
    assert told.find(sale).order_id == "A" * 32
    assert told.find(Instruction("B" * 40, sale.txn_time, 1)) is None


def test_the_emulators_own_writer_makes_the_sheets_line():
    vector = VECTORS["ACP-08"]
    numbers = {name: number for number, name in enumerate(vector["names"], start=1)}
    columns = {numbers[name]: value for name, value in vector["parsed"].items()}
    assert emulated._written(emulated._ZM, columns) == LINE
    assert list(emulated._ZM) == vector["widths"]
    assert list(emulated._ZME) == vector["zme_widths"]


@pytest.mark.parametrize("wish", [{"order_id": "nothing", "amount_fen": 1}, {"amount_fen": 0}, {"amount_fen": "1"}])
def test_an_adjustment_of_nothing_is_refused(counter, wish):
    sale, _ = counter.paid()
    with pytest.raises(ValidationError, match=r"sandbox\.wish"):
        counter.sandbox.control.deliver(PLATFORM, **{"action": "adjust", "order_id": sale.order_id, **wish})
