"""SM4: modes go there and back, padding faults look alike, keys are not shown."""

from __future__ import annotations

import os
import subprocess
from shutil import which

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicom_coupon_sdk.crypto.sm4 import Sm4, Sm4Gcm
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage, ValidationError

keys = ivs = st.binary(min_size=16, max_size=16)
texts = st.binary(max_size=100)


@given(keys, ivs, texts)
def test_padded_and_counter_modes_go_there_and_back_at_any_length(key: bytes, iv: bytes, text: bytes) -> None:
    cipher = Sm4(key)
    assert cipher.decrypt_cbc_padded(cipher.encrypt_cbc_padded(text, iv=iv), iv=iv) == text
    assert cipher.decrypt_ecb_padded(cipher.encrypt_ecb_padded(text)) == text
    assert cipher.crypt_ctr(cipher.crypt_ctr(text, counter=iv), counter=iv) == text
    whole = text + bytes(-len(text) % 16) or bytes(16)
    assert cipher.decrypt_cbc(cipher.encrypt_cbc(whole, iv=iv), iv=iv) == whole
    assert cipher.decrypt_ecb(cipher.encrypt_ecb(whole)) == whole


@given(keys, st.binary(min_size=12, max_size=12), texts, texts)
def test_gcm_goes_there_and_back(key: bytes, nonce: bytes, text: bytes, aad: bytes) -> None:
    cipher = Sm4Gcm(key)
    sealed = cipher.encrypt(text, nonce=nonce, aad=aad)
    assert len(sealed) == len(text) + 16
    assert cipher.decrypt(sealed, nonce=nonce, aad=aad) == text


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(b"\x00", id="zero"),
        pytest.param(b"\x11", id="longer than a block"),
        pytest.param(b"\x01\x02", id="one of two is wrong"),
        pytest.param(b"\x03\x04\x04\x04", id="the first of four is wrong"),
    ],
)
def test_every_wrong_padding_gives_the_same_error(ending: bytes) -> None:
    cipher, iv = Sm4(bytes(16)), bytes(16)
    block = (b"x" * 16)[: 16 - len(ending)] + ending
    for decrypt in (
        lambda: cipher.decrypt_cbc_padded(cipher.encrypt_cbc(block, iv=iv), iv=iv),
        lambda: cipher.decrypt_ecb_padded(cipher.encrypt_ecb(block)),
    ):
        with pytest.raises(ForgedMessage) as caught:
            decrypt()
        assert caught.value.code == "message.undecryptable"
        assert caught.value.__suppress_context__


@pytest.mark.parametrize("make", [Sm4, Sm4Gcm])
@pytest.mark.parametrize("length", [0, 15, 17, 32])
def test_a_key_of_another_length_is_refused(make: type[Sm4 | Sm4Gcm], length: int) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make(bytes(length), field="bank_sm4_key")
    assert (caught.value.code, caught.value.field) == ("key.length", "bank_sm4_key")


@pytest.mark.parametrize("length", [0, 12, 15, 17])
def test_an_iv_of_another_length_is_refused(length: int) -> None:
    cipher, iv = Sm4(bytes(16)), bytes(length)
    for run in (
        lambda: cipher.encrypt_cbc(bytes(16), iv=iv),
        lambda: cipher.encrypt_cbc_padded(b"x", iv=iv),
        lambda: cipher.decrypt_cbc(bytes(16), iv=iv),
        lambda: cipher.crypt_ctr(b"x", counter=iv),
    ):
        with pytest.raises(ValidationError) as caught:
            run()
        assert caught.value.code == "crypto.nonce_length"


def test_a_gcm_nonce_of_another_length_is_refused_when_encrypting() -> None:
    with pytest.raises(ValidationError):
        Sm4Gcm(bytes(16)).encrypt(b"x", nonce=bytes(11))


@pytest.mark.parametrize("cipher", [Sm4(b"k" * 16), Sm4Gcm(b"k" * 16)])
def test_the_key_is_not_shown(cipher: Sm4 | Sm4Gcm) -> None:
    assert repr(cipher) == f"{type(cipher).__name__}(***)"


@pytest.mark.skipif(which("openssl") is None, reason="the openssl command is not installed")
@pytest.mark.parametrize("mode", ["cbc", "ecb", "ctr"])
def test_openssl_makes_the_same_ciphertext(mode: str) -> None:
    key, iv, text = os.urandom(16), os.urandom(16), os.urandom(77)
    arguments = ["openssl", "enc", f"-sm4-{mode}", "-K", key.hex()]
    arguments += [] if mode == "ecb" else ["-iv", iv.hex()]
    theirs = subprocess.run(arguments, input=text, capture_output=True, check=True, timeout=20).stdout
    cipher = Sm4(key)
    ours = {
        "cbc": lambda: cipher.encrypt_cbc_padded(text, iv=iv),
        "ecb": lambda: cipher.encrypt_ecb_padded(text),
        "ctr": lambda: cipher.crypt_ctr(text, counter=iv),
    }[mode]()
    assert ours == theirs
