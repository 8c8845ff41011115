"""A terminal's batches: what each of them holds, and how far its settlement has come (sheet 4.5, 8.4).

Notes, beside those of ``terminal``:

``batch/<merchant>/<number>/<batch>``
    counts and sums of what was done in the batch, the step of its settlement, the host's verdict, the trace of the
    message that is out, and how many records were delivered before it.

``batch/<merchant>/<number>/<batch>/<series>/<n>``
    the n-th transaction of a series: ``detail`` (redemptions and voids, up to eight in a message) or ``return`` (one in
    a message). Written with the note that says "done", so a batch holds exactly what its terminal believes.

The steps, each durable before its message leaves. A message that was not answered is sent again, the same to the byte,
so that a host sees a repeat::

    open ─▶ totals ──uneven──▶ details ─▶ end ─▶ sign_off ─▶ settled
              │ ▲─────declined────┴────────┤▲
              └───────balanced─────────────┼┘
                                           └─▶ closed: the host has gone to another batch by itself
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, TypeAlias

from unicom_coupon_adapters.unionpay_pos.subfields import DETAILS_A_MESSAGE, Balance, BatchDetail, Totals
from unicom_coupon_sdk.platform.notebook import Notebook

MOST_IN_A_BATCH: Final = 999
"""Counts of totals have three digits (sheet 12)."""

DETAIL, RETURN = "detail", "return"
VoidTotals: TypeAlias = Literal["credit", "removed"]
"""How an acquirer counts a void: as a credit of its own, or by taking the redemption out of the debits (sheet 4.5)."""


class Step(StrEnum):
    """How far a batch is."""

    OPEN = "open"
    TOTALS = "totals"
    DETAILS = "details"
    END = "end"
    SIGN_OFF = "sign_off"
    SETTLED = "settled"
    CLOSED = "closed"


ENDED: Final = frozenset({Step.SETTLED, Step.CLOSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One settlement of a terminal's batch. ``trace`` is that of the message that is out, or comes next.

    ``domestic`` and ``foreign`` are the host's verdict, with its own totals; ``None`` until it has spoken. Of
    ``records`` there are to deliver, ``delivered`` were acknowledged.
    """

    terminal: str
    batch: int
    step: Step
    totals: Totals
    records: int
    delivered: int
    trace: int
    domestic: Totals | None = None
    foreign: Totals | None = None

    @property
    def is_balanced(self) -> bool:
        """Whether the host has agreed to both halves."""
        return all(half is not None and half.balance is Balance.BALANCED for half in (self.domestic, self.foreign))

    @property
    def is_doubtful(self) -> bool:
        """Whether the host has called a half an error (verdict 3): somebody must ask the acquirer."""
        return any(half is not None and half.balance is Balance.ERROR for half in (self.domestic, self.foreign))


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """The records of one upload message: details, or the operation id of one return."""

    details: tuple[BatchDetail, ...] = ()
    returned: str | None = None

    def __len__(self) -> int:
        return len(self.details) or int(self.returned is not None)


def opened(notes: Notebook, name: str) -> dict[str, Any]:
    """The batch's note; one that had ended is begun anew, because its number has come round again."""
    empty = {kind: {"count": 0, "fen": 0} for kind in ("redeem", "void", "return")}
    first = {**empty, "step": Step.OPEN, "trace": 0, "delivered": 0, "domestic": "", "foreign": ""}
    found = notes.get(name) or notes.opened(name, first=first)
    return first if found["step"] in ENDED else found


def log(notes: Notebook, name: str, *, operation_id: str, note: Mapping[str, Any]) -> None:
    """Add an operation that was done to its batch."""
    batch = opened(notes, name)
    series = RETURN if note["kind"] == "return" else DETAIL
    batch[note["kind"]]["count"] += 1
    batch[note["kind"]]["fen"] += note["amount"]
    notes.put(name, batch)
    record = {"operation": operation_id, "trace": note["trace"], "amount": note["amount"]}
    notes.put(f"{name}/{series}/{_size(batch, series)}", record)


def is_full(batch: Mapping[str, Any], *, coming: int) -> bool:
    """Whether no more fits, when ``coming`` operations are still open."""
    return _size(batch, DETAIL) + _size(batch, RETURN) + coming >= MOST_IN_A_BATCH


def settlement_of(notes: Notebook, name: str, *, terminal: str, number: int, voids: VoidTotals) -> Settlement:
    """The settlement as its note has it."""
    batch = _note(notes, name)
    redeemed, voided, returned = (batch[kind] for kind in ("redeem", "void", "return"))
    is_credit = voids == "credit"
    return Settlement(
        terminal=terminal,
        batch=number,
        step=Step(batch["step"]),
        totals=Totals(
            debit_fen=redeemed["fen"] - (0 if is_credit else voided["fen"]),
            debits=redeemed["count"] - (0 if is_credit else voided["count"]),
            credit_fen=returned["fen"] + (voided["fen"] if is_credit else 0),
            credits=returned["count"] + (voided["count"] if is_credit else 0),
        ),
        records=_size(batch, DETAIL) + _size(batch, RETURN),
        delivered=batch["delivered"],
        trace=batch["trace"],
        domestic=Totals.parse(batch["domestic"]) if batch["domestic"] else None,
        foreign=Totals.parse(batch["foreign"]) if batch["foreign"] else None,
    )


def parcel(notes: Notebook, name: str, *, at: int) -> Parcel:
    """The records of the next upload message, when ``at`` were delivered: always the same, since none is added now."""
    details = _size(_note(notes, name), DETAIL)
    if at >= details:
        return Parcel(returned=_note(notes, f"{name}/{RETURN}/{at - details + 1}")["operation"])
    numbers = range(at + 1, min(at + DETAILS_A_MESSAGE, details) + 1)
    found = (_note(notes, f"{name}/{DETAIL}/{number}") for number in numbers)
    return Parcel(details=tuple(BatchDetail(trace=f"{one['trace']:06d}", amount_fen=one["amount"]) for one in found))


def _size(batch: Mapping[str, Any], series: str) -> int:
    count: int = batch["return"]["count"] if series == RETURN else batch["redeem"]["count"] + batch["void"]["count"]
    return count


def _note(notes: Notebook, name: str) -> dict[str, Any]:
    found = notes.get(name)
    assert found is not None, "a batch that is settled has its notes"
    return found
