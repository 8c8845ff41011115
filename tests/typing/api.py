"""The documented API as a program: mypy must find every type as the documentation says. Nothing here is run.

What only adapters and tests of adapters use is not here; it is public in its own modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import assert_type

from unicom_coupon_sdk import (
    Acknowledgement,
    AmountOff,
    AsyncCouponClient,
    Binding,
    BindRequest,
    Cash,
    Challenge,
    ChallengeRequest,
    ConfigurationError,
    Coupon,
    CouponClient,
    CouponCode,
    CouponError,
    CouponState,
    CouponTemplate,
    Diagnosis,
    Effected,
    Exchange,
    Funding,
    Holder,
    IssuedBatch,
    IssueRequest,
    LoginProof,
    Method,
    NewsKind,
    Notice,
    OperationState,
    Order,
    PercentOff,
    PhoneCredit,
    PhoneNumber,
    PlatformUnknown,
    PlatformUser,
    QrToken,
    Recovery,
    RedeemRequest,
    Redemption,
    Reversal,
    ReversalCause,
    ReverseRequest,
    ScanProof,
    Settings,
    SmsProof,
    VerifiedEvent,
    Voided,
    VoidRequest,
    fen_of_yuan,
    yuan_text,
)
from unicom_coupon_sdk.sandbox import Sandbox, SandboxServer

START = datetime(2026, 5, 20, 4, tzinfo=UTC)


def template() -> CouponTemplate:
    """Every kind of benefit fits a template."""
    benefits = (
        AmountOff(off_fen=2_000, min_spend_fen=10_000),
        PercentOff(basis_points=1_200, max_off_fen=5_000),
        Exchange(item="tea", worth_fen=1_500, price_fen=100),
        PhoneCredit(credit_fen=3_000),
        Cash(cash_fen=500),
    )
    made = CouponTemplate(
        template_id="SPRING2026",
        name="满100减20",
        benefit=benefits[0],
        funding=Funding.POINTS,
        valid_from=START,
        valid_until=START + timedelta(days=30),
        platforms=frozenset({"wechatpay"}),
        max_per_holder=3,
    )
    assert_type(made.value_at(12_000), int)
    assert_type(made.face_fen, int | None)
    return made


def issue_and_bind(client: CouponClient) -> Coupon:
    """Coupons into holders' hands."""
    batch = client.issue(IssueRequest(idempotency_key="spring-1", template=template(), count=3))
    assert_type(batch, IssuedBatch)
    assert_type(batch.refs, Mapping[str, Mapping[str, str]])
    coupon = batch.coupons[0]
    assert_type(coupon, Coupon)
    assert_type(coupon.code, CouponCode)
    assert_type(coupon.state, CouponState)
    holder = Holder(user=PlatformUser("oHolder1"), phone=PhoneNumber("13800138000"))
    binding = client.bind(BindRequest(coupon=coupon.code, platform="wechatpay", holder=holder))
    assert_type(binding, Binding)
    assert_type(binding.pending, bool)
    assert_type(client.void(VoidRequest(coupon=coupon.code, reason="stopped")), Voided)
    assert_type(client.coupon(coupon.coupon_id), Coupon)
    assert_type(client.expire(limit=10), int)
    return coupon


def redeem(client: CouponClient, scanned: QrToken) -> Redemption:
    """At the till."""
    request = RedeemRequest(
        idempotency_key="till7-1",
        platform="wechatpay",
        coupon=scanned,
        order=Order(order_no="ORDER1", amount_fen=fen_of_yuan("120.00")),
        proof=ScanProof(token=scanned),
    )
    redemption = client.redeem(request)
    assert_type(redemption, Redemption)
    assert_type(redemption.state, OperationState)
    assert_type(redemption.value_fen, int)
    if isinstance(redemption.settles_on, date):
        assert_type(redemption.settles_on.isoformat(), str)
    assert_type(yuan_text(redemption.value_fen), str)
    assert_type(client.query(redemption.redemption_id), Redemption)
    return redemption


def prove_otherwise(client: CouponClient, coupon: Coupon) -> None:
    """Proofs that need a challenge or a front end."""
    order = Order(order_no="ORDER1", amount_fen=12_000)
    request = ChallengeRequest(coupon=coupon.code, platform="wechatpay", method=Method.SMS, order=order)
    challenge = client.challenge(request)
    assert_type(challenge, Challenge)
    assert_type(challenge.instructions, dict[str, object])
    assert_type(LoginProof.parse({"login_code": "061abc"}), LoginProof)
    assert_type(SmsProof.parse({"challenge_id": challenge.challenge_id, "one_time_code": "123456"}), SmsProof)
    assert_type(client.show(coupon.coupon_id), QrToken)


def reverse_and_recover(client: CouponClient, redemption: Redemption) -> None:
    """Take back, and clear up."""
    request = ReverseRequest(
        idempotency_key="back-1", redemption_id=redemption.redemption_id, cause=ReversalCause.ORDER_CANCELLED
    )
    assert_type(client.reverse(request), Reversal)
    recovery = client.recover(limit=100)
    assert_type(recovery, Recovery)
    assert_type(recovery.still_open, int)
    assert_type(recovery.errors, tuple[CouponError, ...])


def notify(client: CouponClient, headers: Mapping[str, str], body: bytes) -> Acknowledgement:
    """Bytes in, the platform's answer out."""
    try:
        notice = client.receive("wechatpay", headers=headers, body=body)
    except CouponError as error:
        return client.acknowledge("wechatpay", error=error)
    assert_type(notice, Notice)
    assert_type(notice.event, VerifiedEvent)
    assert_type(notice.event.kind, NewsKind)
    return notice.acknowledgement


def explain(error: CouponError) -> str:
    """Errors say what happened, why, and what to do."""
    told = error.diagnostics("zh")
    assert_type(told, Diagnosis)
    assert_type(error.outcome, Effected)
    assert_type(error.retry_after_s, float | None)
    if isinstance(error, PlatformUnknown):
        return "run recover"
    return told.remedy


async def asynchronously(scanned: QrToken) -> Redemption:
    """The same verbs, awaited."""
    async with AsyncCouponClient.from_config("unicom-coupon.toml") as client:
        request = RedeemRequest(
            idempotency_key="till7-1",
            platform="wechatpay",
            coupon=scanned,
            order=Order(order_no="ORDER1", amount_fen=12_000),
            proof=ScanProof(token=scanned),
        )
        assert_type(await client.recover(), Recovery)
        assert_type(await client.show("C1"), QrToken)
        return await client.redeem(request)


def settings() -> Settings | None:
    """Settings from a file and the environment."""
    try:
        return Settings.load("unicom-coupon.toml", environment={"UNICOM_COUPON__MERCHANT__ID": "m1"})
    except ConfigurationError:
        return None


def in_the_sandbox() -> None:
    """The whole path in process, and over sockets."""
    with Sandbox(seed=7) as sandbox, sandbox.client() as client:
        assert_type(client, CouponClient)
        assert_type(sandbox.async_client(), AsyncCouponClient)
        coupon = issue_and_bind(client)
        sandbox.control.add_fault("wechatpay", "drop_after", times=3)
        reverse_and_recover(client, redeem(client, client.show(coupon.coupon_id)))
        assert_type(sandbox.control.advance(60), datetime)
    with SandboxServer() as server:
        assert_type(server.control.clear_faults(), int)
