"""``unicom-coupon demo``: the main job, in one command."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from unicom_coupon_sdk.cli.app import Json, Lang, app, command
from unicom_coupon_sdk.cli.output import ExitCode, Printer, say
from unicom_coupon_sdk.domain.money import yuan_text
from unicom_coupon_sdk.domain.settlement import CalendarNotPublished, SettlementDate

if TYPE_CHECKING:
    from unicom_coupon_sdk.cli.closing import Books
    from unicom_coupon_sdk.cli.day_limits import LimitDay
    from unicom_coupon_sdk.cli.demonstration import Tally


@app.command()
@command
def demo(
    coupons: Annotated[int, typer.Option("--coupons", "-n", min=10, max=5000, help="How many. 券数量。")] = 300,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="Keep sandbox and ledger here. 保留沙箱与账本的目录。")
    ] = None,
    platform: Annotated[list[str] | None, typer.Option("--platform", "-p", help="Only these. 仅这些平台。")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Repeats the choices. 随机种子。")] = 7,
    as_json: Json = False,
    lang: Lang = None,
) -> ExitCode:
    """Redeem hundreds of coupons with faults on, recover what is unknown, and prove the result. 演示。"""
    from unicom_coupon_sdk.clearing import report
    from unicom_coupon_sdk.cli.demonstration import SHARING, Demonstration, timed
    from unicom_coupon_sdk.cli.reconcile import report_of
    from unicom_coupon_sdk.client import AsyncCouponClient, CouponClient
    from unicom_coupon_sdk.config import Settings
    from unicom_coupon_sdk.sandbox import SandboxServer

    printer = Printer(as_json=as_json)
    with ExitStack() as stack:
        home = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="unicom-coupon-demo-")))
        bars = stack.enter_context(_Bars(printer))
        server = stack.enter_context(SandboxServer(home, port_base=0, platforms=platform, seed=seed))

        async def perform() -> tuple[Tally, float]:
            settings = Settings.load(server.settings_file).replaced(sharing=(SHARING,))
            async with AsyncCouponClient(settings) as client:
                show = Demonstration(
                    client,
                    control_url=server.credentials["control"]["base_url"],
                    coupons=coupons,
                    seed=seed,
                    progress=bars.show,
                )
                return await timed(show)

        tally, seconds = asyncio.run(perform())
        if folder is not None and tally.books is not None:
            with CouponClient(Settings.load(server.settings_file)) as client:
                found = report_of(client, first=tally.books.first, last=tally.books.last)
            report.write(found, folder / "report")
    _report(printer, tally, seconds, kept=folder)
    return ExitCode.OK if tally.ok else ExitCode.BROKEN


class _Bars:
    """Progress bars on standard error: one an act."""

    def __init__(self, printer: Printer) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=printer.err,
            disable=printer.as_json and not printer.err.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def show(self, act: str, done: int, total: int) -> None:
        """Move the bar of ``act``."""
        if act not in self._tasks:
            self._tasks[act] = self._bars.add_task(say(f"demo.act.{act}"), total=total)
        self._bars.update(self._tasks[act], completed=done, total=total)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()


def _report(printer: Printer, tally: Tally, seconds: float, *, kept: Path | None) -> None:
    if printer.as_json:
        counts = {name: getattr(tally, name) for name in _COUNTS}
        printer.json(
            {
                "ok": tally.ok,
                "platforms": sorted(tally.by_platform),
                **counts,
                "by_platform": tally.by_platform,
                "day_limits": [_limit_day(played) for played in tally.day_limits],
                "books": _books(tally.books),
                "violations": tally.violations,
                "seconds": round(seconds, 2),
                "directory": str(kept.absolute()) if kept else None,
            }
        )
        return
    printer.out.print(_what_happened(tally))
    printer.out.print(_proofs(tally))
    for violation in (*tally.violations, *(tally.books.notes if tally.books else ())):
        printer.out.print(Text(violation, style="bold red"))
    words = say("demo.ok" if tally.ok else "demo.broken", seconds=f"{seconds:.1f}")
    printer.out.print(Text(words, style="bold green" if tally.ok else "bold red"))
    if kept is not None:
        printer.out.print(Text(say("demo.kept", path=str(kept.absolute()))))


_COUNTS = (
    "issued",
    "redeemed",
    "reversed",
    "refused",
    "retried_same_answer",
    "unknown_at_first",
    "recovered_unknown",
    "races",
    "races_with_one_winner",
    "double_redemptions",
    "journal_sum_fen",
    "ledger_platform_differences",
)


def _what_happened(tally: Tally) -> Table:
    table = Table(title=say("demo.what_happened"), title_justify="left")
    table.add_column("")
    platforms = sorted(tally.by_platform)
    for platform in platforms:
        table.add_column(platform, justify="right")
    table.add_column(say("demo.total"), justify="right")
    table.add_row(say("demo.issued"), *("" for _ in platforms), str(tally.issued))
    for name in ("redeemed", "reversed", "refused", "unknown_at_first"):
        parts = [str(tally.by_platform[platform].get(name, 0)) for platform in platforms]
        table.add_row(say(f"demo.{name}"), *parts, str(getattr(tally, name)))
    for name in ("recovered_unknown", "retried_same_answer", "races"):
        table.add_row(say(f"demo.{name}"), *("" for _ in platforms), str(getattr(tally, name)))
    return table


def _proofs(tally: Tally) -> Table:
    table = Table(title=say("demo.proofs"), title_justify="left")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_column("")
    proofs = (
        ("double_redemptions", tally.double_redemptions == 0),
        ("ledger_platform_differences", tally.ledger_platform_differences == 0),
        ("journal_sum_fen", tally.journal_sum_fen == 0),
        ("races_with_one_winner", tally.races_with_one_winner == tally.races),
        ("violations", not tally.violations),
    )
    for name, holds in proofs:
        value = len(tally.violations) if name == "violations" else getattr(tally, name)
        table.add_row(say(f"demo.{name}"), str(value), _mark(holds=holds))
    for played in tally.day_limits:
        limit = yuan_text(played.limit.max_fen or 0)
        table.add_row(say("demo.day_limit", platform=played.platform), limit, _mark(holds=played.is_held))
        if played.due_on is not None:
            table.add_row(_before_rest(played), _date_text(played.at.settles_on), _mark(holds=played.is_dated))
    if tally.books is not None:
        _add_books(table, tally.books)
    return table


def _add_books(table: Table, books: Books) -> None:
    shown = ", ".join(f"{say(f'shown_by.{by}')} {count}" for by, count in sorted(books.shown.items()))
    table.add_row(say("demo.unexplained", shown=shown), str(books.unexplained), _mark(holds=books.unexplained == 0))
    table.add_row(say("demo.settled"), yuan_text(books.settled_fen), _mark(holds=books.settled_fen > 0))
    found = books.injected.total() - books.missed
    table.add_row(
        say("demo.defects", classes=len(books.injected), false_alarms=books.false_alarms),
        f"{found}/{books.injected.total()}",
        _mark(holds=books.missed == books.false_alarms == 0 and found > 0),
    )


def _books(books: Books | None) -> dict[str, Any] | None:
    if books is None:
        return None
    return {
        "sold": books.sold,
        "unexplained_differences": books.unexplained,
        "shown_by": dict(books.shown),
        "settled_fen": books.settled_fen,
        "defects_injected": dict(books.injected),
        "defects_found": dict(books.found),
        "precision": books.precision,
        "recall": books.recall,
        "notes": books.notes,
    }


def _limit_day(played: LimitDay) -> dict[str, Any]:
    return {
        "platform": played.platform,
        "limit": played.limit.name,
        "max_fen": played.limit.max_fen,
        "at_the_limit": played.at.state,
        "a_fen_above": played.refusal or "accepted",
        "redeemed_on": played.day,
        "settles_on": _date_text(played.at.settles_on),
        "ok": played.is_held and played.is_dated,
    }


def _before_rest(played: LimitDay) -> str:
    rest = (played.due_on - played.day).days - 1 if isinstance(played.due_on, date) else "?"
    return say("demo.settles_on", platform=played.platform, day=played.day, rest=rest)


def _date_text(settles_on: SettlementDate | None) -> str:
    """The day; where its year is not published, the year in question."""
    return f"{settles_on.year}?" if isinstance(settles_on, CalendarNotPublished) else str(settles_on)


def _mark(*, holds: bool) -> Text:
    return Text("✓", style="green") if holds else Text("✗", style="bold red")
