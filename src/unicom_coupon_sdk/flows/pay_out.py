"""Pay out: the money of a cash coupon goes to its holder's account on a platform.

A pay-out is the redemption of a cash coupon: the same hold, the same idempotency key, the same conclusion, the same
recovery. So a coupon cannot be paid out twice, nor paid out here and redeemed there. What differs is the adapter's
verb, the screening of the payee, and that the platform may first wait for its user (PENDING).
"""

from __future__ import annotations

from unicom_coupon_sdk.domain.coupon import Cash
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.redemption import HeldRedemption, Outcome, PayOut, PayOutRequest, RedeemRequest
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.flows.redeem import INSTRUCTIONS, Spending, spend
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.platform.adapter import PlatformAdapter
from unicom_coupon_sdk.platform.effects import Flow, Transact
from unicom_coupon_sdk.platform.profile import Capability


def pay_out(request: PayOutRequest, *, setting: Setting) -> Flow[PayOut]:
    """The pay-out: ``DONE``, ``PENDING`` until the user has taken the money, or ``UNKNOWN``.

    Once by ``idempotency_key``, for ever: the platform's request number is the redemption's id, made with the hold.
    A repeat gives the same pay-out, with the instructions for the front end while it is PENDING. Refusals are raised
    as ``redeem`` raises them, and ``ComplianceError`` when the payee's screening refuses.
    """
    adapter = setting.adapter(request.platform)
    wish = RedeemRequest(
        idempotency_key=request.idempotency_key,
        platform=request.platform,
        coupon=request.coupon,
        order=Order(order_no=request.reference, amount_fen=0),  # there is nothing that the cash is taken off
        proof=request.proof,
    )
    spending = Spending(wish, Capability.PAY_OUT, adapter.pay_out, payee_name=request.payee_name)
    redemption = yield from spend(spending, setting=setting)
    instructions = {}
    if redemption.state is OperationState.PENDING:
        held = yield from Transact(setting.ledger.held(redemption.redemption_id))
        instructions = {
            name.removeprefix(INSTRUCTIONS): value
            for name, value in held.binding.refs.items()
            if name.startswith(INSTRUCTIONS)
        }
    return PayOut(redemption=redemption, instructions=instructions)


def is_pay_out(held: HeldRedemption, adapter: PlatformAdapter) -> bool:
    """Whether ``held`` was, or would be, carried out by a transfer and not by a coupon call."""
    return isinstance(held.template.benefit, Cash) and Capability.PAY_OUT in adapter.profile.capabilities


def asked_of(held: HeldRedemption, adapter: PlatformAdapter) -> Flow[Outcome]:
    """What the platform knows of ``held``, by the query that fits it."""
    return adapter.query_pay_out(held) if is_pay_out(held, adapter) else adapter.query(held)
