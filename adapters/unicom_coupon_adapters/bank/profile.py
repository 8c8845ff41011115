"""The bank platform's declared facts, with dates and sources."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from unicom_coupon_adapters.bank.bill_layout import source_of
from unicom_coupon_adapters.bank.settings import BASE_URLS, BankSettings
from unicom_coupon_sdk.domain.limits import Limit, Subject, Window
from unicom_coupon_sdk.domain.settlement import Cycle, DayCount, SettlementTerms
from unicom_coupon_sdk.domain.verification import Method
from unicom_coupon_sdk.platform.profile import Bilingual, Capability, PlatformProfile

DAY_LIMIT_FEN = 5_000_000
"""50 000 CNY a holder, bank and Beijing day: fixed, not to be raised by any setting (sheet §3.12)."""

PROFILE = PlatformProfile(
    name="bank",
    title=Bilingual(zh="银行APP", en="Bank apps"),
    coupon_scope=Bilingual(zh="仅限本行合作商户", en="The bank's own cooperating merchants"),
    verification=Bilingual(
        zh="券码 + 短信验证码（由银行发送并核验）", en="Coupon code and SMS one-time code, sent and checked by the bank"
    ),
    coupon_kinds=frozenset({"amount_off", "exchange", "phone_credit"}),
    capabilities=frozenset(
        {
            Capability.ISSUE,
            Capability.BIND,
            Capability.CHALLENGE,
            Capability.VERIFY,
            Capability.REDEEM,
            Capability.QUERY,
            Capability.REVERSE,
            Capability.VOID,
            Capability.NOTIFY,
            Capability.FETCH_BILL,
        }
    ),
    methods=(Method.SMS,),
    limits=(
        Limit(
            name="bank_day",
            subject=Subject.HOLDER,
            window=Window.DAY,
            max_fen=DAY_LIMIT_FEN,
            source="sheet §3.12: 50 000 CNY a day, fixed; per holder, bank and Beijing day (ours)",
        ),
    ),
    settlement=(
        SettlementTerms(
            cycle=Cycle.T_1,
            days=DayCount.WORKING,
            source="sheet §5.3: first legal working day after the business day (ours); fee by contract",
        ),
    ),
    hosts=tuple(urlsplit(url).netloc for url in BASE_URLS.values()),
    signing=("SM2withSM3", "SHA256withRSA"),
    # A request is refused when its timestamp is more than 300 s off the bank's clock; ours may be as far ahead itself.
    request_lifetime_s=600,
    send_window_s=60,
    bills=(source_of({}),),
)
"""The facts that hold for every merchant. The coupon gateway profile is this project's and not a bank's (sheet §3)."""

EXPERIMENTAL_BANKS = frozenset({"ccb", "boc", "abc"})
"""Envelopes without an official client to confirm them. They sign strings and refuse every coupon call."""


def profile_of(settings: BankSettings) -> PlatformProfile:
    """``PROFILE`` as it is for one merchant: its host, and no capabilities where the envelope is experimental."""
    host = (urlsplit(settings.base_url).netloc,)
    if settings.bank in EXPERIMENTAL_BANKS:
        return replace(PROFILE, hosts=host, capabilities=frozenset(), bills=(), experimental=True)
    return replace(PROFILE, hosts=host, bills=(source_of(settings.bill_columns),))
