"""Deliveries: an activity's vouchers shown on the payment result page or in service messages (sheet §2.4).

A delivery accepts MERCHANT_UPLOAD activities only. It is ACTIVE at once: the audit of its material is not played.
"""

from __future__ import annotations

from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation.activities import settled
from unicom_coupon_adapters.alipay.emulation.fields import Fields
from unicom_coupon_adapters.alipay.emulation.platform_keys import SELLER_ID
from unicom_coupon_adapters.alipay.emulation.refusals import not_now
from unicom_coupon_adapters.alipay.emulation.repeats import once
from unicom_coupon_adapters.alipay.emulation.world import Call, Reply, Route

_FAMILY: Final = "alipay.marketing.activity.delivery"
_ECHOED: Final = ("delivery_booth_code", "delivery_base_info", "delivery_play_config", "delivery_target_rule")
_TARGETS: Final = ("MANUAL_INPUT_MERCHANT", "IN_SERVICE_VOUCHER_MERCHANT")


def create(call: Call) -> Reply:
    """A new delivery."""

    def act(_number: str) -> Reply:
        fields = call.fields()
        fields.choice("merchant_access_mode", "SELF_MODE", "AGENCY_MODE")
        fields.choice("delivery_booth_code", "PAYMENT_RESULT", "SERVICE_MESSAGE")
        base = fields.sub("delivery_base_info")
        if len(base.needed("delivery_name", longest=20)) < 3:
            raise base.refusal("delivery_name", "长度应为3-20")
        begin, end = base.moment("delivery_begin_time"), base.moment("delivery_end_time")
        if not begin < end:
            raise base.refusal("delivery_end_time", "应晚于开始时间")
        for activity_id in _activities(fields.sub("delivery_play_config")):
            _check_activity(call, activity_id)
        target = fields.maybe("delivery_target_rule")
        if target is not None:
            target.choice("delivery_merchant_mode", *_TARGETS, default=_TARGETS[0])
        delivery_id = f"{call.world.day()}00{call.world.number('delivery', digits=14)}"
        kept = {name: call.content[name] for name in _ECHOED if name in call.content}
        call.store.put("delivery", delivery_id, {"status": "ACTIVE", "content": kept})
        return {"delivery_id": delivery_id}

    return once(call, act=act)


def query(call: Call) -> Reply:
    """A delivery as it was made, with its status."""
    delivery_id, told = _delivery(call)
    return {"delivery_id": delivery_id, "delivery_status": told["status"], **told["content"]}


def stop(call: Call) -> Reply:
    """End a delivery."""

    def act(_number: str) -> Reply:
        delivery_id, told = _delivery(call)
        if told["status"] != "ACTIVE":
            raise not_now("投放计划当前状态不允许该操作")
        call.store.put("delivery", delivery_id, told | {"status": "INACTIVE"})
        return {"delivery_id": delivery_id}

    return once(call, act=act)


def _activities(play: Fields) -> list[str]:
    """The activities of the one way of playing that is given."""
    single, full = play.maybe("delivery_single_send_config"), play.maybe("delivery_full_send_config")
    if (single is None) == (full is None):
        raise play.refusal("delivery_single_send_config", "与delivery_full_send_config必须且只能传一个")
    chosen = single or full
    assert chosen is not None
    if full is not None:
        full.money("delivery_floor_amount", least=0, most=9_999_900)
    contents = chosen.maybe("delivery_content_config")
    if contents is not None:
        rows = contents.rows("delivery_activity_content_configs", least=0)
        return [row.needed("activity_id") for row in rows]
    activity_id = chosen.text("activity_id")
    return [activity_id] if activity_id is not None else []


def _check_activity(call: Call, activity_id: str) -> None:
    activity = settled(call.world, activity_id)
    if activity is None or activity["owner"] != SELLER_ID or activity["code_mode"] != "MERCHANT_UPLOAD":
        raise call.fields().refusal("activity_id", "活动不存在或不支持投放")
    if activity["status"] != "ACTIVE":
        raise not_now("活动状态异常")


def _delivery(call: Call) -> tuple[str, dict[str, Any]]:
    delivery_id = call.fields().needed("delivery_id", longest=64)
    told = call.store.get("delivery", delivery_id)
    if told is None:
        raise call.fields().refusal("delivery_id", "投放计划不存在")
    return delivery_id, told


ROUTES: Final = (
    Route(f"{_FAMILY}.create", create),
    Route(f"{_FAMILY}.query", query),
    Route(f"{_FAMILY}.stop", stop),
)
