"""Cash to people: once for ever, screened, and pending until the user takes it."""

import dataclasses
from datetime import timedelta

import pytest
from tests.unit.flows.test_recovery import PLATFORM, Saying, answering, raising

from unicom_coupon_sdk import (
    BindRequest,
    Cash,
    ComplianceError,
    IssueRequest,
    LimitError,
    OperationState,
    Order,
    PayOutRequest,
    PlatformUnknown,
    RedeemRequest,
    ReverseRequest,
    ScanProof,
    UnsupportedOperation,
)
from unicom_coupon_sdk.domain.limits import Limit, Subject, Window
from unicom_coupon_sdk.domain.redemption import Binding, Listing, Outcome
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import Effected, PlatformRefused
from unicom_coupon_sdk.flows.bind import bind
from unicom_coupon_sdk.flows.issue import issue
from unicom_coupon_sdk.flows.pay_out import pay_out
from unicom_coupon_sdk.flows.query import query
from unicom_coupon_sdk.flows.recover import recover
from unicom_coupon_sdk.flows.redeem import redeem
from unicom_coupon_sdk.flows.reverse import reverse
from unicom_coupon_sdk.platform.profile import Capability

DONE = Outcome(effected=Effected.DONE, platform_no="T1")
WAITING = Outcome(effected=Effected.PENDING, platform_no="T1", instructions={"package_info": "affffdd8"})
OVERDUE = Outcome(
    effected=Effected.NOT_DONE, error=PlatformRefused("platform.refused", platform=PLATFORM, platform_code="OVERDUE")
)


class Desk:
    """A platform whose transfers are scripted; coupons, bindings and the ledger are real."""

    def __init__(self, shop, *, limits=()):
        self.shop = shop
        self.sent = []
        self.asked = []
        self.answer = answering(DONE)
        self.known = answering(DONE)
        real = shop.setting.adapter(PLATFORM)
        profile = dataclasses.replace(
            real.profile,
            coupon_kinds=real.profile.coupon_kinds | {"cash"},
            capabilities=real.profile.capabilities | {Capability.PAY_OUT},
            limits=limits,
        )
        adapter = Saying(
            real,
            profile=profile,
            issue=lambda order: answering(Listing(order.template.template_id, PLATFORM, {}))(),
            bind=lambda order: answering(Binding(order.coupon_id, PLATFORM, order.holder.user, {}))(),
            pay_out=self._pay_out,
            query_pay_out=self._query,
        )
        self.setting = dataclasses.replace(shop.setting, adapters={PLATFORM: adapter})

    def _pay_out(self, held):
        self.sent.append(held)
        return self.answer(held)

    def _query(self, held):
        self.asked.append(held.redemption.redemption_id)
        return self.known(held)

    def run(self, flow):
        return self.shop.client.run(flow)

    def coupon(self):
        template = self.shop.template(benefit=Cash(cash_fen=5_000))
        wish = IssueRequest(idempotency_key=template.template_id, template=template, count=1)
        coupon = self.run(issue(wish, setting=self.setting)).coupons[0]
        request = BindRequest(coupon=coupon.code, platform=PLATFORM, holder=self.shop.holder())
        self.run(bind(request, setting=self.setting))
        return coupon

    def wish(self, coupon, key="pay-1", **changes):
        proof = ScanProof(token=self.shop.client.show(coupon.coupon_id))
        facts = {"idempotency_key": key, "platform": PLATFORM, "coupon": coupon.code, "reference": "P1"}
        return PayOutRequest(**{**facts, "proof": proof, **changes})

    def pay(self, coupon, **changes):
        return self.run(pay_out(self.wish(coupon, **changes), setting=self.setting))


@pytest.fixture
def desk(shop):
    return Desk(shop)


def test_a_cash_coupon_is_paid_out_once_with_what_the_platform_needs(desk):
    coupon = desk.coupon()
    paid = desk.pay(coupon, payee_name=Secret("张三"))
    again = desk.pay(coupon, payee_name=Secret("张三"))
    assert (paid.redemption.state, paid.redemption.value_fen) == (OperationState.DONE, 5_000)
    assert again.redemption.redemption_id == paid.redemption.redemption_id
    (held,) = desk.sent
    assert (held.payee_name.reveal(), held.binding.user) == ("张三", desk.shop.holder().user)
    balance = desk.shop.client.read(desk.shop.setting.ledger.trial_balance())
    assert sum(balance.values()) == 0
    assert balance[f"platform_clearing:{PLATFORM}"] < 0


def test_a_pay_out_waits_for_its_user_and_a_repeat_gets_the_instructions_again(desk):
    desk.answer = answering(WAITING)
    coupon = desk.coupon()
    first, again = desk.pay(coupon), desk.pay(coupon)
    assert first.redemption.state is OperationState.PENDING
    assert first.instructions == again.instructions == {"package_info": "affffdd8"}
    assert len(desk.sent) == 1
    desk.known = answering(WAITING)
    assert desk.run(recover(setting=desk.setting)).still_open == 1
    desk.known = answering(DONE)
    assert desk.run(query(first.redemption.redemption_id, setting=desk.setting)).state is OperationState.DONE
    assert desk.pay(coupon).instructions == {}


def test_a_user_who_never_takes_the_money_leaves_the_coupon_free(desk):
    desk.answer = answering(WAITING)
    coupon = desk.coupon()
    paid = desk.pay(coupon)
    desk.known = answering(OVERDUE)
    desk.shop.sandbox.control.advance(timedelta(days=1).total_seconds())
    assert desk.run(recover(setting=desk.setting)).not_done == 1
    with pytest.raises(PlatformRefused):
        desk.pay(coupon)
    desk.answer = answering(DONE)
    second = desk.pay(coupon, key="pay-2")
    assert second.redemption.redemption_id != paid.redemption.redemption_id


def test_a_lost_answer_is_asked_about_and_never_sent_anew(desk):
    desk.answer = raising(PlatformUnknown("platform.no_answer", platform=PLATFORM))
    coupon = desk.coupon()
    paid = desk.pay(coupon)
    assert paid.redemption.state is OperationState.UNKNOWN
    assert desk.pay(coupon).redemption.state is OperationState.UNKNOWN
    assert desk.run(recover(setting=desk.setting)).done == 1
    assert (len(desk.sent), desk.asked) == (1, [paid.redemption.redemption_id])


def test_the_payee_is_screened_before_anything_is_held(desk):
    seen = []

    class Lists:
        def screen(self, payee):
            seen.append(payee)
            return raising(ComplianceError("payout.screened"))()

    desk.setting.guard._screening = Lists()
    coupon = desk.coupon()
    with pytest.raises(ComplianceError, match=r"payout\.screened"):
        desk.pay(coupon, payee_name=Secret("李四"))
    assert (seen[0].amount_fen, seen[0].reference, seen[0].name.reveal()) == (5_000, "P1", "李四")
    assert "李四" not in repr(seen[0])
    assert desk.sent == []
    assert desk.shop.client.coupon(coupon.coupon_id).state.value == "available"


def test_limits_hold_before_the_call(shop):
    limit = Limit(name="cash-day", subject=Subject.HOLDER, window=Window.DAY, max_fen=9_999, source="test")
    desk = Desk(shop, limits=(limit,))
    desk.pay(desk.coupon())
    with pytest.raises(LimitError):
        desk.pay(desk.coupon(), key="pay-2")
    assert len(desk.sent) == 1


def test_only_cash_is_paid_out_and_cash_is_only_paid_out(desk):
    plain = desk.shop.bound()
    with pytest.raises(UnsupportedOperation, match=r"coupon\.not_cash"):
        desk.pay(plain)
    coupon = desk.coupon()
    order = Order(order_no="O1", amount_fen=9_000)
    proof = ScanProof(token=desk.shop.client.show(coupon.coupon_id))
    request = RedeemRequest(idempotency_key="r1", platform=PLATFORM, coupon=coupon.code, order=order, proof=proof)
    with pytest.raises(UnsupportedOperation, match=r"coupon\.is_paid_out"):
        desk.run(redeem(request, setting=desk.setting))
    assert desk.sent == []


def test_a_pay_out_is_never_taken_back(desk):
    paid = desk.pay(desk.coupon())
    request = ReverseRequest(idempotency_key="b1", redemption_id=paid.redemption.redemption_id)
    with pytest.raises(UnsupportedOperation, match=r"reversal\.paid_out"):
        desk.run(reverse(request, setting=desk.setting))
