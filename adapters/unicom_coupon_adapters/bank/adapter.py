"""The bank adapter: the SDK's verbs as flows over one gateway, and the bank's further calls as members.

Beside the verbs: ``coupons`` (all calls of the coupon gateway profile, which is this project's), ``payments`` (China
Merchants Bank's 聚合支付), ``gateway`` (any other call, signed and verified). Run their flows with ``client.run(...)``.
"""

from __future__ import annotations

from collections.abc import Mapping

from unicom_coupon_adapters.bank import notifications
from unicom_coupon_adapters.bank.bills import Bills
from unicom_coupon_adapters.bank.compliance import SHIM
from unicom_coupon_adapters.bank.coupons import CouponGateway
from unicom_coupon_adapters.bank.credentials import envelope_of
from unicom_coupon_adapters.bank.doctor import diagnose
from unicom_coupon_adapters.bank.gateway import Gateway
from unicom_coupon_adapters.bank.payments import Payments
from unicom_coupon_adapters.bank.profile import profile_of
from unicom_coupon_adapters.bank.settings import BankSettings
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.bill import BillAnswer
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.events import Acknowledgement, VerifiedEvent
from unicom_coupon_sdk.domain.redemption import Binding, HeldRedemption, HeldReversal, Listing, Outcome
from unicom_coupon_sdk.domain.verification import Testimony
from unicom_coupon_sdk.errors import CouponError
from unicom_coupon_sdk.platform.adapter import BaseAdapter, BindOrder, ChallengeOrder, Finding, IssueOrder, VerifyOrder
from unicom_coupon_sdk.platform.bill import BillOrder
from unicom_coupon_sdk.platform.effects import Flow, Now
from unicom_coupon_sdk.platform.wire import Headers


class BankAdapter(BaseAdapter):
    """One merchant at one bank. Safe to share between threads and tasks; holds keys and nothing else."""

    def __init__(self, settings: BankSettings, keys: Keys) -> None:
        self.settings = settings
        self.gateway = Gateway(settings, envelope_of(settings, keys))
        self.coupons = CouponGateway(self.gateway)
        self.payments = Payments(self.gateway)
        self._bills = Bills(self.gateway)
        self.profile = profile_of(settings)
        self.compliance = SHIM

    def issue(self, order: IssueOrder) -> Flow[Listing]:
        """The template's codes made known to the gateway (our extension of the profile)."""
        return self.coupons.issue(order)

    def bind(self, order: BindOrder) -> Flow[Binding]:
        """The coupon bound to its holder's mobile. Raises ``ValidationError`` for a holder without a phone."""
        return self.coupons.bind(order)

    def challenge(self, order: ChallengeOrder) -> Flow[Mapping[str, object]]:
        """A one-time code sent by the bank; when it may be sent again, and how many tries are left."""
        return self.coupons.challenge(order)

    def verify(self, order: VerifyOrder) -> Flow[Testimony]:
        """That the bank itself will check the code, within the redemption. Sends nothing."""
        return self.coupons.testimony(order)
        yield

    def redeem(self, held: HeldRedemption) -> Flow[Outcome]:
        """Burn the coupon with the one-time code, once by the redemption's id."""
        return self.coupons.redeem(held)

    def query(self, held: HeldRedemption) -> Flow[Outcome]:
        """What the bank knows of the redemption."""
        return self.coupons.query(held)

    def reverse(self, held: HeldReversal) -> Flow[Outcome]:
        """Undo the redemption on its business day, once by the reversal's id."""
        return self.coupons.reverse(held)

    def query_reversal(self, held: HeldReversal) -> Flow[Outcome]:
        """What the bank knows of the reversal."""
        return self.coupons.query_reversal(held)

    def void(self, held: Binding, *, code: CouponCode, listing: Listing, void_no: str, reason: str) -> Flow[Outcome]:
        """Withdraw an unused coupon, once by ``void_no``."""
        return self.coupons.void(code, void_no=void_no, reason=reason)

    def fetch_bill(self, order: BillOrder) -> Flow[BillAnswer]:
        """The coupons used and given back on a Beijing day: raw from T+1 10:30, cleared from 16:30."""
        self.profile.bill(order.kind)
        return self._bills.fetch(order)

    def parse_notification(self, headers: Headers, body: bytes) -> Flow[VerifiedEvent]:
        """The news in a form callback, verified over the bytes received. Raises ``ForgedMessage``."""
        biz = self.gateway.envelope.read_notification(notifications.require_bytes(body))
        now = yield from Now()
        return notifications.event_of(biz, now=now, mer_id=self.settings.mer_id)

    def acknowledge(self, error: CouponError | None = None, *, event: VerifiedEvent | None = None) -> Acknowledgement:
        """The answer, signed with the merchant's key; with ``error`` the bank sends the news again."""
        return self.gateway.envelope.acknowledge(error)

    def diagnose(self) -> Flow[tuple[Finding, ...]]:
        """The integration checklist, item by item. Changes nothing."""
        return diagnose(self.gateway)
