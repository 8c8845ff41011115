"""Real processes that race, and real processes that die. Forked, so they also inherit the parent's pool."""

import os
import signal
import traceback

import pytest
from tests.ledger_house import DONE, UNKNOWN, day_limit, template

from unicom_coupon_sdk.errors import CouponError
from unicom_coupon_sdk.ledger import statement as statements

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")

WON, LOST, FAILED = 0, 10, 20


def race(racers, act):
    """The exit codes of ``racers`` processes that ran ``act(number)`` from one starting shot."""
    ready, shot = os.pipe(), os.pipe()
    children = []
    for number in range(racers):
        child = os.fork()
        if child == 0:
            status = FAILED
            try:
                os.close(shot[1])
                os.write(ready[1], b".")
                os.read(shot[0], 1)  # returns when the parent closes its end
                act(number)
                status = WON
            except CouponError as error:
                status = LOST
                os.write(2, f"{error.code}\n".encode()) if error.code.startswith("ledger.") else None
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        children.append(child)
    for _ in range(racers):
        os.read(ready[0], 1)
    for end in (*ready, *shot):
        os.close(end)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


@pytest.mark.parametrize("attempt", range(3))
def test_of_sixteen_processes_one_holds_the_coupon(shared_house, attempt):
    coupon = shared_house.bound()
    codes = race(16, lambda number: shared_house.hold(coupon, key=f"order-{number}", redemption_id=f"R-{number}"))
    assert sorted(codes) == [WON] + [LOST] * 15
    assert (shared_house.state(coupon), shared_house.audit()) == ("held", ())


def test_of_sixteen_processes_with_one_key_one_holds_and_the_others_are_told(shared_house):
    coupon = shared_house.bound()
    codes = race(16, lambda number: shared_house.hold(coupon, redemption_id=f"R-{number}"))
    assert sorted(codes) == [WON] + [LOST] * 15
    assert shared_house.run(shared_house.ledger.statistics())["redemption.held"] == 1


def test_processes_never_spend_the_same_room(shared_house):
    coupons = [shared_house.bound() for _ in range(16)]

    def act(number):
        limit = day_limit(300, max_fen=1000)
        shared_house.hold(coupons[number], key=f"order-{number}", redemption_id=f"R-{number}", consumptions=[limit])

    assert race(16, act).count(WON) == 3
    assert shared_house.counters() == {("holder-1", "2026-05-20"): (900, 3)}
    assert shared_house.audit() == ()


def test_processes_that_issue_at_once_never_share_a_serial_or_pass_the_total(shared_house):
    small = template(max_total=25)
    codes = race(8, lambda number: shared_house.issue(5, key=f"issue-{number}", seed=number, of=small))
    assert codes.count(WON) == 1  # the others meet the batch id that each child counted to: B1
    codes += race(8, lambda number: _issue(shared_house, number, small))
    assert codes.count(WON) == 5
    assert shared_house.run(shared_house.ledger.statistics())["coupon.issued"] == 25
    assert shared_house.audit() == ()


def _issue(house, number, small):
    for _ in range(number + 1):
        house.id("skip")
    house.issue(5, key=f"again-{number}", seed=100 + number, of=small)


def test_two_who_conclude_at_once_conclude_once(shared_house):
    coupon = shared_house.bound()
    held = shared_house.hold(coupon).held
    shared_house.conclude(held, UNKNOWN)
    assert race(8, lambda _: shared_house.conclude(held, DONE)) == [WON] * 8
    assert shared_house.kinds(coupon).count("redeemed") == 1
    assert (shared_house.balance()["marketing_expense"], shared_house.audit()) == (500, ())


def test_of_many_reversals_one_is_held(shared_house):
    redemption = shared_house.redeem(shared_house.bound())

    def act(number):
        for _ in range(number):
            shared_house.id("skip")
        shared_house.hold_reversal(redemption, key=f"reverse-{number}")

    assert race(8, act).count(WON) == 1
    assert shared_house.audit() == ()


def dying_at(place, act):
    """Runs ``act`` in a child that is killed before its statement number ``place``; whether it was."""
    child = os.fork()
    if child == 0:
        seen = 0
        arguments = statements._Statement._arguments

        def counting(self, connection, values):
            nonlocal seen
            seen += 1
            if seen == place:
                os.kill(os.getpid(), signal.SIGKILL)
            return arguments(self, connection, values)

        statements._Statement._arguments = counting
        act()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def test_a_process_that_is_killed_before_any_statement_leaves_all_of_it_or_nothing(shared_house):
    """Hold and conclusion, killed before each of their statements in turn, until none is left to be killed at."""
    place, states = 1, []
    while True:
        coupon = shared_house.bound()

        def act(coupon=coupon, place=place):
            hold = shared_house.hold(
                coupon, key=f"order-{place}", redemption_id=f"R-{place}", consumptions=[day_limit(1)]
            )
            shared_house.conclude(hold.held)

        was_killed = dying_at(place, act)
        states.append(shared_house.state(coupon))
        assert shared_house.audit() == ()
        if not was_killed:
            break
        place += 1
    assert place > 12
    assert states == sorted(states, key=["available", "held", "redeemed"].index)
    assert set(states) == {"available", "held", "redeemed"}


def test_a_reversal_that_is_killed_leaves_all_of_it_or_nothing(shared_house):
    place, states = 1, []
    while True:
        coupon = shared_house.bound()
        redemption = shared_house.redeem(coupon, key=f"order-{place}", consumptions=[day_limit(1)])

        def act(redemption=redemption, place=place):
            for _ in range(place):
                shared_house.id("skip")
            shared_house.reverse(redemption, key=f"reverse-{place}")

        was_killed = dying_at(place, act)
        states.append(shared_house.state(coupon))
        assert shared_house.audit() == ()
        if not was_killed:
            break
        place += 1
    assert states == sorted(states, key=["redeemed", "reversing", "available"].index)
    assert states[-1] == "available"
