"""Profiles for tests that need a platform's facts and no platform."""

from unicom_coupon_sdk.domain.settlement import Cycle, DayCount, SettlementTerms
from unicom_coupon_sdk.domain.verification import Method
from unicom_coupon_sdk.platform.profile import Bilingual, Capability, PlatformProfile

WORDS = Bilingual(zh="测试", en="test")
KINDS = frozenset({"amount_off", "percent_off", "exchange", "phone_credit", "cash"})


def profile(**changes):
    facts = {
        "name": "testpay",
        "title": WORDS,
        "coupon_scope": WORDS,
        "verification": WORDS,
        "coupon_kinds": KINDS,
        "capabilities": frozenset(Capability),
        "methods": tuple(Method),
        "limits": (),
        "settlement": (SettlementTerms(cycle=Cycle.T_1, days=DayCount.CALENDAR, source="test"),),
        "hosts": ("testpay.invalid",),
        "signing": ("none",),
        "request_lifetime_s": 300,
        "send_window_s": 60,
    }
    return PlatformProfile(**{**facts, **changes})
