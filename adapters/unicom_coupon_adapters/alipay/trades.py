"""Payments at the till: the calls that take the order's money, and what their answers say (sheet §2.11).

The coupon is redeemed apart from the payment; these calls are for a merchant who also takes the payment by Alipay, and
for the trade number that a redemption then carries. A payment code goes here and nowhere else: it is authority to pay.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from unicom_coupon_adapters.alipay.gateway import Node
from unicom_coupon_adapters.alipay.requests import Api, Call, Rest, members
from unicom_coupon_adapters.alipay.users import Scanned, scanned
from unicom_coupon_sdk.domain.money import fen_of_yuan, yuan_text
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ValidationError

_DETAILS = ("fund_bill_list", "voucher_detail_list", "discount_amount", "mdiscount_amount")
_FROZEN = {"royalty_freeze": "true"}
_NOT_IN_SUBJECT = re.compile(r"[/=&]")

PAY = Api(
    method="alipay.trade.pay",
    required=members("out_trade_no scene auth_code subject total_amount"),
    optional=members("store_id terminal_id timeout_express query_options extend_params"),
    rest=Rest("POST", "/v3/alipay/trade/pay"),
)
PRECREATE = Api(
    method="alipay.trade.precreate",
    required=members("out_trade_no subject total_amount"),
    optional=members("store_id terminal_id timeout_express extend_params"),
    rest=Rest("POST", "/v3/alipay/trade/precreate"),
)
QUERY = Api(
    method="alipay.trade.query",
    required=frozenset(),
    optional=members("trade_no out_trade_no query_options"),
    is_write=False,
    rest=Rest("POST", "/v3/alipay/trade/query"),
)
CANCEL = Api(
    method="alipay.trade.cancel", required=members("out_trade_no"), rest=Rest("POST", "/v3/alipay/trade/cancel")
)
REFUND = Api(
    method="alipay.trade.refund",
    required=members("out_request_no refund_amount"),
    optional=members("trade_no out_trade_no refund_reason"),
    rest=Rest("POST", "/v3/alipay/trade/refund"),
)
QUERY_REFUND = Api(
    method="alipay.trade.fastpay.refund.query",
    required=members("out_request_no"),
    optional=members("trade_no out_trade_no"),
    is_write=False,
    rest=Rest("POST", "/v3/alipay/trade/fastpay/refund/query"),
)


class TradeStatus(StrEnum):
    """Where a trade is."""

    WAIT_BUYER_PAY = "WAIT_BUYER_PAY"
    CLOSED = "TRADE_CLOSED"  # unpaid and timed out, or fully refunded
    SUCCESS = "TRADE_SUCCESS"
    FINISHED = "TRADE_FINISHED"  # paid, and no refund is possible any more


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade as Alipay tells it. Amounts in fen; ``None`` where the answer does not have them."""

    trade_no: str
    out_trade_no: str
    status: TradeStatus | None
    total_fen: int | None
    receipt_fen: int | None
    buyer: str | None


def pay(order: Order, *, payment_code: Secret, subject: str, is_to_be_shared: bool = False) -> Call:
    """Take the order's money from who showed ``payment_code`` (付款码, or a face terminal's text).

    ``is_to_be_shared`` keeps the money frozen until it is shared, without which none of it can be (§3.2).

    An answer 10003 or no answer leaves it open: ask with ``query`` every 5 s for half a minute, then ``cancel``.
    Raises ``ValidationError`` ``alipay.not_a_payment_code`` for anything else than such a code, a coupon's included.
    """
    kind = scanned(payment_code.reveal())
    if kind not in (Scanned.PAYMENT_CODE, Scanned.FACE):
        raise ValidationError("alipay.not_a_payment_code", field="payment_code", platform="alipay")
    return PAY.call(
        {
            "out_trade_no": order.order_no,
            "scene": "bar_code" if kind is Scanned.PAYMENT_CODE else "security_code",
            "auth_code": payment_code.reveal(),
            "subject": _subject(subject),
            "total_amount": yuan_text(_amount(order)),
            "terminal_id": order.terminal_no,
            "timeout_express": "5m",
            "query_options": _DETAILS,
            "extend_params": _FROZEN if is_to_be_shared else None,
        }
    )


def precreate(order: Order, *, subject: str, is_to_be_shared: bool = False) -> Call:
    """Make a QR code (``qr_code`` of the answer) that the buyer scans to pay; ``is_to_be_shared`` as for ``pay``."""
    return PRECREATE.call(
        {
            "out_trade_no": order.order_no,
            "subject": _subject(subject),
            "total_amount": yuan_text(_amount(order)),
            "terminal_id": order.terminal_no,
            "timeout_express": "15m",
            "extend_params": _FROZEN if is_to_be_shared else None,
        }
    )


def query(*, out_trade_no: str | None = None, trade_no: str | None = None, options: Sequence[str] = _DETAILS) -> Call:
    """How a trade stands, with the details named by ``options``. Alipay's number wins where both are given."""
    _one_of(out_trade_no, trade_no)
    return QUERY.call({"out_trade_no": out_trade_no, "trade_no": trade_no, "query_options": list(options)})


def cancel(out_trade_no: str) -> Call:
    """Undo a payment whose outcome is open: closed if unpaid, refunded if paid. Repeat while ``retry_flag`` is Y."""
    return CANCEL.call({"out_trade_no": out_trade_no})


def refund(
    *,
    request_no: str,
    amount_fen: int,
    out_trade_no: str | None = None,
    trade_no: str | None = None,
    reason: str | None = None,
) -> Call:
    """Give ``amount_fen`` back. ``request_no`` names this refund: repeating it changes nothing (``fund_change`` N)."""
    _one_of(out_trade_no, trade_no)
    return REFUND.call(
        {
            "out_request_no": request_no,
            "refund_amount": yuan_text(amount_fen),
            "out_trade_no": out_trade_no,
            "trade_no": trade_no,
            "refund_reason": reason,
        }
    )


def query_refund(*, request_no: str, out_trade_no: str | None = None, trade_no: str | None = None) -> Call:
    """Whether a refund was made: ``refund_status`` REFUND_SUCCESS, or absent while it is not or not known."""
    _one_of(out_trade_no, trade_no)
    return QUERY_REFUND.call({"out_request_no": request_no, "out_trade_no": out_trade_no, "trade_no": trade_no})


def trade_of(node: Node) -> Trade:
    """The trade in an answer to ``pay`` or ``query``. A paid answer of ``pay`` has no status: then it is SUCCESS."""
    told = node.text("trade_status")
    paid = bool(node.text("gmt_payment"))
    known = told in {status.value for status in TradeStatus}
    return Trade(
        trade_no=node.text("trade_no"),
        out_trade_no=node.text("out_trade_no"),
        status=TradeStatus(told) if known else (TradeStatus.SUCCESS if paid and not told else None),
        total_fen=_fen(node.text("total_amount")),
        receipt_fen=_fen(node.text("receipt_amount")),
        buyer=node.text("buyer_open_id") or node.text("buyer_user_id") or None,
    )


def _fen(text: str) -> int | None:
    return fen_of_yuan(text) if text else None


def _amount(order: Order) -> int:
    if not 1 <= order.amount_fen <= 10_000_000_000:
        raise ValidationError(
            "alipay.range", field="order.amount_fen", platform="alipay", least="0.01", most="100000000.00"
        )
    return order.amount_fen


def _subject(text: str) -> str:
    cleaned = _NOT_IN_SUBJECT.sub(" ", text).strip()[:256]
    if not cleaned:
        raise ValidationError("alipay.subject", field="subject", platform="alipay")
    return cleaned


def _one_of(out_trade_no: str | None, trade_no: str | None) -> None:
    if not out_trade_no and not trade_no:
        raise ValidationError("alipay.member_missing", field="out_trade_no", method="alipay.trade")
