"""Bills: asked for, fetched in time from the right host, and refused when anything about them is wrong."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.alipay.billing import (
    COUPON,
    COUPON_DETAIL,
    DAY,
    DETAIL,
    FUNDS,
    FUNDS_DETAIL,
    FUNDS_SUMS,
    SUMS,
    TRADE,
    URL,
    BillPeer,
    archive,
    fetch,
)
from tests.unit.alipay.peer import lost, ok, refused

from unicom_coupon_adapters.alipay import bills
from unicom_coupon_adapters.alipay.bill_layouts import SOURCES
from unicom_coupon_sdk.domain.bill import BillFile, BillKind, BillNotReady, NoBill, RowKind, Total
from unicom_coupon_sdk.errors import (
    ConfigurationError,
    ForgedMessage,
    PlatformRefused,
    PlatformUnavailable,
    UnsupportedOperation,
    ValidationError,
)

NINE = datetime(2026, 1, 16, 1, tzinfo=UTC)
WHOLE = archive(TRADE)
PAGE = b"<html>expired</html>"


def changed(files, name, *replacements):
    text = files[name]
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    return {**files, name: text}


class TestAsking:
    def test_the_days_bill_is_asked_for_by_its_type(self, tmp_path):
        for kind, files, name in (
            (BillKind.TRADE, TRADE, "trade"),
            (BillKind.FUNDS, FUNDS, "signcustomer"),
            (BillKind.COUPON, COUPON, "merchant_act"),
        ):
            folder = tmp_path / name
            folder.mkdir()
            peer = BillPeer(archive(files))
            bill = fetch(peer, folder, kind=kind)
            assert peer.calls[0][1] == {"bill_type": name, "bill_date": "2026-01-15"}
            assert (bill.kind, bill.layout, bill.day) == (kind, name, DAY)

    def test_a_kind_that_is_not_offered_is_refused_before_anything_is_sent(self, tmp_path):
        peer = BillPeer(WHOLE)
        with pytest.raises(UnsupportedOperation):
            fetch(peer, tmp_path, kind=BillKind.SHARE)
        with pytest.raises(UnsupportedOperation):
            fetch(peer, tmp_path, kind=BillKind.COUPON, coupon_family="certificate")
        assert peer.calls == []

    def test_a_day_that_is_not_over_has_no_bill_yet(self, tmp_path):
        peer = BillPeer(WHOLE)
        for now in (NINE - timedelta(days=1), NINE - timedelta(hours=9, seconds=1)):
            answer = fetch(peer, tmp_path, now=now)
            assert answer == BillNotReady(platform="alipay", kind=BillKind.TRADE, day=DAY, ready_at=NINE)
        assert peer.calls == []

    @pytest.mark.parametrize("code", ["NO_BILL_DATA", "isp.no_bill_data"])
    def test_a_day_without_business_has_none(self, tmp_path, code):
        none = NoBill(platform="alipay", kind=BillKind.TRADE, day=DAY)
        assert fetch(BillPeer(WHOLE, node=refused(code)), tmp_path) == none
        empty = ok(bill_download_url=URL, bill_file_code="EMPTY_DATA_WITH_BILL_FILE")
        peer = BillPeer(WHOLE, node=empty)
        assert fetch(peer, tmp_path) == none
        assert peer.fetched == []

    @pytest.mark.parametrize("code", ["BILL_NOT_EXIST", "isp.bill_not_exist", "Isp.Bill_Not_Exist"])
    @pytest.mark.parametrize(
        ("now", "ready_at"),
        [
            (NINE - timedelta(hours=3), NINE),
            (NINE + timedelta(minutes=1), NINE + timedelta(minutes=31)),
        ],
    )
    def test_a_bill_that_is_not_made_yet_is_told_with_when_to_ask_again(self, tmp_path, code, now, ready_at):
        answer = fetch(BillPeer(WHOLE, node=refused(code)), tmp_path, now=now)
        assert answer == BillNotReady(platform="alipay", kind=BillKind.TRADE, day=DAY, ready_at=ready_at)

    def test_a_bill_that_is_missing_a_day_later_will_not_come(self, tmp_path):
        with pytest.raises(PlatformRefused) as caught:
            fetch(BillPeer(WHOLE, node=refused("BILL_NOT_EXIST")), tmp_path, now=NINE + timedelta(days=1))
        assert caught.value.code == "alipay.bill_missing"


class TestDownloading:
    def test_it_is_fetched_over_tls_though_alipay_writes_http(self, tmp_path):
        peer = BillPeer(WHOLE)
        fetch(peer, tmp_path)
        assert peer.fetched == [URL.replace("http://", "https://")]

    def test_a_sandbox_on_this_host_is_fetched_from_as_it_says(self, tmp_path):
        url = "http://127.0.0.1:8701/bill/x"
        peer = BillPeer(WHOLE, node=ok(bill_download_url=url))
        fetch(peer, tmp_path, bill_hosts={"127.0.0.1"})
        assert peer.fetched == [url]

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "ftp://dwbillcenter.alipay.com/x",
            "https://dwbillcenter.alipay.com.invalid/x",
            "https://invalid/dwbillcenter.alipay.com",
            "https://dwbillcenter.alipay.com@invalid/x",
            "https://invalid\\@dwbillcenter.alipay.com/x",
            "https://dwbillcenter.alipay.com /x",
            "https://127.0.0.1/x",
            "file:///etc/passwd",
            "https://dwbillcenter.alipay.com:x/y",
        ],
    )
    def test_another_host_is_never_asked(self, tmp_path, url):
        peer = BillPeer(WHOLE, node=ok(bill_download_url=url))
        with pytest.raises(ConfigurationError) as caught:
            fetch(peer, tmp_path)
        assert (caught.value.code, caught.value.field) == ("alipay.bill_host", "bill_hosts")
        assert peer.fetched == []

    @pytest.mark.parametrize("trouble", [(403, b"expired"), (200, PAGE), (200, WHOLE[:-30]), lost()])
    def test_a_url_that_is_spent_is_asked_for_anew(self, tmp_path, trouble):
        peer = BillPeer(trouble, trouble, WHOLE)
        assert isinstance(fetch(peer, tmp_path), BillFile)
        assert (len(peer.calls), len(peer.fetched)) == (3, 3)

    @pytest.mark.parametrize(
        ("trouble", "kind", "code"),
        [
            ((403, b"expired"), PlatformUnavailable, "alipay.bill_download"),
            (lost(), PlatformUnavailable, "alipay.bill_download"),
            ((200, PAGE), ValidationError, "bill.packed"),
            ((200, WHOLE[:-30]), ValidationError, "bill.packed"),
            ((200, bytes(20_000_000)), ValidationError, "bill.packed"),
        ],
    )
    def test_three_urls_in_vain_are_enough_and_leave_nothing(self, tmp_path, trouble, kind, code):
        peer = BillPeer(trouble)
        with pytest.raises(kind) as caught:
            fetch(peer, tmp_path)
        assert caught.value.code == code
        assert (len(peer.fetched), list(tmp_path.iterdir())) == (3, [])


class TestReading:
    @pytest.mark.parametrize("utf8_names", [False, True])
    def test_what_is_left_is_the_archive_and_its_rows(self, tmp_path, utf8_names):
        whole = archive(TRADE, utf8_names=utf8_names)
        bill = fetch(BillPeer(whole), tmp_path)
        assert bill.original.read_bytes() == whole
        assert set(tmp_path.iterdir()) == {bill.original, bill.rows}
        assert bill.is_final

    def test_columns_may_come_and_members_may_be_more(self, tmp_path):
        more = changed(TRADE, DETAIL, (",备注\n", ",备注,新列\n"))
        bill = fetch(BillPeer(archive({**more, "说明.txt": "x"})), tmp_path)
        assert bill.columns[-1] == "新列"

    def test_lines_may_end_as_on_windows(self, tmp_path):
        bill = fetch(BillPeer(archive(changed(TRADE, DETAIL, ("\n", "\r\n")))), tmp_path)
        assert bill.columns[-1] == "备注"
        assert bill.rows.read_bytes().count(b"\r\n") == 2

    def test_the_brackets_of_the_second_file_may_be_wide(self, tmp_path):
        files = {DETAIL: TRADE[DETAIL], SUMS.replace("(", "（").replace(")", "）"): TRADE[SUMS]}
        assert isinstance(fetch(BillPeer(archive(files)), tmp_path), BillFile)

    def test_an_account_that_is_not_set_is_not_compared(self, tmp_path):
        assert isinstance(fetch(BillPeer(WHOLE), tmp_path, seller_id=None), BillFile)

    def test_an_accounts_totals_are_declared_by_kind_from_its_types(self, tmp_path):
        bill = fetch(BillPeer(archive(FUNDS)), tmp_path, kind=BillKind.FUNDS)
        assert bill.declared == {
            RowKind.PAY_OUT: Total(2, 5050),
            RowKind.SHARE: Total(1, 1000),
            RowKind.SHARE_RETURN: Total(1, -1000),
            RowKind.FEE: Total(2, 50),
        }

    def test_a_day_with_red_packets_declares_no_sums_by_kind(self, tmp_path):
        """Then what the merchant got and gave up is less than the orders' sum, and nothing says whose the rest is."""
        files = changed(TRADE, SUMS, ("合计\t,\t,1,1,0.00,", "合计\t,\t,1,1,8.00,"))
        bill = fetch(BillPeer(archive(files)), tmp_path)
        assert bill.declared == {RowKind.PAYMENT: Total(1), RowKind.REFUND: Total(1)}

    def test_a_marketing_bill_may_declare_its_totals_or_not(self, tmp_path):
        bill = fetch(BillPeer(archive(COUPON)), tmp_path, kind=BillKind.COUPON)
        assert bill.declared == {}
        bill.original.unlink()
        told = changed(
            COUPON, COUPON_DETAIL, ("结束\n", "结束\n#核销合计：1笔，优惠共50.00元\n#退回合计：1笔，优惠共-50.00元\n")
        )
        declared = fetch(BillPeer(archive(told)), tmp_path, kind=BillKind.COUPON).declared
        assert declared == {RowKind.REDEMPTION: Total(1, 5000), RowKind.REVERSAL: Total(1, -5000)}

    @pytest.mark.parametrize(
        ("kind", "files", "code", "field"),
        [
            (BillKind.TRADE, {SUMS: TRADE[SUMS]}, "alipay.bill_member", "bill"),
            (BillKind.TRADE, {DETAIL: TRADE[DETAIL]}, "alipay.bill_member", "bill"),
            (BillKind.TRADE, {**TRADE, f"x/{DETAIL}": TRADE[DETAIL]}, "alipay.bill_member", "bill"),
            (BillKind.TRADE, {}, "alipay.bill_member", "bill"),
            (BillKind.FUNDS, TRADE, "alipay.bill_member", "bill"),
            (BillKind.TRADE, changed(TRADE, DETAIL, ("商户订单号", "商家订单号")), "alipay.bill_column", "商户订单号"),
            (BillKind.TRADE, changed(TRADE, DETAIL, (",备注\n", ",业务类型\n")), "alipay.bill_column", "业务类型"),
            (BillKind.COUPON, changed(COUPON, COUPON_DETAIL, ("业务状态", "状态")), "alipay.bill_column", "业务状态"),
            (BillKind.FUNDS, changed(FUNDS, FUNDS_DETAIL, ("（-元）", "(-元)")), "alipay.bill_column", "支出金额（-元）"),
            (BillKind.TRADE, changed(TRADE, SUMS, ("商家实收（元）", "实收")), "alipay.bill_column", "商家实收（元）"),
            (BillKind.TRADE, changed(TRADE, SUMS, ("\t,1,1,0.00", "\t,2,1,0.00")), "alipay.bill_totals", "交易订单总笔数"),
            (BillKind.TRADE, changed(TRADE, SUMS, ("合计", "总计")), "bill.cut_short", "bill"),
            (BillKind.TRADE, changed(TRADE, DETAIL, ("实收共49", "实收共48")), "alipay.bill_totals", "商家实收（元）"),
            (BillKind.TRADE, changed(TRADE, DETAIL, ("优惠共50", "优惠共51")), "alipay.bill_totals", "商家优惠（元）"),
            (BillKind.TRADE, changed(TRADE, DETAIL, ("#退款合计", "#合计")), "bill.cut_short", "bill"),
            (BillKind.FUNDS, changed(FUNDS, FUNDS_DETAIL, ("支出合计：4", "支出合计：5")), "alipay.bill_totals", "支出笔数"),
            (BillKind.FUNDS, changed(FUNDS, FUNDS_SUMS, ("合计\t,4,112", "合计\t,4,113")), "alipay.bill_totals", "收入金额（+元）"),
            (BillKind.TRADE, {**TRADE, SUMS: b"\xff\xff\xff"}, "bill.no_header", "bill"),
            (BillKind.TRADE, {**TRADE, SUMS: "#nothing\n"}, "bill.no_header", "bill"),
            (BillKind.TRADE, {**TRADE, SUMS: "x" * 200_000}, "bill.no_header", "bill"),
            (BillKind.TRADE, {**TRADE, SUMS: bytes(5_000_000)}, "bill.too_large", "bill"),
            (BillKind.TRADE, changed(TRADE, SUMS, ("\t,1,1,0.00", "\t,1,1,zero")), "alipay.bill_totals", "订单金额（元）"),
            (BillKind.TRADE, changed(TRADE, SUMS, ("\t,1,1,", f"\t,{'1' * 5000},1,")), "alipay.bill_totals", "交易订单总笔数"),
            (BillKind.TRADE, {**TRADE, DETAIL: bytes(100_000)}, "bill.no_header", None),
        ],
    )  # fmt: skip
    def test_a_bill_that_is_not_right_is_refused_and_leaves_nothing(self, tmp_path, kind, files, code, field):
        peer = BillPeer(archive(files))
        with pytest.raises(ValidationError) as caught:
            fetch(peer, tmp_path, kind=kind)
        assert caught.value.code == code
        assert field is None or caught.value.field == field
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("old", ["20260115_业务", "2088000000000001"])
    def test_a_bill_of_another_day_or_account_is_not_the_announced_one(self, tmp_path, old):
        new = {"20260115_业务": "20260116_业务"}.get(old, "2088000000000002")
        files = {name.replace(old, new): text for name, text in TRADE.items()}
        with pytest.raises(ForgedMessage) as caught:
            fetch(BillPeer(archive(files)), tmp_path)
        assert caught.value.code == "alipay.bill_other"
        assert list(tmp_path.iterdir()) == []

    def test_an_archive_without_end_is_not_unpacked(self, tmp_path, monkeypatch):
        monkeypatch.setattr(bills, "LARGEST", 10_000_000)
        bomb = archive({**TRADE, "x.csv": bytes(20_000_000)})
        assert len(bomb) < 100_000
        with pytest.raises(ValidationError) as caught:
            fetch(BillPeer(bomb), tmp_path)
        assert caught.value.code == "bill.too_large"
        assert list(tmp_path.iterdir()) == []


def test_each_source_is_ready_at_nine_and_has_the_layout_that_is_fetched():
    assert {source.kind for source in SOURCES} == set(bills.FORMS)
    for source in SOURCES:
        assert bills.FORMS[source.kind].layout is source.layout
        assert (source.ready_at.hour, source.days_after) == (9, 1)
    assert bills.ready_at(DAY) == NINE
