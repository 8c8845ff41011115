"""The doctor: keys, certificates, clock, hosts, callback address, and each platform's own checklist."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.text import Text

from unicom_coupon_sdk import texts
from unicom_coupon_sdk.cli.app import Config, Json, Lang, app, command
from unicom_coupon_sdk.cli.output import ExitCode, Printer, say
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.config import Settings
from unicom_coupon_sdk.errors import CouponError
from unicom_coupon_sdk.platform.adapter import CheckState, Finding

_STYLES = {CheckState.OK: "green", CheckState.WARN: "yellow", CheckState.FAIL: "bold red", CheckState.SKIP: "dim"}
_MARKS = {CheckState.OK: "✓", CheckState.WARN: "!", CheckState.FAIL: "✗", CheckState.SKIP: "–"}


@app.command()
@command
def doctor(
    platform: Annotated[list[str] | None, typer.Option("--platform", "-p", help="Only this. 仅检查该平台。")] = None,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> ExitCode:
    """Check everything a platform's integration checklist asks for. Changes nothing. 体检。"""
    settings = Settings.load(config)
    printer = Printer(as_json=as_json)
    found: dict[str, tuple[Finding, ...]] = {}
    with CouponClient(settings) as client:
        for name in platform or sorted(settings.platforms):
            try:
                found[name] = client.diagnose(name)
            except CouponError as error:
                found[name] = (Finding("doctor.stopped", CheckState.FAIL, {"reason": str(error)}),)
    failed = any(finding.state is CheckState.FAIL for findings in found.values() for finding in findings)
    if as_json:
        platforms = {name: [_plain(finding) for finding in findings] for name, findings in found.items()}
        printer.json({"ok": not failed, "platforms": platforms})
    else:
        for name, findings in found.items():
            _print(printer, name, findings)
        printer.out.print(Text(say("doctor.failed" if failed else "doctor.passed"), style="bold"))
    return ExitCode.BROKEN if failed else ExitCode.OK


def _print(printer: Printer, platform: str, findings: tuple[Finding, ...]) -> None:
    printer.out.print(Text(platform, style="bold underline"))
    for finding in findings:
        told = _plain(finding)
        style = _STYLES[finding.state]
        printer.out.print(Text.assemble((f" {_MARKS[finding.state]} ", style), told["message"]))
        if finding.state in (CheckState.WARN, CheckState.FAIL) and told["remedy"]:
            printer.out.print(Text.assemble(("   → ", style), told["remedy"]))


def _plain(finding: Finding) -> dict[str, str]:
    return {
        "code": finding.code,
        "state": finding.state.value,
        "message": texts.text(finding.code, values=finding.details),
        "remedy": texts.text(finding.code, part="remedy", values=finding.details),
    }
