"""商家券 stocks: create, read, edit, change the budget (sheet §2.1, B1 to B4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.fields import Choice, Flag, Integer, Many, Members, Moment, Rule, Text
from unicom_coupon_adapters.wechatpay.emulation.refusals import bad_field, not_now, not_there, not_yours
from unicom_coupon_adapters.wechatpay.emulation.repeats import once
from unicom_coupon_adapters.wechatpay.emulation.world import Call, Reply, Route, World, check_appid, moment_of

_BILLION: Final = 1_000_000_000
_TEN_MILLION: Final = 10_000_000
_REQUEST_NO: Final = Text(128, required=True, pattern=r"[0-9A-Za-z|_*-]+")
_COLOURS: Final = tuple(f"Color{number:03d}" for number in range(10, 101, 10))
_DAY_SECOND: Final = Integer(0, 86399)
CODE_MODES: Final = ("WECHATPAY_MODE", "MERCHANT_API", "MERCHANT_UPLOAD")

_AVAILABLE_TIME: Final = Members(
    {
        "available_begin_time": Moment(required=True),
        "available_end_time": Moment(required=True),
        "available_day_after_receive": Integer(1, 366),
        "wait_days_after_receive": Integer(0, 366),
        "available_second_after_receive": Integer(1, 366 * 86400),
        "available_week": Members(
            {
                "week_day": Many(Integer(0, 6), 7),
                "available_day_time": Many(Members({"begin_time": _DAY_SECOND, "end_time": _DAY_SECOND}), 20),
            }
        ),
        "irregulary_avaliable_time": Many(Members({"begin_time": Moment(), "end_time": Moment()}), 100),
    },
    required=True,
)
_PRICE: Final = Integer(1, _TEN_MILLION, required=True)
_USE_RULE_MEMBERS: Final[Mapping[str, Rule]] = {
    "fixed_normal_coupon": Members({"discount_amount": _PRICE, "transaction_minimum": _PRICE}),
    "discount_coupon": Members({"discount_percent": Integer(1, 99, required=True), "transaction_minimum": _PRICE}),
    "exchange_coupon": Members(
        {"exchange_price": Integer(0, _TEN_MILLION, required=True), "transaction_minimum": _PRICE}
    ),
    "mini_programs_appid": Text(32),
    "mini_programs_path": Text(128),
}
_METHOD_WORDS: Final = ("OFF_LINE", "MINI_PROGRAMS", "PAYMENT_CODE", "SELF_CONSUME")
_SEND_RULE: Final = Members(
    {
        "max_coupons": Integer(1, _BILLION, required=True),
        "max_coupons_per_user": Integer(1, 100, required=True),
        "max_coupons_by_day": Integer(1, _BILLION),
        "max_amount": Integer(1, _BILLION),
        "max_amount_by_day": Integer(1, _BILLION),
        "natural_person_limit": Flag(),
        "prevent_api_abuse": Flag(),
        "transferable": Flag(),
        "shareable": Flag(),
    },
    required=True,
)
_ENTRANCE: Final = Members(
    {
        "mini_programs_info": Members(
            {
                "mini_programs_appid": Text(32, required=True),
                "mini_programs_path": Text(128, required=True),
                "entrance_words": Text(5, required=True),
                "guiding_words": Text(6),
            }
        ),
        "appid": Text(32),
        "hall_id": Text(64),
        "store_id": Text(64),
        "code_display_mode": Choice(("NOT_SHOW", "BARCODE", "QRCODE")),
    }
)
_PATTERN: Final = Members(
    {
        "description": Text(1000),
        "merchant_logo_url": Text(128),
        "merchant_name": Text(16),
        "background_color": Choice(_COLOURS),
        "coupon_image_url": Text(128),
        "finder_info": Members(
            {
                "finder_id": Text(32, required=True),
                "finder_video_id": Text(64, required=True),
                "finder_video_cover_image_url": Text(256, required=True),
            }
        ),
    }
)
_NOTIFY: Final = Members({"notify_appid": Text(32)})
_CREATE: Final = Members(
    {
        "stock_name": Text(21, required=True),
        "belong_merchant": Text(15, shortest=8, required=True),
        "comment": Text(20),
        "goods_name": Text(15, required=True),
        "stock_type": Choice(("NORMAL", "DISCOUNT", "EXCHANGE"), required=True),
        "coupon_use_rule": Members(
            {
                "coupon_available_time": _AVAILABLE_TIME,
                **_USE_RULE_MEMBERS,
                "use_method": Choice(_METHOD_WORDS, required=True),
            },
            required=True,
        ),
        "stock_send_rule": _SEND_RULE,
        "out_request_no": _REQUEST_NO,
        "custom_entrance": _ENTRANCE,
        "display_pattern_info": _PATTERN,
        "coupon_code_mode": Choice(CODE_MODES, required=True),
        "notify_config": _NOTIFY,
        "subsidy": Flag(),
    }
)
_EDIT: Final = Members(
    {
        "custom_entrance": _ENTRANCE,
        "comment": Text(20),
        "goods_name": Text(15),
        "out_request_no": _REQUEST_NO,
        "display_pattern_info": _PATTERN,
        "coupon_use_rule": Members(
            {
                "use_method": Choice(_METHOD_WORDS),
                "mini_programs_appid": Text(32),
                "mini_programs_path": Text(128),
            }
        ),
        "stock_send_rule": Members({"natural_person_limit": Flag(), "prevent_api_abuse": Flag()}),
        "notify_config": _NOTIFY,
        "subsidy": Flag(),
    }
)
_BUDGET: Final = Members(
    {
        "target_max_coupons": Integer(1, _BILLION),
        "current_max_coupons": Integer(1, _BILLION),
        "target_max_coupons_by_day": Integer(1, _BILLION),
        "current_max_coupons_by_day": Integer(1, _BILLION),
        "modify_budget_request_no": Text(128, required=True),
    }
)
_KIND_OF_TYPE: Final = {"NORMAL": "fixed_normal_coupon", "DISCOUNT": "discount_coupon", "EXCHANGE": "exchange_coupon"}


def create(call: Call) -> Reply:
    """B1: a stock that runs at once. Idempotent by ``out_request_no``."""
    body = call.body(_CREATE)
    _check_rules(call, body)
    return once(call, "busifavor.create", body["out_request_no"], body, act=lambda: add_stock(call.world, body))


def add_stock(world: World, body: dict[str, Any], *, owner: str | None = None) -> dict[str, str]:
    """Write the stock of a checked ``body``; ``owner`` is another merchant for tests of permission."""
    stock_id = f"{1300000000000000 + world.store.next_number('stock')}"
    created = world.now_text()
    stock = {
        **{name: value for name, value in body.items() if name != "out_request_no"},
        "stock_id": stock_id,
        "creator": owner or body["belong_merchant"],
        "belong_merchant": owner or body["belong_merchant"],
        "create_time": created,
    }
    world.store.put("stock", stock_id, stock)
    world.store.put("stock-count", stock_id, {"sent": 0, "days": {}})
    return {"stock_id": stock_id, "create_time": created}


def read(call: Call) -> Reply:
    """B2: the stock with its state and counts."""
    stock = stock_of(call)
    counts = call.store.get("stock-count", stock["stock_id"]) or {"sent": 0, "days": {}}
    today = counts["days"].get(call.world.today().isoformat(), 0)
    amount = stock["coupon_use_rule"].get("fixed_normal_coupon", {}).get("discount_amount", 0)
    told = {name: value for name, value in stock.items() if name not in {"creator", "create_time"}}
    told["stock_state"] = state_of(call.world, stock)
    told["send_count_information"] = {
        "total_send_num": counts["sent"],
        "total_send_amount": counts["sent"] * amount,
        "today_send_num": today,
        "today_send_amount": today * amount,
    }
    if stock["coupon_code_mode"] == "MERCHANT_UPLOAD":
        codes = [code for _, code in call.store.all(f"pool|{stock['stock_id']}")]
        available = sum(code["status"] == "AVAILABLE" for code in codes)
        told["coupon_code_count"] = {"total_count": len(codes), "available_count": available}
    return told


def edit(call: Call) -> Reply:
    """B3: what the document lets be changed; 204."""
    body = call.body(_EDIT)
    stock = stock_of(call)
    number = body.pop("out_request_no")
    if body.get("subsidy") is False and stock.get("subsidy"):
        raise not_now("补差属性不支持由true改为false", "subsidy can only be turned on.")
    if body.get("notify_config", {}).get("notify_appid"):
        check_appid(body["notify_config"]["notify_appid"])

    def act() -> None:
        for name in ("coupon_use_rule", "stock_send_rule"):
            if name in body:
                body[name] = stock[name] | body[name]
        call.store.put("stock", stock["stock_id"], stock | body)

    return once(call, "busifavor.edit", number, dict(body), act=act)


def change_budget(call: Call) -> Reply:
    """B4: total or daily limit to a target, with the current value as a guard if it is given."""
    body = call.body(_BUDGET)
    stock = stock_of(call)
    daily = "target_max_coupons_by_day" in body
    if daily == ("target_max_coupons" in body):
        issue = "target_max_coupons与target_max_coupons_by_day必须且只能填一个"
        raise bad_field("/target_max_coupons", issue, "give exactly one target")
    return once(
        call,
        "busifavor.budget",
        body["modify_budget_request_no"],
        body,
        act=lambda: _set_budget(call.world, stock, body, name="max_coupons_by_day" if daily else "max_coupons"),
    )


def _set_budget(world: World, stock: dict[str, Any], body: dict[str, Any], *, name: str) -> dict[str, Any]:
    rule = stock["stock_send_rule"]
    target = body[f"target_{name}"]
    guard = body.get(f"current_{name}")
    if guard is not None and guard != rule.get(name):
        raise not_now("当前预算与实际不符", "The current budget is another.")
    sent = (world.store.get("stock-count", stock["stock_id"]) or {"sent": 0})["sent"]
    if name == "max_coupons" and target < sent:
        raise not_now("目标预算小于已发放个数", "More coupons than the target were sent.")
    if name == "max_coupons_by_day" and stock["stock_type"] == "NORMAL":
        raise not_now("该类型批次不支持单天发放上限", "This type has no daily limit of coupons.")
    rule[name] = target
    world.store.put("stock", stock["stock_id"], stock)
    told = {"max_coupons": rule["max_coupons"]}
    if "max_coupons_by_day" in rule:
        told["max_coupons_by_day"] = rule["max_coupons_by_day"]
    return told


def stock_of(call: Call) -> dict[str, Any]:
    """The stock named in the path, if the caller made or owns it. Raises 404 or 403."""
    return owned_stock(call, call.arguments["stock_id"])


def owned_stock(call: Call, stock_id: str) -> dict[str, Any]:
    """The stock ``stock_id``, if the caller made or owns it. Raises 404 or 403."""
    stock = call.store.get("stock", stock_id)
    if stock is None:
        raise not_there("批次不存在", "There is no such stock.")
    if call.caller.mchid not in {stock["creator"], stock["belong_merchant"]}:
        raise not_yours("商户无权操作该批次", "The merchant may not operate on this stock.")
    return stock


def state_of(world: World, stock: dict[str, Any]) -> str:
    """RUNNING, or STOPED (sic) once its last moment is over."""
    end = moment_of(stock["coupon_use_rule"]["coupon_available_time"]["available_end_time"])
    return "STOPED" if world.now() > end else "RUNNING"


def _check_rules(call: Call, body: dict[str, Any]) -> None:
    """What single fields cannot tell (sheet §2.1)."""
    if body["belong_merchant"] != call.caller.mchid:
        raise not_yours("归属商户号与调用商户号无绑定关系", "belong_merchant is not the caller.")
    _check_use_rule(call, body)
    sending = body["stock_send_rule"]
    if body["stock_type"] == "NORMAL" and "max_coupons_by_day" in sending:
        raise bad_field("/stock_send_rule/max_coupons_by_day", "满减券不支持该参数", "not for NORMAL stocks")
    for name in ("max_amount", "max_amount_by_day", "transferable", "shareable"):
        if sending.get(name):
            raise bad_field(f"/stock_send_rule/{name}", "该参数暂未开放", "is not open yet")
    for appid in (body.get("notify_config", {}).get("notify_appid"), body.get("custom_entrance", {}).get("appid")):
        if appid:
            check_appid(appid)


def _check_use_rule(call: Call, body: dict[str, Any]) -> None:
    rule = body["coupon_use_rule"]
    times = rule["coupon_available_time"]
    begin, end = moment_of(times["available_begin_time"]), moment_of(times["available_end_time"])
    at = "/coupon_use_rule/coupon_available_time/available_end_time"
    if not begin < end or end <= call.world.now():
        raise bad_field(at, "结束时间应晚于开始时间和当前时间", "must be after the beginning and after now")
    if end - begin > timedelta(days=366):
        raise bad_field(at, "可用时间段不能超过一年", "the window is longer than a year")
    wanted = _KIND_OF_TYPE[body["stock_type"]]
    if [name for name in _KIND_OF_TYPE.values() if name in rule] != [wanted]:
        issue = "优惠规则与批次类型不符"
        raise bad_field(f"/coupon_use_rule/{wanted}", issue, "exactly this rule belongs to the stock_type")
    if rule["use_method"] == "MINI_PROGRAMS" and not {"mini_programs_appid", "mini_programs_path"} <= rule.keys():
        raise bad_field("/coupon_use_rule/mini_programs_appid", "小程序核销时必填", "required for MINI_PROGRAMS")


ROUTES: Final = (
    Route("POST", "/v3/marketing/busifavor/stocks", create),
    Route("GET", "/v3/marketing/busifavor/stocks/{stock_id}", read),
    Route("PATCH", "/v3/marketing/busifavor/stocks/{stock_id}", edit),
    Route("PATCH", "/v3/marketing/busifavor/stocks/{stock_id}/budget", change_budget),
)
