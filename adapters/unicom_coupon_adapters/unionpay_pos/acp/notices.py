"""Notices to ``backUrl``: a transaction's end, verified and normalised (sheet 10.6).

Duplicates and disorder are normal, and only success is promised to be told. The news is that something was paid, undone
or refunded; that it is the right sum of the right order is for whoever keeps the instruction: ``Payment.is_of``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from unicom_coupon_adapters.unionpay_pos.acp.codes import PLATFORM
from unicom_coupon_adapters.unionpay_pos.acp.payment import Kind, Payment, PaymentState, moment_of, payment_of
from unicom_coupon_sdk.domain.events import Acknowledgement, NewsKind, VerifiedEvent
from unicom_coupon_sdk.errors import CouponError, ForgedMessage

_KINDS: Final = {
    Kind.PAYMENT.value: NewsKind.PAID,
    Kind.UNDO.value: NewsKind.REVERSED,
    Kind.REFUND.value: NewsKind.REFUNDED,
}


def payment_of_notice(fields: Mapping[str, str]) -> Payment:
    """The transaction in a notice's verified fields (``VerifiedEvent.content``)."""
    return payment_of(fields, code=fields.get("respCode", ""), kind=fields.get("txnType", ""))


def event_of(fields: Mapping[str, str]) -> VerifiedEvent:
    """The news in verified fields. Raises ``ForgedMessage`` ``unionpay_pos.acp_notice`` when they name nothing."""
    payment = payment_of_notice(fields)
    at = moment_of(payment.txn_time)
    if at is None or not payment.order_id:
        raise ForgedMessage("unionpay_pos.acp_notice", platform=PLATFORM)
    is_done = payment.state is PaymentState.DONE
    refs = {"order_id": payment.order_id, "txn_time": payment.txn_time, "query_id": payment.query_id}
    return VerifiedEvent(
        platform=PLATFORM,
        # With its code: news of another end of the same transaction is no repeat.
        event_id=f"{payment.query_id or payment.order_id + payment.txn_time}.{payment.code}",
        kind=_KINDS.get(payment.kind, NewsKind.OTHER) if is_done else NewsKind.OTHER,
        type_name=f"{payment.kind}/{fields.get('txnSubType', '')}",
        occurred_at=at,
        refs={name: text for name, text in refs.items() if text},
        operation_no=payment.order_id,
        content=dict(fields),
    )


def acknowledge(error: CouponError | None = None) -> Acknowledgement:
    """200 ends the delivery; anything else has it repeated."""
    return Acknowledgement(status=200 if error is None else 500, headers=(("Content-Type", "text/plain"),))
