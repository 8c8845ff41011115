"""Challenge: tell the holder how to prove who they are."""

from __future__ import annotations

from datetime import timedelta

from unicom_coupon_sdk.domain.requests import ChallengeRequest
from unicom_coupon_sdk.domain.verification import Challenge
from unicom_coupon_sdk.errors import VerificationError
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.platform.adapter import ChallengeOrder
from unicom_coupon_sdk.platform.effects import Flow, NewId, Now, RandomBytes, Transact
from unicom_coupon_sdk.platform.profile import Capability

LIFETIME_S = 301
"""A challenge is answered before this, so its 300th second counts: the shortest life of any platform (bank §3.9)."""


def challenge(request: ChallengeRequest, *, setting: Setting) -> Flow[Challenge]:
    """A challenge for this coupon and order, to be answered within 300 s and used once.

    Raises ``VerificationError`` for a method that the platform does not take, ``CouponStateError`` for a coupon that
    could not be redeemed now anyway.
    """
    adapter = setting.adapter(request.platform)
    adapter.profile.require(Capability.CHALLENGE)
    if request.method not in adapter.profile.methods:
        raise VerificationError(
            "verification.method", field="method", platform=request.platform, method=request.method.value
        )
    presented = yield from setting.guard.present(request.coupon, platform=request.platform)
    now = yield from Now()
    refusal = presented.coupon.refusal_at(now)
    if refusal is not None:
        raise refusal
    value_fen = presented.coupon.template.value_at(request.order.amount_fen)
    order = ChallengeOrder(
        challenge_id=(yield from NewId()),
        method=request.method,
        code=presented.coupon.code,
        binding=presented.binding,
        listing=presented.listing,
        order=request.order,
        nonce=(yield from RandomBytes(16)),
        expires_at=now + timedelta(seconds=LIFETIME_S),
        value_fen=value_fen,
    )
    instructions = yield from adapter.challenge(order)
    made = Challenge(
        challenge_id=order.challenge_id,
        coupon_id=presented.coupon.coupon_id,
        platform=request.platform,
        method=request.method,
        expires_at=order.expires_at,
        instructions=dict(instructions),
    )
    yield from Transact(setting.ledger.open_challenge(made))
    return made
