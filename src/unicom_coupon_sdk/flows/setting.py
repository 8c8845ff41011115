"""What every flow works with: the ledger, the guard, the adapters, and the merchant's terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from unicom_coupon_sdk.clearing.expectation import Expectation, expect
from unicom_coupon_sdk.clearing.workdays import WorkingCalendar
from unicom_coupon_sdk.domain.sharing import ShareRule
from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.guard.admission import Guard
from unicom_coupon_sdk.ledger import Ledger
from unicom_coupon_sdk.platform.adapter import PlatformAdapter
from unicom_coupon_sdk.platform.profile import PlatformProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One merchant's view of the house. Immutable; ten merchants are ten of these. ``bills`` is a folder."""

    merchant_id: str
    ledger: Ledger
    guard: Guard
    adapters: Mapping[str, PlatformAdapter]
    calendar: WorkingCalendar
    contracts: frozenset[str] = frozenset()
    share_rules: tuple[ShareRule, ...] = ()
    bills: Path = Path("unicom-coupon-bills")

    def adapter(self, platform: str) -> PlatformAdapter:
        """The adapter for ``platform``. Raises ``ConfigurationError`` when it is not set up here."""
        adapter = self.adapters.get(platform)
        if adapter is None:
            raise ConfigurationError(
                "platform.not_configured",
                field="platform",
                platform=platform,
                known=", ".join(sorted(self.adapters)) or "-",
            )
        return adapter

    def share_rule(self, name: str, *, on: date) -> ShareRule:
        """The version of the sharing rule in force on a Beijing day. Raises ``ConfigurationError``."""
        for rule in self.share_rules:
            if rule.name == name and rule.in_force(on):
                return rule
        known = sorted({rule.name for rule in self.share_rules})
        raise ConfigurationError(
            "share.no_rule", field="rule", rule=name, day=on.isoformat(), known=", ".join(known) or "-"
        )

    def expect(self, profile: PlatformProfile, value_fen: int, *, at: datetime) -> Expectation:
        """When and with which fees ``value_fen`` redeemed at ``at`` should arrive."""
        return expect(profile, value_fen, at=at, calendar=self.calendar, contracts=self.contracts)
