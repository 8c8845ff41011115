"""Admission: whether this coupon may be spent on this order, here, by whoever is there.

Reads the ledger, checks the proof, and hands back an ``Admission``, without which nothing can be held. It consumes
nothing: the counters and the challenge are taken in the hold's own transaction.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from unicom_coupon_sdk.crypto.fields import FieldCipher
from unicom_coupon_sdk.domain.admission import Admission
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.coupon import Cash, Coupon
from unicom_coupon_sdk.domain.limits import Consumption, Subject, Window
from unicom_coupon_sdk.domain.redemption import Binding, Listing, RedeemRequest
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.domain.token import QrToken, coupon_of_token
from unicom_coupon_sdk.domain.verification import (
    BiometricProof,
    Challenge,
    LoginProof,
    Method,
    Proof,
    ScanProof,
    SmsProof,
    TerminalProof,
    Testimony,
    VerifiedHolder,
)
from unicom_coupon_sdk.errors import CouponStateError, LimitError, UnsupportedOperation, VerificationError
from unicom_coupon_sdk.guard.screening import Payee, Screening
from unicom_coupon_sdk.ledger import Dossier, Ledger
from unicom_coupon_sdk.platform.adapter import PlatformAdapter, VerifyOrder
from unicom_coupon_sdk.platform.effects import Flow, Now, Transact
from unicom_coupon_sdk.platform.profile import Capability, PlatformProfile


@dataclass(frozen=True, slots=True)
class Presented:
    """A coupon as presented on a platform, with all that is known of it there."""

    coupon: Coupon
    holder_index: str
    listing: Listing
    binding: Binding


class Guard:
    """Decides on redemptions and pay-outs.

    ``token_key`` is the issuer's key of rotating QR tokens; ``screening`` looks at every payee of a pay-out.
    """

    def __init__(
        self, ledger: Ledger, *, cipher: FieldCipher, token_key: bytes, screening: Screening | None = None
    ) -> None:
        self._ledger = ledger
        self._cipher = cipher
        self._token_key = token_key
        self._screening = screening

    def admit(
        self,
        request: RedeemRequest,
        *,
        adapter: PlatformAdapter,
        merchant_id: str,
        by: Capability = Capability.REDEEM,
        payee_name: Secret | None = None,
    ) -> Flow[Admission]:
        """The decision on ``request``: to redeem a coupon, or ``by`` PAY_OUT to pay a cash coupon out.

        Raises ``CouponStateError``, ``VerificationError``, ``LimitError``, ``ComplianceError`` or
        ``UnsupportedOperation``; nothing was done then.
        """
        profile = adapter.profile
        profile.require(by)
        presented = yield from self.present(request.coupon, platform=profile.name)
        now = yield from Now()
        coupon = presented.coupon
        refusal = coupon.refusal_at(now)
        if refusal is not None:
            raise refusal
        _check_kind(coupon, profile, by=by)
        value_fen = coupon.template.value_at(request.order.amount_fen)
        verified = yield from self._verify(request, presented=presented, adapter=adapter)
        spending = _Spending(
            holder_index=presented.holder_index,
            merchant_id=merchant_id,
            terminal_no=request.order.terminal_no,
            device_index=verified.device_index,
            tier=verified.tier,
            value_fen=value_fen,
        )
        if by is Capability.PAY_OUT and self._screening is not None:
            payee = Payee(
                platform=profile.name,
                merchant_id=merchant_id,
                user=presented.binding.user,
                name=payee_name,
                amount_fen=value_fen,
                reference=request.order.order_no,
            )
            yield from self._screening.screen(payee)
        return Admission(
            coupon_id=coupon.coupon_id,
            verified=verified,
            value_fen=value_fen,
            consumptions=_consumptions(profile, spending, at=now),
            deadline=now + timedelta(seconds=profile.send_window_s),
            challenge_id=verified.challenge.challenge_id if verified.challenge else None,
        )

    def present(self, shown: CouponCode | QrToken, *, platform: str) -> Flow[Presented]:
        """What ``shown`` is, on ``platform``. Raises ``CouponStateError`` for what is unknown there."""
        now = yield from Now()
        if isinstance(shown, QrToken):
            coupon_id = coupon_of_token(shown, at=now, key=self._token_key)
            dossier = yield from Transact(self._ledger.dossier_of_id(coupon_id, platform))
        else:
            dossier = yield from Transact(self._ledger.dossier_of_code(shown, platform))
        return _presented(dossier, platform)

    def _verify(
        self, request: RedeemRequest, *, presented: Presented, adapter: PlatformAdapter
    ) -> Flow[VerifiedHolder]:
        proof = request.proof
        platform = adapter.profile.name
        if proof.method not in {method.value for method in adapter.profile.methods}:
            raise VerificationError("verification.method", field="proof", platform=platform, method=proof.method)
        challenge = yield from self._challenge_of(proof, presented=presented, platform=platform)
        in_redemption = False
        if isinstance(proof, ScanProof) and proof.token.is_ours:
            yield from self._check_scan(proof, presented)
            tier = None
        else:
            adapter.profile.require(Capability.VERIFY)
            testimony = yield from adapter.verify(
                VerifyOrder(
                    proof=proof,
                    challenge=challenge,
                    code=presented.coupon.code,
                    binding=presented.binding,
                    listing=presented.listing,
                    order=request.order,
                )
            )
            self._match(testimony, presented=presented, proof=proof)
            in_redemption = testimony.in_redemption
            tier = testimony.tier
        now = yield from Now()
        device = proof.device_fingerprint if isinstance(proof, LoginProof | BiometricProof) else None
        return VerifiedHolder(
            coupon_id=presented.coupon.coupon_id,
            method=Method(proof.method),
            verified_at=now,
            device_index=self._cipher.index(device.reveal(), context="device").hex() if device else None,
            tier=tier,
            challenge=challenge,
            in_redemption=in_redemption,
        )

    def _check_scan(self, proof: ScanProof, presented: Presented) -> Flow[None]:
        """A rotating token proves possession of the holder's unlocked app, now."""
        now = yield from Now()
        if coupon_of_token(proof.token, at=now, key=self._token_key) != presented.coupon.coupon_id:
            raise VerificationError("verification.other_coupon", field="proof.token")

    def _match(self, testimony: Testimony, *, presented: Presented, proof: Proof) -> None:
        """Somebody must have been shown, and everybody shown must be the holder."""
        platform = presented.binding.platform
        shown = testimony.in_redemption or (testimony.terminal_no is not None and isinstance(proof, TerminalProof))
        if testimony.user is not None:
            if testimony.user != presented.binding.user:
                raise VerificationError("verification.other_user", field="proof", platform=platform)
            shown = True
        if testimony.phone is not None:
            index = self._cipher.index(f"phone:{testimony.phone.reveal()}", context="holder").hex()
            if not hmac.compare_digest(index, presented.holder_index):
                raise VerificationError("verification.other_user", field="proof", platform=platform)
            shown = True
        if not shown:
            raise VerificationError("verification.nobody", field="proof", platform=platform)

    def _challenge_of(self, proof: Proof, *, presented: Presented, platform: str) -> Flow[Challenge | None]:
        if not isinstance(proof, BiometricProof | SmsProof):
            return None
        challenge = yield from Transact(self._ledger.challenge(proof.challenge_id))
        now = yield from Now()
        if challenge.coupon_id != presented.coupon.coupon_id or challenge.platform != platform:
            raise VerificationError("challenge.other_coupon", field="proof.challenge_id")
        if challenge.method.value != proof.method:
            raise VerificationError("challenge.other_method", field="proof.challenge_id")
        if now >= challenge.expires_at:
            raise VerificationError("challenge.expired", field="proof.challenge_id")
        return challenge


def _check_kind(coupon: Coupon, profile: PlatformProfile, *, by: Capability) -> None:
    """A cash coupon is paid out where the platform can do that, and redeemed where it cannot; no other is paid out."""
    kind = coupon.template.benefit.kind
    if kind not in profile.coupon_kinds:
        raise UnsupportedOperation("coupon.kind_not_offered", platform=profile.name, kind=kind)
    is_cash = isinstance(coupon.template.benefit, Cash)
    if by is Capability.PAY_OUT and not is_cash:
        raise UnsupportedOperation("coupon.not_cash", field="coupon", platform=profile.name, kind=kind)
    if by is Capability.REDEEM and is_cash and Capability.PAY_OUT in profile.capabilities:
        raise UnsupportedOperation("coupon.is_paid_out", field="coupon", platform=profile.name)


def _presented(dossier: Dossier, platform: str) -> Presented:
    template = dossier.coupon.template
    if platform not in template.platforms:
        raise CouponStateError("coupon.not_on_platform", field="platform", platform=platform)
    if dossier.listing is None or dossier.binding is None or dossier.binding.pending or dossier.holder_index is None:
        raise CouponStateError("coupon.not_bound", field="coupon", platform=platform)
    return Presented(
        coupon=dossier.coupon, holder_index=dossier.holder_index, listing=dossier.listing, binding=dossier.binding
    )


@dataclass(frozen=True, slots=True)
class _Spending:
    """Who spends how much where: what limits count."""

    holder_index: str
    merchant_id: str
    terminal_no: str | None
    device_index: str | None
    tier: str | None
    value_fen: int

    def index_of(self, subject: Subject) -> str | None:
        return {
            Subject.HOLDER: self.holder_index,
            Subject.MERCHANT: self.merchant_id,
            Subject.TERMINAL: self.terminal_no,
            Subject.DEVICE: self.device_index,
        }[subject]


def _consumptions(profile: PlatformProfile, spending: _Spending, *, at: datetime) -> tuple[Consumption, ...]:
    found = []
    for limit in profile.limits_on(business_date(at)):
        index = spending.index_of(limit.subject)
        if index is None or (limit.tier is not None and spending.tier not in (None, limit.tier)):
            continue
        if limit.window is Window.ONCE:
            if limit.max_fen is not None and spending.value_fen > limit.max_fen:
                raise LimitError("limit.single", field="order.amount_fen", platform=profile.name, max_fen=limit.max_fen)
            continue
        found.append(
            Consumption(
                limit=limit.name,
                platform=profile.name,
                subject=limit.subject.value,
                subject_index=index,
                window=limit.window_start(at),
                amount_fen=spending.value_fen,
                max_fen=limit.max_fen,
                max_count=limit.max_count,
            )
        )
    return tuple(found)
