"""A bill is on disk and recorded when it is whole and genuine, and otherwise it is nowhere."""

import dataclasses
from datetime import time, timedelta
from pathlib import Path

import pytest
from tests.unit.flows.test_recovery import PLATFORM, Saying

from unicom_coupon_sdk import ForgedMessage, UnsupportedOperation, ValidationError
from unicom_coupon_sdk.domain.bill import BillFile, BillKind, BillNotReady, NoBill, RowKind, Total
from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.flows.fetch_bill import fetch_bill, known_bill
from unicom_coupon_sdk.platform import bill_files
from unicom_coupon_sdk.platform.bill import BillLayout, BillSource, Delimited, RowRule, Unit
from unicom_coupon_sdk.platform.effects import Local
from unicom_coupon_sdk.platform.profile import Capability

LAYOUT = BillLayout(
    name="test.trade",
    encoding="utf-8",
    form=Delimited(),
    unit=Unit.FEN,
    rules=(RowRule(kind=RowKind.PAYMENT, amount="amount"),),
    source="test",
)
SOURCE = BillSource(kind=BillKind.TRADE, layout=LAYOUT, ready_at=time(10))


class Archive:
    """A platform whose bills are scripted; files and ledger are real."""

    def __init__(self, shop, folder: Path):
        self.shop, self.asked, self.content, self.says = shop, 0, b"1,5\n", None
        real = shop.setting.adapter(PLATFORM)
        profile = dataclasses.replace(
            real.profile, bills=(SOURCE,), capabilities=real.profile.capabilities | {Capability.FETCH_BILL}
        )
        adapter = Saying(real, profile=profile, fetch_bill=self._fetch)
        self.setting = dataclasses.replace(shop.setting, adapters={PLATFORM: adapter}, bills=folder)
        self.folder = folder

    def _fetch(self, order):
        self.asked += 1
        original, rows = order.folder / "trade.csv", order.folder / "trade.rows"

        def write():
            original.write_bytes(b"no,amount\n" + self.content)
            rows.write_bytes(self.content)
            return bill_files.digest(original)

        sha256 = yield from Local(write)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says or BillFile(
            platform=PLATFORM,
            kind=order.kind,
            day=order.day,
            layout="test.trade",
            original=original,
            rows=rows,
            columns=("no", "amount"),
            sha256=sha256,
            declared={RowKind.PAYMENT: Total(rows=1, amount_fen=5)},
        )

    def day(self, back=1):
        return business_date(self.shop.sandbox.clock.now()) - timedelta(days=back)

    def fetch(self, day=None, kind=BillKind.TRADE):
        return self.shop.client.run(fetch_bill(PLATFORM, kind, day or self.day(2), setting=self.setting))

    def known(self, day=None):
        return self.shop.client.run(known_bill(PLATFORM, BillKind.TRADE, day or self.day(2), setting=self.setting))

    def files(self):
        return sorted(path.name for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def archive(shop, tmp_path):
    return Archive(shop, tmp_path / "bills")


def test_a_bill_is_kept_and_found_again(archive):
    bill = archive.fetch()
    assert bill.rows.read_bytes() == b"1,5\n"
    assert archive.known() == bill
    assert archive.files() == ["trade.csv", "trade.rows"]
    bill.rows.unlink()
    assert archive.known() is None


def test_the_same_bill_again_is_the_same_and_a_corrected_one_counts(archive):
    first = archive.fetch()
    assert archive.fetch() == first
    archive.shop.sandbox.control.advance(60)
    archive.content = b"1,6\n"
    second = archive.fetch()
    assert archive.known() == second
    assert first.rows.read_bytes() == b"1,5\n"


def test_a_final_bill_counts_before_any_other(archive):
    final = archive.fetch()
    archive.content = b"1,7\n"
    archive.says = dataclasses.replace(final, is_final=False, sha256="0" * 64)
    room = archive.folder / PLATFORM / archive.day(2).isoformat()
    archive.says = dataclasses.replace(archive.says, original=room / "x.csv", rows=room / "x.rows")
    archive.shop.sandbox.control.advance(60)
    archive.fetch()
    assert archive.known() == final


def test_before_its_time_nobody_is_asked(archive):
    now = archive.shop.sandbox.clock.now()
    midnight = now.replace(hour=16, minute=0, second=0) + timedelta(days=1)  # of Beijing
    archive.shop.sandbox.control.set_clock(midnight)
    early = archive.fetch(archive.day(1))
    assert isinstance(early, BillNotReady)
    assert early.ready_at == midnight.replace(microsecond=0) + timedelta(hours=10)
    assert archive.asked == 0
    with pytest.raises(ValidationError, match=r"bill\.day"):
        archive.fetch(archive.day(0))


def test_that_nothing_happened_is_remembered_and_that_it_is_not_ready_is_not(archive):
    day = archive.day(2)
    archive.says = NoBill(platform=PLATFORM, kind=BillKind.TRADE, day=day)
    assert archive.fetch() == archive.says
    assert archive.known() == archive.says
    other = archive.day(3)
    archive.says = BillNotReady(
        platform=PLATFORM, kind=BillKind.TRADE, day=other, ready_at=archive.shop.sandbox.clock.now()
    )
    assert archive.fetch(other) == archive.says
    assert archive.known(other) is None
    assert archive.files() == []


def test_a_bill_that_is_not_genuine_leaves_nothing(archive):
    archive.says = ForgedMessage("wechatpay.bill_digest", platform=PLATFORM)
    with pytest.raises(ForgedMessage):
        archive.fetch()
    assert archive.files() == []
    assert archive.known() is None


def test_a_kind_that_the_platform_lacks_is_refused(archive):
    with pytest.raises(UnsupportedOperation, match=r"bill\.not_offered"):
        archive.fetch(kind=BillKind.FUNDS)
