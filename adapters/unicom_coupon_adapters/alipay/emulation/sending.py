"""Giving vouchers to users: one, one of several activities, a batch, and asking whether it could be done (sheet §2.4).

With ``MERCHANT_API`` the merchant names the code, with ``MERCHANT_UPLOAD`` the pool does. A voucher that is refused
inside a list is told in its row. Codes of rows are unconfirmed; ``retry`` is true only for SYSTEM_ERROR.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation.activities import owned, settled, why_not_sendable
from unicom_coupon_adapters.alipay.emulation.activity_rules import validity
from unicom_coupon_adapters.alipay.emulation.codes import take_code
from unicom_coupon_adapters.alipay.emulation.fields import CODE, OUT_BIZ_NO, Fields
from unicom_coupon_adapters.alipay.emulation.moments import BEIJING, moment_of
from unicom_coupon_adapters.alipay.emulation.platform_keys import SELLER_ID
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal, invalid, not_now
from unicom_coupon_adapters.alipay.emulation.repeats import numbered, once
from unicom_coupon_adapters.alipay.emulation.vouchers import Voucher, add, find, vouchers_of_holder
from unicom_coupon_adapters.alipay.emulation.world import Call, Person, Reply, Route, World, person_of

_FAMILY: Final = "alipay.marketing.activity.ordervoucher"
_CONSULTED: Final = {
    "BUDGET_NOT_ENOUGH": "BUDGET_NOT_ENOUGH",
    "ACTIVITY_NOT_START": "ACTIVITY_NOT_START",
    "COUNT_OVER_LIMIT": "COUNT_OVER_LIMIT",
}


class NotGiven(Exception):
    """A voucher that cannot be given; ``code`` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def send(call: Call) -> Reply:
    """One voucher of a MERCHANT_UPLOAD activity to a user."""

    def act(number: str) -> Reply:
        fields, activity = call.fields(), owned(call)
        if activity["voucher_type"] == "EXCHANGE_VOUCHER":
            fields.needed("merchant_order_url", longest=2048)
        try:
            voucher = give(call.world, activity, person=reader(call), number=number, code=None)
        except NotGiven as told:
            raise not_now(f"发券失败：{told.code}") from None
        return {"voucher_code": voucher.code}

    return once(call, act=act)


def receive(call: Call) -> Reply:
    """Vouchers of several activities to one user, each with its own number."""
    person = reader(call, open_id="user_open_id")
    return {"receive_result_list": [_received(call, row, person) for row in call.fields().rows("receive_info_list")]}


def batch_send(call: Call) -> Reply:
    """Several vouchers to one user, each with its own number."""
    person = reader(call)
    call.fields().moment("biz_dt")
    rows = call.fields().rows("activity_send_voucher_info_list", most=20)
    told = []
    for row in rows:
        one = _received(call, row, person)
        kept = {name: one[name] for name in ("result", "retry", "error_code", "voucher_code") if name in one}
        told.append(kept | ({"error_msg": "发券失败"} if "error_code" in one else {}))
    return {"activity_send_voucher_result_info_list": told}


def consult(call: Call) -> Reply:
    """Whether the user could be given a voucher of each activity now."""
    person = reader(call)
    told = []
    for row in call.fields().rows("consult_activity_info_list", most=20):
        activity_id = row.needed("activity_id")
        activity = settled(call.world, activity_id)
        if activity is None or activity["owner"] != SELLER_ID:
            code = "ACTIVITY_NOT_PERMISSION"
        else:
            why = why_not_sendable(call.world, activity) or _over_limit(call.world, activity, person)
            code = "SUCCESS" if why is None else _CONSULTED.get(why, "OTHER")
        told.append({"activity_id": activity_id, "consult_result_code": code})
    return {"consult_result_info_list": told, "user_id": person.user_id}


def give(world: World, activity: dict[str, Any], *, person: Person, number: str, code: str | None) -> Voucher:
    """A voucher of ``activity`` into the person's wallet. Raises ``NotGiven``; ``code`` is the merchant's, if it is."""
    why = why_not_sendable(world, activity) or _over_limit(world, activity, person)
    if why is not None:
        raise NotGiven(why)
    if (activity["code_mode"] == "MERCHANT_API") != (code is not None):
        raise NotGiven("INVALID_PARAMETER")
    valid = validity(activity, received=world.now().replace(microsecond=0))
    if valid[1] < world.now():
        raise NotGiven("ACTIVITY_EXPIRED")
    if code is None:
        code = take_code(world, activity["activity_id"])
    if code is None:
        raise NotGiven("BUDGET_NOT_ENOUGH")
    if find(world, activity["activity_id"], code) is not None:
        raise NotGiven("VOUCHER_CODE_EXIST")
    world.store.put("activity", activity["activity_id"], activity | {"sent": activity["sent"] + 1})
    return add(world, activity, code=code, person=person, valid=valid, number=number)


def reader(call: Call, *, open_id: str = "open_id") -> Person:
    """The user that the content names. Raises ``INVALID_PARAMETER`` without one."""
    fields = call.fields()
    name = fields.text("user_id", longest=64) or fields.text(open_id, longest=128) or fields.text("open_id")
    if name is None:
        raise fields.refusal("user_id", "不能为空")
    return person_of(call.world, name)


def _received(call: Call, row: Fields, person: Person) -> dict[str, Any]:
    """One row's result; a repeat under its number gives the first one again."""
    activity_id, number = row.needed("activity_id"), row.needed("out_biz_no", longest=64, pattern=OUT_BIZ_NO)
    code = row.text("voucher_code", longest=64)
    told: dict[str, Any] = {"activity_id": activity_id, "out_biz_no": number}

    def act() -> Mapping[str, Any]:
        activity = settled(call.world, activity_id)
        if activity is None or activity["owner"] != SELLER_ID:
            raise NotGiven("ACTIVITY_NOT_PERMISSION" if activity else "ACTIVITY_NOT_EXIST")
        if code is not None and not re.fullmatch(CODE, code):
            raise NotGiven("INVALID_PARAMETER")
        voucher = give(call.world, activity, person=person, number=number, code=code)
        return {"voucher_code": voucher.code, "voucher_id": voucher.told["voucher_id"]}

    try:
        given = numbered(
            call.world,
            f"{call.method}|{activity_id}",
            number,
            {"user": person.user_id, "code": code},
            act=act,
            conflict=lambda: invalid("out_biz_no", "已被使用且参数不一致"),
        )
    except NotGiven as refused:
        return told | {"result": False, "retry": False, "error_code": refused.code}
    except Refusal as refused:
        return told | {"result": False, "retry": False, "error_code": refused.sub_code}
    return told | {"result": True, "retry": False, **given}


def _over_limit(world: World, activity: Mapping[str, Any], person: Person) -> str | None:
    if not activity["user_limit"]:
        return None
    since = _period_start(world.now(), activity["user_limit_period"])
    held = [
        voucher
        for voucher in vouchers_of_holder(world, person)
        if voucher.told["activity_id"] == activity["activity_id"]
        and (since is None or moment_of(voucher.told["create_time"]) >= since)
    ]
    return "COUNT_OVER_LIMIT" if len(held) >= activity["user_limit"] else None


def _period_start(now: datetime, period: str) -> datetime | None:
    """The first moment of the Beijing day, week or month; ``None`` for the whole life of the activity."""
    midnight = now.astimezone(BEIJING).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == "DAY":
        return midnight
    if period == "WEEK":
        return midnight - timedelta(days=midnight.weekday())
    return midnight.replace(day=1) if period == "MONTH" else None


ROUTES: Final = (
    Route(f"{_FAMILY}.send", send),
    Route(f"{_FAMILY}.receive", receive),
    Route(f"{_FAMILY}.batchsend", batch_send),
    Route("alipay.marketing.activity.consult", consult),
)
