import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicom_coupon_sdk.domain.coupon import AmountOff
from unicom_coupon_sdk.domain.money import fen_of_yuan, portion, yuan_text
from unicom_coupon_sdk.errors import ValidationError


@given(st.integers(min_value=-(10**12) + 1, max_value=10**12 - 1))
def test_yuan_text_and_back_loses_no_fen(fen):
    assert fen_of_yuan(yuan_text(fen)) == fen


@pytest.mark.parametrize("text", ["", "1.234", "1,000", "１２", "1e3", "12.", ".5", "--1", "1 2", "NaN", "99999999999"])
def test_what_is_not_an_amount_in_yuan_is_refused(text):
    with pytest.raises(ValidationError) as refused:
        fen_of_yuan(text, field="price")
    assert refused.value.code == "money.not_yuan"
    assert refused.value.field == "price"


@pytest.mark.parametrize("amount", [12.34, 12.0, "1234", True, None])
def test_an_amount_that_is_not_whole_fen_is_refused_with_what_to_do(amount):
    with pytest.raises(ValidationError) as refused:
        AmountOff(off_fen=amount)
    assert refused.value.code == "money.not_fen"
    assert "12.34 yuan pass 1234" in refused.value.diagnostics("en").remedy
    assert amount is None or str(amount) not in str(refused.value)


def test_a_portion_is_rounded_half_up():
    assert portion(125, 2_000) == 25
    assert portion(5, 1_000) == 1
    assert portion(4, 1_000) == 0
    assert portion(10_001, 38) == 38
