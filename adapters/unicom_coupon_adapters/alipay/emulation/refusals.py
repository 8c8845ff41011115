"""How Alipay says no: a gateway code, its text, a sub-code and its text.

Sheet §6.3 (gateway codes), §2 (business sub-codes), §1.11 (v3 spells gateway codes in kebab-case and has a status).
Exact texts of ``sub_msg`` are unconfirmed; they name what is wrong and never repeat a value.
"""

from __future__ import annotations

import re
from typing import Final

MESSAGES: Final = {
    "10000": "Success",
    "10003": "order success pay inprocess",
    "20000": "Service Currently Unavailable",
    "20001": "Insufficient Token Permissions",
    "40001": "Missing Required Arguments",
    "40002": "Invalid Arguments",
    "40003": "Insufficient Conditions",
    "40004": "Business Failed",
    "40005": "Call Limited",
    "40006": "Insufficient Permissions",
}
"""The English text beside each gateway code."""

_EXACT: Final = {
    "isp.unknow-error": "20000",
    "aop.unknow-error": "20000",
    "aop.invalid-auth-token": "20001",
    "aop.auth-token-time-out": "20001",
    "aop.invalid-app-auth-token": "20001",
    "aop.invalid-app-auth-token-no-api": "20001",
    "aop.app-auth-token-time-out": "20001",
    "aop.no-product-reg-by-partner": "20001",
    "isv.decryption-error-missing-encrypt-type": "40001",
    "isv.missing-signature-config": "40003",
    "isv.invalid-auth-relations": "40003",
    "isv.app-call-limited": "40005",
    "isv.method-call-limited": "40005",
    "isv.insufficient-isv-permissions": "40006",
    "isv.insufficient-user-permissions": "40006",
    "isp.illegal-client-ip": "40006",
}
_GATEWAY: Final = re.compile(r"(isv|isp|aop)\.[a-z0-9-]+")
_DEFAULT_SUB_CODES: Final = {
    "20000": "isp.unknow-error",
    "20001": "aop.invalid-auth-token",
    "40001": "isv.missing-method",
    "40002": "isv.invalid-parameter",
    "40003": "isv.missing-signature-config",
    "40004": "SYSTEM_ERROR",
    "40005": "isv.app-call-limited",
    "40006": "isv.insufficient-isv-permissions",
}
_TEXTS: Final = {
    "SYSTEM_ERROR": "系统繁忙，请稍后再试",
    "INVALID_PARAMETER": "参数有误",
    "BIZ_ERROR": "业务异常",
    "ACTIVITY_NOT_PERMISSION": "商户无该活动操作权限",
    "ACTIVITY_NOT_EXIST": "活动不存在",
    "VOUCHER_NOT_EXIST": "券不存在",
    "TRADE_NOT_EXIST": "交易不存在",
    "isp.unknow-error": "系统繁忙",
    "isv.app-call-limited": "应用调用次数超限，包含调用频率超限",
    "isv.method-call-limited": "API调用次数超限，包含调用频率超限",
    "isv.insufficient-isv-permissions": "ISV权限不足",
}


class Refusal(Exception):
    """Alipay's no, raised before anything was written."""

    def __init__(self, sub_code: str, sub_msg: str | None = None, *, code: str | None = None) -> None:
        super().__init__(sub_code)
        self.code = code or code_of(sub_code)
        self.sub_code = sub_code
        self.sub_msg = sub_msg if sub_msg is not None else _TEXTS.get(sub_code.removeprefix("ACQ."), "业务处理失败")

    @property
    def msg(self) -> str:
        """The text of the gateway code."""
        return MESSAGES.get(self.code, "Business Failed")

    @property
    def rest_code(self) -> str:
        """The code in v3: the sub-code, without its prefix where it is the gateway's."""
        return self.sub_code.partition(".")[2] if _GATEWAY.fullmatch(self.sub_code) else self.sub_code

    @property
    def rest_status(self) -> int:
        """The HTTP status in v3; the sheet's choice for this sandbox (§1.11)."""
        if self.code == "20000" or self.sub_code.endswith("SYSTEM_ERROR"):
            return 500
        if self.code == "20001" or self.rest_code.endswith(("signature", "-timestamp", "app-id")):
            return 401
        return {"40005": 429, "40006": 403}.get(self.code, 400)

    @classmethod
    def on_demand(cls, code: str) -> Refusal:
        """The refusal for a fault: ``code`` is a sub-code, or a gateway code with its usual sub-code."""
        if code in _DEFAULT_SUB_CODES:
            return cls(_DEFAULT_SUB_CODES[code], code=code)
        return cls(code)


def code_of(sub_code: str) -> str:
    """The gateway code that goes with ``sub_code``: business sub-codes belong to 40004."""
    if sub_code in _EXACT:
        return _EXACT[sub_code]
    if not _GATEWAY.fullmatch(sub_code):
        return "40004"
    return "40001" if sub_code.startswith("isv.missing-") else "40002"


def invalid(where: str, why: str, *, prefix: str = "") -> Refusal:
    """``INVALID_PARAMETER`` for one member, named by its path."""
    return Refusal(f"{prefix}INVALID_PARAMETER", f"参数有误：{where}{why}")


def not_now(why: str) -> Refusal:
    """``BIZ_ERROR``: the state does not allow it."""
    return Refusal("BIZ_ERROR", why)
