"""The code table: one spelling, words for every code, and safety where a code is not known."""

import pytest

from unicom_coupon_adapters.alipay import codes
from unicom_coupon_adapters.alipay.codes import Meaning, error_of, meaning_of, plain
from unicom_coupon_sdk import texts
from unicom_coupon_sdk.errors import PlatformUnavailable, PlatformUnknown


@pytest.mark.parametrize(
    "spelling", ["isv.invalid-app-id", "INVALID_APP_ID", "invalid-app-id", "ACQ.INVALID_APP_ID", " isp.invalid-app-id "]
)
def test_every_spelling_of_a_sub_code_is_one(spelling):
    assert plain(spelling) == "INVALID_APP_ID"


OURS = (*codes._BY_SUB_CODE.values(), *codes._BY_CODE.values(), *(meaning for _, meaning in codes._BY_FORM))


@pytest.mark.parametrize("code", sorted({ours for _, ours in OURS}))
def test_every_code_in_the_tables_has_its_words(code):
    entry = texts.find(code)
    assert entry is not None
    assert all(entry[language]["remedy"] for language in texts.LANGUAGES)


@pytest.mark.parametrize("sub_code", sorted(codes._BY_SUB_CODE))
def test_the_table_is_keyed_by_the_one_spelling(sub_code):
    assert plain(sub_code) == sub_code


@pytest.mark.parametrize(
    ("code", "sub_code", "status", "meaning"),
    [
        ("20000", "", 200, Meaning.OPEN),
        ("20000", "isv.invalid-signature", 200, Meaning.OPEN),
        ("29999", "NEW", 200, Meaning.OPEN),
        ("30000", "NEW", 200, Meaning.OPEN),
        ("40004", "AQC.SYSTEM_ERROR", 200, Meaning.OPEN),
        ("40004", "ACQ.SYSTEM_ERROR", 200, Meaning.OPEN),
        ("40004", "NEW", 200, Meaning.REFUSED),
        ("40005", "NEW", 200, Meaning.BUSY),
        ("", "decryption-error-new", 400, Meaning.REFUSED),
        ("", "new", 429, Meaning.BUSY),
        ("", "new", 500, Meaning.OPEN),
        ("", "new", 403, Meaning.REFUSED),
        ("40004", "BUSINESS_HAS_RISK", 200, Meaning.REFUSED),
        ("40004", "REQUEST_PROCESSING", 200, Meaning.OPEN),
        ("40004", "ACQ.DISCORDANT_REPEAT_REQUEST", 200, Meaning.OPEN),
        ("40004", "RESOURCE_LIMIT_EXCEED", 200, Meaning.BUSY),
        ("40004", "PERM_PAY_CUSTOMER_DAY_QUOTA_ORG_BALANCE_LIMIT", 200, Meaning.REFUSED),
    ],
)
def test_an_unknown_code_falls_back_to_its_family(code, sub_code, status, meaning):
    assert meaning_of(code, sub_code, status=status)[0] is meaning


@pytest.mark.parametrize(
    ("sub_code", "ours"),
    [
        ("EXCEED_LIMIT_SM_MIN_AMOUNT", "alipay.transfer_limit"),
        ("PERM_PAY_CUSTOMER_DAY_QUOTA_ORG_BALANCE_LIMIT", "alipay.transfer_limit"),
        ("PERMIT_CHECK_PERM_IDENTITY_THEFT", "alipay.risk"),
        ("FLEXIBLE_STAFFING_PAYEE_RISK_REJECT", "alipay.risk"),
        ("ACQ.ROYALTY_ACCOUNT_NOT_CERTIFY", "alipay.receiver"),
        ("RECEIVER_ACCOUNT_STATUS_ERROR", "alipay.receiver"),
    ],
)
def test_families_of_codes_are_told_by_their_form(sub_code, ours):
    assert meaning_of("40004", sub_code) == (Meaning.REFUSED, ours)


def test_what_may_have_been_done_is_unknown_for_a_write_alone():
    assert isinstance(error_of("20000", "", is_write=True), PlatformUnknown)
    assert isinstance(error_of("20000", "", is_write=False), PlatformUnavailable)


def test_an_error_keeps_the_platforms_own_code_and_trace():
    error = error_of("40004", "NEVER_HEARD_OF", is_write=True, trace_id="0b46")
    assert (error.platform, error.platform_code, error.request_id) == ("alipay", "NEVER_HEARD_OF", "0b46")
