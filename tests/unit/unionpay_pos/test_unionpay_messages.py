from __future__ import annotations

from typing import Any

import pytest
from tests.unit.unionpay_pos.samples import VECTORS, body_of, message_of

from unicom_coupon_adapters.unionpay_pos import messages as ucp
from unicom_coupon_adapters.unionpay_pos.codec import pack, pack_unsealed
from unicom_coupon_adapters.unionpay_pos.compliance import checked
from unicom_coupon_adapters.unionpay_pos.coupon_block import CouponBlock, Tag
from unicom_coupon_adapters.unionpay_pos.frame_errors import FrameError
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.mac import MacKey
from unicom_coupon_adapters.unionpay_pos.messages import Entry, Reason, Redeemed, Sequence, SignOn
from unicom_coupon_adapters.unionpay_pos.subfields import Original, Totals, TransactionType, parse_details
from unicom_coupon_adapters.unionpay_pos.terminals import Terminal

MAK = MacKey(bytes.fromhex(VECTORS["KEY-01"]["MAK8"]))
CODE = "UC2603180000000001"
UNICOM_NO = "CU20260318101631000001"


def terminal(**changes: Any) -> Terminal:
    facts = {
        "number": "10000001",
        "merchant": "999290054110001",
        "serial": "00009900000000000001",
        "software": "SDK00100",
    }
    return Terminal(**{**facts, **changes})


PLAIN = terminal()
WITH_CHIP = terminal(chip=lambda _: "1A2B3C4D")
ORIGINAL = Redeemed(
    sequence=Sequence(trace=31, batch=1),
    amount_fen=5000,
    date="0318",
    reference="031810163131",
    authorization="U00031",
    unicom_no=UNICOM_NO,
)


def at(trace: int, batch: int = 1) -> Sequence:
    return Sequence(trace=trace, batch=batch)


def redemption(on: Terminal = WITH_CHIP) -> Message:
    about = {Tag.ORDER_AMOUNT: "000000012800", Tag.ORDER_NO: "SO20260318000031", Tag.TERMINAL_TIME: "20260318101630"}
    return ucp.redeem(on, sequence=at(31), code=CODE, value_fen=5000, about=about)


BUILT = {
    "UCP-01": ucp.enquiry(PLAIN, sequence=at(30), code=CODE),
    "UCP-03": redemption(),
    "UCP-06": ucp.reversal(redemption(), reason=Reason.NO_ANSWER),
    "UCP-07": ucp.void(PLAIN, sequence=at(32), code=CODE, original=ORIGINAL),
    "UCP-08": ucp.give_back(PLAIN, sequence=at(101, 2), code=CODE, original=ORIGINAL),
    "UCP-09": ucp.outcome_query(PLAIN, sequence=at(33), code=CODE, original=ORIGINAL),
}
MANAGEMENT = {
    "MSG-01": ucp.sign_on(
        PLAIN, sequence=at(1), keys=SignOn.DOUBLE_WITH_TRACK_KEY, certificate="3125", serial="00000001"
    ),
    "MSG-03": ucp.echo(PLAIN, sequence=at(2)),
    "MSG-15": ucp.settlement(PLAIN, sequence=at(40), domestic=Totals(debit_fen=17800, debits=2)),
    "MSG-18": ucp.batch_details(
        PLAIN, sequence=at(41), details=parse_details(str(message_of(VECTORS["MSG-18"]).fields[48]))
    ),
    "MSG-19": ucp.batch_end(PLAIN, sequence=at(42), sent=2, is_balanced=False),
    "MSG-21": ucp.sign_off(PLAIN, sequence=at(43)),
}


@pytest.mark.parametrize("identity", list(BUILT))
def test_a_coupon_message_is_the_vector_byte_for_byte(identity: str) -> None:
    wanted = message_of(VECTORS[identity])
    if identity == "UCP-03":  # the vector's field 62 says which order and time
        block = CouponBlock.parse(wanted.data(62))
        about = {tag: block[tag] for tag in (Tag.ORDER_AMOUNT, Tag.ORDER_NO, Tag.TERMINAL_TIME)}
        built = ucp.redeem(WITH_CHIP, sequence=at(31), code=CODE, value_fen=5000, about=about)
    else:
        built = BUILT[identity]
    assert MAK.seal(pack_unsealed(checked(built))) == body_of(VECTORS[identity])


@pytest.mark.parametrize("identity", list(MANAGEMENT))
def test_a_management_message_is_the_vector_byte_for_byte(identity: str) -> None:
    assert pack(checked(MANAGEMENT[identity])) == body_of(VECTORS[identity])


def test_no_built_message_has_a_field_of_a_card() -> None:
    for message in (*BUILT.values(), *MANAGEMENT.values()):
        assert not set(message.fields) & {2, 14, 23, 26, 35, 36, 52, 53, 55}


def test_a_reversal_repeats_trace_batch_and_amount_of_its_original() -> None:
    original = redemption()
    reversed_ = ucp.reversal(original, reason=Reason.WRONG_MAC, authorization="U00031")
    assert {n: reversed_.fields[n] for n in (3, 4, 11, 22, 25, 41, 42, 49, 60)} == {
        n: original.fields[n] for n in (3, 4, 11, 22, 25, 41, 42, 49, 60)
    }
    assert (reversed_.mti, reversed_.text(39), reversed_.text(38)) == ("0400", "A0", "U00031")
    assert set(CouponBlock.parse(reversed_.data(62))) == {Tag.CODE, Tag.KEY}


def test_a_reversal_of_a_void_says_which_redemption_was_meant() -> None:
    reversed_ = ucp.reversal(
        ucp.void(PLAIN, sequence=at(32), code=CODE, original=ORIGINAL, key="K1"), reason=Reason.OTHER
    )
    assert Original.parse(reversed_.text(61)) == Original(batch="000001", trace="000031")
    assert TransactionType.parse(reversed_.text(60)).kind == "23"
    assert 37 not in reversed_


@pytest.mark.parametrize("identity", ["UCP-01", "UCP-06", "UCP-08", "UCP-09"])
def test_what_is_not_reversible_is_not_reversed(identity: str) -> None:
    with pytest.raises(FrameError) as caught:
        ucp.reversal(BUILT[identity], reason=Reason.NO_ANSWER)
    assert caught.value.code == "unionpay_pos.frame_mti"


def test_a_padding_host_gets_padded_codes_in_every_message() -> None:
    padding = terminal(code_pad=19)
    original = redemption(padding)
    for message in (original, ucp.reversal(original, reason=Reason.NO_ANSWER)):
        assert message.data(62)[5:7] == b"\x01\x13"
        assert CouponBlock.parse(message.data(62))[Tag.CODE] == CODE


def test_a_void_needs_what_the_answer_said() -> None:
    for changes, field in (({"reference": None}, "37"), ({"unicom_no": None}, "62.VA.09")):
        lacking = Redeemed(
            **{
                "sequence": ORIGINAL.sequence,
                "amount_fen": 5000,
                "reference": ORIGINAL.reference,
                "unicom_no": UNICOM_NO,
                **changes,
            }
        )
        for build in (ucp.void, ucp.give_back):
            with pytest.raises(FrameError) as caught:
                build(PLAIN, sequence=at(32), code=CODE, original=lacking)
            assert caught.value.field == field


def test_no_more_comes_back_than_was_redeemed() -> None:
    assert ucp.give_back(PLAIN, sequence=at(5), code=CODE, original=ORIGINAL, amount_fen=1).text(4) == "000000000001"
    with pytest.raises(FrameError):
        ucp.give_back(PLAIN, sequence=at(5), code=CODE, original=ORIGINAL, amount_fen=5001)


def test_a_goods_coupon_is_redeemed_for_nothing() -> None:
    message = ucp.redeem(PLAIN, sequence=at(1), code=CODE, value_fen=0, entry=Entry.KEYED)
    assert (message.text(4), message.text(22)) == ("000000000000", "012")


@pytest.mark.parametrize("fen", [-1, 10**12])
def test_an_amount_that_does_not_fit_is_refused(fen: int) -> None:
    with pytest.raises(FrameError):
        ucp.redeem(PLAIN, sequence=at(1), code=CODE, value_fen=fen)


@pytest.mark.parametrize(("trace", "batch"), [(0, 1), (1_000_000, 1), (1, 0), (1, 1_000_000)])
def test_a_number_outside_a_batch_is_refused(trace: int, batch: int) -> None:
    with pytest.raises(FrameError):
        Sequence(trace=trace, batch=batch)


@pytest.mark.parametrize("tag", [Tag.CODE, Tag.KEY, Tag.ORIGINAL_NO, Tag.STATE, Tag.UNICOM_NO])
def test_a_redemption_says_nothing_that_is_not_its_own(tag: Tag) -> None:
    with pytest.raises(FrameError) as caught:
        ucp.redeem(PLAIN, sequence=at(1), code=CODE, value_fen=1, about={tag: "000001"})
    assert caught.value.code == "unionpay_pos.frame_coupon_value"


def test_the_derived_key_is_terminal_batch_and_trace() -> None:
    assert CouponBlock.parse(redemption().data(62))[Tag.KEY] == "10000001000001000031" == at(31).key(PLAIN)


@pytest.mark.parametrize("operator", ["", "1234", "é", "a b"])
def test_an_operator_of_another_shape_is_refused(operator: str) -> None:
    with pytest.raises(FrameError):
        ucp.settlement(PLAIN, sequence=at(1), domestic=Totals(), operator=operator)


def test_the_end_of_a_balanced_upload_says_so() -> None:
    message = ucp.batch_end(PLAIN, sequence=at(1), sent=3, is_balanced=True)
    assert (TransactionType.parse(message.text(60)).network, message.text(48)) == ("207", "0003")
    with pytest.raises(FrameError):
        ucp.batch_end(PLAIN, sequence=at(1), sent=10_000, is_balanced=True)
