import pytest
from tests.ledger_house import ALSO, DAY, MERCHANT, NOW, PAY, House, entropy, template

from unicom_coupon_sdk.domain.code import CouponCode, serial_of
from unicom_coupon_sdk.domain.redemption import Listing
from unicom_coupon_sdk.domain.sensitive import PlatformUser
from unicom_coupon_sdk.errors import CouponStateError, IdempotencyConflict, LimitError, ValidationError
from unicom_coupon_sdk.ledger import IssueWish


def test_a_batch_has_as_many_coupons_as_asked_for_each_with_its_own_code(house):
    batch = house.issue(50)
    assert len({coupon.coupon_id for coupon in batch.coupons}) == 50
    assert len({coupon.code for coupon in batch.coupons}) == 50
    assert all(coupon.code.is_ours for coupon in batch.coupons)


def test_serials_go_on_where_the_last_batch_ended(house):
    codes = [*house.issue(3).coupons, *house.issue(2, key="issue-2", seed=9).coupons]
    assert [serial_of(coupon.code, key=b"c" * 32) for coupon in codes] == [0, 1, 2, 3, 4]


def test_a_coupon_begins_issued_with_version_one_and_one_event(house):
    coupon = house.issue().coupons[0]
    assert (coupon.state.value, coupon.version, house.kinds(coupon)) == ("issued", 1, ["issued"])


def test_the_same_key_gives_the_same_coupons(house):
    first, again = house.issue(3), house.issue(3, seed=77)
    assert [coupon.coupon_id for coupon in again.coupons] == [coupon.coupon_id for coupon in first.coupons]
    assert (first.is_repeat, again.is_repeat, again.batch_id) == (False, True, first.batch_id)


@pytest.mark.parametrize(
    "changes", [{"coupons": 4}, {"of": template(name="six off")}, {"of": template(template_id="T2")}]
)
def test_the_same_key_with_another_wish_is_a_conflict(house, changes):
    house.issue(3)
    with pytest.raises(IdempotencyConflict, match=r"idempotency\.conflict"):
        house.issue(**{"coupons": 3, **changes})


def test_a_template_is_never_changed_by_a_later_batch(house):
    house.issue()
    with pytest.raises(ValidationError, match=r"template\.conflict"):
        house.issue(key="issue-2", of=template(name="six off"))
    assert house.run(house.ledger.template("T1")) == template()


def test_more_than_the_templates_total_is_refused_whole(house):
    small = template(max_total=5)
    house.issue(3, of=small)
    with pytest.raises(LimitError, match=r"template\.max_total"):
        house.issue(3, key="issue-2", seed=5, of=small)
    assert house.run(house.ledger.statistics())["coupon.issued"] == 3
    assert house.issue(2, key="issue-3", seed=6, of=small).coupons
    assert house.audit() == ()


@pytest.mark.parametrize(("coupons", "random"), [(0, 16), (-1, 16), (2, 31)])
def test_a_wish_without_coupons_or_with_too_little_chance_is_refused(house, coupons, random):
    wish = IssueWish(MERCHANT, "k", "B1", template(), coupons, entropy(9)[:random], NOW)
    with pytest.raises(ValidationError, match=r"issue\.entropy"):
        house.run(house.ledger.issue(wish))


def test_a_refused_draw_is_made_again_from_the_same_chance(house):
    """Of 300 codes with three digits at the end one in 30 is refused, so some here were drawn twice."""
    codes = [coupon.code.reveal() for coupon in house.issue(300).coupons]
    assert not any(code[-3:].isdigit() or code.endswith("91A0") for code in codes)


def test_unknown_templates_and_coupons_have_errors_of_their_own(house):
    for work, error, code in (
        (house.ledger.template("T9"), ValidationError, "template.unknown"),
        (house.ledger.coupon("C9"), CouponStateError, "coupon.unknown"),
        (house.ledger.coupon_of_code(CouponCode("ABCDEFGH")), CouponStateError, "coupon.unknown"),
        (house.ledger.dossier_of_id("C9", PAY), CouponStateError, "coupon.unknown"),
        (house.ledger.dossier_of_code(CouponCode("ABCDEFGH"), PAY), CouponStateError, "coupon.unknown"),
        (house.ledger.save_listing(Listing("T9", PAY, {}), batch_id="B9", now=NOW), ValidationError, "batch.unknown"),
    ):
        with pytest.raises(error) as caught:
            house.run(work)
        assert caught.value.code == code


def test_a_coupon_is_found_by_its_code_and_by_its_id(house):
    coupon = house.issue().coupons[0]
    assert house.run(house.ledger.coupon_of_code(coupon.code)) == coupon
    assert house.run(house.ledger.coupon(coupon.coupon_id)) == coupon


def test_a_batch_remembers_which_platforms_know_it_until_all_do(house):
    batch = house.issue()
    unfinished = house.ledger.unfinished_batches(limit=5, before=NOW)
    assert house.run(unfinished)[0].registered == frozenset()
    house.run(house.ledger.save_listing(Listing("T1", PAY, {"stock_id": "1"}), batch_id=batch.batch_id, now=NOW))
    assert house.run(unfinished)[0].registered == {PAY}
    house.run(house.ledger.save_listing(Listing("T1", ALSO, {}), batch_id=batch.batch_id, now=NOW))
    assert house.run(unfinished) == ()
    assert house.issue().registered == {PAY, ALSO}


def test_a_batch_of_the_future_is_not_unfinished_yet(house):
    house.issue()
    assert house.run(house.ledger.unfinished_batches(limit=5, before=NOW - DAY)) == ()


def test_a_listing_keeps_the_newest_names(house):
    batch = house.issue()
    for stock in ("1", "2"):
        listing = Listing("T1", PAY, {"stock_id": stock})
        house.run(house.ledger.save_listing(listing, batch_id=batch.batch_id, now=NOW))
    assert house.run(house.ledger.listing("T1", PAY)) == Listing("T1", PAY, {"stock_id": "2"})
    assert house.run(house.ledger.listing("T1", ALSO)) is None


def test_no_code_and_no_user_can_be_read_in_the_file(file_house, tmp_path):
    coupon = file_house.listed().coupons[0]
    file_house.bind(coupon.coupon_id, user=PlatformUser("openid-canary-0001"))
    file_house.redeem(coupon)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for canary in (coupon.code.reveal(), "openid-canary-0001", "13800138000", "proof-of-somebody"):
        assert canary.encode() not in written


def test_a_sealed_code_does_not_open_in_another_row(house):
    first, second = house.issue(2).coupons
    with house.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE coupon SET code_sealed = (SELECT code_sealed FROM coupon WHERE coupon_id = "
            f"'{first.coupon_id}') WHERE coupon_id = '{second.coupon_id}'"
        )
    with pytest.raises(Exception, match=r"field\.tampered"):
        house.run(house.ledger.coupon(second.coupon_id))


def test_two_houses_with_other_keys_make_other_codes(house):
    from unicom_coupon_sdk.crypto.fields import FieldCipher
    from unicom_coupon_sdk.ledger import Ledger, memory_engine

    engine = memory_engine()
    other = House(engine, ledger=Ledger(FieldCipher.derive(b"k" * 32), code_key=b"d" * 32))
    assert house.issue().coupons[0].code != other.issue().coupons[0].code
    engine.dispose()
