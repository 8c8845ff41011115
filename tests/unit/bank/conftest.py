from datetime import UTC, datetime

import pytest

from unicom_coupon_sdk.sandbox.inprocess import Sandbox
from unicom_coupon_sdk.sandbox.stage import Stage, Traits

TRAITS = Traits(
    platform="bank", redeem_match="", reverse_match="", refusal_code="COUPON_FROZEN", used_states=frozenset({"USED"})
)
MORNING = datetime(2026, 5, 20, 1, 0, tzinfo=UTC)  # nine in Beijing: what a test begins, it ends on the same day


@pytest.fixture
def sandbox():
    """Its time stands still but for what the test advances."""
    with Sandbox(seed=7, platforms=["bank"], real=lambda: MORNING) as sandbox:
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
