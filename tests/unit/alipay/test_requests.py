"""What goes over the wire: public parameters, canonical content, encryption, and the v3 form of the same call."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import parse_qsl, quote_plus, urlsplit

import pytest
from hypothesis import given
from hypothesis.strategies import characters, text
from tests.driving import START
from tests.unit.alipay.peer import ACTIVITY, CODE, KEYS, VECTORS, adapter, check_app_signature, held, settings

from unicom_coupon_adapters.alipay import messages
from unicom_coupon_adapters.alipay.content import ContentCipher
from unicom_coupon_adapters.alipay.keys import AlipayKeys
from unicom_coupon_adapters.alipay.messages import Messages
from unicom_coupon_adapters.alipay.requests import (
    Api,
    Call,
    RequestMaker,
    Rest,
    _form,
    beijing_text,
    content_text,
    members,
)
from unicom_coupon_adapters.alipay.signing import canonical
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ComplianceError, ValidationError

AT = datetime(2026, 1, 15, 2, 20, 31, tzinfo=UTC)
A01 = next(vector for vector in VECTORS["vectors"] if vector["id"] == "A01")


def maker(**changes):
    chosen = settings(**changes)
    return RequestMaker(chosen, AlipayKeys.load(chosen, Keys()))


def call(content, *, rest=None, **more):
    return Call(method="alipay.marketing.activity.ordervoucher.use", content=content, is_write=True, rest=rest, **more)


def test_the_wire_form_is_that_of_the_official_client():
    request = maker().classic(call(json.loads(A01["params"]["biz_content"])), at=AT)
    assert urlsplit(request.url).query == A01["query_string"]
    assert request.content.decode() == A01["form_body"]


def test_the_timestamp_is_beijing_time_on_a_utc_host():
    assert beijing_text(AT) == "2026-01-15 10:20:31"
    assert beijing_text(datetime(2026, 1, 15, 16, 0, 0, tzinfo=UTC)) == "2026-01-16 00:00:00"


def test_tokens_and_content_are_never_in_the_query():
    request = maker(app_auth_token=Secret("202601BBtoken")).classic(call({"voucher_code": "CODE1"}), at=AT)
    assert "202601BBtoken" not in request.url
    assert "CODE1" not in request.url
    form = dict(parse_qsl(request.content.decode()))
    assert form["app_auth_token"] == "202601BBtoken"
    assert "CODE1" not in repr(request)


def test_encrypted_content_is_signed_as_ciphertext():
    parameters = maker(encrypt_content=True).parameters(call({"voucher_code": "CODE1"}), at=AT)
    assert parameters["encrypt_type"] == "AES"
    cipher = ContentCipher(KEYS["aes_key_base64"])
    assert json.loads(cipher.decrypt(parameters["biz_content"])) == {"voucher_code": "CODE1"}


def test_empty_members_are_left_out_and_zero_and_false_are_not():
    text = content_text({"a": None, "b": "", "c": [], "d": 0, "e": False, "f": {"g": None, "h": "x"}})
    assert json.loads(text) == {"d": 0, "e": False, "f": {"h": "x"}}


def test_decimals_become_two_digits_and_floats_are_refused():
    assert content_text({"amount": Decimal("9.9")}) == '{"amount":"9.90"}'
    with pytest.raises(ValidationError) as caught:
        content_text({"amount": 9.9})
    assert caught.value.code == "alipay.float"


def test_chinese_is_sent_as_it_is_and_not_escaped():
    assert content_text({"name": "联通&券"}) == '{"name":"联通&券"}'


def test_an_api_refuses_a_missing_and_an_unknown_member():
    api = Api(method="alipay.x", required=members("activity_id"), optional=members("trade_no"))
    for content, code in (({}, "alipay.member_missing"), ({"activity_id": "1", "x": "1"}, "alipay.member_unknown")):
        with pytest.raises(ValidationError) as caught:
            api.call(content)
        assert caught.value.code == code


def test_a_member_without_a_rule_is_not_sent_even_when_nested():
    api = Api(method="alipay.x", required=members("receive_info_list"))
    with pytest.raises(ComplianceError):
        api.call({"receive_info_list": [{"activity_id": "1", "cert_no": "110"}]})


def v3(call_, **changes):
    return maker(gateway="v3", **changes).v3(call_, at=AT, nonce="5f9fba93")


def test_the_v3_path_carries_an_encoded_code_and_is_signed_so():
    request = v3(Messages(settings()).use(held()))
    assert request.method == "POST"
    assert request.target == (
        f"/v3/alipay/marketing/ordervoucher/activity/{ACTIVITY}/voucher/CU_8A7F-11%2B22%3D%7C/use"
    )
    body = json.loads(request.content)
    assert "activity_id" not in body
    assert "voucher_code" not in body
    assert body["out_biz_no"] == "RDM20260115000001"
    scheme, _, rest = dict(request.headers)["Authorization"].partition(" ")
    head, _, sign = rest.rpartition(",sign=")
    assert scheme == "ALIPAY-SHA256withRSA"
    assert "expired_seconds=120" in head
    lines = [head, "POST", request.target, request.content.decode()]
    check_app_signature("".join(f"{line}\n" for line in lines), sign)


def test_a_v3_read_puts_the_rest_of_its_content_into_the_query():
    request = v3(Messages(settings()).query_activity(ACTIVITY))
    assert request.method == "GET"
    assert request.content == b""
    assert urlsplit(request.url).query == f"activity_id={ACTIVITY}&merchant_access_mode=SELF_MODE"


def test_an_encrypted_v3_body_says_so():
    request = v3(Messages(settings()).use(held()), encrypt_content=True)
    headers = dict(request.headers)
    assert headers["alipay-encrypt-type"] == "AES"
    assert headers["Content-Type"].startswith("text/plain")
    assert "total_fee" in ContentCipher(KEYS["aes_key_base64"]).decrypt(request.content.decode())


def test_every_v3_path_takes_only_members_that_its_call_has():
    for api in vars(messages).values():
        if isinstance(api, Api) and isinstance(api.rest, Rest):
            places = {part.split("}")[0] for part in api.rest.path.split("{")[1:]}
            assert places <= api.required, api.method


def test_a_retry_differs_in_time_and_signature_alone():
    first, second = (Messages(settings()).use(held()) for _ in range(2))
    one = maker().parameters(first, at=AT)
    two = maker().parameters(second, at=START)
    assert {name for name in one if one[name] != two[name]} == {"timestamp"}


def test_no_key_or_code_is_in_a_repr():
    made = adapter()
    shown = repr(made.gateway.keys) + repr(Messages(settings()).use(held())) + repr(settings())
    for secret in (CODE.reveal(), KEYS["aes_key_base64"], "BEGIN"):
        assert secret not in shown


@given(text(alphabet=characters(exclude_categories=["Cs"])))
def test_form_encoding_is_that_of_the_standard_library(value):
    assert _form(value) == quote_plus(value)


def test_every_ascii_letter_is_encoded_as_the_standard_library_does():
    for letter in map(chr, range(128)):
        assert _form(letter + "%2B+ " + letter) == quote_plus(letter + "%2B+ " + letter)


@pytest.mark.parametrize("changes", [{}, {"encrypt_content": True}, {"app_auth_token": Secret("202601BB+tok/en=")}])
@pytest.mark.parametrize("more", [{}, {"parameters": {"notify_url": "https://m.invalid/n?a=1&b=2"}}])
def test_what_is_signed_is_the_canonical_string_of_what_is_sent(changes, more):
    made = maker(**changes)
    wish = call({"voucher_code": "CODE1", "name": "联通&券"}, **more)
    request = made.classic(wish, at=AT)
    sent = dict(parse_qsl(urlsplit(request.url).query, strict_parsing=True))
    sent |= parse_qsl(request.content.decode("ascii"), strict_parsing=True)
    check_app_signature(canonical(sent), sent.pop("sign"))
    assert sent == made.parameters(wish, at=AT)
