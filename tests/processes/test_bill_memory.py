"""200 MB of garbage in a bill's place: a clear error, and bounded memory, measured in a process of its own."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from unicom_coupon_adapters.bank import bill_layout
from unicom_coupon_sdk.platform import bill_files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the most memory since the program began is in /proc"),
]

SIZE = 200 * 1024 * 1024
MOST_MIB = 32
"""How much memory may be taken for a bill, beyond what the loaded program has."""

MERCHANT = "999290054110001"
POS_HEADER = "clearing_date,merchant,rrn,cond,type,unicom_txn,amount_fen,fee_fen,net_fen,local_date,local_time,status\n"

BANK = """
from unicom_coupon_adapters.bank.bills import Bills
from unicom_coupon_adapters.bank.gateway import Gateway
from unicom_coupon_adapters.bank.settings import BankSettings
from unicom_coupon_sdk.domain.sensitive import Secret
keys = dict(app_secret=Secret("s"), merchant_private_key=Secret("k"), bank_public_keys=(Secret("p"),))
settings = BankSettings(app_id="A", mer_id="M1", user_id="U1", **keys)
bills = Bills(Gateway(settings, envelope=None))
work = lambda: bills.read(path, day=date(2026, 5, 20), stage="RAW")
"""
POS = """
from unicom_coupon_adapters.unionpay_pos.bills import Statements
from unicom_coupon_adapters.unionpay_pos.bill_layouts import statement_source
statements = Statements(None, statement_source("terminal"), token=None)
work = lambda: statements.read({"999290054110001": path}, day=date(2026, 5, 20))
"""
ACP = """
from unicom_coupon_adapters.unionpay_pos.acp.bills import GatewayBills
from unicom_coupon_adapters.unionpay_pos.bill_layouts import GATEWAY_SOURCES
from unicom_coupon_sdk.platform.bill import BillOrder
source = GATEWAY_SOURCES[0]
order = BillOrder(kind=source.kind, day=date(2026, 5, 20), folder=path.parent)
content = path.read_text()
work = lambda: GatewayBills(None, mer_id="777290058110048").read(content, order, source)
"""
MEASURED = """
import json, re, sys
from datetime import date
from pathlib import Path
from unicom_coupon_sdk.errors import CouponError
path = Path(sys.argv[1])
{prepared}
most = lambda: int(re.search("VmHWM:\\s+([0-9]+) kB", Path("/proc/self/status").read_text())[1])
before = most()
try:
    work()
    told = None
except CouponError as error:
    told = [error.code, str(error)]
print(json.dumps({{"error": told, "taken_mib": (most() - before) / 1024}}))
"""


def written(path: Path, block: bytes, *, before: bytes = b"", after: bytes = b"") -> Path:
    """A file of 200 MB of ``block`` again and again, never held whole."""
    many = block * (1024 * 1024 // len(block))
    with path.open("wb") as file:
        file.write(before)
        for _ in range(SIZE // len(many)):
            file.write(many)
        file.write(after)
    return path


def bank_archive(folder: Path, details: Path) -> Path:
    digest = bill_files.digest(details, algorithm="sm3")
    counted = ",".join(name for pair in bill_layout.COUNTED.values() for name in pair)
    archive = folder / "bill.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        made.write(details, "DETAIL_RAW.csv")
        made.writestr("SUMMARY_RAW.csv", f"bizDate,{counted},sm3OfDetail\r\n20260520,1,1,0,0,0,0,{digest}\r\n")
    details.unlink()
    return archive


def bank_no_archive(folder: Path) -> Path:
    return written(folder / "bill.zip", b"PK\x03\x04garbage")


def bank_no_lines(folder: Path) -> Path:
    return bank_archive(folder, written(folder / "details", b"garbage,"))


def bank_no_end(folder: Path) -> Path:
    header = ",".join(bill_layout.DETAIL).encode() + b"\r\n"
    return bank_archive(folder, written(folder / "details", b"garbage,", before=header))


def pos_path(folder: Path) -> Path:
    return folder / f"UCP_{MERCHANT}_20260520.csv"


def pos_no_lines(folder: Path) -> Path:
    return written(pos_path(folder), b"garbage,")


def pos_no_total(folder: Path) -> Path:
    return written(pos_path(folder), b"garbage,\n", before=POS_HEADER.encode())


def pos_one_endless_row(folder: Path) -> Path:
    import hashlib

    begun = f"{POS_HEADER}20260520,{MERCHANT}," + "1," * 10
    path = written(pos_path(folder), b"garbage,", before=begun.encode(), after=b"\n")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    with path.open("ab") as file:
        file.write(f"#TOTAL,1,1,0,{digest}\n".encode())
    return path


def acp_content(folder: Path, block: bytes) -> Path:
    details = written(folder / "details", block)
    archive = folder / "made.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        made.write(details, "INN26052088ZM_777290058110048")
    details.unlink()
    path = folder / "content"
    path.write_bytes(base64.b64encode(zlib.compress(archive.read_bytes())))
    archive.unlink()
    return path


def acp_no_lines(folder: Path) -> Path:
    return acp_content(folder, b"garbage ")


def acp_short_lines(folder: Path) -> Path:
    return acp_content(folder, b"garbage \r\n")


@pytest.mark.parametrize(
    ("make", "prepared", "code"),
    [
        (bank_no_archive, BANK, "bill.packed"),
        (bank_no_lines, BANK, "bill.no_header"),
        (bank_no_end, BANK, "bill.cut_short"),
        (pos_no_lines, POS, "bill.no_header"),
        (pos_no_total, POS, "bill.cut_short"),
        (pos_one_endless_row, POS, "unionpay_pos.bill"),
        (acp_no_lines, ACP, "unionpay_pos.bill"),
        (acp_short_lines, ACP, "unionpay_pos.bill"),
    ],
)
def test_garbage_is_named_in_little_memory(
    tmp_path: Path, make: Callable[[Path], Path], prepared: str, code: str
) -> None:
    folder = tmp_path / "bills"
    folder.mkdir()
    script = MEASURED.format(prepared=prepared)
    ran = subprocess.run(
        [sys.executable, "-c", script, str(make(folder))], capture_output=True, text=True, timeout=120, check=True
    )
    told = json.loads(ran.stdout)
    assert told["error"][0] == code, told
    assert len(told["error"][1]) < 400
    assert told["taken_mib"] < MOST_MIB, told
    assert not folder.exists()
