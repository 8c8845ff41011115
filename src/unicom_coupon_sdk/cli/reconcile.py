"""``unicom-coupon reconcile``: some days of some platforms, compared, with a report."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from unicom_coupon_sdk.clearing import report
from unicom_coupon_sdk.clearing.outcome import discrepancy_of, tally_of
from unicom_coupon_sdk.cli.app import Config, Json, Lang, app, command
from unicom_coupon_sdk.cli.clearing import Day, day_of
from unicom_coupon_sdk.cli.output import ExitCode, Printer, plain, say
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.domain.bill import BillNotReady
from unicom_coupon_sdk.domain.money import yuan_text
from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.flows.reconcile import Reconciliation
from unicom_coupon_sdk.platform.profile import Capability

PAGE = 1_000


@app.command()
@command
def reconcile(
    day: Day = None,
    platform: Annotated[
        list[str] | None, typer.Option("--platform", "-p", help="Only these; default: all with bills. 仅这些平台。")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="So many days up to that one. 天数。")] = 1,
    folder: Annotated[
        Path | None, typer.Option("--report", "-r", help="Write an HTML page, CSV and JSON here. 报告目录。")
    ] = None,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> ExitCode:
    """Fetch the bills of a day (default: yesterday) and compare them with the ledger; changes no coupon. 对账。"""
    printer = Printer(as_json=as_json)
    with CouponClient.from_config(config) as client:
        last = day_of(day, client=client, back=1)
        first = last - timedelta(days=days - 1)
        wanted = platform or _with_bills(client)
        told = list(_reconciled(client, wanted, first=first, count=days, printer=printer))
        made = None
        if folder is not None:
            made = report.write(report_of(client, first=first, last=last), folder)[0]
    _tell(printer, told, page=made)
    if any(isinstance(one, BillNotReady) for one in told):
        return ExitCode.PLATFORM
    return ExitCode.OK if all(isinstance(one, Reconciliation) and one.is_clean for one in told) else ExitCode.BROKEN


def _with_bills(client: CouponClient) -> list[str]:
    return [
        name
        for name, adapter in sorted(client.setting.adapters.items())
        if Capability.FETCH_BILL in adapter.profile.capabilities
    ]


def _reconciled(
    client: CouponClient, platforms: list[str], *, first: date, count: int, printer: Printer
) -> Iterator[Reconciliation | BillNotReady]:
    """Day by day, so that what one leaves open is met in the next; with a bar, since a large day takes a while."""
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=printer.err,
        disable=not printer.err.is_terminal, transient=True,
    )  # fmt: skip
    with bar:
        task = bar.add_task("", total=count * len(platforms))
        for number in range(count):
            for name in platforms:
                today = first + timedelta(days=number)
                bar.update(task, description=f"{name} {today}")
                yield client.reconcile(name, today)
                bar.advance(task)


def _tell(printer: Printer, told: list[Reconciliation | BillNotReady], *, page: Path | None) -> None:
    if printer.as_json:
        runs = [
            {**plain(one), "is_clean": one.is_clean} if isinstance(one, Reconciliation) else plain(one) for one in told
        ]
        ok = all(isinstance(one, Reconciliation) and one.is_clean for one in told)
        printer.json({"ok": ok, "runs": runs, "report": None if page is None else str(page)})
        return
    names = ("day", "platform", "agreed", "value", "shown_by", "differences", "unasked", "settled")
    printer.rows(say("cli.reconciled"), [say(f"cli.column.{name}") for name in names], map(_row, told))
    if page is not None:
        printer.note(say("cli.report", path=page))


def _row(one: Reconciliation | BillNotReady) -> tuple[object, ...]:
    if isinstance(one, BillNotReady):
        return (one.day, one.platform, say("cli.not_ready", ready_at=one.ready_at.isoformat()), "", "", "", "", "")
    agreed = [tally for tally in one.tallies if tally.found is None]
    return (
        one.day,
        one.platform,
        sum(tally.rows for tally in agreed),
        yuan_text(sum(tally.ours_fen for tally in agreed)),
        ", ".join(f"{by.value} {count}" for by, count in sorted(one.shown_by.items())),
        ", ".join(f"{found.value} {count}" for found, count in sorted(one.discrepancies.items())),
        one.unasked or "",
        yuan_text(sum(settled.net_fen for settled in one.settled)) if one.settled else "",
    )


def report_of(client: CouponClient, *, first: date, last: date) -> report.ReportData:
    """What the ledger knows of these days: their newest runs, what is open at the end of them, what is late."""
    ledger, merchant_id = client.setting.ledger, client.setting.merchant_id
    runs = client.read(ledger.reconciled(merchant_id, first=first, last=last))
    now = client.clock.now()
    expected = client.read(ledger.expected_settlements(merchant_id))
    return report.ReportData(
        merchant_id=merchant_id,
        made_at=now,
        first=first,
        last=last,
        days=[_day(run.platform, run.day, json.loads(run.content)) for run in runs],
        open_items=sorted(
            _open_items(client, last=last), key=lambda item: (item.discrepancy.since, item.discrepancy.discrepancy_id)
        ),
        late=[one for one in expected if one.late_days(business_date(now)) > 0],
    )


def _day(platform: str, day: date, content: dict[str, object]) -> report.ReportedDay:
    found: dict[str, object] = content
    tallies, unasked = found["tallies"], found["unasked"]
    shown_by, discrepancies = found["shown_by"], found["discrepancies"]
    assert isinstance(tallies, list)
    assert isinstance(unasked, int)
    assert isinstance(shown_by, dict)
    assert isinstance(discrepancies, dict)
    return report.ReportedDay(
        platform=platform,
        day=day,
        is_final=bool(found["is_final"]),
        tallies=tuple(map(tally_of, tallies)),
        shown_by=shown_by,
        discrepancies=discrepancies,
        unasked=unasked,
    )


def _open_items(client: CouponClient, *, last: date) -> Iterator[report.OpenItem]:
    after = ""
    while True:
        page = client.read(
            client.setting.ledger.open_discrepancies(client.setting.merchant_id, last=last, after=after, limit=PAGE)
        )
        for known in page:
            yield report.OpenItem(discrepancy=discrepancy_of(known.content), found_at=known.found_at)
        if len(page) < PAGE:
            return
        after = page[-1].discrepancy_id
