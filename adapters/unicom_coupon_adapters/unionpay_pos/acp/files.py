"""The files of a clearing day: fetched (76/01), unpacked and read (sheet 11.3).

A payment of ours that is not in the file of its clearing day, nor of the days beside it, was not done; one in the file
that we do not know was. Both want a look, and so do amounts that differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from unicom_coupon_adapters.unionpay_pos.acp import bill
from unicom_coupon_adapters.unionpay_pos.acp.codes import PLATFORM
from unicom_coupon_adapters.unionpay_pos.acp.gateway import AcpGateway
from unicom_coupon_adapters.unionpay_pos.acp.payment import TIME, Instruction
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.platform.effects import Flow, Now

_ORDER_ID_WIDTH: Final = dict(bill.ZM.columns)["orderId"]


@dataclass(frozen=True, slots=True)
class BillRow:
    """One cleared transaction. Fees and settlements are negative where the merchant pays; amounts in fen.

    ``order_id`` is cut at 32 characters, as the file does. ``columns`` are all of the record, by name.
    """

    order_id: str
    txn_time: str
    kind: str
    query_id: str
    original_query_id: str
    amount_fen: int
    fee_fen: int
    settle_fen: int
    discount_fen: int
    columns: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, columns: Mapping[str, str]) -> BillRow:
        """The row of a ``ZM`` record. Raises ``ValidationError`` ``unionpay_pos.bill`` for an amount that is none."""
        return cls(
            order_id=columns["orderId"],
            txn_time=columns["txnTime"],
            kind=columns["txnType"],
            query_id=columns["queryId"],
            original_query_id=columns["origQryId"],
            amount_fen=bill.signed_fen("C" + columns["txnAmt"], field="txnAmt"),
            fee_fen=_signed(columns, "merFee"),
            settle_fen=_signed(columns, "settleAmt"),
            discount_fen=_signed(columns, "discountAmt"),
            columns=columns,
        )


@dataclass(frozen=True, slots=True)
class Bill:
    """The files of one clearing day. ``adjustments`` are the ``ZME`` records as they are, ``summary`` its text."""

    day: date
    rows: tuple[BillRow, ...]
    adjustments: tuple[Mapping[str, str], ...] = field(default=(), repr=False)
    summary: str = field(default="", repr=False)

    def find(self, instruction: Instruction) -> BillRow | None:
        """The row of ``instruction``, by its number and time."""
        wanted = (instruction.order_id[:_ORDER_ID_WIDTH], instruction.txn_time[4:])
        return next((row for row in self.rows if (row.order_id, row.txn_time) == wanted), None)


class Files:
    """The files that one gateway gives out."""

    def __init__(self, gateway: AcpGateway) -> None:
        self._gateway = gateway

    def fetch(self, day: date) -> Flow[Bill]:
        """The files of the clearing day ``day``; ready the next morning, about ten in Beijing.

        Raises as ``content``, and ``ValidationError`` ``unionpay_pos.bill`` for a file that is damaged, of another
        merchant or of another day.
        """
        content = yield from self.content(day)
        if not content:
            return Bill(day, ())
        return read_bill(bill.unpack_content(content), day=day, mer_id=self._gateway.settings.mer_id)

    def content(self, day: date) -> Flow[str]:
        """``fileContent`` of the clearing day, as signed and packed; empty when nothing was cleared.

        Raises ``PlatformUnavailable`` ``unionpay_pos.acp_no_file`` when there is none: too early, or nothing was
        cleared that day.
        """
        now = yield from Now()
        call = self._gateway.messages.file(f"{day:%m%d}", txn_time=f"{now.astimezone(BEIJING):{TIME}}")
        fields = yield from self._gateway.ask(call)
        return fields.get("fileContent", "")


def read_bill(archive: bytes, *, day: date, mer_id: str) -> Bill:
    """The bill in a zip of one clearing day. Raises ``ValidationError`` ``unionpay_pos.bill`` as ``fetch`` does."""
    members = bill.members(archive)
    details = members.pop(name_of("ZM", day, mer_id), None)
    if details is None:
        raise ValidationError("unionpay_pos.bill", field="ZM", platform=PLATFORM, reason="other")
    adjustments = members.pop(name_of("ZME", day, mer_id), b"")
    return Bill(
        day=day,
        rows=tuple(BillRow.of(record) for record in bill.ZM.records(details)),
        adjustments=tuple(bill.ZME.records(adjustments)),
        summary="\n".join(text.decode("gbk", "replace") for text in members.values()),
    )


def name_of(kind: str, day: date, mer_id: str) -> str:
    """What the archive calls its ``ZM`` or ``ZME`` file."""
    return f"INN{day:%y%m%d}88{kind}_{mer_id}"


def _signed(columns: Mapping[str, str], name: str) -> int:
    return bill.signed_fen(columns[name], field=name) if columns[name] else 0
