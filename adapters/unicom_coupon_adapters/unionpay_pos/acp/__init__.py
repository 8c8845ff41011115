"""UnionPay's online gateway (ACP, 全渠道): payments, refunds, notices and bills (sheet 10 and 11.3).

Used where a coupon is applied inside a UnionPay online or QR payment, and to fetch bills. Nothing here does I/O:
``UnionPayPosAdapter.acp`` hands out flows to run with ``client.run(…)``.
"""

from __future__ import annotations

from unicom_coupon_adapters.unionpay_pos.acp.notices import payment_of_notice
from unicom_coupon_adapters.unionpay_pos.acp.payment import Instruction, Payment, PaymentState, UsedCoupon

__all__ = ["Instruction", "Payment", "PaymentState", "UsedCoupon", "payment_of_notice"]
