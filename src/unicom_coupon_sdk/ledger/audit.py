"""The audit: every promise of the ledger, checked against all its records.

Each coupon's events are replayed along the state table, so that a state without a history, a gap in the versions, or a
step backwards without its reversal is found, whatever code wrote it. The rest is asked of the database. The audit reads
everything and changes nothing; run it on a quiet ledger, on a copy, or in a reading transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import Connection, String, and_, cast, func, literal_column, or_, select

from unicom_coupon_sdk.domain.events import EventKind
from unicom_coupon_sdk.domain.state import COUPON_MOVES, CouponMove, CouponState, OperationState
from unicom_coupon_sdk.ledger import counters, journal, schema
from unicom_coupon_sdk.ledger.answers import Violation
from unicom_coupon_sdk.ledger.codec import template_of
from unicom_coupon_sdk.ledger.statement import Query

RULES = {
    "one_live_redemption": "A coupon has at most one redemption that is held, unknown, pending, done or reversing.",
    "held_coupon": "A coupon is HELD just while it has a redemption that is held, unknown or pending.",
    "redeemed_coupon": "A coupon is REDEEMED just while it has a redemption that is done.",
    "reversing_coupon": "A coupon is REVERSING just while its redemption is, under a reversal that is held or unknown.",
    "event_versions": "A coupon's events have versions 1, 2, 3, … up to its own.",
    "event_path": "A coupon's events lead along the state table to the state it is in.",
    "event_record": "An event of a redemption or reversal has its record, in a state that it explains.",
    "no_step_back": "A redemption is reversed just when a reversal of it is done.",
    "conclusions": "An operation has as many conclusions as its row says, and the last one names its state.",
    "entries_balance": "The postings of an entry sum to zero.",
    "liability_of_coupons": "A liability account stands at the faces of the coupons that are out.",
    "entry_of_redemption": "A redemption of some value has an entry just when it is done, reversing or reversed.",
    "entry_of_reversal": "An entry is reversed just when a reversal is done, line by line.",
    "entry_of_share": "A receiver's part has an entry just when it was paid.",
    "return_of_share": "A part that was paid is owed back just when its redemption is reversed.",
    "settlement_total": "A settlement's size and sums are those of its items.",
    "settlement_shown": "A settlement has come, and is booked, just when every item of it was shown.",
    "counters_equal": "A limit counter equals the redemptions it counts.",
    "released_consumption": "A released redemption uses up no limit, and one that is live uses all of its own.",
    "issued_total": "A template's total equals its coupons, and is within its maximum.",
    "holder_total": "A holder's count of a template equals the coupons they have of it.",
}

_C, _R, _V, _O = schema.coupon.c, schema.redemption.c, schema.reversal.c, schema.outbox.c
_A, _L, _K, _M, _I = (
    schema.share.c,
    schema.share_line.c,
    schema.share_return.c,
    schema.settlement.c,
    schema.settlement_item.c,
)
_N, _E, _P, _U, _T, _H = (
    schema.conclusion.c,
    schema.entry.c,
    schema.posting.c,
    schema.consumption.c,
    schema.template.c,
    schema.holder_count.c,
)
_S, _X = OperationState, CouponState
_LIVE = (_S.HELD, _S.UNKNOWN, _S.PENDING, _S.DONE, _S.REVERSING)
_BOOKED = (_S.DONE, _S.REVERSING, _S.REVERSED)
_OPEN = (_S.HELD, _S.UNKNOWN, _S.PENDING)

_STEPS = {
    EventKind.BOUND: CouponMove.BIND,
    EventKind.HELD: CouponMove.HOLD,
    EventKind.REDEEMED: CouponMove.REDEEM,
    EventKind.RELEASED: CouponMove.RELEASE,
    EventKind.REVERSING: CouponMove.HOLD_REVERSAL,
    EventKind.REVERSED: CouponMove.REVERSE,
    EventKind.REVERSAL_DROPPED: CouponMove.KEEP_REDEEMED,
    EventKind.EXPIRED: CouponMove.EXPIRE,
    EventKind.VOIDED: CouponMove.VOID,
}
_EXPLAINED = {
    EventKind.REDEEMED: frozenset(_BOOKED),
    EventKind.RELEASED: frozenset({_S.RELEASED}),
    EventKind.REVERSED: frozenset({_S.DONE}),
    EventKind.REVERSAL_DROPPED: frozenset({_S.RELEASED}),
}
_IN_PLACE = frozenset({EventKind.UNKNOWN, EventKind.PENDING})
_WITHOUT_RECORD = frozenset({EventKind.ISSUED, EventKind.BOUND, EventKind.EXPIRED, EventKind.VOIDED})


class _Subject(NamedTuple):
    subject: str


class _Event(NamedTuple):
    coupon_id: str
    state: str
    coupon_version: int
    kind: str | None
    version: int | None
    redemption_state: str | None
    reversal_state: str | None


def _in(column: Any, states: Iterable[Any]) -> Any:
    return or_(*(column == state.value for state in states))


def _has(table: Any, *conditions: Any) -> Any:
    return select(1).select_from(table).where(*conditions).exists()


def _subjects(clause: Any) -> Query[_Subject]:
    return Query(clause, _Subject)


def _coupons_unlike(state: CouponState, *, states: Iterable[OperationState]) -> Query[_Subject]:
    """Coupons that are in ``state`` without such a redemption, or have one without being in it."""
    has = _has(schema.redemption, _R.coupon_id == _C.coupon_id, _in(_R.state, states))
    return _subjects(
        select(_C.coupon_id.label("subject")).where(
            or_(and_(_C.state == state.value, ~has), and_(_C.state != state.value, has))
        )
    )


def _operations_unlike_conclusions(table: Any, *, key: str) -> Query[_Subject]:
    mine = _N.operation_id == table.c[key]
    numbers = select(func.count()).select_from(schema.conclusion).where(mine).scalar_subquery()
    follows = {
        _S.DONE: (_S.DONE, _S.REVERSING, _S.REVERSED),
        _S.RELEASED: (_S.RELEASED,),
        _S.UNKNOWN: (_S.UNKNOWN,),
        _S.PENDING: (_S.PENDING,),
    }
    fits = or_(
        and_(table.c.conclusions == 0, table.c.state == _S.HELD.value),
        *(
            and_(
                _in(table.c.state, later),
                _has(schema.conclusion, mine, _N.number == table.c.conclusions, _N.to_state == named.value),
            )
            for named, later in follows.items()
        ),
    )
    return _subjects(select(table.c[key].label("subject")).where(or_(numbers != table.c.conclusions, ~fits)))


_reversed = _has(schema.reversal, _V.redemption_id == _R.redemption_id, _V.state == _S.DONE.value)
_reversing = _has(schema.reversal, _V.redemption_id == _R.redemption_id, _in(_V.state, _OPEN))
_entered = _has(schema.entry, _E.entry_id == _R.redemption_id)
_mirror = schema.posting.alias()
_mirrored = _has(
    _mirror,
    _mirror.c.entry_id == _E.reverses,
    _mirror.c.line == _P.line,
    _mirror.c.account == _P.account,
    _mirror.c.amount_fen == -_P.amount_fen,
)
_original = schema.entry.alias()
_paid = _L.state == _S.DONE.value
_line_entered = _has(
    schema.entry, _E.entry_id == _L.share_id.concat(literal_column("'.'")).concat(cast(_L.number, String))
)
_share_reversed = _has(
    schema.share,
    _A.share_id == _L.share_id,
    _has(schema.redemption, _R.redemption_id == _A.redemption_id, _R.state == _S.REVERSED.value),
)
_owed_back = _has(schema.share_return, _K.share_id == _L.share_id, _K.number == _L.number)
_items = _I.settlement_id == _M.settlement_id
_settlement_entered = _has(schema.entry, _E.entry_id == _M.settlement_id)
_taken = _has(schema.consumption, _U.redemption_id == _R.redemption_id, _U.given_back_at.is_(None))
_given_back = _has(schema.consumption, _U.redemption_id == _R.redemption_id, _U.given_back_at.is_not(None))
_coupons_of_template = (
    select(func.count()).select_from(schema.coupon).where(_C.template_id == _T.template_id).scalar_subquery()
)
_coupons_of_holder = (
    select(func.count())
    .select_from(schema.coupon)
    .where(_C.template_id == _H.template_id, _C.holder_index == _H.holder_index)
    .scalar_subquery()
)

_QUERIES: tuple[tuple[str, Query[_Subject]], ...] = (
    (
        "one_live_redemption",
        _subjects(
            select(_R.coupon_id.label("subject"))
            .where(_in(_R.state, _LIVE))
            .group_by(_R.coupon_id)
            .having(func.count() > 1)
        ),
    ),
    ("held_coupon", _coupons_unlike(_X.HELD, states=_OPEN)),
    ("redeemed_coupon", _coupons_unlike(_X.REDEEMED, states=(_S.DONE,))),
    ("reversing_coupon", _coupons_unlike(_X.REVERSING, states=(_S.REVERSING,))),
    (
        "reversing_coupon",
        _subjects(
            select(_R.redemption_id.label("subject")).where(
                or_(
                    and_(_R.state == _S.REVERSING.value, ~_reversing),
                    and_(_R.state != _S.REVERSING.value, _reversing),
                )
            )
        ),
    ),
    (
        "no_step_back",
        _subjects(
            select(_R.redemption_id.label("subject")).where(
                or_(and_(_R.state == _S.REVERSED.value, ~_reversed), and_(_R.state != _S.REVERSED.value, _reversed))
            )
        ),
    ),
    ("conclusions", _operations_unlike_conclusions(schema.redemption, key="redemption_id")),
    ("conclusions", _operations_unlike_conclusions(schema.reversal, key="reversal_id")),
    (
        "entry_of_redemption",
        _subjects(
            select(_R.redemption_id.label("subject")).where(
                or_(
                    and_(_in(_R.state, _BOOKED), _R.value_fen > 0, ~_entered),
                    and_(~_in(_R.state, _BOOKED), _entered),
                )
            )
        ),
    ),
    (
        "entry_of_reversal",  # a line whose original is not its mirror
        _subjects(
            select(_P.entry_id.label("subject"))
            .join_from(schema.posting, schema.entry, _E.entry_id == _P.entry_id)
            .where(_E.reverses.is_not(None), ~_mirrored)
        ),
    ),
    (
        "entry_of_reversal",  # a reversal that is done, of something booked, without an entry that reverses it
        _subjects(
            select(_V.reversal_id.label("subject"))
            .join_from(schema.reversal, _original, _original.c.entry_id == _V.redemption_id)
            .where(
                _V.state == _S.DONE.value,
                ~_has(schema.entry, _E.entry_id == _V.reversal_id, _E.reverses == _V.redemption_id),
            )
        ),
    ),
    (
        "released_consumption",
        _subjects(
            select(_R.redemption_id.label("subject")).where(
                or_(and_(_R.state == _S.RELEASED.value, _taken), and_(_in(_R.state, _LIVE), _given_back))
            )
        ),
    ),
    (
        "entry_of_share",
        _subjects(
            select(_L.share_id.label("subject")).where(or_(and_(_paid, ~_line_entered), and_(~_paid, _line_entered)))
        ),
    ),
    (
        "return_of_share",
        _subjects(
            select(_L.share_id.label("subject")).where(
                or_(and_(_paid, _share_reversed, ~_owed_back), and_(or_(~_paid, ~_share_reversed), _owed_back))
            )
        ),
    ),
    (
        "settlement_total",
        _subjects(
            select(_M.settlement_id.label("subject"))
            .select_from(schema.settlement)
            .outerjoin(schema.settlement_item, _items)
            .group_by(_M.settlement_id)
            .having(
                or_(
                    func.count(_I.operation_id) != _M.size,
                    func.coalesce(func.sum(_I.value_fen), 0) != _M.value_fen,
                    func.coalesce(func.sum(_I.fee_fen), 0) != _M.fee_fen,
                    func.coalesce(func.sum(_I.advance_fee_fen), 0) != _M.advance_fee_fen,
                )
            )
        ),
    ),
    (
        "settlement_shown",
        _subjects(
            select(_M.settlement_id.label("subject")).where(
                or_(
                    and_(_M.settled_at.is_not(None), _has(schema.settlement_item, _items, _I.matched_at.is_(None))),
                    and_(_M.settled_at.is_not(None), _M.value_fen != 0, ~_settlement_entered),
                    and_(_M.settled_at.is_(None), _settlement_entered),
                )
            )
        ),
    ),
    (
        "issued_total",
        _subjects(
            select(_T.template_id.label("subject")).where(
                or_(_T.issued != _coupons_of_template, _T.issued > _T.max_total)
            )
        ),
    ),
    (
        "holder_total",
        _subjects(select(_H.template_id.label("subject")).where(_H.bound != _coupons_of_holder)),
    ),
)

_EVENTS = Query(
    select(
        _C.coupon_id,
        _C.state,
        _C.version.label("coupon_version"),
        _O.kind,
        _O.version,
        _R.state.label("redemption_state"),
        _V.state.label("reversal_state"),
    )
    .select_from(schema.coupon)
    .outerjoin(schema.outbox, _O.coupon_id == _C.coupon_id)
    .outerjoin(schema.redemption, _R.redemption_id == _O.operation_id)
    .outerjoin(schema.reversal, _V.reversal_id == _O.operation_id)
    .order_by(_C.coupon_id, _O.version),
    _Event,
)


class _Out(NamedTuple):
    content: str
    amount: int


class _Balance(NamedTuple):
    account: str
    balance_fen: int


_OUT = Query(
    select(_T.content, func.count().label("amount"))
    .join_from(schema.coupon, schema.template)
    .where(_in(_C.state, (_X.ISSUED, _X.AVAILABLE, _X.HELD)))
    .group_by(_T.content),
    _Out,
)
_BALANCE = Query(
    select(_P.account, func.sum(_P.amount_fen).label("balance_fen"))
    .where(or_(*(_P.account == account for account in journal.LIABILITIES.values())))
    .group_by(_P.account),
    _Balance,
)


def violations(connection: Connection) -> tuple[Violation, ...]:
    """Every invariant that does not hold, by the rules above; empty when all is well."""
    found = list(_path_violations(connection))
    for rule, query in _QUERIES:
        found += [Violation(rule, row.subject, RULES[rule]) for row in query.all(connection)]
    for entry_id in journal.unbalanced(connection):
        found.append(Violation("entries_balance", entry_id, RULES["entries_balance"]))
    found += _liability_violations(connection)
    for counter in counters.mismatches(connection):
        details = (
            f"{counter.platform} {counter.window}: {counter.used_fen} fen in {counter.used_count} "
            f"instead of {counter.expected_fen} in {counter.expected_count}"
        )
        found.append(Violation("counters_equal", counter.limit, details))
    return tuple(found)


def _liability_violations(connection: Connection) -> Iterator[Violation]:
    """What the journal says is out, against the coupons that are: issued, available or held."""
    out = dict.fromkeys(journal.LIABILITIES.values(), 0)
    for row in _OUT.all(connection):
        found = journal.liability_of(template_of(row.content))
        if found is not None:
            out[found[0]] += found[1] * row.amount
    booked = {row.account: int(row.balance_fen) for row in _BALANCE.all(connection)}
    for account, fen in out.items():
        if booked.get(account, 0) != -fen:
            yield Violation("liability_of_coupons", account, f"{booked.get(account, 0)} instead of {-fen}")


def _path_violations(connection: Connection) -> Iterator[Violation]:
    for coupon_id, rows in groupby(_EVENTS.all(connection), key=lambda row: row.coupon_id):
        events = list(rows)
        versions = [row.version for row in events]
        if versions != list(range(1, events[0].coupon_version + 1)):
            yield Violation("event_versions", coupon_id, RULES["event_versions"])
        else:
            yield from _replay(coupon_id, events)
        for row in events:
            if not _is_explained(row):
                yield Violation("event_record", coupon_id, f"version {row.version}: {row.kind}")


def _replay(coupon_id: str, events: list[_Event]) -> Iterator[Violation]:
    """Walks the events along the table; a coupon begins with ISSUED; an UNKNOWN or PENDING stays where it is."""
    state = COUPON_MOVES.start
    for row in events:
        after = _after(state, row)
        if after is None:
            yield Violation("event_path", coupon_id, f"version {row.version}: {row.kind}")
            return
        state = after
    if state.value != events[0].state:
        yield Violation("event_path", coupon_id, f"{state.value} by its events, {events[0].state} by its row")


def _after(state: CouponState, row: _Event) -> CouponState | None:
    kind = EventKind(row.kind or "")
    if kind is EventKind.ISSUED:
        return state if row.version == 1 else None
    if row.version == 1:
        return None
    if kind in _IN_PLACE:
        return state if state in (CouponState.HELD, CouponState.REVERSING) else None
    return COUPON_MOVES.after(state, _STEPS[kind])


def _is_explained(row: _Event) -> bool:
    if row.kind is None:
        return True
    kind = EventKind(row.kind)
    if kind in _WITHOUT_RECORD:
        return True
    state = row.redemption_state or row.reversal_state
    if state is None:
        return False
    expected = _EXPLAINED.get(kind)
    return expected is None or OperationState(state) in expected
