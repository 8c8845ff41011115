"""Bank apps: coupons redeemed by code and SMS one-time code. China Merchants Bank's envelope first, ICBC's second."""

from __future__ import annotations

from typing import Any

from unicom_coupon_adapters.bank.adapter import BankAdapter
from unicom_coupon_adapters.bank.profile import PROFILE
from unicom_coupon_adapters.bank.settings import BankSettings
from unicom_coupon_sdk.platform.registry import AdapterPlugin

__all__ = ["PLUGIN", "PROFILE", "BankAdapter", "BankSettings"]


def _emulator() -> type[Any]:
    from unicom_coupon_adapters.bank.emulator import BankEmulator

    return BankEmulator


PLUGIN = AdapterPlugin(profile=PROFILE, settings=BankSettings, build=BankAdapter, emulator=_emulator)
"""What the core finds by entry point."""
