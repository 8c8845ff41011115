"""What the ledger expects of a platform's bills of one day, entry by entry.

An operation becomes the entry under which the platform knows it. Where no bill lists coupons but one lists orders, a
redemption on an order that was paid there is expected as that order, too: its row shows the sale that the coupon was
part of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from unicom_coupon_sdk.clearing.matching import covered
from unicom_coupon_sdk.domain.bill import RowKind, RowState
from unicom_coupon_sdk.domain.coupon import Cash
from unicom_coupon_sdk.domain.reconciliation import Entry
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.ledger.codec import instant_or_none, order_of, settlement_of, template_of
from unicom_coupon_sdk.ledger.entries import LedgerEntry, RedemptionEntry, ReversalEntry, ShareEntry
from unicom_coupon_sdk.platform.profile import Capability, PlatformProfile

_STATES = {
    OperationState.HELD: RowState.OPEN,
    OperationState.UNKNOWN: RowState.OPEN,
    OperationState.PENDING: RowState.OPEN,
    OperationState.RELEASED: RowState.FAILED,
}


@dataclass(frozen=True, slots=True)
class Span:
    """The instants that belong to a platform's business ``day``: a Beijing day, or from cut-off to cut-off."""

    day: date
    begins: datetime
    ends: datetime

    @classmethod
    def of(cls, day: date, *, profile: PlatformProfile, contracts: frozenset[str]) -> Span:
        """The span of ``day`` by the terms in force on it."""
        cut_off = profile.terms_on(day, contracts=contracts).cut_off
        if cut_off is None:
            return cls(day, _beijing(day, time()), _beijing(day + timedelta(days=1), time()))
        return cls(day, _beijing(day - timedelta(days=1), cut_off), _beijing(day, cut_off))


def _beijing(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, BEIJING)


def _state(found: LedgerEntry) -> RowState:
    return _STATES.get(OperationState(found.state), RowState.DONE)


@dataclass(slots=True)
class Expectations:
    """Turns the ledger's entries of one ``span`` into those of a reconciliation with one platform."""

    profile: PlatformProfile
    span: Span
    _orders: set[str] = field(default_factory=set)

    @property
    def listed(self) -> frozenset[RowKind]:
        """The kinds of rows that some bill of the platform has."""
        return frozenset().union(*(covered(source) for source in self.profile.bills))

    @property
    def tells_what_was_undone(self) -> bool:
        """Whether a redemption's own row says that it was taken back the same day."""
        rules = [rule for source in self.profile.bills for rule in source.layout.rules]
        return any(RowState.UNDONE in rule.states.values() for rule in rules if rule.kind is RowKind.REDEMPTION)

    def of(self, found: LedgerEntry) -> Iterator[Entry]:
        """The entries that ``found`` stands for: none, one, or a redemption with its order."""
        if isinstance(found, RedemptionEntry):
            yield from self._redemption(found)
        elif isinstance(found, ReversalEntry):
            state = _state(found)
            yield self._entry(
                RowKind.REVERSAL, found, amount_fen=-found.value_fen, state=state, settles_on=found.settles_on
            )
        elif isinstance(found, ShareEntry):
            operation_id = f"{found.operation_id}.{found.number}"
            state = _state(found)
            yield self._entry(RowKind.SHARE, found, amount_fen=found.amount_fen, state=state, operation_id=operation_id)
        else:
            yield self._entry(RowKind.SHARE_RETURN, found, amount_fen=-found.amount_fen, state=_state(found))

    def _redemption(self, found: RedemptionEntry) -> Iterator[Entry]:
        is_cash = isinstance(template_of(found.template).benefit, Cash)
        is_pay_out = is_cash and Capability.PAY_OUT in self.profile.capabilities
        kind = RowKind.PAY_OUT if is_pay_out else RowKind.REDEMPTION
        state = self._standing(found)
        fee_fen = None if state is RowState.OPEN or is_pay_out else found.fee_fen
        yield self._entry(
            kind, found, amount_fen=found.value_fen, state=state, fee_fen=fee_fen, settles_on=found.settles_on
        )
        order = order_of(found.order_json)
        is_shown_by_order = RowKind.REDEMPTION not in self.listed and RowKind.PAYMENT in self.listed
        if kind is not RowKind.REDEMPTION or state is not RowState.DONE or not is_shown_by_order:
            return
        if order.platform_order_no is not None and order.order_no not in self._orders:
            self._orders.add(order.order_no)
            yield Entry(
                kind=RowKind.PAYMENT,
                number=order.order_no,
                platform_no=order.platform_order_no,
                amount_fen=order.amount_fen,
                state=RowState.DONE,
                day=self.span.day,
                operation_id=found.operation_id,
            )

    def _standing(self, found: RedemptionEntry) -> RowState:
        """As the row should show it. A platform that is asked knows only how it stands now, with what undid it."""
        state, reversed_at = _state(found), instant_or_none(found.reversed_at)
        is_going_back = found.state == OperationState.REVERSING.value
        if state is not RowState.DONE or not (is_going_back or reversed_at):
            return state
        if RowKind.REDEMPTION not in self.listed:
            return RowState.UNDONE
        is_same_day = reversed_at is not None and reversed_at < self.span.ends
        return RowState.UNDONE if self.tells_what_was_undone and is_same_day else RowState.DONE

    def _entry(
        self,
        kind: RowKind,
        found: LedgerEntry,
        *,
        amount_fen: int,
        state: RowState = RowState.DONE,
        fee_fen: int | None = None,
        settles_on: str | None = None,
        operation_id: str | None = None,
    ) -> Entry:
        expected_on = settlement_of(settles_on)
        return Entry(
            kind=kind,
            number=found.operation_id,
            platform_no=found.platform_no,
            amount_fen=amount_fen,
            fee_fen=fee_fen,
            state=state,
            day=self.span.day,
            settles_on=expected_on if isinstance(expected_on, date) else None,
            operation_id=operation_id or found.operation_id,
        )
