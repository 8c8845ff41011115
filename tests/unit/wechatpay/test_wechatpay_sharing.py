"""Profit sharing against a scripted platform: what is sent, and what each answer proves, line by line."""

import base64
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.driving import START

from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.sensitive import PlatformUser, Secret
from unicom_coupon_sdk.domain.sharing import HeldShare, HeldShareReturn, Receiver, Share, ShareLine, ShareRole
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.errors import (
    Effected,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    ValidationError,
)
from unicom_coupon_sdk.platform.wire import header

TRANSACTION = "4208450740201411110007820472"
SHARE_ID = "01JV0000000000000000000003"
RETURN_ID = "R123456789012345678901234A"
SHOP = ShareLine(1, ShareRole.PLATFORM, Receiver(merchant_account="1900000109", name=Secret("示例商户")), 1_000)
FRIEND = ShareLine(2, ShareRole.USER, Receiver(user=PlatformUser("oFriend")), 500)


def held(world, *lines, transaction=TRANSACTION):
    order = Order(order_no="o1", amount_fen=12_000, platform_order_no=transaction)
    share = Share(
        share_id=SHARE_ID,
        idempotency_key="k3",
        redemption_id=world.redemption_id,
        merchant_id="m1",
        platform="wechatpay",
        rule="standard",
        amount_fen=10_000,
        state=OperationState.HELD,
        held_at=START,
        deadline=START + timedelta(seconds=60),
        lines=lines or (SHOP, FRIEND),
    )
    return HeldShare(share=share, redemption=world.held(order=order).redemption)


def back(world, line=SHOP):
    one = held(world)
    return HeldShareReturn(RETURN_ID, one.share, line, one.redemption, START + timedelta(seconds=60))


def trade(world, *, age_s=60, state="SUCCESS"):
    paid_at = (START - timedelta(seconds=age_s)).isoformat()
    told = {"out_trade_no": "o1", "transaction_id": TRANSACTION, "trade_state": state, "amount": {"total": 10_000}}
    return world.ok(told | ({"success_time": paid_at} if state == "SUCCESS" else {}))


def entry(line, result="SUCCESS", **fields):
    kind, account = ("MERCHANT_ID", line.receiver.merchant_account) if line is SHOP else ("PERSONAL_OPENID", "oFriend")
    told = {"type": kind, "account": account, "amount": line.amount_fen, "result": result}
    return told | {"detail_id": f"D{line.number}", "finish_time": "2026-05-20T13:30:35+08:00", **fields}


def answer(world, *entries, state="FINISHED", **fields):
    told = {"transaction_id": TRANSACTION, "out_order_no": SHARE_ID, "order_id": "3008450740201411110007820472"}
    return world.ok(told | {"state": state, "receivers": list(entries), **fields})


def ask(world, *entries, **fields):
    return world.run(world.adapter.query_share(held(world)), answer(world, *entries, **fields))


def test_receivers_are_made_known_first_and_then_paid_in_one_request(world):
    flow = world.adapter.share(held(world))
    outcome = world.run(flow, trade(world), world.ok({}), world.ok({}), answer(world, state="PROCESSING"))
    asked, shop, friend, share = world.requests
    assert asked.target == f"/v3/pay/transactions/id/{TRANSACTION}?mchid=1900009191"
    assert [request.target for request in (shop, friend)] == ["/v3/profitsharing/receivers/add"] * 2
    sealed = world.body(1)["name"]
    assert world.body(1) == {
        "appid": "wx1234567889999",
        "relation_type": "SERVICE_PROVIDER",
        "type": "MERCHANT_ID",
        "account": "1900000109",
        "name": sealed,
    }
    assert share.target == "/v3/profitsharing/orders"
    assert world.body() == {
        "appid": "wx1234567889999",
        "transaction_id": TRANSACTION,
        "out_order_no": SHARE_ID,
        "receivers": [
            {
                "type": "MERCHANT_ID",
                "account": "1900000109",
                "name": sealed,
                "amount": 1_000,
                "description": "standard",
            },
            {"type": "PERSONAL_OPENID", "account": "oFriend", "amount": 500, "description": "standard"},
        ],
        "unfreeze_unsplit": True,
    }
    assert outcome.effected is Effected.PENDING
    assert {number: line.effected for number, line in outcome.lines.items()} == dict.fromkeys((1, 2), Effected.PENDING)


def test_names_go_out_encrypted_under_one_named_key(world):
    told = answer(world, entry(SHOP))
    world.run(world.adapter.share(held(world, SHOP)), trade(world), world.ok({}), told)
    for position, part in ((1, world.body(1)), (2, world.body(2)["receivers"][0])):
        opened = world.platform_key.decrypt_oaep_sha1(base64.b64decode(part["name"]))
        assert opened.decode() == "示例商户"
        assert header(world.requests[position].headers, "Wechatpay-Serial") == world.public_key_id


def test_without_the_platforms_number_the_order_is_found_by_ours(world):
    one = held(world, SHOP, transaction=None)
    told = answer(world, entry(SHOP))
    world.run(world.adapter.share(one), trade(world), world.ok({}), told)
    assert world.requests[0].target == "/v3/pay/transactions/out-trade-no/o1?mchid=1900009191"
    assert world.body()["transaction_id"] == TRANSACTION


def test_within_a_minute_of_the_payment_it_is_too_early_and_says_when(world):
    with pytest.raises(PlatformUnavailable) as raised:
        world.run(world.adapter.share(held(world)), trade(world, age_s=59))
    assert raised.value.code == "wechatpay.share_too_early"
    assert raised.value.retry_after_s == 1
    assert len(world.requests) == 1


def test_an_unpaid_order_is_not_shared(world):
    with pytest.raises(PlatformRefused, match=r"wechatpay\.share_unpaid"):
        world.run(world.adapter.share(held(world)), trade(world, state="NOTPAY"))


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([replace(SHOP, number=n, receiver=Receiver(merchant_account=str(n))) for n in range(51)], "share_receivers"),
        ([SHOP, replace(SHOP, number=2)], "share_receiver_twice"),
        ([replace(SHOP, receiver=Receiver(merchant_account="1900000109"))], "share_receiver_name"),
    ],
)
def test_what_one_request_cannot_say_is_refused_before_any(world, lines, code):
    with pytest.raises(ValidationError) as raised:
        world.run(world.adapter.share(held(world, *lines)))
    assert raised.value.code == f"wechatpay.{code}"
    assert world.requests == []


def test_an_answer_that_is_lost_while_receivers_are_added_moves_no_money(world):
    with pytest.raises(PlatformUnavailable):
        world.run(world.adapter.share(held(world)), trade(world), *[world.lost] * 8)


def test_a_lost_answer_to_the_share_is_unknown(world):
    with pytest.raises(PlatformUnknown):
        world.run(world.adapter.share(held(world)), trade(world), world.ok({}), world.ok({}), *[world.lost] * 8)


def test_a_refusal_of_the_share_is_definite(world):
    refusal = world.error(400, "INVALID_REQUEST")
    with pytest.raises(PlatformRefused):
        world.run(world.adapter.share(held(world)), trade(world), world.ok({}), world.ok({}), refusal)


def test_finished_is_read_receiver_by_receiver(world):
    outcome = ask(world, entry(SHOP), entry(FRIEND, "CLOSED", fail_reason="RECEIVER_REAL_NAME_NOT_VERIFIED"))
    assert outcome.effected is Effected.DONE
    assert outcome.platform_no == "3008450740201411110007820472"
    shop, friend = outcome.lines[1], outcome.lines[2]
    assert (shop.effected, shop.platform_no, shop.platform_code) == (Effected.DONE, "D1", None)
    assert (friend.effected, friend.platform_code) == (Effected.NOT_DONE, "RECEIVER_REAL_NAME_NOT_VERIFIED")
    assert outcome.at == START + timedelta(seconds=60)


@pytest.mark.parametrize("result", ["PENDING", "SOMETHING_NEW", None])
def test_finished_with_an_open_line_is_not_the_end(world, result):
    outcome = ask(world, entry(SHOP), entry(FRIEND, result))
    assert outcome.effected is Effected.PENDING
    assert outcome.lines[2].effected is Effected.PENDING


def test_the_merchants_released_rest_is_no_line(world):
    rest = {"type": "MERCHANT_ID", "account": "1900009191", "amount": 8_440, "result": "SUCCESS", "detail_id": "D3"}
    assert set(ask(world, entry(SHOP), entry(FRIEND), rest).lines) == {1, 2}


@pytest.mark.parametrize("wrong", [[entry(SHOP)], [entry(SHOP), entry(FRIEND, amount=501)]], ids=["missing", "amount"])
def test_a_finished_share_with_other_parts_is_not_this_one(world, wrong):
    outcome = ask(world, *wrong)
    assert outcome.effected is Effected.UNKNOWN
    assert outcome.error_code == "wechatpay.share_differs"


def test_an_answer_about_another_share_is_none_to_this(world):
    with pytest.raises(PlatformUnavailable, match=r"wechatpay\.answer_malformed"):
        ask(world, entry(SHOP), entry(FRIEND), out_order_no="other")


@pytest.mark.parametrize("code", ["RESOURCE_NOT_EXISTS", "ORDER_NOT_EXIST"])
def test_a_share_that_the_platform_does_not_know_never_arrived(world, code):
    outcome = world.run(world.adapter.query_share(held(world)), world.error(404, code))
    assert outcome.effected is Effected.NOT_DONE
    assert outcome.error_code == "wechatpay.share_unknown"


def returned(world, result="SUCCESS", **fields):
    told = {"out_order_no": SHARE_ID, "out_return_no": RETURN_ID, "return_id": "3009", "result": result}
    return world.ok(told | {"finish_time": "2026-05-20T13:30:35+08:00", **fields})


def test_a_part_is_fetched_back_from_its_merchant_under_one_number(world):
    outcome = world.run(world.adapter.return_share(back(world)), returned(world, "PROCESSING"))
    assert world.body() == {
        "out_order_no": SHARE_ID,
        "out_return_no": RETURN_ID,
        "return_mchid": "1900000109",
        "amount": 1_000,
        "description": "standard",
    }
    assert (outcome.effected, outcome.platform_no) == (Effected.PENDING, "3009")


@pytest.mark.parametrize(
    ("result", "effected"),
    [("SUCCESS", Effected.DONE), ("PROCESSING", Effected.PENDING), ("SOMETHING_NEW", Effected.UNKNOWN)],
)
def test_a_return_is_what_the_platform_says(world, result, effected):
    flow = world.adapter.query_share_return(back(world))
    assert world.run(flow, returned(world, result)).effected is effected


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("BALANCE_NOT_ENOUGH", "wechatpay.return_balance"),
        ("ACCOUNT_ABNORMAL", "wechatpay.return_account"),
        ("TIME_OUT_CLOSED", "wechatpay.return_closed"),
        ("INVALID_REQUEST", "wechatpay.return_failed"),
    ],
)
def test_a_return_that_failed_for_good_has_the_platforms_number_and_reason(world, reason, code):
    outcome = world.run(world.adapter.query_share_return(back(world)), returned(world, "FAILED", fail_reason=reason))
    assert (outcome.effected, outcome.platform_no) == (Effected.NOT_DONE, "3009")
    assert (outcome.error.code, outcome.error.platform_code) == (code, reason)


def test_a_return_that_the_platform_does_not_know_has_no_number(world):
    outcome = world.run(world.adapter.query_share_return(back(world)), world.error(404, "RESOURCE_NOT_EXISTS"))
    assert (outcome.effected, outcome.platform_no) == (Effected.NOT_DONE, None)


def test_users_keep_what_they_got_and_nobody_is_asked(world):
    for verb in (world.adapter.query_share_return, world.adapter.return_share):
        outcome = world.run(verb(back(world, FRIEND)))
        assert (outcome.effected, outcome.error.code) == (Effected.NOT_DONE, "wechatpay.return_personal")
    assert world.requests == []


def test_an_order_that_is_not_to_be_shared_is_released(world):
    flow = world.adapter.sharing.unfreeze(TRANSACTION, number="U1", description="解冻")
    assert world.run(flow, world.ok({"order_id": "3008", "state": "PROCESSING"})) == "3008"
    assert world.body() == {"transaction_id": TRANSACTION, "out_order_no": "U1", "description": "解冻"}


def test_what_is_left_of_an_order_is_asked(world):
    flow = world.adapter.sharing.unsplit_fen(TRANSACTION)
    assert world.run(flow, world.ok({"transaction_id": TRANSACTION, "unsplit_amount": 9_940})) == 9_940
