"""Orders paid with WeChat Pay: asking about them, and refunding them (sheet 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from unicom_coupon_adapters.wechatpay import messages
from unicom_coupon_adapters.wechatpay.gateway import Answer, Gateway
from unicom_coupon_adapters.wechatpay.outcomes import instant_or_none, text_of
from unicom_coupon_sdk.domain.sensitive import PlatformUser
from unicom_coupon_sdk.errors import PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.platform.effects import Flow

PLATFORM = "wechatpay"


@dataclass(frozen=True, slots=True)
class Trade:
    """An order as the platform has it. ``state`` is its word (SUCCESS, REFUND, NOTPAY, CLOSED, …); money in fen."""

    order_no: str
    transaction_id: str | None
    state: str
    total_fen: int
    payer_fen: int | None
    payer: PlatformUser | None
    paid_at: datetime | None
    content: Mapping[str, Any] = field(repr=False)

    @property
    def is_paid(self) -> bool:
        """Whether the payment stands, perhaps with refunds since."""
        return self.state in {"SUCCESS", "REFUND"}


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund as the platform has it. ``status`` is SUCCESS, PROCESSING, CLOSED or ABNORMAL; money in fen."""

    refund_no: str
    refund_id: str
    status: str
    refund_fen: int
    total_fen: int
    finished_at: datetime | None
    content: Mapping[str, Any] = field(repr=False)


class Trades:
    """Queries and refunds over one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._mchid = gateway.settings.mchid

    def of_order(self, order_no: str) -> Flow[Trade]:
        """The trade of our order number. Raises ``PlatformRefused`` (``wechatpay.order_unknown``)."""
        call = messages.TRADE_BY_ORDER.call(path={"out_trade_no": order_no}, query={"mchid": self._mchid})
        return _trade((yield from self._gateway.call(call)))

    def of_transaction(self, transaction_id: str) -> Flow[Trade]:
        """The trade of the platform's number. Raises ``PlatformRefused`` (``wechatpay.order_unknown``)."""
        call = messages.TRADE_BY_ID.call(path={"transaction_id": transaction_id}, query={"mchid": self._mchid})
        return _trade((yield from self._gateway.call(call)))

    def refund(
        self,
        order_no: str,
        *,
        refund_no: str,
        refund_fen: int,
        total_fen: int,
        reason: str | None = None,
        notify_url: str | None = None,
    ) -> Flow[Refund]:
        """Give ``refund_fen`` of ``total_fen`` back. Idempotent by ``refund_no``; another number refunds again.

        Raises ``PlatformUnknown``: repeat with the same number, or ask with ``refund_of``.
        """
        body = {
            "out_trade_no": order_no,
            "out_refund_no": refund_no,
            "reason": reason,
            "notify_url": notify_url,
            "amount": {"refund": refund_fen, "total": total_fen, "currency": "CNY"},
        }
        return _refund((yield from self._gateway.call(messages.REFUND.call(body))), is_write=True)

    def refund_of(self, refund_no: str) -> Flow[Refund]:
        """The refund of our number. Raises ``PlatformRefused`` (``wechatpay.not_found``)."""
        call = messages.READ_REFUND.call(path={"out_refund_no": refund_no})
        return _refund((yield from self._gateway.call(call)), is_write=False)


def _trade(answer: Answer) -> Trade:
    data = answer.content
    amount = data.get("amount")
    money: Mapping[str, Any] = amount if isinstance(amount, dict) else {}
    payer = data.get("payer")
    openid = payer.get("openid") if isinstance(payer, dict) else None
    order_no, state = text_of(data, "out_trade_no"), text_of(data, "trade_state")
    if order_no is None or state is None:
        raise PlatformUnavailable("wechatpay.answer_malformed", platform=PLATFORM, request_id=answer.request_id)
    payer_fen = money.get("payer_total")
    return Trade(
        order_no=order_no,
        transaction_id=text_of(data, "transaction_id"),
        state=state,
        total_fen=int(money.get("total", 0)),
        payer_fen=payer_fen if isinstance(payer_fen, int) else None,
        payer=PlatformUser(openid) if isinstance(openid, str) and openid else None,
        paid_at=instant_or_none(data.get("success_time")),
        content=data,
    )


def _refund(answer: Answer, *, is_write: bool) -> Refund:
    data = answer.content
    amount = data.get("amount")
    refund_no, refund_id, status = (text_of(data, name) for name in ("out_refund_no", "refund_id", "status"))
    if refund_no is None or refund_id is None or status is None or not isinstance(amount, dict):
        kind = PlatformUnknown if is_write else PlatformUnavailable
        raise kind("wechatpay.answer_malformed", platform=PLATFORM, request_id=answer.request_id)
    return Refund(
        refund_no=refund_no,
        refund_id=refund_id,
        status=status,
        refund_fen=int(amount.get("refund", 0)),
        total_fen=int(amount.get("total", 0)),
        finished_at=instant_or_none(data.get("success_time")),
        content=data,
    )
