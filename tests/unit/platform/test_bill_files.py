"""Bill files: whole or not at all, bounded, and byte for byte."""

import gzip
import hashlib
import stat
import zipfile
from datetime import UTC, date, datetime, time, timedelta

import pytest

from unicom_coupon_sdk.crypto import sm3
from unicom_coupon_sdk.domain.bill import BillKind, RowKind
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.platform import bill_files
from unicom_coupon_sdk.platform.bill import BillLayout, BillSource, Delimited, RowRule, Unit

HEADER = "编号,金额".encode("gbk")


def split(tmp_path, content, *, is_tail=lambda line: line.startswith(b"#")):
    source, rows = tmp_path / "bill.csv", tmp_path / "bill.rows"
    source.write_bytes(content)
    found = bill_files.split(source, rows, platform="wechatpay", is_header=lambda line: line == HEADER, is_tail=is_tail)
    return found, rows.read_bytes()


def test_the_rows_stand_alone_byte_for_byte(tmp_path):
    rows = b"1,\xc4\xe3\r\n2,\xba\xc3\r\n"
    found, kept = split(tmp_path, b"#a\r\n" + HEADER + b"\r\n" + rows + b"#total,2\r\n#made\r\n")
    assert kept == rows
    assert (found.head, found.header, found.tail) == ((b"#a",), HEADER, (b"#total,2", b"#made"))
    assert found.rows_size == len(rows)


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path):
    found, kept = split(tmp_path, b"\xef\xbb\xbf" + HEADER + b"\n#t\n")
    assert (found.header, kept) == (HEADER, b"")


def test_a_tail_is_found_behind_many_rows(tmp_path):
    rows = b"".join(b"%d,1.00\n" % number for number in range(50_000))
    found, kept = split(tmp_path, HEADER + b"\n" + rows + b"#total\n")
    assert (kept, found.tail) == (rows, (b"#total",))


@pytest.mark.parametrize("content", [b"", b"\n", b"<html>\n<body>\n", b"x" * 300_000, b"1,2\n" * 100_000])
def test_a_file_without_column_names_is_refused(tmp_path, content):
    with pytest.raises(ValidationError, match=r"bill\.no_header"):
        split(tmp_path, content)
    assert not (tmp_path / "bill.rows").exists()


@pytest.mark.parametrize(("rest", "is_tail"), [(b"1,2\n3,4\n", lambda line: line.startswith(b"#")), (b"1,2\n3", None)])
def test_a_file_that_was_cut_is_refused(tmp_path, rest, is_tail):
    with pytest.raises(ValidationError, match=r"bill\.cut_short"):
        split(tmp_path, HEADER + b"\n" + rest, is_tail=is_tail)
    assert not (tmp_path / "bill.rows").exists()


def test_gunzip_gives_the_bytes_and_refuses_what_is_none(tmp_path):
    packed, plain = tmp_path / "a.gz", tmp_path / "a"
    packed.write_bytes(gzip.compress(b"bill" * 1000))
    bill_files.gunzip(packed, plain, platform="wechatpay")
    assert plain.read_bytes() == b"bill" * 1000
    assert stat.S_IMODE(plain.stat().st_mode) == 0o600
    for broken in (packed.read_bytes()[:-9], b"\x1f\x8bnot", b"plain"):
        packed.write_bytes(broken)
        with pytest.raises(ValidationError, match=r"bill\.packed"):
            bill_files.gunzip(packed, tmp_path / "b", platform="wechatpay")
    assert {path.name for path in tmp_path.iterdir()} == {"a.gz", "a"}


def test_an_endless_archive_stops_at_the_bound(tmp_path):
    packed = tmp_path / "bomb.gz"
    packed.write_bytes(gzip.compress(bytes(5_000_000)))
    with pytest.raises(ValidationError, match=r"bill\.too_large"):
        bill_files.gunzip(packed, tmp_path / "out", platform="wechatpay", largest=1_000_000)
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a", bytes(600_000))
        made.writestr("b", bytes(600_000))
    with pytest.raises(ValidationError, match=r"bill\.too_large"):
        bill_files.unzip(archive, tmp_path, platform="alipay", largest=1_000_000)


def test_a_members_name_never_becomes_a_path(tmp_path):
    archive, folder = tmp_path / "bill.zip", tmp_path / "in"
    folder.mkdir()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("../../evil", b"x")
        made.writestr("/etc/evil", b"y")
    found = bill_files.unzip(archive, folder, platform="alipay")
    assert sorted(found) == ["../../evil", "/etc/evil"]
    assert {path.parent for path in found.values()} == {folder}
    assert {path.name for path in tmp_path.iterdir()} == {"bill.zip", "in"}


def test_gbk_member_names_without_the_flag_are_read(tmp_path):
    archive = tmp_path / "bill.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("AAAA.csv", b"1")
    archive.write_bytes(archive.read_bytes().replace(b"AAAA", "明细".encode("gbk")))
    assert list(bill_files.unzip(archive, tmp_path, platform="alipay")) == ["明细.csv"]


def test_what_is_no_zip_is_refused(tmp_path):
    archive = tmp_path / "bill.zip"
    archive.write_bytes(b"PK\x03\x04 but no more")
    with pytest.raises(ValidationError, match=r"bill\.packed"):
        bill_files.unzip(archive, tmp_path, platform="alipay")


def test_digests_are_of_the_files_bytes(tmp_path):
    path = tmp_path / "bill"
    path.write_bytes(b"bill" * 500_000)
    content = path.read_bytes()
    assert bill_files.digest(path) == hashlib.sha256(content).hexdigest()
    assert bill_files.digest(path, algorithm="sha1") == hashlib.sha1(content).hexdigest()
    assert bill_files.digest(path, algorithm="sm3") == sm3.digest(content).hex()


def test_a_file_that_fails_while_written_is_gone(tmp_path):
    path = tmp_path / "bill"

    def fail():
        with bill_files.whole(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_digest_may_be_of_the_first_bytes_alone(tmp_path):
    path = tmp_path / "bill"
    path.write_bytes(b"bill" * 500_000 + b"#total")
    assert bill_files.digest(path, size=2_000_000) == hashlib.sha256(b"bill" * 500_000).hexdigest()
    assert bill_files.digest(path, size=2_000_000, algorithm="sm3") == sm3.digest(b"bill" * 500_000).hex()


def layout(**named):
    rule = RowRule(kind=RowKind.REDEMPTION, amount="金额", when={"类型": frozenset({"核销"})}, **named)
    return BillLayout(name="test", encoding="gbk", form=Delimited(), unit=Unit.FEN, rules=(rule,), source="test")


def columns(header, **named):
    return bill_files.columns_of(header, layout(**named), platform="bank", bill=BillKind.COUPON)


def test_columns_are_named_as_the_header_names_them_and_new_ones_too():
    header = '类型,"编号", 金额\t,`备注`'.encode("gbk")
    assert columns(header, number="编号") == ("类型", "编号", "金额", "备注")


def test_the_first_column_that_is_needed_and_missing_is_named():
    with pytest.raises(ValidationError, match=r"bill\.column_missing") as refused:
        columns("类型,金额".encode("gbk"), number="编号", at=("日期", "时间"))
    assert refused.value.field == "编号"
    assert "编号" in str(refused.value)


def test_a_header_in_another_encoding_is_none():
    with pytest.raises(ValidationError, match=r"bill\.no_header"):
        columns(b"\xff\xff,")


def test_a_member_that_is_not_in_the_archive_is_named(tmp_path):
    assert bill_files.member({"a": tmp_path}, "a", platform="bank") == tmp_path
    with pytest.raises(ValidationError, match=r"bill\.member_missing") as refused:
        bill_files.member({"a": tmp_path}, "b", platform="bank")
    assert refused.value.field == "b"


def test_a_bill_is_asked_for_at_its_time_and_after_that_every_half_hour():
    source = BillSource(kind=BillKind.COUPON, layout=layout(), ready_at=time(10), days_after=2)
    opens = datetime(2026, 5, 22, 2, tzinfo=UTC)
    assert source.opens(date(2026, 5, 20)) == opens
    assert source.ask_at(date(2026, 5, 20), now=opens - timedelta(seconds=1)) == opens
    assert source.ask_at(date(2026, 5, 20), now=opens) == opens + timedelta(minutes=30)
