"""The two faces of 商品券: a partner that names a brand in each call, and the brand itself (sheet §2.4).

Both serve the same operations; this module reads which brand a call is for, keeps the two apart in events, and holds
the refusals with their Request-ID tails. The partner may act for any brand id here; what it made for one brand is
unknown to every other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.fields import Members, Rule, Text, Url
from unicom_coupon_adapters.wechatpay.emulation.platform_keys import APPID
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal, not_there
from unicom_coupon_adapters.wechatpay.emulation.repeats import once
from unicom_coupon_adapters.wechatpay.emulation.world import Call, Handler, Reply, Route, World

PARTNER: Final = "/v3/marketing/partner/product-coupon"
BRAND: Final = "/brand/marketing/product-coupon"
NUMBER: Final = Text(40, shortest=6, required=True, pattern=r"[0-9A-Za-z_\-]+")
_BRAND_ID: Final = Text(32, required=True, pattern=r"[0-9]+")

TAILS: Final[Mapping[str, int]] = {
    "expired": 268578776,
    "state": 268578367,
    "deleted": 272756769,
    "outside_validity": 272755715,
    "appid": 268578704,
    "same_number": 268578927,
    "send_again": 272755200,
    "user_limit": 272756740,
    "stock_state": 268577984,
    "unknown": 268578608,
    "parameter": 268578101,
}


def read_body(call: Call, members: Mapping[str, Rule]) -> tuple[str, dict[str, Any]]:
    """The brand and the checked body. A partner names ``brand_id`` in it; a brand must not."""
    if call.caller.brand_id is not None:
        return call.caller.brand_id, call.body(Members(members))
    body = call.body(Members({"brand_id": _BRAND_ID, **members}))
    return body["brand_id"], body


def read_brand(call: Call) -> str:
    """The brand of a call without a body: the signer, or the partner's ``brand_id`` in the query."""
    return call.caller.brand_id or call.query_value("brand_id", _BRAND_ID) or ""


def once_by_number(
    call: Call, operation: str, number: str, body: Mapping[str, Any], act: Callable[[], dict[str, Any]]
) -> Reply:
    """``repeats.once`` with this family's own refusal for other data under the same number."""
    return once(call, f"product.{operation}", number, body, act=act, conflict=_conflict)


def refused(reason: str, zh: str, en: str) -> Refusal:
    """400 ``INVALID_REQUEST`` with the tail of ``reason``."""
    return Refusal("INVALID_REQUEST", zh, en, tail=TAILS[reason])


def unknown(zh: str, en: str) -> Refusal:
    """404 for what does not exist or belongs to another brand."""
    return not_there(zh, en, tail=TAILS["unknown"])


def check_brand_appid(appid: str) -> None:
    """400 unless the appid is linked to the brand."""
    if appid != APPID:
        raise refused("appid", "appid与品牌未关联", "The appid is not linked to the brand.")


def set_notify_url(call: Call) -> Reply:
    """Where this caller's events go: partner-wide, or the brand's own."""
    body = call.body(Members({"notify_url": Url(required=True)}))
    call.store.put("product-callback-url", call.caller.name, body)
    return {**body, "update_time": call.world.now_text()}


def read_notify_url(call: Call) -> Reply:
    """The address in force."""
    kept = call.store.get("product-callback-url", call.caller.name)
    if kept is None:
        raise unknown("未设置通知地址", "No address has been set.")
    return kept


def both(method: str, path: str, handler: Handler) -> tuple[Route, Route]:
    """The route for partner and brand."""
    return Route(method, PARTNER + path, handler), Route(method, BRAND + path, handler)


def product_of(world: World, product_id: str, *, brand_id: str) -> dict[str, Any]:
    """The product coupon of that brand. Raises 404."""
    kept = world.store.get("product", product_id)
    if kept is None or kept["brand_id"] != brand_id:
        raise unknown("商品券不存在", "There is no such product coupon.")
    return kept


def stock_of(world: World, product_id: str, stock_id: str, *, brand_id: str) -> dict[str, Any]:
    """The stock of that product coupon and brand. Raises 404."""
    kept = world.store.get("product-stock", stock_id)
    if kept is None or kept["brand_id"] != brand_id or kept["product_coupon_id"] != product_id:
        raise unknown("批次不存在", "There is no such stock.")
    return kept


def _conflict() -> Refusal:
    return refused("same_number", "同一请求单号的参数不一致", "The request number was used with other parameters.")


ROUTES: Final = (
    Route("POST", PARTNER + "/notify-configs", set_notify_url),
    Route("GET", PARTNER + "/notify-configs", read_notify_url),
    Route("POST", BRAND + "/notify-config", set_notify_url),
    Route("GET", BRAND + "/notify-config", read_notify_url),
)
