"""``unicom-coupon pos-settle``: the batches of POS terminals, settled with their host."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from unicom_coupon_sdk.cli.app import Config, Json, Lang, app, command
from unicom_coupon_sdk.cli.output import ExitCode, Printer, exit_code_of, plain, say
from unicom_coupon_sdk.cli.pos_host import PLATFORM
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.errors import CouponError

_COLUMNS: Final = ("terminal", "batch", "debits", "debit_fen", "credits", "credit_fen", "totals", "delivered")


@app.command("pos-settle")
@command
def pos_settle(
    terminal: Annotated[list[str] | None, typer.Option("--terminal", "-t", help="Only this. 仅该终端。")] = None,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> ExitCode:
    """Settle the batch of each POS terminal, or carry on where that stopped. Repeat after exit code 6. POS 批结算。"""
    settled: list[dict[str, Any]] = []
    errors: list[CouponError] = []
    with CouponClient.from_config(config) as client:
        adapter: Any = client.setting.adapter(PLATFORM)
        for number in terminal or adapter.terminals:
            try:
                settled.append(_told(client.run(adapter.settle(number))))
            except CouponError as error:  # the other terminals are settled all the same
                errors.append(error)
    printer = Printer(as_json=as_json)
    if as_json:
        printer.json({"ok": not errors, "settled": settled, "errors": plain(errors)})
    else:
        columns = [say(f"cli.column.{name}") for name in _COLUMNS]
        told = [{**found, "totals": say(f"cli.{found['totals']}")} for found in settled]
        rows = [[found[name] for name in _COLUMNS] for found in told]
        printer.rows(say("cli.pos_settled", count=len(settled)), columns, rows)
        for failed in errors:
            printer.error(failed)
    return exit_code_of(errors[0]) if errors else ExitCode.OK


def _told(found: Any) -> dict[str, Any]:
    return {
        "terminal": found.terminal,
        "batch": found.batch,
        "debits": found.totals.debits,
        "debit_fen": found.totals.debit_fen,
        "credits": found.totals.credits,
        "credit_fen": found.totals.credit_fen,
        "totals": "even" if found.is_balanced else "doubtful" if found.is_doubtful else "uneven",
        "delivered": found.delivered,
    }
