from __future__ import annotations

import pytest

from .bench import FAMILY, QUERY, Bench

USE = f"{FAMILY}.use"


def events(bench: Bench, coupon: dict[str, str]) -> list[tuple[str, str | None]]:
    view = bench.emulator.view(coupon["code"])
    assert view is not None
    return [(step["event"], step.get("request_no")) for step in view["history"]]


def test_a_redeemed_voucher_is_used_and_tells_by_which_number(bench: Bench) -> None:
    coupon = bench.issue()
    bench.use(coupon, out_biz_no="USE1")
    view = bench.emulator.view(coupon["code"])
    assert view is not None
    assert (view["state"], events(bench, coupon)[-1]) == ("USED", ("use", "USE1"))


def test_the_same_number_and_parameters_give_the_first_answer_again(bench: Bench) -> None:
    coupon = bench.issue()
    told = bench.redemption(coupon)
    first = bench.good(USE, told)
    bench.advance(minutes=5)
    assert bench.good(USE, dict(reversed(told.items()))) == first
    assert len(events(bench, coupon)) == 2


def test_the_same_number_after_a_reversal_changes_nothing(bench: Bench) -> None:
    coupon = bench.issue()
    told = bench.redemption(coupon)
    bench.good(USE, told)
    assert bench.refund(coupon)["code"] == "10000"
    assert bench.good(USE, told)["code"] == "10000"
    assert bench.status(coupon) == "SENDED"


def test_the_same_number_with_other_parameters_is_refused(bench: Bench) -> None:
    coupon = bench.issue()
    told = bench.redemption(coupon)
    bench.good(USE, told)
    assert bench.refused(USE, told | {"total_fee": "98.00"}) == "INVALID_PARAMETER"


def test_a_refused_number_may_be_used_again(bench: Bench) -> None:
    coupon, other = bench.issue(), bench.issue()
    bench.use(coupon)
    assert bench.use(coupon, out_biz_no="AGAIN")["sub_code"] == "BIZ_ERROR"
    assert bench.use(other, out_biz_no="AGAIN")["code"] == "10000"


def test_a_second_number_finds_the_voucher_used(bench: Bench) -> None:
    coupon = bench.issue()
    bench.use(coupon)
    assert bench.use(coupon)["sub_code"] == "BIZ_ERROR"


def test_a_reversal_makes_it_usable_again(bench: Bench) -> None:
    coupon = bench.issue()
    bench.use(coupon)
    told = bench.refund(coupon, out_biz_no="BACK1")
    assert told["voucher_use_detail_result_info"] == {"voucher_max_un_use_times": 1}
    assert events(bench, coupon)[-1] == ("return", "BACK1")
    assert bench.use(coupon)["code"] == "10000"


def test_a_reversal_of_an_unused_voucher_is_refused(bench: Bench) -> None:
    assert bench.refund(bench.issue())["sub_code"] == "BIZ_ERROR"


def test_a_reversal_after_the_end_succeeds_and_leaves_it_expired(bench: Bench) -> None:
    coupon = bench.issue(valid_days=1)
    bench.use(coupon)
    bench.advance(days=2)
    assert bench.status(coupon) == "USED"
    assert bench.refund(coupon)["code"] == "10000"
    assert bench.status(coupon) == "EXPIRED"


def test_a_deleted_voucher_can_be_given_back_and_stays_unusable(bench: Bench) -> None:
    coupon = bench.issue()
    bench.use(coupon)
    bench.emulator.deliver({"kind": "delete", "code": coupon["code"]})
    assert bench.refund(coupon)["code"] == "10000"
    assert bench.use(coupon)["sub_code"] == "BIZ_ERROR"
    query = {"activity_id": coupon["activity_id"], "voucher_code": coupon["code"]}
    assert bench.refused(QUERY, query) == "VOUCHER_NOT_EXIST"


def test_time_ends_a_voucher_and_its_merchant_is_told_once(bench: Bench) -> None:
    coupon = bench.issue(valid_days=1)
    bench.advance(days=1, seconds=2)
    bench.advance(hours=3)
    assert bench.use(coupon)["sub_code"] == "BIZ_ERROR"
    assert events(bench, coupon)[-1] == ("expire", None)
    (told,) = bench.messages("expired")
    assert (told["id"], told["voucher_id"]) == (f"expired_{coupon['voucher_id']}", coupon["voucher_id"])
    assert told["user_id"] == coupon["user_id"]


def test_the_last_second_still_counts(bench: Bench) -> None:
    coupon = bench.issue(valid_days=1)
    bench.advance(days=1)
    assert bench.use(coupon)["code"] == "10000"


def test_a_voucher_before_its_time_is_refused(bench: Bench) -> None:
    rule = bench.body()["voucher_use_rule_info"]
    rule["voucher_use_time_info"]["absolute_period_info"]["valid_begin_time"] = bench.stamp(days=1)
    activity_id = bench.create(voucher_use_rule_info=rule)
    row = {"activity_id": activity_id, "out_biz_no": "R1", "voucher_code": "EARLY1"}
    bench.good(f"{FAMILY}.receive", {"receive_info_list": [row], "user_id": "2088000000000001"})
    assert bench.use({"activity_id": activity_id, "code": "EARLY1"})["sub_code"] == "BIZ_ERROR"


def test_a_card_of_several_uses_is_used_when_the_last_is_gone(bench: Bench) -> None:
    rule = bench.body()["voucher_use_rule_info"] | {"voucher_max_use_times": 3}
    activity_id = bench.create(voucher_use_rule_info=rule)
    row = {"activity_id": activity_id, "out_biz_no": "R1", "voucher_code": "MANY1"}
    bench.good(f"{FAMILY}.receive", {"receive_info_list": [row], "user_id": "2088000000000001"})
    coupon = {"activity_id": activity_id, "code": "MANY1"}
    two = {"voucher_use_detail_info": {"voucher_use_times": 2}}
    assert bench.use(coupon, **two)["voucher_use_detail_result_info"] == {"voucher_max_un_use_times": 1}
    assert bench.use(coupon, **two)["sub_code"] == "BIZ_ERROR"
    assert bench.status(coupon) == "SENDED"
    bench.use(coupon)
    assert bench.status(coupon) == "USED"
    back = {"voucher_refund_detail_info": {"voucher_refund_use_times": 4}}
    assert bench.refund(coupon, **back)["sub_code"] == "BIZ_ERROR"


@pytest.mark.parametrize(
    "changed",
    [
        {"out_biz_no": ""},
        {"out_biz_no": "with space"},
        {"biz_dt": "20260520"},
        {"total_fee": "0"},
        {"total_fee": "1.001"},
        {"total_fee": "-1"},
        {"trade_channel": "CASH"},
        {"trade_channel": "ZHIFUBAO_TRADE_CHANNEL"},
        {"merchant_access_mode": ""},
        {"activity_id": ""},
        {"activity_id": "999"},
        {"voucher_code": "bad code"},
        {"voucher_use_detail_info": {"voucher_use_times": 0}},
        {"voucher_use_detail_info": []},
    ],
)
def test_faulty_members_are_invalid_parameters(bench: Bench, changed: dict[str, object]) -> None:
    coupon = bench.issue()
    told = bench.use(coupon, **changed)
    assert (told["code"], told["sub_code"]) == ("40004", "INVALID_PARAMETER")
    assert bench.status(coupon) == "SENDED"


def test_another_merchants_activity_is_not_ours_to_use(bench: Bench) -> None:
    coupon = bench.issue(owner_id="2088000000000009")
    assert bench.use(coupon)["sub_code"] == "ACTIVITY_NOT_PERMISSION"
    query = {"activity_id": coupon["activity_id"], "voucher_code": coupon["code"]}
    assert bench.refused(QUERY, query) == "ACTIVITY_NOT_PERMISSION"


def test_a_withdrawn_voucher_reads_expired_and_cannot_be_used(bench: Bench) -> None:
    coupon = bench.issue()
    wish = {
        "activity_id": coupon["activity_id"],
        "voucher_code": coupon["code"],
        "biz_dt": bench.stamp(),
        "merchant_access_mode": "SELF_MODE",
    }
    assert set(bench.good(f"{FAMILY}.invalid", wish | {"out_biz_no": "V1"})) == {"code", "msg"}
    assert bench.status(coupon) == "EXPIRED"
    assert bench.use(coupon)["sub_code"] == "BIZ_ERROR"
    assert bench.refused(f"{FAMILY}.invalid", wish | {"out_biz_no": "V2"}) == "BIZ_ERROR"
    used = bench.issue()
    bench.use(used)
    other = wish | {"activity_id": used["activity_id"], "voucher_code": used["code"], "out_biz_no": "V3"}
    assert bench.refused(f"{FAMILY}.invalid", other) == "BIZ_ERROR"


def test_a_voucher_is_tied_to_one_trade_at_a_time(bench: Bench) -> None:
    coupon = bench.issue()
    wish = {"activity_id": coupon["activity_id"], "voucher_code": coupon["code"], "trade_no": "T1"}
    assert "associate_time" in bench.good(f"{FAMILY}.associate", wish | {"out_biz_no": "A1"})
    other = wish | {"trade_no": "T2"}
    assert bench.refused(f"{FAMILY}.associate", other | {"out_biz_no": "A2"}) == "VOUCHER_ASSOCIATE_OTHER_TRADE_NO"
    assert bench.refused(f"{FAMILY}.disassociate", other | {"out_biz_no": "A3"}) == "VOUCHER_ASSOCIATE_TRADE_NO_ERROR"
    told = bench.good(QUERY, {"activity_id": coupon["activity_id"], "voucher_code": coupon["code"]})
    assert told["user_voucher_base_info"]["associate_trade_no"] == "T1"
    assert "disassociate_time" in bench.good(f"{FAMILY}.disassociate", wish | {"out_biz_no": "A4"})
    nowhere = wish | {"voucher_code": "NOSUCH", "out_biz_no": "A5"}
    assert bench.refused(f"{FAMILY}.associate", nowhere) == "VOUCHER_NOT_EXIST"


# -- queries -------------------------------------------------------------------------------------------------------


def test_a_query_by_either_name_and_number_finds_the_voucher_of_its_holder_only(bench: Bench) -> None:
    coupon = bench.issue(holder="2088000000000001")
    base = {"activity_id": coupon["activity_id"]}
    code = {"voucher_code": coupon["code"]}
    for more in (
        code,
        {"voucher_id": coupon["voucher_id"]},
        code | {"user_id": "2088000000000001"},
        code | {"open_id": coupon["open_id"]},
    ):
        told = bench.good(QUERY, base | more)
        assert told["user_voucher_base_info"]["voucher_id"] == coupon["voucher_id"]
        assert told["voucher_deduct_info"]["fix_voucher_info"]["amount"] == "5.00"
    assert bench.refused(QUERY, base | code | {"user_id": "2088000000000002"}) == "VOUCHER_NOT_EXIST"
    assert bench.refused(QUERY, base | {"voucher_code": "NOSUCH"}) == "VOUCHER_NOT_EXIST"
    assert bench.refused(QUERY, base) == "INVALID_PARAMETER"
    assert bench.refused(QUERY, base | code | {"merchant_id": "2088000000000009"}) == "MERCHANT_RELATION_NOT_EXIST"


def test_a_users_vouchers_come_by_pages(bench: Bench) -> None:
    coupons = bench.emulator.issue({"count": 5, "face_fen": 500, "holder": "2088000000000001"})
    bench.use(coupons[0])
    method = "alipay.marketing.activity.user.batchqueryvoucher"
    wish = {"user_id": "2088000000000001", "page_num": 1, "page_size": 3}
    mine = {"belong_merchant_id": bench.told["seller_id"]}
    page = bench.good(method, wish | mine)
    assert (len(page["user_voucher_infos"]), page["total_size"]) == (3, 5)
    assert page["user_voucher_infos"][0]["voucher_id"] == coupons[-1]["voucher_id"]
    used = bench.good(method, wish | mine | {"voucher_status": "USED"})
    assert [one["voucher_id"] for one in used["user_voucher_infos"]] == [coupons[0]["voucher_id"]]
    assert bench.refused(method, wish) == "INVALID_PARAMETER"
    assert bench.refused(method, wish | mine | {"page_size": 21}) == "INVALID_PARAMETER"


def test_an_unknown_code_has_no_view(bench: Bench) -> None:
    assert bench.emulator.view("NOSUCH") is None


def test_uses_are_told_to_the_application_gateway(bench: Bench) -> None:
    coupon = bench.issue()
    (received,) = bench.messages("received")
    assert received["receive_user_id"] == coupon["user_id"]
    assert received["voucher_code"] == coupon["code"]
    bench.use(coupon)
    (used,) = bench.messages("used")
    assert (used["voucher_code"], used["user_id"]) == (coupon["code"], coupon["user_id"])
