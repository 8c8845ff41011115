"""Sending a 商家券: limits, codes, the coupon's dates, and the news of it (sheet §2.1, §2.3, §6).

One way for all channels: API, H5, mini-program plugin, receive component, and the control API of the sandbox.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.callbacks import notify
from unicom_coupon_adapters.wechatpay.emulation.codes import CODE_PATTERN, take_code
from unicom_coupon_adapters.wechatpay.emulation.holdings import Coupon, add, coupons_of_code, find
from unicom_coupon_adapters.wechatpay.emulation.platform_keys import APPID, MCHID
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal, bad_field, not_now, not_there
from unicom_coupon_adapters.wechatpay.emulation.stocks import state_of
from unicom_coupon_adapters.wechatpay.emulation.validity import validity
from unicom_coupon_adapters.wechatpay.emulation.world import World, moment_text

_PLATFORM_CODE_DIGITS: Final = 22
_TRIGGER: Final = re.compile(r"(90|91)[0-9A-Z]{2}$")


@dataclass(frozen=True, slots=True)
class Sending:
    """One coupon to be sent. ``channel`` is the last part of the platform's name for it."""

    stock_id: str
    openid: str
    number: str
    sender: str
    channel: str
    code: str | None = None


def send_one(world: World, wish: Sending) -> Coupon:
    """The coupon, held by its user; COUPON.SEND follows. Raises a refusal before writing anything."""
    stock = world.store.get("stock", wish.stock_id)
    if stock is None:
        raise not_there("批次不存在", "There is no such stock.")
    if state_of(world, stock) != "RUNNING":
        raise not_now("批次不在发放期", "The stock is not running.")
    counts = world.store.get("stock-count", wish.stock_id) or {"sent": 0, "days": {}}
    mine = world.store.get("stock-user", f"{wish.stock_id}|{wish.openid}") or {"received": 0}
    today = world.today().isoformat()
    _check_limits(stock["stock_send_rule"], counts=counts, received=mine["received"], today=today)
    start, end = validity(stock["coupon_use_rule"]["coupon_available_time"], received=world.now())
    if end < world.now():
        raise not_now("批次已过可用时间", "The stock's coupons would be over already.")
    code = _code(world, stock, wish)  # last: a pool gives its code away for good
    counts["sent"] += 1
    counts["days"][today] = counts["days"].get(today, 0) + 1
    world.store.put("stock-count", wish.stock_id, counts)
    world.store.put("stock-user", f"{wish.stock_id}|{wish.openid}", {"received": mine["received"] + 1})
    received = world.now_text()
    told = {
        "coupon_code": code,
        "stock_id": wish.stock_id,
        "openid": wish.openid,
        "appid": APPID,
        "sender": wish.sender,
        "state": "SENDED",
        "receive_time": received,
        "available_start_time": moment_text(start),
        "expire_time": moment_text(end),
        "send_request_no": wish.number,
    }
    coupon = add(world, told, family="busifavor", event="send", number=wish.number)
    _tell(world, coupon, channel=wish.channel)
    return coupon


def draw_code(world: World, digits: int = _PLATFORM_CODE_DIGITS) -> str:
    """A code of the platform: digits, unused so far, and none that a test system reads as a fault trigger."""
    while True:
        code = world.digits(digits)
        if not _TRIGGER.search(code) and not coupons_of_code(world, code, family=None):
            return code


def merchant_callback_url(world: World) -> str | None:
    """The address that the merchant set by the 商家券 call, if any."""
    kept = world.store.get("callback-url", MCHID)
    return kept["notify_url"] if kept else None


def _check_limits(rule: dict[str, Any], *, counts: dict[str, Any], received: int, today: str) -> None:
    if received >= rule["max_coupons_per_user"]:
        raise Refusal("RULE_LIMIT", "用户已达到领取上限", "The user has as many coupons as the rule allows.")
    if counts["sent"] >= rule["max_coupons"]:
        raise Refusal("RULE_LIMIT", "批次已发放完", "The stock is used up.")
    if counts["days"].get(today, 0) >= rule.get("max_coupons_by_day", counts["sent"] + 1):
        raise Refusal("RULE_LIMIT", "批次今日已发放完", "Today's share of the stock is used up.")


def _code(world: World, stock: dict[str, Any], wish: Sending) -> str:
    mode = stock["coupon_code_mode"]
    if mode == "MERCHANT_API":
        if wish.code is None:
            raise bad_field("/coupon_code", "MERCHANT_API模式必填", "required in mode MERCHANT_API")
        if not re.fullmatch(CODE_PATTERN, wish.code) or len(wish.code) > 32:
            raise bad_field("/coupon_code", "格式不正确", "does not have the right form")
        if find(world, wish.stock_id, wish.code) is not None:
            raise not_now("券code已被使用", "The code was given out before.")
        return wish.code
    if wish.code is not None:
        raise bad_field("/coupon_code", "该批次的券code模式不支持指定券code", "the stock's mode does not take a code")
    if mode == "WECHATPAY_MODE":
        return draw_code(world)
    pooled = take_code(world, wish.stock_id, openid=wish.openid)
    if pooled is None:
        raise Refusal("RULE_LIMIT", "预存code已发放完", "The uploaded codes are used up.")
    return pooled


def _tell(world: World, coupon: Coupon, *, channel: str) -> None:
    plaintext = {
        "event_type": "EVENT_TYPE_BUSICOUPON_SEND",
        "coupon_code": coupon.code,
        "stock_id": coupon.stock_id,
        "send_time": coupon.told["receive_time"],
        "openid": coupon.openid,
        "send_channel": f"BUSICOUPON_SEND_CHANNEL_{channel}",
        "send_merchant": coupon.told["sender"],
        "attach_info": {},
    }
    url = merchant_callback_url(world)
    notify(world, "COUPON.SEND", plaintext, original_type="coupon", associated_data="coupon", url=url)
