"""Transfers: once a number, in certificate mode, with states that the control API moves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .bench import Bench

TRANSFER, QUERY = "alipay.fund.trans.uni.transfer", "alipay.fund.trans.common.query"
ACCOUNT = "alipay.fund.account.query"
USER = "2088000000000011"
PRODUCT = {"product_code": "TRANS_ACCOUNT_NO_PWD", "biz_scene": "DIRECT_TRANSFER"}
CARD = {
    "product_code": "TRANS_BANKCARD_NO_PWD",
    "payee_info": {"identity": "6222000000000000", "identity_type": "BANKCARD_ACCOUNT", "name": "张三"},
}


def wish(**changed: Any) -> dict[str, Any]:
    payee = {"identity": USER, "identity_type": "ALIPAY_USER_ID"}
    return {"out_biz_no": "P1", "trans_amount": "5.00", **PRODUCT, "payee_info": payee, **changed}


def pay(bench: Bench, **changed: Any) -> dict[str, Any]:
    return bench.call(TRANSFER, wish(**changed), mode="cert")


def ask(bench: Bench, **named: str) -> dict[str, Any]:
    return bench.call(QUERY, {**PRODUCT, **(named or {"out_biz_no": "P1"})}, mode="cert")


def balance(bench: Bench) -> tuple[str, str]:
    told = bench.good(ACCOUNT, {"account_type": "ACCTRANS_ACCOUNT"}, mode="cert")
    return told["available_amount"], told["freeze_amount"]


def console(bench: Bench, **settings: Any) -> None:
    bench.emulator.deliver({"kind": "console", **settings})


def test_a_transfer_is_made_once_and_read_back(bench: Bench) -> None:
    console(bench, balance_fen=10_000)
    first = pay(bench)
    assert (first["code"], first["status"], first["out_biz_no"]) == ("10000", "SUCCESS", "P1")
    assert pay(bench) == first
    assert balance(bench) == ("95.00", "0.00")
    for named in ({}, {"order_id": first["order_id"]}, {"pay_fund_order_id": first["pay_fund_order_id"]}):
        told = ask(bench, **named)
        assert (told["status"], told["trans_amount"], told["order_id"]) == ("SUCCESS", "5.00", first["order_id"])


def test_alipays_own_numbers_win_over_ours(bench: Bench) -> None:
    first = pay(bench)
    pay(bench, out_biz_no="P2")
    told = ask(bench, out_biz_no="P2", order_id=first["order_id"])
    assert told["out_biz_no"] == "P1"
    assert ask(bench, out_biz_no="P2", order_id="no")["sub_code"] == "ORDER_NOT_EXIST"


def test_a_number_with_other_parameters_is_refused(bench: Bench) -> None:
    pay(bench)
    assert pay(bench, trans_amount="6.00")["sub_code"] == "PAYMENT_INFO_INCONSISTENCY"


def test_an_application_without_certificate_is_refused(bench: Bench) -> None:
    for method, content in ((TRANSFER, wish()), (QUERY, {**PRODUCT, "out_biz_no": "P1"}), (ACCOUNT, {})):
        told = bench.call(method, content)
        assert (told["code"], told["sub_code"]) == ("40001", "isv.missing-app-cert-sn")
    assert ask(bench)["sub_code"] == "ORDER_NOT_EXIST"


def test_over_v3_certificates_are_wanted_as_well(bench: Bench) -> None:
    path = "/v3/alipay/fund/trans/uni/transfer"
    assert bench.rest("POST", path, wish()).status == 400
    answer = bench.rest("POST", path, wish(), mode="cert")
    assert (answer.status, json.loads(answer.content)["status"]) == (200, "SUCCESS")
    asked = "&".join(f"{name}={value}" for name, value in {**PRODUCT, "out_biz_no": "P1"}.items())
    told = json.loads(bench.rest("GET", f"/v3/alipay/fund/trans/common/query?{asked}", mode="cert").content)
    assert (told["status"], told["trans_amount"]) == ("SUCCESS", "5.00")


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"trans_amount": "0.09"}, "INVALID_PARAMETER"),
        ({"product_code": "STD_RED_PACKET"}, "PRODUCT_NOT_SIGN"),
        ({"trans_amount": "50000.00"}, "MEMO_REQUIRED_IN_TRANSFER_ERROR"),
        ({"trans_amount": "300000000.00", "remark": "x"}, "INVALID_PARAMETER"),
        ({"payee_info": {"identity": "1", "identity_type": "ALIPAY_USER_ID"}}, "INVALID_PARAMETER"),
        ({"payee_info": {"identity": "13800000000", "identity_type": "ALIPAY_LOGON_ID"}}, "INVALID_PARAMETER"),
        ({"transfer_scene_name": "别的场景"}, "TRANSFER_SCENE_NAME_ILLEGAL"),
        ({"transfer_scene_name": "现金营销"}, "TRANSFER_SCENE_REPORT_INFO_ILLEGAL"),
        (
            {
                "transfer_scene_name": "现金营销",
                "transfer_scene_report_infos": [{"info_type": "活动", "info_content": "a"}] * 2,
            },
            "TRANSFER_SCENE_REPORT_INFO_ILLEGAL",
        ),
    ],
)
def test_what_the_sheet_forbids_is_refused_and_leaves_no_order(
    bench: Bench, changed: dict[str, Any], wanted: str
) -> None:
    assert pay(bench, **changed)["sub_code"] == wanted
    assert ask(bench)["sub_code"] == "ORDER_NOT_EXIST"
    assert pay(bench)["status"] == "SUCCESS"


@pytest.mark.parametrize(
    ("settings", "payee", "wanted"),
    [
        ({"balance_fen": 499}, {}, "PAYER_BALANCE_NOT_ENOUGH"),
        ({"single_limit_fen": 499}, {}, "EXCEED_LIMIT_SM_AMOUNT"),
        ({"needs_scene": True}, {}, "TRANSFER_SCENE_NAME_BLANK"),
        ({}, {"trouble": "missing"}, "PAYEE_NOT_EXIST"),
        ({}, {"trouble": "blocked"}, "PAYEE_ACCOUNT_STATUS_ERROR"),
        ({}, {"trouble": "unverified"}, "PAYEE_NOT_RELNAME_CERTIFY"),
        ({}, {"trouble": "risk"}, "RECEIVER_USER_RISK_FREEZE"),
        ({}, {"name": "李四"}, "PAYEE_USERINFO_ERROR"),
    ],
)
def test_what_is_wrong_with_account_or_payee_is_told(
    bench: Bench, settings: dict[str, Any], payee: dict[str, Any], wanted: str
) -> None:
    console(bench, **settings)
    if payee:
        bench.emulator.deliver({"kind": "payee", "identity": USER, **payee})
    named = {"payee_info": {"identity": USER, "identity_type": "ALIPAY_USER_ID", "name": "张三"}}
    assert pay(bench, **named)["sub_code"] == wanted


def test_a_transfer_under_way_holds_its_money(bench: Bench) -> None:
    console(bench, balance_fen=10_000, transfer_status="DEALING")
    assert pay(bench)["status"] == "DEALING"
    assert balance(bench) == ("95.00", "5.00")
    assert "trans_amount" not in ask(bench)
    bench.emulator.deliver({"kind": "transfer", "out_biz_no": "P1", "status": "FAIL", "error_code": "PAYEE_NOT_EXIST"})
    assert (ask(bench)["status"], ask(bench)["error_code"]) == ("FAIL", "PAYEE_NOT_EXIST")
    assert balance(bench) == ("100.00", "0.00")
    assert pay(bench)["status"] == "FAIL"


def test_a_banks_return_brings_the_money_back(bench: Bench) -> None:
    console(bench, balance_fen=10_000)
    assert pay(bench, **CARD)["status"] == "DEALING"
    for status, left in (("SUCCESS", "95.00"), ("REFUND", "100.00")):
        bench.emulator.deliver({"kind": "transfer", "out_biz_no": "P1", "status": status})
        assert ask(bench, out_biz_no="P1", product_code="TRANS_BANKCARD_NO_PWD")["status"] == status
        assert balance(bench) == (left, "0.00")


def test_a_move_that_there_is_not_is_a_testers_mistake(bench: Bench) -> None:
    pay(bench)
    for wrong in ({"status": "REFUND"}, {"status": "FAIL"}, {"out_biz_no": "NO", "status": "FAIL"}):
        with pytest.raises(ValueError, match="transfer"):
            bench.emulator.deliver({"kind": "transfer", "out_biz_no": "P1", **wrong})
    with pytest.raises(ValueError, match="trouble"):
        bench.emulator.deliver({"kind": "payee", "identity": USER, "trouble": "odd"})


def test_each_final_state_is_told(bench: Bench) -> None:
    pay(bench, passback_params="x=1")
    (sent,) = bench.frame.sent
    assert sent.event == "alipay.fund.trans.order.changed"
    told = json.loads(bench.news(sent)["biz_content"])
    assert (told["out_biz_no"], told["status"], told["trans_amount"]) == ("P1", "SUCCESS", "5.00")
    assert told["passback_params"] == "x=1"
    pay(bench, out_biz_no="P2", **CARD)
    assert len(bench.frame.sent) == 1
    bench.emulator.deliver({"kind": "transfer", "out_biz_no": "P2", "status": "FAIL"})
    told = json.loads(bench.news()["biz_content"])
    assert (told["out_biz_no"], told["status"], told["error_code"]) == ("P2", "FAIL", "PAYEE_ACCOUNT_STATUS_ERROR")
