"""China Merchants Bank's 聚合支付: orders by QR and by payment code, their query and end, refunds (sheet §1.7 to §1.9).

ICBC's envelope carries the coupon calls only, so there each of these is refused before any I/O. Of the bank's order
calls for online shops and withholding the sheet has names and no fields, so they are not here; nor is e-CNY.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from unicom_coupon_adapters.bank import messages
from unicom_coupon_adapters.bank.envelopes import Reply
from unicom_coupon_adapters.bank.gateway import Gateway
from unicom_coupon_adapters.bank.outcomes import instant_or_none
from unicom_coupon_sdk.domain.sensitive import Secret
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """The till that scans: its kind, its number of 8 characters and its address.

    All three travel encrypted; the number is also the request's ``termId``.
    """

    device_type: str
    device_id: str
    device_ip: str


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

    def pay(
        self, order_id: str, *, auth_code: Secret, amount_fen: int, terminal: Terminal, body: str | None = None
    ) -> Flow[Payment]:
        """The order paid by whoever showed ``auth_code`` (付款码): authority to pay, sent here and nowhere else.

        S is paid; F is failed, and the next try takes a new ``order_id``. Sent once: in state P, and on
        ``PlatformUnknown``, ask ``query`` after 5 s, then every 5 to 10 s, ten times, then ``cancel`` (sheet §1.8).
        """
        told = {
            **self._gateway.who,
            "orderId": order_id,
            "termId": terminal.device_id,
            "authCode": auth_code,
            "notifyUrl": self._notify_url(),
            "txnAmt": str(amount_fen),
            "currencyCode": "156",
            "body": body,
        }
        device = {name: Secret(value) for name, value in asdict(terminal).items()}
        call = messages.PAY.call(told, sealed={"encryptTerminalInfo": device})
        return payment_of((yield from self._gateway.call(call)), number=order_id)

    def query(self, order_id: str) -> Flow[Payment]:
        """The order, by our number."""
        call = messages.ORDER_QUERY.call({**self._gateway.who, "orderId": order_id})
        return payment_of((yield from self._gateway.call(call)), number=order_id)

    def cancel(self, order_id: str) -> Flow[str]:
        """``D`` when an unpaid ``pay`` order was cancelled, ``C`` when it was closed before, ``F`` when not.

        From 15 s after ``pay``, for 7 days. Raises ``PlatformRefused`` for a paid one (refund it), and
        ``PlatformUnknown``: ask ``query``.
        """
        call = messages.CANCEL.call({**self._gateway.who, "origOrderId": order_id})
        reply = yield from self._gateway.call(call)
        return reply.text("cancelState") or "F"

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
