"""Alipay's codes as our errors (sheet §6.3, §6.4).

A definite answer is believed only from a verified message, so this table is asked last. Sub-codes come in several
spellings (``ACQ.``, ``isv.``, ``isp.``, ``aop.``, bare, kebab-case in v3): they are compared in one. A code that is
not in the table falls back to its family, and keeps its own text as ``platform_code``.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Any

from unicom_coupon_sdk.errors import PlatformError, PlatformRefused, PlatformUnavailable, PlatformUnknown

SUCCESS = "10000"
_UNKNOWN = "20000"
BUSY_PAUSE_S = 1.0
"""How long to wait after "call limited", in seconds: the sheet advises at least one."""


class Meaning(Enum):
    """What a code says about the call."""

    REFUSED = "refused"  # definitely not done, and repeating it as it is will not help
    BUSY = "busy"  # definitely not done, later it may be
    OPEN = "open"  # it may have been done


_BY_SUB_CODE: dict[str, tuple[Meaning, str]] = {
    **dict.fromkeys(
        (
            "SYSTEM_ERROR",
            "UNKNOW_ERROR",
            "UNKNOWN_ERROR",
            "UNKNOWN_EXCEPTION",
            "REQUEST_PROCESSING",
            "TRANS_ORDER_DEALING",
            "PROMO_TRANS_ORDER_DEALING",
            "BANK_RESPONSE_ERROR",
            "UNKNOW_SYSTEM_ERROR",
        ),
        (Meaning.OPEN, "alipay.system_error"),
    ),
    # The number was used before with other parameters: an earlier request of ours may have been done.
    **dict.fromkeys(
        (
            "DISCORDANT_REPEAT_REQUEST",
            "CONTEXT_INCONSISTENT",
            "PAYMENT_INFO_INCONSISTENCY",
            "BIZ_UNIQUE_EXCEPTION",
            "REP_INCONSISTENT",
            "DUP_OUT_REQUEST_NO",
        ),
        (Meaning.OPEN, "alipay.number_reused"),
    ),
    **dict.fromkeys(
        (
            "APP_CALL_LIMITED",
            "METHOD_CALL_LIMITED",
            "EXCEED_API_BALANCE",
            "RESOURCE_LIMIT_EXCEED",
            "FREQUENCY_LIMITED",
            "CALL_TOO_FREQUENCY",
        ),
        (Meaning.BUSY, "alipay.busy"),
    ),
    "INVALID_SIGNATURE": (Meaning.REFUSED, "alipay.our_signature"),
    "MISSING_SIGNATURE_CONFIG": (Meaning.REFUSED, "alipay.our_signature"),
    "MISSING_SIGNATURE_KEY": (Meaning.REFUSED, "alipay.our_signature"),
    **dict.fromkeys(("INVALID_APP_ID", "MISSING_APP_ID"), (Meaning.REFUSED, "alipay.app_id")),
    **dict.fromkeys(("INVALID_TIMESTAMP", "ILLEGAL_TIMESTAMP", "MISSING_TIMESTAMP"), (Meaning.REFUSED, "alipay.clock")),
    **dict.fromkeys(
        ("APP_CERT_NOT_EXIST", "APP_CERT_EXPIRED", "INVALID_ALIPAY_ROOT_CERT_SN", "MISSING_APP_CERT_SN"),
        (Meaning.REFUSED, "alipay.certificate"),
    ),
    "ILLEGAL_CLIENT_IP": (Meaning.REFUSED, "alipay.client_ip"),
    **dict.fromkeys(
        (
            "INSUFFICIENT_ISV_PERMISSIONS",
            "INSUFFICIENT_USER_PERMISSIONS",
            "FORBIDDEN_API",
            "APP_API_PUNISHED",
            "SEVICE_NOT_BEEN_SUBSCRIBED_TO",
            "ACCESS_FORBIDDEN",
            "INVALID_AUTH_RELATIONS",
        ),
        (Meaning.REFUSED, "alipay.permission"),
    ),
    **dict.fromkeys(
        (
            "INVALID_AUTH_TOKEN",
            "AUTH_TOKEN_TIME_OUT",
            "INVALID_APP_AUTH_TOKEN",
            "INVALID_APP_AUTH_TOKEN_NO_API",
            "APP_AUTH_TOKEN_TIME_OUT",
            "NO_PRODUCT_REG_BY_PARTNER",
        ),
        (Meaning.REFUSED, "alipay.token"),
    ),
    **dict.fromkeys(
        ("MISSING_ENCRYPT_KEY", "DECRYPTION_ERROR_MISSING_ENCRYPT_TYPE", "INVALID_ENCRYPT_TYPE"),
        (Meaning.REFUSED, "alipay.encryption"),
    ),
    **dict.fromkeys(
        (
            "BUSINESS_HAS_RISK",
            "PAYMENT_REQUEST_HAS_RISK",
            "MERCHANT_RISK_LIMIT",
            "CTU_HAS_RISK",
            "USER_RISK_FREEZE",
            "RECEIVER_USER_RISK_FREEZE",
            "SECURITY_CHECK_FAILED",
            "RISK_MERCHANT_IP_NOT_EXIST",
            "RISK_SETTLE_SUSPEND",
            "SUSPECTED_ATTACK",
            "JUDICIAL_FREEZE",
            "PERMIT_LIMIT_PAYEE",
        ),
        (Meaning.REFUSED, "alipay.risk"),
    ),
    **dict.fromkeys(
        ("ACTIVITY_NOT_PERMISSION", "MERCHANT_RELATION_NOT_EXIST"), (Meaning.REFUSED, "alipay.activity_permission")
    ),
    **dict.fromkeys(
        ("ACTIVITY_NOT_EXIST", "ACTIVITY_STATUS_NOT_ACTIVE", "ACTIVITY_OVERDUE", "ACTIVITY_EXPIRED"),
        (Meaning.REFUSED, "alipay.activity_state"),
    ),
    "VOUCHER_NOT_EXIST": (Meaning.REFUSED, "alipay.voucher_unknown"),
    "BIZ_ERROR": (Meaning.REFUSED, "alipay.business"),
    **dict.fromkeys(("INVALID_PARAMETER", "REQUEST_PARAM_ILLEGAL"), (Meaning.REFUSED, "alipay.parameter")),
    # Bills (§4).
    "NO_BILL_DATA": (Meaning.REFUSED, "alipay.no_bill"),
    "BILL_NOT_EXIST": (Meaning.REFUSED, "alipay.bill_missing"),
    **dict.fromkeys(
        ("INVAILID_ARGUMENTS", "TYPE_NOT_SUPPORTED", "BILL_DATE_BEFORE_REGISTRATION"),
        (Meaning.REFUSED, "alipay.parameter"),
    ),
    # Pay-outs (§3.1).
    "ORDER_NOT_EXIST": (Meaning.REFUSED, "alipay.transfer_missing"),
    **dict.fromkeys(
        (
            "PAYER_BALANCE_NOT_ENOUGH",
            "BALANCE_IS_NOT_ENOUGH",
            "BALANCE_NOT_ENOUGH",
            "PAYMENT_MONEY_NOT_ENOUGH",
            "TXN_RESULT_ACCOUNT_BALANCE_NOT_ENOUGH",
            "SELLER_BALANCE_NOT_ENOUGH",
        ),
        (Meaning.REFUSED, "alipay.funds"),
    ),
    **dict.fromkeys(
        (
            "PAYEE_NOT_EXIST",
            "PAYEE_ACCOUNT_NOT_EXSIT",
            "PAYEE_USERINFO_ERROR",
            "PAYEE_ACC_OCUPIED",
            "PAYEE_CERT_INFO_ERROR",
            "PAYEE_CARD_INFO_ERROR",
            "CARD_BIN_ERROR",
            "INVALID_CARDNO",
        ),
        (Meaning.REFUSED, "alipay.payee"),
    ),
    **dict.fromkeys(
        (
            "PAYEE_ACCOUNT_STATUS_ERROR",
            "PAYEE_USERINFO_STATUS_ERROR",
            "PAYEE_NOT_RELNAME_CERTIFY",
            "PERM_AML_NOT_REALNAME_REV",
            "PERMIT_NON_BANK_LIMIT_PAYEE",
            "BLOCK_USER_FORBBIDEN_RECIEVE",
            "NO_ACCOUNT_RECEIVE_PERMISSION",
        ),
        (Meaning.REFUSED, "alipay.payee_status"),
    ),
    **dict.fromkeys(
        (
            "TRANSFER_SCENE_NAME_BLANK",
            "TRANSFER_SCENE_NAME_ILLEGAL",
            "TRANSFER_SCENE_REPORT_INFO_ILLEGAL",
            "TRANSFER_SCENE_INFO_ADMIT_FAIL",
        ),
        (Meaning.REFUSED, "alipay.transfer_scene"),
    ),
    "MEMO_REQUIRED_IN_TRANSFER_ERROR": (Meaning.REFUSED, "alipay.remark_needed"),
    **dict.fromkeys(
        (
            "PRODUCT_NOT_SIGN",
            "PRODUCT_UNSIGN",
            "NO_ACCOUNT_PAYMENT_PERMISSION",
            "NO_PERMISSION_ACCOUNT",
            "NO_ORDER_PERMISSION",
            "MRCHPROD_QUERY_ERROR",
            "ISV_AUTH_ERROR",
            "NOT_IN_WHITE_LIST",
            "NOT_SUPPORT_ROYALTY",
        ),
        (Meaning.REFUSED, "alipay.contract"),
    ),
    # Profit sharing (§3.2).
    **dict.fromkeys(
        ("TRADE_NOT_EXIST", "MERCHANT_TRADE_NOT_MATCH"),
        (Meaning.REFUSED, "alipay.trade_unknown"),
    ),
    **dict.fromkeys(
        (
            "TRADE_STATUS_ERROR",
            "ALREADY_FINISH_ALLOC",
            "ALLOC_REFUSE_AFTER_REFUND",
            "ALLOC_REFUSE_BEFORE_SETTLE",
            "MUST_ALLOC_FROM_ROOT_ACCOUNT",
        ),
        (Meaning.REFUSED, "alipay.share_state"),
    ),
    **dict.fromkeys(
        ("ALLOC_AMOUNT_VALIDATE_ERROR", "RELATION_QUANTITY_LIMIT", "RECEIVER_LIST_OVERLOAD"),
        (Meaning.REFUSED, "alipay.share_limit"),
    ),
    **dict.fromkeys(
        (
            "ROYALTY_RECEIVER_INVALID",
            "ROYALTY_ACCOUNT_NOT_EXIST",
            "ROYALTY_ACCOUNT_NAME_NOT_MATCH",
            "USER_ACCOUNT_HAD_FREEZEN",
            "USER_NOT_EXIST",
            "INVALID_RECEIVER_TYPE",
            "USERNAME_NOT_MATCH",
            "OPENID_APPID_NOT_MATCH",
            "RECEIVER_LIST_EMPTY",
        ),
        (Meaning.REFUSED, "alipay.receiver"),
    ),
    **dict.fromkeys(
        ("CODE_INVALID", "GRANT_TYPE_INVALID", "REFRESH_TOKEN_INVALID", "REFRESH_TOKEN_TIME_OUT", "UNMATCHED_APP_ID"),
        (Meaning.REFUSED, "alipay.login_code"),
    ),
}

_BY_FORM: tuple[tuple[re.Pattern[str], tuple[Meaning, str]], ...] = (
    (re.compile(r"EXCEED_LIMIT_.+|PERM_PAY_.+_QUOTA_.+"), (Meaning.REFUSED, "alipay.transfer_limit")),
    (re.compile(r"PERMIT_CHECK_PERM_.+|FLEXIBLE_STAFFING_.+_RISK_.+"), (Meaning.REFUSED, "alipay.risk")),
    (re.compile(r"ROYALTY_.+_NOT_CERTIFY|RECEIVER_ACCOUNT_.+"), (Meaning.REFUSED, "alipay.receiver")),
    (re.compile(r"DECRYPTION_ERROR.*"), (Meaning.REFUSED, "alipay.encryption")),
)
"""Families of sub-codes that the sheet names by their form."""

BEFORE_BUSINESS = frozenset(
    {
        "alipay.our_signature", "alipay.app_id", "alipay.clock", "alipay.certificate", "alipay.client_ip",
        "alipay.permission", "alipay.token", "alipay.encryption",
    }
)  # fmt: skip
"""Our codes for what the gateway refuses before any business is looked at: keys, clock, rights."""

_BY_CODE: dict[str, tuple[Meaning, str]] = {
    "10003": (Meaning.OPEN, "alipay.waiting_for_buyer"),
    "20000": (Meaning.OPEN, "alipay.system_error"),
    "20001": (Meaning.REFUSED, "alipay.token"),
    "40001": (Meaning.REFUSED, "alipay.parameter"),
    "40002": (Meaning.REFUSED, "alipay.parameter"),
    "40003": (Meaning.REFUSED, "alipay.permission"),
    "40004": (Meaning.REFUSED, "alipay.business"),
    "40005": (Meaning.BUSY, "alipay.busy"),
    "40006": (Meaning.REFUSED, "alipay.permission"),
}

_PREFIX = re.compile(r"^(?:acq|aqc|isv|isp|aop)\.", re.IGNORECASE)


def plain(sub_code: str) -> str:
    """One spelling for a sub-code: no prefix, capitals, underscores. ``isv.invalid-app-id`` → ``INVALID_APP_ID``."""
    return _PREFIX.sub("", sub_code.strip()).upper().replace("-", "_").replace(".", "_")


def meaning_of(code: str, sub_code: str, *, status: int = 200) -> tuple[Meaning, str]:
    """What a failure means, and our code for it. ``status`` (HTTP) decides in v3 where the code is not known.

    20000 leaves it open whatever stands beside it; so does a code of a family that the sheet does not have.
    """
    sub = plain(sub_code)
    if code == _UNKNOWN:
        return _BY_CODE[code]
    known = _BY_SUB_CODE.get(sub)
    if known is not None:
        return known
    for form, meaning in _BY_FORM:
        if form.fullmatch(sub):
            return meaning
    if code in _BY_CODE:
        return _BY_CODE[code]
    if status == 429:
        return Meaning.BUSY, "alipay.busy"
    if status >= 500 or (code and not code.startswith("4")):
        return Meaning.OPEN, "alipay.system_error"
    return Meaning.REFUSED, "alipay.business"


def error_of(
    code: str, sub_code: str, *, is_write: bool, status: int = 200, trace_id: str | None = None, reason: str = ""
) -> PlatformError:
    """The error that a verified failure stands for.

    A call that may have been done is ``PlatformUnknown`` for a write; a read has no effect, so for a read it is
    ``PlatformUnavailable``. ``reason`` holds no value of the request.
    """
    meaning, ours = meaning_of(code, sub_code, status=status)
    told: dict[str, Any] = {"platform": "alipay", "platform_code": sub_code or code, "request_id": trace_id}
    if meaning is Meaning.REFUSED:
        return PlatformRefused(ours, **told, reason=reason)
    if meaning is Meaning.BUSY:
        return PlatformUnavailable(ours, **told, retry_after_s=BUSY_PAUSE_S, reason=reason)
    return untrusted(ours, is_write=is_write, platform_code=sub_code or code, trace_id=trace_id, reason=reason)


def untrusted(
    ours: str, *, is_write: bool, platform_code: str | None = None, trace_id: str | None = None, reason: str = ""
) -> PlatformError:
    """The error for an answer that settles nothing: unknown for a write, not done for a read."""
    kind = PlatformUnknown if is_write else PlatformUnavailable
    return kind(ours, platform="alipay", platform_code=platform_code, request_id=trace_id, reason=reason)
