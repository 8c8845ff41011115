"""Codes that a merchant uploads ahead: into the activity's pool, counted, and handed out in their order (sheet §2.3).

Values of ``error_code`` for a single code are unconfirmed: ``INVALID_PARAMETER`` and ``VOUCHER_CODE_EXIST`` here.
"""

from __future__ import annotations

import re
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation.activities import owned
from unicom_coupon_adapters.alipay.emulation.fields import CODE
from unicom_coupon_adapters.alipay.emulation.refusals import not_now
from unicom_coupon_adapters.alipay.emulation.repeats import once
from unicom_coupon_adapters.alipay.emulation.world import Call, Reply, Route, World

MOST_AT_ONCE: Final = 1000
_FAMILY: Final = "alipay.marketing.activity.ordervoucher"


def deposit(call: Call) -> Reply:
    """Codes into the pool; faulty and known ones are told apart, the good ones are in."""

    def act(_number: str) -> Reply:
        activity = owned(call)
        if activity["code_mode"] != "MERCHANT_UPLOAD":
            raise not_now("活动的券码模式不支持导入")
        if activity["status"] != "ACTIVE" or activity["operation"] is not None:
            raise not_now("活动当前状态不允许该操作")
        codes = call.fields().texts("voucher_codes", most=MOST_AT_ONCE)
        return _add(call.world, activity, codes)

    return once(call, act=act)


def count(call: Call) -> Reply:
    """How many codes were uploaded so far."""
    return {"success_count": owned(call)["codes"]}


def take_code(world: World, activity_id: str) -> str | None:
    """The next free code of the pool, in the order of upload; ``None`` when all are given out."""
    mark = world.store.get("pool-mark", activity_id) or {"added": 0, "next": 1}
    if mark["next"] > mark["added"]:
        return None
    place = world.store.get(f"pool-order|{activity_id}", str(mark["next"])) or {}
    world.store.put("pool-mark", activity_id, mark | {"next": mark["next"] + 1})
    return str(place["code"])


def _add(world: World, activity: dict[str, Any], codes: list[str]) -> Reply:
    activity_id = activity["activity_id"]
    pool, added, failed = f"pool|{activity_id}", list[str](), list[dict[str, str]]()
    mark = world.store.get("pool-mark", activity_id) or {"added": 0, "next": 1}
    for code in codes:
        if not re.fullmatch(CODE, code):
            failed.append({"voucher_code": code[:64], "error_code": "INVALID_PARAMETER", "error_msg": "券码格式错误"})
        elif world.store.get(pool, code) is not None:
            failed.append({"voucher_code": code, "error_code": "VOUCHER_CODE_EXIST", "error_msg": "券码已存在"})
        else:
            mark["added"] += 1
            world.store.put(pool, code, {"at": world.now_text()})
            world.store.put(f"pool-order|{activity_id}", str(mark["added"]), {"code": code})
            world.store.put("pooled", code, {"activity_id": activity_id, "at": world.now_text()})
            added.append(code)
    world.store.put("pool-mark", activity_id, mark)
    world.store.put("activity", activity_id, activity | {"codes": activity["codes"] + len(added)})
    return {
        "success_count": len(added),
        "fail_count": len(failed),
        "success_voucher_code_list": added,
        "fail_voucher_code_detail_list": failed,
    }


ROUTES: Final = (
    Route(f"{_FAMILY}.codedeposit", deposit),
    Route(f"{_FAMILY}.codecount", count),
)
