"""Alipay (支付宝): 商家券 and 凭证 coupons over the classic gateway and OpenAPI v3."""

from __future__ import annotations

import importlib
from typing import Any

from unicom_coupon_adapters.alipay.adapter import AlipayAdapter
from unicom_coupon_adapters.alipay.profile import PROFILE
from unicom_coupon_adapters.alipay.settings import AlipaySettings
from unicom_coupon_sdk.platform.registry import AdapterPlugin

__all__ = ["PLUGIN", "AlipayAdapter", "AlipaySettings"]


def _emulator() -> type[Any]:
    """Imported when a sandbox asks for it, and by nobody else."""
    emulator: type[Any] = importlib.import_module("unicom_coupon_adapters.alipay.emulator").AlipayEmulator
    return emulator


PLUGIN = AdapterPlugin(profile=PROFILE, settings=AlipaySettings, build=AlipayAdapter, emulator=_emulator)
"""What the entry point ``alipay`` offers."""
