"""The requests of the gateway as fields, before they are signed (sheet 10.3, 10.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from unicom_coupon_adapters.unionpay_pos.acp.codes import PLATFORM
from unicom_coupon_adapters.unionpay_pos.acp.payment import Instruction, Kind, Payment
from unicom_coupon_adapters.unionpay_pos.acp.settings import AcpSettings
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import ValidationError

_SHAPES: Final = {
    "qrNo": re.compile(r"[0-9A-Za-z]{8,20}"),
    "termId": re.compile(r"[0-9A-Za-z]{8}"),
    # Echoed raw in answers, where these characters would cut the value in pieces.
    "reqReserved": re.compile(r"[^&={}\[\]]{1,1024}"),
    "frontUrl": re.compile(r"https?://[^\s]{1,248}"),
}


class Door(Enum):
    """Where a request is posted."""

    FRONT = "/gateway/api/frontTransReq.do"
    BACK = "/gateway/api/backTransReq.do"
    QUERY = "/gateway/api/queryTrans.do"
    FILES = "/"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, unsigned. ``is_write``: without a trustworthy answer it is unknown whether it was done."""

    door: Door
    fields: Mapping[str, str] = field(repr=False)
    is_write: bool


class Messages:
    """The requests of one merchant. ``more`` adds fields that a contract asks for; the compliance shim checks all."""

    def __init__(self, settings: AcpSettings) -> None:
        self._common = {"encoding": "UTF-8", "accessType": "0", "merId": settings.mer_id}
        self._back_url = settings.back_url or ""

    def scan(
        self,
        sale: Instruction,
        *,
        qr_no: Secret,
        term_id: str = "",
        reserved: str = "",
        more: Mapping[str, str] | None = None,
    ) -> Call:
        """被扫: the merchant scans the payer's code."""
        told = {"qrNo": qr_no.reveal(), "termId": term_id, "reqReserved": reserved, **(more or {})}
        return self._write(sale, Kind.PAYMENT, "06", told)

    def qr_code(self, sale: Instruction, *, reserved: str = "", more: Mapping[str, str] | None = None) -> Call:
        """主扫: a code that the payer scans."""
        return self._write(sale, Kind.PAYMENT, "07", {"reqReserved": reserved, **(more or {})})

    def front(
        self, sale: Instruction, *, front_url: str, reserved: str = "", more: Mapping[str, str] | None = None
    ) -> Call:
        """A payment in the payer's browser."""
        told = {"frontUrl": front_url, "reqReserved": reserved, **(more or {})}
        call = self._write(sale, Kind.PAYMENT, "01", {"bizType": "000201", "channelType": "07", **told})
        return Call(Door.FRONT, call.fields, is_write=True)

    def undo(self, instruction: Instruction, *, original: Payment, more: Mapping[str, str] | None = None) -> Call:
        """消费撤销: the whole of a payment, on its clearing day."""
        return self._write(instruction, Kind.UNDO, "00", {**_of(original), **(more or {})})

    def refund(self, instruction: Instruction, *, original: Payment, more: Mapping[str, str] | None = None) -> Call:
        """退货: a part of a payment, or all of it."""
        return self._write(instruction, Kind.REFUND, "00", {**_of(original), **(more or {})})

    def query(self, order_id: str, txn_time: str) -> Call:
        """How a transaction stands."""
        told = {"txnType": "00", "txnSubType": "00", "bizType": "000000"}
        return self._read(Door.QUERY, {**told, "orderId": order_id, "txnTime": txn_time})

    def file(self, settle_date: str, *, txn_time: str) -> Call:
        """The files of a clearing day (MMDD)."""
        told = {"txnType": "76", "txnSubType": "01", "bizType": "000000", "fileType": "00"}
        return self._read(Door.FILES, {**told, "settleDate": settle_date, "txnTime": txn_time})

    def encryption_certificate(self, order_id: str, *, txn_time: str) -> Call:
        """UnionPay's current encryption certificate."""
        told = {"txnType": "95", "txnSubType": "00", "bizType": "000000", "channelType": "07", "certType": "01"}
        return self._read(Door.BACK, {**told, "orderId": order_id, "txnTime": txn_time})

    def _write(self, instruction: Instruction, kind: Kind, sub_type: str, told: Mapping[str, str]) -> Call:
        fields = {
            **self._common,
            "txnType": kind.value,
            "txnSubType": sub_type,
            "bizType": "000000",
            "channelType": "08",
            "orderId": instruction.order_id,
            "txnTime": instruction.txn_time,
            "txnAmt": str(instruction.amount_fen),
            "currencyCode": "156",
            "backUrl": self._back_url,
            **told,
        }
        for name, shape in _SHAPES.items():
            if fields.get(name) and not shape.fullmatch(fields[name]):
                raise ValidationError("unionpay_pos.acp_field", field=name, platform=PLATFORM)
        return Call(Door.BACK, fields, is_write=True)

    def _read(self, door: Door, told: Mapping[str, str]) -> Call:
        return Call(door, {**self._common, **told}, is_write=False)


def _of(original: Payment) -> dict[str, str]:
    """What names the original in an undo or refund."""
    if original.query_id is None:
        named = {"origOrderId": original.order_id, "origTxnTime": original.txn_time}
    else:
        named = {"origQryId": original.query_id}
    return {**named, "bizType": original.business}
