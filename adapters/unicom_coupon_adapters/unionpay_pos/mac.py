"""Message authentication codes of field 64 (sheet 6.3 and 6.4).

UnionPay's default folds all blocks into one by XOR and encrypts that one twice, so two messages whose blocks are the
same in another order have the same MAC. It shows that a message comes from a terminal with the key; it does not show
the order of its contents. Run it inside TLS.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from unicom_coupon_adapters.unionpay_pos.blocks import BlockCipher, Des, Sm4
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage

FIELD_BYTES: Final = 8


class MacAlgorithm(StrEnum):
    """How field 64 is made. The acquirer says which; the name is the setting's value."""

    ECB = "ecb"  # UnionPay, single DES, 8-byte key: the default
    ECB_3DES = "ecb3des"  # the same with a 16-byte key
    X99 = "x99"  # DES-CBC, last block, 8-byte key
    X919 = "x919"  # retail MAC, 16-byte key
    SM4 = "sm4"  # UnionPay's steps with 16-byte blocks: inferred from one host, unconfirmed


_KEY_BYTES: Final = {
    MacAlgorithm.ECB: 8,
    MacAlgorithm.ECB_3DES: 16,
    MacAlgorithm.X99: 8,
    MacAlgorithm.X919: 16,
    MacAlgorithm.SM4: 16,
}


class MacKey:
    """A clear MAK that makes and checks field 64. Never shown; safe to share between threads.

    Raises ``ConfigurationError`` ``unionpay_pos.key_length`` when the key does not fit the algorithm.
    """

    __slots__ = ("algorithm", "sign")

    def __init__(self, key: bytes, *, algorithm: MacAlgorithm = MacAlgorithm.ECB) -> None:
        if len(key) != _KEY_BYTES[algorithm]:
            raise ConfigurationError(
                "unionpay_pos.key_length", field="mak", length=len(key), wanted=str(_KEY_BYTES[algorithm])
            )
        self.algorithm = algorithm
        self.sign: Callable[[bytes], bytes] = _signer(key, algorithm)
        """The 8 bytes of field 64 over a message: its type up to the byte before field 64."""

    def verify(self, message: bytes, mac: bytes) -> bool:
        """Whether ``mac`` is field 64 of ``message``; takes the same time wherever they differ."""
        return hmac.compare_digest(self.sign(message), mac)

    def seal(self, unsealed: bytes) -> bytes:
        """A whole body from what ``pack_unsealed`` made."""
        return unsealed + self.sign(unsealed)

    def open(self, body: bytes) -> bytes:
        """``body`` unchanged, when its last 8 bytes are its MAC and bit 64 is set.

        Raises ``ForgedMessage`` ``unionpay_pos.mac_missing`` or ``unionpay_pos.mac_wrong``.
        """
        if len(body) < 10 + FIELD_BYTES or not body[9] & 1:
            raise ForgedMessage("unionpay_pos.mac_missing", field="64", platform="unionpay_pos")
        if not self.verify(body[:-FIELD_BYTES], body[-FIELD_BYTES:]):
            raise ForgedMessage("unionpay_pos.mac_wrong", field="64", platform="unionpay_pos")
        return body

    def __repr__(self) -> str:
        return f"MacKey({self.algorithm.value}, ***)"


def _signer(key: bytes, algorithm: MacAlgorithm) -> Callable[[bytes], bytes]:
    match algorithm:
        case MacAlgorithm.ECB | MacAlgorithm.ECB_3DES:
            return _folded(Des(key))
        case MacAlgorithm.SM4:
            return _folded(Sm4(key))
        case MacAlgorithm.X99:
            des = Des(key)
            return lambda message: des.cbc(padded(message, 8))[-8:]
        case MacAlgorithm.X919:
            left, right = Des(key[:8]), Des(key[8:])
            return lambda message: left.encrypt(right.decrypt(left.cbc(padded(message, 8))[-8:]))


def padded(message: bytes, block: int) -> bytes:
    """``message`` with zero bytes behind up to a whole block; nothing is added to whole blocks. Empty becomes one."""
    return message + bytes(-len(message) % block) if message else bytes(block)


def fold(message: bytes, block: int) -> bytes:
    """All blocks of ``message`` XORed together, in upper-case hex: the two blocks that are encrypted.

    The message is one big number. XORing its upper half into its lower half, again and again, takes log2(blocks)
    operations instead of one a block; what is left above the lowest block is cut off at the end.
    """
    size = len(message)
    number = int.from_bytes(message, "big") << 8 * (-size % block)
    bits = 8 * block
    shift = bits << ((size - 1) // block).bit_length() >> 1
    while shift >= bits:
        number ^= number >> shift
        shift >>= 1
    return (b"%016X" if block == 8 else b"%032X") % (number & (1 << bits) - 1)


def _folded(cipher: BlockCipher) -> Callable[[bytes], bytes]:
    block = cipher.block

    def sign(message: bytes) -> bytes:
        text = fold(message, block)
        encrypt = cipher.encryptor()
        mixed = int.from_bytes(encrypt(text[:block]), "big") ^ int.from_bytes(text[block:], "big")
        return encrypt(mixed.to_bytes(block, "big"))[:4].hex().upper().encode()

    return sign
