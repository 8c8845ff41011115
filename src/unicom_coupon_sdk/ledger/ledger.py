"""The ledger: the one authority over every coupon.

Each method describes a piece of work and does nothing yet: it returns a function of a connection, which a flow hands to
``Transact`` and a runtime runs in one transaction. All of it happens, durably, or nothing. What a method raises is
raised when the work runs; the transaction is then rolled back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime

from sqlalchemy import Connection

from unicom_coupon_sdk.crypto.fields import FieldCipher
from unicom_coupon_sdk.domain.admission import Admission
from unicom_coupon_sdk.domain.bill import BillFile, BillKind, NoBill
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.coupon import Coupon, CouponTemplate
from unicom_coupon_sdk.domain.events import CouponEvent, VerifiedEvent
from unicom_coupon_sdk.domain.order import Holder
from unicom_coupon_sdk.domain.redemption import (
    Binding,
    HeldRedemption,
    HeldReversal,
    Listing,
    Outcome,
    RedeemRequest,
    Redemption,
    Reversal,
    ReverseRequest,
)
from unicom_coupon_sdk.domain.sensitive import PlatformUser
from unicom_coupon_sdk.domain.settlement import Settlement, SettlementDate
from unicom_coupon_sdk.domain.sharing import (
    HeldShare,
    HeldShareReturn,
    Share,
    ShareLine,
    ShareOutcome,
    ShareRequest,
)
from unicom_coupon_sdk.domain.verification import Challenge
from unicom_coupon_sdk.ledger import (
    audit,
    batches,
    bills,
    bindings,
    challenges,
    counters,
    coupons,
    entries,
    inbox,
    journal,
    operations,
    outbox,
    reconciliations,
    redemptions,
    reports,
    reversals,
    settlements,
    share_returns,
    shares,
    templates,
)
from unicom_coupon_sdk.ledger.answers import (
    Batch,
    BindTicket,
    CounterMismatch,
    Dossier,
    Hold,
    HoldReversal,
    HoldShare,
    IssueWish,
    OperationKind,
    Pending,
    SequencedEvent,
    Violation,
    Work,
)
from unicom_coupon_sdk.ledger.sealing import Sealer


class Ledger:
    """Every verb of the ledger. ``cipher`` seals personal data at rest; ``code_key`` masks serials inside codes.

    Holds no connection and no state, so one may serve any number of threads and databases.
    """

    __slots__ = ("_code_key", "_sealer")

    def __init__(self, cipher: FieldCipher, *, code_key: bytes) -> None:
        self._sealer = Sealer(cipher)
        self._code_key = code_key

    # templates, batches, listings

    def add_template(self, template: CouponTemplate, *, now: datetime) -> Work[CouponTemplate]:
        """``template``, kept. Raises ``ValidationError`` (``template.conflict``) when its id stands for another."""
        return lambda connection: templates.add(connection, template, now=now)

    def template(self, template_id: str) -> Work[CouponTemplate]:
        """The template. Raises ``ValidationError`` (``template.unknown``)."""
        return lambda connection: templates.find(connection, template_id)

    def issue(self, wish: IssueWish) -> Work[Batch]:
        """The coupons of ``wish``; once by its key. Raises ``IdempotencyConflict``, ``LimitError``."""
        return lambda connection: batches.issue(connection, self._sealer, wish, code_key=self._code_key)

    def listing(self, template_id: str, platform: str) -> Work[Listing | None]:
        """What the platform calls the template, if it knows it."""
        return lambda connection: templates.listing(connection, template_id, platform)

    def save_listing(self, listing: Listing, *, batch_id: str, now: datetime) -> Work[None]:
        """Keep what the platform calls the template, and that it knows the codes of the batch."""
        return lambda connection: batches.register(connection, listing, batch_id=batch_id, now=now)

    def unfinished_batches(self, *, limit: int, before: datetime) -> Work[tuple[Batch, ...]]:
        """Batches issued at or before ``before`` that one of their platforms does not know yet, oldest first."""
        return lambda connection: batches.unfinished(connection, self._sealer, before=before, limit=limit)

    # coupons and bindings

    def coupon(self, coupon_id: str) -> Work[Coupon]:
        """The coupon. Raises ``CouponStateError`` (``coupon.unknown``)."""
        return lambda connection: coupons.decode(coupons.by_id(connection, coupon_id), self._sealer)

    def coupon_of_code(self, code: CouponCode) -> Work[Coupon]:
        """The coupon with this code. Raises ``CouponStateError`` (``coupon.unknown``)."""
        return lambda connection: coupons.decode(coupons.by_code(connection, self._sealer, code), self._sealer)

    def dossier_of_id(self, coupon_id: str, platform: str) -> Work[Dossier]:
        """The coupon with all that is known of it on one platform. Raises ``CouponStateError`` (``coupon.unknown``)."""
        return lambda connection: coupons.decode_dossier(
            coupons.dossier_row(connection, coupon_id, platform=platform), self._sealer, platform=platform
        )

    def dossier_of_code(self, code: CouponCode, platform: str) -> Work[Dossier]:
        """As ``dossier_of_id``, by code."""
        return lambda connection: coupons.decode_dossier(
            coupons.dossier_row_of_code(connection, self._sealer, code, platform=platform),
            self._sealer,
            platform=platform,
        )

    def coupons_of_holder(self, holder: Holder, platform: str, *, limit: int = 100) -> Work[tuple[Coupon, ...]]:
        """The holder's coupons in every state, the first to expire first."""
        return lambda connection: coupons.of_holder(connection, self._sealer, holder, platform=platform, limit=limit)

    def start_binding(
        self, coupon_id: str, platform: str, holder: Holder, *, binding_no: str, now: datetime
    ) -> Work[BindTicket]:
        """Leave to bind the coupon to ``holder``, for whom it is reserved from now on.

        Raises ``CouponStateError`` (``coupon.bound_to_another`` and the states), ``LimitError``.
        """
        return lambda connection: bindings.start(
            connection, self._sealer, coupon_id, platform=platform, holder=holder, binding_no=binding_no, now=now
        )

    def finish_binding(self, binding: Binding, *, holder: Holder, now: datetime) -> Work[Coupon]:
        """The coupon with ``binding`` written down; AVAILABLE from its first that is not ``pending``."""
        return lambda connection: bindings.finish(connection, self._sealer, binding, holder=holder, now=now)

    def drop_binding(self, coupon_id: str, platform: str) -> Work[bool]:
        """Give up a started binding that the platform definitely refused; whether there was one."""
        return lambda connection: bindings.drop(connection, coupon_id, platform=platform)

    def binding(self, coupon_id: str, platform: str) -> Work[Binding | None]:
        """The coupon's binding on the platform, once that has answered."""
        return lambda connection: bindings.find(connection, self._sealer, coupon_id, platform)

    def bindings(self, coupon_id: str) -> Work[tuple[Binding, ...]]:
        """The coupon's bindings on all platforms that have answered."""
        return lambda connection: bindings.of_coupon(connection, self._sealer, coupon_id)

    def bindings_of_user(self, user: PlatformUser, platform: str, *, limit: int = 100) -> Work[tuple[Binding, ...]]:
        """The bindings of a platform's user there."""
        return lambda connection: bindings.of_user(connection, self._sealer, user, platform=platform, limit=limit)

    def expire(self, now: datetime, *, limit: int) -> Work[int]:
        """How many unused coupons were moved to EXPIRED, at most ``limit``."""
        return lambda connection: coupons.expire(connection, now=now, limit=limit)

    def void(self, coupon_id: str, *, now: datetime) -> Work[Coupon]:
        """The coupon, withdrawn; again changes nothing. Raises ``CouponStateError`` when it is used or in use."""
        return lambda connection: coupons.void(connection, self._sealer, coupon_id, now=now)

    # challenges

    def open_challenge(self, challenge: Challenge, *, holder_index: bytes | None = None) -> Work[Challenge]:
        """``challenge``, kept sealed so that it can be answered once."""
        return lambda connection: challenges.open_new(connection, self._sealer, challenge, holder_index=holder_index)

    def challenge(self, challenge_id: str) -> Work[Challenge]:
        """The unused challenge. Raises ``VerificationError`` (``challenge.unknown``, ``challenge.used``)."""
        return lambda connection: challenges.find(connection, self._sealer, challenge_id)

    def answer_challenge(self, challenge_id: str, *, now: datetime) -> Work[None]:
        """Use the challenge up, outside a hold. Raises ``VerificationError`` (unknown, used, expired)."""
        return lambda connection: challenges.spend(connection, challenge_id, now=now)

    def count_attempt(self, challenge_id: str) -> Work[int]:
        """How often the challenge was tried, this time included."""
        return lambda connection: challenges.count_attempt(connection, challenge_id)

    def forget_challenges(self, *, before: datetime) -> Work[int]:
        """How many challenges that ended before ``before`` were deleted."""
        return lambda connection: challenges.forget(connection, before=before)

    # redemptions and reversals

    def repeat(self, request: RedeemRequest, *, merchant_id: str, now: datetime) -> Work[Redemption | None]:
        """What became of ``request`` when its key is known, ``None`` when it is new. Raises ``IdempotencyConflict``."""
        return lambda connection: redemptions.repeat(
            connection, self._sealer, request, merchant_id=merchant_id, now=now
        )

    def hold(
        self, request: RedeemRequest, admission: Admission, *, merchant_id: str, redemption_id: str, now: datetime
    ) -> Work[Hold]:
        """The coupon, held for ``request`` and for nobody else; once by the request's key.

        Raises ``IdempotencyConflict``, ``CouponStateError``, ``LimitError``, ``VerificationError``.
        """
        return lambda connection: redemptions.hold(
            connection,
            self._sealer,
            request,
            admission,
            merchant_id=merchant_id,
            redemption_id=redemption_id,
            now=now,
        )

    def conclude(
        self,
        held: HeldRedemption,
        outcome: Outcome,
        *,
        settles_on: SettlementDate | None,
        fee_fen: int,
        now: datetime,
        advance_fee_fen: int = 0,
    ) -> Work[Redemption]:
        """The redemption with its outcome written down; the same outcome again changes nothing.

        Raises ``LedgerError`` (``ledger.contradiction``) when the opposite was concluded before.
        """
        return lambda connection: redemptions.conclude(
            connection,
            held,
            outcome,
            settles_on=settles_on,
            fee_fen=fee_fen,
            advance_fee_fen=advance_fee_fen,
            now=now,
        )

    def hold_reversal(
        self, request: ReverseRequest, *, merchant_id: str, reversal_id: str, deadline: datetime, now: datetime
    ) -> Work[HoldReversal]:
        """A reversal, held; once by the request's key.

        Raises ``IdempotencyConflict``, ``ValidationError`` (``redemption.unknown``), ``CouponStateError``.
        """
        return lambda connection: reversals.hold(
            connection,
            self._sealer,
            request,
            merchant_id=merchant_id,
            reversal_id=reversal_id,
            deadline=deadline,
            now=now,
        )

    def conclude_reversal(
        self, held: HeldReversal, outcome: Outcome, *, now: datetime, settles_on: SettlementDate | None = None
    ) -> Work[Reversal]:
        """The reversal with its outcome written down; the same outcome again changes nothing.

        Raises ``LedgerError`` (``ledger.contradiction``) when the opposite was concluded before.
        """
        return lambda connection: reversals.conclude(
            connection, held.reversal.reversal_id, outcome, settles_on=settles_on, now=now
        )

    def redemption(self, redemption_id: str, *, merchant_id: str | None = None) -> Work[Redemption]:
        """The redemption, of that merchant if one is named. Raises ``ValidationError`` (``redemption.unknown``)."""
        return lambda connection: redemptions.find(connection, redemption_id, merchant_id=merchant_id)

    def redemption_of_key(self, merchant_id: str, idempotency_key: str) -> Work[Redemption | None]:
        """The redemption that a key stands for, if any."""
        return lambda connection: redemptions.of_key(
            connection, merchant_id=merchant_id, idempotency_key=idempotency_key
        )

    def held(self, redemption_id: str) -> Work[HeldRedemption]:
        """All an adapter needs for the redemption. Raises ``ValidationError`` (``redemption.unknown``)."""
        return lambda connection: redemptions.held(connection, self._sealer, redemption_id)

    def reversal(self, reversal_id: str) -> Work[Reversal]:
        """The reversal. Raises ``ValidationError`` (``reversal.unknown``)."""
        return lambda connection: reversals.find(connection, reversal_id)

    def held_reversal(self, reversal_id: str) -> Work[HeldReversal]:
        """All an adapter needs for the reversal. Raises ``ValidationError`` (``reversal.unknown``)."""
        return lambda connection: reversals.held(connection, self._sealer, reversal_id)

    def unsettled(self, *, before: datetime, limit: int, after: Pending | None = None) -> Work[tuple[Pending, ...]]:
        """Operations UNKNOWN or PENDING, or HELD past a deadline up to ``before``; continues behind ``after``."""
        return lambda connection: operations.unsettled(connection, before=before, limit=limit, after=after)

    def unsettled_of(self, operation_id: str, *, before: datetime) -> Work[tuple[Pending, ...]]:
        """As ``unsettled``, for a redemption with its reversals and shares, or one of these; none for an unknown id."""
        return lambda connection: operations.unsettled_of(connection, operation_id, before=before)

    # profit sharing

    def hold_share(
        self,
        request: ShareRequest,
        lines: tuple[ShareLine, ...],
        *,
        merchant_id: str,
        share_id: str,
        deadline: datetime,
        now: datetime,
    ) -> Work[HoldShare]:
        """A share, held; once by the request's key.

        Raises ``IdempotencyConflict``, ``ValidationError`` (``redemption.unknown``, ``share.more_than_order``),
        ``CouponStateError`` (``share.not_redeemed``).
        """
        return lambda connection: shares.hold(
            connection,
            self._sealer,
            request,
            lines,
            merchant_id=merchant_id,
            share_id=share_id,
            deadline=deadline,
            now=now,
        )

    def conclude_share(self, share_id: str, outcome: ShareOutcome, *, now: datetime) -> Work[Share]:
        """The share with its outcome written down, line by line; what has ended stays.

        Raises ``LedgerError`` (``ledger.contradiction``) when the opposite was concluded before.
        """
        return lambda connection: shares.conclude(connection, self._sealer, share_id, outcome, now=now)

    def share(self, share_id: str) -> Work[Share]:
        """The share. Raises ``ValidationError`` (``share.unknown``)."""
        return lambda connection: shares.find(connection, self._sealer, share_id)

    def shares_of(self, redemption_id: str) -> Work[tuple[Share, ...]]:
        """The shares of a redemption, the oldest first."""
        return lambda connection: shares.of_redemption(connection, self._sealer, redemption_id)

    def held_share(self, share_id: str) -> Work[HeldShare]:
        """All an adapter needs for the share. Raises ``ValidationError`` (``share.unknown``)."""
        return lambda connection: shares.held(connection, self._sealer, share_id)

    def held_return(self, return_id: str) -> Work[HeldShareReturn]:
        """All an adapter needs to fetch a receiver's part back. Raises ``ValidationError`` (``share.unknown``)."""

        def found(connection: Connection) -> HeldShareReturn:
            row = share_returns.row_of(connection, return_id)
            held = shares.held(connection, self._sealer, row.share_id)
            line = next(line for line in held.share.lines if line.number == row.number)
            deadline = share_returns.deadline_of(row)
            return HeldShareReturn(return_id, held.share, line, held.redemption, deadline)

        return found

    def start_return(self, return_id: str, *, until: datetime, now: datetime) -> Work[bool]:
        """Leave to send the return; none while somebody else has it."""
        return lambda connection: share_returns.start(connection, return_id, until=until, now=now)

    def conclude_return(self, held: HeldShareReturn, outcome: Outcome, *, now: datetime) -> Work[None]:
        """Write down what came of a return. Raises ``LedgerError`` (``ledger.contradiction``)."""
        return lambda connection: share_returns.conclude(
            connection, held.return_id, outcome, coupon_id=held.redemption.coupon_id, now=now
        )

    # bills

    def save_bill(self, bill: BillFile | NoBill, *, now: datetime) -> Work[None]:
        """Keep a bill that was fetched; its paths are relative to the folder of bills."""
        return lambda connection: bills.save(connection, bill, now=now)

    def bill(self, platform: str, kind: BillKind, day: date) -> Work[BillFile | NoBill | None]:
        """The version that counts of a day's bill, paths relative; ``None`` when none was fetched."""
        return lambda connection: bills.newest(connection, platform, kind, day)

    # reconciliation

    def entries_of_day(
        self,
        kind: OperationKind,
        *,
        merchant_id: str,
        platform: str,
        begins: datetime,
        ends: datetime,
        after: entries.LedgerEntry | None,
        limit: int,
    ) -> Work[list[entries.LedgerEntry]]:
        """What should stand in a platform's bills of a day, from ``begins`` to before ``ends``, in pages."""
        return lambda connection: entries.of_day(
            connection,
            kind,
            merchant_id=merchant_id,
            platform=platform,
            begins=begins,
            ends=ends,
            after=after,
            limit=limit,
        )

    def begin_reconciliation(self, merchant_id: str, platform: str, day: date, *, now: datetime) -> Work[None]:
        """Take back what an earlier run of this day found."""
        return lambda connection: reconciliations.begin(
            connection, merchant_id=merchant_id, platform=platform, day=day, now=now
        )

    def keep_findings(
        self, findings: Iterable[reconciliations.Finding], *, merchant_id: str, platform: str, day: date, now: datetime
    ) -> Work[int]:
        """How many discrepancies were kept; those that are known keep their first date."""
        return lambda connection: reconciliations.keep(
            connection, findings, merchant_id=merchant_id, platform=platform, day=day, now=now
        )

    def save_reconciliation(
        self, *, merchant_id: str, platform: str, day: date, inputs: str, content: str, now: datetime
    ) -> Work[None]:
        """Keep a reconciliation that ended; the newest of a day counts."""
        return lambda connection: reconciliations.save(
            connection, merchant_id=merchant_id, platform=platform, day=day, inputs=inputs, content=content, now=now
        )

    def reconciliation_before(self, merchant_id: str, platform: str, day: date) -> Work[reconciliations.Run | None]:
        """The run of the last day before ``day`` that was reconciled."""
        return lambda connection: reconciliations.before(
            connection, merchant_id=merchant_id, platform=platform, day=day
        )

    def reconciled(self, merchant_id: str, *, first: date, last: date) -> Work[tuple[reconciliations.Run, ...]]:
        """The newest runs of some days, by day and platform."""
        return lambda connection: reconciliations.between(connection, merchant_id=merchant_id, first=first, last=last)

    def open_discrepancies(
        self, merchant_id: str, *, last: date, after: str = "", limit: int = 1000
    ) -> Work[tuple[reconciliations.KnownFinding, ...]]:
        """Discrepancies of days up to ``last`` that are not over, by id; continues behind ``after``."""
        return lambda connection: reconciliations.still_open(
            connection, merchant_id=merchant_id, last=last, after=after, limit=limit
        )

    # settlements

    def settle(
        self, *, merchant_id: str, platform: str, day: date, settlement_id: str, limit: int, now: datetime
    ) -> Work[Settlement | None]:
        """A new settlement of what is due by ``day``; ``None`` when nothing is. No operation is in two."""
        return lambda connection: settlements.settle(
            connection,
            merchant_id=merchant_id,
            platform=platform,
            day=day,
            settlement_id=settlement_id,
            limit=limit,
            now=now,
        )

    def settlements_of(self, merchant_id: str, platform: str, day: date) -> Work[tuple[Settlement, ...]]:
        """The settlements of a day, by number."""
        return lambda connection: settlements.of_day(connection, merchant_id=merchant_id, platform=platform, day=day)

    def expected_settlements(self, merchant_id: str) -> Work[tuple[Settlement, ...]]:
        """Every settlement that no bill has shown whole yet, the oldest day first."""
        return lambda connection: settlements.expected(connection, merchant_id=merchant_id)

    def match_items(self, operation_ids: Iterable[str], *, by: str, now: datetime) -> Work[int]:
        """How many operations were shown by a bill, or a query, for the first time."""
        return lambda connection: settlements.match(connection, operation_ids, by=by, now=now)

    def finish_settlements(self, merchant_id: str, platform: str, *, now: datetime) -> Work[tuple[Settlement, ...]]:
        """The settlements whose every item has been shown: booked and settled now, once."""
        return lambda connection: settlements.finish(connection, merchant_id=merchant_id, platform=platform, now=now)

    # inbox and outbox

    def receive(self, event: VerifiedEvent, *, now: datetime) -> Work[bool]:
        """Whether the news is new; from now on it is not."""
        return lambda connection: inbox.receive(connection, event, now=now)

    def has_received(self, event: VerifiedEvent) -> Work[bool]:
        """Whether the news was taken in before."""
        return lambda connection: inbox.has_received(connection, event)

    def spend_nonce(self, nonce: str, *, platform: str, now: datetime, expires_at: datetime) -> Work[bool]:
        """Whether the nonce is new on the platform; remembered until ``expires_at``."""
        return lambda connection: inbox.spend_nonce(
            connection, nonce, platform=platform, now=now, expires_at=expires_at
        )

    def events(self, *, after: int, limit: int) -> Work[tuple[SequencedEvent, ...]]:
        """Events after sequence ``after`` (0 is the beginning), in order. See ``outbox`` for cursors on PostgreSQL."""
        return lambda connection: outbox.since(connection, after=after, limit=limit)

    def unpublished_events(self, *, limit: int) -> Work[tuple[SequencedEvent, ...]]:
        """Events that were not marked as published, in order."""
        return lambda connection: outbox.unpublished(connection, limit=limit)

    def mark_published(self, sequences: Iterable[int], *, now: datetime) -> Work[int]:
        """How many events were marked as published now."""
        wanted = tuple(sequences)
        return lambda connection: outbox.mark_published(connection, wanted, now=now)

    def coupon_path(self, coupon_id: str) -> Work[tuple[CouponEvent, ...]]:
        """All events of a coupon, from its first."""
        return lambda connection: outbox.path(connection, coupon_id)

    # figures and proofs

    def trial_balance(self, *, until: date | None = None) -> Work[Mapping[str, int]]:
        """Every account's balance in fen, at the end of the Beijing day ``until`` or now.

        Raises ``LedgerError`` (``ledger.unbalanced``).
        """
        return lambda connection: journal.trial_balance(connection, until=until)

    def journal_lines(
        self, *, since: date, until: date, after: str = "", limit: int = 1000
    ) -> Work[tuple[journal.JournalLine, ...]]:
        """The journal's lines of some Beijing days, ``limit`` entries at a time; continues behind entry ``after``."""
        return lambda connection: journal.lines(connection, since=since, until=until, after=after, limit=limit)

    def postings(self, operation_id: str) -> Work[tuple[journal.Posting, ...]]:
        """The journal lines that a redemption or reversal booked."""
        return lambda connection: journal.postings_of(connection, operation_id)

    def statistics(self) -> Work[Mapping[str, int]]:
        """How many coupons, redemptions and reversals are in which state, and how many events wait."""
        return reports.statistics

    def audit_counters(self) -> Work[tuple[CounterMismatch, ...]]:
        """Limit counters that do not equal their redemptions; empty when all is well."""
        return counters.mismatches

    def audit(self) -> Work[tuple[Violation, ...]]:
        """Every invariant that does not hold; empty when all is well. Reads the whole ledger."""
        return audit.violations
