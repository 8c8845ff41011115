"""凭证 (certificates): local-life goods that a user bought, prepared, used, given back and read (sheet §2.9).

A purchase is made by the control API (``deliver`` kind ``purchase``). Values of ``result`` and ``status`` are
unconfirmed: SUCCESS and FAIL for each certificate under a top-level success; a certificate reads EFFECTIVE, USED or
EXPIRED. Only a success has a ``use_order_no``.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation.fields import Fields
from unicom_coupon_adapters.alipay.emulation.moments import moment_of, moment_text, yuan
from unicom_coupon_adapters.alipay.emulation.refusals import not_now
from unicom_coupon_adapters.alipay.emulation.repeats import once
from unicom_coupon_adapters.alipay.emulation.sending import reader
from unicom_coupon_adapters.alipay.emulation.world import Call, Person, Reply, Route, World

_FAMILY: Final = "alipay.marketing.certificate.certification"
_USER: Final = "alipay.marketing.certificate.user"


def purchase(
    world: World, *, person: Person, face: int, price: int, days: int, times: int, codes: list[str | None]
) -> dict[str, Any]:
    """An order of one certificate a code; ``None`` is a platform's own: twelve digits and an opaque QR text."""
    order_id = f"{world.day()}{world.number('goods-order', digits=20)}"
    made = []
    for given in codes:
        certificate_id = f"{world.day()}0073{world.number('certificate', digits=18)}"
        code = given or f"{world.store.next_number('certificate-code'):03d}{world.digits(9)}"
        told = {
            "certificate_id": certificate_id,
            "code": code,
            "is_platform_code": given is None,
            "encrypted": world.hexadecimal(48) if given is None else None,
            "order_id": order_id,
            **person.names,
            "valid_begin_time": world.now_text(),
            "valid_end_time": moment_text(world.now() + timedelta(days=days)),
            "face": face,
            "price": price,
            "total": times,
            "used": 0,
            "history": [{"at": world.now().replace(microsecond=0).isoformat(), "event": "receive"}],
        }
        world.store.put("certificate", certificate_id, told)
        world.store.put("certificate-code", code, {"certificate_id": certificate_id})
        world.store.put(f"order-certificates|{order_id}", certificate_id, {})
        world.store.put(f"user-certificates|{person.user_id}", certificate_id, {})
        if told["encrypted"]:
            world.store.put("certificate-code", str(told["encrypted"]), {"certificate_id": certificate_id})
        made.append(told)
    return {
        "order_id": order_id,
        **person.names,
        "certificates": [
            {
                "certificate_id": one["certificate_id"],
                "code": one["code"],
                **({"encrypted_data": one["encrypted"]} if one["encrypted"] else {}),
            }
            for one in made
        ],
    }


def prepare(call: Call) -> Reply:
    """The certificate behind a scanned QR or a typed code, if it can be used now. Writes nothing."""
    fields = call.fields()
    text = fields.text("encrypted_data", longest=512) or fields.text("code", longest=64)
    if text is None:
        raise fields.refusal("code", "与encrypted_data不能同时为空")
    told = of_code(call.world, text)
    if told is None or (fields.has("encrypted_data") and told["encrypted"] != text):
        raise not_now("凭证不存在")
    if status_of(call.world, told) != "EFFECTIVE":
        raise not_now("凭证不可用")
    found = [told]
    if fields.flag("cross_order"):
        found += [
            one
            for one in _of_user(call.world, told["user_id"])
            if one["certificate_id"] != told["certificate_id"] and status_of(call.world, one) == "EFFECTIVE"
        ]
    return {
        "order_id": told["order_id"],
        "user_id": told["user_id"],
        "open_id": told["open_id"],
        "certificate_prepare_info_list": [_prepared(one) for one in found],
    }


def use(call: Call) -> Reply:
    """Redeem certificates of one order; each has a result of its own."""

    def act(number: str) -> Reply:
        fields, person = call.fields(), reader(call)
        fields.moment("biz_dt")
        order_id = fields.needed("order_id", longest=64)
        rows = fields.rows("certificate_use_info_list", most=50)
        told = [_used(call, row, order_id=order_id, person=person, number=number) for row in rows]
        return {"certificate_use_result_list": told}

    return once(call, act=act)


def refund(call: Call) -> Reply:
    """Take redemptions back by their ``use_order_no``."""

    def act(number: str) -> Reply:
        fields = call.fields()
        fields.moment("biz_dt")
        numbers = fields.texts("use_order_no_list", most=50)
        return {"certificate_reverse_result_list": [_reversed(call.world, one, number=number) for one in numbers]}

    return once(call, act=act)


def query(call: Call) -> Reply:
    """Certificates by number, code or order."""
    fields, world = call.fields(), call.world
    found: list[dict[str, Any] | None]
    if fields.has("certificate_id_list"):
        found = [world.store.get("certificate", one) for one in fields.texts("certificate_id_list")]
    elif fields.has("code_list"):
        found = [of_code(world, one) for one in fields.texts("code_list")]
    else:
        order_id = fields.needed("order_id", longest=64)
        found = [world.store.get("certificate", key) for key, _ in world.store.all(f"order-certificates|{order_id}")]
    known = [one for one in found if one is not None]
    if fields.has("user_id") or fields.has("open_id"):
        known = [one for one in known if one["user_id"] == reader(call).user_id]
    return {"certificate_info_list": [_shown(world, one) for one in known]}


def query_of_user(call: Call) -> Reply:
    """A user's certificates by pages."""
    fields, person = call.fields(), reader(call)
    page, size = fields.whole("page_num", least=1, default=1), fields.whole("page_size", least=1, most=50, default=20)
    status = fields.text("certificate_status")
    found = [one for one in _of_user(call.world, person.user_id) if status in {None, status_of(call.world, one)}]
    shown = [_shown(call.world, one) for one in found[(page - 1) * size : page * size]]
    return {"certificate_info_list": shown, "total_size": len(found)}


def of_code(world: World, code: str) -> dict[str, Any] | None:
    """The certificate with that code or QR text."""
    kept = world.store.get("certificate-code", code)
    return world.store.get("certificate", kept["certificate_id"]) if kept else None


def status_of(world: World, told: Mapping[str, Any]) -> str:
    """EFFECTIVE, USED or EXPIRED as of now."""
    if told["used"] >= told["total"]:
        return "USED"
    return "EXPIRED" if world.now() > moment_of(told["valid_end_time"]) + timedelta(seconds=1) else "EFFECTIVE"


def _of_user(world: World, user_id: str) -> list[dict[str, Any]]:
    found = [world.store.get("certificate", key) for key, _ in world.store.all(f"user-certificates|{user_id}")]
    return [one for one in found if one is not None]


def _used(call: Call, row: Fields, *, order_id: str, person: Person, number: str) -> dict[str, Any]:
    text = row.text("encrypted_code", longest=512) or row.needed("code", longest=64)
    count = row.whole("use_count", least=1, default=1)
    told = of_code(call.world, text)
    result: dict[str, Any] = {"encrypted_code" if row.has("encrypted_code") else "code": text}
    if told is None or told["order_id"] != order_id or told["user_id"] != person.user_id:
        return result | {"result": "FAIL", "msg": "凭证不存在或不属于该订单"}
    result |= {"certificate_id": told["certificate_id"], "order_id": order_id}
    if status_of(call.world, told) != "EFFECTIVE" or told["used"] + count > told["total"]:
        return result | {"result": "FAIL", "msg": "凭证不可用"}
    use_order_no = f"{call.world.day()}0099{call.world.number('use-order', digits=18)}"
    _record(call.world, told, event="use", number=number, used=told["used"] + count)
    call.store.put("use-order", use_order_no, {"certificate_id": told["certificate_id"], "count": count, "open": True})
    sums = {"sku_info": _sku(told), "amount_info": _amounts(told)}
    out = {"out_order_id": call.content["out_order_id"]} if call.content.get("out_order_id") else {}
    return result | {"result": "SUCCESS", "msg": "核销成功", "use_order_no": use_order_no} | out | sums


def _reversed(world: World, use_order_no: str, *, number: str) -> dict[str, Any]:
    made = world.store.get("use-order", use_order_no)
    told = world.store.get("certificate", made["certificate_id"]) if made else None
    if made is None or told is None:
        return {"use_order_no": use_order_no, "result": "FAIL", "msg": "核销单不存在"}
    result = {"certificate_id": told["certificate_id"], "use_order_no": use_order_no}
    if not made["open"]:
        return result | {"result": "FAIL", "msg": "核销单已撤销"}
    world.store.put("use-order", use_order_no, made | {"open": False})
    _record(world, told, event="return", number=number, used=told["used"] - made["count"])
    return result | {"result": "SUCCESS", "msg": "撤销成功"}


def _record(world: World, told: dict[str, Any], *, event: str, number: str, used: int) -> None:
    entry = {"at": world.now().replace(microsecond=0).isoformat(), "event": event, "request_no": number}
    world.store.put("certificate", told["certificate_id"], {**told, "used": used, "history": [*told["history"], entry]})


def _prepared(told: Mapping[str, Any]) -> dict[str, Any]:
    encrypted = {"encrypted_code": told["encrypted"]} if told["encrypted"] else {}
    return {"certificate_id": told["certificate_id"], **encrypted, "order_id": told["order_id"], **_facts(told)}


def _shown(world: World, told: Mapping[str, Any]) -> dict[str, Any]:
    status = status_of(world, told)
    return {
        "certificate_id": told["certificate_id"],
        "code": told["code"],
        "status": status,
        "can_use": status == "EFFECTIVE",
        "order_id": told["order_id"],
        **_facts(told),
    }


def _facts(told: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "valid_begin_time": told["valid_begin_time"],
        "valid_end_time": told["valid_end_time"],
        "sku_info": _sku(told),
        "amount_info": _amounts(told),
        "times_card_info": {"total_count": told["total"], "used_count": told["used"]},
    }


def _sku(told: Mapping[str, Any]) -> dict[str, str]:
    item_id = f"20260101{told['face']:010d}"
    title = f"联通{yuan(told['face'])}元代金券"
    return {"item_id": item_id, "sku_id": f"{item_id}01", "title": title, "item_type": "代金券"}


def _amounts(told: Mapping[str, Any]) -> dict[str, str]:
    price = yuan(told["price"])
    return {
        "original_price": yuan(told["face"]),
        "sale_price": price,
        "receipt_amount": price,
        "pay_amount": price,
        "merchant_discount_amount": "0.00",
        "platform_discount_amount": "0.00",
    }


ROUTES: Final = (
    Route(f"{_FAMILY}.prepareuse", prepare),
    Route(f"{_FAMILY}.use", use),
    Route(f"{_FAMILY}.refund", refund),
    Route(f"{_FAMILY}.batchquery", query),
    Route(f"{_USER}.batchquery", query_of_user),
)
