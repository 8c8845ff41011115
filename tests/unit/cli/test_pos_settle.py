"""``pos-settle`` over a sandbox's POS line."""

import json
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from unicom_coupon_adapters.unionpay_pos.transactions import Wish
from unicom_coupon_sdk import CouponClient, Settings
from unicom_coupon_sdk.cli import pos_settle  # noqa: F401 - it registers itself
from unicom_coupon_sdk.cli.app import app
from unicom_coupon_sdk.sandbox import SandboxServer

POS = "unionpay_pos"


@pytest.fixture
def server(tmp_path):
    with SandboxServer(tmp_path / "sandbox", port_base=0, platforms=[POS]) as running:
        yield running


def run(server, *words, code=0):
    result = CliRunner().invoke(app, ["pos-settle", *words, "--config", str(server.settings_file), "--lang", "en"])
    assert result.exit_code == code, result.output
    return result


def redeem(server, *, number="10000001", fen=2_000):
    code = server.control.issue_coupons(POS, face_fen=fen)[0]["code"]
    with CouponClient(Settings.load(server.settings_file)) as client:
        lane = client.setting.adapter(POS).terminal(number)
        wish = Wish(f"OP{code}", "redeem", code, fen, client.clock.now() + timedelta(minutes=5))
        client.run(lane.carry_out(wish))


def test_the_named_terminals_are_settled(server):
    redeem(server)
    redeem(server, number="10000002", fen=700)
    told = json.loads(run(server, "-t", "10000001", "-t", "10000002", "--json").stdout)
    assert told["ok"]
    assert [(one["terminal"], one["batch"], one["debit_fen"], one["totals"]) for one in told["settled"]] == [
        ("10000001", 1, 2_000, "even"),
        ("10000002", 1, 700, "even"),
    ]
    assert "10000001" in run(server, "-t", "10000001").stdout


def test_all_terminals_are_settled_without_a_name(server):
    assert len(json.loads(run(server, "--json").stdout)["settled"]) == 33


def test_one_that_fails_does_not_stop_the_others_and_its_error_is_the_exit_code(server):
    redeem(server)
    server.control.add_fault(POS, "drop_after", match="0500", times=1)
    told = json.loads(run(server, "-t", "10000001", "-t", "10000002", "--json", code=6).stdout)
    assert [one["terminal"] for one in told["settled"]] == ["10000002"]
    assert [error["code"] for error in told["errors"]] == ["platform.no_answer"]
    assert json.loads(run(server, "-t", "10000001", "--json").stdout)["settled"][0]["debit_fen"] == 2_000


def test_a_terminal_that_is_nobodys_is_refused(server):
    assert "99999999" not in run(server, "-t", "99999999", code=4).stdout
