"""Profit sharing: parts sent once, and believed only as they are read back, receiver by receiver."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.driving import START, Driver
from tests.unit.alipay.peer import Peer, adapter, held, lost, ok, refused, run, settings, unreached

from unicom_coupon_adapters.alipay import sharing
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.domain.sharing import (
    HeldShare,
    HeldShareReturn,
    LineResult,
    Receiver,
    Share,
    ShareLine,
    ShareRole,
)
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.errors import (
    Effected,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    UnsupportedOperation,
    ValidationError,
)

TRADE_NO = "2026052022001400000000000001"
SHARE_ID = "01SHARE0000000000000000001"
SELLER = "2088000000000001"
BIND, SETTLE, QUERY = sharing.BIND.method, sharing.SETTLE.method, sharing.QUERY.method
TRADE = "alipay.trade.query"
REFUND, REFUND_QUERY = "alipay.trade.refund", "alipay.trade.fastpay.refund.query"
BOUND = ok(result_code="SUCCESS")
ACCEPTED = ok(trade_no=TRADE_NO, settle_no="2026SETTLE")
RECEIVERS = (
    Receiver(merchant_account="2088000000000011"),
    Receiver(user=PlatformUser("074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5")),
    Receiver(merchant_account="partner@unicom.cn", name=Secret("合作伙伴")),
)


def line(number, receiver, fen=1000):
    return ShareLine(number=number, role=ShareRole.PLATFORM, receiver=receiver, amount_fen=fen)


def wish(*receivers, trade_no=TRADE_NO):
    order = Order(order_no="ORD1", amount_fen=9900, platform_order_no=trade_no)
    redemption = replace(held(state=OperationState.DONE).redemption, order=order)
    lines = tuple(line(number, one, fen=1000 * number) for number, one in enumerate(receivers or RECEIVERS, start=1))
    share = Share(
        share_id=SHARE_ID,
        idempotency_key="s1",
        redemption_id=redemption.redemption_id,
        merchant_id="m1",
        platform="alipay",
        rule="partners",
        amount_fen=9900,
        state=OperationState.HELD,
        held_at=START,
        deadline=START + timedelta(seconds=60),
        lines=lines,
    )
    return HeldShare(share=share, redemption=redemption)


def row(account, amount, state="SUCCESS", **more):
    told = {"operation_type": "transfer", "state": state, "amount": amount, "trans_in": account}
    return {**told, "detail_id": f"D{amount}", "execute_dt": "2026-05-20 13:29:40", **more}


ROWS = [
    row("2088000000000011", "10.00"),
    row("074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5", "20.00"),
    row("partner@unicom.cn", "30.00"),
]
SHARED = ok(royalty_detail_list=ROWS)
EMPTY = ok(royalty_detail_list=[])
SILENT = refused("ACQ.INVALID_PARAMETER")


def share(*, settle=ACCEPTED, query=SHARED, bind=BOUND, held_share=None, **changes):
    peer = Peer(**{BIND: bind, SETTLE: settle, QUERY: query})
    flow = sharing.share(held_share or wish(), gateway=adapter().gateway, settings=settings(**changes))
    return run(peer, flow), peer


def sent(peer, method=SETTLE):
    return [content for name, content, _ in peer.calls if name == method]


class TestRequest:
    def test_receivers_are_bound_before_the_first_part_is_sent(self):
        _, peer = share()
        assert [method for method, _, _ in peer.calls] == [BIND, SETTLE, QUERY]
        assert sent(peer, BIND) == [
            {
                "out_request_no": f"B0_{SHARE_ID}",
                "receiver_list": [
                    {"type": "userId", "account": "2088000000000011"},
                    {"type": "openId", "account": "074a1CcTG1LelxKe4xQC0zgNdId0nxi95b5lsNpazWYoCo5"},
                    {"type": "loginName", "account": "partner@unicom.cn", "name": "合作伙伴"},
                ],
            }
        ]
        assert len(f"B0_{SHARE_ID}") <= 32

    def test_one_request_carries_every_part_and_releases_the_rest(self):
        _, peer = share()
        (content,) = sent(peer)
        assert (content["out_request_no"], content["trade_no"]) == (SHARE_ID, TRADE_NO)
        assert content["royalty_mode"] == "sync"
        assert content["extend_params"] == {"royalty_finish": "true"}
        assert content["royalty_parameters"][2] == {
            "royalty_type": "transfer",
            "trans_in": "partner@unicom.cn",
            "trans_in_type": "loginName",
            "trans_in_name": "合作伙伴",
            "amount": "30.00",
            "desc": "partners",
        }

    def test_the_rest_may_stay_frozen(self):
        _, peer = share(share_finishes=False)
        assert "extend_params" not in sent(peer)[0]

    def test_more_than_five_go_asynchronously_and_are_bound_twenty_at_a_time(self):
        many = [Receiver(merchant_account=f"20880000000000{number:02d}") for number in range(21)]
        rows = [row(one.merchant_account, f"{10 * number}.00") for number, one in enumerate(many, start=1)]
        outcome, peer = share(held_share=wish(*many), query=ok(royalty_detail_list=rows))
        assert sent(peer)[0]["royalty_mode"] == "async"
        assert [len(content["receiver_list"]) for content in sent(peer, BIND)] == [20, 1]
        assert [content["out_request_no"] for content in sent(peer, BIND)] == [f"B0_{SHARE_ID}", f"B1_{SHARE_ID}"]
        assert (outcome.effected, len(outcome.lines)) == (Effected.DONE, 21)

    @pytest.mark.parametrize(
        ("held_share", "code"),
        [
            (wish(trade_no=None), "alipay.trade_needed"),
            (wish(Receiver(merchant_account="partner@unicom.cn")), "alipay.payee_name_needed"),
            (wish(*(Receiver(merchant_account=f"2088{n:012d}") for n in range(51))), "alipay.too_many_receivers"),
        ],
    )
    def test_what_alipay_could_not_carry_is_refused_before_anything_is_sent(self, held_share, code):
        peer = Peer()
        with pytest.raises(ValidationError) as caught:
            run(peer, sharing.share(held_share, gateway=adapter().gateway, settings=settings()))
        assert (caught.value.code, peer.calls) == (code, [])

    def test_without_our_own_account_nothing_is_shared(self):
        peer = Peer()
        with pytest.raises(UnsupportedOperation):
            run(peer, adapter().share(wish()))
        assert peer.calls == []


class TestOutcome:
    def test_each_receiver_is_read_back(self):
        outcome, _ = share()
        assert outcome.effected is Effected.DONE
        assert outcome.lines == {
            number: LineResult(Effected.DONE, platform_no=f"D{amount}")
            for number, amount in ((1, "10.00"), (2, "20.00"), (3, "30.00"))
        }
        assert outcome.at == datetime(2026, 5, 20, 5, 29, 40, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("rows", "effected", "second"),
        [
            ([ROWS[0], row(ROWS[1]["trans_in"], "20.00", "FAIL", error_code="X"), ROWS[2]], Effected.DONE, "not_done"),
            ([ROWS[0], row(ROWS[1]["trans_in"], "20.00", "PROCESSING"), ROWS[2]], Effected.PENDING, "pending"),
            ([ROWS[0], row(ROWS[1]["trans_in"], "20.00", "WHATEVER"), ROWS[2]], Effected.UNKNOWN, "unknown"),
            ([ROWS[0], row(ROWS[1]["trans_in"], "20.01"), ROWS[2]], Effected.UNKNOWN, None),
            ([ROWS[0], row(ROWS[1]["trans_in"], "x"), ROWS[2]], Effected.UNKNOWN, None),
            ([ROWS[0], ROWS[2]], Effected.UNKNOWN, None),
            ([ROWS[0], row("2088999999999999", "20.00"), ROWS[2]], Effected.UNKNOWN, None),
            ([*ROWS, row(SELLER, "20.00", operation_type="transfer_refund")], Effected.DONE, "done"),
        ],
    )
    def test_a_200_for_the_whole_says_nothing_about_a_receiver(self, rows, effected, second):
        outcome, _ = share(query=ok(royalty_detail_list=rows))
        assert outcome.effected is effected
        assert (outcome.lines[2].effected.value if 2 in outcome.lines else None) == second

    def test_the_same_receiver_twice_has_two_rows(self):
        twice = wish(RECEIVERS[0], RECEIVERS[0])
        lines = tuple(replace(one, amount_fen=1000) for one in twice.share.lines)
        twice = replace(twice, share=replace(twice.share, lines=lines))
        rows = [row("2088000000000011", "10.00", detail_id="A"), row("2088000000000011", "10.00", detail_id="B")]
        outcome, _ = share(held_share=twice, query=ok(royalty_detail_list=rows))
        assert [outcome.lines[number].platform_no for number in (1, 2)] == ["A", "B"]
        outcome, _ = share(held_share=twice, query=ok(royalty_detail_list=rows[:1]))
        assert outcome.effected is Effected.UNKNOWN

    def test_a_lost_answer_is_asked_about_before_it_is_sent_again(self):
        outcome, peer = share(settle=lost())
        assert outcome.effected is Effected.DONE
        assert [method for method, _, _ in peer.calls] == [BIND, SETTLE, QUERY]

    def test_what_did_not_arrive_is_sent_again_under_the_same_number(self):
        outcome, peer = share(settle=[lost(), ACCEPTED], query=[EMPTY, SHARED])
        assert outcome.effected is Effected.DONE
        first, second = sent(peer)
        assert first == second

    def test_three_sendings_in_vain_are_unknown(self):
        with pytest.raises(PlatformUnknown):
            share(settle=lost(), query=EMPTY)

    @pytest.mark.parametrize("settle", [lost(), refused("ACQ.DISCORDANT_REPEAT_REQUEST"), b"junk"])
    def test_a_share_that_cannot_be_asked_about_is_unknown(self, settle):
        outcome, peer = share(settle=settle, query=lost())
        assert (outcome.effected, len(sent(peer))) == (Effected.UNKNOWN, 1)

    def test_an_accepted_share_without_rows_is_unknown_and_not_undone(self):
        for query in (EMPTY, lost()):
            outcome, _ = share(query=query)
            assert outcome.effected is Effected.UNKNOWN

    @pytest.mark.parametrize(
        ("settle", "kind", "code"),
        [
            (refused("ACQ.ALLOC_AMOUNT_VALIDATE_ERROR"), PlatformRefused, "alipay.share_limit"),
            (refused("ACQ.ROYALTY_RECEIVER_INVALID"), PlatformRefused, "alipay.receiver"),
            (refused("ACQ.ROYALTY_USER_NOT_CERTIFY"), PlatformRefused, "alipay.receiver"),
            (refused("ACQ.ALREADY_FINISH_ALLOC"), PlatformRefused, "alipay.share_state"),
            (refused("ACQ.TRADE_NOT_EXIST"), PlatformRefused, "alipay.trade_unknown"),
            (unreached(), PlatformUnavailable, "platform.not_reached"),
        ],
    )
    def test_a_refusal_of_the_whole_is_definite(self, settle, kind, code):
        with pytest.raises(kind) as caught:
            share(settle=settle)
        assert caught.value.code == code

    @pytest.mark.parametrize("second", [unreached(), refused("ACQ.ALLOC_AMOUNT_VALIDATE_ERROR"), refused("NEW")])
    def test_what_was_once_lost_may_still_arrive_whatever_is_said_of_its_repeat(self, second):
        with pytest.raises(PlatformUnknown):
            share(settle=[lost(), second], query=EMPTY)

    @pytest.mark.parametrize(
        ("bind", "kind"),
        [
            (refused("USER_NOT_EXIST"), PlatformRefused),
            (ok(result_code="FAIL"), PlatformRefused),
            (lost(), PlatformUnavailable),
        ],
    )
    def test_without_bound_receivers_nothing_was_shared(self, bind, kind):
        peer = Peer(**{BIND: bind})
        with pytest.raises(kind):
            run(peer, sharing.share(wish(), gateway=adapter().gateway, settings=settings()))
        assert sent(peer) == []

    def test_nothing_is_sent_at_the_deadline(self):
        peer = Peer()
        driver = Driver(peer, now=START + timedelta(seconds=60))
        with pytest.raises(PlatformUnavailable):
            driver.run(sharing.share(wish(), gateway=adapter().gateway, settings=settings()))
        assert peer.calls == []


class TestQuery:
    def ask(self, query, trade=None):
        peer = Peer(**{QUERY: query, TRADE: trade})
        return run(peer, sharing.query(wish(), gateway=adapter().gateway))

    def settled(self, *kinds):
        rows = [{"operation_type": kind} for kind in kinds]
        return ok(trade_no=TRADE_NO, trade_settle_info={"trade_settle_detail_list": rows})

    def test_no_rows_are_not_done_as_of_now(self):
        assert self.ask(EMPTY).effected is Effected.NOT_DONE

    def test_a_number_that_alipay_calls_invalid_is_not_done_where_the_trade_was_never_shared(self):
        for trade in (ok(trade_no=TRADE_NO), self.settled("replenish"), refused("ACQ.TRADE_NOT_EXIST")):
            outcome = self.ask(SILENT, trade)
            assert (outcome.effected, outcome.error_code) == (Effected.NOT_DONE, "alipay.not_shared")

    def test_it_is_unknown_where_the_trade_was_shared_by_whatever_request(self):
        assert self.ask(SILENT, self.settled("transfer")).effected is Effected.UNKNOWN

    @pytest.mark.parametrize(
        ("query", "trade"),
        [(lost(), None), (refused("SYSTEM_ERROR"), None), (SILENT, lost()), (refused("ACCESS_FORBIDDEN"), None)],
    )
    def test_a_question_that_gets_no_answer_says_nothing(self, query, trade):
        with pytest.raises(PlatformUnavailable):
            self.ask(query, trade)


class TestReturn:
    def back(self, refund, query=None, verb="give_back"):
        peer = Peer(**{REFUND: refund, REFUND_QUERY: query})
        shared = wish()
        asked = HeldShareReturn(
            return_id="01RETURN000000000000000001",
            share=shared.share,
            line=shared.share.lines[0],
            redemption=shared.redemption,
            deadline=START + timedelta(seconds=60),
        )
        facts = {"gateway": adapter().gateway}
        facts |= {"settings": settings(seller_id=SELLER)} if verb == "give_back" else {}
        return run(peer, getattr(sharing, verb)(asked, **facts)), peer

    def test_it_refunds_that_part_to_the_buyer_out_of_the_receivers_account(self):
        outcome, peer = self.back(ok(fund_change="Y", gmt_refund_pay="2026-05-20 13:29:41"))
        assert outcome.effected is Effected.DONE
        assert peer.calls[0][1] == {
            "trade_no": TRADE_NO,
            "out_request_no": "01RETURN000000000000000001",
            "refund_amount": "10.00",
            "refund_royalty_parameters": [
                {
                    "royalty_type": "transfer",
                    "trans_out": "2088000000000011",
                    "trans_out_type": "userId",
                    "trans_in": SELLER,
                    "trans_in_type": "userId",
                    "amount": "10.00",
                }
            ],
        }

    def test_a_repeat_changes_nothing_and_is_read_back(self):
        done = ok(refund_status="REFUND_SUCCESS")
        outcome, peer = self.back(ok(fund_change="N"), done)
        assert (outcome.effected, len(peer.calls)) == (Effected.DONE, 2)
        outcome, _ = self.back(ok(fund_change="N"), lost())
        assert outcome.effected is Effected.UNKNOWN

    def test_a_lost_answer_is_asked_for_under_the_same_number(self):
        outcome, peer = self.back([lost(), ok(fund_change="N")], ok(refund_status="REFUND_SUCCESS"))
        assert outcome.effected is Effected.DONE
        assert {content["out_request_no"] for _, content, _ in peer.calls} == {"01RETURN000000000000000001"}

    @pytest.mark.parametrize(
        ("code", "ours"),
        [
            ("ACQ.SELLER_BALANCE_NOT_ENOUGH", "alipay.funds"),
            ("ACQ.INVALID_PARAMETER", "alipay.parameter"),
            ("ACQ.TRADE_HAS_FINISHED", "alipay.business"),
        ],
    )
    def test_a_refusal_is_definite(self, code, ours):
        with pytest.raises(PlatformRefused) as caught:
            self.back(refused(code))
        assert caught.value.code == ours

    def test_without_a_status_it_has_not_come_back_and_may_be_sent_again(self):
        outcome, _ = self.back(None, ok(), verb="query_return")
        assert (outcome.effected, outcome.platform_no) == (Effected.NOT_DONE, None)
        outcome, _ = self.back(None, ok(refund_status="REFUND_SUCCESS"), verb="query_return")
        assert outcome.effected is Effected.DONE

    @pytest.mark.parametrize("query", [lost(), refused("ACQ.TRADE_NOT_EXIST")])
    def test_a_question_that_gets_no_answer_says_nothing(self, query):
        with pytest.raises(PlatformUnavailable):
            self.back(None, query, verb="query_return")
