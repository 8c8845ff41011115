"""A client that knows only the bank sheet: the standard library and PyPI ``gmalg``, over a real socket.

It shares nothing with the adapter or the emulator, so a mistake they might share shows here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from unicom_coupon_adapters.bank.emulator import BankEmulator
from unicom_coupon_sdk.sandbox import SandboxServer

pytestmark = pytest.mark.clients
gmalg = pytest.importorskip("gmalg")
USER_ID = b"1234567812345678"
MOBILE = "13800001234"


def integer(raw: bytes) -> bytes:
    body = raw.lstrip(b"\0") or b"\0"
    body = b"\0" + body if body[0] & 0x80 else body
    return bytes([2, len(body)]) + body


def sequence(*parts: bytes) -> bytes:
    body = b"".join(parts)
    return b"\x30" + (bytes([len(body)]) if len(body) < 128 else bytes([0x81, len(body)])) + body


def numbers(der: bytes) -> tuple[bytes, bytes]:
    first = der[4 : 4 + der[3]]
    second = der[6 + der[3] :]
    return first.lstrip(b"\0").rjust(32, b"\0"), second.lstrip(b"\0").rjust(32, b"\0")


class BankClient:
    """Sections 1.2 to 1.6 and 3 of the sheet, and nothing else."""

    def __init__(self, section: dict[str, Any]) -> None:
        self.section = section
        secret = bytes.fromhex(section["merchant_private_key_hex"])
        self.signer = gmalg.SM2(secret, uid=USER_ID, pk=gmalg.SM2().generate_pk(secret))
        pem = Path(section["bank_public_key_file"]).read_text()
        point = base64.b64decode("".join(pem.split("-----")[2].split()))[-65:]
        self.bank = gmalg.SM2(uid=USER_ID, pk=point)

    def sign(self, params: dict[str, str]) -> str:
        text = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "sign")
        r, s = self.signer.sign(text.encode())
        return base64.b64encode(sequence(integer(r), integer(s))).decode()

    def verify(self, params: dict[str, str]) -> None:
        text = "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "sign")
        assert self.bank.verify(text.encode(), *numbers(base64.b64decode(params["sign"]))), "the bank's signature"

    def seal(self, value: dict[str, str]) -> tuple[str, str]:
        key, plain = secrets.token_bytes(16), json.dumps(value).encode()
        pad = 16 - len(plain) % 16
        plain += bytes([pad]) * pad
        sm4, block, out = gmalg.SM4(key), bytes(16), b""
        for start in range(0, len(plain), 16):
            block = sm4.encrypt(bytes(a ^ b for a, b in zip(plain[start : start + 16], block, strict=True)))
            out += block
        raw = self.bank.encrypt(key)[1:]  # 04, x, y, C3, C2
        x, y, c3, c2 = raw[:32], raw[32:64], raw[64:96], raw[96:]
        envelope = sequence(integer(x), integer(y), b"\x04\x20" + c3, b"\x04\x10" + c2)
        return base64.b64encode(out).decode(), base64.b64encode(envelope).decode()

    def call(self, path: str, biz: dict[str, str], **sealed: dict[str, str]) -> dict[str, Any]:
        biz = {"merId": self.section["mer_id"], "userId": self.section["user_id"], **biz}
        biz.setdefault("reqNo", secrets.token_hex(12))
        params = {"version": "0.0.1", "encoding": "UTF-8", "signMethod": "02"}
        for name, value in sealed.items():  # one at most: each has a key of its own here
            biz[name], params["encryptKey"] = self.seal(value)
        params["biz_content"] = json.dumps(biz, ensure_ascii=False)
        params["sign"] = self.sign(params)
        stamp = str(int(time.time()))
        text = f"appid={self.section['app_id']}&secret={self.section['app_secret']}&sign={params['sign']}&timestamp={stamp}"
        headers = {
            "appid": self.section["app_id"],
            "timestamp": stamp,
            "apisign": hashlib.md5(text.encode()).hexdigest(),
        }
        request = urllib.request.Request(
            f"{self.section['base_url']}/polypay/v1.0/{path}",
            json.dumps(params).encode(),
            {**headers, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            told = json.loads(answer.read())
        self.verify(told)
        inner = json.loads(told.get("biz_content", "{}"))
        return {
            **inner,
            "returnCode": told["returnCode"],
            "respCode": told.get("respCode"),
            "errCode": told.get("errCode"),
        }


@pytest.fixture(scope="module")
def server():
    with SandboxServer(emulators={"bank": BankEmulator}) as running:
        yield running


@pytest.fixture
def sandbox(server):
    server.control.reset()
    return server


@pytest.fixture
def client(sandbox):
    return BankClient(sandbox.credentials["bank"])


def coupon(sandbox, **wish):
    return sandbox.control.issue_coupons("bank", **{"count": 1, "face_fen": 5000, "holder": MOBILE, **wish})[0]["code"]


def apply(client, code, amount="5000"):
    return client.call("coupon/smsapply", {"couponCode": code, "txnAmt": amount, "scene": "REDEEM"})


def code_sent(sandbox):
    return sandbox.control.messages(to=MOBILE)[-1]["code"]


def redeem(client, code, token, sms, *, order="ORDER1", amount="5000", number="REQ1"):
    biz = {"reqNo": number, "orderId": order, "couponCode": code, "txnAmt": amount, "smsToken": token}
    return client.call("coupon/redeem", biz, encryptSms={"smsCode": sms})


def test_a_coupon_is_checked_redeemed_once_queried_and_reversed(client, sandbox):
    code = coupon(sandbox)
    seen = client.call("coupon/verify", {"couponCode": code})
    assert (seen["couponState"], seen["balanceAmt"], seen["needSms"], seen["mobileMask"]) == (
        "A",
        "5000",
        "Y",
        "138****1234",
    )
    applied = apply(client, code)
    assert (applied["resendAfter"], applied["attemptsLeft"]) == (60, 5)
    assert client.call("coupon/verify", {"couponCode": code})["couponState"] == "L"
    done = redeem(client, code, applied["smsToken"], code_sent(sandbox))
    assert (done["respCode"], done["tradeState"], done["couponState"]) == ("SUCCESS", "S", "R")
    again = redeem(client, code, applied["smsToken"], "999999")
    assert (again["cmbOrderId"], again["replay"]) == (done["cmbOrderId"], "Y")
    assert client.call("coupon/query", {"orderId": "ORDER1"})["tradeState"] == "S"
    other = redeem(client, code, applied["smsToken"], "999999", order="ORDER2", number="REQ2")
    assert other["errCode"] == "COUPON_USED"


def test_a_wrong_code_costs_an_attempt_and_a_plain_one_is_not_taken(client, sandbox):
    code = coupon(sandbox)
    token = apply(client, code)["smsToken"]
    wrong = redeem(client, code, token, "abcdef")
    assert (wrong["respCode"], wrong["errCode"], wrong["attemptsLeft"]) == ("FAIL", "SMS_WRONG", 4)
    plain = {"orderId": "O", "couponCode": code, "txnAmt": "5000", "smsToken": token, "smsCode": code_sent(sandbox)}
    refused = client.call("coupon/redeem", plain)
    assert (refused["returnCode"], refused["errCode"]) == ("FAIL", "FIELD_NOT_ENCRYPTED")
    assert redeem(client, code, token, code_sent(sandbox))["tradeState"] == "S"


def test_the_same_number_with_another_request_is_a_duplicate(client, sandbox):
    code = coupon(sandbox)
    token = apply(client, code)["smsToken"]
    redeem(client, code, token, code_sent(sandbox))
    assert redeem(client, code, token, "1", amount="4999")["errCode"] == "ORDERID_DUPLICATION"


def test_a_client_with_another_secret_or_key_is_refused(client, sandbox):
    code = coupon(sandbox)
    client.section = {**client.section, "app_secret": "other"}
    assert client.call("coupon/verify", {"couponCode": code})["errCode"] == "APISIGN_ERROR"


def test_bank_codes_of_unknown_and_foreign_coupons(client, sandbox):
    assert client.call("coupon/verify", {"couponCode": "62200000000000000000"})["errCode"] == "COUPON_NOT_EXIST"
    assert apply(client, coupon(sandbox, bank="other"))["errCode"] == "COUPON_BANK_MISMATCH"
    assert apply(client, coupon(sandbox), amount="5001")["errCode"] == "AMOUNT_OVER_BALANCE"
    assert apply(client, coupon(sandbox), amount="050")["errCode"] == "TXNAMT_NOT_LAWFUL"


@pytest.mark.parametrize("_", range(5))
def test_of_ten_redemptions_of_5500_yuan_at_once_nine_succeed(client, sandbox, _):
    wishes = []
    for number in range(10):
        code = coupon(sandbox, face_fen=550_000)
        token = apply(client, code, amount="550000")["smsToken"]
        wishes.append((code, token, code_sent(sandbox), f"ORDER{number}"))

    def wanted(wish):
        code, token, sms, order = wish
        till = BankClient(client.section)  # gmalg's objects are one thread's
        return redeem(till, code, token, sms, order=order, amount="550000", number=order)["errCode"]

    with ThreadPoolExecutor(10) as tills:
        told = list(tills.map(wanted, wishes))
    assert sorted(told, key=str) == ["DAY_LIMIT_EXCEEDED"] + [None] * 9


def test_a_payment_code_is_paid_and_one_that_waits_is_not_cancelled_at_once(client, sandbox):
    def pay(order, **wish):
        shown = sandbox.control.deliver("bank", action="payment_code", **wish)["payment_code"]
        biz = {"orderId": order, "termId": "SUC00001", "authCode": shown, "notifyUrl": "https://shop.invalid/n"}
        device = {"device_type": "11", "device_id": "SUC00001", "device_ip": "192.0.2.10"}
        return client.call("mchorders/pay", {**biz, "txnAmt": "300"}, encryptTerminalInfo=device)

    assert pay("PAY1")["tradeState"] == "S"
    assert pay("PAY1")["errCode"] == "ORDERID_DUPLICATION"
    assert pay("PAY2", needs_password=True)["tradeState"] == "P"
    assert client.call("mchorders/cancel", {"origOrderId": "PAY2"})["errCode"] == "NOT_ALLOWED"
    assert client.call("mchorders/close", {"origOrderId": "PAY2"})["closeState"] == "C"


def test_orders_are_made_paid_and_refunded(client, sandbox):
    made = client.call(
        "mchorders/qrcodeapply",
        {"orderId": "PAY1", "notifyUrl": "https://shop.invalid/n", "txnAmt": "300", "payValidTime": "900"},
    )
    assert made["qrCode"].startswith("https://")
    sandbox.control.deliver("bank", action="pay", order_id="PAY1")
    assert client.call("mchorders/orderquery", {"orderId": "PAY1"})["tradeState"] == "S"
    back = {"reqNo": "R", "orderId": "BACK1", "origOrderId": "PAY1", "txnAmt": "300", "refundAmt": "100"}
    assert client.call("mchorders/refund", back)["refundState"] == "S"
    assert client.call("mchorders/refund", back)["replay"] == "Y"
    assert client.call("mchorders/refundquery", {"orderId": "BACK1"})["tradeState"] == "S"
    assert client.call("mchorders/close", {"origOrderId": "PAY1"})["errCode"] == "ORDER_PAID"
