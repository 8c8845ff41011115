from datetime import timedelta

import pytest

from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.sandbox.inprocess import Sandbox
from unicom_coupon_sdk.sandbox.stage import Stage, Traits

TRAITS = Traits(
    platform="bank", redeem_match="", reverse_match="", refusal_code="COUPON_FROZEN", used_states=frozenset({"USED"})
)


@pytest.fixture
def sandbox():
    """At nine in the morning in Beijing, so that a test ends on the day it began."""
    with Sandbox(seed=7, platforms=["bank"]) as sandbox:
        tomorrow = sandbox.clock.now().astimezone(BEIJING) + timedelta(days=1)
        sandbox.control.set_clock(tomorrow.replace(hour=9, minute=0, second=0))
        yield sandbox


@pytest.fixture
def stage(sandbox, tmp_path):
    with Stage(sandbox, TRAITS, runtime="blocking", ledger_url=f"sqlite:///{tmp_path}/ledger.db") as stage:
        yield stage


@pytest.fixture(params=["blocking", "asyncio"])
def either(request, sandbox, tmp_path):
    """A stage on each runtime in turn."""
    with Stage(sandbox, TRAITS, runtime=request.param, ledger_url=f"sqlite:///{tmp_path}/ledger.db") as stage:
        yield stage
