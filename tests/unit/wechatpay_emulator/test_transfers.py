"""Transfers to users: what is refused, who may take them, when they end, and what the merchant is told."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from tests.unit.wechatpay_emulator.bench import Bench, body_of, refusal_of

TRANSFERS = "/v3/fund-app/mch-transfer/transfer-bills"
REPORT = [
    {"info_type": "活动名称", "info_content": "联通电子券"},
    {"info_type": "奖励说明", "info_content": "现金券"},
]


def wish(bench: Bench, **changed: Any) -> dict[str, Any]:
    body = {
        "appid": bench.told["appid"],
        "out_bill_no": "T0001",
        "transfer_scene_id": "1000",
        "openid": "oPayee",
        "transfer_amount": 5000,
        "transfer_remark": "现金券",
        "transfer_scene_report_infos": REPORT,
    }
    return {name: value for name, value in (body | changed).items() if value is not None}


def made(bench: Bench, **changed: Any) -> dict[str, Any]:
    answer = bench.post(TRANSFERS, wish(bench, **changed))
    assert answer.status == 200, answer.content
    assert bench.verifies(answer)
    return body_of(answer)


def read(bench: Bench, number: str = "T0001") -> dict[str, Any]:
    return body_of(bench.get(f"{TRANSFERS}/out-bill-no/{number}"))


def taken(bench: Bench, **act: Any) -> dict[str, Any]:
    return dict(bench.emulator.deliver({"kind": "transfer", "out_bill_no": "T0001", **act}))


def test_a_transfer_waits_for_its_user(bench: Bench) -> None:
    told = made(bench)
    assert told["state"] == "WAIT_USER_CONFIRM"
    assert told["package_info"]
    shown = read(bench)
    assert shown["transfer_bill_no"] == told["transfer_bill_no"]
    assert (shown["mch_id"], shown["transfer_amount"], shown["openid"]) == (bench.told["mchid"], 5000, "oPayee")
    by_theirs = body_of(bench.get(f"{TRANSFERS}/transfer-bill-no/{told['transfer_bill_no']}"))
    assert by_theirs == shown


def test_the_named_user_takes_it_and_the_merchant_is_told_once(bench: Bench) -> None:
    url = "https://shop.example/notify"
    package = made(bench, notify_url=url)["package_info"]
    done = dict(bench.emulator.deliver({"package": package, "openid": "oPayee"}))
    assert (done["errMsg"], done["state"]) == ("requestMerchantTransfer:ok", "SUCCESS")
    assert read(bench)["state"] == "SUCCESS"
    assert "package_info" not in read(bench)
    [callback] = bench.frame.sent
    envelope, plain, _ = bench.open_callback(callback)
    assert (envelope["event_type"], envelope["resource"]["original_type"]) == (
        "MCHTRANSFER.BILL.FINISHED",
        "mch_payment",
    )
    assert (plain["out_bill_no"], plain["state"], plain["transfer_amount"]) == ("T0001", "SUCCESS", 5000)
    assert taken(bench)["errMsg"] == "requestMerchantTransfer:fail"


def test_somebody_else_takes_nothing(bench: Bench) -> None:
    made(bench)
    assert taken(bench, openid="oThief")["errMsg"] == "requestMerchantTransfer:fail"
    assert read(bench)["state"] == "WAIT_USER_CONFIRM"


def test_after_a_day_without_confirmation_it_is_closed(bench: Bench) -> None:
    made(bench, notify_url="https://shop.example/notify")
    bench.advance(hours=23, minutes=59)
    assert read(bench)["state"] == "WAIT_USER_CONFIRM"
    bench.advance(minutes=1)
    assert (read(bench)["state"], read(bench)["fail_reason"]) == ("FAIL", "OVERDUE_CLOSE")
    assert len(bench.frame.sent) == 1
    assert taken(bench)["errMsg"] == "requestMerchantTransfer:fail"


def test_the_same_number_gives_the_same_transfer_as_it_stands(bench: Bench) -> None:
    first = made(bench)
    assert made(bench) == first
    taken(bench)
    assert made(bench)["state"] == "SUCCESS"
    assert refusal_of(bench.post(TRANSFERS, wish(bench, transfer_amount=5001))) == (400, "INVALID_REQUEST")


def test_a_name_that_was_encrypted_anew_is_the_same_name(bench: Bench) -> None:
    first = made(bench, user_name=bench.sealed("张三"))
    assert made(bench, user_name=bench.sealed("张三")) == first
    other = bench.post(TRANSFERS, wish(bench, user_name=bench.sealed("李四")))
    assert refusal_of(other) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(("real_name", "state"), [("张三", "SUCCESS"), ("李四", "FAIL")])
def test_the_name_is_compared_with_the_payees(bench: Bench, real_name: str, state: str) -> None:
    made(bench, user_name=bench.sealed("张三"))
    assert taken(bench, real_name=real_name)["state"] == state
    assert read(bench).get("fail_reason") == ("NAME_NOT_CORRECT" if state == "FAIL" else None)


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"transfer_amount": 200_000}, "PARAM_ERROR"),
        ({"transfer_amount": 9}, "PARAM_ERROR"),
        ({"transfer_scene_id": "9999"}, "PARAM_ERROR"),
        ({"transfer_scene_report_infos": REPORT[:1]}, "PARAM_ERROR"),
        ({"transfer_scene_report_infos": [*REPORT, REPORT[0]]}, "PARAM_ERROR"),
        ({"out_bill_no": "with-dash"}, "PARAM_ERROR"),
        ({"user_name": "张三"}, "PARAM_ERROR"),
        ({"transfer_remark": None}, "PARAM_ERROR"),
        ({"invented": 1}, "PARAM_ERROR"),
        ({"notify_url": "https://shop.example/notify?a=1"}, "PARAM_ERROR"),
        ({"appid": "wxOther000000"}, "APPID_MCHID_NOT_MATCH"),
    ],
)
def test_a_wrong_request_is_refused_and_makes_nothing(bench: Bench, changed: dict[str, Any], code: str) -> None:
    assert refusal_of(bench.post(TRANSFERS, wish(bench, **changed))) == (400, code)
    assert refusal_of(bench.get(f"{TRANSFERS}/out-bill-no/T0001")) == (404, "NOT_FOUND")


def test_a_scene_that_was_not_granted_is_refused(bench: Bench) -> None:
    report = [{"info_type": "赔付原因", "info_content": "x"}]
    body = wish(bench, transfer_scene_id="1011", transfer_scene_report_infos=report)
    assert refusal_of(bench.post(TRANSFERS, body)) == (403, "NO_AUTH")


def test_a_name_is_not_taken_below_thirty_fen(bench: Bench) -> None:
    body = wish(bench, transfer_amount=29, user_name=bench.sealed("张三"))
    assert refusal_of(bench.post(TRANSFERS, body)) == (400, "PARAM_ERROR")
    assert made(bench, transfer_amount=30, user_name=bench.sealed("张三"))["state"] == "WAIT_USER_CONFIRM"


def test_a_name_without_the_header_of_its_key_is_refused(bench: Bench) -> None:
    answer = bench.post(TRANSFERS, wish(bench, user_name=bench.sealed("张三")), serial=None)
    assert refusal_of(answer) == (400, "PARAM_ERROR")


def test_a_call_back_is_heard_and_then_done(bench: Bench) -> None:
    made(bench, notify_url="https://shop.example/notify")
    answer = bench.send("POST", f"{TRANSFERS}/out-bill-no/T0001/cancel")
    assert body_of(answer)["state"] == "CANCELING"
    assert (read(bench)["state"], read(bench)["fail_reason"]) == ("CANCELLED", "MCH_CANCEL")
    assert taken(bench)["errMsg"] == "requestMerchantTransfer:fail"
    assert len(bench.frame.sent) == 1


def test_what_the_user_has_cannot_be_called_back(bench: Bench) -> None:
    made(bench)
    taken(bench)
    answer = bench.send("POST", f"{TRANSFERS}/out-bill-no/T0001/cancel")
    assert refusal_of(answer) == (400, "INVALID_REQUEST")
    assert read(bench)["state"] == "SUCCESS"


def test_a_bank_behind_it_can_fail(bench: Bench) -> None:
    made(bench)
    assert taken(bench, fails="ACCOUNT_FROZEN")["state"] == "FAIL"
    assert read(bench)["fail_reason"] == "ACCOUNT_FROZEN"


def test_a_delivery_of_no_transfer_is_the_testers_mistake(bench: Bench) -> None:
    for act in ({"package": "nothing"}, {"out_bill_no": "nothing"}):
        with pytest.raises(ValueError, match="no such transfer"):
            bench.emulator.deliver({"kind": "transfer", **act})


def test_a_receipt_is_made_of_what_arrived(bench: Bench) -> None:
    receipts = "/v3/fund-app/mch-transfer/elecsign/out-bill-no"
    made(bench)
    assert refusal_of(bench.post(receipts, {"out_bill_no": "T0001"})) == (400, "INVALID_REQUEST")
    taken(bench)
    assert refusal_of(bench.get(f"{receipts}/T0001")) == (404, "NOT_FOUND")
    assert body_of(bench.post(receipts, {"out_bill_no": "T0001"}))["state"] == "GENERATING"
    told = body_of(bench.get(f"{receipts}/T0001"))
    target = told["download_url"].removeprefix("http://127.0.0.1:8702")
    bench.advance(minutes=10)
    file = bench.get(target)
    assert (told["hash_type"], told["hash_value"]) == ("SHA256", hashlib.sha256(file.content).hexdigest())
    assert file.content.startswith(b"%PDF")
    bench.advance(seconds=1)
    assert refusal_of(bench.get(target)) == (404, "RESOURCE_NOT_EXISTS")
