"""Content encryption: AES-128-CBC, a zero IV, PKCS#7, base64 (sheet §1.7)."""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

_BLOCK_BITS: Final = 128
_ZERO_IV: Final = bytes(16)


class Unreadable(Exception):
    """The ciphertext is none of ours."""


def sealed(plaintext: bytes, *, key: str) -> str:
    """``plaintext`` encrypted under the base64 ``key``."""
    padder = PKCS7(_BLOCK_BITS).padder()
    padded = padder.update(plaintext) + padder.finalize()
    encryptor = _cipher(key).encryptor()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode("ascii")


def opened(ciphertext: str, *, key: str) -> bytes:
    """The plaintext. Raises ``Unreadable``."""
    try:
        raw = base64.b64decode(ciphertext, validate=True)
        decryptor = _cipher(key).decryptor()
        padded = decryptor.update(raw) + decryptor.finalize()
        unpadder = PKCS7(_BLOCK_BITS).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except (binascii.Error, ValueError):
        raise Unreadable from None


@lru_cache(maxsize=64)
def _cipher(key: str) -> Cipher[modes.CBC]:
    return Cipher(algorithms.AES(base64.b64decode(key)), modes.CBC(_ZERO_IV))
