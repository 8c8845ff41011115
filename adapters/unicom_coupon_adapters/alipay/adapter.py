"""Alipay behind the adapter interface: each verb a flow of signed calls. No state but keys.

**Who owns what.** Alipay is told of a redemption and does not own it (sheet §0): the ledger holds the coupon first, and
only then is ``use`` sent. So a query must answer a question that Alipay was never asked: did *our* redemption reach it?

``user.queryvoucher`` says whether a voucher is used, not under which number. This is enough, by the ledger's own rules:

- While a redemption is open, its coupon is HELD, and no other redemption or reversal of it can be sent by anyone who
  goes through the ledger. Every earlier one was concluded before, and by Alipay's own word; repeats of those under
  their old numbers change nothing. So before our ``use`` the voucher read ``SENDED``.
- ``USED`` therefore is ours: DONE. Were it used by somebody beside the ledger (the merchant's console, a second system
  with the application's key), then DONE is still the safe verdict: the coupon is spent, and releasing it would let it
  be spent again, on another platform. The bill (``merchant_act``) shows such a case.
- ``SENDED`` is NOT_DONE as of now. ``recover`` believes that only when no request of ours can still arrive.
- ``EXPIRED`` says nothing about use, so the count must; an absent voucher may be a deleted one, and is never NOT_DONE.

The documented repeat under the same ``out_biz_no`` would tell ours from another's exactly; but it is a write, it would
redeem a voucher that reads ``SENDED`` after the merchant was told no, and a query reads only.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from unicom_coupon_adapters.alipay import bills, doctor, goods, notifications, sharing, transfers, users
from unicom_coupon_adapters.alipay.compliance import SHIM
from unicom_coupon_adapters.alipay.gateway import PATIENT, AlipayGateway, Node
from unicom_coupon_adapters.alipay.keys import AlipayKeys, AppKey
from unicom_coupon_adapters.alipay.messages import CODES_PER_DEPOSIT, Messages, VoucherState, activity_of, voucher_state
from unicom_coupon_adapters.alipay.profile import NAME, profile_of
from unicom_coupon_adapters.alipay.requests import Call
from unicom_coupon_adapters.alipay.settings import AlipaySettings, CodeMode, Family
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.bill import BillAnswer
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.coupon import Cash
from unicom_coupon_sdk.domain.events import Acknowledgement, NewsKind, VerifiedEvent
from unicom_coupon_sdk.domain.redemption import Binding, HeldRedemption, HeldReversal, Listing, Outcome
from unicom_coupon_sdk.domain.sharing import HeldShare, HeldShareReturn, ShareOutcome
from unicom_coupon_sdk.domain.verification import LoginProof, Method, PhoneProof, ScanProof, Testimony
from unicom_coupon_sdk.errors import (
    CouponError,
    Effected,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    ValidationError,
    VerificationError,
)
from unicom_coupon_sdk.platform.adapter import BaseAdapter, BindOrder, ChallengeOrder, Finding, IssueOrder, VerifyOrder
from unicom_coupon_sdk.platform.bill import BillOrder
from unicom_coupon_sdk.platform.effects import Flow, Now, Sleep
from unicom_coupon_sdk.platform.profile import Capability
from unicom_coupon_sdk.platform.retry import repeating
from unicom_coupon_sdk.platform.wire import Headers

_POLL_S = 1.0
_ACTIVE = "ACTIVE"
_CASH = "transfer"


class AlipayAdapter(BaseAdapter):
    """One Alipay application. Safe to share between threads and tasks.

    Beside the verbs: ``gateway`` sends any call signed and verified, such as those of ``trades`` and ``messages``.
    """

    def __init__(self, settings: AlipaySettings, keys: Keys, *, signer: AppKey | None = None) -> None:
        self.profile = profile_of(settings)
        self.compliance = SHIM
        self.settings = settings
        self._keys = keys
        self.gateway = AlipayGateway(settings, AlipayKeys.load(settings, keys, signer=signer))
        self.messages = Messages(settings)
        self._sells_goods = settings.coupon_family is Family.CERTIFICATE

    # --- issuing and giving ---

    def issue(self, order: IssueOrder) -> Flow[Listing]:
        """The activity of the template, made if it is not there, and the batch's codes uploaded where that is the mode.

        ``create`` and ``append`` only promise; their effect is waited for by asking, since Alipay sends no news of a
        failure (§2.8). Raises ``PlatformUnavailable`` ``alipay.activity_pending`` when it takes longer than
        ``activation_wait_s``: repeat the same issue later. Certificates are listed in Alipay's console, so there is
        nothing to make; nor is there for cash, which is a transfer when its time comes.
        """
        if isinstance(order.template.benefit, Cash):
            self.profile.require(Capability.PAY_OUT)
            transfers.check_amount(order.template.benefit.cash_fen, field="benefit.cash_fen", settings=self.settings)
            return Listing(order.template.template_id, NAME, {"family": _CASH})
        if self._sells_goods:
            item = self.settings.certificate_item_id
            refs = {"family": Family.CERTIFICATE.value, **({"item_id": item} if item else {})}
            return Listing(order.template.template_id, NAME, refs)
        listing = order.listing
        if listing is None or not listing.refs.get("activity_id"):
            node = yield from self._repeated(self.messages.create(order.template))
            activity_id = node.text("activity_id")
            if not activity_id:
                raise _malformed(node)
            listing = Listing(order.template.template_id, NAME, {"activity_id": activity_id})
        yield from self._settled(activity_of(listing))
        if self.settings.code_mode is CodeMode.MERCHANT_UPLOAD:
            yield from self._upload(order, activity_of(listing))
        return listing

    def _upload(self, order: IssueOrder, activity_id: str) -> Flow[None]:
        texts = [code.reveal() for code in order.codes]
        for start in range(0, len(texts), CODES_PER_DEPOSIT):
            number = f"{order.batch_id}_{start // CODES_PER_DEPOSIT}"
            part = texts[start : start + CODES_PER_DEPOSIT]
            node = yield from self._repeated(self.messages.deposit(activity_id, part, number=number))
            failed = node.rows("fail_voucher_code_detail_list")
            if failed:
                raise PlatformRefused(
                    "alipay.codes_refused",
                    platform=NAME,
                    platform_code=str(failed[0].get("error_code") or "")[:64] or None,
                    request_id=node.trace_id,
                    count=len(failed),
                )
        node = yield from self._repeated(self.messages.count_codes(activity_id))
        total = node.text("success_count")
        if not total.isdigit():
            raise _malformed(node)
        call = self.messages.append(activity_id, template_id=order.template.template_id, total=int(total))
        yield from self._repeated(call)
        yield from self._settled(activity_id)

    def _settled(self, activity_id: str) -> Flow[None]:
        """Wait until the activity is active and nothing is under way on it."""
        began = yield from Now()
        pause = _POLL_S
        while True:
            node = yield from self._repeated(self.messages.query_activity(activity_id))
            base = node.part("activity_base_info") or node.members
            status, doing = base.get("activity_status"), base.get("activity_operation_status")
            if node.part("audit_result_info").get("audit_result") == "REJECT":
                raise PlatformRefused("alipay.activity_rejected", platform=NAME, request_id=node.trace_id)
            if status == _ACTIVE and not doing:
                return
            if status and status != _ACTIVE:
                raise PlatformRefused(
                    "alipay.activity_state", platform=NAME, platform_code=str(status)[:64], request_id=node.trace_id
                )
            now = yield from Now()
            if now - began >= timedelta(seconds=self.settings.activation_wait_s):
                raise PlatformUnavailable(
                    "alipay.activity_pending", platform=NAME, request_id=node.trace_id, retry_after_s=30.0
                )
            yield from Sleep(pause)
            pause = min(pause * 2, 8.0)

    def bind(self, order: BindOrder) -> Flow[Binding]:
        """The coupon in the user's wallet.

        Where codes are uploaded, and where goods are sold, Alipay chooses the code it hands out, so none can be sent
        to order: the binding is pending until its ``received`` message says which code the user took. Cash is no
        coupon at Alipay: who will be paid is written down, and nothing is sent.
        """
        if isinstance(order.template.benefit, Cash):
            if order.holder.user is None:
                raise ValidationError("alipay.user_needed", field="holder.user", platform=NAME)
            return Binding(order.coupon_id, NAME, order.holder.user, {})
        if self._sells_goods or self.settings.code_mode is CodeMode.MERCHANT_UPLOAD:
            return Binding(order.coupon_id, NAME, order.holder.user, {}, pending=True)
        node = yield from self._repeated(self.messages.receive(order))
        rows = node.rows("receive_result_list")
        row = rows[0] if len(rows) == 1 else {}
        if row.get("result") not in (True, "true"):
            raise _not_received(row, node)
        if row.get("voucher_code") not in (None, "", order.code.reveal()):
            raise PlatformUnknown("alipay.answer_other", platform=NAME, request_id=node.trace_id, reason="voucher_code")
        voucher_id = row.get("voucher_id")
        refs = {"voucher_id": str(voucher_id)} if voucher_id else {}
        return Binding(order.coupon_id, NAME, order.holder.user, refs)

    # --- proving ---

    def challenge(self, order: ChallengeOrder) -> Flow[Mapping[str, object]]:
        """What the front end calls: nothing is sent. Its result comes back as the proof of that method."""
        return {
            Method.PHONE: {"call": "my.getPhoneNumber", "send": "response, sign, sign_type, encrypt_type and charset"},
            Method.LOGIN: {"call": "my.getAuthCode", "scopes": "auth_base", "send": "authCode"},
        }.get(order.method, {"show": "rotating_token"})
        yield

    def verify(self, order: VerifyOrder) -> Flow[Testimony]:
        """Whom the proof shows. Raises ``VerificationError`` for one that shows nobody; see ``users``."""
        match order.proof:
            case PhoneProof() as proof:
                now = yield from Now()
                return users.phone_testimony(proof, keys=self.gateway.keys, at=now)
            case LoginProof() as proof:
                return (yield from users.login_testimony(proof, gateway=self.gateway, binding=order.binding))
            case ScanProof() as proof:
                raise users.refuse_scan(proof)
            case _:
                raise VerificationError("verification.method", field="proof", platform=NAME, method=order.proof.method)

    # --- redeeming ---

    def redeem(self, held: HeldRedemption) -> Flow[Outcome]:
        """Tell Alipay of the redemption, under the redemption's id; three times at most, never after its deadline."""
        deadline = held.redemption.deadline
        if not self._sells_goods:
            node = yield from self._repeated(self.messages.use(held), deadline=deadline)
            return Outcome(Effected.DONE, platform_no=held.redemption.redemption_id, refs=_traced(node))
        found = goods.prepared((yield from self._repeated(goods.prepare(held.code), deadline=deadline)))
        if found is None:
            raise PlatformRefused("alipay.voucher_unknown", platform=NAME)
        call = goods.use(held, found, shop_ids=self.settings.shop_ids)
        node = yield from self._repeated(call, deadline=deadline)
        number, result = goods.use_order_no(node)
        if number is None:
            return _outcome_of_result(result, node)
        refs = {"order_id": found.order_id, "certificate_id": found.certificate_id, **_traced(node)}
        return Outcome(Effected.DONE, platform_no=number, refs=refs)

    def query(self, held: HeldRedemption) -> Flow[Outcome]:
        """Whether our redemption reached Alipay; see the head of this module for why the voucher's state tells."""
        if self._sells_goods:
            return (yield from self._query_goods(held))
        state = yield from self._voucher(held)
        if state is None or state.is_used is None:
            return _cannot_tell(state)
        if state.is_used:
            return Outcome(Effected.DONE, platform_no=held.redemption.redemption_id)
        return _not_done(state.status)

    def _query_goods(self, held: HeldRedemption) -> Flow[Outcome]:
        """A used certificate is ours by the same reasoning, but without its ``use_order_no`` it cannot be reversed."""
        node = yield from self._repeated(goods.query(held))
        used = goods.is_used(node)
        if used is None:
            return _cannot_tell(None)
        return Outcome(Effected.DONE) if used else _not_done("can_use")

    def reverse(self, held: HeldReversal) -> Flow[Outcome]:
        """Tell Alipay that the redemption is taken back, under the reversal's id; never after its deadline."""
        deadline = held.reversal.deadline
        if not self._sells_goods:
            node = yield from self._repeated(self.messages.refund(held), deadline=deadline)
            return Outcome(Effected.DONE, platform_no=held.reversal.reversal_id, refs=_traced(node))
        node = yield from self._repeated(goods.refund(held), deadline=deadline)
        refunded = goods.refunded(node, number=held.redeemed.redemption.platform_no or "")
        if refunded is None:
            return _cannot_tell(None)
        if not refunded:
            return _not_done("FAIL")
        return Outcome(Effected.DONE, platform_no=held.reversal.reversal_id, refs=_traced(node))

    def query_reversal(self, held: HeldReversal) -> Flow[Outcome]:
        """Whether our reversal reached Alipay: the redemption was done, so an unused voucher was taken back by us."""
        if self._sells_goods:
            used = goods.is_used((yield from self._repeated(goods.query(held.redeemed))))
            status = "can_use"
        else:
            state = yield from self._voucher(held.redeemed)
            used, status = (state.is_used, state.status) if state is not None else (None, "")
        if used is None:
            return _cannot_tell(None)
        return _not_done(status) if used else Outcome(Effected.DONE, platform_no=held.reversal.reversal_id)

    def void(self, held: Binding, *, code: CouponCode, listing: Listing, void_no: str, reason: str) -> Flow[Outcome]:
        """Withdraw an unused voucher. One that Alipay already has as expired or void needs no withdrawing: DONE.

        That second look is also what makes a repeat under ``void_no`` safe: its time differs from the first one's, and
        Alipay may refuse the number for that. Alipay takes no ``reason``. Goods are withdrawn by refunding their sale,
        and of a coupon of cash Alipay knows nothing.
        """
        now = yield from Now()
        if listing.refs.get("family") == _CASH:
            return Outcome(Effected.DONE, at=now, platform_no=void_no)
        if self._sells_goods:
            raise self._refuse("void")
        try:
            yield from self._repeated(self.messages.invalidate(listing, code, number=void_no, at=now))
        except PlatformRefused:
            node = yield from self._repeated(self.messages.query_voucher(listing, held, code))
            state = voucher_state(node, code=code)
            if state is None or state.status != "EXPIRED" or state.is_used:
                raise
        return Outcome(Effected.DONE, at=now, platform_no=void_no)

    # --- clearing ---

    def pay_out(self, held: HeldRedemption) -> Flow[Outcome]:
        """Transfer a cash coupon's amount to its user, once; see ``transfers``. Certificate mode alone."""
        self.profile.require(Capability.PAY_OUT)
        return (yield from transfers.pay_out(held, gateway=self.gateway, settings=self.settings))

    def query_pay_out(self, held: HeldRedemption) -> Flow[Outcome]:
        """What Alipay knows of a transfer."""
        self.profile.require(Capability.PAY_OUT)
        return (yield from transfers.query(held, gateway=self.gateway))

    def share(self, held: HeldShare) -> Flow[ShareOutcome]:
        """Settle the parts of a paid trade, and read them back; see ``sharing``. Needs ``seller_id``."""
        self.profile.require(Capability.SHARE)
        return (yield from sharing.share(held, gateway=self.gateway, settings=self.settings))

    def query_share(self, held: HeldShare) -> Flow[ShareOutcome]:
        """What Alipay knows of a share, receiver by receiver."""
        self.profile.require(Capability.SHARE)
        return (yield from sharing.query(held, gateway=self.gateway))

    def return_share(self, held: HeldShareReturn) -> Flow[Outcome]:
        """Refund one receiver's part to the buyer, out of that receiver's account; see ``sharing``."""
        self.profile.require(Capability.SHARE)
        return (yield from sharing.give_back(held, gateway=self.gateway, settings=self.settings))

    def query_share_return(self, held: HeldShareReturn) -> Flow[Outcome]:
        """What Alipay knows of such a refund."""
        self.profile.require(Capability.SHARE)
        return (yield from sharing.query_return(held, gateway=self.gateway))

    def fetch_bill(self, order: BillOrder) -> Flow[BillAnswer]:
        """The day's bill of coupons, trades or funds; see ``bills``."""
        self.profile.bill(order.kind)
        return (yield from bills.fetch(order, gateway=self.gateway, settings=self.settings))

    # --- news and checks ---

    def parse_notification(self, headers: Headers, body: bytes) -> Flow[VerifiedEvent]:
        """The news in ``body``, verified over the received bytes; the headers carry nothing that is signed."""
        return (yield from notifications.parse(body, gateway=self.gateway, settings=self.settings))

    def acknowledge(self, error: CouponError | None = None, *, event: VerifiedEvent | None = None) -> Acknowledgement:
        """``success``, or ``fail`` to have it sent again; the gateway's self-check (ECHO) wants XML instead."""
        if error is None and event is not None and event.kind is NewsKind.ECHO:
            return notifications.acknowledge_check(self.gateway)
        return notifications.acknowledge(error)

    def diagnose(self) -> Flow[tuple[Finding, ...]]:
        """Keys, certificates, clock, permissions and one signed round trip. Changes nothing."""
        return (yield from doctor.diagnose(self.gateway, self.settings, self._keys))

    # --- shared ---

    def _repeated(self, call: Call, *, deadline: datetime | None = None) -> Flow[Node]:
        """``call`` with the same content and number until it is answered; Alipay documents that as safe (§6.4)."""
        return (yield from repeating(lambda _: self.gateway.send(call, deadline=deadline), PATIENT))

    def _voucher(self, held: HeldRedemption) -> Flow[VoucherState | None]:
        """The voucher's state; ``None`` where Alipay does not know it (any more), which proves nothing."""
        call = self.messages.query_voucher(held.listing, held.binding, held.code)
        try:
            node = yield from self._repeated(call)
        except PlatformRefused as error:
            if error.code == "alipay.voucher_unknown":
                return None
            raise PlatformUnavailable(
                error.code, platform=NAME, platform_code=error.platform_code, request_id=error.request_id
            ) from error
        return voucher_state(node, code=held.code)


def _not_received(row: Mapping[str, object], node: Node) -> PlatformRefused | PlatformUnknown:
    """A voucher that was not given. ``retry`` says that Alipay has not made up its mind (§2.4)."""
    told = str(row.get("error_code") or "")[:64] or None
    if not row or row.get("retry") in (True, "true"):
        return PlatformUnknown(
            "alipay.system_error", platform=NAME, platform_code=told, request_id=node.trace_id, reason="retry"
        )
    return PlatformRefused("alipay.not_received", platform=NAME, platform_code=told, request_id=node.trace_id)


def _outcome_of_result(result: str, node: Node) -> Outcome:
    """A certificate without a ``use_order_no`` is not redeemed (§2.9); only the word FAIL makes that definite."""
    if result.upper() == "FAIL":
        refused = PlatformRefused("alipay.business", platform=NAME, platform_code=result, request_id=node.trace_id)
        return Outcome.of(refused)
    return Outcome.of(_malformed(node))


def _malformed(node: Node) -> PlatformUnknown:
    return PlatformUnknown("alipay.answer_shape", platform=NAME, request_id=node.trace_id, reason="answer")


def _cannot_tell(state: VoucherState | None) -> Outcome:
    status = state.status[:64] if state is not None else None
    return Outcome.of(PlatformUnknown("alipay.cannot_tell", platform=NAME, platform_code=status, reason="status"))


def _not_done(status: str) -> Outcome:
    return Outcome.of(PlatformRefused("alipay.not_redeemed", platform=NAME, platform_code=status[:64]))


def _traced(node: Node) -> dict[str, str]:
    return {"trace_id": node.trace_id} if node.trace_id else {}
