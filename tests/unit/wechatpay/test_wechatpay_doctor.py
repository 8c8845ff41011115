"""The doctor: each item of the checklist as a finding, and nothing raised."""

import base64
import json
from datetime import timedelta
from email.utils import format_datetime

import pytest
from tests.driving import START

from unicom_coupon_sdk import texts
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.platform.adapter import CheckState
from unicom_coupon_sdk.platform.wire import HttpAnswer

LATER = START + timedelta(days=365)


def echo(world, *, skew_s=0, date=True, **changes):
    def answer(request):
        asked = json.loads(request.content)
        opened = world.platform_key.decrypt_oaep_sha1(base64.b64decode(asked["encrypted_echo_message"]))
        sealed = world.merchant_key.public_key.encrypt_oaep_sha1(opened)
        data = {
            "echo_message": asked["echo_message"],
            "encrypted_echo_message": base64.b64encode(sealed).decode(),
            **changes,
        }
        good = world.ok(data)(request)
        stamp = format_datetime(world.driver.now + timedelta(seconds=skew_s), usegmt=True)
        return HttpAnswer(200, (*good.headers, *((("Date", stamp),) if date else ())), good.content)

    return answer


def diagnose(world, *answers, token=True, more=None):
    signed_in = (world.weixin(access_token="T", expires_in=7200),) if token else ()
    more = (world.error(404, "RESOURCE_NOT_EXISTS"),) if more is None else more
    findings = world.run(world.adapter.diagnose(), *answers, *signed_in, *more)
    for finding in findings:
        for language in ("en", "zh"):
            assert texts.find(finding.code), finding.code
            assert "?" not in texts.text(finding.code, values=finding.details, language=language)
    return {finding.code.removeprefix("wechatpay.check_"): finding for finding in findings}


def test_a_healthy_merchant_has_nothing_to_mend(world):
    world.driver.now = LATER
    world.build(notify_url="https://shop.example/n")
    found = diagnose(world, echo(world), world.ok({"notify_url": "https://shop.example/n"}))
    assert {name: f.state for name, f in found.items() if f.state not in (CheckState.OK, CheckState.SKIP)} == {}
    assert found["echo"].state is CheckState.OK
    assert found["clock"].details["skew_s"] == 0
    assert found["certificates"].state is CheckState.SKIP


@pytest.mark.parametrize(("left", "state"), [(31, CheckState.OK), (29, CheckState.WARN), (-1, CheckState.FAIL)])
def test_a_merchant_certificate_is_renewed_thirty_days_before_its_end(world, left, state):
    until = world.adapter.gateway.credentials.merchant_certificate.not_after
    world.driver.now = until - timedelta(days=left)
    assert diagnose(world, echo(world))["merchant_validity"].state is state


@pytest.mark.parametrize(
    ("skew_s", "state"), [(0, CheckState.OK), (29, CheckState.OK), (31, CheckState.WARN), (299, CheckState.WARN)]
)
def test_the_clock_is_compared_with_the_date_header(world, skew_s, state):
    found = diagnose(world, echo(world, skew_s=-skew_s))
    assert found["clock"].state is state
    assert found["clock"].details["skew_s"] == skew_s


def test_a_clock_too_far_off_is_seen_even_when_the_platform_refuses_us(world):
    refused = world.error(
        401, "SIGN_ERROR", headers=(("Date", format_datetime(START - timedelta(seconds=301), usegmt=True)),)
    )
    found = diagnose(world, refused)
    assert found["clock"].state is CheckState.FAIL
    assert found["echo"].details == {"error": "wechatpay.sign_error", "platform_code": "SIGN_ERROR"}


@pytest.mark.parametrize(
    "changes",
    [{"echo_message": "other"}, {"encrypted_echo_message": "AAAA"}, {"encrypted_echo_message": None}],
)
def test_a_wrong_echo_is_seen(world, changes):
    assert diagnose(world, echo(world, date=False, **changes))["echo"].state is CheckState.FAIL


def test_an_unsigned_echo_and_a_silent_platform_are_seen(world):
    unsigned = HttpAnswer(200, (), b"{}")
    assert diagnose(world, unsigned)["echo"].details == {"error": "wechatpay.header_missing"}
    assert diagnose(world, world.not_reached, token=False)["echo"].details == {"error": "platform.not_reached"}


def test_another_callback_address_than_ours_is_a_warning(world):
    world.build(notify_url="https://shop.example/n")
    found = diagnose(world, echo(world), world.ok({"notify_url": "https://other.example/n"}))
    assert found["callback"].state is CheckState.WARN


def test_in_certificate_mode_the_list_is_fetched(world):
    world.driver.now = LATER
    world.build(mode="mixed")
    found = diagnose(world, world.certificates(), echo(world))
    assert found["certificates"].details == {"count": 1}
    found = diagnose(world, world.error(404, "RESOURCE_NOT_EXISTS"), echo(world), token=False)
    assert found["certificates"].details["error"] == "wechatpay.no_platform_certificate"


def test_a_key_file_that_others_can_read_is_a_warning(world, tmp_path):
    path = tmp_path / "key.pem"
    path.write_text(world.keys["merchant"]["private_key_pem"])
    for mode, state in ((0o644, CheckState.WARN), (0o600, CheckState.OK)):
        path.chmod(mode)
        world.build(merchant_private_key=f"file:{path}")
        assert diagnose(world, echo(world))["key_files"].state is state


def test_an_apiv2_key_of_another_length_fails(world):
    world.build(apiv2_key=Secret("short"))
    assert diagnose(world, echo(world))["apiv2_key"].state is CheckState.FAIL


@pytest.mark.parametrize(
    ("status", "code", "state"),
    [
        (404, "NOT_FOUND", CheckState.OK),
        (403, "NO_AUTH", CheckState.FAIL),
        (401, "SIGN_ERROR", CheckState.FAIL),
    ],
)
def test_paying_out_is_asked_about_by_a_transfer_that_nobody_made(world, status, code, state):
    world.build(transfer_scene_id="1000", transfer_activity="新春", transfer_reward="返现")
    more = (world.error(status, code), world.error(404, "RESOURCE_NOT_EXISTS"))
    found = diagnose(world, echo(world), more=more)
    assert found["transfer"].state is state
    assert found["transfer"].details["scene"] == "1000"
    assert world.requests[-2].method == "GET"


def test_without_a_scene_paying_out_is_left_alone(world):
    assert diagnose(world, echo(world))["transfer"].state is CheckState.SKIP


@pytest.mark.parametrize(
    ("status", "code", "state"),
    [
        (404, "RESOURCE_NOT_EXISTS", CheckState.OK),
        (404, "ORDER_NOT_EXIST", CheckState.OK),
        (403, "NO_AUTH", CheckState.SKIP),
        (401, "SIGN_ERROR", CheckState.FAIL),
    ],
)
def test_sharing_is_asked_about_by_an_order_that_nobody_placed(world, status, code, state):
    found = diagnose(world, echo(world), more=(world.error(status, code),))
    assert found["sharing"].state is state
