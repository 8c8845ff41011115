from unicom_coupon_sdk.sandbox.contract import AdapterContract
from unicom_coupon_sdk.sandbox.stage import Traits


class TestAlipay(AdapterContract):
    traits = Traits(
        platform="alipay",
        redeem_match="alipay.marketing.activity.ordervoucher.use",
        reverse_match="alipay.marketing.activity.ordervoucher.refund",
        refusal_code="ACTIVITY_NOT_PERMISSION",
        used_states=frozenset({"USED"}),
    )
