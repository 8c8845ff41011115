"""Profit sharing: what may be shared and when, each receiver's own end, what is left, and returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.wechatpay_emulator.bench import Bench, body_of, refusal_of

SHARING = "/v3/profitsharing"
SHOP, STAFF = "1900000109", "oStaff"


@pytest.fixture
def order(bench: Bench) -> dict[str, Any]:
    """A paid order of 100 yuan, old enough; two receivers are known."""
    known(bench, "MERCHANT_ID", SHOP, name="示例商户")
    known(bench, "PERSONAL_OPENID", STAFF)
    return ordered(bench)


def ordered(bench: Bench, **wish: Any) -> dict[str, Any]:
    made = dict(bench.emulator.order({"amount_fen": 10_000, "profit_sharing": True, **wish}))
    bench.advance(minutes=1)
    return made


def known(bench: Bench, kind: str, account: str, *, name: str | None = None) -> None:
    body = {"appid": bench.told["appid"], "type": kind, "account": account, "relation_type": "PARTNER"}
    answer = bench.post(f"{SHARING}/receivers/add", body | ({"name": bench.sealed(name)} if name else {}))
    assert body_of(answer)["account"] == account


def part(amount: int, account: str = SHOP, kind: str = "MERCHANT_ID", **more: Any) -> dict[str, Any]:
    return {"type": kind, "account": account, "amount": amount, "description": "分账", **more}


def wish(bench: Bench, order: Mapping[str, Any], *parts: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    return {
        "appid": bench.told["appid"],
        "transaction_id": order["transaction_id"],
        "out_order_no": "S1",
        "receivers": list(parts) or [part(1000)],
        "unfreeze_unsplit": True,
    } | changed


def share(bench: Bench, order: Mapping[str, Any], *parts: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    answer = bench.post(f"{SHARING}/orders", wish(bench, order, *parts, **changed))
    assert answer.status == 200, answer.content
    assert bench.verifies(answer)
    return body_of(answer)


def read(bench: Bench, order: Mapping[str, Any], number: str = "S1") -> dict[str, Any]:
    return body_of(bench.get(f"{SHARING}/orders/{number}?transaction_id={order['transaction_id']}"))


def left(bench: Bench, order: Mapping[str, Any]) -> int:
    told = body_of(bench.get(f"{SHARING}/transactions/{order['transaction_id']}/amounts"))
    return int(told["unsplit_amount"])


def back(bench: Bench, amount: int = 1000, number: str = "R1", **changed: Any) -> Any:
    body = {"out_order_no": "S1", "out_return_no": number, "return_mchid": SHOP, "amount": amount, "description": "x"}
    return bench.post(f"{SHARING}/return-orders", body | changed)


def test_a_share_is_taken_on_and_carried_out_by_the_next_look(bench: Bench, order: dict[str, Any]) -> None:
    first = share(bench, order, part(1000), part(500, STAFF, "PERSONAL_OPENID"))
    assert first["state"] == "PROCESSING"
    assert [one["result"] for one in first["receivers"]] == ["PENDING", "PENDING"]
    done = read(bench, order)
    assert done["state"] == "FINISHED"
    assert [(one["amount"], one["result"]) for one in done["receivers"]] == [
        (1000, "SUCCESS"),
        (500, "SUCCESS"),
        (8440, "SUCCESS"),
    ]
    assert done["receivers"][2]["account"] == bench.told["mchid"]


def test_finished_is_not_success(bench: Bench, order: dict[str, Any]) -> None:
    bench.emulator.deliver({"kind": "receiver", "account": SHOP, "share_fails": "RECEIVER_HIGH_RISK"})
    share(bench, order, part(1000), part(500, STAFF, "PERSONAL_OPENID"))
    shop, staff, rest = read(bench, order)["receivers"]
    assert (shop["result"], shop["fail_reason"]) == ("CLOSED", "RECEIVER_HIGH_RISK")
    assert staff["result"] == "SUCCESS"
    assert rest["amount"] == 10_000 - 60 - 500


def test_a_receiver_that_was_never_added_gets_nothing(bench: Bench, order: dict[str, Any]) -> None:
    share(bench, order, part(1000, "1900000999"))
    assert read(bench, order)["receivers"][0]["fail_reason"] == "NO_RELATION"


def test_a_merchant_is_not_made_known_without_a_name(bench: Bench) -> None:
    body = {"appid": bench.told["appid"], "type": "MERCHANT_ID", "account": SHOP, "relation_type": "PARTNER"}
    assert refusal_of(bench.post(f"{SHARING}/receivers/add", body)) == (400, "PARAM_ERROR")


def test_a_name_that_is_not_the_known_one_gets_nothing(bench: Bench, order: dict[str, Any]) -> None:
    share(bench, order, part(1000, name=bench.sealed("别的商户")))
    assert read(bench, order)["receivers"][0]["fail_reason"] == "RECEIVER_REAL_NAME_NOT_VERIFIED"


def test_the_same_number_gives_the_same_share(bench: Bench, order: dict[str, Any]) -> None:
    first = share(bench, order, part(1000, name=bench.sealed("示例商户")))
    again = share(bench, order, part(1000, name=bench.sealed("示例商户")))
    assert again["order_id"] == first["order_id"]
    assert left(bench, order) == 10_000 - 60 - 1000
    other = bench.post(f"{SHARING}/orders", wish(bench, order, part(999)))
    assert refusal_of(other) == (400, "INVALID_REQUEST")


def test_within_a_minute_of_the_payment_nothing_is_shared(bench: Bench) -> None:
    known(bench, "MERCHANT_ID", SHOP, name="示例商户")
    order = dict(bench.emulator.order({"amount_fen": 10_000, "profit_sharing": True}))
    bench.advance(seconds=59)
    assert refusal_of(bench.post(f"{SHARING}/orders", wish(bench, order))) == (400, "INVALID_REQUEST")
    bench.advance(seconds=1)
    assert share(bench, order)["state"] == "PROCESSING"


def test_after_thirty_days_the_money_is_the_merchants(bench: Bench, order: dict[str, Any]) -> None:
    assert left(bench, order) == 9_940
    bench.advance(days=30, minutes=1)
    assert left(bench, order) == 0
    assert refusal_of(bench.post(f"{SHARING}/orders", wish(bench, order))) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([part(3000)], "INVALID_REQUEST"),
        ([part(10_000)], "INVALID_REQUEST"),
        ([part(100), part(200)], "PARAM_ERROR"),
        ([part(0)], "PARAM_ERROR"),
        ([part(1, str(number)) for number in range(51)], "PARAM_ERROR"),
        ([part(100, name="not encrypted")], "PARAM_ERROR"),
    ],
    ids=["above 30 percent", "more than there is", "twice the same", "nothing", "51 receivers", "plain name"],
)
def test_what_may_not_be_shared_is_refused_whole(
    bench: Bench, order: dict[str, Any], parts: list[dict[str, Any]], code: str
) -> None:
    assert refusal_of(bench.post(f"{SHARING}/orders", wish(bench, order, *parts))) == (400, code)
    assert left(bench, order) == 9_940


def test_thirty_percent_is_of_all_shares_together(bench: Bench, order: dict[str, Any]) -> None:
    share(bench, order, part(2000), unfreeze_unsplit=False)
    more = wish(bench, order, part(983), out_order_no="S2", unfreeze_unsplit=False)
    assert refusal_of(bench.post(f"{SHARING}/orders", more)) == (400, "INVALID_REQUEST")
    assert share(bench, order, part(982), out_order_no="S2", unfreeze_unsplit=False)["state"] == "PROCESSING"


def test_an_order_that_was_not_placed_for_it_is_not_shared(bench: Bench) -> None:
    order = ordered(bench, profit_sharing=False)
    assert refusal_of(bench.post(f"{SHARING}/orders", wish(bench, order))) == (400, "INVALID_REQUEST")


def test_an_order_of_nobody_is_not_shared(bench: Bench) -> None:
    assert refusal_of(bench.post(f"{SHARING}/orders", wish(bench, {"transaction_id": "4200"}))) == (
        404,
        "RESOURCE_NOT_EXISTS",
    )


def test_a_share_that_leaves_the_rest_may_be_followed_and_released(bench: Bench, order: dict[str, Any]) -> None:
    share(bench, order, unfreeze_unsplit=False)
    assert left(bench, order) == 8_940
    body = {"transaction_id": order["transaction_id"], "out_order_no": "U1", "description": "解冻"}
    told = body_of(bench.post(f"{SHARING}/orders/unfreeze", body))
    assert (told["state"], told["receivers"][0]["amount"]) == ("FINISHED", 8_940)
    assert left(bench, order) == 0
    assert refusal_of(bench.post(f"{SHARING}/orders", wish(bench, order, out_order_no="S3"))) == (
        400,
        "INVALID_REQUEST",
    )


def test_a_part_is_returned_once_and_no_more_than_it_was(bench: Bench, order: dict[str, Any]) -> None:
    share(bench, order)
    read(bench, order)
    assert body_of(back(bench, 600))["result"] == "PROCESSING"
    told = body_of(bench.get(f"{SHARING}/return-orders/R1?out_order_no=S1"))
    assert (told["result"], told["amount"]) == ("SUCCESS", 600)
    assert body_of(back(bench, 600))["return_id"] == told["return_id"]
    assert refusal_of(back(bench, 601)) == (400, "INVALID_REQUEST")
    assert refusal_of(back(bench, 401, "R2")) == (400, "INVALID_REQUEST")
    assert body_of(back(bench, 400, "R3"))["result"] == "PROCESSING"


def test_a_return_that_failed_says_why_and_may_be_tried_under_another_number(
    bench: Bench, order: dict[str, Any]
) -> None:
    share(bench, order)
    read(bench, order)
    bench.emulator.deliver({"kind": "receiver", "account": SHOP, "return_fails": "BALANCE_NOT_ENOUGH"})
    back(bench)
    told = body_of(bench.get(f"{SHARING}/return-orders/R1?out_order_no=S1"))
    assert (told["result"], told["fail_reason"]) == ("FAILED", "BALANCE_NOT_ENOUGH")
    bench.emulator.deliver({"kind": "receiver", "account": SHOP, "return_fails": None})
    assert body_of(back(bench, number="R2"))["result"] == "PROCESSING"


def test_a_user_gives_nothing_back(bench: Bench, order: dict[str, Any]) -> None:
    share(bench, order, part(500, STAFF, "PERSONAL_OPENID"))
    read(bench, order)
    assert refusal_of(back(bench, 500, return_mchid=STAFF)) == (400, "INVALID_REQUEST")


def test_what_is_not_there_is_not_found(bench: Bench, order: dict[str, Any]) -> None:
    query = f"?transaction_id={order['transaction_id']}"
    assert refusal_of(bench.get(f"{SHARING}/orders/S9{query}")) == (404, "RESOURCE_NOT_EXISTS")
    assert refusal_of(bench.get(f"{SHARING}/return-orders/R9?out_order_no=S1")) == (404, "RESOURCE_NOT_EXISTS")
    assert refusal_of(back(bench)) == (404, "RESOURCE_NOT_EXISTS")


def test_a_receiver_that_was_deleted_gets_nothing_any_more(bench: Bench, order: dict[str, Any]) -> None:
    body = {"appid": bench.told["appid"], "type": "MERCHANT_ID", "account": SHOP}
    assert bench.post(f"{SHARING}/receivers/delete", body).status == 200
    share(bench, order)
    assert read(bench, order)["receivers"][0]["fail_reason"] == "NO_RELATION"


@pytest.mark.parametrize("act", [{}, {"account": SHOP, "share_fails": "BAD_LUCK"}])
def test_a_wrong_wish_for_a_receiver_is_the_testers_mistake(bench: Bench, act: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"account|share_fails"):
        bench.emulator.deliver({"kind": "receiver", **act})
