from datetime import timedelta

import pytest

from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.sandbox.contract import AdapterContract
from unicom_coupon_sdk.sandbox.inprocess import Sandbox
from unicom_coupon_sdk.sandbox.stage import Traits


class TestBank(AdapterContract):
    traits = Traits(
        platform="bank",
        redeem_match="/polypay/v1.0/coupon/redeem",
        reverse_match="/polypay/v1.0/coupon/reverse",
        refusal_code="COUPON_FROZEN",
        used_states=frozenset({"USED"}),
    )

    @pytest.fixture
    def coupon_sandbox(self):
        """At nine in the morning in Beijing: a bank takes a redemption back on the same day, before 23:30."""
        with Sandbox(seed=7, platforms=["bank"]) as sandbox:
            tomorrow = sandbox.clock.now().astimezone(BEIJING) + timedelta(days=1)
            sandbox.control.set_clock(tomorrow.replace(hour=9, minute=0))
            yield sandbox
