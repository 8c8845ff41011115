"""Front-end sending: the H5 link and the mini-program plugin's parameters, signed by the APIv2 scheme (sheet 2.2).

Link and signature, parameters and signature are made from one structure, so a field cannot be in the one and missing
from the other, which is what most reports of a "bad sign" are (sheet 9, no. 11).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from unicom_coupon_adapters.wechatpay.signing import sign_v2
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ValidationError

PLUGIN_APPID = "wxf3f436ba9bd4be7b"
H5_PAGE = "https://action.weixin.qq.com/busifavor/getcouponinfo"
MOST_COUPONS = 10
MOST_OF_ONE_STOCK = 3


@dataclass(frozen=True, slots=True)
class FrontEndCoupon:
    """One coupon to be taken in the front end. ``coupon_code`` is given where the merchant sets codes at sending."""

    stock_id: str
    out_request_no: str
    coupon_code: str | None = field(default=None, repr=False)

    def fields(self) -> dict[str, str]:
        """The signed fields, in the platform's names; those without a value are absent."""
        code = {} if self.coupon_code is None else {"coupon_code": self.coupon_code}
        return {"stock_id": self.stock_id, "out_request_no": self.out_request_no, **code}


def h5_link(coupon: FrontEndCoupon, *, merchant: str, openid: str, apiv2_key: Secret) -> str:
    """The link on which the user takes ``coupon`` in WeChat. It holds openid and code: show it to that user only."""
    signed = {**coupon.fields(), "open_id": openid, "send_coupon_merchant": merchant}
    sign = sign_v2(signed, key=apiv2_key.reveal())
    order = ("stock_id", "out_request_no", "sign", "send_coupon_merchant", "open_id", "coupon_code")
    query = {name: value for name in order if (value := {**signed, "sign": sign}.get(name)) is not None}
    return f"{H5_PAGE}?{urlencode(query, quote_via=quote)}#wechat_redirect"


def plugin_parameters(coupons: Sequence[FrontEndCoupon], *, merchant: str, apiv2_key: Secret) -> dict[str, str]:
    """The attributes of the plugin's ``send-coupon`` component; ``send_coupon_params`` is JSON text.

    Raises ``ValidationError`` (``wechatpay.too_many_coupons``) above 10 coupons, or above 3 of one stock.
    """
    stocks = [coupon.stock_id for coupon in coupons]
    if not 0 < len(coupons) <= MOST_COUPONS or any(stocks.count(stock) > MOST_OF_ONE_STOCK for stock in stocks):
        raise ValidationError(
            "wechatpay.too_many_coupons",
            field="coupons",
            platform="wechatpay",
            longest=MOST_COUPONS,
            of_one_stock=MOST_OF_ONE_STOCK,
        )
    signed = {"send_coupon_merchant": merchant}
    for position, coupon in enumerate(coupons):
        signed |= {f"{name}{position}": value for name, value in coupon.fields().items()}
    return {
        "plugin": PLUGIN_APPID,
        "send_coupon_params": json.dumps([coupon.fields() for coupon in coupons], separators=(",", ":")),
        "send_coupon_merchant": merchant,
        "sign": sign_v2(signed, key=apiv2_key.reveal()),
    }
