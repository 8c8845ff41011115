"""The adapter and the emulator together, over what the contract suite does not reach: front ends, SOTER, key changes."""

import json
from datetime import timedelta

import pytest

from unicom_coupon_adapters.wechatpay import PLUGIN
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import (
    Binding,
    HeldRedemption,
    HeldReversal,
    RedeemRequest,
    Redemption,
    Reversal,
)
from unicom_coupon_sdk.domain.requests import ChallengeRequest
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.domain.state import OperationState, ReversalCause
from unicom_coupon_sdk.domain.verification import BiometricProof, LoginProof, Method
from unicom_coupon_sdk.errors import Effected, VerificationError
from unicom_coupon_sdk.platform.adapter import BindOrder, CheckState, IssueOrder
from unicom_coupon_sdk.sandbox.inprocess import Sandbox
from unicom_coupon_sdk.sandbox.stage import Stage, Traits

TRAITS = Traits(
    platform="wechatpay",
    redeem_match="/v3/marketing/busifavor/coupons/use",
    reverse_match="/v3/marketing/busifavor/coupons/return",
    refusal_code="INVALID_REQUEST",
    used_states=frozenset({"USED"}),
)
USER = "oContractHolder000001"


@pytest.fixture
def stage():
    with Sandbox(platforms=("wechatpay",)) as sandbox, Stage(sandbox, TRAITS, runtime="blocking") as made:
        yield made


def adapter(stage, **changes):
    """An adapter of the same merchant with other settings."""
    section = stage.sandbox.settings().platforms["wechatpay"]
    return PLUGIN.build(PLUGIN.settings.parse({**section, **changes}), Keys())


def run(stage, flow):
    return stage.call("run", flow)


def made(stage, adapter, *, count=1):
    """Codes of a template, listed."""
    template = stage.template()
    codes = tuple(CouponCode(f"UC9TESTCODE{number:04d}") for number in range(count))
    listing = run(stage, adapter.issue(IssueOrder(template=template, codes=codes, batch_id="B1", listing=None)))
    return template, codes, listing


def bind_order(template, codes, listing, number="01JV00000000000000000000BB"):
    return BindOrder(
        coupon_id="c1",
        code=codes[0],
        template=template,
        listing=listing,
        holder=Holder(user=PlatformUser(USER)),
        binding_no=number,
    )


def wish(coupon, proof, order):
    return RedeemRequest(idempotency_key="k1", platform="wechatpay", coupon=coupon.code, order=order, proof=proof)


def test_a_logged_in_holder_redeems_and_somebody_else_does_not(stage):
    coupon, order = stage.coupon(), Order(order_no="ORDER000001", amount_fen=10_000)
    for openid, accepted in (("oSomebodyElse00000001", False), (USER, True)):
        code = stage.sandbox.control.deliver("wechatpay", kind="login", openid=openid)["js_code"]
        request = wish(coupon, LoginProof(login_code=Secret(code)), order)
        if accepted:
            assert stage.call("redeem", request).state is OperationState.DONE
        else:
            with pytest.raises(VerificationError):
                stage.call("redeem", request)


@pytest.mark.parametrize("passes", [True, False])
def test_a_face_or_finger_on_the_holders_device_redeems_once(stage, passes):
    coupon, order = stage.coupon(), Order(order_no="ORDER000001", amount_fen=10_000)
    challenge = stage.call(
        "challenge",
        ChallengeRequest(coupon=coupon.code, platform="wechatpay", method=Method.BIOMETRIC, order=order),
    )
    text = challenge.instructions["challenge"]
    told = stage.sandbox.control.deliver("wechatpay", kind="face", openid=USER, challenge=text, passes=passes)
    proof = BiometricProof(
        challenge_id=challenge.challenge_id,
        user=PlatformUser(USER),
        result_json=Secret(told["resultJSON"]),
        signature=Secret(told["resultJSONSignature"]),
    )
    if passes:
        assert stage.call("redeem", wish(coupon, proof, order)).state is OperationState.DONE
        return
    with pytest.raises(VerificationError) as raised:
        stage.call("redeem", wish(coupon, proof, order))
    assert raised.value.code == "wechatpay.biometric_refused"


def test_a_front_end_takes_the_coupon_by_the_h5_link(stage):
    own = adapter(stage, delivery="h5")
    binding = run(stage, own.bind(bind_order(*made(stage, own))))
    told = stage.sandbox.control.deliver("wechatpay", kind="h5", url=binding.refs["url"])
    assert told["errcode"] == 0
    assert (
        run(stage, own.busifavor.user_coupon(PlatformUser(USER), code=CouponCode("UC9TESTCODE0000"))).state == "SENDED"
    )


def test_a_front_end_takes_the_coupon_by_the_plugin(stage):
    own = adapter(stage, delivery="mini_program")
    refs = run(stage, own.bind(bind_order(*made(stage, own)))).refs
    told = stage.sandbox.control.deliver(
        "wechatpay",
        kind="mini_program",
        openid=USER,
        sign=refs["sign"],
        send_coupon_merchant=refs["send_coupon_merchant"],
        send_coupon_params=json.loads(refs["send_coupon_params"]),
    )
    assert told["errcode"] == "OK"
    assert told["send_coupon_result"][0]["code"] == "SUCCESS"


def test_codes_are_uploaded_once_however_often_the_issue_is_repeated(stage):
    own = adapter(stage, code_mode="merchant_upload")
    template, codes, listing = made(stage, own, count=250)
    order = IssueOrder(template=template, codes=codes, batch_id="B1", listing=listing)
    assert run(stage, own.issue(order)) == listing
    stock = run(stage, own.busifavor.read_stock(listing.refs["stock_id"]))
    assert stock["coupon_code_count"]["total_count"] == 250


def test_an_order_is_tied_to_a_coupon(stage):
    own = stage.adapter
    template, codes, listing = made(stage, own)
    run(stage, own.bind(bind_order(template, codes, listing)))
    told = {"stock_id": listing.refs["stock_id"], "order_no": "ORDER000001", "request_no": "A1"}
    first = run(stage, own.busifavor.associate(codes[0], **told))
    assert run(stage, own.busifavor.associate(codes[0], **told)) == first
    run(stage, own.busifavor.disassociate(codes[0], **{**told, "request_no": "A2"}))
    page = run(stage, own.busifavor.user_coupons(PlatformUser(USER)))
    assert page.total == 1
    assert page.coupons[0].code == codes[0]


def test_a_paid_order_is_found_and_refunded_once_by_its_number(stage):
    order = stage.sandbox.control.order("wechatpay", amount_fen=8000, out_trade_no="ORDER000001")
    trade = run(stage, stage.adapter.trades.of_order("ORDER000001"))
    assert trade.is_paid
    assert trade.total_fen == 8000
    assert run(stage, stage.adapter.trades.of_transaction(order["transaction_id"])).order_no == "ORDER000001"
    ask = {"refund_no": "REFUND0001", "refund_fen": 100, "total_fen": 8000}
    first = run(stage, stage.adapter.trades.refund("ORDER000001", **ask))
    assert run(stage, stage.adapter.trades.refund("ORDER000001", **ask)).refund_id == first.refund_id
    assert run(stage, stage.adapter.trades.refund_of("REFUND0001")).refund_fen == 100


@pytest.mark.parametrize(
    "changes", [{}, {"mode": "certificate", "platform_public_key": None, "platform_public_key_id": None}]
)
def test_the_doctor_finds_a_healthy_sandbox(stage, changes):
    found = run(stage, adapter(stage, **changes).diagnose())
    bad = {finding.code: dict(finding.details) for finding in found if finding.state is CheckState.FAIL}
    assert bad == {}
    assert CheckState.OK in {f.state for f in found if f.code == "wechatpay.check_echo"}


def test_certificates_are_downloaded_when_the_first_answer_needs_them(stage):
    own = adapter(
        stage,
        mode="certificate",
        platform_public_key=None,
        platform_public_key_id=None,
        platform_certificates=(),
    )
    made(stage, own)
    assert len(own.gateway.credentials.ring) > 0


@pytest.mark.parametrize("step", ["certificate_listed", "certificate_both", "certificate_new"])
def test_a_rotation_of_the_platform_certificate_needs_no_restart(stage, step):
    own = adapter(stage, mode="certificate", platform_public_key=None, platform_public_key_id=None)
    control = stage.sandbox.control
    for one in ("certificate_only", "certificate_listed", "certificate_both", "certificate_new"):
        control.rotate_keys("wechatpay", one)
        if one == step:
            break
    made(stage, own)


def test_a_product_coupon_is_confirmed_used_with_its_order_and_returned(stage):
    control = stage.sandbox.control
    [told] = control.issue_coupons("wechatpay", count=1, face_fen=2000, family="product_coupon", holder=USER)
    own = adapter(
        stage,
        coupon_family="product_coupon",
        brand_id=told["brand_id"],
        product_coupon_id=told["product_coupon_id"],
        product_stock_id=told["stock_id"],
    )
    paid = control.order("wechatpay", amount_fen=10_000, out_trade_no="ORDER000001", holder=USER)
    listing = run(stage, own.issue(IssueOrder(template=stage.template(), codes=(), batch_id="B1", listing=None)))
    code, user = CouponCode(told["code"]), PlatformUser(told["openid"])
    confirmed = run(
        stage, own.product_coupons.confirm(user.reveal(), code=code, listing=listing, request_no="CONFIRM01")
    )
    assert confirmed.state == "EFFECTIVE"
    now = stage.sandbox.clock.now()
    order = Order(order_no="ORDER000001", amount_fen=10_000, platform_order_no=paid["transaction_id"])
    redemption = Redemption(
        "01JV0000000000000000000001", "k1", "c1", "summer", "m1", "wechatpay", order, 2000,
        OperationState.HELD, now, now + timedelta(seconds=60),
    )  # fmt: skip
    binding = Binding("c1", "wechatpay", user, {})
    held = HeldRedemption(redemption, code, stage.template(), listing, binding)
    assert run(stage, own.query(held)).effected is Effected.NOT_DONE
    assert run(stage, own.redeem(held)).effected is Effected.DONE
    assert run(stage, own.redeem(held)).effected is Effected.DONE
    assert run(stage, own.query(held)).effected is Effected.DONE
    reversal = Reversal(
        "01JV0000000000000000000002", "k2", redemption.redemption_id, "c1", "wechatpay",
        ReversalCause.CUSTOMER_REQUEST, 2000, OperationState.HELD, now, now + timedelta(seconds=60),
    )  # fmt: skip
    back = HeldReversal(reversal, held)
    assert run(stage, own.query_reversal(back)).effected is Effected.NOT_DONE
    assert run(stage, own.reverse(back)).effected is Effected.DONE
    assert run(stage, own.query_reversal(back)).effected is Effected.DONE
