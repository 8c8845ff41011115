"""Reading vouchers: one of a user, and a user's by pages (sheet §2.7).

Whether the user may be left out is unconfirmed; the platform's own schema does not force it, so a query by activity
and code answers without one, and a user who is named must be the holder.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation.activities import settled
from unicom_coupon_adapters.alipay.emulation.platform_keys import SELLER_ID
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_adapters.alipay.emulation.sending import reader
from unicom_coupon_adapters.alipay.emulation.vouchers import Voucher, find, find_by_id, vouchers_of_holder
from unicom_coupon_adapters.alipay.emulation.world import Call, Reply, Route

_BASE: Final = "alipay.marketing.activity.user"
_EXPIRED_FOR: Final = timedelta(days=183)
_RULES: Final = (
    "voucher_deduct_info",
    "voucher_use_rule_info",
    "voucher_send_mode_info",
    "voucher_display_pattern_info",
    "voucher_customer_guide_info",
    "voucher_available_scope_info",
)


def query_voucher(call: Call) -> Reply:
    """One voucher by code or number."""
    fields, world = call.fields(), call.world
    activity_id = fields.needed("activity_id")
    activity = settled(world, activity_id)
    if activity is None:
        raise fields.refusal("activity_id", "活动不存在")
    if activity["owner"] != SELLER_ID:
        raise Refusal("ACTIVITY_NOT_PERMISSION")
    if (fields.text("merchant_id") or SELLER_ID) != SELLER_ID:
        raise Refusal("MERCHANT_RELATION_NOT_EXIST", "商户关系不存在")
    voucher_id, code = fields.text("voucher_id", longest=32), fields.text("voucher_code", longest=64)
    if voucher_id is not None:
        voucher = find_by_id(world, voucher_id)
    elif code is not None:
        voucher = find(world, activity_id, code)
    else:
        raise fields.refusal("voucher_code", "不能为空")
    if voucher is None or voucher.told["activity_id"] != activity_id or voucher.told.get("deleted"):
        raise Refusal("VOUCHER_NOT_EXIST")
    if fields.has("user_id") or fields.has("open_id"):
        person = reader(call)
        if person.user_id != voucher.person.user_id:
            raise Refusal("VOUCHER_NOT_EXIST")
    return {"activity_id": activity_id, **_shown(call, voucher)}


def batch_query_vouchers(call: Call) -> Reply:
    """A user's vouchers of this merchant, latest first, by pages."""
    fields, person = call.fields(), reader(call)
    belong, sender = fields.text("belong_merchant_id"), fields.text("sender_merchant_id")
    if (belong is None) == (sender is None):
        raise fields.refusal("belong_merchant_id", "与sender_merchant_id必须且只能传一个")
    if SELLER_ID not in {belong, sender}:
        raise Refusal("MERCHANT_RELATION_NOT_EXIST", "商户关系不存在")
    page, size = fields.whole("page_num", least=1), fields.whole("page_size", least=1, most=20)
    status = fields.choice("voucher_status", "SENDED", "USED", "EXPIRED", default="") or None
    activity_id = fields.text("activity_id")
    since = call.world.now() - _EXPIRED_FOR
    found = [
        voucher
        for voucher in vouchers_of_holder(call.world, person)
        if voucher.told["owner"] == SELLER_ID
        and not voucher.told.get("deleted")
        and activity_id in {None, voucher.told["activity_id"]}
        and status in {None, voucher.state}
        and not (voucher.state == "EXPIRED" and voucher.valid_end < since)
    ]
    rows = found[(page - 1) * size : page * size]
    return {
        "user_voucher_infos": [
            {"activity_id": one.told["activity_id"], "voucher_id": one.told["voucher_id"], **_shown(call, one)}
            for one in rows
        ],
        "page_num": page,
        "page_size": size,
        "total_size": len(found),
    }


def _shown(call: Call, voucher: Voucher) -> dict[str, Any]:
    told = voucher.told
    activity = settled(call.world, told["activity_id"]) or {}
    body = activity.get("body", {})
    base = {
        "voucher_id": told["voucher_id"],
        "voucher_code": voucher.code,
        "voucher_name": told["voucher_name"],
        "voucher_status": voucher.state,
        "valid_begin_time": told["valid_begin_time"],
        "valid_end_time": told["valid_end_time"],
        "create_time": told["create_time"],
        "voucher_max_use_times": told["max_times"],
        "voucher_used_times": told["used_times"],
        "belong_merchant_id": told["owner"],
    }
    flat = {
        "voucher_name": told["voucher_name"],
        "voucher_status": voucher.state,
        "voucher_type": activity.get("voucher_type"),
        "available_begin_time": told["valid_begin_time"],
        "available_end_time": told["valid_end_time"],
        "belong_merchant_id": told["owner"],
        "create_time": told["create_time"],
    }
    tie = {"associate_trade_no": told["trade_no"]} if told["trade_no"] else {}
    shown: dict[str, Any] = {
        "activity_base_info": {
            "activity_id": told["activity_id"],
            "activity_name": activity.get("name"),
            "code_mode": activity.get("code_mode"),
            "activity_status": activity.get("status"),
        },
        "user_voucher_base_info": base | tie,
    }
    return shown | {name: body[name] for name in _RULES if name in body} | flat | tie


ROUTES: Final = (
    Route(f"{_BASE}.queryvoucher", query_voucher),
    Route(f"{_BASE}.batchqueryvoucher", batch_query_vouchers),
)
