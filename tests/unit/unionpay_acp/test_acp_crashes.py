"""A process that dies before or after any step of a payment, undo or refund: whoever kept the instruction finds out.

Each flow is driven effect by effect and stopped; then another process, which has nothing but the instruction, asks.
"""

from datetime import timedelta

import pytest

from unicom_coupon_adapters.unionpay_pos.acp.credentials import AcpKeys
from unicom_coupon_adapters.unionpay_pos.acp.merchant import AcpMerchant
from unicom_coupon_adapters.unionpay_pos.acp.payment import PaymentState
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.errors import PlatformUnknown
from unicom_coupon_sdk.platform.effects import HttpCall, Now


def steps_until(flow, counter, *, stop, after):
    """Perform effects, and die at number ``stop``: before it, or ``after`` it was performed. Whether it got there."""
    transport = counter.sandbox.transport()
    effect = flow.send(None)
    for number in range(100):
        if number == stop and not after:
            flow.close()
            return True
        match effect:
            case Now():
                result = counter.now
            case HttpCall():
                result = transport.send(effect)
        if number == stop:
            flow.close()
            return True
        try:
            effect = flow.send(result)
        except StopIteration:
            return False
    raise AssertionError("the flow does not end")


def another_process(counter):
    settings = counter.acp.settings
    return AcpMerchant(settings, AcpKeys.load(settings, Keys()))


def found_out(counter, instruction):
    """DONE, FAILED, or ``None`` where the gateway knows nothing and the bill decides."""
    try:
        return counter.run(another_process(counter).payments.outcome(instruction)).state
    except PlatformUnknown:
        return None


def cleared(counter, instruction):
    """The row of the bill, once it is there."""
    day = counter.now.date()
    counter.sandbox.control.set_clock((counter.now + timedelta(days=1)).replace(hour=2, minute=0))
    return counter.run(another_process(counter).files.fetch(day)).find(instruction)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("stop", range(3))
def test_a_payment_cut_off_anywhere_is_done_or_not_and_never_twice(counter, stop, after):
    coupon = counter.coupon(5_000)
    counter.paid(1, holder="bob")  # so that there is a bill
    sale = counter.instruction()
    flow = counter.payments.scan(sale, qr_no=counter.phone())
    arrived = steps_until(flow, counter, stop=stop, after=after)
    was_sent = not arrived or (stop, after) >= (1, True)
    assert found_out(counter, sale) is (PaymentState.DONE if was_sent else None)
    assert counter.state(coupon) == ("USED" if was_sent else "USABLE")
    row = cleared(counter, sale)
    assert (row is not None) == was_sent
    assert row is None or row.amount_fen == sale.amount_fen


@pytest.mark.parametrize("flow_name", ["undo", "refund"])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("stop", range(4))
def test_money_given_back_is_given_back_once_wherever_it_was_cut_off(counter, flow_name, stop, after):
    _, payment = counter.paid(1_000)
    back = counter.instruction(1_000)
    flow = getattr(counter.payments, flow_name)(back, original=payment)
    steps_until(flow, counter, stop=stop, after=after)
    state = found_out(counter, back)
    again = counter.instruction(1_000)
    if state is None:  # it never arrived, so it is given back now
        counter.run(getattr(another_process(counter).payments, flow_name)(again, original=payment))
        state = found_out(counter, again)
    assert state is PaymentState.DONE
    day = counter.now.date()
    cleared(counter, back)
    rows = counter.run(another_process(counter).files.fetch(day)).rows
    assert sum(row.settle_fen for row in rows) == 0
    assert [row.order_id for row in rows if row.kind != "01"] in ([back.order_id], [again.order_id])
