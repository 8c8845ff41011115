from datetime import timedelta

from tests.ledger_house import DAY, MERCHANT, NOT_DONE, NOW, PAY, UNKNOWN

from unicom_coupon_sdk.domain.events import NewsKind, VerifiedEvent


def news(event_id="E1", platform=PAY):
    return VerifiedEvent(platform, event_id, NewsKind.REDEEMED, "COUPON.USE", NOW, content={"secret": "canary"})


def test_news_is_new_once(house):
    assert not house.run(house.ledger.has_received(news()))
    assert house.run(house.ledger.receive(news(), now=NOW))
    assert not house.run(house.ledger.receive(news(), now=NOW + DAY))
    assert house.run(house.ledger.has_received(news()))


def test_event_ids_of_two_platforms_do_not_meet(house):
    house.run(house.ledger.receive(news(), now=NOW))
    assert house.run(house.ledger.receive(news(platform="otherpay"), now=NOW))


def test_a_nonce_is_good_once_within_its_window(house):
    def spend(*, now):
        return house.run(house.ledger.spend_nonce("n1", platform=PAY, now=now, expires_at=now + timedelta(minutes=10)))

    assert spend(now=NOW)
    assert not spend(now=NOW + timedelta(minutes=10))
    assert spend(now=NOW + timedelta(minutes=20, seconds=1))


def test_each_change_is_one_event_with_the_coupons_version(house):
    coupon = house.bound()
    redemption = house.redeem(coupon, outcome=UNKNOWN)
    path = house.run(house.ledger.coupon_path(coupon.coupon_id))
    assert [event.event_id for event in path] == [f"{coupon.coupon_id}.{version}" for version in (1, 2, 3, 4)]
    assert house.run(house.ledger.coupon(coupon.coupon_id)).version == 4
    last = path[-1]
    assert (last.operation_id, last.platform, last.value_fen, last.at) == (redemption.redemption_id, PAY, 500, NOW)


def test_events_are_read_on_from_a_sequence(house):
    house.redeem(house.bound())
    first = house.run(house.ledger.events(after=0, limit=3))
    rest = house.run(house.ledger.events(after=first[-1].sequence, limit=99))
    assert [item.event.version for item in (*first, *rest)] == [1, 2, 3, 4]


def test_published_events_are_marked_once_and_come_no_more(house):
    house.redeem(house.bound(), outcome=NOT_DONE)
    waiting = house.run(house.ledger.unpublished_events(limit=2))
    sequences = [item.sequence for item in waiting]
    assert house.run(house.ledger.mark_published(sequences, now=NOW)) == 2
    assert house.run(house.ledger.mark_published(sequences, now=NOW)) == 0
    assert [item.event.version for item in house.run(house.ledger.unpublished_events(limit=9))] == [3, 4]


def test_a_failed_transaction_leaves_no_event(house):
    coupon = house.bound()
    before = house.run(house.ledger.events(after=0, limit=99))
    try:
        with house.engine.begin() as connection:
            house.ledger.hold(
                house.request(coupon), house.admission(coupon), merchant_id=MERCHANT, redemption_id="R1", now=NOW
            )(connection)
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert house.run(house.ledger.events(after=0, limit=99)) == before
    assert house.state(coupon) == "available"


def test_statistics_count_everything_by_state(house):
    house.redeem(house.bound())
    house.listed(key="more", seed=9)
    found = house.run(house.ledger.statistics())
    assert found["coupon.redeemed"] == found["coupon.issued"] == found["redemption.done"] == 1
    assert found["event.all"] == found["unpublished.all"] == 5
