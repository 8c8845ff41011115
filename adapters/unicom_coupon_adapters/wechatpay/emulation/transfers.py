"""商家转账 to users: create, query, call back, receipts, and what the user's phone does with it (sheet §3.1).

The merchant's account is never empty, so funds are locked at once and the first answer is WAIT_USER_CONFIRM. Only scene
1000 is granted. Readings of what the sheet leaves open: another scene is 403 NO_AUTH; a query gives ``package_info``
while the user may still confirm; a transfer that was called back is CANCELLED with MCH_CANCEL, from the next look on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.callbacks import notify
from unicom_coupon_adapters.wechatpay.emulation.downloads import download_link
from unicom_coupon_adapters.wechatpay.emulation.fields import Anything, Choice, Integer, Many, Members, Text, Url
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal, bad_field, not_now
from unicom_coupon_adapters.wechatpay.emulation.repeats import once
from unicom_coupon_adapters.wechatpay.emulation.security import opened_field
from unicom_coupon_adapters.wechatpay.emulation.world import (
    BEIJING,
    Call,
    Reply,
    Route,
    World,
    check_appid,
    moment_of,
)

_BASE: Final = "/v3/fund-app/mch-transfer/transfer-bills"
_RECEIPTS: Final = "/v3/fund-app/mch-transfer/elecsign/out-bill-no"
RECEIPT_LINK_LIFE: Final = timedelta(minutes=10)
CONFIRM_WITHIN: Final = timedelta(hours=24)
GRANTED: Final = frozenset({"1000"})
LEAST_FEN: Final = 10
NAME_FROM_FEN: Final = 30
NAME_NEEDED_FROM_FEN: Final = 200_000
SCENES: Final[Mapping[str, tuple[str, ...]]] = {
    "1000": ("活动名称", "奖励说明"),
    "1002": ("补贴类型",),
    "1004": ("保险产品备案编号", "保险名称", "保险操作单号"),
    "1005": ("岗位类型", "报酬说明"),
    "1009": ("采购商品名称",),
    "1010": ("回收商品名称",),
    "1011": ("赔付原因",),
    "1013": ("公益活动名称", "公益活动备案编号"),
}
"""The information that each scene wants, all of it."""

_CREATE: Final = Members(
    {
        "appid": Text(32, required=True),
        "out_bill_no": Text(32, required=True, pattern=r"[0-9A-Za-z]+"),
        "transfer_scene_id": Text(36, required=True),
        "openid": Text(64, required=True),
        "user_name": Text(1024),
        "transfer_amount": Integer(1, required=True),
        "transfer_remark": Text(32, required=True),
        "notify_url": Url(),
        "user_recv_perception": Text(32),
        "transfer_scene_report_infos": Many(
            Members({"info_type": Text(32, required=True), "info_content": Text(32, required=True)}),
            10,
            least=1,
            required=True,
        ),
        "user_recv_style": Members({"type": Choice(("CONFIRM_PAGE", "RED_PACKET"), required=True), "skin": Anything()}),
    }
)


def create(call: Call) -> Reply:
    """Lock the money and wait for the user. Idempotent by ``out_bill_no``; a repeat gives the transfer as it stands."""
    body = call.body(_CREATE)
    check_appid(body["appid"])
    _check_scene(body)
    name = _name(call, body)
    number = body["out_bill_no"]
    # A name is encrypted anew each time, so it counts as what it says.
    parameters = {**body, "user_name": name} if name else body
    once(call, "transfer", number, parameters, act=lambda: _created(call, body, name))
    return _answer(current(call.world, number) or {})


def by_number(call: Call) -> Reply:
    """Query by the merchant's number."""
    return _shown(_owned(call, call.arguments["out_bill_no"]))


def by_platform_number(call: Call) -> Reply:
    """Query by the platform's number."""
    kept = call.store.get("transfer-id", call.arguments["transfer_bill_no"]) or {}
    return _shown(_owned(call, kept.get("out_bill_no", "")))


def cancel(call: Call) -> Reply:
    """Call a transfer back before its user confirms; heard at once, done by the next look."""
    transfer = _owned(call, call.arguments["out_bill_no"])
    if transfer["state"] == "WAIT_USER_CONFIRM":
        transfer = _moved(call.world, transfer, state="CANCELING")
    elif transfer["state"] != "CANCELLED":
        raise not_now("转账单状态不允许撤销", "The transfer's state does not allow that.")
    return {name: transfer[name] for name in ("out_bill_no", "transfer_bill_no", "state", "update_time")}


def ask_receipt(call: Call) -> Reply:
    """Ask for the receipt of a transfer that arrived; asking again is no error."""
    number = call.body(Members({"out_bill_no": Text(32, required=True)}))["out_bill_no"]
    transfer = _owned(call, number)
    if transfer["state"] != "SUCCESS":
        raise not_now("转账未成功，不可申请电子回单", "Only a transfer that arrived has a receipt.")
    kept = call.store.get("transfer-receipt", number) or {"create_time": call.world.now_text()}
    call.store.put("transfer-receipt", number, kept)
    return {"state": "GENERATING", "create_time": kept["create_time"]}


def read_receipt(call: Call) -> Reply:
    """The receipt: made by the first look after it was asked for, with a link of ten minutes."""
    number = call.arguments["out_bill_no"]
    transfer = _owned(call, number)
    kept = call.store.get("transfer-receipt", number)
    if kept is None:
        raise Refusal("NOT_FOUND", "未申请电子回单", "No receipt was asked for.")
    names = ("transfer_bill_no", "out_bill_no", "transfer_amount", "update_time")
    content = "%PDF-1.4\n" + "".join(f"% {name}: {transfer[name]}\n" for name in names) + "%%EOF\n"
    told = {"state": "FINISHED", "create_time": kept["create_time"], "update_time": call.world.now_text()}
    digest = hashlib.sha256(content.encode()).hexdigest()
    link = download_link(call, content, life=RECEIPT_LINK_LIFE, content_type="application/pdf")
    return {**told, "hash_type": "SHA256", "hash_value": digest, "download_url": link}


def confirm(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """The user opens the confirmation page and takes the money: for ``POST /deliveries`` of kind ``transfer``.

    ``package`` is what the front end got, or ``out_bill_no`` names the transfer. ``openid`` is who is there (default:
    the right user), ``real_name`` how they are called (default: as the merchant says), ``fails`` a ``fail_reason`` that
    the bank behind it has.
    """
    package = wish.get("package")
    kept = world.store.get("transfer-package", str(package)) if package is not None else wish
    transfer = current(world, str((kept or {}).get("out_bill_no", "")))
    if transfer is None:
        raise ValueError("there is no such transfer; give package or out_bill_no")
    if transfer["state"] != "WAIT_USER_CONFIRM" or wish.get("openid", transfer["openid"]) != transfer["openid"]:
        return {"errMsg": "requestMerchantTransfer:fail", "out_bill_no": transfer["out_bill_no"]}
    reason = wish.get("fails")
    real_name = wish.get("real_name")
    if real_name is not None and transfer["name_digest"] not in {None, _digest(str(real_name))}:
        reason = "NAME_NOT_CORRECT"
    if reason is None:
        transfer = _ended(world, transfer, state="SUCCESS")
    else:
        transfer = _ended(world, transfer, state="FAIL", reason=str(reason))
    return {"errMsg": "requestMerchantTransfer:ok", "out_bill_no": transfer["out_bill_no"], "state": transfer["state"]}


def current(world: World, number: str) -> dict[str, Any] | None:
    """The transfer as of now: overdue ones are closed, and those that were called back are over."""
    transfer = world.store.get("transfer", number)
    if transfer is None:
        return None
    if transfer["state"] == "CANCELING":
        return _ended(world, transfer, state="CANCELLED", reason="MCH_CANCEL")
    if transfer["state"] == "WAIT_USER_CONFIRM" and world.now() >= moment_of(transfer["create_time"]) + CONFIRM_WITHIN:
        return _ended(world, transfer, state="FAIL", reason="OVERDUE_CLOSE")
    return transfer


def close_due(world: World) -> None:
    """End every transfer whose time is over; called after each move of the clock."""
    for number, _ in world.store.all("transfer-open"):
        current(world, number)


def paid_on(world: World, day: date) -> list[dict[str, Any]]:
    """The transfers that reached their users on a Beijing day."""
    numbers = [number for number, _ in world.store.all(f"transfer-paid|{day.isoformat()}")]
    return [transfer for number in numbers if (transfer := world.store.get("transfer", number)) is not None]


def _check_scene(body: Mapping[str, Any]) -> None:
    scene = body["transfer_scene_id"]
    wanted = SCENES.get(scene)
    if wanted is None:
        raise bad_field("/transfer_scene_id", "转账场景不存在", "there is no such scene", value=scene)
    if scene not in GRANTED:
        raise Refusal("NO_AUTH", "商户未开通该转账场景", "The scene is not granted to the merchant.")
    told = [one["info_type"] for one in body["transfer_scene_report_infos"]]
    if sorted(told) != sorted(wanted):
        at = "/transfer_scene_report_infos"
        raise bad_field(at, f"应报备：{'、'.join(wanted)}", f"must report {', '.join(wanted)}")
    if body["transfer_amount"] < LEAST_FEN:
        raise bad_field("/transfer_amount", f"金额应不少于{LEAST_FEN}分", f"must be {LEAST_FEN} fen at least")


def _name(call: Call, body: Mapping[str, Any]) -> str | None:
    amount = body["transfer_amount"]
    if "user_name" not in body:
        if amount >= NAME_NEEDED_FROM_FEN:
            raise bad_field("/user_name", "达到限额须校验姓名", "is required from 2000 yuan on")
        return None
    if amount < NAME_FROM_FEN:
        raise bad_field("/user_name", "该金额不支持校验姓名", "is not accepted below 0.30 yuan")
    return opened_field(call, body["user_name"], at="/user_name").decode("utf-8", errors="replace")


def _created(call: Call, body: Mapping[str, Any], name: str | None) -> dict[str, Any]:
    world, now = call.world, call.world.now_text()
    day = f"{world.now().astimezone(BEIJING):%Y%m%d}"
    transfer = {
        "mch_id": call.caller.mchid,
        "transfer_bill_no": f"1330001{day}{world.digits(5)}{world.store.next_number('transfer'):010d}",
        "state": "WAIT_USER_CONFIRM",
        "create_time": now,
        "update_time": now,
        "package_info": "ABBQO+oYAAABAAAAAAA" + world.hexadecimal(40),
        "notify_url": body.get("notify_url"),
        "name_digest": None if name is None else _digest(name),
        **{name: body[name] for name in ("appid", "out_bill_no", "openid", "transfer_amount", "transfer_remark")},
    }
    number = body["out_bill_no"]
    world.store.put("transfer", number, transfer)
    world.store.put("transfer-open", number, {})
    for kind, key in (("transfer-id", transfer["transfer_bill_no"]), ("transfer-package", transfer["package_info"])):
        world.store.put(kind, key, {"out_bill_no": number})
    return {}


def _owned(call: Call, number: str) -> dict[str, Any]:
    transfer = current(call.world, number)
    if transfer is None or transfer["mch_id"] != call.caller.mchid:
        raise Refusal("NOT_FOUND", "转账单不存在", "There is no such transfer.")
    return transfer


def _moved(world: World, transfer: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    moved = {**transfer, "update_time": world.now_text(), **changed}
    world.store.put("transfer", moved["out_bill_no"], moved)
    return moved


def _ended(world: World, transfer: Mapping[str, Any], *, state: str, reason: str | None = None) -> dict[str, Any]:
    ended = _moved(world, transfer, state=state, fail_reason=reason)
    world.store.delete("transfer-open", ended["out_bill_no"])
    if state == "SUCCESS":
        world.store.put(f"transfer-paid|{world.today().isoformat()}", ended["out_bill_no"], {})
    names = ("out_bill_no", "transfer_bill_no", "state", "mch_id", "transfer_amount", "openid", "create_time")
    told = {name: ended[name] for name in (*names, "update_time")} | ({"fail_reason": reason} if reason else {})
    notify(
        world,
        "MCHTRANSFER.BILL.FINISHED",
        told,
        original_type="mch_payment",
        associated_data="mch_payment",
        url=ended["notify_url"],
    )
    return ended


def _answer(transfer: Mapping[str, Any]) -> dict[str, Any]:
    """What the creating call answers."""
    told = {name: transfer[name] for name in ("out_bill_no", "transfer_bill_no", "create_time", "state")}
    if transfer["state"] == "WAIT_USER_CONFIRM":
        told["package_info"] = transfer["package_info"]
    if transfer.get("fail_reason"):
        told["fail_reason"] = transfer["fail_reason"]
    return told


def _shown(transfer: Mapping[str, Any]) -> dict[str, Any]:
    names = ("mch_id", "appid", "transfer_amount", "transfer_remark", "openid", "update_time")
    return {**_answer(transfer), **{name: transfer[name] for name in names}}


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


ROUTES: Final = (
    Route("POST", _BASE, create),
    Route("GET", _BASE + "/out-bill-no/{out_bill_no}", by_number),
    Route("GET", _BASE + "/transfer-bill-no/{transfer_bill_no}", by_platform_number),
    Route("POST", _BASE + "/out-bill-no/{out_bill_no}/cancel", cancel),
    Route("POST", _RECEIPTS, ask_receipt),
    Route("GET", _RECEIPTS + "/{out_bill_no}", read_receipt),
)
