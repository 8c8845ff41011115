"""``kill -9`` of a client at random points of a load run: after ``recover`` nothing is lost and nothing is doubled."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes.conftest import PLATFORMS
from unicom_coupon_sdk import OperationState
from unicom_coupon_sdk.runtime.clock import FollowedClock

KILLS = 50
COUPONS = 150

TILL = """
import json, sys
sys.path.insert(0, {root!r})
from tests.processes.conftest import wish
from unicom_coupon_sdk import CouponClient, CouponError, ReverseRequest, Settings
coupons = json.loads(open({coupons!r}).read())
with CouponClient(Settings.load({settings!r})) as client, open({told!r}, "a", buffering=1) as told:
    print("ready", flush=True)
    for number, coupon_id in enumerate(coupons):
        key = f"load-{{number}}"
        try:
            coupon = client.coupon(coupon_id)
            redemption = client.redeem(wish(client, coupon, key=key, platform={platforms!r}[number % {count}]))
            told.write(json.dumps([key, redemption.redemption_id, redemption.state]) + "\\n")
            if number % 7 == 0:
                back = client.reverse(ReverseRequest(idempotency_key="back-" + key, redemption_id=redemption.redemption_id))
                told.write(json.dumps(["back-" + key, redemption.redemption_id, back.state]) + "\\n")
        except CouponError:
            continue
"""


@pytest.mark.slow
def test_fifty_kills_lose_nothing_and_double_nothing(shop, tmp_path):
    coupons = shop.coupons(COUPONS)
    listed, told = tmp_path / "coupons.json", tmp_path / "told.jsonl"
    listed.write_text(json.dumps([coupon.coupon_id for coupon in coupons]), encoding="utf-8")
    told.touch()
    program = TILL.format(
        root=str(Path(__file__).resolve().parents[2]),
        coupons=str(listed),
        settings=str(shop.settings_file),
        told=str(told),
        platforms=PLATFORMS,
        count=len(PLATFORMS),
    )
    chance = random.Random(4)
    for _ in range(KILLS):
        till = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        assert till.stdout.readline() == b"ready\n"
        _wait(chance.uniform(0, 0.4), till)
        if till.poll() is None:
            os.kill(till.pid, signal.SIGKILL)
        till.wait()
        till.stdout.close()

    answers = [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()]
    shop.server.control.advance(3_600)
    with shop.client() as client:
        assert isinstance(client.clock, FollowedClock)
        recovery = client.recover()
        assert (recovery.still_open, recovery.errors) == (0, ())
        assert client.read(client.setting.ledger.audit()) == ()
        final = {
            redemption_id: client.query(redemption_id)
            for key, redemption_id, _ in answers
            if not key.startswith("back-")
        }
        reversed_ = {
            redemption_id for key, redemption_id, state in answers if key.startswith("back-") and state == "done"
        }
        for key, redemption_id, state in answers:
            if not key.startswith("back-") and state == "done":
                expected = {OperationState.DONE, OperationState.REVERSED}
                assert final[redemption_id].state in expected
                assert final[redemption_id].idempotency_key == key
        assert all(final[redemption_id].state is OperationState.REVERSED for redemption_id in reversed_)
        for coupon in coupons:
            used = shop.is_used(coupon)
            here = client.coupon(coupon.coupon_id).state.value == "redeemed"
            assert len(used) == int(here)
    assert len(final) > COUPONS // 3


def _wait(seconds, process):
    """Let the load run for a while: real time, since the victim is a real process."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            process.wait(timeout=max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return
