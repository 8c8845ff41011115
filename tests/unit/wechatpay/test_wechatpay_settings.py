"""Wrong settings and wrong keys are found at load, and the error names the setting and the reason."""

import pytest

from unicom_coupon_adapters.wechatpay import PLUGIN, PROFILE, WechatPaySettings
from unicom_coupon_adapters.wechatpay.settings import normal_serial
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.domain.settlement import Cycle
from unicom_coupon_sdk.domain.verification import Method
from unicom_coupon_sdk.errors import ConfigurationError, CouponError, ValidationError

SERIAL = "1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C"


@pytest.mark.parametrize(
    "text",
    [
        SERIAL,
        SERIAL.lower(),
        ":".join(SERIAL[n : n + 2] for n in range(0, 40, 2)),
        f" {SERIAL} ",
        f"0x{SERIAL}",
        str(int(SERIAL, 16)),
    ],
    ids=["as printed", "lower case", "with colons", "with blanks", "with 0x", "decimal"],
)
def test_a_serial_has_one_form(world, text):
    assert normal_serial(text, field="merchant_serial") == SERIAL
    adapter = world.build(merchant_serial=text)
    assert adapter.gateway.credentials.signer.serial == SERIAL


@pytest.mark.parametrize("text", ["", "PUB_KEY_ID_1", "XYZ", "A" * 41, "-1"])
def test_what_is_no_serial_is_refused(world, text):
    with pytest.raises(ValidationError) as raised:
        world.settings(merchant_serial=text)
    assert raised.value.field == "merchant_serial"


@pytest.mark.parametrize(
    ("changes", "field", "code"),
    [
        ({"platform_public_key_id": None}, "platform_public_key_id", "wechatpay.public_key_half"),
        ({"platform_public_key": None}, "platform_public_key", "wechatpay.public_key_half"),
        ({"platform_public_key_id": SERIAL}, "platform_public_key_id", "wechatpay.public_key_id"),
        ({"platform_public_key_id": "PUB_KEY_ID_"}, "platform_public_key_id", "wechatpay.public_key_id"),
        (
            {"platform_public_key": None, "platform_public_key_id": None},
            "platform_public_key",
            "wechatpay.public_key_missing",
        ),
        ({"apiv3_keys": ()}, "apiv3_keys", "wechatpay.apiv3_key_missing"),
        ({"delivery": "h5", "apiv2_key": None}, "apiv2_key", "wechatpay.apiv2_key_missing"),
        ({"base_url": "http://api.mch.weixin.qq.com"}, "base_url", "wechatpay.base_url"),
        ({"base_url": "https://api.mch.weixin.qq.com/v3"}, "base_url", "wechatpay.base_url"),
        ({"weixin_base_url": "ftp://x"}, "weixin_base_url", "wechatpay.base_url"),
        ({"notify_url": "https://shop.example"}, "notify_url", "wechatpay.notify_url"),
        ({"notify_url": "https://shop.example/n?x=1"}, "notify_url", "wechatpay.notify_url"),
        ({"notify_url": "http://shop.example/n"}, "notify_url", "wechatpay.notify_url"),
        ({"notify_url": "https://shop.example/" + "n" * 250}, "notify_url", "wechatpay.notify_url"),
        ({"coupon_family": "product_coupon"}, "brand_id", "wechatpay.product_missing"),
        ({"merchant_private_key": "MIIEvAIBADANBgkqhkiG9w0"}, "merchant_private_key", "key.reference"),
        ({"mchid": "merchant"}, "mchid", "request.invalid"),
        ({"mode": "either"}, "mode", "request.invalid"),
    ],
)
def test_a_wrong_setting_is_named(world, changes, field, code):
    with pytest.raises(ValidationError) as raised:
        world.settings(**changes)
    assert (raised.value.field, raised.value.code) == (field, code)


def cert(world, whose):
    return Secret(world.keys[whose]["certificate_pem"])


def key(world, whose, kind="private_key_pem"):
    return Secret(world.keys[whose][kind])


WRONG_KEYS = {
    "own certificate as the platform's": (
        lambda w: {**w.certificate_mode, "platform_certificates": (cert(w, "merchant"),)},
        "platform_certificates",
        "wechatpay.merchant_certificate_as_platform",
    ),
    "public key as platform certificate": (
        lambda w: {**w.certificate_mode, "platform_certificates": (key(w, "platform", "public_key_pem"),)},
        "platform_certificates",
        "wechatpay.platform_certificate_kind",
    ),
    "own public key as the platform's": (
        lambda w: {"platform_public_key": key(w, "merchant", "public_key_pem")},
        "platform_public_key",
        "wechatpay.own_public_key",
    ),
    "certificate as public key": (
        lambda w: {"platform_public_key": cert(w, "platform")},
        "platform_public_key",
        "key.is_certificate",
    ),
    "certificate as private key": (
        lambda w: {"merchant_private_key": cert(w, "merchant")},
        "merchant_private_key",
        "key.is_certificate",
    ),
    "public key as private key": (
        lambda w: {"merchant_private_key": key(w, "merchant", "public_key_pem")},
        "merchant_private_key",
        "key.is_public",
    ),
    "key of another certificate": (
        lambda w: {"merchant_private_key": key(w, "go_sdk_test")},
        "merchant_private_key",
        "wechatpay.key_not_of_certificate",
    ),
    "serial of another certificate": (
        lambda w: {"merchant_serial": "AB" * 20},
        "merchant_serial",
        "wechatpay.serial_not_of_certificate",
    ),
    "short APIv3 key": (lambda _: {"apiv3_keys": (Secret("a" * 31),)}, "apiv3_keys[0]", "wechatpay.apiv3_key_length"),
    "long old APIv3 key": (
        lambda _: {"apiv3_keys": (Secret("a" * 32), Secret("a" * 33))},
        "apiv3_keys[1]",
        "wechatpay.apiv3_key_length",
    ),
    "rubbish": (lambda _: {"merchant_private_key": Secret("not a key")}, "merchant_private_key", "key.unreadable"),
}


@pytest.mark.parametrize(("changes", "field", "code"), WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_a_wrong_key_is_named_and_never_shown(world, changes, field, code):
    with pytest.raises(ConfigurationError) as raised:
        world.build(**changes(world))
    error = raised.value
    assert (error.field, error.code) == (field, code)
    assert "--BEGIN" not in f"{error} {error!r} {error.diagnostics('zh')} {error.details}"


def test_every_error_of_the_adapter_reads_in_both_languages(world):
    for changes, _, _ in WRONG_KEYS.values():
        with pytest.raises(CouponError) as raised:
            world.build(**changes(world))
        for language in ("en", "zh"):
            told = raised.value.diagnostics(language)
            assert told.message != told.code
            assert "?" not in told.message + told.remedy


def test_a_sandboxs_address_has_no_backup_host_unless_one_is_named(world):
    settings = world.settings(base_url="http://127.0.0.1:8181", weixin_base_url="http://127.0.0.1:8181")
    assert settings.base_urls == ("http://127.0.0.1:8181",)
    assert world.settings().base_urls == ("https://api.mch.weixin.qq.com", "https://api2.mch.weixin.qq.com")


def test_keys_come_by_reference_from_files_and_variables(world, tmp_path, monkeypatch):
    (tmp_path / "key.pem").write_text(world.keys["merchant"]["private_key_pem"])
    monkeypatch.setenv("WECHAT_APIV3", world.keys["apiv3_key"])
    adapter = world.build(merchant_private_key=f"file:{tmp_path}/key.pem", apiv3_keys=["env:WECHAT_APIV3"])
    assert len(adapter.gateway.credentials.ciphers) == 1


def test_settings_never_show_a_key(world):
    assert world.keys["apiv3_key"] not in repr(world.settings())
    assert "BEGIN" not in repr(world.settings())


def test_the_profile_follows_the_merchants_contract_and_secrets(world):
    advanced = world.build(funds_advanced=True, app_secret=None).profile
    assert advanced.settlement[0].cycle is Cycle.T_0
    assert advanced.settlement[0].contract is None
    assert advanced.methods == (Method.SCAN,)
    usual = world.build().profile
    assert usual.terms_on(usual.settlement[0].since).cycle is Cycle.T_1
    assert usual.methods == (Method.SCAN, Method.LOGIN, Method.BIOMETRIC)


def test_the_plugin_offers_what_the_registry_wants():
    assert PLUGIN.profile is PROFILE
    assert PLUGIN.settings is WechatPaySettings
    assert PLUGIN.emulator().__name__ == "WechatPayEmulator"
    with pytest.raises(ValidationError):
        PLUGIN.settings.parse({"mchid": "1900009191"}, within="platforms.wechatpay")
    assert callable(PLUGIN.build)
    assert Keys() is not None
