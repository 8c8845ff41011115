"""How answers look and are signed, and how they can be spoiled (sheet §1.1, §1.4, checklist 1 to 5, 8)."""

from __future__ import annotations

import base64
import json
import re

import pytest

from unicom_coupon_sdk.sandbox.emulator import Received

from .bench import BASE, Bench, body_of, header, refusal_of


def test_header_names_go_out_in_the_platforms_case(bench: Bench) -> None:
    names = [name for name, _ in bench.get("/v3/certificates").headers]
    wanted = (
        "Wechatpay-Timestamp",
        "Wechatpay-Nonce",
        "Wechatpay-Serial",
        "Wechatpay-Signature",
        "Wechatpay-Signature-Type",
    )
    assert [name for name in wanted if name in names] == list(wanted)
    assert {"Request-ID", "Content-Type", "Content-Language"} <= set(names)


def test_a_success_is_json_signed_with_tail_zero(bench: Bench) -> None:
    answer = bench.get("/v3/certificates")
    assert header(answer, "Content-Type") == "application/json; charset=utf-8"
    assert header(answer, "Wechatpay-Signature-Type") == "WECHATPAY2-SHA256-RSA2048"
    assert re.fullmatch(r"[0-9A-F]+-0", header(answer, "Request-ID"))
    assert bench.verifies(answer)


def test_a_204_has_no_body_and_is_signed(bench: Bench) -> None:
    stock = bench.stock()
    answer = bench.send("PATCH", f"{BASE}/stocks/{stock}", {"out_request_no": "edit1", "comment": "备注"})
    assert (answer.status, answer.content) == (204, b"")
    assert bench.verifies(answer)


def test_an_error_is_signed_and_its_tail_is_no_zero(bench: Bench) -> None:
    answer = bench.get("/v3/nowhere")
    assert refusal_of(answer) == (404, "NOT_FOUND")
    assert re.fullmatch(r"[0-9A-F]+-[1-9][0-9]+", header(answer, "Request-ID"))
    assert bench.verifies(answer)


def test_the_requests_serial_chooses_the_key(bench: Bench) -> None:
    public, certificate = bench.told["platform_public_key_id"], bench.told["platform_cert_serial"]
    answers = {named: bench.get("/v3/certificates", serial=named) for named in (public, certificate, None, "")}
    assert header(answers[public], "Wechatpay-Serial") == public
    assert {header(answers[named], "Wechatpay-Serial") for named in (certificate, None)} == {certificate}
    assert all(bench.verifies(answer) for answer in answers.values())


def test_an_empty_serial_counts_as_none(bench: Bench) -> None:
    answer = bench.get("/v3/certificates", serial=None, headers=(("Wechatpay-Serial", ""),))
    assert header(answer, "Wechatpay-Serial") == bench.told["platform_cert_serial"]


@pytest.mark.parametrize(
    ("asked", "language", "word"), [(None, "zh-CN", "不存在"), ("en", "en", "no such"), ("zh-HK", "zh-HK", "不存在")]
)
def test_the_message_is_in_the_callers_language(bench: Bench, asked: str | None, language: str, word: str) -> None:
    answer = bench.get("/v3/nowhere", headers=() if asked is None else (("Accept-Language", asked),))
    assert word in body_of(answer)["message"]
    assert header(answer, "Content-Language") == language


@pytest.mark.parametrize("probe", [False, True])
def test_a_bad_signature_is_base64_that_does_not_verify(bench: Bench, *, probe: bool) -> None:
    spoiled = bench.emulator.spoil("bad_signature", bench.get("/v3/certificates"), probe=probe)
    signature = header(spoiled, "Wechatpay-Signature")
    assert signature.startswith("WECHATPAY/SIGNTEST/") is probe
    assert len(base64.b64decode(signature, validate=True)) == 256
    assert not bench.verifies(spoiled)


def test_a_wrong_serial_is_unknown_and_of_the_same_kind(bench: Bench) -> None:
    for named in (bench.told["platform_public_key_id"], bench.told["platform_cert_serial"]):
        spoiled = bench.emulator.spoil("wrong_serial", bench.get("/v3/certificates", serial=named), probe=False)
        other = header(spoiled, "Wechatpay-Serial")
        assert other != named
        assert (len(other), other[:11] == named[:11]) == (len(named), named.startswith("PUB"))


def test_a_stale_answer_is_validly_signed_six_minutes_ago(bench: Bench) -> None:
    fresh = bench.get("/v3/certificates")
    spoiled = bench.emulator.spoil("stale_timestamp", fresh, probe=False)
    assert int(header(fresh, "Wechatpay-Timestamp")) - int(header(spoiled, "Wechatpay-Timestamp")) == 360
    assert bench.verifies(spoiled)


def test_an_unsigned_answer_cannot_be_spoiled(bench: Bench) -> None:
    answer = bench.emulator.answer(Received("GET", "/sns/jscode2session", (), b""))
    assert bench.emulator.spoil("bad_signature", answer, probe=True) is answer


@pytest.mark.parametrize(
    ("code", "status"),
    [("SYSTEM_ERROR", 500), ("RATELIMIT_EXCEEDED", 429), ("NOTHING_KNOWN", 400), ("RULE_LIMIT", 403)],
)
def test_an_error_on_demand_does_nothing(bench: Bench, code: str, status: int) -> None:
    coupon = bench.issue()
    content = json.dumps(bench.use_body(coupon)).encode()
    answer = bench.emulator.refuse(Received("POST", f"{BASE}/coupons/use", (), content), code)
    assert refusal_of(answer) == (status, code)
    assert bench.state(coupon) == "SENDED"


def test_a_body_that_is_no_json_is_refused(bench: Bench) -> None:
    for body in (b"{", b"[]", b'"a"', b"\xff\xfe", b'{"a":NaN}', b"[" * 100_000):
        assert refusal_of(bench.send("POST", f"{BASE}/coupons/use", body)) == (400, "PARAM_ERROR")


def test_a_path_that_is_not_utf8_is_refused(bench: Bench) -> None:
    assert refusal_of(bench.get(f"{BASE}/stocks/%ff")) == (400, "PARAM_ERROR")
    assert refusal_of(bench.get(f"{BASE}/callbacks?mchid=%ff")) == (400, "PARAM_ERROR")
