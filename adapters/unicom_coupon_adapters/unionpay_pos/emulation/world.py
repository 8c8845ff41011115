"""What every part of the emulated host works with: the frame, the terminals' cards, one request, its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.coupon_block import CouponBlock, CouponState, Tag
from unicom_coupon_adapters.unionpay_pos.emulation.cards import Cards
from unicom_coupon_adapters.unionpay_pos.iso_message import FieldValue, Message
from unicom_coupon_adapters.unionpay_pos.profile import clearing_date
from unicom_coupon_adapters.unionpay_pos.subfields import TransactionType
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.sandbox.emulator import Frame, Store

ACQUIRER: Final = "00012900"
DEFAULT_MODES: Final[Mapping[str, str]] = {
    "duplicate": "replay",
    "unknown_reversal": "00",
    "void_in_totals": "credit",
    "coupon_in_totals": "yes",
}
"""How the host answers where acquirers differ (sheet 9.4); ``POST /deliveries`` with ``action=mode`` changes them."""


class Decline(Exception):
    """The host says no: response code, coupon state (tag 82), upstream code (87), text for the cashier (88)."""

    def __init__(self, code: str, *, state: CouponState | None = None, upstream: str = "", text: str = "") -> None:
        self.code = code
        self.state = state
        self.upstream = upstream
        self.text = text
        super().__init__(code)

    def tags(self) -> dict[Tag, str]:
        """The coupon tags that say so."""
        found: dict[Tag, str] = {}
        if self.state is not None:
            found[Tag.STATE] = self.state.value
        if self.upstream:
            found[Tag.UPSTREAM_CODE] = self.upstream
        if self.text:
            found[Tag.CASHIER_TEXT] = self.text
        return found


@dataclass(frozen=True)
class World:
    """One emulated acquirer."""

    frame: Frame
    cards: Cards

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

    def clearing(self) -> str:
        """Today's clearing day, MMDD."""
        return f"{clearing_date(self.now()):%m%d}"

    def mode(self, name: str) -> str:
        """A mode of the host."""
        kept = self.store.get("modes", "modes") or {}
        return str(kept.get(name, DEFAULT_MODES[name]))

    def reference(self) -> str:
        """A new retrieval reference (field 37): month, day, and eight digits that no other has that day."""
        return f"{self.local():%m%d}{self.store.next_number('reference') % 10**8:08d}"


@dataclass(frozen=True)
class Request:
    """One message whose terminal is known and whose MAC was right."""

    world: World
    message: Message
    kind: TransactionType
    terminal: str
    merchant: str
    block: CouponBlock = field(default_factory=lambda: CouponBlock({}))

    @property
    def store(self) -> Store:
        """Where all state lives."""
        return self.world.store

    @property
    def trace(self) -> str:
        """Field 11."""
        return self.message.text(11)

    @property
    def key(self) -> str:
        """What names this transaction for ever: merchant, terminal, batch, trace (sheet 8.3)."""
        return key_of(self.merchant, self.terminal, self.kind.batch, self.trace)

    @property
    def amount(self) -> int:
        """Field 4 in fen; 0 where there is none."""
        value = self.message.fields.get(4)
        return int(value) if isinstance(value, str) else 0

    @property
    def code(self) -> str:
        """The coupon's code."""
        code = self.block.get(Tag.CODE)
        if code is None:
            raise Decline("30", text="缺少券码")
        return code

    @property
    def wish(self) -> str:
        """The idempotency key: tag 03, else derived from terminal, batch and trace (sheet 5.2)."""
        return self.block.get(Tag.KEY) or f"{self.terminal}{self.kind.batch}{self.trace}"


@dataclass(frozen=True)
class Told:
    """What the host answers: the code, further fields, and tags of the coupon block."""

    code: str = "00"
    fields: Mapping[int, FieldValue] = field(default_factory=dict)
    tags: Mapping[Tag, str] = field(default_factory=dict)
    requirement: int = 0


def key_of(merchant: str, terminal: str, batch: str, trace: str) -> str:
    """The key of a transaction."""
    return f"{merchant}|{terminal}|{batch}|{trace}"


def answer_to(world: World, message: Message, told: Told) -> Message:
    """The answer's message without field 64: what is echoed, the host's times, what it tells (sheet 3.3)."""
    fields: dict[int, FieldValue] = {
        number: message.fields[number] for number in (3, 4, 11, 25, 41, 42, 49, 60) if number in message.fields
    }
    local = world.local()
    fields |= {12: f"{local:%H%M%S}", 13: f"{local:%m%d}", 32: ACQUIRER, 39: told.code}
    if 37 not in told.fields:
        fields[37] = world.reference()
    fields |= told.fields
    if told.tags:
        fields[62] = CouponBlock(dict(told.tags)).packed()
    return Message(message.answer_type(), dict(sorted(fields.items())))


def shown_of(transaction: Mapping[str, Any]) -> dict[str, Any]:
    """A transaction as the management calls show it: no code in full."""
    code = transaction.get("code", "")
    masked = f"{code[:4]}***{code[-4:]}" if len(code) >= 12 else "***"
    return {**{name: value for name, value in transaction.items() if name != "answer"}, "code": masked}
