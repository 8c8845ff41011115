"""A machine without OpenSSL 3, as its user meets it: processes of their own, started as the command is."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from unicom_coupon_sdk.crypto import libcrypto

NOWHERE = "/nowhere/libcrypto.so.3"
MAIN = "from unicom_coupon_sdk.cli import main\nmain()\n"
HIDE_GMSSL = "import sys\nsys.modules['gmssl_pyx'] = None\n"


def said(*words: str, library: str = NOWHERE, before: str = HIDE_GMSSL) -> subprocess.CompletedProcess[str]:
    """What the command says where ``library`` is the only libcrypto there is."""
    return subprocess.run(
        [sys.executable, "-c", before + MAIN, *words],
        env={**os.environ, libcrypto.OVERRIDE: library, "COLUMNS": "2000"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_bank_says_what_was_tried_and_what_to_install(language: str) -> None:
    told = said("demo", "--platform", "bank", "--coupons", "10", "--lang", language)
    assert told.returncode == 3
    assert told.stdout == ""
    assert "Traceback" not in told.stderr
    assert "sm2.no_engine" in told.stderr
    for hint in (
        f"openssl: {NOWHERE}: cannot be opened",
        "gmssl: ",
        libcrypto.OVERRIDE,
        "unicom-coupon-sdk[sm]",
        "x86-64",
    ):
        assert hint in told.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="names a Linux library")
def test_a_library_that_is_not_openssl_3_is_named_as_such() -> None:
    told = said("demo", "--platform", "bank", "--coupons", "10", "--json", library="libc.so.6")
    assert told.returncode == 3
    error = json.loads(told.stdout)["error"]
    assert (error["code"], error["field"]) == ("sm2.no_engine", "sm2_backend")
    assert "openssl: libc.so.6: is not OpenSSL 3" in error["cause"]


def test_a_platform_without_sm2_works_as_it_is() -> None:
    told = said("demo", "--platform", "wechatpay", "--coupons", "10", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["ok"] is True


REDEMPTION = """
from unicom_coupon_sdk.crypto.sm2 import engine
from unicom_coupon_sdk.sandbox.inprocess import Sandbox
from unicom_coupon_sdk.sandbox.stage import Stage, Traits
traits = Traits(platform="bank", redeem_match="", reverse_match="", refusal_code="", used_states=frozenset({"USED"}))
with Sandbox(seed=7, platforms=["bank"]) as sandbox, Stage(sandbox, traits, runtime="blocking") as stage:
    coupon = stage.coupon()
    state = stage.call("redeem", stage.wish(coupon)).state
    findings = {finding.code: finding for finding in stage.call("diagnose", "bank")}
    print(engine().name.value, state.value, stage.is_used_there(coupon), findings["bank.check_sm2_engine"].state.value)
"""


@pytest.mark.clients
def test_with_gmssl_pyx_the_bank_works_and_the_doctor_warns() -> None:
    pytest.importorskip("gmssl_pyx")
    environment = {**os.environ, libcrypto.OVERRIDE: NOWHERE}
    done = subprocess.run(
        [sys.executable, "-c", REDEMPTION], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout.split()) == (0, ["gmssl", "done", "True", "warn"]), done.stderr
