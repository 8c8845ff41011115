"""WeChat Pay: 商家券 and 商品券, signed by APIv3."""

from __future__ import annotations

from typing import Any

from unicom_coupon_adapters.wechatpay.adapter import WechatPayAdapter
from unicom_coupon_adapters.wechatpay.profile import PROFILE
from unicom_coupon_adapters.wechatpay.settings import WechatPaySettings
from unicom_coupon_sdk.platform.registry import AdapterPlugin

__all__ = ["PLUGIN", "PROFILE", "WechatPayAdapter", "WechatPaySettings"]


def _emulator() -> type[Any]:
    from unicom_coupon_adapters.wechatpay.emulator import WechatPayEmulator

    return WechatPayEmulator


PLUGIN = AdapterPlugin(profile=PROFILE, settings=WechatPaySettings, build=WechatPayAdapter, emulator=_emulator)
"""What the core finds by entry point."""
