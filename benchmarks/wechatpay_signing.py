"""How much the WeChat Pay adapter adds to the cryptography it cannot avoid, beside the community client wechatpayv3.

Run: ``python benchmarks/wechatpay_signing.py [--json]``. Two figures in CPU
time of this process, each the best of interleaved rounds, so that a noisy neighbour slows all parties alike:

- building and signing one redeem request (body, compliance check, message, signature, headers), against a bare RSA-2048
  signature over the same bytes; at most 1.10 times as long is wanted;
- verifying, decrypting and reading one callback, per second; at least 30 000 and 1.1 times the peer's are wanted.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from unicom_coupon_adapters.wechatpay import WechatPayAdapter, WechatPaySettings, messages, notifications
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.domain.times import rfc3339

APIV3_KEY = b"0123456789abcdefABCDEF0123456789"
PUBLIC_KEY_ID = "PUB_KEY_ID_0114232134912410000000000000"
MCHID, APPID = "1900009191", "wx1234567889999"
SERIAL = "1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C"


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def public_pem(key: rsa.RSAPrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def best(parties: dict[str, Callable[[], object]], *, rounds: int, count: int) -> dict[str, float]:
    """CPU seconds for one call of each party, the best of its rounds, taken in turns."""
    found = dict.fromkeys(parties, float("inf"))
    for _ in range(rounds):
        for name, work in parties.items():
            started = time.process_time()
            for _ in range(count):
                work()
            found[name] = min(found[name], (time.process_time() - started) / count)
    return found


def make_callback(platform: rsa.RSAPrivateKey, now: datetime) -> tuple[dict[str, str], bytes]:
    plain = {
        "event_type": "EVENT_TYPE_BUSICOUPON_SEND",
        "coupon_code": "1227944923343",
        "stock_id": "100088",
        "send_time": rfc3339(now),
        "openid": "oXsd3434454567676",
        "send_channel": "BUSICOUPON_SEND_CHANNEL_MINIAPP",
        "send_merchant": MCHID,
        "attach_info": {"transaction_id": "4200001234202605201234567890"},
    }
    nonce = os.urandom(6).hex()
    sealed = AESGCM(APIV3_KEY).encrypt(nonce.encode(), json.dumps(plain).encode(), b"coupon")
    body = json.dumps(
        {
            "id": "8b33f79f-8869-5ae5-b41b-3c0b59f957d0",
            "create_time": rfc3339(now),
            "resource_type": "encrypt-resource",
            "event_type": "COUPON.SEND",
            "summary": "商家券领券通知",
            "resource": {
                "original_type": "coupon",
                "algorithm": "AEAD_AES_256_GCM",
                "ciphertext": b64encode(sealed).decode(),
                "associated_data": "coupon",
                "nonce": nonce,
            },
        },
        ensure_ascii=False,
        separators=(",", ":"),
    ).encode()
    stamp, word = str(int(now.timestamp())), os.urandom(16).hex()
    signature = platform.sign(f"{stamp}\n{word}\n".encode() + body + b"\n", padding.PKCS1v15(), hashes.SHA256())
    return {
        "Wechatpay-Timestamp": stamp,
        "Wechatpay-Nonce": word,
        "Wechatpay-Serial": PUBLIC_KEY_ID,
        "Wechatpay-Signature": b64encode(signature).decode(),
        "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
    }, body


def peer_of(merchant: rsa.RSAPrivateKey, platform: rsa.RSAPrivateKey) -> object:
    from wechatpayv3 import WeChatPay, WeChatPayType

    logging.disable(logging.CRITICAL)
    return WeChatPay(
        wechatpay_type=WeChatPayType.JSAPI,
        mchid=MCHID,
        private_key=pem(merchant),
        cert_serial_no=SERIAL,
        apiv3_key=APIV3_KEY.decode(),
        appid=APPID,
        notify_url="https://shop.example/notify",
        public_key=public_pem(platform),
        public_key_id=PUBLIC_KEY_ID,
    )


def measure(*, rounds: int) -> dict[str, float]:
    merchant, platform = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    adapter = WechatPayAdapter(
        WechatPaySettings(
            mchid=MCHID,
            appid=APPID,
            merchant_serial=SERIAL,
            merchant_private_key=Secret(pem(merchant)),
            apiv3_keys=(Secret(APIV3_KEY.decode()),),
            platform_public_key_id=PUBLIC_KEY_ID,
            platform_public_key=Secret(public_pem(platform)),
        ),
        Keys(),
    )
    peer = peer_of(merchant, platform)
    now = datetime.now(UTC)
    body = {
        "coupon_code": "sxxe34343434",
        "stock_id": "100088",
        "appid": APPID,
        "use_time": rfc3339(now),
        "use_request_no": "1002600620019090123143254435",
        "openid": "oXsd3434454567676",
    }
    gateway = adapter.gateway

    def build() -> object:
        return gateway.build(
            messages.USE_COUPON.call(body),
            now=now,
            nonce=os.urandom(16).hex(),
            base_url="https://api.mch.weixin.qq.com",
        )

    message = b"POST\n/v3/marketing/busifavor/coupons/use\n" + json.dumps(body).encode()
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()

    from wechatpayv3.utils import build_authorization, load_private_key

    peer_key = load_private_key(pem(merchant))

    def peer_build() -> object:
        return build_authorization("/v3/marketing/busifavor/coupons/use", "POST", MCHID, SERIAL, peer_key, data=body)

    signing = best(
        {"bare": lambda: merchant.sign(message, scheme, digest), "ours": build, "peer": peer_build},
        rounds=rounds,
        count=60,
    )
    headers, content = make_callback(platform, now)
    pairs = tuple(headers.items())
    text = content.decode()

    def read() -> object:
        gateway.credentials.verifier.check(pairs, body=content, now=now)
        return notifications.open_resource(content, credentials=gateway.credentials)

    def event() -> object:
        gateway.credentials.verifier.check(pairs, body=content, now=now)
        return notifications.event_of(*notifications.open_resource(content, credentials=gateway.credentials))

    assert read()[1] == peer.callback(headers, text)["resource"]  # type: ignore[index, attr-defined]
    public, message = platform.public_key(), b"x" * 800
    signature = platform.sign(message, scheme, digest)
    callbacks = best(
        {
            "bare verify": lambda: public.verify(signature, message, scheme, digest),
            "ours": read,
            "ours, as event": event,
            "peer": lambda: peer.callback(headers, text),  # type: ignore[attr-defined]
        },
        rounds=rounds,
        count=600,
    )
    return {
        "sign_bare_us": signing["bare"] * 1e6,
        "sign_ours_us": signing["ours"] * 1e6,
        "sign_peer_us": signing["peer"] * 1e6,
        "sign_overhead": signing["ours"] / signing["bare"],
        "bare_verify_per_s": 1 / callbacks["bare verify"],
        "callbacks_per_s": 1 / callbacks["ours"],
        "events_per_s": 1 / callbacks["ours, as event"],
        "peer_callbacks_per_s": 1 / callbacks["peer"],
        "callback_gain": callbacks["peer"] / callbacks["ours"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    figures = measure(rounds=chosen.rounds)
    if chosen.json:
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
        return
    for name, value in figures.items():
        print(f"{name:24} {value:12,.2f}")


if __name__ == "__main__":
    main()
