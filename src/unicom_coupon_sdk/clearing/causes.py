"""What most likely lies behind a difference, and what to do about it.

Rules of thumb, in order of weight, over what both sides say. They propose: a guess that is wrong costs a look, and
nothing is changed by it.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Final

from unicom_coupon_sdk.clearing.matching import Difference
from unicom_coupon_sdk.domain.bill import RowState, Total
from unicom_coupon_sdk.domain.reconciliation import Action, Cause, DiscrepancyClass, Entry, ListedRow
from unicom_coupon_sdk.domain.times import BEIJING

_NEAR: Final = timedelta(hours=1)

_STATES: Final = {
    (RowState.DONE, RowState.UNDONE): (Cause.TAKEN_BACK_THERE, Action.REVERSE_HERE),
    (RowState.UNDONE, RowState.DONE): (Cause.NOT_TAKEN_BACK_THERE, Action.REVERSE_THERE),
    (RowState.DONE, RowState.FAILED): (Cause.REFUSED_THERE, Action.ASK_PLATFORM),
    (RowState.UNDONE, RowState.FAILED): (Cause.REFUSED_THERE, Action.ASK_PLATFORM),
    (RowState.FAILED, RowState.DONE): (Cause.DONE_THERE, Action.CHECK_LEDGER),
    (RowState.FAILED, RowState.UNDONE): (Cause.DONE_THERE, Action.CHECK_LEDGER),
}
"""By our state and theirs, where neither is open."""


def explain(difference: Difference, *, day: date) -> tuple[Cause, Action]:
    """A guess at the cause of what was found on ``day``, and what is proposed."""
    entry, row = difference.entry, difference.row
    match difference.found:
        case DiscrepancyClass.DATE_DIFFERS:
            return Cause.MET, Action.NONE
        case DiscrepancyClass.DUPLICATE:
            return (Cause.ENTRY_TWICE, Action.CHECK_LEDGER) if row is None else (Cause.ROW_TWICE, Action.ASK_PLATFORM)
        case DiscrepancyClass.MISSING_THERE if entry is not None:
            return _missing_there(entry, day=day)
        case DiscrepancyClass.MISSING_HERE if row is not None:
            return _missing_here(row, day=day)
        case DiscrepancyClass.STATE_DIFFERS if entry is not None and row is not None:
            return _state(entry, row)
        case DiscrepancyClass.SHARING_DIFFERS if entry is not None and row is not None:
            cause, action = _amount(entry, row)
            if cause is Cause.OTHER_AMOUNT:
                return Cause.OTHER_RULE, Action.COMPARE_RULE
            return cause, action
        case DiscrepancyClass.AMOUNT_DIFFERS if entry is not None and row is not None:
            return _amount(entry, row)
    raise AssertionError(difference.found)


def explain_total(declared: Total, found: Total) -> tuple[Cause, Action]:
    """The same for a bill whose summary and rows disagree."""
    if found.rows < declared.rows:
        return Cause.ROWS_LOST, Action.FETCH_AGAIN
    if found.rows > declared.rows:
        return Cause.ROWS_ADDED, Action.FETCH_AGAIN
    return Cause.SUMS_DIFFER, Action.FETCH_AGAIN


def _missing_there(entry: Entry, *, day: date) -> tuple[Cause, Action]:
    if entry.state is RowState.OPEN:
        return Cause.OPEN_HERE, Action.RECOVER
    if entry.day >= day:
        return Cause.NEXT_DAY, Action.WAIT
    return Cause.NEVER_ARRIVED, Action.ASK_PLATFORM


def _missing_here(row: ListedRow, *, day: date) -> tuple[Cause, Action]:
    if row.day >= day and row.at is not None and _near_midnight(row.at):
        return Cause.NEAR_MIDNIGHT, Action.WAIT
    return Cause.NOT_FROM_HERE, Action.FIND_ORIGIN


def _near_midnight(at: datetime) -> bool:
    clock = at.astimezone(BEIJING)
    since = clock - datetime.combine(clock.date(), time(), tzinfo=BEIJING)
    return min(since, timedelta(days=1) - since) <= _NEAR


def _state(entry: Entry, row: ListedRow) -> tuple[Cause, Action]:
    if entry.state is RowState.OPEN:
        return Cause.OPEN_HERE, Action.RECOVER
    if row.state is RowState.OPEN:
        return Cause.OPEN_THERE, Action.WAIT
    return _STATES[entry.state, row.state]


def _amount(entry: Entry, row: ListedRow) -> tuple[Cause, Action]:
    ours, theirs = entry.amount_fen, row.amount_fen
    if ours == theirs:
        return Cause.FEE_TERMS, Action.COMPARE_TERMS
    if ours == -theirs:
        return Cause.SIGN, Action.COMPARE_ORDER
    if abs(ours - theirs) == 1:
        return Cause.ROUNDING, Action.COMPARE_ORDER
    if theirs in {ours * 100, -ours * 100} or ours in {theirs * 100, -theirs * 100}:
        return Cause.UNIT, Action.COMPARE_ORDER
    if any(fee and theirs == ours - fee for fee in (entry.fee_fen, row.fee_fen)):
        return Cause.NET_OF_FEE, Action.COMPARE_ORDER
    return Cause.OTHER_AMOUNT, Action.COMPARE_ORDER
