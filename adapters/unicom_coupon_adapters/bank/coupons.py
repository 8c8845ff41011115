"""The coupon gateway profile, BCG 1: this project's own, over the bank's envelope (sheet §3). No bank's protocol.

Every number that a call is idempotent by is made from our own ids, so telling the bank twice changes nothing: codes by
batch and position, holders by binding, one-time codes by challenge, redemptions and reversals by their ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from unicom_coupon_adapters.bank import messages
from unicom_coupon_adapters.bank.envelopes import Reply
from unicom_coupon_adapters.bank.gateway import Gateway
from unicom_coupon_adapters.bank.outcomes import instant_or_none, moment_text, not_done, outcome_of
from unicom_coupon_adapters.bank.refusals import NOT_FOUND
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.redemption import Binding, HeldRedemption, HeldReversal, Listing, Outcome
from unicom_coupon_sdk.domain.sensitive import PhoneNumber, PlatformUser
from unicom_coupon_sdk.domain.times import rfc3339
from unicom_coupon_sdk.domain.verification import Challenge, Method, SmsProof, Testimony
from unicom_coupon_sdk.errors import Effected, PlatformRefused, ValidationError, VerificationError
from unicom_coupon_sdk.platform.adapter import BindOrder, ChallengeOrder, IssueOrder, VerifyOrder
from unicom_coupon_sdk.platform.effects import Flow

PLATFORM = "bank"
CODES_PER_CALL = 200
_LONGEST_CODE = 20
_LAST_SECOND = timedelta(seconds=1)


class CouponGateway:
    """The verbs over one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    # --- issuing: the issuer tells the gateway what it has issued; an extension of the profile, and ours ---

    def issue(self, order: IssueOrder) -> Flow[Listing]:
        """The codes known to the gateway, idempotent by batch and position."""
        template = order.template
        face_fen = template.face_fen
        if face_fen is None:
            raise ValidationError("bank.face", field="template.benefit", platform=PLATFORM)
        terms = {
            "templateId": template.template_id,
            "couponName": template.name,
            "faceAmt": str(face_fen),
            "minTxnAmt": str(template.benefit.min_spend_fen),
            "validFrom": moment_text(template.valid_from),
            "validTo": moment_text(template.valid_until - _LAST_SECOND),  # theirs is inclusive (sheet §3.2)
        }
        for position, codes in enumerate(_chunks(order.codes)):
            number = f"{order.batch_id}_{position}"
            call = messages.REGISTER.call({**self._gateway.who, "reqNo": number, **terms, "couponCodes": list(codes)})
            yield from self._gateway.call(call)
        return Listing(template.template_id, PLATFORM, {"templateId": template.template_id})

    def bind(self, order: BindOrder) -> Flow[Binding]:
        """The coupon bound to its holder's mobile, which travels encrypted. Idempotent by ``binding_no``."""
        phone = order.holder.phone
        if phone is None:
            raise ValidationError("bank.phone_missing", field="holder.phone", platform=PLATFORM)
        call = messages.BIND.call(
            {**self._gateway.who, "reqNo": order.binding_no, "couponCode": order.code},
            sealed={"encryptMobile": {"mobile": phone}},
        )
        yield from self._gateway.call(call)
        refs = {"binding_no": order.binding_no}
        return Binding(order.coupon_id, PLATFORM, PlatformUser(phone.reveal()), refs)

    def void(self, code: CouponCode, *, void_no: str, reason: str) -> Flow[Outcome]:
        """The coupon withdrawn at the gateway. Idempotent by ``void_no``."""
        call = messages.VOID.call({**self._gateway.who, "reqNo": void_no[:32], "couponCode": code, "reason": reason})
        reply = yield from self._gateway.call(call)
        return Outcome(effected=Effected.DONE, at=instant_or_none(reply.text("txnTime")), platform_no=void_no)

    # --- checking and asking for a one-time code ---

    def look(self, code: CouponCode, *, number: str, amount_fen: int | None = None) -> Flow[Reply]:
        """The bank's view of a code, unchanged: state, face, dates, cooperation, day limit (sheet §3.2)."""
        amount = None if amount_fen is None else str(amount_fen)
        call = messages.VERIFY.call({**self._gateway.who, "reqNo": number, "couponCode": code, "txnAmt": amount})
        return (yield from self._gateway.call(call))

    def challenge(self, order: ChallengeOrder) -> Flow[Mapping[str, object]]:
        """A one-time code on its way to the holder's phone, for this coupon and value. Sent once by challenge id."""
        if order.method is not Method.SMS:
            raise VerificationError("verification.method", field="method", platform=PLATFORM, method=order.method.value)
        body = {
            **self._gateway.who,
            "reqNo": order.challenge_id,
            "couponCode": order.code,
            "txnAmt": str(order.value_fen),
            "scene": "REDEEM",
            **_place(order.order),
        }
        reply = yield from self._gateway.call(messages.SMS_APPLY.call(body))
        token = reply.text("smsToken")
        if token is None:
            raise PlatformRefused("bank.sms_token", platform=PLATFORM, reason="smsToken")
        expires_at = instant_or_none(reply.text("expireTime")) or order.expires_at
        return {
            "sms_token": token,
            "to": _masked(order.binding),
            "txn_amt": str(order.value_fen),
            "expires_at": rfc3339(expires_at),
            "resend_after_s": _number(reply, "resendAfter"),
            "sends_left": _number(reply, "sendLeft"),
            "attempts_left": _number(reply, "attemptsLeft"),
        }

    def testimony(self, order: VerifyOrder) -> Testimony:
        """That the bank will check the code itself, within the redemption. Raises ``VerificationError``."""
        _token_of(order.challenge)
        if not isinstance(order.proof, SmsProof):
            raise VerificationError("verification.method", field="proof", platform=PLATFORM, method=order.proof.method)
        code = order.proof.one_time_code.reveal()
        if not (len(code) == 6 and code.isascii() and code.isdigit()):
            raise VerificationError("bank.sms_shape", field="proof.one_time_code", platform=PLATFORM)
        return Testimony(method=Method.SMS, in_redemption=True)

    # --- redeeming ---

    def redeem(self, held: HeldRedemption) -> Flow[Outcome]:
        """The coupon burnt with the holder's one-time code, once by the redemption's id.

        Raises ``VerificationError`` before anything is sent when the code was asked for another value.
        """
        redemption = held.redemption
        token = _token_of(held.challenge)
        proof = held.proof
        if not isinstance(proof, SmsProof):
            raise VerificationError("verification.method", field="proof", platform=PLATFORM, method="none")
        assert held.challenge is not None
        if held.challenge.instructions.get("txn_amt") != str(redemption.value_fen):
            raise VerificationError("bank.sms_binding", field="order.amount_fen", platform=PLATFORM)
        body = {
            **self._gateway.who,
            "reqNo": redemption.redemption_id,
            "orderId": redemption.redemption_id,
            "couponCode": held.code,
            "txnAmt": str(redemption.value_fen),
            "smsToken": token,
            "orderOrigAmt": str(redemption.order.amount_fen),
            "notifyUrl": self._gateway.settings.notify_url,
            **_place(redemption.order),
        }
        call = messages.REDEEM.call(body, sealed={"encryptSms": {"smsCode": proof.one_time_code}})
        reply = yield from self._gateway.call(call, not_after=redemption.deadline)
        return outcome_of(
            reply, state_field="tradeState", number=redemption.redemption_id, amount_fen=redemption.value_fen
        )

    def query(self, held: HeldRedemption) -> Flow[Outcome]:
        """What the bank knows of a redemption, by our number."""
        redemption = held.redemption
        return (yield from self._ask(redemption.redemption_id, amount_fen=redemption.value_fen))

    def reverse(self, held: HeldReversal) -> Flow[Outcome]:
        """The redemption undone on its business day before 23:30, once by the reversal's id; refused later (§3.5)."""
        reversal = held.reversal
        body = {
            **self._gateway.who,
            "reqNo": reversal.reversal_id,
            "orderId": reversal.reversal_id,
            "origOrderId": reversal.redemption_id,
            "txnAmt": str(reversal.value_fen),
            "reason": reversal.cause.value,
        }
        reply = yield from self._gateway.call(messages.REVERSE.call(body), not_after=reversal.deadline)
        return outcome_of(reply, state_field="reverseState", number=reversal.reversal_id, amount_fen=reversal.value_fen)

    def query_reversal(self, held: HeldReversal) -> Flow[Outcome]:
        """What the bank knows of a reversal, by our number."""
        return (yield from self._ask(held.reversal.reversal_id, amount_fen=held.reversal.value_fen))

    def _ask(self, number: str, *, amount_fen: int) -> Flow[Outcome]:
        call = messages.QUERY.call({**self._gateway.who, "reqNo": number, "orderId": number})
        try:
            reply = yield from self._gateway.call(call)
        except PlatformRefused as error:
            if error.platform_code in NOT_FOUND:
                return not_done(error.platform_code or "ORDERID_NOT_EXIST")
            raise
        return outcome_of(reply, state_field="tradeState", number=number, amount_fen=amount_fen)


def _chunks(codes: Sequence[CouponCode]) -> Iterator[Sequence[CouponCode]]:
    for code in codes:
        if len(code.reveal()) > _LONGEST_CODE:
            raise ValidationError("bank.field_length", field="couponCode", platform=PLATFORM, longest=_LONGEST_CODE)
    for start in range(0, len(codes), CODES_PER_CALL):
        yield codes[start : start + CODES_PER_CALL]


def _place(order: Order) -> dict[str, Any]:
    return {"storeId": order.store_no, "termId": order.terminal_no}


def _token_of(challenge: Challenge | None) -> str:
    token = challenge.instructions.get("sms_token") if challenge is not None else None
    if not isinstance(token, str):
        raise VerificationError("challenge.unknown", field="proof.challenge_id", platform=PLATFORM)
    return token


def _masked(binding: Binding) -> str:
    return PhoneNumber(binding.user.reveal()).masked() if binding.user is not None else ""


def _number(reply: Reply, name: str) -> int | None:
    value = str(reply.biz.get(name, ""))
    return int(value) if value.isascii() and value.isdigit() else None
