"""聚合支付 through the client: orders by QR and by payment code, their end, refunds; and what no answer means (§1.9)."""

import pytest

from unicom_coupon_adapters.bank import BankAdapter, BankSettings, messages
from unicom_coupon_adapters.bank.envelopes import Reply
from unicom_coupon_adapters.bank.payments import Terminal
from unicom_coupon_adapters.bank.refusals import refusal_of
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.events import NewsKind
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import PlatformRefused, PlatformUnknown, UnsupportedOperation, ValidationError
from unicom_coupon_sdk.platform.wire import HttpAnswer

TILL = Terminal(device_type="11", device_id="SUC00001", device_ip="192.0.2.10")
NEWS = "https://shop.invalid/bank"
PATH = "/polypay/v1.0/mchorders/"


class Counter:
    """A till that takes money over one stage."""

    def __init__(self, stage):
        self.stage = stage
        settings = stage.adapter.settings.replaced(notify_url=NEWS)
        self.payments = BankAdapter(settings, Keys.default()).payments

    def __getattr__(self, verb):
        return lambda *args, **kwargs: self.stage.call("run", getattr(self.payments, verb)(*args, **kwargs))

    def shown(self, **wish):
        return self.stage.sandbox.control.deliver("bank", action="payment_code", **wish)["payment_code"]

    def scan(self, order, code=None, *, amount=900, terminal=TILL, **wish):
        auth_code = Secret(code or self.shown(**wish))
        return self.pay(order, auth_code=auth_code, amount_fen=amount, terminal=terminal)


@pytest.fixture
def counter(either):
    return Counter(either)


def test_a_payment_code_is_paid_at_once_and_the_order_can_be_asked_about(counter):
    paid = counter.scan("PAY1")
    assert (paid.state, paid.amount_fen, paid.order_id) == ("S", 900, "PAY1")
    asked = counter.query("PAY1")
    assert (asked.state, asked.bank_order_id) == ("S", paid.bank_order_id)


def test_a_payment_that_waits_for_its_password_is_pending_until_it_is_typed(counter):
    assert counter.scan("PAY1", needs_password=True).state == "P"
    assert counter.query("PAY1").state == "P"
    counter.stage.sandbox.control.deliver("bank", action="pay", order_id="PAY1")
    assert counter.query("PAY1").state == "S"


def test_an_unpaid_payment_is_cancelled_and_cannot_be_paid_then(counter):
    counter.scan("PAY1", needs_password=True)
    counter.stage.advance(seconds=15)
    assert [counter.cancel("PAY1"), counter.cancel("PAY1")] == ["D", "D"]
    assert counter.query("PAY1").state == "D"
    with pytest.raises(ValidationError, match="cannot be paid any more"):
        counter.stage.sandbox.control.deliver("bank", action="pay", order_id="PAY1")


def test_a_paid_order_is_neither_cancelled_nor_closed_but_refunded(counter):
    counter.scan("PAY1")
    counter.stage.advance(seconds=15)
    for end in (counter.cancel, counter.close):
        with pytest.raises(PlatformRefused, match=r"bank\.order_paid"):
            end("PAY1")
    assert counter.refund("BACK1", order_id="PAY1", paid_fen=900, refund_fen=900).state == "S"
    assert counter.query("PAY1").state == "R"
    assert counter.query_refund("BACK1").state == "S"


def test_a_qr_order_is_shown_closed_and_not_paid_any_more(counter):
    assert counter.qr_order("QR1", amount_fen=300).startswith("https://qr.")
    assert counter.query("QR1").state == "P"
    assert counter.close("QR1") == "C"
    assert counter.query("QR1").state == "C"


@pytest.mark.parametrize(
    ("wish", "code"), [({"balance_fen": 899}, "bank.refund"), ({"code": "282828282828282828"}, "bank.payment_code")]
)
def test_a_payer_without_money_and_a_code_of_nobody_are_refused(counter, wish, code):
    with pytest.raises(PlatformRefused) as refused:
        counter.scan("PAY1", **wish)
    assert refused.value.code == code


def test_a_payment_code_buys_once_and_for_two_minutes(counter):
    code, old = counter.shown(), counter.shown()
    counter.scan("PAY1", code)
    with pytest.raises(PlatformRefused, match=r"bank\.payment_code"):
        counter.scan("PAY2", code)
    counter.stage.advance(seconds=121)
    with pytest.raises(PlatformRefused, match=r"bank\.payment_code"):
        counter.scan("PAY3", old)


@pytest.mark.parametrize("wait", ["drop_after", "half_body", "bad_signature"])
def test_a_payment_without_a_good_answer_is_unknown_and_never_sent_again(counter, wait):
    counter.stage.sandbox.control.add_fault("bank", wait, match=f"{PATH}pay", times=1)
    sent = counter.stage.requests()
    with pytest.raises(PlatformUnknown):
        counter.scan("PAY1")
    assert counter.stage.requests() == sent + 1
    assert counter.query("PAY1").state == "S"


def test_a_qr_order_without_an_answer_is_not_sent_again_either(counter):
    counter.stage.sandbox.control.add_fault("bank", "drop_after", match=f"{PATH}qrcodeapply", times=1)
    sent = counter.stage.requests()
    with pytest.raises(PlatformUnknown):
        counter.qr_order("QR1", amount_fen=300)
    assert counter.stage.requests() == sent + 1


def test_a_refund_without_an_answer_is_repeated_under_its_number_and_made_once(counter):
    counter.scan("PAY1")
    counter.stage.sandbox.control.add_fault("bank", "drop_after", match=f"{PATH}refund", times=1)
    sent = counter.stage.requests()
    assert counter.refund("BACK1", order_id="PAY1", paid_fen=900, refund_fen=500).state == "S"
    assert counter.stage.requests() == sent + 2
    with pytest.raises(PlatformRefused, match=r"bank\.refund"):
        counter.refund("BACK2", order_id="PAY1", paid_fen=900, refund_fen=401)
    assert counter.refund("BACK3", order_id="PAY1", paid_fen=900, refund_fen=400).state == "S"


@pytest.mark.parametrize("refund_fen", [0, -1, 901])
def test_a_refund_of_nothing_or_of_more_is_refused_before_it_is_sent(counter, refund_fen):
    sent = counter.stage.requests()
    with pytest.raises(ValidationError, match=r"bank\.refund"):
        counter.refund("BACK1", order_id="PAY1", paid_fen=900, refund_fen=refund_fen)
    assert counter.stage.requests() == sent


def test_a_bank_too_busy_to_cancel_may_have_cancelled():
    busy = Reply({}, error_code="OPERATING_FREQUENTLY")
    assert type(refusal_of(busy, is_write=True, unknown=messages.CANCEL.unknown)) is PlatformUnknown
    assert messages.CLOSE.unknown == frozenset()


def test_a_bank_that_stays_too_busy_to_cancel_leaves_the_order_unknown(counter):
    counter.scan("PAY1", needs_password=True)
    counter.stage.advance(seconds=15)
    counter.stage.sandbox.control.add_fault(
        "bank", "error", match=f"{PATH}cancel", code="OPERATING_FREQUENTLY", times=4
    )
    with pytest.raises(PlatformUnknown):
        counter.cancel("PAY1")
    assert counter.cancel("PAY1") == "D"


@pytest.mark.parametrize("end", ["cancel", "close"])
def test_an_old_genuine_answer_about_another_order_ends_nothing(counter, end):
    counter.scan("PAY1", needs_password=True)
    counter.stage.advance(seconds=15)
    counter.stage.sandbox.control.add_fault("bank", "stale_timestamp", match=f"{PATH}{end}", times=4)
    with pytest.raises(PlatformUnknown, match=r"bank\.answer_other"):
        getattr(counter, end)("PAY1")


def test_the_terminal_and_the_payment_code_are_not_to_be_read_on_the_way():
    device = {"device_type": Secret("11"), "device_id": Secret("SUC00001"), "device_ip": Secret("192.0.2.10")}
    biz = {"merId": "M", "userId": "U", "orderId": "O", "termId": "SUC00001", "authCode": Secret("288731800822702275")}
    call = messages.PAY.call({**biz, "notifyUrl": NEWS, "txnAmt": "1"}, sealed={"encryptTerminalInfo": device})
    assert "288731800822702275" not in repr(call)
    assert "192.0.2.10" not in repr(call)
    with pytest.raises(ValidationError, match=r"bank\.field_missing"):
        messages.PAY.call({**biz, "notifyUrl": NEWS, "txnAmt": "1"})
    with pytest.raises(ValidationError, match=r"bank\.field_length"):
        messages.PAY.call(
            {**biz, "termId": "SUC000012", "notifyUrl": NEWS, "txnAmt": "1"}, sealed={"encryptTerminalInfo": device}
        )


def test_without_an_address_for_news_nothing_is_ordered(stage):
    code = Secret("282828282828282828")
    for flow in (
        stage.adapter.payments.qr_order("QR1", amount_fen=1),
        stage.adapter.payments.pay("PAY1", auth_code=code, amount_fen=1, terminal=TILL),
    ):
        with pytest.raises(ValidationError, match=r"bank\.field_missing"):
            stage.call("run", flow)


def test_news_of_a_payment_and_of_its_refund_is_verified_and_told_apart(stage):
    heard = []

    def merchant(request):
        notice = stage.call("receive", "bank", headers=request.headers, body=request.content)
        heard.append((notice.event.kind, notice.event.operation_no))
        answer = notice.acknowledgement
        return HttpAnswer(answer.status, answer.headers, answer.content)

    stage.sandbox.merchant = merchant
    counter = Counter(stage)
    counter.scan("PAY1")
    counter.refund("BACK1", order_id="PAY1", paid_fen=900, refund_fen=900)
    stage.sandbox.control.deliver_notifications()
    assert sorted(heard) == [(NewsKind.PAID, "PAY1"), (NewsKind.REFUNDED, "BACK1")]


def test_icbc_carries_no_payments_and_says_so_before_anything_is_sent(stage):
    station = stage.sandbox.world.station("bank")
    with station.store.transaction():
        told = station.emulator.icbc_settings(stage.sandbox.world.base_url("bank"))
    payments = BankAdapter(BankSettings(**{**told, "notify_url": NEWS}), Keys.default()).payments
    sent = stage.requests()
    for flow in (
        payments.qr_order("O", amount_fen=1),
        payments.pay("O", auth_code=Secret("28"), amount_fen=1, terminal=TILL),
        payments.query("O"),
        payments.cancel("O"),
        payments.close("O"),
        payments.refund("B", order_id="O", paid_fen=1, refund_fen=1),
        payments.query_refund("B"),
    ):
        with pytest.raises(UnsupportedOperation, match=r"platform\.unsupported"):
            stage.call("run", flow)
    assert stage.requests() == sent
