"""What every part works with: the frame, the keys, the day it is in Beijing, and one request on its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

from unicom_coupon_adapters.bank.emulation.keys import BankKeys
from unicom_coupon_adapters.bank.emulation.refusals import Refusal
from unicom_coupon_sdk.sandbox.emulator import Frame, Store

BEIJING: Final = timezone(timedelta(hours=8))


@dataclass(frozen=True)
class World:
    """One emulated bank."""

    frame: Frame
    keys: BankKeys

    @property
    def store(self) -> Store:
        """Where all state lives."""
        return self.frame.store

    def now(self) -> datetime:
        """The simulated time, UTC."""
        return self.frame.now()

    def today(self) -> date:
        """The business day: the calendar day in Beijing."""
        return self.now().astimezone(BEIJING).date()

    def digits(self, count: int) -> str:
        """Drawn decimal digits."""
        return str(int.from_bytes(self.frame.random_bytes(count)) % 10**count).zfill(count)

    def bank_number(self) -> str:
        """A new order number of the bank: 26 digits, in order."""
        return f"1004{stamp(self.now())[2:]}{self.store.next_number('order'):010d}"


@dataclass(frozen=True)
class Call:
    """A request whose envelope was found good. ``sealed`` holds the decrypted objects of encrypted fields."""

    world: World
    face: str
    operation: str
    biz: Mapping[str, Any] = field(repr=False)
    sealed: Mapping[str, Mapping[str, Any]] = field(repr=False)
    base_url: str

    def text(self, name: str, *, longest: int = 256, required: bool = True) -> str:
        """A field that is text; empty when it may be and is absent. Raises ``UNDEFINED_PRAM``."""
        value = self.biz.get(name)
        if value is None and not required:
            return ""
        if not isinstance(value, str) or not 0 < len(value) <= longest:
            raise Refusal("UNDEFINED_PRAM")  # null, blank and other types too (sheet §1.2)
        return value

    def amount(self, name: str = "txnAmt", *, required: bool = True) -> int:
        """An amount: a text of whole fen, without a leading zero. Raises ``TXNAMT_NOT_LAWFUL``."""
        value = self.biz.get(name)
        if value is None and not required:
            return 0
        if not isinstance(value, str):
            raise Refusal("UNDEFINED_PRAM" if value is None else "TXNAMT_NOT_LAWFUL")
        if not (value.isascii() and value.isdigit() and len(value) <= 13 and value[0] != "0"):
            raise Refusal("TXNAMT_NOT_LAWFUL")
        return int(value)

    def sealed_text(self, field_name: str, name: str) -> str:
        """One text inside an encrypted field. Raises ``DECRYPT_ERROR``."""
        value = self.sealed.get(field_name, {}).get(name)
        if not isinstance(value, str) or not value:
            raise Refusal("DECRYPT_ERROR")
        return value


def stamp(at: datetime) -> str:
    """``yyyyMMddHHmmss`` in Beijing."""
    return at.astimezone(BEIJING).strftime("%Y%m%d%H%M%S")


def elapsed_s(since: str, now: datetime) -> int:
    """Whole seconds since an ISO time."""
    return int((now - datetime.fromisoformat(since)).total_seconds())
