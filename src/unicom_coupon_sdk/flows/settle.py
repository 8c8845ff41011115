"""Settle: gather what each platform should pay on a day, and say what is late.

Gathering moves no money and asks nobody: the ledger knows what was redeemed and by which terms it is paid. Whether it
came is read from bills, by ``reconcile``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from unicom_coupon_sdk.domain.settlement import Settlement
from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.platform.effects import Flow, NewId, Now, Transact

PAGE = 5_000
"""How many operations go into one settlement at most; more make a second one of the same day."""


@dataclass(frozen=True, slots=True)
class Settlements:
    """``made`` now, for ``day``; ``late``: expected before today, and not shown by any bill, the oldest first."""

    day: date
    made: tuple[Settlement, ...]
    late: tuple[Settlement, ...]


def settle(day: date, *, setting: Setting) -> Flow[Settlements]:
    """The settlements of everything due by the Beijing ``day``. Repeating it makes none twice.

    An operation whose working days are not published yet waits: no date is guessed for it.
    """
    made = []
    for platform in sorted(setting.adapters):
        while True:
            settlement_id = yield from NewId()
            now = yield from Now()
            settlement = yield from Transact(
                setting.ledger.settle(
                    merchant_id=setting.merchant_id,
                    platform=platform,
                    day=day,
                    settlement_id=settlement_id,
                    limit=PAGE,
                    now=now,
                )
            )
            if settlement is None:
                break
            made.append(settlement)
    now = yield from Now()
    today = business_date(now)
    expected = yield from Transact(setting.ledger.expected_settlements(setting.merchant_id))
    return Settlements(day=day, made=tuple(made), late=tuple(one for one in expected if one.late_days(today) > 0))
