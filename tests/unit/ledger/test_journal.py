import pytest
from tests.ledger_house import DONE, MERCHANT, NOT_DONE, PAY, UNKNOWN, template

from unicom_coupon_sdk.domain.coupon import AmountOff, Cash, Funding, PercentOff
from unicom_coupon_sdk.errors import LedgerError
from unicom_coupon_sdk.ledger import Posting, journal


def lines(*, fee_fen=6, advance_fee_fen=2, value_fen=1000, **changes):
    found = journal.redemption_postings(
        template(**changes),
        merchant_id=MERCHANT,
        platform=PAY,
        value_fen=value_fen,
        fee_fen=fee_fen,
        advance_fee_fen=advance_fee_fen,
    )
    return {line.account: line.amount_fen for line in found}


@pytest.mark.parametrize(
    ("funding", "bearer"),
    [
        (Funding.FREE, "marketing_expense"),
        (Funding.POINTS, "points_liability"),
        (Funding.PREPAID, "coupon_liability"),
    ],
)
def test_funding_decides_who_bears_the_value(funding, bearer):
    assert lines(funding=funding, benefit=AmountOff(off_fen=1000)) == {
        bearer: 1000,
        "merchant_payable:M1": -992,
        "platform_fee": -6,
        "advance_fee": -2,
    }


def test_what_of_a_face_is_not_used_is_breakage():
    assert lines(funding=Funding.PREPAID, benefit=AmountOff(off_fen=1500), fee_fen=0, advance_fee_fen=0) == {
        "coupon_liability": 1500,
        "breakage": -500,
        "merchant_payable:M1": -1000,
    }


def test_a_percentage_is_no_liability_before_its_value_is_known(house):
    percent = template(template_id="P1", funding=Funding.POINTS, benefit=PercentOff(basis_points=1_000))
    coupon = house.bound(of=percent)
    assert house.balance() == {}
    house.redeem(coupon, value_fen=200, fee_fen=0)
    assert house.balance() == {"issue_clearing:points": 200, "merchant_payable:M1": -200}


@pytest.mark.parametrize("account", ["points_liability", "coupon_liability"])
def test_a_liability_stands_at_the_faces_of_the_coupons_that_are_out(house, account):
    funding = Funding.POINTS if account == "points_liability" else Funding.PREPAID
    of = template(template_id="F1", funding=funding)
    used, back, gone, old = (house.bound(of=of) for _ in range(4))
    assert house.balance() == {account: -2_000, f"issue_clearing:{funding.value}": 2_000}
    house.redeem(used, key="k1")
    house.reverse(house.redeem(back, key="k2"))
    house.run(house.ledger.void(gone.coupon_id, now=house.now))
    assert house.balance()[account] == -1_000
    assert house.balance()[f"issue_clearing:{funding.value}"] == 1_500
    house.now = of.valid_until
    assert house.run(house.ledger.expire(house.now, limit=10)) == 2
    assert (house.balance().get(account, 0), house.balance()["breakage"]) == (0, -1_000)
    assert old.coupon_id
    assert house.audit() == ()


def test_a_coupon_that_comes_back_after_its_last_day_is_breakage(house):
    of = template(template_id="F1", funding=Funding.PREPAID)
    redemption = house.redeem(house.bound(of=of))
    house.now = of.valid_until
    house.reverse(redemption)
    assert {name: fen for name, fen in house.balance().items() if fen} == {
        "breakage": -500,
        "issue_clearing:prepaid": 500,
    }
    assert house.audit() == ()


def test_a_liability_that_was_tampered_with_is_found_by_the_audit(house):
    house.bound(of=template(template_id="F1", funding=Funding.PREPAID))
    book(house, Posting("coupon_liability", 5), Posting("breakage", -5))
    assert "liability_of_coupons" in {violation.rule for violation in house.audit()}


def test_cash_is_paid_by_the_platform_for_us():
    assert lines(benefit=Cash(cash_fen=1000), fee_fen=0, advance_fee_fen=0) == {
        "marketing_expense": 1000,
        "platform_clearing:testpay": -1000,
    }


@pytest.mark.parametrize("value_fen", [0, 1, 5, 8, 9, 1000])
@pytest.mark.parametrize("fee_fen", [0, 1, 6])
def test_lines_sum_to_zero_and_none_of_them_is_zero(value_fen, fee_fen):
    found = lines(value_fen=value_fen, fee_fen=fee_fen)
    assert sum(found.values()) == 0
    assert all(found.values())


def test_a_redemption_is_booked_once_it_is_done(house):
    held = house.hold(house.bound()).held
    assert house.balance() == {}
    house.conclude(held, UNKNOWN)
    assert house.balance() == {}
    house.conclude(held, DONE, fee_fen=3, advance_fee_fen=1)
    assert house.balance() == {
        "marketing_expense": 500,
        "merchant_payable:M1": -496,
        "platform_fee": -3,
        "advance_fee": -1,
    }


def test_a_redemption_that_was_not_done_is_not_booked(house):
    redemption = house.redeem(house.bound(), outcome=NOT_DONE)
    assert house.run(house.ledger.postings(redemption.redemption_id)) == ()


def test_a_redemption_of_nothing_has_no_entry(house):
    redemption = house.redeem(house.bound(), value_fen=0, fee_fen=0)
    assert house.run(house.ledger.postings(redemption.redemption_id)) == ()
    house.reverse(redemption)
    assert house.audit() == ()


def book(house, *postings):
    coupon = house.bound()
    with house.engine.begin() as connection:
        journal.book(connection, postings, operation_id="E1", coupon_id=coupon.coupon_id, at=house.now, now=house.now)


def test_an_entry_that_does_not_sum_to_zero_is_refused(house):
    with pytest.raises(LedgerError, match=r"ledger\.unbalanced"):
        book(house, Posting("a", 5), Posting("b", -4))
    assert house.balance() == {}


def test_a_crooked_entry_written_by_hand_is_found_by_the_trial_balance(house):
    book(house, Posting("a", 5), Posting("b", -5))
    with house.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO posting VALUES ('E1', 9, 'c', 7)")
    with pytest.raises(LedgerError, match=r"ledger\.unbalanced") as caught:
        house.balance()
    assert caught.value.details["reason"] == "E1"


@pytest.mark.parametrize("table", ["conclusion", "entry", "posting"])
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = 'x'", "DELETE FROM {}"])
def test_the_database_itself_refuses_to_change_what_was_concluded(house, table, change):
    house.redeem(house.bound())
    column = {"conclusion": "platform_no", "entry": "coupon_id", "posting": "account"}[table]
    with pytest.raises(LedgerError), house.engine.begin() as connection:
        connection.exec_driver_sql(change.format(table, column))
    assert house.balance()


def test_an_entry_is_reversed_once(house):
    redemption = house.redeem(house.bound())
    house.reverse(redemption)
    with pytest.raises(LedgerError, match=r"ledger\.constraint"), house.engine.begin() as connection:
        journal.book_reversal(
            connection,
            redemption.redemption_id,
            reversal_id="V-again",
            coupon_id=redemption.coupon_id,
            at=house.now,
            now=house.now,
        )
