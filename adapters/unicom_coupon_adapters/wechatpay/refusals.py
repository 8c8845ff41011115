"""What WeChat Pay's error answers mean: by HTTP status first, then by code, never by message (sheet 6).

An error answer is unsigned as a rule, and every official client reads it unverified. What it may prove is decided here:

- A 4xx in the platform's own envelope, received over verified TLS, proves that the request was refused and nothing was
  done: only the platform, or whoever holds its TLS key, can send it. (Signature headers, where present, are checked
  by the gateway before this is asked.)
- 429 says that the request was not looked at; it may be sent again.
- A 5xx to a write proves nothing: the work may be done. The same number is repeated, and in the end it is unknown.
- An answer without the envelope is somebody's between us and the platform, and proves nothing about a write either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pydantic_core

from unicom_coupon_sdk.errors import PlatformError, PlatformRefused, PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.platform.wire import HttpAnswer

PLATFORM = "wechatpay"

CODES: Mapping[tuple[int, str], str] = {
    (400, "PARAM_ERROR"): "wechatpay.param_error",
    (400, "INVALID_REQUEST"): "wechatpay.invalid_request",
    (400, "APPID_MCHID_NOT_MATCH"): "wechatpay.appid_not_bound",
    (400, "MCH_NOT_EXISTS"): "wechatpay.merchant_unknown",
    (400, "ALREADY_EXISTS"): "wechatpay.already_exists",
    (400, "OPENID_MISMATCH"): "wechatpay.openid_mismatch",
    (400, "ORDER_CLOSED"): "wechatpay.order_closed",
    (400, "NO_STATEMENT_EXIST"): "wechatpay.no_statement",
    (401, "SIGN_ERROR"): "wechatpay.sign_error",
    (403, "NO_AUTH"): "wechatpay.no_auth",
    (403, "NOAUTH"): "wechatpay.no_auth",
    (403, "RULE_LIMIT"): "wechatpay.rule_limit",
    (403, "RULELIMIT"): "wechatpay.rule_limit",
    (403, "NOT_ENOUGH"): "wechatpay.not_enough",
    (403, "ACCOUNT_ERROR"): "wechatpay.account_error",
    (403, "TRADE_ERROR"): "wechatpay.trade_error",
    (403, "OUT_TRADE_NO_USED"): "wechatpay.order_no_used",
    (403, "USER_ACCOUNT_ABNORMAL"): "wechatpay.user_abnormal",
    (404, "RESOURCE_NOT_EXISTS"): "wechatpay.not_found",
    (404, "NOT_FOUND"): "wechatpay.not_found",
    (404, "ORDER_NOT_EXIST"): "wechatpay.order_unknown",
}
"""Our code for each (status, platform code). What is not here is ``platform.refused`` and keeps the platform's code."""

TAILS: Mapping[int, str] = {
    268578776: "wechatpay.coupon_expired",
    268578367: "wechatpay.coupon_state",
    272756769: "wechatpay.coupon_deleted",
    272755715: "wechatpay.outside_validity",
    268578704: "wechatpay.appid_not_bound",
    268578526: "wechatpay.openid_mismatch",
    268578532: "wechatpay.openid_mismatch",
    268579803: "wechatpay.no_auth",
    268578927: "wechatpay.number_reused",
    272755200: "wechatpay.number_reused",
    272756740: "wechatpay.rule_limit",
    268577984: "wechatpay.stock_not_open",
    268578608: "wechatpay.not_found",
    268584404: "wechatpay.store_not_allowed",
}
"""Finer reasons of the 商品券 calls, by the tail of ``Request-ID`` (sheet 2.4), with status 400, 403 and 404 only."""

_SHOWN = re.compile(r"[0-9A-Za-z_@.*-]{6,}")
_LATER = "STATEMENT_CREATING"


def request_tail(request_id: str | None) -> int | None:
    """The internal error number after the last ``-`` of ``Request-ID``; 0 on success; ``None`` when there is none."""
    digits = (request_id or "").rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() and "-" in (request_id or "") else None


def refusal_of(answer: HttpAnswer, *, is_write: bool, pause_s: float = 1.0) -> PlatformError:
    """The error that a non-2xx ``answer`` stands for. ``pause_s`` is the wait after a 429 that names none."""
    envelope = _envelope(answer.content)
    request_id = answer.header("Request-ID")
    told: dict[str, object] = {
        "platform": PLATFORM,
        "platform_code": envelope.get("code") or f"HTTP_{answer.status}",
        "request_id": request_id,
        "tail": request_tail(request_id),
        "status": answer.status,
        "text": _SHOWN.sub("***", envelope.get("message", ""))[:120],
        "where": envelope.get("where"),
    }
    if answer.status == 429:
        return PlatformUnavailable("wechatpay.busy", retry_after_s=_retry_after(answer) or pause_s, **told)  # type: ignore[arg-type]
    if 400 <= answer.status < 500 and envelope.get("code") and answer.status != 408:
        return _refused(answer.status, told)
    if is_write:
        return PlatformUnknown("wechatpay.system_error", reason=f"HTTP {answer.status}", **told)  # type: ignore[arg-type]
    return PlatformUnavailable("wechatpay.system_error", reason=f"HTTP {answer.status}", **told)  # type: ignore[arg-type]


def _refused(status: int, told: dict[str, object]) -> PlatformError:
    platform_code = str(told["platform_code"])
    if platform_code == _LATER:
        return PlatformUnavailable("wechatpay.statement_creating", **told)  # type: ignore[arg-type]
    code = CODES.get((status, platform_code), "platform.refused")
    tail = told["tail"]
    if status in (400, 403, 404) and isinstance(tail, int):
        code = TAILS.get(tail, code)
    return PlatformRefused(code, **told)  # type: ignore[arg-type]


def _envelope(content: bytes) -> dict[str, str]:
    """Code, message and place of an error body; empty when it is not the platform's envelope."""
    try:
        found = pydantic_core.from_json(content)
    except ValueError:
        return {}
    if not isinstance(found, dict) or not isinstance(found.get("code"), str):
        return {}
    detail = found.get("detail")
    where = detail.get("field") if isinstance(detail, dict) else None
    return {
        "code": found["code"][:64],
        "message": found["message"] if isinstance(found.get("message"), str) else "",
        **({"where": where[:64]} if isinstance(where, str) else {}),
    }


def _retry_after(answer: HttpAnswer) -> float:
    text = answer.header("Retry-After") or ""
    return min(float(text), 60.0) if text.isascii() and text.isdigit() else 0.0
