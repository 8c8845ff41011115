"""Orders, refunds, subsidies and bills (sheet §2.1 B15, §3.3, §4)."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

import pytest

from .bench import BASE, Bench, body_of, header, refusal_of

REFUNDS = "/v3/refund/domestic/refunds"
TRADES = "/v3/pay/transactions"


def refund_body(order: dict[str, Any], refund: int, total: int, number: str = "R1") -> dict[str, Any]:
    amount = {"refund": refund, "total": total, "currency": "CNY"}
    return {"out_trade_no": order["out_trade_no"], "out_refund_no": number, "amount": amount}


def order_of(bench: Bench, amount: int = 1000, **wish: Any) -> dict[str, Any]:
    return dict(bench.emulator.order({"amount_fen": amount, **wish}))


def test_a_paid_order_is_found_by_both_numbers(bench: Bench) -> None:
    order = order_of(bench, holder="oPayer")
    mchid = bench.told["mchid"]
    by_number = bench.get(f"{TRADES}/out-trade-no/{order['out_trade_no']}?mchid={mchid}")
    by_id = bench.get(f"{TRADES}/id/{order['transaction_id']}?mchid={mchid}")
    told = body_of(by_number)
    assert told == body_of(by_id)
    assert (told["trade_state"], told["payer"]["openid"], told["amount"]["total"]) == ("SUCCESS", "oPayer", 1000)
    assert (len(told["transaction_id"]), told["appid"]) == (28, bench.told["appid"])


def test_an_unknown_order_has_its_code_and_tail(bench: Bench) -> None:
    answer = bench.get(f"{TRADES}/out-trade-no/NOWHERE?mchid={bench.told['mchid']}")
    assert refusal_of(answer) == (404, "ORDER_NOT_EXIST")
    assert header(answer, "Request-ID").endswith("-268512771")
    assert refusal_of(bench.get(f"{TRADES}/out-trade-no/NOWHERE")) == (400, "PARAM_ERROR")


def test_only_an_unpaid_order_can_be_closed(bench: Bench) -> None:
    mchid = bench.told["mchid"]
    open_order, paid = order_of(bench, paid=False), order_of(bench)
    path = f"{TRADES}/out-trade-no/{open_order['out_trade_no']}"
    assert body_of(bench.get(f"{path}?mchid={mchid}"))["trade_state"] == "NOTPAY"
    for _ in range(2):
        assert bench.post(f"{path}/close", {"mchid": mchid}).status == 204
    assert body_of(bench.get(f"{path}?mchid={mchid}"))["trade_state"] == "CLOSED"
    refused = bench.post(f"{TRADES}/out-trade-no/{paid['out_trade_no']}/close", {"mchid": mchid})
    assert refusal_of(refused) == (400, "ORDER_PAID")
    assert refusal_of(bench.post(f"{TRADES}/out-trade-no/NOWHERE/close", {"mchid": mchid})) == (404, "ORDER_NOT_EXIST")


def test_a_refund_is_processing_then_done_and_told(bench: Bench) -> None:
    order = order_of(bench)
    body = refund_body(order, 400, 1000) | {"notify_url": "https://merchant.example/refund"}
    first = bench.post(REFUNDS, body)
    assert body_of(first)["status"] == "PROCESSING"
    assert bench.post(REFUNDS, body).content == first.content
    assert body_of(bench.get(f"{REFUNDS}/R1"))["status"] == "SUCCESS"
    assert len(bench.frame.sent) == 1
    envelope, told, request = bench.open_callback(bench.frame.sent[0])
    assert bench.verifies(request)
    assert (envelope["event_type"], envelope["resource"]["original_type"]) == ("REFUND.SUCCESS", "refund")
    assert told["amount"] == {"total": 1000, "refund": 400, "payer_total": 1000, "payer_refund": 400}
    assert (told["refund_status"], told["out_refund_no"], told["mchid"]) == ("SUCCESS", "R1", bench.told["mchid"])
    query = bench.get(f"{TRADES}/out-trade-no/{order['out_trade_no']}?mchid={bench.told['mchid']}")
    assert body_of(query)["trade_state"] == "REFUND"


def test_no_more_is_refunded_than_was_paid(bench: Bench) -> None:
    order = order_of(bench)
    assert bench.post(REFUNDS, refund_body(order, 600, 1000, "R1")).status == 200
    assert refusal_of(bench.post(REFUNDS, refund_body(order, 401, 1000, "R2"))) == (400, "INVALID_REQUEST")
    assert bench.post(REFUNDS, refund_body(order, 400, 1000, "R3")).status == 200
    assert refusal_of(bench.post(REFUNDS, refund_body(order, 1, 999, "R4"))) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({"out_trade_no": "NOWHERE"}, (404, "RESOURCE_NOT_EXISTS")),
        ({"transaction_id": "42" * 14}, (400, "PARAM_ERROR")),
        ({"out_refund_no": "a b"}, (400, "PARAM_ERROR")),
        ({"amount": {"refund": 0, "total": 1000, "currency": "CNY"}}, (400, "PARAM_ERROR")),
        ({"amount": {"refund": 1, "total": 1000, "currency": "USD"}}, (400, "PARAM_ERROR")),
    ],
)
def test_a_wrong_refund_is_refused(bench: Bench, changed: dict[str, Any], refused: tuple[int, str]) -> None:
    assert refusal_of(bench.post(REFUNDS, refund_body(order_of(bench), 100, 1000) | changed)) == refused


def test_an_unknown_refund_is_not_there(bench: Bench) -> None:
    assert refusal_of(bench.get(f"{REFUNDS}/R9")) == (404, "RESOURCE_NOT_EXISTS")


def test_an_order_too_old_or_unpaid_cannot_be_refunded(bench: Bench) -> None:
    order, unpaid = order_of(bench), order_of(bench, paid=False)
    assert refusal_of(bench.post(REFUNDS, refund_body(unpaid, 1, 1000, "R0"))) == (400, "INVALID_REQUEST")
    bench.advance(days=366)
    assert refusal_of(bench.post(REFUNDS, refund_body(order, 1, 1000))) == (400, "INVALID_REQUEST")


def subsidised(bench: Bench, *, profit_sharing: bool = True) -> dict[str, Any]:
    coupon = bench.issue()
    order = order_of(bench, code=coupon["code"], profit_sharing=profit_sharing)
    bench.use(coupon)
    return {
        "stock_id": coupon["stock_id"],
        "coupon_code": coupon["code"],
        "transaction_id": order["transaction_id"],
        "payer_merchant": bench.told["mchid"],
        "payee_merchant": "1900000109",
        "amount": 500,
        "description": "补差",
        "out_trade_no": order["out_trade_no"],
    }


def test_a_subsidy_is_paid_once_read_and_taken_back_after_the_refund(bench: Bench) -> None:
    body = subsidised(bench)
    order = {"out_trade_no": body.pop("out_trade_no")}
    pay = f"{BASE}/subsidy/pay-receipts"
    paid = body_of(bench.post(pay, body | {"out_subsidy_no": "S1"}))
    assert paid["status"] == "PAY_RECEIPT_SUCCESS"
    assert body_of(bench.post(pay, body | {"out_subsidy_no": "S1"})) == paid
    assert body_of(bench.get(f"{pay}/{paid['subsidy_receipt_id']}")) == paid
    again = body_of(bench.post(pay, body | {"out_subsidy_no": "S2"}))
    assert again["fail_reason"] == "PAY_RECEIPT_EXCEED_SUBSIDY_COUNT_QUOTA"
    listed = body_of(
        bench.get(f"{pay}?stock_id={body['stock_id']}&coupon_code={body['coupon_code']}&out_subsidy_no=S1")
    )
    assert listed["pay_receipt_list"] == [paid]
    back = body | {"out_subsidy_return_no": "B1", "refund_id": "50300000000000000000000000000", "amount": 200}
    path = f"{BASE}/subsidy/return-receipts"
    assert refusal_of(bench.post(path, back)) == (400, "INVALID_REQUEST")
    refund_id = body_of(bench.post(REFUNDS, refund_body(order, 1000, 1000)))["refund_id"]
    back["refund_id"] = refund_id
    returned = body_of(bench.post(path, back | {"out_subsidy_return_no": "B2"}))
    assert returned["status"] == "RETURN_RECEIPT_SUCCESS"
    assert body_of(bench.get(f"{path}/{returned['subsidy_return_receipt_id']}")) == returned
    assert body_of(bench.get(f"{pay}/{paid['subsidy_receipt_id']}"))["status"] == "PAY_RECEIPT_PARTIAL_RETURN"
    assert refusal_of(bench.post(path, back | {"out_subsidy_return_no": "B3", "amount": 301})) == (
        400,
        "INVALID_REQUEST",
    )


def test_a_subsidy_that_breaks_a_rule_of_money_is_a_failed_receipt(bench: Bench) -> None:
    body = subsidised(bench, profit_sharing=False)
    del body["out_trade_no"]
    told = body_of(bench.post(f"{BASE}/subsidy/pay-receipts", body | {"out_subsidy_no": "S1"}))
    assert (told["status"], told["fail_reason"]) == ("PAY_RECEIPT_FAIL", "PAY_RECEIPT_NOT_INCOMESPLIT_ORDER")
    more = subsidised(bench) | {"amount": 501, "out_subsidy_no": "S2"}
    del more["out_trade_no"]
    told = body_of(bench.post(f"{BASE}/subsidy/pay-receipts", more))
    assert told["fail_reason"] == "PAY_RECEIPT_EXCEED_SUBSIDY_AMOUNT_QUOTA"


def fetched(bench: Bench, path: str) -> tuple[dict[str, Any], bytes]:
    told = body_of(bench.get(path))
    assert told["download_url"].startswith("http://127.0.0.1:8702/v3/billdownload/file?token=")
    answer = bench.get(told["download_url"].removeprefix("http://127.0.0.1:8702"))
    assert answer.status == 200
    assert answer.header("Wechatpay-Signature") is None
    return told, answer.content


def test_a_trade_bill_has_mark_columns_back_ticks_and_decimal_counts(bench: Bench) -> None:
    order = order_of(bench, 10_000, holder="oBill")
    bench.post(REFUNDS, refund_body(order, 2500, 10_000))
    bench.advance(days=1)
    told, content = fetched(bench, "/v3/bill/tradebill?bill_date=2026-05-20")
    assert told["hash_value"] == hashlib.sha1(content).hexdigest()
    lines = content.decode("utf-8-sig").split("\r\n")
    assert content.startswith(b"\xef\xbb\xbf")
    assert len(lines[0].split(",")) == 27
    assert all(line.startswith("`") for line in (lines[1], lines[2], lines[4]))
    by_name = dict(zip(lines[0].split(","), lines[1][1:].split(",`"), strict=True))
    assert (by_name["订单金额"], by_name["手续费"], by_name["交易状态"]) == ("100.00", "0.60000", "SUCCESS")
    assert "," in by_name["商品名称"]
    refund = dict(zip(lines[0].split(","), lines[2][1:].split(",`"), strict=True))
    assert (refund["退款金额"], refund["订单金额"], refund["交易状态"]) == ("25.00", "0.00", "REFUND")
    assert lines[4].split(",")[0] == "`2.0"
    assert lines[5:] == [""]


def test_a_zipped_bill_is_hashed_before_it_is_zipped(bench: Bench) -> None:
    order_of(bench)
    bench.advance(days=1)
    told, content = fetched(bench, "/v3/bill/tradebill?bill_date=2026-05-20&bill_type=SUCCESS&tar_type=GZIP")
    plain = gzip.decompress(content)
    assert told["hash_value"] == hashlib.sha1(plain).hexdigest()
    assert len(plain.decode("utf-8-sig").split("\r\n")[0].split(",")) == 20


def test_a_fund_flow_bill_shows_payment_fee_and_refund(bench: Bench) -> None:
    order = order_of(bench, 10_000)
    bench.post(REFUNDS, refund_body(order, 2500, 10_000))
    bench.advance(days=1)
    _, content = fetched(bench, "/v3/bill/fundflowbill?bill_date=2026-05-20")
    lines = content.decode("utf-8-sig").split("\r\n")
    assert len(lines[0].split(",")) == 11
    assert [line.split(",")[6] for line in lines[1:4]] == ["`100.00", "`0.60", "`25.00"]
    assert lines[5] == "`3.0,`1.0,`100.00,`2.0,`25.60"


def test_bills_are_made_by_ten_the_next_morning(bench: Bench) -> None:
    order_of(bench)
    path = "/v3/bill/tradebill?bill_date=2026-05-20"
    assert refusal_of(bench.get(path)) == (400, "INVALID_REQUEST")
    bench.advance(hours=21, minutes=59)
    assert refusal_of(bench.get(path)) == (400, "STATEMENT_CREATING")
    bench.advance(minutes=1)
    assert bench.get(path).status == 200
    assert refusal_of(bench.get("/v3/bill/tradebill?bill_date=2026-05-19")) == (400, "NO_STATEMENT_EXIST")
    assert refusal_of(bench.get("/v3/bill/tradebill?bill_date=2026-02-30")) == (400, "PARAM_ERROR")
    assert refusal_of(bench.get("/v3/bill/fundflowbill?bill_date=2026-05-20&account_type=FEES")) == (
        400,
        "NO_STATEMENT_EXIST",
    )


def test_a_download_link_works_for_thirty_seconds(bench: Bench) -> None:
    order_of(bench)
    bench.advance(days=1)
    link = body_of(bench.get("/v3/bill/tradebill?bill_date=2026-05-20"))["download_url"]
    target = link.removeprefix("http://127.0.0.1:8702")
    assert bench.send("GET", target, signature="AAAA").status == 401
    bench.advance(seconds=30)
    assert bench.get(target).status == 200
    bench.advance(seconds=1)
    assert refusal_of(bench.get(target)) == (404, "RESOURCE_NOT_EXISTS")
