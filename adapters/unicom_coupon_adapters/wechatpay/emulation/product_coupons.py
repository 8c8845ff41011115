"""商品券 in users' pockets: send, pre-send, confirm, use, return, deactivate, read (sheet §2.4).

::

    CONFIRMING --confirm--> PENDING --begin--> EFFECTIVE --use--> USED --return--> EFFECTIVE
    CONFIRMING, PENDING, EFFECTIVE --deactivate--> DEACTIVATED, --time--> EXPIRED, --user--> DELETED

A received coupon cannot be used until the brand has confirmed it, whatever the channel. Every call answers the whole
coupon.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.brands import (
    NUMBER,
    both,
    check_brand_appid,
    once_by_number,
    product_of,
    read_body,
    read_brand,
    refused,
    stock_of,
    unknown,
)
from unicom_coupon_adapters.wechatpay.emulation.fields import Choice, Integer, Members, Moment, Rule, Text
from unicom_coupon_adapters.wechatpay.emulation.holdings import (
    LIVE_STATES,
    Coupon,
    coupons_of_holder,
    expire_if_due,
    find,
    record,
)
from unicom_coupon_adapters.wechatpay.emulation.product_sending import ProductSending, send_product
from unicom_coupon_adapters.wechatpay.emulation.refusals import bad_field
from unicom_coupon_adapters.wechatpay.emulation.trades import tie
from unicom_coupon_adapters.wechatpay.emulation.validity import is_open
from unicom_coupon_adapters.wechatpay.emulation.world import Call, Reply, World, moment_text

PRE_SEND_LIFE: Final = timedelta(minutes=5)
_ID: Final = Text(40, required=True, pattern=r"[0-9A-Za-z_\-]+")
_APPID: Final = Text(32, required=True)
_TARGET: Final[Mapping[str, Rule]] = {"product_coupon_id": _ID, "stock_id": _ID, "appid": _APPID}
_SEND: Final[Mapping[str, Rule]] = {
    **_TARGET,
    "send_request_no": NUMBER,
    "coupon_code": Text(40, pattern=r"[0-9A-Za-z_\-]+"),
    "attach": Text(1024, shortest=0, emoji=True),
    "coupon_tag_info": Members({}, open=True),
}
_PLAIN: Final[Mapping[str, Rule]] = {**_TARGET, "out_request_no": NUMBER}
_ORDER: Final = Members(
    {"transaction_id": Text(32), "out_trade_no": Text(32), "mchid": Text(32), "sub_mchid": Text(32)}
)
_SCORE_ORDER: Final = Members(
    {"order_id": Text(64), "out_order_no": Text(64), "mchid": Text(32), "sub_mchid": Text(32)}
)
_USE: Final[Mapping[str, Rule]] = {
    **_PLAIN,
    "use_time": Moment(required=True),
    "store_id": Text(40),
    "saved_amount": Integer(0),
    "associated_order_info": _ORDER,
    "associated_pay_score_order_info": _SCORE_ORDER,
}
_DEACTIVATE: Final[Mapping[str, Rule]] = {**_PLAIN, "deactivate_reason": Text(150, required=True, emoji=True)}
_SHOWN: Final = (
    "coupon_code",
    "valid_begin_time",
    "valid_end_time",
    "receive_time",
    "send_request_no",
    "send_channel",
    "confirm_request_no",
    "confirm_time",
    "deactivate_request_no",
    "deactivate_time",
    "deactivate_reason",
    "single_usage_detail",
    "attach",
    "brand_id",
)


def send(call: Call) -> Reply:
    """A coupon to the user in the path; CONFIRMING until the brand confirms."""
    brand_id, body = read_body(call, _SEND)
    check_brand_appid(body["appid"])

    def act() -> dict[str, Any]:
        return shown(call.world, send_product(call.world, _sending(call, brand_id, body, channel="API")))

    return once_by_number(call, "send", body["send_request_no"], body, act)


def pre_send(call: Call) -> Reply:
    """A token for the receive component, good for five minutes."""
    brand_id, body = read_body(call, _SEND)
    check_brand_appid(body["appid"])
    product_of(call.world, body["product_coupon_id"], brand_id=brand_id)
    stock_of(call.world, body["product_coupon_id"], body["stock_id"], brand_id=brand_id)

    def act() -> dict[str, Any]:
        token = call.world.hexadecimal(48)
        told = {"family": "product", "until": moment_text(call.world.now() + PRE_SEND_LIFE), "sender": call.caller.name}
        kept = {**told, **body, "brand_id": brand_id, "openid": call.arguments["openid"]}
        call.store.put("pre-send", token, kept)
        return {"token": token}

    return once_by_number(call, "pre-send", body["send_request_no"], body, act)


def confirm(call: Call) -> Reply:
    """CONFIRMING to PENDING; EFFECTIVE from the first moment of its validity on."""
    brand_id, body = read_body(call, {**_PLAIN, "coupon_code": Text(40)})

    def act() -> dict[str, Any]:
        coupon = _found(call, brand_id, body)
        _check_state(coupon, {"CONFIRMING"}, "确认", "confirmed")
        moved = {"confirm_request_no": body["out_request_no"], "confirm_time": call.world.now_text()}
        return _moved(call, coupon, state="PENDING", event="confirm", number=body["out_request_no"], set_to=moved)

    return once_by_number(call, "confirm", body["out_request_no"], body, act)


def use(call: Call) -> Reply:
    """EFFECTIVE to USED, with the order it was used for: exactly one, and a paid one of the merchant."""
    brand_id, body = read_body(call, _USE)
    if ("associated_order_info" in body) == ("associated_pay_score_order_info" in body):
        issue = "associated_order_info与associated_pay_score_order_info必须且只能填一个"
        raise bad_field("/associated_order_info", issue, "give exactly one order")

    def act() -> dict[str, Any]:
        coupon = _found(call, brand_id, body)
        _check_state(coupon, {"EFFECTIVE"}, "核销", "used")
        stock = stock_of(call.world, body["product_coupon_id"], body["stock_id"], brand_id=brand_id)
        if not is_open(stock["single_usage_rule"]["coupon_available_period"], at=call.world.now()):
            raise refused("outside_validity", "当前时间不在券可用时段内", "The coupon cannot be used at this hour.")
        tie(call.world, _paid_order(call, body), coupon=coupon.key)
        before = coupon.told.get("single_usage_detail", {})
        named = ("use_time", "store_id", "saved_amount", "associated_order_info")
        used = {name: body[name] for name in named if name in body} | {"use_request_no": body["out_request_no"]}
        moved = {"single_usage_detail": before | used}
        return _moved(call, coupon, state="USED", event="use", number=body["out_request_no"], set_to=moved)

    return once_by_number(call, "use", body["out_request_no"], body, act)


def give_back(call: Call) -> Reply:
    """USED to EFFECTIVE; a coupon past its validity reads EXPIRED from then on."""
    brand_id, body = read_body(call, _PLAIN)

    def act() -> dict[str, Any]:
        coupon = _found(call, brand_id, body)
        _check_state(coupon, {"USED"}, "退券", "returned")
        number = body["out_request_no"]
        told = {"return_request_no": number, "return_time": call.world.now_text()}
        moved = {"single_usage_detail": coupon.told["single_usage_detail"] | told}
        answer = _moved(call, coupon, state="EFFECTIVE", event="return", number=number, set_to=moved)
        expire_if_due(call.world, coupon.key)
        return answer

    return once_by_number(call, "return", body["out_request_no"], body, act)


def deactivate(call: Call) -> Reply:
    """An unused coupon to DEACTIVATED, for good."""
    brand_id, body = read_body(call, _DEACTIVATE)

    def act() -> dict[str, Any]:
        coupon = _found(call, brand_id, body)
        _check_state(coupon, set(LIVE_STATES["product"]), "失效", "deactivated")
        number = body["out_request_no"]
        moved = {"deactivate_request_no": number, "deactivate_time": call.world.now_text()}
        moved["deactivate_reason"] = body["deactivate_reason"]
        return _moved(call, coupon, state="DEACTIVATED", event="deactivate", number=number, set_to=moved)

    return once_by_number(call, "user.deactivate", body["out_request_no"], body, act)


def read(call: Call) -> Reply:
    """One coupon of the user; one that the user deleted reads DELETED."""
    brand_id = read_brand(call)
    product_id = call.query_value("product_coupon_id", _ID) or ""
    stock_id = call.query_value("stock_id", _ID) or ""
    check_brand_appid(call.query_value("appid", _APPID) or "")
    named = {"product_coupon_id": product_id, "stock_id": stock_id}
    return shown(call.world, _found(call, brand_id, named))


def listed(call: Call) -> Reply:
    """The user's coupons of the brand, by state and page; ``offset`` is the number of coupons left out."""
    brand_id = read_brand(call)
    check_brand_appid(call.query_value("appid", _APPID) or "")
    words = ("CONFIRMING", "PENDING", "EFFECTIVE", "USED", "EXPIRED", "DELETED", "DEACTIVATED")
    state = call.query_value("coupon_state", Choice(words))
    offset = call.query_number("offset", default=0, most=1_000_000)
    limit = call.query_number("limit", default=20, most=50) or 20
    held = coupons_of_holder(call.world, call.arguments["openid"], family="product")
    found = [one for one in held if one.told["brand_id"] == brand_id and state in {None, one.state}]
    page = [shown(call.world, coupon) for coupon in found[offset : offset + limit]]
    return {"total_count": len(found), "offset": offset, "limit": limit, "user_coupon_list": page}


def shown(world: World, coupon: Coupon) -> dict[str, Any]:
    """The whole coupon as every call answers it, with its product coupon and stock."""
    told: dict[str, Any] = {name: coupon.told[name] for name in _SHOWN if name in coupon.told}
    product = world.store.get("product", coupon.told["product_coupon_id"]) or {}
    stock = world.store.get("product-stock", coupon.stock_id) or {}
    told["coupon_state"] = coupon.state
    told["product_coupon"] = {name: value for name, value in product.items() if name != "creator"}
    told["stock"] = {name: value for name, value in stock.items() if name != "creator"}
    return told


def _sending(call: Call, brand_id: str, body: Mapping[str, Any], *, channel: str) -> ProductSending:
    return ProductSending(
        brand_id=brand_id,
        product_coupon_id=body["product_coupon_id"],
        stock_id=body["stock_id"],
        openid=call.arguments["openid"],
        number=body["send_request_no"],
        channel=channel,
        sender=call.caller.name,
        code=body.get("coupon_code"),
        attach=body.get("attach"),
    )


def _found(call: Call, brand_id: str, named: Mapping[str, Any]) -> Coupon:
    """The coupon of the path, in the product and stock that the request names. Raises 404 or 400."""
    if "appid" in named:
        check_brand_appid(named["appid"])
    if named.get("coupon_code") not in {None, call.arguments["coupon_code"]}:
        raise bad_field("/coupon_code", "与路径中的券code不一致", "is not the code in the path")
    coupon = find(call.world, named["stock_id"], call.arguments["coupon_code"], family="product")
    if (
        coupon is None
        or coupon.told["brand_id"] != brand_id
        or coupon.told["product_coupon_id"] != named["product_coupon_id"]
        or coupon.openid != call.arguments["openid"]
    ):
        raise unknown("用户商品券不存在", "The user has no such coupon.")
    return coupon


def _check_state(coupon: Coupon, allowed: set[str], verb_zh: str, verb_en: str) -> None:
    if coupon.state in allowed:
        return
    reason = {"EXPIRED": "expired", "DELETED": "deleted", "PENDING": "outside_validity"}.get(coupon.state, "state")
    zh = f"券状态为{coupon.state}，不可{verb_zh}"
    raise refused(reason, zh, f"A coupon that is {coupon.state} cannot be {verb_en}.")


def _paid_order(call: Call, body: Mapping[str, Any]) -> str:
    """The order's number: a paid one of the named merchant. Pay-score orders do not exist in this sandbox."""
    named = body.get("associated_order_info", {})
    number = named.get("out_trade_no")
    if "transaction_id" in named:
        number = (call.store.get("transaction", named["transaction_id"]) or {}).get("out_trade_no")
    elif number is not None and "mchid" not in named:
        raise bad_field("/associated_order_info/mchid", "填写out_trade_no时必填", "required with out_trade_no")
    trade = call.store.get("trade", number or "")
    if trade is None or trade["trade_state"] != "SUCCESS" or named.get("mchid") not in {None, trade["mchid"]}:
        raise refused("parameter", "关联订单不存在或未支付", "The order does not exist or is not paid.")
    return str(trade["out_trade_no"])


def _moved(
    call: Call, coupon: Coupon, *, state: str, event: str, number: str, set_to: Mapping[str, Any]
) -> dict[str, Any]:
    return shown(call.world, record(call.world, coupon, state=state, event=event, number=number, set_to=set_to))


_USER: Final = "/users/{openid}"
_ONE: Final = "/users/{openid}/coupons/{coupon_code}"
ROUTES: Final = (
    *both("POST", _USER + "/coupons", send),
    *both("GET", _USER + "/coupons", listed),
    *both("POST", _USER + "/pre-send-coupon", pre_send),
    *both("GET", _ONE, read),
    *both("POST", _ONE + "/confirm", confirm),
    *both("POST", _ONE + "/use", use),
    *both("POST", _ONE + "/return", give_back),
    *both("POST", _ONE + "/deactivate", deactivate),
)
