"""Bills from asking to rows: the vector's file, its broken siblings, and the other forms in which bills were met."""

import base64
import gzip
import hashlib
import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from unicom_coupon_adapters.wechatpay import layouts
from unicom_coupon_sdk.domain.bill import BillFile, BillKind, BillNotReady, NoBill, RowKind, Total
from unicom_coupon_sdk.errors import (
    ForgedMessage,
    PlatformRefused,
    PlatformUnavailable,
    UnsupportedOperation,
    ValidationError,
)
from unicom_coupon_sdk.platform.bill import BillOrder
from unicom_coupon_sdk.platform.wire import HttpAnswer, header

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "wechatpay.json").read_text("utf-8"))["vectors"]
[B01] = [vector for vector in VECTORS if vector["id"] == "B01"]
PLAIN = base64.b64decode(B01["csv_base64"])
DAY = date(2026, 5, 19)
LINK = "https://api.mch.weixin.qq.com/v3/billdownload/file?token=6XIv5TUPto7pByrTQKhd6kwvyKLG2uY2wMMR8cNXqaA_Cv_isgaUtBzp4QtiozLO&tartype=gzip"
FUNDS_HEADER = (
    "记账时间,微信支付业务单号,资金流水单号,业务名称,业务类型,收支类型,收支金额(元),账户结余(元),"
    "资金变更提交申请人,备注,业务凭证号"
)
FUNDS_TOTALS = "资金流水总笔数,收入笔数,收入金额,支出笔数,支出金额"
SHARE_HEADER = (
    "分账时间,分账发起方,分账方,微信订单号,微信分账/回退单号,分账明细单号,商户分账/回退单号,订单金额,分账接收方,"
    "分账金额,业务类型,处理状态,分账描述,备注"
)


def text(*lines):
    return "\ufeff" + "".join(f"{line}\r\n" for line in lines)


def ticked(*cells):
    return ",".join(f"`{cell}" for cell in cells)


def flow(business, way, yuan, number, *, at="2026-05-19 12:00:00"):
    return ticked(at, f"W{number}", f"F{number}", business, business, way, yuan, "0.00", "system", "", number)


FUNDS = text(
    FUNDS_HEADER,
    flow("交易", "收入", "100.00", "order1"),
    flow("扣除交易手续费", "支出", "0.60", "order1"),
    flow("商家转账", "支出", "8.80", "payout1"),
    flow("商家转账", "支出", "1.20", "payout2"),
    flow("分账回退", "收入", "3.00", "return1"),
    FUNDS_TOTALS,
    ticked("5", "2.0", "103.00", "3.0", "10.60"),
)
SHARE = text(
    SHARE_HEADER,
    ticked(
        "2026-05-19 12:00:00", "1", "1", "42", "30", "36", "share1", "100.00", "19", "10.00", "分账", "SUCCESS", "", ""
    ),
)


class Offices:
    """The platform's side of one bill: the link, and the file behind it."""

    def __init__(self, world, folder):
        self.world = world
        self.folder = folder
        self.folder.mkdir()

    def order(self, kind=BillKind.TRADE, day=DAY):
        return BillOrder(kind=kind, day=day, folder=self.folder)

    def offer(self, content, **changes):
        told = {"hash_type": "SHA1", "hash_value": hashlib.sha1(content).hexdigest(), "download_url": LINK}
        return self.world.ok(told | changes)

    def fetch(self, content, *, kind=BillKind.TRADE, packed=True, offered=None, **changes):
        content = content.encode() if isinstance(content, str) else content
        sent = gzip.compress(content, mtime=0) if packed else content
        flow = self.world.adapter.fetch_bill(self.order(kind))
        offer = self.offer(content if offered is None else offered, **changes)
        return self.world.run(flow, offer, HttpAnswer(200, (), sent))

    def refused(self, content, error, match, **how):
        with pytest.raises(error, match=match):
            self.fetch(content, **how)
        assert not self.folder.exists()


@pytest.fixture
def offices(world, tmp_path):
    return Offices(world, tmp_path / "bill")


def test_the_vectors_bill_is_taken_apart(offices):
    bill = offices.fetch(PLAIN)
    lines = PLAIN.splitlines(keepends=True)
    assert isinstance(bill, BillFile)
    assert (bill.kind, bill.day, bill.layout) == (BillKind.TRADE, DAY, "trade")
    assert bill.rows.read_bytes() == lines[1]
    assert len(bill.columns) == 27
    assert bill.columns[0] == "交易时间"
    assert bill.original.read_bytes() == gzip.compress(PLAIN, mtime=0)
    assert bill.sha256 == hashlib.sha256(bill.original.read_bytes()).hexdigest()
    assert sorted(path.name for path in offices.folder.iterdir()) == ["original", "rows"]


def test_the_vectors_totals_are_told_by_kind(offices):
    declared = offices.fetch(PLAIN).declared
    assert declared == {
        RowKind.PAYMENT: Total(rows=1, amount_fen=10_000),
        RowKind.REFUND: Total(rows=0, amount_fen=0),
    }


def test_asking_and_download_are_both_signed_over_their_own_targets(world, offices):
    offices.fetch(PLAIN)
    for request in world.requests:
        found = dict(re.findall(r'(\w+)="([^"]*)"', header(request.headers, "Authorization")))
        message = f"GET\n{request.target}\n{found['timestamp']}\n{found['nonce_str']}\n\n".encode()
        assert world.merchant_key.public_key.verify_sha256(base64.b64decode(found["signature"]), message)
    assert world.requests[0].target == "/v3/bill/tradebill?bill_date=2026-05-19&tar_type=GZIP&bill_type=ALL"
    assert world.requests[1].url == LINK


def test_a_file_that_was_not_packed_is_read_as_it_is(offices):
    bill = offices.fetch(PLAIN, packed=False)
    assert bill.original.read_bytes() == PLAIN


@pytest.mark.parametrize(
    "broken",
    [
        PLAIN + b" ",
        PLAIN[:-1],
        PLAIN.replace(b"\r\n", b"\n"),
        PLAIN.removeprefix(b"\xef\xbb\xbf"),
        b"",
        b"x" * 3_000_000,
    ],
    ids=["longer", "shorter", "other line ends", "no mark", "empty", "garbage"],
)
@pytest.mark.parametrize("packed", [True, False])
def test_a_file_of_another_digest_is_forged_and_nothing_is_left(offices, broken, packed):
    offices.refused(broken, ForgedMessage, r"wechatpay\.bill_digest", offered=PLAIN, packed=packed)


def test_an_archive_that_is_cut_short_cannot_be_unpacked(world, offices):
    packed = gzip.compress(PLAIN)[:-9]
    with pytest.raises(ValidationError, match=r"bill\.packed"):
        world.run(world.adapter.fetch_bill(offices.order()), offices.offer(PLAIN), HttpAnswer(200, (), packed))
    assert not offices.folder.exists()


def test_a_bill_whose_totals_are_missing_is_cut_short_though_its_digest_is_right(offices):
    cut = b"".join(PLAIN.splitlines(keepends=True)[:2])
    offices.refused(cut, ValidationError, r"bill\.cut_short")


def test_a_bill_that_ends_within_its_totals_is_cut_short(offices):
    cut = b"".join(PLAIN.splitlines(keepends=True)[:3])
    offices.refused(cut, ValidationError, r"bill\.cut_short")


def test_garbage_under_a_right_digest_has_no_header(offices):
    offices.refused(b"<html>" + b"x" * 200_000, ValidationError, r"bill\.no_header")


def test_a_column_that_is_missing_is_named(offices):
    with pytest.raises(ValidationError) as raised:
        offices.fetch(PLAIN.decode().replace("商户订单号", "商家订单号"))
    assert (raised.value.code, raised.value.field) == ("wechatpay.bill_column", "商户订单号")


def test_a_column_that_is_new_is_taken_along(offices):
    lines = PLAIN.decode().splitlines()
    lines[0] += ",新增列"
    lines[1] += ",`something"
    bill = offices.fetch("".join(f"{line}\r\n" for line in lines))
    assert bill.columns[-1] == "新增列"
    assert bill.rows.read_bytes().endswith(b",`something\r\n")


@pytest.mark.parametrize(("column", "cell"), [("总交易单数", "many"), ("总交易单数", "1.5"), ("订单总金额", "1e3")])
def test_totals_that_are_no_numbers_are_refused_by_name(offices, column, cell):
    lines = PLAIN.decode().splitlines()
    names = lines[2].split(",")
    values = lines[3].split(",")
    values[names.index(column)] = f"`{cell}"
    broken = "\r\n".join([*lines[:3], ",".join(values), ""])
    with pytest.raises(ValidationError) as raised:
        offices.fetch(broken)
    assert (raised.value.code, raised.value.field) == ("wechatpay.bill_totals", column)


def test_totals_that_are_wrong_are_told_as_they_stand(offices):
    lines = PLAIN.decode().splitlines()
    lines[3] = lines[3].replace("`1,", "`3.0,", 1).replace("`100.00", "`100.01")
    declared = offices.fetch("".join(f"{line}\r\n" for line in lines)).declared
    assert declared[RowKind.PAYMENT] == Total(rows=3, amount_fen=10_001)


def test_refunds_are_counted_with_orders_and_told_apart(offices):
    lines = PLAIN.decode().splitlines()
    lines.insert(2, lines[1].replace("SUCCESS", "REFUND"))
    lines[-1] = ticked("2.0", "95.00", "25.00", "0.00", "0.42000", "100.00", "25.00")
    declared = offices.fetch("".join(f"{line}\r\n" for line in lines)).declared
    assert declared == {
        RowKind.PAYMENT: Total(rows=1, amount_fen=10_000),
        RowKind.REFUND: Total(rows=1, amount_fen=-2_500),
    }


def test_rows_of_neither_kind_are_not_counted_as_orders(offices):
    lines = PLAIN.decode().splitlines()
    lines.insert(2, lines[1].replace("SUCCESS", "SOMETHING_NEW"))
    lines[-1] = lines[-1].replace("`1,", "`2.0,", 1)
    declared = offices.fetch("".join(f"{line}\r\n" for line in lines)).declared
    assert declared[RowKind.PAYMENT].rows == 1


def test_names_with_back_ticks_and_cells_in_quotes_read_the_same(offices, world, tmp_path):
    lines = PLAIN.decode().removeprefix("\ufeff").splitlines()
    lines[1] = lines[1].replace("联通电子券", "联通电子券, 买一送一")
    plain = offices.fetch(text(*lines))
    other = Offices(world, tmp_path / "other")
    header, totals = ticked(*lines[0].split(",")), ticked(*lines[2].split(","))
    quoted = ",".join(f'"`{cell}"' for cell in lines[1][1:].split(",`"))
    bill = other.fetch(text(header, quoted, totals, lines[3]))
    assert (bill.columns, bill.declared) == (plain.columns, plain.declared)
    assert bill.rows.read_bytes() == plain.rows.read_bytes()


def test_what_went_out_beside_other_business_is_told_as_pay_outs(offices):
    bill = offices.fetch(FUNDS, kind=BillKind.FUNDS)
    assert bill.declared == {RowKind.PAY_OUT: Total(rows=2, amount_fen=1_000)}


def test_a_movement_without_an_amount_is_refused(offices):
    offices.refused(FUNDS.replace("`0.60", "`"), ValidationError, r"wechatpay\.bill_totals", kind=BillKind.FUNDS)


@pytest.mark.parametrize("totals", [(), ("总条数,分账总金额", ticked("1", "10.00"))])
def test_a_profit_sharing_bill_may_have_totals_or_none(offices, totals):
    bill = offices.fetch(SHARE + "".join(f"{line}\r\n" for line in totals), kind=BillKind.SHARE)
    assert bill.rows.read_text("utf-8").splitlines() == SHARE.splitlines()[1:]
    assert bill.declared == {}


def test_a_day_without_trade_has_no_bill(world, offices):
    answer = world.run(world.adapter.fetch_bill(offices.order()), world.error(400, "NO_STATEMENT_EXIST"))
    assert answer == NoBill(platform="wechatpay", kind=BillKind.TRADE, day=DAY)


def test_before_ten_nobody_is_asked(world, offices):
    answer = world.run(world.adapter.fetch_bill(offices.order(day=date(2026, 5, 20))))
    ten = datetime(2026, 5, 21, 2, tzinfo=UTC)
    assert answer == BillNotReady(platform="wechatpay", kind=BillKind.TRADE, day=date(2026, 5, 20), ready_at=ten)
    assert world.requests == []


def test_a_bill_in_the_making_is_not_ready_and_not_asked_for_at_once_again(world, offices):
    answer = world.run(world.adapter.fetch_bill(offices.order()), world.error(400, "STATEMENT_CREATING"))
    assert isinstance(answer, BillNotReady)
    assert answer.ready_at == world.driver.now + timedelta(minutes=15)
    assert world.driver.slept == []


def test_any_other_refusal_is_raised(world, offices):
    with pytest.raises(PlatformRefused):
        world.run(world.adapter.fetch_bill(offices.order()), world.error(403, "NO_AUTH"))


def test_a_bill_of_coupons_is_not_offered(world, offices):
    with pytest.raises(UnsupportedOperation, match=r"bill\.not_offered"):
        world.run(world.adapter.fetch_bill(offices.order(BillKind.COUPON)))


def test_a_link_to_another_host_is_not_followed(world, offices):
    offer = offices.offer(PLAIN, download_url=LINK.replace("api.mch", "evil"))
    with pytest.raises(PlatformRefused, match=r"wechatpay\.download_host"):
        world.run(world.adapter.fetch_bill(offices.order()), offer)


@pytest.mark.parametrize("changes", [{"hash_type": "MD5"}, {"hash_value": None}, {"download_url": None}])
def test_an_offer_without_a_proof_is_no_offer(world, offices, changes):
    with pytest.raises(PlatformUnavailable, match=r"wechatpay\.answer_malformed"):
        world.run(world.adapter.fetch_bill(offices.order()), offices.offer(PLAIN, **changes))


def test_a_lost_download_is_unavailable(world, offices):
    with pytest.raises(PlatformUnavailable):
        world.run(world.adapter.fetch_bill(offices.order()), offices.offer(PLAIN), world.lost)
    assert list(offices.folder.iterdir()) == []


def test_every_column_that_a_layout_reads_is_one_of_the_sheets():
    sheet = {"trade": trade_header(), "funds": FUNDS_HEADER.split(","), "share": SHARE_HEADER.split(",")}
    for source in layouts.SOURCES:
        assert set(layouts.columns_needed(source.layout)) <= set(sheet[source.layout.name])


def trade_header():
    return PLAIN.decode("utf-8-sig").splitlines()[0].split(",")
