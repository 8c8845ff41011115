"""The verbs of clearing, one command each: pay-outs, shares, settlements, bills, the trial balance."""

from __future__ import annotations

import csv
import sys
from datetime import date, datetime, timedelta
from typing import Annotated, Any

import typer

from unicom_coupon_sdk.cli.app import Config, Json, Lang, app, command
from unicom_coupon_sdk.cli.output import ExitCode, Printer, plain, say
from unicom_coupon_sdk.cli.verbs import Code, Key, Platform, operation_told, proof_of, shown_of
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.domain.bill import BillKind, BillNotReady
from unicom_coupon_sdk.domain.money import yuan_text
from unicom_coupon_sdk.domain.redemption import PayOutRequest
from unicom_coupon_sdk.domain.settlement import Settlement
from unicom_coupon_sdk.domain.sharing import ShareRequest
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.errors import ValidationError

Day = Annotated[
    str | None,
    typer.Option("--date", "-d", help="Beijing day, YYYY-MM-DD; default: see the text. 北京日期。", show_default=False),
]

JOURNAL_PAGE = 1_000


def day_of(text: str | None, *, client: CouponClient, back: int) -> date:
    """The day that was asked for, or the one ``back`` days ago on the client's clock."""
    if text is None:
        return business_date(client.clock.now()) - timedelta(days=back)
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise ValidationError("cli.day", field="--date") from None


@app.command("pay-out")
@command
def pay_out(
    code: Code,
    key: Key,
    platform: Platform,
    reference: Annotated[str, typer.Option("--reference", help="Your own number of the pay-out. 商户付款编号。")],
    payee_name: Annotated[
        str | None, typer.Option("--payee-name", help="The holder's real name, where asked for. 收款人姓名。")
    ] = None,
    proof: Annotated[
        list[str] | None, typer.Option("--proof", help="name=value, repeated; a QR token needs none. 验证凭证。")
    ] = None,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> ExitCode:
    """Pay a cash coupon out to its holder, once by its key. Exit code 6: not known yet, run recover. 现金券付款。"""
    request = PayOutRequest.parse(
        {
            "idempotency_key": key,
            "platform": platform,
            "coupon": shown_of(code),
            "reference": reference,
            "proof": proof_of(code, proof or []),
            "payee_name": payee_name,
        }
    )
    with CouponClient.from_config(config) as client:
        paid = client.pay_out(request)
    known = paid.redemption.state is not OperationState.UNKNOWN
    told = {"ok": known, **plain(paid.redemption), "instructions": dict(paid.instructions)}
    Printer(as_json=as_json).record(say("cli.paid_out"), told)
    return ExitCode.OK if known else ExitCode.UNKNOWN


@app.command()
@command
def share(
    redemption_id: Annotated[str, typer.Argument(help="Redemption id. 核销编号。")],
    key: Key,
    rule: Annotated[str, typer.Option("--rule", help="Name of a rule in the settings. 分账规则名。")],
    amount_fen: Annotated[int, typer.Option("--amount-fen", help="What there is to share, in fen. 可分金额（分）。")],
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> ExitCode:
    """Send parts of a redeemed order's money to others, by a rule of the settings. 分账。"""
    request = ShareRequest(idempotency_key=key, redemption_id=redemption_id, rule=rule, amount_fen=amount_fen)
    with CouponClient.from_config(config) as client:
        return operation_told(client.share(request), say("cli.shared"), as_json=as_json)


@app.command()
@command
def settle(day: Day = None, config: Config = None, as_json: Json = False, lang: Lang = None) -> None:
    """Gather what each platform should pay by a day (default: today), and say what is late. 结算。"""
    with CouponClient.from_config(config) as client:
        found = client.settle(day_of(day, client=client, back=0))
        today = business_date(client.clock.now())
    printer = Printer(as_json=as_json)
    if as_json:
        made, late = ([_settlement(one, today) for one in some] for some in (found.made, found.late))
        printer.json({"ok": True, "day": found.day, "made": made, "late": late})
        return
    columns = [say(f"cli.column.{name}") for name in ("platform", "settles_on", "size", "value", "fee", "net", "late")]
    for title, some in ((say("cli.settled", day=found.day), found.made), (say("cli.late"), found.late)):
        rows = [
            (
                one.platform,
                f"{one.settles_on} #{one.number}",
                one.size,
                yuan_text(one.value_fen),
                yuan_text(one.fee_fen + one.advance_fee_fen),
                yuan_text(one.net_fen),
                one.late_days(today) or "",
            )
            for one in some
        ]
        printer.rows(title, columns, rows)


def _settlement(one: Settlement, today: date) -> dict[str, Any]:
    return {**plain(one), "net_fen": one.net_fen, "late_days": one.late_days(today)}


@app.command()
@command
def bill(
    platform: Platform,
    kind: Annotated[BillKind, typer.Option("--kind", help="What it is about. 账单种类。")],
    day: Day = None,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> ExitCode:
    """Fetch a platform's bill of a day (default: yesterday), verify and keep it. 下载账单。"""
    with CouponClient.from_config(config) as client:
        found = client.fetch_bill(platform, kind, day_of(day, client=client, back=1))
    title = say(f"cli.bill.{type(found).__name__}")
    Printer(as_json=as_json).record(title, {"ok": not isinstance(found, BillNotReady), **plain(found)})
    return ExitCode.PLATFORM if isinstance(found, BillNotReady) else ExitCode.OK


@app.command("trial-balance")
@command
def trial_balance(
    day: Day = None,
    journal: Annotated[
        bool, typer.Option("--journal", help="Every line of that day as CSV instead. 改为输出当日分录 CSV。")
    ] = False,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> ExitCode:
    """Every account's balance at the end of a day (default: today); they sum to zero. 试算平衡。"""
    with CouponClient.from_config(config) as client:
        until = day_of(day, client=client, back=0)
        if journal:
            _export(client, until)
            return ExitCode.OK
        balances = client.read(client.setting.ledger.trial_balance(until=until))
    total = sum(balances.values())
    printer = Printer(as_json=as_json)
    if as_json:
        printer.json({"ok": total == 0, "day": until, "balances": dict(balances), "sum_fen": total})
    else:
        rows = [(account, yuan_text(fen)) for account, fen in balances.items()]
        columns = [say("cli.column.account"), say("cli.column.balance")]
        printer.rows(say("cli.trial_balance", day=until), columns, [*rows, (say("cli.sum"), yuan_text(total))])
    return ExitCode.OK if total == 0 else ExitCode.BROKEN


def _export(client: CouponClient, day: date) -> None:
    """The day's journal, a line a posting, amounts in fen."""
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(("booked_on", "entry_id", "operation_id", "reverses", "line", "account", "amount_fen"))
    after = ""
    while True:
        page = client.read(client.setting.ledger.journal_lines(since=day, until=day, after=after, limit=JOURNAL_PAGE))
        if not page:
            return
        out.writerows(page)
        after = page[-1].entry_id
