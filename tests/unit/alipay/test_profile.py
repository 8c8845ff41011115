"""Declared facts: dated, sourced, and honest about whose rule each is."""

from datetime import date

from tests.unit.alipay.peer import adapter

from unicom_coupon_adapters.alipay import PLUGIN
from unicom_coupon_adapters.alipay.compliance import SHIM
from unicom_coupon_adapters.alipay.profile import FAST_SETTLEMENT, PROFILE
from unicom_coupon_sdk.domain.settlement import Cycle
from unicom_coupon_sdk.platform.registry import AdapterPlugin

DAY = date(2026, 5, 20)


def test_fast_settlement_is_real_time_and_everything_else_the_next_day():
    assert PROFILE.terms_on(DAY).cycle is Cycle.T_1
    assert PROFILE.terms_on(DAY, contracts=frozenset({FAST_SETTLEMENT})).cycle is Cycle.REAL_TIME


def test_member_limits_grow_with_the_level_and_say_that_they_are_ours():
    limits = [limit for limit in PROFILE.limits_on(DAY) if limit.tier]
    assert [limit.tier for limit in limits] == ["primary", "golden", "platinum", "diamond"]
    assert [limit.max_fen for limit in limits] == sorted(limit.max_fen for limit in limits)
    assert all("Alipay publishes none" in limit.source for limit in limits)
    assert not [limit for limit in PROFILE.limits_on(date(2025, 12, 31)) if limit.tier]


def test_the_plugin_offers_what_the_registry_wants():
    assert isinstance(PLUGIN, AdapterPlugin)
    assert PLUGIN.profile is PROFILE


def test_an_application_has_the_hosts_of_its_settings():
    assert adapter().profile.hosts == ("openapi.alipay.invalid", "dwbillcenter.alipay.com")


def test_no_bearer_value_and_no_person_is_kept_or_logged():
    for name in ("voucher_code", "voucher_codes", "user_id", "open_id", "auth_code", "mobile", "code"):
        assert SHIM.kept({name: "x"}) == {}
        assert SHIM.loggable({name: "x"}) == {}


def test_what_later_calls_need_is_kept():
    refs = {"activity_id": "A", "voucher_id": "V", "trace_id": "T", "order_id": "O", "certificate_id": "C"}
    assert SHIM.kept({**refs, "unheard_of": "x"}) == refs
    assert SHIM.kept({"family": "certificate", "item_id": "I"}) == {"family": "certificate", "item_id": "I"}
