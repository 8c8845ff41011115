"""Batch settlement from the terminal's side: totals, upload, end, sign-off, and what stands in the way."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.unionpay_pos.samples import VECTORS, message_of
from tests.unit.unionpay_pos.till import PLATFORM, Till

from unicom_coupon_adapters.unionpay_pos import messages
from unicom_coupon_adapters.unionpay_pos.batch_book import Step
from unicom_coupon_adapters.unionpay_pos.codec import pack, unpack
from unicom_coupon_adapters.unionpay_pos.emulation import management
from unicom_coupon_adapters.unionpay_pos.messages import Redeemed, Sequence
from unicom_coupon_adapters.unionpay_pos.subfields import Balance, Totals, pack_totals, parse_details
from unicom_coupon_adapters.unionpay_pos.terminal import State, recorded
from unicom_coupon_adapters.unionpay_pos.terminals import Terminal
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.errors import (
    ConfigurationError,
    CouponError,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
)
from unicom_coupon_sdk.platform.effects import Effect, Flow
from unicom_coupon_sdk.platform.notebook import noting
from unicom_coupon_sdk.sandbox import Sandbox

TERMINAL = Terminal(number="10000001", merchant="999290054110001", serial="N1")


@pytest.fixture
def till() -> Iterator[Till]:
    with Sandbox(platforms=[PLATFORM]) as sandbox:
        made = Till(sandbox)
        yield made
        assert made.client.read(made.client.setting.ledger.audit()) == ()
        made.client.close()


def settings_of(till: Till, **changes: Any) -> CouponClient:
    """Another client of the same sandbox, ledger of its own."""
    told = till.sandbox.settings()
    section = {**told.platforms[PLATFORM], **changes}
    settings = told.model_copy(update={"platforms": {PLATFORM: section}})
    return CouponClient(settings, frames=till.sandbox.frames(), clock=till.sandbox.clock)


def uneven(till: Till) -> None:
    """Let the host find another sum than the terminal, whatever the terminal says."""
    till.sandbox.control.deliver(PLATFORM, action="mode", name="coupon_in_totals", value="no")


def uploaded(till: Till, batch: int = 1) -> dict[str, int]:
    """The records that the host has of a batch whose settlement has ended."""
    told = till.sandbox.control.deliver(PLATFORM, action="settlements")["settlements"]
    found = next(one for one in told if one["batch"] == f"999290054110001|10000001|{batch:06d}")
    assert found["is_ended"]
    records: dict[str, int] = found["records"]
    return records


def traces(*operations: str, till: Till) -> dict[str, int]:
    def flow(name: str) -> Flow[Any]:
        return (yield from recorded(name))

    notes = [till.client.run(flow(name)).note for name in operations]
    return {f"{note['trace']:06d}": note["amount"] for note in notes}


# --- messages, by the vectors ---


@pytest.mark.parametrize("name", ["MSG-15", "MSG-18", "MSG-19", "MSG-21"])
def test_a_terminals_settlement_messages_are_those_of_the_vectors(name: str) -> None:
    at = Sequence(trace=int(VECTORS[name]["fields"]["11"]), batch=1)
    totals = Totals(debit_fen=17_800, debits=2)
    wanted = message_of(VECTORS[name])
    made = {
        "MSG-15": lambda: messages.settlement(TERMINAL, sequence=at, domestic=totals),
        "MSG-18": lambda: messages.batch_details(TERMINAL, sequence=at, details=parse_details(wanted.text(48))),
        "MSG-19": lambda: messages.batch_end(TERMINAL, sequence=at, sent=2, is_balanced=False),
        "MSG-21": lambda: messages.sign_off(TERMINAL, sequence=at),
    }[name]()
    assert pack(made).hex().upper() == VECTORS[name]["body_hex"]


def test_a_return_is_uploaded_as_a_notice_that_names_its_original() -> None:
    original = Redeemed(sequence=Sequence(trace=31, batch=1), amount_fen=5_000, date="0318")
    made = messages.batch_return(
        TERMINAL, sequence=Sequence(trace=7, batch=2), original=original, reference="031910160077"
    )
    told = unpack(pack(made))
    assert (told.mti, told.text(60), told.text(61), told.text(37)) == (
        "0320",
        "25000002205",
        "0000010000310318",
        "031910160077",
    )
    assert {3, 4, 11, 25, 37, 41, 42, 49, 60, 61} == set(told.fields)


# --- both verdicts ---


def test_a_batch_that_agrees_is_ended_signed_off_and_followed_by_the_next(till: Till) -> None:
    till.redeem(till.coupon())
    till.back(till.redeem(till.coupon(500)))
    settled = till.settle()
    assert (settled.step, settled.batch, settled.is_balanced, settled.delivered) == (Step.SETTLED, 1, True, 0)
    assert settled.totals == Totals(debit_fen=2_500, debits=2, credit_fen=500, credits=1)
    assert till.sent()[-3:] == ["0500", "0320", "0820"]
    assert till.redeem(till.coupon()).state is OperationState.DONE
    assert (till.note()["batch"], till.note()["settling"]) == (2, 0)
    assert till.sent()[-2:] == ["0800", "0200"]


def test_a_batch_that_does_not_agree_is_uploaded_record_by_record(till: Till) -> None:
    uneven(till)
    done = [till.redeem(till.coupon(1_000 + number)) for number in range(17)]
    settled = till.settle()
    assert (settled.is_balanced, settled.delivered, settled.records) == (False, 17, 17)
    assert settled.domestic == Totals(balance=Balance.UNBALANCED)
    assert till.sent()[-6:] == ["0500", "0320", "0320", "0320", "0320", "0820"]
    assert uploaded(till) == traces(*(one.redemption_id for one in done), till=till)


def test_voids_are_uploaded_as_details_and_returns_as_notices(till: Till) -> None:
    old = till.redeem(till.coupon(700))
    till.settle()
    till.sandbox.control.advance(86_400)
    uneven(till)
    kept, voided = till.redeem(till.coupon()), till.redeem(till.coupon(500))
    assert [till.back(one) for one in (voided, old)] == [OperationState.DONE] * 2
    settled = till.settle()
    assert settled.totals == Totals(debit_fen=2_500, debits=2, credit_fen=1_200, credits=2)
    assert till.sent()[-5:] == ["0500", "0320", "0320", "0320", "0820"]
    records = uploaded(till, batch=2)
    assert sorted(records.values()) == [500, 500, 700, 2_000]
    assert records.items() >= traces(kept.redemption_id, voided.redemption_id, till=till).items()


def test_what_was_declined_reversed_or_never_done_is_in_no_total(till: Till) -> None:
    till.redeem(till.coupon())
    till.fault("error", code="65")
    with pytest.raises(PlatformRefused):
        till.redeem(till.coupon())
    till.fault("drop_after")
    assert till.redeem(till.coupon()).state is OperationState.UNKNOWN
    settled = till.settle()
    assert (settled.is_balanced, settled.totals) == (True, Totals(debit_fen=2_000, debits=1))
    assert till.sent()[-4:] == ["0400", "0500", "0320", "0820"]


def test_a_void_can_be_counted_by_taking_its_redemption_out(till: Till) -> None:
    till.sandbox.control.deliver(PLATFORM, action="mode", name="void_in_totals", value="removed")
    till.client.close()
    till.client = settings_of(till, void_in_totals="removed")
    till.redeem(till.coupon())
    till.back(till.redeem(till.coupon(500)))
    settled = till.settle()
    assert (settled.is_balanced, settled.totals) == (True, Totals(debit_fen=2_000, debits=1))


def test_an_empty_batch_settles(till: Till) -> None:
    settled = till.settle()
    assert (settled.is_balanced, settled.totals, settled.records) == (True, Totals(), 0)


def test_each_terminal_settles_its_own_batch(till: Till) -> None:
    till.redeem(till.coupon(), terminal_no="10000007")
    till.redeem(till.coupon(500))
    assert till.settle("10000007").totals == Totals(debit_fen=2_000, debits=1)
    assert till.settle().totals == Totals(debit_fen=500, debits=1)


# --- what stands before it ---


def test_a_reversal_that_is_owed_goes_before_the_totals(till: Till) -> None:
    till.fault("drop_after")
    redemption = till.redeem(till.coupon())
    till.fault("drop_before", "0400", times=1)
    with pytest.raises(PlatformUnavailable, match="reversal_pending"):
        till.settle()
    till.sandbox.control.advance(61)
    assert till.settle().totals == Totals()
    assert till.operation(redemption.redemption_id) is State.REVERSED


def test_a_parked_reversal_is_tried_again_before_the_totals(till: Till) -> None:
    till.fault("drop_after")
    redemption = till.redeem(till.coupon())
    till.fault("drop_before", "0400", times=3)
    for _ in range(2):
        with pytest.raises(PlatformUnavailable, match="reversal_pending"):
            till.redeem(till.coupon())
        till.sandbox.control.advance(61)
    till.redeem(till.coupon(500))
    assert till.operation(redemption.redemption_id) is State.PARKED
    till.sandbox.control.advance(61)
    assert till.settle().totals == Totals(debit_fen=500, debits=1)
    assert till.operation(redemption.redemption_id) is State.REVERSED


@pytest.mark.parametrize(("off_fen", "fen"), [(9_010, 0), (9_011, 9_011)])
def test_what_the_host_itself_left_open_is_asked_about_first(till: Till, off_fen: int, fen: int) -> None:
    assert till.redeem(till.coupon(off_fen)).state is OperationState.UNKNOWN
    settled = till.settle()
    assert settled.totals.debit_fen == fen
    assert till.note()["open"] == []


@pytest.mark.parametrize(("lost", "credits"), [("drop_after", 1), ("drop_before", 0)])
def test_a_return_without_an_answer_is_asked_about_until_it_is_certain(till: Till, lost: str, credits: int) -> None:  # noqa: A002
    redemption = till.redeem(till.coupon())
    till.settle()
    till.fault(lost, "0220")
    assert till.back(redemption) is OperationState.UNKNOWN
    if not credits:
        with pytest.raises(PlatformUnavailable, match="unfinished"):
            till.settle()
        till.sandbox.control.advance(500)
    settled = till.settle()
    assert (settled.is_balanced, settled.totals.credits) == (True, credits)


def test_while_a_transaction_is_under_way_nothing_is_settled(till: Till) -> None:
    book = till.terminal.line.book
    till.redeem(till.coupon())
    now = till.sandbox.clock.now()

    def begun() -> Flow[Any]:
        note = {"kind": "redeem", "amount": 1, "reversible": "yes"}
        return (yield from book.begin("OTHER", note=note, now=now, timeout_s=60))

    assert till.client.run(begun()) is not None
    with pytest.raises(PlatformUnavailable, match="unfinished"):
        till.settle()
    assert "0500" not in till.sent()


def test_a_batch_that_is_being_settled_takes_no_transactions(till: Till) -> None:
    till.redeem(till.coupon())
    till.fault("drop_before", "0500")
    with pytest.raises(PlatformUnknown):
        till.settle()
    with pytest.raises(PlatformUnavailable, match="settling"):
        till.redeem(till.coupon())
    assert till.settle().is_balanced
    assert till.redeem(till.coupon()).state is OperationState.DONE


def test_a_full_batch_takes_no_more(till: Till) -> None:
    till.redeem(till.coupon())
    name = till.terminal.line.book.batch_name(1)

    def fill() -> Flow[None]:
        def write(notes: Any) -> None:
            batch = notes.get(name)
            notes.put(name, {**batch, "redeem": {"count": 999, "fen": 999}})

        return (yield from noting(PLATFORM, write))

    till.client.run(fill())
    with pytest.raises(PlatformUnavailable, match="batch_full"):
        till.redeem(till.coupon())


def test_the_hosts_end_settles_nothing(till: Till) -> None:
    with settings_of(till, role="host") as host, pytest.raises(ConfigurationError, match="terminal_role"):
        host.setting.adapter(PLATFORM).settle()  # type: ignore[attr-defined]


# --- answers that are lost, declined, or cannot be ---


@pytest.mark.parametrize("lost", ["drop_before", "drop_after"])
@pytest.mark.parametrize("mti", ["0500", "0320", "0820"])
def test_a_message_without_an_answer_is_sent_again_as_it_was(till: Till, mti: str, lost: str) -> None:
    uneven(till)
    done = [till.redeem(till.coupon(1_000 + number)) for number in range(9)]
    till.fault(lost, mti)
    with pytest.raises(PlatformUnknown):
        till.settle()
    first = till.sent_bodies()[-1]
    settled = till.settle()
    assert settled.step is Step.SETTLED
    assert till.sent_bodies().count(first) == 2
    assert uploaded(till) == traces(*(one.redemption_id for one in done), till=till)


def test_records_that_the_host_has_had_before_are_delivered(till: Till) -> None:
    uneven(till)
    till.redeem(till.coupon())
    till.fault("error", "0320", code="94")
    with pytest.raises(PlatformRefused):
        till.settle()  # taken as delivered, but this host has it not: the number at the end does not agree
    assert till.settle().delivered == 1
    assert len(uploaded(till)) == 1


def test_an_upload_that_is_refused_begins_again_with_the_totals(till: Till) -> None:
    uneven(till)
    till.redeem(till.coupon())
    till.fault("error", "0320", code="64")
    with pytest.raises(PlatformRefused) as refused:
        till.settle()
    assert refused.value.platform_code == "64"
    assert till.settle().step is Step.SETTLED
    assert till.sent()[-6:] == ["0500", "0320", "0500", "0320", "0320", "0820"]


@pytest.mark.parametrize("code", ["96", "91"])
def test_a_host_that_is_not_well_is_told_the_same_later(till: Till, code: str) -> None:
    uneven(till)
    till.redeem(till.coupon())
    till.fault("error", "0320", code=code)
    with pytest.raises((PlatformUnavailable, PlatformUnknown)):
        till.settle()
    assert till.settle().step is Step.SETTLED
    assert till.sent().count("0500") == 1


def test_a_batch_that_the_host_has_closed_is_given_up_and_named(till: Till) -> None:
    till.redeem(till.coupon())
    till.sandbox.control.deliver(PLATFORM, action="expire_batch", terminal_no="10000001")
    with pytest.raises(PlatformRefused, match="batch_closed"):
        till.settle()
    assert (till.note()["batch"], till.note()["settling"]) == (2, 0)
    till.redeem(till.coupon(500))
    assert till.settle().totals == Totals(debit_fen=500, debits=1)


def test_totals_that_are_declined_leave_the_settlement_where_it_was(till: Till) -> None:
    till.redeem(till.coupon())
    till.fault("error", "0500", code="58")
    with pytest.raises(PlatformRefused):
        till.settle()
    assert till.settle().is_balanced


def test_a_sign_off_from_another_batch_ends_the_settlement_all_the_same(till: Till) -> None:
    till.redeem(till.coupon())
    till.fault("error", "0820", code="77")
    assert till.settle().step is Step.SETTLED


def test_a_verdict_of_error_is_uploaded_like_an_uneven_one_and_doubtful(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_error(*halves: Totals) -> str:
        return pack_totals(*(replace(half, balance=Balance.ERROR) for half in halves))

    monkeypatch.setattr(management, "pack_totals", in_error)
    till.redeem(till.coupon())
    settled = till.settle()
    assert (settled.step, settled.is_balanced, settled.is_doubtful) == (Step.SETTLED, False, True)
    assert len(uploaded(till)) == settled.delivered == 1


def test_totals_that_cannot_be_read_are_asked_for_again(till: Till, monkeypatch: pytest.MonkeyPatch) -> None:
    till.redeem(till.coupon())
    with monkeypatch.context() as patch:
        patch.setattr(management, "pack_totals", lambda *halves: "0" * 61 + "9")
        with pytest.raises(PlatformUnknown, match="answer_unreadable"):
            till.settle()
    assert till.settle().is_balanced


def test_two_at_once_settle_once(till: Till) -> None:
    """A second process settles between any two steps of the first, which then goes on from what the notes say."""
    uneven(till)
    other = till.sandbox.client()
    for steps in itertools.count(1):
        done = [till.redeem(till.coupon(1_000 + number)) for number in range(2)]
        batch = till.note()["batch"]
        first = Stepped(till, till.client.setting.adapter(PLATFORM).settle())  # type: ignore[attr-defined]
        is_over = first.go(steps)
        if is_over:
            break
        other.run(other.setting.adapter(PLATFORM).settle())  # type: ignore[attr-defined]
        assert first.go(1_000), "the first comes to an end, whatever the second has done"
        assert uploaded(till, batch) == traces(*(one.redemption_id for one in done), till=till)
    assert steps > 15
    other.close()


class Stepped:
    """A flow that is performed effect by effect."""

    def __init__(self, till: Till, flow: Flow[Any]) -> None:
        self._till, self._flow = till, flow
        self._go: Callable[[], Effect[Any]] = lambda: next(flow)

    def go(self, steps: int) -> bool:
        """Perform so many effects at most; whether the flow has ended, well or with an error of the tree."""
        for _ in range(steps):
            try:
                effect = self._go()
            except (StopIteration, CouponError):
                return True
            self._go = self._performed(effect)
        return False

    def _performed(self, effect: Effect[Any]) -> Callable[[], Effect[Any]]:
        def once() -> Flow[Any]:
            return (yield from effect)

        try:
            value = self._till.client.run(once())
        except CouponError as failed:
            error = failed
            return lambda: self._flow.throw(error)
        return lambda: self._flow.send(value)
