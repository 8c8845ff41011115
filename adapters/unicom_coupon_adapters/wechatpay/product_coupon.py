"""商品券: the family that is tied to an order (sheet 2.4), in the partner variant, with the brand's own stock.

A received coupon cannot be used until it is confirmed, so ``bind`` sends and confirms. ``redeem`` needs the order's
number at WeChat Pay; without one nothing is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from unicom_coupon_adapters.wechatpay import messages
from unicom_coupon_adapters.wechatpay.gateway import Answer, Gateway
from unicom_coupon_adapters.wechatpay.outcomes import (
    done_at,
    done_by,
    instant_or_none,
    malformed,
    not_done,
    openid_of,
    text_of,
    undecided,
)
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.redemption import Binding, HeldRedemption, HeldReversal, Listing, Outcome
from unicom_coupon_sdk.domain.times import rfc3339
from unicom_coupon_sdk.errors import ComplianceError, PlatformRefused, ValidationError
from unicom_coupon_sdk.platform.adapter import BindOrder, IssueOrder
from unicom_coupon_sdk.platform.effects import Flow

PLATFORM = "wechatpay"
CODES_PER_UPLOAD = 200
CONFIRM_SUFFIX = "C"


@dataclass(frozen=True, slots=True)
class ProductCoupon:
    """A user's 商品券 as every call of the family answers it."""

    state: str
    use_request_no: str | None
    used_at: datetime | None
    return_request_no: str | None
    returned_at: datetime | None
    content: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> ProductCoupon:
        """From the platform's object; the numbers are in ``single_usage_detail``."""
        detail = data.get("single_usage_detail")
        used: Mapping[str, Any] = detail if isinstance(detail, dict) else {}
        return cls(
            state=str(data.get("coupon_state", "")),
            use_request_no=text_of(used, "use_request_no"),
            used_at=instant_or_none(used.get("use_time")),
            return_request_no=text_of(used, "return_request_no"),
            returned_at=instant_or_none(used.get("return_time")),
            content=data,
        )


class ProductCoupons:
    """The 商品券 verbs over one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._settings = gateway.settings

    def issue(self, order: IssueOrder) -> Flow[Listing]:
        """The listing of the brand's product and stock that the settings name, with our codes uploaded if so set."""
        settings = self._settings
        refs = {
            "brand_id": settings.brand_id or "",
            "product_coupon_id": settings.product_coupon_id or "",
            "stock_id": settings.product_stock_id or "",
        }
        if settings.code_mode == "merchant_upload":
            path = {"product_coupon_id": refs["product_coupon_id"], "stock_id": refs["stock_id"]}
            for start in range(0, len(order.codes), CODES_PER_UPLOAD):
                body = {
                    "brand_id": refs["brand_id"],
                    "out_request_no": f"{order.batch_id}_{start // CODES_PER_UPLOAD}",
                    "code_list": [code.reveal() for code in order.codes[start : start + CODES_PER_UPLOAD]],
                }
                answer = yield from self._gateway.call(messages.PRODUCT_UPLOAD_CODES.call(body, path=path))
                refused = answer.content.get("failed_code_list") or []
                if refused:
                    raise PlatformRefused(
                        "wechatpay.codes_refused", platform=PLATFORM, request_id=answer.request_id, count=len(refused)
                    )
        return Listing(order.template.template_id, PLATFORM, refs)

    def bind(self, order: BindOrder) -> Flow[Binding]:
        """The coupon sent to the user, and confirmed, since it cannot be used before (sheet 2.4)."""
        user = order.holder.user
        if user is None:
            raise ValidationError("wechatpay.openid_required", field="holder.user", platform=PLATFORM)
        body = {**self._ids(order.listing), "send_request_no": order.binding_no, "coupon_code": order.code.reveal()}
        answer = yield from self._gateway.call(messages.PRODUCT_SEND.call(body, path={"openid": user.reveal()}))
        coupon = ProductCoupon.of(answer.content)
        if coupon.state in {"", "CONFIRMING"}:
            coupon = yield from self.confirm(
                user.reveal(), code=order.code, listing=order.listing, request_no=order.binding_no + CONFIRM_SUFFIX
            )
        refs = {**order.listing.refs, "binding_no": order.binding_no}
        return Binding(order.coupon_id, PLATFORM, user, refs, pending=coupon.state == "CONFIRMING")

    def confirm(self, openid: str, *, code: CouponCode, listing: Listing, request_no: str) -> Flow[ProductCoupon]:
        """Make a received coupon usable. For coupons that came by another channel, call it on their SEND event."""
        body = {**self._ids(listing), "out_request_no": request_no}
        path = {"openid": openid, "coupon_code": code.reveal()}
        answer = yield from self._gateway.call(messages.PRODUCT_CONFIRM.call(body, path=path))
        return ProductCoupon.of(answer.content)

    def redeem(self, held: HeldRedemption) -> Flow[Outcome]:
        """Use by the redemption's id. Raises ``ComplianceError`` without the WeChat Pay number of the order."""
        order, number = held.redemption.order, held.redemption.redemption_id
        if order.platform_order_no is None:
            raise ComplianceError("wechatpay.order_required", field="order.platform_order_no", platform=PLATFORM)
        body = {
            **self._ids(held.listing),
            "use_time": rfc3339(held.redemption.held_at),
            "out_request_no": number,
            "store_id": order.store_no,
            "saved_amount": held.redemption.value_fen,
            "associated_order_info": {"transaction_id": order.platform_order_no},
        }
        call = messages.PRODUCT_USE.call(body, path=self._path(held))
        answer = yield from self._gateway.call(call, not_after=held.redemption.deadline)
        coupon = ProductCoupon.of(answer.content)
        return done_at(_time_of(answer, coupon.used_at), number=number)

    def query(self, held: HeldRedemption) -> Flow[Outcome]:
        """Whether the coupon was used by us."""
        coupon = yield from self._read(held)
        if coupon is None:
            return not_done("wechatpay.coupon_gone", state="404")  # only unused coupons can be deleted
        if not isinstance(coupon, ProductCoupon):
            return coupon
        number = held.redemption.redemption_id
        if coupon.state == "USED" and coupon.use_request_no == number:
            return done_at(coupon.used_at, number=number)
        if coupon.state == "USED" and coupon.use_request_no is not None:
            return not_done("wechatpay.used_elsewhere", state=coupon.state)
        if coupon.state in {"CONFIRMING", "PENDING", "EFFECTIVE", "EXPIRED", "DEACTIVATED", "DELETED"}:
            return not_done("wechatpay.not_used", state=coupon.state)
        return undecided("wechatpay.undecided", state=coupon.state)

    def reverse(self, held: HeldReversal) -> Flow[Outcome]:
        """Return by the reversal's id."""
        number = held.reversal.reversal_id
        body = {**self._ids(held.redeemed.listing), "out_request_no": number}
        call = messages.PRODUCT_RETURN.call(body, path=self._path(held.redeemed))
        answer = yield from self._gateway.call(call, not_after=held.reversal.deadline)
        coupon = ProductCoupon.of(answer.content)
        return done_at(_time_of(answer, coupon.returned_at), number=number)

    def query_reversal(self, held: HeldReversal) -> Flow[Outcome]:
        """Whether the coupon was returned by us."""
        coupon = yield from self._read(held.redeemed)
        if coupon is None:
            return undecided("wechatpay.undecided", state="404")
        if not isinstance(coupon, ProductCoupon):
            return coupon
        number = held.reversal.reversal_id
        if coupon.return_request_no == number:
            return done_at(coupon.returned_at, number=number)
        if coupon.state == "USED":
            return not_done("wechatpay.not_returned", state=coupon.state)
        if coupon.state == "EFFECTIVE" and coupon.return_request_no is not None:
            return not_done("wechatpay.returned_elsewhere", state=coupon.state)
        return undecided("wechatpay.undecided", state=coupon.state)

    def void(
        self, openid: str | None, *, code: CouponCode, listing: Listing, void_no: str, reason: str
    ) -> Flow[Outcome]:
        """Deactivate by ``void_no``."""
        if openid is None:
            raise ValidationError("wechatpay.openid_required", field="binding.user", platform=PLATFORM)
        body = {**self._ids(listing), "out_request_no": void_no, "deactivate_reason": reason[:150]}
        path = {"openid": openid, "coupon_code": code.reveal()}
        answer = yield from self._gateway.call(messages.PRODUCT_DEACTIVATE.call(body, path=path))
        return done_by(answer, time_field="deactivate_time", number=void_no)

    def read(self, openid: str, *, code: CouponCode, listing: Listing) -> Flow[ProductCoupon]:
        """The coupon as the platform has it. Raises ``PlatformRefused`` when it is not there."""
        call = messages.PRODUCT_READ.call(
            path={"openid": openid, "coupon_code": code.reveal()}, query=self._ids(listing)
        )
        answer = yield from self._gateway.call(call)
        return ProductCoupon.of(answer.content)

    def _read(self, held: HeldRedemption) -> Flow[ProductCoupon | Outcome | None]:
        """The coupon; ``None`` when the platform has none; an outcome when it cannot be asked."""
        openid = openid_of(held.binding)
        if openid is None:
            return undecided("wechatpay.no_openid", state="-")
        try:
            return (yield from self.read(openid, code=held.code, listing=held.listing))
        except PlatformRefused as error:
            if error.code not in {"wechatpay.not_found", "wechatpay.coupon_deleted"}:
                raise
            return None

    def _ids(self, listing: Listing) -> dict[str, str]:
        return {name: listing.refs[name] for name in ("brand_id", "product_coupon_id", "stock_id")} | {
            "appid": self._settings.appid
        }

    def _path(self, held: HeldRedemption) -> dict[str, str]:
        openid = openid_of(held.binding)
        if openid is None:
            raise ValidationError("wechatpay.openid_required", field="binding.user", platform=PLATFORM)
        return {"openid": openid, "coupon_code": held.code.reveal()}


def _time_of(answer: Answer, at: datetime | None) -> datetime:
    if at is None:
        raise malformed(answer, field="single_usage_detail")
    return at
