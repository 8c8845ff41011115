"""Single blocks of DES, two-key triple DES and SM4, with the cipher objects kept.

The terminal world encrypts eight or sixteen bytes at a time with a handful of keys, so making a cipher costs more than
using it. The library's object may not be used by two threads at once; each thread keeps its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import SM4

from unicom_coupon_sdk.errors import ConfigurationError


class BlockCipher:
    """A block cipher under one key. Encrypts and decrypts whole blocks, each by itself (ECB)."""

    __slots__ = ("_algorithm", "_kept", "block")

    def __init__(self, algorithm: BlockCipherAlgorithm) -> None:
        self._algorithm = algorithm
        self._kept = threading.local()
        self.block: Final = algorithm.block_size // 8

    def encryptor(self) -> Callable[[bytes], bytes]:
        """What encrypts whole blocks one by one, for this thread."""
        try:
            update: Callable[[bytes], bytes] = self._kept.encrypt
        except AttributeError:
            update = self._kept.encrypt = self._ecb().encryptor().update
        return update

    def encrypt(self, blocks: bytes) -> bytes:
        """``blocks`` (whole ones) encrypted one by one."""
        return self.encryptor()(blocks)

    def decrypt(self, blocks: bytes) -> bytes:
        """``blocks`` (whole ones) decrypted one by one."""
        try:
            update: Callable[[bytes], bytes] = self._kept.decrypt
        except AttributeError:
            update = self._kept.decrypt = self._ecb().decryptor().update
        return update(blocks)

    def _ecb(self) -> Cipher[modes.ECB]:
        return Cipher(self._algorithm, modes.ECB())  # noqa: S305 - single blocks, as the network demands

    def cbc(self, blocks: bytes) -> bytes:
        """``blocks`` encrypted in a chain from an all-zero start: for MACs only."""
        return Cipher(self._algorithm, modes.CBC(bytes(self.block))).encryptor().update(blocks)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"


class Des(BlockCipher):
    """Single DES for 8-byte keys, triple DES (encrypt, decrypt, encrypt) for 16-byte keys.

    Raises ``ConfigurationError`` ``unionpay_pos.key_length`` for other lengths.
    """

    __slots__ = ()

    def __init__(self, key: bytes) -> None:
        if len(key) not in {8, 16}:
            raise ConfigurationError("unionpay_pos.key_length", field="key", length=len(key), wanted="8, 16")
        super().__init__(TripleDES(key * 3 if len(key) == 8 else key + key[:8]))


class Sm4(BlockCipher):
    """SM4 (GB/T 32907). Raises ``ConfigurationError`` ``unionpay_pos.key_length`` unless the key has 16 bytes."""

    __slots__ = ()

    def __init__(self, key: bytes) -> None:
        if len(key) != 16:
            raise ConfigurationError("unionpay_pos.key_length", field="key", length=len(key), wanted="16")
        super().__init__(SM4(key))
