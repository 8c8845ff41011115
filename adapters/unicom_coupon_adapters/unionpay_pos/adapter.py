"""The UnionPay POS adapter: the SDK's verbs over a terminal's line, or at the host's end of it.

With ``role = "terminal"`` a redemption is a 0200 from one of the settings' terminals: the one that the order names,
else the first. The POS network has no message to list or hand out a coupon, so ``issue``, ``bind`` and ``void``
(withdrawing an unused coupon) say nothing to anybody: whether a coupon may be used is the ledger's to say, and the host
asks there.

With ``role = "host"`` a terminal has already asked, over its MAC. Then the ledger's own record is the redemption, and
there is nobody to tell but the terminal, whose answer ``UnionPayPosHost`` sends.

UnionPay's online gateway is no part of the verbs: ``acp`` has its payments, refunds, files and notices, where the
settings have an ``acp`` section. Run their flows with ``client.run(...)``.

A lost answer leaves a reversal that is owed. It goes out before the next transaction of that terminal, as terminals do;
``recover`` may find out first, by the outcome query, that the redemption stands, and then it stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unicom_coupon_adapters.unionpay_pos.acp import notices
from unicom_coupon_adapters.unionpay_pos.acp.credentials import AcpKeys
from unicom_coupon_adapters.unionpay_pos.acp.doctor import diagnose as diagnose_acp
from unicom_coupon_adapters.unionpay_pos.acp.merchant import AcpMerchant
from unicom_coupon_adapters.unionpay_pos.answers import PLATFORM
from unicom_coupon_adapters.unionpay_pos.batch_book import Settlement
from unicom_coupon_adapters.unionpay_pos.bills import Statements
from unicom_coupon_adapters.unionpay_pos.compliance import SHIM
from unicom_coupon_adapters.unionpay_pos.coupon_block import Tag
from unicom_coupon_adapters.unionpay_pos.doctor import diagnose
from unicom_coupon_adapters.unionpay_pos.keys import MasterKey
from unicom_coupon_adapters.unionpay_pos.line import Line
from unicom_coupon_adapters.unionpay_pos.messages import Entry
from unicom_coupon_adapters.unionpay_pos.profile import profile_of
from unicom_coupon_adapters.unionpay_pos.receipts import Receipts, Slip
from unicom_coupon_adapters.unionpay_pos.settings import UnionPayPosSettings, load_master_keys
from unicom_coupon_adapters.unionpay_pos.settlement import Settling
from unicom_coupon_adapters.unionpay_pos.terminal import State, recorded
from unicom_coupon_adapters.unionpay_pos.terminals import SecurityChip
from unicom_coupon_adapters.unionpay_pos.transactions import Transactions, Wish
from unicom_coupon_sdk.crypto.fields import FieldCipher
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.bill import BillAnswer, BillKind
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.events import Acknowledgement, VerifiedEvent
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.redemption import Binding, HeldRedemption, HeldReversal, Listing, Outcome
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.domain.verification import Method, ScanProof, TerminalProof, Testimony
from unicom_coupon_sdk.errors import (
    ComplianceError,
    ConfigurationError,
    CouponError,
    Effected,
    PlatformRefused,
    PlatformUnavailable,
    VerificationError,
)
from unicom_coupon_sdk.platform.adapter import BaseAdapter, BindOrder, Finding, IssueOrder, VerifyOrder
from unicom_coupon_sdk.platform.bill import BillOrder
from unicom_coupon_sdk.platform.effects import Flow, Now
from unicom_coupon_sdk.platform.wire import Headers


class UnionPayPosAdapter(BaseAdapter):
    """One merchant's terminals. Safe to share between threads and tasks; holds keys, and no state.

    ``chip`` is the terminals' security chip, which seals the terminal information of 259号文 (field 59).
    Raises ``ConfigurationError`` for a key that is missing or weak, and for terminals that are bound twice.
    """

    def __init__(self, settings: UnionPayPosSettings, keys: Keys, *, chip: SecurityChip | None = None) -> None:
        self.settings = settings
        self.profile = profile_of(settings)
        self.compliance = SHIM
        self.register = settings.register(chip=chip)
        self.terminals: Mapping[str, Transactions] = {
            number: self._transactions(number, key, chip=chip)
            for number, key in load_master_keys(settings, keys).items()
        }
        self._first = next(iter(self.terminals), None)
        self._acp = None if settings.acp is None else AcpMerchant(settings.acp, AcpKeys.load(settings.acp, keys))
        token = settings.bill_token
        self._bill_token = None if token is None else Secret(keys.text(token, field="bill_token"))

    @property
    def acp(self) -> AcpMerchant:
        """UnionPay's online gateway. Raises ``ConfigurationError`` ``unionpay_pos.acp_not_set`` without its section."""
        if self._acp is None:
            raise ConfigurationError("unionpay_pos.acp_not_set", field="acp", platform=PLATFORM)
        return self._acp

    def _transactions(self, number: str, key: bytes, *, chip: SecurityChip | None) -> Transactions:
        master = MasterKey.load(key, field=f"terminals.{number}.tmk", cipher=self.settings.cipher)
        line = Line(self.settings, terminal=self.settings.terminal(number, chip=chip), master=master)
        # HKDF gives the terminal's book a key of its own; the TMK itself never encrypts anything but keys.
        return Transactions(line, cipher=FieldCipher.derive(key.rjust(32, b"\0")))

    def terminal(self, number: str | None) -> Transactions:
        """The transactions of one terminal; of the first where none is named.

        Raises ``ComplianceError`` (``unionpay_pos.terminal_unknown``): only registered terminals may send.
        """
        number = self._first if number is None else number
        found = None if number is None else self.terminals.get(number)
        if found is None:
            raise ComplianceError("unionpay_pos.terminal_unknown", field="order.terminal_no", platform=PLATFORM)
        return found

    def issue(self, order: IssueOrder) -> Flow[Listing]:
        """The listing. Nothing is sent: POS has no message for it, and the host asks the ledger."""
        refs = {"merchant_no": self.settings.merchant_no}
        return Listing(order.template.template_id, PLATFORM, refs)
        yield

    def bind(self, order: BindOrder) -> Flow[Binding]:
        """The binding. Nothing is sent: a terminal sees a code, and the ledger knows whose it is."""
        return Binding(
            coupon_id=order.coupon_id,
            platform=PLATFORM,
            user=order.holder.user,
            refs={"merchant_no": self.settings.merchant_no},
        )
        yield

    def verify(self, order: VerifyOrder) -> Flow[Testimony]:
        """The terminal that vouches. Raises ``VerificationError`` for a terminal that is not registered here.

        A ``ScanProof`` comes here only when its token is not one of ours, and then it proves nothing.
        """
        proof = order.proof
        if not isinstance(proof, TerminalProof):
            raise VerificationError("unionpay_pos.proof", field="proof", platform=PLATFORM, method=proof.method)
        try:
            self.register.bound(proof.terminal_no, merchant=proof.merchant_no)
        except ComplianceError as error:
            raise VerificationError(error.code, field="proof", platform=PLATFORM) from None
        return Testimony(method=Method.TERMINAL, terminal_no=proof.terminal_no)
        yield

    def redeem(self, held: HeldRedemption) -> Flow[Outcome]:
        """Use the coupon, once by the redemption's id (tag 03)."""
        redemption = held.redemption
        now = yield from Now()
        if self.settings.role == "host":
            if now > redemption.deadline:
                raise PlatformUnavailable("unionpay_pos.too_late", platform=PLATFORM)
            return Outcome(effected=Effected.DONE, at=now, platform_no=redemption.redemption_id)
        transactions = self.terminal(_registered(redemption.order, known=self.terminals))
        wish = Wish(
            operation_id=redemption.redemption_id,
            kind="redeem",
            code=held.code.reveal(),
            amount_fen=redemption.value_fen,
            deadline=redemption.deadline,
            entry=Entry.SCANNED if isinstance(held.proof, ScanProof) else Entry.KEYED,
            about=_about(redemption.order, at=f"{now.astimezone(BEIJING):%Y%m%d%H%M%S}"),
        )
        return (yield from transactions.carry_out(wish))

    def query(self, held: HeldRedemption) -> Flow[Outcome]:
        """Whether the coupon was used by this redemption and no other."""
        return (yield from self._verdict(held.redemption.redemption_id))

    def reverse(self, held: HeldReversal) -> Flow[Outcome]:
        """Take the redemption back by a void, or by a return once its batch or clearing day is over."""
        now = yield from Now()
        reversal = held.reversal
        if self.settings.role == "host":
            return Outcome(effected=Effected.DONE, at=now, platform_no=reversal.reversal_id)
        original = yield from recorded(held.redeemed.redemption.redemption_id)
        if original is None or original.state is not State.DONE:
            raise PlatformRefused("unionpay_pos.original_unnamed", platform=PLATFORM, field="redemption")
        transactions = self.terminal(original.note["terminal"])
        wish = yield from transactions.undoing(
            reversal.reversal_id,
            original=original,
            code=held.redeemed.code.reveal(),
            deadline=reversal.deadline,
            now=now,
        )
        return (yield from transactions.carry_out(wish))

    def query_reversal(self, held: HeldReversal) -> Flow[Outcome]:
        """Whether the redemption was taken back by this reversal. At the host's end that is ours to finish."""
        if self.settings.role == "host":
            now = yield from Now()
            return Outcome(effected=Effected.DONE, at=now, platform_no=held.reversal.reversal_id)
        return (yield from self._verdict(held.reversal.reversal_id))

    def void(self, held: Binding, *, code: CouponCode, listing: Listing, void_no: str, reason: str) -> Flow[Outcome]:
        """Withdraw an unused coupon. Nothing is sent: whoever presents it is refused by the ledger."""
        now = yield from Now()
        return Outcome(effected=Effected.DONE, at=now, platform_no=void_no)

    def settle(self, terminal_no: str | None = None) -> Flow[Settlement]:
        """Settle the batch of one terminal, or carry on with that; see ``Settling.settle``.

        A further call of this platform: ``client.run(adapter.settle("10000001"))``. Until it has ended, the terminal
        takes no transactions. Raises ``ConfigurationError`` (``unionpay_pos.terminal_role``) at the host's end.
        """
        self._require_terminal()
        return Settling(self.terminal(terminal_no), voids=self.settings.void_in_totals).settle()

    def send_receipt(self, redemption_id: str, slip: Slip) -> Flow[None]:
        """Upload the electronic receipt of a redemption or reversal that is done; see ``Receipts.upload``.

        A further call of this platform, as ``settle`` is, and at the terminal's end only.
        """
        self._require_terminal()
        operation = yield from recorded(redemption_id)
        number = None if operation is None else operation.note["terminal"]
        yield from Receipts(self.terminal(number)).upload(redemption_id, slip)

    def _require_terminal(self) -> None:
        if self.settings.role == "host":
            raise ConfigurationError("unionpay_pos.terminal_role", field="platforms.unionpay_pos.role")

    def _verdict(self, operation_id: str) -> Flow[Outcome]:
        operation = yield from recorded(operation_id)
        if operation is None:  # never begun; or we are the host, and a terminal is answered only after the conclusion
            error = PlatformRefused("unionpay_pos.never_sent", platform=PLATFORM)
            return Outcome(effected=Effected.NOT_DONE, error=error)
        transactions = self.terminals.get(operation.note["terminal"])
        if transactions is None:
            raise PlatformUnavailable("unionpay_pos.terminal_gone", platform=PLATFORM)
        return (yield from transactions.verdict(operation_id))

    def fetch_bill(self, order: BillOrder) -> Flow[BillAnswer]:
        """What was cleared on a day from 23:00 to 23:00: coupons by the acquirer's file, trade by the gateway's."""
        source = self.profile.bill(order.kind)
        if order.kind is BillKind.COUPON:
            return Statements(self.settings, source, token=self._bill_token).fetch(order)
        return self.acp.bills.fetch(order, source)

    def parse_notification(self, headers: Headers, body: bytes) -> Flow[VerifiedEvent]:
        """The news in a notice of the online gateway, verified. Raises ``ForgedMessage``; POS hosts send none."""
        if self._acp is None:
            raise self._refuse("notify")
        fields = yield from self._acp.gateway.notice(body)
        return notices.event_of(fields)

    def acknowledge(self, error: CouponError | None = None, *, event: VerifiedEvent | None = None) -> Acknowledgement:
        """200 for the online gateway's notice, or 500 to have it sent again."""
        if self._acp is None:
            raise self._refuse("notify")
        return notices.acknowledge(error)

    def diagnose(self) -> Flow[tuple[Finding, ...]]:
        """The integration checklist, item by item. Uses up one trace number for the echo; changes nothing else."""
        found: tuple[Finding, ...] = ()
        if self.terminals:
            found += yield from diagnose(self.settings, terminals=self.terminals)
        if self._acp is not None:
            found += yield from diagnose_acp(self._acp.gateway)
        return found


def _registered(order: Order, *, known: Mapping[str, Any]) -> str | None:
    """The order's terminal. A shop may name tills in a way of its own; then the first terminal speaks for them."""
    return order.terminal_no if order.terminal_no in known else None


def _about(order: Order, *, at: str) -> dict[Tag, str]:
    about = {Tag.ORDER_AMOUNT: f"{order.amount_fen:012d}", Tag.TERMINAL_TIME: at}
    if len(order.order_no) <= 40:
        about[Tag.ORDER_NO] = order.order_no
    return about
