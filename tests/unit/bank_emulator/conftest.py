from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from unicom_coupon_adapters.bank import messages
from unicom_coupon_adapters.bank.adapter import BankAdapter
from unicom_coupon_adapters.bank.envelopes import Reply
from unicom_coupon_adapters.bank.settings import BankSettings
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.sensitive import OneTimeCode
from unicom_coupon_sdk.platform.effects import HttpCall
from unicom_coupon_sdk.platform.wire import TransportRules
from unicom_coupon_sdk.sandbox.inprocess import Sandbox

MORNING = datetime(2026, 5, 20, 1, 0, tzinfo=UTC)  # nine in Beijing
MOBILE = "13800001234"


@dataclass
class Bench:
    """A sandbox whose real clock stands still, and raw calls to its bank."""

    sandbox: Sandbox
    adapter: BankAdapter
    count: int = 0

    def number(self):
        self.count += 1
        return f"N{self.count}"

    def coupon(self, *, holder=MOBILE, face=5000, **wish):
        return self.sandbox.control.issue_coupons("bank", face_fen=face, holder=holder, **wish)[0]["code"]

    def call(self, api, biz=None, *, sms=None, sealed=None, changed=None, raw=False):
        """One call as the envelope makes it; ``changed`` edits the finished request."""
        who = {"merId": self.adapter.settings.mer_id, "userId": self.adapter.settings.user_id}
        told = {**who, **({"reqNo": self.number()} if "reqNo" in api.required else {}), **(biz or {})}
        call = api.call(told, sealed=sealed if sms is None else {"encryptSms": {"smsCode": OneTimeCode(sms)}})
        request = self.adapter.gateway.envelope.build(call, now=self.sandbox.clock.now(), entropy=bytes(range(32)))
        if changed is not None:
            request = changed(request)
        answer = self.sandbox.transport().send(HttpCall(request, TransportRules(frozenset({request.host}))))
        return answer if raw else self.adapter.gateway.envelope.read_reply(answer.content)

    def apply(self, code, *, amount="5000", **more) -> Reply:
        return self.call(messages.SMS_APPLY, {"couponCode": code, "txnAmt": amount, "scene": "REDEEM", **more})

    def redeem(self, code, token, sms, *, amount="5000", order=None, **more) -> Reply:
        biz = {"couponCode": code, "txnAmt": amount, "smsToken": token, "orderId": order or self.number(), **more}
        return self.call(messages.REDEEM, biz, sms=sms)

    def sent(self, mobile=MOBILE):
        return self.sandbox.control.messages(to=mobile)[-1]["code"]

    def redeemed(self, code, *, amount="5000", order=None, mobile=MOBILE):
        token = self.apply(code, amount=amount).text("smsToken")
        return self.redeem(code, token, self.sent(mobile), amount=amount, order=order)

    def advance(self, seconds):
        self.sandbox.control.advance(seconds)

    def state(self, code):
        return self.sandbox.control.coupon("bank", code)["state"]


def opened(face):
    with Sandbox(seed=7, platforms=["bank"], real=lambda: MORNING) as sandbox:
        station = sandbox.world.station("bank")
        base_url = sandbox.world.base_url("bank")
        emulator = station.emulator
        with station.store.transaction():
            told = emulator.client_settings(base_url) if face == "cmb" else emulator.icbc_settings(base_url)
        yield Bench(sandbox, BankAdapter(BankSettings(**told), Keys.default()))


@pytest.fixture(params=["cmb", "icbc"])
def bench(request):
    """Both faces of one bank."""
    yield from opened(request.param)


@pytest.fixture
def cmb():
    """The CMB face, which alone has payments."""
    yield from opened("cmb")


@pytest.fixture
def icbc():
    yield from opened("icbc")
