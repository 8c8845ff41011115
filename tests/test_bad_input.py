"""What integrators get wrong at two in the morning: each is a clear error that names the field and the remedy."""

import json
import os
import socket
import sqlite3
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from unicom_coupon_sdk import (
    AmountOff,
    BindRequest,
    ConfigurationError,
    CouponClient,
    CouponStateError,
    CouponTemplate,
    Holder,
    IssueRequest,
    LedgerError,
    OperationState,
    Order,
    PlatformError,
    RedeemRequest,
    ScanProof,
    Settings,
    ValidationError,
)
from unicom_coupon_sdk.runtime.clock import OffsetClock
from unicom_coupon_sdk.sandbox import SandboxServer

LANGUAGES = ("zh", "en")


def settings_with(sandbox, **changes):
    settings = sandbox.settings()
    section = {**settings.platforms["wechatpay"], **changes}
    return settings.replaced(
        platforms={"wechatpay": {name: value for name, value in section.items() if value is not None}}
    )


def refusal(sandbox, settings):
    with pytest.raises((ConfigurationError, ValidationError)) as refused:
        CouponClient(settings, transport=sandbox.transport(), clock=sandbox.clock)
    return refused.value


def explains(error, *, field):
    """The error names the field and has a remedy in both languages, and shows no key material."""
    assert error.field is not None
    assert error.field.endswith(field), error.field
    for language in LANGUAGES:
        told = error.diagnostics(language)
        assert told.message != told.code
        assert told.remedy
        assert "BEGIN" not in told.message + told.cause + told.remedy
    return error.code


def test_the_merchants_certificate_pasted_where_the_platforms_belongs(coupon_sandbox):
    credentials = coupon_sandbox.credentials("wechatpay")
    settings = settings_with(
        coupon_sandbox,
        mode="certificate",
        platform_certificates=[f"file:{credentials['merchant_cert_file']}"],
    )
    error = refusal(coupon_sandbox, settings)
    explains(error, field="platform_certificates")


def test_a_certificate_pasted_where_the_private_key_belongs(coupon_sandbox):
    credentials = coupon_sandbox.credentials("wechatpay")
    settings = settings_with(coupon_sandbox, merchant_private_key=f"file:{credentials['merchant_cert_file']}")
    assert explains(refusal(coupon_sandbox, settings), field="merchant_private_key") == "key.is_certificate"


def test_a_private_key_without_its_serial(coupon_sandbox):
    settings = settings_with(coupon_sandbox, merchant_serial=None, merchant_cert=None)
    explains(refusal(coupon_sandbox, settings), field="merchant_serial")


def test_a_public_key_without_its_id(coupon_sandbox):
    settings = settings_with(coupon_sandbox, platform_public_key_id=None)
    explains(refusal(coupon_sandbox, settings), field="platform_public_key_id")


def test_a_key_file_that_is_not_there(coupon_sandbox):
    settings = settings_with(coupon_sandbox, merchant_private_key="file:/nowhere/key.pem")
    error = refusal(coupon_sandbox, settings)
    explains(error, field="merchant_private_key")
    assert "/nowhere/key.pem" in str(error)


def test_a_key_pasted_into_the_settings_is_refused_and_not_shown(coupon_sandbox):
    settings = settings_with(coupon_sandbox, merchant_private_key="-----BEGIN PRIVATE KEY-----\nMIICANARY")
    error = refusal(coupon_sandbox, settings)
    assert "CANARY" not in str(error)
    explains(error, field="merchant_private_key")


def test_an_unknown_setting_is_named(coupon_sandbox):
    settings = settings_with(coupon_sandbox, merchnat_serial="x")
    assert explains(refusal(coupon_sandbox, settings), field="merchnat_serial") == "request.invalid"


def test_an_unknown_platform_in_the_settings(coupon_sandbox):
    settings = coupon_sandbox.settings().replaced(platforms={"wechatpya": {}})
    error = refusal(coupon_sandbox, settings)
    assert explains(error, field="platform") == "adapter.unknown"
    assert "wechatpay" in error.diagnostics("en").cause


@pytest.fixture
def ready(coupon_sandbox, coupon_client):
    """A coupon with its holder, and its client."""
    now = coupon_sandbox.clock.now()
    template = CouponTemplate(
        template_id="BAD",
        name="测试",
        benefit=AmountOff(off_fen=500),
        valid_from=now - timedelta(days=1),
        valid_until=now + timedelta(days=1),
        platforms={"wechatpay"},
    )
    coupon = coupon_client.issue(IssueRequest(idempotency_key="i", template=template, count=1)).coupons[0]
    holder = Holder(user="oBadInputHolder", phone="13800138000")
    coupon_client.bind(BindRequest(coupon=coupon.code, platform="wechatpay", holder=holder))
    return coupon


def wish(client, held, **changes):
    plain = {
        "idempotency_key": "k",
        "platform": "wechatpay",
        "coupon": held.code,
        "order": Order(order_no="A1", amount_fen=1_000),
        "proof": ScanProof(token=client.show(held.coupon_id)),
    }
    return RedeemRequest(**{**plain, **changes})


def test_an_unknown_platform_in_a_request(coupon_client, ready):
    with pytest.raises(ConfigurationError) as refused:
        coupon_client.redeem(wish(coupon_client, ready, platform="alipya"))
    assert explains(refused.value, field="platform") == "platform.not_configured"


def test_an_amount_in_yuan_with_decimals():
    with pytest.raises(ValidationError) as refused:
        Order(order_no="A1", amount_fen=12.34)
    assert explains(refused.value, field="amount_fen") == "money.not_fen"
    assert "1234" in refused.value.diagnostics("en").remedy


def test_an_expired_code(coupon_sandbox, coupon_client, ready):
    coupon_sandbox.control.advance(2 * 86_400)
    with pytest.raises(CouponStateError) as refused:
        coupon_client.redeem(wish(coupon_client, ready))
    assert explains(refused.value, field="coupon") == "coupon.expired"


def test_a_foreign_code(coupon_client, ready):
    with pytest.raises(CouponStateError) as refused:
        coupon_client.redeem(wish(coupon_client, ready, coupon="SOMEBODYELSES123456"))
    assert explains(refused.value, field="coupon") == "coupon.unknown"
    assert "SOMEBODY" not in str(refused.value)


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_clock_six_minutes_off_is_refused_and_said(coupon_sandbox, ready, minutes):
    offset = coupon_sandbox.clock.now() - OffsetClock().now()
    clock = OffsetClock(offset=offset + timedelta(minutes=minutes))
    with CouponClient(coupon_sandbox.settings(), transport=coupon_sandbox.transport(), clock=clock) as client:
        redemption = client.redeem(wish(client, ready))
        findings = {finding.code: finding.state.value for finding in client.diagnose("wechatpay")}
    # The platform refused it for the time in the signature, but by our clock its answer is not fresh either: with a
    # clock that is off nothing can be believed, and the outcome is not known until it is set.
    assert redemption.state is OperationState.UNKNOWN
    told = PlatformError(redemption.error_code).diagnostics("en")
    assert "clock" in told.remedy
    assert findings["wechatpay.check_clock"] == "fail"


def test_a_port_in_use_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError) as refused, SandboxServer(tmp_path, port_base=port):
            pass
    assert refused.value.code == "sandbox.port_in_use"
    assert str(port) in str(refused.value)


def ledger_refusal(sandbox, url):
    settings = sandbox.settings()
    settings = settings.replaced(ledger=settings.ledger.replaced(url=url))
    with pytest.raises((LedgerError, ConfigurationError)) as refused:
        CouponClient(settings, transport=sandbox.transport(), clock=sandbox.clock)
    for language in LANGUAGES:
        assert refused.value.diagnostics(language).remedy
    return refused.value.code


@pytest.mark.skipif(
    os.name != "posix" or (not hasattr(os, "chflags") and os.geteuid() == 0), reason="root writes anywhere"
)
def test_a_read_only_ledger(coupon_sandbox, tmp_path):
    file = tmp_path / "ledger.db"
    file.touch()
    file.chmod(0o400)
    assert ledger_refusal(coupon_sandbox, f"sqlite:///{file}") == "ledger.read_only"


def test_a_ledger_opened_read_only(coupon_sandbox, tmp_path):
    file = tmp_path / "ledger.db"
    sqlite3.connect(file).close()
    assert ledger_refusal(coupon_sandbox, f"sqlite:///file:{file}?mode=ro&uri=true") == "ledger.read_only"


def test_a_ledger_of_a_newer_version(coupon_sandbox, coupon_client, tmp_path):
    file = tmp_path / "ledger.db"
    settings = coupon_sandbox.settings()
    settings = settings.replaced(ledger=settings.ledger.replaced(url=f"sqlite:///{file}"))
    CouponClient(settings, transport=coupon_sandbox.transport(), clock=coupon_sandbox.clock).close()
    with sqlite3.connect(file) as database:
        database.execute("UPDATE unicom_coupon_version SET version_num = '9999'") if _has(
            database, "unicom_coupon_version"
        ) else database.execute(f"UPDATE {_version_table(database)} SET version_num = '9999'")
    database.close()
    assert ledger_refusal(coupon_sandbox, f"sqlite:///{file}") == "ledger.newer"


def _has(database, table):
    return database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None


def _version_table(database):
    names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return next(name for name in names if "version" in name)


def test_a_file_that_is_no_ledger(coupon_sandbox, tmp_path):
    file = tmp_path / "ledger.db"
    file.write_bytes(b"this is not a database at all, not even close to one" * 100)
    assert ledger_refusal(coupon_sandbox, f"sqlite:///{file}") == "ledger.not_a_ledger"


def test_a_master_key_that_is_no_key(coupon_sandbox, tmp_path):
    (tmp_path / "key").write_text("CANARYCANARY", encoding="ascii")
    settings = coupon_sandbox.settings()
    settings = settings.replaced(ledger=settings.ledger.replaced(master_key=f"file:{tmp_path / 'key'}"))
    error = refusal(coupon_sandbox, settings)
    assert explains(error, field="master_key") == "ledger.master_key"
    assert "CANARY" not in str(error)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("not toml [", "config.unreadable"),
        ("[ledger]\nurl = 'sqlite://'\n", "config.invalid"),
        ("[ledger]\nmaster_key = 'CANARY'\n", "config.invalid"),
        ("[shop]\nname = 'x'\n", "config.invalid"),
    ],
)
def test_a_settings_file_that_is_wrong(tmp_path, text, code):
    file = tmp_path / "unicom-coupon.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        Settings.load(file, environment={})
    assert refused.value.code == code
    assert str(file) in str(refused.value)
    assert "CANARY" not in str(refused.value)


def test_a_settings_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigurationError, match=r"config\.missing"):
        Settings.load(tmp_path / "none.toml", environment={})


def test_the_environment_wins_over_the_file(tmp_path):
    file = tmp_path / "unicom-coupon.toml"
    file.write_text("[ledger]\nurl = 'sqlite:///a.db'\nmaster_key = 'env:KEY'\n", encoding="utf-8")
    environment = {
        "UNICOM_COUPON_CONFIG": str(file),
        "UNICOM_COUPON__LEDGER__URL": "sqlite:///b.db",
        "UNICOM_COUPON__MERCHANT__CONTRACTS": '["wechatpay-advance"]',
    }
    settings = Settings.load(environment=environment)
    assert settings.ledger.url == "sqlite:///b.db"
    assert settings.merchant.contracts == frozenset({"wechatpay-advance"})


def test_the_command_says_it_in_both_languages_with_its_exit_code(tmp_path):
    from unicom_coupon_sdk.cli import verbs  # noqa: F401
    from unicom_coupon_sdk.cli.app import app

    missing = str(tmp_path / "none.toml")
    for language, word in (("zh", "处理办法"), ("en", "What to do")):
        result = CliRunner().invoke(app, ["recover", "--config", missing, "--lang", language])
        assert result.exit_code == 3
        assert word in result.stderr
    result = CliRunner().invoke(app, ["recover", "--config", missing, "--json"])
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"]["code"] == "config.missing"
