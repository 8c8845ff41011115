"""What came of the contract suite, kept beside each adapter so that tables can show it.

``pytest tests/contract --contract-results DIR`` writes ``DIR/<platform>.json``: each case with ``passed``, ``failed``
or the reason why it was skipped, the worse of its runs over runtimes and ledgers. An adapter ships the file as
``contract.json`` in its folder; ``unicom-coupon adapters`` and the docs read it there, and a test holds it against the
suite as it is now.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

PROPERTY = "unicom_coupon_contract"
FILE = "contract.json"


class ContractResults:
    """A pytest plugin that gathers results by platform and case; works under xdist, too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[str, dict[str, str]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note a case, once it ran; a failure of its set-up or of the audit at its end counts against it."""
        platform = next((value for name, value in report.user_properties if name == PROPERTY), None)
        if platform is None or (report.when != "call" and report.passed):
            return
        case = report.nodeid.rpartition("::")[2].partition("[")[0]
        outcome = report.outcome
        if report.skipped and isinstance(report.longrepr, tuple):
            outcome = report.longrepr[2].removeprefix("Skipped: ")
        known = self._found[platform].get(case)
        if known is None or known == "passed" or outcome == "failed":
            self._found[platform][case] = outcome

    def pytest_sessionfinish(self) -> None:
        """Write a file for each platform."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for platform, cases in self._found.items():
            text = json.dumps(dict(sorted(cases.items())), ensure_ascii=False, indent=1)
            (self._folder / f"{platform}.json").write_text(text + "\n", encoding="utf-8")


def shipped(platform: str) -> Mapping[str, str]:
    """The results that the adapter ships; empty when it ships none."""
    try:
        text = files(f"unicom_coupon_adapters.{platform}").joinpath(FILE).read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError):
        return {}
    found: dict[str, str] = json.loads(text)
    return found
