"""The acquirer's cards of its terminals: numbers, serials, master keys, and the working keys in force.

Master keys are made at first start and kept as files, one a terminal, readable by the owner only; everything else is in
the store. A working key is kept as it was sent, under the terminal's master key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.keys import (
    Cipher,
    KeyKind,
    MasterKey,
    WrappedKey,
    check_value,
    is_weak,
    pack_key_download,
)
from unicom_coupon_adapters.unionpay_pos.mac import MacAlgorithm, MacKey
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.sandbox.emulator import Frame

MERCHANT: Final = "999290054110001"
TPDU: Final = "6000030000"
COUNT: Final = 33
GRACE_S: Final = 60
"""How long the keys before the last sign-on are still taken, for transactions in flight (sheet 9.3)."""

NUMBERS: Final = tuple(f"{10_000_001 + index:08d}" for index in range(COUNT))
_KIND: Final = "terminal"
_SIZES: Final = {"001": (8, 8, 0), "003": (16, 8, 0), "004": (16, 8, 16), "006": (16, 16, 16)}
"""Bytes of PIK, MAK and TDK that a sign-on brings. DES MAKs have 8 even in "double" mode (sheet 6.1)."""


def serial_of(number: str) -> str:
    """The hardware serial of a terminal of this host."""
    return f"00000402SB{number}"


@dataclass(frozen=True)
class Cards:
    """All terminals of this host."""

    frame: Frame

    def master_file(self, number: str) -> Path:
        """The file with a terminal's master key in hex, made if there is none."""
        path = self.frame.directory / f"{number}.tmk"
        if not path.exists():
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(self._fresh(16).hex().upper())
        return path.absolute()

    def master(self, number: str) -> bytes:
        """A terminal's master key."""
        return bytes.fromhex(_read(self.master_file(number)))

    def card(self, number: str) -> dict[str, Any] | None:
        """What is written on a terminal's card; ``None`` for a terminal of somebody else."""
        if number not in NUMBERS:
            return None
        return self.frame.store.get(_KIND, number) or {"batch": 1, "is_settled": False}

    def write(self, number: str, card: Mapping[str, Any]) -> None:
        """Keep a card."""
        self.frame.store.put(_KIND, number, card)

    def signed_on(self, number: str, *, network: str) -> bytes:
        """New working keys for a terminal: field 62 of the answer. The old MAK is taken for a minute more."""
        card = self.card(number) or {}
        cipher = Cipher.SM4 if network == "006" else Cipher.DES
        master = MasterKey.for_sandbox(self.master(number), field="tmk", cipher=cipher)
        wrapped: dict[KeyKind, WrappedKey] = {}
        for kind, size in zip(KeyKind, _SIZES[network], strict=True):
            if size:
                clear = self._fresh(size)
                wrapped[kind] = WrappedKey(kind, master.wrap(clear), check_value(clear, cipher=cipher))
        if "mak" in card:
            until = self.frame.now() + timedelta(seconds=GRACE_S)
            card["previous"] = {"mak": card["mak"], "network": card["network"], "until": until.timestamp()}
        card |= {"mak": wrapped[KeyKind.MAK].wrapped.hex(), "network": network, "day": self._day()}
        self.write(number, card)
        return pack_key_download(tuple(wrapped.values()), network_code=network)

    def forget_keys(self, number: str) -> None:
        """No working keys: the terminal must sign on."""
        card = self.card(number)
        if card is not None:
            for name in ("mak", "network", "day", "previous"):
                card.pop(name, None)
            self.write(number, card)

    def mac_keys(self, number: str) -> tuple[MacKey, ...]:
        """The keys a message of this terminal may be under, newest first; none when it has not signed on today."""
        card = self.card(number)
        if card is None or card.get("day") != self._day():
            return ()
        kept = [card]
        if "previous" in card and card["previous"]["until"] >= self.frame.now().timestamp():
            kept.append(card["previous"])
        master = self.master(number)
        return tuple(_mac_key(master, bytes.fromhex(one["mak"]), one["network"]) for one in kept)

    def _day(self) -> str:
        return self.frame.now().astimezone(BEIJING).date().isoformat()

    def _fresh(self, size: int) -> bytes:
        while True:
            key = bytes(_odd(byte) for byte in self.frame.random_bytes(size))
            if not is_weak(key):
                return key

    def credentials(self) -> dict[str, Any]:
        """The sandbox contract's row: the first terminal, and 32 more."""
        first, *others = (self._credentials(number) for number in NUMBERS)
        return {**first, "terminals": others}

    def _credentials(self, number: str) -> dict[str, Any]:
        return {
            "tpdu": TPDU,
            "merchant_no": MERCHANT,
            "terminal_no": number,
            "terminal_serial": serial_of(number),
            "tmk_hex": self.master(number).hex().upper(),
        }


def _odd(byte: int) -> int:
    """``byte`` with odd parity, as DES keys are written."""
    return byte if byte.bit_count() % 2 else byte ^ 1


@lru_cache(maxsize=256)
def _read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


@lru_cache(maxsize=256)
def _mac_key(master: bytes, wrapped: bytes, network: str) -> MacKey:
    cipher = Cipher.SM4 if network == "006" else Cipher.DES
    key = MasterKey.for_sandbox(master, field="tmk", cipher=cipher).unwrap(wrapped)
    return MacKey(key, algorithm=MacAlgorithm.SM4 if network == "006" else MacAlgorithm.ECB)
