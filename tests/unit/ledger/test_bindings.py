import pytest
from tests.ledger_house import ALSO, DAY, HOLDER, NOW, PAY, USER, template

from unicom_coupon_sdk.domain.order import Holder
from unicom_coupon_sdk.domain.redemption import Binding
from unicom_coupon_sdk.domain.sensitive import PhoneNumber, PlatformUser
from unicom_coupon_sdk.errors import CouponStateError, LimitError

STRANGER = Holder(phone=PhoneNumber("13900139000"), user=PlatformUser("somebody-else"))


def issued(house, **how):
    return house.listed(**how).coupons[0]


def test_starting_moves_nothing_and_finishing_makes_the_coupon_available(house):
    coupon = issued(house)
    ticket = house.start(coupon.coupon_id)
    assert (ticket.binding, ticket.binding_no, house.state(coupon)) == (None, "N1", "issued")
    assert house.bind(coupon.coupon_id).state.value == "available"
    assert house.kinds(coupon) == ["issued", "bound"]


def test_a_repeated_start_gives_the_first_number(house):
    coupon = issued(house)
    house.start(coupon.coupon_id, binding_no="N1")
    assert house.start(coupon.coupon_id, binding_no="N2").binding_no == "N1"


def test_a_finished_binding_comes_back_as_it_was(house):
    coupon = issued(house)
    house.bind(coupon.coupon_id)
    expected = Binding(coupon.coupon_id, PAY, USER, {"card_id": "K1"})
    assert house.run(house.ledger.binding(coupon.coupon_id, PAY)) == expected
    assert house.start(coupon.coupon_id).binding == expected
    assert house.run(house.ledger.bindings(coupon.coupon_id)) == (expected,)


def test_a_started_binding_is_not_shown_as_one(house):
    coupon = issued(house)
    house.start(coupon.coupon_id)
    assert house.run(house.ledger.binding(coupon.coupon_id, PAY)) is None
    assert house.run(house.ledger.bindings(coupon.coupon_id)) == ()


def test_finishing_twice_is_one_event(house):
    coupon = issued(house)
    house.bind(coupon.coupon_id)
    house.bind(coupon.coupon_id)
    assert house.kinds(coupon) == ["issued", "bound"]


def test_a_pending_binding_waits_for_the_platforms_news(house):
    coupon = issued(house)
    house.bind(coupon.coupon_id, pending=True, user=None)
    assert house.state(coupon) == "issued"
    news = Binding(coupon.coupon_id, PAY, USER, {"code_state": "SENDED"})
    done = house.run(house.ledger.finish_binding(news, holder=Holder(user=USER), now=NOW))
    assert done.state.value == "available"
    found = house.run(house.ledger.binding(coupon.coupon_id, PAY))
    assert (found.user, found.pending, dict(found.refs)) == (USER, False, {"card_id": "K1", "code_state": "SENDED"})


def test_late_pending_news_does_not_undo_a_binding(house):
    coupon = issued(house)
    house.bind(coupon.coupon_id)
    house.bind(coupon.coupon_id, pending=True)
    assert not house.run(house.ledger.binding(coupon.coupon_id, PAY)).pending


def test_news_of_a_delivery_that_nobody_started_binds_too(house):
    coupon = issued(house)
    news = Binding(coupon.coupon_id, PAY, USER, {})
    house.run(house.ledger.finish_binding(news, holder=Holder(user=USER), now=NOW))
    assert house.state(coupon) == "available"
    assert house.audit() == ()


def test_the_same_holder_may_have_it_on_a_second_platform_without_an_event(house):
    coupon = issued(house)
    house.bind(coupon.coupon_id)
    house.bind(coupon.coupon_id, platform=ALSO, user=PlatformUser("their-name-there"))
    assert house.kinds(coupon) == ["issued", "bound"]
    assert [binding.platform for binding in house.run(house.ledger.bindings(coupon.coupon_id))] == [ALSO, PAY]


@pytest.mark.parametrize("platform", [PAY, ALSO])
def test_another_holder_is_refused_while_the_first_is_still_being_told(house, platform):
    coupon = issued(house)
    house.start(coupon.coupon_id)
    with pytest.raises(CouponStateError, match=r"coupon\.bound_to_another"):
        house.start(coupon.coupon_id, platform=platform, holder=STRANGER)


@pytest.mark.parametrize(
    "holder", [STRANGER, Holder(user=PlatformUser("somebody-else")), Holder(phone=PhoneNumber("13900139000"))]
)
def test_another_holder_is_refused_once_it_is_bound(house, holder):
    coupon = issued(house)
    house.bind(coupon.coupon_id)
    with pytest.raises(CouponStateError, match=r"coupon\.bound_to_another"):
        house.start(coupon.coupon_id, holder=holder)
    with pytest.raises(CouponStateError, match=r"coupon\.bound_to_another"):
        house.run(house.ledger.finish_binding(Binding(coupon.coupon_id, PAY, holder.user, {}), holder=holder, now=NOW))


def test_the_holder_is_recognised_by_the_platforms_name_alone(house):
    coupon = issued(house)
    house.bind(coupon.coupon_id)
    assert house.start(coupon.coupon_id, holder=Holder(user=USER)).binding is not None


def test_a_refused_binding_can_be_dropped_and_the_coupon_is_free_again(house):
    coupon = issued(house)
    house.start(coupon.coupon_id)
    assert house.run(house.ledger.drop_binding(coupon.coupon_id, PAY))
    assert not house.run(house.ledger.drop_binding(coupon.coupon_id, PAY))
    assert house.bind(coupon.coupon_id, holder=STRANGER, user=STRANGER.user).state.value == "available"
    assert house.audit() == ()


def test_a_finished_binding_cannot_be_dropped(house):
    coupon = issued(house)
    house.bind(coupon.coupon_id)
    assert not house.run(house.ledger.drop_binding(coupon.coupon_id, PAY))


def test_dropping_one_of_two_bindings_keeps_the_holder(house):
    coupon = issued(house)
    house.start(coupon.coupon_id)
    house.start(coupon.coupon_id, platform=ALSO)
    house.run(house.ledger.drop_binding(coupon.coupon_id, ALSO))
    with pytest.raises(CouponStateError, match=r"coupon\.bound_to_another"):
        house.start(coupon.coupon_id, holder=STRANGER)


def test_a_holder_has_no_more_of_a_template_than_it_allows(house):
    one, two, three = house.listed(3, of=template(max_per_holder=2)).coupons
    house.bind(one.coupon_id)
    house.bind(two.coupon_id)
    with pytest.raises(LimitError, match=r"template\.max_per_holder"):
        house.start(three.coupon_id)
    assert house.start(three.coupon_id, holder=STRANGER).binding is None
    assert house.audit() == ()


def test_a_coupon_past_its_last_day_is_not_bound(house):
    coupon = issued(house)
    house.now = NOW + 30 * DAY
    with pytest.raises(CouponStateError, match=r"coupon\.expired"):
        house.start(coupon.coupon_id)


def test_a_void_coupon_is_not_bound_and_news_of_it_does_not_raise_it(house):
    coupon = issued(house)
    house.run(house.ledger.void(coupon.coupon_id, now=NOW))
    with pytest.raises(CouponStateError, match=r"coupon\.void"):
        house.start(coupon.coupon_id)
    news = Binding(coupon.coupon_id, PAY, USER, {})
    assert house.run(house.ledger.finish_binding(news, holder=HOLDER, now=NOW)).state.value == "void"


def test_the_holders_coupons_come_by_phone_and_by_user_the_first_to_expire_first(house):
    later = house.bound()
    sooner = house.bound(of=template(template_id="T2", valid_until=NOW + DAY))
    house.bind(house.listed(key="issue-9", seed=99).coupons[0].coupon_id, holder=STRANGER, user=STRANGER.user)
    for holder in (HOLDER, Holder(user=USER), Holder(phone=HOLDER.phone)):
        found = house.run(house.ledger.coupons_of_holder(holder, PAY))
        assert [coupon.coupon_id for coupon in found] == [sooner.coupon_id, later.coupon_id]


def test_a_users_bindings_are_found_on_their_platform_alone(house):
    coupon = house.bound()
    found = house.run(house.ledger.bindings_of_user(USER, PAY))
    assert [binding.coupon_id for binding in found] == [coupon.coupon_id]
    assert house.run(house.ledger.bindings_of_user(USER, ALSO)) == ()


def test_a_dossier_says_all_that_is_known_on_one_platform(house):
    coupon = house.bound()
    dossier = house.run(house.ledger.dossier_of_code(coupon.code, PAY))
    assert (dossier.listing.refs, dossier.binding.user, dossier.coupon.state.value) == (
        {"stock_id": "S-testpay"},
        USER,
        "available",
    )
    assert len(bytes.fromhex(dossier.holder_index)) == 16
    elsewhere = house.run(house.ledger.dossier_of_id(coupon.coupon_id, ALSO))
    assert (elsewhere.binding, elsewhere.listing.refs) == (None, {"stock_id": "S-otherpay"})


def test_the_holder_index_is_the_one_that_the_guard_computes_from_a_phone(house):
    from unicom_coupon_sdk.crypto.fields import FieldCipher

    coupon = house.bound()
    expected = FieldCipher.derive(b"k" * 32).index("phone:13800138000", context="holder").hex()
    assert house.run(house.ledger.dossier_of_id(coupon.coupon_id, PAY)).holder_index == expected
