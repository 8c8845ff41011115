"""The host that terminals call: checks, verification against the ledger, duplicates, reversals, peers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.unionpay_pos.bench import ORDER, RawTerminal, block, code_of
from tests.unit.unionpay_pos.host_bench import NUMBERS, HostBench, settings

from unicom_coupon_adapters.unionpay_pos import messages
from unicom_coupon_adapters.unionpay_pos.codec import pack, pack_unsealed
from unicom_coupon_adapters.unionpay_pos.coupon_block import Tag
from unicom_coupon_adapters.unionpay_pos.framing import Frame, header_of
from unicom_coupon_adapters.unionpay_pos.host import UnionPayPosHost
from unicom_coupon_adapters.unionpay_pos.hosting import cancels
from unicom_coupon_adapters.unionpay_pos.hosting.settlements import Settled
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.mac import MacKey
from unicom_coupon_adapters.unionpay_pos.messages import Reason, Sequence
from unicom_coupon_adapters.unionpay_pos.subfields import Balance, BatchDetail, Totals, parse_totals
from unicom_coupon_sdk.client import AsyncCouponClient, CouponClient
from unicom_coupon_sdk.domain.redemption import RedeemRequest, ReverseRequest
from unicom_coupon_sdk.errors import ConfigurationError


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[HostBench]:
    with HostBench(tmp_path) as made:
        yield made


def test_enquiry_redemption_and_void(bench: HostBench) -> None:
    terminal, code = bench.terminal(), bench.code()
    asked = terminal.call(messages.enquiry(terminal.card, sequence=terminal.next(), code=code))
    assert (code_of(asked), block(asked)[Tag.STATE], block(asked)[Tag.FACE_VALUE]) == ("00", "00", f"{2000:012d}")
    request = terminal.redeem(code)
    answer = terminal.call(request)
    assert (code_of(answer), bench.state(code)) == ("00", "redeemed")
    assert answer is not None
    original = terminal.redeemed(request, answer)
    void = messages.void(terminal.card, sequence=terminal.next(), code=code, original=original)
    assert (code_of(terminal.call(void)), bench.state(code)) == ("00", "available")
    assert code_of(terminal.call(void)) == "00"
    again = messages.void(terminal.card, sequence=terminal.next(), code=code, original=original)
    assert code_of(terminal.call(again)) == "22"


def test_every_answer_to_a_financial_message_has_a_right_mac(bench: HostBench) -> None:
    terminal = bench.terminal()
    for code in (bench.code(), "UNKNOWNCODE123X"):
        terminal.call(terminal.redeem(code))
        assert terminal.key is not None
        terminal.key.open(terminal.frames[-1].body)


def test_declines_say_what_is_wrong_with_the_coupon(bench: HostBench) -> None:
    terminal, used, unbound = bench.terminal(), bench.code(), bench.code(bound=False)
    terminal.call(terminal.redeem(used))
    told = {
        "used": terminal.call(terminal.redeem(used)),
        "unknown": terminal.call(terminal.redeem("UNKNOWNCODE123X")),
        "unbound": terminal.call(terminal.redeem(unbound)),
        "value": terminal.call(terminal.redeem(bench.code(), 1_999)),
    }
    assert {name: code_of(answer) for name, answer in told.items()} == {
        "used": "65",
        "unknown": "14",
        "unbound": "57",
        "value": "61",
    }
    below = messages.redeem(
        terminal.card,
        sequence=terminal.next(),
        code=bench.code(),
        value_fen=2_000,
        about={Tag.ORDER_AMOUNT: f"{4_999:012d}"},
    )
    assert code_of(terminal.call(below)) == "51"


def test_five_wrong_codes_lock_the_terminal_out(bench: HostBench) -> None:
    terminal = bench.terminal()
    told = [code_of(terminal.call(terminal.redeem(f"WRONGCODE{n}X"))) for n in range(6)]
    assert told == ["14"] * 5 + ["62"]


def test_before_the_mac_has_passed_nothing_is_looked_up(bench: HostBench) -> None:
    terminal, code = bench.terminal(), bench.code()
    request = terminal.redeem(code)
    answer = terminal.raw(MacKey(bytes(range(8))).seal(pack_unsealed(request)))
    assert answer is not None
    assert (code_of(answer), 64 in answer, bench.state(code)) == ("A0", False, "available")
    assert code_of(terminal.call(Message("0200", {**request.fields, 41: "99999999"}))) == "97"
    assert code_of(terminal.call(Message("0200", {**request.fields, 42: "999290054110002"}))) == "03"
    other = RawTerminal(bench.send, terminal.tmk, number="10000002", key=terminal.key)
    assert code_of(other.call(other.redeem(code))) == "77"


def test_another_batch_asks_for_a_sign_on_and_card_business_is_refused(bench: HostBench) -> None:
    terminal, code = bench.terminal(), bench.code()
    wrong = terminal.redeem(code, sequence=Sequence(trace=50, batch=9))
    assert code_of(terminal.call(wrong)) == "77"
    sale = Message("0200", {**terminal.redeem(code).fields, 25: "00"})
    assert code_of(terminal.call(sale)) == "40"


def test_concurrent_copies_of_a_message_redeem_once(bench: HostBench) -> None:
    terminal, code = bench.terminal(), bench.code()
    request = terminal.redeem(code)
    assert terminal.key is not None
    content = Frame(bytes.fromhex("6000030000"), header_of(), terminal.key.seal(pack_unsealed(request))).content

    async def all_at_once() -> list[bytes | None]:
        return await asyncio.gather(*(bench.host.answer(content) for _ in range(8)))

    answers = [answer for answer in bench.run(all_at_once()) if answer is not None]
    assert answers
    assert bench.state(code) == "redeemed"
    assert code_of(terminal.call(request)) == "00"


def test_the_same_key_under_another_trace_is_the_same_redemption(bench: HostBench) -> None:
    terminal, code = bench.terminal(), bench.code()
    first = terminal.call(terminal.redeem(code, key="WISH1"))
    second = terminal.call(terminal.redeem(code, key="WISH1"))
    assert (code_of(first), code_of(second)) == ("00", "00")
    assert block(first)[Tag.UNICOM_NO] == block(second)[Tag.UNICOM_NO]


def test_a_reversal_is_promised_after_its_job_is_written_and_then_carried_out(bench: HostBench) -> None:
    terminal, code = bench.terminal(), bench.code()
    request = terminal.redeem(code)
    terminal.call(request)
    back = messages.reversal(request, reason=Reason.NO_ANSWER)
    assert [code_of(terminal.call(back)) for _ in range(2)] == ["00", "00"]
    assert bench.run(bench.host.run_cancels()) == 0
    assert bench.state(code) == "available"
    assert code_of(terminal.call(request)) == "94"
    assert code_of(terminal.call(terminal.redeem(code))) == "00"


def test_a_cancel_job_survives_the_host(tmp_path: Path) -> None:
    with HostBench(tmp_path) as bench:
        terminal, code = bench.terminal(), bench.code()
        request = terminal.redeem(code)
        terminal.call(request)
        terminal.call(messages.reversal(request, reason=Reason.NO_ANSWER))
        assert bench.state(code) == "redeemed"
    with HostBench(tmp_path) as again:
        assert again.state(code) == "available"


def test_a_reversal_that_comes_first_leaves_a_tombstone(bench: HostBench) -> None:
    terminal, code = bench.terminal(), bench.code()
    request = terminal.redeem(code)
    assert code_of(terminal.call(messages.reversal(request, reason=Reason.NO_ANSWER))) == "00"
    assert code_of(terminal.call(request)) == "94"
    assert bench.state(code) == "available"


def test_the_reversal_of_a_void_redeems_again(bench: HostBench) -> None:
    terminal, code = bench.terminal(), bench.code()
    request = terminal.redeem(code)
    answer = terminal.call(request)
    assert answer is not None
    void = messages.void(
        terminal.card, sequence=terminal.next(), code=code, original=terminal.redeemed(request, answer)
    )
    terminal.call(void)
    assert code_of(terminal.call(messages.reversal(void, reason=Reason.NO_ANSWER))) == "00"
    assert bench.state(code) == "redeemed"


def test_a_verification_that_takes_too_long_is_98_and_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HostBench(tmp_path, budget_s=0.05) as bench:
        terminal, code = bench.terminal(), bench.code()
        genuine = bench.client.redeem

        async def slow(request: object) -> object:
            await asyncio.sleep(0.3)
            return await genuine(request)  # type: ignore[arg-type]

        monkeypatch.setattr(bench.client, "redeem", slow)
        request = terminal.redeem(code)
        assert code_of(terminal.call(request)) == "98"
        assert bench.run(bench.host.run_cancels()) == 1
        bench.run(asyncio.sleep(0.6))
        assert bench.run(bench.host.run_cancels()) == 0
        assert bench.state(code) == "available"
        assert code_of(terminal.call(request)) == "94"


def test_settlement_counts_what_stands(bench: HostBench) -> None:
    terminal = bench.terminal()
    kept, undone = bench.code(), bench.code()
    terminal.call(terminal.redeem(kept))
    request = terminal.redeem(undone)
    terminal.call(request)
    terminal.call(messages.reversal(request, reason=Reason.OTHER))
    totals = Totals(debit_fen=2_000, debits=1)
    answer = terminal.manage(messages.settlement(terminal.card, sequence=terminal.next(), domestic=totals))
    assert [half.balance for half in parse_totals(answer.text(48))] == [Balance.BALANCED, Balance.BALANCED]
    assert code_of(terminal.call(terminal.redeem(bench.code()))) == "77"
    assert code_of(terminal.manage(messages.sign_off(terminal.card, sequence=terminal.next()))) == "00"
    terminal.sign_on()
    assert (terminal.batch, code_of(terminal.call(terminal.redeem(bench.code())))) == (2, "00")


# --- what a crash leaves behind ---


def content(terminal: RawTerminal, message: Message) -> bytes:
    assert terminal.key is not None
    return Frame(bytes.fromhex("6000030000"), header_of(), terminal.key.seal(pack_unsealed(message))).content


class Dead(BaseException):
    """The process has died here."""


@contextlib.contextmanager
def dying(bench: HostBench, name: str) -> Iterator[None]:
    """The desk dies where it would go on with ``name``; after the block another process goes on."""
    desk = bench.host._desk

    def die(*_: object) -> None:
        raise Dead

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk, name, die)
        yield


@pytest.fixture
def past(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lets the time go by in which a message could still be on its way."""
    return lambda: monkeypatch.setattr(cancels, "LATEST_S", 0.0)


def lost(bench: HostBench, terminal: RawTerminal, message: Message) -> None:
    """Send a message whose process dies before it can answer."""
    with contextlib.suppress(Dead):
        terminal.call(message)
        pytest.fail("it was answered")


def done(bench: HostBench, terminal: RawTerminal) -> tuple[str, messages.Redeemed]:
    code = bench.code()
    request = terminal.redeem(code)
    answer = terminal.call(request)
    assert answer is not None
    return code, terminal.redeemed(request, answer)


def asked_about(terminal: RawTerminal, message: Message, code: str) -> tuple[str, str | None]:
    at = Sequence(trace=int(message.text(11)), batch=int(message.text(60)[2:8]))
    original = messages.Redeemed(sequence=at, amount_fen=2_000)
    answer = terminal.call(
        messages.outcome_query(terminal.card, sequence=terminal.next(), code=code, original=original)
    )
    told = block(answer) if answer is not None and 62 in answer else {}
    return code_of(answer), told.get(Tag.ORIGINAL_RESPONSE)


def test_the_reversal_of_a_void_that_died_half_way_is_answered_when_its_end_is_known(
    bench: HostBench, past: Callable[[], None]
) -> None:
    terminal = bench.terminal()
    code, original = done(bench, terminal)
    void = messages.void(terminal.card, sequence=terminal.next(), code=code, original=original)
    with dying(bench, "_voided"):
        lost(bench, terminal, void)
    assert bench.state(code) == "available"
    back = messages.reversal(void, reason=Reason.NO_ANSWER)
    assert terminal.call(back) is None
    past()
    assert (code_of(terminal.call(back)), bench.state(code)) == ("00", "redeemed")
    assert code_of(terminal.call(void)) == "94"


def test_the_reversal_of_a_void_that_never_reached_the_ledger_undoes_nothing(
    bench: HostBench, past: Callable[[], None]
) -> None:
    terminal = bench.terminal()
    code, original = done(bench, terminal)
    void = messages.void(terminal.card, sequence=terminal.next(), code=code, original=original)
    with dying(bench, "_name_original"):
        lost(bench, terminal, void)
    past()
    assert code_of(terminal.call(messages.reversal(void, reason=Reason.NO_ANSWER))) == "00"
    assert bench.state(code) == "redeemed"
    assert code_of(terminal.call(void)) == "91"


def test_a_void_that_is_reversed_while_it_is_carried_out_ends_as_a_redemption(
    bench: HostBench, past: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = bench.terminal()
    code, original = done(bench, terminal)
    void = messages.void(terminal.card, sequence=terminal.next(), code=code, original=original)
    back = content(terminal, messages.reversal(void, reason=Reason.NO_ANSWER))
    genuine = bench.client.reverse

    async def slow(request: ReverseRequest) -> object:
        past()
        assert await bench.host.answer(back) is not None  # so late that the host takes the void for dead
        return await genuine(request)

    monkeypatch.setattr(bench.client, "reverse", slow)
    assert code_of(terminal.call(void)) == "91"
    assert bench.state(code) == "redeemed"


def test_a_return_that_died_half_way_is_told_of_by_its_end(bench: HostBench, past: Callable[[], None]) -> None:
    terminal = bench.terminal()
    code, original = done(bench, terminal)
    back = messages.give_back(terminal.card, sequence=terminal.next(), code=code, original=original)
    with dying(bench, "_voided"):
        lost(bench, terminal, back)
    assert asked_about(terminal, back, code) == ("00", "98")
    past()
    assert asked_about(terminal, back, code) == ("00", "00")
    assert bench.state(code) == "available"


def test_a_redemption_that_died_half_way_is_told_of_by_its_end(bench: HostBench, past: Callable[[], None]) -> None:
    terminal, code, other = bench.terminal(), bench.code(), bench.code()
    redeem, never = terminal.redeem(code), terminal.redeem(other)
    with dying(bench, "_approved"):
        lost(bench, terminal, redeem)
    with dying(bench, "_request"):
        lost(bench, terminal, never)
    assert [asked_about(terminal, one, code)[1] for one in (redeem, never)] == ["98", "98"]
    past()
    assert asked_about(terminal, redeem, code) == ("00", "00")
    assert asked_about(terminal, never, other) == ("00", "91")
    assert (bench.state(code), bench.state(other)) == ("redeemed", "available")
    assert code_of(terminal.call(redeem)) == "00"


def test_another_terminal_may_ask_by_the_key_what_became_of_it(bench: HostBench, past: Callable[[], None]) -> None:
    terminal, other, code = bench.terminal(), bench.terminal(NUMBERS[1]), bench.code()
    redeem = terminal.redeem(code, key="WISH1")
    with dying(bench, "_approved"):
        lost(bench, terminal, redeem)
    past()
    original = messages.Redeemed(sequence=other.next(), amount_fen=2_000)
    question = messages.outcome_query(other.card, sequence=other.next(), code=code, original=original, key="WISH1")
    answer = other.call(question)
    assert (code_of(answer), block(answer)[Tag.ORIGINAL_RESPONSE]) == ("00", "00")
    totals = messages.settlement(terminal.card, sequence=terminal.next(), domestic=Totals(debit_fen=2_000, debits=1))
    assert parse_totals(terminal.manage(totals).text(48))[0].balance is Balance.BALANCED


def test_a_void_of_what_a_dead_void_has_undone_is_told_so(bench: HostBench, past: Callable[[], None]) -> None:
    terminal = bench.terminal()
    code, original = done(bench, terminal)
    first, second = (
        messages.void(terminal.card, sequence=terminal.next(), code=code, original=original) for _ in range(2)
    )
    with dying(bench, "_voided"):
        lost(bench, terminal, first)
    assert code_of(terminal.call(second)) == "22"
    past()
    assert asked_about(terminal, first, code) == ("00", "00")
    assert asked_about(terminal, second, code) == ("00", "22")


def test_a_cancel_job_waits_for_what_may_still_reach_the_ledger(
    bench: HostBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, code = bench.terminal(), bench.code()
    request = terminal.redeem(code)
    back = content(terminal, messages.reversal(request, reason=Reason.NO_ANSWER))
    genuine = bench.client.redeem

    async def slow(wish: RedeemRequest) -> object:
        assert await bench.host.answer(back) is not None
        assert await bench.host.run_cancels() == 1
        return await genuine(wish)

    monkeypatch.setattr(bench.client, "redeem", slow)
    assert code_of(terminal.call(request)) == "94"
    assert bench.run(bench.host.run_cancels()) == 0
    assert bench.state(code) == "available"


def test_what_comes_to_the_ledger_after_its_cancel_job_is_cancelled_again(
    bench: HostBench, past: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal, code = bench.terminal(), bench.code()
    request = terminal.redeem(code)
    back = content(terminal, messages.reversal(request, reason=Reason.NO_ANSWER))
    genuine = bench.client.redeem

    async def slow(wish: RedeemRequest) -> object:
        assert await bench.host.answer(back) is not None
        past()
        assert await bench.host.run_cancels() == 0
        return await genuine(wish)

    monkeypatch.setattr(bench.client, "redeem", slow)
    assert code_of(terminal.call(request)) == "94"
    assert bench.run(bench.host.run_cancels()) == 0
    assert bench.state(code) == "available"


def upload(terminal: RawTerminal, bench: HostBench, *records: tuple[str, int], count: int | None = None) -> list[str]:
    """Upload records and the end; the answers' codes."""
    details = tuple(BatchDetail(trace=trace, amount_fen=fen) for trace, fen in records)
    sent = [messages.batch_details(terminal.card, sequence=terminal.next(), details=details)] if details else []
    told = len(details) if count is None else count
    end = messages.batch_end(terminal.card, sequence=terminal.next(), sent=told, is_balanced=not details)
    return [code_of(terminal.manage(message)) for message in (*sent, end)]


def settled(bench: HostBench, *, batch: int = 1) -> Settled:
    found = bench.run(bench.host.settled(NUMBERS[0], batch=batch))
    assert found is not None
    return found


def test_an_uneven_batch_is_compared_record_by_record(bench: HostBench) -> None:
    terminal = bench.terminal()
    both, ours = (terminal.redeem(bench.code()) for _ in range(2))
    assert [code_of(terminal.call(request)) for request in (both, ours)] == ["00", "00"]
    totals = Totals(debit_fen=5_000, debits=2)
    answer = terminal.manage(messages.settlement(terminal.card, sequence=terminal.next(), domestic=totals))
    halves = parse_totals(answer.text(48))
    assert halves == (
        Totals(debit_fen=4_000, debits=2, balance=Balance.UNBALANCED),
        Totals(balance=Balance.BALANCED),
    )
    assert not settled(bench).is_ended
    assert upload(terminal, bench, (both.text(11), 2_000), ("009999", 3_000)) == ["00", "00"]
    found = settled(bench)
    assert (found.theirs, found.is_ended) == (totals, True)
    assert (found.unknown_here, found.not_told) == (("009999",), (ours.text(11),))


def test_an_even_batch_has_no_differences(bench: HostBench) -> None:
    terminal = bench.terminal()
    terminal.call(terminal.redeem(bench.code()))
    totals = Totals(debit_fen=2_000, debits=1)
    terminal.manage(messages.settlement(terminal.card, sequence=terminal.next(), domestic=totals))
    assert upload(terminal, bench) == ["00"]
    found = settled(bench)
    assert (found.ours.balance, found.is_ended, found.unknown_here, found.not_told) == (Balance.BALANCED, True, (), ())
    assert bench.run(bench.host.settled(NUMBERS[1], batch=1)) is None


def test_totals_and_records_that_come_twice_count_once(bench: HostBench) -> None:
    terminal = bench.terminal()
    totals = messages.settlement(terminal.card, sequence=terminal.next(), domestic=Totals(debit_fen=1, debits=1))
    terminal.manage(totals)
    details = messages.batch_details(
        terminal.card, sequence=terminal.next(), details=(BatchDetail(trace="000031", amount_fen=1),)
    )
    for message in (details, totals, details):
        terminal.manage(message)
    assert upload(terminal, bench, count=2) == ["64"]
    assert upload(terminal, bench, count=1) == ["00"]


def test_a_return_is_taken_in_as_a_notice(bench: HostBench) -> None:
    terminal = bench.terminal()
    terminal.manage(messages.settlement(terminal.card, sequence=terminal.next(), domestic=Totals(debits=1)))
    original = messages.Redeemed(sequence=Sequence(trace=31, batch=1), amount_fen=5_000)
    notice = messages.batch_return(terminal.card, sequence=terminal.next(), original=original, reference="031800000001")
    assert code_of(terminal.manage(notice)) == "00"
    assert upload(terminal, bench, count=1) == ["00"]


def test_an_upload_before_its_totals_or_of_another_batch_is_refused(bench: HostBench) -> None:
    terminal = bench.terminal()
    assert upload(terminal, bench, ("000031", 1)) == ["12", "12"]
    terminal.batch = 9
    assert upload(terminal, bench, ("000031", 1)) == ["77", "77"]


@pytest.mark.parametrize("told", ["", "1", "00001"])
def test_a_number_of_records_that_is_none_is_a_format_error(bench: HostBench, told: str) -> None:
    terminal = bench.terminal()
    terminal.manage(messages.settlement(terminal.card, sequence=terminal.next(), domestic=Totals(debits=1)))
    end = messages.batch_end(terminal.card, sequence=terminal.next(), sent=1, is_balanced=False)
    assert code_of(terminal.manage(Message("0320", {**end.fields, 48: told}))) == "30"


def test_a_batch_takes_no_more_records_than_its_totals_can_count(bench: HostBench) -> None:
    terminal = bench.terminal()
    terminal.manage(messages.settlement(terminal.card, sequence=terminal.next(), domestic=Totals(debits=1)))
    codes = []
    for first in range(1, 2_009, 8):
        details = tuple(BatchDetail(trace=f"{first + number:06d}", amount_fen=1) for number in range(8))
        message = messages.batch_details(terminal.card, sequence=terminal.next(), details=details)
        codes.append(code_of(terminal.manage(message)))
    assert codes == ["00"] * 249 + ["30"] * 2


def test_every_answer_has_a_reference_of_its_own(bench: HostBench) -> None:
    terminal, code = bench.terminal(), bench.code()
    request = terminal.redeem(code)
    asked = [
        request,
        terminal.redeem(code),
        messages.reversal(request, reason=Reason.NO_ANSWER),
        messages.enquiry(terminal.card, sequence=terminal.next(), code=code),
    ]
    answers = [terminal.call(message) for message in asked]
    answers.append(terminal.manage(messages.echo(terminal.card, sequence=terminal.next())))
    references = [answer.text(37) for answer in answers if answer is not None]
    assert len(set(references)) == 5
    assert all(len(reference) == 12 for reference in references)


def test_the_outcome_query_names_the_original(bench: HostBench) -> None:
    terminal, code = bench.terminal(), bench.code()
    request = terminal.redeem(code)
    original = messages.Redeemed(sequence=Sequence(trace=int(request.text(11)), batch=1), amount_fen=2_000)

    def asked() -> str:
        question = messages.outcome_query(terminal.card, sequence=terminal.next(), code=code, original=original)
        return code_of(terminal.call(question))

    told = [asked()]
    terminal.call(request)
    told.append(asked())
    terminal.call(messages.reversal(request, reason=Reason.NO_ANSWER))
    told.append(asked())
    assert told == ["25", "00", "22"]


def test_no_code_is_written_into_the_hosts_notes(bench: HostBench) -> None:
    from sqlalchemy import text

    terminal, code = bench.terminal(), bench.code()
    terminal.call(terminal.redeem(code))
    written = bench.run(
        bench.client.read(lambda connection: str(connection.execute(text("SELECT value FROM note")).all()))
    )
    assert code not in written
    assert code.encode().hex() not in written.lower()


def test_a_client_that_is_a_terminal_cannot_be_a_host(tmp_path: Path) -> None:
    async def make() -> None:
        async with AsyncCouponClient(settings(tmp_path, role="terminal")) as client:
            UnionPayPosHost(client)

    with pytest.raises(ConfigurationError, match="host_role"):
        asyncio.run(make())


# --- over sockets ---


def echo(terminal: RawTerminal) -> bytes:
    body = pack(messages.echo(terminal.card, sequence=terminal.next()))
    content = Frame(bytes.fromhex("6000030000"), header_of(), body).content
    return len(content).to_bytes(2, "big") + content


def received(peer: socket.socket, count: int) -> list[bytes]:
    peer.settimeout(5)
    stream, frames = b"", []
    while len(frames) < count:
        stream += peer.recv(4096) or pytest.fail("closed")
        while len(stream) >= 2 and len(stream) >= 2 + int.from_bytes(stream[:2], "big"):
            end = 2 + int.from_bytes(stream[:2], "big")
            frames.append(stream[2:end])
            stream = stream[end:]
    return frames


def test_frames_in_single_bytes_and_many_in_one_segment(bench: HostBench) -> None:
    terminal = bench.terminal()
    with socket.create_connection(("127.0.0.1", bench.port)) as peer:
        for byte in echo(terminal):
            peer.sendall(bytes([byte]))
        assert len(received(peer, 1)) == 1
        peer.sendall(b"".join(echo(terminal) for _ in range(20)))
        assert len(received(peer, 20)) == 20


def test_a_peer_that_closes_its_sending_side_still_gets_its_answer(bench: HostBench) -> None:
    terminal = bench.terminal()
    with socket.create_connection(("127.0.0.1", bench.port)) as peer:
        peer.sendall(echo(terminal))
        peer.shutdown(socket.SHUT_WR)
        assert len(received(peer, 1)) == 1


@pytest.mark.parametrize("garbage", [b"\xff\xff" + bytes(64), b"\x00\x00", b"\x00\x05hello", b"GET / HTTP/1.1\r\n\r\n"])
def test_garbage_and_huge_lengths_are_closed_and_harm_nobody(bench: HostBench, garbage: bytes) -> None:
    terminal = bench.terminal()
    with socket.create_connection(("127.0.0.1", bench.port)) as bad:
        bad.settimeout(5)
        bad.sendall(garbage)
        with contextlib.suppress(ConnectionResetError):
            assert bad.recv(10) == b""
    with socket.create_connection(("127.0.0.1", bench.port)) as good:
        good.sendall(echo(terminal))
        assert received(good, 1)


def test_idle_and_half_done_peers_are_closed(tmp_path: Path) -> None:
    with HostBench(tmp_path, idle_s=0.2, frame_s=0.2) as bench:
        for begun in (b"", b"\x00\x40\x60\x00"):
            with socket.create_connection(("127.0.0.1", bench.port)) as peer:
                peer.settimeout(5)
                peer.sendall(begun)
                try:
                    assert peer.recv(10) == b""
                except ConnectionResetError:
                    continue


def test_our_own_client_redeems_and_takes_back_through_our_own_host(bench: HostBench) -> None:
    from unicom_coupon_adapters.unionpay_pos.transactions import Wish

    code = bench.code()
    with CouponClient(settings(bench.directory, role="terminal", port=bench.port, ledger="till.db")) as till:
        lane = till.setting.adapter("unionpay_pos").terminal(None)  # type: ignore[attr-defined]
        deadline = bench.client.clock.now().replace(year=2999)
        wish = Wish("OP1", "redeem", code, 2_000, deadline, about=ORDER)
        assert till.run(lane.carry_out(wish)).effected.value == "done"
        assert bench.state(code) == "redeemed"
        assert all(finding.state.value != "fail" for finding in till.diagnose("unionpay_pos"))


def test_our_own_client_settles_both_ways_with_our_own_host(bench: HostBench) -> None:
    from unicom_coupon_adapters.unionpay_pos.transactions import Wish

    deadline = bench.client.clock.now().replace(year=2999)
    with CouponClient(settings(bench.directory, role="terminal", port=bench.port, ledger="till.db")) as till:
        adapter = till.setting.adapter("unionpay_pos")
        for number in range(9):
            wish = Wish(f"EVEN{number}", "redeem", bench.code(), 2_000, deadline, about=ORDER)
            till.run(adapter.terminal(None).carry_out(wish))  # type: ignore[attr-defined]
        even = till.run(adapter.settle())  # type: ignore[attr-defined]
        assert (even.is_balanced, even.delivered, even.totals.debits) == (True, 0, 9)
        foreign = bench.terminal()
        foreign.trace = 500_000
        foreign.call(foreign.redeem(bench.code()))
        till.run(adapter.terminal(None).line.sign_on())  # type: ignore[attr-defined]
        wish = Wish("ODD", "redeem", bench.code(), 2_000, deadline, about=ORDER)
        till.run(adapter.terminal(None).carry_out(wish))  # type: ignore[attr-defined]
        uneven = till.run(adapter.settle())  # type: ignore[attr-defined]
        assert (uneven.is_balanced, uneven.delivered, uneven.batch) == (False, 1, 2)
    found = settled(bench, batch=2)
    assert (found.is_ended, found.unknown_here, found.not_told) == (True, (), ("500001",))
