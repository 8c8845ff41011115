"""The results that each adapter ships are those of the suite as it is now."""

import json
from pathlib import Path

import pytest

from unicom_coupon_sdk.platform import registry
from unicom_coupon_sdk.sandbox import contract_results
from unicom_coupon_sdk.sandbox.contract import cases

HOW = "run: pytest tests/contract --contract-results build/contract, and copy DIR/<platform>.json to its contract.json"


@pytest.mark.parametrize("platform", list(registry.available()))
def test_an_adapter_ships_the_results_of_every_case(platform):
    shipped = contract_results.shipped(platform)
    assert set(shipped) == set(cases()), HOW
    assert "failed" not in shipped.values()


def test_an_adapter_without_results_ships_none():
    assert contract_results.shipped("no_such_platform") == {}


class Report:
    def __init__(self, outcome, *, when="call", why=None):
        self.nodeid = "tests/contract/test_x.py::TestX::test_case[blocking]"
        self.user_properties = [(contract_results.PROPERTY, "testpay")]
        self.outcome, self.when = outcome, when
        self.passed, self.skipped = outcome == "passed", outcome == "skipped"
        self.longrepr = ("file", 1, f"Skipped: {why}") if why else None


@pytest.mark.parametrize(
    ("reports", "told"),
    [
        ([Report("passed"), Report("passed")], "passed"),
        ([Report("passed"), Report("failed")], "failed"),
        ([Report("failed"), Report("passed")], "failed"),
        ([Report("passed"), Report("failed", when="teardown")], "failed"),
        ([Report("skipped", why="no tokens")], "no tokens"),
    ],
)
def test_a_case_counts_as_its_worst_run(tmp_path, reports, told):
    results = contract_results.ContractResults(tmp_path)
    for report in reports:
        results.pytest_runtest_logreport(report)
    results.pytest_sessionfinish()
    assert json.loads(Path(tmp_path / "testpay.json").read_text(encoding="utf-8")) == {"test_case": told}
