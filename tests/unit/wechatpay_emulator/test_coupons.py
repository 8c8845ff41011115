"""商家券: use, return, deactivate, associate, and the state machine (sheet §2.1, B7 to B11)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from .bench import BASE, Bench, body_of, header, refusal_of


def test_a_used_coupon_is_told_with_its_holder_and_time(bench: Bench) -> None:
    coupon = bench.issue(holder="oHolder")
    answer = bench.use(coupon)
    assert body_of(answer) == {
        "stock_id": coupon["stock_id"],
        "openid": "oHolder",
        "wechatpay_use_time": "2026-05-20T12:00:00+08:00",
    }
    assert bench.state(coupon) == "USED"


def test_a_platform_code_needs_no_stock(bench: Bench) -> None:
    assert bench.use(bench.issue(), stock_id=None).status == 200


def test_the_same_number_and_parameters_give_the_first_answer_again(bench: Bench) -> None:
    coupon = bench.issue()
    body = bench.use_body(coupon)
    first = bench.post(f"{BASE}/coupons/use", body)
    bench.advance(minutes=1)
    again = bench.post(f"{BASE}/coupons/use", dict(reversed(body.items())) | {"openid": None})
    assert (again.status, again.content) == (200, first.content)
    assert len(bench.emulator.view(coupon["code"])["history"]) == 2  # type: ignore[index]


def test_the_same_number_with_other_parameters_is_refused(bench: Bench) -> None:
    coupon = bench.issue()
    assert bench.use(coupon, use_request_no="N1").status == 200
    assert refusal_of(bench.use(bench.issue(), use_request_no="N1")) == (400, "INVALID_REQUEST")
    assert refusal_of(bench.use(coupon, use_request_no="N1", use_time="2026-05-20T12:00:01+08:00"))[0] == 400


def test_the_first_answer_is_given_even_after_the_return(bench: Bench) -> None:
    coupon = bench.issue()
    body = bench.use_body(coupon)
    first = bench.post(f"{BASE}/coupons/use", body)
    bench.give_back(coupon)
    assert bench.post(f"{BASE}/coupons/use", body).content == first.content
    assert bench.state(coupon) == "SENDED"


def test_a_refused_number_can_be_used_again(bench: Bench) -> None:
    coupon = bench.issue(holder="oHolder")
    assert bench.use(coupon, use_request_no="N1", openid="oOther").status == 400
    assert bench.use(coupon, use_request_no="N1").status == 200


def test_a_used_coupon_cannot_be_used_with_another_number(bench: Bench) -> None:
    coupon = bench.issue()
    bench.use(coupon)
    assert refusal_of(bench.use(coupon)) == (400, "INVALID_REQUEST")


def test_a_return_brings_the_coupon_back_to_sended(bench: Bench) -> None:
    coupon = bench.issue()
    bench.use(coupon)
    assert body_of(bench.give_back(coupon, "R1")) == {"wechatpay_return_time": "2026-05-20T12:00:00+08:00"}
    told = detail(bench, coupon)
    assert (told["coupon_state"], told["return_request_no"], "use_request_no" in told) == ("SENDED", "R1", False)
    assert bench.use(coupon).status == 200


def test_a_return_is_idempotent_by_its_number(bench: Bench) -> None:
    coupon = bench.issue()
    bench.use(coupon)
    first = bench.give_back(coupon, "R1")
    bench.use(coupon)
    assert bench.give_back(coupon, "R1").content == first.content
    assert bench.state(coupon) == "USED"


def test_an_unused_coupon_cannot_be_returned(bench: Bench) -> None:
    assert refusal_of(bench.give_back(bench.issue())) == (400, "INVALID_REQUEST")


def test_a_deactivated_coupon_is_dead(bench: Bench) -> None:
    coupon = bench.issue()
    assert "wechatpay_deactivate_time" in body_of(bench.deactivate(coupon, deactivate_reason="设置错误"))
    assert detail(bench, coupon)["deactivate_reason"] == "设置错误"
    assert bench.state(coupon) == "DEACTIVATED"
    assert {bench.use(coupon).status, bench.give_back(coupon).status, bench.deactivate(coupon).status} == {400}


def test_a_used_coupon_cannot_be_deactivated(bench: Bench) -> None:
    coupon = bench.issue()
    bench.use(coupon)
    assert refusal_of(bench.deactivate(coupon)) == (400, "INVALID_REQUEST")


def test_an_expired_coupon_reads_so_before_any_tick(bench: Bench) -> None:
    coupon = bench.issue(valid_days=1)
    bench.frame.time += _days(1, seconds=1)
    assert refusal_of(bench.use(coupon)) == (400, "INVALID_REQUEST")
    assert detail(bench, coupon)["coupon_state"] == "EXPIRED"


def test_a_tick_writes_expiries_down(bench: Bench) -> None:
    soon, later, used = bench.issue(valid_days=1), bench.issue(valid_days=3), bench.issue(valid_days=1)
    bench.use(used)
    bench.advance(days=1, seconds=1)
    told = bench.frame.store.kinds["coupon"]
    states = [told[f"busifavor|{one['stock_id']}|{one['code']}"]["state"] for one in (soon, later, used)]
    assert states == ["EXPIRED", "SENDED", "USED"]
    assert bench.emulator.view(soon["code"])["history"][-1]["event"] == "expire"  # type: ignore[index]


def test_a_coupon_expires_at_its_last_second_and_not_before(bench: Bench) -> None:
    coupon = bench.issue(valid_days=1)
    bench.advance(days=1)
    assert bench.state(coupon) == "SENDED"
    bench.advance(seconds=1)
    assert bench.state(coupon) == "EXPIRED"


def test_a_return_after_the_end_leaves_the_coupon_expired(bench: Bench) -> None:
    coupon = bench.issue(valid_days=1)
    bench.use(coupon)
    bench.advance(days=2)
    assert bench.give_back(coupon).status == 200
    assert bench.state(coupon) == "EXPIRED"


def test_a_coupon_that_its_user_deleted_is_not_there(bench: Bench) -> None:
    coupon = bench.issue()
    bench.emulator.deliver({"kind": "delete", "code": coupon["code"]})
    assert bench.state(coupon) == "DELETED"
    assert refusal_of(bench.use(coupon)) == (404, "RESOURCE_NOT_EXISTS")
    assert refusal_of(bench.get(detail_path(bench, coupon))) == (404, "RESOURCE_NOT_EXISTS")


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({"coupon_code": "9999999999999999999999"}, (404, "RESOURCE_NOT_EXISTS")),
        ({"stock_id": "1"}, (404, "RESOURCE_NOT_EXISTS")),
        ({"appid": "wx0000000000000000"}, (400, "APPID_MCHID_NOT_MATCH")),
        ({"openid": "oSomebodyElse"}, (400, "INVALID_REQUEST")),
        ({"transaction_id": "4200000000000000000000000000"}, (400, "INVALID_REQUEST")),
        ({"out_trade_no": "SB000000"}, (400, "INVALID_REQUEST")),
    ],
)
def test_a_use_that_does_not_fit_is_refused_and_does_nothing(
    bench: Bench, changed: dict[str, Any], refused: tuple[int, str]
) -> None:
    coupon = bench.issue()
    assert refusal_of(bench.use(coupon, **changed)) == refused
    assert bench.state(coupon) == "SENDED"


def test_another_merchants_coupon_is_out_of_reach(bench: Bench) -> None:
    coupon = bench.issue(owner_mchid="1900000109")
    assert refusal_of(bench.use(coupon)) == (403, "NOAUTH")
    assert refusal_of(bench.get(detail_path(bench, coupon))) == (403, "NOAUTH")
    assert refusal_of(bench.get(f"{BASE}/stocks/{coupon['stock_id']}")) == (403, "NOAUTH")


def test_a_use_can_name_a_paid_order(bench: Bench) -> None:
    coupon = bench.issue()
    order = bench.emulator.order({"amount_fen": 1000, "code": coupon["code"]})
    assert bench.use(coupon, transaction_id=order["transaction_id"], out_trade_no=order["out_trade_no"]).status == 200


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"use_request_no": None}, "/use_request_no"),
        ({"use_request_no": "x" * 129}, "/use_request_no"),
        ({"coupon_code": "x" * 33}, "/coupon_code"),
        ({"coupon_code": 5}, "/coupon_code"),
        ({"use_time": "2026-05-20 12:00:00"}, "/use_time"),
        ({"use_time": "2026-02-30T12:00:00+08:00"}, "/use_time"),
        ({"openid": "o\U0001f600"}, "/openid"),
        ({"use_requestno": "x"}, "/use_requestno"),
    ],
)
def test_a_wrong_field_is_named_by_its_pointer(bench: Bench, changed: dict[str, Any], field: str) -> None:
    answer = bench.use(bench.issue(), **changed)
    assert refusal_of(answer) == (400, "PARAM_ERROR")
    assert (body_of(answer)["detail"]["field"], body_of(answer)["detail"]["location"]) == (field, "body")


def test_an_extra_key_has_its_own_tail(bench: Bench) -> None:
    answer = bench.use(bench.issue(), device_id="x")
    assert header(answer, "Request-ID").endswith("-270924358")


def test_a_time_with_milliseconds_is_accepted(bench: Bench) -> None:
    assert bench.use(bench.issue(), use_time="2015-05-20T13:29:35.120+08:00").status == 200


def test_a_coupon_is_linked_to_one_order_and_let_go_again(bench: Bench) -> None:
    coupon = bench.issue()
    link = {"stock_id": coupon["stock_id"], "coupon_code": coupon["code"], "out_trade_no": "MCH_1"}

    def call(verb: str, number: str, **changed: str) -> int:
        return bench.post(f"{BASE}/coupons/{verb}", {**link, "out_request_no": number, **changed}).status

    assert call("disassociate", "A0") == 400
    assert call("associate", "A1") == 200
    assert detail(bench, coupon)["associate_out_trade_no"] == "MCH_1"
    assert call("associate", "A2", out_trade_no="MCH_2") == 400
    assert call("disassociate", "A3", out_trade_no="MCH_2") == 400
    assert call("disassociate", "A4") == 200
    assert "associate_out_trade_no" not in detail(bench, coupon)
    bench.use(coupon)
    assert call("associate", "A5") == 400


def test_a_coupon_cannot_be_used_before_its_first_day_or_outside_its_hours(bench: Bench) -> None:
    times = {
        "available_begin_time": "2026-05-01T00:00:00+08:00",
        "available_end_time": "2026-12-31T23:59:59+08:00",
        "wait_days_after_receive": 1,
        "available_day_after_receive": 2,
        "available_week": {"week_day": [4, 5], "available_day_time": [{"begin_time": 3600, "end_time": 7200}]},
    }
    rule = bench.stock_body()["coupon_use_rule"] | {"coupon_available_time": times}
    sent = body_of(bench.send_coupon(bench.stock(coupon_use_rule=rule)))
    coupon = {"code": sent["coupon_code"], "stock_id": sent["stock_id"], "openid": "oUser1"}
    told = detail(bench, coupon)
    assert (told["available_start_time"], told["expire_time"]) == (
        "2026-05-21T00:00:00+08:00",
        "2026-05-22T23:59:59+08:00",
    )
    assert bench.use(coupon).status == 400
    bench.advance(hours=12)
    assert bench.use(coupon).status == 400
    bench.advance(hours=1)
    assert bench.use(coupon).status == 200


def detail_path(bench: Bench, coupon: Mapping[str, Any]) -> str:
    return f"{BASE}/users/{coupon['openid']}/coupons/{coupon['code']}/appids/{bench.told['appid']}"


def detail(bench: Bench, coupon: Mapping[str, Any]) -> dict[str, Any]:
    answer = bench.get(detail_path(bench, coupon))
    assert answer.status == 200, answer.content
    return body_of(answer)


def _days(days: int, *, seconds: int = 0) -> Any:
    from datetime import timedelta

    return timedelta(days=days, seconds=seconds)
