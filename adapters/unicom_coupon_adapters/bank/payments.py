"""China Merchants Bank's 聚合支付: a QR order, its query and close, refunds and theirs (sheet §1.7 to §1.9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from unicom_coupon_adapters.bank import messages
from unicom_coupon_adapters.bank.envelopes import Reply
from unicom_coupon_adapters.bank.gateway import Gateway
from unicom_coupon_adapters.bank.outcomes import instant_or_none
from unicom_coupon_sdk.errors import PlatformRefused, ValidationError
from unicom_coupon_sdk.platform.effects import Flow

PLATFORM = "bank"
QR_LIFE_S = 900


@dataclass(frozen=True, slots=True)
class Payment:
    """An order or refund as the bank has it. ``state`` is its letter: C, D, P, F, S or R; unknown fields stay."""

    order_id: str
    bank_order_id: str | None
    state: str
    amount_fen: int | None
    at: datetime | None
    content: Mapping[str, Any] = field(repr=False)


class Payments:
    """The payment side over one gateway. Amounts in fen; order numbers are the merchant's and unique for ever."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def qr_order(
        self, order_id: str, *, amount_fen: int, life_s: int = QR_LIFE_S, body: str | None = None
    ) -> Flow[str]:
        """The QR text of a new order. Without an answer take a new ``order_id`` (sheet §1.9)."""
        told = {
            **self._gateway.who,
            "orderId": order_id,
            "notifyUrl": self._notify_url(),
            "txnAmt": str(amount_fen),
            "payValidTime": str(life_s),
            "currencyCode": "156",
            "body": body,
        }
        reply = yield from self._gateway.call(messages.QR_ORDER.call(told))
        qr_code = reply.text("qrCode")
        if qr_code is None:
            raise PlatformRefused("bank.not_done", platform=PLATFORM, reason="qrCode")
        return qr_code

    def query(self, order_id: str) -> Flow[Payment]:
        """The order, by our number."""
        call = messages.ORDER_QUERY.call({**self._gateway.who, "orderId": order_id})
        return payment_of((yield from self._gateway.call(call)), number=order_id)

    def close(self, order_id: str) -> Flow[str]:
        """``C`` when an unpaid order was closed, ``F`` when not. Raises ``PlatformRefused`` for a paid one."""
        call = messages.CLOSE.call({**self._gateway.who, "origOrderId": order_id})
        reply = yield from self._gateway.call(call)
        return reply.text("closeState") or "F"

    def refund(
        self, refund_id: str, *, order_id: str, paid_fen: int, refund_fen: int, reason: str | None = None
    ) -> Flow[Payment]:
        """A refund, in part or whole. After any failure repeat the same ``refund_id`` (sheet §1.8)."""
        if not 0 < refund_fen <= paid_fen:
            raise ValidationError("bank.refund", field="refund_fen", platform=PLATFORM)
        told = {
            **self._gateway.who,
            "orderId": refund_id,
            "origOrderId": order_id,
            "txnAmt": str(paid_fen),
            "refundAmt": str(refund_fen),
            "refundReason": reason,
            "notifyUrl": self._gateway.settings.notify_url,
        }
        return payment_of((yield from self._gateway.call(messages.REFUND.call(told))), number=refund_id)

    def query_refund(self, refund_id: str) -> Flow[Payment]:
        """The refund, by our number."""
        call = messages.REFUND_QUERY.call({**self._gateway.who, "orderId": refund_id})
        return payment_of((yield from self._gateway.call(call)), number=refund_id)

    def _notify_url(self) -> str:
        url = self._gateway.settings.notify_url
        if url is None:
            raise ValidationError("bank.field_missing", field="notify_url", platform=PLATFORM)
        return url


def payment_of(reply: Reply, *, number: str) -> Payment:
    """The order or refund in ``reply``; a refund's state is read under either of its names (sheet §1.12)."""
    amount = reply.text("refundAmt") or reply.text("txnAmt") or ""
    return Payment(
        order_id=number,
        bank_order_id=reply.text("cmbOrderId"),
        state=reply.text("refundState") or reply.text("tradeState") or "P",
        amount_fen=int(amount) if amount.isdigit() else None,
        at=instant_or_none(reply.text("txnTime")),
        content=reply.biz,
    )
