"""ZIP files as Alipay packs them: member names are GBK bytes without the flag that says so (sheet §4.1).

Python's own writer would set the UTF-8 flag for such names, so the format is written out here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable

_DATE = 0x5C21
"""In the format of the day: 2026-01-01."""


def zipped(files: Iterable[tuple[str, str]]) -> bytes:
    """An archive of texts in GBK, by name."""
    out, index, count = io.BytesIO(), io.BytesIO(), 0
    for name, text in files:
        raw_name, raw = name.encode("gbk"), text.encode("gbk", "replace")
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = packer.compress(raw) + packer.flush()
        at = out.tell()
        common = struct.pack("<HHHHHIII", 20, 0, 8, 0, _DATE, zlib.crc32(raw), len(packed), len(raw))
        common += struct.pack("<HH", len(raw_name), 0)
        out.write(b"PK\x03\x04" + common + raw_name + packed)
        index.write(b"PK\x01\x02" + struct.pack("<H", 20) + common + struct.pack("<HHHII", 0, 0, 0, 0, at) + raw_name)
        count += 1
    listed = index.getvalue()
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(listed), out.tell(), 0)
    return out.getvalue() + listed + b"PK\x05\x06" + end
