"""Content encryption: AES-128-CBC with a zero IV under the application's key (sheet §1.7).

A zero IV makes equal texts equal ciphertexts, and CBC authenticates nothing: that is Alipay's format, so a decrypted
text is only read after the signature over its ciphertext was found right.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage

_BLOCK_BYTES = 16
_ZERO_IV = bytes(_BLOCK_BYTES)
_PADDING = PKCS7(_BLOCK_BYTES * 8)


class ContentCipher:
    """Encrypts and decrypts business content. Safe to share between threads.

    ``key`` is the console's base64 text of 16 bytes. Raises ``ConfigurationError`` ``alipay.aes_key``.
    """

    __slots__ = ("_algorithm",)

    def __init__(self, key: str, *, field: str = "aes_key") -> None:
        try:
            raw = base64.b64decode("".join(key.split()), validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        if len(raw) not in {16, 24, 32}:
            raise ConfigurationError("alipay.aes_key", field=field, platform="alipay")
        self._algorithm = algorithms.AES(raw)

    def encrypt(self, text: str) -> str:
        """The ciphertext of ``text`` in UTF-8, as base64. Block-aligned text gets a whole block of padding."""
        return base64.b64encode(self._encrypt(text, _ZERO_IV)).decode("ascii")

    def decrypt(self, ciphertext: str) -> str:
        """The text. Raises ``ForgedMessage`` ``message.undecryptable``, the same whatever is wrong."""
        return self._decrypt(_decoded(ciphertext), _ZERO_IV)

    def encrypt_v2(self, text: str, *, iv: bytes) -> str:
        """The ``AESV2`` layout, base64 of IV and ciphertext. ``iv`` is 16 fresh random bytes."""
        return base64.b64encode(iv + self._encrypt(text, iv)).decode("ascii")

    def decrypt_v2(self, ciphertext: str) -> str:
        """The text of an ``AESV2`` ciphertext. Raises as ``decrypt`` does."""
        raw = _decoded(ciphertext)
        return self._decrypt(raw[_BLOCK_BYTES:], raw[:_BLOCK_BYTES])

    def _encrypt(self, text: str, iv: bytes) -> bytes:
        padder = _PADDING.padder()
        encryptor = Cipher(self._algorithm, modes.CBC(iv)).encryptor()
        return encryptor.update(padder.update(text.encode()) + padder.finalize()) + encryptor.finalize()

    def _decrypt(self, raw: bytes, iv: bytes) -> str:
        if not raw or len(raw) % _BLOCK_BYTES or len(iv) != _BLOCK_BYTES:
            raise ForgedMessage("message.undecryptable", platform="alipay")
        decryptor = Cipher(self._algorithm, modes.CBC(iv)).decryptor()
        unpadder = _PADDING.unpadder()
        try:
            padded = decryptor.update(raw) + decryptor.finalize()
            return (unpadder.update(padded) + unpadder.finalize()).decode()
        except (ValueError, UnicodeDecodeError):
            raise ForgedMessage("message.undecryptable", platform="alipay") from None

    def __repr__(self) -> str:
        return "ContentCipher(***)"


def _decoded(ciphertext: str) -> bytes:
    try:
        return base64.b64decode(ciphertext, validate=True)
    except (binascii.Error, ValueError):
        raise ForgedMessage("message.undecryptable", platform="alipay") from None
