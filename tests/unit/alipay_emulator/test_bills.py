"""Bills of what really happened, in the sheet's columns, and what a fault spoils in them."""

from __future__ import annotations

import csv
import io
import zipfile
from typing import Any

import pytest

from unicom_coupon_sdk.sandbox.emulator import Received
from unicom_coupon_sdk.sandbox.faults import Fault, FaultKind

from .bench import BASE_URL, FAMILY, Bench

BILLS = "alipay.data.dataservice.bill.downloadurl.query"
DAY = "2026-05-20"
USER = "2088000000000011"


def fetch(bench: Bench, url: str) -> tuple[int, bytes]:
    answer = bench.emulator.answer(Received("GET", url.removeprefix(BASE_URL), (), b"", BASE_URL))
    return answer.status, answer.content


def files(bench: Bench, kind: str, day: str = DAY) -> dict[str, str]:
    """The members by what their names say they are."""
    url = bench.good(BILLS, {"bill_type": kind, "bill_date": day})["bill_download_url"]
    status, content = fetch(bench, url)
    assert status == 200
    found = {}
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        for member in packed.infolist():
            assert not member.flag_bits & 0x800
            name = member.filename.encode("cp437").decode("gbk")
            account, date, what = name.removesuffix(".csv").split("_")
            assert (account, date) == (f"{bench.told['seller_id']}0156", day.replace("-", ""))
            found[what] = packed.read(member).decode("gbk")
    return found


def rows(text: str) -> list[dict[str, str]]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return [{name: cell.strip("\t") for name, cell in row.items()} for row in csv.DictReader(lines)]


def tomorrow(bench: Bench) -> None:
    bench.advance(hours=21)


def pay(bench: Bench, number: str = "ORD1", fen: int = 990, **wish: Any) -> dict[str, Any]:
    return dict(bench.emulator.order({"amount_fen": fen, "out_trade_no": number, **wish}))


def test_a_url_serves_once_and_for_thirty_seconds(bench: Bench) -> None:
    pay(bench)
    wish = {"bill_type": "trade", "bill_date": DAY}
    assert bench.refused(BILLS, wish) == "BILL_NOT_EXIST"
    tomorrow(bench)
    url = bench.good(BILLS, wish)["bill_download_url"]
    assert fetch(bench, url)[0] == 200
    assert fetch(bench, url)[0] == 403
    late = bench.good(BILLS, wish)["bill_download_url"]
    bench.advance(seconds=31)
    assert fetch(bench, late)[0] == 403


def test_trades_and_refunds_stand_in_the_published_columns(bench: Bench) -> None:
    coupon = bench.issue(face_fen=500)
    bench.emulator.deliver({"kind": "console", "fee_bp": 60})
    pay(bench, fen=9900, code=coupon["code"])
    bench.good("alipay.trade.refund", {"out_trade_no": "ORD1", "refund_amount": "40.00", "out_request_no": "R1"})
    tomorrow(bench)
    found = files(bench, "trade")
    detail = found["业务明细"]
    paid, back = rows(detail)
    assert len(paid) == 25
    assert (paid["商户订单号"], paid["业务类型"], paid["订单金额（元）"], paid["商家实收（元）"]) == (
        "ORD1", "交易", "99.00", "94.00",
    )  # fmt: skip
    assert (paid["商家优惠（元）"], paid["券名称"], paid["服务费（元）"]) == ("5.00", "联通电子券", "-0.56")
    assert (back["退款批次号/请求号"], back["订单金额（元）"], back["服务费（元）"]) == ("R1", "-40.00", "0.22")
    assert "#交易合计：1笔，商家实收共94.00元，商家优惠共5.00元" in detail
    assert "#退款合计：1笔，商家实收退款共-40.00元，商家优惠退款共0.00元" in detail
    (whole,) = rows(found["业务明细(汇总)"])
    assert (whole["交易订单总笔数"], whole["退款订单总笔数"], whole["订单金额（元）"]) == ("1", "1", "59.00")
    assert (whole["商家实收（元）"], whole["服务费（元）"], whole["实收净额（元）"]) == ("54.00", "-0.34", "53.66")


def test_an_account_shows_every_movement_with_its_balance(bench: Bench) -> None:
    bench.emulator.deliver({"kind": "console", "fee_bp": 100, "balance_fen": 100_000, "royalty_ratio": 50})
    told = pay(bench, fen=10_000)
    bind = {"out_request_no": "B1", "receiver_list": [{"type": "userId", "account": USER}]}
    bench.good("alipay.trade.royalty.relation.bind", bind)
    part = {"trans_in": USER, "trans_in_type": "userId", "amount": "30.00"}
    share = {"out_request_no": "S1", "trade_no": told["trade_no"], "royalty_parameters": [part]}
    settled = bench.good("alipay.trade.order.settle", share)
    back = {"trans_out": USER, "trans_out_type": "userId", "trans_in": bench.told["seller_id"], "amount": "10.00"}
    refund = {"trade_no": told["trade_no"], "out_request_no": "R1", "refund_amount": "10.00"}
    bench.good("alipay.trade.refund", refund | {"refund_royalty_parameters": [back]})
    transfer = {
        "out_biz_no": "P1",
        "trans_amount": "5.00",
        "product_code": "TRANS_ACCOUNT_NO_PWD",
        "biz_scene": "DIRECT_TRANSFER",
        "payee_info": {"identity": USER, "identity_type": "ALIPAY_USER_ID"},
    }
    paid = bench.good("alipay.fund.trans.uni.transfer", transfer, mode="cert")
    tomorrow(bench)
    found = files(bench, "signcustomer")
    told_rows = rows(found["账务明细"])
    names = ("业务类型", "商户订单号", "收入金额（+元）", "支出金额（-元）", "账户余额（元）")
    assert [tuple(row[name] for name in names) for row in told_rows] == [
        ("在线支付", "ORD1", "100.00", "", "1100.00"),
        ("服务费", "ORD1", "", "-1.00", "1099.00"),
        ("分账", "S1", "", "-30.00", "1069.00"),
        ("分账退回", "R1", "10.00", "", "1079.00"),
        ("交易退款", "R1", "", "-10.00", "1069.00"),
        ("退费", "R1", "0.10", "", "1069.10"),
        ("转账", "P1", "", "-5.00", "1064.10"),
    ]
    assert [row["业务流水号"] for row in told_rows][2::4] == [settled["settle_no"], paid["order_id"]]
    assert len({row["账务流水号"] for row in told_rows}) == 7
    assert "#支出合计：4笔，共-46.00元" in found["账务明细"]
    assert "#收入合计：3笔，共110.10元" in found["账务明细"]
    sums = {row["类型"]: row for row in rows(found["账务明细(汇总)"])}
    assert (sums["转账"]["支出笔数"], sums["转账"]["支出金额（-元）"]) == ("1", "-5.00")
    assert (sums["合计"]["收入金额（+元）"], sums["合计"]["总金额（元）"]) == ("110.10", "64.10")


def test_a_marketing_bill_shows_what_happened_to_vouchers(bench: Bench) -> None:
    coupon = bench.issue(face_fen=500)
    bench.use(coupon, out_biz_no="USE1", total_fee="99.00")
    bench.refund(coupon, out_biz_no="BACK1", total_fee="99.00")
    bench.use(coupon, out_biz_no="USE2", total_fee="3.00")
    assert bench.use(coupon, out_biz_no="USE3")["sub_code"] == "BIZ_ERROR"
    tomorrow(bench)
    detail = files(bench, "merchant_act")["营销活动明细"]
    names = ("业务类型", "商户业务单号", "业务状态", "优惠金额（元）", "订单金额（元）", "券编号")
    given, *others = [tuple(row[name] for name in names) for row in rows(detail)]
    assert (given[0], given[3]) == ("发放", "0.00")
    assert others == [
        ("核销", "USE1", "成功", "5.00", "99.00", coupon["voucher_id"]),
        ("退回", "BACK1", "成功", "-5.00", "-99.00", coupon["voucher_id"]),
        ("核销", "USE2", "成功", "3.00", "3.00", coupon["voucher_id"]),
    ]
    assert "#核销合计：2笔，优惠共8.00元" in detail
    assert "#退回合计：1笔，优惠共-5.00元" in detail
    assert coupon["code"] not in detail


@pytest.mark.parametrize(
    ("deduct", "scope", "total", "off"),
    [
        ({"voucher_type": "FIX_VOUCHER", "fix_voucher_info": {"amount": "5.00"}}, {}, "99.00", "5.00"),
        ({"voucher_type": "DISCOUNT_VOUCHER", "discount_voucher_info": {"discount": "8.8"}}, {}, "99.99", "12.00"),
        (
            {"voucher_type": "DISCOUNT_VOUCHER", "discount_voucher_info": {"discount": "8.8", "ceiling_amount": "9"}},
            {},
            "99.99",
            "9.00",
        ),
        (
            {"voucher_type": "SPECIAL_VOUCHER", "special_voucher_info": {"special_amount": "1.00"}},
            {"voucher_available_goods_info": {"goods_name": "咖啡", "origin_amount": "30.00"}},
            "99.00",
            "29.00",
        ),
    ],
)
def test_a_use_takes_off_what_the_activity_says(
    bench: Bench, deduct: dict[str, Any], scope: dict[str, Any], total: str, off: str
) -> None:
    activity_id = bench.create(voucher_deduct_info=deduct, voucher_available_scope_info=scope)
    row = {"activity_id": activity_id, "out_biz_no": "GIVE1", "voucher_code": "CODE1"}
    bench.good(f"{FAMILY}.receive", {"user_id": USER, "receive_info_list": [row]})
    bench.use({"activity_id": activity_id, "code": "CODE1"}, out_biz_no="USE1", total_fee=total)
    tomorrow(bench)
    assert rows(files(bench, "merchant_act")["营销活动明细"])[-1]["优惠金额（元）"] == off


def test_a_day_without_business_says_so(bench: Bench) -> None:
    for kind in ("trade", "signcustomer", "merchant_act", "zft_acc"):
        told = bench.good(BILLS, {"bill_type": kind, "bill_date": "2026-05-18"})
        assert told["bill_file_code"] == "EMPTY_DATA_WITH_BILL_FILE"
        assert fetch(bench, told["bill_download_url"])[0] == 200


def test_a_month_holds_its_days(bench: Bench) -> None:
    pay(bench)
    bench.advance(days=2)
    pay(bench, "ORD2")
    bench.advance(days=20)
    url = bench.good(BILLS, {"bill_type": "trade", "bill_date": "2026-05"})["bill_download_url"]
    with zipfile.ZipFile(io.BytesIO(fetch(bench, url)[1])) as packed:
        detail = packed.read(packed.infolist()[0]).decode("gbk")
    assert [row["商户订单号"] for row in rows(detail)] == ["ORD1", "ORD2"]


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"bill_type": "secrets"}, "TYPE_NOT_SUPPORTED"),
        ({"bill_date": "2026-13-01"}, "INVAILID_ARGUMENTS"),
        ({"bill_date": "2026-05"}, "BILL_NOT_EXIST"),
        ({"bill_date": "2010-01-01"}, "BILL_DATE_BEFORE_REGISTRATION"),
    ],
)
def test_bills_that_are_not_there_are_refused(bench: Bench, changed: dict[str, str], wanted: str) -> None:
    assert bench.refused(BILLS, {"bill_type": "trade", "bill_date": "2026-05-18"} | changed) == wanted


# -- faults --------------------------------------------------------------------------------------------------------


def spoiled(bench: Bench, code: str, match: str) -> None:
    bench.frame.faults.add(Fault(fault_id="f1", kind=FaultKind.BILL_DEFECT, code=code, match=match))


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("amount_differs", [("USE1", "成功", "5.01"), ("USE2", "成功", "5.00")]),
        ("state_differs", [("USE1", "失败", "5.00"), ("USE2", "成功", "5.00")]),
        ("missing_there", [("USE2", "成功", "5.00")]),
        ("date_differs", [("USE2", "成功", "5.00")]),
        ("duplicate", [("USE1", "成功", "5.00"), ("USE1", "成功", "5.00"), ("USE2", "成功", "5.00")]),
        ("total_differs", [("USE1", "成功", "5.00"), ("USE2", "成功", "5.00")]),
    ],
)
def test_a_fault_spoils_the_first_redemption_of_the_marketing_bill(
    bench: Bench, code: str, wanted: list[tuple[str, ...]]
) -> None:
    for number in ("USE1", "USE2"):
        bench.use(bench.issue(), out_biz_no=number)
    tomorrow(bench)
    spoiled(bench, code, "coupon")
    detail = files(bench, "merchant_act")["营销活动明细"]
    names = ("商户业务单号", "业务状态", "优惠金额（元）")
    used = [tuple(row[name] for name in names) for row in rows(detail) if row["业务类型"] == "核销"]
    assert used == wanted
    off = sum(int(amount.replace(".", "")) for _, _, amount in used) + (code == "total_differs")
    assert f"#核销合计：{len(used)}笔，优惠共{off // 100}.{off % 100:02d}元" in detail
    assert files(bench, "merchant_act")["营销活动明细"] == detail
    bench.advance(days=1)
    next_day = bench.good(BILLS, {"bill_type": "merchant_act", "bill_date": "2026-05-21"})
    assert ("bill_file_code" in next_day) == (code != "date_differs")


def test_an_invented_redemption_has_numbers_of_its_own(bench: Bench) -> None:
    bench.use(bench.issue(), out_biz_no="USE1")
    tomorrow(bench)
    spoiled(bench, "missing_here", "coupon")
    given, used, invented = rows(files(bench, "merchant_act")["营销活动明细"])
    assert used["商户业务单号"] == "USE1"
    assert invented["商户业务单号"] != "USE1"
    assert len({row["业务流水号"] for row in (given, used, invented)}) == 3


def test_a_spoiled_total_stands_in_both_files_alike(bench: Bench) -> None:
    pay(bench)
    tomorrow(bench)
    for kind in ("trade", "funds"):
        spoiled(bench, "total_differs", kind)
        found = files(bench, {"trade": "trade", "funds": "signcustomer"}[kind])
        if kind == "trade":
            assert "#交易合计：1笔，商家实收共9.91元" in found["业务明细"]
            assert rows(found["业务明细(汇总)"])[0]["商家实收（元）"] == "9.91"
        else:
            assert "#支出合计：0笔，共-0.01元" in found["账务明细"]
            sums = {row["类型"]: row["支出金额（-元）"] for row in rows(found["账务明细(汇总)"])}
            assert (sums["转账"], sums["合计"]) == ("-0.01", "-0.01")
