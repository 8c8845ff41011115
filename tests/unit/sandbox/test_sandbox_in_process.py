"""The sandbox without sockets: transports, faults as exceptions, shared clock, seeds, and the pytest plugin."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.unit.sandbox.conftest import EMULATORS
from tests.unit.sandbox.tokenpay import TokenPay, sign

from unicom_coupon_sdk.client import AsyncCouponClient, CouponClient
from unicom_coupon_sdk.errors import ConfigurationError, Effected, PlatformUnavailable, PlatformUnknown, ValidationError
from unicom_coupon_sdk.platform.effects import HttpCall
from unicom_coupon_sdk.platform.wire import HttpAnswer, HttpRequest, TransportRules
from unicom_coupon_sdk.sandbox import Sandbox

BASE = "https://tokenpay.sandbox.invalid"


def a_use(sandbox: Sandbox, code: str, request_no: str = "r1", *, base: str = BASE, timeout_s: float = 15) -> HttpCall:
    body = json.dumps({"code": code, "request_no": request_no}).encode()
    key = Path(sandbox.credentials("tokenpay")["key_file"]).read_text()
    request = HttpRequest("POST", f"{base}/v1/coupons/use?q", (("Token-Signature", sign(key, body, "")),), body)
    hosts = frozenset({"tokenpay.sandbox.invalid", "other.sandbox.invalid"})
    return HttpCall(request, TransportRules(hosts, read_timeout_s=timeout_s))


def coupon(sandbox: Sandbox) -> str:
    code: str = sandbox.control.issue_coupons("tokenpay", face_fen=500)[0]["code"]
    return code


def state(sandbox: Sandbox, code: str) -> str:
    return str((sandbox.control.coupon("tokenpay", code) or {})["state"])


def test_a_call_reaches_the_emulator_and_is_recorded(sandbox: Sandbox) -> None:
    answer = sandbox.transport().send(a_use(sandbox, coupon(sandbox)))
    assert json.loads(answer.content)["use_no"] == 1
    (recorded,) = sandbox.control.requests(platform="tokenpay")
    assert recorded["request_line"] == "POST /v1/coupons/use?q HTTP/1.1"
    assert recorded["headers"][0] == ["Host", "tokenpay.sandbox.invalid"]


def test_an_awaited_call_is_answered_the_same(sandbox: Sandbox) -> None:
    transport = sandbox.async_transport()
    assert asyncio.run(transport.send(a_use(sandbox, coupon(sandbox)))).status == 200


@pytest.mark.parametrize(("kind", "after"), [("drop_before", "SENT"), ("drop_after", "USED"), ("half_body", "USED")])
def test_a_swallowed_answer_is_unknown(sandbox: Sandbox, kind: str, after: str) -> None:
    code = coupon(sandbox)
    sandbox.control.add_fault("tokenpay", kind)
    with pytest.raises(PlatformUnknown) as error:
        sandbox.transport().send(a_use(sandbox, code))
    assert (error.value.code, error.value.outcome) == ("platform.no_answer", Effected.UNKNOWN)
    assert state(sandbox, code) == after


@pytest.mark.parametrize(("seconds", "is_heard"), [(4.0, True), (5.0, False), (60.0, False)])
def test_a_delay_passes_in_simulated_time_and_may_be_too_long(
    sandbox: Sandbox, *, seconds: float, is_heard: bool
) -> None:
    code = coupon(sandbox)
    sandbox.control.add_fault("tokenpay", "delay", seconds=seconds)
    before = sandbox.clock.now()
    call = a_use(sandbox, code, timeout_s=5)
    if is_heard:
        sandbox.transport().send(call)
    else:
        with pytest.raises(PlatformUnknown):
            sandbox.transport().send(call)
    assert timedelta(seconds=min(seconds, 5)) <= sandbox.clock.now() - before < timedelta(seconds=min(seconds, 5) + 3)
    assert state(sandbox, code) == "USED"


def test_a_platform_that_is_not_here_is_not_reached(sandbox: Sandbox) -> None:
    with pytest.raises(PlatformUnavailable) as error:
        sandbox.transport().send(a_use(sandbox, "c", base="https://other.sandbox.invalid"))
    assert error.value.code == "platform.not_reached"


def test_a_host_that_the_call_does_not_allow_is_refused_as_over_the_network(sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError) as error:
        sandbox.transport().send(a_use(sandbox, "c", base="https://evil.example"))
    assert error.value.code == "transport.host"


def test_callbacks_come_when_asked_for_and_when_the_clock_moves(sandbox: Sandbox) -> None:
    taken: list[HttpRequest] = []
    refusals = iter([503])

    def merchant(request: HttpRequest) -> HttpAnswer:
        taken.append(request)
        return HttpAnswer(next(refusals, 200), ())

    sandbox.merchant = merchant
    sandbox.control.register_callback("tokenpay", "https://shop.example/notify")
    sandbox.transport().send(a_use(sandbox, coupon(sandbox)))
    assert taken == []
    assert sandbox.control.deliver_notifications()[0]["state"] == "pending"
    sandbox.control.advance(15)
    assert [request.url for request in taken] == ["https://shop.example/notify"] * 2
    assert sandbox.control.notifications()[0]["state"] == "delivered"


def test_equal_seeds_give_equal_worlds_and_others_do_not() -> None:
    def codes(seed: int | None) -> list[str]:
        with Sandbox(seed, emulators=EMULATORS) as sandbox:
            return [told["code"] for told in sandbox.control.issue_coupons("tokenpay", face_fen=1, count=3)]

    assert codes(7) == codes(7)
    assert codes(7) != codes(8)
    assert codes(None) != codes(None)


def test_a_reset_world_begins_again_from_its_seed(sandbox: Sandbox) -> None:
    first = coupon(sandbox)
    coupon(sandbox)
    sandbox.reset()
    assert coupon(sandbox) == first


def test_what_a_failed_request_drew_can_be_drawn_again(sandbox: Sandbox) -> None:
    drawn = []

    def fail() -> None:
        with sandbox.world.stations["tokenpay"].store.transaction():
            drawn.append(sandbox.world.stations["tokenpay"].frame.random_bytes(4))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert sandbox.world.stations["tokenpay"].frame.random_bytes(4) == drawn[0]


def test_the_clock_can_stand_on_a_constant_one() -> None:
    noon = datetime(2026, 5, 20, 4, tzinfo=UTC)
    with Sandbox(emulators=EMULATORS, real=lambda: noon) as sandbox:
        assert sandbox.control.advance(90) == noon + timedelta(seconds=90)
        sandbox.clock.sleep(10)
        asyncio.run(sandbox.clock.async_sleep(5))
        sandbox.clock.sleep(-5)
        assert sandbox.control.now() == noon + timedelta(seconds=105)


def test_threads_share_a_sandbox(sandbox: Sandbox) -> None:
    codes = [told["code"] for told in sandbox.control.issue_coupons("tokenpay", face_fen=1, count=40)]
    transport = sandbox.transport()

    def use(part: list[str]) -> None:
        for code in part:
            transport.send(a_use(sandbox, code, code))

    threads = [threading.Thread(target=use, args=(codes[number::4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {state(sandbox, code) for code in codes} == {"USED"}
    assert [entry["seq"] for entry in sandbox.control.requests()] == list(range(1, 41))


def test_the_methods_check_as_the_api_does(sandbox: Sandbox) -> None:
    with pytest.raises(ValidationError) as error:
        sandbox.control.add_fault("tokenpay", "explode")
    assert error.value.code == "sandbox.fault_kind"
    with pytest.raises(ValidationError):
        sandbox.control.set_clock(datetime(2026, 1, 1))  # noqa: DTZ001 - naive on purpose


def test_a_closed_sandbox_leaves_no_file() -> None:
    with Sandbox(emulators=EMULATORS) as sandbox:
        directory = sandbox.world.directory
        assert directory.exists()
    assert not directory.exists()


def test_the_plugin_loads_nothing_heavy() -> None:
    program = """
import sys
import unicom_coupon_sdk.sandbox.pytest_plugin
heavy = {"httpx", "aiohttp", "sqlalchemy", "pydantic", "h11", "cryptography"} & set(sys.modules)
print(*sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "\n")


def test_listen_serves_the_same_over_sockets(tmp_path: Path) -> None:
    with Sandbox.listen(dir=tmp_path, emulators=EMULATORS) as server:
        assert server.file == tmp_path / "sandbox.json"
        assert server.control.issue_coupons("tokenpay", face_fen=1)
        before = server.control.now()
        assert server.control.advance(3600) - before >= timedelta(hours=1)


def test_the_fixtures_bring_an_empty_sandbox_and_its_clients(
    coupon_sandbox: Sandbox, coupon_client: CouponClient, async_coupon_client: AsyncCouponClient
) -> None:
    assert coupon_sandbox.control.requests() == []
    assert coupon_client.diagnose("wechatpay")
    assert asyncio.run(async_coupon_client.diagnose("wechatpay"))
    assert coupon_sandbox.control.requests(platform="wechatpay")


def test_the_next_test_finds_nothing_of_it(coupon_sandbox: Sandbox) -> None:
    assert coupon_sandbox.control.requests() == []
    assert coupon_sandbox.control.notifications() == []


class TokenPayFace(TokenPay):
    """The same platform by another protocol: its settings are a part of TokenPay's."""

    name = "tokenpay_face"
    face_of = "tokenpay"

    def client_settings(self, base_url: str) -> dict[str, object]:
        return {"base_url": "never taken", "face": {"base_url": base_url}}


@pytest.mark.parametrize("names", [["tokenpay", "tokenpay_face"], ["tokenpay_face", "tokenpay"]])
def test_a_face_adds_to_its_platforms_settings_and_replaces_nothing(names: list[str]) -> None:
    kinds = {"tokenpay": TokenPay, "tokenpay_face": TokenPayFace}
    with Sandbox(emulators={name: kinds[name] for name in names}) as both:
        section = both.settings().platforms["tokenpay"]
        assert section["base_url"] == BASE
        assert section["face"] == {"base_url": "https://tokenpay-face.sandbox.invalid"}
        assert set(both.settings().platforms) == {"tokenpay"}


def test_a_face_has_state_faults_and_a_record_of_its_own() -> None:
    with Sandbox(emulators={"tokenpay": TokenPay, "tokenpay_face": TokenPayFace}) as both:
        code = both.control.issue_coupons("tokenpay_face", face_fen=500)[0]["code"]
        assert both.control.coupon("tokenpay", code) is None
        both.control.add_fault("tokenpay_face", "drop_before")
        both.transport().send(a_use(both, coupon(both)))
        assert [fault["platform"] for fault in both.control.faults()] == ["tokenpay_face"]
        assert both.control.requests(platform="tokenpay_face") == []
