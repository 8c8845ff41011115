import pickle

import pytest

from unicom_coupon_sdk import errors, texts
from unicom_coupon_sdk.errors import ConfigurationError, CouponError, Effected, LimitError, PlatformUnknown


def all_errors(kind=CouponError):
    yield kind
    for child in kind.__subclasses__():
        yield from all_errors(child)


@pytest.mark.parametrize("kind", list(all_errors()))
@pytest.mark.parametrize("language", texts.LANGUAGES)
def test_every_class_explains_itself_in_both_languages(kind, language):
    told = kind(platform="wechatpay").diagnostics(language)
    assert told.message != told.code
    assert told.cause
    assert told.remedy


def test_the_text_is_code_message_platform_code_and_request_id():
    error = PlatformUnknown(
        "platform.unknown", platform="wechatpay", platform_code="SYSTEM_ERROR", request_id="08E6-0", reason="no answer"
    )
    assert str(error).startswith("platform.unknown: ")
    assert str(error).endswith("[SYSTEM_ERROR, 08E6-0]")
    assert error.outcome is Effected.UNKNOWN
    assert not error.retryable


def test_codes_are_the_same_in_both_languages_and_words_are_not():
    error = LimitError("limit.exceeded", limit="day")
    with texts.use_language("zh"):
        chinese = str(error)
    with texts.use_language("en"):
        english = str(error)
    assert chinese.partition(":")[0] == english.partition(":")[0] == "limit.exceeded"
    assert chinese != english


def test_an_error_survives_pickling_whole():
    error = ConfigurationError("config.invalid", field="ledger.url", path="a.toml", reason="x")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.code, copy.field, copy.details) == (type(error), error.code, error.field, error.details)


def test_a_code_without_an_entry_reads_as_itself():
    assert errors.CallerError("no.such.code").diagnostics("en").message == "no.such.code"
    assert errors.CallerError("../x.code").diagnostics("en").message == "../x.code"


def test_a_value_that_is_not_given_reads_as_a_question_mark():
    assert "?" in LimitError("limit.single").diagnostics("en").message


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"UNICOM_COUPON_LANG": "zh_CN"}, "zh"),
        ({"LC_ALL": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8"}, "en"),
        ({"LC_ALL": "de_DE.UTF-8"}, "en"),
        ({}, "en"),
    ],
)
def test_the_language_is_chosen_by_setting_then_locale(monkeypatch, environment, language):
    for name in ("UNICOM_COUPON_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert texts.current_language() == language
