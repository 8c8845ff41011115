"""Bind: give a coupon to its holder on a platform."""

from __future__ import annotations

from dataclasses import replace

from unicom_coupon_sdk.domain.redemption import Binding
from unicom_coupon_sdk.domain.requests import BindRequest
from unicom_coupon_sdk.errors import CallerError, CouponStateError, PlatformRefused
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.platform.adapter import BindOrder
from unicom_coupon_sdk.platform.effects import Flow, NewId, Now, Transact
from unicom_coupon_sdk.platform.profile import Capability


def bind(request: BindRequest, *, setting: Setting) -> Flow[Binding]:
    """The binding, ``pending`` when the holder must still take the coupon on the platform.

    Idempotent by coupon and platform: the platform is told with one number for ever. Raises ``CouponStateError`` when
    the coupon belongs to another holder or is past use, ``LimitError`` above the template's ``max_per_holder``. When
    the platform definitely refuses, the coupon is free for another holder again.
    """
    adapter = setting.adapter(request.platform)
    adapter.profile.require(Capability.BIND)
    ledger = setting.ledger
    coupon = yield from Transact(ledger.coupon_of_code(request.coupon))
    if request.platform not in coupon.template.platforms:
        raise CouponStateError("coupon.not_on_platform", field="platform", platform=request.platform)
    listing = yield from Transact(ledger.listing(coupon.template.template_id, request.platform))
    if listing is None:
        raise CouponStateError("coupon.not_listed", field="coupon", platform=request.platform)
    binding_no = yield from NewId()
    now = yield from Now()
    ticket = yield from Transact(
        ledger.start_binding(coupon.coupon_id, request.platform, request.holder, binding_no=binding_no, now=now)
    )
    if ticket.binding is not None and not ticket.binding.pending:
        return ticket.binding
    order = BindOrder(
        coupon_id=coupon.coupon_id,
        code=coupon.code,
        template=coupon.template,
        listing=listing,
        holder=request.holder,
        binding_no=ticket.binding_no,
    )
    try:
        told = yield from adapter.bind(order)
    except (CallerError, PlatformRefused):
        yield from Transact(ledger.drop_binding(coupon.coupon_id, request.platform))
        raise
    kept = replace(told, refs=adapter.compliance.kept(told.refs))
    now = yield from Now()
    yield from Transact(ledger.finish_binding(kept, holder=request.holder, now=now))
    return told
