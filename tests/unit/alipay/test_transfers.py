"""Pay-outs: one number, one transfer, and only Alipay's own query says that nothing was paid."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.driving import START, Driver
from tests.unit.alipay.peer import USER, Peer, adapter, held, lost, ok, refused, run, settings, template, unreached

from unicom_coupon_adapters.alipay import transfers
from unicom_coupon_sdk.domain.coupon import Cash
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.errors import (
    ConfigurationError,
    Effected,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    UnsupportedOperation,
    ValidationError,
)

NUMBER = "RDM20260115000001"
TRANSFER, QUERY = transfers.TRANSFER.method, transfers.QUERY.method
PAID = ok(out_biz_no=NUMBER, order_id="2026ORDER", status="SUCCESS", trans_date="2026-05-20 13:29:36")
DEALING = ok(out_biz_no=NUMBER, order_id="2026ORDER", status="DEALING")
MISSING = refused("ORDER_NOT_EXIST")


def cash(*, fen=5000, user=USER, name=None, **changes):
    facts = held(value_fen=fen, **changes)
    binding = replace(facts.binding, user=user)
    return replace(facts, template=template(benefit=Cash(cash_fen=fen)), binding=binding, payee_name=name)


def pay(*, transfer, query=MISSING, wish=None, now=START, **changes):
    peer = Peer(**{TRANSFER: transfer, QUERY: query})
    flow = transfers.pay_out(wish or cash(), gateway=adapter().gateway, settings=settings(**changes))
    try:
        return run(peer, flow, now=now), peer
    finally:
        assert [content["out_biz_no"] for _, content, _ in peer.calls] == [NUMBER] * len(peer.calls)


def sent(peer):
    return [content for method, content, _ in peer.calls if method == TRANSFER]


class TestRequest:
    def test_the_amount_goes_to_the_bound_user_under_the_redemptions_id(self):
        outcome, peer = pay(transfer=PAID)
        assert peer.calls[0][1] == {
            "out_biz_no": NUMBER,
            "trans_amount": "50.00",
            "product_code": "TRANS_ACCOUNT_NO_PWD",
            "biz_scene": "DIRECT_TRANSFER",
            "order_title": "联通50元券",
            "payee_info": {"identity": USER.reveal(), "identity_type": "ALIPAY_USER_ID"},
        }
        assert (outcome.effected, outcome.platform_no) == (Effected.DONE, "2026ORDER")
        assert outcome.at.isoformat() == "2026-05-20T05:29:36+00:00"

    @pytest.mark.parametrize(
        ("user", "kind"),
        [
            ("2088000000000002", "ALIPAY_USER_ID"),
            ("13800000000", "ALIPAY_LOGON_ID"),
            ("a@b.cn", "ALIPAY_LOGON_ID"),
            ("074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5", "ALIPAY_OPEN_ID"),
        ],
    )
    def test_a_payee_goes_by_the_name_that_it_is(self, user, kind):
        _, peer = pay(transfer=PAID, wish=cash(user=PlatformUser(user), name=Secret("张三")))
        assert peer.calls[0][1]["payee_info"] == {"identity": user, "identity_type": kind, "name": "张三"}

    def test_scene_and_reason_are_those_of_the_settings(self):
        _, peer = pay(
            transfer=PAID,
            transfer_scene_name="现金营销",
            transfer_scene_reports={"活动名称": "联通会员日", "奖励说明": "现金券"},
            transfer_remark="会员日现金券",
        )
        content = peer.calls[0][1]
        assert (content["transfer_scene_name"], content["remark"]) == ("现金营销", "会员日现金券")
        assert content["transfer_scene_report_infos"] == [
            {"info_type": "活动名称", "info_content": "联通会员日"},
            {"info_type": "奖励说明", "info_content": "现金券"},
        ]

    @pytest.mark.parametrize(
        ("wish", "code"),
        [
            (cash(fen=9), "alipay.range"),
            (cash(fen=10_000_000_001), "alipay.range"),
            (cash(fen=5_000_000), "alipay.remark_needed"),
            (cash(user=None), "alipay.user_needed"),
            (cash(user=PlatformUser("13800000000")), "alipay.payee_name_needed"),
        ],
    )
    def test_what_alipay_would_refuse_is_refused_before_anything_is_sent(self, wish, code):
        peer = Peer(**{TRANSFER: PAID})
        with pytest.raises(ValidationError) as caught:
            run(peer, transfers.pay_out(wish, gateway=adapter().gateway, settings=settings()))
        assert (caught.value.code, peer.calls) == (code, [])

    def test_a_scene_needs_its_reports_and_the_other_way_round(self):
        for changes in ({"transfer_scene_name": "现金营销"}, {"transfer_scene_reports": {"活动名称": "x"}}):
            with pytest.raises(ConfigurationError) as caught:
                settings(**changes)
            assert caught.value.code == "alipay.transfer_scene"

    def test_without_certificates_there_are_no_pay_outs_and_no_cash(self):
        peer = Peer()
        profile = adapter().profile
        assert "cash" not in profile.coupon_kinds
        for flow in (adapter().pay_out(cash()), adapter().query_pay_out(cash())):
            with pytest.raises(UnsupportedOperation):
                run(peer, flow)
        assert peer.calls == []


class TestOutcome:
    @pytest.mark.parametrize(
        ("transfer", "query", "effected", "code"),
        [
            (DEALING, MISSING, Effected.PENDING, None),
            (lost(), PAID, Effected.DONE, None),
            (lost(), DEALING, Effected.PENDING, None),
            (lost(), ok(status="FAIL", error_code="PAYEE_NOT_EXIST"), Effected.NOT_DONE, "alipay.transfer_failed"),
            (lost(), ok(status="REFUND"), Effected.NOT_DONE, "alipay.transfer_returned"),
            (lost(), MISSING, Effected.UNKNOWN, "platform.no_answer"),
            (lost(), lost(), Effected.UNKNOWN, "platform.no_answer"),
            (lost(), ok(status="WAIT_PAY"), Effected.UNKNOWN, "platform.no_answer"),
            (lost(), refused("INVALID_PARAMETER"), Effected.UNKNOWN, "platform.no_answer"),
            (b"junk", MISSING, Effected.UNKNOWN, "alipay.answer_shape"),
            (refused("SYSTEM_ERROR"), PAID, Effected.DONE, None),
            (refused("TRANS_ORDER_DEALING"), DEALING, Effected.PENDING, None),
            (refused("isp.unknow-error", "20000"), MISSING, Effected.UNKNOWN, "alipay.system_error"),
            (refused("PAYMENT_INFO_INCONSISTENCY"), PAID, Effected.DONE, None),
            (refused("PAYMENT_INFO_INCONSISTENCY"), MISSING, Effected.UNKNOWN, "alipay.number_reused"),
            (refused("PAYEE_NOT_EXIST"), MISSING, Effected.NOT_DONE, "alipay.payee"),
            (refused("PAYER_BALANCE_NOT_ENOUGH"), MISSING, Effected.NOT_DONE, "alipay.funds"),
            (refused("EXCEED_LIMIT_UNRN_DM_AMOUNT"), MISSING, Effected.NOT_DONE, "alipay.transfer_limit"),
            (refused("PERMIT_CHECK_PERM_LIMITED"), MISSING, Effected.NOT_DONE, "alipay.risk"),
            (refused("PAYEE_NOT_EXIST"), PAID, Effected.DONE, None),
            (refused("PAYEE_NOT_EXIST"), lost(), Effected.UNKNOWN, "alipay.payee"),
            (refused("A_NEW_CODE"), MISSING, Effected.UNKNOWN, "alipay.business"),
            (refused("A_NEW_CODE"), ok(status="FAIL"), Effected.NOT_DONE, "alipay.transfer_failed"),
            (ok(status="FAIL"), ok(status="FAIL"), Effected.NOT_DONE, "alipay.transfer_failed"),
            (ok(status="FAIL"), MISSING, Effected.UNKNOWN, "alipay.cannot_tell"),
            (ok(status="SOMETHING"), PAID, Effected.DONE, None),
            (ok(status="SUCCESS", amount="50.01"), MISSING, Effected.UNKNOWN, "alipay.answer_other"),
            (ok(status="SUCCESS", amount="5e1"), MISSING, Effected.UNKNOWN, "alipay.answer_other"),
            (ok(status="SUCCESS", out_biz_no="OTHER"), MISSING, Effected.UNKNOWN, "alipay.answer_other"),
        ],
    )
    def test_only_the_query_says_that_nothing_was_paid(self, transfer, query, effected, code):
        outcome, peer = pay(transfer=transfer, query=query)
        assert (outcome.effected, outcome.error and outcome.error.code) == (effected, code)
        assert len(sent(peer)) == 1

    def test_what_certainly_did_not_arrive_is_sent_again_alike(self):
        outcome, peer = pay(transfer=[unreached(), refused("isv.app-call-limited", "40005"), PAID])
        assert outcome.effected is Effected.DONE
        first, second, third = sent(peer)
        assert first == second == third

    def test_what_may_have_arrived_is_not(self):
        outcome, peer = pay(transfer=[unreached(), lost()])
        assert (outcome.effected, len(sent(peer))) == (Effected.UNKNOWN, 2)

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (refused("isv.invalid-signature", "40002"), "alipay.our_signature"),
            (refused("isv.insufficient-isv-permissions", "40006"), "alipay.permission"),
            (refused("isv.missing-app-cert-sn", "40001"), "alipay.certificate"),
        ],
    )
    def test_what_the_gateway_refuses_never_came_to_a_transfer(self, answer, code):
        with pytest.raises(PlatformRefused) as caught:
            pay(transfer=answer)
        assert caught.value.code == code

    def test_a_refusal_that_repeats_the_payees_name_does_not_show_it(self):
        told = {**refused("PAYEE_USERINFO_ERROR"), "sub_msg": "收款方姓名张三与账号2088000000000002不一致"}
        outcome, _ = pay(transfer=told, wish=cash(name=Secret("张三")))
        assert outcome.error.details["reason"] == "收款方姓名*与账号*不一致"

    def test_nothing_is_sent_at_the_deadline(self):
        peer = Peer(**{TRANSFER: PAID})
        driver = Driver(peer, now=START + timedelta(seconds=60))
        with pytest.raises(PlatformUnavailable) as caught:
            driver.run(transfers.pay_out(cash(), gateway=adapter().gateway, settings=settings()))
        assert (caught.value.code, peer.calls) == ("platform.too_late", [])


class TestQuery:
    def ask(self, node):
        peer = Peer(**{QUERY: node})
        return run(peer, transfers.query(cash(), gateway=adapter().gateway))

    def test_an_order_that_is_not_there_is_not_done_as_of_now(self):
        outcome = self.ask(MISSING)
        assert (outcome.effected, outcome.error.code) == (Effected.NOT_DONE, "alipay.transfer_missing")

    def test_a_paid_one_is_done_with_its_time_and_number(self):
        outcome = self.ask(ok(status="SUCCESS", order_id="O", pay_date="2026-05-20 13:29:40", trans_amount="50.00"))
        assert (outcome.effected, outcome.platform_no) == (Effected.DONE, "O")
        assert outcome.at.isoformat() == "2026-05-20T05:29:40+00:00"

    @pytest.mark.parametrize(
        "node",
        [ok(status="SUCCESS", trans_amount="5.00"), ok(status="WAIT_PAY"), ok(status="CLOSED"), ok()],
    )
    def test_what_does_not_say_it_plainly_is_unknown(self, node):
        outcome = self.ask(node)
        assert outcome.effected is Effected.UNKNOWN
        assert isinstance(outcome.error, PlatformUnknown)

    @pytest.mark.parametrize("node", [refused("INVALID_PARAMETER"), refused("NO_ORDER_PERMISSION"), lost()])
    def test_a_question_that_gets_no_answer_says_nothing(self, node):
        with pytest.raises(PlatformUnavailable):
            self.ask(node)

    def test_the_reason_of_a_failure_is_kept(self):
        outcome = self.ask(ok(status="FAIL", error_code="EXCEED_LIMIT_SM_AMOUNT", fail_reason="单笔额度超限"))
        assert outcome.error.platform_code == "EXCEED_LIMIT_SM_AMOUNT"
