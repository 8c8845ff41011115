"""What the bank's error codes mean (sheet §1.9, §1.10, §3.10).

Three families: a definite no, "too busy, nothing done", and "not known". Spellings are the bank's (SYSTERM). A code
that is not listed is a definite no, as the document says of every other failure, unless it names a system error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unicom_coupon_adapters.bank.envelopes.base import Reply
from unicom_coupon_sdk.errors import PlatformError, PlatformRefused, PlatformUnavailable, PlatformUnknown

PLATFORM = "bank"

UNKNOWN = frozenset({"SYSTERM_ERROR", "SYSTERM_MAINTAINING", "SYSTEM_ERROR"})
BUSY = frozenset({"OPERATING_FREQUENTLY"})
NOT_FOUND = frozenset({"ORDERID_NOT_EXIST", "CMBORDERID_NOT_EXIST", "CMB_ORDERID_NOT_EXIST", "OCMBORDERID_NOT_EXIST"})
"""No such order; the document spells it in two ways (sheet §1.12)."""

CODES: Mapping[str, str] = {
    **dict.fromkeys(
        ("SIGN_ERROR", "VERSION_ERROR", "ENCODING_ERROR", "SIGNMETHOD_ERROR", "JSON_FORMAT_ERROR", "POST_DATA_EMPTY",
         "UNDEFINED_PRAM", "FIELD_NOT_ENCRYPTED", "DECRYPT_ERROR"),
        "bank.protocol",
    ),
    **dict.fromkeys(("APPID_INVALID", "APISIGN_ERROR"), "bank.auth"),
    "TIMESTAMP_EXPIRED": "bank.clock",
    **dict.fromkeys(
        ("MERID_NOT_EXIST", "MERID_NOT_LAWFUL", "USERID_NOT_EXIST", "USERID_CHECK_FAILED", "USERID_NOT_LAWFUL"),
        "bank.merchant",
    ),
    **dict.fromkeys(("MERCHANT_NOT_COOPERATED", "STORE_NOT_COOPERATED", "STOREID_NOT_LAWFUL"), "bank.not_cooperating"),
    "COUPON_NOT_EXIST": "bank.coupon_unknown",
    "COUPON_EXPIRED": "bank.coupon_expired",
    "COUPON_NOT_STARTED": "bank.coupon_not_started",
    "COUPON_USED": "bank.coupon_used",
    "COUPON_FROZEN": "bank.coupon_frozen",
    "COUPON_VOID": "bank.coupon_void",
    "COUPON_BANK_MISMATCH": "bank.coupon_other_bank",
    "COUPON_HELD": "bank.coupon_held",
    **dict.fromkeys(("AMOUNT_BELOW_MIN", "AMOUNT_OVER_BALANCE", "TXNAMT_NOT_LAWFUL"), "bank.amount"),
    **dict.fromkeys(("DAY_LIMIT_EXCEEDED", "MCH_DAILY_QUOTA_EXCEED", "TRADEAMOUNT_LIMITED"), "bank.limit"),
    "SMS_TOO_FREQUENT": "bank.sms_too_frequent",
    "SMS_DAY_LIMIT": "bank.sms_day_limit",
    "SMS_WRONG": "bank.sms_wrong",
    "SMS_EXPIRED": "bank.sms_expired",
    "SMS_TOKEN_INVALID": "bank.sms_token",
    "SMS_BINDING_MISMATCH": "bank.sms_binding",
    "SMS_LOCKED": "bank.sms_locked",
    "ORDERID_DUPLICATION": "bank.order_duplicate",
    **dict.fromkeys(("REVERSE_WINDOW_CLOSED", "REVERSE_STATE", "REVERSE_AMOUNT"), "bank.reverse"),
    **dict.fromkeys(NOT_FOUND, "bank.order_unknown"),
    "QUERY_WINDOW_CLOSED": "bank.query_window",
    "BILL_NOT_READY": "bank.bill_not_ready",
    "BILL_NOT_EXIST": "bank.bill_absent",
    **dict.fromkeys(("NOT_ALLOWED", "NOT_ALLOW"), "bank.not_allowed"),
    "ORDER_PAID": "bank.order_paid",
    "UNPAIED_ORDER": "bank.order_unpaid",
    "ORDERID_INVALID": "bank.order_expired",
    "AUTHCODE_NOT_LAWFUL": "bank.payment_code",
    "DEVICEINFO_NOT_LAWFUL": "bank.protocol",
    **dict.fromkeys(
        ("REFUNDAMT_ERROR", "TXNAMT_ERROR", "NOT_ENOUGH", "MCH_EXSRFN_AMOUNT_LESS", "MCH_FORWARD_AMOUNT_LESS"),
        "bank.refund",
    ),
}  # fmt: skip
"""Our code for each of the bank's. What is not here is ``platform.refused`` and keeps the bank's code."""

_NUMBERS = {"attemptsLeft": "attempts_left", "sendLeft": "sends_left"}


def refusal_of(reply: Reply, *, is_write: bool, unknown: frozenset[str] = UNKNOWN) -> PlatformError:
    """The error that a verified failure stands for. ``is_write``: whether "not known" must be asked about later."""
    code = reply.error_code or "UNDEFINED_PRAM"
    told: dict[str, Any] = {"platform": PLATFORM, "platform_code": code}
    told |= {
        ours: int(str(reply.biz[theirs]))
        for theirs, ours in _NUMBERS.items()
        if str(reply.biz.get(theirs, "")).isdigit()
    }
    if code in unknown:
        if is_write:
            return PlatformUnknown("bank.system_error", reason=code, **told)
        return PlatformUnavailable("bank.system_error", reason=code, **told)
    if code in BUSY:
        return PlatformUnavailable("bank.busy", **told)
    wait = str(reply.biz.get("resendAfter", ""))
    retry_after_s = float(wait) if wait.isdigit() else None
    return PlatformRefused(CODES.get(code, "platform.refused"), retry_after_s=retry_after_s, **told)
