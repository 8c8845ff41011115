"""What the doctor sees of keys, check values, debts, line and clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.unit.unionpay_pos.host_bench import HostBench
from tests.unit.unionpay_pos.samples import VECTORS
from tests.unit.unionpay_pos.till import PLATFORM, Till

from unicom_coupon_adapters.unionpay_pos import messages
from unicom_coupon_adapters.unionpay_pos.keys import Cipher, MasterKey
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.errors import PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.platform.adapter import CheckState, Finding
from unicom_coupon_sdk.platform.effects import Flow
from unicom_coupon_sdk.platform.notebook import noting
from unicom_coupon_sdk.sandbox import Sandbox

OK, WARN, FAIL, SKIP = CheckState.OK, CheckState.WARN, CheckState.FAIL, CheckState.SKIP


@pytest.fixture
def till() -> Iterator[Till]:
    with Sandbox(platforms=[PLATFORM]) as sandbox:
        made = Till(sandbox)
        yield made
        made.client.close()


class Ahead:
    """A clock that is some seconds ahead of another."""

    def __init__(self, clock: Any, seconds: float) -> None:
        self._clock, self._ahead = clock, timedelta(seconds=seconds)

    def now(self) -> datetime:
        now: datetime = self._clock.now() + self._ahead
        return now

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)

    async def async_sleep(self, seconds: float) -> None:
        await self._clock.async_sleep(seconds)


def found(client: CouponClient, item: str, *, terminal: str | None = None) -> Finding:
    return next(
        finding
        for finding in client.diagnose(PLATFORM)
        if finding.code == f"unionpay_pos.check_{item}" and terminal in {None, finding.details.get("terminal")}
    )


def changed(till: Till, **changes: Any) -> CouponClient:
    """A client of the sandbox whose POS settings are others."""
    told = till.sandbox.settings()
    settings = told.model_copy(update={"platforms": {PLATFORM: {**told.platforms[PLATFORM], **changes}}})
    return CouponClient(settings, frames=till.sandbox.frames(), clock=till.sandbox.clock)


def test_a_healthy_till_has_nothing_to_fail(till: Till) -> None:
    till.redeem(till.coupon())
    states = {
        finding.code.removeprefix("unionpay_pos.check_"): finding.state for finding in till.client.diagnose(PLATFORM)
    }
    assert states == {
        "terminals": OK,
        "master_key": OK,
        "key_files": OK,
        "channel": WARN,
        "bills": OK,
        "sign_on": SKIP,  # of the last of 33 terminals
        "reversals": OK,
        "batches": OK,
        "line": OK,
        "clock": OK,
    }


def test_the_check_value_of_each_terminals_master_key_is_shown(till: Till) -> None:
    told = till.sandbox.credentials(PLATFORM)
    for one in (told, *told["terminals"]):
        master = MasterKey.for_sandbox(bytes.fromhex(one["tmk_hex"]), field="tmk")
        shown = found(till.client, "master_key", terminal=one["terminal_no"]).details["check"]
        assert shown == master.check().hex().upper()
        assert one["tmk_hex"] not in str(till.client.diagnose(PLATFORM))


@pytest.mark.parametrize(
    ("key", "cipher", "check"),
    [
        (VECTORS["KEY-01"]["TMK"], Cipher.DES, VECTORS["KEY-01"]["TMK_kcv8"][:8]),
        (VECTORS["KEY-01"]["MAK8"], Cipher.DES, VECTORS["KEY-01"]["MAK8_kcv"]),
        (VECTORS["KEY-02"]["PIK"], Cipher.SM4, VECTORS["KEY-02"]["PIK_kcv"]),
    ],
)
def test_a_keys_own_check_value_is_that_of_the_vectors(key: str, cipher: Cipher, check: str) -> None:
    assert MasterKey.for_sandbox(bytes.fromhex(key), field="tmk", cipher=cipher).check().hex().upper() == check


@pytest.mark.parametrize(("mode", "state", "exposed"), [(0o644, WARN, 1), (0o600, OK, 0)])
def test_a_master_key_that_others_may_read_is_warned_of(till: Till, mode: int, state: CheckState, exposed: int) -> None:
    section = till.sandbox.settings().platforms[PLATFORM]
    path = Path(section["terminals"]["10000005"]["tmk"].removeprefix("file:"))
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        finding = found(till.client, "key_files")
    finally:
        path.chmod(before)
    assert (finding.state, finding.details["exposed"]) == (state, exposed)


def test_working_keys_are_checked_by_their_check_values(till: Till) -> None:
    assert found(till.client, "sign_on", terminal="10000001").state is SKIP
    till.redeem(till.coupon())
    assert found(till.client, "sign_on", terminal="10000001").state is OK

    def spoiled() -> Flow[None]:
        name = "terminal/999290054110001/10000001"

        def write(notes: Any) -> None:
            note = notes.get(name)
            field62 = note["keys"]["field62"]
            note["keys"]["field62"] = field62[:-2] + f"{int(field62[-2:], 16) ^ 1:02x}"
            notes.put(name, note)

        return (yield from noting(PLATFORM, write))

    till.client.run(spoiled())
    finding = found(till.client, "sign_on", terminal="10000001")
    assert (finding.state, finding.details["error"]) == (FAIL, "unionpay_pos.key_check")


@pytest.mark.parametrize(("tls", "state"), [(True, OK), (False, WARN)])
def test_a_line_without_tls_is_warned_of(till: Till, *, tls: bool, state: CheckState) -> None:
    with changed(till, tls=tls) as client:
        assert found(client, "channel").state is state


def test_a_line_that_is_down_fails_and_hides_nothing_else(till: Till) -> None:
    station = till.sandbox.world.stations.pop(PLATFORM)
    finding = found(till.client, "line")
    assert (finding.state, finding.details["error"]) == (FAIL, "platform.not_reached")
    assert found(till.client, "reversals").state is OK
    till.sandbox.world.stations[PLATFORM] = station


def test_a_terminal_that_the_host_refuses_fails_with_the_hosts_code(till: Till) -> None:
    till.sandbox.control.deliver(PLATFORM, action="close_terminal", terminal_no="10000001")
    finding = found(till.client, "line")
    assert (finding.state, finding.details["error"]) == (FAIL, "58")


@pytest.mark.parametrize(("ahead_s", "state"), [(-400, FAIL), (-40, WARN), (0, OK), (20, OK), (40, WARN), (400, FAIL)])
def test_our_clock_is_held_against_the_hosts(till: Till, ahead_s: int, state: CheckState) -> None:
    clock = Ahead(till.sandbox.clock, ahead_s)
    with CouponClient(till.sandbox.settings(), frames=till.sandbox.frames(), clock=clock) as client:
        finding = found(client, "clock")
    assert finding.state is state
    assert abs(finding.details["skew_s"] - ahead_s) <= 1


def test_a_reversal_that_is_owed_is_warned_of(till: Till) -> None:
    till.fault("drop_after")
    till.redeem(till.coupon())
    finding = found(till.client, "reversals")
    assert (finding.state, finding.details["owed"]) == (WARN, 1)
    till.redeem(till.coupon())
    assert found(till.client, "reversals").state is OK


def test_a_settlement_that_has_stopped_is_warned_of(till: Till) -> None:
    till.fault("drop_before", "0500")
    with pytest.raises((PlatformUnknown, PlatformUnavailable)):
        till.settle()
    finding = found(till.client, "batches")
    assert (finding.state, finding.details["settling"]) == (WARN, "10000001")
    till.settle()
    assert found(till.client, "batches").state is OK


def test_the_hosts_end_sees_its_keys_and_what_it_has_promised(tmp_path: Path) -> None:
    with HostBench(tmp_path) as bench:
        terminal = bench.terminal()
        request = terminal.redeem(bench.code())
        terminal.call(request)

        def seen() -> dict[str, CheckState]:
            findings = bench.run(bench.client.diagnose(PLATFORM))
            return {finding.code.removeprefix("unionpay_pos.check_"): finding.state for finding in findings}

        assert seen() == {
            "terminals": OK,
            "master_key": OK,
            "key_files": WARN,
            "channel": WARN,
            "bills": SKIP,
            "cancels": OK,
            "line": SKIP,
        }
        terminal.call(messages.reversal(request, reason=messages.Reason.NO_ANSWER))
        assert seen()["cancels"] is WARN
        bench.run(bench.host.run_cancels())
        assert seen()["cancels"] is OK
