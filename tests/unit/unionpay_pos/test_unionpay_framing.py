from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.unionpay_pos.samples import MESSAGES, body_of

from unicom_coupon_adapters.unionpay_pos.frame_errors import FrameError
from unicom_coupon_adapters.unionpay_pos.framing import Frame, FrameReader, Framing, header_of

FRAME = Frame(bytes.fromhex("6000030000"), header_of(), body_of(MESSAGES[4]))


@pytest.mark.parametrize("framing", [Framing.BIN2, Framing.BCD2, Framing.ASCII4])
@pytest.mark.parametrize("includes", [False, True])
def test_every_length_in_front_is_read_as_it_is_written(framing: Framing, includes: bool) -> None:  # noqa: FBT001
    wire = FRAME.packed(framing, length_includes_itself=includes) * 3
    reader = FrameReader(framing, length_includes_itself=includes)
    assert [f for at in range(0, len(wire), 7) for f in reader.feed(wire[at : at + 7])] == [FRAME.content] * 3
    assert reader.waiting == 0


def test_a_frame_without_length_is_its_content() -> None:
    assert FRAME.packed(Framing.NONE) == FRAME.content
    with pytest.raises(FrameError):
        FrameReader(Framing.NONE)


def test_a_length_that_includes_itself_is_not_taken_for_one_that_does_not() -> None:
    assert FrameReader().feed(FRAME.packed(length_includes_itself=True)) == []


@pytest.mark.parametrize(
    ("framing", "wire", "code"),
    [
        (Framing.BIN2, "0014", "short"),
        (Framing.BIN2, "0000", "short"),
        (Framing.BIN2, "2001", "long"),
        (Framing.BIN2, "FFFF", "long"),
        (Framing.BCD2, "00A1", "length_header"),
        (Framing.ASCII4, "30303A31", "length_header"),
        (Framing.ASCII4, "2D303031", "length_header"),
        (Framing.ASCII4, "B2303031", "length_header"),
    ],
)
def test_a_length_that_cannot_be_is_refused_before_anything_is_waited_for(
    framing: Framing, wire: str, code: str
) -> None:
    with pytest.raises(FrameError) as caught:
        FrameReader(framing).feed(bytes.fromhex(wire))
    assert caught.value.code == f"unionpay_pos.frame_{code}"


@given(st.lists(st.integers(1, 40)))
@settings(max_examples=60, deadline=None)
def test_any_cuts_give_the_same_frames(cuts: list[int]) -> None:
    wire = FRAME.packed() * 2
    reader, found, at = FrameReader(), [], 0
    for cut in [*cuts, len(wire)]:
        found += reader.feed(wire[at : at + cut])
        at += cut
    assert found == [FRAME.content] * 2


def test_an_answer_swaps_addresses_keeps_the_header_and_may_ask_for_a_sign_on() -> None:
    answer = FRAME.answer(b"x" * 10, requirement=3)
    assert (answer.tpdu.hex(), answer.header.hex()) == ("6000000003", "603103310100")
    assert (answer.processing_requirement, FRAME.processing_requirement) == (3, 0)
    for requirement in (-1, 10):
        with pytest.raises(FrameError):
            FRAME.answer(b"", requirement=requirement)


def test_a_terminal_in_test_mode_is_seen() -> None:
    assert Frame.parse(FRAME.tpdu + bytes.fromhex("603110310100") + FRAME.body).is_test_terminal
    assert not FRAME.is_test_terminal


def test_a_header_with_a_hexadecimal_digit_is_kept() -> None:
    header = bytes.fromhex("60310031110E")
    assert Frame.parse(FRAME.tpdu + header + FRAME.body).header == header == header_of(software="31110E")


@pytest.mark.parametrize("software", ["", "31010", "3101000", "31010g", "３10100"])
def test_a_software_version_of_another_shape_is_refused(software: str) -> None:
    with pytest.raises(FrameError) as caught:
        header_of(software=software)
    assert caught.value.code == "unionpay_pos.frame_header"


@pytest.mark.parametrize(
    ("content", "code"), [(b"\x60" * 20, "short"), (b"\x61" * 21, "tpdu"), (b"\x60" * 8193, "long")]
)
def test_what_is_no_frame_is_refused(content: bytes, code: str) -> None:
    with pytest.raises(FrameError) as caught:
        Frame.parse(content)
    assert caught.value.code == f"unionpay_pos.frame_{code}"


def test_a_frame_shows_no_body() -> None:
    assert "622155" not in repr(FRAME)
    assert FRAME.body.hex() not in repr(FRAME)


def test_a_frame_too_long_for_its_length_is_not_written() -> None:
    with pytest.raises(FrameError):
        Frame(FRAME.tpdu, FRAME.header, bytes(10_000)).packed(Framing.BCD2)
    with pytest.raises(FrameError):
        Frame(FRAME.tpdu, FRAME.header, bytes(66_000)).packed()
