"""A bill's lines written out: the file of rows and the file of sums, in the columns of the sheet (§4.1).

The columns of ``trade`` and ``signcustomer`` are published. Those of ``merchant_act`` are unconfirmed and this
project's choice: our number, what happened, how it stands, and what it took off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from unicom_coupon_adapters.alipay.emulation.acts import BACK, USED
from unicom_coupon_adapters.alipay.emulation.moments import BEIJING, moment_text, yuan
from unicom_coupon_adapters.alipay.emulation.platform_keys import SELLER_ID
from unicom_coupon_sdk.domain.bill import RowKind, RowState
from unicom_coupon_sdk.sandbox.bills import BillLine

ACCOUNT: Final = f"{SELLER_ID}0156"


@dataclass(frozen=True, slots=True)
class _Form:
    """A file of rows: its title, what stands around the rows, and the header."""

    title: str
    what: str
    columns: str


STATES: Final = {RowState.DONE: "成功", RowState.OPEN: "处理中", RowState.FAILED: "失败"}
_TRADE: Final = _Form(
    "支付宝业务明细查询",
    "业务明细列表",
    "支付宝交易号,商户订单号,业务类型,商品名称,创建时间,完成时间,门店编号,门店名称,操作员,终端号,对方账户,"
    "订单金额（元）,商家实收（元）,支付宝红包（元）,集分宝（元）,支付宝优惠（元）,商家优惠（元）,券核销金额（元）,券名称,"
    "商家红包消费金额（元）,卡消费金额（元）,退款批次号/请求号,服务费（元）,分润（元）,备注",
)
_TRADE_SUMS: Final = (
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,"
    "卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）"
)
_FUNDS: Final = _Form(
    "支付宝账务明细查询",
    "账务明细列表",
    "账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,账户余额（元）,交易渠道,"
    "业务类型,备注,业务描述,业务账单来源,业务基础订单号,业务订单号",
)
_FUNDS_SUMS: Final = "类型,收入笔数,收入金额（+元）,支出笔数,支出金额（-元）,总金额（元）"
_COUPON: Final = _Form(
    "支付宝营销活动明细查询",
    "营销活动明细列表",
    "业务流水号,商户业务单号,业务类型,业务状态,活动编号,活动名称,券编号,门店编号,支付宝交易号,发生时间,订单金额（元）,"
    "优惠金额（元）,备注",
)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A bill before it is written. ``total_off_fen`` is added to the sums of one kind; ``made_at`` is printed."""

    lines: Sequence[BillLine]
    days: Sequence[date]
    made_at: datetime
    total_off_fen: int = 0


def trade(sheet: Sheet) -> list[tuple[str, str]]:
    """业务明细 and its 汇总. An amount is the order's sum; a refund's are negative, and so is what Alipay charges."""
    rows, sums = [], {kind: _Sum() for kind in (RowKind.PAYMENT, RowKind.REFUND)}
    for line in sheet.lines:
        told, off = line.cells, int(line.cells["off"])
        receipt, fee = line.amount_fen - off, -int(told["fee"])
        names = ("trade_no", "order_no", "business", "subject", "created", "done", "store")
        texts = [*(told[name] for name in names), "", "", "", told["other"]]
        money = [yuan(line.amount_fen), yuan(receipt), "0.00", "0.00", "0.00", yuan(off), "0.00"]
        cells = [*map(_text, texts), *money, _text(told["vouchers"]), "0.00", "0.00", _text(told["request_no"])]
        rows.append(",".join([*cells, yuan(fee), "0.00", _text("")]))
        sums[line.kind].add(line.amount_fen, receipt, off, fee)
    sums[RowKind.PAYMENT].add(sheet.total_off_fen, sheet.total_off_fen, count=0)
    paid, back = sums[RowKind.PAYMENT], sums[RowKind.REFUND]
    tail = [
        f"#交易合计：{paid.count}笔，商家实收共{yuan(paid[1])}元，商家优惠共{yuan(paid[2])}元",
        f"#退款合计：{back.count}笔，商家实收退款共{yuan(back[1])}元，商家优惠退款共{yuan(back[2])}元",
    ]
    total, receipt, off, fee = (paid[place] + back[place] for place in range(4))
    whole = [_text("合计"), _text(""), str(paid.count), str(back.count), yuan(total), yuan(receipt), "0.00", yuan(off)]
    whole += ["0.00", yuan(fee), "0.00", yuan(receipt + fee)]
    return [
        (_name(sheet, "业务明细"), _detail(sheet, _TRADE, rows, tail)),
        (_name(sheet, "业务明细(汇总)"), _plain(sheet, "支付宝业务汇总查询", _TRADE_SUMS, [",".join(whole)])),
    ]


def funds(sheet: Sheet) -> list[tuple[str, str]]:
    """账务明细 and its 汇总, a row a type. What goes out is negative."""
    rows: list[str] = []
    income: dict[str, _Sum] = {"转账": _Sum()}
    spent: dict[str, _Sum] = {"转账": _Sum()}
    for number, line in enumerate(sheet.lines, start=1):
        told = line.cells
        fen = line.amount_fen if told["is_income"] else -line.amount_fen
        texts = [f"{told['serial']}{number:03d}", told["platform_no"], line.number, told["subject"]]
        texts += [moment_text(line.at), told["other"]]
        money = [yuan(fen) if told["is_income"] else "", "" if told["is_income"] else yuan(fen), yuan(told["balance"])]
        more = ["支付宝", told["business"], "", told["business"], "", "", ""]
        rows.append(",".join([*map(_text, texts), *money, *map(_text, more)]))
        for sums in (income, spent):
            sums.setdefault(told["business"], _Sum())
        (income if told["is_income"] else spent)[told["business"]].add(fen)
    spent["转账"].add(-sheet.total_off_fen, count=0)
    ins, outs = _Sum.of(income.values()), _Sum.of(spent.values())
    tail = [f"#支出合计：{outs.count}笔，共{yuan(outs[0])}元", f"#收入合计：{ins.count}笔，共{yuan(ins[0])}元"]
    types = [(business, income[business], spent[business]) for business in income]
    return [
        (_name(sheet, "账务明细"), _detail(sheet, _FUNDS, rows, tail)),
        (
            _name(sheet, "账务明细(汇总)"),
            _plain(sheet, "支付宝账务汇总查询", _FUNDS_SUMS, [_typed(*one) for one in [*types, ("合计", ins, outs)]]),
        ),
    ]


def coupon(sheet: Sheet) -> list[tuple[str, str]]:
    """营销活动明细; it has no second file. What is given back is negative."""
    rows, sums = [], {business: _Sum() for business in (USED, BACK)}
    for line in sheet.lines:
        told = line.cells
        texts = [told["serial"], line.number, told["business"], STATES[line.state]]
        texts += [told[name] for name in ("activity_id", "activity_name", "voucher_id", "store", "trade_no")]
        money = [yuan(told["total"]), yuan(line.amount_fen)]
        rows.append(",".join([*map(_text, [*texts, moment_text(line.at)]), *money, _text("")]))
        if told["business"] in sums:
            sums[told["business"]].add(line.amount_fen)
    sums[USED].add(sheet.total_off_fen, count=0)
    tail = [f"#{business}合计：{one.count}笔，优惠共{yuan(one[0])}元" for business, one in sums.items()]
    detail = _detail(sheet, _COUPON, rows, tail)
    return [(_name(sheet, "营销活动明细"), detail)]


@dataclass(slots=True)
class _Sum:
    """How many rows, and the sums of their amounts, place by place."""

    count: int = 0
    fen: list[int] = field(default_factory=lambda: [0, 0, 0, 0])

    def add(self, *fen: int, count: int = 1) -> None:
        self.count += count
        for place, one in enumerate(fen):
            self.fen[place] += one

    def __getitem__(self, place: int) -> int:
        return self.fen[place]

    @classmethod
    def of(cls, sums: Iterable[_Sum]) -> _Sum:
        whole = cls()
        for one in sums:
            whole.add(*one.fen, count=one.count)
        return whole


def _typed(business: str, income: _Sum, spent: _Sum) -> str:
    money = [str(income.count), yuan(income[0]), str(spent.count), yuan(spent[0]), yuan(income[0] + spent[0])]
    return ",".join([_text(business), *money])


def _detail(sheet: Sheet, form: _Form, rows: Sequence[str], tail: Sequence[str]) -> str:
    rule = "-" * 41
    head = [*_head(sheet, form.title), f"#{rule}{form.what}{rule}", form.columns]
    return "\n".join([*head, *rows, f"#{rule}{form.what}结束{rule}", *tail, _made(sheet)]) + "\n"


def _plain(sheet: Sheet, title: str, columns: str, rows: Sequence[str]) -> str:
    return "\n".join([*_head(sheet, title), columns, *rows, _made(sheet)]) + "\n"


def _head(sheet: Sheet, title: str) -> list[str]:
    first = f"{sheet.days[0]:%Y年%m月%d日} 00:00:00"
    last = f"{sheet.days[-1] + timedelta(days=1):%Y年%m月%d日} 00:00:00"
    return [f"#{title}", f"#账号：[{ACCOUNT}]", f"#起始日期：[{first}]   终止日期：[{last}]"]


def _made(sheet: Sheet) -> str:
    return f"#导出时间：[{sheet.made_at.astimezone(BEIJING):%Y年%m月%d日 %H:%M:%S}]"


def _name(sheet: Sheet, what: str) -> str:
    form = "%Y%m%d" if len(sheet.days) == 1 else "%Y%m"
    return f"{ACCOUNT}_{sheet.days[0]:{form}}_{what}.csv"


def _text(cell: str) -> str:
    """A text cell: it ends with a TAB, and no comma stands in it."""
    return cell.replace(",", "，") + "\t"
