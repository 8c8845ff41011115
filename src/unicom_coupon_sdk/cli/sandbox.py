"""``unicom-coupon sandbox up``: every platform on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unicom_coupon_sdk.cli.app import Lang, app, command

sandbox = typer.Typer(help="The sandbox. 沙箱。", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(sandbox, name="sandbox")


@sandbox.command()
@command
def up(
    folder: Annotated[Path, typer.Option("--dir", help="Keeps keys and state. 目录。")] = Path(".unicom-sandbox"),
    host: Annotated[str, typer.Option("--host", help="Address to listen on. 监听地址。")] = "127.0.0.1",
    port_base: Annotated[
        int, typer.Option("--port-base", min=0, max=65_000, help="First port; 0 takes free ones. 起始端口。")
    ] = 8700,
    platform: Annotated[list[str] | None, typer.Option("--platform", "-p", help="Only these. 仅这些平台。")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Repeats what is random. 随机种子。")] = None,
    i_know: Annotated[bool, typer.Option("--i-know", help="Allow a host beyond loopback. 允许非本机地址。")] = False,
    lang: Lang = None,
) -> None:
    """Start every platform's emulator and the control server; runs until it is told to stop. 启动沙箱。"""
    from unicom_coupon_sdk.sandbox import serve

    serve(folder, host=host, port_base=port_base, platforms=platform, seed=seed, i_know=i_know)
