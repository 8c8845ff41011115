from __future__ import annotations

import json
from datetime import timedelta

import pytest

from unicom_coupon_adapters.alipay.emulation.rest import ROUTES
from unicom_coupon_adapters.alipay.emulation.router import ROUTES as METHODS
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Received

from .bench import FAMILY, QUERY, Bench, path_of


def body(bench: Bench, coupon: dict[str, str]) -> dict[str, str]:
    told = bench.redemption(coupon)
    return {name: value for name, value in told.items() if name not in {"activity_id", "voucher_code"}}


def code_of(answer: HttpAnswer) -> tuple[int, str]:
    return answer.status, json.loads(answer.content)["code"]


def test_every_path_has_a_method_behind_it() -> None:
    assert {method for _, _, method in ROUTES} <= METHODS.keys()


@pytest.mark.parametrize("mode", ["key", "cert"])
def test_a_coupon_is_redeemed_and_the_answer_is_signed(bench: Bench, mode: str) -> None:
    coupon = bench.issue()
    answer = bench.rest("POST", path_of(coupon, "use"), body(bench, coupon), mode=mode)
    assert answer.status == 200
    told = {"activity_id": coupon["activity_id"], "voucher_use_detail_result_info": {"voucher_max_un_use_times": 0}}
    assert json.loads(answer.content) == told
    assert bench.rest_verifies(answer, mode=mode)
    assert answer.header("alipay-sn") == (bench.platform_serial if mode == "cert" else None)
    assert bench.status(coupon) == "USED"


def test_classic_and_v3_are_one_state_and_one_set_of_numbers(bench: Bench) -> None:
    coupon = bench.issue()
    told = bench.redemption(coupon)
    first = bench.good(f"{FAMILY}.use", told)
    rest = {name: value for name, value in told.items() if name not in {"activity_id", "voucher_code"}}
    again = json.loads(bench.rest("POST", path_of(coupon, "use"), rest).content)
    assert again["voucher_use_detail_result_info"] == first["voucher_use_detail_result_info"]


def test_a_code_with_reserved_letters_is_percent_encoded_and_signed_so(bench: Bench) -> None:
    activity_id = bench.create()
    row = {"activity_id": activity_id, "out_biz_no": "R1", "voucher_code": "CU_8A7F-11+22=|"}
    bench.good(f"{FAMILY}.receive", {"receive_info_list": [row], "user_id": "2088000000000001"})
    coupon = {"activity_id": activity_id, "code": "CU_8A7F-11+22=|"}
    assert "%2B22%3D%7C" in path_of(coupon, "use")
    assert bench.rest("POST", path_of(coupon, "use"), body(bench, coupon)).status == 200


def test_a_query_goes_by_get(bench: Bench) -> None:
    coupon = bench.issue()
    target = "/v3/alipay/marketing/activity/ordervoucher/user/voucher"
    answer = bench.rest("GET", f"{target}?activity_id={coupon['activity_id']}&voucher_code={coupon['code']}")
    assert json.loads(answer.content)["user_voucher_base_info"]["voucher_status"] == "SENDED"
    assert bench.rest_verifies(answer)


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"signed_body": "{}"}, (401, "invalid-signature")),
        ({"app_id": "2021"}, (401, "invalid-app-id")),
        ({"timestamp": "yesterday"}, (401, "invalid-timestamp")),
        ({"timestamp": "1"}, (401, "invalid-timestamp")),
    ],
)
def test_a_faulty_header_is_refused(bench: Bench, changed: dict[str, str], wanted: tuple[int, str]) -> None:
    coupon = bench.issue()
    answer = bench.rest("POST", path_of(coupon, "use"), body(bench, coupon), **changed)
    assert code_of(answer) == wanted
    assert bench.status(coupon) == "SENDED"


def test_a_request_past_its_lifetime_is_refused(bench: Bench) -> None:
    coupon = bench.issue()
    sent = str(int((bench.frame.time - timedelta(seconds=121)).timestamp() * 1000))
    use = path_of(coupon, "use")
    late = bench.rest("POST", use, body(bench, coupon), timestamp=sent, expired_seconds="120")
    assert code_of(late) == (401, "illegal-timestamp")
    assert bench.rest("POST", use, body(bench, coupon), timestamp=sent, expired_seconds="130").status == 200


def test_business_failures_keep_their_code(bench: Bench) -> None:
    coupon = bench.issue()
    bench.use(coupon)
    answer = bench.rest("POST", path_of(coupon, "use"), body(bench, coupon))
    assert code_of(answer) == (400, "BIZ_ERROR")
    assert set(json.loads(answer.content)) == {"code", "message", "links"}
    assert bench.rest_verifies(answer)


def test_an_unknown_path_is_refused(bench: Bench) -> None:
    assert code_of(bench.rest("POST", "/v3/alipay/nothing", {}))[1] == "invalid-method"
    assert bench.emulator.fault_key(Received("POST", "/v3/alipay/nothing", (), b"")) == "/v3/alipay/nothing"


def test_a_body_may_be_encrypted(bench: Bench) -> None:
    coupon = bench.issue()
    sealed = bench.seal(json.dumps(body(bench, coupon)))
    answer = bench.rest("POST", path_of(coupon, "use"), sealed, encrypted="AES")
    assert bench.rest_verifies(answer)
    assert json.loads(bench.unseal(answer.content.decode()))["activity_id"] == coupon["activity_id"]


@pytest.mark.parametrize("mode", ["key", "cert"])
@pytest.mark.parametrize("kind", ["bad_signature", "wrong_serial"])
def test_a_spoiled_answer_does_not_verify(bench: Bench, mode: str, kind: str) -> None:
    target = "/v3/alipay/marketing/activity/ordervoucher/query?activity_id=1"
    spoiled = bench.emulator.spoil(kind, bench.rest("GET", target, mode=mode), probe=False)
    assert not bench.rest_verifies(spoiled, mode=mode)
    if (kind, mode) == ("wrong_serial", "cert"):
        assert spoiled.header("alipay-sn") != bench.platform_serial


def test_a_stale_answer_is_validly_signed_and_six_minutes_old(bench: Bench) -> None:
    answer = bench.rest("GET", "/v3/alipay/marketing/activity/ordervoucher/query?activity_id=1")
    stale = bench.emulator.spoil("stale_timestamp", answer, probe=False)
    assert bench.rest_verifies(stale)
    assert int(stale.header("alipay-timestamp") or 0) == int((bench.frame.time.timestamp() - 360) * 1000)


def test_faults_name_the_classic_method(bench: Bench) -> None:
    coupon = bench.issue()
    assert bench.emulator.fault_key(Received("POST", path_of(coupon, "use"), (), b"")) == f"{FAMILY}.use"
    target = "/v3/alipay/marketing/activity/ordervoucher/user/voucher?activity_id=1"
    assert bench.emulator.fault_key(Received("GET", target, (), b"")) == QUERY


def test_an_error_on_demand_has_its_status(bench: Bench) -> None:
    request = Received(
        "POST",
        "/v3/alipay/trade/pay",
        (("Authorization", f"ALIPAY-SHA256withRSA app_id={bench.told['app_id']},sign=x"),),
        b"",
    )
    answer = bench.emulator.refuse(request, "SYSTEM_ERROR")
    assert code_of(answer) == (500, "SYSTEM_ERROR")
    assert bench.rest_verifies(answer)
    assert code_of(bench.emulator.refuse(request, "isv.app-call-limited")) == (429, "app-call-limited")
