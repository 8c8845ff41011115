"""The client as a terminal: traces, sign-on, lost answers, owed reversals. The host is the emulator, in process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.unit.unionpay_pos.till import PLATFORM, Till

from unicom_coupon_adapters.unionpay_pos.terminal import State
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.redemption import RedeemRequest
from unicom_coupon_sdk.domain.state import CouponState, OperationState
from unicom_coupon_sdk.domain.verification import TerminalProof
from unicom_coupon_sdk.errors import CouponError, PlatformUnavailable, VerificationError
from unicom_coupon_sdk.sandbox import Sandbox


@pytest.fixture
def till() -> Iterator[Till]:
    with Sandbox(platforms=[PLATFORM]) as sandbox:
        made = Till(sandbox)
        yield made
        assert made.client.read(made.client.setting.ledger.audit()) == ()
        made.client.close()


def test_the_first_transaction_of_a_day_signs_on_and_no_other(till: Till) -> None:
    till.redeem(till.coupon())
    till.redeem(till.coupon())
    till.sandbox.control.advance(86_400)
    till.redeem(till.coupon())
    assert till.sent() == ["0800", "0200", "0200", "0800", "0200"]


def test_each_message_has_a_trace_of_its_own_whoever_sends_it(till: Till) -> None:
    other = till.sandbox.client()
    till.redeem(till.coupon())
    first = till.note()["trace"]
    till.redeem(till.coupon())
    assert (first, till.note()["trace"]) == (2, 3)
    other.close()


def test_the_orders_terminal_sends_when_it_is_registered(till: Till) -> None:
    redemption = till.redeem(till.coupon(), terminal_no="10000007")
    listed = till.sandbox.control.deliver(PLATFORM, action="transactions", terminal_no="10000007")
    assert [one["wish"] for one in listed["transactions"]] == [redemption.redemption_id]


def test_a_lost_answer_is_reversed_before_the_next_transaction(till: Till) -> None:
    lost, next_ = till.coupon(), till.coupon()
    till.redeem(till.coupon())
    till.fault("drop_after")
    redemption = till.redeem(lost)
    assert (redemption.state, till.operation(redemption.redemption_id)) == (OperationState.UNKNOWN, State.LOST)
    till.redeem(next_)
    assert till.sent()[-3:] == ["0200", "0400", "0200"]
    assert till.operation(redemption.redemption_id) is State.REVERSED
    assert till.events(lost) == ["use", "reverse"]
    till.sandbox.control.advance(400)
    assert till.client.recover().not_done == 1
    assert till.client.coupon(lost.coupon_id).state is CouponState.AVAILABLE


def test_what_recover_finds_done_is_not_reversed_any_more(till: Till) -> None:
    lost = till.coupon()
    till.fault("drop_after")
    redemption = till.redeem(lost)
    assert till.client.recover().done == 1
    till.redeem(till.coupon())
    assert "0400" not in till.sent()
    assert till.events(lost) == ["use"]
    assert till.back(till.client.query(redemption.redemption_id)) is OperationState.DONE


def test_a_reversal_without_an_answer_stands_before_sales_three_times_and_is_then_parked(till: Till) -> None:
    lost, coupon = till.coupon(), till.coupon()
    till.fault("drop_after")
    redemption = till.redeem(lost)
    till.fault("drop_before", "0400", times=99)
    for _ in range(2):
        with pytest.raises(PlatformUnavailable, match="reversal_pending"):
            till.redeem(coupon)
        with pytest.raises(PlatformUnavailable, match="reversal_pending"):
            till.redeem(coupon)
        till.sandbox.control.advance(61)
    assert till.redeem(coupon).state is OperationState.DONE
    assert till.sent().count("0400") == 3
    assert till.operation(redemption.redemption_id) is State.PARKED
    till.sandbox.control.clear_faults()
    till.sandbox.control.advance(601)
    till.redeem(till.coupon())
    assert till.operation(redemption.redemption_id) is State.REVERSED


def test_a_host_that_cannot_be_reached_owes_nothing(till: Till) -> None:
    coupon = till.coupon()
    till.redeem(till.coupon())
    world = till.sandbox.world
    station = world.stations.pop(PLATFORM)
    with pytest.raises(PlatformUnavailable, match=r"platform\.not_reached"):
        till.redeem(coupon)
    world.stations[PLATFORM] = station
    assert till.note()["open"] == []


def test_a_failed_sign_on_is_never_an_unknown_redemption(till: Till) -> None:
    coupon = till.coupon()
    till.fault("drop_after", "0800")
    with pytest.raises(PlatformUnavailable, match="sign_on_failed"):
        till.redeem(coupon)
    till.fault("bad_signature", "0800")
    with pytest.raises(PlatformUnavailable, match="sign_on_failed"):
        till.redeem(coupon)
    assert till.redeem(coupon).state is OperationState.DONE


def test_keys_that_the_host_has_dropped_are_fetched_again(till: Till) -> None:
    coupon = till.coupon()
    till.redeem(till.coupon())
    till.sandbox.control.deliver(PLATFORM, action="force_key_change", terminal_no="10000001")
    redemption = till.redeem(coupon)
    assert redemption.state is OperationState.UNKNOWN, "a decline without a MAC is not believed"
    till.sandbox.control.advance(400)
    assert till.client.recover().not_done == 1
    assert till.redeem(coupon).state is OperationState.DONE


def test_the_hosts_batch_number_wins(till: Till) -> None:
    till.redeem(till.coupon())
    till.sandbox.control.deliver(PLATFORM, action="expire_batch", terminal_no="10000001")
    with pytest.raises(PlatformUnavailable, match="sign_on_needed"):
        till.redeem(till.coupon())
    assert till.redeem(till.coupon()).state is OperationState.DONE
    assert till.note()["batch"] == 2


def test_a_wish_to_sign_on_is_followed_after_the_transaction(till: Till) -> None:
    assert till.redeem(till.coupon(9_009)).state is OperationState.DONE
    till.redeem(till.coupon())
    assert till.sent() == ["0800", "0200", "0800", "0200"]


def test_a_redemption_is_voided_on_its_day_and_returned_later(till: Till) -> None:
    first, second = till.redeem(till.coupon()), till.redeem(till.coupon())
    assert till.back(first) is OperationState.DONE
    till.sandbox.control.advance(86_400)
    assert till.back(second) is OperationState.DONE
    assert till.sent() == ["0800", "0200", "0200", "0200", "0800", "0220"]


@pytest.mark.parametrize(
    ("off_fen", "state"),
    [(9_001, "USED"), (9_002, "USED"), (9_003, None), (9_004, None), (9_005, "USED"), (9_006, "USED"), (9_014, "USED")],
)
def test_every_answer_that_cannot_be_believed_is_unknown_and_ends_well(
    till: Till, off_fen: int, state: str | None
) -> None:
    coupon = till.coupon(off_fen)
    redemption = till.redeem(coupon)
    assert redemption.state is OperationState.UNKNOWN
    view = till.sandbox.control.coupon(PLATFORM, coupon.code.reveal())
    assert (view["state"] if view else None) == state
    till.sandbox.control.advance(400)
    recovery = till.client.recover()
    assert (recovery.done, recovery.not_done) == ((1, 0) if state else (0, 1))


@pytest.mark.parametrize("off_fen", [9_007, 9_008, 9_013])
def test_answers_in_pieces_doubled_or_with_an_unswapped_address_are_understood(till: Till, off_fen: int) -> None:
    assert till.redeem(till.coupon(off_fen)).state is OperationState.DONE


@pytest.mark.parametrize(("off_fen", "done"), [(9_010, 0), (9_011, 1)])
def test_codes_that_leave_it_open_are_asked_about_and_never_reversed(till: Till, off_fen: int, done: int) -> None:
    assert till.redeem(till.coupon(off_fen)).state is OperationState.UNKNOWN
    till.sandbox.control.advance(400)
    recovery = till.client.recover()
    assert (recovery.done, recovery.not_done) == (done, 1 - done)
    till.redeem(till.coupon())
    assert "0400" not in till.sent()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("30", "format"),
        ("51", "amount"),
        ("54", "expired"),
        ("65", "used"),
        ("91", "busy"),
        ("05", "declined"),
        ("ZZ", "declined"),
    ],
)
def test_declines_free_the_coupon_and_name_the_code(till: Till, code: str, told: str) -> None:
    coupon = till.coupon()
    till.fault("error", code=code)
    with pytest.raises(CouponError) as refused:
        till.redeem(coupon)
    assert (refused.value.code, refused.value.platform_code) == (f"unionpay_pos.{told}", code)
    assert till.client.coupon(coupon.coupon_id).state is CouponState.AVAILABLE


def test_no_code_and_no_key_is_written_into_the_notes(till: Till) -> None:
    from sqlalchemy import text

    coupon = till.coupon()
    till.fault("drop_after")
    till.redeem(coupon)
    written = till.client.read(lambda connection: str(connection.execute(text("SELECT value FROM note")).all()))
    assert coupon.code.reveal() not in written
    assert coupon.code.reveal().encode().hex() not in written


def test_only_a_registered_terminal_can_vouch(till: Till) -> None:
    coupon = till.coupon()
    for number, merchant in (("99999999", "999290054110001"), ("10000001", "999290054110002")):
        wish = RedeemRequest(
            idempotency_key=f"t{number}{merchant}",
            platform=PLATFORM,
            coupon=coupon.code,
            order=Order(order_no="O", amount_fen=10_000),
            proof=TerminalProof(terminal_no=number, merchant_no=merchant),
        )
        with pytest.raises(VerificationError):
            till.client.redeem(wish)
