"""Pay-outs through the client and the emulator: pending, taken, overdue, called back, told; and paid once in any case."""

from datetime import timedelta

import pytest
from tests.unit.wechatpay.test_wechatpay_with_emulator import TRAITS

from unicom_coupon_sdk.domain.coupon import Cash
from unicom_coupon_sdk.domain.order import Holder
from unicom_coupon_sdk.domain.redemption import PayOutRequest
from unicom_coupon_sdk.domain.requests import BindRequest
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.domain.state import CouponState, OperationState
from unicom_coupon_sdk.domain.verification import ScanProof
from unicom_coupon_sdk.errors import PlatformRefused, ValidationError
from unicom_coupon_sdk.platform.wire import HttpAnswer, HttpRequest
from unicom_coupon_sdk.sandbox.inprocess import Sandbox
from unicom_coupon_sdk.sandbox.stage import Stage

CREATE = "/v3/fund-app/mch-transfer/transfer-bills"
USER = "oPayee0000000000000001"
MANY = 20


@pytest.fixture(params=["blocking", "asyncio"])
def stage(request):
    with Sandbox(platforms=("wechatpay",)) as sandbox, Stage(sandbox, TRAITS, runtime=request.param) as made:
        yield made
        assert made.violations() == ()


def coupon(stage, *, fen=5_000):
    made = stage.issue(template=stage.template(benefit=Cash(cash_fen=fen))).coupons[0]
    holder = Holder(user=PlatformUser(USER))
    stage.call("bind", BindRequest(coupon=made.code, platform="wechatpay", holder=holder))
    return made


def wish(stage, coupon, *, key="payout1", name=None):
    return PayOutRequest(
        idempotency_key=key,
        platform="wechatpay",
        coupon=coupon.code,
        reference="REWARD0001",
        proof=ScanProof(token=stage.call("show", coupon.coupon_id)),
        payee_name=name,
    )


def state_of(stage, coupon):
    return stage.call("coupon", coupon.coupon_id).state


def take(stage, **act):
    return stage.sandbox.control.deliver("wechatpay", kind="transfer", **act)


def transfers(stage):
    """How many the platform made."""
    station = stage.sandbox.world.station("wechatpay")
    return len(station.store.keys("transfer"))


def test_the_money_waits_until_its_user_takes_it(stage):
    cash = coupon(stage)
    paid = stage.call("pay_out", wish(stage, cash))
    assert paid.redemption.state is OperationState.PENDING
    assert state_of(stage, cash) is CouponState.HELD
    assert set(paid.instructions) == {"mchId", "appId", "package"}
    assert take(stage, package=paid.instructions["package"], openid=USER)["state"] == "SUCCESS"
    assert stage.call("recover").done == 1
    assert state_of(stage, cash) is CouponState.REDEEMED
    assert stage.call("query", paid.redemption.redemption_id).state is OperationState.DONE


def test_the_same_wish_again_is_the_same_transfer_with_its_instructions(stage):
    request = wish(stage, coupon(stage))
    first = stage.call("pay_out", request)
    assert stage.call("pay_out", request) == first
    assert transfers(stage) == 1


def test_after_a_day_nobody_took_the_coupon_is_free_again(stage):
    cash = coupon(stage)
    request = wish(stage, cash)
    stage.call("pay_out", request)
    stage.advance(seconds=86_400)
    assert stage.call("recover").not_done == 1
    assert state_of(stage, cash) is CouponState.AVAILABLE
    with pytest.raises(PlatformRefused) as raised:
        stage.call("pay_out", request)
    assert (raised.value.code, raised.value.platform_code) == ("wechatpay.transfer_overdue", "OVERDUE_CLOSE")


def test_a_transfer_that_was_called_back_frees_the_coupon(stage):
    cash = coupon(stage)
    paid = stage.call("pay_out", wish(stage, cash))
    number = paid.redemption.redemption_id
    assert stage.call("run", stage.adapter.transfers.cancel(number)) == "CANCELING"
    stage.outlive_requests()
    assert stage.call("recover").not_done == 1
    assert state_of(stage, cash) is CouponState.AVAILABLE


def test_the_payees_name_is_needed_from_two_thousand_yuan_on(stage):
    cash = coupon(stage, fen=200_000)
    with pytest.raises(ValidationError, match=r"wechatpay\.payee_name_missing"):
        stage.call("pay_out", wish(stage, cash))
    assert transfers(stage) == 0
    assert state_of(stage, cash) is CouponState.AVAILABLE
    paid = stage.call("pay_out", wish(stage, cash, key="payout2", name=Secret("张三")))
    assert take(stage, package=paid.instructions["package"], real_name="李四")["state"] == "FAIL"
    stage.outlive_requests()
    assert stage.call("recover").not_done == 1


@pytest.mark.parametrize("kind", ["drop_after", "half_body", "bad_signature", "stale_timestamp"])
def test_a_pay_out_whose_answer_is_lost_is_asked_about_and_paid_once(stage, kind):
    cash = coupon(stage)
    request = wish(stage, cash)
    stage.fault(kind, times=MANY, match=CREATE)
    paid = stage.call("pay_out", request)
    assert paid.redemption.state is OperationState.UNKNOWN
    assert state_of(stage, cash) is CouponState.HELD
    stage.calm()
    stage.call("recover")
    again = stage.call("pay_out", request)
    assert again.redemption.state is OperationState.PENDING
    take(stage, package=again.instructions["package"])
    assert stage.call("recover").done == 1
    assert stage.call("pay_out", request).redemption.state is OperationState.DONE
    assert transfers(stage) == 1


def test_a_pay_out_that_never_arrived_is_released_only_when_it_no_longer_can(stage):
    cash = coupon(stage)
    stage.fault("drop_before", times=MANY, match=CREATE)
    assert stage.call("pay_out", wish(stage, cash)).redemption.state is OperationState.UNKNOWN
    stage.calm()
    assert stage.call("recover").still_open == 1
    stage.outlive_requests()
    assert stage.call("recover").not_done == 1
    assert state_of(stage, cash) is CouponState.AVAILABLE
    assert transfers(stage) == 0


@pytest.mark.parametrize("code", ["NOT_ENOUGH", "NO_AUTH", "SYSTEM_ERROR", "RATELIMIT_EXCEEDED"])
def test_a_refusal_is_no_proof_and_the_coupon_stays_held_until_the_platform_was_asked(stage, code):
    cash = coupon(stage)
    stage.fault("error", code=code, times=MANY, match=CREATE)
    assert stage.call("pay_out", wish(stage, cash)).redemption.state is OperationState.UNKNOWN
    stage.calm()
    stage.outlive_requests()
    assert stage.call("recover").not_done == 1
    assert state_of(stage, cash) is CouponState.AVAILABLE


def test_news_of_the_end_makes_us_ask_and_decides_nothing_itself():
    with Sandbox(platforms=("wechatpay",)) as sandbox, Stage(sandbox, TRAITS, runtime="blocking") as stage:
        heard = []

        def merchant(request: HttpRequest) -> HttpAnswer:
            notice = stage.call("receive", "wechatpay", headers=request.headers, body=request.content)
            heard.append(notice.event.type_name)
            return HttpAnswer(notice.acknowledgement.status, ())

        sandbox.merchant = merchant
        sandbox.control.register_callback("wechatpay", "http://127.0.0.1:9/notify")
        cash = coupon(stage)
        paid = stage.call("pay_out", wish(stage, cash))
        take(stage, package=paid.instructions["package"])
        sandbox.control.deliver_notifications()
        assert "MCHTRANSFER.BILL.FINISHED" in heard
        assert state_of(stage, cash) is CouponState.REDEEMED
        assert sandbox.clock.now() - paid.redemption.held_at < timedelta(minutes=1)
