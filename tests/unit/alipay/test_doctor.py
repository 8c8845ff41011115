"""The checklist says what is wrong and what to do, and shows no key."""

from datetime import datetime
from email.utils import format_datetime

import pytest
from tests.driving import START, Driver
from tests.unit.alipay.peer import (
    FAMILY,
    KEYS,
    VECTORS,
    Peer,
    adapter,
    envelope,
    ok,
    refused,
    settings,
    unreached,
)

from unicom_coupon_adapters.alipay.doctor import examine_keys, key_form
from unicom_coupon_sdk import texts
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.platform.adapter import CheckState
from unicom_coupon_sdk.platform.wire import HttpAnswer

CERTIFICATE = next(v["cert_pem"] for v in VECTORS["vectors"] if v["id"] == "E01")
QUERY = f"{FAMILY}.query"
BILL = "alipay.data.dataservice.bill.downloadurl.query"


def states(findings):
    return {finding.code: finding.state for finding in findings}


def diagnosed(node, *, bill=None, **changes):
    peer = Peer(query=node, **{BILL: bill or refused("NO_BILL_DATA")})
    return states(Driver(peer).run(adapter(**changes).diagnose()))


@pytest.mark.parametrize(
    ("name", "form"),
    [("app_private_pkcs1_pem", "PKCS#1"), ("app_private_pkcs8_pem", "PKCS#8"), ("app_public_pem", "-")],
)
def test_the_wrapping_of_a_private_key_is_named(name, form):
    naked = "".join(KEYS[name].strip().split("\n")[1:-1])
    for text in (KEYS[name], naked):
        assert key_form(text.encode(), field="key") == form


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"alipay_public_keys": (Secret(KEYS["app_public_pem"]),)}, "alipay.own_public_key"),
        ({"alipay_public_keys": (Secret(CERTIFICATE),)}, "key.is_certificate"),
        ({"app_private_key": Secret(CERTIFICATE)}, "key.is_certificate"),
        ({"app_private_key": Secret(KEYS["app_public_pem"])}, "key.is_public"),
        ({"app_private_key": "file:/nowhere/key.pem"}, "key.file_missing"),
        ({"aes_key": Secret("short")}, "alipay.aes_key"),
    ],
)
def test_settings_that_cannot_be_built_are_examined_and_not_raised(changes, code):
    findings = examine_keys(settings(**changes), Keys())
    assert states(findings)[code] is CheckState.FAIL
    for finding in findings:
        for language in texts.LANGUAGES:
            words = texts.text(finding.code, values=finding.details, language=language)
            assert words != finding.code
            assert "MII" not in words


def test_good_keys_are_told_with_their_form():
    found = states(examine_keys(settings(), Keys()))
    assert found == {"alipay.check_private_key": CheckState.OK, "alipay.check_keys": CheckState.OK}
    assert states(examine_keys(settings(aes_key=None), Keys()))["alipay.check_no_aes_key"] is CheckState.WARN


def test_a_key_file_that_others_can_read_is_warned_of(tmp_path):
    path = tmp_path / "key.pem"
    path.write_text(KEYS["app_private_pkcs1_pem"])
    path.chmod(0o644)
    found = states(examine_keys(settings(app_private_key=f"file:{path}"), Keys()))
    assert found["alipay.check_exposed"] is CheckState.WARN
    path.chmod(0o600)
    assert "alipay.check_exposed" not in states(examine_keys(settings(app_private_key=f"file:{path}"), Keys()))


def test_any_verified_answer_shows_that_the_keys_fit():
    for node in (ok(), refused("INVALID_PARAMETER"), refused("ACTIVITY_NOT_PERMISSION")):
        assert diagnosed(node)["alipay.check_round_trip"] is CheckState.OK


@pytest.mark.parametrize(
    ("node", "code"),
    [
        (refused("isv.invalid-signature", "40002"), "alipay.our_signature"),
        (refused("isv.invalid-app-id", "40002"), "alipay.app_id"),
        (refused("isp.illegal-client-ip", "40006"), "alipay.client_ip"),
        (refused("isv.insufficient-isv-permissions", "40006"), "alipay.permission"),
        (envelope(QUERY, ok()).replace(b"Success", b"success"), "alipay.answer_forged"),
        (b"<html>", "alipay.answer_shape"),
        (unreached(), "platform.not_reached"),
    ],
)
def test_what_fails_is_named(node, code):
    found = diagnosed(node)
    assert found[code] is CheckState.FAIL
    assert "alipay.check_round_trip" not in found


@pytest.mark.parametrize(("skew_s", "state"), [(0, CheckState.OK), (61, CheckState.WARN), (-61, CheckState.WARN)])
def test_the_clock_is_compared_with_alipays(skew_s, state):
    date = format_datetime(datetime.fromtimestamp(START.timestamp() + skew_s, START.tzinfo), usegmt=True)
    answer = HttpAnswer(200, (("Date", date),), envelope(QUERY, ok()))
    found = states(Driver(lambda _: answer).run(adapter().diagnose()))
    assert found["alipay.check_clock"] is state


def test_what_clearing_needs_is_told_and_never_a_fault():
    found = diagnosed(ok())
    assert (found["alipay.check_pay_out"], found["alipay.check_share"]) == (CheckState.SKIP, CheckState.SKIP)
    assert diagnosed(ok(), seller_id="2088000000000001")["alipay.check_share"] is CheckState.OK


@pytest.mark.parametrize(
    ("bill", "code", "state"),
    [
        (ok(bill_download_url="https://x"), "alipay.check_bills", CheckState.OK),
        (refused("isp.bill_not_exist"), "alipay.check_bills", CheckState.OK),
        (refused("isv.insufficient-isv-permissions", "40006"), "alipay.permission", CheckState.WARN),
        (unreached(), "platform.not_reached", CheckState.WARN),
    ],
)
def test_whether_bills_may_be_asked_for_is_tried(bill, code, state):
    assert diagnosed(ok(), bill=bill)[code] is state


def test_the_callback_address_should_be_encrypted():
    assert diagnosed(ok())["alipay.check_notify_url"] is CheckState.SKIP
    assert diagnosed(ok(), notify_url="http://m.invalid/n")["alipay.check_notify_url"] is CheckState.WARN
    assert diagnosed(ok(), notify_url="https://m.invalid/n")["alipay.check_notify_url"] is CheckState.OK
