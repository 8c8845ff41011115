"""Platform certificates: downloaded when needed, trusted from two sides, side by side until their dates end."""

from datetime import timedelta

import pytest
from tests.driving import START

from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import (
    ConfigurationError,
    Effected,
    ForgedMessage,
    PlatformUnavailable,
    PlatformUnknown,
)
from unicom_coupon_sdk.platform.wire import header

LATER = START + timedelta(days=365)  # within the dates of the vector's platform certificate


@pytest.fixture
def bare(world):
    """Certificate mode before its first download."""
    world.driver.now = LATER
    world.build(**{**world.certificate_mode, "platform_certificates": ()})
    return world


def test_the_first_answer_makes_us_fetch_the_certificates_and_is_then_believed(bare):
    used = bare.ok(bare.used, serial=bare.certificate_serial)
    held = bare.held(valid_until=LATER + timedelta(days=1))
    bare.driver.now = START + timedelta(days=200)
    outcome = bare.run(
        bare.adapter.query(held), bare.ok(bare.coupon(), serial=bare.certificate_serial), bare.certificates()
    )
    assert outcome.effected is Effected.NOT_DONE
    assert [request.target for request in bare.requests][1] == "/v3/certificates?algorithm_type=RSA"
    assert header(bare.requests[0].headers, "Wechatpay-Serial") is None
    bare.run(bare.adapter.query(held), used)
    assert header(bare.requests[-1].headers, "Wechatpay-Serial") == bare.certificate_serial


def test_a_write_is_not_sent_again_while_certificates_are_fetched(bare):
    flow = bare.adapter.busifavor.set_callback_address("https://shop.example/n")
    bare.run(flow, bare.ok({}, serial=bare.certificate_serial), bare.certificates())
    assert [request.method for request in bare.requests] == ["POST", "GET"]


@pytest.mark.parametrize("code", ["RESOURCE_NOT_EXISTS", "NOT_FOUND"])
def test_a_merchant_without_certificates_is_told_to_use_the_public_key(bare, code):
    with pytest.raises(ConfigurationError) as raised:
        bare.run(bare.adapter.gateway.refresh_certificates(), bare.error(404, code))
    assert raised.value.code == "wechatpay.no_platform_certificate"
    assert "public_key" in raised.value.diagnostics("en").remedy


def test_a_write_whose_certificate_cannot_be_had_is_unknown_and_not_a_settings_error(bare):
    flow = bare.adapter.busifavor.set_callback_address("https://shop.example/n")
    answer = bare.ok({}, serial=bare.certificate_serial)
    missing = bare.error(404, "RESOURCE_NOT_EXISTS")
    with pytest.raises(PlatformUnknown) as raised:
        bare.run(flow, answer, missing, answer, answer, answer)
    assert raised.value.details["reason"] == "wechatpay.serial_unknown"


@pytest.mark.parametrize(
    "how",
    [
        {"serial": "5157F09EFDC096DE15EBE81A47057A7232F1B8E2"},
        {"skew_s": 400},
    ],
    ids=["signed under a serial that is not in it", "stale"],
)
def test_a_list_that_is_not_genuine_is_not_taken_over(bare, how):
    with pytest.raises(ForgedMessage):
        bare.run(bare.adapter.gateway.refresh_certificates(), bare.certificates(**how))
    assert len(bare.adapter.gateway.credentials.ring) == 0


def test_a_list_signed_by_somebody_else_is_not_taken_over(bare):
    with pytest.raises(ForgedMessage):
        bare.run(bare.adapter.gateway.refresh_certificates(), bare.certificates(key=bare.merchant_key))
    assert len(bare.adapter.gateway.credentials.ring) == 0


def test_a_list_under_another_apiv3_key_is_not_taken_over(bare):
    bare.build(**{**bare.certificate_mode, "platform_certificates": (), "apiv3_keys": (Secret("f" * 32),)})
    with pytest.raises(ForgedMessage) as raised:
        bare.run(bare.adapter.gateway.refresh_certificates(), bare.certificates())
    assert raised.value.code == "wechatpay.undecryptable"


def test_certificates_are_fetched_again_before_twelve_hours_are_over(bare):
    bare.run(bare.adapter.gateway.refresh_certificates(), bare.certificates())
    address = bare.ok({"notify_url": "https://shop.example/n"}, serial=bare.certificate_serial)
    bare.driver.now += timedelta(hours=10)
    bare.run(bare.adapter.busifavor.callback_address(), address)
    bare.driver.now += timedelta(hours=1)
    bare.run(bare.adapter.busifavor.callback_address(), bare.certificates(), address)


def test_a_refresh_that_fails_leaves_the_old_certificates_in_use(bare):
    bare.run(bare.adapter.gateway.refresh_certificates(), bare.certificates())
    address = bare.ok({"notify_url": "https://shop.example/n"}, serial=bare.certificate_serial)
    bare.driver.now += timedelta(hours=12)
    found = bare.run(bare.adapter.busifavor.callback_address(), bare.error(500, "SYSTEM_ERROR"), address)
    assert found == "https://shop.example/n"


def test_in_mixed_mode_requests_ask_for_the_public_key_and_accept_both(world):
    world.driver.now = LATER
    world.build(mode="mixed", platform_certificates=(Secret(world.keys["platform"]["certificate_pem"]),))
    for serial in (world.public_key_id, world.certificate_serial):
        world.run(world.adapter.busifavor.callback_address(), world.ok({"notify_url": "x"}, serial=serial))
        assert header(world.requests[-1].headers, "Wechatpay-Serial") == world.public_key_id


def test_a_personal_field_is_encrypted_for_the_key_that_the_header_names(world):
    serial, [sealed] = world.run(world.adapter.gateway.seal_fields(Secret("张三")))
    import base64

    assert serial == world.public_key_id
    assert world.platform_key.decrypt_oaep_sha1(base64.b64decode(sealed)).decode() == "张三"


def test_in_certificate_mode_a_field_is_encrypted_after_the_first_download(bare):
    serial, _ = bare.run(bare.adapter.gateway.seal_fields(Secret("张三")), bare.certificates())
    assert serial == bare.certificate_serial


def test_a_lost_list_is_try_again(bare):
    with pytest.raises(PlatformUnavailable):
        bare.run(bare.adapter.gateway.refresh_certificates(), bare.lost)
