"""CCB, BOC and ABC, declared: the strings that they sign, as public client code shows them. No coupon call is sent.

No official client confirms these envelopes, CCB's fields have no room for a coupon code, and nothing is known of the
others' answers beyond their public clients (sheet §4). So every call is refused before any I/O; what is here is what
can be checked: the exact bytes under the signature.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from unicom_coupon_adapters.bank.envelopes.base import PLATFORM, Reply, compact
from unicom_coupon_adapters.bank.messages import Call
from unicom_coupon_sdk.domain.events import Acknowledgement
from unicom_coupon_sdk.domain.money import Fen
from unicom_coupon_sdk.errors import CouponError, UnsupportedOperation, ValidationError
from unicom_coupon_sdk.platform.wire import HttpRequest

_CCB_ORDER = (
    "MERCHANTID", "POSID", "BRANCHID", "ORDERID", "PAYMENT", "CURCODE", "TXCODE", "REMARK1", "REMARK2",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExperimentalEnvelope:
    """A bank that is declared and not yet spoken to."""

    bank: str
    entropy_bytes: int = 0

    def build(self, call: Call, *, now: datetime, entropy: bytes) -> HttpRequest:
        """Refused. Raises ``UnsupportedOperation`` (``bank.experimental``)."""
        raise self._refuse(call.api.name)

    def read_reply(self, content: bytes) -> Reply:
        """Refused."""
        raise self._refuse("reply")

    def read_notification(self, body: bytes) -> Mapping[str, Any]:
        """Refused."""
        raise self._refuse("notify")

    def acknowledge(self, error: CouponError | None) -> Acknowledgement:
        """Refused."""
        raise self._refuse("notify")

    def _refuse(self, operation: str) -> UnsupportedOperation:
        return UnsupportedOperation("bank.experimental", platform=PLATFORM, bank=self.bank, operation=operation)


def ccb_text(fields: Mapping[str, str]) -> str:
    """What CCB's ``MAC`` is over: fields in the bank's fixed order, empty ones kept. Raises ``ValidationError``."""
    missing = [name for name in _CCB_ORDER if name not in fields]
    if missing:
        raise ValidationError("bank.field_missing", field=missing[0], platform=PLATFORM)
    return "&".join(f"{name}={fields[name]}" for name in _CCB_ORDER)


def ccb_mac(fields: Mapping[str, str]) -> str:
    """The ``MAC``: MD5 in lower hex. It proves nothing of who sent it, and is the bank's rule."""
    return hashlib.md5(ccb_text(fields).encode("gbk"), usedforsecurity=False).hexdigest()


def boc_text(*, order_no: str, order_time: str, amount_fen: Fen, merchant_no: str, currency: str = "001") -> str:
    """The content of BOC's detached PKCS#7: ``orderNo|orderTime|curCode|orderAmount|merchantNo``."""
    return "|".join((order_no, order_time, currency, yuan(amount_fen), merchant_no))


def abc_text(message: Mapping[str, Any]) -> str:
    """What ABC signs with SHA1withRSA: the JSON text of the message object, not wrapped."""
    return compact(message)


def yuan(amount_fen: int) -> str:
    """Fen as yuan with two decimals, without floats."""
    return f"{amount_fen // 100}.{amount_fen % 100:02d}"
