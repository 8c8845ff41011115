"""The journal: double entry. Every entry's postings sum to zero; debits are positive, credits negative, in fen.

A coupon of face N is issued, expires or is withdrawn; and a redemption of value V, from which the platform withholds a
fee F and, where funds are advanced, a price A for that. Points and prepaid coupons:

============================  ============  ============  ============  ====================
account                       issued        expired       withdrawn     redeemed
============================  ============  ============  ============  ====================
``issue_clearing:<funding>``  +N                          −N
``points_liability``, or
``coupon_liability``          −N            +N            +N            +N
``breakage``                                −N                          −(N − V)
``merchant_payable:<who>``                                              −(V − F − A)
``platform_fee``                                                        −F
``advance_fee``                                                         −A
============================  ============  ============  ============  ====================

- A campaign's coupon (free) is nothing until it is used, and then ``marketing_expense`` +V.
- Points and money were taken when the coupon was sold: ``issue_clearing`` is owed by the system that sold it, which
  books the price. The liability is that of the coupons that are out; what of a face is never used is breakage.
- A coupon without a fixed face (a percentage) is no liability before its value is known: its redemption is booked
  against ``issue_clearing`` at once.
- The merchant is owed V less what the platform keeps; ``platform_fee`` and ``advance_fee`` are owed to the platform,
  which takes them out of what it settles. A fee above V makes the merchant a debtor, and the sum is still zero.
- A part of the order's money that went to somebody else is ``profit_share``, or ``rebate`` when that is the user; the
  platform pays it for us. Fetched back, it is booked with every sign turned.
- Of cash paid out to the holder no merchant has a claim: the platform pays it for us, so ``platform_clearing:<where>``
  stands in the place of ``merchant_payable``.
- A reversal books the redemption's entry again with every sign turned, fees included: platforms give the fee of a full
  refund back (WeChat Pay sheet, settlement). An entry can be reversed once.

What the platform has paid is booked when a bill has shown it (``settlements``), against ``merchant_payable`` and the
fees, with ``platform_clearing:<where>`` on the other side. Lines of zero fen are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, insert, select

from unicom_coupon_sdk.domain.coupon import Cash, CouponTemplate, Funding
from unicom_coupon_sdk.domain.sharing import ShareRole
from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.errors import LedgerError
from unicom_coupon_sdk.ledger import schema
from unicom_coupon_sdk.ledger.codec import micros
from unicom_coupon_sdk.ledger.statement import Command, Query

COUPON_LIABILITY = "coupon_liability"
POINTS_LIABILITY = "points_liability"
MARKETING_EXPENSE = "marketing_expense"
PLATFORM_FEE = "platform_fee"
ADVANCE_FEE = "advance_fee"
PROFIT_SHARE = "profit_share"
REBATE = "rebate"

BREAKAGE = "breakage"

LIABILITIES = {Funding.POINTS: POINTS_LIABILITY, Funding.PREPAID: COUPON_LIABILITY}
"""The account of what is out, by funding. A campaign's coupons are no liability."""
_P, _E = schema.posting.c, schema.entry.c


@dataclass(frozen=True, slots=True)
class Posting:
    """One line: ``amount_fen`` more (debit) or less (credit) on ``account``."""

    account: str
    amount_fen: int


class _Line(NamedTuple):
    account: str
    amount_fen: int


class _Balance(NamedTuple):
    account: str
    balance_fen: int


class JournalLine(NamedTuple):
    """A line of the journal as a finance team reads it: the Beijing day, the entry, and what it moves."""

    booked_on: str
    entry_id: str
    operation_id: str
    reverses: str | None
    line: int
    account: str
    amount_fen: int


class _Crooked(NamedTuple):
    entry_id: str


_ADD_ENTRY = Command(insert(schema.entry))
_ADD_POSTING = Command(insert(schema.posting))
_LINES = Query(select(_P.account, _P.amount_fen).where(_P.entry_id == bindparam("which")).order_by(_P.line), _Line)
_BALANCES = Query(
    select(_P.account, func.sum(_P.amount_fen).label("balance_fen"))
    .join_from(schema.posting, schema.entry)
    .where(_E.booked_on <= bindparam("last_day"))
    .group_by(_P.account)
    .order_by(_P.account),
    _Balance,
)
_EXPORTED = (
    select(_E.entry_id)
    .where(
        _E.booked_on >= bindparam("first_day"), _E.booked_on <= bindparam("last_day"), _E.entry_id > bindparam("after")
    )
    .order_by(_E.entry_id)
    .limit(bindparam("at_most"))
    .subquery()
)
_EXPORT = Query(
    select(_E.booked_on, _E.entry_id, _E.operation_id, _E.reverses, _P.line, _P.account, _P.amount_fen)
    .join_from(schema.entry, schema.posting)
    .join(_EXPORTED, _EXPORTED.c.entry_id == _E.entry_id)
    .order_by(_E.entry_id, _P.line),
    JournalLine,
)
_CROOKED = Query(
    select(_P.entry_id).group_by(_P.entry_id).having(func.sum(_P.amount_fen) != 0).order_by(_P.entry_id), _Crooked
)


def merchant_payable(merchant_id: str) -> str:
    """The account of what a merchant is owed."""
    return f"merchant_payable:{merchant_id}"


def platform_clearing(platform: str) -> str:
    """The account of what goes between us and a platform."""
    return f"platform_clearing:{platform}"


def issue_clearing(funding: Funding) -> str:
    """The account of what the system that sold the coupons owes us for them."""
    return f"issue_clearing:{funding.value}"


def liability_of(template: CouponTemplate) -> tuple[str, int] | None:
    """The account and the fen of what one coupon that is out stands for; ``None`` where that is nothing yet."""
    account = LIABILITIES.get(template.funding)
    return None if account is None or template.face_fen is None else (account, template.face_fen)


def issue_postings(template: CouponTemplate, *, count: int) -> tuple[Posting, ...]:
    """The lines of ``count`` new coupons."""
    return _outstanding(template, count=-count, against=issue_clearing(template.funding))


def expiry_postings(template: CouponTemplate, *, count: int) -> tuple[Posting, ...]:
    """The lines of ``count`` coupons whose last day is over."""
    return _outstanding(template, count=count, against=BREAKAGE)


def void_postings(template: CouponTemplate) -> tuple[Posting, ...]:
    """The lines of a coupon that is withdrawn: whoever sold it gets its price back."""
    return _outstanding(template, count=1, against=issue_clearing(template.funding))


def _outstanding(template: CouponTemplate, *, count: int, against: str) -> tuple[Posting, ...]:
    found = liability_of(template)
    if found is None:
        return ()
    account, face_fen = found
    return (Posting(account, count * face_fen), Posting(against, -count * face_fen))


def _borne(template: CouponTemplate, value_fen: int) -> tuple[Posting, ...]:
    """Who bears the value of a redemption."""
    if template.funding is Funding.FREE:
        return (Posting(MARKETING_EXPENSE, value_fen),)
    found = liability_of(template)
    if found is None:
        return (Posting(issue_clearing(template.funding), value_fen),)
    account, face_fen = found
    return (Posting(account, face_fen), Posting(BREAKAGE, value_fen - face_fen))


def redemption_postings(
    template: CouponTemplate,
    *,
    merchant_id: str,
    platform: str,
    value_fen: int,
    fee_fen: int,
    advance_fee_fen: int,
) -> tuple[Posting, ...]:
    """The lines of a redemption; see the table above."""
    creditor = platform_clearing(platform) if isinstance(template.benefit, Cash) else merchant_payable(merchant_id)
    lines = (
        *_borne(template, value_fen),
        Posting(creditor, fee_fen + advance_fee_fen - value_fen),
        Posting(PLATFORM_FEE, -fee_fen),
        Posting(ADVANCE_FEE, -advance_fee_fen),
    )
    return tuple(line for line in lines if line.amount_fen)


def share_postings(role: ShareRole, *, platform: str, amount_fen: int) -> tuple[Posting, ...]:
    """The lines of what a receiver got: a rebate when it is the user, else a part of the profit."""
    bearer = REBATE if role is ShareRole.USER else PROFIT_SHARE
    return (Posting(bearer, amount_fen), Posting(platform_clearing(platform), -amount_fen))


def settlement_postings(
    merchant_id: str, *, platform: str, value_fen: int, fee_fen: int, advance_fee_fen: int
) -> tuple[Posting, ...]:
    """The lines of a settlement that came: nobody is owed any more, and the platform has paid it for us."""
    lines = (
        Posting(merchant_payable(merchant_id), value_fen - fee_fen - advance_fee_fen),
        Posting(PLATFORM_FEE, fee_fen),
        Posting(ADVANCE_FEE, advance_fee_fen),
        Posting(platform_clearing(platform), -value_fen),
    )
    return tuple(line for line in lines if line.amount_fen)


def book(
    connection: Connection,
    postings: Iterable[Posting],
    *,
    operation_id: str,
    coupon_id: str | None,
    at: datetime,
    now: datetime,
    reverses: str | None = None,
) -> None:
    """Write one entry, named by its operation. ``at`` decides its Beijing day.

    Raises ``LedgerError`` (``ledger.unbalanced``) when the postings do not sum to zero. No lines make no entry.
    """
    lines = tuple(postings)
    if sum(line.amount_fen for line in lines) != 0:
        raise LedgerError("ledger.unbalanced", reason=operation_id)
    if not lines:
        return
    _ADD_ENTRY.run(
        connection,
        entry_id=operation_id,
        operation_id=operation_id,
        coupon_id=coupon_id,
        booked_on=business_date(at).isoformat(),
        booked_at=micros(now),
        reverses=reverses,
    )
    _ADD_POSTING.run_many(
        connection,
        [
            {"entry_id": operation_id, "line": number, "account": line.account, "amount_fen": line.amount_fen}
            for number, line in enumerate(lines, start=1)
        ],
    )


def book_reversal(
    connection: Connection, entry_id: str, *, reversal_id: str, coupon_id: str, at: datetime, now: datetime
) -> None:
    """Write the entry again with every sign turned."""
    turned = [Posting(row.account, -row.amount_fen) for row in _LINES.all(connection, which=entry_id)]
    book(connection, turned, operation_id=reversal_id, coupon_id=coupon_id, at=at, now=now, reverses=entry_id)


def postings_of(connection: Connection, operation_id: str) -> tuple[Posting, ...]:
    """The lines that an operation booked."""
    return tuple(Posting(row.account, row.amount_fen) for row in _LINES.all(connection, which=operation_id))


def trial_balance(connection: Connection, *, until: date | None = None) -> dict[str, int]:
    """Every account's balance in fen, at the end of the Beijing day ``until``, or now. They sum to zero.

    Raises ``LedgerError`` (``ledger.unbalanced``) naming the first entry that does not sum to zero.
    """
    crooked = unbalanced(connection)
    if crooked:
        raise LedgerError("ledger.unbalanced", reason=crooked[0])
    rows = _BALANCES.all(connection, last_day=(until or date.max).isoformat())
    return {row.account: int(row.balance_fen) for row in rows}


def lines(connection: Connection, *, since: date, until: date, after: str, limit: int) -> tuple[JournalLine, ...]:
    """The journal's lines of the Beijing days from ``since`` to ``until``, by entry; continues behind entry ``after``.

    ``limit`` counts entries, so that none is torn.
    """
    rows = _EXPORT.all(connection, first_day=since.isoformat(), last_day=until.isoformat(), after=after, at_most=limit)
    return tuple(rows)


def unbalanced(connection: Connection) -> tuple[str, ...]:
    """Entries whose postings do not sum to zero; empty when all is well."""
    return tuple(row.entry_id for row in _CROOKED.all(connection))
