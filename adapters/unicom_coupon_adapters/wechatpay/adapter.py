"""The WeChat Pay adapter: the SDK's verbs as flows over one gateway, and the platform's further calls as members.

Beside the verbs: ``busifavor`` and ``product_coupons`` (all calls of the two coupon families), ``trades`` (order
queries and refunds), ``transfers`` (pay-outs: read them, call them back), ``sharing`` (release an order, ask what is
left of it), ``program`` (the mini-program's server API), ``gateway`` (any other call, signed and verified). Run their
flows with ``client.run(...)``.
"""

from __future__ import annotations

from collections.abc import Mapping

from unicom_coupon_adapters.wechatpay import notifications
from unicom_coupon_adapters.wechatpay.bills import Bills
from unicom_coupon_adapters.wechatpay.busifavor import BusiFavor
from unicom_coupon_adapters.wechatpay.compliance import SHIM
from unicom_coupon_adapters.wechatpay.credentials import load_credentials
from unicom_coupon_adapters.wechatpay.doctor import diagnose
from unicom_coupon_adapters.wechatpay.gateway import Gateway
from unicom_coupon_adapters.wechatpay.outcomes import done_at, openid_of
from unicom_coupon_adapters.wechatpay.product_coupon import ProductCoupons
from unicom_coupon_adapters.wechatpay.profile import profile_of
from unicom_coupon_adapters.wechatpay.settings import WechatPaySettings
from unicom_coupon_adapters.wechatpay.sharing import Sharing
from unicom_coupon_adapters.wechatpay.trade import Trades
from unicom_coupon_adapters.wechatpay.transfers import Transfers
from unicom_coupon_adapters.wechatpay.verification import instructions, testimony
from unicom_coupon_adapters.wechatpay.weixin import MiniProgram
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.bill import BillAnswer
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.coupon import Cash, CouponTemplate
from unicom_coupon_sdk.domain.events import Acknowledgement, VerifiedEvent
from unicom_coupon_sdk.domain.redemption import Binding, HeldRedemption, HeldReversal, Listing, Outcome
from unicom_coupon_sdk.domain.sharing import HeldShare, HeldShareReturn, ShareOutcome
from unicom_coupon_sdk.domain.verification import Testimony
from unicom_coupon_sdk.errors import CouponError
from unicom_coupon_sdk.platform.adapter import BaseAdapter, BindOrder, ChallengeOrder, Finding, IssueOrder, VerifyOrder
from unicom_coupon_sdk.platform.bill import BillOrder
from unicom_coupon_sdk.platform.effects import Flow, Now
from unicom_coupon_sdk.platform.profile import Capability
from unicom_coupon_sdk.platform.wire import Headers


class WechatPayAdapter(BaseAdapter):
    """One WeChat Pay merchant. Safe to share between threads and tasks; holds keys and nothing else."""

    def __init__(self, settings: WechatPaySettings, keys: Keys) -> None:
        credentials = load_credentials(settings, keys)
        self.settings = settings
        self.gateway = Gateway(settings, credentials)
        self.busifavor = BusiFavor(self.gateway)
        self.product_coupons = ProductCoupons(self.gateway)
        self.trades = Trades(self.gateway)
        self.transfers = Transfers(self.gateway)
        self.sharing = Sharing(self.gateway, trades=self.trades)
        self._bills = Bills(self.gateway)
        self.program = MiniProgram(settings, secret=credentials.app_secret)
        self.profile = profile_of(settings, has_secret=credentials.app_secret is not None)
        self.compliance = SHIM
        self._family = self.product_coupons if settings.coupon_family == "product_coupon" else self.busifavor

    def issue(self, order: IssueOrder) -> Flow[Listing]:
        """The stock of a template, with its codes; see the family's ``issue``. Cash needs none and is not sent."""
        if self._is_cash(order.template):
            return self.transfers.list_template(order)
        return (yield from self._family.issue(order))

    def bind(self, order: BindOrder) -> Flow[Binding]:
        """The coupon with its user, or what the front end must show (``pending``); see the family's ``bind``.

        Cash is the user's from here on, and nothing is sent.
        """
        if self._is_cash(order.template):
            return self.transfers.bind(order)
        return (yield from self._family.bind(order))

    def challenge(self, order: ChallengeOrder) -> Flow[Mapping[str, object]]:
        """What the mini-program does: SOTER over our challenge, ``wx.login``, or show the code."""
        return instructions(order, settings=self.settings)
        yield

    def verify(self, order: VerifyOrder) -> Flow[Testimony]:
        """Whom the proof shows. Raises ``VerificationError``, ``PlatformUnavailable``, ``RiskError``."""
        return testimony(order, program=self.program)

    def redeem(self, held: HeldRedemption) -> Flow[Outcome]:
        """Use the coupon, once by the redemption's id."""
        return self._family.redeem(held)

    def query(self, held: HeldRedemption) -> Flow[Outcome]:
        """Whether the coupon was used by this redemption and no other."""
        return self._family.query(held)

    def reverse(self, held: HeldReversal) -> Flow[Outcome]:
        """Return the coupon, once by the reversal's id."""
        return self._family.reverse(held)

    def query_reversal(self, held: HeldReversal) -> Flow[Outcome]:
        """Whether the coupon was returned by this reversal."""
        return self._family.query_reversal(held)

    def void(self, held: Binding, *, code: CouponCode, listing: Listing, void_no: str, reason: str) -> Flow[Outcome]:
        """Deactivate an unused coupon, once by ``void_no``. Of cash not yet paid out the platform knows nothing."""
        if not listing.refs:
            return done_at((yield from Now()), number=void_no)
        if self.settings.coupon_family == "product_coupon":
            openid = openid_of(held)
            voiding = self.product_coupons.void(openid, code=code, listing=listing, void_no=void_no, reason=reason)
        else:
            voiding = self.busifavor.void(code, listing=listing, void_no=void_no, reason=reason)
        return (yield from voiding)

    def _is_cash(self, template: CouponTemplate) -> bool:
        """Whether coupons of ``template`` are paid out here: then the platform hears of them only at the end."""
        return isinstance(template.benefit, Cash) and Capability.PAY_OUT in self.profile.capabilities

    def pay_out(self, held: HeldRedemption) -> Flow[Outcome]:
        """The cash on its way to the bound user, once by the redemption's id. See ``Transfers.pay_out``."""
        return self.transfers.pay_out(held)

    def query_pay_out(self, held: HeldRedemption) -> Flow[Outcome]:
        """What became of the cash. See ``Transfers.query``."""
        return self.transfers.query(held)

    def share(self, held: HeldShare) -> Flow[ShareOutcome]:
        """Each receiver's part on its way, once by the share's id. See ``Sharing.share``."""
        return self.sharing.share(held)

    def query_share(self, held: HeldShare) -> Flow[ShareOutcome]:
        """What became of a share, receiver by receiver."""
        return self.sharing.query(held)

    def return_share(self, held: HeldShareReturn) -> Flow[Outcome]:
        """One receiver's part on its way back, once by the return's id. See ``Sharing.give_back``."""
        return self.sharing.give_back(held)

    def query_share_return(self, held: HeldShareReturn) -> Flow[Outcome]:
        """What became of a return."""
        return self.sharing.query_return(held)

    def fetch_bill(self, order: BillOrder) -> Flow[BillAnswer]:
        """The trade, fund-flow or profit-sharing bill of a day. Raises as ``Bills.fetch``."""
        return self._bills.fetch(order)

    def parse_notification(self, headers: Headers, body: bytes) -> Flow[VerifiedEvent]:
        """The news in a callback, verified over the bytes received, then decrypted. Raises ``ForgedMessage``.

        A ``str`` or a parsed body raises ``ValidationError``: only the bytes can be verified.
        """
        content = notifications.require_bytes(body)
        yield from self.gateway.verify(headers, content)
        return notifications.event_of(*notifications.open_resource(content, credentials=self.gateway.credentials))

    def acknowledge(self, error: CouponError | None = None, *, event: VerifiedEvent | None = None) -> Acknowledgement:
        """204, or a refusal that makes the platform send the callback again."""
        return notifications.acknowledgement(error)

    def diagnose(self) -> Flow[tuple[Finding, ...]]:
        """The integration checklist, item by item. Changes nothing."""
        return diagnose(
            self.gateway,
            settings=self.settings,
            busifavor=self.busifavor,
            program=self.program,
            transfers=self.transfers,
            sharing=self.sharing,
        )
