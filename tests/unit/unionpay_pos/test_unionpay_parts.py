from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unicom_coupon_adapters.unionpay_pos import tlv
from unicom_coupon_adapters.unionpay_pos.coupon_block import CouponBlock, CouponState, Tag
from unicom_coupon_adapters.unionpay_pos.frame_errors import FrameError
from unicom_coupon_adapters.unionpay_pos.subfields import (
    BatchDetail,
    Original,
    Totals,
    TransactionType,
    pack_details,
    pack_sequence,
    parse_details,
    parse_sequence,
    parse_totals,
)

CODE = "UC2603180000000001"


def code_of(caught: pytest.ExceptionInfo[FrameError]) -> tuple[str, str | None]:
    return caught.value.code.removeprefix("unionpay_pos."), caught.value.field


@pytest.mark.parametrize(
    "text",
    ["00000001004", "220000010005", "2200000100050", "22000001000500", "22000001000500048", "2200000100050004800"],
)
def test_field_60_reads_and_packs_at_every_length(text: str) -> None:
    assert TransactionType.parse(text).packed() == text


@pytest.mark.parametrize("text", ["", "22", "2200000100", "220000010005000", "22000001000x00", "2200000100050004٣"])
def test_field_60_of_another_length_or_content_is_refused(text: str) -> None:
    with pytest.raises(FrameError) as caught:
        TransactionType.parse(text)
    assert code_of(caught) == ("frame_subfield", "60")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "2"}, "60.1"),
        ({"batch": "00001"}, "60.2"),
        ({"network": "00a"}, "60.3"),
        ({"chip": "0"}, "60.5"),
        ({"capability": "5", "partial": "0"}, "60.6"),
        ({"capability": "55"}, "60.4"),
    ],
)
def test_field_60_names_the_part_that_cannot_be(changes: dict[str, str], field: str) -> None:
    with pytest.raises(FrameError) as caught:
        TransactionType(**{"kind": "22", "batch": "000001", "network": "000", **changes}).packed()
    assert code_of(caught) == ("frame_subfield", field)


@pytest.mark.parametrize(
    "text", ["000001000003", "0000010000030318", "000001000003031801", "00000100000303180100012900000"]
)
def test_field_61_reads_and_packs_at_every_length(text: str) -> None:
    assert Original.parse(text).packed() == text


@pytest.mark.parametrize("text", ["", "00000100000", "0000010000030", "00000100000x"])
def test_field_61_of_another_length_or_content_is_refused(text: str) -> None:
    with pytest.raises(FrameError):
        Original.parse(text)


def test_field_61_has_no_hole() -> None:
    with pytest.raises(FrameError) as caught:
        Original(batch="000001", trace="000003", authorization_mode="01").packed()
    assert code_of(caught) == ("frame_subfield", "61.4")


@pytest.mark.parametrize("changes", [{"debit_fen": 10**12}, {"debits": 1000}, {"credit_fen": -1}, {"credits": -1}])
def test_totals_that_do_not_fit_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(FrameError):
        Totals(**changes).packed()


@pytest.mark.parametrize("text", ["", "0" * 61, "0" * 63, "0" * 30 + "4" + "0" * 31, "0" * 61 + "9", "x" * 62])
def test_totals_of_another_shape_are_refused(text: str) -> None:
    with pytest.raises(FrameError):
        parse_totals(text)


@pytest.mark.parametrize("text", ["", "00", "01", "9", "02" + "0" * 40, "01" + "02" + "0" * 38, "09" + "0" * 360])
def test_batch_details_of_another_shape_are_refused(text: str) -> None:
    with pytest.raises(FrameError):
        parse_details(text)


def test_nine_details_do_not_fit_one_message() -> None:
    details = tuple(BatchDetail(trace=f"{number:06d}", amount_fen=number) for number in range(1, 10))
    assert parse_details(pack_details(details[:8])) == details[:8]
    for wrong in (details, ()):
        with pytest.raises(FrameError):
            pack_details(wrong)


def test_a_detail_does_not_show_its_account() -> None:
    assert "622155" not in repr(BatchDetail(trace="000001", amount_fen=1, account="6221558812340000"))


def test_a_sign_on_sequence_reads_and_packs() -> None:
    assert parse_sequence(pack_sequence("3125", "00000001")) == ("3125", "00000001")
    for broken in (
        b"",
        b"Sequence No",
        b"Sequence No13312500000001",
        b"sequence No12312500000001",
        b"Sequence No043125",
    ):
        with pytest.raises(FrameError):
            parse_sequence(broken)
    for certificate, serial in (("312", "00000001"), ("3125", ""), ("3125", "x" * 96), ("3125", "é")):
        with pytest.raises(FrameError):
            pack_sequence(certificate, serial)


# --- the coupon block -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        (Tag.CODE, "12345"),
        (Tag.CODE, "1" * 33),
        (Tag.CODE, "UC 260318"),
        (Tag.CODE, "券" * 6),
        (Tag.PHONE_TAIL, "13800000000"),
        (Tag.PHONE_TAIL, "123a"),
        (Tag.ORDER_AMOUNT, "5000"),
        (Tag.KEY, ""),
        (Tag.KEY, "a-b"),
        (Tag.ORDER_NO, "x" * 41),
        (Tag.ORDER_NO, "a\nb"),
        (Tag.STATE, "1"),
        (Tag.NAME, "券" * 21),
        (Tag.NAME, "😀"),
        (Tag.ORIGINAL_RESPONSE, "000"),
    ],
)
def test_a_value_that_does_not_fit_its_tag_is_refused(tag: Tag, text: str) -> None:
    with pytest.raises(FrameError) as caught:
        CouponBlock({tag: text})
    assert code_of(caught) == ("frame_coupon_value", f"62.VA.{tag:02X}")


def test_a_received_value_that_does_not_fit_is_refused() -> None:
    with pytest.raises(FrameError) as caught:
        CouponBlock.parse(b"VA006\x06\x0413a0")
    assert code_of(caught) == ("frame_coupon_value", "62.VA.06")


def test_a_padded_code_reads_without_its_padding() -> None:
    block = CouponBlock({Tag.CODE: CODE})
    assert len(block.packed(code_pad=19)) == 5 + 2 + 19
    assert CouponBlock.parse(block.packed(code_pad=19))[Tag.CODE] == CODE


def test_unknown_tags_are_dropped_and_the_first_of_two_counts() -> None:
    data = b"\x7f\x02xy" + b"\x08\x0201" + b"\x08\x0299"
    block = CouponBlock.parse(b"VA%03d" % len(data) + data)
    assert dict(block) == {Tag.OPERATOR: "01"}


def test_a_tag_cut_off_is_refused() -> None:
    for data in (b"\x01", b"\x01\x06abcde", b"\x08\x0201\x03"):
        with pytest.raises(FrameError) as caught:
            CouponBlock.parse(b"VA%03d" % len(data) + data)
        assert caught.value.code == "unionpay_pos.frame_tlv"


def test_a_block_of_every_tag_stays_below_512_bytes() -> None:
    full = {
        Tag.CODE: "C" * 32,
        Tag.CAMPAIGN: "C" * 20,
        Tag.KEY: "K" * 32,
        Tag.ORDER_AMOUNT: "0" * 12,
        Tag.ORDER_NO: "O" * 40,
    }
    full |= {Tag.PRODUCT: "P" * 20, Tag.OPERATOR: "0" * 8, Tag.ORIGINAL_NO: "N" * 32, Tag.TERMINAL_TIME: "2" * 14}
    full |= {Tag.UNICOM_NO: "N" * 32, Tag.NAME: "券" * 20, Tag.CASHIER_TEXT: "券" * 30, Tag.UPSTREAM_CODE: "U" * 16}
    block = CouponBlock(full)
    assert len(block.packed()) <= 512
    assert CouponBlock.parse(block.packed()) == block


@pytest.mark.parametrize("text", ["0", "zz", "0101", "ab", "０1"])
def test_a_broken_alternative_carrier_is_refused(text: str) -> None:
    with pytest.raises(FrameError):
        CouponBlock.parse_alternative(text)


def test_a_state_that_nobody_knows_reads_as_unknown() -> None:
    assert CouponBlock({Tag.STATE: "42"}).state is CouponState.UNKNOWN
    assert CouponBlock({}).state is CouponState.UNKNOWN
    assert CouponBlock({Tag.STATE: "05"}).state is CouponState.UNKNOWN_CODE


def test_a_block_does_not_show_its_code() -> None:
    assert repr(CouponBlock({Tag.CODE: CODE, Tag.KEY: "K1"})) == "CouponBlock(01 03)"


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_noise_in_any_dialect_is_refused_within_our_tree(noise: bytes) -> None:
    readers = (tlv.parse_chip_data, tlv.parse_signature_tags, tlv.parse_text, CouponBlock.parse, parse_sequence)
    for read in (*readers, lambda data: CouponBlock.parse(b"VA%03d" % len(data) + data)):
        try:
            read(noise)
        except FrameError:
            continue


@given(st.dictionaries(st.sampled_from(["9F26", "82", "5F2A", "95", "FF20", "9F8101"]), st.binary(max_size=400)))
@settings(max_examples=100, deadline=None)
def test_chip_data_comes_back_as_it_was(items: dict[str, bytes]) -> None:
    assert tlv.parse_chip_data(tlv.pack_chip_data(items)) == items


@pytest.mark.parametrize("tag", ["", "9F", "8", "zz", "8282", "9F81818101"])
def test_a_chip_tag_that_cannot_be_is_refused(tag: str) -> None:
    with pytest.raises(FrameError):
        tlv.pack_chip_data({tag: b""})


@pytest.mark.parametrize("data", ["82", "8281", "828201", "8283000000", "828001", "82029F", "9F", "820100820100"])
def test_broken_chip_data_is_refused(data: str) -> None:
    with pytest.raises(FrameError):
        tlv.parse_chip_data(bytes.fromhex(data))


@pytest.mark.parametrize("items", [{"A": "1"}, {"A22": "1"}, {"A2": "券"}, {"A2": "x" * 1000}, {"!!": ""}])
def test_text_tags_that_cannot_be_are_not_written(items: dict[str, str]) -> None:
    with pytest.raises(FrameError):
        tlv.pack_text(items)
