from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.domain.sharing import Receiver
from unicom_coupon_sdk.sandbox.contract import AdapterContract
from unicom_coupon_sdk.sandbox.stage import Traits


def paid_order(stage, amount_fen, user):
    paid = stage.sandbox.control.order("wechatpay", amount_fen=amount_fen, holder=user.reveal(), profit_sharing=True)
    return Order(order_no=paid["out_trade_no"], amount_fen=amount_fen, platform_order_no=paid["transaction_id"])


def take_money(stage, redemption):
    stage.sandbox.control.deliver("wechatpay", kind="transfer", out_bill_no=redemption.redemption_id)


class TestWechatPay(AdapterContract):
    traits = Traits(
        platform="wechatpay",
        redeem_match="/v3/marketing/busifavor/coupons/use",
        reverse_match="/v3/marketing/busifavor/coupons/return",
        refusal_code="INVALID_REQUEST",
        used_states=frozenset({"USED"}),
        pay_out_matches=("/v3/fund-app/mch-transfer/transfer-bills",),
        share_matches=("/v3/profitsharing/orders",),
        receiver=Receiver(merchant_account="1900000109", name=Secret("联通服务商")),
        paid_order=paid_order,
        take_money=take_money,
    )
