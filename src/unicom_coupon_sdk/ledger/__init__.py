"""The ledger: one authority over every coupon, in SQLite or PostgreSQL."""

from __future__ import annotations

from unicom_coupon_sdk.ledger.answers import (
    Batch,
    BindTicket,
    CounterMismatch,
    Dossier,
    Hold,
    HoldReversal,
    IssueWish,
    OperationKind,
    Pending,
    SequencedEvent,
    Violation,
    Work,
)
from unicom_coupon_sdk.ledger.engine import open_engine, reading
from unicom_coupon_sdk.ledger.journal import Posting
from unicom_coupon_sdk.ledger.ledger import Ledger
from unicom_coupon_sdk.ledger.preparation import image_of, memory_engine, prepare

__all__ = [
    "Batch",
    "BindTicket",
    "CounterMismatch",
    "Dossier",
    "Hold",
    "HoldReversal",
    "IssueWish",
    "Ledger",
    "OperationKind",
    "Pending",
    "Posting",
    "SequencedEvent",
    "Violation",
    "Work",
    "image_of",
    "memory_engine",
    "open_engine",
    "prepare",
    "reading",
]
