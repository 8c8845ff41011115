"""Sending a 商品券: limits, codes, dates, and the news of it, for every channel (sheet §2.4)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from unicom_coupon_adapters.wechatpay.emulation.brands import product_of, refused, stock_of
from unicom_coupon_adapters.wechatpay.emulation.callbacks import notify
from unicom_coupon_adapters.wechatpay.emulation.codes import take_code
from unicom_coupon_adapters.wechatpay.emulation.holdings import Coupon, add, find
from unicom_coupon_adapters.wechatpay.emulation.platform_keys import APPID, BRAND_ID, MCHID
from unicom_coupon_adapters.wechatpay.emulation.product_stocks import add_product
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal, bad_field
from unicom_coupon_adapters.wechatpay.emulation.sending import draw_code
from unicom_coupon_adapters.wechatpay.emulation.validity import validity
from unicom_coupon_adapters.wechatpay.emulation.world import World, moment_of, moment_text


@dataclass(frozen=True, slots=True)
class ProductSending:
    """One 商品券 to be sent, by whom and how."""

    brand_id: str
    product_coupon_id: str
    stock_id: str
    openid: str
    number: str
    channel: str
    sender: str
    code: str | None = None
    attach: str | None = None


def send_product(world: World, wish: ProductSending) -> Coupon:
    """The coupon, received and CONFIRMING; the SEND event follows. Raises a refusal before writing anything."""
    product = product_of(world, wish.product_coupon_id, brand_id=wish.brand_id)
    stock = stock_of(world, wish.product_coupon_id, wish.stock_id, brand_id=wish.brand_id)
    rule = stock["single_usage_rule"]["coupon_available_period"]
    start, end = validity(rule, received=world.now())
    if product["state"] != "EFFECTIVE" or stock["state"] != "SENDING" or end < world.now():
        raise refused("stock_state", "批次不在发放中", "The stock is not SENDING.")
    mine = world.store.get("stock-user", f"{wish.stock_id}|{wish.openid}") or {"received": 0}
    _check_limits(world, stock, received=mine["received"])
    code = _code(world, stock, wish)
    counts = world.store.get("stock-count", wish.stock_id) or {"sent": 0, "days": {}}
    today = world.today().isoformat()
    counts = {"sent": counts["sent"] + 1, "days": {today: counts["days"].get(today, 0) + 1}}
    world.store.put("stock-count", wish.stock_id, counts)
    world.store.put("stock-user", f"{wish.stock_id}|{wish.openid}", {"received": mine["received"] + 1})
    told = {
        "brand_id": wish.brand_id,
        "product_coupon_id": wish.product_coupon_id,
        "stock_id": wish.stock_id,
        "coupon_code": code,
        "openid": wish.openid,
        "appid": APPID,
        "sender": wish.sender,
        "state": "CONFIRMING",
        "receive_time": world.now_text(),
        "valid_begin_time": moment_text(start),
        "valid_end_time": moment_text(end),
        "send_request_no": wish.number,
        "send_channel": wish.channel,
        **({"attach": wish.attach} if wish.attach else {}),
    }
    coupon = add(world, told, family="product", event="send", number=wish.number)
    _tell(world, coupon)
    return coupon


def issue_products(
    world: World, *, count: int, face: int, minimum: int, days: int, openid: str
) -> list[dict[str, Any]]:
    """For the control API: a product coupon with a stock, ``count`` of it received by the user, not yet confirmed."""
    now = world.now()
    period = {
        "available_begin_time": moment_text(now - timedelta(minutes=1)),
        "available_end_time": moment_text(now + timedelta(days=days)),
    }
    rule = {"threshold": minimum, "discount_amount": face}
    stock = {
        "coupon_code_mode": "WECHATPAY",
        "stock_send_rule": {"max_count": count},
        "single_usage_rule": {"coupon_available_period": period},
        "store_scope": "NONE",
    }
    body = {
        "scope": "ALL",
        "type": "NORMAL",
        "usage_mode": "SINGLE",
        "single_usage_info": {"normal_coupon": rule},
        "display_info": {"name": "联通电子券"},
        "stock": stock,
    }
    product = add_product(world, body, BRAND_ID, MCHID)
    found = []
    for _ in range(count):
        wish = ProductSending(
            brand_id=BRAND_ID,
            product_coupon_id=product["product_coupon_id"],
            stock_id=product["stock"]["stock_id"],
            openid=openid,
            number=f"issue_{world.store.next_number('issue'):012d}",
            channel="API",
            sender=MCHID,
        )
        found.append(_known(send_product(world, wish)) | {"face_fen": face})
    return found


def claim_product(world: World, token: str, kept: Mapping[str, Any], *, openid: str) -> dict[str, Any]:
    """The user receives what a pre-send promised. Only the named user, once, in time."""
    if kept.get("claimed") or world.now() > moment_of(kept["until"]) or openid != kept["openid"]:
        return {"errcode": "INVALID_TOKEN", "errmsg": "token已失效"}
    wish = ProductSending(
        brand_id=kept["brand_id"],
        product_coupon_id=kept["product_coupon_id"],
        stock_id=kept["stock_id"],
        openid=openid,
        number=kept["send_request_no"],
        channel="RECEIVE_COMPONENT",
        sender=kept["sender"],
        code=kept.get("coupon_code"),
        attach=kept.get("attach"),
    )
    try:
        coupon = send_product(world, wish)
    except Refusal as no:
        return {"errcode": no.code, "errmsg": no.zh}
    world.store.put("pre-send", token, {**kept, "claimed": True})
    return {"errcode": "OK", "errmsg": "", **_known(coupon)}


def _check_limits(world: World, stock: Mapping[str, Any], *, received: int) -> None:
    rule = stock["stock_send_rule"]
    counts = world.store.get("stock-count", stock["stock_id"]) or {"sent": 0, "days": {}}
    if received >= rule.get("max_count_per_user", received + 1):
        raise refused("user_limit", "用户已达到领取上限", "The user has as many coupons as the rule allows.")
    today = counts["days"].get(world.today().isoformat(), 0)
    if counts["sent"] >= rule["max_count"] or today >= rule.get("max_count_per_day", today + 1):
        raise refused("stock_state", "批次已发放完", "The stock, or today's share of it, is used up.")


def _code(world: World, stock: Mapping[str, Any], wish: ProductSending) -> str:
    mode = stock["coupon_code_mode"]
    if mode == "API_ASSIGN":
        if wish.code is None:
            raise bad_field("/coupon_code", "API_ASSIGN模式必填", "required in mode API_ASSIGN")
        if find(world, wish.stock_id, wish.code, family="product") is not None:
            raise refused("send_again", "券code已用其他单号发放", "The code was sent under another number.")
        return wish.code
    if wish.code is not None:
        raise bad_field("/coupon_code", "该批次不支持指定券code", "the stock's mode does not take a code")
    code = draw_code(world) if mode == "WECHATPAY" else take_code(world, wish.stock_id, openid=wish.openid)
    if code is None:
        raise refused("stock_state", "预存code已发放完", "The uploaded codes are used up.")
    return code


def _tell(world: World, coupon: Coupon) -> None:
    told = coupon.told
    is_brand = told["sender"].startswith("brand:")
    named = ("brand_id", "coupon_code", "product_coupon_id", "stock_id", "appid", "openid", "receive_time")
    more = ("send_request_no", "send_channel", "valid_begin_time", "valid_end_time", "attach")
    plaintext = {name: told[name] for name in (*named, *more) if name in told}
    plaintext["unionid"] = "u" + hashlib.sha256(coupon.openid.encode("utf-8", "surrogatepass")).hexdigest()[:27]
    kept = world.store.get("product-callback-url", told["sender"])
    notify(
        world,
        "PRODUCT_COUPON.SEND" if is_brand else "PRODUCT_COUPON_SP.SEND",
        plaintext,
        original_type="product_coupon",
        associated_data="product_coupon",
        url=kept["notify_url"] if kept else None,
        brand=is_brand,
    )


def _known(coupon: Coupon) -> dict[str, Any]:
    told = {"code": coupon.code, "stock_id": coupon.stock_id, "openid": coupon.openid, "appid": APPID}
    return told | {name: coupon.told[name] for name in ("product_coupon_id", "brand_id")}
