import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicom_coupon_sdk.domain.code import (
    ALPHABET,
    LENGTH,
    SERIAL_BITS,
    CouponCode,
    is_well_formed,
    make_code,
    serial_of,
)
from unicom_coupon_sdk.errors import ValidationError

KEY = b"k" * 32
serials = st.integers(min_value=0, max_value=(1 << SERIAL_BITS) - 1)
entropies = st.binary(min_size=8, max_size=8)


def made(serial, entropy=b"\x01" * 8):
    for salt in range(256):
        code = make_code(serial, entropy=bytes(byte ^ salt for byte in entropy), key=KEY)
        if code is not None:
            return code
    raise AssertionError("no draw was accepted")


@given(serials, entropies)
def test_the_serial_can_be_read_back_so_two_serials_never_share_a_code(serial, entropy):
    code = make_code(serial, entropy=entropy, key=KEY)
    if code is not None:
        assert serial_of(code, key=KEY) == serial


@given(serials, entropies)
def test_a_code_has_the_form_that_every_platform_takes(serial, entropy):
    text = made(serial, entropy).reveal()
    assert len(text) == LENGTH == 19
    assert set(text) <= set(ALPHABET)
    assert not text[-3:].isdigit()
    assert not text.endswith("91A0")


@given(serials, entropies, st.data())
def test_one_wrong_character_is_always_found(serial, entropy, data):
    text = made(serial, entropy).reveal()
    at = data.draw(st.integers(0, LENGTH - 1))
    wrong = data.draw(st.sampled_from(ALPHABET.replace(text[at], "")))
    assert not is_well_formed(text[:at] + wrong + text[at + 1 :])


def test_two_characters_that_changed_places_are_always_found():
    text = made(123_456_789).reveal()
    for first, second in itertools.combinations(range(LENGTH - 1), 2):
        if text[first] != text[second]:
            letters = list(text)
            letters[first], letters[second] = letters[second], letters[first]
            assert not is_well_formed("".join(letters))


def test_misread_letters_blanks_and_case_are_mended():
    text = made(7).reveal()
    typed = " ".join((text[:6], text[6:12], text[12:])).lower().replace("0", "o").replace("1", "l")
    assert CouponCode(typed).reveal() == text
    assert CouponCode(typed).is_ours


def test_a_code_of_another_issuer_is_taken_as_it_is():
    code = CouponCode("sxxe34343434")
    assert code.reveal() == "sxxe34343434"
    assert not code.is_ours
    with pytest.raises(ValidationError, match=r"code\.check"):
        serial_of(code, key=KEY)


@pytest.mark.parametrize("text", ["", "abc", "with blank inside", "券码券码券码", "x" * 65])
def test_what_cannot_be_a_code_is_refused_without_showing_it(text):
    with pytest.raises(ValidationError) as refused:
        CouponCode(text)
    assert refused.value.code in {"code.shape", "sensitive.shape"}
    if text:
        assert text not in str(refused.value)


def test_a_code_is_masked_wherever_it_could_be_printed():
    code = made(99)
    for shown in (repr(code), str(code), f"{code}", f"{code!s:>40}", repr([code])):
        assert code.reveal() not in shown
        assert code.reveal()[4:-4] not in shown


@pytest.mark.parametrize("serial", [-1, 1 << SERIAL_BITS])
def test_a_serial_out_of_range_is_refused(serial):
    with pytest.raises(ValidationError, match=r"code\.serial"):
        make_code(serial, entropy=b"\x00" * 8, key=KEY)


def test_without_the_key_the_serial_stays_hidden():
    code = made(5)
    assert serial_of(code, key=b"x" * 32) != 5
