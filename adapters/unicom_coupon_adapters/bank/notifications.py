"""The bank's news as ours. The envelope has verified it already; there is no unverified event.

A notice has neither number nor time of signing, so it is told apart by what it is about: the bank's order number and
the kind. A repeated one changes nothing, and the news itself decides nothing: it makes us ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from unicom_coupon_adapters.bank.outcomes import instant_or_none
from unicom_coupon_sdk.domain.events import NewsKind, VerifiedEvent
from unicom_coupon_sdk.errors import ForgedMessage, ValidationError

PLATFORM = "bank"
_REFS = ("merId", "orderId", "cmbOrderId", "txnAmt", "refundAmt", "bizDate", "settleDate")


def require_bytes(body: object) -> bytes:
    """``body`` itself. Raises ``ValidationError`` (``bank.body_not_bytes``) for text or anything parsed."""
    if not isinstance(body, bytes):
        raise ValidationError("bank.body_not_bytes", field="body", platform=PLATFORM, found=type(body).__name__)
    return body


def event_of(biz: Mapping[str, Any], *, now: datetime, mer_id: str) -> VerifiedEvent:
    """The news. Raises ``ForgedMessage`` for one about another merchant, or about no order."""
    number, theirs = biz.get("orderId"), biz.get("cmbOrderId")
    if not (isinstance(number, str) and isinstance(theirs, str) and number and theirs):
        raise ForgedMessage("bank.message_malformed", platform=PLATFORM)
    if biz.get("merId") != mer_id:
        raise ForgedMessage("bank.other_merchant", platform=PLATFORM)
    kind = _kind(biz)
    at = biz.get("txnTime")
    return VerifiedEvent(
        platform=PLATFORM,
        event_id=f"{kind.value}:{theirs}",
        kind=kind,
        type_name=str(biz.get("kind", kind.value)),
        occurred_at=instant_or_none(at if isinstance(at, str) else None) or now,
        refs={name: value for name in _REFS if isinstance(value := biz.get(name), str)},
        operation_no=number,
        content=biz,
    )


def _kind(biz: Mapping[str, Any]) -> NewsKind:
    """Coupon news names its kind (ours); the bank's own tell a refund by its amount (sheet §1.7)."""
    named = {"REDEEM": NewsKind.REDEEMED, "REVERSE": NewsKind.REVERSED}.get(str(biz.get("kind", "")))
    if named is not None:
        return named
    return NewsKind.REFUNDED if "refundAmt" in biz else NewsKind.PAID
