"""The emulated host, by the rules of the sheet's section 9."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.unit.unionpay_pos.bench import RawTerminal, block, code_of
from tests.unit.unionpay_pos.samples import VECTORS

from unicom_coupon_adapters.unionpay_pos import messages
from unicom_coupon_adapters.unionpay_pos.codec import pack_unsealed
from unicom_coupon_adapters.unionpay_pos.coupon_block import CouponState, Tag
from unicom_coupon_adapters.unionpay_pos.emulator import UnionPayPosEmulator
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.mac import MacKey
from unicom_coupon_adapters.unionpay_pos.messages import Reason, Sequence, SignOn
from unicom_coupon_adapters.unionpay_pos.profile import clearing_date
from unicom_coupon_adapters.unionpay_pos.subfields import Balance, Totals, parse_totals
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.sandbox import Sandbox
from unicom_coupon_sdk.sandbox.emulator import FRAME_METHOD, Received
from unicom_coupon_sdk.sandbox.server import Reply


class Lane:
    """A sandbox with one signed-on terminal."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.replies: list[Reply] = []
        told = sandbox.credentials("unionpay_pos")
        self.terminal = RawTerminal(self.send, bytes.fromhex(told["tmk_hex"]))
        self.terminal.sign_on()

    def send(self, content: bytes) -> bytes | None:
        station = self.sandbox.world.stations["unionpay_pos"]
        reply = station.serve(Received(FRAME_METHOD, "", (), content), FRAME_METHOD)
        self.replies.append(reply)
        return reply.answer.content if reply.answer is not None else None

    def coupon(self, face_fen: int = 2_000, **more: object) -> str:
        code: str = self.sandbox.control.issue_coupons("unionpay_pos", face_fen=face_fen, **more)[0]["code"]  # type: ignore[arg-type]
        return code

    def state(self, code: str) -> str:
        view = self.sandbox.control.coupon("unionpay_pos", code)
        assert view is not None
        state: str = view["state"]
        return state

    def manage(self, **wish: object) -> dict[str, object]:
        return self.sandbox.control.deliver("unionpay_pos", **wish)


@pytest.fixture
def lane() -> Iterator[Lane]:
    with Sandbox(emulators={"unionpay_pos": UnionPayPosEmulator}) as sandbox:
        yield Lane(sandbox)


def test_there_are_33_terminals_with_keys_of_their_own(lane: Lane) -> None:
    told = lane.sandbox.credentials("unionpay_pos")
    assert len(told["terminals"]) == 32
    assert set(told) == {
        "host",
        "port",
        "tpdu",
        "merchant_no",
        "terminal_no",
        "terminal_serial",
        "tmk_hex",
        "terminals",
    }
    assert all(set(one) == set(told) - {"terminals"} for one in told["terminals"])
    assert len({told["tmk_hex"], *(one["tmk_hex"] for one in told["terminals"])}) == 33


def test_enquiry_redemption_void_and_a_second_redemption(lane: Lane) -> None:
    terminal, code = lane.terminal, lane.coupon()
    asked = terminal.call(messages.enquiry(terminal.card, sequence=terminal.next(), code=code))
    assert (code_of(asked), block(asked).state, block(asked)[Tag.FACE_VALUE]) == (
        "00",
        CouponState.USABLE,
        f"{2000:012d}",
    )
    request = terminal.redeem(code)
    answer = terminal.call(request)
    assert (code_of(answer), lane.state(code)) == ("00", "USED")
    assert answer is not None
    original = terminal.redeemed(request, answer)
    voided = terminal.call(messages.void(terminal.card, sequence=terminal.next(), code=code, original=original))
    assert (code_of(voided), lane.state(code)) == ("00", "USABLE")
    again = terminal.call(messages.void(terminal.card, sequence=terminal.next(), code=code, original=original))
    assert code_of(again) == "22"
    assert code_of(terminal.call(terminal.redeem(code))) == "00"


def test_every_financial_answer_has_a_right_mac_and_a_swapped_address(lane: Lane) -> None:
    terminal = lane.terminal
    for code in (lane.coupon(), "UNKNOWNCODE123X"):
        terminal.call(terminal.redeem(code))
        assert terminal.key is not None
        terminal.key.open(terminal.frames[-1].body)
        assert terminal.frames[-1].tpdu.hex() == "6000000003"


@pytest.mark.parametrize(
    ("state", "code", "shown"),
    [("USED", "65", "01"), ("EXPIRED", "54", "02"), ("LOCKED", "62", "03"), ("VOID", "57", "04")],
)
def test_coupons_that_cannot_be_used_are_declined_by_their_state(lane: Lane, state: str, code: str, shown: str) -> None:
    coupon = lane.coupon()
    lane.manage(action="coupon_state", code=coupon, state=state)
    answer = lane.terminal.call(lane.terminal.redeem(coupon))
    assert (code_of(answer), block(answer)[Tag.STATE]) == (code, shown)


def test_wrong_codes_are_counted_and_then_locked_out_for_ten_minutes(lane: Lane) -> None:
    terminal = lane.terminal
    told = [code_of(terminal.call(terminal.redeem(f"WRONGCODE{n}X"))) for n in range(6)]
    assert told == ["14"] * 5 + ["62"]
    lane.sandbox.control.advance(601)
    assert code_of(terminal.call(terminal.redeem(lane.coupon()))) == "00"


def test_the_amount_must_fit_the_coupon(lane: Lane) -> None:
    terminal = lane.terminal
    assert code_of(terminal.call(terminal.redeem(lane.coupon(), 2_001))) == "61"
    assert code_of(terminal.call(terminal.redeem(lane.coupon(), 0))) == "13"
    assert code_of(terminal.call(terminal.redeem(lane.coupon(min_spend_fen=10_001)))) == "51"


def test_a_wrong_mac_changes_nothing_and_is_answered_without_one(lane: Lane) -> None:
    terminal, coupon = lane.terminal, lane.coupon()
    body = MacKey(bytes(range(8))).seal(pack_unsealed(terminal.redeem(coupon)))
    answer = terminal.raw(body)
    assert code_of(answer) == "A0"
    assert answer is not None
    assert 64 not in answer
    assert lane.state(coupon) == "USABLE"


def test_unknown_terminals_other_merchants_and_closed_terminals(lane: Lane) -> None:
    terminal = lane.terminal
    request = terminal.redeem(lane.coupon())
    assert code_of(terminal.call(Message("0200", {**request.fields, 41: "99999999"}))) == "97"
    assert code_of(terminal.call(Message("0200", {**request.fields, 42: "999290054110002"}))) == "03"
    lane.manage(action="close_terminal")
    assert code_of(terminal.call(request)) == "58"


def test_keys_and_batch_out_of_step_ask_for_a_sign_on(lane: Lane) -> None:
    terminal, coupon = lane.terminal, lane.coupon()
    lane.manage(action="expire_batch")
    assert code_of(terminal.call(terminal.redeem(coupon))) == "77"
    lane.manage(action="force_key_change")
    assert code_of(terminal.call(terminal.redeem(coupon))) == "77"
    terminal.sign_on()
    assert (terminal.batch, code_of(terminal.call(terminal.redeem(coupon)))) == (2, "00")


def test_keys_live_until_the_end_of_the_day(lane: Lane) -> None:
    lane.sandbox.control.advance(86_400)
    assert code_of(lane.terminal.call(lane.terminal.redeem(lane.coupon()))) == "77"


def test_the_old_mac_key_is_taken_for_a_minute_after_a_sign_on(lane: Lane) -> None:
    terminal = lane.terminal
    old = terminal.key
    terminal.sign_on()
    terminal.key = old
    assert code_of(terminal.call(terminal.redeem(lane.coupon()))) == "00"
    lane.sandbox.control.advance(61)
    assert code_of(terminal.call(terminal.redeem(lane.coupon()))) == "A0"


def test_other_cards_business_is_not_served(lane: Lane) -> None:
    terminal = lane.terminal
    request = terminal.redeem(lane.coupon())
    assert code_of(terminal.call(Message("0200", {**request.fields, 25: "00"}))) == "40"


def test_a_repeat_is_answered_alike_and_done_once(lane: Lane) -> None:
    terminal, coupon = lane.terminal, lane.coupon()
    request = terminal.redeem(coupon)
    first, second = terminal.call(request), terminal.call(request)
    assert first == second
    view = lane.sandbox.control.coupon("unionpay_pos", coupon)
    assert view is not None
    assert [step["event"] for step in view["history"]] == ["issue", "use"]
    lane.manage(action="mode", name="duplicate", value="reject94")
    assert code_of(terminal.call(request)) == "94"


def test_the_same_key_under_another_trace_is_told_the_same(lane: Lane) -> None:
    terminal, coupon = lane.terminal, lane.coupon()
    first = terminal.call(terminal.redeem(coupon, key="WISH1"))
    second = terminal.call(terminal.redeem(coupon, key="WISH1"))
    assert code_of(second) == "00"
    assert first is not None
    assert second is not None
    assert first.fields[37] == second.fields[37]


def test_a_reversal_frees_the_coupon_and_its_repeat_changes_nothing(lane: Lane) -> None:
    terminal, coupon = lane.terminal, lane.coupon()
    request = terminal.redeem(coupon)
    terminal.call(request)
    back = messages.reversal(request, reason=Reason.NO_ANSWER)
    assert [code_of(terminal.call(back)) for _ in range(2)] == ["00", "00"]
    assert lane.state(coupon) == "USABLE"
    assert code_of(terminal.call(request)) == "94"


def test_a_reversal_that_comes_first_leaves_a_tombstone(lane: Lane) -> None:
    terminal, coupon = lane.terminal, lane.coupon()
    request = terminal.redeem(coupon)
    assert code_of(terminal.call(messages.reversal(request, reason=Reason.NO_ANSWER))) == "00"
    assert code_of(terminal.call(request)) == "94"
    assert lane.state(coupon) == "USABLE"


def test_a_reversal_of_another_amount_or_another_day_is_refused(lane: Lane) -> None:
    terminal = lane.terminal
    request = terminal.redeem(lane.coupon())
    terminal.call(request)
    other = Message("0200", {**request.fields, 4: f"{1:012d}"})
    assert code_of(terminal.call(messages.reversal(other, reason=Reason.OTHER))) == "64"
    lane.sandbox.control.advance(86_400)
    terminal.sign_on()
    assert code_of(terminal.call(messages.reversal(request, reason=Reason.OTHER))) == "25"


def test_the_reversal_of_a_void_uses_the_coupon_again(lane: Lane) -> None:
    terminal, coupon = lane.terminal, lane.coupon()
    request = terminal.redeem(coupon)
    answer = terminal.call(request)
    assert answer is not None
    void = messages.void(
        terminal.card, sequence=terminal.next(), code=coupon, original=terminal.redeemed(request, answer)
    )
    terminal.call(void)
    assert code_of(terminal.call(messages.reversal(void, reason=Reason.NO_ANSWER))) == "00"
    assert lane.state(coupon) == "USED"


def test_a_return_on_a_later_day_frees_the_coupon_once_it_is_whole(lane: Lane) -> None:
    terminal, coupon = lane.terminal, lane.coupon(valid_days=30)
    request = terminal.redeem(coupon)
    answer = terminal.call(request)
    assert answer is not None
    original = terminal.redeemed(request, answer)
    lane.sandbox.control.advance(86_400)
    terminal.sign_on()
    told = []
    for fen in (500, 1_500, 1):
        back = messages.give_back(
            terminal.card, sequence=terminal.next(), code=coupon, original=original, amount_fen=fen
        )
        told.append((code_of(terminal.call(back)), lane.state(coupon)))
    assert told == [("00", "USED"), ("00", "USABLE"), ("22", "USABLE")]


def test_the_outcome_query_tells_done_undone_declined_and_never_seen(lane: Lane) -> None:
    terminal, coupon = lane.terminal, lane.coupon()

    def asked(request: Message) -> tuple[str, str | None]:
        sequence = Sequence(trace=int(request.text(11)), batch=terminal.batch)
        original = messages.Redeemed(sequence=sequence, amount_fen=2_000)
        answer = terminal.call(
            messages.outcome_query(terminal.card, sequence=terminal.next(), code=coupon, original=original)
        )
        return code_of(answer), block(answer).get(Tag.ORIGINAL_RESPONSE)

    first, second = terminal.redeem(coupon), terminal.redeem(coupon)
    assert asked(first) == ("25", None)
    terminal.call(first)
    assert asked(first) == ("00", "00")
    terminal.call(second)
    assert asked(second) == ("00", "65")
    terminal.call(messages.reversal(first, reason=Reason.NO_ANSWER))
    assert asked(first) == ("22", "00")


def test_settlement_compares_totals_and_closes_the_batch(lane: Lane) -> None:
    terminal = lane.terminal
    terminal.call(terminal.redeem(lane.coupon()))
    wrong = terminal.manage(messages.settlement(terminal.card, sequence=terminal.next(), domestic=Totals()))
    assert 39 not in wrong
    assert [half.balance for half in parse_totals(wrong.text(48))] == [Balance.UNBALANCED, Balance.BALANCED]
    right = Totals(debit_fen=2_000, debits=1)
    answer = terminal.manage(messages.settlement(terminal.card, sequence=terminal.next(), domestic=right))
    assert [half.balance for half in parse_totals(answer.text(48))] == [Balance.BALANCED, Balance.BALANCED]
    assert code_of(terminal.call(terminal.redeem(lane.coupon()))) == "77"
    end = messages.batch_end(terminal.card, sequence=terminal.next(), sent=0, is_balanced=True)
    assert code_of(terminal.manage(end)) == "00"
    assert code_of(terminal.manage(messages.sign_off(terminal.card, sequence=terminal.next()))) == "00"
    terminal.sign_on()
    assert (terminal.batch, code_of(terminal.call(terminal.redeem(lane.coupon())))) == (2, "00")


def test_the_bill_of_the_day_has_the_hosts_totals_and_no_whole_code(lane: Lane) -> None:
    terminal, coupon, lost = lane.terminal, lane.coupon(), lane.coupon()
    day = clearing_date(lane.sandbox.clock.now())
    terminal.call(terminal.redeem(coupon))
    request = terminal.redeem(lost)
    terminal.call(request)
    terminal.call(messages.reversal(request, reason=Reason.NO_ANSWER))
    right = Totals(debit_fen=2_000, debits=1)
    settled = terminal.manage(messages.settlement(terminal.card, sequence=terminal.next(), domestic=right))
    assert [half.balance for half in parse_totals(settled.text(48))] == [Balance.BALANCED, Balance.BALANCED]
    with pytest.raises(ValidationError, match="not made yet"):
        lane.manage(action="bill", date=f"{day:%Y%m%d}")
    lane.sandbox.control.advance(2 * 86_400)
    bill = lane.manage(action="bill", date=f"{day:%Y%m%d}")
    assert bill["name"] == f"UCP_999290054110001_{day:%Y%m%d}.csv"
    assert str(bill["text"]).splitlines()[-1].startswith("#TOTAL,2,2000,0,")
    assert coupon not in str(bill["text"])


@pytest.mark.parametrize("sign_on", [SignOn.SINGLE, SignOn.DOUBLE, SignOn.DOUBLE_WITH_TRACK_KEY])
def test_each_des_sign_on_brings_keys_that_work(lane: Lane, sign_on: SignOn) -> None:
    lane.terminal.sign_on(sign_on)
    assert code_of(lane.terminal.call(lane.terminal.redeem(lane.coupon()))) == "00"


@pytest.mark.parametrize("name", ["NEG-02", "NEG-04", "NEG-05"])
def test_frames_that_cannot_be_read_close_the_connection(lane: Lane, name: str) -> None:
    frame = bytes.fromhex(VECTORS[name]["frame_hex"])[2:]
    assert lane.send(frame) is None
    assert not lane.replies[-1].is_silent


@pytest.mark.parametrize("short", [b"", b"\x60", bytes(20)])
def test_frames_that_are_too_short_close_the_connection(lane: Lane, short: bytes) -> None:
    assert lane.send(short) is None


# --- fault triggers (sheet 9.4) ---


def triggered(lane: Lane, fen: int) -> tuple[Message, str]:
    coupon = lane.coupon(face_fen=10_000)
    request = lane.terminal.redeem(coupon, fen)
    lane.terminal.call(request)
    return request, lane.state(coupon)


@pytest.mark.parametrize(("fen", "state"), [(9002, "USED"), (9003, "USABLE")])
def test_no_answer_whether_done_or_not(lane: Lane, fen: int, state: str) -> None:
    request, found = triggered(lane, fen)
    assert (lane.replies[-1].is_silent, found) == (True, state)
    assert code_of(lane.terminal.call(messages.reversal(request, reason=Reason.NO_ANSWER))) == "00"


def test_a_late_answer_a_dropped_one_and_one_in_single_bytes(lane: Lane) -> None:
    triggered(lane, 9001)
    assert lane.replies[-1].delay_s == 70
    triggered(lane, 9004)
    assert (lane.replies[-1].answer, lane.replies[-1].is_silent) == (None, False)
    triggered(lane, 9007)
    assert lane.replies[-1].pace_s == 0.05


def test_two_answers_in_one_segment_the_stale_one_first(lane: Lane) -> None:
    triggered(lane, 9008)
    assert len(lane.replies[-1].ahead) == 1


def test_a_wrong_mac_another_trace_a_sign_on_wish_and_an_address_not_swapped(lane: Lane) -> None:
    terminal = lane.terminal
    assert terminal.key is not None
    triggered(lane, 9005)
    body = terminal.frames[-1].body
    assert not terminal.key.verify(body[:-8], body[-8:])
    request, _ = triggered(lane, 9006)
    assert unpacked(terminal).text(11) != request.text(11)
    triggered(lane, 9009)
    assert terminal.frames[-1].processing_requirement == 3
    triggered(lane, 9013)
    assert terminal.frames[-1].tpdu.hex() == "6000030000"


def unpacked(terminal: RawTerminal) -> Message:
    from unicom_coupon_adapters.unionpay_pos.codec import unpack

    return unpack(terminal.frames[-1].body)


def test_98_is_cancelled_by_the_host_itself(lane: Lane) -> None:
    coupon = lane.coupon(face_fen=10_000)
    assert code_of(lane.terminal.call(lane.terminal.redeem(coupon, 9010))) == "98"
    assert lane.state(coupon) == "LOCKED"
    lane.sandbox.control.advance(11)
    assert lane.state(coupon) == "USABLE"


def test_94_although_the_first_succeeded(lane: Lane) -> None:
    coupon = lane.coupon(face_fen=10_000)
    assert code_of(lane.terminal.call(lane.terminal.redeem(coupon, 9011))) == "94"
    assert lane.state(coupon) == "USED"


def test_a_reversal_unanswered_twice(lane: Lane) -> None:
    request, _ = triggered(lane, 9012)
    back = messages.reversal(request, reason=Reason.NO_ANSWER)
    told = [lane.terminal.call(back) for _ in range(3)]
    assert [None if answer is None else code_of(answer) for answer in told] == [None, None, "00"]


@pytest.mark.parametrize("code", ["30", "51", "54", "65", "91", "96", "98"])
def test_91nn_answers_nn_and_does_nothing(lane: Lane, code: str) -> None:
    coupon = lane.coupon(face_fen=10_000)
    assert code_of(lane.terminal.call(lane.terminal.redeem(coupon, int(f"91{code}")))) == code
    assert lane.state(coupon) == "USABLE"


def test_no_issued_code_ends_like_a_trigger(lane: Lane) -> None:
    codes = [one["code"] for one in lane.sandbox.control.issue_coupons("unionpay_pos", face_fen=1, count=200)]
    assert not [code for code in codes if code[-4:].isdigit() or code.endswith("91A0")]
