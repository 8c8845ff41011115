from __future__ import annotations

import html
import json
from urllib.parse import quote_plus, urlencode

import pytest

from unicom_coupon_sdk.sandbox.emulator import Received

from .bench import FAMILY, QUERY, Bench, beijing, cut

USE = f"{FAMILY}.use"


def told_of(answer_content: bytes) -> dict[str, str]:
    (node,) = (value for key, value in json.loads(answer_content).items() if key.endswith("_response"))
    told: dict[str, str] = node
    return told


def test_an_answer_is_compact_signed_and_in_the_platforms_order(bench: Bench) -> None:
    coupon = bench.issue()
    answer = bench.answer(USE, bench.redemption(coupon))
    activity = coupon["activity_id"]
    node, sign = cut(answer)
    assert node == (
        b'{"code":"10000","msg":"Success","activity_id":"' + activity.encode() + b'",'
        b'"voucher_use_detail_result_info":{"voucher_max_un_use_times":0}}'
    )
    assert bench.verifies(node, sign)
    assert answer.content.startswith(b'{"alipay_marketing_activity_ordervoucher_use_response":{')
    assert (answer.status, answer.header("Content-Type")) == (200, "text/html;charset=utf-8")
    assert answer.header("trace_id")


def test_a_get_with_everything_in_the_query_is_served(bench: Bench) -> None:
    parameters = bench.signed(bench.parameters(USE, bench.redemption(bench.issue())))
    assert json.loads(bench.opened(bench.post(parameters, verb="GET")))["code"] == "10000"


def test_query_and_form_are_merged(bench: Bench) -> None:
    parameters = bench.signed(bench.parameters(USE, bench.redemption(bench.issue())))
    content = parameters.pop("biz_content")
    answer = bench.receive("POST", f"/gateway.do?{urlencode(parameters)}", urlencode({"biz_content": content}).encode())
    assert json.loads(bench.opened(answer))["code"] == "10000"


def test_an_absolute_request_target_is_served(bench: Bench) -> None:
    parameters = bench.signed(bench.parameters(USE, bench.redemption(bench.issue())))
    content = parameters.pop("biz_content")
    target = f"http://127.0.0.1/gateway.do?{urlencode(parameters)}"
    answer = bench.receive("POST", target, urlencode({"biz_content": content}).encode())
    assert json.loads(bench.opened(answer))["code"] == "10000"
    assert bench.emulator.fault_key(Received("POST", target, (), b"")) == USE


def test_a_multipart_form_is_read_and_its_file_is_not_signed(bench: Bench) -> None:
    parameters = bench.signed(bench.parameters(USE, bench.redemption(bench.issue())))
    lines = [
        f'--B\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in parameters.items()
    ]
    lines += ['--B\r\nContent-Disposition: form-data; name="f"; filename="a.png"\r\n\r\nPNG\r\n', "--B--\r\n"]
    media = (("Content-Type", "multipart/form-data; boundary=B"),)
    answer = bench.receive("POST", "/gateway.do", "".join(lines).encode(), media)
    assert json.loads(bench.opened(answer))["code"] == "10000"


def test_gbk_is_signed_read_and_answered_in_gbk(bench: Bench) -> None:
    coupon = bench.issue()
    parameters = bench.parameters(QUERY, {"activity_id": coupon["activity_id"], "voucher_code": coupon["code"]})
    answer = bench.post(bench.signed(parameters | {"charset": "gbk", "terminal_info": "联通营业厅"}))
    assert "联通电子券" in bench.opened(answer, charset="gbk")
    assert answer.header("Content-Type") == "text/html;charset=gbk"


def test_an_empty_value_is_dropped_before_verifying(bench: Bench) -> None:
    parameters = bench.signed(bench.parameters(USE, bench.redemption(bench.issue())))
    assert json.loads(bench.opened(bench.post(parameters | {"return_url": ""})))["code"] == "10000"


def test_rsa_with_sha1_is_verified_too(bench: Bench) -> None:
    parameters = bench.parameters(USE, bench.redemption(bench.issue())) | {"sign_type": "RSA"}
    assert told_of(bench.post(bench.signed(parameters)).content)["code"] == "10000"


@pytest.mark.parametrize("member", ["biz_content", "timestamp", "app_cert_sn", "notify_url"])
def test_whatever_is_changed_after_signing_is_found(bench: Bench, member: str) -> None:
    coupon = bench.issue()
    mode = "cert" if member == "app_cert_sn" else "key"
    signed = bench.signed(bench.parameters(USE, bench.redemption(coupon), mode=mode))
    changes = {
        "biz_content": signed["biz_content"].replace("99.00", "98.00"),
        "timestamp": bench.stamp(seconds=1),
        "app_cert_sn": "0" * 32,
        "notify_url": "https://thief.invalid/",
    }
    told = told_of(bench.post(signed | {member: changes[member]}).content)
    assert told["code"] == "40002"
    wanted = "isv.app-cert-not-exist" if member == "app_cert_sn" else "isv.invalid-signature"
    assert told["sub_code"] == wanted
    assert bench.status(coupon) == "SENDED"


def test_a_wrong_signature_is_answered_with_the_text_that_should_have_been_signed(bench: Bench) -> None:
    signed = bench.signed(bench.parameters(USE, bench.redemption(bench.issue())))
    answer = bench.post(signed | {"sign": "A" * 344})
    text = json.loads(bench.opened(answer))["sub_msg"]
    assert "&quot;activity_id&quot;" in text
    canonical = "&".join(f"{name}={signed[name]}" for name in sorted(signed) if name != "sign")
    assert html.unescape(text).endswith(f"网关生成的验签字符串为：{canonical}")


@pytest.mark.parametrize(
    ("changed", "code", "sub_code"),
    [
        ({"sign": ""}, "40001", "isv.missing-signature"),
        ({"sign_type": ""}, "40001", "isv.missing-signature-type"),
        ({"timestamp": ""}, "40001", "isv.missing-timestamp"),
        ({"version": ""}, "40001", "isv.missing-version"),
        ({"sign_type": "MD5"}, "40002", "isv.invalid-signature-type"),
        ({"charset": "latin-1"}, "40002", "isv.invalid-charset"),
        ({"format": "xml"}, "40002", "isv.invalid-format"),
        ({"timestamp": "2026-05-20T12:00:00"}, "40002", "isv.invalid-timestamp"),
        ({"timestamp": "2026-02-30 12:00:00"}, "40002", "isv.invalid-timestamp"),
        ({"timestamp": "2026-05-18 11:00:00"}, "40002", "isv.invalid-timestamp"),
    ],
)
def test_public_parameters_are_checked(bench: Bench, changed: dict[str, str], code: str, sub_code: str) -> None:
    signed = bench.signed(bench.parameters(USE, bench.redemption(bench.issue())) | {})
    told = json.loads(bench.opened(bench.post(signed | changed)))
    assert (told["code"], told["sub_code"]) == (code, sub_code)


def test_a_client_whose_host_is_eight_hours_behind_is_served(bench: Bench) -> None:
    parameters = bench.parameters(USE, bench.redemption(bench.issue())) | {"timestamp": bench.stamp(hours=-8)}
    assert told_of(bench.post(bench.signed(parameters)).content)["code"] == "10000"


def test_a_parameter_given_twice_is_refused(bench: Bench) -> None:
    signed = bench.signed(bench.parameters(USE, bench.redemption(bench.issue())))
    body = urlencode(signed) + "&biz_content=" + quote_plus("{}")
    assert told_of(bench.receive("POST", "/gateway.do", body.encode()).content)["sub_code"] == "isv.invalid-parameter"


@pytest.mark.parametrize(("app_id", "sub_code"), [("", "isv.missing-app-id"), ("2021", "isv.invalid-app-id")])
def test_an_unknown_application_gets_an_unsigned_failure(bench: Bench, app_id: str, sub_code: str) -> None:
    answer = bench.post(bench.signed(bench.parameters(USE, {}) | {"app_id": app_id}))
    assert b'"sign":' not in answer.content
    assert told_of(answer.content)["sub_code"] == sub_code


def test_an_unknown_method_is_told_in_the_error_node(bench: Bench) -> None:
    answer = bench.answer("alipay.no.such.method", {})
    assert answer.content.startswith(b'{"error_response":{"code":"40002"')
    assert json.loads(bench.opened(answer))["sub_code"] == "isv.invalid-method"


@pytest.mark.parametrize("content", ["[]", "{", '{"a":NaN}', "null"])
def test_business_content_must_be_an_object(bench: Bench, content: str) -> None:
    told = json.loads(bench.opened(bench.answer(USE, content)))
    assert told["code"] in {"40001", "40002"}


def test_encrypted_content_is_answered_encrypted_and_failures_in_clear(bench: Bench) -> None:
    coupon = bench.issue()
    sealed = bench.seal(json.dumps(bench.redemption(coupon)))
    parameters = bench.parameters(USE, sealed) | {"encrypt_type": "AES"}
    node = bench.opened(bench.post(bench.signed(parameters)))
    assert node[0] == node[-1] == '"'
    assert json.loads(bench.unseal(node[1:-1]))["code"] == "10000"
    again = bench.parameters(USE, bench.seal(json.dumps(bench.redemption(coupon)))) | {"encrypt_type": "AES"}
    assert json.loads(bench.opened(bench.post(bench.signed(again))))["sub_code"] == "BIZ_ERROR"


def test_content_under_another_key_is_refused(bench: Bench) -> None:
    parameters = bench.parameters(USE, "A" * 64) | {"encrypt_type": "AES"}
    assert told_of(bench.post(bench.signed(parameters)).content)["sub_code"].startswith("isv.decryption-error")
    clear = bench.parameters(USE, "A" * 64)
    sub_code = told_of(bench.post(bench.signed(clear)).content)["sub_code"]
    assert sub_code == "isv.decryption-error-missing-encrypt-type"


def test_another_path_is_not_there(bench: Bench) -> None:
    assert bench.receive("POST", "/", b"").status == 404
    assert bench.receive("DELETE", "/gateway.do", b"").status == 405


# -- certificate mode, faults --------------------------------------------------------------------------------------


def test_certificate_mode_names_its_certificate_and_the_same_application_serves_both(bench: Bench) -> None:
    coupon = bench.issue()
    assert bench.good(USE, bench.redemption(coupon), mode="cert")
    assert bench.platform_serial.encode() in bench.answer(QUERY, {}, mode="cert").content
    assert b"alipay_cert_sn" not in bench.answer(QUERY, {}).content


def test_a_wrong_root_number_is_refused(bench: Bench) -> None:
    parameters = bench.parameters(USE, {}, mode="cert") | {"alipay_root_cert_sn": "0" * 32}
    told = told_of(bench.post(bench.signed(parameters)).content)
    assert told["sub_code"] == "isv.invalid-alipay-root-cert-sn"


def test_a_root_number_without_an_application_certificate_is_refused(bench: Bench) -> None:
    parameters = bench.parameters(USE, {}) | {"alipay_root_cert_sn": bench.root_serial}
    assert told_of(bench.post(bench.signed(parameters)).content)["sub_code"] == "isv.missing-app-cert-sn"


@pytest.mark.parametrize("mode", ["key", "cert"])
@pytest.mark.parametrize("kind", ["bad_signature", "wrong_serial", "stale_timestamp"])
def test_a_spoiled_answer_does_not_verify(bench: Bench, mode: str, kind: str) -> None:
    answer = bench.answer(QUERY, {}, mode=mode)
    spoiled = bench.emulator.spoil(kind, answer, probe=False)
    before, after = cut(answer, mode=mode), cut(spoiled, mode=mode)
    assert before[0] == after[0]
    assert not bench.verifies(*after, mode=mode)
    if (mode, kind) == ("cert", "wrong_serial"):
        assert bench.platform_serial.encode() not in spoiled.content


def test_another_kind_of_spoiling_is_a_mistake(bench: Bench) -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        bench.emulator.spoil("nonsense", bench.answer(QUERY, {}), probe=False)


@pytest.mark.parametrize(
    ("wanted", "code", "sub_code"),
    [
        ("SYSTEM_ERROR", "40004", "SYSTEM_ERROR"),
        ("ACQ.SYSTEM_ERROR", "40004", "ACQ.SYSTEM_ERROR"),
        ("isv.app-call-limited", "40005", "isv.app-call-limited"),
        ("isp.unknow-error", "20000", "isp.unknow-error"),
        ("20000", "20000", "isp.unknow-error"),
        ("40006", "40006", "isv.insufficient-isv-permissions"),
    ],
)
def test_an_error_on_demand_is_signed_and_does_nothing(bench: Bench, wanted: str, code: str, sub_code: str) -> None:
    coupon = bench.issue()
    signed = bench.signed(bench.parameters(USE, bench.redemption(coupon)))
    request = Received("POST", f"/gateway.do?{urlencode(signed)}", (), b"")
    told = json.loads(bench.opened(bench.emulator.refuse(request, wanted)))
    assert (told["code"], told["sub_code"]) == (code, sub_code)
    assert bench.status(coupon) == "SENDED"


def test_the_time_zone_of_the_platform_is_beijing(bench: Bench) -> None:
    assert beijing(bench.frame.time) == "2026-05-20 12:00:00"
