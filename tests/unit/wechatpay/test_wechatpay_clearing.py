"""Shares and bills through the client and the emulator: read back, fetched back, lost on the way, and listed a day later."""

from datetime import timedelta

import pytest
from sqlalchemy import text
from tests.unit.wechatpay.test_wechatpay_with_emulator import TRAITS

from unicom_coupon_adapters.wechatpay import layouts
from unicom_coupon_sdk.client import CouponClient
from unicom_coupon_sdk.domain.bill import BillFile, BillKind, BillNotReady, NoBill, RowKind, Total
from unicom_coupon_sdk.domain.coupon import Cash
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.redemption import PayOutRequest, ReverseRequest
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.domain.sharing import (
    Fixed,
    Ratio,
    Receiver,
    Remainder,
    SharePart,
    ShareRequest,
    ShareRole,
    ShareRule,
)
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.domain.verification import ScanProof
from unicom_coupon_sdk.errors import PlatformUnavailable
from unicom_coupon_sdk.platform.bill import BillOrder
from unicom_coupon_sdk.sandbox.inprocess import Sandbox
from unicom_coupon_sdk.sandbox.stage import Stage

SHARES = "/v3/profitsharing/orders"
RETURNS = "/v3/profitsharing/return-orders"
MANY = 20
AGENT, FRIEND = "1900000109", "oSharedWithSomebody001"
RULE = ShareRule(
    name="standard",
    parts=(
        SharePart(
            role=ShareRole.PLATFORM,
            size=Ratio(basis_points=1_000),
            receiver=Receiver(merchant_account=AGENT, name=Secret("示例商户")),
        ),
        SharePart(role=ShareRole.USER, size=Fixed(fen=30), receiver=Receiver(user=PlatformUser(FRIEND))),
        SharePart(role=ShareRole.MERCHANT, size=Remainder()),
    ),
)


class Desk(Stage):
    """A till whose merchant shares by ``RULE``, with what a day's trade needs."""

    def __init__(self, sandbox):
        super().__init__(sandbox, TRAITS, runtime="blocking")
        self.call("close")
        settings = sandbox.settings().replaced(sharing=(RULE,))
        self._client = CouponClient(settings, transport=sandbox.transport(), clock=sandbox.clock)
        self._orders = 0

    def redeemed(self, *, age_s=60):
        """A coupon of 20 yuan used for an order of 100, of which WeChat took 80, so long ago."""
        self._orders += 1
        coupon = self.coupon()
        number = f"ORDER{self._orders:06d}"
        paid = self.sandbox.control.order(
            "wechatpay", amount_fen=8_000, out_trade_no=number, code=coupon.code.reveal(), profit_sharing=True
        )
        order = Order(order_no=number, amount_fen=10_000, platform_order_no=paid["transaction_id"])
        wish = self.wish(coupon)
        redemption = self.call("redeem", wish.replaced(order=order))
        self.advance(seconds=age_s)
        return redemption

    def share(self, redemption, *, key="share1"):
        request = ShareRequest(
            idempotency_key=key, redemption_id=redemption.redemption_id, rule="standard", amount_fen=7_950
        )
        return self.call("share", request)

    def paid_out(self):
        """A pay-out of 8.80 yuan that its user has taken."""
        cash = self.coupon(benefit=Cash(cash_fen=880))
        wish = PayOutRequest(
            idempotency_key="payout1",
            platform="wechatpay",
            coupon=cash.code,
            reference="REWARD0001",
            proof=ScanProof(token=self.call("show", cash.coupon_id)),
        )
        paid = self.call("pay_out", wish)
        self.sandbox.control.deliver("wechatpay", package=paid.instructions["package"])
        return paid

    def shares(self, redemption):
        return self.read(self.ledger.shares_of(redemption.redemption_id))

    def return_states(self):
        """The state of each line's return."""
        return dict(
            self.read(lambda connection: connection.execute(text("SELECT number, state FROM share_return")).all())
        )

    def store(self):
        return self.sandbox.world.station("wechatpay").store

    def today(self):
        return business_date(self.sandbox.clock.now())

    def bill(self, kind, folder, day):
        folder = folder / f"{kind}-{day}"
        folder.mkdir()
        return self.call("run", self.adapter.fetch_bill(BillOrder(kind=kind, day=day, folder=folder)))

    def morning(self):
        """Eleven o'clock of the next day; the day that was."""
        day = self.today()
        self.sandbox.control.set_clock(f"{day + timedelta(days=1)}T11:00:00+08:00")
        return day


@pytest.fixture
def desk():
    with Sandbox(platforms=("wechatpay",)) as sandbox, Desk(sandbox) as desk:
        sandbox.control.set_clock(f"{desk.today() + timedelta(days=1)}T09:00:00+08:00")
        yield desk
        assert desk.violations() == ()


def rows(bill, layout):
    """The rows as the layout reads them: kind, number, fen."""
    found = []
    for line in bill.rows.read_text("utf-8").splitlines():
        cells = dict(zip(bill.columns, (cell.strip("`") for cell in line.split(",`")), strict=True))
        rule = next((r for r in layout.rules if all(cells[name] in values for name, values in r.when.items())), None)
        if rule is not None:
            fen = round(float(cells[rule.amount]) * 100) * rule.sign
            found.append((rule.kind, cells[rule.number], fen))
    return found


def test_a_share_is_done_when_every_receiver_was_read_back(desk):
    redemption = desk.redeemed()
    assert desk.share(redemption).state is OperationState.PENDING
    assert desk.call("recover").done == 1
    [share] = desk.shares(redemption)
    assert share.state is OperationState.DONE
    assert [(line.state, line.amount_fen) for line in share.lines] == [
        (OperationState.DONE, 795),
        (OperationState.DONE, 30),
    ]


def test_a_receiver_that_was_refused_is_released_alone(desk):
    desk.sandbox.control.deliver("wechatpay", kind="receiver", account=FRIEND, share_fails="RECEIVER_RECEIPT_LIMIT")
    redemption = desk.redeemed()
    desk.share(redemption)
    desk.call("recover")
    [share] = desk.shares(redemption)
    assert [(line.state, line.error_code) for line in share.lines] == [
        (OperationState.DONE, None),
        (OperationState.RELEASED, "RECEIVER_RECEIPT_LIMIT"),
    ]


def test_too_early_is_not_done_and_says_when(desk):
    with pytest.raises(PlatformUnavailable) as raised:
        desk.share(desk.redeemed(age_s=20))
    assert raised.value.code == "wechatpay.share_too_early"
    assert 35 <= raised.value.retry_after_s <= 40


@pytest.mark.parametrize("kind", ["drop_after", "half_body", "bad_signature"])
def test_a_share_whose_answer_is_lost_is_asked_about_and_paid_once(desk, kind):
    redemption = desk.redeemed()
    desk.fault(kind, match=SHARES, times=MANY)
    assert desk.share(redemption).state is OperationState.UNKNOWN
    desk.calm()
    assert desk.call("recover").done == 1
    assert desk.share(redemption).state is OperationState.DONE
    assert len(desk.store().keys("share")) == 1


def test_a_share_that_never_arrived_is_released_and_no_money_moved(desk):
    redemption = desk.redeemed()
    desk.fault("drop_before", match=SHARES, times=MANY)
    assert desk.share(redemption).state is OperationState.UNKNOWN
    desk.calm()
    desk.outlive_requests()
    assert desk.call("recover").not_done == 1
    assert desk.store().keys("share") == []


@pytest.mark.parametrize("kind", [None, "drop_after", "half_body"])
def test_a_reversal_fetches_back_once_what_a_merchant_got(desk, kind):
    redemption = desk.redeemed()
    desk.share(redemption)
    desk.call("recover")
    desk.call("reverse", ReverseRequest(idempotency_key="back", redemption_id=redemption.redemption_id))
    if kind is not None:
        desk.fault(kind, match=RETURNS, times=MANY)
    desk.call("recover")
    desk.calm()
    for _ in range(3):
        desk.advance(seconds=61)
        desk.call("recover")
    kept = [desk.store().get("share-return", key) for key in desk.store().keys("share-return")]
    assert [(one["result"], one["amount"], one["return_mchid"]) for one in kept] == [("SUCCESS", 795, AGENT)]
    assert desk.return_states() == {1: "done", 2: "released"}


def test_a_return_that_the_receiver_cannot_pay_is_left_to_a_person(desk):
    desk.sandbox.control.deliver("wechatpay", kind="receiver", account=AGENT, return_fails="BALANCE_NOT_ENOUGH")
    redemption = desk.redeemed()
    desk.share(redemption)
    desk.call("recover")
    desk.call("reverse", ReverseRequest(idempotency_key="back", redemption_id=redemption.redemption_id))
    for _ in range(3):
        desk.call("recover")
        desk.advance(seconds=61)
    assert desk.return_states() == {1: "released", 2: "released"}


def test_the_days_bills_list_what_happened(desk, tmp_path):
    redemption = desk.redeemed()
    desk.share(redemption)
    desk.call("recover")
    paid = desk.paid_out()
    desk.call("run", desk.adapter.trades.refund("ORDER000001", refund_no="REFUND1", refund_fen=500, total_fen=8_000))
    [share] = desk.shares(redemption)
    day = desk.morning()
    trade = desk.bill(BillKind.TRADE, tmp_path, day)
    assert rows(trade, layouts.TRADE) == [
        (RowKind.PAYMENT, "ORDER000001", 8_000),
        (RowKind.REFUND, "REFUND1", -500),
    ]
    assert trade.declared == {
        RowKind.PAYMENT: Total(rows=1, amount_fen=8_000),
        RowKind.REFUND: Total(rows=1, amount_fen=-500),
    }
    funds = desk.bill(BillKind.FUNDS, tmp_path, day)
    number = paid.redemption.redemption_id
    assert rows(funds, layouts.FUNDS) == [(RowKind.PAY_OUT, number, 880)]
    assert len(funds.rows.read_bytes().splitlines()) == 6  # payment, fee, refund, pay-out and two shares
    assert funds.declared == {RowKind.PAY_OUT: Total(rows=1, amount_fen=880)}
    shared = desk.bill(BillKind.SHARE, tmp_path, day)
    assert rows(shared, layouts.SHARE) == [
        (RowKind.SHARE, share.share_id, 795),
        (RowKind.SHARE, share.share_id, 30),
    ]
    assert desk.bill(BillKind.TRADE, tmp_path, day - timedelta(days=1)) == NoBill(
        platform="wechatpay", kind=BillKind.TRADE, day=day - timedelta(days=1)
    )


def test_the_same_bill_again_is_the_same_file(desk, tmp_path):
    desk.redeemed()
    day = desk.morning()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, again = (desk.bill(BillKind.TRADE, tmp_path / name, day) for name in ("a", "b"))
    assert again.sha256 == first.sha256


def test_todays_bill_is_not_ready(desk, tmp_path):
    desk.redeemed()
    assert isinstance(desk.bill(BillKind.TRADE, tmp_path, desk.today()), BillNotReady)


@pytest.mark.parametrize(
    ("kind", "code", "change"),
    [
        (BillKind.TRADE, "amount_differs", 1),
        (BillKind.TRADE, "missing_there", None),
        (BillKind.TRADE, "duplicate", 8_000),
        (BillKind.FUNDS, "amount_differs", 1),
        (BillKind.FUNDS, "missing_here", 880),
        (BillKind.SHARE, "sharing_differs", 1),
        (BillKind.SHARE, "missing_here", 795),
        (BillKind.SHARE, "duplicate", 795),
    ],
)
def test_a_defect_spoils_one_row_that_the_ledger_knows(desk, tmp_path, kind, code, change):
    desk.sandbox.control.order("wechatpay", amount_fen=123)  # nobody's coupon: never spoiled
    redemption = desk.redeemed()
    desk.share(redemption)
    desk.call("recover")
    desk.paid_out()
    day = desk.morning()
    desk.sandbox.control.add_fault("wechatpay", "bill_defect", code=code, match=kind.value)
    bill = desk.bill(kind, tmp_path, day)
    assert isinstance(bill, BillFile)
    [defect] = desk.sandbox.control.bill_defects(platform="wechatpay")
    assert (defect["class"], defect["bill"], defect["day"]) == (code, kind.value, day.isoformat())
    layout = next(source.layout for source in layouts.SOURCES if source.kind is kind)
    ours = {RowKind.PAYMENT: 8_000 + 123, RowKind.PAY_OUT: 880, RowKind.SHARE: 825}
    row_kind = RowKind(defect["kind"])
    fen = sum(amount for found, _, amount in rows(bill, layout) if found is row_kind)
    assert fen - ours[row_kind] == (-8_000 if change is None else change)
    if kind is not BillKind.SHARE:
        assert bill.declared[row_kind].amount_fen == fen


@pytest.mark.parametrize(("kind", "word"), [(BillKind.TRADE, "`REVOKED,"), (BillKind.SHARE, "`CLOSED,")])
def test_a_wrong_state_is_written_as_the_platform_writes_it(desk, tmp_path, kind, word):
    redemption = desk.redeemed()
    desk.share(redemption)
    desk.call("recover")
    day = desk.morning()
    desk.sandbox.control.add_fault("wechatpay", "bill_defect", code="state_differs", match=kind.value)
    bill = desk.bill(kind, tmp_path, day)
    [defect] = desk.sandbox.control.bill_defects()
    [line] = [line for line in bill.rows.read_text("utf-8").splitlines() if word in line]
    assert defect["number"] in line


@pytest.mark.parametrize("kind", [BillKind.TRADE, BillKind.FUNDS])
def test_a_wrong_total_is_declared_beside_right_rows(desk, tmp_path, kind):
    desk.redeemed()
    day = desk.morning()
    desk.sandbox.control.add_fault("wechatpay", "bill_defect", code="total_differs", match=kind.value)
    declared = desk.bill(kind, tmp_path, day).declared
    [defect] = desk.sandbox.control.bill_defects()
    wanted = {RowKind.PAYMENT: 8_000, RowKind.PAY_OUT: 0}
    assert declared[RowKind(defect["kind"])].amount_fen == wanted[RowKind(defect["kind"])] + 1


def test_a_payment_of_another_date_stands_in_the_next_days_bill(desk, tmp_path):
    desk.redeemed()
    day = desk.morning()
    desk.sandbox.control.add_fault("wechatpay", "bill_defect", code="date_differs", match="trade")
    assert isinstance(desk.bill(BillKind.TRADE, tmp_path, day), NoBill)
    next_day = desk.morning()
    bill = desk.bill(BillKind.TRADE, tmp_path, next_day)
    assert rows(bill, layouts.TRADE) == [(RowKind.PAYMENT, "ORDER000001", 8_000)]
    assert next_day.isoformat() in bill.rows.read_text("utf-8")
