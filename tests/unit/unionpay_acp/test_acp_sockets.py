"""The client against the gateway over real sockets, and what the sandbox's command writes for it."""

import asyncio
import json
import signal
import subprocess
import sys
import tomllib

import pytest
from tests.unit.unionpay_acp.conftest import PLATFORM

from unicom_coupon_adapters.unionpay_pos.acp.payment import Instruction, PaymentState
from unicom_coupon_sdk.client import AsyncCouponClient, CouponClient
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import PlatformUnknown
from unicom_coupon_sdk.sandbox import SandboxServer

LOST = {
    "drop_before": "platform.no_answer",
    "drop_after": "platform.no_answer",
    "half_body": "platform.no_answer",
    "bad_signature": "unionpay_pos.acp_signature",
    "wrong_serial": "unionpay_pos.acp_certificate_name",
    "stale_timestamp": "unionpay_pos.acp_answer_other",
}


@pytest.fixture(scope="module")
def server():
    with SandboxServer(platforms=[PLATFORM]) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with CouponClient.from_config(server.settings_file) as client:
        yield client


def phone(server):
    return Secret(server.control.deliver(PLATFORM, action="show", holder="alice")["qr_no"])


def sale_of(client, number):
    return Instruction.at(client.clock.now(), order_id=f"ORDER{number:07d}", amount_fen=500)


def test_a_payment_and_its_refund(server, client):
    server.control.reset()
    payments = client.setting.adapter("unionpay_pos").acp.payments
    payment = client.run(payments.scan(sale_of(client, 1), qr_no=phone(server)))
    back = sale_of(client, 2)
    client.run(payments.refund(back, original=payment))
    server.control.advance(3)
    assert client.run(payments.query(back)).state is PaymentState.DONE


@pytest.mark.parametrize(("kind", "code"), LOST.items())
def test_a_spoiled_answer_is_unknown_and_the_query_decides(server, client, kind, code):
    server.control.reset()
    payments = client.setting.adapter("unionpay_pos").acp.payments
    server.control.add_fault(PLATFORM, kind, match="01/06")
    sale = sale_of(client, 3)
    with pytest.raises(PlatformUnknown) as lost:
        client.run(payments.scan(sale, qr_no=phone(server)))
    assert lost.value.code == code
    state = client.run(payments.query(sale)).state
    assert state is (PaymentState.ABSENT if kind == "drop_before" else PaymentState.DONE)


def test_an_asyncio_client_does_the_same(server):
    server.control.reset()

    async def pay():
        client = AsyncCouponClient.from_config(server.settings_file)
        try:
            payments = client.setting.adapter("unionpay_pos").acp.payments
            sales = [sale_of(client, number) for number in range(10, 15)]
            paid = await asyncio.gather(*(client.run(payments.scan(sale, qr_no=phone(server))) for sale in sales))
            return [payment.is_of(sale) for payment, sale in zip(paid, sales, strict=True)]
        finally:
            await client.close()

    assert asyncio.run(pay()) == [True] * 5


def test_the_command_serves_the_gateway_alone_and_writes_papers_for_both_kinds_of_client(tmp_path):
    command = [sys.executable, "-c", "from unicom_coupon_sdk.cli import main; main()", "sandbox", "up"]
    options = ["--dir", str(tmp_path), "--port-base", "0", "--platform", PLATFORM]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == f"ready {tmp_path / 'sandbox.json'}\n"
        papers = json.loads((tmp_path / "sandbox.json").read_text())
        settings = tomllib.loads((tmp_path / "unicom-coupon.toml").read_text())
        with CouponClient.from_config(tmp_path / "unicom-coupon.toml") as client:
            findings = client.diagnose("unionpay_pos")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert set(papers) == {"control", PLATFORM}
    assert set(settings["platforms"]) == {"unionpay_pos"}
    assert settings["platforms"]["unionpay_pos"]["acp"]["gateway_url"] == papers[PLATFORM]["base_url"]
    assert findings[-1].details == {"error": "34"}
    assert f"{PLATFORM} listens at {papers[PLATFORM]['base_url']}" in said


def test_an_unknown_name_is_refused_with_those_that_are_there():
    command = [sys.executable, "-c", "from unicom_coupon_sdk.cli import main; main()", "sandbox", "up"]
    done = subprocess.run(
        [*command, "--platform", "unionpay_apc", "--lang", "en"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "unionpay_acp" in done.stdout + done.stderr
