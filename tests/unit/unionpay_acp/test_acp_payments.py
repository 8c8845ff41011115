"""Payments, undos, refunds and queries: the client against the gateway's emulator, in process."""

from datetime import timedelta

import pytest
from tests.unit.unionpay_acp.conftest import BACK, QUERY

from unicom_coupon_adapters.unionpay_pos.acp.payment import Instruction, Payment, PaymentState
from unicom_coupon_adapters.unionpay_pos.acp.payments import PACE_S
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import (
    ComplianceError,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    ValidationError,
)


def test_a_scanned_code_pays_and_its_coupon_comes_off(counter):
    code = counter.coupon(5_000)
    sale, payment = counter.paid(12_800)
    assert (payment.state, payment.code, payment.kind) == (PaymentState.DONE, "00", "01")
    assert (payment.amount_fen, payment.settle_fen, payment.settle_day) == (12_800, 12_800, "0520")
    (coupon,) = payment.coupons
    assert (coupon.kind, coupon.sponsor, coupon.offset_fen, coupon.is_merchants) == ("CP02", "00010000", 5_000, False)
    assert counter.state(code) == "USED"
    asked = counter.run(counter.payments.query(sale))
    assert (asked.state, asked.query_id, asked.coupons) == (PaymentState.DONE, payment.query_id, payment.coupons)


def test_a_coupon_that_the_merchant_pays_for_lowers_what_is_settled(counter):
    counter.coupon(5_000, sponsor="merchant")
    _, payment = counter.paid(12_800)
    assert (payment.settle_fen, payment.coupons[0].is_merchants) == (7_800, True)


def test_the_coupon_that_takes_most_off_is_applied_unless_the_payer_chose(counter):
    small, large = counter.coupon(100), counter.coupon(900)
    counter.coupon(5_000, min_spend_fen=50_000)
    counter.coupon(5_000, holder="bob")
    assert counter.paid(2_000, code=small)[1].coupons[0].offset_fen == 100
    assert counter.paid(2_000)[1].coupons[0].offset_fen == 900
    assert counter.paid(2_000)[1].coupons == ()
    assert (counter.state(small), counter.state(large)) == ("USED", "USED")


def test_a_payer_who_types_a_password_leaves_it_open_until_it_is_asked_for(counter):
    sale = counter.instruction()
    with pytest.raises(PlatformUnknown) as open_:
        counter.scan(sale, needs_password=True)
    assert (open_.value.code, open_.value.platform_code) == ("unionpay_pos.acp_open", "05")
    assert counter.run(counter.payments.query(sale)).state is PaymentState.OPEN
    counter.deliver("confirm", order_id=sale.order_id)
    assert counter.run(counter.payments.outcome(sale)).state is PaymentState.DONE


def test_a_payer_who_never_types_it_has_not_paid(counter):
    sale = counter.instruction()
    with pytest.raises(PlatformUnknown):
        counter.scan(sale, needs_password=True)
    before = counter.now
    with pytest.raises(PlatformUnknown) as undecided:
        counter.run(counter.payments.outcome(sale))
    assert (undecided.value.code, undecided.value.platform_code) == ("unionpay_pos.acp_undecided", "05")
    assert counter.now - before == timedelta(seconds=sum(PACE_S))
    counter.sandbox.control.advance(900)
    failed = counter.run(counter.payments.outcome(sale))
    assert (failed.state, failed.code) == (PaymentState.FAILED, "69")


@pytest.mark.parametrize("wish", [{"limit_fen": 12_799}, {"needs_password": True, "limit_fen": 0}])
def test_a_payer_without_the_money_is_declined(counter, wish):
    sale = counter.instruction()
    with pytest.raises((PlatformRefused, PlatformUnknown)) as refused:
        counter.scan(sale, **wish)
    if wish.get("needs_password"):
        counter.deliver("confirm", order_id=sale.order_id)
    else:
        assert (refused.value.code, refused.value.platform_code) == ("unionpay_pos.acp_declined", "64")
    asked = counter.run(counter.payments.query(sale))
    assert (asked.state, asked.code) == (PaymentState.FAILED, "64")


@pytest.mark.parametrize("wait_s", [0, 61])
def test_a_payment_code_is_good_for_one_payment_and_one_minute(counter, wait_s):
    shown = counter.phone()
    if wait_s:
        counter.sandbox.control.advance(wait_s)
    else:
        counter.run(counter.payments.scan(counter.instruction(), qr_no=shown))
    with pytest.raises(PlatformRefused) as refused:
        counter.run(counter.payments.scan(counter.instruction(), qr_no=shown))
    assert refused.value.platform_code == "61"


def test_an_order_number_is_used_once_and_the_query_decides(counter):
    sale, _ = counter.paid()
    with pytest.raises(PlatformUnknown) as duplicate:
        counter.scan(sale)
    assert (duplicate.value.code, duplicate.value.platform_code) == ("unionpay_pos.acp_duplicate", "12")
    assert counter.run(counter.payments.outcome(sale)).state is PaymentState.DONE


def test_what_never_arrived_is_absent_and_the_bill_decides(counter):
    sale = counter.instruction()
    assert counter.run(counter.payments.query(sale)).state is PaymentState.ABSENT
    with pytest.raises(PlatformUnknown) as undecided:
        counter.run(counter.payments.outcome(sale))
    assert undecided.value.platform_code == "34"


def test_another_time_is_another_transaction(counter):
    sale, _ = counter.paid()
    other = Instruction(sale.order_id, "20260520120001", sale.amount_fen)
    assert counter.run(counter.payments.query(other)).state is PaymentState.ABSENT


def test_another_amount_than_ours_is_no_answer(counter):
    sale, _ = counter.paid()
    other = Instruction(sale.order_id, sale.txn_time, sale.amount_fen - 1)
    with pytest.raises(PlatformUnavailable, match=r"unionpay_pos\.acp_answer_other"):
        counter.run(counter.payments.query(other))


def test_a_code_to_be_scanned_is_paid_by_who_scans_it(counter):
    sale = counter.instruction(300)
    code = counter.coupon(100)
    text = counter.run(counter.payments.qr_code(sale))
    assert text.startswith("https://qr.95516.com/")
    assert counter.run(counter.payments.query(sale)).state is PaymentState.OPEN
    counter.deliver("pay", qr_code=text, holder="alice")
    payment = counter.run(counter.payments.outcome(sale))
    assert (payment.state, payment.coupons[0].offset_fen, counter.state(code)) == (PaymentState.DONE, 100, "USED")


def test_a_browser_is_sent_to_unionpay_with_a_signed_form(counter):
    sale = counter.instruction(300)
    form = counter.run(counter.payments.browser_form(sale, front_url="https://shop.example/done?a=1&b=2"))
    assert form.action == counter.acp.gateway.url(counter.acp.gateway.messages.front(sale, front_url="http://x").door)
    assert 'value="https://shop.example/done?a=1&amp;b=2"' in form.page
    assert form.fields["bizType"] == "000201"
    assert counter.sent() == []  # it is the browser that posts
    assert counter.run(counter.payments.query(sale)).state is PaymentState.ABSENT


def test_an_undo_takes_the_whole_payment_back_with_its_coupon(counter):
    code = counter.coupon(5_000)
    _, payment = counter.paid(12_800)
    back = counter.instruction(12_800)
    accepted = counter.run(counter.payments.undo(back, original=payment))
    assert (accepted.state, accepted.kind) == (PaymentState.OPEN, "31")
    assert counter.run(counter.payments.outcome(back)).state is PaymentState.DONE
    assert counter.state(code) == "USABLE"
    with pytest.raises(PlatformRefused) as again:
        counter.run(counter.payments.undo(counter.instruction(12_800), original=payment))
    assert (again.value.code, again.value.platform_code) == ("unionpay_pos.acp_undone", "45")


def test_a_refund_may_be_partial_and_repeated_up_to_what_was_paid(counter):
    code = counter.coupon(5_000)
    _, payment = counter.paid(12_800)
    for amount in (800, 12_000):
        back = counter.instruction(amount)
        assert counter.run(counter.payments.refund(back, original=payment)).state is PaymentState.OPEN
        assert counter.run(counter.payments.query(back)).state is PaymentState.OPEN
        assert counter.run(counter.payments.outcome(back)).state is PaymentState.DONE
    with pytest.raises(PlatformRefused) as more:
        counter.run(counter.payments.refund(counter.instruction(1), original=payment))
    assert more.value.platform_code == "45"
    assert counter.state(code) == "USED"


def test_a_refund_beyond_what_is_left_is_refused_by_the_gateway(counter):
    _, payment = counter.paid(1_000)
    counter.run(counter.payments.refund(counter.instruction(600), original=payment))
    with pytest.raises(PlatformRefused) as refused:
        counter.run(counter.payments.refund(counter.instruction(401), original=payment))
    assert (refused.value.code, refused.value.platform_code) == ("unionpay_pos.acp_original", "36")


def test_an_undo_after_a_refund_is_refused(counter):
    _, payment = counter.paid(1_000)
    counter.run(counter.payments.refund(counter.instruction(1), original=payment))
    with pytest.raises(PlatformRefused) as refused:
        counter.run(counter.payments.undo(counter.instruction(1_000), original=payment))
    assert refused.value.platform_code == "45"


def test_an_undo_ends_with_the_clearing_day_and_a_refund_does_not(counter):
    _, payment = counter.paid(1_000)
    counter.sandbox.control.set_clock(counter.now.replace(hour=14, minute=59, second=59))  # 22:59:59 in Beijing
    counter.client.run(counter.payments.undo(counter.instruction(1_000), original=payment))
    _, late = counter.paid(1_000)
    counter.sandbox.control.advance(1)
    sent = counter.sent()
    with pytest.raises(ValidationError, match=r"unionpay_pos\.acp_undo_day"):
        counter.run(counter.payments.undo(counter.instruction(1_000), original=late))
    assert counter.sent() == sent
    assert counter.run(counter.payments.refund(counter.instruction(1_000), original=late)).state is PaymentState.OPEN


def test_the_clearing_day_that_the_gateway_told_counts_and_not_the_payments_time(counter):
    counter.sandbox.control.set_clock(counter.now.replace(hour=14, minute=59, second=58))
    sale = counter.instruction(1_000)  # of 22:59:58, and cleared after 23:00
    counter.sandbox.control.advance(10)
    payment = counter.scan(sale)
    assert payment.settle_day == "0521"
    assert counter.run(counter.payments.undo(counter.instruction(1_000), original=payment)).state is PaymentState.OPEN


def test_what_a_query_told_is_enough_to_give_a_payment_back(counter):
    sale, _ = counter.paid(1_000)
    known = counter.run(counter.payments.query(sale))
    assert counter.run(counter.payments.undo(counter.instruction(1_000), original=known)).state is PaymentState.OPEN


def test_a_payment_without_its_query_id_is_named_by_our_numbers(counter):
    sale, _ = counter.paid(1_000)
    known = Payment(sale.order_id, sale.txn_time, "01", PaymentState.DONE, "00", amount_fen=1_000, settle_day="0520")
    back = counter.instruction(1_000)
    counter.run(counter.payments.undo(back, original=known))
    assert counter.run(counter.payments.outcome(back)).state is PaymentState.DONE


def test_only_a_payment_known_to_be_done_is_given_back(counter):
    sale = counter.instruction(1_000)
    nothing = counter.run(counter.payments.query(sale))
    _, payment = counter.paid(1_000)
    back = counter.instruction(500)
    counter.run(counter.payments.refund(back, original=payment))
    counter.sandbox.control.advance(10)
    refund = counter.run(counter.payments.outcome(back))
    sent = counter.sent()
    for flow in (counter.payments.undo, counter.payments.refund):
        with pytest.raises(ValidationError, match=r"unionpay_pos\.acp_original_open"):
            counter.run(flow(counter.instruction(1_000), original=nothing))
    for amount in (999, 1_001):
        with pytest.raises(ValidationError, match=r"unionpay_pos\.acp_amount_other"):
            counter.run(counter.payments.undo(counter.instruction(amount), original=payment))
    with pytest.raises(ValidationError, match=r"unionpay_pos\.acp_amount_other"):
        counter.run(counter.payments.refund(counter.instruction(1_001), original=payment))
    assert counter.sent() == sent
    with pytest.raises(PlatformRefused) as refused:  # a query does not say that this was a refund; the gateway does
        counter.run(counter.payments.refund(counter.instruction(1), original=refund))
    assert refused.value.platform_code == "35"


@pytest.mark.parametrize(
    ("field", "wish"),
    [
        ("qrNo", {"qr_no": Secret("12 45678")}),
        ("qrNo", {"qr_no": Secret("1" * 21)}),
        ("termId", {"qr_no": Secret("62" * 9), "term_id": "1"}),
        ("reqReserved", {"qr_no": Secret("62" * 9), "reserved": "a&b"}),
        ("reqReserved", {"qr_no": Secret("62" * 9), "reserved": "{a"}),
    ],
)
def test_a_field_of_another_shape_is_refused_before_anything_is_sent(counter, field, wish):
    with pytest.raises(ValidationError) as refused:
        counter.run(counter.payments.scan(counter.instruction(), **wish))
    assert (refused.value.code, refused.value.field) == ("unionpay_pos.acp_field", field)
    assert counter.sent() == []


@pytest.mark.parametrize("name", ["accNo", "pin", "cvn2", "cardTransData", "expired"])
def test_card_data_cannot_be_sent_by_any_call(counter, name):
    with pytest.raises(ComplianceError) as refused:
        counter.run(counter.payments.scan(counter.instruction(), qr_no=counter.phone(), more={name: "622155"}))
    assert (refused.value.code, refused.value.field) == ("compliance.not_sent", name)
    assert counter.sent() == []


@pytest.mark.parametrize(
    ("field", "facts"),
    [
        ("order_id", ("ORDER", "20260520120000", 1)),
        ("order_id", ("ORDER-00001", "20260520120000", 1)),
        ("order_id", ("订单" * 5, "20260520120000", 1)),
        ("order_id", ("O" * 41, "20260520120000", 1)),
        ("txn_time", ("ORDER0001", "20260532120000", 1)),
        ("txn_time", ("ORDER0001", "2026052012000", 1)),
        ("txn_time", ("ORDER0001", "٢٠٢٦٠٥٢٠١٢٠٠٠٠", 1)),
        ("amount_fen", ("ORDER0001", "20260520120000", 0)),
        ("amount_fen", ("ORDER0001", "20260520120000", 10**12)),
    ],
)
def test_an_instruction_that_cannot_be_names_its_field(field, facts):
    with pytest.raises(ValidationError) as refused:
        Instruction(*facts)
    assert (refused.value.code, refused.value.field) == ("unionpay_pos.acp_instruction", field)


def test_an_instruction_of_a_moment_is_in_beijing_time(counter):
    assert counter.instruction().txn_time == "20260520120000"
    with pytest.raises(ValidationError, match=r"time\.naive"):
        Instruction.at(counter.now.replace(tzinfo=None), order_id="ORDER0001", amount_fen=1)


def test_personal_fields_travel_encrypted_and_the_certificate_is_fetched_once(counter):
    wish = {"plain": {"certifTp": "01"}, "secret": {"phoneNo": "13800138000", "customerNm": "张三"}}
    for _ in range(2):
        more = counter.run(counter.acp.customer_fields(**wish))
        counter.run(counter.payments.scan(counter.instruction(), qr_no=counter.phone(), more=more))
    assert counter.sent() == [BACK] * 3  # the certificate, and two payments
    bodies = [exchange["body_b64"] for exchange in counter.sandbox.control.requests(platform="unionpay_acp")]
    assert "13800138000" not in str(bodies)


def test_an_old_encryption_certificate_is_refused_until_it_is_fetched_anew(counter):
    wish = {"plain": {}, "secret": {"phoneNo": "13800138000"}}
    old = counter.run(counter.acp.customer_fields(**wish))
    counter.sandbox.control.rotate_keys("unionpay_acp", "encryption_certificate")
    with pytest.raises(PlatformRefused) as refused:
        counter.run(counter.payments.scan(counter.instruction(), qr_no=counter.phone(), more=old))
    assert (refused.value.code, refused.value.platform_code) == ("unionpay_pos.acp_format", "10")
    counter.run(counter.acp.gateway.update_encryption())
    new = counter.run(counter.acp.customer_fields(**wish))
    assert new["encryptCertId"] != old["encryptCertId"]
    counter.run(counter.payments.scan(counter.instruction(), qr_no=counter.phone(), more=new))


def test_unionpays_next_signing_certificate_is_taken_as_it_comes(counter):
    counter.paid()
    counter.sandbox.control.rotate_keys("unionpay_acp", "signing_certificate")
    assert counter.paid()[1].state is PaymentState.DONE


def test_a_query_that_is_refused_says_nothing_of_the_payment(counter):
    sale, _ = counter.paid()
    counter.fault("error", match=QUERY, code="11")
    with pytest.raises(PlatformUnavailable) as refused:
        counter.run(counter.payments.query(sale))
    assert (refused.value.code, refused.value.platform_code) == ("unionpay_pos.acp_our_signature", "11")
