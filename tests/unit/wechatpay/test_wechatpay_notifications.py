"""Callbacks: verified over the bytes received, decrypted, read; anything else is a ForgedMessage."""

import json
from datetime import timedelta

import pytest
from tests.driving import START

from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.events import NewsKind
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.errors import ForgedMessage, LedgerError, ValidationError

SENT = {
    "event_type": "EVENT_TYPE_BUSICOUPON_SEND",
    "coupon_code": "1227944923343",
    "stock_id": "100088",
    "send_time": "2026-05-20T13:29:35+08:00",
    "openid": "oXsd3434454567676",
    "send_channel": "BUSICOUPON_SEND_CHANNEL_MINIAPP",
}


def parse(world, message, *answers):
    return world.run(world.adapter.parse_notification(*message), *answers)


def test_a_delivered_coupon_names_code_user_and_stock(world):
    event = parse(world, world.notification("COUPON.SEND", SENT))
    assert event.kind is NewsKind.DELIVERED
    assert event.code == CouponCode("1227944923343")
    assert event.user == PlatformUser("oXsd3434454567676")
    assert event.refs["stock_id"] == "100088"
    assert event.event_id == "8b33f79f-8869-5ae5-b41b-3c0b59f957d0"
    assert event.occurred_at == START
    assert "oXsd" not in repr(event)


@pytest.mark.parametrize(
    ("event_type", "original_type", "plain", "kind"),
    [
        ("COUPON.SEND", "coupon", {"event_type": "EVENT_TYPE_SOMETHING_ELSE"}, NewsKind.OTHER),
        ("COUPON.USE", "coupon", {"coupon_id": "1", "stock_id": "2", "status": "USED"}, NewsKind.REDEEMED),
        ("PRODUCT_COUPON_SP.SEND", "product_coupon", {"coupon_code": "UC9ABCDEF"}, NewsKind.DELIVERED),
        ("PRODUCT_COUPON.SEND", "product_coupon", {"coupon_code": "UC9ABCDEF"}, NewsKind.DELIVERED),
        ("PRODUCT_COUPON.USE", "product_coupon", {"coupon_code": "UC9ABCDEF"}, NewsKind.REDEEMED),
        ("PRODUCT_COUPON.RETURN", "product_coupon", {"coupon_code": "UC9ABCDEF"}, NewsKind.REVERSED),
        ("REFUND.SUCCESS", "refund", {"out_refund_no": "r1"}, NewsKind.REFUNDED),
        ("REFUND.ABNORMAL", "refund", {"out_refund_no": "r1"}, NewsKind.CHANGED),
        ("REFUND.CLOSED", "refund", {"out_refund_no": "r1"}, NewsKind.CHANGED),
        ("TRANSACTION.SUCCESS", "transaction", {"out_trade_no": "o1"}, NewsKind.PAID),
        ("TRANSACTION.SUCCESS", "profitsharing", {"out_order_no": "o1"}, NewsKind.CHANGED),
        ("PROFITSHARING.SUCCESS", "profitsharing", {"out_order_no": "o1"}, NewsKind.CHANGED),
        ("PROFITSHARING.RETURN", "profitsharing", {"out_order_no": "o1"}, NewsKind.CHANGED),
        ("SECURITY_ECHO.SUCCESS", "security", {"echo_message": "x"}, NewsKind.ECHO),
        ("MCHTRANSFER.BILL.FINISHED", "mch_payment", {"state": "SUCCESS"}, NewsKind.CHANGED),
        ("SOMETHING.NEW", "unheard", {}, NewsKind.OTHER),
    ],
)
def test_each_type_is_news_of_its_kind(world, event_type, original_type, plain, kind):
    event = parse(world, world.notification(event_type, plain, original_type=original_type))
    assert event.kind is kind
    assert event.type_name == event_type
    assert event.content == plain


def test_a_platforms_own_code_that_no_coupon_of_ours_has_is_no_error(world):
    event = parse(world, world.notification("COUPON.SEND", {**SENT, "coupon_code": "A B"}))
    assert event.code is None


@pytest.mark.parametrize("body", ["text", {"id": "x"}, bytearray(b"{}"), None])
def test_anything_but_bytes_is_refused_with_a_hint(world, body):
    with pytest.raises(ValidationError) as raised:
        parse(world, ((), body))
    assert raised.value.code == "wechatpay.body_not_bytes"


def test_a_body_that_was_written_again_is_refused(world):
    headers, body = world.notification("COUPON.SEND", SENT)
    again = json.dumps(json.loads(body), indent=1).encode()
    with pytest.raises(ForgedMessage) as raised:
        parse(world, (headers, again))
    assert raised.value.code == "wechatpay.signature_wrong"
    assert len(raised.value.details["digest"]) == 16


@pytest.mark.parametrize("signature", ["WECHATPAY/SIGNTEST/4/l2Ym+Gi0d19894INRKqv", "WECHATPAY/SIGNTEST/x", ""])
def test_a_signature_probe_is_refused_and_the_genuine_copy_accepted(world, signature):
    headers, body = world.notification("COUPON.SEND", SENT)
    probed = tuple((name, signature if name == "Wechatpay-Signature" else value) for name, value in headers)
    with pytest.raises(ForgedMessage) as raised:
        parse(world, (probed, body))
    assert world.adapter.acknowledge(raised.value).status == 401
    assert parse(world, (headers, body)).kind is NewsKind.DELIVERED


@pytest.mark.parametrize("missing", ["Timestamp", "Nonce", "Serial", "Signature"])
def test_each_header_is_needed(world, missing):
    headers, body = world.notification("COUPON.SEND", SENT)
    rest = tuple(pair for pair in headers if pair[0] != f"Wechatpay-{missing}")
    with pytest.raises(ForgedMessage) as raised:
        parse(world, (rest, body))
    assert raised.value.code == "wechatpay.header_missing"
    assert raised.value.details["header"] == f"Wechatpay-{missing}"


@pytest.mark.parametrize(("skew_s", "accepted"), [(299, True), (-299, True), (300, False), (-300, False), (301, False)])
def test_a_callback_lives_less_than_300_seconds(world, skew_s, accepted):
    message = world.notification("COUPON.SEND", SENT, skew_s=skew_s)
    if accepted:
        assert parse(world, message).kind is NewsKind.DELIVERED
        return
    with pytest.raises(ForgedMessage) as raised:
        parse(world, message)
    assert raised.value.code == "wechatpay.clock"
    assert raised.value.details["local_time"] == "2026-05-20T13:29:35+08:00"


def test_old_apiv3_keys_are_tried_after_the_new_one(world):
    old, new = world.keys["apiv3_key"], "f" * 32
    world.build(apiv3_keys=(Secret(new), Secret(old)))
    assert parse(world, world.notification("COUPON.SEND", SENT, key=old)).kind is NewsKind.DELIVERED
    assert parse(world, world.notification("COUPON.SEND", SENT, key=new)).kind is NewsKind.DELIVERED
    with pytest.raises(ForgedMessage) as raised:
        parse(world, world.notification("COUPON.SEND", SENT, key="e" * 32))
    assert raised.value.code == "wechatpay.undecryptable"


def resigned(world, change):
    """A genuine signature over a callback that is not of the documented form."""
    _, body = world.notification("COUPON.SEND", SENT)
    envelope = json.loads(body)
    change(envelope)
    content = json.dumps(envelope).encode()
    return world.sign(content), content


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e.pop("id"),
        lambda e: e.pop("event_type"),
        lambda e: e.pop("create_time"),
        lambda e: e.update(create_time="yesterday"),
        lambda e: e.pop("resource"),
        lambda e: e.update(resource=[]),
        lambda e: e["resource"].pop("nonce"),
        lambda e: e["resource"].update(nonce=""),
        lambda e: e["resource"].update(algorithm="AEAD_SM4_GCM"),
        lambda e: e["resource"].update(ciphertext="###"),
        lambda e: e["resource"].update(ciphertext=""),
        lambda e: e["resource"].update(ciphertext=7),
        lambda e: e["resource"].update(associated_data="other"),
    ],
)
def test_a_signed_message_of_another_form_is_a_forged_message_and_no_crash(world, change):
    with pytest.raises(ForgedMessage):
        parse(world, resigned(world, change))


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"\xff\xfe", b'"x"'])
def test_a_signed_message_that_is_no_object_is_a_forged_message(world, content):
    with pytest.raises(ForgedMessage):
        parse(world, (world.sign(content), content))


def test_acceptance_is_204_and_every_error_asks_for_a_repeat(world):
    assert world.adapter.acknowledge().status == 204
    refusal = world.adapter.acknowledge(LedgerError("ledger.failed"))
    assert refusal.status == 500
    assert json.loads(refusal.content) == {"code": "FAIL", "message": "ledger.failed"}


# --- the grey switch, and certificates ---


def by_certificate(world, **how):
    return world.notification("COUPON.SEND", SENT, serial=world.certificate_serial, **how)


def test_in_public_key_mode_a_certificates_signature_is_refused_without_asking(world):
    with pytest.raises(ForgedMessage) as raised:
        parse(world, by_certificate(world))
    assert raised.value.code == "wechatpay.serial_unknown"
    assert raised.value.details["known"] == world.public_key_id
    assert world.requests == []


def test_in_mixed_mode_both_kinds_are_accepted(world):
    world.driver.now = START + timedelta(days=365)
    world.build(mode="mixed", platform_certificates=(Secret(world.keys["platform"]["certificate_pem"]),))
    assert parse(world, by_certificate(world)).kind is NewsKind.DELIVERED
    assert parse(world, world.notification("COUPON.SEND", SENT)).kind is NewsKind.DELIVERED


def test_an_unknown_certificate_is_fetched_once_then_known(world):
    world.driver.now = START + timedelta(days=365)
    world.build(mode="mixed")
    assert parse(world, by_certificate(world), world.certificates()).kind is NewsKind.DELIVERED
    assert parse(world, by_certificate(world)).kind is NewsKind.DELIVERED
    assert world.requests[0].target == "/v3/certificates?algorithm_type=RSA"


def test_invented_serials_make_us_ask_once_a_minute_only(world):
    world.driver.now = START + timedelta(days=365)
    world.build(mode="mixed")
    forged = world.notification("COUPON.SEND", SENT, serial="AB" * 20)
    with pytest.raises(ForgedMessage):
        parse(world, forged, world.certificates())
    with pytest.raises(ForgedMessage):
        parse(world, forged)
    world.driver.now += timedelta(seconds=61)
    with pytest.raises(ForgedMessage):
        parse(world, world.notification("COUPON.SEND", SENT, serial="AB" * 20), world.certificates())


def test_when_certificates_cannot_be_fetched_the_serial_stays_unknown(world):
    world.build(mode="mixed")
    with pytest.raises(ForgedMessage) as raised:
        parse(world, by_certificate(world), world.error(404, "RESOURCE_NOT_EXISTS"))
    assert raised.value.code == "wechatpay.serial_unknown"


def test_a_certificate_outside_its_dates_verifies_nothing(world):
    world.build(mode="mixed", platform_certificates=(Secret(world.keys["platform"]["certificate_pem"]),))
    with pytest.raises(ForgedMessage) as raised:
        parse(world, by_certificate(world))  # the certificate begins half a year later
    assert raised.value.code == "message.key_not_in_force"


def test_an_ended_transfer_names_our_number_and_no_verdict(world):
    plain = {"out_bill_no": "01JV1", "transfer_bill_no": "1330", "state": "FAIL", "openid": "oXsd3434454567676"}
    event = parse(world, world.notification("MCHTRANSFER.BILL.FINISHED", plain, original_type="mch_payment"))
    assert event.operation_no == "01JV1"
    assert event.refs == {"out_bill_no": "01JV1", "transfer_bill_no": "1330"}
    assert event.user == PlatformUser("oXsd3434454567676")


def test_a_sharing_notice_is_known_by_what_is_inside(world):
    plain = {"out_order_no": "S1", "order_id": "30", "transaction_id": "42", "receiver": {"account": "190"}}
    event = parse(world, world.notification("TRANSACTION.SUCCESS", plain, original_type="profitsharing"))
    assert event.operation_no == "S1"
    assert event.refs == {"out_order_no": "S1", "order_id": "30", "transaction_id": "42"}
