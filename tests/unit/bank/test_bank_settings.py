"""Settings, credentials, profile, compliance and the declared envelopes: what is found before anything is sent."""

from datetime import UTC, datetime

import pytest

from unicom_coupon_adapters.bank import PROFILE, BankAdapter, BankSettings, messages
from unicom_coupon_adapters.bank.compliance import SHIM
from unicom_coupon_adapters.bank.emulation.keys import sm2_pair
from unicom_coupon_adapters.bank.envelopes import ExperimentalEnvelope, Reply
from unicom_coupon_adapters.bank.outcomes import instant_or_none, outcome_of
from unicom_coupon_adapters.bank.refusals import refusal_of
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.limits import Subject, Window
from unicom_coupon_sdk.domain.sensitive import OneTimeCode, Secret
from unicom_coupon_sdk.domain.settlement import Cycle, DayCount
from unicom_coupon_sdk.domain.verification import Method
from unicom_coupon_sdk.errors import (
    ComplianceError,
    ConfigurationError,
    Effected,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    UnsupportedOperation,
    ValidationError,
)

NOW = datetime(2026, 5, 20, tzinfo=UTC)


def settings(**changes):
    facts = {
        "app_id": "app",
        "app_secret": Secret("secret"),
        "mer_id": "3089991701207X7",
        "user_id": "N003109945",
        "merchant_private_key": Secret("D5F2AFA24E6BA9071B54A8C9AD735F9A1DE9C4657FA386C09B592694BC118B38"),
        "bank_public_keys": (Secret(sm2_pair("bank").public_key.pem.decode()),),
    }
    return BankSettings(**{**facts, **changes})


def test_the_profile_has_the_fixed_limit_and_working_days():
    (limit,) = PROFILE.limits
    assert (limit.subject, limit.window, limit.max_fen) == (Subject.HOLDER, Window.DAY, 5_000_000)
    (terms,) = PROFILE.settlement
    assert (terms.cycle, terms.days) == (Cycle.T_1, DayCount.WORKING)
    assert PROFILE.methods == (Method.SMS,)


def test_good_settings_make_an_adapter():
    assert BankAdapter(settings(), Keys.default()).profile.hosts == ("api.cmbchina.com",)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"app_secret": None}, "bank.key_missing"),
        ({"bank_public_keys": ()}, "bank.key_missing"),
        ({"bank": "icbc"}, "bank.key_missing"),
        ({"base_url": "http://api.cmbchina.com"}, "bank.base_url"),
        ({"base_url": "https://api.cmbchina.com/polypay"}, "bank.base_url"),
        ({"base_url": "https://cmbchina.com.evil.example"}, "bank.host"),
        ({"notify_url": "http://shop.example/n"}, "bank.notify_url"),
        ({"merchant_private_key": "D5F2"}, "key.reference"),
    ],
)
def test_what_is_wrong_is_named_when_settings_are_made(changes, code):
    with pytest.raises(ValidationError) as refused:
        settings(**changes)
    assert refused.value.code == code


def test_a_host_may_be_declared():
    assert settings(base_url="https://bank.intern.example", domestic_hosts=("bank.intern.example",)).host


def test_our_own_public_key_in_the_banks_place_is_found():
    own = Secret(sm2_pair("merchant").public_key.pem.decode())
    with pytest.raises(ConfigurationError, match=r"bank\.own_public_key"):
        BankAdapter(settings(bank_public_keys=(own,)), Keys.default())


@pytest.mark.parametrize("bank", ["ccb", "boc", "abc"])
def test_an_experimental_bank_refuses_every_call_before_any_request(bank):
    adapter = BankAdapter(settings(bank=bank), Keys.default())
    assert adapter.profile.experimental
    assert adapter.profile.capabilities == frozenset()
    with pytest.raises(UnsupportedOperation, match=r"bank\.experimental"):
        adapter.gateway.envelope.build(messages.VERIFY.call({**_who(), "couponCode": "x"}), now=NOW, entropy=b"")
    assert isinstance(adapter.gateway.envelope, ExperimentalEnvelope)


def test_a_one_time_code_is_sent_encrypted_and_never_kept_or_logged():
    refs = {"smsCode": "1", "smsToken": "2", "couponCode": "3", "mobile": "4", "cmbOrderId": "5"}
    assert SHIM.kept(refs) == {"cmbOrderId": "5"}
    assert SHIM.loggable(refs) == {"cmbOrderId": "5"}
    with pytest.raises(ComplianceError):
        SHIM.outgoing({"idNo": "1"})
    body = {**_who(), "orderId": "1", "couponCode": "c", "txnAmt": "1", "smsToken": "t"}
    call = messages.REDEEM.call(body, sealed={"encryptSms": {"smsCode": OneTimeCode("135246")}})
    request = BankAdapter(settings(), Keys.default()).gateway.envelope.build(call, now=NOW, entropy=bytes(16))
    assert b"135246" not in request.content
    assert b"smsCode" not in request.content
    assert "135246" not in repr(call) + repr(request)


@pytest.mark.parametrize("body", [{"couponCode": "x" * 21}, {"smsCode": "123456", "couponCode": "x"}, {}])
def test_a_call_takes_its_listed_fields_and_no_others(body):
    with pytest.raises(ValidationError):
        messages.VERIFY.call({**_who(), **body})


@pytest.mark.parametrize(
    ("code", "is_write", "kind"),
    [
        ("COUPON_USED", True, PlatformRefused),
        ("SOMETHING_NEW", True, PlatformRefused),
        ("SYSTERM_ERROR", True, PlatformUnknown),
        ("SYSTERM_MAINTAINING", True, PlatformUnknown),
        ("SYSTERM_ERROR", False, PlatformUnavailable),
        ("OPERATING_FREQUENTLY", True, PlatformUnavailable),
    ],
)
def test_each_family_of_codes_means_one_thing(code, is_write, kind):
    error = refusal_of(Reply({}, error_code=code), is_write=is_write)
    assert type(error) is kind
    assert error.platform_code == code


def test_the_limit_has_the_banks_name_and_ours():
    codes = ("DAY_LIMIT_EXCEEDED", "MCH_DAILY_QUOTA_EXCEED")
    assert {refusal_of(Reply({}, error_code=code), is_write=True).code for code in codes} == {"bank.limit"}


@pytest.mark.parametrize(
    ("biz", "effected"),
    [
        ({"tradeState": "S", "orderId": "N", "txnAmt": "5"}, Effected.DONE),
        ({"reverseState": "S", "orderId": "N"}, Effected.DONE),
        ({"tradeState": "F", "errCode": "COUPON_USED"}, Effected.NOT_DONE),
        ({"tradeState": "R"}, Effected.NOT_DONE),
        ({"tradeState": "P"}, Effected.UNKNOWN),
        ({"tradeState": "?"}, Effected.UNKNOWN),
        ({}, Effected.UNKNOWN),
    ],
)
def test_a_state_is_a_verdict(biz, effected):
    assert outcome_of(Reply(biz), state_field="reverseState", number="N", amount_fen=5).effected is effected


@pytest.mark.parametrize("biz", [{"orderId": "OLD"}, {"orderId": "N", "txnAmt": "6"}, {}])
def test_a_success_of_another_order_is_no_answer(biz):
    with pytest.raises(PlatformUnknown, match=r"bank\.answer_other"):
        outcome_of(Reply({"tradeState": "S", **biz}), state_field="tradeState", number="N", amount_fen=5)


@pytest.mark.parametrize("text", [None, "", "2026", "20261399000000", "2026052001000x"])
def test_a_time_that_cannot_be_read_is_none(text):
    assert instant_or_none(text) is None


def test_the_banks_times_are_beijings():
    assert instant_or_none("20260520080000") == datetime(2026, 5, 20, tzinfo=UTC)


def _who():
    return {"merId": "M", "userId": "U", "reqNo": "R"}
