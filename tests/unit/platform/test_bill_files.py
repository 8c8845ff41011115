"""Bill files: whole or not at all, bounded, and byte for byte."""

import gzip
import hashlib
import stat
import zipfile

import pytest

from unicom_coupon_sdk.crypto import sm3
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.platform import bill_files

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
