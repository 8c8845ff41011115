"""AES-GCM: keys of three lengths, one error for every fault, nothing shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicom_coupon_sdk.crypto.aead import AesGcm
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage, ValidationError

NONCE = b"twelve bytes"


@given(
    key=st.sampled_from([16, 24, 32]).flatmap(lambda length: st.binary(min_size=length, max_size=length)),
    text=st.binary(max_size=300),
    aad=st.binary(max_size=40),
)
def test_a_text_goes_there_and_back(key: bytes, text: bytes, aad: bytes) -> None:
    cipher = AesGcm(key)
    sealed = cipher.encrypt(text, nonce=NONCE, aad=aad)
    assert len(sealed) == len(text) + 16
    assert cipher.decrypt(sealed, nonce=NONCE, aad=aad) == text


@given(st.binary(min_size=1, max_size=100), st.data())
def test_any_changed_bit_is_noticed(text: bytes, data: st.DataObject) -> None:
    cipher = AesGcm(bytes(32))
    sealed = bytearray(cipher.encrypt(text, nonce=NONCE))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ForgedMessage):
        cipher.decrypt(bytes(sealed), nonce=NONCE)


@pytest.mark.parametrize("length", [0, 15, 17, 31, 33, 64])
def test_a_key_of_another_length_is_refused_and_its_setting_named(length: int) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AesGcm(b"k" * length, field="apiv3_keys[0]")
    assert caught.value.code == "key.length"
    assert caught.value.field == "apiv3_keys[0]"
    assert str(length) in str(caught.value)


@pytest.mark.parametrize("nonce", [b"", b"eleven byte", b"thirteen byte", b"sixteen bytes..."])
def test_encrypting_takes_nonces_of_twelve_bytes_only(nonce: bytes) -> None:
    with pytest.raises(ValidationError) as caught:
        AesGcm(bytes(16)).encrypt(b"text", nonce=nonce)
    assert caught.value.code == "crypto.nonce_length"


def test_the_key_is_not_shown() -> None:
    assert repr(AesGcm(b"k" * 32)) == "AesGcm(***)"
