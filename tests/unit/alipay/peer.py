"""Alipay's side for tests: checks our requests as received, and answers what a test scripts, signed.

Its canonical string is written here again, from the sheet, so that a mistake in the adapter's cannot cancel out.
"""

import base64
import json
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from tests.driving import START, Driver

from unicom_coupon_adapters.alipay import AlipayAdapter, AlipaySettings
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.coupon import AmountOff, CouponTemplate
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.redemption import (
    Binding,
    HeldRedemption,
    HeldReversal,
    Listing,
    Redemption,
    Reversal,
)
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.domain.state import OperationState, ReversalCause
from unicom_coupon_sdk.errors import PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.platform.wire import HttpAnswer

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "alipay.json").read_text("utf-8"))
KEYS = VECTORS["keys"]
APP_ID = "2021000000000001"
ACTIVITY = "2016042700826004508401111111"
CODE = CouponCode("CU_8A7F-11+22=|")
USER = PlatformUser("2088000000000002")
FAMILY = "alipay.marketing.activity.ordervoucher"
QUERY = "alipay.marketing.activity.user.queryvoucher"

_PRIVATE = serialization.load_pem_private_key(KEYS["alipay_private_pkcs8_pem"].encode(), None)
_APP = serialization.load_pem_public_key(KEYS["app_public_pem"].encode())


def alipay_sign(text):
    return base64.b64encode(_PRIVATE.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


def check_app_signature(text, sign):
    _APP.verify(base64.b64decode(sign, validate=True), text.encode(), padding.PKCS1v15(), hashes.SHA256())


def settings(**changes):
    facts = {
        "app_id": APP_ID,
        "app_private_key": Secret(KEYS["app_private_pkcs1_pem"]),
        "alipay_public_keys": (Secret(KEYS["alipay_public_pem"]),),
        "aes_key": Secret(KEYS["aes_key_base64"]),
        "gateway_url": "https://openapi.alipay.invalid/gateway.do",
        "v3_url": "https://openapi.alipay.invalid",
    }
    return AlipaySettings(**{**facts, **changes})


def adapter(**changes):
    return AlipayAdapter(settings(**changes), Keys())


def envelope(method, node, *, error=False, extra=""):
    text = node if isinstance(node, str) else json.dumps(node, ensure_ascii=False, separators=(",", ":"))
    name = "error_response" if error else method.replace(".", "_") + "_response"
    return f'{{"{name}":{text},{extra}"sign":"{alipay_sign(text)}"}}'.encode()


def ok(**members):
    return {"code": "10000", "msg": "Success", **members}


def refused(sub_code, code="40004"):
    return {"code": code, "msg": "Business Failed", "sub_code": sub_code, "sub_msg": "业务失败"}


class Peer:
    """Answers calls by method. A script is a list of nodes, raw bytes, exceptions or functions; its last one stays."""

    def __init__(self, **scripts):
        self.scripts = {}
        self.calls = []
        self.clock = None
        for name, script in scripts.items():
            self.script(name, script)

    def script(self, name, script):
        method = {"query_voucher": QUERY}.get(name, name if "." in name else f"{FAMILY}.{name}")
        self.scripts[method] = list(script) if isinstance(script, list) else [script]

    def __call__(self, effect):
        request = effect.request
        assert request.host in effect.rules.allowed_hosts
        query = dict(parse_qsl(urlsplit(request.url).query, keep_blank_values=True, strict_parsing=True))
        form = dict(parse_qsl(request.content.decode("ascii"), keep_blank_values=True)) if request.content else {}
        assert not query.keys() & form.keys()
        parameters = {**query, **form}
        pairs = sorted((name, value) for name, value in parameters.items() if name != "sign" and value)
        check_app_signature("&".join(f"{name}={value}" for name, value in pairs), parameters["sign"])
        method = parameters["method"]
        in_clear = "biz_content" in parameters and "encrypt_type" not in parameters
        content = json.loads(parameters["biz_content"]) if in_clear else {}
        self.calls.append((method, content, parameters))
        script = self.scripts[method]
        step = script.pop(0) if len(script) > 1 else script[0]
        if callable(step) and not isinstance(step, type):
            step = step(content, parameters)
        if isinstance(step, Exception):
            raise step
        body = step if isinstance(step, bytes) else envelope(method, step)
        headers = (("Content-Type", "text/html;charset=utf-8"), ("trace_id", "0b46def5"))
        return HttpAnswer(200, headers, body)

    def methods(self):
        return [method.removeprefix(f"{FAMILY}.") for method, _, _ in self.calls]


def run(peer, flow, *, now=START):
    driver = Driver(peer, now=now)
    return driver.run(flow)


def lost():
    return PlatformUnknown("platform.no_answer", platform="alipay")


def unreached():
    return PlatformUnavailable("platform.not_reached", platform="alipay")


def template(**changes):
    facts = {
        "template_id": "T1",
        "name": "联通50元券",
        "benefit": AmountOff(off_fen=5000, min_spend_fen=9900),
        "valid_from": START - timedelta(days=1),
        "valid_until": START + timedelta(days=30),
        "platforms": frozenset({"alipay"}),
    }
    return CouponTemplate(**{**facts, **changes})


LISTING = Listing("T1", "alipay", {"activity_id": ACTIVITY})


def held(**changes):
    facts = {
        "redemption_id": "RDM20260115000001",
        "idempotency_key": "k1",
        "coupon_id": "C1",
        "template_id": "T1",
        "merchant_id": "m1",
        "platform": "alipay",
        "order": Order(order_no="ORD1", amount_fen=9900),
        "value_fen": 5000,
        "state": OperationState.HELD,
        "held_at": START,
        "deadline": START + timedelta(seconds=60),
    }
    return HeldRedemption(
        redemption=Redemption(**{**facts, **changes}),
        code=CODE,
        template=template(),
        listing=LISTING,
        binding=Binding("C1", "alipay", USER, {"voucher_id": "V1"}),
    )


def held_reversal(**changes):
    reversal = Reversal(
        reversal_id="REV1",
        idempotency_key="k2",
        redemption_id="RDM20260115000001",
        coupon_id="C1",
        platform="alipay",
        cause=ReversalCause.CUSTOMER_REQUEST,
        value_fen=5000,
        state=OperationState.HELD,
        held_at=START + timedelta(hours=1),
        deadline=START + timedelta(hours=1, seconds=60),
    )
    return HeldReversal(reversal=reversal, redeemed=held(state=OperationState.DONE, **changes))


def voucher(status, *, used=None, code=CODE):
    base = {"voucher_code": code.reveal(), "voucher_status": status, "voucher_id": "V1"}
    if used is not None:
        base["voucher_used_times"] = used
    return ok(activity_id=ACTIVITY, user_voucher_base_info=base)
