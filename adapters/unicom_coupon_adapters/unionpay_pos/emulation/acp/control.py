"""What the sandbox's control API does at the gateway: a payer's hand, and the acquirer's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unicom_coupon_adapters.unionpay_pos.emulation.acp import files, payments, transactions
from unicom_coupon_adapters.unionpay_pos.emulation.acp.world import Document, World


def order(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """A paid order, as if the merchant had scanned the payer's code: ``amount_fen``, ``holder``?, ``code``?."""
    holder = wish.get("holder") or "sandbox payer"
    paid = payments.pay(
        world,
        transactions.add(
            world,
            order_id=str(wish.get("order_id") or f"ORDER{world.digits(12)}"),
            txn_time=f"{world.local():%Y%m%d%H%M%S}",
            kind="01",
            sub_kind="06",
            amount=wish["amount_fen"],
        ),
        holder=holder,
        code=wish.get("code"),
    )
    return _shown(paid)


def deliver(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """What only a payer or the acquirer could do, by ``action``.

    ``show`` (``holder``, ``code``?, ``limit_fen``?, ``needs_password``?): a payment code on a phone; ``code`` is the
    coupon that its owner chose. ``confirm`` (``order_id``): the password was typed. ``pay`` (``holder``, ``order_id``
    or ``qr_code``, ``code``?): an order of 主扫 or of the browser is paid. ``adjust`` (``order_id``, ``amount_fen``):
    a correction in today's ``ZME``. Raises ``ValueError`` with what is wrong.
    """
    match wish.get("action"):
        case "show":
            return payments.show(world, wish)
        case "confirm":
            waiting = _waiting(world, wish)
            if not waiting["payer"]:
                raise ValueError("nobody has shown a code for this order")
            holder, code, limit_fen = waiting["payer"], waiting["chosen"], waiting["limit_fen"]
            return _shown(payments.pay(world, waiting, holder=holder, code=code, limit_fen=limit_fen))
        case "pay":
            waiting, holder = _waiting(world, wish), wish.get("holder")
            if not holder or waiting["payer"]:
                raise ValueError("holder must name the payer of an order that nobody is paying yet")
            return _shown(payments.pay(world, waiting, holder=holder, code=wish.get("code")))
        case "adjust":
            return files.adjust(world, wish)
    raise ValueError("action must be show, confirm, pay or adjust")


def _waiting(world: World, wish: Mapping[str, Any]) -> Document:
    """The open payment that ``order_id`` or ``qr_code`` names."""
    number = str(wish.get("order_id") or _order_of(world, wish.get("qr_code")))
    found = transactions.find(world, number)
    if found is None or found["kind"] != "01" or found["state"] != transactions.OPEN:
        raise ValueError("there is no such payment that waits for its payer")
    return found


def _order_of(world: World, qr_code: object) -> str:
    return next(
        (number for number, one in world.store.all(transactions.KIND) if qr_code and one.get("qr_code") == qr_code), ""
    )


def _shown(transaction: Mapping[str, Any]) -> dict[str, Any]:
    coupon = transaction["coupon"]
    return {
        "order_id": transaction["order_id"],
        "txn_time": transaction["txn_time"],
        "query_id": transaction["query_id"],
        "state": transaction["state"],
        "resp_code": transaction["code"],
        "amount_fen": transaction["amount"],
        "coupon_fen": coupon["offset"] if coupon else 0,
    }
