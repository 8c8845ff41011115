from unicom_coupon_sdk.sandbox.contract import AdapterContract
from unicom_coupon_sdk.sandbox.stage import Traits


class TestWechatPay(AdapterContract):
    traits = Traits(
        platform="wechatpay",
        redeem_match="/v3/marketing/busifavor/coupons/use",
        reverse_match="/v3/marketing/busifavor/coupons/return",
        refusal_code="INVALID_REQUEST",
        used_states=frozenset({"USED"}),
    )
