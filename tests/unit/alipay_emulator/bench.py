"""A frame in memory and a merchant that signs by hand: the emulator's tests need neither sandbox nor adapter.

The merchant's canonical strings are written here a third time, from the sheet, over ``cryptography`` directly.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from unicom_coupon_adapters.alipay.emulator import AlipayEmulator
from unicom_coupon_sdk.domain.bill import BillKind, RowKind
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer
from unicom_coupon_sdk.sandbox.bills import BillBook, BillLine, MadeBill
from unicom_coupon_sdk.sandbox.emulator import Callback, Received
from unicom_coupon_sdk.sandbox.faults import FaultBook
from unicom_coupon_sdk.sandbox.store import DocumentStore

NOON = datetime(2026, 5, 20, 4, 0, 0, tzinfo=UTC)
FAMILY = "alipay.marketing.activity.ordervoucher"
QUERY = "alipay.marketing.activity.user.queryvoucher"
BASE_URL = "http://127.0.0.1:8701"
GATEWAY_URL = "https://merchant.invalid/alipay"


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
        self.gateway: str | None = GATEWAY_URL
        self.documents = DocumentStore(None)
        self.faults = FaultBook(self.documents)
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
        raise AssertionError("Alipay sends no phone messages")

    def registered_url(self, event: str) -> str | None:
        return self.gateway

    def make_bill(
        self,
        bill: BillKind,
        day: date,
        *,
        lines: Callable[[], Iterable[BillLine]],
        invent: Callable[[BillLine], BillLine],
        total_of: RowKind | None = None,
    ) -> MadeBill:
        book = BillBook(self.documents, faults=self.faults)
        return book.made(bill, day, lines=lines, invent=invent, total_of=total_of)


class Bench:
    """An emulator, its frame, and the merchant that calls it. ``mode`` is ``key`` or ``cert``."""

    def __init__(self, directory: Path) -> None:
        self.frame = MemoryFrame(directory)
        self.emulator = AlipayEmulator(self.frame)
        self.told = dict(self.emulator.credentials())
        self.numbers = 0

    # -- time and numbers ---------------------------------------------------------------------------------------

    def number(self, prefix: str = "REQ") -> str:
        self.numbers += 1
        return f"{prefix}{self.numbers:08d}"

    def advance(self, **span: float) -> None:
        self.frame.time += timedelta(**span)
        self.emulator.tick()

    def stamp(self, **later: float) -> str:
        return beijing(self.frame.time + timedelta(**later))

    # -- the classic gateway ------------------------------------------------------------------------------------

    def parameters(self, method: str, content: Mapping[str, Any] | str | None, *, mode: str = "key") -> dict[str, str]:
        told = {
            "app_id": self.told["app_id"],
            "method": method,
            "format": "json",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": self.stamp(),
            "version": "1.0",
        }
        if content is not None:
            told["biz_content"] = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        if mode == "cert":
            told["app_cert_sn"] = self.app_serial
            told["alipay_root_cert_sn"] = self.root_serial
        return told

    def signed(self, parameters: Mapping[str, str], *, key_file: str | None = None) -> dict[str, str]:
        text = "&".join(f"{name}={parameters[name]}" for name in sorted(parameters) if parameters[name])
        key = load_private(key_file or self.told["app_private_key_file"])
        kind: hashes.HashAlgorithm = hashes.SHA256()
        if parameters.get("sign_type") == "RSA":
            kind = hashes.SHA1()
        charset = parameters.get("charset", "utf-8")
        sign = key.sign(text.encode(charset), PKCS1v15(), kind)
        return {**parameters, "sign": base64.b64encode(sign).decode()}

    def post(self, parameters: Mapping[str, str], *, verb: str = "POST") -> HttpAnswer:
        charset = parameters.get("charset", "utf-8")
        charset = charset if charset in {"utf-8", "gbk"} else "utf-8"
        text = "&".join(f"{name}={quote_plus(value, encoding=charset)}" for name, value in parameters.items())
        if verb == "GET":
            return self.receive("GET", f"/gateway.do?{text}", b"")
        return self.receive("POST", "/gateway.do", text.encode())

    def receive(self, verb: str, target: str, content: bytes, headers: Headers = ()) -> HttpAnswer:
        pairs = headers or (("Content-Type", "application/x-www-form-urlencoded;charset=utf-8"),)
        return self.emulator.answer(Received(verb, target, pairs, content, BASE_URL))

    def answer(self, method: str, content: Mapping[str, Any] | str | None, *, mode: str = "key") -> HttpAnswer:
        return self.post(self.signed(self.parameters(method, content, mode=mode)))

    def call(self, method: str, content: Mapping[str, Any] | None, *, mode: str = "key") -> dict[str, Any]:
        """The node's members, once the signature was found right."""
        told: dict[str, Any] = json.loads(self.opened(self.answer(method, content, mode=mode), mode=mode))
        return told

    def good(self, method: str, content: Mapping[str, Any] | None, *, mode: str = "key") -> dict[str, Any]:
        told = self.call(method, content, mode=mode)
        assert told["code"] == "10000", told
        return told

    def refused(self, method: str, content: Mapping[str, Any] | None) -> str:
        told = self.call(method, content)
        assert told["code"] == "40004", told
        return str(told["sub_code"])

    def opened(self, answer: HttpAnswer, *, mode: str = "key", charset: str = "utf-8") -> str:
        """The node's value as sent. Raises ``AssertionError`` unless its signature is right."""
        node, sign = cut(answer, mode=mode)
        assert self.verifies(node, sign, mode=mode), "the answer does not verify"
        return node.decode(charset)

    def verifies(self, message: bytes, sign: str, *, mode: str = "key") -> bool:
        try:
            self.platform_key(mode).verify(base64.b64decode(sign), message, PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return True

    def platform_key(self, mode: str) -> RSAPublicKey:
        if mode == "cert":
            key = load_pem_x509_certificate(Path(self.told["alipay_cert_file"]).read_bytes()).public_key()
        else:
            key = load_pem_public_key(Path(self.told["alipay_public_key_file"]).read_bytes())
        assert isinstance(key, RSAPublicKey)
        return key

    # -- v3 -----------------------------------------------------------------------------------------------------

    def rest(
        self, verb: str, target: str, body: Mapping[str, Any] | str | None = None, *, mode: str = "key", **changed: str
    ) -> HttpAnswer:
        text = "" if body is None else body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
        life = changed.get("expired_seconds")
        credentials = ",".join(
            [
                f"app_id={changed.get('app_id', self.told['app_id'])}",
                *([f"app_cert_sn={self.app_serial}"] if mode == "cert" else []),
                f"nonce={self.number('nonce')}",
                f"timestamp={changed.get('timestamp', str(int(self.frame.time.timestamp() * 1000)))}",
                *([f"expired_seconds={life}"] if life else []),
            ]
        )
        signed = "\n".join([credentials, verb, target, changed.get("signed_body", text), ""])
        key = load_private(self.told["app_private_key_file"])
        sign = base64.b64encode(key.sign(signed.encode(), PKCS1v15(), hashes.SHA256())).decode()
        headers: Headers = (
            ("Content-Type", "application/json"),
            ("Authorization", f"ALIPAY-SHA256withRSA {credentials},sign={sign}"),
            *((("alipay-root-cert-sn", self.root_serial),) if mode == "cert" else ()),
            *((("alipay-encrypt-type", "AES"),) if changed.get("encrypted") else ()),
        )
        return self.receive(verb, target, text.encode(), headers)

    def rest_verifies(self, answer: HttpAnswer, *, mode: str = "key") -> bool:
        stamp, nonce = answer.header("alipay-timestamp"), answer.header("alipay-nonce")
        message = f"{stamp}\n{nonce}\n".encode() + answer.content + b"\n"
        return self.verifies(message, answer.header("alipay-signature") or "", mode=mode)

    # -- numbers of certificates --------------------------------------------------------------------------------

    @property
    def app_serial(self) -> str:
        return serial_of(Path(self.told["app_cert_file"]).read_bytes())

    @property
    def platform_serial(self) -> str:
        return serial_of(Path(self.told["alipay_cert_file"]).read_bytes())

    @property
    def root_serial(self) -> str:
        pem = Path(self.told["alipay_root_cert_file"]).read_bytes()
        return "_".join(
            serial_of(block)
            for block in re.findall(rb"-----BEGIN.*?-----END CERTIFICATE-----\n", pem, re.DOTALL)
            if load_pem_x509_certificate(block).signature_algorithm_oid.dotted_string.startswith("1.2.840.113549.1.1")
        )

    # -- content and news ---------------------------------------------------------------------------------------

    def seal(self, text: str) -> str:
        padder = padding.PKCS7(128).padder()
        encryptor = self._cipher().encryptor()
        padded = padder.update(text.encode()) + padder.finalize()
        return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()

    def unseal(self, text: str) -> str:
        decryptor, unpadder = self._cipher().decryptor(), padding.PKCS7(128).unpadder()
        padded = decryptor.update(base64.b64decode(text)) + decryptor.finalize()
        return (unpadder.update(padded) + unpadder.finalize()).decode()

    def _cipher(self) -> Cipher[modes.CBC]:
        return Cipher(algorithms.AES(base64.b64decode(self.told["aes_key"])), modes.CBC(bytes(16)))

    def news(self, callback: Callback | None = None) -> dict[str, str]:
        """The fields of a callback (the last by default), once rule V1 was found to hold."""
        verb, _, body = self.emulator.render_callback(callback or self.frame.sent[-1])
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)
        fields = dict(pairs)
        assert (verb, len(fields)) == ("POST", len(pairs))
        assert all(fields.values()), "an empty field was sent"
        text = "&".join(f"{name}={fields[name]}" for name in sorted(fields) if name not in {"sign", "sign_type"})
        assert self.verifies(text.encode(), fields["sign"]), "the news does not verify"
        return fields

    def messages(self, name: str) -> list[dict[str, Any]]:
        """The contents of the messages of that last word."""
        event = f"alipay.marketing.activity.message.{name}"
        return [json.loads(self.news(one)["biz_content"]) for one in self.frame.sent if one.event == event]

    # -- coupons ------------------------------------------------------------------------------------------------

    def issue(self, **wish: Any) -> dict[str, Any]:
        return dict(self.emulator.issue({"count": 1, "face_fen": 500, **wish})[0])

    def redemption(self, coupon: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
        return {
            "activity_id": coupon["activity_id"],
            "voucher_code": coupon["code"],
            "out_biz_no": self.number("USE"),
            "biz_dt": self.stamp(),
            "total_fee": "99.00",
            "trade_channel": "OTHER_TRADE_CHANNEL",
            "merchant_access_mode": "SELF_MODE",
            **changed,
        }

    def use(self, coupon: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
        return self.call(f"{FAMILY}.use", self.redemption(coupon, **changed))

    def refund(self, coupon: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
        return self.call(f"{FAMILY}.refund", self.redemption(coupon, **changed))

    def status(self, coupon: Mapping[str, Any]) -> str:
        told = self.good(QUERY, {"activity_id": coupon["activity_id"], "voucher_code": coupon["code"]})
        return str(told["user_voucher_base_info"]["voucher_status"])

    def body(self, **changed: Any) -> dict[str, Any]:
        """A create of the new generation, MERCHANT_API."""
        body = {
            "out_biz_no": self.number("CREATE"),
            "merchant_access_mode": "SELF_MODE",
            "activity_base_info": {"activity_name": "满十减五", "code_mode": "MERCHANT_API"},
            "voucher_deduct_info": {"voucher_type": "FIX_VOUCHER", "fix_voucher_info": {"amount": "5.00"}},
            "voucher_send_mode_info": {
                "voucher_send_mode": "DIRECT_SEND_MODE",
                "voucher_send_rule_info": {
                    "publish_start_time": self.stamp(minutes=-1),
                    "publish_end_time": self.stamp(days=10),
                    "quantity": 100,
                },
            },
            "voucher_use_rule_info": {
                "voucher_use_time_info": {
                    "period_type": "ABSOLUTE",
                    "absolute_period_info": {
                        "valid_begin_time": self.stamp(minutes=-1),
                        "valid_end_time": self.stamp(days=30),
                    },
                }
            },
        }
        return {**body, **changed}

    def create(self, **changed: Any) -> str:
        """An active activity's number."""
        told = self.good(f"{FAMILY}.create", self.body(**changed))
        self.advance(seconds=1)
        return str(told["activity_id"])

    def upload(self, codes: Sequence[str]) -> str:
        """An activity with uploaded codes, all of them to be given out."""
        rule = self.body()["voucher_send_mode_info"]
        rule["voucher_send_rule_info"]["quantity"] = 0
        activity_id = self.create(
            activity_base_info={"activity_name": "上传码", "code_mode": "MERCHANT_UPLOAD"}, voucher_send_mode_info=rule
        )
        wish = {"activity_id": activity_id, "merchant_access_mode": "SELF_MODE"}
        self.good(f"{FAMILY}.codedeposit", {**wish, "out_biz_no": self.number(), "voucher_codes": list(codes)})
        self.good(f"{FAMILY}.append", {**wish, "out_biz_no": self.number(), "voucher_quantity": len(codes)})
        self.advance(seconds=1)
        return activity_id


def beijing(at: datetime) -> str:
    return at.astimezone(timezone(timedelta(hours=8))).strftime("%Y-%m-%d %H:%M:%S")


def cut(answer: HttpAnswer, *, mode: str = "key") -> tuple[bytes, str]:
    """The node's raw value and the signature of a classic answer."""
    middle = rb',"alipay_cert_sn":"[0-9a-f]{32}"' if mode == "cert" else b""
    found = re.fullmatch(
        rb'\{"[a-z0-9_]+":(.*)' + middle + rb',"sign":"([0-9A-Za-z+/=]+)"\}', answer.content, re.DOTALL
    )
    assert found is not None, answer.content
    return found[1], found[2].decode()


def serial_of(pem: bytes) -> str:
    certificate = load_pem_x509_certificate(pem)
    short = {"2.5.4.3": "CN", "2.5.4.11": "OU", "2.5.4.10": "O", "2.5.4.6": "C"}
    name = ",".join(f"{short[one.oid.dotted_string]}={one.value!s}" for one in reversed(list(certificate.issuer)))
    return hashlib.md5(f"{name}{certificate.serial_number}".encode(), usedforsecurity=False).hexdigest()


def load_private(file: str) -> RSAPrivateKey:
    return _loaded(Path(file).read_bytes())


@lru_cache(maxsize=16)
def _loaded(pem: bytes) -> RSAPrivateKey:
    key = load_pem_private_key(pem, password=None)
    assert isinstance(key, RSAPrivateKey)
    return key


def path_of(coupon: Mapping[str, Any], verb: str) -> str:
    """The v3 path of redeeming or taking back."""
    base = f"/v3/alipay/marketing/ordervoucher/activity/{coupon['activity_id']}/voucher"
    return f"{base}/{quote(coupon['code'], safe='')}/{verb}"


__all__ = ["FAMILY", "NOON", "QUERY", "Bench", "path_of"]
