"""代金券: stocks, sends, and their use by paying an order (sheet §2.3, §2.5)."""

from __future__ import annotations

from typing import Any

import pytest

from .bench import Bench, body_of, header, refusal_of

BASE = "/v3/marketing/favor"


def stock_body(bench: Bench, **changed: Any) -> dict[str, Any]:
    body = {
        "stock_name": "立减5元",
        "belong_merchant": bench.told["mchid"],
        "available_begin_time": "2026-05-20T00:00:00+08:00",
        "available_end_time": "2026-06-20T00:00:00+08:00",
        "stock_use_rule": {
            "max_coupons": 2,
            "max_amount": 1000,
            "max_coupons_per_user": 1,
            "natural_person_limit": False,
            "prevent_api_abuse": False,
        },
        "coupon_use_rule": {"fixed_normal_coupon": {"coupon_amount": 500, "transaction_minimum": 1000}},
        "no_cash": True,
        "stock_type": "NORMAL",
        "out_request_no": bench.number("favor"),
    }
    return body | changed


def running(bench: Bench) -> str:
    stock_id = str(body_of(bench.post(f"{BASE}/coupon-stocks", stock_body(bench)))["stock_id"])
    assert move(bench, stock_id, "start").status == 200
    return stock_id


def move(bench: Bench, stock_id: str, verb: str) -> Any:
    return bench.post(f"{BASE}/stocks/{stock_id}/{verb}", {"stock_creator_mchid": bench.told["mchid"]})


def send(bench: Bench, stock_id: str, openid: str = "oCash") -> Any:
    named = {"stock_id": stock_id, "appid": bench.told["appid"], "stock_creator_mchid": bench.told["mchid"]}
    return bench.post(f"{BASE}/users/{openid}/coupons", named | {"out_request_no": bench.number("send")})


def read(bench: Bench, coupon_id: str) -> dict[str, Any]:
    return body_of(bench.get(f"{BASE}/users/oCash/coupons/{coupon_id}?appid={bench.told['appid']}"))


def test_a_stock_is_started_paused_and_restarted(bench: Bench) -> None:
    stock_id = running(bench)
    path = f"{BASE}/stocks/{stock_id}?stock_creator_mchid={bench.told['mchid']}"
    assert body_of(bench.get(path))["status"] == "running"
    assert refusal_of(move(bench, stock_id, "start")) == (400, "INVALID_REQUEST")
    assert set(body_of(move(bench, stock_id, "pause"))) == {"pause_time", "stock_id"}
    answer = send(bench, stock_id)
    assert (refusal_of(answer), header(answer, "Request-ID")[-10:]) == ((400, "INVALID_REQUEST"), "-270079533")
    assert move(bench, stock_id, "restart").status == 200
    bench.advance(days=40)
    listed = bench.get(f"{BASE}/stocks?stock_creator_mchid={bench.told['mchid']}&status=stoped")
    assert body_of(listed)["total_count"] == 1


def test_sends_stop_at_the_users_limit_and_at_the_budget(bench: Bench) -> None:
    stock_id = running(bench)
    assert send(bench, stock_id).status == 200
    assert refusal_of(send(bench, stock_id)) == (403, "RULE_LIMIT")
    assert send(bench, stock_id, "oSecond").status == 200
    assert refusal_of(send(bench, stock_id, "oThird")) == (403, "NOT_ENOUGH")


def test_paying_an_order_uses_the_coupon_and_tells_the_merchant(bench: Bench) -> None:
    url = "https://merchant.example/favor"
    told = bench.post(f"{BASE}/callbacks", {"mchid": bench.told["mchid"], "notify_url": url, "switch": True})
    assert body_of(told)["notify_url"] == url
    coupon_id = body_of(send(bench, running(bench)))["coupon_id"]
    assert read(bench, coupon_id)["status"] == "SENDED"
    order = bench.emulator.order({"amount_fen": 2000, "code": coupon_id})
    assert (order["amount"]["total"], order["amount"]["payer_total"]) == (2000, 1500)
    assert order["promotion_detail"][0]["coupon_id"] == coupon_id
    (sent,) = bench.frame.sent
    assert (sent.event, sent.url, len(sent.schedule_s)) == ("COUPON.USE", url, 10)
    _, plain, _ = bench.open_callback(sent)
    assert plain == read(bench, coupon_id)
    assert (plain["status"], plain["consume_information"]["transaction_id"]) == ("USED", order["transaction_id"])
    assert plain["normal_coupon_information"] == {"coupon_amount": 500, "transaction_minimum": 1000}
    with pytest.raises(ValueError, match="USED"):
        bench.emulator.order({"amount_fen": 2000, "code": coupon_id})


def test_an_order_below_the_minimum_does_not_take_the_coupon(bench: Bench) -> None:
    (coupon,) = bench.emulator.issue({"count": 1, "face_fen": 500, "min_spend_fen": 1000, "family": "favor"})
    with pytest.raises(ValueError, match="minimum"):
        bench.emulator.order({"amount_fen": 999, "code": coupon["code"]})
    assert bench.state(coupon) == "SENDED"


def test_a_refund_gives_the_payer_back_his_share(bench: Bench) -> None:
    (coupon,) = bench.emulator.issue({"count": 1, "face_fen": 500, "family": "favor"})
    order = bench.emulator.order({"amount_fen": 1999, "code": coupon["code"]})
    amount = {"refund": 1000, "total": 1999, "currency": "CNY"}
    body = {"out_trade_no": order["out_trade_no"], "out_refund_no": "R1", "amount": amount}
    told = body_of(bench.post("/v3/refund/domestic/refunds", body))["amount"]
    assert (told["payer_total"], told["payer_refund"], told["discount_refund"]) == (1499, 750, 250)


@pytest.mark.parametrize(
    "changed",
    [
        {"available_end_time": "2026-08-30T00:00:00+08:00"},
        {"available_end_time": "2026-05-19T00:00:00+08:00"},
        {"stock_use_rule": {"max_coupons": 2}},
        {"no_cash": "yes"},
        {"belong_merchant": ""},
    ],
)
def test_a_wrong_cash_stock_is_refused(bench: Bench, changed: dict[str, Any]) -> None:
    answer = bench.post(f"{BASE}/coupon-stocks", stock_body(bench, **changed))
    assert refusal_of(answer) == (400, "PARAM_ERROR")


def test_cash_coupons_are_listed_by_state_and_expire(bench: Bench) -> None:
    send(bench, running(bench))
    path = f"{BASE}/users/oCash/coupons?appid={bench.told['appid']}"
    assert body_of(bench.get(f"{path}&status=SENDED"))["total_count"] == 1
    bench.advance(days=40)
    assert body_of(bench.get(f"{path}&status=EXPIRED"))["total_count"] == 1
