"""代金券, the platform's cash coupons: stocks, sending, reading, and their use by paying an order (sheet §2.5, §2.3).

A cash coupon is never redeemed by a call: the platform takes it when its user pays an order, tells the merchant by
COUPON.USE, and shows it in the order's ``promotion_detail``. Flow files are not served: their columns are unconfirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.callbacks import notify
from unicom_coupon_adapters.wechatpay.emulation.fields import (
    Anything,
    Choice,
    Flag,
    Integer,
    Many,
    Members,
    Moment,
    Text,
    Url,
)
from unicom_coupon_adapters.wechatpay.emulation.holdings import Coupon, add, coupons_of_holder, record
from unicom_coupon_adapters.wechatpay.emulation.platform_keys import APPID, MCHID
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal, bad_field, not_now, not_there, not_yours
from unicom_coupon_adapters.wechatpay.emulation.repeats import once
from unicom_coupon_adapters.wechatpay.emulation.world import (
    Call,
    Handler,
    Reply,
    Route,
    World,
    check_appid,
    moment_of,
    moment_text,
)

_BASE: Final = "/v3/marketing/favor"
_BILLION: Final = 1_000_000_000
_TAIL_NOT_RUNNING: Final = 270079533
_TAIL_USED_UP: Final = 270079534
_TAIL_MAY_NOT_SEND: Final = 270079509
_ITEMS: Final = Many(Text(128), 200)
_CREATE: Final = Members(
    {
        "stock_name": Text(20, required=True),
        "comment": Text(60),
        "belong_merchant": Text(20, required=True),
        "available_begin_time": Moment(required=True),
        "available_end_time": Moment(required=True),
        "stock_use_rule": Members(
            {
                "max_coupons": Integer(1, _BILLION, required=True),
                "max_amount": Integer(1, 10 * _BILLION, required=True),
                "max_amount_by_day": Integer(1, 10 * _BILLION),
                "max_coupons_per_user": Integer(1, 60, required=True),
                "natural_person_limit": Flag(required=True),
                "prevent_api_abuse": Flag(required=True),
            },
            required=True,
        ),
        "pattern_info": Anything(),
        "coupon_use_rule": Members(
            {
                "coupon_available_time": Anything(),
                "fixed_normal_coupon": Members(
                    {
                        "coupon_amount": Integer(1, 10_000_000, required=True),
                        "transaction_minimum": Integer(1, 10_000_000, required=True),
                    },
                    required=True,
                ),
                "goods_tag": _ITEMS,
                "limit_pay": _ITEMS,
                "limit_card": Anything(),
                "trade_type": _ITEMS,
                "available_items": _ITEMS,
                "unavailable_items": _ITEMS,
                "available_merchants": _ITEMS,
                "combine_use": Flag(),
            },
            required=True,
        ),
        "no_cash": Flag(required=True),
        "stock_type": Choice(("NORMAL",), required=True),
        "out_request_no": Text(128, required=True),
    }
)
_SEND: Final = Members(
    {
        "stock_id": Text(20, required=True),
        "out_request_no": Text(128, required=True),
        "appid": Text(32, required=True),
        "stock_creator_mchid": Text(20, required=True),
        "coupon_value": Integer(1),
        "coupon_minimum": Integer(1),
    }
)
_CALLBACKS: Final = Members({"mchid": Text(32, required=True), "notify_url": Url(required=True), "switch": Flag()})
_MOVES: Final[Mapping[str, tuple[str, str]]] = {
    "start": ("unactivated", "running"),
    "pause": ("running", "paused"),
    "restart": ("paused", "running"),
}


def create(call: Call) -> Reply:
    """A stock, not active until it is started."""
    body = call.body(_CREATE)
    if body["belong_merchant"] != call.caller.mchid:
        raise not_yours("归属商户号与调用商户号无绑定关系", "belong_merchant is not the caller.")
    begin, end = moment_of(body["available_begin_time"]), moment_of(body["available_end_time"])
    now = call.world.now()
    if not begin < end or end <= now:
        raise bad_field(
            "/available_end_time", "结束时间应晚于开始时间和当前时间", "must be after the beginning and now"
        )
    if begin > now + timedelta(days=365) or end - begin > timedelta(days=90):
        raise bad_field("/available_begin_time", "批次有效期不正确", "starts too late, or is longer than 90 days")
    rule, value = body["stock_use_rule"], body["coupon_use_rule"]["fixed_normal_coupon"]["coupon_amount"]
    if rule["max_amount"] != rule["max_coupons"] * value:
        raise bad_field("/stock_use_rule/max_amount", "应等于最大发放个数乘以面额", "is max_coupons times the value")
    return once(call, "favor.create", body["out_request_no"], body, act=lambda: add_favor_stock(call.world, body))


def add_favor_stock(world: World, body: Mapping[str, Any], *, status: str = "unactivated") -> dict[str, Any]:
    """Write the stock of a checked ``body``."""
    stock_id = f"{980000 + world.store.next_number('favor-stock')}"
    stock = {
        **{name: value for name, value in body.items() if name != "out_request_no"},
        "stock_id": stock_id,
        "stock_creator_mchid": body["belong_merchant"],
        "status": status,
        "create_time": world.now_text(),
        "distributed_coupons": 0,
    }
    world.store.put("favor-stock", stock_id, stock)
    return {"stock_id": stock_id, "create_time": stock["create_time"]}


def mover(verb: str) -> Handler:
    """The call that starts, pauses or restarts a stock."""

    def move(call: Call) -> Reply:
        body = call.body(Members({"stock_creator_mchid": Text(20, required=True)}))
        stock = _stock(call, call.arguments["stock_id"], body["stock_creator_mchid"])
        wanted, status = _MOVES[verb]
        if _status(call.world, stock) != wanted:
            raise not_now(f"批次状态为{stock['status']}，不可操作", f"The stock is {stock['status']}.")
        call.store.put("favor-stock", stock["stock_id"], stock | {"status": status})
        return {f"{verb}_time": call.world.now_text(), "stock_id": stock["stock_id"]}

    return move


def read_stock(call: Call) -> Reply:
    """One stock."""
    creator = call.query_value("stock_creator_mchid", Text(20, required=True)) or ""
    stock = _stock(call, call.arguments["stock_id"], creator)
    return stock | {"status": _status(call.world, stock)}


def list_stocks(call: Call) -> Reply:
    """The merchant's stocks by page; ``offset`` is the page's index."""
    creator = call.query_value("stock_creator_mchid", Text(20, required=True)) or ""
    status = call.query_value("status", Text(32))
    offset = call.query_number("offset", default=0, most=1_000_000)
    limit = call.query_number("limit", default=10, most=10) or 10
    if creator != call.caller.mchid:
        raise not_yours()
    kept = [stock | {"status": _status(call.world, stock)} for _, stock in call.store.all("favor-stock")]
    found = [stock for stock in kept if status in {None, stock["status"]}]
    page = found[offset * limit : (offset + 1) * limit]
    return {"total_count": len(found), "offset": offset, "limit": limit, "data": page}


def send(call: Call) -> Reply:
    """A coupon to the user in the path."""
    body = call.body(_SEND)
    check_appid(body["appid"])

    def act() -> dict[str, Any]:
        stock = _stock(call, body["stock_id"], body["stock_creator_mchid"], tail=_TAIL_MAY_NOT_SEND)
        openid = call.arguments["openid"]
        return {"coupon_id": send_favor(call.world, stock["stock_id"], openid, number=body["out_request_no"]).code}

    return once(call, "favor.send", body["out_request_no"], body, act=act)


def send_favor(world: World, stock_id: str, openid: str, *, number: str) -> Coupon:
    """The coupon in the user's pocket. Raises a refusal before writing anything."""
    stock = world.store.get("favor-stock", stock_id)
    if stock is None:
        raise not_there("批次不存在", "There is no such stock.")
    if _status(world, stock) != "running":
        raise not_now("批次未开始或已结束", "The stock is not running.", tail=_TAIL_NOT_RUNNING)
    rule = stock["stock_use_rule"]
    if stock["distributed_coupons"] >= rule["max_coupons"]:
        raise Refusal("NOT_ENOUGH", "批次预算已用完", "The stock's budget is used up.", tail=_TAIL_USED_UP)
    mine = world.store.get("stock-user", f"favor-{stock_id}|{openid}") or {"received": 0}
    if mine["received"] >= rule["max_coupons_per_user"]:
        raise Refusal("RULE_LIMIT", "用户已达到领取上限", "The user has as many coupons as the rule allows.")
    world.store.put("stock-user", f"favor-{stock_id}|{openid}", {"received": mine["received"] + 1})
    distributed = stock["distributed_coupons"] + 1
    world.store.put("favor-stock", stock_id, stock | {"distributed_coupons": distributed})
    start = max(world.now(), moment_of(stock["available_begin_time"]))
    told = {
        "coupon_code": f"{12 * 10**10 + world.store.next_number('favor-coupon') * 1000 + 7}",
        "stock_id": stock_id,
        "openid": openid,
        "appid": APPID,
        "sender": MCHID,
        "state": "SENDED",
        "create_time": world.now_text(),
        "available_begin_time": moment_text(start),
        "available_end_time": moment_text(moment_of(stock["available_end_time"])),
    }
    return add(world, told, family="favor", event="send", number=number)


def read(call: Call) -> Reply:
    """One coupon of the user."""
    check_appid(call.query_value("appid", Text(32, required=True)) or "", location="query")
    held = coupons_of_holder(call.world, call.arguments["openid"], family="favor")
    found = next((coupon for coupon in held if coupon.code == call.arguments["coupon_id"]), None)
    if found is None:
        raise not_there("券不存在", "There is no such coupon.")
    return shown(call.world, found)


def listed(call: Call) -> Reply:
    """The user's coupons by page; ``offset`` is the page's index."""
    check_appid(call.query_value("appid", Text(32, required=True)) or "", location="query")
    stock_id, status = call.query_value("stock_id", Text(20)), call.query_value("status", Text(32))
    offset = call.query_number("offset", default=0, most=1_000_000)
    limit = call.query_number("limit", default=20, most=20) or 20
    held = coupons_of_holder(call.world, call.arguments["openid"], family="favor")
    found = [one for one in held if stock_id in {None, one.stock_id} and status in {None, one.state}]
    page = [shown(call.world, coupon) for coupon in found[offset * limit : (offset + 1) * limit]]
    return {"total_count": len(found), "offset": offset, "limit": limit, "data": page}


def set_callback(call: Call) -> Reply:
    """Where COUPON.USE goes from now on."""
    body = call.body(_CALLBACKS)
    if body["mchid"] != call.caller.mchid:
        raise not_yours()
    call.store.put("favor-callback-url", body["mchid"], {"notify_url": body["notify_url"]})
    return {"update_time": call.world.now_text(), "notify_url": body["notify_url"]}


def read_callback(call: Call) -> Reply:
    """The address in force."""
    mchid = call.query_value("mchid", Text(32, required=True)) or ""
    kept = call.store.get("favor-callback-url", mchid) if mchid == call.caller.mchid else None
    if kept is None:
        raise not_there("未设置通知地址", "No address has been set.")
    return {"mchid": mchid, **kept}


def consumption(world: World, coupon: Coupon, *, total: int) -> dict[str, Any]:
    """What paying ``total`` with the coupon takes off, as the order's promotion. Raises ``ValueError`` if it cannot."""
    stock = world.store.get("favor-stock", coupon.stock_id) or {}
    value = stock["coupon_use_rule"]["fixed_normal_coupon"]
    if coupon.state != "SENDED" or world.now() < moment_of(coupon.told["available_begin_time"]):
        raise ValueError(f"a coupon that is {coupon.state}, or not valid yet, pays for nothing")
    if total < value["transaction_minimum"]:
        raise ValueError("the amount is below the coupon's minimum")
    amount = min(value["coupon_amount"], total)
    return {
        "coupon_id": coupon.code,
        "name": stock["stock_name"],
        "scope": "GLOBAL",
        "type": "DISCOUNT" if stock["no_cash"] else "COUPON",
        "amount": amount,
        "stock_id": coupon.stock_id,
        "wechatpay_contribute": 0,
        "merchant_contribute": amount,
        "other_contribute": 0,
        "currency": "CNY",
    }


def consume(world: World, coupon: Coupon, trade: Mapping[str, Any], *, amount: int) -> None:
    """SENDED to USED by the order ``trade``; COUPON.USE follows."""
    used = {
        "consume_time": trade["success_time"],
        "consume_mchid": trade["mchid"],
        "transaction_id": trade["transaction_id"],
        "consume_amount": amount,
    }
    number = trade["transaction_id"]
    spent = record(world, coupon, state="USED", event="use", number=number, set_to={"consume_information": used})
    kept = world.store.get("favor-callback-url", MCHID)
    url = kept["notify_url"] if kept else None
    told = shown(world, spent)
    notify(world, "COUPON.USE", told, original_type="coupon", associated_data="coupon", url=url)


def shown(world: World, coupon: Coupon) -> dict[str, Any]:
    """The coupon as queries and COUPON.USE tell it."""
    stock = world.store.get("favor-stock", coupon.stock_id) or {}
    told: dict[str, Any] = {
        "stock_creator_mchid": stock["stock_creator_mchid"],
        "stock_id": coupon.stock_id,
        "coupon_id": coupon.code,
        "coupon_name": stock["stock_name"],
        "status": coupon.state,
        "description": stock.get("comment", ""),
        "create_time": coupon.told["create_time"],
        "coupon_type": "NORMAL",
        "no_cash": stock["no_cash"],
        "available_begin_time": coupon.told["available_begin_time"],
        "available_end_time": coupon.told["available_end_time"],
        "singleitem": False,
        "normal_coupon_information": stock["coupon_use_rule"]["fixed_normal_coupon"],
    }
    if "consume_information" in coupon.told:
        told["consume_information"] = coupon.told["consume_information"]
    return told


def issue_favors(world: World, *, count: int, face: int, minimum: int, days: int, openid: str) -> list[dict[str, Any]]:
    """For the control API: a running stock of ``count`` coupons, all received by the user."""
    now = world.now()
    body = {
        "stock_name": "联通电子券",
        "belong_merchant": MCHID,
        "available_begin_time": moment_text(now - timedelta(minutes=1)),
        "available_end_time": moment_text(now + timedelta(days=days)),
        "stock_use_rule": {"max_coupons": count, "max_amount": count * face, "max_coupons_per_user": count},
        "coupon_use_rule": {"fixed_normal_coupon": {"coupon_amount": face, "transaction_minimum": max(1, minimum)}},
        "no_cash": True,
        "stock_type": "NORMAL",
    }
    stock_id = add_favor_stock(world, body, status="running")["stock_id"]
    told = []
    for _ in range(count):
        number = f"{MCHID}issue{world.store.next_number('issue'):012d}"
        coupon = send_favor(world, stock_id, openid, number=number)
        told.append({"code": coupon.code, "stock_id": stock_id, "openid": openid, "appid": APPID, "face_fen": face})
    return told


def _stock(call: Call, stock_id: str, creator: str, *, tail: int | None = None) -> dict[str, Any]:
    if creator != call.caller.mchid:
        raise Refusal("NOAUTH", "商户无权操作该批次", "The merchant may not operate on this stock.", tail=tail)
    stock = call.store.get("favor-stock", stock_id)
    if stock is None:
        raise not_there("批次不存在", "There is no such stock.")
    return stock


def _status(world: World, stock: Mapping[str, Any]) -> str:
    return "stoped" if world.now() > moment_of(stock["available_end_time"]) else str(stock["status"])


ROUTES: Final = (
    Route("POST", _BASE + "/coupon-stocks", create),
    *(Route("POST", f"{_BASE}/stocks/{{stock_id}}/{verb}", mover(verb)) for verb in _MOVES),
    Route("GET", _BASE + "/stocks", list_stocks),
    Route("GET", _BASE + "/stocks/{stock_id}", read_stock),
    Route("POST", _BASE + "/users/{openid}/coupons", send),
    Route("GET", _BASE + "/users/{openid}/coupons", listed),
    Route("GET", _BASE + "/users/{openid}/coupons/{coupon_id}", read),
    Route("POST", _BASE + "/callbacks", set_callback),
    Route("GET", _BASE + "/callbacks", read_callback),
)
