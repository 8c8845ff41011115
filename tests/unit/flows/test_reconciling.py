"""A day, compared: what is clean, what is found, what stays open until it is over, and what is asked about."""

import csv
import json
import re
import shutil
from datetime import datetime, time, timedelta

import pytest

from unicom_coupon_adapters.wechatpay.messages import RETURN_COUPON
from unicom_coupon_sdk import BillKind, BillNotReady, OperationState, ReverseRequest, ValidationError
from unicom_coupon_sdk.clearing import report
from unicom_coupon_sdk.clearing.outcome import discrepancy_of
from unicom_coupon_sdk.cli.reconcile import report_of
from unicom_coupon_sdk.domain.bill import RowKind, RowState
from unicom_coupon_sdk.domain.reconciliation import Action, Cause, Discrepancy, DiscrepancyClass, ListedRow, MatchedBy
from unicom_coupon_sdk.domain.times import BEIJING, business_date

USE = "/v3/marketing/busifavor/coupons/use"


class Books:
    """A shop, one of its days, and what is found about it."""

    def __init__(self, shop):
        self.shop = shop
        self.day = business_date(shop.sandbox.clock.now()) + timedelta(days=1)
        self.at(0, time(10))

    def at(self, days, clock):
        then = datetime.combine(self.day + timedelta(days=days), clock, BEIJING)
        self.shop.sandbox.control.set_clock(then)

    def sell(self, count=1):
        return [self.shop.client.redeem(self.shop.wish(self.shop.bound())) for _ in range(count)]

    def reconcile(self, days=0):
        return self.shop.client.reconcile("wechatpay", self.day + timedelta(days=days))

    def return_behind_our_back(self, redemption, coupon):
        """Somebody returns it on the platform, past the ledger."""
        held = self.shop.client.read(self.shop.setting.ledger.held(redemption.redemption_id))
        body = {
            "coupon_code": coupon.code.reveal(),
            "stock_id": held.listing.refs["stock_id"],
            "return_request_no": "PASTTHELEDGER1",
        }
        gateway = self.shop.setting.adapter("wechatpay").busifavor._gateway
        self.shop.client._runtime.run(gateway.call(RETURN_COUPON.call(body)))

    def open(self):
        ledger, last = self.shop.setting.ledger, self.day + timedelta(days=9)
        known = self.shop.client.read(ledger.open_discrepancies("sandbox", last=last, after="", limit=100))
        return [discrepancy_of(one.content) for one in known]


@pytest.fixture
def books(shop):
    return Books(shop)


def test_before_the_bills_are_made_there_is_nothing_to_compare(books):
    books.sell()
    books.at(1, time(1))
    answer = books.reconcile()
    assert isinstance(answer, BillNotReady)
    assert answer.ready_at > books.shop.sandbox.clock.now()


def test_what_no_bill_lists_is_asked_about_and_its_settlement_comes(books):
    one, _ = books.sell(2)
    books.shop.client.reverse(ReverseRequest(idempotency_key="back", redemption_id=one.redemption_id))
    books.at(1, time(17, 30))
    (made,) = books.shop.client.settle(books.day + timedelta(days=1)).made
    run = books.reconcile()
    assert run.is_clean
    assert run.shown_by == {MatchedBy.QUERY: 3}
    assert [one.settlement_id for one in run.settled] == [made.settlement_id]
    assert books.reconcile().settled == ()
    assert books.shop.client.read(books.shop.setting.ledger.audit()) == ()


def test_what_the_platform_denies_is_missing_there(books):
    coupon = books.shop.bound()
    one = books.shop.client.redeem(books.shop.wish(coupon))
    books.return_behind_our_back(one, coupon)
    books.at(1, time(17, 30))
    run = books.reconcile()
    assert run.discrepancies == {DiscrepancyClass.MISSING_THERE: 1}
    (found,) = books.open()
    assert (found.operation_id, found.cause, found.action) == (
        one.redemption_id, Cause.NEVER_ARRIVED, Action.ASK_PLATFORM
    )  # fmt: skip


def test_the_report_tells_what_is_open_and_what_is_late_to_people_and_programs(books, tmp_path):
    coupon = books.shop.bound()
    one = books.shop.client.redeem(books.shop.wish(coupon))
    books.return_behind_our_back(one, coupon)
    books.at(2, time(17, 30))
    books.shop.client.settle(books.day + timedelta(days=1))
    books.reconcile()
    data = report_of(books.shop.client, first=books.day, last=books.day + timedelta(days=1))
    page, table, document = report.write(data, tmp_path / "books")
    told = page.read_text(encoding="utf-8")
    for words in (one.redemption_id, "对账报告", "Reconciliation report"):
        assert words in told
    assert "http" not in told.replace("http-equiv", "")
    with table.open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["class"], row["operation_id"], row["our_amount_fen"], row["open_days"]) == (
        "missing_there", one.redemption_id, "500", "1"
    )  # fmt: skip
    assert row["first_found_at"].endswith("+08:00")
    kept = json.loads(document.read_text(encoding="utf-8"))
    assert [item["ours"]["operation_id"] for item in kept["open"]] == [one.redemption_id]
    assert [late["net_fen"] for late in kept["late"]] == [497]


def test_a_bills_text_is_neither_markup_nor_a_formula(books, tmp_path):
    row = ListedRow(
        bill=BillKind.TRADE, kind=RowKind.PAYMENT, state=RowState.DONE, number="=cmd|'/c calc'!A0",
        platform_no="<script>alert(1)</script>", amount_fen=1, day=books.day, line=3,
    )  # fmt: skip
    one = Discrepancy(
        discrepancy_id="d1", platform="wechatpay", bill=BillKind.TRADE, found=DiscrepancyClass.MISSING_HERE,
        kind=RowKind.PAYMENT, number=row.number, since=books.day, open_days=0, ours=None, theirs=row,
        cause=Cause.NOT_FROM_HERE, action=Action.FIND_ORIGIN,
    )  # fmt: skip
    now = books.shop.sandbox.clock.now()
    data = report.ReportData(
        merchant_id="<b>shop</b>", made_at=now, first=books.day, last=books.day, days=[], late=[],
        open_items=[report.OpenItem(discrepancy=one, found_at=now)],
    )  # fmt: skip
    page, table, _ = report.write(data, tmp_path)
    assert not {"<script>", "<b>shop"} & set(re.findall("<script>|<b>shop", page.read_text(encoding="utf-8")))
    with table.open(encoding="utf-8-sig", newline="") as file:
        assert next(csv.DictReader(file))["number"].startswith("'=")


def test_what_is_open_is_proposed_to_recover_and_over_once_that_has_run(books):
    books.shop.fault("drop_after", match=USE)
    (one,) = books.sell()
    assert one.state is OperationState.UNKNOWN
    books.shop.calm()
    books.at(1, time(17, 30))
    books.reconcile()
    (found,) = books.open()
    assert (found.found, found.cause, found.action) == (
        DiscrepancyClass.STATE_DIFFERS, Cause.OPEN_HERE, Action.RECOVER
    )  # fmt: skip
    books.shop.client.recover()
    assert books.reconcile().is_clean
    assert books.open() == []


def test_while_the_platform_cannot_be_asked_nothing_is_said_of_it(books):
    books.sell()
    books.at(1, time(17, 30))
    books.shop.client.settle(books.day + timedelta(days=1))
    for kind in (BillKind.TRADE, BillKind.FUNDS, BillKind.SHARE):
        books.shop.client.fetch_bill("wechatpay", kind, books.day)
    books.shop.fault("drop_before", times=200)
    run = books.reconcile()
    assert (run.unasked, run.is_clean, run.settled, run.discrepancies) == (1, False, (), {})
    books.shop.calm()
    run = books.reconcile()
    assert (run.unasked, run.is_clean, len(run.settled)) == (0, True, 1)


def test_a_run_whose_folder_is_gone_is_named_before_its_open_items_are_lost(books):
    books.sell()
    books.at(1, time(17, 30))
    run = books.reconcile()
    shutil.rmtree(run.folder)
    books.at(2, time(17, 30))
    with pytest.raises(ValidationError) as refused:
        books.reconcile(1)
    assert refused.value.code == "reconcile.run_gone"
    books.reconcile()
    assert books.reconcile(1).is_clean
