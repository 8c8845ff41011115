"""One call: signature, hosts, verification, repetition, deadline."""

import base64
import re
from datetime import timedelta

import pytest
from tests.driving import START

from unicom_coupon_adapters.wechatpay import messages
from unicom_coupon_sdk.errors import Effected, PlatformRefused, PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.platform.wire import HttpAnswer, header

QUERY = {"state": "SENDED"}


def redeem(world, *answers):
    return world.run(world.adapter.redeem(world.held()), *answers)


def query(world, *answers):
    return world.run(world.adapter.query(world.held()), *answers)


def test_what_is_signed_is_what_is_sent(world):
    redeem(world, world.ok(world.used))
    request = world.requests[0]
    found = dict(re.findall(r'(\w+)="([^"]*)"', header(request.headers, "Authorization")))
    message = f"POST\n{request.target}\n{found['timestamp']}\n{found['nonce_str']}\n".encode() + request.content + b"\n"
    assert world.merchant_key.public_key.verify_sha256(base64.b64decode(found["signature"]), message)
    assert found["timestamp"] == str(int(START.timestamp()))
    assert found["mchid"] == "1900009191"
    assert len(found["nonce_str"]) == 32
    assert header(request.headers, "Wechatpay-Serial") == world.public_key_id
    assert header(request.headers, "User-Agent")


def test_the_body_is_compact_and_in_the_documented_order(world):
    redeem(world, world.ok(world.used))
    assert world.requests[0].content == (
        b'{"coupon_code":"UC9ABCDEFGHJK","stock_id":"100088","appid":"wx1234567889999",'
        b'"use_time":"2026-05-20T13:29:35+08:00","use_request_no":"01JV0000000000000000000001",'
        b'"openid":"oXsd3434454567676"}'
    )


@pytest.mark.parametrize("fault", ["not_reached", "lost"])
def test_the_backup_host_gets_the_same_request_under_the_same_signature(world, fault):
    outcome = redeem(world, getattr(world, fault), world.ok(world.used))
    first, second = world.requests
    assert (first.host, second.host) == ("api.mch.weixin.qq.com", "api2.mch.weixin.qq.com")
    assert first.content == second.content
    assert header(first.headers, "Authorization") == header(second.headers, "Authorization")
    assert header(second.headers, "User-Agent").endswith("(Retried-V1)")
    assert outcome.effected is Effected.DONE
    assert world.driver.slept == []


def test_a_write_that_was_never_answered_is_unknown_after_the_same_number_was_tried_on_both_hosts(world):
    with pytest.raises(PlatformUnknown) as raised:
        redeem(world, *[world.lost] * 8)
    assert raised.value.platform == "wechatpay"
    assert len({request.content for request in world.requests}) == 1
    assert world.driver.slept == [1, 2, 4]


def test_a_write_that_no_host_took_is_definitely_not_done(world):
    with pytest.raises(PlatformUnavailable):
        redeem(world, *[world.not_reached] * 8)


def test_a_refusal_after_a_lost_answer_does_not_undo_the_doubt(world):
    with pytest.raises(PlatformUnknown):
        redeem(world, world.lost, world.error(400, "INVALID_REQUEST"), world.error(400, "INVALID_REQUEST"))


def test_a_refusal_in_a_later_attempt_does_not_undo_the_doubt(world):
    with pytest.raises(PlatformUnknown):
        redeem(world, world.error(500, "SYSTEM_ERROR"), world.error(400, "INVALID_REQUEST"))


def test_a_read_is_never_unknown(world):
    with pytest.raises(PlatformUnavailable) as raised:
        query(world, *[world.lost] * 8)
    assert raised.value.outcome is Effected.NOT_DONE


def test_a_busy_platform_is_asked_again_after_one_two_and_four_seconds_with_jitter(world):
    redeem(world, *[world.error(429, "FREQUENCY_LIMITED")] * 3, world.ok(world.used))
    assert [int(pause) for pause in world.driver.slept] == [1, 2, 4]
    assert all(pause % 1 for pause in world.driver.slept)
    assert len({header(request.headers, "Authorization") for request in world.requests}) == 4


def test_too_busy_for_all_attempts_is_not_done(world):
    with pytest.raises(PlatformUnavailable) as raised:
        redeem(world, *[world.error(429, "RATELIMIT_EXCEEDED")] * 4)
    assert raised.value.code == "wechatpay.busy"
    assert 4 <= raised.value.retry_after_s < 5


def test_the_wait_that_the_platform_asks_for_is_kept(world):
    later = (("Retry-After", "7"),)
    redeem(world, world.error(429, "FREQUENCY_LIMITED", headers=later), world.ok(world.used))
    assert world.driver.slept == [7]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_fault_of_the_platform_is_repeated_with_the_same_number(world, status):
    outcome = redeem(world, world.error(status, "SYSTEM_ERROR"), world.ok(world.used))
    assert outcome.effected is Effected.DONE
    assert world.body(0) == world.body(1)


def test_a_fault_that_lasts_leaves_a_write_unknown_and_a_read_unavailable(world):
    with pytest.raises(PlatformUnknown) as raised:
        redeem(world, *[world.error(500, "SYSTEM_ERROR")] * 4)
    assert raised.value.code == "wechatpay.system_error"
    with pytest.raises(PlatformUnavailable):
        query(world, *[world.error(500, "SYSTEM_ERROR")] * 4)


@pytest.mark.parametrize(
    "changes",
    [
        {"Wechatpay_Signature": "AAAA"},
        {"Wechatpay_Signature": "not base64 ###"},
        {"Wechatpay_Signature": None},
        {"Wechatpay_Nonce": None},
        {"Wechatpay_Serial": "PUB_KEY_ID_0000000000000000000000000000"},
        {"Wechatpay_Serial": ""},
        {"Wechatpay_Timestamp": "1779250000"},
        {"Wechatpay_Timestamp": "soon"},
        {"Wechatpay_Timestamp": "9" * 400},
        {"Wechatpay_Signature_Type": "WECHATPAY2-SM2-WITH-SM3"},
    ],
    ids=lambda changes: "-".join(f"{name}={value}" for name, value in changes.items()),
)
def test_a_success_that_is_not_genuine_leaves_a_write_unknown(world, changes):
    with pytest.raises(PlatformUnknown) as raised:
        redeem(world, *[world.forged(world.used, **changes)] * 4)
    is_late = changes.get("Wechatpay_Timestamp") == "1779250000"
    assert raised.value.code == ("wechatpay.answer_clock" if is_late else "wechatpay.answer_forged")


def test_a_read_with_a_forged_answer_is_repeated_then_unavailable(world):
    with pytest.raises(PlatformUnavailable) as raised:
        query(world, *[world.forged(world.coupon(), Wechatpay_Signature="AAAA")] * 4)
    assert raised.value.code == "wechatpay.answer_forged"


def test_a_signature_probe_is_followed_by_a_good_answer_to_the_same_number(world):
    probe = world.forged(world.used, Wechatpay_Signature="WECHATPAY/SIGNTEST/4/l2Ym")
    outcome = redeem(world, probe, world.ok(world.used))
    assert outcome.effected is Effected.DONE
    assert world.body(0) == world.body(1)


@pytest.mark.parametrize(("skew_s", "accepted"), [(0, True), (299, True), (-299, True), (300, False), (-300, False)])
def test_the_clock_rule_is_less_than_300_seconds_either_way(world, skew_s, accepted):
    if accepted:
        assert redeem(world, world.ok(world.used, skew_s=skew_s)).effected is Effected.DONE
    else:
        with pytest.raises(PlatformUnknown):
            redeem(world, *[world.ok(world.used, skew_s=skew_s)] * 4)


def test_a_changed_body_is_not_believed(world):
    def changed(request):
        good = world.ok(world.used)(request)
        return HttpAnswer(200, good.headers, good.content.replace(b"100088", b"100089"))

    with pytest.raises(PlatformUnknown):
        redeem(world, *[changed] * 4)


def test_lower_case_header_names_are_accepted(world):
    def lowered(request):
        good = world.ok(world.used)(request)
        return HttpAnswer(200, tuple((name.lower(), value) for name, value in good.headers), good.content)

    assert redeem(world, lowered).effected is Effected.DONE


def test_an_unsigned_refusal_is_believed_but_one_with_a_wrong_signature_is_not(world):
    with pytest.raises(PlatformRefused):
        redeem(world, world.error(403, "NOAUTH"))
    signed_wrongly = world.error(403, "NOAUTH", headers=world.sign(b"something else"))
    with pytest.raises(PlatformUnknown):
        redeem(world, *[signed_wrongly] * 4)


def test_a_refusal_without_the_platforms_envelope_says_nothing_about_a_write(world):
    page = HttpAnswer(403, (), b"<html>blocked by a firewall</html>")
    with pytest.raises(PlatformUnknown):
        redeem(world, *[page] * 4)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'"text"'])
def test_a_genuine_success_that_says_nothing_leaves_a_write_unknown(world, content):
    def answer(_):
        return HttpAnswer(200, world.sign(content), content)

    with pytest.raises(PlatformUnknown):
        redeem(world, *[answer] * (1 if content == b"" else 4))


@pytest.mark.parametrize(("late_s", "sent"), [(59, True), (60, False), (61, False)])
def test_nothing_is_signed_at_or_after_the_deadline(world, late_s, sent):
    world.driver.now = START + timedelta(seconds=late_s)
    if sent:
        redeem(world, world.ok(world.used))
        return
    with pytest.raises(PlatformUnavailable) as raised:
        redeem(world)
    assert raised.value.code == "platform.too_late"
    assert world.requests == []


def test_a_repeat_stops_at_the_deadline_and_keeps_the_doubt(world):
    world.driver.now = START + timedelta(seconds=59)
    with pytest.raises(PlatformUnknown):
        redeem(world, world.error(500, "SYSTEM_ERROR"))
    assert len(world.requests) == 1


def test_204_is_a_success_with_signature_headers_and_no_body(world):
    call = messages.SET_CALLBACK.call({"mchid": "1900009191", "notify_url": "https://shop.example/n"})
    answer = world.run(world.adapter.gateway.call(call), world.ok(status=204))
    assert answer.content == {}
    with pytest.raises(PlatformUnknown):
        world.run(world.adapter.gateway.call(call), *[HttpAnswer(204, ())] * 4)


def test_neither_code_nor_openid_nor_key_shows_in_a_request_or_an_error(world):
    with pytest.raises(PlatformRefused) as raised:
        redeem(world, world.error(400, "INVALID_REQUEST", message=f"券{world.code}不属于{world.openid}"))
    shown = f"{world.requests[0]!r} {raised.value} {raised.value!r} {raised.value.diagnostics()} {raised.value.details}"
    for secret in (world.code, world.openid, world.keys["apiv3_key"]):
        assert secret not in shown
    assert "不属于" in shown
