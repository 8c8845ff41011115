"""The verbs of the client, one command each."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from unicom_coupon_sdk.cli.app import Config, Json, Lang, app, command
from unicom_coupon_sdk.cli.output import ExitCode, Printer, plain, say
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.domain.coupon import CouponTemplate
from unicom_coupon_sdk.domain.money import fen_of_yuan
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import RedeemRequest, ReverseRequest
from unicom_coupon_sdk.domain.requests import BindRequest, ChallengeRequest, IssueRequest, VoidRequest
from unicom_coupon_sdk.domain.state import OperationState, ReversalCause
from unicom_coupon_sdk.domain.times import BEIJING, business_date
from unicom_coupon_sdk.domain.token import PREFIX
from unicom_coupon_sdk.domain.verification import Method
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.runtime.clock import SystemClock

Platform = Annotated[str, typer.Option("--platform", "-p", help="Platform name, such as wechatpay. 平台名称。")]
Key = Annotated[str, typer.Option("--key", "-k", help="Idempotency key: the same key never does it twice. 幂等键。")]
Code = Annotated[str, typer.Argument(help="Coupon code or QR token. 券码或动态码。")]


@app.command()
@command
def issue(
    template: Annotated[Path, typer.Argument(help="Template as JSON or TOML file; - reads JSON. 券模板文件。")],
    count: Annotated[int, typer.Option("--count", "-n", help="How many coupons, up to 1000. 数量。")],
    key: Key,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """Make coupons and list them on their platforms. The codes are printed: they are worth money. 发券。"""
    request = IssueRequest(idempotency_key=key, template=_template(template), count=count)
    with CouponClient.from_config(config) as client:
        batch = client.issue(request)
    printer = Printer(as_json=as_json)
    if as_json:
        printer.json({"ok": True, **plain(batch, reveal_codes=True)})
        return
    printer.rows(
        say("cli.issued", count=len(batch.coupons), batch_id=batch.batch_id),
        [say("cli.column.coupon_id"), say("cli.column.code"), say("cli.column.valid_until")],
        [(c.coupon_id, c.code.reveal(), c.template.valid_until) for c in batch.coupons],
    )


@app.command()
@command
def bind(
    code: Code,
    platform: Platform,
    user: Annotated[str | None, typer.Option("--user", help="The platform's user id. 平台用户标识。")] = None,
    phone: Annotated[str | None, typer.Option("--phone", help="Mobile number. 手机号。")] = None,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """Give a coupon to its holder on a platform. 绑定持券人。"""
    holder = Holder(user=user or None, phone=phone or None)
    request = BindRequest(coupon=code, platform=platform, holder=holder)
    with CouponClient.from_config(config) as client:
        binding = client.bind(request)
    Printer(as_json=as_json).record(say("cli.bound"), {"ok": True, **plain(binding)})


@app.command()
@command
def show(
    coupon_id: Annotated[str, typer.Argument(help="Coupon id. 券编号。")],
    svg: Annotated[Path | None, typer.Option("--svg", help="Write the QR code to this SVG file. 保存二维码。")] = None,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """The coupon's rotating QR code, good for about a minute. 显示动态码。"""
    import segno

    with CouponClient.from_config(config) as client:
        token = client.show(coupon_id)
    printer = Printer(as_json=as_json)
    image = segno.make(token.reveal(), error="m")
    if svg is not None:
        image.save(str(svg), kind="svg", scale=4)
    if as_json:
        printer.json({"ok": True, "token": token.reveal()})
        return
    image.terminal(compact=True)
    printer.note(token.reveal())


@app.command()
@command
def challenge(
    code: Code,
    platform: Platform,
    method: Annotated[Method, typer.Option("--method", "-m", help="How the holder proves who they are. 验证方式。")],
    order_no: Annotated[str, typer.Option("--order", help="The merchant's order number. 商户订单号。")],
    amount_fen: Annotated[int | None, typer.Option("--amount-fen", help="Order total in fen. 订单金额（分）。")] = None,
    amount_yuan: Annotated[str | None, typer.Option("--amount-yuan", help="The same in yuan. 订单金额（元）。")] = None,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """Ask the holder to prove who they are. 发起验证。"""
    order = Order(order_no=order_no, amount_fen=_amount(amount_fen, amount_yuan))
    request = ChallengeRequest.parse({"coupon": shown_of(code), "platform": platform, "method": method, "order": order})
    with CouponClient.from_config(config) as client:
        made = client.challenge(request)
    Printer(as_json=as_json).record(say("cli.challenged"), {"ok": True, **plain(made)})


@app.command()
@command
def redeem(
    code: Code,
    platform: Platform,
    key: Key,
    order_no: Annotated[str, typer.Option("--order", help="The merchant's order number. 商户订单号。")],
    amount_fen: Annotated[int | None, typer.Option("--amount-fen", help="Order total in fen. 订单金额（分）。")] = None,
    amount_yuan: Annotated[str | None, typer.Option("--amount-yuan", help="The same in yuan. 订单金额（元）。")] = None,
    platform_order_no: Annotated[
        str | None, typer.Option("--platform-order", help="The platform's order number. 平台订单号。")
    ] = None,
    proof: Annotated[
        list[str] | None,
        typer.Option("--proof", help="name=value, repeated; a scanned QR token needs none. 验证凭证。"),
    ] = None,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> ExitCode:
    """Spend a coupon, once by its key. Exit code 6: not known yet, run recover. 核销。"""
    request = RedeemRequest.parse(
        {
            "idempotency_key": key,
            "platform": platform,
            "coupon": shown_of(code),
            "order": Order(
                order_no=order_no, amount_fen=_amount(amount_fen, amount_yuan), platform_order_no=platform_order_no
            ),
            "proof": proof_of(code, proof or []),
        }
    )
    with CouponClient.from_config(config) as client:
        redemption = client.redeem(request)
    return operation_told(redemption, say("cli.redeemed"), as_json=as_json)


@app.command()
@command
def query(
    redemption_id: Annotated[str, typer.Argument(help="Redemption id. 核销编号。")],
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> ExitCode:
    """How a redemption stands; asks the platform when that is open. 查询核销。"""
    with CouponClient.from_config(config) as client:
        redemption = client.query(redemption_id)
    return operation_told(redemption, say("cli.queried"), as_json=as_json)


@app.command()
@command
def reverse(
    redemption_id: Annotated[str, typer.Argument(help="Redemption id. 核销编号。")],
    key: Key,
    cause: Annotated[ReversalCause, typer.Option("--cause", help="Why. 原因。")] = ReversalCause.CUSTOMER_REQUEST,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> ExitCode:
    """Take a redemption back. 退券。"""
    request = ReverseRequest(idempotency_key=key, redemption_id=redemption_id, cause=cause)
    with CouponClient.from_config(config) as client:
        reversal = client.reverse(request)
    return operation_told(reversal, say("cli.reversed"), as_json=as_json)


@app.command()
@command
def recover(
    limit: Annotated[int, typer.Option("--limit", help="At most so many operations. 最多处理笔数。")] = 1000,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> ExitCode:
    """Ask the platforms about everything open. Run it every minute. 恢复未决操作。"""
    with CouponClient.from_config(config) as client:
        recovery = client.recover(limit=limit)
    Printer(as_json=as_json).record(say("cli.recovered"), {"ok": not recovery.errors, **plain(recovery)})
    return ExitCode.PLATFORM if recovery.errors else ExitCode.OK


@app.command()
@command
def expire(
    limit: Annotated[int, typer.Option("--limit", help="At most so many coupons. 最多处理张数。")] = 100_000,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """Move coupons whose last day is over to expired. Run it daily. 过期处理。"""
    with CouponClient.from_config(config) as client:
        expired = client.expire(limit=limit)
    Printer(as_json=as_json).record(say("cli.expired"), {"ok": True, "expired": expired})


@app.command()
@command
def void(
    code: Code,
    reason: Annotated[str, typer.Option("--reason", help="Why, up to 64 characters. 原因。")],
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """Withdraw an unused coupon everywhere; it cannot be undone. 作废。"""
    with CouponClient.from_config(config) as client:
        voided = client.void(VoidRequest.parse({"coupon": code, "reason": reason}))
    state = {"coupon_id": voided.coupon.coupon_id, "state": voided.coupon.state, "errors": voided.errors}
    Printer(as_json=as_json).record(say("cli.voided"), {"ok": True, **plain(state)})


def operation_told(operation: Any, title: str, *, as_json: bool) -> ExitCode:
    """Print an operation; the exit code that stands for how it went."""
    known = operation.state is not OperationState.UNKNOWN
    Printer(as_json=as_json).record(title, {"ok": known, **plain(operation)})
    return ExitCode.OK if known else ExitCode.UNKNOWN


def _template(path: Path) -> CouponTemplate:
    import tomllib

    try:
        text = typer.get_text_stream("stdin").read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ValidationError("cli.template_file", field="template", path=str(path)) from None
    if path.suffix == ".toml":
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            raise ValidationError("cli.template_file", field="template", path=str(path)) from None
        days = data.pop("valid_days", None)
        if days is not None:
            # Whole Beijing days from today on, so that repeating the command the same day asks for the same thing.
            today = datetime.combine(business_date(SystemClock().now()), time(), BEIJING)
            data |= {"valid_from": today, "valid_until": today + timedelta(days=days)}
        return CouponTemplate.parse(data, within="template")
    return CouponTemplate.parse_json(text, within="template")


def _amount(fen: int | None, yuan: str | None) -> int:
    if (fen is None) == (yuan is None):
        raise ValidationError("cli.amount", field="--amount-fen")
    return fen if fen is not None else fen_of_yuan(str(yuan), field="--amount-yuan")


def shown_of(code: str) -> object:
    """What was typed or scanned: a code, or a rotating token."""
    from unicom_coupon_sdk.domain.code import CouponCode
    from unicom_coupon_sdk.domain.token import QrToken

    return QrToken(code) if code.startswith(PREFIX) else CouponCode(code)


def proof_of(code: str, given: list[str]) -> dict[str, str]:
    """``--proof name=value`` pairs; a rotating token that was scanned as the coupon is its own proof."""
    if not given and code.startswith(PREFIX):
        return {"method": "scan", "token": code}
    pairs = [pair.partition("=") for pair in given]
    if not pairs or not all(equals for _, equals, _ in pairs):
        raise ValidationError("cli.proof", field="--proof")
    return {name: value for name, _, value in pairs}
