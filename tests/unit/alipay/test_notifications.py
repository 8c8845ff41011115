"""News: read once from the received bytes, verified, meant for us, and put into our words."""

import base64
import json
from urllib.parse import quote_plus

import pytest
from tests.driving import Driver
from tests.unit.alipay.peer import APP_ID, KEYS, VECTORS, adapter, alipay_sign, check_app_signature

from unicom_coupon_adapters.alipay.content import ContentCipher
from unicom_coupon_adapters.alipay.notifications import read_form
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.events import NewsKind
from unicom_coupon_sdk.domain.sensitive import PlatformUser
from unicom_coupon_sdk.errors import ForgedMessage

BY_ID = {vector["id"]: vector for vector in VECTORS["vectors"]}


def body_of(fields, *, rule="V1", charset="utf-8"):
    left_out = {"sign", "alipay_cert_sn"} | ({"sign_type"} if rule == "V1" else set())
    text = "&".join(f"{k}={v}" for k, v in sorted(fields.items()) if v and k not in left_out)
    signed = {**fields, "sign": alipay_sign(text)}
    return "&".join(f"{k}={quote_plus(v.encode(charset))}" for k, v in signed.items()).encode()


def message(method, content, **changes):
    fields = {
        "notify_id": "N1",
        "utc_timestamp": "1768443631123",
        "msg_method": f"alipay.marketing.activity.message.{method}",
        "app_id": APP_ID,
        "biz_content": json.dumps(content),
        "sign_type": "RSA2",
        "charset": "UTF-8",
        "version": "1.1",
    }
    return {**fields, **changes}


def parse(body, **changes):
    return Driver().run(adapter(**changes).parse_notification((), body))


def code_of(body, **changes):
    with pytest.raises(ForgedMessage) as caught:
        parse(body, **changes)
    return caught.value.code


def test_a_received_message_says_who_has_which_coupon():
    event = parse(BY_ID["D06"]["wire_body"].encode())
    assert event.kind is NewsKind.DELIVERED
    assert event.event_id == "ORDERSEND_2021042400826001508407723739"
    assert event.code == CouponCode("CU_8A7F-11")
    assert event.user == PlatformUser("2088000000000002")
    assert event.refs == {
        "activity_id": "2016042700826004508401111111",
        "voucher_id": "2021072900073002214009F8QHR3",
    }
    assert event.occurred_at.isoformat() == "2026-01-15T02:20:31+00:00"
    assert "CU_8A7F" not in repr(event)


def test_a_paid_trade_is_told_by_its_order_number():
    event = parse(BY_ID["D01"]["wire_body"].encode())
    assert event.kind is NewsKind.PAID
    assert event.operation_no == "ORD20260115000001"
    assert event.event_id == "2026011500222102032000000000000001"
    assert event.occurred_at.isoformat() == "2026-01-15T02:20:41+00:00"


@pytest.mark.parametrize(
    ("method", "content", "number"),
    [
        ("alipay.fund.trans.order.changed", {"out_biz_no": "RDM1", "status": "SUCCESS"}, "RDM1"),
        ("alipay.trade.order.settle.notify", {"out_request_no": "SHARE1", "settle_no": "S"}, "SHARE1"),
    ],
)
def test_news_of_money_names_our_operation_and_decides_nothing(method, content, number):
    event = parse(body_of(message("", content, msg_method=method)))
    assert (event.kind, event.operation_no, event.type_name) == (NewsKind.CHANGED, number, method)
    assert event.event_id == "N1"
    forged = body_of(message("", content, msg_method=method)).replace(number.encode(), b"OTHER1")
    assert code_of(forged) == "alipay.message_forged"


def test_a_partial_refund_is_a_refund_though_the_trade_is_still_a_success():
    fields = {name: value for name, value in BY_ID["D01"]["params"].items() if name != "sign" and value}
    fields |= {"refund_fee": "9.00", "gmt_refund": "2026-01-15 11:00:00.123", "out_biz_no": "REF1"}
    event = parse(body_of(fields))
    assert (event.kind, event.operation_no) == (NewsKind.REFUNDED, "REF1")


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("created", NewsKind.CHANGED),
        ("modified", NewsKind.CHANGED),
        ("appended", NewsKind.CHANGED),
        ("stopped", NewsKind.CHANGED),
        ("used", NewsKind.REDEEMED),
        ("expired", NewsKind.EXPIRED),
        ("brandnew", NewsKind.OTHER),
    ],
)
@pytest.mark.parametrize("rule", ["V1", "V2"])
def test_each_message_has_its_kind_under_either_rule(method, kind, rule):
    content = {"id": "I1", "activity_id": "A1", "event_time": "1768443631000", "out_biz_no": "CREATE_T1"}
    event = parse(body_of(message(method, content), rule=rule))
    assert (event.kind, event.event_id, event.operation_no) == (kind, "I1", "CREATE_T1")


def test_a_gbk_message_is_verified_in_its_own_bytes():
    fields = message("created", {"id": "I1"}, charset="GBK", note="联通")
    text = "&".join(f"{k}={v}" for k, v in sorted(fields.items()) if k != "sign_type")
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding
    from tests.unit.alipay.peer import _PRIVATE

    sign = base64.b64encode(_PRIVATE.sign(text.encode("gbk"), padding.PKCS1v15(), hashes.SHA256())).decode()
    body = "&".join(f"{k}={quote_plus(v.encode('gbk'))}" for k, v in {**fields, "sign": sign}.items()).encode()
    assert parse(body).event_id == "I1"
    assert code_of(body.replace(b"GBK", b"UTF-8")) == "alipay.message_shape"


def test_an_encrypted_message_is_decrypted_after_its_signature():
    cipher = ContentCipher(KEYS["aes_key_base64"])
    content = cipher.encrypt(json.dumps({"id": "I1", "voucher_code": "CODE01"}))
    body = body_of(message("used", {}, biz_content=content, encrypt_type="AES"))
    assert parse(body).code == CouponCode("CODE01")
    assert code_of(body, aes_key=None) == "message.undecryptable"
    assert code_of(body.replace(b"N1", b"N2")) == "alipay.message_forged"


def test_an_empty_field_and_a_stray_certificate_name_do_not_matter():
    fields = message("created", {"id": "I1"}, point_amount="", alipay_cert_sn="9f854efeb726c783a50fea6a8a3cc3da")
    assert parse(body_of(fields)).event_id == "I1"


def test_a_message_for_another_application_or_seller_is_refused():
    assert code_of(body_of(message("created", {"id": "I1"}, app_id="2021000000000002"))) == "alipay.message_other_app"
    no_app = message("created", {"id": "I1"})
    del no_app["app_id"]
    assert code_of(body_of(no_app)) == "alipay.message_other_app"
    assert code_of(BY_ID["D01"]["wire_body"].encode(), seller_id="2088999999999999") == "alipay.message_other_app"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"=1",
        b"a=1&a=2",
        b"charset=utf-7&a=1",
        b"charset=utf-8&a=%FF",
        b"x" * ((1 << 20) + 1),
    ],
)
def test_a_body_in_another_form_is_refused(body):
    assert code_of(body) == "alipay.message_shape"


def test_a_message_without_a_signature_or_with_an_unknown_sign_type_is_forged():
    body = body_of(message("created", {"id": "I1"}))
    assert code_of(body.partition(b"&sign=")[0]) == "alipay.message_forged"
    assert code_of(body_of(message("created", {"id": "I1"}, sign_type="MD5"))) == "alipay.message_forged"
    assert code_of(body_of(message("created", {"id": "I1"}, sign_type="RSA"))) == "alipay.message_forged"


def test_a_genuine_message_whose_content_is_no_object_is_refused():
    for content in ("[]", "{", "1"):
        assert code_of(body_of(message("created", {}, biz_content=content))) == "alipay.message_shape"


def test_a_value_is_decoded_once():
    form, _ = read_form(b"passback_params=k%3Dv%26x%3D%2520y&plus=a+b%2B")
    assert form == {"passback_params": "k=v&x=%20y", "plus": "a b+"}


def test_success_is_seven_bytes_and_an_error_asks_for_another_delivery():
    made = adapter()
    assert made.acknowledge().content == b"success"
    assert made.acknowledge(ForgedMessage()).content == b"fail"
    assert made.acknowledge().status == 200


def test_the_gateway_check_is_an_echo_and_is_answered_with_signed_xml():
    fields = {"service": "alipay.service.check", "sign_type": "RSA2", "charset": "GBK", "biz_content": "<X/>"}
    assert parse(body_of(fields, rule="V2")).kind is NewsKind.ECHO
    answer = adapter().acknowledge(event=parse(body_of(fields, rule="V2"))).content.decode("gbk")
    inside = answer.partition("<response>")[2].partition("</response>")[0]
    check_app_signature(inside, answer.partition("<sign>")[2].partition("</sign>")[0])
    key = "".join(KEYS["app_public_pem"].split("\n")[1:-2])
    assert f"<biz_content>{key}</biz_content>" in inside
