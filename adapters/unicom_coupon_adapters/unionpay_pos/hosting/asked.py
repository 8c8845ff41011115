"""One message at the host, and what it is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from unicom_coupon_adapters.unionpay_pos.coupon_block import CouponBlock, CouponState, Tag
from unicom_coupon_adapters.unionpay_pos.frame_errors import refuse
from unicom_coupon_adapters.unionpay_pos.hosting.book import key_of
from unicom_coupon_adapters.unionpay_pos.iso_message import FieldValue, Message
from unicom_coupon_adapters.unionpay_pos.profile import clearing_date
from unicom_coupon_adapters.unionpay_pos.subfields import TransactionType
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import (
    ComplianceError,
    CouponError,
    IdempotencyConflict,
    LimitError,
    PlatformUnavailable,
    PlatformUnknown,
    RiskError,
    ValidationError,
    VerificationError,
)

_ECHOED: Final = (3, 4, 11, 25, 41, 42, 49, 60)

_BY_CODE: Final[Mapping[str, tuple[str, CouponState | None]]] = {
    "coupon.unknown": ("14", CouponState.UNKNOWN_CODE),
    "coupon.redeemed": ("65", CouponState.USED),
    "coupon.held": ("62", CouponState.LOCKED),
    "coupon.reversing": ("62", CouponState.LOCKED),
    "reversal.done_before": ("22", CouponState.RETURNED),
    "reversal.under_way": ("22", CouponState.LOCKED),
    "coupon.expired": ("54", CouponState.EXPIRED),
    "coupon.void": ("57", CouponState.RETURNED),
    "coupon.min_spend": ("51", CouponState.USABLE),
    "unionpay_pos.value": ("61", CouponState.USABLE),
    "coupon.not_yet_valid": ("57", CouponState.NOT_VALID_HERE),
    "coupon.issued": ("57", CouponState.NOT_VALID_HERE),
    "coupon.not_bound": ("57", CouponState.NOT_VALID_HERE),
    "coupon.not_on_platform": ("57", CouponState.NOT_VALID_HERE),
    "coupon.kind_not_offered": ("57", CouponState.NOT_VALID_HERE),
}
_BY_KIND: Final[tuple[tuple[type[CouponError], str, CouponState | None], ...]] = (
    (LimitError, "61", CouponState.USABLE),
    (ComplianceError, "58", CouponState.NOT_VALID_HERE),
    (VerificationError, "62", CouponState.LOCKED),
    (RiskError, "62", CouponState.LOCKED),
    (IdempotencyConflict, "94", None),
    (ValidationError, "30", None),
    (PlatformUnavailable, "91", CouponState.UNKNOWN),
    (PlatformUnknown, "98", CouponState.UNKNOWN),
)


@dataclass(frozen=True, slots=True)
class Told:
    """What the host answers; ``is_silent`` says nothing at all."""

    code: str = "00"
    fields: Mapping[int, FieldValue] = field(default_factory=dict)
    tags: Mapping[Tag, str] = field(default_factory=dict)
    is_silent: bool = False

    @classmethod
    def no(cls, code: str, *, state: CouponState | None = None, upstream: str = "") -> Told:
        """A decline."""
        tags = {} if state is None else {Tag.STATE: state.value}
        if upstream:
            tags[Tag.UPSTREAM_CODE] = upstream[:16]
        return cls(code, tags=tags)

    @classmethod
    def of(cls, error: CouponError) -> Told:
        """The decline that an error stands for (sheet 5.3). What is not foreseen is 96: somebody must look."""
        if error.code in _BY_CODE:
            code, state = _BY_CODE[error.code]
            return cls.no(code, state=state, upstream=error.code)
        for kind, code, told in _BY_KIND:
            if isinstance(error, kind):
                return cls.no(code, state=told, upstream=error.code)
        return cls.no("96", state=CouponState.UNKNOWN, upstream=error.code)


@dataclass(frozen=True, slots=True)
class Asked:
    """A message whose terminal is registered, and, of financial ones, whose MAC was right."""

    message: Message
    kind: TransactionType
    terminal: str
    merchant: str
    now: datetime
    block: CouponBlock = field(default_factory=lambda: CouponBlock({}))

    @property
    def key(self) -> str:
        """What names this transaction."""
        return key_of(self.merchant, self.terminal, self.kind.batch, self.message.text(11))

    @property
    def amount(self) -> int:
        """Field 4 in fen. Raises ``FrameError`` when it is absent."""
        return int(self.message.text(4))

    @property
    def code(self) -> str:
        """The coupon's code. Raises ``FrameError`` when it is absent."""
        code = self.block.get(Tag.CODE)
        if code is None:
            refuse("missing", field="62.VA.01")
        return code

    @property
    def wish(self) -> str:
        """Tag 03, else derived from terminal, batch and trace."""
        return self.block.get(Tag.KEY) or f"{self.terminal}{self.kind.batch}{self.message.text(11)}"

    @property
    def idempotency_key(self) -> str:
        """The ledger's key: one for merchant and wish, in the ledger's characters."""
        return f"pos.{self.merchant}.{self.wish}"

    @property
    def clearing(self) -> str:
        """Today's clearing day, MMDD."""
        return f"{clearing_date(self.now):%m%d}"

    def dated(self) -> dict[str, str]:
        """Local date and time, and the clearing day, as a transaction keeps them."""
        local = self.now.astimezone(BEIJING)
        return {"date": f"{local:%m%d}", "time": f"{local:%H%M%S}", "clearing": self.clearing}

    def with_block(self, block: CouponBlock) -> Asked:
        """The same with its coupon block."""
        return replace(self, block=block)


def answer_to(asked: Asked, told: Told, *, acquirer: str) -> Message:
    """The answer's message, without field 64 (sheet 3.3)."""
    message, local = asked.message, asked.now.astimezone(BEIJING)
    fields: dict[int, FieldValue] = {number: message.fields[number] for number in _ECHOED if number in message.fields}
    fields |= {12: f"{local:%H%M%S}", 13: f"{local:%m%d}", 32: acquirer, 39: told.code, **told.fields}
    if told.tags:
        code = asked.block.get(Tag.CODE)
        fields[62] = CouponBlock({**({Tag.CODE: code} if code else {}), **told.tags}).packed()
    return Message(message.answer_type(), dict(sorted(fields.items())))
