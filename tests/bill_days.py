"""Bills of four platforms' forms, made of what should stand in them, and days with defects put in on purpose."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

from unicom_coupon_sdk.domain.bill import BillFile, BillKind, RowKind, RowState
from unicom_coupon_sdk.domain.money import yuan_text
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.platform.bill import BillLayout, BillSource, Delimited, FixedWidth, RowRule, Unit

DAY = date(2026, 5, 20)
NAME = "联通电子券 喆，镕"  # the second and fourth words have bytes that are no letters of latin-1


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What should stand in a row."""

    kind: RowKind
    number: str
    amount_fen: int
    platform_no: str = ""
    state: RowState = RowState.DONE
    fee_fen: int | None = None
    net_fen: int | None = None
    at: datetime = datetime(2026, 5, 20, 12, 0, 0, tzinfo=BEIJING)
    settles_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A kind of bill, and how its rows are written."""

    source: BillSource
    columns: tuple[str, ...]
    line_end: str = "\n"
    negative: RowKind = RowKind.REFUND  # the kind whose amounts are
    has_fees: bool = True

    @property
    def layout(self):
        return self.source.layout

    @property
    def kinds(self):
        return sorted({rule.kind for rule in self.layout.rules} - {RowKind.OTHER})

    def content(self, rows):
        return "".join(self.line(row) + self.line_end for row in rows).encode(self.layout.encoding)

    def line(self, row):
        raise NotImplementedError

    def bill(self, folder: Path, rows, *, day=DAY, content=None, declared=None, columns=None) -> BillFile:
        """The bill of ``rows`` in ``folder``; ``content`` instead of them, byte for byte."""
        content = self.content(rows) if content is None else content
        path = folder / f"{self.source.kind}.{day}.rows"
        path.write_bytes(content)
        return BillFile(
            platform="alipay",
            kind=self.source.kind,
            day=day,
            layout=self.layout.name,
            original=path,
            rows=path,
            columns=columns or self.columns,
            sha256=hashlib.sha256(content).hexdigest(),
            declared=declared or {},
        )


def _clock(row):
    return f"{row.at.astimezone(BEIJING):%Y-%m-%d %H:%M:%S}"


class Alipay(Form):
    """GBK, yuan, a tab behind each text; refunds are negative and have their own number; fees are negative."""

    def line(self, row):
        refund = row.kind is RowKind.REFUND
        word = {RowKind.PAYMENT: "交易", RowKind.REFUND: "退款", RowKind.OTHER: "其他"}[row.kind]
        texts = [row.platform_no, "" if refund else row.number, word, NAME, _clock(row), row.number if refund else ""]
        fee = "" if row.fee_fen is None else yuan_text(-row.fee_fen)
        return ",".join([*(f"{text}\t" for text in texts), yuan_text(row.amount_fen), fee])


class Account(Form):
    """GB18030, a column for what comes in and one for what goes out, signs of its own in both, many spellings."""

    def line(self, row):
        word = {RowKind.PAY_OUT: "转账到支付宝账户", RowKind.SHARE: "交易分账", RowKind.SHARE_RETURN: "交易退分账"}
        word |= {RowKind.FEE: "服务费", RowKind.OTHER: "收费"}
        back = row.kind is RowKind.SHARE_RETURN
        sums = [yuan_text(abs(row.amount_fen)) if back else "", "" if back else yuan_text(-abs(row.amount_fen))]
        return ",".join([f"{row.platform_no}\t", f"{row.number}\t", _clock(row), *sums, f"{word[row.kind]}\t", NAME])


class WeChat(Form):
    """UTF-8, a back-tick before each cell, no sign on refunds, fees with five decimals, line ends of two characters."""

    def line(self, row):
        refund = row.kind is RowKind.REFUND
        state = {RowKind.PAYMENT: "SUCCESS", RowKind.REFUND: "REFUND", RowKind.OTHER: "REVOKED"}[row.kind]
        own = ["0.00" if refund else yuan_text(row.amount_fen), yuan_text(-row.amount_fen) if refund else "0.00"]
        fee = "" if row.fee_fen is None else yuan_text(row.fee_fen) + "000"
        cells = [_clock(row), row.platform_no, row.number, state, *own, NAME, fee]
        return ",".join(f"`{cell}" for cell in cells)


class Acp(Form):
    """GBK in columns of fixed width; amounts with C or D; times without a year."""

    def line(self, row):
        code = {RowKind.REDEMPTION: "S22", RowKind.REVERSAL: "S23", RowKind.OTHER: "E00"}[row.kind]
        fee = "" if row.fee_fen is None else self.signed(-row.fee_fen)
        cells = [code, f"{row.at.astimezone(BEIJING):%m%d%H%M%S}", self.signed(row.amount_fen), row.number]
        cells += [row.platform_no, fee, NAME]
        widths = self.layout.form.widths
        padded = [cell.encode("gbk").ljust(width) for cell, width in zip(cells, widths, strict=True)]
        return b" ".join(padded).decode("gbk")

    @staticmethod
    def signed(fen):
        return f"{'D' if fen < 0 else 'C'}{abs(fen):012d}"


class Bank(Form):
    """UTF-8, fen, states, settlement days; quotes where they are needed."""

    def line(self, row):
        kind = {RowKind.SHARE: "SHARE", RowKind.SHARE_RETURN: "RETURN", RowKind.PAY_OUT: "PAY"}.get(row.kind, "FEE")
        state = {RowState.DONE: "S", RowState.UNDONE: "R", RowState.OPEN: "P", RowState.FAILED: "F"}[row.state]
        optional = ["" if fen is None else str(fen) for fen in (row.fee_fen, row.net_fen)]
        settles = "" if row.settles_on is None else f"{row.settles_on:%Y%m%d}"
        clock = row.at.astimezone(BEIJING)
        cells = [f"{clock:%Y%m%d}", f"{clock:%H%M%S}", kind, row.number, row.platform_no, f'"{NAME}, ""a"""']
        return ",".join([*cells, str(row.amount_fen), *optional, state, settles])


def _source(kind, layout, *lists):
    return BillSource(kind=kind, layout=layout, ready_at=time(10), lists=frozenset(lists))


_ORDER = {
    "platform_no": "支付宝交易号",
    "amount": "实收（元）",
    "fee": "服务费（元）",
    "fee_sign": -1,
    "at": ("完成时间",),
}

ALIPAY = Alipay(
    columns=(
        "支付宝交易号",
        "商户订单号",
        "业务类型",
        "商品名称",
        "完成时间",
        "退款请求号",
        "实收（元）",
        "服务费（元）",
    ),
    source=_source(
        BillKind.TRADE,
        BillLayout(
            name="trade",
            encoding="gbk",
            form=Delimited(),
            unit=Unit.YUAN,
            source="sheet",
            rules=(
                RowRule(kind=RowKind.PAYMENT, when={"业务类型": frozenset({"交易"})}, number="商户订单号", **_ORDER),
                RowRule(kind=RowKind.REFUND, when={"业务类型": frozenset({"退款"})}, number="退款请求号", **_ORDER),
            ),
        ),
        RowKind.REFUND,
    ),
)

_IN, _OUT = "收入金额（+元）", "支出金额（-元）"

ACCOUNT = Account(
    columns=("业务流水号", "商户订单号", "发生时间", _IN, _OUT, "业务类型", "备注"),
    negative=RowKind.SHARE_RETURN,
    has_fees=False,
    source=_source(
        BillKind.FUNDS,
        BillLayout(
            name="signcustomer",
            encoding="gb18030",
            form=Delimited(strip=" \t+-"),
            unit=Unit.YUAN,
            source="sheet",
            rules=tuple(
                RowRule(
                    kind=kind,
                    when={"业务类型": frozenset(words), other: frozenset({"", "0.00"})},
                    number="商户订单号",
                    platform_no="业务流水号",
                    amount=amount,
                    sign=sign,
                    at=("发生时间",),
                )
                for kind, words, sign, amount, other in (
                    (RowKind.PAY_OUT, {"转账", "转账到支付宝账户"}, 1, _OUT, _IN),
                    (RowKind.SHARE, {"分账", "分润", "交易分账"}, 1, _OUT, _IN),
                    (RowKind.SHARE_RETURN, {"分账退回", "分润退回", "交易退分账"}, -1, _IN, _OUT),
                    (RowKind.FEE, {"服务费"}, 1, _OUT, _IN),
                    (RowKind.OTHER, {"收费"}, 1, _OUT, _IN),
                )
            ),
        ),
        RowKind.PAY_OUT,
        RowKind.SHARE,
        RowKind.SHARE_RETURN,
    ),
)

_WECHAT = {"platform_no": "微信单号", "number": "商户单号", "fee": "手续费", "at": ("交易时间",)}

WECHAT = WeChat(
    columns=("交易时间", "微信单号", "商户单号", "交易状态", "订单金额", "退款金额", "商品名称", "手续费"),
    line_end="\r\n",
    source=_source(
        BillKind.FUNDS,
        BillLayout(
            name="all",
            encoding="utf-8",
            form=Delimited(separator=",`"),
            unit=Unit.YUAN,
            source="sheet",
            rules=(
                RowRule(kind=RowKind.PAYMENT, when={"交易状态": frozenset({"SUCCESS"})}, amount="订单金额", **_WECHAT),
                RowRule(
                    kind=RowKind.REFUND, when={"交易状态": frozenset({"REFUND"})}, amount="退款金额", sign=-1, **_WECHAT
                ),
            ),
        ),
    ),
)

_ACP = {"number": "orderId", "platform_no": "queryId", "amount": "amount", "fee": "fee", "fee_sign": -1}
_ACP |= {"at": ("time",), "at_format": "%m%d%H%M%S"}

ACP = Acp(
    columns=("code", "time", "amount", "orderId", "queryId", "fee", "name"),
    line_end="\r\n",
    source=_source(
        BillKind.COUPON,
        BillLayout(
            name="zm",
            encoding="gbk",
            form=FixedWidth((3, 10, 13, 32, 21, 13, 30)),
            unit=Unit.SIGNED_FEN,
            source="sheet",
            rules=(
                RowRule(kind=RowKind.REDEMPTION, when={"code": frozenset({"S22"})}, **_ACP),
                RowRule(kind=RowKind.REVERSAL, when={"code": frozenset({"S23"})}, **_ACP),
            ),
        ),
        RowKind.REDEMPTION,
        RowKind.REVERSAL,
    ),
)

_BANK = {"number": "orderId", "platform_no": "bankId", "amount": "amt", "fee": "fee", "net": "net", "state": "state"}
_BANK |= {"at": ("day", "time"), "at_format": "%Y%m%d%H%M%S", "settles_on": "settleDate"}
_STATES = {"S": RowState.DONE, "R": RowState.UNDONE, "P": RowState.OPEN, "F": RowState.FAILED}

BANK = Bank(
    columns=("day", "time", "kind", "orderId", "bankId", "name", "amt", "fee", "net", "state", "settleDate"),
    line_end="\r\n",
    source=_source(
        BillKind.SHARE,
        BillLayout(
            name="detail",
            encoding="utf-8",
            form=Delimited(),
            unit=Unit.FEN,
            source="sheet",
            rules=tuple(
                RowRule(kind=kind, when={"kind": frozenset({word})}, states=_STATES, **_BANK)
                for word, kind in (
                    ("SHARE", RowKind.SHARE),
                    ("RETURN", RowKind.SHARE_RETURN),
                    ("PAY", RowKind.PAY_OUT),
                )
            ),
        ),
        RowKind.SHARE,
        RowKind.SHARE_RETURN,
        RowKind.PAY_OUT,
    ),
)

FORMS = {"alipay": ALIPAY, "account": ACCOUNT, "wechat": WECHAT, "acp": ACP, "bank": BANK}
