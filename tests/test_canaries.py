"""Canaries: no key, code, phone number, platform user or message body in any log, error, repr or ledger file.

Every verb is run, well and badly, with everything logged at DEBUG; then all that was said is searched.
"""

import io
import json
import logging
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from unicom_coupon_sdk import (
    AmountOff,
    BindRequest,
    ChallengeRequest,
    CouponClient,
    CouponError,
    CouponTemplate,
    Holder,
    IssueRequest,
    LoginProof,
    Method,
    Order,
    RedeemRequest,
    ReverseRequest,
    ScanProof,
)
from unicom_coupon_sdk.domain.model import Value

PHONE = "13987651234"
USER = "oCanaryUserOpenId00001"
LOGIN_CODE = "canary-login-code-0001"
DEVICE = "canary-device-fingerprint"


class Witness:
    """Collects all that is said."""

    def __init__(self):
        self.heard = io.StringIO()

    def tell(self, thing):
        if isinstance(thing, CouponError):
            for language in ("zh", "en"):
                print(thing.diagnostics(language), file=self.heard)
        if isinstance(thing, Value):
            print(thing.model_dump(), thing.model_dump_json(), file=self.heard)
        print(repr(thing), str(thing), f"{thing}", file=self.heard)
        cause = getattr(thing, "__cause__", None) or getattr(thing, "__context__", None)
        if cause is not None:
            self.tell(cause)

    def attempt(self, action):
        try:
            result = action()
        except Exception as error:
            self.tell(error)
            return None
        self.tell(result)
        return result


@pytest.fixture
def witness(caplog):
    caplog.set_level(logging.DEBUG)
    found = Witness()
    yield found
    found.heard.write(caplog.text)


def secrets_of(credentials):
    """Keys as they could be printed: whole short ones, and a line out of the middle of the long ones."""
    for name, value in credentials.items():
        if name.endswith("_key") or name == "app_secret":
            yield str(value)
        if "private" in name and str(value).startswith("/"):
            lines = Path(value).read_text(encoding="ascii").splitlines()
            yield lines[len(lines) // 2]


def act(client, sandbox, witness):
    now = client.clock.now()
    template = CouponTemplate(
        template_id="CANARY",
        name="金丝雀",
        benefit=AmountOff(off_fen=500),
        valid_from=now - timedelta(days=1),
        valid_until=now + timedelta(days=9),
        platforms={"wechatpay"},
    )
    batch = witness.attempt(lambda: client.issue(IssueRequest(idempotency_key="i", template=template, count=3)))
    holder = Holder(user=USER, phone=PHONE)
    for coupon in batch.coupons:
        witness.attempt(lambda c=coupon: client.bind(BindRequest(coupon=c.code, platform="wechatpay", holder=holder)))
    witness.attempt(
        lambda: client.bind(
            BindRequest(
                coupon=batch.coupons[0].code,
                platform="wechatpay",
                holder=Holder(user=USER + "x", phone=PHONE[:-1] + "5"),
            )
        )
    )
    order = Order(order_no="A1", amount_fen=1_000)

    def wish(coupon, key, proof):
        request = RedeemRequest(idempotency_key=key, platform="wechatpay", coupon=coupon.code, order=order, proof=proof)
        witness.tell(request)
        return witness.attempt(lambda: client.redeem(request))

    scan = lambda coupon: ScanProof(token=client.show(coupon.coupon_id))  # noqa: E731
    wish(batch.coupons[0], "bad-login", LoginProof(login_code=LOGIN_CODE, device_fingerprint=DEVICE))
    done = wish(batch.coupons[0], "good", scan(batch.coupons[0]))
    for kind in ("bad_signature", "half_body", "drop_after", "wrong_serial"):
        sandbox.control.add_fault("wechatpay", kind, times=9)
        wish(batch.coupons[1], f"fault-{kind}", scan(batch.coupons[1]))
        sandbox.control.clear_faults()
        witness.attempt(client.recover)
    sandbox.control.add_fault("wechatpay", "error", code="INVALID_REQUEST", times=9)
    wish(batch.coupons[2], "refused", scan(batch.coupons[2]))
    sandbox.control.clear_faults()
    witness.attempt(lambda: client.reverse(ReverseRequest(idempotency_key="b", redemption_id=done.redemption_id)))
    witness.attempt(
        lambda: client.challenge(
            ChallengeRequest(coupon=batch.coupons[2].code, platform="wechatpay", method=Method.BIOMETRIC, order=order)
        )
    )
    body = json.dumps({"id": "x", "resource": {"ciphertext": USER}}).encode()
    witness.attempt(lambda: client.receive("wechatpay", headers={"Wechatpay-Signature": "x"}, body=body))
    witness.attempt(lambda: client.receive("wechatpay", headers={}, body=body.decode()))
    witness.attempt(lambda: client.diagnose("wechatpay"))
    witness.tell(client.setting)
    return batch


def test_nothing_secret_is_ever_said(coupon_sandbox, witness, tmp_path, capfd):
    settings = coupon_sandbox.settings()
    settings = settings.replaced(ledger=settings.ledger.replaced(url=f"sqlite:///{tmp_path / 'ledger.db'}"))
    with CouponClient(settings, transport=coupon_sandbox.transport(), clock=coupon_sandbox.clock) as client:
        batch = act(client, coupon_sandbox, witness)
        codes = [coupon.code.reveal() for coupon in batch.coupons]
        tokens = [client.show(coupon.coupon_id).reveal() for coupon in batch.coupons]
        stored = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))
    said = witness.heard.getvalue() + "".join(capfd.readouterr())
    credentials = coupon_sandbox.credentials("wechatpay")
    canaries = [PHONE, USER, LOGIN_CODE, DEVICE, *codes, *tokens, *secrets_of(credentials)]
    assert len(canaries) > 10
    for canary in canaries:
        assert canary not in said
    for canary in (PHONE, USER, DEVICE, *codes):
        assert canary.encode() not in stored


def test_the_sandbox_says_nothing_secret_on_its_standard_error(tmp_path):
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    command = [sys.executable, "-c", "from unicom_coupon_sdk.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "sandbox", "up", "--dir", str(tmp_path), "--port-base", "0", "--platform", "wechatpay"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout.readline() == f"ready {tmp_path / 'sandbox.json'}\n"
    with CouponClient.from_config(tmp_path / "unicom-coupon.toml") as client:
        now = client.clock.now()
        template = CouponTemplate(
            template_id="CANARY",
            name="金丝雀",
            benefit=AmountOff(off_fen=500),
            valid_from=now - timedelta(days=1),
            valid_until=now + timedelta(days=9),
            platforms={"wechatpay"},
        )
        coupon = client.issue(IssueRequest(idempotency_key="i", template=template, count=1)).coupons[0]
        client.bind(BindRequest(coupon=coupon.code, platform="wechatpay", holder=Holder(user=USER, phone=PHONE)))
        request = RedeemRequest(
            idempotency_key="k",
            platform="wechatpay",
            coupon=coupon.code,
            order=Order(order_no="A1", amount_fen=1_000),
            proof=ScanProof(token=client.show(coupon.coupon_id)),
        )
        client.redeem(request)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out == ""
    credentials = json.loads((tmp_path / "sandbox.json").read_text(encoding="utf-8"))["wechatpay"]
    assert "/v3/marketing/busifavor/coupons/use" in err
    for canary in (PHONE, USER, coupon.code.reveal(), *secrets_of(credentials)):
        assert canary not in err
