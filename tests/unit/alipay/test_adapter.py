"""The verbs: what is sent, once under which number, and what the ledger may conclude from the answer."""

from datetime import timedelta

import pytest
from tests.driving import START, Driver
from tests.unit.alipay.peer import (
    ACTIVITY,
    CODE,
    FAMILY,
    LISTING,
    USER,
    Peer,
    adapter,
    envelope,
    held,
    held_reversal,
    lost,
    ok,
    refused,
    run,
    template,
    unreached,
    voucher,
)

from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.coupon import Cash, Exchange, PercentOff
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import Binding, Listing
from unicom_coupon_sdk.domain.sensitive import PhoneNumber, PlatformUser
from unicom_coupon_sdk.errors import (
    Effected,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    UnsupportedOperation,
    ValidationError,
)
from unicom_coupon_sdk.platform.adapter import BindOrder, IssueOrder

ACTIVE = ok(activity_id=ACTIVITY, activity_base_info={"activity_status": "ACTIVE", "activity_operation_status": ""})
CREATING = ok(activity_id=ACTIVITY, activity_base_info={"activity_operation_status": "CREATING"})
CREATED = ok(activity_id=ACTIVITY)


def issue_order(*, listing=None, codes=2, **changes):
    return IssueOrder(
        template=template(**changes),
        codes=tuple(CouponCode(f"CODE{n:06d}") for n in range(codes)),
        batch_id="B1",
        listing=listing,
    )


def bind_order(user=USER, phone=None):
    return BindOrder("C1", CODE, template(), LISTING, Holder(user=user, phone=phone), "BND1")


class TestIssue:
    def test_an_activity_is_made_once_and_waited_for(self):
        peer = Peer(create=CREATED, query=[CREATING, CREATING, ACTIVE])
        driver = Driver(peer)
        listing = driver.run(adapter().issue(issue_order()))
        assert listing == Listing("T1", "alipay", {"activity_id": ACTIVITY})
        assert peer.methods() == ["create", "query", "query", "query"]
        assert driver.slept == [1.0, 2.0]

    def test_the_content_is_that_of_the_new_generation(self):
        peer = Peer(create=CREATED, query=ACTIVE)
        run(peer, adapter().issue(issue_order()))
        content = peer.calls[0][1]
        assert content["out_biz_no"] == "CREATE_T1"
        assert content["voucher_deduct_info"] == {
            "voucher_type": "FIX_VOUCHER",
            "fix_voucher_info": {"amount": "50.00", "floor_amount": "99.00"},
        }
        rule = content["voucher_send_mode_info"]["voucher_send_rule_info"]
        assert rule["quantity"] == 999_999
        period = content["voucher_use_rule_info"]["voucher_use_time_info"]["absolute_period_info"]
        assert period["valid_end_time"] == "2026-06-19 13:29:34"
        assert rule["publish_end_time"] < period["valid_end_time"]
        assert content["voucher_use_rule_info"]["voucher_max_use_times"] == 1

    def test_the_same_template_makes_the_same_request_at_any_time(self):
        peer = Peer(create=CREATED, query=ACTIVE)
        run(peer, adapter().issue(issue_order()))
        run(peer, adapter().issue(issue_order()), now=START + timedelta(days=2))
        first, second = (content for method, content, _ in peer.calls if method.endswith("create"))
        assert first == second

    def test_a_long_campaign_is_published_for_180_days_at_most(self):
        peer = Peer(create=CREATED, query=ACTIVE)
        run(peer, adapter().issue(issue_order(valid_until=START + timedelta(days=400))))
        rule = peer.calls[0][1]["voucher_send_mode_info"]["voucher_send_rule_info"]
        assert rule["publish_start_time"] == "2026-05-19 13:29:35"
        assert rule["publish_end_time"] == "2026-11-15 13:29:35"

    def test_a_listed_template_is_not_made_again(self):
        peer = Peer(query=ACTIVE)
        assert run(peer, adapter().issue(issue_order(listing=LISTING))) == LISTING
        assert peer.methods() == ["query"]

    def test_an_activity_that_takes_long_is_not_ready_yet(self):
        with pytest.raises(PlatformUnavailable) as caught:
            run(Peer(create=CREATED, query=CREATING), adapter().issue(issue_order()))
        assert caught.value.code == "alipay.activity_pending"

    @pytest.mark.parametrize(
        ("node", "code"),
        [
            (ok(activity_base_info={"activity_status": "FINISHED"}), "alipay.activity_state"),
            (ok(audit_result_info={"audit_result": "REJECT"}), "alipay.activity_rejected"),
        ],
    )
    def test_an_activity_that_cannot_become_active_is_refused(self, node, code):
        with pytest.raises(PlatformRefused) as caught:
            run(Peer(create=CREATED, query=node), adapter().issue(issue_order()))
        assert caught.value.code == code

    def test_uploaded_codes_are_counted_before_the_quantity_is_set(self):
        peer = Peer(create=CREATED, query=ACTIVE, codedeposit=ok(), codecount=ok(success_count="2"), append=ok())
        run(peer, adapter(code_mode="merchant_upload").issue(issue_order()))
        assert peer.methods() == ["create", "query", "codedeposit", "codecount", "append", "query"]
        deposit, append = peer.calls[2][1], peer.calls[4][1]
        assert deposit["voucher_codes"] == ["CODE000000", "CODE000001"]
        assert deposit["out_biz_no"] == "B1_0"
        assert (append["out_biz_no"], append["voucher_quantity"]) == ("APPEND2_T1", 2)
        rule = peer.calls[0][1]["voucher_send_mode_info"]["voucher_send_rule_info"]
        assert rule["quantity"] == 0

    def test_codes_that_were_not_taken_stop_the_issue(self):
        failed = ok(fail_voucher_code_detail_list=[{"voucher_code": "CODE000000", "error_code": "DUPLICATE"}])
        with pytest.raises(PlatformRefused) as caught:
            run(
                Peer(create=CREATED, query=ACTIVE, codedeposit=failed),
                adapter(code_mode="merchant_upload").issue(issue_order()),
            )
        assert (caught.value.code, caught.value.platform_code) == ("alipay.codes_refused", "DUPLICATE")
        assert "CODE000000" not in str(caught.value)

    @pytest.mark.parametrize(
        ("benefit", "told"),
        [
            (
                PercentOff(basis_points=1200, max_off_fen=2000),
                {
                    "voucher_type": "DISCOUNT_VOUCHER",
                    "discount_voucher_info": {"discount": "8.8", "ceiling_amount": "20.00"},
                },
            ),
            (
                PercentOff(basis_points=5000),
                {"voucher_type": "DISCOUNT_VOUCHER", "discount_voucher_info": {"discount": "5.0"}},
            ),
            (
                Exchange(item="咖啡", worth_fen=3000),
                {
                    "voucher_type": "EXCHANGE_VOUCHER",
                    "exchange_voucher_info": {"amount": "30.00", "biz_type": "FIX_EXCHANGE_VOUCHER"},
                },
            ),
            (
                Exchange(item="咖啡", worth_fen=3000, price_fen=100),
                {"voucher_type": "SPECIAL_VOUCHER", "special_voucher_info": {"special_amount": "1.00"}},
            ),
        ],
    )
    def test_each_benefit_has_its_voucher_type(self, benefit, told):
        peer = Peer(create=CREATED, query=ACTIVE)
        run(peer, adapter().issue(issue_order(benefit=benefit)))
        assert peer.calls[0][1]["voucher_deduct_info"] == told

    def test_what_alipay_cannot_express_is_refused_before_anything_is_sent(self):
        peer = Peer()
        for benefit, code in (
            (PercentOff(basis_points=1250), "alipay.discount"),
            (PercentOff(basis_points=50), "alipay.discount"),
            (template().benefit.replaced(off_fen=300_001), "alipay.range"),
            (template().benefit.replaced(off_fen=9), "alipay.range"),
        ):
            with pytest.raises(ValidationError) as caught:
                run(peer, adapter().issue(issue_order(benefit=benefit)))
            assert caught.value.code == code
        with pytest.raises(UnsupportedOperation):
            run(peer, adapter().issue(issue_order(benefit=Cash(cash_fen=100))))
        assert peer.calls == []


class TestBind:
    RECEIVED = ok(receive_result_list=[{"result": True, "voucher_id": "V1", "voucher_code": CODE.reveal()}])

    def test_the_code_of_ours_is_given_to_the_user(self):
        peer = Peer(receive=self.RECEIVED)
        binding = run(peer, adapter().bind(bind_order()))
        assert binding == Binding("C1", "alipay", USER, {"voucher_id": "V1"})
        content = peer.calls[0][1]
        assert content["user_id"] == USER.reveal()
        assert content["receive_info_list"] == [
            {"activity_id": ACTIVITY, "out_biz_no": "BND1", "voucher_code": CODE.reveal()}
        ]

    def test_an_open_id_goes_by_its_own_name(self):
        peer = Peer(receive=self.RECEIVED)
        run(peer, adapter().bind(bind_order(PlatformUser("074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5"))))
        assert "user_open_id" in peer.calls[0][1]
        assert "user_id" not in peer.calls[0][1]

    def test_a_lost_answer_is_asked_for_again_under_the_same_number(self):
        peer = Peer(receive=[lost(), self.RECEIVED])
        run(peer, adapter().bind(bind_order()))
        assert [content["receive_info_list"][0]["out_biz_no"] for _, content, _ in peer.calls] == ["BND1", "BND1"]

    def test_a_voucher_that_was_not_given_is_refused_or_unknown(self):
        no = ok(receive_result_list=[{"result": False, "retry": False, "error_code": "COUNT_OVER_LIMIT"}])
        with pytest.raises(PlatformRefused) as caught:
            run(Peer(receive=no), adapter().bind(bind_order()))
        assert caught.value.platform_code == "COUNT_OVER_LIMIT"
        for node in (
            ok(receive_result_list=[{"result": False, "retry": True, "error_code": "X"}]),
            ok(receive_result_list=[]),
            ok(receive_result_list=[{"result": True, "voucher_code": "OTHER1"}]),
        ):
            with pytest.raises(PlatformUnknown):
                run(Peer(receive=node), adapter().bind(bind_order()))

    def test_a_phone_alone_cannot_be_sent_to(self):
        with pytest.raises(ValidationError) as caught:
            run(Peer(), adapter().bind(bind_order(None, PhoneNumber("13800000000"))))
        assert caught.value.code == "alipay.user_needed"

    def test_where_alipay_chooses_the_code_the_binding_waits_for_its_message(self):
        peer = Peer()
        assert run(peer, adapter(code_mode="merchant_upload").bind(bind_order())).pending
        assert peer.calls == []


class TestRedeem:
    def test_the_redemption_is_told_under_its_own_id(self):
        peer = Peer(use=CREATED)
        outcome = run(peer, adapter().redeem(held()))
        assert outcome.effected is Effected.DONE
        assert outcome.platform_no == "RDM20260115000001"
        assert peer.calls[0][1] == {
            "activity_id": ACTIVITY,
            "voucher_code": CODE.reveal(),
            "out_biz_no": "RDM20260115000001",
            "biz_dt": "2026-05-20 13:29:35",
            "total_fee": "99.00",
            "trade_channel": "OTHER_TRADE_CHANNEL",
            "merchant_access_mode": "SELF_MODE",
        }

    def test_an_order_paid_by_alipay_carries_its_trade_number(self):
        peer = Peer(use=CREATED)
        order = Order(order_no="ORD1", amount_fen=9900, platform_order_no="2026011522001400000000000001", store_no="S1")
        run(peer, adapter(shop_ids={"S1"}).redeem(held(order=order)))
        content = peer.calls[0][1]
        assert (content["trade_channel"], content["trade_no"]) == ("ZHIFUBAO_TRADE_CHANNEL", order.platform_order_no)
        assert content["store_id"] == "S1"

    @pytest.mark.parametrize("trouble", [lost(), unreached(), refused("SYSTEM_ERROR"), refused("x", "20000"), b"junk"])
    def test_a_repeat_is_the_same_request(self, trouble):
        peer = Peer(use=[trouble, trouble, CREATED])
        outcome = run(peer, adapter().redeem(held()))
        assert outcome.effected is Effected.DONE
        assert len(peer.calls) == 3
        assert all(content == peer.calls[0][1] for _, content, _ in peer.calls)

    def test_three_lost_answers_are_unknown(self):
        with pytest.raises(PlatformUnknown):
            run(Peer(use=lost()), adapter().redeem(held()))

    def test_a_refusal_after_a_lost_answer_is_still_unknown(self):
        with pytest.raises(PlatformUnknown):
            run(Peer(use=[lost(), refused("BIZ_ERROR")]), adapter().redeem(held()))

    def test_a_refusal_is_definite(self):
        with pytest.raises(PlatformRefused) as caught:
            run(Peer(use=refused("BIZ_ERROR")), adapter().redeem(held()))
        assert caught.value.platform_code == "BIZ_ERROR"

    def test_nothing_is_sent_at_the_deadline(self):
        peer = Peer(use=CREATED)
        driver = Driver(peer, now=START + timedelta(seconds=60))
        with pytest.raises(PlatformUnavailable) as caught:
            driver.run(adapter().redeem(held()))
        assert caught.value.code == "platform.too_late"
        assert peer.calls == []
        assert driver.slept == []

    def test_a_repeat_that_would_be_too_late_leaves_it_unknown(self):
        peer = Peer(use=lost())
        with pytest.raises(PlatformUnknown):
            run(peer, adapter().redeem(held(deadline=START + timedelta(milliseconds=400))))
        assert len(peer.calls) == 1

    def test_an_order_of_nothing_is_not_sent(self):
        peer = Peer(use=CREATED)
        with pytest.raises(ValidationError):
            run(peer, adapter().redeem(held(order=Order(order_no="O", amount_fen=0))))
        assert peer.calls == []


class TestQuery:
    @pytest.mark.parametrize(
        ("node", "effected"),
        [
            (voucher("USED"), Effected.DONE),
            (voucher("USED", used="1"), Effected.DONE),
            (voucher("SENDED"), Effected.NOT_DONE),
            (voucher("SENDED", used=0), Effected.NOT_DONE),
            (voucher("SENDED", used=1), Effected.UNKNOWN),
            (voucher("EXPIRED", used=0), Effected.NOT_DONE),
            (voucher("EXPIRED", used=1), Effected.DONE),
            (voucher("EXPIRED"), Effected.UNKNOWN),
            (voucher("PAUSE"), Effected.UNKNOWN),
            (voucher("USED", code=CouponCode("OTHER1")), Effected.UNKNOWN),
            (ok(activity_id=ACTIVITY), Effected.UNKNOWN),
            (refused("VOUCHER_NOT_EXIST"), Effected.UNKNOWN),
        ],
    )
    def test_the_vouchers_state_tells_what_became_of_the_redemption(self, node, effected):
        assert run(Peer(query_voucher=node), adapter().query(held())).effected is effected

    @pytest.mark.parametrize(
        ("node", "effected"),
        [
            (voucher("USED"), Effected.NOT_DONE),
            (voucher("SENDED"), Effected.DONE),
            (voucher("EXPIRED", used=0), Effected.DONE),
            (voucher("EXPIRED", used=1), Effected.NOT_DONE),
            (voucher("EXPIRED"), Effected.UNKNOWN),
            (refused("VOUCHER_NOT_EXIST"), Effected.UNKNOWN),
        ],
    )
    def test_the_vouchers_state_tells_what_became_of_the_reversal(self, node, effected):
        assert run(Peer(query_voucher=node), adapter().query_reversal(held_reversal())).effected is effected

    def test_a_query_reads_only(self):
        peer = Peer(query_voucher=voucher("SENDED"))
        run(peer, adapter().query(held()))
        run(peer, adapter().query_reversal(held_reversal()))
        assert {method for method, _, _ in peer.calls} == {"alipay.marketing.activity.user.queryvoucher"}

    def test_the_user_goes_with_the_code(self):
        peer = Peer(query_voucher=voucher("USED"))
        run(peer, adapter().query(held()))
        assert peer.calls[0][1]["user_id"] == USER.reveal()

    @pytest.mark.parametrize("trouble", [lost(), b"junk", refused("SYSTEM_ERROR"), refused("ACTIVITY_NOT_PERMISSION")])
    def test_a_query_that_fails_is_a_platform_that_could_not_be_asked(self, trouble):
        with pytest.raises(PlatformUnavailable):
            run(Peer(query_voucher=trouble), adapter().query(held()))


class TestReverse:
    def test_the_reversal_has_a_number_of_its_own(self):
        peer = Peer(refund=CREATED)
        outcome = run(peer, adapter().reverse(held_reversal()), now=START + timedelta(hours=1))
        assert outcome.effected is Effected.DONE
        content = peer.calls[0][1]
        assert (content["out_biz_no"], content["biz_dt"]) == ("REV1", "2026-05-20 14:29:35")
        assert content["total_fee"] == "99.00"

    def test_it_is_never_sent_after_its_deadline(self):
        peer = Peer(refund=CREATED)
        with pytest.raises(PlatformUnavailable):
            run(peer, adapter().reverse(held_reversal()), now=START + timedelta(hours=2))
        assert peer.calls == []

    def test_a_forged_answer_leaves_it_unknown(self):
        forged = envelope(f"{FAMILY}.refund", CREATED).replace(b"Success", b"success")
        with pytest.raises(PlatformUnknown):
            run(Peer(refund=forged), adapter().reverse(held_reversal()), now=START + timedelta(hours=1))


class TestVoid:
    BINDING = Binding("C1", "alipay", USER, {})

    def void(self, peer):
        flow = adapter().void(self.BINDING, code=CODE, listing=LISTING, void_no="VC1", reason="wrong batch")
        return run(peer, flow)

    def test_an_unused_voucher_is_withdrawn(self):
        peer = Peer(invalid=ok())
        assert self.void(peer).effected is Effected.DONE
        assert peer.calls[0][1]["out_biz_no"] == "VC1"
        assert "reason" not in peer.calls[0][1]

    def test_one_that_is_gone_already_counts_as_withdrawn(self):
        peer = Peer(invalid=refused("INVALID_PARAMETER"), query_voucher=voucher("EXPIRED", used=0))
        assert self.void(peer).effected is Effected.DONE

    @pytest.mark.parametrize("state", [voucher("SENDED"), voucher("USED"), voucher("EXPIRED", used=1)])
    def test_one_that_is_not_gone_is_refused(self, state):
        with pytest.raises(PlatformRefused):
            self.void(Peer(invalid=refused("BIZ_ERROR"), query_voucher=state))
