from unicom_coupon_sdk.sandbox.contract import AdapterContract
from unicom_coupon_sdk.sandbox.stage import Traits


class TestUnionPayPos(AdapterContract):
    traits = Traits(
        platform="unionpay_pos",
        redeem_match="0200",
        reverse_match="0200",
        refusal_code="58",
        used_states=frozenset({"USED"}),
    )
