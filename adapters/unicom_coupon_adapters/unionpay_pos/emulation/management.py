"""A terminal's day at the host: sign-on, sign-off, echo, settlement, batch upload (sheet 4.5, 8.4, 9.3). No MACs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.emulation.redemptions import (
    REVERSED,
    SUCCESS,
    TOMBSTONE,
    TRANSACTION,
    VOIDED,
    change,
)
from unicom_coupon_adapters.unionpay_pos.emulation.world import Decline, Request, Told, World
from unicom_coupon_adapters.unionpay_pos.subfields import Balance, Totals, pack_totals, parse_details, parse_totals
from unicom_coupon_sdk.sandbox.emulator import Store

TYPES: Final = frozenset({"0800", "0820", "0500", "0320"})
SETTLEMENT: Final = "settlement"
_LAST_BATCH: Final = 999_999
_SIGN_ON: Final = frozenset({"001", "003", "004", "006"})
_ENDS: Final = frozenset({"202", "207"})
_NOTICES: Final = frozenset({"203", "204", "205", "206"})


def serve(request: Request) -> Told:
    """Do what a management message asks. Raises ``Decline``."""
    network = request.kind.network
    match request.message.mti:
        case "0800" if network in _SIGN_ON:
            return _sign_on(request)
        case "0820" if network == "301":
            return Told()
        case "0820" if network == "002":
            return _sign_off(request)
        case "0500" if network == "201":
            return _settle(request)
        case "0320" if network in {"201"} | _ENDS | _NOTICES:
            return _upload(request)
    raise Decline("40")


def _sign_on(request: Request) -> Told:
    world = request.world
    keys = world.cards.signed_on(request.terminal, network=request.kind.network)
    batch = _card(request)["batch"]
    kind = replace(request.kind, batch=f"{batch:06d}")
    return Told(fields={60: kind.packed(), 62: keys})


def _sign_off(request: Request) -> Told:
    world = request.world
    card = _card(request)
    if int(request.kind.batch) not in {card["batch"], _after(card["batch"])}:
        raise Decline("77")
    world.cards.forget_keys(request.terminal)
    _roll(request)
    return Told()


def _roll(request: Request) -> None:
    card = _card(request)
    request.world.cards.write(request.terminal, {**card, "batch": _after(card["batch"]), "is_settled": False})


def _settle(request: Request) -> Told:
    """Compare the totals. From now on the batch takes no more transactions and its reversals come too late.

    The same totals under the same trace change nothing: a terminal that had no answer sends them again.
    """
    _check_batch(request)
    world = request.world
    domestic, foreign = parse_totals(request.message.text(48))
    ours = totals(world, terminal=request.terminal, batch=request.kind.batch)
    answers = []
    for told, known in ((domestic, ours), (foreign, Totals())):
        same = replace(told, balance=Balance.ASKED) == known
        answers.append(replace(known, balance=Balance.BALANCED if same else Balance.UNBALANCED))
    settlement = request.store.get(SETTLEMENT, _batch_of(request))
    if settlement is None or settlement["trace"] != request.trace:
        for _, transaction in of_batch(world, terminal=request.terminal, batch=request.kind.batch):
            change(world, transaction, is_settled=True)
        world.cards.write(request.terminal, {**_card(request), "is_settled": True})
        _keep(request, {"trace": request.trace, "records": {}, "is_ended": False})
    return Told(fields={15: world.clearing(), 48: pack_totals(*answers)})


def _upload(request: Request) -> Told:
    """Take in records, each once by its trace, or the end with their number."""
    _check_batch(request)
    settlement = request.store.get(SETTLEMENT, _batch_of(request))
    if not _card(request).get("is_settled") or settlement is None:
        raise Decline("12")
    told = request.message.text(48) if 48 in request.message else ""
    if request.kind.network == "201":
        settlement["records"] |= {detail.trace: detail.amount_fen for detail in parse_details(told)}
    elif request.kind.network in _NOTICES:
        settlement["records"][request.trace] = request.amount
    elif len(told) != 4 or int(told) != len(settlement["records"]):
        raise Decline("64")
    else:
        settlement["is_ended"] = True
    _keep(request, settlement)
    return Told()


def _keep(request: Request, settlement: Mapping[str, Any]) -> None:
    request.store.put(SETTLEMENT, _batch_of(request), settlement)


def _batch_of(request: Request) -> str:
    return f"{request.merchant}|{request.terminal}|{request.kind.batch}"


def totals(world: World, *, terminal: str, batch: str) -> Totals:
    """What the host has in a batch. Reversed transactions count nowhere; a void counts as ``void_in_totals`` says."""
    if world.mode("coupon_in_totals") != "yes":
        return Totals()
    is_credit = world.mode("void_in_totals") == "credit"
    debits, credits_ = [], []
    for _, one in of_batch(world, terminal=terminal, batch=batch):
        stands = one["state"] not in {REVERSED, TOMBSTONE} and one["response"] == "00"
        if not stands:
            continue
        if one["type"] == "22" and (is_credit or one["state"] != VOIDED):
            debits.append(one["amount"])
        elif one["type"] == "25" or (one["type"] == "23" and is_credit):
            credits_.append(one["amount"])
    return Totals(debit_fen=sum(debits), debits=len(debits), credit_fen=sum(credits_), credits=len(credits_))


def of_batch(world: World, *, terminal: str, batch: str) -> list[tuple[str, dict[str, Any]]]:
    """The transactions of a terminal's batch, in the order in which they came."""
    store: Store = world.store
    return [(key, one) for key, one in store.all(TRANSACTION) if one["terminal"] == terminal and one["batch"] == batch]


def _check_batch(request: Request) -> None:
    if int(request.kind.batch) != _card(request)["batch"]:
        raise Decline("77")


def _card(request: Request) -> dict[str, Any]:
    card = request.world.cards.card(request.terminal)
    assert card is not None
    return card


def _after(batch: int) -> int:
    return batch % _LAST_BATCH + 1


__all__ = ["SETTLEMENT", "SUCCESS", "TYPES", "of_batch", "serve", "totals"]
