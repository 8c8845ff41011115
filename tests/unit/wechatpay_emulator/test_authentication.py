"""Who may call: the Authorization header over raw bytes, and each cause of a 401 (sheet §1.2 to §1.4)."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Received

from .bench import BASE, Bench, body_of, refusal_of

STOCKS = f"{BASE}/stocks"


def issue_of(answer: HttpAnswer) -> str:
    assert refusal_of(answer) == (401, "SIGN_ERROR")
    return str(body_of(answer)["message"])


def test_a_rightly_signed_request_is_served(bench: Bench) -> None:
    assert bench.post(STOCKS, bench.stock_body()).status == 200


@pytest.mark.parametrize(
    "order", ["mchid,nonce_str,signature,timestamp,serial_no", "signature,serial_no,timestamp,nonce_str,mchid"]
)
def test_the_five_pairs_may_come_in_any_order(bench: Bench, order: str) -> None:
    target = f"{STOCKS}/{bench.stock()}"
    scheme, _, rest = bench.authorization("GET", target, b"").partition(" ")
    pairs = dict(pair.split("=", 1) for pair in rest.split(","))
    spaced = ", ".join(f"{name}={pairs[name]}" for name in order.split(","))
    answer = bench.emulator.answer(Received("GET", target, (("authorization", f"{scheme} {spaced}"),), b""))
    assert answer.status == 200


@pytest.mark.parametrize(
    "body",
    [
        b'{"echo_message":"\xe7\x94\xb5\xe5\xad\x90\xe5\x88\xb8"}',
        b'{"echo_message":"\\u7535\\u5b50\\u5238"}\n',
        b'{"echo_message": "\\u003ca\\u003e"}',
    ],
    ids=["raw UTF-8", "escaped with a line feed behind", "go's escapes"],
)
def test_the_body_is_verified_as_the_bytes_that_came(bench: Bench, body: bytes) -> None:
    answer = bench.send("POST", "/v3/security/echo", body)
    assert answer.status == 200
    assert body_of(answer)["echo_message"] == json.loads(body)["echo_message"]


def test_one_changed_byte_of_the_body_is_refused(bench: Bench) -> None:
    body = b'{"echo_message":"a"}'
    signed = bench.authorization("POST", "/v3/security/echo", body)
    headers = (("Authorization", signed), ("Wechatpay-Serial", bench.told["platform_public_key_id"]))
    answer = bench.emulator.answer(Received("POST", "/v3/security/echo", headers, body.replace(b"a", b"b")))
    assert "验签失败" in issue_of(answer)


def test_the_query_is_verified_as_it_was_encoded(bench: Bench) -> None:
    encoded = f"{BASE}/users/oU/coupons?appid={bench.told['appid']}&stock_id=%31"
    assert bench.get(encoded).status == 200
    signed = bench.authorization("GET", encoded.replace("%31", "1"), b"")
    assert bench.emulator.answer(Received("GET", encoded, (("Authorization", signed),), b"")).status == 401


def test_only_the_meta_part_of_an_upload_is_signed(bench: Bench) -> None:
    meta = b'{"filename":"a.jpg"}'
    content = (
        b'--xx\r\nContent-Disposition: form-data; name="meta"\r\nContent-Type: application/json\r\n\r\n'
        + meta
        + b'\r\n--xx\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n\xff\xd8\r\n--xx--\r\n'
    )
    target = "/v3/marketing/partner/product-coupon/media/upload-image"
    headers = (
        ("Authorization", bench.authorization("POST", target, meta)),
        ("Content-Type", "multipart/form-data; boundary=xx"),
    )
    assert refusal_of(bench.emulator.answer(Received("POST", target, headers, content))) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"mchid": ""}, "Authorization值格式错误"),
        ({"timestamp": "soon"}, "Authorization值格式错误"),
        ({"scheme": "WECHATPAY2-SM2-WITH-SM3"}, "认证类型不正确"),
        ({"mchid": "1900000001"}, "未申请过证书"),
        ({"serial_no": "3775B6A45ACD588826D15E583A95F5DD9F9A0B7C"}, "序列号有误"),
        ({"signature": "AAAA"}, "验签失败"),
        ({"signature": "no base64 at all!"}, "验签失败"),
        ({"signature": "WECHATPAY/SIGNTEST/AAAA"}, "验签失败"),
    ],
)
def test_each_cause_has_its_own_text(bench: Bench, changed: dict[str, str], message: str) -> None:
    assert message in issue_of(bench.send("GET", STOCKS, **changed))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "WECHATPAY2-SHA256-RSA2048",
        'WECHATPAY2-SHA256-RSA2048 mchid="1",mchid="1"',
        "WECHATPAY2-SHA256-RSA2048 a=b",
    ],
)
def test_a_missing_or_broken_header_is_refused(bench: Bench, header: str | None) -> None:
    headers = () if header is None else (("Authorization", header),)
    assert "格式错误" in issue_of(bench.emulator.answer(Received("GET", STOCKS, headers, b"")))


@pytest.mark.parametrize(("off", "status"), [(-301, 401), (-300, 404), (300, 404), (301, 401)])
def test_the_clock_may_be_five_minutes_off_but_no_more(bench: Bench, off: int, status: int) -> None:
    timestamp = str(int(bench.frame.time.timestamp()) + off)
    assert bench.send("GET", "/v3/nowhere", timestamp=timestamp).status == status


def test_the_clock_is_looked_at_before_the_signature(bench: Bench) -> None:
    assert "不得超过5分钟" in issue_of(bench.send("GET", STOCKS, timestamp="1554208460", signature="AAAA"))


def test_a_wrong_signature_tells_what_was_signed(bench: Bench) -> None:
    body = json.dumps(bench.stock_body(), ensure_ascii=False).encode()
    answer = bench.send("POST", STOCKS, body, signature="AAAA")
    detail = body_of(answer)["detail"]
    nonce, timestamp = "593BEC0C930BF1AFEB40B4A08C8FB242", int(bench.frame.time.timestamp())
    assert (detail["field"], detail["location"], detail["detail"]) == (
        "signature",
        "authorization",
        {"issue": "sign not match"},
    )
    assert detail["sign_information"] == {
        "method": "POST",
        "url": STOCKS,
        "truncated_sign_message": f"POST\n{STOCKS}\n{timestamp}\n{nonce}\n{body[:6].decode()}\n",
        "sign_message_length": len(f"POST\n{STOCKS}\n{timestamp}\n{nonce}\n\n") + len(body),
    }


def test_a_serial_in_lower_case_names_the_same_certificate(bench: Bench) -> None:
    assert bench.send("GET", "/v3/certificates", serial_no=bench.told["merchant_cert_serial"].lower()).status == 200


def test_an_expired_merchant_certificate_is_refused(bench: Bench) -> None:
    bench.frame.time += timedelta(days=9 * 365)
    assert "已过期" in issue_of(bench.send("GET", STOCKS))


@pytest.mark.parametrize(("step", "message"), [("replaced", "已更换证书"), ("revoked", "已作废")])
def test_an_old_merchant_certificate_is_told_apart(bench: Bench, step: str, message: str) -> None:
    old = dict(bench.told)
    bench.told = dict(bench.emulator.rotate("merchant_certificate_new"))
    assert bench.told["merchant_cert_serial"] != old["merchant_cert_serial"]
    assert bench.send("GET", "/v3/certificates").status == 200
    bench.emulator.rotate(f"merchant_certificate_{step}")
    assert bench.send("GET", "/v3/certificates").status == 200
    bench.told = old
    assert message in issue_of(bench.send("GET", "/v3/certificates"))


def test_a_merchant_without_an_apiv3_key_is_told_so(bench: Bench) -> None:
    bench.emulator.rotate("apiv3_key_unset")
    assert "未设置APIv3密钥" in issue_of(bench.send("GET", STOCKS))


def test_every_cause_can_be_had_on_demand(bench: Bench) -> None:
    request = Received("GET", STOCKS, (("Accept-Language", "en"),), b"")
    causes = ("header_missing", "scheme", "timestamp", "no_certificate", "apiv3_key_unset", "serial")
    states = ("certificate_expired", "certificate_revoked", "certificate_replaced", "signature")
    told = {issue_of(bench.emulator.refuse(request, f"SIGN_ERROR/{cause}")) for cause in (*causes, *states)}
    assert len(told) == 10


def test_a_brand_signs_brand_calls_and_no_others(bench: Bench) -> None:
    told = dict(bench.emulator.brand_credentials())
    signed = {
        "scheme": "WECHATPAY-BRAND-SHA256-RSA2048",
        "mchid": "",
        "brand_id": told["brand_id"],
        "serial_no": told["brand_cert_serial"],
        "key_file": told["brand_private_key_file"],
    }
    path = "/brand/marketing/product-coupon/notify-config"
    assert refusal_of(bench.send("GET", path, **signed)) == (404, "RESOURCE_NOT_EXISTS")
    assert refusal_of(bench.send("GET", path, serial=None, **signed)) == (400, "PARAM_ERROR")
    assert refusal_of(bench.send("GET", path)) == (401, "SIGN_ERROR")
    assert refusal_of(bench.send("GET", "/v3/certificates", **signed)) == (401, "SIGN_ERROR")
