"""The command's parts, put together.

Every command takes ``--json`` and ``--lang``. Settings come from ``--config``, else as ``Settings.load`` finds them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer

from unicom_coupon_sdk import __version__, texts
from unicom_coupon_sdk.cli.output import ExitCode, Printer, exit_code_of
from unicom_coupon_sdk.errors import CouponError

P = ParamSpec("P")

app = typer.Typer(
    name="unicom-coupon",
    help="China Unicom e-coupons on every platform. 联通电子券命令行工具。",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings file (TOML). 配置文件。", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object. 输出一个 JSON 对象。")]
Lang = Annotated[str | None, typer.Option("--lang", help="zh or en; default: the locale's. 语言。", show_default=False)]


@contextmanager
def speaking(language: str | None) -> Iterator[None]:
    """Within the block, texts come in ``language``, or in the locale's."""
    if language is None:
        yield
        return
    if language not in texts.LANGUAGES:
        raise typer.BadParameter("zh, en", param_hint="--lang")
    with texts.use_language(language):
        yield


def command(function: Callable[P, ExitCode | None]) -> Callable[P, None]:
    """A command whose errors are told in words and end with their exit code.

    ``function`` takes ``as_json`` and ``lang`` beside its own options.
    """

    @wraps(function)
    def run_command(*args: P.args, **kwargs: P.kwargs) -> None:
        language = kwargs.get("lang")
        with speaking(language if isinstance(language, str) else None):
            try:
                code = function(*args, **kwargs) or ExitCode.OK
            except CouponError as error:
                Printer(as_json=bool(kwargs.get("as_json"))).error(error)
                code = exit_code_of(error)
        raise typer.Exit(code)

    return run_command


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop. 显示版本号。")] = False,
) -> None:
    if version:
        sys.stdout.write(f"unicom-coupon {__version__}\n")
        raise typer.Exit(ExitCode.OK)


def run() -> None:
    """Parse the command line and run; never returns."""
    # The commands register themselves when they are imported.
    from unicom_coupon_sdk.cli import (  # noqa: F401
        capabilities,
        clearing,
        demo,
        doctor,
        pos_host,
        pos_settle,
        reconcile,
        sandbox,
        verbs,
    )

    app()
