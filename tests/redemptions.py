"""A redemption as a value, for tests that need one and no ledger."""

from tests.driving import START
from unicom_coupon_sdk import OperationState, Order
from unicom_coupon_sdk.domain.redemption import Redemption


def redemption():
    return Redemption(
        redemption_id="R1",
        idempotency_key="k1",
        coupon_id="C1",
        template_id="T1",
        merchant_id="m",
        platform="testpay",
        order=Order(order_no="A1", amount_fen=100),
        value_fen=10,
        state=OperationState.HELD,
        held_at=START,
        deadline=START,
    )
