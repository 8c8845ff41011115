"""A platform's declared facts, with dates and sources. Limits, terms and capabilities are data, judged as of a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from unicom_coupon_sdk.domain.bill import BillKind
from unicom_coupon_sdk.domain.limits import Limit
from unicom_coupon_sdk.domain.settlement import SettlementTerms
from unicom_coupon_sdk.domain.verification import Method
from unicom_coupon_sdk.errors import UnsupportedOperation
from unicom_coupon_sdk.platform.bill import BillSource

INTERFACE_VERSION = 1
"""The version of the adapter interface. An adapter built for another is refused before use."""


class Capability(StrEnum):
    """What a platform can do. What is not in ``profile.capabilities`` is refused before any I/O."""

    ISSUE = "issue"
    BIND = "bind"
    CHALLENGE = "challenge"
    VERIFY = "verify"
    REDEEM = "redeem"
    QUERY = "query"
    REVERSE = "reverse"
    VOID = "void"
    NOTIFY = "notify"
    PAY_OUT = "pay_out"
    SHARE = "share"
    FETCH_BILL = "fetch_bill"


@dataclass(frozen=True, slots=True)
class Bilingual:
    """A fact in words, in both languages."""

    zh: str
    en: str

    def in_language(self, language: str) -> str:
        """The words in ``zh`` or ``en``."""
        return self.zh if language == "zh" else self.en


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformProfile:
    """The facts of one platform.

    ``request_lifetime_s``: how long after its timestamp a signed request can still take effect; a lost request is
    certainly dead after that. ``send_window_s``: how long after the hold a redemption may still be sent. ``recover``
    believes a platform's "not done" only when both are over. ``bills`` are the files that say what happened, none
    where the platform gives none. ``experimental`` marks what no official client confirms.
    """

    name: str
    title: Bilingual
    coupon_scope: Bilingual
    verification: Bilingual
    coupon_kinds: frozenset[str]
    capabilities: frozenset[Capability]
    methods: tuple[Method, ...]
    limits: tuple[Limit, ...]
    settlement: tuple[SettlementTerms, ...]
    hosts: tuple[str, ...]
    signing: tuple[str, ...]
    request_lifetime_s: int
    send_window_s: int
    bills: tuple[BillSource, ...] = ()
    experimental: bool = False

    def require(self, capability: Capability) -> None:
        """Raises ``UnsupportedOperation`` when the platform does not offer ``capability``."""
        if capability not in self.capabilities:
            raise UnsupportedOperation("platform.unsupported", platform=self.name, operation=capability.value)

    def bill(self, kind: BillKind) -> BillSource:
        """The platform's bill of ``kind``. Raises ``UnsupportedOperation`` (``bill.not_offered``)."""
        for source in self.bills:
            if source.kind is kind:
                return source
        raise UnsupportedOperation("bill.not_offered", field="kind", platform=self.name, kind=kind.value)

    def limits_on(self, day: date) -> tuple[Limit, ...]:
        """The limits in force on a Beijing day."""
        return tuple(limit for limit in self.limits if limit.in_force(day))

    def terms_on(self, day: date, *, contracts: frozenset[str] = frozenset()) -> SettlementTerms:
        """The first terms in force on a Beijing day whose contract, if any, the merchant has."""
        return next(
            terms
            for terms in self.settlement
            if terms.in_force(day) and (terms.contract is None or terms.contract in contracts)
        )
