"""商家券: the coupon family that merchants run themselves (sheet 2.1), and what its answers mean.

Every number that a call is idempotent by is made from our own ids, so telling the platform twice changes nothing:
stocks by template, uploads by batch and position, sends by binding, uses and returns by redemption and reversal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from unicom_coupon_adapters.wechatpay import messages
from unicom_coupon_adapters.wechatpay.gateway import Gateway
from unicom_coupon_adapters.wechatpay.outcomes import (
    code_of,
    done_at,
    done_by,
    instant_or_none,
    malformed,
    not_done,
    openid_of,
    text_of,
    undecided,
)
from unicom_coupon_adapters.wechatpay.sending import FrontEndCoupon, h5_link, plugin_parameters
from unicom_coupon_adapters.wechatpay.stocks import stock_body
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.redemption import Binding, HeldRedemption, HeldReversal, Listing, Outcome
from unicom_coupon_sdk.domain.sensitive import PlatformUser
from unicom_coupon_sdk.domain.times import rfc3339
from unicom_coupon_sdk.errors import PlatformRefused, PlatformUnknown, ValidationError
from unicom_coupon_sdk.platform.adapter import BindOrder, IssueOrder
from unicom_coupon_sdk.platform.effects import Flow

PLATFORM = "wechatpay"
CODES_PER_UPLOAD = 200


@dataclass(frozen=True, slots=True)
class UserCoupon:
    """A coupon in a user's card pack. ``state`` is the platform's word, which may be one that is not documented yet."""

    code: CouponCode | None
    stock_id: str
    state: str
    use_request_no: str | None
    return_request_no: str | None
    used_at: datetime | None
    returned_at: datetime | None
    content: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> UserCoupon:
        """From a coupon object of the platform; unknown fields stay in ``content``."""
        return cls(
            code=code_of(data.get("coupon_code")),
            stock_id=str(data.get("stock_id", "")),
            state=str(data.get("coupon_state", "")),
            use_request_no=text_of(data, "use_request_no"),
            return_request_no=text_of(data, "return_request_no"),
            used_at=instant_or_none(data.get("use_time")),
            returned_at=instant_or_none(data.get("return_time")),
            content=data,
        )


@dataclass(frozen=True, slots=True)
class CouponPage:
    """One page of a user's coupons."""

    total: int
    coupons: tuple[UserCoupon, ...]


class BusiFavor:
    """The 商家券 verbs over one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._settings = gateway.settings

    # --- stocks ---

    def issue(self, order: IssueOrder) -> Flow[Listing]:
        """A stock for the template, and its codes in it where codes are uploaded. Idempotent by template and batch."""
        template = order.template
        stock_id = order.listing.refs.get("stock_id") if order.listing is not None else None
        if stock_id is None:
            if self._settings.notify_url is not None:
                yield from self.set_callback_address(self._settings.notify_url)
            call = messages.CREATE_STOCK.call(stock_body(template, settings=self._settings))
            answer = yield from self._gateway.call(call)
            stock_id = answer.text("stock_id")
            if not stock_id:
                raise malformed(answer, field="stock_id")
        if self._settings.code_mode == "merchant_upload":
            yield from self._upload(stock_id, order)
        return Listing(template.template_id, PLATFORM, {"stock_id": stock_id})

    def read_stock(self, stock_id: str) -> Flow[Mapping[str, Any]]:
        """The stock as the platform has it, with ``stock_state`` and counts."""
        answer = yield from self._gateway.call(messages.READ_STOCK.call(path={"stock_id": stock_id}))
        return answer.content

    def _upload(self, stock_id: str, order: IssueOrder) -> Flow[None]:
        for position, codes in enumerate(_chunks(order.codes, CODES_PER_UPLOAD)):
            body = {
                "coupon_code_list": [code.reveal() for code in codes],
                "upload_request_no": f"{order.batch_id}_{position}",
            }
            call = messages.UPLOAD_CODES.call(body, path={"stock_id": stock_id})
            answer = yield from self._gateway.call(call)
            refused = answer.content.get("fail_count", 0)
            if refused:
                raise PlatformRefused(
                    "wechatpay.codes_refused", platform=PLATFORM, request_id=answer.request_id, count=refused
                )

    # --- giving ---

    def bind(self, order: BindOrder) -> Flow[Binding]:
        """The coupon in the user's card pack, or what the front end needs to let the user take it (``pending``)."""
        match self._settings.delivery:
            case "api":
                return (yield from self._send(order))
            case "h5":
                return self._h5(order)
            case "mini_program":
                return self._plugin(order)

    def _send(self, order: BindOrder) -> Flow[Binding]:
        openid = _openid_of_holder(order)
        stock_id = order.listing.refs["stock_id"]
        body = {
            "openid": openid.reveal(),
            "appid": self._settings.appid,
            "stock_id": stock_id,
            "out_request_no": order.binding_no,
            "coupon_code": order.code.reveal(),
        }
        answer = yield from self._gateway.call(messages.SEND_COUPON.call(body))
        given = answer.content.get("send_coupon_result", answer.content)
        if not isinstance(given, dict) or given.get("coupon_code") != order.code.reveal():
            # Another code of the pool: the user has a coupon that is not this one, and nobody may guess which.
            raise PlatformUnknown(
                "wechatpay.other_code", platform=PLATFORM, request_id=answer.request_id, reason="coupon_code"
            )
        return self._binding(order, user=openid, pending=False)

    def _h5(self, order: BindOrder) -> Binding:
        openid = _openid_of_holder(order)
        link = h5_link(
            self._front_end_coupon(order),
            merchant=self._settings.mchid,
            openid=openid.reveal(),
            apiv2_key=self._apiv2_key(),
        )
        return self._binding(order, user=openid, pending=True, refs={"url": link})

    def _plugin(self, order: BindOrder) -> Binding:
        parameters = plugin_parameters(
            [self._front_end_coupon(order)], merchant=self._settings.mchid, apiv2_key=self._apiv2_key()
        )
        return self._binding(order, user=order.holder.user, pending=True, refs=parameters)

    def _front_end_coupon(self, order: BindOrder) -> FrontEndCoupon:
        return FrontEndCoupon(
            stock_id=order.listing.refs["stock_id"],
            out_request_no=order.binding_no,
            coupon_code=order.code.reveal() if self._settings.code_mode == "merchant_api" else None,
        )

    def _binding(
        self, order: BindOrder, *, user: PlatformUser | None, pending: bool, refs: Mapping[str, str] | None = None
    ) -> Binding:
        own = {"stock_id": order.listing.refs["stock_id"], "binding_no": order.binding_no}
        return Binding(order.coupon_id, PLATFORM, user, {**own, **(refs or {})}, pending=pending)

    def _apiv2_key(self) -> Any:
        key = self._gateway.credentials.apiv2_key
        if key is None:
            raise ValidationError("wechatpay.apiv2_key_missing", field="apiv2_key", platform=PLATFORM)
        return key

    # --- using ---

    def redeem(self, held: HeldRedemption) -> Flow[Outcome]:
        """B8 by the redemption's id. With the openid the platform refuses anybody but the holder."""
        body = {
            "coupon_code": held.code.reveal(),
            "stock_id": held.listing.refs["stock_id"],
            "appid": self._settings.appid,
            "use_time": rfc3339(held.redemption.held_at),
            "use_request_no": held.redemption.redemption_id,
            "openid": held.binding.user.reveal() if held.binding.user is not None else None,
        }
        call = messages.USE_COUPON.call(body)
        answer = yield from self._gateway.call(call, not_after=held.redemption.deadline)
        return done_by(answer, time_field="wechatpay_use_time", number=held.redemption.redemption_id)

    def query(self, held: HeldRedemption) -> Flow[Outcome]:
        """Whether the coupon was used **by us**: the state alone does not say, our number does."""
        coupon = yield from self._read(held)
        if coupon is None:
            return not_done("wechatpay.coupon_gone", state="404")  # only unused coupons can be deleted (sheet 2.1)
        if not isinstance(coupon, UserCoupon):
            return coupon
        number = held.redemption.redemption_id
        is_ours = coupon.use_request_no == number
        if is_ours and (coupon.state == "USED" or (coupon.state == "DELETED" and coupon.return_request_no is None)):
            return done_at(coupon.used_at, number=number)
        if coupon.state == "USED" and coupon.use_request_no is not None:
            return not_done("wechatpay.used_elsewhere", state=coupon.state)
        if coupon.state in {"SENDED", "EXPIRED", "DEACTIVATED", "DELETED"}:
            return not_done("wechatpay.not_used", state=coupon.state)
        return undecided("wechatpay.undecided", state=coupon.state)

    def reverse(self, held: HeldReversal) -> Flow[Outcome]:
        """B9 by the reversal's id. After the coupon's last day the platform wants no call (sheet 2.1): none is made."""
        number = held.reversal.reversal_id
        if _is_past_return(held):
            return done_at(held.reversal.held_at, number=number)
        body = {
            "coupon_code": held.redeemed.code.reveal(),
            "stock_id": held.redeemed.listing.refs["stock_id"],
            "return_request_no": number,
        }
        call = messages.RETURN_COUPON.call(body)
        answer = yield from self._gateway.call(call, not_after=held.reversal.deadline)
        return done_by(answer, time_field="wechatpay_return_time", number=number)

    def query_reversal(self, held: HeldReversal) -> Flow[Outcome]:
        """Whether the coupon was returned by us. A coupon that was returned and used again still shows our number.

        Where nothing was to be returned the platform has nothing to say, and is not asked.
        """
        if _is_past_return(held):
            return done_at(held.reversal.held_at, number=held.reversal.reversal_id)
        coupon = yield from self._read(held.redeemed)
        if coupon is None:
            return undecided("wechatpay.undecided", state="404")
        if not isinstance(coupon, UserCoupon):
            return coupon
        number = held.reversal.reversal_id
        if coupon.return_request_no == number:
            return done_at(coupon.returned_at, number=number)
        if coupon.state == "USED":
            return not_done("wechatpay.not_returned", state=coupon.state)
        if coupon.state == "SENDED" and coupon.return_request_no is not None:
            return not_done("wechatpay.returned_elsewhere", state=coupon.state)
        return undecided("wechatpay.undecided", state=coupon.state)

    def _read(self, held: HeldRedemption) -> Flow[UserCoupon | Outcome | None]:
        """The coupon; ``None`` when the platform has none; an outcome when it cannot be asked."""
        openid = openid_of(held.binding)
        if openid is None:
            return undecided("wechatpay.no_openid", state="-")
        path = {"openid": openid, "coupon_code": held.code.reveal(), "appid": self._settings.appid}
        try:
            answer = yield from self._gateway.call(messages.READ_COUPON.call(path=path))
        except PlatformRefused as error:
            if error.code != "wechatpay.not_found":
                raise
            return None
        return UserCoupon.of(answer.content)

    def void(self, code: CouponCode, *, listing: Listing, void_no: str, reason: str) -> Flow[Outcome]:
        """B10 by ``void_no``."""
        body = {
            "coupon_code": code.reveal(),
            "stock_id": listing.refs["stock_id"],
            "deactivate_request_no": void_no,
            "deactivate_reason": reason[:64] or None,
        }
        answer = yield from self._gateway.call(messages.DEACTIVATE_COUPON.call(body))
        return done_by(answer, time_field="wechatpay_deactivate_time", number=void_no)

    # --- orders, lists, callbacks ---

    def associate(self, code: CouponCode, *, stock_id: str, order_no: str, request_no: str) -> Flow[datetime]:
        """Tie an unused coupon to an order, for the platform's statistics; it is not redeemed by it."""
        return (
            yield from self._link(
                messages.ASSOCIATE_ORDER, code, (stock_id, order_no, request_no), "wechatpay_associate_time"
            )
        )

    def disassociate(self, code: CouponCode, *, stock_id: str, order_no: str, request_no: str) -> Flow[datetime]:
        """Undo ``associate``."""
        return (
            yield from self._link(
                messages.DISASSOCIATE_ORDER, code, (stock_id, order_no, request_no), "wechatpay_disassociate_time"
            )
        )

    def _link(
        self, api: messages.Api, code: CouponCode, numbers: tuple[str, str, str], time_field: str
    ) -> Flow[datetime]:
        stock_id, order_no, request_no = numbers
        body = {
            "stock_id": stock_id,
            "coupon_code": code.reveal(),
            "out_trade_no": order_no,
            "out_request_no": request_no,
        }
        answer = yield from self._gateway.call(api.call(body))
        at = instant_or_none(answer.content.get(time_field))
        if at is None:
            raise malformed(answer, field=time_field)
        return at

    def user_coupons(
        self,
        user: PlatformUser,
        *,
        stock_id: str | None = None,
        state: str | None = None,
        page: int = 0,
        page_size: int = 20,
    ) -> Flow[CouponPage]:
        """One page of the coupons a user has from us; ``page`` counts from 0."""
        query = {
            "appid": self._settings.appid,
            "stock_id": stock_id,
            "coupon_state": state,
            "belong_merchant": self._settings.mchid,
            "offset": page,
            "limit": page_size,
        }
        call = messages.LIST_COUPONS.call(path={"openid": user.reveal()}, query=query)
        answer = yield from self._gateway.call(call)
        entries = answer.content.get("data", [])
        return CouponPage(
            total=int(answer.content.get("total_count", 0)),
            coupons=tuple(UserCoupon.of(entry) for entry in entries if isinstance(entry, dict)),
        )

    def user_coupon(self, user: PlatformUser, *, code: CouponCode) -> Flow[UserCoupon]:
        """One coupon of a user. Raises ``PlatformRefused`` (``wechatpay.not_found``)."""
        path = {"openid": user.reveal(), "coupon_code": code.reveal(), "appid": self._settings.appid}
        answer = yield from self._gateway.call(messages.READ_COUPON.call(path=path))
        return UserCoupon.of(answer.content)

    def callback_address(self) -> Flow[str | None]:
        """Where the platform sends news of 商家券; ``None`` when no address was set."""
        try:
            answer = yield from self._gateway.call(messages.READ_CALLBACK.call(query={"mchid": self._settings.mchid}))
        except PlatformRefused as error:
            if error.details.get("status") != 404:
                raise
            return None
        return answer.text("notify_url")

    def set_callback_address(self, url: str) -> Flow[None]:
        """Have news of 商家券 sent to ``url``. Setting the same address again changes nothing."""
        yield from self._gateway.call(messages.SET_CALLBACK.call({"mchid": self._settings.mchid, "notify_url": url}))


def _is_past_return(held: HeldReversal) -> bool:
    """Whether the coupon's last day was over when the reversal began: then the platform wants no call (sheet 2.1)."""
    return held.reversal.held_at >= held.redeemed.template.valid_until


def _openid_of_holder(order: BindOrder) -> PlatformUser:
    if order.holder.user is None:
        raise ValidationError("wechatpay.openid_required", field="holder.user", platform=PLATFORM)
    return order.holder.user


def _chunks(codes: Sequence[CouponCode], size: int) -> Iterator[Sequence[CouponCode]]:
    for start in range(0, len(codes), size):
        yield codes[start : start + size]
