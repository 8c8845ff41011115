from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from unicom_coupon_sdk.domain.coupon import AmountOff, Cash, CouponTemplate, Exchange, PercentOff, PhoneCredit
from unicom_coupon_sdk.domain.limits import Limit, Subject, Window
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import RedeemRequest
from unicom_coupon_sdk.domain.sensitive import PhoneNumber, PlatformUser, Secret
from unicom_coupon_sdk.domain.times import business_date, instant_of, rfc3339
from unicom_coupon_sdk.errors import CouponStateError, ValidationError

DAY = datetime(2026, 5, 20, tzinfo=UTC)


def template(**changes):
    return CouponTemplate(
        **{
            "template_id": "T1",
            "name": "满100减20",
            "benefit": AmountOff(off_fen=2_000, min_spend_fen=10_000),
            "valid_from": DAY,
            "valid_until": DAY + timedelta(days=30),
            "platforms": {"wechatpay"},
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("benefit", "order_fen", "value_fen", "face_fen"),
    [
        (AmountOff(off_fen=2_000), 1_500, 1_500, 2_000),
        (AmountOff(off_fen=2_000, min_spend_fen=10_000), 10_000, 2_000, 2_000),
        (PercentOff(basis_points=1_200), 10_005, 1_201, None),
        (PercentOff(basis_points=5_000, max_off_fen=1_000), 10_000, 1_000, None),
        (Exchange(item="咖啡", worth_fen=2_500, price_fen=100), 2_500, 2_400, 2_400),
        (Exchange(item="咖啡", worth_fen=2_500), 900, 900, 2_500),
        (PhoneCredit(credit_fen=5_000), 5_000, 5_000, 5_000),
        (Cash(cash_fen=300), 0, 300, 300),
    ],
)
def test_what_each_benefit_is_worth(benefit, order_fen, value_fen, face_fen):
    made = template(benefit=benefit)
    assert made.value_at(order_fen) == value_fen
    assert made.face_fen == face_fen


def test_below_the_minimum_spend_the_coupon_is_refused():
    with pytest.raises(CouponStateError) as refused:
        template().value_at(9_999)
    assert refused.value.code == "coupon.min_spend"
    assert refused.value.details["min_spend_fen"] == 10_000


def test_dates_out_of_order_are_refused():
    with pytest.raises(ValidationError, match=r"template\.dates"):
        template(valid_until=DAY)


def test_an_exchange_price_at_its_worth_is_refused():
    with pytest.raises(ValidationError, match=r"template\.exchange_price"):
        Exchange(item="x", worth_fen=100, price_fen=100)


def test_unknown_fields_are_refused_by_name():
    with pytest.raises(ValidationError) as refused:
        Order(order_no="A1", amount_fen=1, colour="red")
    assert refused.value.field == "colour"
    assert "red" not in str(refused.value)


def test_a_nested_fault_is_named_by_its_path():
    with pytest.raises(ValidationError) as refused:
        CouponTemplate.parse(
            {**template().model_dump(), "benefit": {"kind": "amount_off", "off_fen": 0}}, within="template"
        )
    assert refused.value.field == "template.benefit.amount_off.off_fen"


def test_replaced_validates_again():
    assert template().replaced(name="新名").name == "新名"
    with pytest.raises(ValidationError):
        template().replaced(name="")


def test_json_is_parsed_with_the_same_errors():
    assert Order.parse_json('{"order_no": "A1", "amount_fen": 5}').amount_fen == 5
    with pytest.raises(ValidationError) as refused:
        Order.parse_json('{"order_no": "A 1", "amount_fen": 5}')
    assert refused.value.field == "order_no"


@pytest.mark.parametrize("text", ["13800138000", "+86 138 0013 8000", "0086-138-0013-8000"])
def test_a_phone_number_has_one_stored_form_and_is_masked(text):
    phone = PhoneNumber(text)
    assert phone.reveal() == "13800138000"
    assert repr(phone) == "PhoneNumber(138****8000)"


@pytest.mark.parametrize("text", ["1380013800", "23800138000", "１３８００１３８０００", "abc", ""])
def test_what_is_not_a_phone_number_is_refused(text):
    with pytest.raises(ValidationError):
        PhoneNumber(text)


def test_sensitive_values_compare_by_type_and_text():
    assert PlatformUser("u1") == PlatformUser("u1")
    assert PlatformUser("u1") != PlatformUser("u2")
    assert PlatformUser("u1") != Secret("u1")
    assert len({PlatformUser("u1"), PlatformUser("u1")}) == 1
    assert PlatformUser.of(PlatformUser("u1")).reveal() == "u1"


def test_a_request_shows_no_secret_in_its_repr_or_dump():
    request = RedeemRequest(
        idempotency_key="k1",
        platform="wechatpay",
        coupon="CANARYCODE12345678",
        order=Order(order_no="A1", amount_fen=1),
        proof={"method": "login", "login_code": "CANARYLOGIN"},
    )
    assert "CANARY" not in repr(request)
    assert "CANARYLOGIN" not in request.model_dump_json()


def test_a_holder_is_somebody():
    with pytest.raises(ValidationError, match=r"holder\.empty"):
        Holder()
    assert Holder(user="u1").identity("wechatpay") == "wechatpay:u1"
    assert Holder(phone="13800138000", user="u1").identity("wechatpay") == "phone:13800138000"


def test_business_dates_are_those_of_beijing():
    assert business_date(datetime(2026, 5, 20, 15, 59, 59, tzinfo=UTC)) == date(2026, 5, 20)
    assert business_date(datetime(2026, 5, 20, 16, 0, tzinfo=UTC)) == date(2026, 5, 21)


def test_times_go_over_the_wire_with_their_offset():
    at = datetime(2026, 5, 20, 13, 29, 35, tzinfo=timezone(timedelta(hours=8)))
    assert rfc3339(at) == "2026-05-20T13:29:35+08:00"
    assert instant_of("2026-05-20T13:29:35+08:00") == at


@pytest.mark.parametrize("text", ["", "yesterday", "2026-05-20T13:29:35", None])
def test_a_time_without_offset_or_form_is_refused(text):
    with pytest.raises(ValidationError):
        instant_of(text)


def test_a_naive_datetime_is_refused():
    with pytest.raises(ValidationError, match=r"time\.naive"):
        template(valid_from=datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("window", "name"),
    [(Window.DAY, "2026-05-21"), (Window.ONCE, "2026-05-21"), (Window.MONTH, "2026-05"), (Window.EVER, "ever")],
)
def test_windows_are_named_by_beijing_days(window, name):
    limit = Limit(name="l", subject=Subject.HOLDER, window=window, source="test")
    assert limit.window_start(datetime(2026, 5, 20, 16, tzinfo=UTC)) == name


def test_a_limit_holds_from_its_first_day_to_before_its_last():
    limit = Limit(
        name="l", subject=Subject.HOLDER, window=Window.DAY, source="t", since=date(2026, 1, 1), until=date(2026, 2, 1)
    )
    assert not limit.in_force(date(2025, 12, 31))
    assert limit.in_force(date(2026, 1, 1))
    assert limit.in_force(date(2026, 1, 31))
    assert not limit.in_force(date(2026, 2, 1))
