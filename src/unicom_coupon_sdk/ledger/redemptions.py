"""Redemptions: held once, concluded once.

A hold is one transaction: the key is looked up, the coupon is taken by compare-and-set, the limits are used, the
challenge is spent, the redemption and its event are written, or nothing of it. Three things each keep a coupon from
being held twice, in whatever processes: the compare-and-set on the coupon's version, the unique index over live
redemptions, and the unique key.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, select

from unicom_coupon_sdk.domain.admission import Admission
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.events import EventKind
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.redemption import HeldRedemption, Outcome, RedeemRequest, Redemption
from unicom_coupon_sdk.domain.settlement import SettlementDate
from unicom_coupon_sdk.domain.state import CouponMove, CouponState, OperationMove, OperationState
from unicom_coupon_sdk.domain.token import PREFIX
from unicom_coupon_sdk.errors import CouponStateError, IdempotencyConflict, ValidationError, VerificationError
from unicom_coupon_sdk.ledger import challenges, counters, coupons, journal, operations, outbox, schema
from unicom_coupon_sdk.ledger.answers import Hold
from unicom_coupon_sdk.ledger.codec import (
    instant,
    instant_or_none,
    micros,
    order_of,
    order_text,
    refs_of,
    settlement_of,
)
from unicom_coupon_sdk.ledger.sealing import Sealer
from unicom_coupon_sdk.ledger.statement import Command, Query

_R, _C = schema.redemption.c, schema.coupon.c


class RedemptionRow(NamedTuple):
    """A redemption with its latest conclusion and its coupon's whereabouts."""

    redemption_id: str
    merchant_id: str
    idempotency_key: str
    input_hash: bytes
    coupon_id: str
    template_id: str
    platform: str
    order_json: str
    value_fen: int
    held_at: int
    deadline: int
    state: str
    conclusions: int
    coupon_state: str
    coupon_version: int
    valid_until: int
    concluded_at: int | None
    platform_no: str | None
    refs: str | None
    error_code: str | None
    platform_code: str | None
    request_id: str | None
    settles_on: str | None


_ROW: Any = (
    select(
        _R.redemption_id,
        _R.merchant_id,
        _R.idempotency_key,
        _R.input_hash,
        _R.coupon_id,
        _R.template_id,
        _R.platform,
        _R.order_json,
        _R.value_fen,
        _R.held_at,
        _R.deadline,
        _R.state,
        _R.conclusions,
        _C.state.label("coupon_state"),
        _C.version.label("coupon_version"),
        _C.valid_until,
        *operations.CONCLUSION_COLUMNS,
    )
    .join_from(schema.redemption, schema.coupon)
    .outerjoin(schema.conclusion, operations.conclusion_join(schema.redemption, key="redemption_id"))
)
_BY_ID = Query(_ROW.where(_R.redemption_id == bindparam("which")), RedemptionRow)
_BY_KEY = Query(
    _ROW.where(_R.merchant_id == bindparam("merchant"), _R.idempotency_key == bindparam("key")), RedemptionRow
)
_HOLD = Command(
    lambda insert: insert(schema.redemption).on_conflict_do_nothing(index_elements=["merchant_id", "idempotency_key"])
)
MOVE = operations.mover(schema.redemption, key="redemption_id")

_STEPS = {
    OperationMove.FINISH: (CouponMove.REDEEM, EventKind.REDEEMED),
    OperationMove.RELEASE: (CouponMove.RELEASE, EventKind.RELEASED),
}
_IN_PLACE = {OperationMove.LOSE_SIGHT: EventKind.UNKNOWN, OperationMove.WAIT: EventKind.PENDING}


def row_of(connection: Connection, redemption_id: str) -> RedemptionRow:
    """The row of a redemption. Raises ``ValidationError`` for an unknown id."""
    row = _BY_ID.one(connection, which=redemption_id)
    if row is None:
        raise ValidationError("redemption.unknown", field="redemption_id")
    return row


def find(connection: Connection, redemption_id: str, *, merchant_id: str | None) -> Redemption:
    """The redemption. Raises ``ValidationError`` for an unknown id, or another merchant's when one is named."""
    row = row_of(connection, redemption_id)
    if merchant_id is not None and row.merchant_id != merchant_id:
        raise ValidationError("redemption.unknown", field="redemption_id")
    return decode(row)


def of_key(connection: Connection, *, merchant_id: str, idempotency_key: str) -> Redemption | None:
    """The redemption that a key stands for, if any."""
    row = _BY_KEY.one(connection, merchant=merchant_id, key=idempotency_key)
    return None if row is None else decode(row)


def held(connection: Connection, sealer: Sealer, redemption_id: str) -> HeldRedemption:
    """All an adapter needs for the redemption."""
    return held_of(connection, sealer, row_of(connection, redemption_id))


def repeat(
    connection: Connection, sealer: Sealer, request: RedeemRequest, *, merchant_id: str, now: datetime
) -> Redemption | None:
    """What became of ``request`` when its key is known; ``None`` when it is new.

    Raises ``IdempotencyConflict`` when the key stands for another request, or for one that may still be sent.
    """
    row = _BY_KEY.one(connection, merchant=merchant_id, key=request.idempotency_key)
    if row is None:
        return None
    shown = _shown_coupon(connection, sealer, request)
    digest = operations.input_hash(shown, request.platform, order_text(request.order))
    operations.check_repeat(same_input=row.input_hash == digest, state=row.state, deadline=row.deadline, now=now)
    return decode(row)


def _shown_coupon(connection: Connection, sealer: Sealer, request: RedeemRequest) -> str:
    """The coupon that a request names. A token's word is enough here: it is compared, and opens nothing."""
    shown = request.coupon
    if isinstance(shown, CouponCode):
        return coupons.by_code(connection, sealer, shown).coupon_id
    return shown.reveal().removeprefix(PREFIX).partition(".")[0]


def hold(
    connection: Connection,
    sealer: Sealer,
    request: RedeemRequest,
    admission: Admission,
    *,
    merchant_id: str,
    redemption_id: str,
    now: datetime,
) -> Hold:
    """The coupon of ``admission``, held for ``request``; or what its key stands for.

    Raises ``IdempotencyConflict``, ``CouponStateError``, ``LimitError`` or ``VerificationError``; nothing was done.
    """
    coupon_id = admission.coupon_id
    order = order_text(request.order)
    digest = operations.input_hash(coupon_id, request.platform, order)
    known = _BY_KEY.one(connection, merchant=merchant_id, key=request.idempotency_key)
    if known is not None:
        operations.check_repeat(
            same_input=known.input_hash == digest, state=known.state, deadline=known.deadline, now=now
        )
        return Hold(held=held_of(connection, sealer, known), is_repeat=True)
    if admission.verified.coupon_id != coupon_id:
        raise VerificationError("verification.other_coupon", field="proof")
    row = coupons.dossier_row(connection, coupon_id, platform=request.platform)
    made = _admitted(row, sealer, request, admission, merchant_id=merchant_id, redemption_id=redemption_id, now=now)
    _, version = coupons.move(connection, coupon_id, state=row.state, version=row.version, by=CouponMove.HOLD)
    counters.take(connection, admission.consumptions)
    challenge_id = _challenge_id(admission)
    if challenge_id is not None and not admission.verified.in_redemption:
        challenges.spend(connection, challenge_id, now=now)
    _write_hold(connection, made.redemption, admission, order=order, digest=digest, challenge_id=challenge_id)
    counters.remember(connection, admission.consumptions, redemption_id=redemption_id)
    _record(connection, EventKind.HELD, made.redemption, version=version, now=now)
    return Hold(held=made, is_repeat=False)


def _challenge_id(admission: Admission) -> str | None:
    challenge = admission.verified.challenge
    return admission.challenge_id or (None if challenge is None else challenge.challenge_id)


def _admitted(
    row: coupons.DossierRow,
    sealer: Sealer,
    request: RedeemRequest,
    admission: Admission,
    *,
    merchant_id: str,
    redemption_id: str,
    now: datetime,
) -> HeldRedemption:
    """The redemption as it will be held. Judges the coupon again, for the guard's reading may be out of date."""
    platform = request.platform
    dossier = coupons.decode_dossier(row, sealer, platform=platform)
    refusal = dossier.coupon.refusal_at(now)
    if refusal is not None:
        raise refusal
    if platform not in dossier.coupon.template.platforms:
        raise CouponStateError("coupon.not_on_platform", field="platform", platform=platform)
    if dossier.listing is None or dossier.binding is None or dossier.binding.pending:
        raise CouponStateError("coupon.not_bound", field="coupon", platform=platform)
    return HeldRedemption(
        redemption=Redemption(
            redemption_id=redemption_id,
            idempotency_key=request.idempotency_key,
            coupon_id=row.coupon_id,
            template_id=dossier.coupon.template.template_id,
            merchant_id=merchant_id,
            platform=platform,
            order=request.order,
            value_fen=admission.value_fen,
            state=OperationState.HELD,
            held_at=now,
            deadline=admission.deadline,
        ),
        code=dossier.coupon.code,
        template=dossier.coupon.template,
        listing=dossier.listing,
        binding=dossier.binding,
    )


def _write_hold(
    connection: Connection,
    made: Redemption,
    admission: Admission,
    *,
    order: str,
    digest: bytes,
    challenge_id: str | None,
) -> None:
    """``digest`` stands for the request less its proof, and with the coupon in place of how it was shown."""
    written = _HOLD.run(
        connection,
        redemption_id=made.redemption_id,
        merchant_id=made.merchant_id,
        idempotency_key=made.idempotency_key,
        input_hash=digest,
        coupon_id=made.coupon_id,
        template_id=made.template_id,
        platform=made.platform,
        order_json=order,
        value_fen=made.value_fen,
        method=admission.verified.method.value,
        verified_at=micros(admission.verified.verified_at),
        device_index=admission.verified.device_index,
        challenge_id=challenge_id,
        held_at=micros(made.held_at),
        deadline=micros(made.deadline),
        state=made.state.value,
        conclusions=0,
    )
    if not written:  # another transaction wrote this key between our look-up and now
        raise IdempotencyConflict("idempotency.in_progress", field="idempotency_key")


def conclude(
    connection: Connection,
    held_before: HeldRedemption,
    outcome: Outcome,
    *,
    settles_on: SettlementDate | None,
    fee_fen: int,
    advance_fee_fen: int,
    now: datetime,
) -> Redemption:
    """The redemption with ``outcome`` written down: a conclusion, the coupon's move, the journal, the event.

    An outcome that agrees with what was concluded changes nothing. Raises ``LedgerError`` (``ledger.contradiction``).
    """
    redemption_id = held_before.redemption.redemption_id
    row = row_of(connection, redemption_id)
    state = OperationState(row.state)
    move = operations.verdict_move(state, outcome.effected, operation_id=redemption_id)
    if move is None:
        return decode(row)
    target = operations.target_of(state, move)
    number = row.conclusions + 1
    operations.move(
        connection,
        MOVE,
        redemption_id,
        state=row.state,
        number=row.conclusions,
        to_state=target.value,
        to_number=number,
    )
    concluded = operations.write_conclusion(
        connection,
        redemption_id,
        outcome,
        number=number,
        from_state=row.state,
        to_state=target.value,
        now=now,
        settles_on=settles_on if move is OperationMove.FINISH else None,
    )
    redemption = decode(
        row._replace(state=target.value, conclusions=number, **concluded), order=held_before.redemption.order
    )
    if move is OperationMove.FINISH:
        lines = journal.redemption_postings(
            held_before.template,
            merchant_id=row.merchant_id,
            platform=row.platform,
            value_fen=row.value_fen,
            fee_fen=fee_fen,
            advance_fee_fen=advance_fee_fen,
        )
        journal.book(
            connection, lines, operation_id=redemption_id, coupon_id=row.coupon_id, at=outcome.at or now, now=now
        )
    elif move is OperationMove.RELEASE:
        counters.give_back(connection, redemption_id, now=now)
    _move_coupon(connection, row, redemption, move, now=now)
    return redemption


def _move_coupon(
    connection: Connection, row: RedemptionRow, redemption: Redemption, move: OperationMove, *, now: datetime
) -> None:
    if move in _IN_PLACE:
        coupons.step(
            connection,
            row.coupon_id,
            state=row.coupon_state,
            version=row.coupon_version,
            to_state=CouponState.HELD.value,
        )
        _record(connection, _IN_PLACE[move], redemption, version=row.coupon_version + 1, now=now)
        return
    by, kind = _STEPS[move]
    state, version = coupons.move(connection, row.coupon_id, state=row.coupon_state, version=row.coupon_version, by=by)
    _record(connection, kind, redemption, version=version, now=now)
    coupons.expire_if_over(
        connection, row.coupon_id, state=state, version=version, valid_until=row.valid_until, now=now
    )


def held_of(connection: Connection, sealer: Sealer, row: RedemptionRow) -> HeldRedemption:
    """All an adapter needs, from a row. What the platform named in its answer is among the binding's references."""
    learned: Mapping[str, str] = refs_of(row.refs) if row.refs else {}
    dossier = coupons.decode_dossier(
        coupons.dossier_row(connection, row.coupon_id, platform=row.platform),
        sealer,
        platform=row.platform,
        learned=learned,
    )
    if dossier.listing is None or dossier.binding is None:
        raise CouponStateError("coupon.not_bound", field="coupon", platform=row.platform)
    return HeldRedemption(
        redemption=decode(row),
        code=dossier.coupon.code,
        template=dossier.coupon.template,
        listing=dossier.listing,
        binding=dossier.binding,
    )


def decode(row: RedemptionRow, *, order: Order | None = None) -> Redemption:
    """The redemption of ``row``. ``order`` is its order, where that was decoded before."""
    return Redemption(
        redemption_id=row.redemption_id,
        idempotency_key=row.idempotency_key,
        coupon_id=row.coupon_id,
        template_id=row.template_id,
        merchant_id=row.merchant_id,
        platform=row.platform,
        order=order or order_of(row.order_json),
        value_fen=row.value_fen,
        state=OperationState(row.state),
        held_at=instant(row.held_at),
        deadline=instant(row.deadline),
        concluded_at=instant_or_none(row.concluded_at),
        platform_no=row.platform_no,
        settles_on=settlement_of(row.settles_on),
        error_code=row.error_code,
        platform_code=row.platform_code,
        request_id=row.request_id,
    )


def _record(connection: Connection, kind: EventKind, made: Redemption, *, version: int, now: datetime) -> None:
    outbox.record(
        connection,
        kind,
        coupon_id=made.coupon_id,
        version=version,
        now=now,
        platform=made.platform,
        operation_id=made.redemption_id,
        value_fen=made.value_fen,
    )
