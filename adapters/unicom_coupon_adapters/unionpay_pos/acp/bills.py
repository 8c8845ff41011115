"""The gateway's files of a clearing day as bills on disk: ``ZM`` for trade, ``ZME`` for funds (sheet 11.3).

They come in a signed answer, so they are genuine once it is; what its archive holds is checked record by record.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from unicom_coupon_adapters.unionpay_pos.acp import bill
from unicom_coupon_adapters.unionpay_pos.acp.codes import PLATFORM
from unicom_coupon_adapters.unionpay_pos.acp.files import Files, name_of
from unicom_coupon_sdk.domain.bill import BillAnswer, BillFile, BillKind, BillNotReady, NoBill
from unicom_coupon_sdk.errors import PlatformUnavailable
from unicom_coupon_sdk.platform import bill_files
from unicom_coupon_sdk.platform.bill import BillOrder, BillSource
from unicom_coupon_sdk.platform.effects import Flow, Local, Now

GIVEN_UP_AFTER: Final = timedelta(hours=2)
"""How long after its time a missing file may still come. It is missing, too, when nothing was cleared; ours."""

_LAYOUTS: Final = {BillKind.TRADE: bill.ZM, BillKind.FUNDS: bill.ZME}


class GatewayBills:
    """The bills of one merchant at the gateway."""

    def __init__(self, files: Files, *, mer_id: str) -> None:
        self._files = files
        self._mer_id = mer_id

    def fetch(self, order: BillOrder, source: BillSource) -> Flow[BillAnswer]:
        """The bill of a clearing day.

        Raises ``ValidationError`` (``unionpay_pos.bill``, ``bill.…``) for files that are damaged or of another day or
        merchant, and what the gateway's calls raise.
        """
        now = yield from Now()
        try:
            content = yield from self._files.content(order.day)
        except PlatformUnavailable as error:
            if error.code != "unionpay_pos.acp_no_file":
                raise
            if now < source.opens(order.day) + GIVEN_UP_AFTER:
                ready_at = source.ask_at(order.day, now=now)
                return BillNotReady(platform=PLATFORM, kind=order.kind, day=order.day, ready_at=ready_at)
            content = ""
        if not content:
            return NoBill(platform=PLATFORM, kind=order.kind, day=order.day)
        return (yield from Local(lambda: self.read(content, order, source)))

    def read(self, content: str, order: BillOrder, source: BillSource) -> BillFile | NoBill:
        """The bill in ``fileContent``. Raises as ``fetch``; the folder is gone then."""
        try:
            return self._read(content, order, source)
        except BaseException:
            bill_files.forget(order.folder)
            raise

    def _read(self, content: str, order: BillOrder, source: BillSource) -> BillFile | NoBill:
        archive = order.folder / f"{self._mer_id}_{order.day:%Y%m%d}.zip"
        with bill_files.whole(archive) as file:
            for part in bill.unpacking(content):
                file.write(part)
        layout = _LAYOUTS[order.kind]
        found = bill_files.unzip(archive, order.folder, platform=PLATFORM)
        bill_files.member(found, name_of(bill.ZM.name, order.day, self._mer_id), platform=PLATFORM)  # in every archive
        rows = found.pop(name_of(layout.name, order.day, self._mer_id), None)
        for path in found.values():
            path.unlink()
        if rows is None or not rows.stat().st_size:
            archive.unlink()
            if rows is not None:
                rows.unlink()
            return NoBill(platform=PLATFORM, kind=order.kind, day=order.day)
        bill.check(rows, layout)
        return BillFile(
            platform=PLATFORM,
            kind=order.kind,
            day=order.day,
            layout=source.layout.name,
            original=archive,
            rows=rows,
            columns=tuple(name for name, _ in layout.columns),
            sha256=bill_files.digest(archive),
        )
