"""The gateway's files as bills on disk: what is fetched, when, and each way in which one can be wrong."""

import base64
import io
import zipfile
import zlib
from datetime import UTC, date, datetime, timedelta

import pytest
from tests.unit.unionpay_pos.samples import VECTORS

from unicom_coupon_adapters.unionpay_pos import bill_layouts
from unicom_coupon_adapters.unionpay_pos.acp import bill
from unicom_coupon_adapters.unionpay_pos.acp.bills import GatewayBills
from unicom_coupon_sdk.domain.bill import BillFile, BillKind, BillNotReady, NoBill
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.platform.bill import BillOrder

DAY = date(2026, 5, 20)
MER_ID = "777290058110048"
SOURCES = {source.kind: source for source in bill_layouts.GATEWAY_SOURCES}
TEN = datetime(2026, 5, 21, 2, tzinfo=UTC)


def fetched(counter, folder, *, kind=BillKind.TRADE, at=TEN, day=DAY):
    counter.sandbox.control.set_clock(at)
    folder.mkdir(exist_ok=True)
    adapter = counter.client.setting.adapter("unionpay_pos")
    return counter.run(adapter.fetch_bill(BillOrder(kind=kind, day=day, folder=folder)))


def cells(layout, line):
    """The cells of a record by the layout alone, cut in bytes."""
    found, at = [], 0
    for width in layout.form.widths:
        found.append(line[at : at + width].decode(layout.encoding).strip())
        at += width + layout.form.gap
    return found


def test_a_day_is_told_record_by_record(counter, tmp_path):
    sale, payment = counter.paid(12_800)
    back = counter.instruction(800)
    counter.run(counter.payments.refund(back, original=payment))
    told = fetched(counter, tmp_path)
    assert isinstance(told, BillFile)
    rows = [
        dict(zip(told.columns, cells(bill_layouts.ZM, line), strict=True))
        for line in told.rows.read_bytes().splitlines()
    ]
    assert [(row["orderId"], row["txnType"], row["txnAmt"]) for row in rows] == [
        (sale.order_id, "01", "000000012800"),
        (back.order_id, "04", "000000000800"),
    ]
    assert {path.name for path in tmp_path.iterdir()} == {told.original.name, told.rows.name}
    assert zipfile.ZipFile(told.original).namelist()[0] == f"INN26052088ZM_{MER_ID}"


def test_adjustments_are_the_bill_of_funds(counter, tmp_path):
    sale, _ = counter.paid(1_000)
    assert isinstance(fetched(counter, tmp_path, kind=BillKind.FUNDS), NoBill)
    counter.sandbox.control.set_clock(datetime(2026, 5, 21, 4, tzinfo=UTC))
    counter.deliver("adjust", order_id=sale.order_id, amount_fen=-300)
    told = fetched(counter, tmp_path, kind=BillKind.FUNDS, at=TEN + timedelta(days=1), day=DAY + timedelta(days=1))
    assert isinstance(told, BillFile)
    (line,) = told.rows.read_bytes().splitlines()
    row = dict(zip(told.columns, cells(bill_layouts.ZME, line), strict=True))
    assert (row["tradeCode"], row["txnAmt"], row["column_16"]) == ("E25", "000000000300", "D000000000300")


@pytest.mark.parametrize(
    ("at", "answer"),
    [(TEN - timedelta(seconds=1), BillNotReady), (TEN, BillNotReady), (TEN + timedelta(hours=2), NoBill)],
)
def test_a_file_that_is_missing_may_still_come_until_noon(counter, tmp_path, at, answer):
    assert isinstance(fetched(counter, tmp_path, at=at), answer)
    assert list(tmp_path.iterdir()) == []


# --- files made by hand ---

LINE = VECTORS["ACP-08"]["line"].encode("gbk") + b"\r\n"
NAME = f"INN26052088ZM_{MER_ID}"


def packed(members):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return base64.b64encode(zlib.compress(archive.getvalue())).decode()


def read(folder, content, *, kind=BillKind.TRADE):
    room = folder / "bills"
    room.mkdir()
    order = BillOrder(kind=kind, day=DAY, folder=room)
    return GatewayBills(files=None, mer_id=MER_ID).read(content, order, SOURCES[kind])


def test_the_sheets_line_is_a_row_byte_for_byte(tmp_path):
    told = read(tmp_path, packed({NAME: LINE * 3}))
    assert told.rows.read_bytes() == LINE * 3
    assert told.columns == tuple(name for name, _ in bill.ZM.columns)
    assert (told.layout, told.declared) == ("acp_zm", {})


def test_a_line_with_chinese_names_is_cut_by_bytes():
    at = sum(width + 1 for _, width in bill.ZM.columns[:30])
    line = bytearray(LINE[:-2])
    line[at : at + 32] = "联通营业厅".encode("gbk").ljust(32)
    found = dict(zip([name for name, _ in bill.ZM.columns], cells(bill_layouts.ZM, bytes(line)), strict=True))
    assert found == bill.ZM.parse(bytes(line))
    assert found["subMerAbbr"] == "联通营业厅"


def test_files_without_a_record_are_no_bill(tmp_path):
    assert isinstance(read(tmp_path, packed({NAME: b""})), NoBill)
    assert list((tmp_path / "bills").iterdir()) == []


def test_a_missing_file_of_adjustments_is_no_bill(tmp_path):
    assert isinstance(read(tmp_path, packed({NAME: LINE}), kind=BillKind.FUNDS), NoBill)


@pytest.mark.parametrize(
    ("content", "code", "reason"),
    [
        ("not base64", "unionpay_pos.bill", "content"),
        (base64.b64encode(zlib.compress(b"x"))[:-4].decode(), "unionpay_pos.bill", "content"),
        (base64.b64encode(zlib.compress(b"no zip")).decode(), "bill.packed", None),
        (packed({f"INN26052188ZM_{MER_ID}": LINE}), "bill.member_missing", None),
        (packed({"INN26052088ZM_777290058110049": LINE}), "bill.member_missing", None),
        (packed({NAME: LINE + LINE[1:]}), "unionpay_pos.bill", "width"),
        (packed({NAME: LINE + LINE[:-2]}), "unionpay_pos.bill", "line_end"),
        (packed({NAME: LINE + LINE[:-2] + b"\n"}), "unionpay_pos.bill", "line_end"),
        (packed({NAME: LINE[:3] + b"x" + LINE[4:]}), "unionpay_pos.bill", "separator"),
        (packed({NAME: LINE[:200] + b"\xff\xff" + LINE[202:]}), "unionpay_pos.bill", "encoding"),
    ],
)
def test_files_that_are_wrong_are_named_and_leave_nothing(tmp_path, content, code, reason):
    with pytest.raises(ValidationError) as refused:
        read(tmp_path, content)
    assert (refused.value.code, refused.value.details.get("reason")) == (code, reason)
    assert not (tmp_path / "bills").exists()


def test_a_damaged_record_is_named_by_its_line(tmp_path):
    with pytest.raises(ValidationError) as refused:
        read(tmp_path, packed({NAME: LINE * 2 + LINE[1:] + LINE}))
    assert refused.value.details["line"] == 3


def test_an_endless_file_stops_at_the_bound():
    bomb = base64.b64encode(zlib.compress(bytes(5_000_000))).decode()
    parts = bill.unpacking(bomb, largest=3_000_000)
    assert len(next(parts)) == bill.CHUNK
    with pytest.raises(ValidationError) as refused:
        list(parts)
    assert refused.value.details["reason"] == "size"
