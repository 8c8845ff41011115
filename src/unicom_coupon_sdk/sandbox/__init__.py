"""The sandbox: every platform on this machine, speaking its real wire protocol.

::

    with Sandbox(seed=7) as sandbox:
        client = sandbox.client()

``Sandbox`` runs in process without sockets, ``SandboxServer`` over real ones in a thread, ``serve`` is the command.
Names are loaded when they are used, so that the pytest plugin costs a test run nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unicom_coupon_sdk.sandbox.control import Control, DrivenControl
    from unicom_coupon_sdk.sandbox.inprocess import Sandbox
    from unicom_coupon_sdk.sandbox.service import SandboxServer, serve
    from unicom_coupon_sdk.sandbox.world import SandboxWorld

__all__ = ["Control", "DrivenControl", "Sandbox", "SandboxServer", "SandboxWorld", "serve"]

_HOMES = {
    "Control": "control",
    "DrivenControl": "control",
    "Sandbox": "inprocess",
    "SandboxServer": "service",
    "SandboxWorld": "world",
    "serve": "service",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)
