"""From a method's name to the operation: the table of all of them.

A method that is not in the table is refused as ``isv.invalid-method``, in ``error_response``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from unicom_coupon_adapters.alipay.emulation import (
    account,
    activities,
    bills,
    certificates,
    codes,
    deliveries,
    goods,
    people,
    redeeming,
    refunds,
    relations,
    royalty,
    sending,
    trades,
    transfers,
    voucher_queries,
)
from unicom_coupon_adapters.alipay.emulation.world import Route

ROUTES: Final[Mapping[str, Route]] = {
    route.method: route
    for route in (
        *activities.ROUTES,
        *codes.ROUTES,
        *sending.ROUTES,
        *redeeming.ROUTES,
        *voucher_queries.ROUTES,
        *deliveries.ROUTES,
        *goods.ROUTES,
        *trades.ROUTES,
        *refunds.ROUTES,
        *relations.ROUTES,
        *royalty.ROUTES,
        *transfers.ROUTES,
        *account.ROUTES,
        *people.ROUTES,
        *bills.ROUTES,
        *certificates.ROUTES,
    )
}
"""Every method that this emulator knows."""
