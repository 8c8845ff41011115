"""What an answer is worth: nothing in it is believed before its signature is right over the received bytes."""

import base64
import json
from datetime import timedelta

import pytest
from tests.driving import START, Driver
from tests.unit.alipay.peer import (
    ACTIVITY,
    FAMILY,
    KEYS,
    Peer,
    alipay_sign,
    envelope,
    held,
    lost,
    ok,
    refused,
    run,
    settings,
    unreached,
)

from unicom_coupon_adapters.alipay.content import ContentCipher
from unicom_coupon_adapters.alipay.gateway import AlipayGateway, without_values
from unicom_coupon_adapters.alipay.keys import AlipayKeys
from unicom_coupon_adapters.alipay.messages import Messages
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.errors import PlatformRefused, PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.platform.wire import HttpAnswer

USE = f"{FAMILY}.use"
WRITE = Messages(settings()).use(held())
READ = Messages(settings()).query_activity(ACTIVITY)


def gateway(**changes):
    chosen = settings(**changes)
    return AlipayGateway(chosen, AlipayKeys.load(chosen, Keys()))


def error_of(peer, call, **changes):
    with pytest.raises((PlatformRefused, PlatformUnavailable, PlatformUnknown)) as caught:
        run(peer, gateway(**changes).send(call))
    return caught.value


def both(answer):
    """The errors of a write and of a read that got ``answer``, a function of the method."""
    return (
        error_of(Peer(use=answer(USE)), WRITE),
        error_of(Peer(query=answer(f"{FAMILY}.query")), READ),
    )


def test_a_signed_success_is_handed_on_with_its_trace_id():
    node = run(Peer(use=ok(activity_id=ACTIVITY)), gateway().send(WRITE))
    assert node.text("activity_id") == ACTIVITY
    assert node.trace_id == "0b46def5"


def test_a_signature_over_a_new_serialisation_of_the_answer_is_not_accepted():
    """A gateway that signed another text than it sent, or a client that dumps what it parsed: both must fail."""
    node = {"code": "10000", "msg": "Success", "activity_id": ACTIVITY, "name": "联通\\/券"}
    sent = json.dumps(node, indent=1, ensure_ascii=False)
    signed = json.dumps(node, separators=(",", ":"), ensure_ascii=False)
    body = f'{{"{USE.replace(".", "_")}_response":{sent},"sign":"{alipay_sign(signed)}"}}'.encode()
    assert error_of(Peer(use=body), WRITE).code == "alipay.answer_forged"
    right = f'{{"{USE.replace(".", "_")}_response":{sent},"sign":"{alipay_sign(sent)}"}}'.encode()
    assert run(Peer(use=right), gateway().send(WRITE)).text("activity_id") == ACTIVITY


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("alipay.answer_forged", lambda m: envelope(m, ok(activity_id=ACTIVITY)).replace(b"Success", b"success")),
        ("alipay.unsigned", lambda m: json.dumps({m.replace(".", "_") + "_response": ok()}).encode()),
        ("alipay.answer_shape", lambda _: b"<html>502 Bad Gateway</html>"),
        ("alipay.answer_shape", lambda _: b""),
        ("alipay.answer_shape", lambda m: envelope(m, ok()) + b"{}"),
        ("alipay.answer_shape", lambda m: envelope(m, ok()).replace(b"{", b'{"sign":"x",', 1)),
        ("alipay.answer_shape", lambda _: envelope("alipay.other.method", ok())),
        ("alipay.answer_other", lambda m: envelope(m, ok(activity_id="2016042700826004508409999999"))),
        ("alipay.answer_shape", lambda m: envelope(m, ok())[:-40]),
    ],
)
def test_an_answer_that_cannot_be_believed_leaves_a_write_unknown_and_a_read_undone(code, answer):
    write, read = both(answer)
    assert isinstance(write, PlatformUnknown)
    assert isinstance(read, PlatformUnavailable)
    assert write.code == read.code == code


def test_an_unsigned_refusal_is_told_but_not_believed():
    body = json.dumps({"error_response": {"code": "40002", "sub_code": "isv.invalid-app-id"}}).encode()
    error = error_of(Peer(use=body), WRITE)
    assert isinstance(error, PlatformUnknown)
    assert (error.code, error.platform_code) == ("alipay.unsigned", "isv.invalid-app-id")


def test_a_signed_error_response_is_a_definite_refusal():
    body = envelope(USE, refused("isv.invalid-app-id", "40002"), error=True)
    error = error_of(Peer(use=body), WRITE)
    assert isinstance(error, PlatformRefused)
    assert error.code == "alipay.app_id"


@pytest.mark.parametrize("body", [envelope(USE, ok(), error=True), envelope(USE, {"activity_id": ACTIVITY})])
def test_a_signed_answer_that_is_neither_success_nor_failure_leaves_a_write_unknown(body):
    error = error_of(Peer(use=body), WRITE)
    assert isinstance(error, PlatformUnknown)
    assert error.code == "alipay.answer_shape"


@pytest.mark.parametrize(
    ("node", "kind", "code"),
    [
        (refused("SYSTEM_ERROR"), PlatformUnknown, "alipay.system_error"),
        (refused("aop.unknow-error", "20000"), PlatformUnknown, "alipay.system_error"),
        (refused("ACQ.DISCORDANT_REPEAT_REQUEST"), PlatformUnknown, "alipay.number_reused"),
        (refused("isv.app-call-limited", "40005"), PlatformUnavailable, "alipay.busy"),
        (refused("isp.illegal-client-ip", "40006"), PlatformRefused, "alipay.client_ip"),
        (refused("INVALID_PARAMETER"), PlatformRefused, "alipay.parameter"),
        (refused("ACTIVITY_NOT_PERMISSION"), PlatformRefused, "alipay.activity_permission"),
        (refused("NEVER_HEARD_OF"), PlatformRefused, "alipay.business"),
        (refused("", "40003"), PlatformRefused, "alipay.permission"),
    ],
)
def test_codes_mean_what_the_sheet_says(node, kind, code):
    error = error_of(Peer(use=node), WRITE)
    assert type(error) is kind
    assert error.code == code


def test_a_busy_gateway_asks_for_a_second():
    assert error_of(Peer(use=refused("isv.app-call-limited", "40005")), WRITE).retry_after_s >= 1


def test_an_unknown_outcome_of_a_read_is_an_unavailable_platform():
    assert isinstance(error_of(Peer(query=lost()), READ), PlatformUnavailable)
    assert isinstance(error_of(Peer(use=lost()), WRITE), PlatformUnknown)
    assert isinstance(error_of(Peer(use=unreached()), WRITE), PlatformUnavailable)


def test_nothing_is_signed_at_or_after_the_deadline():
    peer = Peer(use=ok())
    for late in (timedelta(0), timedelta(seconds=-1)):
        with pytest.raises(PlatformUnavailable) as caught:
            run(peer, gateway().send(WRITE, deadline=START + late))
        assert caught.value.code == "platform.too_late"
    assert peer.calls == []


def test_an_encrypted_answer_is_verified_with_its_quotes_and_then_read():
    cipher = ContentCipher(KEYS["aes_key_base64"])
    text = cipher.encrypt(json.dumps(ok(activity_id=ACTIVITY)))
    peer = Peer(use=envelope(USE, f'"{text}"'))
    assert run(peer, gateway(encrypt_content=True).send(WRITE)).text("activity_id") == ACTIVITY
    assert peer.calls[0][2]["encrypt_type"] == "AES"


def test_a_failure_in_the_clear_is_read_though_encryption_was_asked_for():
    error = error_of(Peer(use=envelope(USE, refused("BIZ_ERROR"))), WRITE, encrypt_content=True)
    assert error.code == "alipay.business"


def test_a_refused_signature_names_the_differing_parameters_and_shows_no_value():
    def echo(_content, parameters):
        pairs = sorted((k, v) for k, v in parameters.items() if k != "sign")
        theirs = "&".join(f"{k}={v}" for k, v in pairs).replace("total_fee", "total_fie")
        words = f"验签出错，建议检查签名字符串或签名私钥与应用公钥是否匹配，网关生成的验签字符串为：{theirs}"
        escaped = words.replace('"', "&quot;").replace("&biz", "&amp;biz")
        return {"code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-signature", "sub_msg": escaped}

    error = error_of(Peer(use=echo), WRITE)
    assert error.code == "alipay.our_signature"
    assert error.details["reason"] == "biz_content"
    assert "CU_8A7F" not in str(error)


def test_a_sentence_of_the_platform_is_kept_without_the_values_in_it():
    assert without_values("券码CU_8A7F-11已核销，用户2088000000000002", {}) == "券码*已核销，用户*"


def v3_answer(members, *, status=200, stamp=START, sign=None, body=None):
    text = json.dumps(members, ensure_ascii=False) if body is None else body
    millis = str(int(stamp.timestamp() * 1000))
    signature = alipay_sign(f"{millis}\n9b7d\n{text}\n") if sign is None else sign
    headers = (("alipay-timestamp", millis), ("alipay-nonce", "9b7d"), ("alipay-signature", signature))
    return HttpAnswer(status, (*headers, ("alipay-trace-id", "0b46")), text.encode())


def run_v3(answer, call=WRITE):
    made = gateway(gateway="v3")
    return Driver(lambda _: answer).run(made.send(call))


def test_a_v3_success_has_no_envelope():
    assert run_v3(v3_answer({"activity_id": ACTIVITY})).text("activity_id") == ACTIVITY


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (v3_answer({"activity_id": ACTIVITY}, sign=""), "alipay.unsigned"),
        (v3_answer({"activity_id": ACTIVITY}, sign=base64.b64encode(bytes(256)).decode()), "alipay.answer_forged"),
        (v3_answer({"activity_id": ACTIVITY}, stamp=START - timedelta(seconds=301)), "alipay.answer_stale"),
        (v3_answer({"activity_id": ACTIVITY}, stamp=START + timedelta(seconds=301)), "alipay.answer_stale"),
        (v3_answer({"activity_id": "20160"}), "alipay.answer_other"),
        (v3_answer({}, body='{"a":'), "alipay.answer_shape"),
        (v3_answer({"message": "x"}, status=400), "alipay.answer_shape"),
        (v3_answer({"code": "SYSTEM_ERROR", "message": "x"}, status=500), "alipay.system_error"),
        (v3_answer({"code": "never-heard-of", "message": "x"}, status=503), "alipay.system_error"),
    ],
)
def test_a_v3_answer_that_settles_nothing_leaves_a_write_unknown(answer, code):
    with pytest.raises(PlatformUnknown) as caught:
        run_v3(answer)
    assert caught.value.code == code


def test_v3_refusals_and_limits_are_definite():
    with pytest.raises(PlatformRefused):
        run_v3(v3_answer({"code": "invalid-signature", "message": "x"}, status=401))
    with pytest.raises(PlatformUnavailable):
        run_v3(v3_answer({"code": "new-limit", "message": "x"}, status=429))


def test_a_call_without_a_v3_form_goes_by_the_classic_gateway():
    call = Messages(settings()).invalidate(held().listing, held().code, number="V1", at=START)
    peer = Peer(invalid=ok())
    run(peer, gateway(gateway="v3").send(call))
    assert peer.methods() == ["invalid"]


def test_http_errors_of_the_classic_gateway_prove_nothing():
    for call, kind in ((WRITE, PlatformUnknown), (READ, PlatformUnavailable)):
        with pytest.raises(kind) as caught:
            Driver(lambda _: HttpAnswer(502, (), b"bad gateway")).run(gateway().send(call))
        assert caught.value.code == "alipay.http_status"
