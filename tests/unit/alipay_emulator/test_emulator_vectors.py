"""The emulator's own canonical texts, content encryption and certificate numbers against the shared vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from unicom_coupon_adapters.alipay.emulation.canonical import is_signed, rest_answer_text, rest_text, signing_text
from unicom_coupon_adapters.alipay.emulation.sealing import Unreadable, opened, sealed
from unicom_coupon_adapters.alipay.emulation.serials import bundle_serial, serial_of
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.rsa import RsaPublicKey

_ALL = json.loads((Path(__file__).parents[2] / "vectors" / "alipay.json").read_text(encoding="utf-8"))
_BY_ID: dict[str, dict[str, Any]] = {one["id"]: one for one in _ALL["vectors"]}
_APP = RsaPublicKey.load(_ALL["keys"]["app_public_pem"].encode(), field="vector")
_ALIPAY = RsaPublicKey.load(_ALL["keys"]["alipay_public_pem"].encode(), field="vector")


@pytest.mark.parametrize(("name", "sign_type"), [("A01", "RSA2"), ("A02", "RSA"), ("A03", "RSA2"), ("A04", "RSA2")])
def test_a_classic_request_of_the_vectors_verifies(name: str, sign_type: str) -> None:
    vector = _BY_ID[name]
    text = signing_text(vector["params"])
    assert text == vector["canonical"]
    assert is_signed(text.encode(), vector["sign"], keys=[_APP], sign_type=sign_type)
    assert not is_signed(text.encode() + b"&", vector["sign"], keys=[_APP], sign_type=sign_type)
    assert not is_signed(text.encode(), vector["sign"], keys=[_ALIPAY], sign_type=sign_type)


@pytest.mark.parametrize("name", ["D01", "D06"])
def test_news_of_the_vectors_verifies_by_rule_v1(name: str) -> None:
    vector = _BY_ID[name]
    text = signing_text(vector["params"], without=("sign", "sign_type"))
    assert text == vector["canonical"]
    assert is_signed(text.encode(), vector["params"]["sign"], keys=[_ALIPAY])
    assert not is_signed(signing_text(vector["params"]).encode(), vector["params"]["sign"], keys=[_ALIPAY])


@pytest.mark.parametrize("name", ["F01", "F02", "F03", "F04", "F05"])
def test_a_v3_request_of_the_vectors_verifies(name: str) -> None:
    vector = _BY_ID[name]
    text = rest_text(
        vector["auth_string"],
        verb=vector["http_method"],
        target=vector["request_uri"],
        body=vector["body"],
        app_auth_token=vector["app_auth_token"],
    )
    assert text == vector["message"]
    assert is_signed(text.encode(), vector["sign"], keys=[_APP])
    assert not is_signed(text.removesuffix("\n").encode(), vector["sign"], keys=[_APP])


def test_a_v3_answer_of_the_vectors_verifies() -> None:
    vector = _BY_ID["F06"]
    headers = vector["headers"]
    text = rest_answer_text(headers["alipay-timestamp"], headers["alipay-nonce"], vector["body"])
    assert text == vector["message"]
    assert is_signed(text.encode(), vector["signature"], keys=[_ALIPAY])


@pytest.mark.parametrize("name", ["B01", "B02", "B03"])
def test_content_of_the_vectors_is_sealed_and_opened(name: str) -> None:
    vector = _BY_ID[name]
    assert sealed(vector["plaintext"].encode(), key=vector["aes_key"]) == vector["ciphertext"]
    assert opened(vector["ciphertext"], key=vector["aes_key"]) == vector["plaintext"].encode()


@pytest.mark.parametrize("broken", ["", "a", "AAAA", "ILpoMowjIQjfYMR847rnFw==", "not base64 at all!"])
def test_content_that_is_none_is_refused(broken: str) -> None:
    with pytest.raises(Unreadable):
        opened(broken, key=_BY_ID["B01"]["aes_key"])


@pytest.mark.parametrize("name", ["E06", "E07"])
def test_the_number_of_a_certificate_is_the_vectors(name: str) -> None:
    vector = _BY_ID[name]
    assert serial_of(Certificate.load(vector["cert_pem"].encode(), field="vector")) == vector["sn"]


def test_the_number_of_a_bundle_leaves_curves_out() -> None:
    vector = _BY_ID["E11"]
    pem = next(
        value for key, value in vector.items() if isinstance(value, str) and "BEGIN CERTIFICATE" in value and key
    )
    assert bundle_serial(Certificate.load_all(pem.encode(), field="vector")) == vector["sn"]
