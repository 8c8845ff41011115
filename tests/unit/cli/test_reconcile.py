"""``unicom-coupon reconcile``: what a finance team types, and what its scripts read."""

import csv
import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.cli.test_command import PLATFORM, coupon, heard, run, server

from unicom_coupon_sdk.cli import clearing, reconcile  # noqa: F401 - they register themselves
from unicom_coupon_sdk.domain.times import business_date

__all__ = ["coupon", "run", "server"]


@pytest.fixture
def today():
    return business_date(datetime.now(UTC))


def test_a_clean_day_with_its_report(run, tmp_path, today):
    day = (today - timedelta(days=3)).isoformat()
    folder = tmp_path / "books"
    told = heard(run("reconcile", "--date", day, "--days", 2, "--report", folder, "--json"))
    assert told["ok"] is True
    assert [(one["platform"], one["is_clean"], one["unasked"]) for one in told["runs"]] == 2 * [(PLATFORM, True, 0)]
    assert told["report"] == str(folder / "report.html")
    assert "<script" not in (folder / "report.html").read_text(encoding="utf-8")
    with (folder / "discrepancies.csv").open(encoding="utf-8-sig", newline="") as file:
        assert list(csv.DictReader(file)) == []
    document = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert (document["last"], len(document["days"])) == (day, 2)


def test_a_person_reads_a_table(run, today):
    day = (today - timedelta(days=3)).isoformat()
    assert day in run("reconcile", "--date", day, "--lang", "zh").stdout


def test_a_day_that_is_not_over_is_refused(run, today):
    told = heard(run("reconcile", "--date", today.isoformat(), "--json", code=4))
    assert told["error"]["code"] == "bill.day"


def test_a_platform_that_is_not_set_up_is_named(run):
    told = heard(run("reconcile", "--platform", "nobody", "--json", code=3))
    assert told["ok"] is False
