"""What is asked of the gateway, and what it says became of it (sheet 10.3, 10.4, 10.8)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.acp.codes import PLATFORM, Meaning, meaning_of
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import ValidationError

MOST_FEN: Final = 999_999_999_999
TIME: Final = "%Y%m%d%H%M%S"
UNIONPAY_SPONSOR: Final = "00010000"

_ORDER_ID: Final = re.compile(r"[0-9A-Za-z]{8,40}")
_FEN: Final = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One payment, undo or refund that we ask for.

    ``order_id`` (8 to 40 letters and digits) and ``txn_time`` (YYYYMMDDhhmmss, Beijing) name it at the gateway for
    ever, and a query needs both: keep the whole instruction **before** it is sent. Raises ``ValidationError``
    ``unionpay_pos.acp_instruction``.
    """

    order_id: str
    txn_time: str
    amount_fen: int

    def __post_init__(self) -> None:
        if not _ORDER_ID.fullmatch(self.order_id):
            raise _wrong("order_id")
        if moment_of(self.txn_time) is None:
            raise _wrong("txn_time")
        if not 1 <= self.amount_fen <= MOST_FEN:
            raise _wrong("amount_fen")

    @classmethod
    def at(cls, now: datetime, *, order_id: str, amount_fen: int) -> Instruction:
        """An instruction of the moment ``now`` (aware)."""
        if now.tzinfo is None:
            raise ValidationError("time.naive", field="now")
        return cls(order_id, f"{now.astimezone(BEIJING):{TIME}}", amount_fen)


class Kind(StrEnum):
    """What a transaction is, by its ``txnType``."""

    PAYMENT = "01"
    UNDO = "31"
    REFUND = "04"


class PaymentState(StrEnum):
    """Where a transaction is. DONE and FAILED are final."""

    DONE = "done"
    FAILED = "failed"
    OPEN = "open"  # accepted, or not clear yet
    ABSENT = "absent"  # not known there; within some minutes of sending it may still arrive, later the bill decides


@dataclass(frozen=True, slots=True)
class UsedCoupon:
    """A coupon that was applied within a payment. ``kind`` is DD01, CP01 or CP02 (claimed beforehand)."""

    kind: str
    sponsor: str
    offset_fen: int
    coupon_id: str
    description: str

    @property
    def is_merchants(self) -> bool:
        """Whether the merchant pays for it: then, and only then, it lowers what is settled."""
        return len(self.sponsor) == 15


@dataclass(frozen=True, slots=True)
class Payment:
    """A transaction as the gateway told it, verified. Amounts in fen; ``None`` where it said none.

    ``kind`` is its ``txnType``, empty where it was asked about by number. ``code`` is what decided ``state``. Which of
    the three amounts counts the coupons in differs between UnionPay's documents, so all are here, and the bill decides.
    ``query_id`` names it in an undo or refund.
    """

    order_id: str
    txn_time: str
    kind: str
    state: PaymentState
    code: str
    query_id: str | None = None
    amount_fen: int | None = None
    original_fen: int | None = None
    settle_fen: int | None = None
    settle_day: str | None = None
    business: str = "000000"
    coupons: tuple[UsedCoupon, ...] = ()
    content: Mapping[str, str] = field(default_factory=dict, repr=False)

    def is_of(self, instruction: Instruction) -> bool:
        """Whether this is about ``instruction`` and, where an amount was told, about its amount."""
        named = (self.order_id, self.txn_time) == (instruction.order_id, instruction.txn_time)
        return named and self.amount_fen in {None, instruction.amount_fen}


def absent(instruction: Instruction) -> Payment:
    """What is known of a transaction that the gateway does not know."""
    return Payment(instruction.order_id, instruction.txn_time, "", PaymentState.ABSENT, "34")


def payment_of(fields: Mapping[str, str], *, code: str, kind: str, state: PaymentState | None = None) -> Payment:
    """The transaction in verified ``fields``. ``code`` decides its state unless ``state`` does."""
    return Payment(
        order_id=fields.get("orderId", ""),
        txn_time=fields.get("txnTime", ""),
        kind=kind,
        state=state or state_of(code),
        code=code,
        query_id=fields.get("queryId"),
        amount_fen=_fen(fields.get("txnAmt")),
        original_fen=_fen(fields.get("origTxnAmt")),
        settle_fen=_fen(fields.get("settleAmt")),
        settle_day=fields.get("settleDate"),
        business=fields.get("bizType", "000000"),
        coupons=coupons_of(fields.get("couponInfo", "")),
        content=fields,
    )


def state_of(code: str) -> PaymentState:
    """The state that a code of the transaction itself (``origRespCode``, a notice's ``respCode``) means."""
    return {
        Meaning.DONE: PaymentState.DONE,
        Meaning.REFUSED: PaymentState.FAILED,
        Meaning.LATER: PaymentState.FAILED,
    }.get(meaning_of(code), PaymentState.OPEN)


def coupons_of(text: str) -> tuple[UsedCoupon, ...]:
    """The coupons of ``couponInfo``. What cannot be read as one is left out; the text itself stays in ``content``."""
    try:
        rows = json.loads(text) if text else []
    except (ValueError, RecursionError):
        rows = []
    return tuple(
        UsedCoupon(
            kind=_text(row, "type"),
            sponsor=_text(row, "spnsrId"),
            offset_fen=int(_text(row, "offstAmt")),
            coupon_id=_text(row, "id"),
            description=_text(row, "desc"),
        )
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and _FEN.fullmatch(_text(row, "offstAmt"))
    )


def moment_of(txn_time: str) -> datetime | None:
    """The instant of a ``txnTime``; ``None`` for another shape."""
    if len(txn_time) != 14 or not (txn_time.isascii() and txn_time.isdigit()):
        return None
    try:
        return datetime.strptime(txn_time, TIME).replace(tzinfo=BEIJING)
    except ValueError:
        return None


def _fen(text: str | None) -> int | None:
    return int(text) if text is not None and _FEN.fullmatch(text) else None


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name, "")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _wrong(name: str) -> ValidationError:
    return ValidationError("unionpay_pos.acp_instruction", field=name, platform=PLATFORM)
