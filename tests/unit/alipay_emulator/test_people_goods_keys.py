from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import load_pem_x509_certificate

from unicom_coupon_adapters.alipay.emulator import AlipayEmulator
from unicom_coupon_adapters.alipay.settings import AlipaySettings
from unicom_coupon_sdk.platform.wire import HttpAnswer

from .bench import FAMILY, Bench, serial_of

TOKEN = "alipay.system.oauth.token"
GOODS = "alipay.marketing.certificate.certification"


def flat(bench: Bench, method: str, **more: str) -> HttpAnswer:
    return bench.post(bench.signed(bench.parameters(method, None) | more))


# -- users ---------------------------------------------------------------------------------------------------------


def test_a_login_code_names_its_user_once(bench: Bench) -> None:
    login = bench.emulator.deliver({"kind": "login", "holder": "2088000000000001"})
    answer = flat(bench, TOKEN, grant_type="authorization_code", code=login["auth_code"])
    told = json.loads(bench.opened(answer))
    assert (told["user_id"], told["open_id"], "code" in told) == ("2088000000000001", login["open_id"], False)
    again = flat(bench, TOKEN, grant_type="authorization_code", code=login["auth_code"])
    assert again.content.startswith(b'{"error_response"')
    assert json.loads(bench.opened(again))["sub_code"] == "isv.code-invalid"
    fresh = flat(bench, TOKEN, grant_type="refresh_token", refresh_token=told["refresh_token"])
    renewed = json.loads(bench.opened(fresh))
    shared = json.loads(bench.opened(flat(bench, "alipay.user.info.share", auth_token=renewed["access_token"])))
    assert shared["user_id"] == "2088000000000001"


@pytest.mark.parametrize(
    ("more", "sub_code"),
    [
        ({"grant_type": "password"}, "isv.grant-type-invalid"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "isv.refresh-token-invalid"),
        ({"grant_type": "authorization_code", "code": "x"}, "isv.code-invalid"),
    ],
)
def test_other_grants_are_refused(bench: Bench, more: dict[str, str], sub_code: str) -> None:
    assert json.loads(bench.opened(flat(bench, TOKEN, **more)))["sub_code"] == sub_code


def test_a_login_code_is_short_lived(bench: Bench) -> None:
    login = bench.emulator.deliver({"kind": "login"})
    bench.advance(minutes=6)
    answer = flat(bench, TOKEN, grant_type="authorization_code", code=login["auth_code"])
    assert json.loads(bench.opened(answer))["sub_code"] == "isv.code-invalid"


def test_a_phone_number_is_encrypted_and_signed_with_its_quotes(bench: Bench) -> None:
    told = bench.emulator.deliver({"kind": "phone", "phone": "13800000000"})
    assert bench.verifies(f'"{told["response"]}"'.encode(), told["sign"])
    assert json.loads(bench.unseal(told["response"])) == {"code": "10000", "msg": "Success", "mobile": "13800000000"}


def test_a_phone_failure_is_in_clear_and_unsigned(bench: Bench) -> None:
    told = bench.emulator.deliver({"kind": "phone", "error": "isv.missing-encrypt-key"})
    assert "sign" not in told
    assert json.loads(told["response"])["subCode"] == "isv.missing-encrypt-key"


# -- goods ---------------------------------------------------------------------------------------------------------


def bought(bench: Bench, **wish: Any) -> dict[str, Any]:
    return dict(bench.emulator.deliver({"kind": "purchase", "face_fen": 5000, "holder": "2088000000000001", **wish}))


def used(bench: Bench, order: dict[str, Any], number: str, **row: Any) -> dict[str, Any]:
    wish = {"order_id": order["order_id"], "user_id": order["user_id"], "out_biz_no": number, "biz_dt": bench.stamp()}
    told = bench.good(f"{GOODS}.use", wish | {"certificate_use_info_list": [row]})
    (result,) = told["certificate_use_result_list"]
    return dict(result)


def test_a_certificate_is_prepared_used_and_given_back(bench: Bench) -> None:
    order = bought(bench)
    (card,) = order["certificates"]
    prepared = bench.good(f"{GOODS}.prepareuse", {"encrypted_data": card["encrypted_data"]})
    (info,) = prepared["certificate_prepare_info_list"]
    assert (prepared["order_id"], info["certificate_id"]) == (order["order_id"], card["certificate_id"])
    assert len(card["code"]) == 12
    first = used(bench, order, "G1", encrypted_code=info["encrypted_code"])
    assert first["result"] == "SUCCESS"
    assert used(bench, order, "G1", encrypted_code=info["encrypted_code"]) == first
    second = used(bench, order, "G2", encrypted_code=info["encrypted_code"])
    assert (second["result"], "use_order_no" in second) == ("FAIL", False)
    view = bench.emulator.view(card["code"])
    assert view is not None
    assert (view["state"], view["history"][-1]["request_no"]) == ("USED", "G1")
    assert bench.refused(f"{GOODS}.prepareuse", {"code": card["code"]}) == "BIZ_ERROR"
    back = {"use_order_no_list": [first["use_order_no"]], "biz_dt": bench.stamp()}
    for number, wanted in (("GB1", "SUCCESS"), ("GB2", "FAIL")):
        told = bench.good(f"{GOODS}.refund", back | {"out_biz_no": number})
        assert told["certificate_reverse_result_list"][0]["result"] == wanted
    (shown,) = bench.good(f"{GOODS}.batchquery", {"order_id": order["order_id"]})["certificate_info_list"]
    assert (shown["can_use"], shown["status"]) == (True, "EFFECTIVE")


def test_a_merchants_own_code_and_a_card_of_several_uses(bench: Bench) -> None:
    order = bought(bench, codes=["CU-OWN-1"], times=2)
    assert used(bench, order, "G1", code="CU-OWN-1")["result"] == "SUCCESS"
    wish = {"code_list": ["CU-OWN-1"], "user_id": order["user_id"]}
    (shown,) = bench.good(f"{GOODS}.batchquery", wish)["certificate_info_list"]
    assert shown["times_card_info"] == {"total_count": 2, "used_count": 1}
    assert used(bench, order, "G2", code="CU-OWN-1", use_count=2)["result"] == "FAIL"
    other = bought(bench, holder="2088000000000002")
    assert used(bench, other, "G3", code="CU-OWN-1")["result"] == "FAIL"
    with pytest.raises(ValueError, match="taken"):
        bought(bench, codes=["CU-OWN-1"])


# -- keys ----------------------------------------------------------------------------------------------------------


def test_credentials_are_those_of_the_contract_and_kept(bench: Bench) -> None:
    assert set(bench.told) == {
        "app_id", "seller_id", "app_private_key_file", "app_public_key_file", "alipay_public_key_file", "aes_key",
        "app_cert_file", "alipay_cert_file", "alipay_root_cert_file",
    }  # fmt: skip
    files = [Path(value) for name, value in bench.told.items() if name.endswith("_file")]
    assert all(file.is_absolute() and file.stat().st_mode & 0o077 == 0 for file in files)
    assert len(base64.b64decode(bench.told["aes_key"])) == 16
    assert dict(AlipayEmulator(bench.frame).credentials()) == bench.told
    assert b"-----\n\n-----" in Path(bench.told["alipay_root_cert_file"]).read_bytes()


def test_the_settings_are_ones_that_the_adapter_takes(bench: Bench) -> None:
    settings = dict(bench.emulator.client_settings("http://127.0.0.1:8701"))
    assert AlipaySettings.parse(settings).gateway_url == "http://127.0.0.1:8701/gateway.do"
    assert AlipaySettings.parse(settings | {"mode": "certificate"}).alipay_certs


def test_a_new_platform_certificate_can_be_fetched_by_its_number(bench: Bench) -> None:
    old = bench.platform_serial
    told = bench.emulator.rotate("alipay_certificate_new")
    assert bench.good(f"{FAMILY}.query", {"activity_id": bench.issue()["activity_id"]})
    bench.told = {name: told[name] for name in bench.told}
    assert bench.platform_serial != old
    for serial in (old, bench.platform_serial):
        method = "alipay.open.app.alipaycert.download"
        answer = bench.good(method, {"alipay_cert_sn": serial}, mode="cert")
        pem = base64.b64decode(answer["alipay_cert_content"])
        assert serial_of(pem) == serial
        roots = Path(bench.told["alipay_root_cert_file"]).read_bytes()
        load_pem_x509_certificate(pem).verify_directly_issued_by(load_pem_x509_certificate(roots))
    unknown = bench.call("alipay.open.app.alipaycert.download", {"alipay_cert_sn": "0" * 32}, mode="cert")
    assert unknown["code"] == "40002"


def test_an_old_application_key_serves_until_it_is_void(bench: Bench) -> None:
    old = dict(bench.told)
    coupon = bench.issue()
    new = bench.emulator.rotate("app_key_new")
    assert bench.good(f"{FAMILY}.query", {"activity_id": coupon["activity_id"]})
    bench.emulator.rotate("app_key_old_void")
    assert bench.call(f"{FAMILY}.query", {})["sub_code"] == "isv.invalid-signature"
    assert bench.call(f"{FAMILY}.query", {}, mode="cert")["sub_code"] == "isv.app-cert-expired"
    bench.told = {name: new[name] for name in old}
    assert bench.good(f"{FAMILY}.query", {"activity_id": coupon["activity_id"]})
    with pytest.raises(ValueError, match="no older"):
        bench.emulator.rotate("app_key_old_void")


def test_a_new_public_key_signs_answers_and_news(bench: Bench) -> None:
    new = bench.emulator.rotate("alipay_public_key_new")
    answer = bench.answer(f"{FAMILY}.query", {})
    with pytest.raises(AssertionError, match="does not verify"):
        bench.opened(answer)
    bench.told = {name: new[name] for name in bench.told}
    assert bench.opened(answer)
    bench.issue()
    assert bench.news()["msg_method"] == "alipay.marketing.activity.message.received"
    keys = bench.emulator.client_settings("http://127.0.0.1:1")["alipay_public_keys"]
    assert len(keys) == 2


def test_a_new_content_key_leaves_the_last_one_readable(bench: Bench) -> None:
    coupon = bench.issue()
    sealed = bench.seal(json.dumps(bench.redemption(coupon)))
    new = bench.emulator.rotate("content_key_new")
    assert new["aes_key"] != bench.told["aes_key"]
    parameters = bench.parameters(f"{FAMILY}.use", sealed) | {"encrypt_type": "AES"}
    node = bench.opened(bench.post(bench.signed(parameters)))
    bench.told["aes_key"] = new["aes_key"]
    assert json.loads(bench.unseal(node.strip('"')))["code"] == "10000"


def test_an_unknown_step_is_refused(bench: Bench) -> None:
    with pytest.raises(ValueError, match="unknown step"):
        bench.emulator.rotate("nonsense")


# -- news and front end --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bad_signature", "wrong_serial", "stale_timestamp"])
def test_spoiled_news_does_not_verify(bench: Bench, kind: str) -> None:
    bench.issue()
    _, headers, body = bench.emulator.render_callback(bench.frame.sent[-1])
    spoiled = bench.emulator.spoil(kind, HttpAnswer(0, headers, body), probe=True)
    assert spoiled.content != body
    assert spoiled.content.partition(b"&sign=")[0] == body.partition(b"&sign=")[0]


def test_only_the_seven_bytes_of_success_end_a_delivery(bench: Bench) -> None:
    accepts = [
        bench.emulator.is_accepted(HttpAnswer(200, (), body)) for body in (b"success", b"success\n", b"fail", b"")
    ]
    assert accepts == [True, False, False, False]
    assert not bench.emulator.is_accepted(HttpAnswer(500, (), b"success"))


def test_messages_follow_the_plan_of_eight_deliveries(bench: Bench) -> None:
    bench.issue()
    assert bench.frame.sent[-1].schedule_s == (0.0, 120.0, 600.0, 600.0, 3600.0, 7200.0, 21600.0, 54000.0)


def test_a_user_claims_a_voucher_of_an_activity(bench: Bench) -> None:
    activity_id = bench.upload(["C1"])
    claimed = bench.emulator.deliver({"kind": "claim", "activity_id": activity_id, "holder": "anOpenId"})
    assert (claimed["result"], claimed["code"], claimed["open_id"]) == (True, "C1", "anOpenId")
    empty = bench.emulator.deliver({"kind": "claim", "activity_id": activity_id})
    assert empty["result"] is False


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"kind": "dance"},
        {"kind": "phone"},
        {"kind": "phone", "error": "nonsense"},
        {"kind": "pay", "qr_code": "x"},
        {"kind": "pay", "out_trade_no": "x"},
        {"kind": "claim", "activity_id": "x"},
        {"kind": "purchase"},
        {"kind": "purchase", "face_fen": 1, "codes": [1]},
        {"kind": "delete", "code": "x"},
        {"kind": "console", "delay_s": -1},
        {"kind": "login", "holder": ""},
    ],
)
def test_a_wrong_wish_is_told_to_the_tester(bench: Bench, wish: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        bench.emulator.deliver(wish)


@pytest.mark.parametrize(
    "wish", [{"face_fen": 5}, {"count": 0}, {"valid_days": 0}, {"owner_id": "me"}, {"face_fen": True}]
)
def test_coupons_that_cannot_be_are_refused(bench: Bench, wish: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        bench.issue(**wish)


def test_an_order_of_another_holder_or_a_used_voucher_is_refused(bench: Bench) -> None:
    coupon = bench.issue(holder="2088000000000001")
    with pytest.raises(ValueError, match="another holder"):
        bench.emulator.order({"amount_fen": 1000, "code": coupon["code"], "holder": "2088000000000002"})
    bench.use(coupon)
    with pytest.raises(ValueError, match="not free"):
        bench.emulator.order({"amount_fen": 1000, "code": coupon["code"]})
    with pytest.raises(ValueError, match="no voucher"):
        bench.emulator.order({"amount_fen": 1000, "code": "NOSUCH"})
