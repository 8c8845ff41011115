"""Issue: make coupons, and list them on their platforms.

The ledger comes first: the batch and its codes are durable before a platform hears of them, and each platform's
listing is recorded as soon as it is known. A crash between leaves a batch that the same request, or ``recover``,
carries on; platforms are told with numbers made from the template and the batch, so telling them twice changes nothing.
"""

from __future__ import annotations

from unicom_coupon_sdk.domain.code import RANDOM_BYTES
from unicom_coupon_sdk.domain.redemption import Listing
from unicom_coupon_sdk.domain.requests import IssuedBatch, IssueRequest
from unicom_coupon_sdk.errors import UnsupportedOperation
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.ledger import Batch, IssueWish
from unicom_coupon_sdk.platform.adapter import IssueOrder
from unicom_coupon_sdk.platform.effects import Flow, NewId, Now, RandomBytes, Transact
from unicom_coupon_sdk.platform.profile import Capability

_ENTROPY_BYTES = 2 * RANDOM_BYTES


def issue(request: IssueRequest, *, setting: Setting) -> Flow[IssuedBatch]:
    """Coupons as asked for, known to each of the template's platforms.

    Idempotent by ``idempotency_key``. Raises ``UnsupportedOperation`` for a kind of coupon that one of the platforms
    lacks, ``IdempotencyConflict``, ``LimitError`` above the template's ``max_total``, and ``PlatformError`` when a
    platform refused or did not answer: repeat the same request then.
    """
    template = request.template
    for platform in sorted(template.platforms):
        profile = setting.adapter(platform).profile
        profile.require(Capability.ISSUE)
        if template.benefit.kind not in profile.coupon_kinds:
            raise UnsupportedOperation("coupon.kind_not_offered", platform=platform, kind=template.benefit.kind)
    now = yield from Now()
    wish = IssueWish(
        merchant_id=setting.merchant_id,
        idempotency_key=request.idempotency_key,
        batch_id=(yield from NewId()),
        template=template,
        count=request.count,
        entropy=(yield from RandomBytes(_ENTROPY_BYTES * request.count)),
        now=now,
    )
    batch = yield from Transact(setting.ledger.issue(wish))
    return (yield from register(batch, setting=setting))


def register(batch: Batch, *, setting: Setting) -> Flow[IssuedBatch]:
    """Tell each platform that has not heard of ``batch`` yet."""
    template = batch.template
    refs = {}
    for platform in sorted(template.platforms):
        adapter = setting.adapter(platform)
        listing = yield from Transact(setting.ledger.listing(template.template_id, platform))
        if platform not in batch.registered:
            order = IssueOrder(
                template=template,
                codes=tuple(coupon.code for coupon in batch.coupons),
                batch_id=batch.batch_id,
                listing=listing,
            )
            told = yield from adapter.issue(order)
            listing = Listing(told.template_id, told.platform, adapter.compliance.kept(told.refs))
            now = yield from Now()
            yield from Transact(setting.ledger.save_listing(listing, batch_id=batch.batch_id, now=now))
        if listing is not None:
            refs[platform] = dict(listing.refs)
    return IssuedBatch(batch_id=batch.batch_id, coupons=batch.coupons, refs=refs, is_repeat=batch.is_repeat)
