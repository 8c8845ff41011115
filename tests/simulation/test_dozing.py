"""A process that falls asleep between its hold and its request, while another one recovers what it left."""

from dataclasses import dataclass

import pytest
from tests.simulation.test_crashes import redeeming, run, world_of

from unicom_coupon_sdk.errors import CouponError
from unicom_coupon_sdk.flows.recover import CLOCK_SLACK_S, recover
from unicom_coupon_sdk.platform import registry
from unicom_coupon_sdk.sandbox.simulation.actor import Host

PLATFORMS = tuple(registry.available())


@dataclass
class SleepyHost(Host):
    """Sleeps for ``nap_s`` right after it has held the coupon, before a byte is sent."""

    nap_s: float = 0.0
    has_slept: bool = False

    def _resume(self, flow, go, done):
        held = self.connection.exec_driver_sql("SELECT count(*) FROM redemption WHERE state = 'held'").scalar()
        self.connection.rollback()
        if held and not self.has_slept:
            self.has_slept = True
            self.schedule.put(self.nap_s, lambda: self._advance(flow, go, done))
            return
        super()._resume(flow, go, done)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_was_recovered_meanwhile_is_not_sent_any_more(platform):
    world = world_of(platform)
    make = redeeming(world, platform)
    profile = world.setting.adapter(platform).profile
    certain_s = profile.send_window_s + profile.request_lifetime_s + CLOCK_SLACK_S
    host = SleepyHost(
        schedule=world.schedule,
        network=world.network,
        connection=world.connection,
        random=world.random,
        after_transact=world._check,
        nap_s=certain_s + 120,
    )
    answers = []
    host.run(make(), answers.append)
    world.schedule.put(certain_s + 60, lambda: run_recovery(world))
    world._drain()
    assert host.has_slept
    assert isinstance(answers[0], CouponError)
    view = world.emulators[platform].view(world.coupons[0].code.reveal())
    assert view is None or view["state"] != "USED"
    _, again = run(world, make())
    assert isinstance(again[0], CouponError), "the same key has the same answer: refused"
    world.settle()


def run_recovery(world):
    told = []
    world.host(crash=0.0, skew_s=0.0).run(recover(setting=world.setting), told.append)
