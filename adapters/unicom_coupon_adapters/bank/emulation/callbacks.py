"""News to the merchant: a form, signed for each attempt with the bank's key of that moment (sheet §1.4, §4)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote_plus

from unicom_coupon_adapters.bank.emulation.keys import ICBC_APP_ID
from unicom_coupon_adapters.bank.emulation.wire import CONSTANTS, joined
from unicom_coupon_adapters.bank.emulation.world import World, stamp
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Callback

PLAN: Final = (0.0, 15.0, 15.0, 30.0, 180.0, 1800.0, 1800.0, 1800.0, 1800.0, 3600.0)
FORM: Final = (("Content-Type", "application/x-www-form-urlencoded"),)


def coupon_news(world: World, order: Mapping[str, Any]) -> None:
    """A redemption or a reversal that succeeded. The kind of news is this project's."""
    reply = order["reply"]
    biz = {
        "merId": order["mer"],
        "kind": order["kind"],
        "couponCodeMask": f"{order['code'][:4]}***{order['code'][-4:]}",
        **{
            name: reply[name]
            for name in ("orderId", "cmbOrderId", "txnAmt", "txnTime", "bizDate", "settleDate")
            if name in reply
        },
        **({"mchReserved": order["reserved"]} if order["reserved"] else {}),
    }
    _queue(world, f"coupon.{order['kind'].lower()}", biz, url=order["notify_url"], face=order["face_name"])


def payment_news(world: World, event: str, biz: Mapping[str, Any], *, url: str) -> None:
    """A payment or a refund that succeeded."""
    _queue(world, event, biz, url=url, face="cmb")


def _queue(world: World, event: str, biz: Mapping[str, Any], *, url: str, face: str) -> None:
    target = url or world.frame.registered_url(event)
    if target is None:
        return
    number = f"{event}.{biz['cmbOrderId']}"
    world.frame.send_callback(Callback(number, event, target, {"biz": dict(biz), "face": face}, PLAN))


def render(world: World, callback: Callback) -> tuple[str, Headers, bytes]:
    """Method, headers and body of the next attempt."""
    text = json.dumps(callback.payload["biz"], ensure_ascii=False, separators=(",", ":"))
    if callback.payload["face"] == "icbc":
        params = _icbc(world, text)
    else:
        params = {**{name: value for name, value, _ in CONSTANTS}, "biz_content": text}
        params["sign"] = base64.b64encode(world.keys.signer.sign(joined(params).encode())).decode()
    return "POST", FORM, "&".join(f"{name}={quote_plus(value)}" for name, value in params.items()).encode()


def _icbc(world: World, text: str) -> dict[str, str]:
    at = stamp(world.now())
    params = {
        "from": "icbc-api",
        "api": "/unicom/coupon/notify",
        "app_id": ICBC_APP_ID,
        "charset": "UTF-8",
        "format": "json",
        "timestamp": f"{at[:4]}-{at[4:6]}-{at[6:8]} {at[8:10]}:{at[10:12]}:{at[12:]}",
        "sign_type": "RSA2",
        "biz_content": text,
    }
    signed = params["api"] + "?" + "&".join(f"{name}={params[name]}" for name in sorted(params))
    return {**params, "sign": base64.b64encode(world.keys.icbc_signer.sign_sha256(signed.encode())).decode()}


def is_accepted(world: World, answer: HttpAnswer) -> bool:
    """Whether both codes are SUCCESS and the merchant's signature is good: an unsigned "ok" is sent again."""
    try:
        told = json.loads(answer.content)
        signature = base64.b64decode(told["sign"], validate=True)
    except (ValueError, KeyError, TypeError):
        return False
    if answer.status != 200:
        return False
    if "response_biz_content" in told:
        inner = answer.content[1:].rpartition(b',"sign":"')[0]
        return told["response_biz_content"].get("return_code") == 0 and world.keys.icbc_merchant.verify_sha256(
            signature, inner
        )
    if not all(isinstance(value, str) for value in told.values()):
        return False
    is_good = world.keys.merchant.verify(signature, joined(told).encode())
    return is_good and told.get("returnCode") == told.get("respCode") == "SUCCESS"
