"""The adapter protocol: one interface over every platform.

Each verb is a flow of effects. A verb that the platform lacks is absent from ``profile.capabilities`` and raises
``UnsupportedOperation`` before any I/O. Adapters keep no state but their keys: everything else is in the ledger and
comes as an argument, so any process can carry on what another began.

What a verb may raise: ``PlatformRefused`` and ``PlatformUnavailable`` (definitely not done), ``PlatformUnknown``
(``recover`` will ask), ``ComplianceError`` (not sent). A verdict that the platform's own query gives is an ``Outcome``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from unicom_coupon_sdk.domain.bill import BillAnswer
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.coupon import CouponTemplate
from unicom_coupon_sdk.domain.events import Acknowledgement, VerifiedEvent
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import Binding, HeldRedemption, HeldReversal, Listing, Outcome
from unicom_coupon_sdk.domain.sharing import HeldShare, HeldShareReturn, ShareOutcome
from unicom_coupon_sdk.domain.verification import Challenge, Method, Proof, Testimony
from unicom_coupon_sdk.errors import CouponError, UnsupportedOperation
from unicom_coupon_sdk.platform.bill import BillOrder
from unicom_coupon_sdk.platform.compliance import ComplianceShim
from unicom_coupon_sdk.platform.effects import Flow
from unicom_coupon_sdk.platform.profile import PlatformProfile
from unicom_coupon_sdk.platform.wire import Headers


@dataclass(frozen=True, slots=True)
class IssueOrder:
    """Make ``template`` and ``codes`` known to the platform. ``listing`` is what an earlier issue learned, if any.

    ``batch_id`` names this batch: repeating it changes nothing.
    """

    template: CouponTemplate
    codes: Sequence[CouponCode]
    batch_id: str
    listing: Listing | None


@dataclass(frozen=True, slots=True)
class BindOrder:
    """Give one coupon to one user. ``binding_no`` is the platform's request number: repeating it changes nothing."""

    coupon_id: str
    code: CouponCode
    template: CouponTemplate
    listing: Listing
    holder: Holder
    binding_no: str


@dataclass(frozen=True, slots=True)
class ChallengeOrder:
    """Ask the user to prove who they are, by ``method``, for this coupon and order.

    ``value_fen`` is what the coupon takes off the order: some platforms bind their one-time code to it.
    """

    challenge_id: str
    method: Method
    code: CouponCode
    binding: Binding
    listing: Listing
    order: Order
    nonce: bytes = field(repr=False)
    expires_at: datetime
    value_fen: int = 0


@dataclass(frozen=True, slots=True)
class VerifyOrder:
    """Establish what ``proof`` proves. ``challenge`` is the one it answers, already found live and of this coupon."""

    proof: Proof
    challenge: Challenge | None
    code: CouponCode
    binding: Binding
    listing: Listing
    order: Order


class CheckState(StrEnum):
    """How a check of the doctor went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One item of the doctor. ``code`` names its text in the catalogue, filled with ``details``."""

    code: str
    state: CheckState
    details: Mapping[str, object] = field(default_factory=dict)


class PlatformAdapter(Protocol):
    """One platform. See ``BaseAdapter`` for the verbs a platform may lack."""

    @property
    def profile(self) -> PlatformProfile:
        """The platform's facts."""

    @property
    def compliance(self) -> ComplianceShim:
        """What may be sent, kept and logged."""

    def issue(self, order: IssueOrder) -> Flow[Listing]:
        """Make a template and a batch of codes known. Idempotent by template id and batch id."""

    def bind(self, order: BindOrder) -> Flow[Binding]:
        """Give a coupon to a user, or say what the user must do to take it (``pending``). Idempotent by binding_no."""

    def challenge(self, order: ChallengeOrder) -> Flow[Mapping[str, object]]:
        """What the front end needs to let the user prove who they are."""

    def verify(self, order: VerifyOrder) -> Flow[Testimony]:
        """Who the proof shows. Raises ``VerificationError`` when it shows nothing."""

    def redeem(self, held: HeldRedemption) -> Flow[Outcome]:
        """Carry a held redemption out. Idempotent by redemption id; never sent after its deadline."""

    def query(self, held: HeldRedemption) -> Flow[Outcome]:
        """What the platform knows of a redemption. Reads only."""

    def reverse(self, held: HeldReversal) -> Flow[Outcome]:
        """Take a redemption back. Idempotent by reversal id; never sent after its deadline."""

    def query_reversal(self, held: HeldReversal) -> Flow[Outcome]:
        """What the platform knows of a reversal. Reads only."""

    def void(self, held: Binding, *, code: CouponCode, listing: Listing, void_no: str, reason: str) -> Flow[Outcome]:
        """Withdraw an unused coupon. Idempotent by void_no."""

    def pay_out(self, held: HeldRedemption) -> Flow[Outcome]:
        """Pay a held cash coupon out to its bound user. Idempotent by redemption id; never sent after its deadline.

        Never concluded from a transport's or a status code's word alone: what is not a definite answer is UNKNOWN.
        """

    def query_pay_out(self, held: HeldRedemption) -> Flow[Outcome]:
        """What the platform knows of a pay-out. Reads only."""

    def share(self, held: HeldShare) -> Flow[ShareOutcome]:
        """Send each receiver's part on. Idempotent by share id; never sent after its deadline."""

    def query_share(self, held: HeldShare) -> Flow[ShareOutcome]:
        """What the platform knows of a share, receiver by receiver. Reads only."""

    def return_share(self, held: HeldShareReturn) -> Flow[Outcome]:
        """Fetch one receiver's part back. Idempotent by return id; never sent after its deadline."""

    def query_share_return(self, held: HeldShareReturn) -> Flow[Outcome]:
        """What the platform knows of a return. Reads only.

        NOT_DONE comes with the platform's number when the return failed there for good, and without one when the
        platform does not know it.
        """

    def fetch_bill(self, order: BillOrder) -> Flow[BillAnswer]:
        """The bill of one day, on disk and verified; or that there is none, or not yet. Changes nothing there.

        Raises ``ForgedMessage`` for a file that is not the announced one, ``ValidationError`` (``bill.…``) for one
        that cannot be read; nothing is left in the folder then.
        """

    def parse_notification(self, headers: Headers, body: bytes) -> Flow[VerifiedEvent]:
        """News whose signature was checked over the received bytes. Raises ``ForgedMessage``."""

    def acknowledge(self, error: CouponError | None = None, *, event: VerifiedEvent | None = None) -> Acknowledgement:
        """The answer that the platform wants: ``event`` accepted, or with ``error``, to be sent again."""

    def diagnose(self) -> Flow[tuple[Finding, ...]]:
        """The platform's integration checklist, item by item. Changes nothing."""


class BaseAdapter:
    """Every verb refused. An adapter overrides what its platform offers and lists it in ``profile.capabilities``."""

    profile: PlatformProfile

    def _refuse(self, operation: str) -> UnsupportedOperation:
        return UnsupportedOperation("platform.unsupported", platform=self.profile.name, operation=operation)

    def issue(self, order: IssueOrder) -> Flow[Listing]:
        """Not offered."""
        raise self._refuse("issue")

    def bind(self, order: BindOrder) -> Flow[Binding]:
        """Not offered."""
        raise self._refuse("bind")

    def challenge(self, order: ChallengeOrder) -> Flow[Mapping[str, object]]:
        """Not offered."""
        raise self._refuse("challenge")

    def verify(self, order: VerifyOrder) -> Flow[Testimony]:
        """Not offered."""
        raise self._refuse("verify")

    def redeem(self, held: HeldRedemption) -> Flow[Outcome]:
        """Not offered."""
        raise self._refuse("redeem")

    def query(self, held: HeldRedemption) -> Flow[Outcome]:
        """Not offered."""
        raise self._refuse("query")

    def reverse(self, held: HeldReversal) -> Flow[Outcome]:
        """Not offered."""
        raise self._refuse("reverse")

    def query_reversal(self, held: HeldReversal) -> Flow[Outcome]:
        """Not offered."""
        raise self._refuse("reverse")

    def void(self, held: Binding, *, code: CouponCode, listing: Listing, void_no: str, reason: str) -> Flow[Outcome]:
        """Not offered."""
        raise self._refuse("void")

    def pay_out(self, held: HeldRedemption) -> Flow[Outcome]:
        """Not offered."""
        raise self._refuse("pay_out")

    def query_pay_out(self, held: HeldRedemption) -> Flow[Outcome]:
        """Not offered."""
        raise self._refuse("pay_out")

    def share(self, held: HeldShare) -> Flow[ShareOutcome]:
        """Not offered."""
        raise self._refuse("share")

    def query_share(self, held: HeldShare) -> Flow[ShareOutcome]:
        """Not offered."""
        raise self._refuse("share")

    def return_share(self, held: HeldShareReturn) -> Flow[Outcome]:
        """Not offered."""
        raise self._refuse("share")

    def query_share_return(self, held: HeldShareReturn) -> Flow[Outcome]:
        """Not offered."""
        raise self._refuse("share")

    def fetch_bill(self, order: BillOrder) -> Flow[BillAnswer]:
        """Not offered."""
        raise self._refuse("fetch_bill")

    def parse_notification(self, headers: Headers, body: bytes) -> Flow[VerifiedEvent]:
        """Not offered."""
        raise self._refuse("notify")

    def acknowledge(self, error: CouponError | None = None, *, event: VerifiedEvent | None = None) -> Acknowledgement:
        """Not offered."""
        raise self._refuse("notify")

    def diagnose(self) -> Flow[tuple[Finding, ...]]:
        """Nothing to check."""
        return ()
        yield
