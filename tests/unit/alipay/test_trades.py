"""Payments at the till: what is asked, and what the answers say."""

import pytest
from tests.unit.alipay.peer import CODE, Peer, adapter, ok, refused, run

from unicom_coupon_adapters.alipay import trades
from unicom_coupon_adapters.alipay.trades import TradeStatus, trade_of
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import PlatformUnknown, ValidationError

ORDER = Order(order_no="ORD1", amount_fen=9900, terminal_no="T1")
PAYMENT_CODE = Secret("281234567890123456")


def send(call, node):
    peer = Peer(**{call.method: node})
    return run(peer, adapter().gateway.send(call)), peer.calls[0][1]


def test_a_payment_takes_a_payment_code_and_the_orders_amount():
    node, content = send(
        trades.pay(ORDER, payment_code=PAYMENT_CODE, subject="A/B=C&D"),
        ok(out_trade_no="ORD1", trade_no="2026", total_amount="99.00", gmt_payment="2026-01-15 10:20:40"),
    )
    assert (content["scene"], content["total_amount"], content["subject"]) == ("bar_code", "99.00", "A B C D")
    trade = trade_of(node)
    assert (trade.status, trade.total_fen, trade.trade_no) == (TradeStatus.SUCCESS, 9900, "2026")


def test_a_face_text_has_its_own_scene():
    call = trades.pay(ORDER, payment_code=Secret("fp" + "a1" * 16 + "b"), subject="x")
    assert call.content["scene"] == "security_code"


@pytest.mark.parametrize("text", [CODE.reveal(), "134567890123456789", "25"])
def test_a_coupon_code_is_never_sent_as_a_payment_code(text):
    with pytest.raises(ValidationError) as caught:
        trades.pay(ORDER, payment_code=Secret(text), subject="x")
    assert caught.value.code == "alipay.not_a_payment_code"


@pytest.mark.parametrize("node", [refused("", "10003"), refused("ACQ.SYSTEM_ERROR"), refused("x", "20000")])
def test_a_payment_that_waits_or_is_unknown_is_open(node):
    with pytest.raises(PlatformUnknown):
        send(trades.pay(ORDER, payment_code=PAYMENT_CODE, subject="x"), node)


def test_a_precreated_order_gives_a_qr_code():
    node, content = send(trades.precreate(ORDER, subject="x"), ok(out_trade_no="ORD1", qr_code="https://qr.invalid/1"))
    assert node.text("qr_code") == "https://qr.invalid/1"
    assert "auth_code" not in content


@pytest.mark.parametrize(("told", "status"), [(s.value, s) for s in TradeStatus] + [("NEW_STATE", None)])
def test_a_query_tells_the_status(told, status):
    node, _ = send(trades.query(out_trade_no="ORD1"), ok(trade_status=told, out_trade_no="ORD1"))
    assert trade_of(node).status is status


def test_a_refund_and_its_query_go_by_their_own_number():
    _, content = send(
        trades.refund(request_no="REF1", amount_fen=100, out_trade_no="ORD1"), ok(fund_change="N", out_trade_no="ORD1")
    )
    assert (content["out_request_no"], content["refund_amount"]) == ("REF1", "1.00")
    node, _ = send(trades.query_refund(request_no="REF1", trade_no="2026"), ok(refund_status="REFUND_SUCCESS"))
    assert node.text("refund_status") == "REFUND_SUCCESS"


def test_an_order_must_be_named_and_have_a_price_and_a_title():
    for make in (
        trades.query,
        lambda: trades.refund(request_no="R", amount_fen=1),
        lambda: trades.precreate(Order(order_no="O", amount_fen=0), subject="x"),
        lambda: trades.precreate(ORDER, subject="/=&"),
    ):
        with pytest.raises(ValidationError):
            make()


def test_cancel_names_the_order_alone():
    assert trades.cancel("ORD1").content == {"out_trade_no": "ORD1"}
