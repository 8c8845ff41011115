from importlib.metadata import EntryPoint

import pytest
from tests.profiles import profile

from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.errors import ConfigurationError, UnsupportedOperation
from unicom_coupon_sdk.platform import registry
from unicom_coupon_sdk.platform.adapter import BaseAdapter
from unicom_coupon_sdk.platform.profile import Capability
from unicom_coupon_sdk.platform.registry import AdapterPlugin

GOOD = AdapterPlugin(profile=profile(), settings=Value, build=lambda settings, keys: None, emulator=lambda: object)
OLD = AdapterPlugin(
    profile=profile(), settings=Value, build=lambda settings, keys: None, emulator=lambda: object, interface_version=0
)
TWO_FACED = AdapterPlugin(
    profile=profile(),
    settings=Value,
    build=lambda settings, keys: None,
    emulator=lambda: object,
    faces={"testpay_http": lambda: dict},
)


@pytest.fixture
def installed(monkeypatch):
    def install(*points):
        monkeypatch.setattr(registry, "entry_points", lambda group: points)
        registry.available.cache_clear()

    yield install
    registry.available.cache_clear()


def point(name, value):
    return EntryPoint(name=name, value=value, group=registry.GROUP)


def test_an_adapter_is_found_by_its_name(installed):
    installed(point("testpay", f"{__name__}:GOOD"))
    assert registry.load("testpay") is GOOD


def test_an_unknown_platform_names_those_that_are_there(installed):
    installed(point("testpay", f"{__name__}:GOOD"))
    with pytest.raises(ConfigurationError, match=r"adapter\.unknown") as refused:
        registry.load("testpey")
    assert "testpay" in refused.value.diagnostics("en").cause


def test_an_adapter_of_another_interface_version_is_refused(installed):
    installed(point("testpay", f"{__name__}:OLD"))
    with pytest.raises(ConfigurationError, match=r"adapter\.interface"):
        registry.load("testpay")


def test_what_is_no_plugin_is_refused(installed):
    installed(point("testpay", "json:loads"))
    with pytest.raises(ConfigurationError, match=r"adapter\.interface"):
        registry.load("testpay")


def test_an_adapter_that_cannot_be_imported_is_named(installed):
    installed(point("testpay", "no_such_module_here:PLUGIN"))
    with pytest.raises(ConfigurationError, match=r"adapter\.broken"):
        registry.load("testpay")


def test_two_packages_that_claim_one_name_are_a_conflict(installed):
    installed(point("testpay", f"{__name__}:GOOD"), point("testpay", f"{__name__}:OLD"))
    with pytest.raises(ConfigurationError, match=r"adapter\.conflict"):
        registry.available()


def test_every_platform_is_emulated_with_all_its_faces(installed):
    installed(point("otherpay", f"{__name__}:GOOD"), point("testpay", f"{__name__}:TWO_FACED"))
    assert registry.emulators() == {"otherpay": object, "testpay": object, "testpay_http": dict}


def test_a_face_and_its_platform_are_chosen_apart(installed):
    installed(point("testpay", f"{__name__}:TWO_FACED"))
    assert registry.emulators(["testpay"]) == {"testpay": object}
    assert registry.emulators(["testpay_http", "testpay_http"]) == {"testpay_http": dict}


def test_a_name_that_is_neither_platform_nor_face_is_refused_with_those_that_are(installed):
    installed(point("testpay", f"{__name__}:TWO_FACED"))
    with pytest.raises(ConfigurationError, match=r"adapter\.unknown") as refused:
        registry.emulators(["testpay_tcp"])
    assert "testpay, testpay_http" in refused.value.diagnostics("en").cause


def test_a_named_platform_does_not_load_the_others(installed):
    installed(point("broken", "no_such_module_here:PLUGIN"), point("testpay", f"{__name__}:GOOD"))
    assert registry.emulators(["testpay"]) == {"testpay": object}


def test_a_capability_that_is_missing_is_refused():
    with pytest.raises(UnsupportedOperation, match=r"platform\.unsupported"):
        profile(capabilities=frozenset()).require(Capability.REDEEM)


@pytest.mark.parametrize(
    "call",
    [
        lambda adapter: adapter.issue(None),
        lambda adapter: adapter.bind(None),
        lambda adapter: adapter.challenge(None),
        lambda adapter: adapter.verify(None),
        lambda adapter: adapter.redeem(None),
        lambda adapter: adapter.query(None),
        lambda adapter: adapter.reverse(None),
        lambda adapter: adapter.query_reversal(None),
        lambda adapter: adapter.void(None, code=None, listing=None, void_no="", reason=""),
        lambda adapter: adapter.parse_notification((), b""),
        lambda adapter: adapter.acknowledge(),
    ],
)
def test_a_platform_that_offers_nothing_refuses_every_verb(call):
    class Nothing(BaseAdapter):
        profile = profile()

    with pytest.raises(UnsupportedOperation):
        call(Nothing())
    assert list(Nothing().diagnose()) == []
