"""Reconciliation: what we expect of a bill, what stands in it, and what is to be said where the two differ.

An ``Entry`` is one row that the ledger expects in some bill; a ``ListedRow`` is one row of a bill, as far as it is
compared. Two that belong together make a ``Pair`` when they agree, and otherwise a ``Discrepancy`` for each way in
which they do not. A discrepancy proposes and never acts: its cause is a guess, its action is for somebody to take.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from unicom_coupon_sdk.domain.bill import BillKind, RowKind, RowState, Total


class MatchedBy(StrEnum):
    """By what an entry was found to have happened at the platform."""

    NUMBER = "number"  # ours
    PLATFORM_NO = "platform_no"
    TRADE_BILL = "trade_bill"  # no bill lists the coupon; the order that it was used on stands in the trade bill
    QUERY = "query"  # no bill lists it at all; the platform was asked


class DiscrepancyClass(StrEnum):
    """How ledger and bill differ."""

    AMOUNT_DIFFERS = "amount_differs"
    STATE_DIFFERS = "state_differs"
    DATE_DIFFERS = "date_differs"  # it stood in another day's bill: found, and so resolved
    MISSING_HERE = "missing_here"  # in the bill, and not in the ledger
    MISSING_THERE = "missing_there"  # in the ledger, and not in the bill
    DUPLICATE = "duplicate"  # one of ours stands twice, on either side
    TOTAL_DIFFERS = "total_differs"  # the rows of a bill are not what its summary says
    SHARING_DIFFERS = "sharing_differs"  # a receiver's part has another amount


class Cause(StrEnum):
    """What most likely lies behind a discrepancy. A guess; the texts are ``cause.<value>``."""

    OPEN_HERE = "open_here"
    OPEN_THERE = "open_there"
    NEXT_DAY = "next_day"
    NEAR_MIDNIGHT = "near_midnight"
    NEVER_ARRIVED = "never_arrived"
    NOT_FROM_HERE = "not_from_here"
    ROUNDING = "rounding"
    SIGN = "sign"
    UNIT = "unit"
    FEE_TERMS = "fee_terms"
    NET_OF_FEE = "net_of_fee"
    OTHER_AMOUNT = "other_amount"
    OTHER_RULE = "other_rule"
    TAKEN_BACK_THERE = "taken_back_there"
    NOT_TAKEN_BACK_THERE = "not_taken_back_there"
    REFUSED_THERE = "refused_there"
    DONE_THERE = "done_there"
    MET = "met"
    ROW_TWICE = "row_twice"
    ENTRY_TWICE = "entry_twice"
    ROWS_LOST = "rows_lost"
    ROWS_ADDED = "rows_added"
    SUMS_DIFFER = "sums_differ"


class Action(StrEnum):
    """What is proposed. Nothing is done by itself; the texts are ``action.<value>``."""

    NONE = "none"
    WAIT = "wait"
    RECOVER = "recover"
    ASK_PLATFORM = "ask_platform"
    FIND_ORIGIN = "find_origin"
    COMPARE_ORDER = "compare_order"
    COMPARE_TERMS = "compare_terms"
    COMPARE_RULE = "compare_rule"
    REVERSE_HERE = "reverse_here"
    REVERSE_THERE = "reverse_there"
    CHECK_LEDGER = "check_ledger"
    FETCH_AGAIN = "fetch_again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A row that the ledger expects in a bill: one for each number and kind, ``amount_fen`` with the sign of a row.

    ``number`` is what ``RowRule.number`` of that kind names, ``day`` the bill's day in which it is expected. Several
    redemptions of one order are **one** entry of the kind PAYMENT; shares may have one for each receiver. An entry that
    is OPEN is not decided yet, one that FAILED is not expected to stand anywhere. ``fee_fen`` is compared where both
    sides state one. With ``bill`` it is expected in that kind of bill alone, else in each that has rows of its kind.
    """

    kind: RowKind
    number: str
    amount_fen: int
    state: RowState
    day: date
    operation_id: str
    platform_no: str | None = None
    fee_fen: int | None = None
    settles_on: date | None = None
    bill: BillKind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRow:
    """A row of the bill ``bill`` of ``day``, its ``line``-th: what of it is compared and shown.

    ``number`` and ``platform_no`` are absent where the cell is empty or holds what no number of ours can be.
    ``at`` is in Beijing time.
    """

    bill: BillKind
    kind: RowKind
    state: RowState
    number: str | None
    platform_no: str | None
    amount_fen: int
    day: date
    line: int
    fee_fen: int | None = None
    net_fen: int | None = None
    at: datetime | None = None
    settles_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An operation that stands in a bill as the ledger has it. Fee, net and settlement day are the bill's word."""

    operation_id: str
    bill: BillKind
    kind: RowKind
    state: RowState
    matched_by: MatchedBy
    fee_fen: int | None = None
    net_fen: int | None = None
    settles_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Discrepancy:
    """One way in which ledger and bill differ, with both sides as far as there are two.

    ``discrepancy_id`` is made from platform, bill, class, kind and number, so that what stays open keeps its id from
    day to day. ``since`` is the day of the event, ``open_days`` how long ago that was. ``resolves`` is the id of the
    open discrepancy that this one ends.
    """

    discrepancy_id: str
    platform: str
    bill: BillKind
    found: DiscrepancyClass
    kind: RowKind
    number: str | None
    since: date
    open_days: int
    ours: Entry | Total | None
    theirs: ListedRow | Total | None
    cause: Cause
    action: Action
    resolves: str | None = None

    @property
    def operation_id(self) -> str | None:
        """Our operation, where there is one."""
        return self.ours.operation_id if isinstance(self.ours, Entry) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How many rows of a kind came out one way, with the sums of both sides. ``found`` is absent for what agrees."""

    bill: BillKind
    kind: RowKind
    found: DiscrepancyClass | None
    rows: int
    ours_fen: int
    theirs_fen: int
