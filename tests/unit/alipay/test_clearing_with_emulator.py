"""Pay-outs, shares and bills against the sandbox, through the client: once, whatever is lost, and all of it in a bill."""

from datetime import timedelta

import pytest

from unicom_coupon_sdk import (
    BillFile,
    BillKind,
    BindRequest,
    Cash,
    CouponClient,
    CouponState,
    Holder,
    IssueRequest,
    OperationState,
    Order,
    PayOutRequest,
    PlatformRefused,
    Ratio,
    Receiver,
    RedeemRequest,
    Remainder,
    ReverseRequest,
    ScanProof,
    SharePart,
    ShareRequest,
    ShareRole,
    ShareRule,
    ValidationError,
    VoidRequest,
)
from unicom_coupon_sdk.domain.bill import RowKind, Total
from unicom_coupon_sdk.domain.coupon import AmountOff, CouponTemplate
from unicom_coupon_sdk.domain.sensitive import PlatformUser
from unicom_coupon_sdk.domain.times import business_date
from unicom_coupon_sdk.sandbox.inprocess import Sandbox

TRANSFER, ASKED = "alipay.fund.trans.uni.transfer", "alipay.fund.trans.common.query"
SETTLE, SETTLED = "alipay.trade.order.settle", "alipay.trade.order.settle.query"
PARTNER = Receiver(merchant_account="2088000000000011")
FRIEND = Receiver(user=PlatformUser("2088000000000012"))
RULE = ShareRule(
    name="partners",
    parts=(
        SharePart(role=ShareRole.PLATFORM, size=Ratio(basis_points=1_000), receiver=PARTNER),
        SharePart(role=ShareRole.USER, size=Ratio(basis_points=500), receiver=FRIEND),
        SharePart(role=ShareRole.MERCHANT, size=Remainder()),
    ),
)


class Shop:
    """A merchant in certificate mode, its client, and short ways to what a test needs."""

    def __init__(self, sandbox, folder, **section):
        self.sandbox = sandbox
        settings = sandbox.settings()
        told = {**settings.platforms["alipay"], "mode": "certificate", **section}
        settings = settings.replaced(
            platforms={"alipay": told},
            sharing=(RULE,),
            clearing=settings.clearing.replaced(directory=folder),
        )
        self.client = CouponClient(settings, transport=sandbox.transport(), clock=sandbox.clock)
        self.control = sandbox.control
        self.count = 0

    def number(self):
        self.count += 1
        return f"N{self.count}"

    def coupon(self, benefit):
        now = self.sandbox.clock.now()
        template = CouponTemplate(
            template_id=f"T{self.number()}",
            name="联通券",
            benefit=benefit,
            valid_from=now - timedelta(minutes=1),
            valid_until=now + timedelta(days=30),
            platforms=frozenset({"alipay"}),
        )
        (coupon,) = self.client.issue(IssueRequest(idempotency_key=self.number(), template=template, count=1)).coupons
        holder = Holder(user=PlatformUser("2088000000000099"))
        self.client.bind(BindRequest(coupon=coupon.code, platform="alipay", holder=holder))
        return coupon

    def wish(self, coupon):
        return PayOutRequest(
            idempotency_key=self.number(),
            platform="alipay",
            coupon=coupon.code,
            reference=self.number(),
            proof=ScanProof(token=self.client.show(coupon.coupon_id)),
        )

    def redeemed(self, fen=10_000):
        order = self.control.order("alipay", amount_fen=fen, out_trade_no=f"ORD{self.number()}")
        coupon = self.coupon(AmountOff(off_fen=2_000))
        return self.client.redeem(
            RedeemRequest(
                idempotency_key=self.number(),
                platform="alipay",
                coupon=coupon.code,
                order=Order(order_no=order["out_trade_no"], amount_fen=fen, platform_order_no=order["trade_no"]),
                proof=ScanProof(token=self.client.show(coupon.coupon_id)),
            )
        )

    def share(self, redemption, *, key="share"):
        return self.client.share(
            ShareRequest(idempotency_key=key, redemption_id=redemption.redemption_id, rule="partners", amount_fen=8_000)
        )

    def outlive(self):
        profile = self.client.setting.adapter("alipay").profile
        self.control.advance(profile.send_window_s + profile.request_lifetime_s + 61)

    def lose(self, kind, match, times=20):
        self.control.add_fault("alipay", kind, match=match, times=times)

    def bill(self, kind):
        """The bill of the day that is over tomorrow at nine."""
        day = business_date(self.sandbox.clock.now())
        tomorrow = self.sandbox.clock.now() + timedelta(days=1)
        self.control.set_clock(tomorrow.replace(hour=2, minute=0))
        return self.client.fetch_bill("alipay", kind, day)

    def paid_rows(self):
        bill = self.bill(BillKind.FUNDS)
        assert isinstance(bill, BillFile)
        place = bill.columns.index("商户订单号")
        kind = bill.columns.index("业务类型")
        rows = [line.split(",") for line in bill.rows.read_text("gb18030").splitlines()]
        return [(row[kind].strip("\t"), row[place].strip("\t")) for row in rows], bill.declared


@pytest.fixture(params=["classic", "v3"])
def shop(request, tmp_path):
    with Sandbox(seed=7, platforms=["alipay"]) as sandbox:
        noon = sandbox.clock.now() + timedelta(days=1)
        sandbox.control.set_clock(noon.replace(hour=4, minute=0))
        shop = Shop(sandbox, tmp_path, gateway=request.param)
        yield shop
        assert shop.client.read(shop.client.setting.ledger.audit()) == ()
        shop.client.close()


class TestPayOut:
    def test_cash_needs_no_call_before_it_is_paid(self, shop):
        before = len(shop.control.requests())
        coupon = shop.coupon(Cash(cash_fen=500))
        assert len(shop.control.requests()) == before
        wish = shop.wish(coupon)
        told = shop.client.pay_out(wish)
        assert told.redemption.state is OperationState.DONE
        assert shop.client.pay_out(wish).redemption == told.redemption
        rows, declared = shop.paid_rows()
        assert rows == [("转账", told.redemption.redemption_id)]
        assert declared[RowKind.PAY_OUT] == Total(1, 500)

    def test_a_sum_that_alipay_does_not_pay_is_not_even_issued(self, shop):
        with pytest.raises(ValidationError, match=r"alipay\.range"):
            shop.coupon(Cash(cash_fen=9))
        with pytest.raises(ValidationError, match=r"alipay\.remark_needed"):
            shop.coupon(Cash(cash_fen=5_000_000))

    @pytest.mark.parametrize("kind", ["drop_after", "half_body", "bad_signature", "wrong_serial"])
    def test_a_lost_answer_is_paid_once(self, shop, kind):
        wish = shop.wish(shop.coupon(Cash(cash_fen=500)))
        shop.lose(kind, TRANSFER)
        told = shop.client.pay_out(wish)
        assert told.redemption.state is OperationState.DONE
        shop.control.clear_faults()
        assert shop.client.pay_out(wish).redemption == told.redemption
        rows, _ = shop.paid_rows()
        assert rows == [("转账", told.redemption.redemption_id)]

    def test_one_that_cannot_be_asked_about_stays_unknown_until_it_can(self, shop):
        wish = shop.wish(shop.coupon(Cash(cash_fen=500)))
        shop.lose("drop_after", TRANSFER)
        shop.lose("drop_before", ASKED)
        told = shop.client.pay_out(wish)
        assert told.redemption.state is OperationState.UNKNOWN
        shop.control.clear_faults()
        assert shop.client.recover().done == 1
        assert shop.client.query(told.redemption.redemption_id).state is OperationState.DONE
        rows, _ = shop.paid_rows()
        assert rows == [("转账", told.redemption.redemption_id)]

    def test_one_that_never_arrived_is_free_only_when_it_no_longer_can(self, shop):
        coupon = shop.coupon(Cash(cash_fen=500))
        shop.lose("drop_before", TRANSFER)
        told = shop.client.pay_out(shop.wish(coupon))
        assert told.redemption.state is OperationState.UNKNOWN
        shop.control.clear_faults()
        assert shop.client.recover().still_open == 1
        shop.outlive()
        assert shop.client.recover().not_done == 1
        assert shop.client.coupon(coupon.coupon_id).state is CouponState.AVAILABLE
        again = shop.client.pay_out(shop.wish(coupon))
        rows, _ = shop.paid_rows()
        assert rows == [("转账", again.redemption.redemption_id)]

    def test_a_refusal_frees_the_coupon(self, shop):
        coupon = shop.coupon(Cash(cash_fen=500))
        shop.control.deliver("alipay", kind="payee", identity="2088000000000099", trouble="blocked")
        with pytest.raises(PlatformRefused) as caught:
            shop.client.pay_out(shop.wish(coupon))
        assert (caught.value.code, caught.value.platform_code) == ("alipay.payee_status", "PAYEE_ACCOUNT_STATUS_ERROR")
        assert shop.client.coupon(coupon.coupon_id).state is CouponState.AVAILABLE

    @pytest.mark.parametrize(("status", "state"), [("SUCCESS", "done"), ("FAIL", "released")])
    def test_one_under_way_is_pending_until_it_ends(self, shop, status, state):
        shop.control.deliver("alipay", kind="console", transfer_status="DEALING")
        told = shop.client.pay_out(shop.wish(shop.coupon(Cash(cash_fen=500))))
        number = told.redemption.redemption_id
        assert told.redemption.state is OperationState.PENDING
        shop.outlive()
        assert shop.client.recover().still_open == 1
        shop.control.deliver("alipay", kind="transfer", out_biz_no=number, status=status)
        shop.client.recover()
        assert shop.client.query(number).state.value == state

    def test_a_withdrawn_coupon_of_cash_needs_no_call(self, shop):
        coupon = shop.coupon(Cash(cash_fen=500))
        before = len(shop.control.requests())
        voided = shop.client.void(VoidRequest(coupon=coupon.code, reason="wrong campaign"))
        assert (voided.coupon.state, voided.errors) == (CouponState.VOID, ())
        assert len(shop.control.requests()) == before


class TestShare:
    def test_each_receiver_gets_its_part_and_the_rest_is_free(self, shop):
        told = shop.share(shop.redeemed())
        assert told.state is OperationState.DONE
        assert [(line.amount_fen, line.state) for line in told.lines] == [
            (800, OperationState.DONE),
            (400, OperationState.DONE),
        ]
        rows, declared = shop.paid_rows()
        assert [row for row in rows if row[0] == "分账"] == [("分账", told.share_id)] * 2
        assert declared[RowKind.SHARE] == Total(2, 1200)

    @pytest.mark.parametrize("kind", ["drop_after", "half_body", "bad_signature"])
    def test_a_lost_answer_is_shared_once(self, shop, kind):
        redemption = shop.redeemed()
        shop.lose(kind, SETTLE)
        told = shop.share(redemption)
        assert told.state is OperationState.DONE
        rows, _ = shop.paid_rows()
        assert [row for row in rows if row[0] == "分账"] == [("分账", told.share_id)] * 2

    def test_one_that_never_arrived_is_not_done_only_when_it_no_longer_can(self, shop):
        redemption = shop.redeemed()
        shop.lose("drop_before", SETTLE)
        told = shop.share(redemption)
        assert told.state is OperationState.UNKNOWN
        shop.control.clear_faults()
        shop.client.recover()
        shop.outlive()
        shop.client.recover()
        with pytest.raises(PlatformRefused, match=r"alipay\.not_shared"):
            shop.share(redemption)
        assert shop.share(redemption, key="again").state is OperationState.DONE

    def test_one_that_cannot_be_asked_about_stays_unknown_until_it_can(self, shop):
        redemption = shop.redeemed()
        shop.lose("drop_after", SETTLE)
        shop.lose("drop_before", SETTLED)
        assert shop.share(redemption).state is OperationState.UNKNOWN
        shop.control.clear_faults()
        shop.client.recover()
        assert shop.share(redemption).state is OperationState.DONE
        rows, _ = shop.paid_rows()
        assert len([row for row in rows if row[0] == "分账"]) == 2

    def test_more_than_the_contract_allows_is_refused_whole(self, shop):
        shop.control.deliver("alipay", kind="console", royalty_ratio=5)
        with pytest.raises(PlatformRefused, match=r"alipay\.share_limit"):
            shop.share(shop.redeemed())

    def test_a_reversal_fetches_each_part_back_once(self, shop):
        redemption = shop.redeemed()
        told = shop.share(redemption)
        shop.lose("drop_after", "alipay.trade.refund", times=2)
        shop.client.reverse(ReverseRequest(idempotency_key="back", redemption_id=redemption.redemption_id))
        shop.client.recover()
        shop.client.recover()
        rows, declared = shop.paid_rows()
        back = [number for kind, number in rows if kind == "分账退回"]
        assert (len(back), len(set(back))) == (2, 2)
        assert declared[RowKind.SHARE_RETURN] == Total(2, -1200)
        assert told.share_id not in back


class TestBills:
    def test_a_marketing_bill_lists_our_redemptions_and_reversals(self, shop):
        redemption = shop.redeemed()
        reversal = shop.client.reverse(ReverseRequest(idempotency_key="back", redemption_id=redemption.redemption_id))
        bill = shop.bill(BillKind.COUPON)
        assert bill.declared == {RowKind.REDEMPTION: Total(1, 2000), RowKind.REVERSAL: Total(1, -2000)}
        text = bill.rows.read_text("gb18030")
        assert redemption.redemption_id in text
        assert reversal.reversal_id in text

    def test_a_trade_bill_lists_the_orders(self, shop):
        redemption = shop.redeemed()
        bill = shop.bill(BillKind.TRADE)
        assert bill.declared == {RowKind.PAYMENT: Total(1, 10_000), RowKind.REFUND: Total(0, 0)}
        assert redemption.order.order_no in bill.rows.read_text("gb18030")

    @pytest.mark.parametrize(
        ("code", "kind", "declared"),
        [
            ("total_differs", BillKind.COUPON, {RowKind.REDEMPTION: Total(1, 2001), RowKind.REVERSAL: Total(0, 0)}),
            ("total_differs", BillKind.TRADE, {RowKind.PAYMENT: Total(1, 10_001), RowKind.REFUND: Total(0, 0)}),
            ("missing_there", BillKind.COUPON, {RowKind.REDEMPTION: Total(0, 0), RowKind.REVERSAL: Total(0, 0)}),
        ],
    )
    def test_what_a_fault_spoils_is_fetched_as_it_is_and_told_apart(self, shop, code, kind, declared):
        redemption = shop.redeemed()
        shop.control.add_fault("alipay", "bill_defect", code=code, match=kind.value)
        bill = shop.bill(kind)
        assert bill.declared == declared
        (defect,) = shop.control.bill_defects(platform="alipay")
        number = None if code == "total_differs" else redemption.redemption_id
        assert (defect["class"], defect["bill"], defect["number"]) == (code, kind.value, number)

    def test_a_day_on_which_nothing_happened_has_no_bill(self, shop):
        for kind in (BillKind.COUPON, BillKind.TRADE, BillKind.FUNDS):
            answer = shop.bill(kind)
            assert (type(answer).__name__, answer.kind) == ("NoBill", kind)
