"""Notify: take in news from a platform. Verified over the received bytes first, deduplicated, then acted upon.

News may be late, repeated and out of order. It never overwrites: a delivery binds a coupon that is waiting for it, and
news of a redemption makes us ask about what is open. What the ledger has concluded stands.
"""

from __future__ import annotations

from dataclasses import dataclass

from unicom_coupon_sdk.domain.events import Acknowledgement, NewsKind, VerifiedEvent
from unicom_coupon_sdk.domain.order import Holder
from unicom_coupon_sdk.domain.redemption import Binding
from unicom_coupon_sdk.errors import CouponStateError, PlatformError
from unicom_coupon_sdk.flows.recover import resolve
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.platform.effects import Flow, Now, Transact
from unicom_coupon_sdk.platform.profile import Capability
from unicom_coupon_sdk.platform.wire import Headers


@dataclass(frozen=True, slots=True)
class Notice:
    """News, and the answer to give for it. ``is_repeat``: it was taken in before, and nothing was done now."""

    event: VerifiedEvent
    is_repeat: bool
    acknowledgement: Acknowledgement


def notify(platform: str, headers: Headers, body: bytes, *, setting: Setting) -> Flow[Notice]:
    """The verified news. Acted upon once by the platform's event id.

    Raises ``ForgedMessage`` when its signature, serial, time or nonce is wrong: answer with
    ``adapter.acknowledge(error)`` so that a genuine copy is sent again.
    """
    adapter = setting.adapter(platform)
    adapter.profile.require(Capability.NOTIFY)
    event = yield from adapter.parse_notification(headers, body)
    now = yield from Now()
    is_repeat = yield from Transact(setting.ledger.has_received(event))
    if not is_repeat:
        if event.kind is NewsKind.DELIVERED:
            yield from _deliver(event, setting=setting)
        elif event.operation_no is not None:
            yield from _look_again(event.operation_no, setting=setting)
        # Recorded last: a crash before this makes the platform's repeat do the work again, which changes nothing.
        yield from Transact(setting.ledger.receive(event, now=now))
    return Notice(event=event, is_repeat=is_repeat, acknowledgement=adapter.acknowledge(event=event))


def _deliver(event: VerifiedEvent, *, setting: Setting) -> Flow[None]:
    """The user has taken the coupon: finish its binding. Coupons that are not ours are left alone."""
    if event.code is None or event.user is None:
        return
    adapter = setting.adapter(event.platform)
    try:
        coupon = yield from Transact(setting.ledger.coupon_of_code(event.code))
    except CouponStateError:
        return
    binding = Binding(
        coupon_id=coupon.coupon_id,
        platform=event.platform,
        user=event.user,
        refs=adapter.compliance.kept(event.refs),
    )
    now = yield from Now()
    yield from Transact(setting.ledger.finish_binding(binding, holder=Holder(user=event.user), now=now))


def _look_again(operation_no: str, *, setting: Setting) -> Flow[None]:
    """News of an operation of ours makes us ask about it, if it is open; the news itself decides nothing."""
    now = yield from Now()
    for item in (yield from Transact(setting.ledger.unsettled_of(operation_no, before=now))):
        try:
            yield from resolve(item, setting=setting)
        except PlatformError:  # it stays open, and ``recover`` will ask
            continue
