"""The data elements of UnionPay POS, one row each, as in the sheet's table (section 2.2) and its encoding rules (2.1).

This table is the only place that says how a field lies on the wire. ``codec`` reads it twice: once to write the
straight-line code that does the work, once in the slow walk that explains what is wrong with a bad frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final


class Content(Enum):
    """What a field may hold, in the terms of the program."""

    DIGITS = "digits"  # text of 0-9
    NIBBLES = "nibbles"  # text of 0-9 A-F; '=' may be written for D
    ASCII = "ascii"  # printable ASCII text
    GBK = "gbk"  # GBK text, measured in bytes
    BYTES = "bytes"  # raw bytes


class Shape(Enum):
    """How a field lies on the wire: what is inside, how many length bytes are in front, and which side is padded."""

    N = (Content.DIGITS, 0, "none")  # even number of digits, two a byte
    N_PAD_RIGHT = (Content.DIGITS, 0, "right")  # odd digits, a 0 nibble behind (field 22)
    N_PAD_LEFT = (Content.DIGITS, 0, "left")  # odd digits, a 0 nibble in front (field 23)
    N_LL = (Content.DIGITS, 1, "right")  # BCD length counts digits
    N_LLL = (Content.DIGITS, 2, "right")
    Z_LL = (Content.NIBBLES, 1, "right")
    Z_LLL = (Content.NIBBLES, 2, "right")
    ANS = (Content.ASCII, 0, "none")  # left-aligned, spaces behind
    ANS_LL = (Content.ASCII, 1, "none")  # BCD length counts bytes
    ANS_LLL = (Content.ASCII, 2, "none")
    TEXT_LLL = (Content.GBK, 2, "none")
    B = (Content.BYTES, 0, "none")
    B_LLL = (Content.BYTES, 2, "none")

    def __init__(self, content: Content, length_bytes: int, pad: str) -> None:
        self.content = content
        self.length_bytes = length_bytes
        self.pad = pad

    @property
    def is_packed(self) -> bool:
        """Whether two characters share a byte."""
        return self.content in {Content.DIGITS, Content.NIBBLES}


@dataclass(frozen=True, slots=True)
class Field:
    """One row: the number, the names, the shape, and the size (exact when fixed, largest when variable).

    ``size`` counts digits for packed fields and bytes for all others.
    """

    number: int
    zh: str
    en: str
    shape: Shape
    size: int

    @property
    def is_fixed(self) -> bool:
        """Whether every value has exactly ``size``."""
        return self.shape.length_bytes == 0


_ROWS: Final = (
    Field(2, "主账号", "primary account number", Shape.N_LL, 19),
    Field(3, "交易处理码", "processing code", Shape.N, 6),
    Field(4, "交易金额", "amount in fen", Shape.N, 12),
    Field(11, "受卡方系统跟踪号", "terminal trace", Shape.N, 6),
    Field(12, "受卡方所在地时间", "local time hhmmss", Shape.N, 6),
    Field(13, "受卡方所在地日期", "local date MMDD", Shape.N, 4),
    Field(14, "卡有效期", "expiry YYMM", Shape.N, 4),
    Field(15, "清算日期", "clearing date MMDD", Shape.N, 4),
    Field(22, "服务点输入方式码", "entry mode", Shape.N_PAD_RIGHT, 3),
    Field(23, "卡序列号", "card sequence", Shape.N_PAD_LEFT, 3),
    Field(25, "服务点条件码", "condition code", Shape.N, 2),
    Field(26, "服务点PIN获取码", "PIN capture", Shape.N, 2),
    Field(32, "受理机构标识码", "acquirer", Shape.N_LL, 11),
    Field(35, "二磁道数据", "track 2", Shape.Z_LL, 37),
    Field(36, "三磁道数据", "track 3", Shape.Z_LLL, 104),
    Field(37, "检索参考号", "retrieval reference", Shape.ANS, 12),
    Field(38, "授权标识应答码", "authorization code", Shape.ANS, 6),
    Field(39, "应答码", "response code", Shape.ANS, 2),
    Field(41, "终端代码", "terminal", Shape.ANS, 8),
    Field(42, "商户代码", "merchant", Shape.ANS, 15),
    Field(44, "附加响应数据", "institution codes", Shape.ANS_LL, 25),
    Field(48, "附加数据", "totals, batch details, tip", Shape.N_LLL, 322),
    Field(49, "货币代码", "currency", Shape.ANS, 3),
    Field(52, "PIN数据", "PIN block", Shape.B, 8),
    Field(53, "安全控制信息", "security control", Shape.N, 16),
    Field(54, "余额", "balance", Shape.ANS_LLL, 20),
    Field(55, "IC卡数据域", "chip data", Shape.B_LLL, 999),
    Field(57, "自定义域", "acquirer's own", Shape.B_LLL, 100),
    Field(58, "电子钱包", "e-cash data", Shape.B_LLL, 100),
    Field(59, "自定义域", "scan-pay, terminal", Shape.B_LLL, 999),
    Field(60, "自定义域", "type, batch, network code", Shape.N_LLL, 19),
    Field(61, "原始信息域", "original transaction", Shape.N_LLL, 29),
    Field(62, "自定义域", "keys, sequence, coupon block", Shape.B_LLL, 999),
    Field(63, "自定义域", "operator, texts", Shape.TEXT_LLL, 163),
    Field(64, "报文鉴别码", "MAC", Shape.B, 8),
)

FIELDS: Final = MappingProxyType({row.number: row for row in _ROWS})
"""Every field that a frame may hold, by number, in wire order. A bit outside this table makes a frame unreadable."""

MAC_FIELD: Final = 64
