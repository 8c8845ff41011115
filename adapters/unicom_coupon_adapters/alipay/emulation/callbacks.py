"""News to the merchant: trade notifies and From-platform messages, both as signed forms (sheet §1.6, §2.8).

Rule V1: the signature covers every field but ``sign`` and ``sign_type``; no field is ever empty and ``alipay_cert_sn``
is not sent. A form is made anew for each attempt, with the time of sending and the key then in force; ``notify_id``
stays, and so does the ``id`` inside a marketing message.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote_plus

from unicom_coupon_adapters.alipay.emulation.answers import json_text
from unicom_coupon_adapters.alipay.emulation.canonical import signature, signing_text
from unicom_coupon_adapters.alipay.emulation.moments import millis
from unicom_coupon_adapters.alipay.emulation.platform_keys import APP_ID, SELLER_ID
from unicom_coupon_adapters.alipay.emulation.world import World
from unicom_coupon_sdk.platform.wire import Headers
from unicom_coupon_sdk.sandbox.emulator import Callback

TRADE_EVENT: Final = "trade_status_sync"
TRADE_PLAN: Final = (0.0, 240.0, 600.0, 600.0, 3600.0, 7200.0, 21600.0, 54000.0)
MESSAGE_PLAN: Final = (0.0, 120.0, 600.0, 600.0, 3600.0, 7200.0, 21600.0, 54000.0)
"""Waits before each attempt in seconds: at once, then the sheet's gaps."""

_ACTIVITY: Final = "alipay.marketing.activity.message"


def notify_trade(world: World, fields: Mapping[str, str], *, url: str | None) -> None:
    """Queue a trade notify for ``url``, else for the address registered for it; nobody is told without one."""
    target = url or world.frame.registered_url(TRADE_EVENT)
    if target is None:
        return
    number = _notify_id(world)
    payload = {"form": "trade", "fields": {name: value for name, value in fields.items() if value}}
    world.frame.send_callback(Callback(number, TRADE_EVENT, target, payload, TRADE_PLAN))


def send_message(world: World, name: str, content: Mapping[str, Any], *, delay_s: float = 0.0) -> None:
    """Queue a message of the activity family (``name`` is its last word) for the application gateway."""
    send_event(world, f"{_ACTIVITY}.{name}", content, delay_s=delay_s)


def send_event(world: World, event: str, content: Mapping[str, Any], *, delay_s: float = 0.0) -> None:
    """Queue the From-platform message ``event`` for the application gateway."""
    target = world.frame.registered_url(event)
    if target is None:
        return
    payload = {"form": "message", "content": dict(content)}
    plan = (MESSAGE_PLAN[0] + delay_s, *MESSAGE_PLAN[1:])
    world.frame.send_callback(Callback(_notify_id(world), event, target, payload, plan))


def render(world: World, callback: Callback) -> tuple[str, Headers, bytes]:
    """Method, headers and body of the next attempt, signed now."""
    if callback.payload["form"] == "trade":
        fields = {
            "notify_time": world.now_text(),
            "notify_type": TRADE_EVENT,
            "notify_id": callback.callback_id,
            "app_id": APP_ID,
            "auth_app_id": APP_ID,
            "charset": "utf-8",
            "version": "1.0",
            **callback.payload["fields"],
        }
    else:
        fields = {
            "notify_id": callback.callback_id,
            "utc_timestamp": millis(world.now()),
            "msg_method": callback.event,
            "app_id": APP_ID,
            "msg_type": "sys",
            "msg_uid": SELLER_ID,
            "biz_content": json_text(callback.payload["content"]),
            "charset": "UTF-8",
            "version": "1.1",
        }
    sign = signature(signing_text(fields).encode(), key=world.keys.news_key())
    body = "&".join(
        f"{name}={quote_plus(value)}" for name, value in {**fields, "sign_type": "RSA2", "sign": sign}.items()
    )
    headers = (
        ("User-Agent", "Mozilla/4.0"),
        ("Accept", "*/*"),
        ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8"),
    )
    return "POST", headers, body.encode("ascii")


def _notify_id(world: World) -> str:
    return f"{world.day()}00222{world.digits(6)}{world.number('notify', digits=14)}"
