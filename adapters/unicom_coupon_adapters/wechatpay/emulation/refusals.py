"""How the platform says no: a code, a status, a text in the caller's language and a tail of the ``Request-ID``.

Sheet §6 (codes by status), §1.1 (the tail carries the internal code), §2.4 (tails of product coupons). A text names
what is wrong in the request and never repeats a key or a signature of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

STATUS: Final[Mapping[str, int]] = {
    "PARAM_ERROR": 400,
    "INVALID_REQUEST": 400,
    "APPID_MCHID_NOT_MATCH": 400,
    "MCH_NOT_EXISTS": 400,
    "ALREADY_EXISTS": 400,
    "NO_STATEMENT_EXIST": 400,
    "STATEMENT_CREATING": 400,
    "ORDER_CLOSED": 400,
    "ORDER_PAID": 400,
    "OPENID_MISMATCH": 400,
    "SIGN_ERROR": 401,
    "NOAUTH": 403,
    "NO_AUTH": 403,
    "RULE_LIMIT": 403,
    "RULELIMIT": 403,
    "NOT_ENOUGH": 403,
    "ACCOUNT_ERROR": 403,
    "TRADE_ERROR": 403,
    "OUT_TRADE_NO_USED": 403,
    "USER_ACCOUNT_ABNORMAL": 403,
    "RESOURCE_NOT_EXISTS": 404,
    "NOT_FOUND": 404,
    "ORDER_NOT_EXIST": 404,
    "RATELIMIT_EXCEEDED": 429,
    "FREQUENCY_LIMITED": 429,
    "FREQUENCY_LIMIT_EXCEED": 429,
    "SYSTEM_ERROR": 500,
    "BAD_GATEWAY": 502,
    "SERVICE_UNAVAILABLE": 503,
}
"""HTTP status by error code, as the sheet's table has them."""

_TAIL_PARAMETER: Final = 268435461
_TAIL_ILLEGAL_EXTRA: Final = 270924358
_TAIL_TOO_FREQUENT: Final = 270924289
_TAIL_ORDER_UNKNOWN: Final = 268512771
_TAIL_GENERAL: Final = 268435464
_TAILS: Final[Mapping[str, int]] = {
    "PARAM_ERROR": _TAIL_PARAMETER,
    "ORDER_NOT_EXIST": _TAIL_ORDER_UNKNOWN,
    "RATELIMIT_EXCEEDED": _TAIL_TOO_FREQUENT,
    "FREQUENCY_LIMITED": _TAIL_TOO_FREQUENT,
    "FREQUENCY_LIMIT_EXCEED": _TAIL_TOO_FREQUENT,
}

GENERAL_TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "PARAM_ERROR": ("参数错误", "A parameter is wrong."),
    "INVALID_REQUEST": ("无效请求", "The request is not valid."),
    "SIGN_ERROR": ("错误的签名，验签失败", "The signature is wrong."),
    "NOAUTH": ("商户无权限", "The merchant has no permission."),
    "NO_AUTH": ("商户无权限", "The merchant has no permission."),
    "RULE_LIMIT": ("业务规则限制", "A business rule forbids it."),
    "NOT_ENOUGH": ("余额不足", "The balance is not enough."),
    "RESOURCE_NOT_EXISTS": ("查询的资源不存在", "The resource does not exist."),
    "NOT_FOUND": ("请求的资源不存在", "The resource does not exist."),
    "ORDER_NOT_EXIST": ("订单不存在", "The order does not exist."),
    "RATELIMIT_EXCEEDED": ("请求超过频率限制", "Too many requests."),
    "FREQUENCY_LIMITED": ("频率限制", "Too many requests."),
    "FREQUENCY_LIMIT_EXCEED": ("频率超过限制", "Too many requests."),
    "SYSTEM_ERROR": ("系统繁忙，请稍后重试", "The system is busy; try again with the same request."),
    "SERVICE_UNAVAILABLE": ("服务不可用，请稍后重试", "The service is not available; try again later."),
    "APPID_MCHID_NOT_MATCH": ("appid与mchid不匹配", "The appid is not bound to the merchant."),
}


class Refusal(Exception):
    """The platform's no, raised before anything was written. ``zh`` and ``en`` are the message in two languages."""

    def __init__(
        self,
        code: str,
        zh: str,
        en: str,
        *,
        detail: Mapping[str, Any] | None = None,
        tail: int | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self.zh = zh
        self.en = en
        self.detail = detail
        self.status = status or STATUS.get(code, 400)
        self.tail = tail or _TAILS.get(code, _TAIL_GENERAL)

    def message(self, language: str) -> str:
        """The text in ``zh-CN`` (and its sisters) or ``en``."""
        return self.en if language == "en" else self.zh

    @classmethod
    def general(cls, code: str) -> Refusal:
        """The refusal with the common text of ``code``; for faults on demand."""
        zh, en = GENERAL_TEXTS.get(code, ("请求被拒绝", "The request was refused."))
        return cls(code, zh, en)


def bad_field(where: str, zh: str, en: str, *, value: object = None, location: str = "body") -> Refusal:
    """400 ``PARAM_ERROR`` for one field: a JSON pointer in a body, a name in a path or query (sheet §6)."""
    detail: dict[str, Any] = {"field": where, "issue": zh, "location": location}
    if isinstance(value, str | int | float | bool):
        detail["value"] = value if not isinstance(value, str) else value[:64]
    shown = where.lstrip("/") or where
    return Refusal("PARAM_ERROR", f"输入源“{where}”校验失败：{zh}", f"{shown}: {en}", detail=detail)


def unknown_key(where: str) -> Refusal:
    """400 for a member the call does not have; the tail is the one seen for extra parameters (sheet §1.1)."""
    return Refusal(
        "PARAM_ERROR",
        f"请求中含有额外的非法参数：{where}",
        f"Unknown parameter {where}.",
        detail={"field": where, "issue": "额外的非法参数", "location": "body"},
        tail=_TAIL_ILLEGAL_EXTRA,
    )


def not_there(
    zh: str = "查询的资源不存在", en: str = "The resource does not exist.", *, tail: int | None = None
) -> Refusal:
    """404 ``RESOURCE_NOT_EXISTS``."""
    return Refusal("RESOURCE_NOT_EXISTS", zh, en, tail=tail)


def not_now(zh: str, en: str, *, tail: int | None = None) -> Refusal:
    """400 ``INVALID_REQUEST``: the state or a rule does not allow it."""
    return Refusal("INVALID_REQUEST", zh, en, tail=tail)


def not_yours(zh: str = "商户无权操作该资源", en: str = "The merchant may not operate on this.") -> Refusal:
    """403 ``NOAUTH``."""
    return Refusal("NOAUTH", zh, en)
