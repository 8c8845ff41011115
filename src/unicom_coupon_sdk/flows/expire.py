"""Expire and void: coupons that will not be used."""

from __future__ import annotations

from dataclasses import dataclass

from unicom_coupon_sdk.domain.coupon import Coupon
from unicom_coupon_sdk.domain.requests import VoidRequest
from unicom_coupon_sdk.errors import CouponError
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.platform.effects import Flow, Now, Transact
from unicom_coupon_sdk.platform.profile import Capability


@dataclass(frozen=True, slots=True)
class Voided:
    """A voided coupon, and the platforms that could not be told. They cannot redeem it either: we would not hold it."""

    coupon: Coupon
    errors: tuple[CouponError, ...]


def expire(*, setting: Setting, limit: int = 1000) -> Flow[int]:
    """How many coupons past their last day were moved to EXPIRED, at most ``limit``. Held ones wait for their end."""
    now = yield from Now()
    return (yield from Transact(setting.ledger.expire(now, limit=limit)))


def void(request: VoidRequest, *, setting: Setting) -> Flow[Voided]:
    """Withdraw a coupon that is neither used nor in use: here first, then on every platform that has it.

    Idempotent by coupon. Raises ``CouponStateError`` for a coupon that is redeemed, held or expired.
    """
    ledger = setting.ledger
    coupon = yield from Transact(ledger.coupon_of_code(request.coupon))
    now = yield from Now()
    voided = yield from Transact(ledger.void(coupon.coupon_id, now=now))
    errors: list[CouponError] = []
    for binding in (yield from Transact(ledger.bindings(coupon.coupon_id))):
        listing = yield from Transact(ledger.listing(coupon.template.template_id, binding.platform))
        adapter = setting.adapters.get(binding.platform)
        if adapter is None or listing is None or binding.pending or Capability.VOID not in adapter.profile.capabilities:
            continue
        try:
            yield from adapter.void(
                binding, code=coupon.code, listing=listing, void_no=f"V{coupon.coupon_id}", reason=request.reason
            )
        except CouponError as error:
            errors.append(error)
    return Voided(coupon=voided, errors=tuple(errors))
