"""UnionPay POS: coupons at bank terminals over ISO 8583, and UnionPay's online gateway."""

from __future__ import annotations

from typing import Any

from unicom_coupon_adapters.unionpay_pos.adapter import UnionPayPosAdapter
from unicom_coupon_adapters.unionpay_pos.profile import PROFILE
from unicom_coupon_adapters.unionpay_pos.settings import UnionPayPosSettings
from unicom_coupon_sdk.platform.registry import AdapterPlugin

__all__ = ["PLUGIN", "PROFILE", "UnionPayPosAdapter", "UnionPayPosSettings"]


def _emulator() -> type[Any]:
    from unicom_coupon_adapters.unionpay_pos.emulator import UnionPayPosEmulator

    return UnionPayPosEmulator


def _acp_emulator() -> type[Any]:
    from unicom_coupon_adapters.unionpay_pos.emulation.acp.emulator import UnionPayAcpEmulator

    return UnionPayAcpEmulator


def _host() -> type[Any]:
    from unicom_coupon_adapters.unionpay_pos.host import UnionPayPosHost

    return UnionPayPosHost


PLUGIN = AdapterPlugin(
    profile=PROFILE,
    settings=UnionPayPosSettings,
    build=UnionPayPosAdapter,
    emulator=_emulator,
    host=_host,
    faces={"unionpay_acp": _acp_emulator},
)
"""What the core finds by entry point."""
