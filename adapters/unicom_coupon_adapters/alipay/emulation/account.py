"""The merchant's account: what came in, what went out, what is frozen, and the day's movements for the bill (sheet §4).

It opens with a hundred million yuan, so that nobody is short of money who does not want to be (console:
``balance_fen``). Frozen money is part of the balance and may not be spent: that of trades which are still to be
shared, and that of transfers under way.
"""

from __future__ import annotations

from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation.moments import yuan
from unicom_coupon_adapters.alipay.emulation.world import Call, Reply, Route, World
from unicom_coupon_sdk.domain.bill import RowKind

OPENING_FEN: Final = 10_000_000_000
_ONE: Final = "account"


def available(world: World) -> int:
    """What may be spent, in fen."""
    told = _told(world)
    return int(told["balance"]) - int(told["frozen"])


def freeze(world: World, fen: int) -> None:
    """Set ``fen`` aside, or with a negative sum give them free again."""
    told = _told(world)
    world.store.put(_ONE, _ONE, told | {"frozen": told["frozen"] + fen})


def set_balance(world: World, fen: int) -> None:
    """The balance from now on."""
    world.store.put(_ONE, _ONE, _told(world) | {"balance": fen})


def move(
    world: World,
    fen: int,
    *,
    business: str,
    number: str,
    platform_no: str,
    kind: RowKind = RowKind.OTHER,
    subject: str = "",
    other: str = "",
) -> None:
    """``fen`` in, or out where negative, and its line of the day's account bill. ``business`` is its 业务类型."""
    told = _told(world)
    balance = told["balance"] + fen
    world.store.put(_ONE, _ONE, told | {"balance": balance})
    entry = {
        "fen": fen,
        "balance": balance,
        "business": business,
        "number": number,
        "platform_no": platform_no,
        "kind": kind.value,
        "subject": subject,
        "other": other,
        "at": world.now().isoformat(),
    }
    world.store.put(f"account|{world.day()}", f"{world.day()}{world.number('movement', digits=20)}", entry)


def query(call: Call) -> Reply:
    """``alipay.fund.account.query``."""
    call.fields().choice("account_type", "ACCTRANS_ACCOUNT")
    return {"available_amount": yuan(available(call.world)), "freeze_amount": yuan(_told(call.world)["frozen"])}


def _told(world: World) -> dict[str, Any]:
    return world.store.get(_ONE, _ONE) or {"balance": OPENING_FEN, "frozen": 0}


ROUTES: Final = (Route("alipay.fund.account.query", query, certified=True),)
