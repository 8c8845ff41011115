"""The adapter against the sandbox, through the client: what is refused unsent, instructions, news, keys, doctor."""

import pytest

from unicom_coupon_adapters.bank import BankSettings
from unicom_coupon_adapters.bank.doctor import diagnose
from unicom_coupon_sdk.domain.coupon import AmountOff
from unicom_coupon_sdk.domain.events import NewsKind
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import RedeemRequest
from unicom_coupon_sdk.domain.requests import ChallengeRequest
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.verification import Method, SmsProof
from unicom_coupon_sdk.errors import ForgedMessage, ValidationError, VerificationError
from unicom_coupon_sdk.platform.adapter import CheckState
from unicom_coupon_sdk.platform.wire import HttpAnswer


def test_a_code_asked_for_another_value_is_refused_before_it_is_sent(stage):
    template = stage.template(benefit=AmountOff(off_fen=2000, min_spend_fen=0))
    coupon = stage.issue(template=template).coupons[0]
    stage.bind(coupon)
    wish = stage.wish(coupon, amount_fen=1000)
    sent = stage.requests()
    with pytest.raises(VerificationError, match=r"bank\.sms_binding"):
        stage.call("redeem", wish.replaced(order=Order(order_no="OTHER", amount_fen=5000)))
    assert stage.requests() == sent


def test_a_code_of_another_shape_is_refused_before_anything_is_held(stage):
    coupon = stage.coupon()
    wish = stage.wish(coupon)
    odd = SmsProof(challenge_id=wish.proof.challenge_id, one_time_code="12345")
    with pytest.raises(VerificationError, match=r"bank\.sms_shape"):
        stage.call("redeem", wish.replaced(proof=odd))


def test_the_instructions_show_a_masked_phone_and_never_the_code(stage):
    coupon = stage.coupon()
    order = Order(order_no="SHOW", amount_fen=10_000)
    request = ChallengeRequest(coupon=coupon.code, platform="bank", method=Method.SMS, order=order)
    told = stage.call("challenge", request)
    code = stage.sandbox.control.messages()[-1]["code"]
    assert told.instructions["to"] == "138****0018"
    assert (told.instructions["resend_after_s"], told.instructions["attempts_left"]) == (60, 5)
    assert code not in str(told.instructions)
    assert str(told.instructions["sms_token"]) not in repr(told)
    proof = SmsProof(challenge_id=told.challenge_id, one_time_code=code)
    wish = RedeemRequest(idempotency_key="k", platform="bank", coupon=coupon.code, order=order, proof=proof)
    assert code not in repr(wish)
    assert code not in str(proof)


def test_a_holder_without_a_phone_cannot_be_bound(stage):
    coupon = stage.issue().coupons[0]
    with pytest.raises(ValidationError, match=r"bank\.phone_missing"):
        stage.bind(coupon, holder=Holder(user="oNobody"))


def test_news_of_a_redemption_is_verified_understood_and_acknowledged(stage):
    received = []

    def merchant(request):
        notice = stage.call("receive", "bank", headers=request.headers, body=request.content)
        received.append(notice.event)
        answer = notice.acknowledgement
        return HttpAnswer(answer.status, answer.headers, answer.content)

    stage.sandbox.merchant = merchant
    stage.sandbox.control.register_callback("bank", "https://shop.invalid/bank")
    redemption = stage.call("redeem", stage.wish(stage.coupon()))
    stage.sandbox.control.deliver_notifications()
    assert [(event.kind, event.operation_no) for event in received] == [(NewsKind.REDEEMED, redemption.redemption_id)]
    assert [told["state"] for told in stage.sandbox.control.notifications()] == ["delivered"]


def test_forged_news_is_refused_and_sent_again(stage):
    told = []

    def merchant(request):
        with pytest.raises(ForgedMessage) as forged:
            stage.call("receive", "bank", headers=request.headers, body=request.content)
        told.append(forged.value.code)
        answer = stage.adapter.acknowledge(forged.value)
        return HttpAnswer(answer.status, answer.headers, answer.content)

    stage.sandbox.merchant = merchant
    stage.sandbox.control.register_callback("bank", "https://shop.invalid/bank")
    stage.sandbox.control.add_fault("bank", "bad_signature", match="coupon.redeem")
    stage.call("redeem", stage.wish(stage.coupon()))
    stage.sandbox.control.deliver_notifications()
    assert told == ["bank.signature"]
    assert stage.sandbox.control.notifications()[0]["state"] != "delivered"


def test_the_banks_next_key_is_taken_as_it_comes(stage):
    stage.sandbox.control.rotate_keys("bank", "bank_key")
    assert stage.call("redeem", stage.wish(stage.coupon())).state is OperationState.DONE


def test_the_doctor_names_a_wrong_secret(stage, tmp_path):
    adapter = stage.adapter
    wrong = adapter.settings.replaced(app_secret=_secret("wrong"))
    from unicom_coupon_adapters.bank.adapter import BankAdapter
    from unicom_coupon_sdk.crypto.providers import Keys

    other = BankAdapter(BankSettings(**{n: getattr(wrong, n) for n in BankSettings.model_fields}), Keys.default())
    findings = {finding.code: finding for finding in stage.call("run", diagnose(other.gateway))}
    assert findings["bank.check_answer"].state is CheckState.FAIL
    assert findings["bank.check_answer"].details["error"] == "APISIGN_ERROR"


def _secret(text):
    from unicom_coupon_sdk.domain.sensitive import Secret

    return Secret(text)
