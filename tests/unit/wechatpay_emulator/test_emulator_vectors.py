"""The emulator's own canonical message against the shared vectors (sheet §8): a third party's signatures verify over it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from unicom_coupon_adapters.wechatpay.emulation.authentication import signed_message
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey
from unicom_coupon_sdk.sandbox.emulator import Received

_ALL = json.loads((Path(__file__).parents[2] / "vectors" / "wechatpay.json").read_text(encoding="utf-8"))
_SIGNED = [one for one in _ALL["vectors"] if one["kind"] == "request_signature" and "canonical_url" in one]
_KEY = RsaPrivateKey.load(_ALL["keys"]["merchant"]["private_key_pem"].encode(), field="vector").public_key


def message_of(vector: dict[str, Any], **changed: str) -> bytes:
    told = vector | changed
    request = Received(told["method"], told["canonical_url"], (), told["body"].encode())
    return signed_message(request, timestamp=told["timestamp"], nonce=told["nonce_str"])


@pytest.mark.parametrize("vector", _SIGNED, ids=[one["id"] for one in _SIGNED])
def test_a_request_of_the_vectors_verifies(vector: dict[str, Any]) -> None:
    assert message_of(vector) == vector["sign_message"].encode()
    assert _KEY.verify_sha256(base64.b64decode(vector["signature"]), message_of(vector))


@pytest.mark.parametrize("vector", _SIGNED, ids=[one["id"] for one in _SIGNED])
def test_its_broken_siblings_do_not(vector: dict[str, Any]) -> None:
    siblings = (
        {"method": "PUT"},
        {"canonical_url": vector["canonical_url"] + "&"},
        {"timestamp": str(int(vector["timestamp"]) + 1)},
        {"nonce_str": vector["nonce_str"].swapcase()},
        {"body": vector["body"] + "\n"},
    )
    signature = base64.b64decode(vector["signature"])
    assert not any(_KEY.verify_sha256(signature, message_of(vector, **changed)) for changed in siblings)
