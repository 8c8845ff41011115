from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.unionpay_pos.samples import MESSAGES, body_of, message_of, messages

from unicom_coupon_adapters.unionpay_pos import codec
from unicom_coupon_adapters.unionpay_pos.codec import LARGEST_BODY, _Compiled, pack, unpack
from unicom_coupon_adapters.unionpay_pos.fields import FIELDS, Content
from unicom_coupon_adapters.unionpay_pos.frame_errors import FrameError
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.walk import read_body, write_body

SALE = message_of(MESSAGES[4])
BODIES = [body_of(vector) for vector in MESSAGES]


class Eager(dict[Any, Any]):
    """Compiles every set of fields at once."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        self.make = make

    def get(self, key: Any, default: Any = None) -> Any:
        if key not in self:
            try:
                self[key] = self.make(key)
            except KeyError:  # a field that is not in the table
                return default
        return self[key]


@pytest.fixture(params=["slow", "compiled"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every rule is checked both in the walk and in the code made from the table."""
    for name in ("_READERS", "_WRITERS"):
        compiled = _Compiled(getattr(codec, name)._make, most=0)
        if request.param == "compiled":
            compiled.ready = Eager(compiled._make)
        monkeypatch.setattr(codec, name, compiled)


def outcome(body: bytes) -> tuple[object, ...]:
    try:
        message = unpack(body)
    except FrameError as error:
        return (error.code, error.field, error.details["offset"])
    return (message.mti, message.fields)


def walked(body: bytes) -> tuple[object, ...]:
    try:
        return read_body(body)
    except FrameError as error:
        return (error.code, error.field, error.details["offset"])


@given(messages())
@settings(max_examples=150, deadline=None)
def test_any_message_comes_back_as_it_was(message: Message) -> None:
    assert unpack(pack(message)) == message


@given(st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_noise_is_refused_within_our_tree(noise: bytes) -> None:
    code, *_ = outcome(noise)
    assert str(code).startswith("unionpay_pos.frame_") or outcome(noise) == read_body(noise)


@given(st.sampled_from(BODIES), st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_message_reads_the_same_fast_and_slowly(body: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(body) - 1))
    damaged = bytearray(body)
    damaged[at] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(at, len(body)))])
    for piece in (bytes(damaged), cut):
        assert outcome(piece) == walked(piece)


def test_every_single_byte_change_reads_the_same_fast_and_slowly() -> None:
    body = BODIES[4]
    for at in range(len(body)):
        for bit in (0x01, 0x0A, 0x80, 0xFF):
            changed = body[:at] + bytes([body[at] ^ bit]) + body[at + 1 :]
            assert outcome(changed) == walked(changed)


@pytest.mark.parametrize("number", sorted(FIELDS))
def test_a_value_one_longer_than_its_field_is_refused(number: int) -> None:
    row = FIELDS[number]
    value = bytes(row.size + 1) if row.shape.content is Content.BYTES else "1" * (row.size + 1)
    for writer in (pack, lambda m: write_body(m.mti, m.fields)):
        with pytest.raises(FrameError) as caught:
            writer(Message("0200", {3: "000000", number: value}))
        assert (caught.value.code, caught.value.field) == ("unionpay_pos.frame_length", str(number))


@pytest.mark.parametrize("number", sorted(FIELDS))
def test_a_value_of_another_type_is_refused(number: int) -> None:
    wrong = "1" * 8 if FIELDS[number].shape.content is Content.BYTES else b"1" * FIELDS[number].size
    for value in (wrong, None, 5):
        with pytest.raises(FrameError) as caught:
            pack(Message("0200", {number: value}))  # type: ignore[dict-item]
        assert (caught.value.code, caught.value.field) == ("unionpay_pos.frame_type", str(number))


@pytest.mark.parametrize("number", [number for number, row in FIELDS.items() if row.shape.is_packed])
@pytest.mark.parametrize("bad", ["G", " ", "\n", "٣", "-", "_"])
def test_what_is_no_digit_is_refused(number: int, bad: str) -> None:
    row = FIELDS[number]
    with pytest.raises(FrameError) as caught:
        pack(Message("0200", {number: "1" * (row.size - 1) + bad}))
    assert (caught.value.code, caught.value.field) == ("unionpay_pos.frame_digit", str(number))


@pytest.mark.parametrize(
    "number", [n for n, row in FIELDS.items() if row.is_fixed and row.shape.content is Content.DIGITS]
)
def test_missing_digits_are_not_filled_in(number: int) -> None:
    with pytest.raises(FrameError) as caught:
        pack(Message("0200", {number: "1" * (FIELDS[number].size - 1)}))
    assert caught.value.code == "unionpay_pos.frame_length"


def test_a_short_text_is_filled_with_spaces() -> None:
    body = pack(Message("0200", {41: "123", 42: "ABC"}))
    assert unpack(body).fields == {41: "123     ", 42: "ABC            "}


@pytest.mark.parametrize("text", ["1000000\n", "1000000é", "1000000券", "1000000\x7f"])
def test_a_terminal_that_is_not_printable_is_refused(text: str) -> None:
    with pytest.raises(FrameError) as caught:
        pack(Message("0200", {41: text}))
    assert (caught.value.code, caught.value.field) == ("unionpay_pos.frame_text", "41")


@pytest.mark.parametrize("mti", ["", "020", "02000", "02A0", "٠200", "0x20"])
def test_what_is_no_message_type_is_refused(mti: str) -> None:
    with pytest.raises(FrameError) as caught:
        pack(Message(mti, {11: "000001"}))
    assert caught.value.code == "unionpay_pos.frame_mti"


@pytest.mark.parametrize("number", [1, 5, 46, 65, 0, -1, 128])
def test_a_field_outside_the_table_is_refused(number: int) -> None:
    with pytest.raises(FrameError) as caught:
        pack(Message("0200", {number: "1"}))
    assert (caught.value.code, caught.value.field) == ("unionpay_pos.frame_unknown_field", str(number))


def test_odd_digits_are_padded_on_the_side_of_the_table() -> None:
    body = pack(Message("0200", {22: "021", 23: "001", 60: "12345", 2: "622"}))
    assert body[10:].hex().upper() == "036220" + "0210" + "0001" + "0005123450"


@pytest.mark.parametrize(("raw", "accepted"), [("03622F", True), ("036220", True), ("036221", False)])
def test_a_pad_of_f_is_read_and_of_anything_else_refused(raw: str, accepted: bool) -> None:  # noqa: FBT001
    body = bytes.fromhex("02004000000000000000" + raw)
    if accepted:
        assert unpack(body).text(2) == "622"
        return
    with pytest.raises(FrameError) as caught:
        unpack(body)
    assert (caught.value.code, caught.value.details["offset"]) == ("unionpay_pos.frame_padding", 12)


@pytest.mark.parametrize(("number", "raw"), [(22, "0211"), (22, "021F"), (23, "1001"), (23, "F001")])
def test_fixed_fields_are_padded_with_zero_only(number: int, raw: str) -> None:
    body = bytes.fromhex("0200") + (1 << (64 - number)).to_bytes(8, "big") + bytes.fromhex(raw)
    with pytest.raises(FrameError) as caught:
        unpack(body)
    assert (caught.value.code, caught.value.field) == ("unionpay_pos.frame_padding", str(number))


def test_a_track_may_be_written_with_its_separator() -> None:
    assert unpack(pack(Message("0200", {35: "6221=3012"}))).text(35) == "6221D3012"


def test_fields_may_be_given_in_any_order() -> None:
    shuffled = dict(random.Random(1).sample(list(SALE.fields.items()), len(SALE.fields)))
    assert pack(Message("0200", shuffled)) == pack(SALE)


def test_a_message_above_the_cap_is_not_looked_at() -> None:
    with pytest.raises(FrameError) as caught:
        unpack(bytes(LARGEST_BODY + 1))
    assert caught.value.code == "unionpay_pos.frame_long"


def test_strangers_cannot_make_us_compile_for_ever() -> None:
    made: list[int] = []

    def make(key: int) -> int:
        made.append(key)
        return key

    compiled = _Compiled(make, most=3, after=2)
    for number in range(1000):
        compiled.saw(number % 100)
        compiled.saw(number)
    assert len(made) == len(compiled.ready) == 3
    assert len(compiled._seen) <= 16 * 3


def test_a_set_of_fields_is_compiled_after_it_proved_itself_and_once() -> None:
    made: list[str] = []
    compiled = _Compiled(made.append, most=9, after=3)
    for count in range(1, 6):
        compiled.saw("a")
        assert made == (["a"] if count >= 3 else [])


def test_a_message_shows_numbers_and_no_values() -> None:
    assert repr(SALE) == "Message(0200, 2 3 4 11 22 25 26 35 41 42 49 52 53 60 64)"


def test_a_log_shows_no_card_track_or_pin() -> None:
    shown = SALE.loggable()
    assert shown["2"] == "622155******0000"
    assert (shown["35"], shown["52"], shown["4"], shown["64"]) == ("[37]", "[8]", "000000012800", "3146413034434535")
    assert not any("3012" in text for text in shown.values())


def test_a_field_that_is_not_there_is_missing() -> None:
    for read in (SALE.text, SALE.data):
        with pytest.raises(FrameError) as caught:
            read(39)
        assert (caught.value.code, caught.value.field) == ("unionpay_pos.frame_missing", "39")
    for read, number in ((SALE.text, 64), (SALE.data, 4)):
        with pytest.raises(FrameError) as caught:
            read(number)
        assert caught.value.code == "unionpay_pos.frame_type"


@pytest.mark.parametrize(
    ("asked", "answered"), [("0200", "0210"), ("0800", "0810"), ("0400", "0410"), ("0320", "0330")]
)
def test_an_answers_type_is_ten_more(asked: str, answered: str) -> None:
    assert Message(asked, {}).answer_type() == answered


@pytest.mark.parametrize("mti", ["0210", "0830", "02", "abcd"])
def test_an_answer_is_not_answered(mti: str) -> None:
    with pytest.raises(FrameError):
        Message(mti, {}).answer_type()


def test_no_error_shows_what_was_in_the_frame() -> None:
    with pytest.raises(FrameError) as caught:
        pack(Message("0200", {2: "6221558812340000X"}))
    assert "622155" not in repr(caught.value) + str(caught.value.diagnostics("zh")) + str(caught.value.details)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
