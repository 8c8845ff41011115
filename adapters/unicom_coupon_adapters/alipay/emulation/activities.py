"""Activities: made, changed, enlarged, stopped and read; each change takes effect a while after its answer.

Sheet §2.2, §2.3, §2.8: ``code`` 10000 only means accepted. The effect comes ``delay_s`` later (half a second unless
the console says otherwise), announced by a message with the call's ``out_biz_no``; meanwhile the operation's name
stands in ``activity_operation_status`` and no other change is taken. A create that the console has set to be rejected
never becomes active and sends nothing (unconfirmed).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation.activity_rules import checked
from unicom_coupon_adapters.alipay.emulation.callbacks import send_message
from unicom_coupon_adapters.alipay.emulation.fields import Fields
from unicom_coupon_adapters.alipay.emulation.moments import moment_of
from unicom_coupon_adapters.alipay.emulation.platform_keys import SELLER_ID
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal, not_now
from unicom_coupon_adapters.alipay.emulation.repeats import once
from unicom_coupon_adapters.alipay.emulation.world import Call, Reply, Route, World

DELAY_S: Final = 0.5
_FAMILY: Final = "alipay.marketing.activity.ordervoucher"
_MODIFIABLE: Final = (
    "activity_base_info",
    "voucher_send_mode_info",
    "voucher_use_rule_info",
    "voucher_display_pattern_info",
    "voucher_customer_guide_info",
    "voucher_available_scope_info",
)
_ECHOED: Final = (
    "voucher_deduct_info",
    "voucher_send_mode_info",
    "voucher_use_rule_info",
    "voucher_display_pattern_info",
    "voucher_customer_guide_info",
    "voucher_available_scope_info",
    "activity_name",
    "code_mode",
    "voucher_type",
    "publish_start_time",
    "publish_end_time",
    "voucher_send_rule",
    "voucher_use_rule",
    "voucher_display_info",
    "customer_guide",
)


def create(call: Call) -> Reply:
    """A new activity, CREATING at first."""
    told = checked(call.fields())

    def act(number: str) -> Reply:
        console = call.store.get("console", "settings") or {}
        rejected = bool(console.get("reject_next"))
        if rejected:
            call.store.put("console", "settings", console | {"reject_next": False})
        activity = add_activity(call.world, call.content, told)
        changes = {"audit": "REJECT"} if rejected else {"status": "ACTIVE", "audit": "APPROVE"}
        _begin(call.world, activity, "CREATING", changes, message=None if rejected else "created", number=number)
        return {"activity_id": activity["activity_id"]}

    return once(call, act=act)


def add_activity(
    world: World, body: Mapping[str, Any], told: Mapping[str, Any], *, owner: str = SELLER_ID, **more: Any
) -> dict[str, Any]:
    """A new activity document; ``told`` is ``body`` in one form. Without a ``status`` it does not exist for users."""
    activity = {
        "activity_id": f"{world.day()}00826{world.number('activity', digits=13)}",
        "owner": owner,
        "body": dict(body),
        **told,
        "status": "",
        "audit": "SUBMIT",
        "operation": None,
        "sent": 0,
        "used": 0,
        "codes": 0,
        **more,
    }
    world.store.put("activity", activity["activity_id"], activity)
    return activity


def modify(call: Call) -> Reply:
    """Change an active activity. Shops can only be added; quantity and benefit cannot be changed here."""

    def act(number: str) -> Reply:
        activity = _changeable(call)
        changed = {name: call.content[name] for name in _MODIFIABLE if call.content.get(name)}
        if not changed:
            raise call.fields().refusal("activity_base_info", "没有可修改的内容")
        body = _merged(activity["body"], changed)
        told = checked(Fields(body))
        kept = {name: activity[name] for name in ("quantity", "code_mode", "voucher_type", "off_fen")}
        _begin(call.world, activity, "MODIFYING", {**told, **kept, "body": body}, message="modified", number=number)
        return {"activity_id": activity["activity_id"]}

    return once(call, act=act)


def append(call: Call) -> Reply:
    """Set a higher total; with uploaded codes it must be the number of codes uploaded so far."""

    def act(number: str) -> Reply:
        activity = _changeable(call)
        total = call.fields().whole("voucher_quantity", least=1)
        if activity["code_mode"] == "MERCHANT_UPLOAD" and total != activity["codes"]:
            raise call.fields().refusal("voucher_quantity", "与已导入券码数量不一致")
        if total < activity["quantity"]:
            raise call.fields().refusal("voucher_quantity", "不能小于当前数量")
        _begin(call.world, activity, "APPENDING", {"quantity": total}, message="appended", number=number)
        return {}

    return once(call, act=act)


def stop(call: Call) -> Reply:
    """End the issuing; vouchers that were given out stay usable (unconfirmed)."""

    def act(number: str) -> Reply:
        activity = _changeable(call)
        _begin(call.world, activity, "FINISHEING", {"status": "FINISHED"}, message="stopped", number=number)
        return {}

    return once(call, act=act)


def query(call: Call) -> Reply:
    """Everything of the create, with status, operation under way, counts and audit."""
    activity = owned(call)
    operation = activity["operation"]["name"] if activity["operation"] else None
    state = {"activity_status": activity["status"], "activity_operation_status": operation}
    state = {name: value for name, value in state.items() if value}
    body = activity["body"]
    base = {**body.get("activity_base_info", {}), "activity_id": activity["activity_id"], **state}
    told: dict[str, Any] = {"activity_id": activity["activity_id"], **state}
    if activity["is_new"]:
        told["activity_base_info"] = base
    told |= {name: body[name] for name in _ECHOED if name in body}
    told["voucher_inventory_info"] = {"send_count": activity["sent"], "use_count": activity["used"]}
    audit = {"audit_type": "UNIFY_ACCESS_CHECK", "audit_result": activity["audit"]}
    if activity["audit"] == "REJECT":
        audit["audit_reason"] = "活动素材不符合规范"
    return told | {"audit_result_info": audit}


def owned(call: Call) -> dict[str, Any]:
    """The activity that the content names, as of now. Raises ``INVALID_PARAMETER``, ``ACTIVITY_NOT_PERMISSION``."""
    activity_id = call.fields().needed("activity_id")
    activity = settled(call.world, activity_id)
    if activity is None:
        raise call.fields().refusal("activity_id", "活动不存在")
    if activity["owner"] != SELLER_ID:
        raise Refusal("ACTIVITY_NOT_PERMISSION")
    return activity


def settled(world: World, activity_id: str) -> dict[str, Any] | None:
    """The activity as of now: an operation whose time has come has taken effect."""
    activity = world.store.get("activity", activity_id)
    if activity is None or activity["operation"] is None:
        return activity
    if world.now().timestamp() < activity["operation"]["due"]:
        return activity
    activity |= {**activity["operation"]["changes"], "operation": None}
    world.store.put("activity", activity_id, activity)
    return activity


def why_not_sendable(world: World, activity: Mapping[str, Any]) -> str | None:
    """The code that says why no voucher of the activity can be given out now; ``None`` where one can."""
    now = world.now()
    if activity["status"] != "ACTIVE":
        return "ACTIVITY_STATUS_NOT_ACTIVE"
    if now < moment_of(activity["publish_start"]):
        return "ACTIVITY_NOT_START"
    if now > moment_of(activity["publish_end"]):
        return "ACTIVITY_EXPIRED"
    if activity["sent"] >= activity["quantity"]:
        return "BUDGET_NOT_ENOUGH"
    return None


def _changeable(call: Call) -> dict[str, Any]:
    activity = owned(call)
    if activity["status"] != "ACTIVE" or activity["operation"] is not None:
        raise not_now("活动当前状态不允许该操作")
    return activity


def _begin(
    world: World, activity: dict[str, Any], name: str, changes: dict[str, Any], *, message: str | None, number: str
) -> None:
    delay_s = float((world.store.get("console", "settings") or {}).get("delay_s", DELAY_S))
    due = world.now().timestamp() + delay_s
    world.store.put(
        "activity",
        activity["activity_id"],
        activity | {"operation": {"name": name, "due": due, "changes": changes}},
    )
    if message is not None:
        content = {
            "id": f"{name}_{activity['activity_id']}_{number}",
            "activity_id": activity["activity_id"],
            "event_time": str(int(due * 1000)),
            "out_biz_no": number,
        }
        send_message(world, message, content, delay_s=delay_s)


def _merged(body: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``body`` with ``changes`` laid over it, member by member; lists of shops grow."""
    merged = dict(body)
    for name, value in changes.items():
        before = merged.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            merged[name] = _merged(before, value)
        elif name.endswith("shop_ids") and isinstance(before, list) and isinstance(value, list):
            merged[name] = [*before, *(one for one in value if one not in before)]
        else:
            merged[name] = value
    return merged


ROUTES: Final = (
    Route(f"{_FAMILY}.create", create),
    Route(f"{_FAMILY}.modify", modify),
    Route(f"{_FAMILY}.append", append),
    Route(f"{_FAMILY}.stop", stop),
    Route(f"{_FAMILY}.query", query),
)
