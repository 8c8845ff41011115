"""Bills for tests: archives as Alipay packs them, and a peer that hands them out behind URLs.

The bytes are made here apart from the emulator's own writer, so that a mistake in one cannot hide in the other.
"""

import io
import zipfile
from datetime import date

from tests.driving import START, Driver
from tests.unit.alipay.peer import VECTORS, Peer, adapter, ok

from unicom_coupon_adapters.alipay.bills import QUERY
from unicom_coupon_sdk.domain.bill import BillKind
from unicom_coupon_sdk.platform.bill import BillOrder
from unicom_coupon_sdk.platform.effects import Local
from unicom_coupon_sdk.platform.wire import HttpAnswer

J01 = next(vector for vector in VECTORS["vectors"] if vector["id"] == "J01")
DAY = date(2026, 1, 15)
ACCOUNT = "20880000000000010156"
HOST = "dwbillcenter.alipay.com"
URL = f"http://{HOST}/downloadBillFile.resource?bizType=trade&token=T"
DETAIL = f"{ACCOUNT}_20260115_业务明细.csv"
SUMS = f"{ACCOUNT}_20260115_业务明细(汇总).csv"
SUMS_TEXT = (
    "#支付宝业务汇总查询\n#账号：[20880000000000010156]\n"
    "#起始日期：[2026年01月15日 00:00:00]   终止日期：[2026年01月16日 00:00:00]\n"
    "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,支付宝优惠（元）,商家优惠（元）,"
    "卡消费金额（元）,服务费（元）,分润（元）,实收净额（元）\n"
    "合计\t,\t,1,1,0.00,0.00,0.00,0.00,0.00,0.00,0.00,0.00\n#导出时间：[2026年01月16日 05:46:49]\n"
)
TRADE = {DETAIL: J01["text"], SUMS: SUMS_TEXT}

FUNDS_DETAIL = f"{ACCOUNT}_20260115_账务明细.csv"
FUNDS_SUMS = f"{ACCOUNT}_20260115_账务明细(汇总).csv"
FUNDS = {
    FUNDS_SUMS: (  # the summary may come first
        "#支付宝账务汇总查询\n类型,收入笔数,收入金额（+元）,支出笔数,支出金额（-元）,总金额（元）\n"
        "在线支付\t,1,99.00,0,0.00,99.00\n转账\t,1,3.00,2,-50.50,-47.50\n分账\t,0,0.00,1,-10.00,-10.00\n"
        "分账退回\t,1,10.00,0,0.00,10.00\n服务费\t,0,0.00,1,-0.60,-0.60\n退费\t,1,0.10,0,0.00,0.10\n"
        "合计\t,4,112.10,4,-61.10,51.00\n"
    ),
    FUNDS_DETAIL: (
        "#支付宝账务明细查询\n#账号：[20880000000000010156]\n"
        "账务流水号,业务流水号,商户订单号,商品名称,发生时间,对方账号,收入金额（+元）,支出金额（-元）,账户余额（元）,"
        "交易渠道,业务类型,备注\n"
        "1\t,T1\t,ORD1\t,电子券\t,2026-01-15 10:20:31\t,*三\t,99.00,,199.00,支付宝\t,在线支付\t,\t\n"
        "#支出合计：4笔，共-61.10元\n#收入合计：4笔，共112.10元\n#导出时间：[2026年01月16日 05:46:49]\n"
    ),
}
COUPON_DETAIL = f"{ACCOUNT}_20260115_营销活动明细.csv"
COUPON = {
    COUPON_DETAIL: (
        "#支付宝营销活动明细查询\n"
        "业务流水号,商户业务单号,业务类型,业务状态,活动编号,券编号,发生时间,优惠金额（元）,新列\n"
        "S1\t,RDM1\t,核销\t,成功\t,A1\t,V1\t,2026-01-15 10:20:31\t,50.00,x\t\n"
        "S2\t,REV1\t,退回\t,成功\t,A1\t,V1\t,2026-01-15 11:20:31\t,-50.00,x\t\n"
        "#营销活动明细列表结束\n"
    ),
}


class _GbkName(zipfile.ZipInfo):
    """A member whose name is GBK without the flag that would say so."""

    def _encodeFilenameFlags(self):  # noqa: N802 - the library's
        return self.filename.encode("gbk"), self.flag_bits & ~0x800


def archive(files, *, utf8_names=False):
    """A ZIP of texts in GBK (or of bytes as they are)."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in files.items():
            member = zipfile.ZipInfo(name) if utf8_names else _GbkName(name)
            member.compress_type = zipfile.ZIP_DEFLATED
            target.writestr(member, content if isinstance(content, bytes) else content.encode("gb18030"))
    return packed.getvalue()


class BillPeer(Peer):
    """Answers the question for a URL, and gives out what is behind it; the last of ``archives`` stays."""

    def __init__(self, *archives, node=None):
        super().__init__(**{QUERY.method: node if node is not None else ok(bill_download_url=URL)})
        self.archives = list(archives)
        self.fetched = []

    def __call__(self, effect):
        if isinstance(effect, Local):
            return effect.work()
        if effect.save_to is None:
            return super().__call__(effect)
        assert effect.request.host in effect.rules.allowed_hosts
        assert (effect.request.method, effect.request.content) == ("GET", b"")
        self.fetched.append(effect.request.url)
        step = self.archives.pop(0) if len(self.archives) > 1 else self.archives[0]
        if isinstance(step, Exception):
            raise step
        status, content = step if isinstance(step, tuple) else (200, step)
        if status == 200:
            effect.save_to.write_bytes(content)
            content = b""
        return HttpAnswer(status, (), content)


def fetch(peer, folder, *, kind=BillKind.TRADE, day=DAY, now=START, **changes):
    """What ``fetch_bill`` answers."""
    facts = {"seller_id": "2088000000000001", **changes}
    return Driver(peer, now=now).run(adapter(**facts).fetch_bill(BillOrder(kind=kind, day=day, folder=folder)))
