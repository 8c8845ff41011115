from __future__ import annotations

from typing import Any

import pytest

from .bench import FAMILY, Bench


def statuses(told: dict[str, Any]) -> tuple[str | None, str | None]:
    base = told["activity_base_info"]
    return base.get("activity_status"), base.get("activity_operation_status")


def receive(bench: Bench, activity_id: str, code: str | None, *, user: str = "2088000000000001", **changed: Any) -> Any:
    row = {"activity_id": activity_id, "out_biz_no": bench.number("R"), **({"voucher_code": code} if code else {})}
    told = bench.good(f"{FAMILY}.receive", {"receive_info_list": [row | changed], "user_id": user})
    return told["receive_result_list"][0]


def test_a_create_is_accepted_first_and_done_later(bench: Bench) -> None:
    activity_id = bench.good(f"{FAMILY}.create", bench.body(out_biz_no="C1"))["activity_id"]
    query = {"activity_id": activity_id, "merchant_access_mode": "SELF_MODE"}
    assert statuses(bench.good(f"{FAMILY}.query", query)) == (None, "CREATING")
    assert receive(bench, activity_id, "EARLY")["error_code"] == "ACTIVITY_STATUS_NOT_ACTIVE"
    bench.advance(seconds=1)
    told = bench.good(f"{FAMILY}.query", query)
    assert statuses(told) == ("ACTIVE", None)
    assert told["voucher_inventory_info"] == {"send_count": 0, "use_count": 0}
    assert told["audit_result_info"]["audit_result"] == "APPROVE"
    (news,) = bench.messages("created")
    assert (news["activity_id"], news["out_biz_no"]) == (activity_id, "C1")
    assert bench.frame.sent[0].schedule_s[0] > 0


def test_the_same_create_is_one_activity(bench: Bench) -> None:
    body = bench.body()
    first = bench.good(f"{FAMILY}.create", body)
    bench.advance(minutes=1)
    assert bench.good(f"{FAMILY}.create", body) == first
    other = body | {"activity_base_info": {"activity_name": "别的", "code_mode": "MERCHANT_API"}}
    assert bench.refused(f"{FAMILY}.create", other) == "INVALID_PARAMETER"


def test_the_older_body_makes_an_activity_too_and_a_mixture_does_not(bench: Bench) -> None:
    body = {
        "out_biz_no": "OLD1",
        "merchant_access_mode": "SELF_MODE",
        "activity_name": "旧版",
        "code_mode": "MERCHANT_API",
        "voucher_type": "FIX_VOUCHER",
        "publish_start_time": bench.stamp(minutes=-1),
        "publish_end_time": bench.stamp(days=1),
        "voucher_send_rule": {"voucher_quantity": 10},
        "voucher_use_rule": {
            "fix_voucher": {"amount": "5.00", "floor_amount": "10.00"},
            "voucher_valid_period": {"type": "RELATIVE", "valid_days_after_receive": 3},
        },
    }
    activity_id = bench.good(f"{FAMILY}.create", body)["activity_id"]
    bench.advance(seconds=1)
    told = bench.good(f"{FAMILY}.query", {"activity_id": activity_id})
    assert (told["activity_status"], told["activity_name"]) == ("ACTIVE", "旧版")
    mixed = bench.body() | {"activity_name": "旧版"}
    assert bench.refused(f"{FAMILY}.create", mixed) == "INVALID_PARAMETER"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("activity_base_info.activity_name", "二十一" * 7),
        ("activity_base_info.code_mode", "ANY"),
        ("voucher_deduct_info.voucher_type", "GIFT"),
        ("voucher_deduct_info.fix_voucher_info.amount", "0.05"),
        ("voucher_deduct_info.fix_voucher_info.amount", "3000.01"),
        ("voucher_deduct_info.fix_voucher_info.amount", "5.001"),
        ("voucher_deduct_info.fix_voucher_info", None),
        ("voucher_send_mode_info.voucher_send_rule_info.quantity", 0),
        ("voucher_send_mode_info.voucher_send_rule_info.quantity", 1_000_000),
        ("voucher_send_mode_info.voucher_send_rule_info.publish_end_time", "2026-12-31 00:00:00"),
        ("voucher_send_mode_info.voucher_send_rule_info.publish_start_time", "tomorrow"),
        ("voucher_use_rule_info.voucher_use_time_info.period_type", "EVER"),
        (
            "voucher_use_rule_info.voucher_use_time_info.absolute_period_info.valid_end_time",
            "2026-05-21 00:00:00",
        ),
        ("merchant_access_mode", "NO_MODE"),
        ("voucher_use_rule_info", "text"),
    ],
)
def test_an_activity_that_cannot_be_is_refused(bench: Bench, path: str, value: object) -> None:
    body = bench.body()
    *outer, last = path.split(".")
    place = body
    for name in outer:
        place = place[name]
    place[last] = value
    assert bench.refused(f"{FAMILY}.create", body) == "INVALID_PARAMETER"


@pytest.mark.parametrize(
    ("deduct", "is_good"),
    [
        ({"voucher_type": "DISCOUNT_VOUCHER", "discount_voucher_info": {"discount": "8.5"}}, True),
        ({"voucher_type": "DISCOUNT_VOUCHER", "discount_voucher_info": {"discount": "8.55"}}, False),
        ({"voucher_type": "DISCOUNT_VOUCHER", "discount_voucher_info": {"discount": "10"}}, False),
        ({"voucher_type": "SPECIAL_VOUCHER", "special_voucher_info": {"special_amount": "9.90"}}, True),
        ({"voucher_type": "EXCHANGE_VOUCHER", "exchange_voucher_info": {"amount": "10.00"}}, False),
    ],
)
def test_the_kinds_of_vouchers_have_their_own_rules(bench: Bench, deduct: dict[str, Any], is_good: bool) -> None:  # noqa: FBT001
    told = bench.call(f"{FAMILY}.create", bench.body(voucher_deduct_info=deduct))
    assert (told["code"] == "10000") is is_good


def test_a_rejected_create_never_becomes_active_and_sends_nothing(bench: Bench) -> None:
    bench.emulator.deliver({"kind": "console", "reject_next": True})
    activity_id = bench.good(f"{FAMILY}.create", bench.body())["activity_id"]
    bench.advance(hours=1)
    told = bench.good(f"{FAMILY}.query", {"activity_id": activity_id})
    assert (statuses(told), told["audit_result_info"]["audit_result"]) == ((None, None), "REJECT")
    assert bench.frame.sent == []
    assert bench.create()


def test_uploaded_codes_are_counted_enlarged_and_given_in_order(bench: Bench) -> None:
    activity_id = bench.upload(["C1", "C2", "C3"])
    assert bench.good(f"{FAMILY}.codecount", {"activity_id": activity_id})["success_count"] == 3
    view = bench.emulator.view("C2")
    assert view is not None
    assert view["state"] == "UPLOADED"
    wish = {"activity_id": activity_id, "user_id": "2088000000000001", "biz_dt": bench.stamp()}
    codes = [bench.good(f"{FAMILY}.send", wish | {"out_biz_no": f"S{n}"})["voucher_code"] for n in range(3)]
    assert codes == ["C1", "C2", "C3"]
    assert bench.refused(f"{FAMILY}.send", wish | {"out_biz_no": "S9"}) == "BIZ_ERROR"
    assert len(bench.messages("appended")) == 1


def test_faulty_and_known_codes_are_told_apart(bench: Bench) -> None:
    activity_id = bench.upload(["C1"])
    wish = {"activity_id": activity_id, "merchant_access_mode": "SELF_MODE", "out_biz_no": "D2"}
    told = bench.good(f"{FAMILY}.codedeposit", wish | {"voucher_codes": ["C1", "C2", "bad code", "C2"]})
    assert (told["success_count"], told["fail_count"]) == (1, 3)
    assert told["success_voucher_code_list"] == ["C2"]
    assert [one["error_code"] for one in told["fail_voucher_code_detail_list"]] == [
        "VOUCHER_CODE_EXIST",
        "INVALID_PARAMETER",
        "VOUCHER_CODE_EXIST",
    ]
    many = wish | {"out_biz_no": "D3", "voucher_codes": [f"M{n}" for n in range(1001)]}
    assert bench.refused(f"{FAMILY}.codedeposit", many) == "INVALID_PARAMETER"


def test_a_total_is_never_lowered_and_equals_the_uploaded_codes(bench: Bench) -> None:
    wish = {"merchant_access_mode": "SELF_MODE", "activity_id": bench.upload(["C1", "C2"])}
    append = f"{FAMILY}.append"
    assert bench.refused(append, wish | {"out_biz_no": "A1", "voucher_quantity": 3}) == "INVALID_PARAMETER"
    wish["activity_id"] = bench.create()
    assert bench.refused(append, wish | {"out_biz_no": "A2", "voucher_quantity": 99}) == "INVALID_PARAMETER"
    bench.good(append, wish | {"out_biz_no": "A3", "voucher_quantity": 101})
    assert bench.refused(append, wish | {"out_biz_no": "A4", "voucher_quantity": 102}) == "BIZ_ERROR"


def test_codes_belong_to_activities_that_are_made_for_them(bench: Bench) -> None:
    wish = {"merchant_access_mode": "SELF_MODE", "activity_id": bench.create(), "voucher_codes": ["C1"]}
    assert bench.refused(f"{FAMILY}.codedeposit", wish | {"out_biz_no": "D1"}) == "BIZ_ERROR"


def test_a_modified_activity_gets_more_shops_and_keeps_its_quantity(bench: Bench) -> None:
    scope = {
        "voucher_available_geography_scope_info": {
            "available_geography_scope_type": "SHOP",
            "available_geography_shop_info": {"available_shop_ids": ["S1"]},
        }
    }
    activity_id = bench.create(voucher_available_scope_info=scope)
    receive(bench, activity_id, "SHOP1")
    coupon = {"activity_id": activity_id, "code": "SHOP1"}
    assert bench.use(coupon, store_id="S2")["sub_code"] == "INVALID_PARAMETER"
    scope["voucher_available_geography_scope_info"]["available_geography_shop_info"] = {"available_shop_ids": ["S2"]}
    wish = {"activity_id": activity_id, "merchant_access_mode": "SELF_MODE", "out_biz_no": "M1"}
    bench.good(f"{FAMILY}.modify", wish | {"voucher_available_scope_info": scope})
    bench.advance(seconds=1)
    assert len(bench.messages("modified")) == 1
    assert bench.use(coupon, store_id="S2")["code"] == "10000"


def test_a_stopped_activity_gives_nothing_more_and_its_vouchers_stay(bench: Bench) -> None:
    activity_id = bench.create()
    receive(bench, activity_id, "KEPT")
    wish = {"activity_id": activity_id, "merchant_access_mode": "SELF_MODE"}
    bench.good(f"{FAMILY}.stop", wish | {"out_biz_no": "S1"})
    bench.advance(seconds=1)
    assert statuses(bench.good(f"{FAMILY}.query", wish)) == ("FINISHED", None)
    assert receive(bench, activity_id, "LATE")["error_code"] == "ACTIVITY_STATUS_NOT_ACTIVE"
    assert bench.use({"activity_id": activity_id, "code": "KEPT"})["code"] == "10000"
    assert bench.refused(f"{FAMILY}.stop", wish | {"out_biz_no": "S2"}) == "BIZ_ERROR"


def test_a_receipt_is_repeated_by_its_number_and_refused_for_another_user(bench: Bench) -> None:
    activity_id = bench.create()
    first = receive(bench, activity_id, "V1", out_biz_no="R1")
    assert (first["result"], first["retry"], first["voucher_code"]) == (True, False, "V1")
    assert receive(bench, activity_id, "V1", out_biz_no="R1") == first
    other = receive(bench, activity_id, "V1", out_biz_no="R1", user="2088000000000002")
    assert (other["result"], other["error_code"]) == (False, "INVALID_PARAMETER")
    assert receive(bench, activity_id, "V1")["error_code"] == "VOUCHER_CODE_EXIST"
    assert receive(bench, activity_id, "bad code")["error_code"] == "INVALID_PARAMETER"
    assert receive(bench, activity_id, None)["error_code"] == "INVALID_PARAMETER"
    assert receive(bench, "nosuch", "V2")["error_code"] == "ACTIVITY_NOT_EXIST"


def test_limits_of_a_user_and_of_the_quantity_are_kept(bench: Bench) -> None:
    rule = bench.body()["voucher_send_mode_info"]
    rule["voucher_send_rule_info"] |= {"quantity": 3, "quantity_limit_per_user": 1}
    activity_id = bench.create(voucher_send_mode_info=rule)
    assert receive(bench, activity_id, "V1")["result"] is True
    assert receive(bench, activity_id, "V2")["error_code"] == "COUNT_OVER_LIMIT"
    for number in (2, 3):
        assert receive(bench, activity_id, f"W{number}", user=f"208800000000000{number}")["result"] is True
    assert receive(bench, activity_id, "V4", user="2088000000000004")["error_code"] == "BUDGET_NOT_ENOUGH"


def test_a_limit_by_the_day_starts_anew_at_midnight_in_beijing(bench: Bench) -> None:
    rule = bench.body()["voucher_send_mode_info"]
    rule["voucher_send_rule_info"] |= {
        "quantity_limit_per_user": 1,
        "quantity_limit_per_user_period_type": "DAY",
    }
    activity_id = bench.create(voucher_send_mode_info=rule)
    assert receive(bench, activity_id, "V1")["result"] is True
    bench.advance(hours=11, minutes=59)
    assert receive(bench, activity_id, "V2")["error_code"] == "COUNT_OVER_LIMIT"
    bench.advance(minutes=2)
    assert receive(bench, activity_id, "V3")["result"] is True


@pytest.mark.parametrize(
    ("rounding", "end"), [("ROUND_FORWARD", "2026-05-22 23:59:59"), ("ROUND_BACKWARD", "2026-05-23 23:59:59")]
)
def test_days_after_receipt_are_counted_in_beijing(bench: Bench, rounding: str, end: str) -> None:
    times = {"period_type": "RELATIVE", "relative_period_info": {"valid_days_after_receive": 3}}
    times["relative_period_info"] |= {"valid_days_relative_type": rounding}  # type: ignore[operator]
    activity_id = bench.create(voucher_use_rule_info={"voucher_use_time_info": times})
    receive(bench, activity_id, "V1")
    wish = {"activity_id": activity_id, "voucher_code": "V1"}
    told = bench.good("alipay.marketing.activity.user.queryvoucher", wish)
    assert told["user_voucher_base_info"]["valid_end_time"] == end


def test_a_batch_tells_each_result(bench: Bench) -> None:
    activity_id = bench.create()
    rows = [
        {"activity_id": activity_id, "out_biz_no": "B1", "voucher_code": "V1"},
        {"activity_id": activity_id, "out_biz_no": "B2", "voucher_code": "V1"},
    ]
    wish = {"activity_send_voucher_info_list": rows, "user_id": "2088000000000001", "biz_dt": bench.stamp()}
    told = bench.good(f"{FAMILY}.batchsend", wish)["activity_send_voucher_result_info_list"]
    assert [one["result"] for one in told] == [True, False]


def test_a_consultation_writes_nothing(bench: Bench) -> None:
    activity_id = bench.create()
    infos = [{"activity_id": activity_id}, {"activity_id": "nosuch"}]
    wish = {"consult_activity_info_list": infos, "user_id": "2088000000000001"}
    told = bench.good("alipay.marketing.activity.consult", wish)["consult_result_info_list"]
    assert [one["consult_result_code"] for one in told] == ["SUCCESS", "ACTIVITY_NOT_PERMISSION"]
    inventory = bench.good(f"{FAMILY}.query", {"activity_id": activity_id})["voucher_inventory_info"]
    assert inventory == {"send_count": 0, "use_count": 0}


def test_a_delivery_is_made_read_and_stopped(bench: Bench) -> None:
    activity_id = bench.upload(["C1"])
    family = "alipay.marketing.activity.delivery"
    body = {
        "out_biz_no": "DL1",
        "merchant_access_mode": "SELF_MODE",
        "delivery_booth_code": "PAYMENT_RESULT",
        "delivery_base_info": {
            "delivery_name": "支付后领券",
            "delivery_begin_time": bench.stamp(),
            "delivery_end_time": bench.stamp(days=5),
        },
        "delivery_play_config": {"delivery_single_send_config": {"activity_id": activity_id}},
    }
    delivery_id = bench.good(f"{family}.create", body)["delivery_id"]
    query = {"delivery_id": delivery_id}
    assert bench.good(f"{family}.query", query)["delivery_status"] == "ACTIVE"
    bench.good(f"{family}.stop", query | {"out_biz_no": "DL2"})
    assert bench.good(f"{family}.query", query)["delivery_status"] == "INACTIVE"
    both = {"delivery_single_send_config": {"activity_id": "1"}, "delivery_full_send_config": {"activity_id": "1"}}
    bad = body | {"out_biz_no": "DL3", "delivery_play_config": both}
    assert bench.refused(f"{family}.create", bad) == "INVALID_PARAMETER"
    ours = {"delivery_single_send_config": {"activity_id": bench.create()}}
    assert bench.refused(f"{family}.create", body | {"out_biz_no": "DL4", "delivery_play_config": ours})
