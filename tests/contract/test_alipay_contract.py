from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.sharing import Receiver
from unicom_coupon_sdk.sandbox.contract import AdapterContract
from unicom_coupon_sdk.sandbox.stage import Traits


def paid_order(stage, amount_fen, user):
    paid = stage.sandbox.control.order("alipay", amount_fen=amount_fen, holder=user.reveal())
    return Order(order_no=paid["out_trade_no"], amount_fen=amount_fen, platform_order_no=paid["trade_no"])


class TestAlipay(AdapterContract):
    traits = Traits(
        platform="alipay",
        redeem_match="alipay.marketing.activity.ordervoucher.use",
        reverse_match="alipay.marketing.activity.ordervoucher.refund",
        refusal_code="ACTIVITY_NOT_PERMISSION",
        used_states=frozenset({"USED"}),
        pay_out_matches=("alipay.fund.trans.uni.transfer", "alipay.fund.trans.common.query"),
        share_matches=("alipay.trade.order.settle", "alipay.trade.order.settle.query"),
        receiver=Receiver(merchant_account="2088000000000011"),
        paid_order=paid_order,
        section={"mode": "certificate"},
    )
