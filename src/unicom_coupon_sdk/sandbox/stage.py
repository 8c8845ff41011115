"""A stage for contract cases: one sandbox, one client on either runtime, and the props that every case needs.

The verbs are the client's and look the same whichever runtime is underneath, so a case is written once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from unicom_coupon_sdk.client import AsyncCouponClient, CouponClient
from unicom_coupon_sdk.config import LedgerSettings
from unicom_coupon_sdk.domain.coupon import AmountOff, Coupon, CouponTemplate
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import Binding, RedeemRequest, Redemption
from unicom_coupon_sdk.domain.requests import BindRequest, ChallengeRequest, IssuedBatch, IssueRequest
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.domain.sharing import Ratio, Receiver, Remainder, SharePart, ShareRole, ShareRule
from unicom_coupon_sdk.domain.verification import Method, Proof, ScanProof, SmsProof
from unicom_coupon_sdk.errors import PlatformRefused
from unicom_coupon_sdk.sandbox.inprocess import Sandbox

if TYPE_CHECKING:
    from sqlalchemy import Connection

T = TypeVar("T")

ORDER_FEN = 10_000
OFF_FEN = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a case must know of a platform to make things go wrong there.

    ``redeem_match`` and ``reverse_match`` name the wire operations as faults match them. ``refusal_code`` is a code of
    the platform that means "no, and nothing was done". ``used_states`` are its names for a used coupon.

    For clearing: ``paid_order`` makes an order of a user's that was paid there and may be shared; ``receiver`` gets a
    share; ``pay_out_matches`` and ``share_matches`` name the operations that pay out and share, and those that ask
    about it at once; ``take_money`` is the user who accepts a pay-out, where the platform wants that; ``payee_name``
    is given where it wants a name. ``section`` changes the platform's section of the settings.
    """

    platform: str
    redeem_match: str
    reverse_match: str
    refusal_code: str
    used_states: frozenset[str]
    pay_out_matches: tuple[str, ...] = ()
    share_matches: tuple[str, ...] = ()
    payee_name: Secret | None = None
    receiver: Receiver | None = None
    paid_order: Callable[[Stage, int, PlatformUser], Order] | None = None
    take_money: Callable[[Stage, Redemption], None] = lambda _stage, _redemption: None
    section: Mapping[str, Any] = field(default_factory=dict)


def _rules(traits: Traits) -> tuple[ShareRule, ...]:
    """A tenth goes to the receiver that the platform's traits name."""
    if traits.receiver is None:
        return ()
    parts = (
        SharePart(role=ShareRole.PLATFORM, size=Ratio(basis_points=1_000), receiver=traits.receiver),
        SharePart(role=ShareRole.MERCHANT, size=Remainder()),
    )
    return (ShareRule(name="contract", parts=parts),)


class Stage:
    """One case's world. ``runtime`` is ``blocking`` or ``asyncio``; ``ledger_url`` is a ledger of the case's own."""

    def __init__(self, sandbox: Sandbox, traits: Traits, *, runtime: str, ledger_url: str | None = None) -> None:
        self.sandbox = sandbox
        self.traits = traits
        self.platform = traits.platform
        settings = sandbox.settings()
        section = {**settings.platforms[traits.platform], **traits.section}
        platforms = {**settings.platforms, traits.platform: section}
        settings = settings.replaced(sharing=_rules(traits), platforms=platforms)
        if ledger_url is not None:
            ledger = LedgerSettings(url=ledger_url, master_key=settings.ledger.master_key)
            settings = settings.replaced(ledger=ledger)
        self._loop = asyncio.new_event_loop() if runtime == "asyncio" else None
        self._client: CouponClient | AsyncCouponClient
        if self._loop is None:
            self._client = CouponClient(
                settings, transport=sandbox.transport(), frames=sandbox.frames(), clock=sandbox.clock
            )
        else:
            self._client = AsyncCouponClient(
                settings, transport=sandbox.async_transport(), frames=sandbox.async_frames(), clock=sandbox.clock
            )
        self._wishes = 0

    def call(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """``client.<verb>(…)`` on the runtime of this stage."""
        told = getattr(self._client, verb)(*args, **kwargs)
        return self._loop.run_until_complete(told) if self._loop is not None and asyncio.iscoroutine(told) else told

    def read(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` finds in the ledger."""
        found: T = self.call("read", work)
        return found

    @property
    def ledger(self) -> Any:
        """The ledger, for reading."""
        return self._client.setting.ledger

    @property
    def merchant_id(self) -> str:
        """Whose ledger it is."""
        found: str = self._client.setting.merchant_id
        return found

    @property
    def adapter(self) -> Any:
        """The platform's adapter."""
        return self._client.setting.adapter(self.platform)

    def template(self, **changes: Any) -> CouponTemplate:
        """A template of this platform, valid for a month."""
        now = self.sandbox.clock.now()
        facts: dict[str, Any] = {
            "template_id": f"CONTRACT{self._count()}",
            "name": "满100减20",
            "benefit": AmountOff(off_fen=OFF_FEN, min_spend_fen=ORDER_FEN),
            "valid_from": now - timedelta(minutes=1),
            "valid_until": now + timedelta(days=30),
            "platforms": frozenset({self.platform}),
        }
        return CouponTemplate(**{**facts, **changes})

    def issue(self, *, count: int = 1, key: str | None = None, template: CouponTemplate | None = None) -> IssuedBatch:
        """A batch."""
        request = IssueRequest(
            idempotency_key=key or f"issue-{self._count()}", template=template or self.template(), count=count
        )
        batch: IssuedBatch = self.call("issue", request)
        return batch

    def bind(self, coupon: Coupon, *, holder: Holder | None = None) -> Binding:
        """``coupon`` given to its holder."""
        request = BindRequest(coupon=coupon.code, platform=self.platform, holder=holder or self.holder())
        binding: Binding = self.call("bind", request)
        return binding

    def coupon(self, **changes: Any) -> Coupon:
        """A coupon that is ready to be redeemed."""
        made = self.issue(template=self.template(**changes)).coupons[0]
        self.bind(made)
        return made

    def holder(self, number: int = 1) -> Holder:
        """A person with a phone (none of the test numbers that a platform reserves), and a user of the platform."""
        return Holder.parse({"user": f"oContractHolder{number:06d}", "phone": f"138{number:07d}8"})

    def proof(self, coupon: Coupon, order: Order) -> Proof:
        """What the genuine holder would hand over."""
        if Method.SCAN in self.adapter.profile.methods:
            return ScanProof(token=self.call("show", coupon.coupon_id))
        request = ChallengeRequest(coupon=coupon.code, platform=self.platform, method=Method.SMS, order=order)
        try:
            challenge = self.call("challenge", request)
        except PlatformRefused as error:
            if error.retry_after_s is None:
                raise
            self.advance(seconds=error.retry_after_s)  # the holder waits until a code may be sent again
            challenge = self.call("challenge", request)
        message = self.sandbox.control.messages()[-1]
        return SmsProof.parse({"challenge_id": challenge.challenge_id, "one_time_code": message["code"]})

    def wish(self, coupon: Coupon, *, key: str | None = None, amount_fen: int = ORDER_FEN) -> RedeemRequest:
        """A request to redeem ``coupon``, with a genuine proof."""
        number = self._count()
        order = Order(order_no=f"ORDER{number}", amount_fen=amount_fen)
        return RedeemRequest(
            idempotency_key=key or f"redeem-{number}",
            platform=self.platform,
            coupon=coupon.code,
            order=order,
            proof=self.proof(coupon, order),
        )

    def fault(self, kind: str, *, match: str | None = None, times: int = 1, code: str | None = None) -> None:
        """Let the platform's next matching requests go wrong; by default those that redeem."""
        self.sandbox.control.add_fault(
            self.platform, kind, times=times, match=match or self.traits.redeem_match, code=code
        )

    def calm(self) -> None:
        """No more faults."""
        self.sandbox.control.clear_faults()

    def is_used_there(self, coupon: Coupon) -> bool:
        """Whether the platform says that the coupon is used."""
        view = self.sandbox.control.coupon(self.platform, coupon.code.reveal())
        return view is not None and view["state"] in self.traits.used_states

    def requests(self) -> int:
        """How many requests the platform has received."""
        return len(self.sandbox.control.requests(platform=self.platform))

    def advance(self, *, seconds: float) -> None:
        """Move the simulated clock."""
        self.sandbox.control.advance(seconds)

    def outlive_requests(self) -> None:
        """Move the clock past every deadline and request lifetime, so that nothing sent can still arrive."""
        profile = self.adapter.profile
        self.advance(seconds=profile.send_window_s + profile.request_lifetime_s + 61)

    def violations(self) -> Any:
        """What the ledger's audit finds: nothing."""
        return self.read(self.ledger.audit())

    def close(self) -> None:
        """Close the client."""
        self.call("close")
        if self._loop is not None:
            self._loop.close()

    def _count(self) -> int:
        self._wishes += 1
        return self._wishes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
