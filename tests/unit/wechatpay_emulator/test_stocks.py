"""商家券 stocks, sends and their limits, uploaded codes, lists (sheet §2.1, B1 to B7, B12, B14, B16)."""

from __future__ import annotations

from typing import Any

import pytest

from .bench import BASE, Bench, body_of, header, refusal_of


def test_a_stock_is_read_back_with_its_state_and_counts(bench: Bench) -> None:
    body = bench.stock_body()
    stock_id = body_of(bench.post(f"{BASE}/stocks", body))["stock_id"]
    bench.send_coupon(stock_id)
    told = body_of(bench.get(f"{BASE}/stocks/{stock_id}"))
    assert {name: told[name] for name in body if name != "out_request_no"} == {
        name: value for name, value in body.items() if name != "out_request_no"
    }
    assert told["stock_state"] == "RUNNING"
    assert told["send_count_information"] == {
        "total_send_num": 1,
        "total_send_amount": 500,
        "today_send_num": 1,
        "today_send_amount": 500,
    }
    bench.advance(days=300)
    assert body_of(bench.get(f"{BASE}/stocks/{stock_id}"))["stock_state"] == "STOPED"
    assert refusal_of(bench.send_coupon(stock_id)) == (400, "INVALID_REQUEST")


def test_creating_twice_under_one_number_makes_one_stock(bench: Bench) -> None:
    body = bench.stock_body()
    assert bench.post(f"{BASE}/stocks", body).content == bench.post(f"{BASE}/stocks", body).content
    assert refusal_of(bench.post(f"{BASE}/stocks", body | {"stock_name": "其他"})) == (400, "INVALID_REQUEST")


def rule(**changed: Any) -> dict[str, Any]:
    kept = {
        "coupon_available_time": {
            "available_begin_time": "2026-05-01T00:00:00+08:00",
            "available_end_time": "2026-12-31T23:59:59+08:00",
        },
        "fixed_normal_coupon": {"discount_amount": 500, "transaction_minimum": 1000},
        "use_method": "OFF_LINE",
    } | changed
    return {name: value for name, value in kept.items() if value is not None}


def window(begin: str, end: str) -> dict[str, Any]:
    return {"coupon_use_rule": rule(coupon_available_time={"available_begin_time": begin, "available_end_time": end})}


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"stock_name": "券" * 22}, "/stock_name"),
        ({"goods_name": None}, "/goods_name"),
        ({"stock_type": "CASH"}, "/stock_type"),
        ({"belong_merchant": "1234567"}, "/belong_merchant"),
        ({"out_request_no": "a b"}, "/out_request_no"),
        ({"stock_send_rule": {"max_coupons": 0, "max_coupons_per_user": 1}}, "/stock_send_rule/max_coupons"),
        ({"stock_send_rule": {"max_coupons": 1, "max_coupons_per_user": 101}}, "/stock_send_rule/max_coupons_per_user"),
        (
            {"stock_send_rule": {"max_coupons": 1, "max_coupons_per_user": 1, "max_coupons_by_day": 1}},
            "/stock_send_rule/max_coupons_by_day",
        ),
        ({"stock_send_rule": {"max_coupons": True, "max_coupons_per_user": 1}}, "/stock_send_rule/max_coupons"),
        ({"coupon_use_rule": rule(fixed_normal_coupon=None)}, "/coupon_use_rule/fixed_normal_coupon"),
        (
            {"coupon_use_rule": rule(discount_coupon={"discount_percent": 88, "transaction_minimum": 1})},
            "/coupon_use_rule/fixed_normal_coupon",
        ),
        ({"coupon_use_rule": rule(use_method="MINI_PROGRAMS")}, "/coupon_use_rule/mini_programs_appid"),
        (
            window("2026-05-01T00:00:00+08:00", "2026-05-01T00:00:00+08:00"),
            "/coupon_use_rule/coupon_available_time/available_end_time",
        ),
        (
            window("2026-05-01T00:00:00+08:00", "2027-06-01T00:00:00+08:00"),
            "/coupon_use_rule/coupon_available_time/available_end_time",
        ),
        (
            window("2025-05-01T00:00:00+08:00", "2025-06-01T00:00:00+08:00"),
            "/coupon_use_rule/coupon_available_time/available_end_time",
        ),
        ({"display_pattern_info": {"background_color": "Color015"}}, "/display_pattern_info/background_color"),
        ({"coupon_code_mode": "RANDOM"}, "/coupon_code_mode"),
    ],
)
def test_a_wrong_stock_is_refused_by_its_pointer(bench: Bench, changed: dict[str, Any], field: str) -> None:
    answer = bench.post(f"{BASE}/stocks", bench.stock_body(**changed))
    assert refusal_of(answer) == (400, "PARAM_ERROR")
    assert body_of(answer)["detail"]["field"] == field


def test_a_stock_for_another_merchant_is_refused(bench: Bench) -> None:
    assert refusal_of(bench.post(f"{BASE}/stocks", bench.stock_body(belong_merchant="1900000109"))) == (403, "NOAUTH")


def test_an_edit_changes_what_may_be_changed(bench: Bench) -> None:
    stock = bench.stock()
    change = {"out_request_no": "E1", "goods_name": "流量包", "coupon_use_rule": {"use_method": "PAYMENT_CODE"}}
    assert bench.send("PATCH", f"{BASE}/stocks/{stock}", change).status == 204
    assert bench.send("PATCH", f"{BASE}/stocks/{stock}", change).status == 204
    told = body_of(bench.get(f"{BASE}/stocks/{stock}"))
    assert (told["goods_name"], told["coupon_use_rule"]["use_method"]) == ("流量包", "PAYMENT_CODE")
    assert told["coupon_use_rule"]["fixed_normal_coupon"]["discount_amount"] == 500
    assert bench.send("PATCH", f"{BASE}/stocks/{stock}", {"out_request_no": "E2", "stock_name": "新"}).status == 400


def test_a_subsidy_is_only_ever_turned_on(bench: Bench) -> None:
    stock = bench.stock()
    path = f"{BASE}/stocks/{stock}"
    assert bench.send("PATCH", path, {"out_request_no": "E1", "subsidy": True}).status == 204
    assert refusal_of(bench.send("PATCH", path, {"out_request_no": "E2", "subsidy": False})) == (400, "INVALID_REQUEST")


def test_the_budget_moves_from_its_current_value(bench: Bench) -> None:
    path = f"{BASE}/stocks/{bench.stock()}/budget"
    change = {"target_max_coupons": 300, "current_max_coupons": 100, "modify_budget_request_no": "B1"}
    assert body_of(bench.send("PATCH", path, change)) == {"max_coupons": 300}
    assert body_of(bench.send("PATCH", path, change)) == {"max_coupons": 300}
    stale = change | {"target_max_coupons": 400, "modify_budget_request_no": "B2"}
    assert refusal_of(bench.send("PATCH", path, stale)) == (400, "INVALID_REQUEST")
    assert refusal_of(bench.send("PATCH", path, {"modify_budget_request_no": "B3"})) == (400, "PARAM_ERROR")


def test_a_send_is_idempotent_and_answers_both_ways(bench: Bench) -> None:
    stock = bench.stock()
    first = bench.send_coupon(stock, out_request_no="S1")
    told = body_of(first)
    assert told["send_coupon_result"] == {name: told[name] for name in ("stock_id", "out_request_no", "coupon_code")}
    assert bench.send_coupon(stock, out_request_no="S1").content == first.content
    assert refusal_of(bench.send_coupon(stock, openid="oOther", out_request_no="S1")) == (400, "INVALID_REQUEST")


def test_a_user_receives_no_more_than_the_rule_allows(bench: Bench) -> None:
    stock = bench.stock(stock_send_rule={"max_coupons": 3, "max_coupons_per_user": 1})
    assert bench.send_coupon(stock, "oA").status == 200
    assert refusal_of(bench.send_coupon(stock, "oA")) == (403, "RULE_LIMIT")
    assert [bench.send_coupon(stock, holder).status for holder in ("oB", "oC", "oD")] == [200, 200, 403]


def test_a_day_has_its_own_limit(bench: Bench) -> None:
    discount = rule(fixed_normal_coupon=None, discount_coupon={"discount_percent": 88, "transaction_minimum": 100})
    sending = {"max_coupons": 9, "max_coupons_per_user": 9, "max_coupons_by_day": 1}
    stock = bench.stock(stock_type="DISCOUNT", coupon_use_rule=discount, stock_send_rule=sending)
    assert bench.send_coupon(stock).status == 200
    assert refusal_of(bench.send_coupon(stock)) == (403, "RULE_LIMIT")
    bench.advance(hours=12)
    assert bench.send_coupon(stock).status == 200


def test_the_merchant_gives_the_code_where_the_mode_says_so(bench: Bench) -> None:
    stock = bench.stock(coupon_code_mode="MERCHANT_API")
    assert refusal_of(bench.send_coupon(stock)) == (400, "PARAM_ERROR")
    assert body_of(bench.send_coupon(stock, coupon_code="CODE-1"))["coupon_code"] == "CODE-1"
    assert refusal_of(bench.send_coupon(stock, coupon_code="CODE-1")) == (400, "INVALID_REQUEST")
    assert refusal_of(bench.send_coupon(bench.stock(), coupon_code="CODE-1")) == (400, "PARAM_ERROR")
    coupon = {"code": "CODE-1", "stock_id": stock}
    answer = bench.use(coupon, stock_id=None)
    assert body_of(answer)["detail"]["field"] == "/stock_id"
    assert bench.use(coupon).status == 200


def test_one_code_may_live_in_two_stocks(bench: Bench) -> None:
    first, second = bench.stock(coupon_code_mode="MERCHANT_API"), bench.stock(coupon_code_mode="MERCHANT_API")
    for stock in (first, second):
        assert bench.send_coupon(stock, coupon_code="SAME").status == 200
    assert bench.use({"code": "SAME", "stock_id": second}).status == 200
    assert bench.use({"code": "SAME", "stock_id": first}).status == 200


def test_uploaded_codes_are_sorted_out_and_given_out_in_turn(bench: Bench) -> None:
    stock = bench.stock(coupon_code_mode="MERCHANT_UPLOAD")
    pool = f"{BASE}/stocks/{stock}/couponcodes"
    first = body_of(bench.post(pool, {"coupon_code_list": ["A1", "A2"], "upload_request_no": "U1"}))
    assert (first["success_count"], first["success_codes"]) == (2, ["A1", "A2"])
    body = {"coupon_code_list": ["A2", "B1", "B1", "bad#", "x" * 33], "upload_request_no": "U2"}
    second = body_of(bench.post(pool, body))
    assert (second["total_count"], second["success_codes"]) == (4, ["B1"])
    assert (second["exist_codes"], second["duplicate_codes"], second["fail_count"]) == (["A2"], ["B1"], 2)
    assert body_of(bench.post(pool, body)) == second
    assert body_of(bench.send("DELETE", f"{pool}/A1?delete_request_no=D1"))["stock_id"] == stock
    given = [body_of(bench.send_coupon(stock))["coupon_code"] for _ in range(2)]
    assert given == ["A2", "B1"]
    assert refusal_of(bench.send_coupon(stock)) == (403, "RULE_LIMIT")
    assert refusal_of(bench.send("DELETE", f"{pool}/A2?delete_request_no=D2")) == (400, "INVALID_REQUEST")
    assert body_of(bench.get(f"{pool}/A2"))["code_information"]["code_status"] == "DISPATCHED"
    assert refusal_of(bench.get(f"{pool}/A1")) == (404, "RESOURCE_NOT_EXISTS")
    assert body_of(bench.get(f"{BASE}/stocks/{stock}"))["coupon_code_count"] == {"total_count": 2, "available_count": 0}
    page = body_of(bench.get(f"{pool}?offset=1&limit=1"))
    assert (page["total_count"], [one["code"] for one in page["data"]]) == (2, ["B1"])


def test_no_more_than_two_hundred_codes_at_once(bench: Bench) -> None:
    stock = bench.stock(coupon_code_mode="MERCHANT_UPLOAD")
    codes = {"coupon_code_list": [f"C{number}" for number in range(201)], "upload_request_no": "U1"}
    assert refusal_of(bench.post(f"{BASE}/stocks/{stock}/couponcodes", codes)) == (400, "PARAM_ERROR")


def test_a_users_list_is_filtered_and_paged(bench: Bench) -> None:
    appid, mchid = bench.told["appid"], bench.told["mchid"]
    coupons = [bench.issue(holder="oList") for _ in range(3)]
    bench.use(coupons[0])
    path = f"{BASE}/users/oList/coupons?appid={appid}"
    whole = body_of(bench.get(path))
    assert (whole["total_count"], whole["offset"], whole["limit"]) == (3, 0, 20)
    assert [one["coupon_code"] for one in whole["data"]] == [one["code"] for one in reversed(coupons)]
    assert body_of(bench.get(f"{path}&offset=1&limit=2"))["data"][0]["coupon_code"] == coupons[0]["code"]
    assert body_of(bench.get(f"{path}&coupon_state=USED"))["total_count"] == 1
    assert body_of(bench.get(f"{path}&stock_id={coupons[1]['stock_id']}"))["total_count"] == 1
    assert body_of(bench.get(f"{path}&creator_merchant={mchid}&sender_merchant=1"))["total_count"] == 0
    assert refusal_of(bench.get(f"{BASE}/users/oList/coupons")) == (400, "PARAM_ERROR")
    assert refusal_of(bench.get(f"{path}&limit=x")) == (400, "PARAM_ERROR")


def test_the_callback_address_is_set_and_read(bench: Bench) -> None:
    assert refusal_of(bench.get(f"{BASE}/callbacks")) == (404, "RESOURCE_NOT_EXISTS")
    url = "https://merchant.example/notify"
    told = body_of(bench.post(f"{BASE}/callbacks", {"mchid": bench.told["mchid"], "notify_url": url}))
    assert (told["notify_url"], "update_time" in told) == (url, True)
    assert body_of(bench.get(f"{BASE}/callbacks?mchid={bench.told['mchid']}"))["notify_url"] == url
    for wrong in (
        f"{url}?a=b",
        "ftp://merchant.example/x",
        "merchant.example",
        "https://merchant.example",
        "https://" + "x" * 260,
    ):
        assert refusal_of(bench.post(f"{BASE}/callbacks", {"notify_url": wrong})) == (400, "PARAM_ERROR")
    assert refusal_of(bench.post(f"{BASE}/callbacks", {"mchid": "1900000109", "notify_url": url})) == (403, "NOAUTH")


def test_a_stock_linked_to_goods_is_sent_or_promised(bench: Bench) -> None:
    stock = bench.stock()
    body = {
        "openid": "oU",
        "appid": bench.told["appid"],
        "stock_id": stock,
        "out_request_no": "P1",
        "coupon_type": "NORMAL",
    }
    assert set(body_of(bench.post(f"{BASE}/product-coupons/send", body))) == {
        "stock_id",
        "coupon_code",
        "out_request_no",
    }
    member = body | {"coupon_type": "MEMBER", "out_request_no": "P2"}
    assert refusal_of(bench.post(f"{BASE}/product-coupons/send", member)) == (400, "PARAM_ERROR")
    promise = {"stock_id": stock, "appid": bench.told["appid"], "openid": "oU", "send_request_no": "T1"}
    token = body_of(bench.post(f"{BASE}/product-coupons/pre-send", promise))["token"]
    claimed = bench.emulator.deliver({"kind": "product_coupon", "token": token})
    assert claimed["errcode"] == "OK"
    assert bench.emulator.deliver({"kind": "product_coupon", "token": token})["errcode"] == "INVALID_TOKEN"
    assert bench.use({"code": claimed["coupon_code"], "stock_id": stock}).status == 200


def test_an_unknown_operation_of_the_family_is_not_found(bench: Bench) -> None:
    answer = bench.post(f"{BASE}/coupons/burn", {})
    assert refusal_of(answer) == (404, "NOT_FOUND")
    assert header(answer, "Content-Type").startswith("application/json")
