"""Archives of a bank, made by hand: what is read, and each way in which one can be wrong."""

import csv
import io
import zipfile
from datetime import UTC, date, datetime

import pytest

from unicom_coupon_adapters.bank import bill_layout
from unicom_coupon_adapters.bank.bills import Bills
from unicom_coupon_adapters.bank.compliance import SHIM
from unicom_coupon_adapters.bank.gateway import Gateway
from unicom_coupon_adapters.bank.profile import PROFILE
from unicom_coupon_adapters.bank.settings import BankSettings
from unicom_coupon_sdk.crypto import sm3
from unicom_coupon_sdk.domain.bill import BillFile, NoBill, RowKind, RowState, Total
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ForgedMessage, ValidationError

DAY = date(2026, 5, 20)
DETAIL = (
    "bizDate,txnTime,kind,merId,storeId,userId,termId,orderId,cmbOrderId,origOrderId,couponCodeMask,couponBatch,"
    "faceAmt,txnAmt,merchantShareAmt,issuerShareAmt,feeAmt,netAmt,tradeState,settleDate,mchReserved"
)
ROWS = (
    "20260520,20260520093000,REDEEM,M1,S1,U1,T1,R1,B1,,6220********0001,BATCH,5000,5000,0,5000,19,4981,S,20260521,",
    '20260520,20260520094000,REDEEM,M1,S1,U1,T1,R2,B2,,6220********0002,BATCH,300,300,0,300,1,299,R,20260521,"a,b"',
    "20260520,20260520095000,REVERSE,M1,S1,U1,T1,V1,B3,R2,6220********0002,BATCH,300,-300,0,-300,-1,-299,S,20260521,",
)
SUMMARY = (
    "bizDate,settleDate,redeemCount,redeemAmt,reverseCount,reverseAmt,refundCount,refundAmt,feeAmt,netAmt,sm3OfDetail"
)


def lines(*texts):
    return "".join(f"{text}\r\n" for text in texts).encode()


def summary(detail, *, day="20260520", counts="2,5300,1,-300,0,0", digest=None):
    return lines(SUMMARY, f"{day},20260521,{counts},19,4981,{digest or sm3.digest(detail).hex()}")


def zipped(members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


WHOLE = lines(DETAIL, *ROWS)


def settings(**more):
    known = {"app_id": "A", "mer_id": "M1", "user_id": "U1", "app_secret": Secret("s")}
    keys = {"merchant_private_key": Secret("k"), "bank_public_keys": (Secret("p"),)}
    return BankSettings(**known, **keys, **more)


def read(tmp_path, content, *, stage="CLEARED", **more):
    """What the adapter makes of an archive; its envelope is never asked."""
    folder = tmp_path / "bills"
    folder.mkdir()
    path = folder / "bill.zip"
    path.write_bytes(content)
    bills = Bills(Gateway(settings(**more), envelope=None))
    return bills.read(path, day=DAY, stage=stage)


def archive(detail=WHOLE, told=None, *, stage="CLEARED"):
    members = {f"DETAIL_{stage}.csv": detail, f"SUMMARY_{stage}.csv": summary(detail) if told is None else told}
    return zipped(members)


def test_the_rows_stand_alone_and_the_totals_are_declared(tmp_path):
    bill = read(tmp_path, archive())
    assert isinstance(bill, BillFile)
    assert bill.rows.read_bytes() == lines(*ROWS)
    assert bill.columns == tuple(DETAIL.split(","))
    assert bill.declared == {
        RowKind.REDEMPTION: Total(2, 5300),
        RowKind.REVERSAL: Total(1, -300),
        RowKind.REFUND: Total(0, 0),
    }
    assert bill.original.read_bytes() == archive()
    assert (bill.is_final, bill.layout) == (True, PROFILE.bills[0].layout.name)


def test_each_row_is_of_one_rule_and_reads_by_it():
    layout = bill_layout.layout_of({})
    told = {}
    for row in csv.DictReader([DETAIL, *ROWS]):
        (rule,) = [one for one in layout.rules if all(row[name] in values for name, values in one.when.items())]
        at = datetime.strptime("".join(row[name] for name in rule.at), rule.at_format).replace(tzinfo=UTC)
        original = None if rule.original_no is None else row[rule.original_no]
        told[row[rule.number]] = (rule.kind, rule.states[row[rule.state]], int(row[rule.amount]), original, at.minute)
    assert told == {
        "R1": (RowKind.REDEMPTION, RowState.DONE, 5000, None, 30),
        "R2": (RowKind.REDEMPTION, RowState.DONE, 300, None, 40),
        "V1": (RowKind.REVERSAL, RowState.DONE, -300, "R2", 50),
    }


def test_columns_that_are_new_are_kept_and_ignored(tmp_path):
    detail = lines(f"{DETAIL},bankNote", *(f"{row},x" for row in ROWS))
    bill = read(tmp_path, archive(detail))
    assert bill.columns[-1] == "bankNote"
    assert bill.rows.read_bytes().count(b",x\r\n") == 3


def test_a_banks_own_names_are_mapped_by_a_setting(tmp_path):
    names = {"orderId": "商户订单号", "redeemAmt": "核销金额", "sm3OfDetail": "摘要"}
    detail = WHOLE.replace(b",orderId,", ",商户订单号,".encode())
    told = summary(detail).decode().replace("redeemAmt", "核销金额").replace("sm3OfDetail", "摘要").encode()
    bill = read(tmp_path, archive(detail, told), bill_columns=names)
    assert "商户订单号" in bill.columns
    assert bill.declared[RowKind.REDEMPTION] == Total(2, 5300)
    assert {rule.number for rule in bill_layout.layout_of(names).rules} == {"商户订单号"}


def test_a_setting_for_a_column_that_there_is_not_is_refused():
    with pytest.raises(ValidationError, match=r"bank\.bill_column") as refused:
        settings(bill_columns={"orderNo": "x"})
    assert refused.value.field == "bill_columns.orderNo"


def test_a_bill_without_rows_is_none_and_leaves_nothing(tmp_path):
    empty = lines(DETAIL)
    assert isinstance(read(tmp_path, archive(empty, summary(empty, counts="0,0,0,0,0,0"))), NoBill)
    assert list((tmp_path / "bills").iterdir()) == []


def test_a_bill_that_declares_rows_and_has_none_is_a_bill(tmp_path):
    bill = read(tmp_path, archive(lines(DETAIL)))
    assert isinstance(bill, BillFile)
    assert bill.rows.read_bytes() == b""


def test_totals_that_are_wrong_are_declared_as_they_are(tmp_path):
    bill = read(tmp_path, archive(told=summary(WHOLE, counts="2,5301,1,-300,0,0")))
    assert bill.declared[RowKind.REDEMPTION] == Total(2, 5301)


@pytest.mark.parametrize(
    ("content", "reason", "field"),
    [
        (b"", "packed", "bill.zip"),
        (b"<html>busy</html>", "packed", "bill.zip"),
        (archive()[:-30], "packed", "bill.zip"),
        (archive(stage="RAW"), "member_missing", "DETAIL_CLEARED.csv"),
        (zipped({"DETAIL_CLEARED.csv": WHOLE}), "member_missing", "SUMMARY_CLEARED.csv"),
        (archive(WHOLE[:-2]), "cut_short", "DETAIL_CLEARED.csv"),
        (archive(WHOLE.replace(b",orderId,", b",orderNo,")), "column_missing", "orderId"),
        (archive(WHOLE.replace(b",txnAmt,", b",")), "column_missing", "txnAmt"),
        (archive(WHOLE.decode().replace("kind", "类型").encode("gbk")), "no_header", "bcg_detail"),
        (archive(told=summary(WHOLE, day="20260521")), "other", "bizDate"),
        (archive(told=summary(WHOLE).replace(b"reverseAmt", b"reversed")), "column_missing", "reverseAmt"),
        (archive(told=summary(WHOLE, counts="two,5300,1,-300,0,0")), "summary", "redeemCount"),
        (archive(told=summary(WHOLE, counts="2,53.00,1,-300,0,0")), "summary", "redeemAmt"),
        (archive(told=lines(SUMMARY)), "summary", "SUMMARY"),
        (archive(told=summary(WHOLE) + lines("x")), "summary", "SUMMARY"),
        (archive(told=b"x" * 70_000), "summary", "SUMMARY"),
        (archive(told="摘要".encode("gbk")), "summary", "SUMMARY"),
    ],
)
def test_an_archive_that_is_wrong_is_named_and_leaves_nothing(tmp_path, content, reason, field):
    with pytest.raises(ValidationError) as refused:
        read(tmp_path, content)
    assert (refused.value.code, refused.value.field) == (f"bill.{reason}", field)
    assert str(refused.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("digest", ["0" * 64, "x", "摘要", sm3.digest(b"").hex(), sm3.digest(WHOLE).hex()[:-1]])
def test_details_with_another_digest_are_forged_and_leave_nothing(tmp_path, digest):
    with pytest.raises(ForgedMessage, match=r"bank\.bill_digest"):
        read(tmp_path, archive(told=summary(WHOLE, digest=digest)))
    assert list(tmp_path.iterdir()) == []


def test_a_digest_in_capitals_is_the_same(tmp_path):
    assert read(tmp_path, archive(told=summary(WHOLE, digest=sm3.digest(WHOLE).hex().upper()))).is_final


def test_what_a_bill_brings_may_be_kept_and_a_phone_may_not():
    brought = {*DETAIL.split(","), *SUMMARY.split(",")}
    assert SHIM.kept(dict.fromkeys(brought, "x")).keys() == brought
    assert SHIM.kept({"mobile": "x", "mobileMask": "x", "couponCode": "x"}) == {}
