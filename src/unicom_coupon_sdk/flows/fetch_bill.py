"""Fetch a bill: asked for, downloaded, verified by its adapter, and kept where it will be found again.

A bill is fetched into a room of its own and moved to its place when it is whole, so that a crash leaves nothing that
looks like a bill; its place is named by its digest, so that two who fetch it at once keep one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

from unicom_coupon_sdk.domain.bill import BillAnswer, BillFile, BillKind, BillNotReady
from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.ledger import bills
from unicom_coupon_sdk.platform import bill_files
from unicom_coupon_sdk.platform.bill import BillOrder
from unicom_coupon_sdk.platform.effects import Flow, Local, NewId, Now, Transact
from unicom_coupon_sdk.platform.profile import Capability


def fetch_bill(platform: str, kind: BillKind, day: date, *, setting: Setting) -> Flow[BillAnswer]:
    """The bill of a Beijing ``day`` as the platform has it now, on disk and recorded; or that there is none or not yet.

    Reads only, and may be repeated. Raises ``ValidationError`` for a day that is not over (``bill.day``) or a file
    that cannot be read (``bill.…``), ``ForgedMessage`` for one that is not genuine, ``PlatformError``.
    """
    adapter = setting.adapter(platform)
    adapter.profile.require(Capability.FETCH_BILL)
    source = adapter.profile.bill(kind)
    now = yield from Now()
    if day >= business_date(now):
        raise ValidationError("bill.day", field="day", day=day.isoformat())
    ready_at = source.opens(day)
    if now < ready_at:
        return BillNotReady(platform=platform, kind=kind, day=day, ready_at=ready_at)
    folder = setting.bills / platform / day.isoformat()
    room = folder / f"fetching-{(yield from NewId())}"
    yield from Local(lambda: _open(room))
    try:
        answer = yield from adapter.fetch_bill(BillOrder(kind=kind, day=day, folder=room))
        if isinstance(answer, BillFile):
            fetched = answer
            answer = yield from Local(lambda: _settled(fetched, room, folder))
    finally:
        # Also when the flow is closed here: what was not moved to its place is no bill. Nothing may be yielded then.
        bill_files.forget(room)
    if isinstance(answer, BillNotReady):
        return answer
    kept = answer
    if isinstance(answer, BillFile):
        kept = replace(
            answer,
            original=answer.original.relative_to(setting.bills),
            rows=answer.rows.relative_to(setting.bills),
        )
    now = yield from Now()
    yield from Transact(setting.ledger.save_bill(kept, now=now))
    return answer


def known_bill(platform: str, kind: BillKind, day: date, *, setting: Setting) -> Flow[BillAnswer | None]:
    """The bill that was fetched before, with its files still there; ``None`` when it has to be fetched."""
    found = yield from Transact(setting.ledger.bill(platform, kind, day))
    if not isinstance(found, BillFile):
        return found
    bill = bills.under(found, setting.bills)
    is_there = yield from Local(lambda: bill.rows.exists() and bill.original.exists())
    return bill if is_there else None


def _open(room: Path) -> None:
    room.mkdir(parents=True, mode=0o700)


def _settled(bill: BillFile, room: Path, folder: Path) -> BillFile:
    """The bill in its own place; when that is taken already, by the same bytes, ours is not needed."""
    place = folder / f"{bill.kind.value}-{bill.sha256[:16]}"
    try:
        room.rename(place)
    except OSError:
        if not place.is_dir():
            raise
    return replace(bill, original=place / bill.original.name, rows=place / bill.rows.name)
