"""Parts of an order's money go to others: once, receiver by receiver, and back when the redemption is reversed."""

import dataclasses
from datetime import UTC, date, datetime, timedelta

import pytest
from tests.unit.flows.test_recovery import PLATFORM, Saying, answering, raising

from unicom_coupon_sdk import (
    ConfigurationError,
    CouponStateError,
    Fixed,
    IdempotencyConflict,
    OperationState,
    Order,
    PlatformRefused,
    PlatformUnknown,
    PlatformUser,
    Ratio,
    Receiver,
    Remainder,
    ReverseRequest,
    SharePart,
    ShareRequest,
    ShareRole,
    ShareRule,
    ValidationError,
)
from unicom_coupon_sdk.domain.redemption import Outcome
from unicom_coupon_sdk.domain.sharing import LineResult, ShareOutcome
from unicom_coupon_sdk.errors import Effected
from unicom_coupon_sdk.flows.recover import recover
from unicom_coupon_sdk.flows.share import share
from unicom_coupon_sdk.platform.profile import Capability

AGENT = Receiver(merchant_account="1900000109")
FRIEND = Receiver(user=PlatformUser("oSharedWithSomebody"))
RULE = ShareRule(
    name="standard",
    parts=(
        SharePart(role=ShareRole.PLATFORM, size=Ratio(basis_points=1_000), receiver=AGENT),
        SharePart(role=ShareRole.USER, size=Fixed(fen=30), receiver=FRIEND),
        SharePart(role=ShareRole.MERCHANT, size=Remainder()),
    ),
)
PAID = LineResult(Effected.DONE, platform_no="D1")
REFUSED = LineResult(Effected.NOT_DONE, platform_code="NO_RELATION")
WAITING = LineResult(Effected.PENDING)


def told(*lines, effected=Effected.DONE):
    return ShareOutcome(effected, platform_no="S1", lines=dict(enumerate(lines, start=1)))


class Desk:
    """A platform whose sharing is scripted; redemptions and the ledger are real."""

    def __init__(self, shop, *, rules=(RULE,)):
        self.shop = shop
        self.sent, self.returned = [], []
        self.answer = answering(told(PAID, PAID))
        self.known = answering(told(PAID, PAID))
        self.return_answer = answering(Outcome(Effected.DONE, platform_no="R1"))
        self.return_known = answering(Outcome(Effected.NOT_DONE))
        real = shop.setting.adapter(PLATFORM)
        adapter = Saying(
            real,
            profile=dataclasses.replace(real.profile, capabilities=real.profile.capabilities | {Capability.SHARE}),
            share=self._share,
            query_share=self._query,
            return_share=self._return,
            query_share_return=self._query_return,
        )
        self.setting = dataclasses.replace(shop.setting, adapters={PLATFORM: adapter}, share_rules=rules)

    def _share(self, held):
        self.sent.append(held)
        return self.answer(held)

    def _query(self, held):
        return self.known(held)

    def _query_return(self, held):
        return self.return_known(held)

    def _return(self, held):
        self.returned.append(held)
        return self.return_answer(held)

    def redeemed(self):
        return self.shop.client.redeem(self.shop.wish(self.shop.bound(), order=Order(order_no="O9", amount_fen=10_500)))

    def share(self, redemption, key="share-1", amount_fen=1_000, rule="standard"):
        request = ShareRequest(
            idempotency_key=key, redemption_id=redemption.redemption_id, rule=rule, amount_fen=amount_fen
        )
        return self.shop.client.run(share(request, setting=self.setting))

    def reverse(self, redemption):
        self.shop.client.reverse(ReverseRequest(idempotency_key="back", redemption_id=redemption.redemption_id))

    def recover(self):
        return self.shop.client.run(recover(setting=self.setting))

    def balance(self):
        found = self.shop.client.read(self.shop.setting.ledger.trial_balance())
        assert sum(found.values()) == 0
        return found

    def late(self):
        self.shop.sandbox.control.advance(timedelta(hours=1).total_seconds())


@pytest.fixture
def desk(shop):
    return Desk(shop)


def test_each_receiver_gets_their_part_once_and_the_merchant_keeps_the_rest(desk):
    redemption = desk.redeemed()
    made, again = desk.share(redemption), desk.share(redemption)
    assert again.share_id == made.share_id
    assert len(desk.sent) == 1
    assert [(line.role, line.amount_fen, line.state) for line in made.lines] == [
        (ShareRole.PLATFORM, 100, OperationState.DONE),
        (ShareRole.USER, 30, OperationState.DONE),
    ]
    assert [line.receiver for line in desk.sent[0].share.lines] == [AGENT, FRIEND]
    balance = desk.balance()
    assert (balance["profit_share"], balance["rebate"]) == (100, 30)


def test_a_refused_receiver_ends_its_line_and_not_the_others(desk):
    desk.answer = answering(told(PAID, REFUSED))
    made = desk.share(desk.redeemed())
    assert made.state is OperationState.DONE
    assert [(line.state, line.error_code) for line in made.lines] == [
        (OperationState.DONE, None),
        (OperationState.RELEASED, "NO_RELATION"),
    ]
    assert "rebate" not in desk.balance()


def test_a_share_is_not_done_before_every_line_has_ended(desk):
    desk.answer = answering(told(PAID, WAITING))
    made = desk.share(desk.redeemed())
    assert made.state is OperationState.PENDING
    assert desk.balance()["profit_share"] == 100
    desk.known = answering(told(PAID, WAITING, effected=Effected.PENDING))
    assert desk.recover().still_open == 1
    desk.known = answering(told(PAID, PAID))
    assert desk.recover().done == 1
    assert desk.balance()["rebate"] == 30


def test_a_lost_answer_is_asked_about_and_never_sent_anew(desk):
    desk.answer = raising(PlatformUnknown("platform.no_answer", platform=PLATFORM))
    redemption = desk.redeemed()
    assert desk.share(redemption).state is OperationState.UNKNOWN
    assert desk.share(redemption).state is OperationState.UNKNOWN
    assert desk.recover().done == 1
    assert len(desk.sent) == 1
    assert desk.balance()["profit_share"] == 100


def test_not_known_there_is_believed_only_when_nothing_can_arrive(desk):
    desk.answer = raising(PlatformUnknown("platform.no_answer", platform=PLATFORM))
    desk.known = answering(ShareOutcome(Effected.NOT_DONE))
    redemption = desk.redeemed()
    desk.share(redemption)
    assert desk.recover().still_open == 1
    desk.late()
    assert desk.recover().not_done == 1
    assert "profit_share" not in desk.balance()
    with pytest.raises(PlatformRefused):
        desk.share(redemption)


def test_a_refusal_of_the_whole_is_raised_and_frees_the_sum(desk):
    desk.answer = raising(PlatformRefused("platform.refused", platform=PLATFORM, platform_code="NO_AUTH"))
    redemption = desk.redeemed()
    for _ in range(2):
        with pytest.raises(PlatformRefused):
            desk.share(redemption, amount_fen=90_000)
    desk.answer = answering(told(PAID, PAID))
    assert desk.share(redemption, key="share-2").state is OperationState.DONE


def test_no_more_is_shared_than_the_order_has(desk):
    redemption = desk.redeemed()
    desk.share(redemption, amount_fen=90_000)
    with pytest.raises(ValidationError, match=r"share\.more_than_order") as refused:
        desk.share(redemption, key="share-2", amount_fen=90_000)
    assert refused.value.details["room_fen"] == 10_000 - 9_030
    assert len(desk.sent) == 1


def test_only_what_is_redeemed_is_shared_and_a_key_is_one_wish(desk):
    redemption = desk.redeemed()
    desk.share(redemption)
    with pytest.raises(IdempotencyConflict):
        desk.share(redemption, amount_fen=999)
    desk.reverse(redemption)
    with pytest.raises(CouponStateError, match=r"share\.not_redeemed"):
        desk.share(redemption, key="share-2")


def test_a_reversal_fetches_back_what_was_paid(desk):
    desk.answer = answering(told(PAID, REFUSED))
    redemption = desk.redeemed()
    made = desk.share(redemption)
    desk.reverse(redemption)
    assert desk.returned == []
    assert desk.recover().done == 1
    (held,) = desk.returned
    assert (held.line.number, held.line.amount_fen, held.share.share_id) == (1, 100, made.share_id)
    assert "profit_share" not in {name for name, fen in desk.balance().items() if fen}
    assert desk.recover().done == 0


def test_a_return_whose_answer_is_lost_is_asked_about_first(desk):
    redemption = desk.redeemed()
    desk.share(redemption)
    desk.reverse(redemption)
    desk.return_answer = raising(PlatformUnknown("platform.no_answer", platform=PLATFORM))
    assert desk.recover().still_open == 2
    desk.return_known = answering(Outcome(Effected.DONE, platform_no="R1"))
    desk.late()
    assert desk.recover().done == 2
    assert len(desk.returned) == 2
    assert len({held.return_id for held in desk.returned}) == 2


def test_a_return_that_cannot_be_sent_now_is_sent_again_under_its_number(desk):
    redemption = desk.redeemed()
    desk.share(redemption)
    desk.reverse(redemption)
    desk.return_answer = raising(PlatformRefused("platform.refused", platform=PLATFORM))
    desk.recover()
    assert desk.recover().still_open == 2
    assert len(desk.returned) == 2
    desk.late()
    desk.return_answer = answering(Outcome(Effected.DONE, platform_no="R1"))
    assert desk.recover().done == 2
    assert [held.return_id for held in desk.returned[:2]] == [held.return_id for held in desk.returned[2:]]


def test_a_return_that_failed_for_good_is_left_to_a_person(desk):
    redemption = desk.redeemed()
    desk.share(redemption)
    desk.reverse(redemption)
    desk.return_known = answering(Outcome(Effected.NOT_DONE, platform_no="R1"))
    assert desk.recover().not_done == 2
    assert desk.recover() == dataclasses.replace(desk.recover(), done=0, not_done=0, still_open=0)
    assert desk.balance()["profit_share"] == 100


def test_a_share_that_ends_after_the_reversal_is_fetched_back_too(desk):
    desk.answer = raising(PlatformUnknown("platform.no_answer", platform=PLATFORM))
    redemption = desk.redeemed()
    desk.share(redemption)
    desk.reverse(redemption)
    assert desk.recover().done == 1
    assert desk.recover().done == 2
    assert {fen for name, fen in desk.balance().items() if name in ("profit_share", "rebate")} == {0}


def test_the_rule_is_the_version_of_the_day_of_the_redemption(shop):
    today = datetime.now(UTC).date()
    later = RULE.replaced(since=today + timedelta(days=30), parts=RULE.parts[1:])
    earlier = RULE.replaced(until=today + timedelta(days=30))
    desk = Desk(shop, rules=(later, earlier))
    redemption = desk.redeemed()
    shop.sandbox.control.advance(timedelta(days=60).total_seconds())
    assert len(desk.share(redemption).lines) == 2
    with pytest.raises(ConfigurationError, match=r"share\.no_rule"):
        desk.share(redemption, key="share-2", rule="other")
    assert date.max > today


def test_receivers_are_not_kept_in_the_clear(desk):
    desk.share(desk.redeemed())
    kept = desk.shop.client.read(
        lambda connection: [row[0] for row in connection.exec_driver_sql("SELECT receiver_sealed FROM share_line")]
    )
    assert len(kept) == 2
    assert not any(b"1900000109" in one or b"oSharedWithSomebody" in one for one in kept)
