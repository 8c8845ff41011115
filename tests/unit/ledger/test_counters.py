"""Limit counters equal the redemptions they count, whatever happens in whatever order."""

from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from tests.ledger_house import DAY, DONE, NOT_DONE, NOW, UNKNOWN, House, day_limit

from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.errors import LimitError
from unicom_coupon_sdk.ledger import memory_engine


def test_room_is_taken_up_to_the_last_fen(house):
    house.hold(house.bound(), key="order-1", consumptions=[day_limit(600, max_fen=1000)])
    house.hold(house.bound(), key="order-2", consumptions=[day_limit(400, max_fen=1000)])
    with pytest.raises(LimitError, match=r"limit\.exceeded"):
        house.hold(house.bound(), key="order-3", consumptions=[day_limit(1, max_fen=1000)])
    assert house.counters() == {("holder-1", "2026-05-20"): (1000, 2)}


def test_room_is_counted_too(house):
    for number in (1, 2):
        house.hold(house.bound(), key=f"order-{number}", consumptions=[day_limit(1, max_fen=None, max_count=2)])
    with pytest.raises(LimitError):
        house.hold(house.bound(), key="order-3", consumptions=[day_limit(1, max_fen=None, max_count=2)])


@pytest.mark.parametrize("limit", [{"amount_fen": 1001, "max_fen": 1000}, {"amount_fen": 1, "max_count": 0}])
def test_the_first_use_is_bounded_as_well(house, limit):
    with pytest.raises(LimitError):
        house.hold(house.bound(), consumptions=[day_limit(**limit)])
    assert house.counters() == {}


def test_subjects_and_windows_do_not_share_room(house):
    used = [
        day_limit(1000, max_fen=1000),
        day_limit(1000, max_fen=1000, subject="holder-2"),
        day_limit(1000, max_fen=1000, window="2026-05-21"),
    ]
    house.hold(house.bound(), consumptions=used)
    assert len(house.counters()) == 3


def test_a_limit_without_bounds_is_counted_still(house):
    house.hold(house.bound(), consumptions=[day_limit(10**12, max_fen=None)])
    assert house.counters() == {("holder-1", "2026-05-20"): (10**12, 1)}


def test_a_tampered_counter_is_found(house):
    house.hold(house.bound(), consumptions=[day_limit(500)])
    with house.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE counter SET used_fen = 499")
    (mismatch,) = house.run(house.ledger.audit_counters())
    assert (mismatch.limit, mismatch.used_fen, mismatch.expected_fen) == ("day", 499, 500)


@pytest.mark.parametrize("statement", ["DELETE FROM counter", "DELETE FROM consumption"])
def test_a_missing_side_is_found(house, statement):
    house.hold(house.bound(), consumptions=[day_limit(500)])
    with house.engine.begin() as connection:
        connection.exec_driver_sql(statement)
    assert len(house.run(house.ledger.audit_counters())) == 1


MAX_FEN, MAX_COUNT = 2000, 5
SUBJECTS = st.sampled_from(["holder-1", "holder-2"])


class Counting(RuleBasedStateMachine):
    """A plain dictionary beside the ledger. What the dictionary refuses, the ledger refuses, and nothing else."""

    coupons = Bundle("coupons")
    held = Bundle("held")
    done = Bundle("done")
    reversing = Bundle("reversing")

    @initialize(target=coupons)
    def open_ledger(self):
        self.engine = memory_engine()
        self.house = House(self.engine)
        self.model = {}
        self.taken = {}
        self.keys = 0
        return multiple(*(self.house.bound() for _ in range(6)))

    def key(self):
        self.keys += 1
        return f"key-{self.keys}"

    def windows(self):
        day = business_date(self.house.now).isoformat()
        return {"day": day, "month": day[:7]}

    @rule(target=held, coupon=consumes(coupons), amount_fen=st.integers(1, 900), subject=SUBJECTS)
    def hold(self, coupon, amount_fen, subject):
        keys = [(subject, window) for window in self.windows().values()]
        limits = [
            day_limit(amount_fen, subject=subject, window=window, max_fen=MAX_FEN, max_count=MAX_COUNT)
            for _, window in keys
        ]
        used = [self.model.get(key, (0, 0)) for key in keys]
        if any(fen + amount_fen > MAX_FEN or times >= MAX_COUNT for fen, times in used):
            with pytest.raises(LimitError):
                self.house.hold(coupon, key=self.key(), consumptions=limits)
            return multiple()
        hold = self.house.hold(coupon, key=self.key(), consumptions=limits).held
        for key, (fen, times) in zip(keys, used, strict=True):
            self.model[key] = (fen + amount_fen, times + 1)
        self.taken[hold.redemption.redemption_id] = (keys, amount_fen)
        return (coupon, hold)

    def give_back(self, redemption_id, *, current=None):
        keys, amount_fen = self.taken[redemption_id]
        for key in keys:
            if current is None or key[1] in current:
                fen, times = self.model[key]
                self.model[key] = (fen - amount_fen, times - 1)

    @rule(target=done, pair=consumes(held))
    def succeed(self, pair):
        coupon, hold = pair
        return (coupon, self.house.conclude(hold, DONE))

    @rule(target=coupons, pair=consumes(held))
    def fail(self, pair):
        coupon, hold = pair
        self.house.conclude(hold, NOT_DONE)
        self.give_back(hold.redemption.redemption_id)
        return coupon

    @rule(target=held, pair=consumes(held))
    def lose_sight(self, pair):
        self.house.conclude(pair[1], UNKNOWN)
        return pair

    @rule(target=reversing, pair=consumes(done))
    def start_reversal(self, pair):
        coupon, redemption = pair
        return (coupon, redemption, self.house.hold_reversal(redemption, key=self.key()).held)

    @rule(target=coupons, item=consumes(reversing))
    def finish_reversal(self, item):
        coupon, redemption, held = item
        self.house.conclude_reversal(held, DONE)
        self.give_back(redemption.redemption_id, current=set(self.windows().values()))
        return coupon

    @rule(target=done, item=consumes(reversing))
    def drop_reversal(self, item):
        coupon, redemption, held = item
        self.house.conclude_reversal(held, NOT_DONE)
        return (coupon, redemption)

    @rule(hours=st.sampled_from([1, 13, 24]))
    def time_goes_on(self, hours):
        if self.house.now < NOW + 20 * DAY:
            self.house.now += timedelta(hours=hours)

    @invariant()
    def counters_equal_the_model(self):
        if hasattr(self, "house"):
            assert self.house.counters() == {key: used for key, used in self.model.items() if used[1]}

    @invariant()
    def every_promise_holds(self):
        if hasattr(self, "house"):
            assert self.house.audit() == ()

    def teardown(self):
        if hasattr(self, "engine"):
            self.engine.dispose()


TestCounting = Counting.TestCase
TestCounting.settings = settings(max_examples=12, stateful_step_count=25, deadline=None)
