"""Codes of MERCHANT_UPLOAD stocks: upload, list, read, delete (sheet §2.1, B5 and B6)."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation.fields import Choice, Many, Members, Text
from unicom_coupon_adapters.wechatpay.emulation.refusals import not_now, not_there
from unicom_coupon_adapters.wechatpay.emulation.repeats import once
from unicom_coupon_adapters.wechatpay.emulation.stocks import stock_of
from unicom_coupon_adapters.wechatpay.emulation.world import Call, Reply, Route, World

CODE_PATTERN: Final = r"[0-9A-Za-z \-_\\/=|]+"
_ALPHABET: Final = re.compile(CODE_PATTERN)
_UPLOAD: Final = Members(
    {
        "coupon_code_list": Many(Text(1000, shortest=0, emoji=True), 200),
        "upload_request_no": Text(128, required=True),
    }
)
_BASE: Final = "/v3/marketing/busifavor/stocks/{stock_id}/couponcodes"


def upload(call: Call) -> Reply:
    """B5: codes into the pool. Faulty, doubled and known ones are told apart; the good ones are in."""
    body = call.body(_UPLOAD)
    stock = _pooled(call)
    return once(
        call,
        "busifavor.upload",
        body["upload_request_no"],
        body,
        act=lambda: _add(call.world, stock["stock_id"], body.get("coupon_code_list", [])),
    )


def listed(call: Call) -> Reply:
    """B6: the pool by pages; ``offset`` is the page's index."""
    stock = _pooled(call)
    status = call.query_value("status", Choice(("AVAILABLE", "DISPATCHED")))
    offset = call.query_number("offset", default=0, most=1_000_000)
    limit = call.query_number("limit", default=20, most=200) or 20
    found = [told for _, told in call.store.all(f"pool|{stock['stock_id']}") if status in {None, told["status"]}]
    page = [_shown(told) for told in found[offset * limit : (offset + 1) * limit]]
    return {"stock_id": stock["stock_id"], "total_count": len(found), "offset": offset, "limit": limit, "data": page}


def read(call: Call) -> Reply:
    """B6: one code of the pool, with its coupon once it is given out."""
    stock = _pooled(call)
    told = _code(call, stock)
    rule_names = ("stock_name", "belong_merchant", "comment", "goods_name", "stock_type", "coupon_use_rule")
    shown = {name: stock[name] for name in (*rule_names, "custom_entrance", "display_pattern_info") if name in stock}
    return {"code_information": _shown(told), "coupon_information": shown}


def delete(call: Call) -> Reply:
    """B6: take a code out of the pool, if it is not given out."""
    stock = _pooled(call)
    number = call.query_value("delete_request_no", Text(128, required=True)) or ""

    def act() -> dict[str, Any]:
        told = _code(call, stock)
        if told["status"] != "AVAILABLE":
            raise not_now("券code已发放，不可删除", "The code was given out.")
        call.store.delete(f"pool|{stock['stock_id']}", told["code"])
        return {"stock_id": stock["stock_id"], "delete_time": call.world.now_text()}

    return once(call, "busifavor.delete", number, {}, act=act)


def take_code(world: World, stock_id: str, *, openid: str) -> str | None:
    """The next free code of the pool, given to ``openid``; ``None`` when all are given out.

    Codes go out in the order of upload. The pool remembers how far it has come, so a large one costs no search.
    """
    mark = world.store.get("pool-mark", stock_id) or {"added": 0, "next": 1}
    while mark["next"] <= mark["added"]:
        place = world.store.get(f"pool-order|{stock_id}", str(mark["next"])) or {}
        mark["next"] += 1
        told = world.store.get(f"pool|{stock_id}", place.get("code", ""))
        if told is not None and told["status"] == "AVAILABLE":
            told |= {"status": "DISPATCHED", "dispatched_time": world.now_text(), "openid": openid}
            world.store.put(f"pool|{stock_id}", told["code"], told)
            world.store.put("pool-mark", stock_id, mark)
            return str(told["code"])
    return None


def _pooled(call: Call) -> dict[str, Any]:
    stock = stock_of(call)
    if stock["coupon_code_mode"] != "MERCHANT_UPLOAD":
        raise not_now("批次的券code模式不是MERCHANT_UPLOAD", "The stock's mode is not MERCHANT_UPLOAD.")
    return stock


def _code(call: Call, stock: dict[str, Any]) -> dict[str, Any]:
    told = call.store.get(f"pool|{stock['stock_id']}", call.arguments["coupon_code"])
    if told is None:
        raise not_there("券code不存在", "There is no such code.")
    return told


def _add(world: World, stock_id: str, codes: list[str]) -> dict[str, Any]:
    pool = f"pool|{stock_id}"
    counts = Counter(codes)
    failed = [
        {"coupon_code": code, "code": "PARAM_ERROR", "message": "券code格式不正确"}
        for code in counts
        if len(code) > 32 or not _ALPHABET.fullmatch(code)
    ]
    wrong = {one["coupon_code"] for one in failed}
    known = [code for code in counts if code not in wrong and world.store.get(pool, code) is not None]
    new = [code for code in counts if code not in wrong and code not in known]
    at = world.now_text()
    mark = world.store.get("pool-mark", stock_id) or {"added": 0, "next": 1}
    for code in new:
        mark["added"] += 1
        world.store.put(pool, code, {"code": code, "status": "AVAILABLE", "upload_time": at})
        world.store.put(f"pool-order|{stock_id}", str(mark["added"]), {"code": code})
    world.store.put("pool-mark", stock_id, mark)
    return {
        "stock_id": stock_id,
        "total_count": len(counts),
        "success_count": len(new),
        "success_codes": new,
        "success_time": at,
        "fail_count": len(failed),
        "fail_codes": failed,
        "exist_codes": known,
        "duplicate_codes": [code for code, times in counts.items() if times > 1],
    }


def _shown(told: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in told.items() if name != "status"} | {"code_status": told["status"]}
    return shown | ({"coupon_code": told["code"]} if told["status"] == "DISPATCHED" else {})


ROUTES: Final = (
    Route("POST", _BASE, upload),
    Route("GET", _BASE, listed),
    Route("GET", _BASE + "/{coupon_code}", read),
    Route("DELETE", _BASE + "/{coupon_code}", delete),
)
