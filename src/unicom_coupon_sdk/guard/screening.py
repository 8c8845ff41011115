"""List screening: a look at the payee before money goes to a person.

Whoever pays out must not pay to people on sanction and anti-money-laundering lists (Anti-Money Laundering Law of the
PRC, in force since 1 January 2025, art. 40). Which lists, and whose service, is the merchant's matter: they bring a
``Screening``. It is asked once for each pay-out, after the limits and before anything is held or sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.platform.effects import Flow


@dataclass(frozen=True, slots=True)
class Payee:
    """Who would get how many fen where. ``reference`` is the merchant's own number of the pay-out."""

    platform: str
    merchant_id: str
    user: PlatformUser | None
    name: Secret | None = field(repr=False)
    amount_fen: int
    reference: str


class Screening(Protocol):
    """The merchant's screening service, as a flow of effects like everything else."""

    def screen(self, payee: Payee) -> Flow[None]:
        """Return when the payee may be paid. Raises ``ComplianceError`` (``payout.screened``) when not."""
