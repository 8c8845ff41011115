"""Batches at the host: totals compared, records taken in, differences found (sheet 4.5, 8.4).

A settlement is a note for ever, under merchant, terminal and batch. Its messages may come twice, because a terminal
that had no answer sends them again as they were: totals under the same trace change nothing, and a record counts once,
by its trace. None of them has a MAC (sheet 6.2), so nothing here touches a coupon: it is bookkeeping for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.batch_book import VoidTotals
from unicom_coupon_adapters.unionpay_pos.hosting import book
from unicom_coupon_adapters.unionpay_pos.hosting.asked import Asked, Told
from unicom_coupon_adapters.unionpay_pos.hosting.book import Stage
from unicom_coupon_adapters.unionpay_pos.subfields import Balance, Totals, pack_totals, parse_details, parse_totals
from unicom_coupon_sdk.platform.notebook import Notebook

_NOTICES: Final = frozenset({"203", "204", "205", "206"})
_MOST_RECORDS: Final = 1998
"""What the three-digit counts of debits and credits can name; a stranger may not fill the note beyond it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of one batch of a terminal. Traces of six digits name transactions.

    ``unknown_here`` were uploaded and are not here, or for another amount; ``not_told`` are here and were not uploaded.
    Both are empty while the upload has not ended, and when the totals agreed.
    """

    theirs: Totals
    ours: Totals
    is_ended: bool
    unknown_here: tuple[str, ...]
    not_told: tuple[str, ...]


def settle(notes: Notebook, asked: Asked, *, voids: VoidTotals) -> Told:
    """Compare the totals. From now on the batch takes no transactions, and its reversals come too late."""
    card, name = book.card(notes, asked.merchant, asked.terminal)
    if int(asked.kind.batch) != card["batch"]:
        return Told("77")
    domestic, foreign = parse_totals(asked.message.text(48))
    known = [found for key in card["open"] if (found := book.transaction(notes, key)) is not None]
    ours = _totals(known, voids=voids)
    halves = tuple(
        replace(counted, balance=Balance.BALANCED if _agree(told, counted) else Balance.UNBALANCED)
        for told, counted in ((domestic, ours), (foreign, Totals()))
    )
    settlement = _settlement(notes, asked)
    if settlement is None or settlement["trace"] != asked.message.text(11):
        for found in known:
            book.keep(notes, found["key"], {**found, "is_settled": True})
        notes.put(name, {**card, "is_settled": True})
        first = {"trace": asked.message.text(11), "records": {}, "unknown_here": [], "not_told": []}
        told = {"theirs": domestic.packed(), "ours": halves[0].packed(), "is_ended": False}
        notes.put(_name(asked), {**first, **told})
    return Told(fields={15: asked.clearing, 48: pack_totals(*halves)})


def upload(notes: Notebook, asked: Asked) -> Told:
    """Take in records, each once by its trace; or compare them, when the terminal says that these were all."""
    card, _ = book.card(notes, asked.merchant, asked.terminal)
    if int(asked.kind.batch) != card["batch"]:
        return Told("77")
    settlement = _settlement(notes, asked)
    if not card["is_settled"] or settlement is None:
        return Told("12")
    told = asked.message.text(48) if 48 in asked.message else ""
    if asked.kind.network == "201":
        settlement["records"] |= {detail.trace: detail.amount_fen for detail in parse_details(told)}
    elif asked.kind.network in _NOTICES:
        settlement["records"][asked.message.text(11)] = asked.amount
    elif len(told) != 4:
        return Told("30")
    elif int(told) != len(settlement["records"]):
        return Told("64")
    else:
        settlement |= _differences(notes, card["open"], settlement)
    if len(settlement["records"]) > _MOST_RECORDS:
        return Told("30")
    notes.put(_name(asked), settlement)
    return Told()


def settled(notes: Notebook, *, merchant: str, terminal: str, batch: int) -> Settled | None:
    """The settlement of a batch; ``None`` when the terminal has not sent its totals."""
    found = notes.get(f"host/settlement/{merchant}|{terminal}|{batch:06d}")
    if found is None:
        return None
    return Settled(
        theirs=Totals.parse(found["theirs"]),
        ours=Totals.parse(found["ours"]),
        is_ended=found["is_ended"],
        unknown_here=tuple(found["unknown_here"]),
        not_told=tuple(found["not_told"]),
    )


def _differences(notes: Notebook, keys: list[str], settlement: Mapping[str, Any]) -> dict[str, Any]:
    ours = {
        key.rpartition("|")[2]: found["amount"]
        for key in keys
        if (found := book.transaction(notes, key)) is not None and _stands(found)
    }
    theirs = settlement["records"]
    if not theirs and Totals.parse(settlement["ours"]).balance is Balance.BALANCED:
        theirs = ours
    return {
        "is_ended": True,
        "unknown_here": sorted(trace for trace, fen in theirs.items() if ours.get(trace) != fen),
        "not_told": sorted(ours.keys() - theirs.keys()),
    }


def _totals(known: list[dict[str, Any]], *, voids: VoidTotals) -> Totals:
    """Redemptions are debits, returns credits, voids what ``voids`` says; what was reversed counts nowhere."""
    stands = [one for one in known if _stands(one)]
    removed = {one["original"] for one in stands if one["type"] == "23"} if voids == "removed" else set[str]()
    debits = [one["amount"] for one in stands if one["type"] == "22" and one["key"] not in removed]
    credits_ = [one["amount"] for one in stands if one["type"] == "25" or (one["type"] == "23" and voids == "credit")]
    return Totals(debit_fen=sum(debits), debits=len(debits), credit_fen=sum(credits_), credits=len(credits_))


def _stands(found: Mapping[str, Any]) -> bool:
    return found["stage"] in {Stage.APPROVED, Stage.VOIDED} and found["response"] == "00"


def _agree(told: Totals, counted: Totals) -> bool:
    return replace(told, balance=Balance.ASKED) == counted


def _name(asked: Asked) -> str:
    return f"host/settlement/{asked.merchant}|{asked.terminal}|{asked.kind.batch}"


def _settlement(notes: Notebook, asked: Asked) -> dict[str, Any] | None:
    return notes.get(_name(asked))
