"""商家券 coupons: their document, their states, and the calls that move them (sheet §2.1, B7 to B11, B16).

::

    SENDED --use--> USED --return--> SENDED
    SENDED --deactivate--> DEACTIVATED      SENDED --time--> EXPIRED      SENDED --user--> DELETED

A coupon past its last moment reads as EXPIRED at once, whether or not the clock has been told to expire it. Where the
sheet has no error table, its sandbox mapping is used. An order named in ``use`` must be a paid one of the merchant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.fields import Choice, Members, Moment, Text
from unicom_coupon_adapters.wechatpay.emulation.holdings import Coupon, coupons_of_code, expire_if_due, find, record
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal, bad_field, not_now, not_there, not_yours
from unicom_coupon_adapters.wechatpay.emulation.repeats import once
from unicom_coupon_adapters.wechatpay.emulation.sending import Sending, send_one
from unicom_coupon_adapters.wechatpay.emulation.stocks import owned_stock
from unicom_coupon_adapters.wechatpay.emulation.validity import is_open
from unicom_coupon_adapters.wechatpay.emulation.world import Call, Reply, Route, check_appid, moment_of, moment_text

_BASE: Final = "/v3/marketing/busifavor"
_CODE: Final = Text(32, required=True)
_STOCK: Final = Text(20, required=True)
_NUMBER: Final = Text(128, required=True)
_APPID: Final = Text(32, required=True)
_OPENID: Final = Text(128, required=True)

_SEND: Final = Members(
    {"openid": _OPENID, "appid": _APPID, "stock_id": _STOCK, "out_request_no": _NUMBER, "coupon_code": Text(32)}
)
_USE: Final = Members(
    {
        "coupon_code": _CODE,
        "stock_id": Text(20),
        "appid": _APPID,
        "use_time": Moment(required=True),
        "use_request_no": _NUMBER,
        "openid": Text(128),
        "out_trade_no": Text(32),
        "mch_id": Text(32),
        "transaction_id": Text(32),
    }
)
_RETURN: Final = Members({"coupon_code": _CODE, "stock_id": _STOCK, "return_request_no": _NUMBER})
_DEACTIVATE: Final = Members(
    {"coupon_code": _CODE, "stock_id": _STOCK, "deactivate_request_no": _NUMBER, "deactivate_reason": Text(64)}
)
_ASSOCIATE: Final = Members(
    {"stock_id": _STOCK, "coupon_code": _CODE, "out_trade_no": Text(32, required=True), "out_request_no": _NUMBER}
)
_PRODUCT_SEND: Final = Members(
    {
        "openid": _OPENID,
        "appid": _APPID,
        "stock_id": _STOCK,
        "out_request_no": _NUMBER,
        "coupon_code": Text(32),
        "coupon_type": Choice(("NORMAL", "MEMBER"), required=True),
        "member_card_id": Text(64),
    }
)
_PRE_SEND: Final = Members(
    {"stock_id": _STOCK, "coupon_code": Text(32), "appid": _APPID, "openid": Text(128), "send_request_no": _NUMBER}
)
PRE_SEND_LIFE: Final = timedelta(minutes=5)


def send(call: Call) -> Reply:
    """B7: a coupon to a user. Both decodings seen in clients are answered: flat and in ``send_coupon_result``."""
    body = call.body(_SEND)
    check_appid(body["appid"])
    told = once(call, "busifavor.send", body["out_request_no"], body, act=lambda: _sent(call, body))
    return {"send_coupon_result": told, **(told or {})}


def send_product(call: Call) -> Reply:
    """B16: the same for a stock linked to goods; a member's coupon names the card."""
    body = call.body(_PRODUCT_SEND)
    check_appid(body["appid"])
    if (body["coupon_type"] == "MEMBER") != ("member_card_id" in body):
        raise bad_field("/member_card_id", "会员券必填，普通券不填", "belongs to MEMBER coupons")
    return once(call, "busifavor.product.send", body["out_request_no"], body, act=lambda: _sent(call, body))


def pre_send(call: Call) -> Reply:
    """B16: a token, good for five minutes, with which the receive component claims the coupon."""
    body = call.body(_PRE_SEND)
    check_appid(body["appid"])
    owned_stock(call, body["stock_id"])

    def act() -> dict[str, Any]:
        token = call.world.hexadecimal(48)
        until = moment_text(call.world.now() + PRE_SEND_LIFE)
        kept = {"family": "busifavor", "until": until, "sender": call.caller.mchid, **body}
        call.store.put("pre-send", token, kept)
        return {"token": token}

    return once(call, "busifavor.product.pre_send", body["send_request_no"], body, act=act)


def use(call: Call) -> Reply:
    """B8, the redemption: SENDED to USED, once."""
    body = call.body(_USE)
    check_appid(body["appid"])

    def act() -> dict[str, Any]:
        coupon = _found(call, body["coupon_code"], body.get("stock_id"))
        if body.get("openid") not in {None, coupon.openid}:
            raise not_now("券不属于该用户", "The coupon belongs to another user.")
        _check_sended(coupon, "核销", "used")
        _check_usable(call, coupon)
        _check_order(call, body)
        at = call.world.now_text()
        moved = {"use_request_no": body["use_request_no"], "use_time": body["use_time"], "wechatpay_use_time": at}
        order = {name: body[name] for name in ("out_trade_no", "mch_id", "transaction_id") if name in body}
        record(call.world, coupon, state="USED", event="use", number=body["use_request_no"], set_to=moved | order)
        return {"stock_id": coupon.stock_id, "openid": coupon.openid, "wechatpay_use_time": at}

    return once(call, "busifavor.use", body["use_request_no"], body, act=act)


def give_back(call: Call) -> Reply:
    """B9, the return: USED to SENDED. A coupon past its last moment may be returned, and is EXPIRED from then on."""
    body = call.body(_RETURN)

    def act() -> dict[str, Any]:
        coupon = _found(call, body["coupon_code"], body["stock_id"])
        if coupon.state != "USED":
            raise not_now("券未被核销，不可退券", "Only a used coupon can be returned.")
        at = call.world.now_text()
        moved = {"return_request_no": body["return_request_no"], "return_time": at}
        dropped = ("use_request_no", "use_time", "wechatpay_use_time", "out_trade_no", "mch_id", "transaction_id")
        number = body["return_request_no"]
        record(call.world, coupon, state="SENDED", event="return", number=number, set_to=moved, drop=dropped)
        expire_if_due(call.world, coupon.key)
        return {"wechatpay_return_time": at}

    return once(call, "busifavor.return", body["return_request_no"], body, act=act)


def deactivate(call: Call) -> Reply:
    """B10: SENDED to DEACTIVATED, for good."""
    body = call.body(_DEACTIVATE)

    def act() -> dict[str, Any]:
        coupon = _found(call, body["coupon_code"], body["stock_id"])
        _check_sended(coupon, "失效", "deactivated")
        at = call.world.now_text()
        number = body["deactivate_request_no"]
        moved = {"deactivate_request_no": number, "deactivate_time": at}
        if "deactivate_reason" in body:
            moved["deactivate_reason"] = body["deactivate_reason"]
        record(call.world, coupon, state="DEACTIVATED", event="deactivate", number=number, set_to=moved)
        return {"wechatpay_deactivate_time": at}

    return once(call, "busifavor.deactivate", body["deactivate_request_no"], body, act=act)


def associate(call: Call) -> Reply:
    """B11: remember an order number with an unused coupon; statistics only."""
    return _link(call, "associate", lambda told: told is None, "券已关联其他订单", "The coupon has an order already.")


def disassociate(call: Call) -> Reply:
    """B11: forget the order number again."""
    body = call.body(_ASSOCIATE)
    number = body["out_trade_no"]
    return _link(call, "disassociate", lambda told: told == number, "券未关联该订单", "The coupon has no such order.")


def _link(call: Call, verb: str, allowed: Callable[[str | None], bool], zh: str, en: str) -> Reply:
    body = call.body(_ASSOCIATE)

    def act() -> dict[str, Any]:
        coupon = _found(call, body["coupon_code"], body["stock_id"])
        _check_sended(coupon, "关联订单", "linked to an order")
        if not allowed(coupon.told.get("associate_out_trade_no")):
            raise not_now(zh, en)
        set_to = {"associate_out_trade_no": body["out_trade_no"]} if verb == "associate" else {}
        drop = () if set_to else ("associate_out_trade_no",)
        number = body["out_request_no"]
        record(call.world, coupon, state="SENDED", event=verb, number=number, set_to=set_to, drop=drop)
        return {f"wechatpay_{verb}_time": call.world.now_text()}

    return once(call, f"busifavor.{verb}", body["out_request_no"], body, act=act)


def _sent(call: Call, body: Mapping[str, Any]) -> dict[str, Any]:
    owned_stock(call, body["stock_id"])
    coupon = send_one(
        call.world,
        Sending(
            stock_id=body["stock_id"],
            openid=body["openid"],
            number=body["out_request_no"],
            sender=call.caller.mchid,
            channel="API",
            code=body.get("coupon_code"),
        ),
    )
    return {"stock_id": coupon.stock_id, "out_request_no": body["out_request_no"], "coupon_code": coupon.code}


def _found(call: Call, code: str, stock_id: str | None) -> Coupon:
    """The coupon, of the stock if one is named. Raises 404, 403, or 400 where a stock must be named."""
    if stock_id is None:
        named = coupons_of_code(call.world, code)
        modes = {(call.store.get("stock", coupon.stock_id) or {}).get("coupon_code_mode") for coupon in named}
        if named and modes != {"WECHATPAY_MODE"}:
            raise bad_field("/stock_id", "券code非系统分配时必填", "required unless the platform allotted the code")
        coupon = named[0] if named else None
    else:
        coupon = find(call.world, stock_id, code)
    if coupon is None or coupon.state == "DELETED":
        raise not_there("券不存在或已被用户删除", "There is no such coupon, or its user deleted it.")
    stock = call.store.get("stock", coupon.stock_id) or {}
    if call.caller.mchid not in {stock.get("creator"), stock.get("belong_merchant"), coupon.told["sender"]}:
        raise not_yours("商户无权操作该券", "The merchant may not operate on this coupon.")
    return coupon


_STATE_TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "USED": ("券已被核销", "The coupon is used"),
    "EXPIRED": ("券已过期", "The coupon has expired"),
    "DEACTIVATED": ("券已失效", "The coupon was deactivated"),
}


def _check_sended(coupon: Coupon, verb_zh: str, verb_en: str) -> None:
    if coupon.state != "SENDED":
        zh, en = _STATE_TEXTS[coupon.state]
        raise not_now(f"{zh}，不可{verb_zh}", f"{en} and cannot be {verb_en}.")


def _check_usable(call: Call, coupon: Coupon) -> None:
    stock = call.store.get("stock", coupon.stock_id) or {}
    now = call.world.now()
    if now < moment_of(coupon.told["available_start_time"]):
        raise not_now("券未到可用时间", "The coupon is not valid yet.")
    if not is_open(stock["coupon_use_rule"]["coupon_available_time"], at=now):
        raise not_now("当前时间不在券可用时段内", "The coupon cannot be used at this hour.")


def _check_order(call: Call, body: Mapping[str, Any]) -> None:
    number, transaction = body.get("out_trade_no"), body.get("transaction_id")
    if number is None and transaction is None:
        return
    if body.get("mch_id") not in {None, call.caller.mchid}:
        raise not_yours("订单不属于该商户", "The order belongs to another merchant.")
    if number is None:
        number = (call.store.get("transaction", transaction or "") or {}).get("out_trade_no")
    trade = call.store.get("trade", number or "")
    if trade is None or trade["trade_state"] != "SUCCESS" or transaction not in {None, trade["transaction_id"]}:
        raise _no_order()


def _no_order() -> Refusal:
    return not_now("关联订单不存在或未支付", "The order does not exist or is not paid.")


ROUTES: Final = (
    Route("POST", _BASE + "/coupons/send", send),
    Route("POST", _BASE + "/coupons/use", use),
    Route("POST", _BASE + "/coupons/return", give_back),
    Route("POST", _BASE + "/coupons/deactivate", deactivate),
    Route("POST", _BASE + "/coupons/associate", associate),
    Route("POST", _BASE + "/coupons/disassociate", disassociate),
    Route("POST", _BASE + "/product-coupons/send", send_product),
    Route("POST", _BASE + "/product-coupons/pre-send", pre_send),
)
