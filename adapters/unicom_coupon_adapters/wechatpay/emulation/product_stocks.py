"""商品券 and their stocks: what a brand offers before users receive it (sheet §2.4).

Usage mode SINGLE is served in full. Bundles and stocks for listed stores are refused as not supported by this
sandbox, never half done.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.brands import (
    NUMBER,
    both,
    once_by_number,
    product_of,
    read_body,
    read_brand,
    refused,
    stock_of,
)
from unicom_coupon_adapters.wechatpay.emulation.fields import (
    Anything,
    Choice,
    Integer,
    Many,
    Members,
    Moment,
    Rule,
    Text,
)
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal, bad_field, not_now
from unicom_coupon_adapters.wechatpay.emulation.world import Call, Reply, World, moment_of

_PRICE: Final = Integer(0, 10_000_000_000, required=True)
_SECOND: Final = Integer(0, 86399, required=True)
_RULES: Final[Mapping[str, Rule]] = {
    "normal_coupon": Members({"threshold": _PRICE, "discount_amount": Integer(1, 10_000_000_000, required=True)}),
    "discount_coupon": Members({"threshold": _PRICE, "percent_off": Integer(1, 99, required=True)}),
    "exchange_coupon": Members({"threshold": _PRICE, "exchange_price": _PRICE}),
}
_DAYS: Final = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
_PERIOD: Final = Members(
    {
        "available_begin_time": Moment(required=True),
        "available_end_time": Moment(required=True),
        "available_days": Integer(1, 365),
        "wait_days_after_receive": Integer(0, 365),
        "weekly_available_period": Members(
            {
                "day_list": Many(Choice(_DAYS), 7),
                "day_period_list": Many(Members({"begin_time": _SECOND, "end_time": _SECOND}), 20),
            }
        ),
        "irregular_available_period_list": Many(
            Members({"begin_time": Moment(required=True), "end_time": Moment(required=True)}), 100
        ),
    },
    required=True,
)
_STOCK: Final = Members(
    {
        "remark": Text(60, shortest=0, emoji=True),
        "coupon_code_mode": Choice(("WECHATPAY", "UPLOAD", "API_ASSIGN"), required=True),
        "stock_send_rule": Members(
            {
                "max_count": Integer(1, 100_000_000, required=True),
                "max_count_per_day": Integer(1, 100_000_000),
                "max_count_per_user": Integer(1, 100),
            },
            required=True,
        ),
        "single_usage_rule": Members({"coupon_available_period": _PERIOD, **_RULES}, required=True),
        "usage_rule_display_info": Anything(),
        "coupon_display_info": Anything(),
        "notify_config": Anything(),
        "store_scope": Choice(("NONE", "ALL", "SPECIFIC"), required=True),
    },
    required=True,
)
_CREATE: Final[Mapping[str, Rule]] = {
    "out_request_no": NUMBER,
    "scope": Choice(("ALL", "SINGLE"), required=True),
    "type": Choice(("NORMAL", "DISCOUNT", "EXCHANGE"), required=True),
    "usage_mode": Choice(("SINGLE", "PROGRESSIVE_BUNDLE", "SEQUENTIAL"), required=True),
    "single_usage_info": Members({name: _RULES[name] for name in ("normal_coupon", "discount_coupon")}),
    "progressive_bundle_usage_info": Anything(),
    "sequential_usage_info": Anything(),
    "display_info": Members({"name": Text(60, required=True, emoji=True)}, required=True, open=True),
    "out_product_no": Text(40),
    "stock": _STOCK,
}
_ADD: Final[Mapping[str, Rule]] = {"out_request_no": NUMBER, "stock": _STOCK}
_END: Final[Mapping[str, Rule]] = {"out_request_no": NUMBER, "deactivate_reason": Text(150, required=True, emoji=True)}
_CODES: Final[Mapping[str, Rule]] = {
    "out_request_no": NUMBER,
    "code_list": Many(Text(1000, emoji=True), 200, 1, required=True),
}
_CODE: Final = re.compile(r"[0-9A-Za-z_\-]{1,40}")
_RULE_OF_TYPE: Final = {"NORMAL": "normal_coupon", "DISCOUNT": "discount_coupon", "EXCHANGE": "exchange_coupon"}


def create(call: Call) -> Reply:
    """A product coupon with its first stock."""
    brand_id, body = read_body(call, _CREATE)
    if body["usage_mode"] != "SINGLE":
        raise _unsupported("usage_mode")
    if body["scope"] == "ALL" and body["type"] == "EXCHANGE":
        raise bad_field("/type", "全场券不支持兑换券", "EXCHANGE belongs to scope SINGLE")
    rule = _RULE_OF_TYPE[body["type"]]
    holder = body.get("single_usage_info", {}) if body["scope"] == "ALL" else body["stock"]["single_usage_rule"]
    if [name for name in _RULES if name in holder] != [rule]:
        raise bad_field(f"/single_usage_info/{rule}", "优惠规则与券类型不符", "exactly this rule belongs to the type")
    check_stock(call, body["stock"])
    return once_by_number(
        call, "create", body["out_request_no"], body, lambda: add_product(call.world, body, brand_id, call.caller.name)
    )


def add_product(world: World, body: Mapping[str, Any], brand_id: str, creator: str) -> dict[str, Any]:
    """Write the product coupon of a checked ``body`` and its stock; both as the call answers them."""
    names = ("scope", "type", "usage_mode", "single_usage_info", "display_info", "out_product_no")
    product = {
        "product_coupon_id": f"{2000000000 + world.store.next_number('product')}",
        "brand_id": brand_id,
        "state": "EFFECTIVE",
        "creator": creator,
        **{name: body[name] for name in names if name in body},
    }
    world.store.put("product", product["product_coupon_id"], product)
    stock = _add_stock(world, body["stock"], product)
    return {**_without_creator(product), "stock": stock}


def read(call: Call) -> Reply:
    """A product coupon."""
    found = product_of(call.world, call.arguments["product_coupon_id"], brand_id=read_brand(call))
    return _without_creator(found)


def deactivate(call: Call) -> Reply:
    """End a product coupon: nothing more is sent; what users hold stays."""
    brand_id, body = read_body(call, _END)

    def act() -> dict[str, Any]:
        product = product_of(call.world, call.arguments["product_coupon_id"], brand_id=brand_id)
        ended = _ended(call.world, product, body, state="DEACTIVATED")
        call.store.put("product", product["product_coupon_id"], ended)
        return _without_creator(ended)

    return once_by_number(call, "deactivate", body["out_request_no"], body, act)


def add_stock(call: Call) -> Reply:
    """Another stock of a product coupon."""
    brand_id, body = read_body(call, _ADD)
    product = product_of(call.world, call.arguments["product_coupon_id"], brand_id=brand_id)
    if product["state"] != "EFFECTIVE":
        raise refused("state", "商品券已失效", "The product coupon was deactivated.")
    check_stock(call, body["stock"])
    return once_by_number(
        call, "stock", body["out_request_no"], body, lambda: _add_stock(call.world, body["stock"], product)
    )


def read_stock(call: Call) -> Reply:
    """A stock with its counts."""
    product_id, stock_id = call.arguments["product_coupon_id"], call.arguments["stock_id"]
    return _without_creator(stock_of(call.world, product_id, stock_id, brand_id=read_brand(call)))


def list_stocks(call: Call) -> Reply:
    """The stocks of a product coupon, by pages; ``offset`` is the number of stocks left out."""
    product = product_of(call.world, call.arguments["product_coupon_id"], brand_id=read_brand(call))
    offset = call.query_number("offset", default=0, most=1_000_000)
    limit = call.query_number("limit", default=20, most=100) or 20
    keys = [key for key, _ in call.store.all(f"product-stocks|{product['product_coupon_id']}")]
    page = [call.store.get("product-stock", key) for key in keys[offset : offset + limit]]
    shown = [_without_creator(stock) for stock in page if stock is not None]
    return {"total_count": len(keys), "offset": offset, "limit": limit, "stock_list": shown}


def deactivate_stock(call: Call) -> Reply:
    """End a stock."""
    brand_id, body = read_body(call, _END)

    def act() -> dict[str, Any]:
        product_id, stock_id = call.arguments["product_coupon_id"], call.arguments["stock_id"]
        stock = stock_of(call.world, product_id, stock_id, brand_id=brand_id)
        ended = _ended(call.world, stock, body, state="DEACTIVATED")
        call.store.put("product-stock", stock_id, ended)
        return _without_creator(ended)

    return once_by_number(call, "stock.deactivate", body["out_request_no"], body, act)


def upload_codes(call: Call) -> Reply:
    """Codes for a stock of mode UPLOAD."""
    brand_id, body = read_body(call, _CODES)
    product_id, stock_id = call.arguments["product_coupon_id"], call.arguments["stock_id"]
    stock = stock_of(call.world, product_id, stock_id, brand_id=brand_id)
    if stock["coupon_code_mode"] != "UPLOAD":
        raise refused("state", "批次的券code模式不是UPLOAD", "The stock's mode is not UPLOAD.")
    return once_by_number(
        call, "codes", body["out_request_no"], body, lambda: _add_codes(call.world, stock_id, body["code_list"])
    )


def check_stock(call: Call, stock: Mapping[str, Any]) -> None:
    """What single fields of a stock cannot tell. Raises 400."""
    period = stock["single_usage_rule"]["coupon_available_period"]
    begin, end = moment_of(period["available_begin_time"]), moment_of(period["available_end_time"])
    at = "/stock/single_usage_rule/coupon_available_period/available_end_time"
    if not begin < end or end <= call.world.now():
        raise bad_field(at, "结束时间应晚于开始时间和当前时间", "must be after the beginning and after now")
    if end - begin > timedelta(days=365):
        raise bad_field(at, "可用时间段不能超过365天", "the period is longer than 365 days")
    if stock["store_scope"] == "SPECIFIC":
        raise _unsupported("store_scope")


def _add_stock(world: World, wish: Mapping[str, Any], product: Mapping[str, Any]) -> dict[str, Any]:
    stock = {
        **wish,
        "stock_id": f"{200000000000 + world.store.next_number('product-stock')}",
        "product_coupon_id": product["product_coupon_id"],
        "brand_id": product["brand_id"],
        "creator": product["creator"],
        "state": "SENDING",
        "sent_count_info": {"total_count": 0, "today_count": 0},
    }
    world.store.put("product-stock", stock["stock_id"], stock)
    world.store.put(f"product-stocks|{product['product_coupon_id']}", stock["stock_id"], {})
    return _without_creator(stock)


def _add_codes(world: World, stock_id: str, codes: list[str]) -> dict[str, Any]:
    counts = Counter(codes)
    mark = world.store.get("pool-mark", stock_id) or {"added": 0, "next": 1}
    good, known, bad = [], [], []
    for code in counts:
        if not _CODE.fullmatch(code):
            bad.append({"coupon_code": code, "code": "PARAM_ERROR", "message": "券code格式不正确"})
        elif world.store.get(f"pool|{stock_id}", code) is not None:
            known.append(code)
        else:
            good.append(code)
    for code in good:
        mark["added"] += 1
        entry = {"code": code, "status": "AVAILABLE", "upload_time": world.now_text()}
        world.store.put(f"pool|{stock_id}", code, entry)
        world.store.put(f"pool-order|{stock_id}", str(mark["added"]), {"code": code})
    world.store.put("pool-mark", stock_id, mark)
    return {
        "total_count": len(counts),
        "success_code_list": good,
        "failed_code_list": bad,
        "already_exist_code_list": known,
        "duplicate_code_list": [code for code, times in counts.items() if times > 1],
    }


def _ended(world: World, kept: Mapping[str, Any], body: Mapping[str, Any], *, state: str) -> dict[str, Any]:
    if kept["state"] == state:
        raise refused("state", "已失效", "It was deactivated before.")
    told = {"deactivate_request_no": body["out_request_no"], "deactivate_time": world.now_text()}
    return {**kept, "state": state, **told, "deactivate_reason": body["deactivate_reason"]}


def _without_creator(kept: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kept.items() if name != "creator"}


def _unsupported(name: str) -> Refusal:
    return not_now(f"沙箱不支持该{name}", f"This sandbox does not serve that {name}.")


_PRODUCTS: Final = "/product-coupons"
_ONE: Final = "/product-coupons/{product_coupon_id}"
ROUTES: Final = (
    *both("POST", _PRODUCTS, create),
    *both("GET", _ONE, read),
    *both("POST", _ONE + "/deactivate", deactivate),
    *both("POST", _ONE + "/stocks", add_stock),
    *both("GET", _ONE + "/stocks", list_stocks),
    *both("GET", _ONE + "/stocks/{stock_id}", read_stock),
    *both("POST", _ONE + "/stocks/{stock_id}/deactivate", deactivate_stock),
    *both("POST", _ONE + "/stocks/{stock_id}/upload-coupon-codes", upload_codes),
)
