"""What the control API asks for: coupons issued on the platform, paid orders, a coupon's view (sandbox contract).

An issued coupon is single-use, of a stock of its own batch, and reaches its user by the API channel, so COUPON.SEND
follows as it does for any send.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.favor import consume, consumption, issue_favors
from unicom_coupon_adapters.wechatpay.emulation.holdings import Coupon, coupons_of_code, expire_if_due, record
from unicom_coupon_adapters.wechatpay.emulation.platform_keys import APPID, MCHID
from unicom_coupon_adapters.wechatpay.emulation.product_sending import issue_products
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal
from unicom_coupon_adapters.wechatpay.emulation.sending import Sending, send_one
from unicom_coupon_adapters.wechatpay.emulation.stocks import add_stock
from unicom_coupon_adapters.wechatpay.emulation.trades import add_trade, shown, tie
from unicom_coupon_adapters.wechatpay.emulation.world import World, moment_text

MOST_AT_ONCE: Final = 10_000
_MOST_A_STOCK: Final = 100
_LARGEST_FEN: Final = 10_000_000
_LONGEST_DAYS: Final = 365


def issue(world: World, wish: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``count`` coupons of ``face_fen``; each with ``code``, ``stock_id``, ``openid``, ``appid`` and its dates.

    ``family`` "product_coupon" makes 商品券 instead, "favor" 代金券. ``owner_mchid`` gives the stock to another
    merchant, for tests of permission. A user holds at most 100 coupons of a stock, so a large batch for one user
    spans several stocks.
    """
    count = _number(wish, "count", least=1, most=MOST_AT_ONCE)
    face = _number(wish, "face_fen", least=1, most=_LARGEST_FEN)
    minimum = _number(wish, "min_spend_fen", least=0, most=_LARGEST_FEN, default=face)
    days = _number(wish, "valid_days", least=1, most=_LONGEST_DAYS, default=30)
    openid = holder_of(world, wish)
    family = wish.get("family", "busifavor")
    if family == "product_coupon":
        return issue_products(world, count=count, face=face, minimum=minimum, days=days, openid=openid)
    if family == "favor":
        return issue_favors(world, count=count, face=face, minimum=minimum, days=days, openid=openid)
    if family != "busifavor":
        raise ValueError("family must be busifavor, product_coupon or favor")
    owner = wish.get("owner_mchid")
    if owner is not None and not (isinstance(owner, str) and owner.isdigit() and 8 <= len(owner) <= 15):
        raise ValueError("owner_mchid must be 8 to 15 digits")
    coupons: list[Coupon] = []
    while len(coupons) < count:
        size = min(_MOST_A_STOCK, count - len(coupons))
        stock_id = _stock(world, face=face, minimum=max(1, minimum), days=days, size=size, owner=owner)
        coupons += [_send(world, stock_id, openid=openid, sender=owner or MCHID) for _ in range(size)]
    return [_known(coupon, face=face) for coupon in coupons]


def order(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """A paid order of ``amount_fen``, with the coupon ``code`` linked to it if one is named.

    A 商家券 is the merchant's own discount: the amount is what the user paid after it, and the platform only
    remembers the link. A 代金券 is the platform's: the order uses it up, and COUPON.USE follows. ``paid`` false
    leaves the order unpaid; ``profit_sharing`` marks it for sharing.
    """
    amount = _number(wish, "amount_fen", least=1, most=10**10)
    coupon = _linked(world, wish)
    openid = coupon.openid if coupon is not None and "holder" not in wish else holder_of(world, wish)
    if coupon is not None and coupon.openid != openid:
        raise ValueError("the coupon belongs to another holder")
    number = wish.get("out_trade_no")
    if number is not None and not (isinstance(number, str) and 6 <= len(number) <= 32):
        raise ValueError("out_trade_no must be 6 to 32 characters")
    paid = wish.get("paid", True) is True
    is_cash = coupon is not None and coupon.told["family"] == "favor" and paid
    promotions = [consumption(world, coupon, total=amount)] if coupon is not None and is_cash else []
    trade = add_trade(
        world,
        mchid=MCHID,
        openid=openid,
        total=amount,
        out_trade_no=number,
        paid=paid,
        profit_sharing=wish.get("profit_sharing", False) is True,
        promotions=promotions,
    )
    if coupon is not None and is_cash:
        consume(world, coupon, trade, amount=promotions[0]["amount"])
    elif coupon is not None and coupon.told["family"] == "busifavor" and coupon.state == "SENDED":
        link = {"associate_out_trade_no": trade["out_trade_no"]}
        record(world, coupon, state="SENDED", event="associate", number=trade["out_trade_no"], set_to=link)
    if coupon is not None:
        tie(world, trade["out_trade_no"], coupon=coupon.key)
    told = shown(trade) | {"openid": openid, "amount_fen": amount}
    return told | ({"code": coupon.code, "stock_id": coupon.stock_id} if coupon is not None else {})


def view(world: World, code: str) -> dict[str, Any] | None:
    """The newest coupon with that code: its state and all that happened to it."""
    found = coupons_of_code(world, code, family=None)
    if not found:
        return None
    expire_if_due(world, found[-1].key)
    coupon = coupons_of_code(world, code, family=None)[-1]
    told = {"code": code, "state": coupon.state, "history": coupon.told["history"]}
    return told | {name: coupon.told[name] for name in ("stock_id", "openid", "appid")}


def holder_of(world: World, wish: Mapping[str, Any]) -> str:
    """The wish's ``holder`` as an openid; drawn when none is named."""
    holder = wish.get("holder")
    if holder is None:
        return "o" + world.hexadecimal(27)
    if not isinstance(holder, str) or not 1 <= len(holder) <= 128 or not holder.isprintable():
        raise ValueError("holder must be an openid of 1 to 128 characters")
    return holder


def _stock(world: World, *, face: int, minimum: int, days: int, size: int, owner: str | None) -> str:
    now = world.now()
    body = {
        "stock_name": "联通电子券",
        "belong_merchant": MCHID,
        "goods_name": "联通合作商户通用",
        "stock_type": "NORMAL",
        "coupon_use_rule": {
            "coupon_available_time": {
                "available_begin_time": moment_text(now - timedelta(minutes=1)),
                "available_end_time": moment_text(now + timedelta(days=days)),
            },
            "fixed_normal_coupon": {"discount_amount": face, "transaction_minimum": minimum},
            "use_method": "OFF_LINE",
        },
        "stock_send_rule": {"max_coupons": size, "max_coupons_per_user": size},
        "coupon_code_mode": "WECHATPAY_MODE",
        "subsidy": True,
    }
    return add_stock(world, body, owner=owner)["stock_id"]


def _send(world: World, stock_id: str, *, openid: str, sender: str) -> Coupon:
    number = f"{MCHID}issue{world.store.next_number('issue'):012d}"
    try:
        return send_one(world, Sending(stock_id, openid, number, sender, "API"))
    except Refusal as refused:
        raise ValueError(refused.en) from None


def _known(coupon: Coupon, *, face: int) -> dict[str, Any]:
    told = {"code": coupon.code, "stock_id": coupon.stock_id, "openid": coupon.openid, "appid": APPID}
    dates = {"valid_from": coupon.told["available_start_time"], "valid_until": coupon.told["expire_time"]}
    return told | {"face_fen": face} | dates


def _linked(world: World, wish: Mapping[str, Any]) -> Coupon | None:
    code = wish.get("code")
    if code is None:
        return None
    found = coupons_of_code(world, str(code), family=None)
    if not found:
        raise ValueError("there is no coupon with that code")
    return found[-1]


def _number(wish: Mapping[str, Any], name: str, *, least: int, most: int, default: int | None = None) -> int:
    value = wish.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} must be a whole number from {least} to {most}")
    return value
