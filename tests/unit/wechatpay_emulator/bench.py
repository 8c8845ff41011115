"""A frame in memory and a merchant that signs by hand: the emulator's tests need neither sandbox nor adapter.

The merchant's canonical strings are written here a third time, from the sheet, over ``cryptography`` directly.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from unicom_coupon_adapters.wechatpay.emulator import WechatPayEmulator
from unicom_coupon_sdk.domain.bill import BillKind
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer
from unicom_coupon_sdk.sandbox.bills import BillBook, MadeBill
from unicom_coupon_sdk.sandbox.emulator import Callback, Received
from unicom_coupon_sdk.sandbox.faults import FaultBook

NOON = datetime(2026, 5, 20, 4, 0, 0, tzinfo=UTC)
BASE = "/v3/marketing/busifavor"


class MemoryStore:
    """Documents in dictionaries."""

    def __init__(self) -> None:
        self.kinds: dict[str, dict[str, dict[str, Any]]] = {}
        self.numbers: dict[str, int] = {}

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.kinds.get(kind, {}).get(key))

    def put(self, kind: str, key: str, value: Mapping[str, Any]) -> None:
        self.kinds.setdefault(kind, {})[key] = json.loads(json.dumps(value))

    def delete(self, kind: str, key: str) -> None:
        self.kinds.get(kind, {}).pop(key, None)

    def all(self, kind: str) -> Sequence[tuple[str, dict[str, Any]]]:
        return [(key, copy.deepcopy(value)) for key, value in self.kinds.get(kind, {}).items()]

    def next_number(self, name: str) -> int:
        self.numbers[name] = self.numbers.get(name, 0) + 1
        return self.numbers[name]


class MemoryFrame:
    """What the sandbox would give, with a clock that the test moves."""

    def __init__(self, directory: Path) -> None:
        self.store = MemoryStore()
        self.directory = directory
        self.time = NOON
        self.sent: list[Callback] = []
        self.urls: dict[str, str] = {}
        self._drawn = 0

    def now(self) -> datetime:
        return self.time

    def random_bytes(self, count: int) -> bytes:
        drawn = b""
        while len(drawn) < count:
            self._drawn += 1
            drawn += hashlib.sha256(self._drawn.to_bytes(8)).digest()
        return drawn[:count]

    def send_callback(self, callback: Callback) -> None:
        self.sent.append(callback)

    def send_message(self, to: str, *, kind: str, text: str, code: str | None = None) -> None:
        raise AssertionError("WeChat Pay sends no phone messages")

    def registered_url(self, event: str) -> str | None:
        return self.urls.get(event)

    def make_bill(self, bill: BillKind, day: date, **how: Any) -> MadeBill:
        return BillBook(self.store, faults=FaultBook(self.store)).made(bill, day, **how)  # type: ignore[arg-type]


class Bench:
    """An emulator, its frame, and the merchant that calls it."""

    def __init__(self, directory: Path) -> None:
        self.frame = MemoryFrame(directory)
        self.emulator = WechatPayEmulator(self.frame)
        self.told = dict(self.emulator.credentials())
        self.numbers = 0

    # -- the merchant's side ------------------------------------------------------------------------------------

    def number(self, prefix: str = "req") -> str:
        self.numbers += 1
        return f"{prefix}{self.numbers:012d}"

    def authorization(self, method: str, target: str, body: bytes, **changed: str) -> str:
        told = self.told
        pairs = {
            "mchid": told["mchid"],
            "nonce_str": "593BEC0C930BF1AFEB40B4A08C8FB242",
            "timestamp": str(int(self.frame.time.timestamp())),
            "serial_no": told["merchant_cert_serial"],
        } | {name: value for name, value in changed.items() if name not in {"scheme", "signature", "key_file"}}
        pairs = {name: value for name, value in pairs.items() if value}
        message = b"\n".join(
            [method.encode(), target.encode(), pairs["timestamp"].encode(), pairs["nonce_str"].encode(), body]
        )
        key = load_private(changed.get("key_file", told["merchant_private_key_file"]))
        signature = key.sign(message + b"\n", PKCS1v15(), hashes.SHA256())
        pairs["signature"] = changed.get("signature", base64.b64encode(signature).decode())
        scheme = changed.get("scheme", "WECHATPAY2-SHA256-RSA2048")
        return f"{scheme} " + ",".join(f'{name}="{value}"' for name, value in pairs.items())

    def send(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | bytes | None = None,
        *,
        serial: str | None = "",
        headers: Headers = (),
        **changed: str,
    ) -> HttpAnswer:
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        named = self.told["platform_public_key_id"] if serial == "" else serial
        pairs: Headers = (
            ("Authorization", self.authorization(method, target, content, **changed)),
            ("Accept", "application/json"),
            ("Content-Type", "application/json"),
            ("User-Agent", "bench"),
            *((("Wechatpay-Serial", named),) if named is not None else ()),
            *headers,
        )
        return self.emulator.answer(Received(method, target, pairs, content, "http://127.0.0.1:8702"))

    def post(self, target: str, body: Mapping[str, Any], **options: Any) -> HttpAnswer:
        return self.send("POST", target, body, **options)

    def get(self, target: str, **options: Any) -> HttpAnswer:
        return self.send("GET", target, **options)

    def verifies(self, answer: HttpAnswer) -> bool:
        """Whether the answer is signed by the key that its serial names."""
        serial = header(answer, "Wechatpay-Serial")
        key = self.platform_key(serial)
        head = f"{header(answer, 'Wechatpay-Timestamp')}\n{header(answer, 'Wechatpay-Nonce')}\n".encode()
        try:
            key.verify(
                base64.b64decode(header(answer, "Wechatpay-Signature")),
                head + answer.content + b"\n",
                PKCS1v15(),
                hashes.SHA256(),
            )
        except Exception:
            return False
        return True

    def platform_key(self, serial: str) -> RSAPublicKey:
        if serial == self.told["platform_public_key_id"]:
            key = load_pem_public_key(Path(self.told["platform_public_key_file"]).read_bytes())
        else:
            found = [
                certificate
                for file in self.frame.directory.glob("platform_*_cert.pem")
                if f"{(certificate := load_certificate(file)).serial_number:040X}" == serial
            ]
            key = found[0].public_key()
        assert isinstance(key, RSAPublicKey)
        return key

    def open_callback(self, callback: Callback) -> tuple[dict[str, Any], dict[str, Any], HttpAnswer]:
        """The envelope, the plaintext and the signed request of the next attempt."""
        method, headers, content = self.emulator.render_callback(callback)
        assert method == "POST"
        envelope = json.loads(content)
        return envelope, decrypted(envelope["resource"], key=self.told["apiv3_key"]), HttpAnswer(0, headers, content)

    # -- shortcuts ----------------------------------------------------------------------------------------------

    def issue(self, **wish: Any) -> dict[str, Any]:
        return dict(self.emulator.issue({"count": 1, "face_fen": 500, **wish})[0])

    def use_body(self, coupon: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
        body = {
            "coupon_code": coupon["code"],
            "stock_id": coupon["stock_id"],
            "appid": self.told["appid"],
            "use_time": "2026-05-20T12:00:00+08:00",
            "use_request_no": self.number("use"),
        }
        return {name: value for name, value in (body | changed).items() if value is not None}

    def use(self, coupon: Mapping[str, Any], **changed: Any) -> HttpAnswer:
        return self.post(f"{BASE}/coupons/use", self.use_body(coupon, **changed))

    def give_back(self, coupon: Mapping[str, Any], number: str | None = None) -> HttpAnswer:
        body = {"coupon_code": coupon["code"], "stock_id": coupon["stock_id"]}
        return self.post(f"{BASE}/coupons/return", {**body, "return_request_no": number or self.number("ret")})

    def deactivate(self, coupon: Mapping[str, Any], **changed: Any) -> HttpAnswer:
        body = {
            "coupon_code": coupon["code"],
            "stock_id": coupon["stock_id"],
            "deactivate_request_no": self.number("off"),
        }
        return self.post(f"{BASE}/coupons/deactivate", body | changed)

    def state(self, coupon: Mapping[str, Any]) -> str:
        view = self.emulator.view(coupon["code"])
        assert view is not None
        return str(view["state"])

    def stock_body(self, **changed: Any) -> dict[str, Any]:
        body: dict[str, Any] = {
            "stock_name": "8月1日活动券",
            "belong_merchant": self.told["mchid"],
            "goods_name": "话费充值",
            "stock_type": "NORMAL",
            "coupon_use_rule": {
                "coupon_available_time": {
                    "available_begin_time": "2026-05-01T00:00:00+08:00",
                    "available_end_time": "2026-12-31T23:59:59+08:00",
                },
                "fixed_normal_coupon": {"discount_amount": 500, "transaction_minimum": 1000},
                "use_method": "OFF_LINE",
            },
            "stock_send_rule": {"max_coupons": 100, "max_coupons_per_user": 5},
            "out_request_no": self.number("stock"),
            "coupon_code_mode": "WECHATPAY_MODE",
        }
        return {name: value for name, value in (body | changed).items() if value is not None}

    def stock(self, **changed: Any) -> str:
        answer = self.post(f"{BASE}/stocks", self.stock_body(**changed))
        assert answer.status == 200, answer.content
        return str(body_of(answer)["stock_id"])

    def send_coupon(self, stock_id: str, openid: str = "oUser1", **changed: Any) -> HttpAnswer:
        body = {
            "openid": openid,
            "appid": self.told["appid"],
            "stock_id": stock_id,
            "out_request_no": self.number("send"),
        }
        return self.post(f"{BASE}/coupons/send", body | changed)

    def sealed(self, text: str) -> str:
        """A personal field for the platform's public key."""
        key = load_pem_public_key(Path(self.told["platform_public_key_file"]).read_bytes())
        assert isinstance(key, RSAPublicKey)
        sha1 = hashes.SHA1()
        return base64.b64encode(key.encrypt(text.encode(), OAEP(MGF1(sha1), sha1, None))).decode()

    def advance(self, **time: float) -> None:
        self.frame.time += timedelta(**time)
        self.emulator.tick()


def header(answer: HttpAnswer, name: str) -> str:
    """The header in exactly this case."""
    return dict(answer.headers)[name]


def body_of(answer: HttpAnswer) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(answer.content)
    return told


def refusal_of(answer: HttpAnswer) -> tuple[int, str]:
    """Status and code of an error answer."""
    return answer.status, body_of(answer)["code"]


def decrypted(resource: Mapping[str, str], *, key: str) -> dict[str, Any]:
    opened = AESGCM(key.encode()).decrypt(
        resource["nonce"].encode(), base64.b64decode(resource["ciphertext"]), resource["associated_data"].encode()
    )
    told: dict[str, Any] = json.loads(opened)
    return told


_PRIVATE: dict[bytes, RSAPrivateKey] = {}


def load_private(file: str) -> RSAPrivateKey:
    pem = Path(file).read_bytes()
    if pem not in _PRIVATE:
        key = load_pem_private_key(pem, password=None)
        assert isinstance(key, RSAPrivateKey)
        _PRIVATE[pem] = key
    return _PRIVATE[pem]


def load_certificate(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())
