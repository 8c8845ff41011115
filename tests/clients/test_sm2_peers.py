"""SM2 with independent implementations, both ways: PyPI ``gmalg`` and ``gmssl``, in pure Python.

``gmssl`` cuts digits off a public key that begins with 04, so no such key is among these.
"""

from __future__ import annotations

import random

import pytest

from unicom_coupon_sdk.crypto.sm2 import DEFAULT_USER_ID, CipherForm, SignatureForm, Sm2PrivateKey
from unicom_coupon_sdk.crypto.sm2_forms import N

pytestmark = pytest.mark.clients
_DRAW = random.Random(20261129)
NUMBERS = [_DRAW.randrange(1, N - 1) for _ in range(12)]


@pytest.fixture(params=NUMBERS, ids=lambda number: f"{number:064x}"[:8])
def number(request):
    return request.param


@pytest.fixture
def key(number):
    key = Sm2PrivateKey.from_hex(f"{number:064x}")
    assert not key.public_key.point.startswith(b"\x04")
    return key


@pytest.fixture
def message(number):
    return random.Random(number).randbytes(number % 100 + 16)


def test_gmalg_and_we_take_each_others_signatures(key, number, message):
    gmalg = pytest.importorskip("gmalg")
    peer = gmalg.SM2(number.to_bytes(32, "big"), uid=DEFAULT_USER_ID, pk=b"\x04" + key.public_key.point)
    raw = key.sign(message, form=SignatureForm.RAW)
    assert peer.verify(message, raw[:32], raw[32:])
    assert not peer.verify(message + b"!", raw[:32], raw[32:])
    assert key.public_key.verify(b"".join(peer.sign(message)), message, form=SignatureForm.RAW)


def test_gmalg_and_we_open_each_others_ciphertexts(key, number, message):
    gmalg = pytest.importorskip("gmalg")
    peer = gmalg.SM2(number.to_bytes(32, "big"), uid=DEFAULT_USER_ID, pk=b"\x04" + key.public_key.point)
    assert peer.decrypt(key.public_key.encrypt(message, form=CipherForm.C1C3C2)) == message
    assert key.decrypt(peer.encrypt(message), form=CipherForm.C1C3C2) == message


def test_gmssl_and_we_take_each_others_signatures(key, number, message):
    gmssl = pytest.importorskip("gmssl.sm2")
    peer = gmssl.CryptSM2(private_key=f"{number:064x}", public_key=key.public_key.point.hex())
    raw = key.sign(message, form=SignatureForm.RAW)
    assert peer.verify_with_sm3(raw.hex(), message)
    assert not peer.verify_with_sm3(raw.hex(), message + b"!")
    assert key.public_key.verify(bytes.fromhex(peer.sign_with_sm3(message)), message, form=SignatureForm.RAW)


@pytest.mark.parametrize(("mode", "form"), [(1, CipherForm.BARE_C1C3C2), (0, CipherForm.BARE_C1C2C3)])
def test_gmssl_and_we_open_each_others_ciphertexts_in_either_order(key, number, message, mode, form):
    gmssl = pytest.importorskip("gmssl.sm2")
    peer = gmssl.CryptSM2(private_key=f"{number:064x}", public_key=key.public_key.point.hex(), mode=mode)
    assert peer.decrypt(key.public_key.encrypt(message, form=form)) == message
    assert key.decrypt(peer.encrypt(message), form=form) == message
