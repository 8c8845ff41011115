"""Error answers by status, then code, then the finer tail; never by message. And what may be sent, kept and logged."""

import json

import pytest

from unicom_coupon_adapters.wechatpay.compliance import SHIM
from unicom_coupon_adapters.wechatpay.messages import SEND_COUPON, USE_COUPON, Api
from unicom_coupon_adapters.wechatpay.refusals import CODES, TAILS, refusal_of, request_tail
from unicom_coupon_sdk.errors import (
    ComplianceError,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    ValidationError,
)
from unicom_coupon_sdk.platform.wire import HttpAnswer


def answer(status, code="X", *, tail="0", message="m", headers=(), **more):
    content = json.dumps({"code": code, "message": message, **more}).encode()
    return HttpAnswer(status, (("Request-ID", f"08E68E97CC-{tail}"), *headers), content)


@pytest.mark.parametrize(("status", "code"), CODES)
def test_each_documented_code_is_a_definite_refusal(status, code):
    error = refusal_of(answer(status, code, tail="268435461"), is_write=True)
    assert type(error) is PlatformRefused
    assert error.code == CODES[status, code]
    assert (error.platform_code, error.request_id) == (code, "08E68E97CC-268435461")
    assert error.details["tail"] == 268435461


@pytest.mark.parametrize("tail", TAILS)
def test_a_tail_gives_the_finer_reason(tail):
    assert refusal_of(answer(400, "INVALID_REQUEST", tail=str(tail)), is_write=True).code == TAILS[tail]
    assert refusal_of(answer(401, "SIGN_ERROR", tail=str(tail)), is_write=True).code == "wechatpay.sign_error"


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_a_code_that_is_not_known_falls_back_to_its_family_and_keeps_its_name(status):
    error = refusal_of(answer(status, "BRAND_NEW_CODE", message="新的原因"), is_write=True)
    assert type(error) is PlatformRefused
    assert (error.code, error.platform_code) == ("platform.refused", "BRAND_NEW_CODE")
    assert error.details["text"] == "新的原因"


@pytest.mark.parametrize("code", ["RATELIMIT_EXCEEDED", "FREQUENCY_LIMITED", "FREQUENCY_LIMIT_EXCEED", "NEW"])
def test_429_is_busy_whatever_its_code(code):
    for is_write in (True, False):
        assert type(refusal_of(answer(429, code), is_write=is_write)) is PlatformUnavailable


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 302])
def test_a_status_that_proves_nothing_leaves_a_write_unknown(status):
    assert type(refusal_of(answer(status, "SYSTEM_ERROR"), is_write=True)) is PlatformUnknown
    assert type(refusal_of(answer(status, "SYSTEM_ERROR"), is_write=False)) is PlatformUnavailable


def test_a_bill_in_the_making_is_try_again():
    assert type(refusal_of(answer(400, "STATEMENT_CREATING"), is_write=False)) is PlatformUnavailable


def test_the_place_that_the_platform_names_is_kept():
    error = refusal_of(
        answer(400, "PARAM_ERROR", detail={"field": "/amount/currency", "value": "XYZ", "issue": "bad"}), is_write=True
    )
    assert error.details["where"] == "/amount/currency"
    assert "XYZ" not in str(error.details)


@pytest.mark.parametrize(
    ("text", "tail"),
    [
        ("08E6-0", 0),
        ("08E6-268578776", 268578776),
        ("8b33f79f-8869-5ae5-b41b-3c0b59f957d0", None),
        (None, None),
        ("x", None),
        ("7", None),
    ],
)
def test_the_tail_of_a_request_id(text, tail):
    assert request_tail(text) == tail


# --- compliance ---


USE = {"coupon_code": "c", "stock_id": "s", "appid": "a", "use_time": "t", "use_request_no": "n"}


def test_a_field_that_a_call_does_not_list_is_never_sent():
    with pytest.raises(ValidationError) as raised:
        USE_COUPON.call({**USE, "phone_number": "13800138000"})
    assert (raised.value.code, raised.value.field) == ("wechatpay.field_unlisted", "phone_number")


@pytest.mark.parametrize("missing", USE)
def test_a_field_that_a_call_needs_is_missed(missing):
    with pytest.raises(ValidationError) as raised:
        USE_COUPON.call({name: value for name, value in USE.items() if name != missing})
    assert (raised.value.code, raised.value.field) == ("wechatpay.field_missing", missing)


@pytest.mark.parametrize(
    "field", ["phone_number", "device_fingerprint", "client_ip", "encrypted_real_name", "unionid", "never_heard_of"]
)
def test_the_shim_lets_no_such_field_out(field):
    with pytest.raises(ComplianceError):
        SHIM.outgoing({"amount": {"from": [{field: "x"}]} if field == "never_heard_of" else {field: "x"}})


def test_everything_a_call_may_send_is_in_the_table():
    from unicom_coupon_adapters.wechatpay import messages

    apis = [value for value in vars(messages).values() if isinstance(value, messages.Api)]
    assert len(apis) > 20
    for api in apis:
        for name in api.required | api.optional:
            assert SHIM.rules[name].send, f"{api.name}: {name}"


@pytest.mark.parametrize(
    "name", ["openid", "coupon_code", "url", "sign", "access_token", "secret", "session_key", "json_string", "unionid"]
)
def test_personal_data_and_secrets_are_neither_kept_nor_logged(name):
    assert SHIM.kept({name: "x"}) == {}
    assert SHIM.loggable({name: "x"}) == {}


def test_what_reconciliation_needs_is_kept():
    refs = {"stock_id": "1", "use_request_no": "2", "transaction_id": "3", "brand_id": "4", "product_coupon_id": "5"}
    assert SHIM.kept(refs) == refs


def test_every_rule_names_its_source():
    assert all(rule.source for rule in SHIM.rules.values())
    assert SEND_COUPON.required <= SHIM.rules.keys()


@pytest.mark.parametrize("body", [{"user_name": "x"}, {"receivers": [{"name": "x"}]}])
def test_a_name_does_not_leave_without_the_serial_of_the_key_it_is_encrypted_for(body):
    api = Api("t", "POST", "/x", optional=frozenset(body))
    with pytest.raises(ComplianceError):
        api.call(body)
    assert api.call(body, serial="PUB_KEY_ID_1").serial == "PUB_KEY_ID_1"
