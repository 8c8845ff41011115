"""What a merchant reads of users' 商家券, and where it wants to be told (sheet §2.1, B12 to B14)."""

from __future__ import annotations

from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.fields import Members, Text, Url
from unicom_coupon_adapters.wechatpay.emulation.holdings import Coupon, coupons_of_code, coupons_of_holder
from unicom_coupon_adapters.wechatpay.emulation.refusals import not_there, not_yours
from unicom_coupon_adapters.wechatpay.emulation.world import Call, Reply, Route, check_appid

_BASE: Final = "/v3/marketing/busifavor"
_CALLBACKS: Final = Members({"mchid": Text(32), "notify_url": Url(required=True)})
_STOCK_MEMBERS: Final = (
    "belong_merchant",
    "stock_name",
    "comment",
    "goods_name",
    "stock_type",
    "coupon_use_rule",
    "custom_entrance",
    "display_pattern_info",
)
_COUPON_MEMBERS: Final = (
    "coupon_code",
    "stock_id",
    "available_start_time",
    "expire_time",
    "receive_time",
    "send_request_no",
    "use_request_no",
    "use_time",
    "associate_out_trade_no",
    "return_request_no",
    "return_time",
    "deactivate_request_no",
    "deactivate_time",
    "deactivate_reason",
)


def detail(call: Call) -> Reply:
    """B13: one coupon of a user. 404 for an unknown one, another holder's, or one the user deleted."""
    check_appid(call.arguments["appid"], location="path")
    held = [
        coupon
        for coupon in coupons_of_code(call.world, call.arguments["coupon_code"])
        if coupon.openid == call.arguments["openid"] and coupon.state != "DELETED"
    ]
    if not held:
        raise not_there("券不存在或已被用户删除", "There is no such coupon, or its user deleted it.")
    mine = [coupon for coupon in held if call.caller.mchid in _parties(call, coupon)]
    if not mine:
        raise not_yours("商户无权查询该券", "The merchant may not read this coupon.")
    return shown(call, mine[0])


def listed(call: Call) -> Reply:
    """B12: a user's coupons by pages, latest first; ``offset`` is the page's index."""
    check_appid(call.query_value("appid", Text(32, required=True)) or "", location="query")
    offset = call.query_number("offset", default=0, most=1_000_000)
    limit = call.query_number("limit", default=20, most=100) or 20
    wanted_state = call.query_value("coupon_state", Text(32))
    wanted_stock = call.query_value("stock_id", Text(20))
    found = [
        coupon
        for coupon in coupons_of_holder(call.world, call.arguments["openid"])
        if coupon.state != "DELETED"
        and wanted_state in {None, coupon.state}
        and wanted_stock in {None, coupon.stock_id}
        and call.caller.mchid in _parties(call, coupon)
        and _is_of(call, coupon)
    ]
    page = [shown(call, coupon) for coupon in found[offset * limit : (offset + 1) * limit]]
    return {"total_count": len(found), "offset": offset, "limit": limit, "data": page}


def shown(call: Call, coupon: Coupon) -> dict[str, Any]:
    """The coupon object: what the stock says, then the coupon's own members that are filled."""
    stock = call.store.get("stock", coupon.stock_id) or {}
    rule = stock.get("stock_send_rule", {})
    told: dict[str, Any] = {name: stock[name] for name in _STOCK_MEMBERS if name in stock}
    told |= {"transferable": rule.get("transferable", False), "shareable": rule.get("shareable", False)}
    told |= {name: coupon.told[name] for name in _COUPON_MEMBERS if name in coupon.told}
    return told | {"coupon_state": coupon.state}


def set_callback(call: Call) -> Reply:
    """B14: where COUPON.SEND goes from now on."""
    body = call.body(_CALLBACKS)
    mchid = body.get("mchid", call.caller.mchid)
    if mchid != call.caller.mchid:
        raise not_yours("商户号与调用商户号不一致", "mchid is not the caller.")
    call.store.put("callback-url", mchid, {"notify_url": body["notify_url"]})
    return {"update_time": call.world.now_text(), "notify_url": body["notify_url"], "mchid": mchid}


def read_callback(call: Call) -> Reply:
    """B14: the address in force."""
    mchid = call.query_value("mchid", Text(32)) or call.caller.mchid
    if mchid != call.caller.mchid:
        raise not_yours("商户号与调用商户号不一致", "mchid is not the caller.")
    kept = call.store.get("callback-url", mchid)
    if kept is None:
        raise not_there("未设置通知地址", "No address has been set.")
    return {"notify_url": kept["notify_url"], "mchid": mchid}


def _parties(call: Call, coupon: Coupon) -> set[str | None]:
    stock = call.store.get("stock", coupon.stock_id) or {}
    return {stock.get("creator"), stock.get("belong_merchant"), coupon.told["sender"]}


def _is_of(call: Call, coupon: Coupon) -> bool:
    """Whether the coupon passes the three merchant filters of the query."""
    stock = call.store.get("stock", coupon.stock_id) or {}
    parties = {
        "creator_merchant": stock.get("creator"),
        "belong_merchant": stock.get("belong_merchant"),
        "sender_merchant": coupon.told["sender"],
    }
    return all(call.query_value(name, Text(32)) in {None, party} for name, party in parties.items())


ROUTES: Final = (
    Route("GET", _BASE + "/users/{openid}/coupons", listed),
    Route("GET", _BASE + "/users/{openid}/coupons/{coupon_code}/appids/{appid}", detail),
    Route("POST", _BASE + "/callbacks", set_callback),
    Route("GET", _BASE + "/callbacks", read_callback),
)
