"""The command's process: what it prints, writes, keeps over kill -9, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest
from tests.unit.sandbox.conftest import Served

ROOT = Path(__file__).parents[3]
PROGRAM = """
import json, sys
from tests.unit.sandbox.tokenpay import TokenPay
from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.sandbox import serve
try:
    serve(emulators={"tokenpay": TokenPay}, **json.loads(sys.argv[1]))
except ConfigurationError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


@contextmanager
def running(directory: Path, **options: Any) -> Iterator[tuple[subprocess.Popen[str], Served]]:
    wish = json.dumps({"directory": str(directory), "port_base": 0, **options})
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, wish], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == f"ready {directory}/sandbox.json\n", process.stderr and process.stderr.read()
        try:
            yield process, Served.of(json.loads((directory / "sandbox.json").read_text()))
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_one_line_and_ends_with_0_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path / "dir") as (process, served):
        served.use(served.coupon())
        process.send_signal(number)
        out, _ = process.communicate(timeout=10)
        assert (process.returncode, out) == (0, "")


def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    with running(tmp_path) as (process, served):
        code = served.coupon(holder="13800000000")
        told = served.use(code, "r1", notify_url="http://127.0.0.1:9/").json()
        served.told("POST", "/callbacks", {"platform": "tokenpay", "url": "http://127.0.0.1:9/x"})
        served.told("POST", "/clock", {"advance_s": 86400})
        served.told("POST", "/faults", {"platform": "tokenpay", "kind": "error", "code": "BUSY", "times": 2})
        assert served.use(code, "r2").json() == {"code": "BUSY"}
        before = {name: served.told("GET", f"/{name}") for name in ("requests", "messages", "notifications", "faults")}
        credentials = served.key
        os.kill(process.pid, signal.SIGKILL)
        process.wait(timeout=10)
    with running(tmp_path) as (_, served):
        assert served.key == credentials
        assert {name: served.told("GET", f"/{name}") for name in before} == before
        assert served.use(code, "r2").json() == {"code": "BUSY"}
        assert served.use(code, "r1").json() == told
        assert served.told("GET", f"/coupons/tokenpay/{code}")["state"] == "USED"
        now = datetime.fromisoformat(served.told("GET", "/clock")["now"])
        assert timedelta(days=1) <= now - datetime.now(now.tzinfo) + timedelta(minutes=1) < timedelta(days=1, minutes=2)
        seqs = [entry["seq"] for entry in served.told("GET", "/requests")["requests"]]
        assert seqs == [1, 2, 3, 4]
        assert served.coupon() != code


def test_every_answered_use_is_kept_when_it_dies_under_load(tmp_path: Path) -> None:
    with running(tmp_path) as (process, served):
        codes = [
            coupon["code"]
            for coupon in served.told("POST", "/coupons", {"platform": "tokenpay", "count": 300, "face_fen": 1})[
                "coupons"
            ]
        ]
        answered: list[str] = []

        def use(part: list[str]) -> None:
            for code in part:
                try:
                    if served.use(code, code).status == 200:
                        answered.append(code)
                except (OSError, HTTPException):
                    return
                if len(answered) == 120:
                    os.kill(process.pid, signal.SIGKILL)

        threads = [threading.Thread(target=use, args=(codes[number::8],)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        process.wait(timeout=10)
    assert 120 <= len(answered) < 300
    with running(tmp_path) as (_, served):
        assert {served.told("GET", f"/coupons/tokenpay/{code}")["state"] for code in answered} == {"USED"}


def test_the_papers_are_private_absolute_and_readable_by_our_own_configuration(tmp_path: Path) -> None:
    from unicom_coupon_sdk.config import Settings

    with running(tmp_path / "deep" / "dir") as (_, served):
        file, settings = tmp_path / "deep/dir/sandbox.json", tmp_path / "deep/dir/unicom-coupon.toml"
        assert {path.stat().st_mode & 0o077 for path in (file, settings, file.parent)} == {0}
        document = json.loads(file.read_text())
        assert Path(document["tokenpay"]["key_file"]).is_absolute()
        assert "token" not in document["control"]
        loaded = Settings.load(settings, environment={})
        assert loaded.runtime.clock_url == served.control
        assert loaded.platforms["tokenpay"]["base_url"] == served.platform
        assert "absent" not in tomllib.loads(settings.read_text())["platforms"]["tokenpay"]


def test_nothing_secret_is_logged(tmp_path: Path) -> None:
    with running(tmp_path) as (process, served):
        code = served.coupon(holder="13800000000")
        served.use(code, notify_url="http://127.0.0.1:9/CANARY")
        served.send("GET", f"/v1/coupons/{code}?token=CANARY")
        served.send("POST", "/v1/crash", {"body": "CANARY"})
        served.ask("GET", f"/coupons/tokenpay/{code}")
        served.ask("POST", "/faults", {"platform": "CANARY", "kind": "CANARY"})
        served.ask("CANARY", "/CANARY?CANARY=1", CANARY="CANARY")
        process.terminate()
        _, log = process.communicate(timeout=10)
    assert "/v1/coupons/*" in log
    for secret in (code, "13800000000", "CANARY", "SECRET", served.key):
        assert secret not in log


def test_a_folder_in_use_is_refused_before_anything_listens(tmp_path: Path) -> None:
    with running(tmp_path):
        wish = json.dumps({"directory": str(tmp_path), "port_base": 0})
        second = subprocess.run(
            [sys.executable, "-c", PROGRAM, wish], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
        )
        assert (second.returncode, second.stdout) == (2, "")
        assert "sandbox.directory_in_use" in second.stderr


def test_the_control_token_is_kept_over_a_restart(tmp_path: Path) -> None:
    tokens = []
    for _ in range(2):
        with running(tmp_path, host="0.0.0.0", i_know=True) as (_, served):
            assert served.told("GET", "/health")
            tokens.append(served.token)
    assert tokens[0] == tokens[1] is not None


def test_a_seeded_sandbox_never_draws_the_same_twice_over_a_restart(tmp_path: Path) -> None:
    codes = []
    for _ in range(2):
        with running(tmp_path, seed=5) as (_, served):
            codes += [
                coupon["code"][7:]
                for coupon in served.told("POST", "/coupons", {"platform": "tokenpay", "count": 5, "face_fen": 1})[
                    "coupons"
                ]
            ]
    assert len(set(codes)) == 10
