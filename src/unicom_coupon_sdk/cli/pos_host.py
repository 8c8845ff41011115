"""``unicom-coupon pos-host``: the server that POS terminals call, in front of this ledger."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from unicom_coupon_sdk.cli.app import Config, Json, Lang, app, command
from unicom_coupon_sdk.client import AsyncCouponClient
from unicom_coupon_sdk.config import Settings
from unicom_coupon_sdk.errors import ConfigurationError
from unicom_coupon_sdk.platform import registry
from unicom_coupon_sdk.runtime.transport import is_loopback

PLATFORM: Final = "unionpay_pos"


@app.command("pos-host")
@command
def pos_host(
    listen: Annotated[str, typer.Option("--listen", help="Address to listen on. 监听地址。")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0 takes a free one. 端口。")] = 8583,
    tls_certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", help="PEM chain; with --tls-key. TLS 证书链。")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="PEM private key. TLS 私钥。")] = None,
    client_ca: Annotated[
        Path | None, typer.Option("--client-ca", help="Terminals must show a certificate of this CA. 客户端 CA。")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Without TLS beyond loopback: a private line protects it. 允许明文。")
    ] = False,
    config: Config = None,
    as_json: Json = False,
    lang: Lang = None,
) -> None:
    """Serve POS terminals until SIGINT or SIGTERM; prints one line, ready HOST:PORT. 启动 POS 主机。"""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = Settings.load(config)
    tls = _tls(tls_certificate, tls_key, client_ca)
    if tls is None and not (plain or is_loopback(listen)):
        raise ConfigurationError("pos_host.plain", field="listen", host=listen)
    asyncio.run(_serve(settings, listen=listen, port=port, tls=tls))


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> ssl.SSLContext | None:
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise ConfigurationError("pos_host.tls_half", field="tls_key" if key is None else "tls_certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError):
        raise ConfigurationError("pos_host.tls_unreadable", field="tls_certificate") from None
    return context


async def _serve(settings: Settings, *, listen: str, port: int, tls: ssl.SSLContext | None) -> None:
    make = registry.load(PLATFORM).host
    assert make is not None, "the adapter has a host"
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with AsyncCouponClient(settings) as client:
        host: Any = make()(client)
        bound = await host.start(listen, port, tls=tls)
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, stopped.set)
            except NotImplementedError:  # Windows has no such handlers on its loop
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))
        print(f"ready {listen}:{bound}", flush=True)  # noqa: T201 - the one line that others wait for
        try:
            await stopped.wait()
        finally:
            await host.close()
