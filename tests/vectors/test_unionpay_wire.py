"""Frames, messages, negatives and tags of the UnionPay vectors, with broken siblings."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.unionpay_pos.samples import MESSAGES, VECTORS, body_of, message_of

from unicom_coupon_adapters.unionpay_pos import tlv
from unicom_coupon_adapters.unionpay_pos.codec import pack, pack_unsealed, unpack
from unicom_coupon_adapters.unionpay_pos.coupon_block import CouponBlock, Tag
from unicom_coupon_adapters.unionpay_pos.fields import FIELDS
from unicom_coupon_adapters.unionpay_pos.frame_errors import FrameError
from unicom_coupon_adapters.unionpay_pos.framing import Frame, FrameReader, swapped
from unicom_coupon_adapters.unionpay_pos.mac import MacKey
from unicom_coupon_adapters.unionpay_pos.subfields import (
    Balance,
    BatchDetail,
    Totals,
    TransactionType,
    pack_details,
    pack_totals,
    parse_details,
    parse_sequence,
    parse_totals,
)
from unicom_coupon_sdk.errors import ForgedMessage

MAK = MacKey(bytes.fromhex(VECTORS["KEY-01"]["MAK8"]))
SEALED = [vector for vector in MESSAGES if "mac" in vector]
each_message = pytest.mark.parametrize("vector", [pytest.param(v, id=v["id"]) for v in MESSAGES])
each_sealed = pytest.mark.parametrize("vector", [pytest.param(v, id=v["id"]) for v in SEALED])


def fields_of(identity: str) -> dict[int, Any]:
    return dict(message_of(VECTORS[identity]).fields)


@each_message
def test_a_frame_reads_as_its_parts_and_fields(vector: dict[str, Any]) -> None:
    (content,) = FrameReader().feed(bytes.fromhex(vector["frame_hex"]))
    frame = Frame.parse(content)
    assert (frame.tpdu.hex().upper(), frame.header.hex().upper()) == (vector["tpdu"], vector["header"])
    assert unpack(frame.body) == message_of(vector)


@each_message
def test_the_fields_make_the_frame_byte_for_byte(vector: dict[str, Any]) -> None:
    frame = Frame(bytes.fromhex(vector["tpdu"]), bytes.fromhex(vector["header"]), pack(message_of(vector)))
    assert frame.packed().hex().upper() == vector["frame_hex"]


@each_message
def test_a_message_cut_short_anywhere_is_refused(vector: dict[str, Any]) -> None:
    body = body_of(vector)
    for end in range(len(body)):
        with pytest.raises(FrameError):
            unpack(body[:end])


@each_message
def test_a_surplus_byte_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(FrameError) as caught:
        unpack(body_of(vector) + b"\0")
    assert caught.value.code == "unionpay_pos.frame_trailing"
    assert caught.value.details["offset"] == len(body_of(vector))


@each_message
def test_an_unknown_bit_is_refused_and_named(vector: dict[str, Any]) -> None:
    body = bytearray(body_of(vector))
    body[2 + 45 // 8] |= 0x80 >> 45 % 8
    with pytest.raises(FrameError) as caught:
        unpack(bytes(body))
    assert (caught.value.code, caught.value.field) == ("unionpay_pos.frame_unknown_field", "46")


@each_sealed
def test_field_64_is_the_mac_of_what_is_before_it(vector: dict[str, Any]) -> None:
    message = message_of(vector)
    unsealed = pack_unsealed(type(message)(message.mti, {n: v for n, v in message.fields.items() if n != 64}))
    assert MAK.seal(unsealed) == body_of(vector)
    assert MAK.open(body_of(vector)) == body_of(vector)


@each_sealed
def test_a_changed_byte_breaks_the_mac(vector: dict[str, Any]) -> None:
    body = body_of(vector)
    for at in (0, 12, len(body) // 2, len(body) - 9, len(body) - 1):
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        with pytest.raises(ForgedMessage):
            MAK.open(changed)


@pytest.mark.parametrize("identity", ["MSG-01", "MSG-08", "MSG-16"])
def test_a_message_without_field_64_is_not_opened(identity: str) -> None:
    with pytest.raises(ForgedMessage) as caught:
        MAK.open(body_of(VECTORS[identity]))
    assert caught.value.code == "unionpay_pos.mac_missing"


@pytest.mark.parametrize(
    ("identity", "code", "field"),
    [
        ("NEG-02", "frame_second_bitmap", "bitmap"),
        ("NEG-04", "frame_length", "2"),
        ("NEG-05", "frame_truncated", "60"),
    ],
)
def test_a_malformed_frame_is_refused_with_its_field(identity: str, code: str, field: str) -> None:
    (content,) = FrameReader().feed(bytes.fromhex(VECTORS[identity]["frame_hex"]))
    with pytest.raises(FrameError) as caught:
        unpack(Frame.parse(content).body)
    assert (caught.value.code, caught.value.field) == (f"unionpay_pos.{code}", field)


def test_a_wrong_mac_is_refused() -> None:
    body = body_of(VECTORS["NEG-01"])
    assert unpack(body).text(41) == "10000001"
    with pytest.raises(ForgedMessage) as caught:
        MAK.open(body)
    assert caught.value.code == "unionpay_pos.mac_wrong"


def test_a_frame_that_promises_more_than_comes_is_waited_for() -> None:
    reader = FrameReader()
    assert reader.feed(bytes.fromhex(VECTORS["NEG-03"]["frame_hex"])) == []
    assert reader.waiting == len(VECTORS["NEG-03"]["frame_hex"]) // 2


def test_a_repeated_frame_has_the_same_duplicate_key() -> None:
    first, second = (unpack(body_of(VECTORS[identity])) for identity in ("MSG-05", "NEG-06"))
    assert first == second
    assert TransactionType.parse(first.text(60)).batch == "000001"


def test_an_answer_swaps_the_addresses() -> None:
    vector = VECTORS["FRM-01"]
    pairs = [[vector["request_tpdu"], vector["response_tpdu"]], *vector["more"]]
    assert [swapped(bytes.fromhex(request)).hex().upper() for request, _ in pairs] == [answer for _, answer in pairs]


@pytest.mark.parametrize("tpdu", ["", "60000300", "600003000000", "6100030000"])
def test_what_is_no_tpdu_is_not_swapped(tpdu: str) -> None:
    with pytest.raises(FrameError):
        swapped(bytes.fromhex(tpdu))


def test_frames_are_found_wherever_the_network_cuts() -> None:
    vector = VECTORS["FRM-02"]
    wanted = [bytes.fromhex(frame)[2:] for frame in vector["expect"]]
    chunks = [bytes.fromhex(chunk) for chunk in vector["chunks_hex"]]
    whole = b"".join(chunks)
    for cuts in (chunks, [whole], [bytes([byte]) for byte in whole]):
        reader = FrameReader()
        assert [frame for cut in cuts for frame in reader.feed(cut)] == wanted


def test_field_59_reads_with_either_width_of_length() -> None:
    vector = VECTORS["TLV-01"]
    three = tlv.parse_text(vector["three"].encode())
    assert {**three, "A2": tlv.parse_text(three["A2"].encode())} == vector["parsed"]
    two = tlv.parse_text(tlv.parse_text(vector["two"].encode(), length_digits=2)["A2"].encode(), length_digits=2)
    assert (two["04"], two["05"]) == ("1A2B3C4D", "SDK00100")
    assert tlv.pack_text(three).decode() == vector["three"]


@pytest.mark.parametrize("digits", [2, 3])
def test_field_59_with_the_other_width_is_refused(digits: int) -> None:
    text = VECTORS["TLV-01"]["three" if digits == 2 else "two"]
    with pytest.raises(FrameError) as caught:
        tlv.parse_text(tlv.parse_text(text.encode(), length_digits=digits)["A2"].encode(), length_digits=digits)
    assert caught.value.code == "unionpay_pos.frame_tlv"


def test_field_59_of_a_live_sale_reads_behind_its_agreed_prefix() -> None:
    raw = bytes.fromhex(VECTORS["PUB-01"]["fields"]["59"])
    prefix = raw.index(b"A260")
    found = tlv.parse_text(raw, length_digits=2, prefix_bytes=prefix)
    assert tlv.parse_text(found["A2"].encode(), length_digits=2)["05"] == "H7062801"
    with pytest.raises(FrameError):
        tlv.parse_text(raw, length_digits=3, prefix_bytes=prefix)


def test_chip_data_of_a_live_sale_reads_and_packs_back() -> None:
    raw = bytes.fromhex(VECTORS["PUB-01"]["fields"]["55"])
    found = tlv.parse_chip_data(raw)
    assert (found["9F41"].hex(), found["5F2A"].hex()) == ("00000403", "0156")
    assert tlv.pack_chip_data(found) == raw
    whole = set()
    at = 0
    for tag, value in found.items():
        at += len(tag) // 2 + 1 + len(value)
        whole.add(at)
    for cut in set(range(1, len(raw))) - whole:
        with pytest.raises(FrameError):
            tlv.parse_chip_data(raw[:cut])


def test_a_coupon_block_reads_and_packs_byte_for_byte() -> None:
    vector = VECTORS["TLV-02"]
    block = CouponBlock({Tag(int(tag, 16)): text for tag, text in vector["items"]})
    assert block.packed().hex().upper() == vector["field62"]
    assert CouponBlock.parse(bytes.fromhex(vector["field62"])) == block
    assert CouponBlock.parse_alternative(block.packed_alternative()) == block


@pytest.mark.parametrize(
    ("cut", "magic", "digits"), [(1, b"VA", b"056"), (0, b"VB", b"056"), (0, b"VA", b"057"), (0, b"VA", b"0x6")]
)
def test_a_broken_coupon_block_is_refused(cut: int, magic: bytes, digits: bytes) -> None:
    raw = bytes.fromhex(VECTORS["TLV-02"]["field62"])
    with pytest.raises(FrameError) as caught:
        CouponBlock.parse(magic + digits + raw[5 : len(raw) - cut])
    assert caught.value.code == "unionpay_pos.frame_coupon_block"


def test_the_coupon_blocks_of_the_profile_say_what_the_sheet_says() -> None:
    answer = CouponBlock.parse(fields_of("UCP-02")[62])
    assert (answer[Tag.NAME], answer[Tag.FACE_VALUE], answer.state.name) == ("50元话费券", "000000005000", "USABLE")
    declined = CouponBlock.parse(fields_of("UCP-05")[62])
    assert (declined[Tag.CASHIER_TEXT], declined[Tag.UPSTREAM_CODE]) == ("券已核销", "COUPON_USED")


def test_signature_tags_keep_their_bytes() -> None:
    vector = VECTORS["TLV-03"]
    raw = bytes.fromhex(vector["field55"])
    found = tlv.parse_signature_tags(raw)
    assert found["FF00"].decode("gbk") == dict(vector["items"])["FF00"]
    assert found["FF06"].hex() == "20260318101530"
    for broken in (raw[:-1], raw + b"\xff", b"\x9f" + raw[1:]):
        with pytest.raises(FrameError):
            tlv.parse_signature_tags(broken)


def test_settlement_totals_read_and_pack() -> None:
    asked = Totals(debit_fen=17800, debits=2)
    assert pack_totals(asked, Totals()) == fields_of("MSG-15")[48]
    domestic, foreign = parse_totals(fields_of("MSG-17")[48])
    assert (domestic.balance, domestic.debit_fen, foreign.balance) == (Balance.UNBALANCED, 12800, Balance.BALANCED)
    assert pack_totals(domestic, foreign) == fields_of("MSG-17")[48]


def test_batch_details_read_and_pack() -> None:
    details = parse_details(fields_of("MSG-18")[48])
    assert details == (
        BatchDetail(trace="000003", amount_fen=12800, account="6221558812340000"),
        BatchDetail(trace="000031", amount_fen=5000),
    )
    assert pack_details(details) == fields_of("MSG-18")[48]


def test_the_sequence_of_a_sign_on_reads() -> None:
    assert parse_sequence(fields_of("MSG-01")[62]) == ("3125", "00000001")


def test_every_vector_of_the_wire_is_used() -> None:
    kinds = {"message", "public_message", "negative", "framing", "tlv59", "va", "esign"}
    assert len([v for v in VECTORS.values() if v["kind"] in kinds]) == 45
    assert len(MESSAGES) == 34
    assert set(FIELDS) >= {int(number) for vector in MESSAGES for number in vector["fields"]}
