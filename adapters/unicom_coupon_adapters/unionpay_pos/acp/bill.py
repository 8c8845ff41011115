"""Bill files of the ACP gateway: ``fileContent``, its zip, and the ``ZM`` and ``ZME`` records (sheet 11.3).

Columns are so many **bytes** of GBK, so a line is cut first and decoded afterwards: a Chinese shop name has fewer
characters than bytes, and cutting text would shift every column behind it.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from unicom_coupon_sdk.errors import ValidationError

LARGEST: Final = 256 * 1024 * 1024
"""Bytes of an unpacked file or member. A small archive may claim to be endless."""

CHUNK: Final = 1024 * 1024


def _refuse(reason: str, *, field: str, **details: object) -> NoReturn:
    error = ValidationError("unionpay_pos.bill", field=field, platform="unionpay_pos", reason=reason)
    error.details.update(details)
    raise error from None


def unpack_content(file_content: str, *, largest: int = LARGEST) -> bytes:
    """The file in ``fileContent``: Base64 of one zlib stream. Raises ``ValidationError`` ``unionpay_pos.bill``."""
    return b"".join(unpacking(file_content, largest=largest))


def unpacking(file_content: str, *, largest: int = LARGEST) -> Iterator[bytes]:
    """The same in parts, none larger than ``CHUNK``."""
    left = largest
    try:
        packed = base64.b64decode(file_content, validate=True)
        stream = zlib.decompressobj()
        while packed and not stream.eof:
            part = stream.decompress(packed, CHUNK)
            packed, left = stream.unconsumed_tail, left - len(part)
            if left < 0:
                _refuse("size", field="fileContent", largest=largest)
            yield part
        if not stream.eof or stream.unused_data:
            _refuse("content", field="fileContent")
    except (binascii.Error, zlib.error):
        _refuse("content", field="fileContent")


def members(archive: bytes, *, largest: int = LARGEST) -> dict[str, bytes]:
    """The files of a bill's zip by name, in memory. Raises ``ValidationError`` ``unionpay_pos.bill``."""
    found: dict[str, bytes] = {}
    left = largest
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            for entry in opened.infolist():
                with opened.open(entry) as file:
                    found[entry.filename] = file.read(left + 1)
                left -= len(found[entry.filename])
                if left < 0:
                    break
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, OSError, ValueError):
        _refuse("zip", field="fileContent")
    if left < 0:
        _refuse("size", field="fileContent", largest=largest)
    return found


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of one kind of record, as name and width in bytes; one space lies between two."""

    name: str
    columns: tuple[tuple[str, int], ...]

    @property
    def width(self) -> int:
        """Bytes of a record, without its line end."""
        return sum(width for _, width in self.columns) + len(self.columns) - 1

    def parse(self, line: bytes, *, number: int = 1) -> dict[str, str]:
        """The columns of ``line`` (without line end), stripped of spaces.

        Raises ``ValidationError`` ``unionpay_pos.bill`` with the line ``number`` and the column for a wrong width, a
        column that is not GBK, or anything but a space between columns.
        """
        if len(line) != self.width:
            _refuse("width", field=self.name, line=number, length=len(line), wanted=self.width)
        values: dict[str, str] = {}
        at = 0
        for name, width in self.columns:
            if at and line[at - 1] != 0x20:
                _refuse("separator", field=name, line=number)
            try:
                values[name] = line[at : at + width].decode("gbk").strip(" ")
            except UnicodeDecodeError:
                _refuse("encoding", field=name, line=number)
            at += width + 1
        return values

    def records(self, content: bytes) -> Iterator[dict[str, str]]:
        """The records of a file, one a line; every line ends with CR LF. Raises as ``parse`` does."""
        if content and not content.endswith(b"\r\n"):
            _refuse("line_end", field=self.name, line=content.count(b"\n") + 1)
        for number, line in enumerate(content.split(b"\r\n")[:-1], start=1):
            yield self.parse(line, number=number)


ZM: Final = Layout(
    "ZM",
    (
        ("tradeCode", 3),
        ("acqInsCode", 11),
        ("sendInsCode", 11),
        ("traceNo", 6),
        ("txnTime", 10),
        ("accNo", 19),
        ("txnAmt", 12),
        ("merCatCode", 4),
        ("termType", 2),
        ("queryId", 21),
        ("payTypeOld", 2),
        ("orderId", 32),
        ("payCardType", 2),
        ("origTraceNo", 6),
        ("origTxnTime", 10),
        ("merFee", 13),
        ("settleAmt", 13),
        ("payType", 4),
        ("groupMerId", 15),
        ("txnType", 2),
        ("txnSubType", 2),
        ("bizType", 6),
        ("accType", 2),
        ("billType", 4),
        ("billNo", 32),
        ("interactMode", 1),
        ("origQryId", 21),
        ("merId", 15),
        ("splitMode", 1),
        ("subMerId", 15),
        ("subMerAbbr", 32),
        ("subMerAmt", 13),
        ("netSettleAmt", 13),
        ("termId", 8),
        ("merReserved", 32),
        ("discountAmt", 13),
        ("invoiceAmt", 13),
        ("instalFee", 12),
        ("instalPeriods", 2),
        ("txnMedium", 1),
        ("reserved", 131),
    ),
)
"""Details of the clearing day: 41 columns, 607 bytes. Newer files split the last one; the length stays."""

_ZME_WIDTHS: Final = (3, 11, 11, 6, 10, 19, 12, 4, 2, 2, 6, 10, 4, 12, 13, 13, 15, 15, 1, 12, 2, 135)

ZME: Final = Layout(
    "ZME",
    tuple(
        (ZM.columns[index][0] if index < 9 else f"column_{index + 1}", width) for index, width in enumerate(_ZME_WIDTHS)
    ),
)
"""Errors and adjustments: 22 columns, 339 bytes. Names behind the ninth are not confirmed: numbers."""


def check(path: Path, layout: Layout) -> None:
    """That every line of a file is a record of ``layout``. Raises as ``records`` does; holds one line at a time."""
    widths = b" ".join(b".{%d}" % width for _, width in layout.columns)
    record = re.compile(widths + rb"\r\n", re.DOTALL)
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(layout.width + 3), b""), start=1):
            if not (record.fullmatch(line) and _is_text(line)):
                layout.parse(line.rstrip(b"\r\n"), number=number)
                _refuse("line_end", field=layout.name, line=number)


def _is_text(line: bytes) -> bool:
    """Whether a record is GBK. A blank is never the second half of a character, so no column cuts one."""
    try:
        line.decode("gbk")
    except UnicodeDecodeError:
        return False
    return True


def signed_fen(text: str, *, field: str) -> int:
    """Fen of an amount with its sign: ``C`` is what the merchant receives, ``D`` (negative) what it pays.

    Raises ``ValidationError`` ``unionpay_pos.bill`` for another shape.
    """
    if not (len(text) == 13 and text[0] in "CD" and text[1:].isascii() and text[1:].isdigit()):
        _refuse("amount", field=field)
    return int(text[1:]) * (1 if text[0] == "C" else -1)
