"""Profit sharing: relations, settles that are all or nothing or each for itself, and parts given back."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .bench import Bench

BIND = "alipay.trade.royalty.relation.bind"
SETTLE, QUERY = "alipay.trade.order.settle", "alipay.trade.order.settle.query"
ONE, TWO = "2088000000000011", "2088000000000012"


@pytest.fixture
def trade_no(bench: Bench) -> str:
    """A paid trade of 100 yuan that may be shared, with two receivers bound."""
    bind(bench, ONE, TWO)
    return str(bench.emulator.order({"amount_fen": 10_000, "out_trade_no": "ORD1"})["trade_no"])


def bind(bench: Bench, *accounts: str) -> None:
    receivers = [{"type": "userId", "account": account} for account in accounts]
    assert bench.good(BIND, {"out_request_no": "B1", "receiver_list": receivers})["result_code"] == "SUCCESS"


def part(account: str, amount: str) -> dict[str, Any]:
    return {"royalty_type": "transfer", "trans_in": account, "trans_in_type": "userId", "amount": amount}


def wish(trade_no: str, *parts: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {
        "out_request_no": "S1",
        "trade_no": trade_no,
        "royalty_parameters": list(parts) or [part(ONE, "10.00"), part(TWO, "20.00")],
        **changed,
    }


def read(bench: Bench, trade_no: str, number: str = "S1") -> list[tuple[str, str, str]]:
    told = bench.good(QUERY, {"out_request_no": number, "trade_no": trade_no})
    return [(row["operation_type"], row["amount"], row["state"]) for row in told["royalty_detail_list"]]


def test_a_share_goes_to_each_receiver_once(bench: Bench, trade_no: str) -> None:
    first = bench.good(SETTLE, wish(trade_no))
    assert bench.good(SETTLE, wish(trade_no)) == first
    assert read(bench, trade_no) == [("transfer", "10.00", "SUCCESS"), ("transfer", "20.00", "SUCCESS")]
    by_number = bench.good(QUERY, {"settle_no": first["settle_no"]})
    assert [row["trans_in"] for row in by_number["royalty_detail_list"]] == [ONE, TWO]
    assert bench.refused(SETTLE, wish(trade_no, part(ONE, "9.00"))) == "ACQ.DISCORDANT_REPEAT_REQUEST"
    left = bench.good("alipay.trade.order.onsettle.query", {"trade_no": trade_no})
    assert left["unsettled_amount"] == "70.00"


def test_a_finished_trade_is_not_shared_again(bench: Bench, trade_no: str) -> None:
    bench.good(SETTLE, wish(trade_no, part(ONE, "10.00"), extend_params={"royalty_finish": "true"}))
    again = wish(trade_no, part(ONE, "1.00"), out_request_no="S2")
    assert bench.refused(SETTLE, again) == "ACQ.ALREADY_FINISH_ALLOC"
    left = bench.good("alipay.trade.order.onsettle.query", {"trade_no": trade_no})
    assert left["unsettled_amount"] == "0.00"
    told = bench.good("alipay.fund.account.query", {"account_type": "ACCTRANS_ACCOUNT"}, mode="cert")
    assert told["freeze_amount"] == "0.00"


def test_synchronous_is_all_or_nothing(bench: Bench, trade_no: str) -> None:
    bench.emulator.deliver({"kind": "payee", "identity": TWO, "trouble": "blocked"})
    assert bench.refused(SETTLE, wish(trade_no)) == "ACQ.USER_ACCOUNT_HAD_FREEZEN"
    assert bench.refused(QUERY, {"out_request_no": "S1", "trade_no": trade_no}) == "ACQ.INVALID_PARAMETER"


def test_asynchronous_is_each_for_itself_and_told(bench: Bench, trade_no: str) -> None:
    bench.emulator.deliver({"kind": "payee", "identity": TWO, "trouble": "blocked"})
    told = bench.good(SETTLE, wish(trade_no, royalty_mode="async"))
    assert read(bench, trade_no) == [("transfer", "10.00", "PROCESSING"), ("transfer", "20.00", "PROCESSING")]
    bench.advance(seconds=1)
    assert read(bench, trade_no) == [("transfer", "10.00", "SUCCESS"), ("transfer", "20.00", "FAIL")]
    sent = bench.frame.sent[-1]
    assert sent.event == "alipay.trade.order.settle.notify"
    news = json.loads(bench.news(sent)["biz_content"])
    assert (news["out_request_no"], news["settle_no"]) == ("S1", told["settle_no"])
    assert [row["state"] for row in news["royalty_detail_list"]] == ["SUCCESS", "FAIL"]
    left = bench.good("alipay.trade.order.onsettle.query", {"trade_no": trade_no})
    assert left["unsettled_amount"] == "90.00"


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"trade_no": "no"}, "ACQ.TRADE_NOT_EXIST"),
        ({"royalty_parameters": [part("2088000000000099", "1.00")]}, "ACQ.ROYALTY_RECEIVER_INVALID"),
        ({"royalty_parameters": [part(ONE, "30.01")]}, "ACQ.ALLOC_AMOUNT_VALIDATE_ERROR"),
        ({"royalty_parameters": [part(ONE, "0.00")]}, "ACQ.INVALID_PARAMETER"),
        ({"royalty_parameters": []}, "ACQ.INVALID_PARAMETER"),
        ({"royalty_parameters": [part(ONE, "1.00")] * 6}, "ACQ.INVALID_PARAMETER"),
        ({"royalty_parameters": [{**part(ONE, "1.00"), "trans_out": TWO}]}, "ACQ.MUST_ALLOC_FROM_ROOT_ACCOUNT"),
        ({"out_request_no": "a-b"}, "ACQ.INVALID_PARAMETER"),
    ],
)
def test_what_the_sheet_forbids_is_refused(bench: Bench, trade_no: str, changed: dict[str, Any], wanted: str) -> None:
    assert bench.refused(SETTLE, wish(trade_no) | changed) == wanted


def test_the_contract_says_how_much_may_go_to_others(bench: Bench, trade_no: str) -> None:
    assert bench.good("alipay.trade.royalty.rate.query", {"out_request_no": "R1"})["max_ratio"] == 30
    bench.emulator.deliver({"kind": "console", "royalty_ratio": 100})
    bench.good(SETTLE, wish(trade_no, {**part(ONE, "0"), "amount_percentage": 60}))
    assert read(bench, trade_no) == [("transfer", "60.00", "SUCCESS")]
    more = wish(trade_no, part(ONE, "40.01"), out_request_no="S2")
    assert bench.refused(SETTLE, more) == "ACQ.ALLOC_AMOUNT_VALIDATE_ERROR"


def test_only_a_frozen_paid_trade_that_nobody_refunded_is_shared(bench: Bench, trade_no: str) -> None:
    plain = bench.emulator.order({"amount_fen": 1000, "royalty_freeze": False})["trade_no"]
    assert bench.refused(SETTLE, wish(plain, part(ONE, "1.00"))) == "ACQ.NOT_SUPPORT_ROYALTY"
    unpaid = bench.emulator.order({"amount_fen": 1000, "paid": False})["trade_no"]
    assert bench.refused(SETTLE, wish(unpaid, part(ONE, "1.00"))) == "ACQ.TRADE_STATUS_ERROR"
    bench.good("alipay.trade.refund", {"trade_no": trade_no, "refund_amount": "1.00", "out_request_no": "R1"})
    assert bench.refused(SETTLE, wish(trade_no)) == "ACQ.ALLOC_REFUSE_AFTER_REFUND"


def test_frozen_money_is_free_after_thirty_days(bench: Bench, trade_no: str) -> None:
    bench.advance(days=31)
    assert bench.refused(SETTLE, wish(trade_no)) == "ACQ.ALREADY_FINISH_ALLOC"


def test_a_payment_at_the_till_is_frozen_when_it_says_so(bench: Bench) -> None:
    bind(bench, ONE)
    code = bench.emulator.deliver({"kind": "payment_code"})["auth_code"]
    body = {"out_trade_no": "TILL1", "auth_code": code, "subject": "话费", "total_amount": "100.00"}
    paid = bench.good("alipay.trade.pay", body | {"extend_params": {"royalty_freeze": "true"}})
    bench.good(SETTLE, wish(paid["trade_no"], part(ONE, "10.00")))
    assert read(bench, paid["trade_no"]) == [("transfer", "10.00", "SUCCESS")]


def test_a_refund_takes_back_from_those_whom_it_names(bench: Bench, trade_no: str) -> None:
    bench.good(SETTLE, wish(trade_no))
    back = {"trans_out": ONE, "trans_out_type": "userId", "trans_in": bench.told["seller_id"], "amount": "10.00"}
    refund = {"trade_no": trade_no, "refund_amount": "10.00", "out_request_no": "R1"}
    named = refund | {"refund_royalty_parameters": [back]}
    assert bench.good("alipay.trade.refund", named)["fund_change"] == "Y"
    assert bench.good("alipay.trade.refund", named)["fund_change"] == "N"
    assert bench.refused("alipay.trade.refund", refund) == "ACQ.DISCORDANT_REPEAT_REQUEST"
    assert read(bench, trade_no) == [
        ("transfer", "10.00", "SUCCESS"),
        ("transfer_refund", "10.00", "SUCCESS"),
        ("transfer", "20.00", "SUCCESS"),
    ]
    again = named | {"out_request_no": "R2"}
    assert bench.refused("alipay.trade.refund", again) == "ACQ.ALLOC_AMOUNT_VALIDATE_ERROR"
    options = {"trade_no": trade_no, "query_options": ["trade_settle_info"]}
    told = bench.good("alipay.trade.query", options)["trade_settle_info"]["trade_settle_detail_list"]
    assert [row["operation_type"] for row in told] == ["transfer", "transfer_refund", "transfer"]


def test_a_refund_that_is_refused_takes_nothing_back(bench: Bench, trade_no: str) -> None:
    bench.good(SETTLE, wish(trade_no))
    seller = bench.told["seller_id"]
    parts = [{"trans_out": ONE, "trans_in": seller, "amount": "10.00"}]
    refund = {"trade_no": trade_no, "refund_amount": "40.00", "out_request_no": "R1"}
    for wrong in (
        [*parts, {"trans_out": TWO, "trans_in": seller, "amount": "20.01"}],
        [*parts, {"trans_out": ONE, "trans_in": seller, "amount": "0.01"}],
        [{**parts[0], "amount": "40.01"}],
        [{**parts[0], "trans_in": TWO}],
    ):
        told = bench.refused("alipay.trade.refund", refund | {"refund_royalty_parameters": wrong})
        assert told in {"ACQ.ALLOC_AMOUNT_VALIDATE_ERROR", "ACQ.INVALID_PARAMETER"}
    assert read(bench, trade_no) == [("transfer", "10.00", "SUCCESS"), ("transfer", "20.00", "SUCCESS")]
    assert bench.good("alipay.trade.query", {"trade_no": trade_no})["trade_status"] == "TRADE_SUCCESS"


def test_a_till_trade_takes_every_part_back_by_ratio(bench: Bench) -> None:
    bind(bench, ONE, TWO)
    code = bench.emulator.deliver({"kind": "payment_code"})["auth_code"]
    body = {"out_trade_no": "TILL1", "auth_code": code, "subject": "话费", "total_amount": "100.00"}
    trade_no = bench.good("alipay.trade.pay", body | {"extend_params": {"royalty_freeze": "true"}})["trade_no"]
    bench.good(SETTLE, wish(trade_no))
    refund = {"trade_no": trade_no, "refund_amount": "50.00", "out_request_no": "R1"}
    named = [{"trans_out": ONE, "trans_in": bench.told["seller_id"], "amount": "1.00"}]
    told = bench.refused("alipay.trade.refund", refund | {"refund_royalty_parameters": named})
    assert told == "ACQ.INVALID_PARAMETER"
    bench.good("alipay.trade.refund", refund)
    assert [row[:2] for row in read(bench, trade_no)] == [
        ("transfer", "10.00"), ("transfer_refund", "5.00"), ("transfer", "20.00"), ("transfer_refund", "10.00"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("receivers", "wanted"),
    [
        ([], "RECEIVER_LIST_EMPTY"),
        ([{"type": "userId", "account": ONE}] * 21, "RECEIVER_LIST_OVERLOAD"),
        ([{"type": "phone", "account": ONE}], "INVALID_RECEIVER_TYPE"),
        ([{"type": "loginName", "account": "a@b.cn"}], "INVALID_PARAMETER"),
        ([{"type": "userId", "account": "2088000000000077"}], "USER_NOT_EXIST"),
        ([{"type": "userId", "account": "2088000000000078"}], "RECEIVER_ACCOUNT_STATUS_ERROR"),
    ],
)
def test_receivers_that_cannot_be_bound_are_refused(bench: Bench, receivers: list[dict[str, str]], wanted: str) -> None:
    bench.emulator.deliver({"kind": "payee", "identity": "2088000000000077", "trouble": "missing"})
    bench.emulator.deliver({"kind": "payee", "identity": "2088000000000078", "trouble": "blocked"})
    assert bench.refused(BIND, {"out_request_no": "B1", "receiver_list": receivers}) == wanted


def test_relations_are_listed_bound_again_and_unbound(bench: Bench, trade_no: str) -> None:
    bind(bench, ONE)
    asked = {"out_request_no": "Q1", "page_size": 1, "page_num": 2}
    told = bench.good("alipay.trade.royalty.relation.batchquery", asked)
    assert (told["total_record_num"], told["receiver_list"]) == (2, [{"type": "userId", "account": TWO}])
    one = {"out_request_no": "U1", "receiver_list": [{"type": "userId", "account": ONE}]}
    bench.good("alipay.trade.royalty.relation.unbind", one)
    assert bench.refused(SETTLE, wish(trade_no)) == "ACQ.ROYALTY_RECEIVER_INVALID"


def test_v3_carries_the_same(bench: Bench, trade_no: str) -> None:
    settled = bench.rest("POST", "/v3/alipay/trade/order/settle", wish(trade_no))
    assert settled.status == 200
    target = f"/v3/alipay/trade/order/settle/query?out_request_no=S1&trade_no={trade_no}"
    told = json.loads(bench.rest("GET", target).content)
    assert [row["state"] for row in told["royalty_detail_list"]] == ["SUCCESS", "SUCCESS"]
