"""The strict DER reader: one encoding for one value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicom_coupon_sdk.crypto.der import INTEGER, OCTET_STRING, SEQUENCE, DerError, Reader, element, integer


@given(st.integers(0, 1 << 2100))
def test_a_number_goes_there_and_back(number: int) -> None:
    reader = Reader(integer(number))
    assert reader.integer() == number
    reader.end()


@given(st.binary(max_size=70_000) | st.sampled_from([b"x" * n for n in (127, 128, 255, 256, 65535, 65536)]))
def test_bytes_of_any_length_go_there_and_back(content: bytes) -> None:
    outer = Reader(element(SEQUENCE, element(OCTET_STRING, content)))
    inner = outer.inside(SEQUENCE)
    outer.end()
    assert inner.tag == OCTET_STRING
    assert inner.take(OCTET_STRING) == content
    assert inner.tag == -1


@pytest.mark.parametrize(
    "encoded",
    [
        pytest.param("0200", id="no digits"),
        pytest.param("02020001", id="a zero too many"),
        pytest.param("0201ff", id="negative"),
        pytest.param("0202ff7f", id="negative, two bytes"),
        pytest.param("02810101", id="a long length for a short one"),
        pytest.param("0282000101", id="a length with leading zeros"),
        pytest.param("028001010000", id="indefinite length"),
        pytest.param("02850000000001", id="a length of five bytes"),
        pytest.param("0202", id="cut"),
        pytest.param("020201", id="cut inside"),
        pytest.param("02", id="a tag alone"),
        pytest.param("028401", id="cut inside the length"),
        pytest.param("", id="nothing"),
        pytest.param("040101", id="another tag"),
    ],
)
def test_another_encoding_is_refused(encoded: str) -> None:
    with pytest.raises(DerError):
        Reader(bytes.fromhex(encoded)).integer()


def test_what_follows_the_end_is_refused() -> None:
    reader = Reader(integer(5) + b"\0")
    assert reader.integer() == 5
    with pytest.raises(DerError):
        reader.end()


@given(st.binary(max_size=40))
def test_whatever_is_read_would_be_written_the_same(data: bytes) -> None:
    reader = Reader(data)
    try:
        number = reader.integer()
        reader.end()
    except DerError:
        return
    assert integer(number) == data
    assert data[0] == INTEGER
