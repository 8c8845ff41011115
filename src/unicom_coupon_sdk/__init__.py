"""China Unicom e-coupons on every platform, behind one interface.

The names below are the public API; a test pins them. They are imported when first used, so ``import
unicom_coupon_sdk`` is quick and a process pays only for what it touches.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unicom_coupon_sdk.client import AsyncCouponClient, CouponClient
    from unicom_coupon_sdk.config import Settings
    from unicom_coupon_sdk.domain.bill import BillFile, BillKind, BillNotReady, NoBill
    from unicom_coupon_sdk.domain.code import CouponCode
    from unicom_coupon_sdk.domain.coupon import (
        AmountOff,
        Cash,
        Coupon,
        CouponTemplate,
        Exchange,
        Funding,
        PercentOff,
        PhoneCredit,
    )
    from unicom_coupon_sdk.domain.events import Acknowledgement, CouponEvent, EventKind, NewsKind, VerifiedEvent
    from unicom_coupon_sdk.domain.money import fen_of_yuan, yuan_text
    from unicom_coupon_sdk.domain.order import Holder, Order
    from unicom_coupon_sdk.domain.reconciliation import Discrepancy, DiscrepancyClass, MatchedBy
    from unicom_coupon_sdk.domain.redemption import (
        Binding,
        PayOut,
        PayOutRequest,
        RedeemRequest,
        Redemption,
        Reversal,
        ReverseRequest,
    )
    from unicom_coupon_sdk.domain.requests import BindRequest, ChallengeRequest, IssuedBatch, IssueRequest, VoidRequest
    from unicom_coupon_sdk.domain.sensitive import OneTimeCode, PhoneNumber, PlatformUser, Secret
    from unicom_coupon_sdk.domain.settlement import CalendarNotPublished, Settlement
    from unicom_coupon_sdk.domain.sharing import (
        Fixed,
        Ratio,
        Receiver,
        Remainder,
        Share,
        ShareLine,
        SharePart,
        ShareRequest,
        ShareRole,
        ShareRule,
    )
    from unicom_coupon_sdk.domain.state import CouponState, OperationState, ReversalCause
    from unicom_coupon_sdk.domain.token import QrToken
    from unicom_coupon_sdk.domain.verification import (
        BiometricProof,
        Challenge,
        LoginProof,
        Method,
        PhoneProof,
        ScanProof,
        SmsProof,
        TerminalProof,
        WalletProof,
    )
    from unicom_coupon_sdk.errors import (
        CallerError,
        ComplianceError,
        ConfigurationError,
        CouponError,
        CouponStateError,
        Diagnosis,
        Effected,
        ForgedMessage,
        IdempotencyConflict,
        LedgerError,
        LimitError,
        PlatformError,
        PlatformRefused,
        PlatformUnavailable,
        PlatformUnknown,
        RiskError,
        UnsupportedOperation,
        ValidationError,
        VerificationError,
    )
    from unicom_coupon_sdk.flows.expire import Voided
    from unicom_coupon_sdk.flows.notify import Notice
    from unicom_coupon_sdk.flows.reconcile import Reconciliation
    from unicom_coupon_sdk.flows.recover import Recovery
    from unicom_coupon_sdk.flows.settle import Settlements
    from unicom_coupon_sdk.guard.screening import Payee, Screening

__version__ = "0.1.0"

_HOMES = {
    "client": ("AsyncCouponClient", "CouponClient"),
    "config": ("Settings",),
    "domain.bill": ("BillFile", "BillKind", "BillNotReady", "NoBill"),
    "domain.code": ("CouponCode",),
    "domain.coupon": (
        "AmountOff", "Cash", "Coupon", "CouponTemplate", "Exchange", "Funding", "PercentOff", "PhoneCredit",
    ),
    "domain.events": ("Acknowledgement", "CouponEvent", "EventKind", "NewsKind", "VerifiedEvent"),
    "domain.money": ("fen_of_yuan", "yuan_text"),
    "domain.order": ("Holder", "Order"),
    "domain.reconciliation": ("Discrepancy", "DiscrepancyClass", "MatchedBy"),
    "domain.redemption": (
        "Binding", "PayOut", "PayOutRequest", "RedeemRequest", "Redemption", "Reversal", "ReverseRequest",
    ),
    "domain.requests": ("BindRequest", "ChallengeRequest", "IssuedBatch", "IssueRequest", "VoidRequest"),
    "domain.sensitive": ("OneTimeCode", "PhoneNumber", "PlatformUser", "Secret"),
    "domain.settlement": ("CalendarNotPublished", "Settlement"),
    "domain.sharing": (
        "Fixed", "Ratio", "Receiver", "Remainder", "Share", "ShareLine", "SharePart", "ShareRequest", "ShareRole",
        "ShareRule",
    ),
    "domain.state": ("CouponState", "OperationState", "ReversalCause"),
    "domain.token": ("QrToken",),
    "domain.verification": (
        "BiometricProof", "Challenge", "LoginProof", "Method", "PhoneProof", "ScanProof", "SmsProof", "TerminalProof",
        "WalletProof",
    ),
    "errors": (
        "CallerError", "ComplianceError", "ConfigurationError", "CouponError", "CouponStateError", "Diagnosis",
        "Effected", "ForgedMessage", "IdempotencyConflict", "LedgerError", "LimitError", "PlatformError",
        "PlatformRefused", "PlatformUnavailable", "PlatformUnknown", "RiskError", "UnsupportedOperation",
        "ValidationError", "VerificationError",
    ),
    "flows.expire": ("Voided",),
    "flows.notify": ("Notice",),
    "flows.reconcile": ("Reconciliation",),
    "flows.recover": ("Recovery",),
    "flows.settle": ("Settlements",),
    "guard.screening": ("Payee", "Screening"),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Acknowledgement",
    "AmountOff",
    "AsyncCouponClient",
    "BillFile",
    "BillKind",
    "BillNotReady",
    "BindRequest",
    "Binding",
    "BiometricProof",
    "CalendarNotPublished",
    "CallerError",
    "Cash",
    "Challenge",
    "ChallengeRequest",
    "ComplianceError",
    "ConfigurationError",
    "Coupon",
    "CouponClient",
    "CouponCode",
    "CouponError",
    "CouponEvent",
    "CouponState",
    "CouponStateError",
    "CouponTemplate",
    "Diagnosis",
    "Discrepancy",
    "DiscrepancyClass",
    "Effected",
    "EventKind",
    "Exchange",
    "Fixed",
    "ForgedMessage",
    "Funding",
    "Holder",
    "IdempotencyConflict",
    "IssueRequest",
    "IssuedBatch",
    "LedgerError",
    "LimitError",
    "LoginProof",
    "MatchedBy",
    "Method",
    "NewsKind",
    "NoBill",
    "Notice",
    "OneTimeCode",
    "OperationState",
    "Order",
    "PayOut",
    "PayOutRequest",
    "Payee",
    "PercentOff",
    "PhoneCredit",
    "PhoneNumber",
    "PhoneProof",
    "PlatformError",
    "PlatformRefused",
    "PlatformUnavailable",
    "PlatformUnknown",
    "PlatformUser",
    "QrToken",
    "Ratio",
    "Receiver",
    "Reconciliation",
    "Recovery",
    "RedeemRequest",
    "Redemption",
    "Remainder",
    "Reversal",
    "ReversalCause",
    "ReverseRequest",
    "RiskError",
    "ScanProof",
    "Screening",
    "Secret",
    "Settings",
    "Settlement",
    "Settlements",
    "Share",
    "ShareLine",
    "SharePart",
    "ShareRequest",
    "ShareRole",
    "ShareRule",
    "SmsProof",
    "TerminalProof",
    "UnsupportedOperation",
    "ValidationError",
    "VerificationError",
    "VerifiedEvent",
    "VoidRequest",
    "Voided",
    "WalletProof",
    "__version__",
    "fen_of_yuan",
    "yuan_text",
]


def __getattr__(name: str) -> Any:
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
