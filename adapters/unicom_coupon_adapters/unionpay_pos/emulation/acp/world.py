"""What every part of the emulated gateway works with: the frame, the certificates in force, one verified request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.emulation.acp.certificates import ENCRYPT, SIGN, Certificates
from unicom_coupon_adapters.unionpay_pos.emulation.acp.refusals import Refusal
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey
from unicom_coupon_sdk.sandbox.emulator import Frame, Store

MER_ID: Final = "777290058110048"
BEIJING: Final = timezone(timedelta(hours=8))
STEPS: Final = ("encryption_certificate", "signing_certificate")
_GENERATION: Final = "acp_generation"


@dataclass(frozen=True)
class World:
    """One emulated gateway."""

    frame: Frame
    certificates: Certificates

    @property
    def store(self) -> Store:
        """Where all state lives."""
        return self.frame.store

    def now(self) -> datetime:
        """The simulated time, UTC."""
        return self.frame.now()

    def local(self) -> datetime:
        """The simulated time in Beijing."""
        return self.frame.now().astimezone(BEIJING)

    def clearing(self) -> date:
        """The clearing day of this moment: from 23:00 to 23:00 (sheet 11.1)."""
        return (self.local() + timedelta(hours=1)).date()

    def digits(self, count: int) -> str:
        """Drawn decimal digits."""
        return str(int.from_bytes(self.frame.random_bytes(count)) % 10**count).zfill(count)

    def generation(self, step: str) -> int:
        """Which certificate of its kind is in force."""
        return int((self.store.get("keys", _GENERATION) or {}).get(step, 1))

    def renew(self, step: str) -> int:
        """Put the next certificate of its kind in force; which that is."""
        kept = self.store.get("keys", _GENERATION) or {}
        self.store.put("keys", _GENERATION, {**kept, step: self.generation(step) + 1})
        return self.generation(step)

    @property
    def signing(self) -> tuple[RsaPrivateKey, Certificate]:
        """UnionPay's signing key and certificate."""
        generation = self.generation("signing_certificate")
        return (
            self.certificates.key(SIGN, generation=generation),
            self.certificates.certificate(SIGN, generation=generation),
        )

    @property
    def encryption(self) -> tuple[RsaPrivateKey, Certificate]:
        """UnionPay's encryption key and certificate."""
        generation = self.generation("encryption_certificate")
        return (
            self.certificates.key(ENCRYPT, generation=generation),
            self.certificates.certificate(ENCRYPT, generation=generation),
        )


@dataclass(frozen=True)
class Call:
    """One verified request on its way to a handler."""

    world: World
    fields: Mapping[str, str] = field(repr=False)

    @property
    def store(self) -> Store:
        """Where all state lives."""
        return self.world.store

    def text(self, name: str) -> str:
        """A field; empty when it is absent."""
        return self.fields.get(name, "")

    def needed(self, name: str) -> str:
        """A field. Raises 13 without it."""
        value = self.fields.get(name, "")
        if not value:
            raise Refusal("13", f"报文交易要素缺失[{name}]")
        return value

    def amount(self) -> int:
        """``txnAmt`` in fen. Raises 10 for another shape, and for a currency that is not 156."""
        text = self.needed("txnAmt")
        if not (text.isascii() and text.isdigit() and len(text) <= 12 and int(text)):
            raise Refusal("10", "报文格式错误[txnAmt]")
        if self.needed("currencyCode") != "156":
            raise Refusal("10", "报文格式错误[currencyCode]")
        return int(text)


def clearing_text(day: date) -> str:
    """A clearing day as answers have it, MMDD."""
    return f"{day:%m%d}"


Document = dict[str, Any]
"""A stored transaction, coupon or code."""
