"""The keys of a terminal: master key, transport key, working keys and their check values (sheet 6.1, 13.2).

::

    KEK  transport key, at the acquirer and its loading device
     └─ TMK  one a terminal, injected
         └─ PIK, MAK, TDK  new at every sign-on, under the TMK

Only the MAK (and the TDK, for hosts) is ever held in the clear here. A PIN key is checked and thrown away: PINs are the
business of the approved keypad, and no function of this package takes one.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from unicom_coupon_adapters.unionpay_pos.blocks import BlockCipher, Des, Sm4
from unicom_coupon_adapters.unionpay_pos.frame_errors import refuse
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage

CHECK_BYTES: Final = 4

_WELL_KNOWN: Final = frozenset(
    bytes.fromhex(text)
    for text in (
        "0123456789ABCDEFFEDCBA9876543210",
        "0123456789ABCDEF0123456789ABCDEF",
        "FEDCBA98765432100123456789ABCDEF",
        "CA5D92598DCA48CE8A4C76361A9269E9",
        "1CF88AB5D64F314F9EF237FBD99E29CD",
        "70F2A84CCBC2AE8625CBB0F2C22AB923",
        "C7D50808A7DFFE62B9943B45A4C77FC7",
    )
)
"""Keys printed in standards, posts and vendors' examples."""


class KeyKind(Enum):
    """The working keys that a sign-on answer may bring."""

    PIK = "pik"
    MAK = "mak"
    TDK = "tdk"


class Cipher(Enum):
    """What the master key is for."""

    DES = "des"  # single or two-key triple DES, by length
    SM4 = "sm4"

    def of(self, key: bytes) -> BlockCipher:
        """The block cipher of ``key``. Raises ``ConfigurationError`` ``unionpay_pos.key_length``."""
        return Sm4(key) if self is Cipher.SM4 else Des(key)


def check_value(key: bytes, *, cipher: Cipher = Cipher.DES, size: int = CHECK_BYTES) -> bytes:
    """The first ``size`` bytes of a zero block encrypted with the clear ``key``.

    Four bytes at sign-on, eight in key downloads. For SM4 the block has 16 zero bytes (unconfirmed). It may be logged.
    """
    block = cipher.of(key)
    return block.encrypt(bytes(block.block))[:size]


class MasterKey:
    """A TMK (or a KEK): unwraps keys, never shown.

    ``MasterKey.load`` refuses keys that anyone could guess; ``MasterKey.for_sandbox`` takes them.
    """

    __slots__ = ("_block", "cipher")

    def __init__(self, block: BlockCipher, cipher: Cipher) -> None:
        self._block = block
        self.cipher = cipher

    @classmethod
    def load(cls, key: bytes, *, field: str, cipher: Cipher = Cipher.DES) -> MasterKey:
        """A master key for real use; ``field`` is the setting's name.

        Raises ``ConfigurationError``: ``unionpay_pos.key_length``, ``unionpay_pos.key_weak`` (one byte repeated, equal
        halves, a key known from documents, or one with fewer than six different bytes).
        """
        if is_weak(key, cipher=cipher):
            raise ConfigurationError("unionpay_pos.key_weak", field=field)
        return cls.for_sandbox(key, field=field, cipher=cipher)

    @classmethod
    def for_sandbox(cls, key: bytes, *, field: str, cipher: Cipher = Cipher.DES) -> MasterKey:
        """A master key for tests and the sandbox, weak or not. Raises ``unionpay_pos.key_length``."""
        wanted = {16} if cipher is Cipher.SM4 else {8, 16}
        if len(key) not in wanted:
            raise ConfigurationError(
                "unionpay_pos.key_length", field=field, length=len(key), wanted=", ".join(map(str, sorted(wanted)))
            )
        return cls(cipher.of(key), cipher)

    def check(self) -> bytes:
        """Its own check value."""
        return self._block.encrypt(bytes(self._block.block))[:CHECK_BYTES]

    def unwrap(self, wrapped: bytes) -> bytes:
        """A key in the clear. Raises ``FrameError`` ``unionpay_pos.frame_key_block`` unless it is whole blocks."""
        if not wrapped or len(wrapped) % self._block.block:
            refuse("key_block", field="62", length=len(wrapped))
        return self._block.decrypt(wrapped)

    def wrap(self, key: bytes) -> bytes:
        """A key under this one: for hosts. Raises as ``unwrap`` does."""
        if not key or len(key) % self._block.block:
            refuse("key_block", field="62", length=len(key))
        return self._block.encrypt(key)

    def unwrap_checked(self, wrapped: bytes, check: bytes) -> bytes:
        """A key in the clear, when ``check`` (4 or 8 bytes) is its check value.

        Raises ``ForgedMessage`` ``unionpay_pos.key_check``, ``FrameError`` ``unionpay_pos.frame_key_block``.
        """
        if len(check) not in {4, 8}:
            refuse("key_block", field="62", length=len(check))
        key = self.unwrap(wrapped)
        if not hmac.compare_digest(check_value(key, cipher=self.cipher, size=len(check)), check):
            raise ForgedMessage("unionpay_pos.key_check", field="62", platform="unionpay_pos")
        return key

    def __repr__(self) -> str:
        return f"MasterKey({self.cipher.value}, ***)"


def is_weak(key: bytes, *, cipher: Cipher = Cipher.DES) -> bool:
    """Whether ``key`` protects nothing: repeated or few bytes, equal halves of triple DES, or printed somewhere."""
    parityless = bytes(byte & 0xFE for byte in key) if cipher is Cipher.DES else key
    if len(set(parityless)) < 6 or key in _WELL_KNOWN:
        return True
    half = len(parityless) // 2
    return cipher is Cipher.DES and len(key) == 16 and parityless[:half] == parityless[half:]


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A working key as it comes: under the TMK, with the check value of the clear key."""

    kind: KeyKind
    wrapped: bytes = field(repr=False)
    check: bytes


@dataclass(frozen=True, slots=True)
class WorkingKeys:
    """What a sign-on leaves: the MAK, and the TDK where the acquirer sent one. Never shown."""

    mak: bytes = field(repr=False)
    tdk: bytes | None = field(repr=False)


_LAYOUTS: Final = {
    # network code (60.3): bytes of PIK, MAK field, TDK (0: none); sheet 4.10
    "001": (8, 8, 0),
    "003": (16, 16, 0),
    "004": (16, 16, 16),
    "006": (16, 16, 16),
}


def parse_key_download(field62: bytes, *, network_code: str) -> tuple[WrappedKey, ...]:
    """The keys in a sign-on answer, told apart by field 60.3 and not by length.

    In DES layouts a MAK of double width whose second half is all zero is a single-length key.
    Raises ``FrameError``: ``unionpay_pos.frame_key_layout`` for an unknown code or another length.
    """
    layout = _LAYOUTS.get(network_code)
    if layout is None:
        refuse("key_layout", field="60.3")
    wanted = sum(size + CHECK_BYTES for size in layout if size)
    if len(field62) != wanted:
        refuse("key_layout", field="62", length=len(field62), wanted=wanted)
    found: list[WrappedKey] = []
    at = 0
    for kind, size in zip(KeyKind, layout, strict=True):
        if not size:
            continue
        wrapped = field62[at : at + size]
        if kind is KeyKind.MAK and network_code != "006" and wrapped[8:] == bytes(8):
            wrapped = wrapped[:8]
        found.append(WrappedKey(kind, wrapped, field62[at + size : at + size + CHECK_BYTES]))
        at += size + CHECK_BYTES
    return tuple(found)


def pack_key_download(keys: tuple[WrappedKey, ...], *, network_code: str) -> bytes:
    """Field 62 of a sign-on answer: what ``parse_key_download`` reads. Raises ``unionpay_pos.frame_key_layout``."""
    layout = _LAYOUTS.get(network_code)
    if layout is None:
        refuse("key_layout", field="60.3")
    by_kind = {key.kind: key for key in keys}
    wanted = {kind: size for kind, size in zip(KeyKind, layout, strict=True) if size}
    if set(by_kind) != set(wanted) or len(keys) != len(by_kind):
        refuse("key_layout", field="62")
    for kind, key in by_kind.items():
        short = kind is KeyKind.MAK and network_code in {"003", "004"} and len(key.wrapped) == 8
        if len(key.check) != CHECK_BYTES or (len(key.wrapped) != wanted[kind] and not short):
            refuse("key_layout", field=f"62.{kind.value}", length=len(key.wrapped), wanted=wanted[kind])
    return b"".join(by_kind[kind].wrapped.ljust(size, b"\0") + by_kind[kind].check for kind, size in wanted.items())


def load_working_keys(field62: bytes, *, network_code: str, master: MasterKey) -> WorkingKeys:
    """The working keys of a sign-on answer, after every check value was right. All or nothing.

    Raises ``ForgedMessage`` ``unionpay_pos.key_check`` when any is wrong: the whole set is to be thrown away and the
    old one not used again; ``ConfigurationError`` ``unionpay_pos.key_cipher`` when the code and the TMK disagree;
    ``FrameError`` as ``parse_key_download``.
    """
    if (network_code == "006") != (master.cipher is Cipher.SM4):
        raise ConfigurationError("unionpay_pos.key_cipher", field="tmk")
    clear = {
        key.kind: master.unwrap_checked(key.wrapped, key.check)
        for key in parse_key_download(field62, network_code=network_code)
    }
    del clear[KeyKind.PIK]
    return WorkingKeys(clear[KeyKind.MAK], clear.get(KeyKind.TDK))
