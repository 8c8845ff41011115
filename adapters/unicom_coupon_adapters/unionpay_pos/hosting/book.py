"""The host's book: terminals and transactions, as notes in the ledger's database (sheet 8.3, 9).

A transaction is found for ever under merchant, terminal, batch and trace. No note holds a coupon code: the ledger knows
the coupon by its id, and an answer that is given again takes the code from the repeated question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.platform.effects import Flow
from unicom_coupon_sdk.platform.notebook import Notebook, noting

PLATFORM: Final = "unionpay_pos"
GRACE_S: Final = 60.0
_CANCELS: Final = "host/cancels"
_LAST: Final = 999_999

T = TypeVar("T")


class Stage(StrEnum):
    """How a transaction stands at the host."""

    RECEIVED = "received"  # being verified, or a crash left it; nobody was answered
    APPROVED = "approved"
    DECLINED = "declined"
    CANCELLING = "cancelling"  # must be undone; the cancel job is written
    CANCELLED = "cancelled"
    VOIDED = "voided"
    TOMBSTONE = "tombstone"  # reversed before it came


def key_of(merchant: str, terminal: str, batch: str, trace: str) -> str:
    """What names a transaction."""
    return f"{merchant}|{terminal}|{batch}|{trace}"


def terminal_name(merchant: str, number: str) -> str:
    """The name of a terminal's note."""
    return f"host/terminal/{merchant}/{number}"


def written(work: Callable[[Notebook], T]) -> Flow[T]:
    """The flow of one transaction on the notes."""
    return (yield from noting(PLATFORM, work))


def first_terminal() -> dict[str, Any]:
    """A terminal that has never signed on."""
    return {"batch": 1, "keys": None, "previous": None, "is_settled": False, "wrong": [], "open": []}


def card(notes: Notebook, merchant: str, number: str) -> tuple[dict[str, Any], str]:
    """A terminal's note and its name."""
    name = terminal_name(merchant, number)
    return notes.opened(name, first=first_terminal()), name


def day_of(now: datetime) -> str:
    """The day on which keys were handed out."""
    return now.astimezone(BEIJING).date().isoformat()


def after(batch: int) -> int:
    """The batch after this one."""
    return batch % _LAST + 1


def transaction(notes: Notebook, key: str) -> dict[str, Any] | None:
    """A transaction by its key."""
    return notes.get(f"host/transaction/{key}")


def keep(notes: Notebook, key: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """Write a transaction whole, and where else it is looked for."""
    document = {**told, "key": key}
    notes.put(f"host/transaction/{key}", document)
    merchant = key.partition("|")[0]
    if document.get("wish"):
        notes.put(f"host/wish/{merchant}|{document['wish']}", {"key": key})
    if document.get("reference"):
        notes.put(f"host/reference/{merchant}|{document['reference']}", {"key": key})
    return document


def by_wish(notes: Notebook, merchant: str, wish: str) -> dict[str, Any] | None:
    """A transaction by its idempotency key (tag 03)."""
    link = notes.get(f"host/wish/{merchant}|{wish}")
    return transaction(notes, link["key"]) if link else None


def by_reference(notes: Notebook, merchant: str, reference: str) -> dict[str, Any] | None:
    """A transaction by its reference (field 37)."""
    link = notes.get(f"host/reference/{merchant}|{reference}")
    return transaction(notes, link["key"]) if link else None


def next_number(notes: Notebook, name: str) -> int:
    """1, 2, 3, … for each name."""
    note = notes.opened(f"host/number/{name}", first={"last": 0})
    note["last"] += 1
    notes.put(f"host/number/{name}", note)
    number: int = note["last"]
    return number


def owe_cancel(notes: Notebook, key: str) -> None:
    """Write a cancel job, before anybody is told that the transaction will be undone."""
    jobs = notes.opened(_CANCELS, first={"keys": []})
    if key not in jobs["keys"]:
        notes.put(_CANCELS, {"keys": [*jobs["keys"], key]})


def cancels(notes: Notebook) -> tuple[str, ...]:
    """The transactions that must still be undone."""
    return tuple((notes.get(_CANCELS) or {"keys": []})["keys"])


def close_cancel(notes: Notebook, key: str, *, stage: Stage) -> None:
    """A cancel job is done."""
    jobs = notes.opened(_CANCELS, first={"keys": []})
    notes.put(_CANCELS, {"keys": [one for one in jobs["keys"] if one != key]})
    found = transaction(notes, key)
    if found is not None:
        keep(notes, key, {**found, "stage": stage})
