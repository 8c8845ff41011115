"""The command, as a person or a script uses it: over a real sandbox, with its exit codes."""

import json
import sqlite3
from binascii import crc32
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from unicom_coupon_sdk.cli import capabilities, demo, doctor, sandbox, verbs  # noqa: F401 - they register themselves
from unicom_coupon_sdk.cli.app import app
from unicom_coupon_sdk.domain.reconciliation import DiscrepancyClass
from unicom_coupon_sdk.sandbox import SandboxServer

PLATFORM = "wechatpay"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with SandboxServer(tmp_path_factory.mktemp("sandbox"), port_base=0, platforms=[PLATFORM]) as running:
        yield running


@pytest.fixture
def run(server):
    def command(*words, config=True, code=0):
        arguments = [str(word) for word in words] + (["--config", str(server.settings_file)] if config else [])
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, result.output
        return result

    return command


def heard(result):
    return json.loads(result.stdout)


@pytest.fixture
def coupon(run, tmp_path, request):
    """A coupon in its holder's hands, by the command alone."""
    template = tmp_path / "template.toml"
    template.write_text(
        f'template_id = "CLI{crc32(request.node.name.encode())}"\nname = "满10减5"\nvalid_days = 30\n'
        f'platforms = ["{PLATFORM}"]\n[benefit]\nkind = "amount_off"\noff_fen = 500\nmin_spend_fen = 1000\n',
        encoding="utf-8",
    )
    batch = heard(run("issue", template, "--count", 1, "--key", f"i-{crc32(request.node.name.encode())}", "--json"))
    made = batch["coupons"][0]
    run("bind", made["code"], "-p", PLATFORM, "--user", "oCommandHolder0001", "--phone", "13800138000", "--json")
    return made


def token(run, coupon):
    return heard(run("show", coupon["coupon_id"], "--json"))["token"]


def test_from_issue_to_reversal(run, coupon):
    key = coupon["coupon_id"]
    done = heard(
        run(
            "redeem", token(run, coupon), "-p", PLATFORM, "-k", key, "--order", "A1", "--amount-yuan", "12.34", "--json"
        )
    )
    assert (done["ok"], done["state"], done["value_fen"]) == (True, "done", 500)
    assert done["order"]["amount_fen"] == 1234
    asked = heard(run("query", done["redemption_id"], "--json"))
    assert asked["state"] == "done"
    back = heard(run("reverse", done["redemption_id"], "-k", f"b-{key}", "--cause", "order_cancelled", "--json"))
    assert back["state"] == "done"
    assert heard(run("recover", "--json"))["still_open"] == 0


def test_the_same_template_file_on_the_same_day_is_the_same_wish(run, coupon, tmp_path):
    template = tmp_path / "template.toml"
    words = ("issue", template, "-n", 2, "-k", f"again-{coupon['coupon_id']}", "--json")
    assert [one["coupon_id"] for one in heard(run(*words))["coupons"]] == [
        one["coupon_id"] for one in heard(run(*words))["coupons"]
    ]


def test_expired_and_withdrawn(run, coupon):
    assert heard(run("expire", "--json"))["expired"] == 0
    assert heard(run("void", coupon["code"], "--reason", "lost", "--json"))["state"] == "void"
    refused = run(
        "redeem", token(run, coupon), "-p", PLATFORM, "-k", "x", "--order", "A1", "--amount-fen", 1500, "--json", code=4
    )
    assert heard(refused)["error"]["code"] == "coupon.void"


def test_tables_for_people_are_in_their_language(run, coupon):
    chinese = run(
        "redeem",
        token(run, coupon),
        "-p",
        PLATFORM,
        "-k",
        coupon["coupon_id"],
        "--order",
        "A1",
        "--amount-fen",
        1500,
        "--lang",
        "zh",
    )
    assert "核销结果" in chinese.stdout
    assert "Recovered" in run("recover", "--lang", "en").stdout


def test_a_code_is_shown_where_it_is_issued_and_nowhere_else(run, coupon):
    told = run(
        "challenge", coupon["code"], "-p", PLATFORM, "-m", "biometric", "--order", "A1", "--amount-fen", 1500, "--json"
    )
    assert coupon["code"] not in told.stdout
    assert "challenge_id" in heard(told)


def test_a_used_coupon_ends_with_exit_code_4(run, coupon):
    words = ["redeem", "-p", PLATFORM, "--order", "A1", "--amount-fen", 1500, "--json"]
    run(*words, token(run, coupon), "-k", f"1-{coupon['coupon_id']}")
    refused = run(*words, token(run, coupon), "-k", f"2-{coupon['coupon_id']}", code=4)
    assert heard(refused)["error"]["code"] == "coupon.redeemed"


def test_an_unknown_outcome_ends_with_exit_code_6(run, coupon, server):
    server.control.add_fault(PLATFORM, "drop_after", times=20)
    words = [
        "redeem",
        token(run, coupon),
        "-p",
        PLATFORM,
        "-k",
        coupon["coupon_id"],
        "--order",
        "A1",
        "--amount-fen",
        1500,
    ]
    assert heard(run(*words, "--json", code=6))["state"] == "unknown"
    server.control.clear_faults()
    assert heard(run("recover", "--json"))["done"] == 1


def test_a_refusal_of_the_platform_ends_with_exit_code_5(run, coupon, server):
    server.control.add_fault(PLATFORM, "error", code="INVALID_REQUEST", times=1)
    words = [
        "redeem",
        token(run, coupon),
        "-p",
        PLATFORM,
        "-k",
        coupon["coupon_id"],
        "--order",
        "A1",
        "--amount-fen",
        1500,
    ]
    assert heard(run(*words, "--json", code=5))["error"]["platform_code"] == "INVALID_REQUEST"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--amount-fen", "1500", "--amount-yuan", "15"), "cli.amount"),
        ((), "cli.amount"),
        (("--amount-yuan", "15.001"), "money.not_yuan"),
        (("--amount-fen", "1500", "--proof", "login"), "cli.proof"),
        (("--amount-fen", "1500"), "cli.proof"),
        (("--amount-fen", "1500", "--proof", "method=magic"), "request.invalid"),
    ],
)
def test_a_redemption_that_is_asked_for_wrongly_is_refused(run, coupon, words, code):
    told = run("redeem", coupon["code"], "-p", PLATFORM, "-k", "x", "--order", "A1", *words, "--json", code=4)
    assert heard(told)["error"]["code"] == code


def test_a_template_that_cannot_be_read_is_named(run, tmp_path):
    for path in (tmp_path / "none.json", tmp_path / "bad.toml"):
        (tmp_path / "bad.toml").write_text("not toml [", encoding="utf-8")
        told = heard(run("issue", path, "-n", 1, "-k", "k", "--json", code=4))
        assert told["error"]["code"] == "cli.template_file"
        assert str(path) in told["error"]["message"]


def test_a_template_may_come_as_json_on_standard_input(server):
    now = datetime.now(UTC)
    template = {
        "template_id": "STDIN1",
        "name": "x",
        "benefit": {"kind": "amount_off", "off_fen": 100},
        "valid_from": now.isoformat(),
        "valid_until": (now + timedelta(days=1)).isoformat(),
        "platforms": [PLATFORM],
    }
    words = ["issue", "-", "-n", "2", "-k", "stdin", "--config", str(server.settings_file)]
    result = CliRunner().invoke(app, words, input=json.dumps(template))
    assert result.exit_code == 0, result.output
    assert result.stdout.count("C") >= 2


def test_the_qr_code_can_be_written_to_a_file(run, coupon, tmp_path):
    run("show", coupon["coupon_id"], "--svg", tmp_path / "qr.svg")
    assert (tmp_path / "qr.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_the_doctor_finds_the_sandbox_in_health(run):
    told = heard(run("doctor", "--json"))
    assert told["ok"]
    assert {finding["state"] for finding in told["platforms"][PLATFORM]} <= {"ok", "skip", "warn"}
    assert "检查通过" in run("doctor", "--lang", "zh").stdout


def test_the_doctor_says_what_to_mend_with_exit_code_1(run, server):
    server.control.add_fault(PLATFORM, "bad_signature", times=500)
    told = run("doctor", "--lang", "en", code=1)
    server.control.clear_faults()
    assert "✗" in told.stdout
    assert "→" in told.stdout


def test_the_capability_table_comes_from_the_profiles(run):
    told = heard(run("adapters", "--json", config=False))
    assert "redeem" in told["platforms"][PLATFORM]["capabilities"]
    assert "微信支付" in run("adapters", "--lang", "zh", config=False).stdout


def test_an_unknown_language_is_a_usage_error(run):
    run("adapters", "--lang", "fr", config=False, code=2)


def test_the_version_is_told():
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout.startswith("unicom-coupon ")


def test_a_sandbox_beyond_loopback_needs_to_be_meant(tmp_path):
    result = CliRunner().invoke(app, ["sandbox", "up", "--host", "0.0.0.0", "--dir", str(tmp_path), "--port-base", "0"])
    assert result.exit_code == 3
    assert "sandbox.not_loopback" in result.stderr


def test_the_demo_proves_what_its_ledger_file_holds(tmp_path):
    result = CliRunner().invoke(
        app, ["demo", "--coupons", "60", "--dir", str(tmp_path), "--json", "--platform", PLATFORM]
    )
    told = heard(result)
    assert result.exit_code == 0
    assert told["ok"] is True
    books = told["books"]
    assert (books["unexplained_differences"], books["precision"], books["recall"]) == (0, 1.0, 1.0)
    assert set(books["defects_injected"]) == set(DiscrepancyClass)
    assert (told["double_redemptions"], told["journal_sum_fen"], told["ledger_platform_differences"]) == (0, 0, 0)
    assert told["platforms"] == [PLATFORM]
    assert told["unknown_at_first"] > 0
    assert 0 < told["seconds"] < 60
    assert told["recovered_unknown"] == told["unknown_at_first"]
    with sqlite3.connect(tmp_path / "ledger.db") as ledger:
        count = lambda state: ledger.execute("SELECT count(*) FROM coupon WHERE state = ?", (state,)).fetchone()[0]  # noqa: E731
        sold = told["books"]["sold"]
        assert ledger.execute("SELECT count(*) FROM coupon").fetchone()[0] == told["issued"] + sold == 60 + sold
        assert count("redeemed") == told["redeemed"] + sold
        assert count("held") == 0
        states = dict(ledger.execute("SELECT state, count(*) FROM redemption GROUP BY state"))
        assert states["reversed"] == told["reversed"]
    ledger.close()


def test_the_demo_tells_people_in_chinese(tmp_path):
    result = CliRunner().invoke(app, ["demo", "--coupons", "10", "--lang", "zh", "--platform", PLATFORM])
    assert result.exit_code == 0
    assert "全部证明成立" in result.stdout
