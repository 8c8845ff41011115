"""A WeChat Pay that follows a script: checks what it is asked, and answers with real signatures."""

import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.driving import START, Driver

from unicom_coupon_adapters.wechatpay import PLUGIN, WechatPaySettings
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey
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
from unicom_coupon_sdk.domain.times import rfc3339
from unicom_coupon_sdk.errors import PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.platform.effects import Local
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.runtime.saved import save

KEYS = json.loads((Path(__file__).parents[2] / "vectors" / "wechatpay.json").read_text("utf-8"))["keys"]
PUBLIC_KEY_ID = KEYS["platform"]["public_key_id"]
CERTIFICATE_SERIAL = KEYS["platform"]["certificate_serial_no"]
APIV3_KEY = KEYS["apiv3_key"]
OPENID = "oXsd3434454567676"
CODE = "UC9ABCDEFGHJK"
REDEMPTION_ID = "01JV0000000000000000000001"
REVERSAL_ID = "01JV0000000000000000000002"
LOST = PlatformUnknown("platform.no_answer")
NOT_REACHED = PlatformUnavailable("platform.not_reached")
CERTIFICATE_MODE = {
    "mode": "certificate",
    "platform_public_key": None,
    "platform_public_key_id": None,
    "platform_certificates": (Secret(KEYS["platform"]["certificate_pem"]),),
}


class World:
    """Scripted platform, adapter and driver. ``script`` holds answers, errors, or functions of the request."""

    keys = KEYS
    openid = OPENID
    code = CODE
    redemption_id = REDEMPTION_ID
    reversal_id = REVERSAL_ID
    public_key_id = PUBLIC_KEY_ID
    certificate_serial = CERTIFICATE_SERIAL
    certificate_mode = CERTIFICATE_MODE
    lost = LOST
    not_reached = NOT_REACHED

    def __init__(self):
        self.script = []
        self.requests = []
        self.driver = Driver(self._perform)
        self.platform_key = RsaPrivateKey.load(KEYS["platform"]["private_key_pem"].encode(), field="t")
        self.merchant_key = RsaPrivateKey.load(KEYS["merchant"]["private_key_pem"].encode(), field="t")
        self.adapter = self.build()

    def settings(self, **changes):
        values = {
            "mchid": "1900009191",
            "appid": "wx1234567889999",
            "merchant_serial": KEYS["merchant"]["serial_no"],
            "merchant_private_key": Secret(KEYS["merchant"]["private_key_pem"]),
            "merchant_cert": Secret(KEYS["merchant"]["certificate_pem"]),
            "apiv3_keys": (Secret(APIV3_KEY),),
            "apiv2_key": Secret(KEYS["apiv2_key"]),
            "app_secret": Secret("mini-program-secret"),
            "platform_public_key_id": PUBLIC_KEY_ID,
            "platform_public_key": Secret(KEYS["platform"]["public_key_pem"]),
        }
        return WechatPaySettings(**{**values, **changes})

    def build(self, **changes):
        self.adapter = PLUGIN.build(self.settings(**changes), Keys())
        return self.adapter

    def run(self, flow, *answers):
        """Run ``flow``; the platform gives ``answers`` in turn, and every one of them must be asked for."""
        self.script = list(answers)
        try:
            return self.driver.run(flow)
        finally:
            assert not self.script, "answers were left over"

    def _perform(self, effect):
        if isinstance(effect, Local):
            return effect.work()
        request = effect.request
        assert request.host in effect.rules.allowed_hosts
        self.requests.append(request)
        answer = self.script.pop(0)
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, Exception):
            raise answer
        return save(answer, effect)

    def body(self, position=-1):
        return json.loads(self.requests[position].content)

    # --- answers ---

    def sign(self, content, *, serial=PUBLIC_KEY_ID, skew_s=0, key=None):
        stamp = str(int((self.driver.now + timedelta(seconds=skew_s)).timestamp()))
        nonce = "c5ac7061fccab6bf3e254dcf98995b8c"
        signature = (key or self.platform_key).sign_sha256(f"{stamp}\n{nonce}\n".encode() + content + b"\n")
        return (
            ("Request-ID", "08E68E97CC0610DF0618AC86BCA80120082880CF05-0"),
            ("Wechatpay-Nonce", nonce),
            ("Wechatpay-Serial", serial),
            ("Wechatpay-Signature", base64.b64encode(signature).decode()),
            ("Wechatpay-Signature-Type", "WECHATPAY2-SHA256-RSA2048"),
            ("Wechatpay-Timestamp", stamp),
        )

    def ok(self, data=None, *, status=200, **how):
        """A success, signed when it is asked for, so that its time is right."""

        def answer(_):
            content = b"" if data is None else json.dumps(data, ensure_ascii=False).encode()
            return HttpAnswer(status, self.sign(content, **how), content)

        return answer

    def forged(self, data, **headers):
        """A success whose signature headers were changed."""

        def answer(request):
            good = self.ok(data)(request)
            kept = tuple((name, headers.get(name.replace("-", "_"), value)) for name, value in good.headers)
            return HttpAnswer(200, tuple(pair for pair in kept if pair[1] is not None), good.content)

        return answer

    def error(self, status, code, *, tail="268435461", message="参数错误", headers=()):
        content = json.dumps({"code": code, "message": message}).encode()
        return HttpAnswer(status, (("Request-ID", f"08E68E97CC0610DF-{tail}"), *headers), content)

    def weixin(self, **data):
        return HttpAnswer(200, (), json.dumps(data).encode())

    def notification(self, event_type, plain, *, original_type="coupon", key=APIV3_KEY, **how):
        """Headers and body of a callback."""
        nonce, aad = "d215b0511e9c", original_type
        sealed = AESGCM(key.encode()).encrypt(nonce.encode(), json.dumps(plain).encode(), aad.encode())
        content = json.dumps(
            {
                "id": "8b33f79f-8869-5ae5-b41b-3c0b59f957d0",
                "create_time": rfc3339(self.driver.now),
                "resource_type": "encrypt-resource",
                "event_type": event_type,
                "summary": "通知",
                "resource": {
                    "original_type": original_type,
                    "algorithm": "AEAD_AES_256_GCM",
                    "ciphertext": base64.b64encode(sealed).decode(),
                    "associated_data": aad,
                    "nonce": nonce,
                },
            }
        ).encode()
        return self.sign(content, **how), content

    def certificates(self, serial=CERTIFICATE_SERIAL, **how):
        """The answer of /v3/certificates with our platform certificate."""
        nonce = "4de73afd28b6"
        sealed = AESGCM(APIV3_KEY.encode()).encrypt(
            nonce.encode(), KEYS["platform"]["certificate_pem"].encode(), b"certificate"
        )
        entry = {
            "serial_no": serial,
            "effective_time": "2026-11-22T22:46:09+08:00",
            "expire_time": "2036-11-19T22:46:09+08:00",
            "encrypt_certificate": {
                "algorithm": "AEAD_AES_256_GCM",
                "nonce": nonce,
                "associated_data": "certificate",
                "ciphertext": base64.b64encode(sealed).decode(),
            },
        }
        return self.ok({"data": [entry]}, **{"serial": CERTIFICATE_SERIAL, **how})

    # --- things of the domain ---

    def template(self, **changes):
        values = {
            "template_id": "summer",
            "name": "联通满100减20券",
            "benefit": AmountOff(off_fen=2000, min_spend_fen=10000),
            "valid_from": START - timedelta(days=1),
            "valid_until": START + timedelta(days=30),
            "platforms": frozenset({"wechatpay"}),
        }
        return CouponTemplate(**{**values, **changes})

    def listing(self, **refs):
        return Listing("summer", "wechatpay", refs or {"stock_id": "100088"})

    def binding(self, user=OPENID):
        return Binding("c1", "wechatpay", PlatformUser(user) if user else None, {"stock_id": "100088"})

    def held(self, *, order=None, listing=None, user=OPENID, **changes):
        redemption = Redemption(
            redemption_id=REDEMPTION_ID,
            idempotency_key="k1",
            coupon_id="c1",
            template_id="summer",
            merchant_id="m1",
            platform="wechatpay",
            order=order or Order(order_no="o1", amount_fen=12000),
            value_fen=2000,
            state=OperationState.HELD,
            held_at=START,
            deadline=START + timedelta(seconds=60),
        )
        return HeldRedemption(
            redemption, CouponCode(CODE), self.template(**changes), listing or self.listing(), self.binding(user)
        )

    def held_reversal(self, **about):
        reversal = Reversal(
            reversal_id=REVERSAL_ID,
            idempotency_key="k2",
            redemption_id=REDEMPTION_ID,
            coupon_id="c1",
            platform="wechatpay",
            cause=ReversalCause.CUSTOMER_REQUEST,
            value_fen=2000,
            state=OperationState.HELD,
            held_at=START,
            deadline=START + timedelta(seconds=60),
        )
        return HeldReversal(reversal, self.held(**about))

    def coupon(self, state="SENDED", **fields):
        return {"coupon_code": CODE, "stock_id": "100088", "coupon_state": state, **fields}

    used = {"stock_id": "100088", "openid": OPENID, "wechatpay_use_time": "2026-05-20T13:29:36+08:00"}  # noqa: RUF012


@pytest.fixture
def world():
    return World()
