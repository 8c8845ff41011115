from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from unicom_coupon_adapters.unionpay_pos import tlv
from unicom_coupon_adapters.unionpay_pos.compliance import SHIM, checked, truncated
from unicom_coupon_adapters.unionpay_pos.coupon_block import CouponBlock, Tag
from unicom_coupon_adapters.unionpay_pos.fields import FIELDS
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.profile import PROFILE, SAME_DAY_CONTRACT, clearing_date, date_of
from unicom_coupon_adapters.unionpay_pos.terminals import Terminal, TerminalRegister
from unicom_coupon_sdk.domain.settlement import Cycle, DayCount
from unicom_coupon_sdk.domain.verification import Method
from unicom_coupon_sdk.errors import ComplianceError, ConfigurationError, UnsupportedOperation, ValidationError
from unicom_coupon_sdk.platform.profile import Capability

TODAY = date(2026, 5, 20)
FACTS: dict[str, Any] = {"number": "10000001", "merchant": "999290054110001", "serial": "00009900000000000001"}


def limit(name: str, day: date) -> int | None:
    (found,) = [each for each in PROFILE.limits_on(day) if each.name == name]
    return found.max_fen


def test_limits_are_those_of_their_day() -> None:
    assert (limit("contactless_once", date(2018, 5, 31)), limit("contactless_once", date(2018, 6, 1))) == (
        30_000,
        100_000,
    )
    assert [limit(f"qr_{tier}_day", TODAY) for tier in ("static", "dynamic_b", "dynamic_c")] == [
        50_000,
        500_000,
        100_000,
    ]
    assert not [each for each in PROFILE.limits_on(date(2018, 3, 31)) if each.name.startswith("qr_")]
    assert all(each.source for each in PROFILE.limits)


def test_money_comes_the_next_working_day_and_the_same_day_by_contract() -> None:
    usual = PROFILE.terms_on(TODAY)
    advanced = PROFILE.terms_on(TODAY, contracts=frozenset({SAME_DAY_CONTRACT}))
    assert (usual.cycle, usual.days, usual.advance_fee_bp) == (Cycle.T_1, DayCount.WORKING, 0)
    assert (advanced.cycle, advanced.advance_fee_bp) == (Cycle.D_0, 20)


def test_the_clearing_day_ends_at_23_in_beijing() -> None:
    assert clearing_date(datetime(2026, 5, 20, 14, 59, 59, tzinfo=UTC)) == TODAY
    assert clearing_date(datetime(2026, 5, 20, 15, 0, 0, tzinfo=UTC)) == date(2026, 5, 21)
    assert clearing_date(datetime(2026, 12, 31, 15, 30, tzinfo=UTC)) == date(2027, 1, 1)
    with pytest.raises(ValidationError):
        clearing_date(datetime(2026, 5, 20))  # noqa: DTZ001 - naive on purpose


def test_a_date_without_a_year_is_the_closest_one() -> None:
    new_year = datetime(2026, 12, 31, 15, 30, tzinfo=UTC)
    assert date_of("0101", near=new_year) == date(2027, 1, 1)
    assert date_of("1231", near=datetime(2027, 1, 1, tzinfo=UTC)) == date(2026, 12, 31)
    assert date_of("0229", near=datetime(2027, 12, 1, tzinfo=UTC)) == date(2028, 2, 29)


@pytest.mark.parametrize("text", ["", "0230", "1301", "0100", "12-1", "٠١٠١"])
def test_four_digits_that_are_no_day_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        date_of(text, near=datetime(2026, 5, 20, tzinfo=UTC))


def test_terminals_vouch_online_and_nothing_is_paid_out() -> None:
    assert PROFILE.methods[0] is Method.TERMINAL
    for capability in (Capability.REDEEM, Capability.REVERSE, Capability.VOID, Capability.QUERY):
        PROFILE.require(capability)
    with pytest.raises(UnsupportedOperation):
        PROFILE.require(Capability.PAY_OUT)


@pytest.mark.parametrize("number", [2, 14, 23, 26, 35, 36, 52, 53, 55])
def test_a_message_with_card_data_is_not_sent(number: int) -> None:
    value = bytes(8) if number in {52, 55} else "0" * FIELDS[number].size
    with pytest.raises(ComplianceError) as caught:
        checked(Message("0200", {11: "000001", number: value}))
    assert (caught.value.code, caught.value.field) == ("compliance.not_sent", str(number))
    assert SHIM.kept({str(number): "x"}) == {}
    assert SHIM.loggable({str(number): "x"}) == {}


@pytest.mark.parametrize("number", [12, 13, 15, 32, 44, 54, 57, 58])
def test_what_only_a_host_says_is_not_sent(number: int) -> None:
    with pytest.raises(ComplianceError):
        checked(Message("0200", {number: "0"}))


def test_tags_of_the_host_are_not_sent() -> None:
    with pytest.raises(ComplianceError) as caught:
        checked(Message("0200", {62: CouponBlock({Tag.STATE: "00"}).packed()}))
    assert caught.value.field == "62.62.VA.82"


def test_the_code_is_neither_kept_nor_logged() -> None:
    for name in ("62", "62.VA.01", "62.VA.06", "59"):
        assert SHIM.kept({name: "x"}) == {} == SHIM.loggable({name: "x"})


@pytest.mark.parametrize("account", ["6221558812340000", "6216261000000000018", "6221558812345"])
def test_an_account_keeps_six_and_four_digits(account: str) -> None:
    short = truncated(account)
    assert (short[:6], short[-4:], set(short[6:-4]), len(short)) == (account[:6], account[-4:], {"*"}, len(account))
    assert truncated(short) == short


@pytest.mark.parametrize(
    "account",
    [
        "",
        "622155881234",
        "62215588123400001234",
        "6221558812340000=3012",
        "622155**12340000",
        "１２３４５６７８９０１２３",
    ],
)
def test_what_is_no_account_is_not_passed_as_truncated(account: str) -> None:
    with pytest.raises(ComplianceError) as caught:
        truncated(account)
    assert account == "" or account not in str(caught.value)


# --- terminals --------------------------------------------------------------------------------------------------


def test_terminal_information_is_that_of_the_regulator() -> None:
    asked: list[str] = []

    def chip(text: str) -> str:
        asked.append(text)
        return "1A2B3C4D"

    raw = Terminal(**FACTS, chip=chip).information("UC26031800000000A1")
    assert raw is not None
    inner = tlv.parse_text(tlv.parse_text(raw)["A2"].encode())
    assert inner == {"01": "04", "02": FACTS["serial"], "03": "000001", "04": "1A2B3C4D", "05": "SDK00100"}
    assert asked == [FACTS["serial"] + "000001"]
    assert Terminal(**FACTS).information("UC1") is None


def test_a_chip_that_seals_another_length_is_refused() -> None:
    with pytest.raises(ValidationError):
        Terminal(**FACTS, chip=lambda _: "short").information("UC0001")


@pytest.mark.parametrize(
    "changes",
    [
        {"number": "1"},
        {"merchant": "1"},
        {"serial": ""},
        {"serial": "x" * 51},
        {"serial": "a b"},
        {"device": "07"},
        {"software": "1"},
        {"capability": "9"},
        {"length_digits": 4},
        {"number": "1000000é"},
    ],
)
def test_a_terminal_of_another_shape_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Terminal(**{**FACTS, **changes})
    assert caught.value.code == "unionpay_pos.terminal_shape"


def test_a_terminal_is_bound_to_its_merchant_and_serial() -> None:
    register = TerminalRegister([Terminal(**FACTS)])
    assert register.bound("10000001", merchant=FACTS["merchant"], serial=FACTS["serial"]).number == "10000001"
    assert register.bound("10000001", merchant=FACTS["merchant"]).number == "10000001"
    for number, merchant, serial, code in (
        ("10000002", FACTS["merchant"], None, "terminal_unknown"),
        ("10000001", "999290054110002", None, "terminal_unbound"),
        ("10000001", FACTS["merchant"], "00009900000000000002", "terminal_unbound"),
    ):
        with pytest.raises(ComplianceError) as caught:
            register.bound(number, merchant=merchant, serial=serial)
        assert caught.value.code == f"unionpay_pos.{code}"


@pytest.mark.parametrize("second", [{"serial": "2"}, {"number": "10000002"}])
def test_one_terminal_has_one_code_and_one_serial(second: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        TerminalRegister([Terminal(**FACTS), Terminal(**{**FACTS, **second})])
    assert caught.value.code == "unionpay_pos.terminal_repeated"
