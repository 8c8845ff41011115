"""A till: a client with coupons ready to be redeemed, whose terminals call the emulator, in process."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

from unicom_coupon_adapters.unionpay_pos.batch_book import Settlement
from unicom_coupon_adapters.unionpay_pos.terminal import State, recorded
from unicom_coupon_adapters.unionpay_pos.transactions import Transactions
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.domain.coupon import AmountOff, Coupon, CouponTemplate
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import RedeemRequest, Redemption, ReverseRequest
from unicom_coupon_sdk.domain.requests import BindRequest, IssueRequest
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.verification import ScanProof
from unicom_coupon_sdk.sandbox import Sandbox

PLATFORM = "unionpay_pos"


class Till:
    """One client with coupons ready to be redeemed."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.client: CouponClient = sandbox.client()
        self.count = 0

    @property
    def terminal(self) -> Transactions:
        found: Transactions = self.client.setting.adapter(PLATFORM).terminal(None)  # type: ignore[attr-defined]
        return found

    def coupon(self, off_fen: int = 2_000) -> Coupon:
        self.count += 1
        now = self.sandbox.clock.now()
        template = CouponTemplate(
            template_id=f"T{self.count}",
            name="满减",
            benefit=AmountOff(off_fen=off_fen),
            valid_from=now - timedelta(hours=1),
            valid_until=now + timedelta(days=30),
            platforms=frozenset({PLATFORM}),
        )
        wish = IssueRequest(idempotency_key=f"i{self.count}", template=template, count=1)
        coupon = self.client.issue(wish).coupons[0]
        holder = Holder.parse({"phone": "13800138000"})
        self.client.bind(BindRequest(coupon=coupon.code, platform=PLATFORM, holder=holder))
        return coupon

    def redeem(self, coupon: Coupon, *, key: str | None = None, **changes: Any) -> Redemption:
        self.count += 1
        wish = RedeemRequest(
            idempotency_key=key or f"r{self.count}",
            platform=PLATFORM,
            coupon=coupon.code,
            order=Order(order_no=f"O{self.count}", amount_fen=10_000, **changes),
            proof=ScanProof(token=self.client.show(coupon.coupon_id)),
        )
        return self.client.redeem(wish)

    def back(self, redemption: Redemption) -> OperationState:
        wish = ReverseRequest(idempotency_key=f"b{redemption.redemption_id}", redemption_id=redemption.redemption_id)
        return self.client.reverse(wish).state

    def operation(self, operation_id: str) -> State:
        def flow() -> Any:
            return (yield from recorded(operation_id))

        state: State = self.client.run(flow()).state
        return state

    def note(self) -> dict[str, Any]:
        def flow() -> Any:
            return (yield from self.terminal.line.book.state())

        found: dict[str, Any] = self.client.run(flow())
        return found

    def events(self, coupon: Coupon) -> list[str]:
        view = self.sandbox.control.coupon(PLATFORM, coupon.code.reveal())
        return [] if view is None else [step["event"] for step in view["history"]]

    def sent(self) -> list[str]:
        return [body[:2].hex() for body in self.sent_bodies()]

    def sent_bodies(self) -> list[bytes]:
        """The messages without their addresses."""
        exchanges = self.sandbox.control.requests(platform=PLATFORM)
        return [base64.b64decode(one["body_b64"])[11:] for one in exchanges]

    def settle(self, number: str | None = None) -> Settlement:
        settlement: Settlement = self.client.run(self.client.setting.adapter(PLATFORM).settle(number))  # type: ignore[attr-defined]
        return settlement

    def fault(self, kind: str, match: str = "0200", **more: Any) -> None:
        self.sandbox.control.add_fault(PLATFORM, kind, match=match, **more)
