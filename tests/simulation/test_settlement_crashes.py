"""Crash tests of a POS terminal's settlement, generated: killed before and after every effect, then carried on.

A batch of redemptions, voids and a return from the batch before is settled, once with a host that agrees and once with
one that wants every record. Whenever the process dies, the next call ends the settlement, and the host has each record
exactly once, by its own count; no trace number was used for two messages; the next batch takes transactions.
"""

import functools
import itertools

import pytest
from tests.simulation.test_crashes import redeeming, run, world_of

from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.terminal import recorded
from unicom_coupon_adapters.unionpay_pos.walk import read_body
from unicom_coupon_sdk.domain.redemption import ReverseRequest
from unicom_coupon_sdk.errors import CouponError
from unicom_coupon_sdk.flows.reverse import reverse

POS = "unionpay_pos"
CYCLES = 5
"""Redemptions and voids of the batch: ten records, so that two messages of details are needed."""


class Batch:
    """A world whose first terminal has a batch to settle, and everything that its host was sent."""

    def __init__(self, *, agrees):
        self.world = world_of(POS)
        self.adapter = self.world.setting.adapter(POS)
        self.sent = []
        emulator = self.world.emulators[POS]
        genuine = emulator.answer
        emulator.answer = lambda request: (self.sent.append(request.content[11:]), genuine(request))[1]
        self.ids = []
        returned = self.redeemed("crash-before")
        self.settled()
        self.ids.clear()
        self.taken_back("back-before", returned)
        for number in range(CYCLES):
            self.taken_back(f"back-{number}", self.redeemed(f"crash-{number}"))
        mode = "yes" if agrees else "no"
        emulator.deliver({"action": "mode", "name": "coupon_in_totals", "value": mode})

    def redeemed(self, key):
        redemption = self.world.calmly(redeeming(self.world, POS, key)())
        self.world.known[redemption.redemption_id] = redemption
        self.ids.append(redemption.redemption_id)
        return redemption

    def taken_back(self, key, redemption):
        request = ReverseRequest(idempotency_key=key, redemption_id=redemption.redemption_id)
        self.ids.append(self.world.calmly(reverse(request, setting=self.world.setting)).reversal_id)

    def settled(self):
        return self.world.calmly(self.adapter.settle())

    def records(self):
        """What the terminal believes to be in its batch."""

        def flow(name):
            return (yield from recorded(name))

        notes = [self.world.calmly(flow(name)).note for name in self.ids]
        return {f"{note['trace']:06d}": note["amount"] for note in notes}

    def terminal(self):
        def flow():
            return (yield from self.adapter.terminal(None).line.book.state())

        return self.world.calmly(flow())

    def at_the_host(self):
        told = self.world.emulators[POS].deliver({"action": "settlements"})["settlements"]
        return next(one for one in told if one["batch"].endswith("|000002"))


def batch_of(agrees):
    return Batch(agrees=agrees)


@functools.cache
def moments_of(agrees):
    batch = batch_of(agrees)
    host, answers = run(batch.world, batch.adapter.settle())
    assert len(answers) == 1
    assert not isinstance(answers[0], CouponError), answers[0]
    return host.moments


def cases():
    return [
        pytest.param(agrees, moment, id=f"{'even' if agrees else 'uneven'}-{moment}")
        for agrees in (True, False)
        for moment in range(moments_of(agrees))
    ]


def double_cases():
    return [
        pytest.param(first, second, id=f"{first}-{second}")
        for first, second in itertools.product(range(0, moments_of(False), 5), range(1, 30, 7))
    ]


def check(batch, settled, *, agrees):
    """The settlement has ended well, once, with every record. ``settled`` was the last: of the batch, or of the empty
    one after it, when the process had died with everything done.
    """
    note = batch.terminal()
    assert (note["batch"], note["settling"], note["open"]) == (settled.batch + 1, 0, [])
    assert settled.batch == 2 or (settled.batch, settled.records) == (3, 0)
    host = batch.at_the_host()
    assert host["is_ended"]
    assert host["records"] == ({} if agrees else batch.records())
    assert len(batch.records()) == 2 * CYCLES + 1
    messages_by_trace = {}
    for content in batch.sent:
        message = Message(*read_body(content))
        notice = message.mti == "0320" and message.text(60)[8:] == "205"  # has the trace of the return that it tells of
        messages_by_trace.setdefault((message.text(11), notice, message.mti == "0400"), set()).add(content)
    assert all(len(contents) == 1 for contents in messages_by_trace.values())
    redeemed = batch.redeemed("afterwards")
    assert redeemed.state.value == "done"
    assert batch.terminal()["batch"] == settled.batch + 1
    batch.world.settle()


@pytest.mark.parametrize(("agrees", "moment"), cases())
def test_a_terminal_may_die_at_any_moment_of_its_settlement(agrees, moment):
    batch = batch_of(agrees)
    _, answers = run(batch.world, batch.adapter.settle(), moment)
    assert answers == []
    check(batch, batch.settled(), agrees=agrees)


@pytest.mark.parametrize(("first", "second"), double_cases())
def test_and_the_process_after_it_may_die_as_well(first, second):
    batch = batch_of(agrees=False)
    run(batch.world, batch.adapter.settle(), first)
    run(batch.world, batch.adapter.settle(), second)
    check(batch, batch.settled(), agrees=False)


def test_the_settlements_crash_cases_are_many():
    assert len(cases()) + len(double_cases()) >= 100
