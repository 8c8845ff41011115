"""What a sandbox writes down for those who use it: ``sandbox.json`` and ``unicom-coupon.toml``.

Both hold or name private keys of the sandbox, so only their owner may read them, and both are replaced whole: a reader
never sees half of one.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from unicom_coupon_sdk.sandbox.server import url_host

LEDGER_KEY_FILE: Final = "ledger.key"
SANDBOX_FILE: Final = "sandbox.json"
SETTINGS_FILE: Final = "unicom-coupon.toml"

PORT_OFFSETS: Final = {"alipay": 1, "wechatpay": 2, "unionpay_pos": 3, "unionpay_acp": 4, "bank": 5, "ecny": 6}
"""Where each platform listens above the port base; the control API listens at the base itself."""

_GATEWAY_PATHS: Final = {"alipay": "/gateway.do"}
"""Platforms whose clients are given one full URL, not a base."""


def offsets_of(platforms: list[str]) -> dict[str, int]:
    """The port offset of each platform. Those that the contract does not name follow in alphabetical order."""
    free = iter(range(max(PORT_OFFSETS.values()) + 1, 1000))
    return {name: PORT_OFFSETS[name] if name in PORT_OFFSETS else next(free) for name in sorted(platforms)}


def address_of(platform: str, base_url: str) -> dict[str, Any]:
    """The address keys of a platform's section: a base URL, or host and port where it speaks frames (``tcp://``)."""
    parts = urlsplit(base_url)
    if parts.scheme == "tcp":
        return {"host": parts.hostname, "port": parts.port}
    if platform in _GATEWAY_PATHS:
        return {"gateway_url": base_url + _GATEWAY_PATHS[platform]}
    return {"base_url": base_url}


def section_of(platform: str, base_url: str, credentials: Mapping[str, Any]) -> dict[str, Any]:
    """A platform's section of ``sandbox.json``: its address, its credentials, and the address with each terminal."""
    address = address_of(platform, base_url)
    section = address | dict(credentials)
    if "terminals" in section:
        section["terminals"] = [address | dict(terminal) for terminal in section["terminals"]]
    return section


def control_url(host: str, port: int) -> str:
    """The base URL of the control API."""
    return f"http://{url_host(host)}:{port}"


def ledger_settings(directory: Path) -> dict[str, Any]:
    """The client's ledger inside ``directory``; its master key is made at first and kept."""
    key = directory / LEDGER_KEY_FILE
    if not key.exists():
        write_private(key, base64.b64encode(os.urandom(32)) + b"\n")
    return {"url": f"sqlite:///{directory / 'ledger.db'}", "master_key": f"file:{key}"}


def clearing_settings(directory: Path) -> dict[str, Any]:
    """Where the client keeps bills: inside ``directory``."""
    return {"directory": str(directory / "bills")}


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write ``document`` to ``path``, whole and private."""
    write_private(path, (json.dumps(document, ensure_ascii=False, indent=2, default=str) + "\n").encode())


def write_toml(path: Path, document: Mapping[str, Any]) -> None:
    """Write ``document`` to ``path`` as TOML, whole and private."""
    write_private(path, toml_of(document).encode())


def write_private(path: Path, content: bytes) -> None:
    """Replace ``path`` with ``content``, readable by its owner only."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def toml_of(document: Mapping[str, Any], *, within: str = "") -> str:
    """Nested mappings of texts, whole numbers, booleans and lists of them as TOML. ``None`` is left out."""
    plain = {key: value for key, value in document.items() if not isinstance(value, Mapping) and value is not None}
    tables = {key: value for key, value in document.items() if isinstance(value, Mapping)}
    lines = [f"[{within}]"] if within and plain else []
    lines += [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    parts = ["\n".join(lines) + "\n"] if lines else []
    parts += [toml_of(table, within=f"{within}.{_key(key)}" if within else _key(key)) for key, table in tables.items()]
    return "\n".join(part for part in parts if part)


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else _text(name)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return _text(str(value))


def _text(text: str) -> str:
    # JSON's escapes are TOML's, but for DEL, which only TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
