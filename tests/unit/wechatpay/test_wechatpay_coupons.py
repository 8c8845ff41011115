"""商家券 and 商品券: what each verb sends, and what each answer means."""

import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.driving import START

from unicom_coupon_adapters.wechatpay.signing import sign_v2
from unicom_coupon_sdk.domain.code import CouponCode
from unicom_coupon_sdk.domain.coupon import AmountOff, Cash, Exchange, PercentOff, PhoneCredit
from unicom_coupon_sdk.domain.order import Holder, Order
from unicom_coupon_sdk.domain.redemption import Listing
from unicom_coupon_sdk.domain.sensitive import PhoneNumber, PlatformUser
from unicom_coupon_sdk.errors import (
    ComplianceError,
    Effected,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    ValidationError,
)
from unicom_coupon_sdk.platform.adapter import BindOrder, IssueOrder

PRODUCT = {
    "coupon_family": "product_coupon",
    "brand_id": "120344",
    "product_coupon_id": "200000001",
    "product_stock_id": "123456789",
}
PRODUCT_LISTING = Listing(
    "summer", "wechatpay", {"brand_id": "120344", "product_coupon_id": "200000001", "stock_id": "123456789"}
)


def codes(count):
    return tuple(CouponCode(f"UC9ABCDEFGH{position:04d}") for position in range(count))


def issue_order(world, *, count=2, listing=None, **template):
    return IssueOrder(template=world.template(**template), codes=codes(count), batch_id="B1", listing=listing)


def bind_order(world, *, user="oXsd3434454567676", listing=None):
    holder = Holder(user=PlatformUser(user)) if user else Holder(phone=PhoneNumber("13800138000"))
    return BindOrder(
        coupon_id="c1",
        code=CouponCode(world.code),
        template=world.template(),
        listing=listing or world.listing(),
        holder=holder,
        binding_no="01JV00000000000000000000BB",
    )


# --- issue ---


def test_a_stock_says_what_the_template_says(world):
    listing = world.run(world.adapter.issue(issue_order(world)), world.ok({"stock_id": "98065001", "create_time": "x"}))
    body = world.body()
    assert listing == Listing("summer", "wechatpay", {"stock_id": "98065001"})
    assert body["out_request_no"] == "1900009191_summer"
    assert body["coupon_use_rule"] == {
        "coupon_available_time": {
            "available_begin_time": "2026-05-19T13:29:35+08:00",
            "available_end_time": "2026-06-19T13:29:34+08:00",
        },
        "fixed_normal_coupon": {"discount_amount": 2000, "transaction_minimum": 10000},
        "use_method": "OFF_LINE",
    }
    assert body["coupon_code_mode"] == "MERCHANT_API"
    assert body["stock_send_rule"]["max_coupons"] == 1_000_000


@pytest.mark.parametrize(
    ("benefit", "kind", "rule"),
    [
        (
            PercentOff(basis_points=1200, max_off_fen=5000),
            "DISCOUNT",
            {"discount_coupon": {"discount_percent": 88, "transaction_minimum": 1}},
        ),
        (
            Exchange(item="咖啡", worth_fen=3000, price_fen=990),
            "EXCHANGE",
            {"exchange_coupon": {"exchange_price": 990, "transaction_minimum": 1}},
        ),
        (
            PhoneCredit(credit_fen=5000),
            "NORMAL",
            {"fixed_normal_coupon": {"discount_amount": 5000, "transaction_minimum": 1}},
        ),
    ],
    ids=["percent", "exchange", "phone credit"],
)
def test_each_kind_of_benefit_has_its_rule(world, benefit, kind, rule):
    world.run(world.adapter.issue(issue_order(world, benefit=benefit)), world.ok({"stock_id": "1"}))
    assert world.body()["stock_type"] == kind
    assert rule.items() <= world.body()["coupon_use_rule"].items()


@pytest.mark.parametrize(
    "benefit",
    [PercentOff(basis_points=1234), AmountOff(off_fen=10_000_001), Cash(cash_fen=100)],
    ids=["part of a hundredth", "above 100 000 yuan", "cash"],
)
def test_a_benefit_that_a_stock_cannot_say_is_refused_before_sending(world, benefit):
    with pytest.raises(ValidationError) as raised:
        world.run(world.adapter.issue(issue_order(world, benefit=benefit)))
    assert raised.value.code == "wechatpay.benefit"


def test_a_validity_above_a_year_is_refused_before_sending(world):
    with pytest.raises(ValidationError):
        world.run(world.adapter.issue(issue_order(world, valid_until=START + timedelta(days=400))))


def test_a_character_of_four_bytes_is_refused_before_sending(world):
    with pytest.raises(ValidationError) as raised:
        world.run(world.adapter.issue(issue_order(world, name="满减券🎉")))
    assert raised.value.code == "wechatpay.charset"


def test_codes_are_uploaded_by_two_hundred_with_numbers_of_the_batch(world):
    world.build(code_mode="merchant_upload")
    uploaded = world.ok({"stock_id": "100088", "total_count": 200, "success_count": 200})
    world.run(world.adapter.issue(issue_order(world, count=401, listing=world.listing())), *[uploaded] * 3)
    assert [world.body(n)["upload_request_no"] for n in range(3)] == ["B1_0", "B1_1", "B1_2"]
    assert [len(world.body(n)["coupon_code_list"]) for n in range(3)] == [200, 200, 1]


def test_codes_that_the_platform_does_not_take_stop_the_issue(world):
    world.build(code_mode="merchant_upload")
    refused = world.ok({"total_count": 2, "success_count": 1, "fail_count": 1})
    with pytest.raises(PlatformRefused) as raised:
        world.run(world.adapter.issue(issue_order(world, listing=world.listing())), refused)
    assert raised.value.code == "wechatpay.codes_refused"


def test_the_callback_address_is_set_when_a_stock_is_made(world):
    world.build(notify_url="https://shop.example/wechatpay")
    world.run(world.adapter.issue(issue_order(world)), world.ok({"notify_url": "x"}), world.ok({"stock_id": "1"}))
    assert world.body(0)["notify_url"] == "https://shop.example/wechatpay"


# --- bind ---


@pytest.mark.parametrize("wrapped", [True, False], ids=["wrapped", "flat"])
def test_sending_by_api_puts_the_coupon_into_the_card_pack(world, wrapped):
    given = {"stock_id": "100088", "out_request_no": "x", "coupon_code": world.code}
    answer = world.ok({"send_coupon_result": given} if wrapped else given)
    binding = world.run(world.adapter.bind(bind_order(world)), answer)
    assert not binding.pending
    assert binding.user == PlatformUser(world.openid)
    assert world.body()["out_request_no"] == "01JV00000000000000000000BB"
    assert world.openid not in binding.refs.values()


def test_another_code_than_ours_is_not_taken_for_ours(world):
    with pytest.raises(PlatformUnknown) as raised:
        world.run(world.adapter.bind(bind_order(world)), world.ok({"coupon_code": "OTHER-CODE-1"}))
    assert raised.value.code == "wechatpay.other_code"


def test_an_openid_is_needed_to_send(world):
    with pytest.raises(ValidationError) as raised:
        world.run(world.adapter.bind(bind_order(world, user=None)))
    assert raised.value.code == "wechatpay.openid_required"


def test_the_h5_link_is_signed_over_all_it_carries(world):
    world.build(delivery="h5")
    binding = world.run(world.adapter.bind(bind_order(world)))
    parts = urlsplit(binding.refs["url"])
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    sign = query.pop("sign")
    assert sign == sign_v2(query, key=world.keys["apiv2_key"])
    assert set(query) == {"stock_id", "out_request_no", "send_coupon_merchant", "open_id", "coupon_code"}
    assert parts.fragment == "wechat_redirect"
    assert binding.pending
    assert "url" not in world.adapter.compliance.kept(binding.refs)


def test_the_plugin_gets_what_was_signed_and_needs_no_openid(world):
    world.build(delivery="mini_program")
    binding = world.run(world.adapter.bind(bind_order(world, user=None)))
    [coupon] = json.loads(binding.refs["send_coupon_params"])
    signed = {f"{name}0": value for name, value in coupon.items()} | {"send_coupon_merchant": "1900009191"}
    assert binding.refs["sign"] == sign_v2(signed, key=world.keys["apiv2_key"])
    assert binding.pending
    kept = world.adapter.compliance.kept(binding.refs)
    assert not {"sign", "send_coupon_params"} & set(kept)


# --- redeem and query ---


def test_a_redemption_is_done_at_the_platforms_time(world):
    outcome = world.run(world.adapter.redeem(world.held()), world.ok(world.used))
    assert outcome.effected is Effected.DONE
    assert outcome.at == START + timedelta(seconds=1)
    assert outcome.platform_no == world.redemption_id


def test_a_redemption_without_a_known_user_goes_without_openid(world):
    world.run(world.adapter.redeem(world.held(user=None)), world.ok(world.used))
    assert "openid" not in world.body()


def test_an_answer_without_its_time_is_unknown(world):
    with pytest.raises(PlatformUnknown):
        world.run(world.adapter.redeem(world.held()), world.ok({"stock_id": "100088"}))


OURS = "01JV0000000000000000000001"
QUERIES = {
    "used by us": ({"coupon_state": "USED", "use_request_no": OURS}, Effected.DONE, None),
    "used by us after an earlier return": (
        {"coupon_state": "USED", "use_request_no": OURS, "return_request_no": "earlier"},
        Effected.DONE,
        None,
    ),
    "used by us, then deleted by the user": (
        {"coupon_state": "DELETED", "use_request_no": OURS},
        Effected.DONE,
        None,
    ),
    "used by another request": (
        {"coupon_state": "USED", "use_request_no": "other"},
        Effected.NOT_DONE,
        "wechatpay.used_elsewhere",
    ),
    "used, by nobody knows whom": ({"coupon_state": "USED"}, Effected.UNKNOWN, "wechatpay.undecided"),
    "not used": ({"coupon_state": "SENDED"}, Effected.NOT_DONE, "wechatpay.not_used"),
    "used by us and returned": (
        {"coupon_state": "SENDED", "use_request_no": OURS, "return_request_no": "r"},
        Effected.NOT_DONE,
        "wechatpay.not_used",
    ),
    "expired": ({"coupon_state": "EXPIRED"}, Effected.NOT_DONE, "wechatpay.not_used"),
    "deactivated": ({"coupon_state": "DEACTIVATED"}, Effected.NOT_DONE, "wechatpay.not_used"),
    "deleted": ({"coupon_state": "DELETED"}, Effected.NOT_DONE, "wechatpay.not_used"),
    "deleted after it was returned": (
        {"coupon_state": "DELETED", "use_request_no": OURS, "return_request_no": "r"},
        Effected.NOT_DONE,
        "wechatpay.not_used",
    ),
    "under way": ({"coupon_state": "REDEEM_CONFIRMING"}, Effected.UNKNOWN, "wechatpay.undecided"),
    "a state of the future": ({"coupon_state": "FROZEN"}, Effected.UNKNOWN, "wechatpay.undecided"),
}


@pytest.mark.parametrize(("fields", "effected", "code"), QUERIES.values(), ids=QUERIES)
def test_a_query_believes_our_number_and_not_the_state_alone(world, fields, effected, code):
    outcome = world.run(world.adapter.query(world.held()), world.ok(world.coupon(**{"state": ""} | fields)))
    assert outcome.effected is effected
    assert (outcome.error.code if outcome.error else None) == code


def test_a_query_reads_the_coupon_of_the_holder(world):
    world.run(world.adapter.query(world.held()), world.ok(world.coupon()))
    assert world.requests[0].target == (
        "/v3/marketing/busifavor/users/oXsd3434454567676/coupons/UC9ABCDEFGHJK/appids/wx1234567889999"
    )


def test_a_coupon_that_is_gone_from_the_card_pack_was_not_used(world):
    outcome = world.run(world.adapter.query(world.held()), world.error(404, "RESOURCE_NOT_EXISTS"))
    assert (outcome.effected, outcome.error.code) == (Effected.NOT_DONE, "wechatpay.coupon_gone")


def test_a_returned_coupon_that_is_gone_leaves_the_return_unknown(world):
    outcome = world.run(world.adapter.query_reversal(world.held_reversal()), world.error(404, "RESOURCE_NOT_EXISTS"))
    assert outcome.effected is Effected.UNKNOWN


def test_without_an_openid_nothing_can_be_asked(world):
    outcome = world.run(world.adapter.query(world.held(user=None)))
    assert outcome.effected is Effected.UNKNOWN
    assert world.requests == []


def test_a_query_that_is_refused_is_an_error_and_not_a_verdict(world):
    with pytest.raises(PlatformRefused):
        world.run(world.adapter.query(world.held()), world.error(403, "NOAUTH"))


# --- reverse ---


def test_a_return_carries_the_reversals_number(world):
    done = world.ok({"wechatpay_return_time": "2026-05-20T13:29:40+08:00"})
    outcome = world.run(world.adapter.reverse(world.held_reversal()), done)
    assert outcome.effected is Effected.DONE
    assert world.body() == {
        "coupon_code": world.code,
        "stock_id": "100088",
        "return_request_no": world.reversal_id,
    }


def test_after_the_last_day_nothing_is_returned_on_the_platform(world):
    held = world.held_reversal(valid_from=START - timedelta(days=9), valid_until=START)
    for flow in (world.adapter.reverse(held), world.adapter.query_reversal(held)):
        assert world.run(flow).effected is Effected.DONE
    assert world.requests == []


RETURNS = {
    "by us": ({"coupon_state": "SENDED", "return_request_no": "01JV0000000000000000000002"}, Effected.DONE),
    "by us, since expired": (
        {"coupon_state": "EXPIRED", "return_request_no": "01JV0000000000000000000002"},
        Effected.DONE,
    ),
    "not": ({"coupon_state": "USED", "use_request_no": OURS}, Effected.NOT_DONE),
    "by another": ({"coupon_state": "SENDED", "return_request_no": "other"}, Effected.NOT_DONE),
    "nobody knows": ({"coupon_state": "SENDED"}, Effected.UNKNOWN),
}


@pytest.mark.parametrize(("fields", "effected"), RETURNS.values(), ids=RETURNS)
def test_a_return_is_known_by_its_number(world, fields, effected):
    answer = world.ok(world.coupon(**{"state": ""} | fields))
    assert world.run(world.adapter.query_reversal(world.held_reversal()), answer).effected is effected


def test_voiding_deactivates_by_its_number(world):
    flow = world.adapter.void(
        world.binding(), code=CouponCode(world.code), listing=world.listing(), void_no="V1", reason="错发"
    )
    outcome = world.run(flow, world.ok({"wechatpay_deactivate_time": "2026-05-20T13:29:40+08:00"}))
    assert outcome.effected is Effected.DONE
    assert world.body()["deactivate_request_no"] == "V1"


# --- the other calls of the family ---


@pytest.mark.parametrize("verb", ["associate", "disassociate"])
def test_an_order_is_tied_to_a_coupon_and_loosened(world, verb):
    flow = getattr(world.adapter.busifavor, verb)(
        CouponCode(world.code), stock_id="100088", order_no="o1", request_no="a1"
    )
    at = world.run(flow, world.ok({f"wechatpay_{verb}_time": "2026-05-20T13:29:40+08:00"}))
    assert at == START + timedelta(seconds=5)
    assert world.requests[0].target.endswith(f"/coupons/{verb}")


def test_a_users_coupons_come_by_page(world):
    page = world.run(
        world.adapter.busifavor.user_coupons(PlatformUser(world.openid), state="SENDED", page=1),
        world.ok({"total_count": 21, "offset": 1, "limit": 20, "data": [world.coupon()]}),
    )
    assert page.total == 21
    assert page.coupons[0].code == CouponCode(world.code)
    assert "coupon_state=SENDED&belong_merchant=1900009191&offset=1&limit=20" in world.requests[0].url


def test_no_callback_address_is_an_answer(world):
    assert world.run(world.adapter.busifavor.callback_address(), world.error(404, "RESOURCE_NOT_EXISTS")) is None


# --- 商品券 ---


def product_coupon(state, **detail):
    return {"coupon_code": "UC9ABCDEFGHJK", "coupon_state": state, "single_usage_detail": detail}


def product_held(world, **order):
    paid = Order(order_no="o1", amount_fen=12000, **{"platform_order_no": "4200001234202605201234567890"} | order)
    return world.held(order=paid, listing=PRODUCT_LISTING)


def test_a_product_coupon_is_sent_and_confirmed(world):
    world.build(**PRODUCT)
    binding = world.run(
        world.adapter.bind(bind_order(world, listing=PRODUCT_LISTING)),
        world.ok(product_coupon("CONFIRMING")),
        world.ok(product_coupon("EFFECTIVE")),
    )
    assert not binding.pending
    assert [request.target.rpartition("/")[2] for request in world.requests] == ["coupons", "confirm"]
    assert world.body(0)["send_request_no"] == "01JV00000000000000000000BB"
    assert world.body(1)["out_request_no"] == "01JV00000000000000000000BBC"


def test_a_product_coupon_needs_an_order_before_anything_is_sent(world):
    world.build(**PRODUCT)
    with pytest.raises(ComplianceError) as raised:
        world.run(world.adapter.redeem(product_held(world, platform_order_no=None)))
    assert raised.value.code == "wechatpay.order_required"
    assert world.requests == []


def test_a_product_coupon_is_used_with_its_order(world):
    world.build(**PRODUCT)
    used = product_coupon("USED", use_request_no=OURS, use_time="2026-05-20T13:29:36+08:00")
    outcome = world.run(world.adapter.redeem(product_held(world, store_no="s7")), world.ok(used))
    assert outcome.at == START + timedelta(seconds=1)
    assert world.body() == {
        "brand_id": "120344",
        "product_coupon_id": "200000001",
        "stock_id": "123456789",
        "appid": "wx1234567889999",
        "use_time": "2026-05-20T13:29:35+08:00",
        "out_request_no": OURS,
        "store_id": "s7",
        "saved_amount": 2000,
        "associated_order_info": {"transaction_id": "4200001234202605201234567890"},
    }


@pytest.mark.parametrize(
    ("state", "detail", "effected"),
    [
        ("USED", {"use_request_no": OURS, "use_time": "2026-05-20T13:29:36+08:00"}, Effected.DONE),
        ("USED", {"use_request_no": "other"}, Effected.NOT_DONE),
        ("USED", {}, Effected.UNKNOWN),
        ("EFFECTIVE", {}, Effected.NOT_DONE),
        ("DELETED", {}, Effected.NOT_DONE),
        ("SEQUENTIAL_NEW", {}, Effected.UNKNOWN),
    ],
)
def test_a_product_coupon_is_known_by_our_number(world, state, detail, effected):
    world.build(**PRODUCT)
    outcome = world.run(world.adapter.query(product_held(world)), world.ok(product_coupon(state, **detail)))
    assert outcome.effected is effected


def test_a_product_coupon_is_returned_by_the_reversals_number(world):
    world.build(**PRODUCT)
    held = world.held_reversal(listing=PRODUCT_LISTING)
    returned = product_coupon("EFFECTIVE", return_request_no=world.reversal_id, return_time="2026-05-20T13:29:40+08:00")
    assert world.run(world.adapter.reverse(held), world.ok(returned)).effected is Effected.DONE
    assert world.run(world.adapter.query_reversal(held), world.ok(returned)).effected is Effected.DONE


# --- orders ---


def test_a_trade_is_read_by_our_number_or_the_platforms(world):
    data = {
        "out_trade_no": "o1",
        "transaction_id": "42000",
        "trade_state": "SUCCESS",
        "amount": {"total": 12000, "payer_total": 10000},
        "payer": {"openid": world.openid},
        "success_time": "2026-05-20T13:29:36+08:00",
    }
    trade = world.run(world.adapter.trades.of_order("o1"), world.ok(data))
    assert (trade.is_paid, trade.total_fen, trade.payer_fen) == (True, 12000, 10000)
    assert world.requests[0].target == "/v3/pay/transactions/out-trade-no/o1?mchid=1900009191"
    world.run(world.adapter.trades.of_transaction("42000"), world.ok(data))
    with pytest.raises(PlatformRefused) as raised:
        world.run(world.adapter.trades.of_order("o2"), world.error(404, "ORDER_NOT_EXIST", tail="268512771"))
    assert raised.value.code == "wechatpay.order_unknown"


def test_a_refund_is_asked_for_by_its_number_and_in_fen(world):
    data = {
        "refund_id": "5030",
        "out_refund_no": "r1",
        "status": "PROCESSING",
        "amount": {"refund": 100, "total": 12000},
    }
    refund = world.run(
        world.adapter.trades.refund("o1", refund_no="r1", refund_fen=100, total_fen=12000), world.ok(data)
    )
    assert (refund.status, refund.refund_fen) == ("PROCESSING", 100)
    assert world.body()["amount"] == {"refund": 100, "total": 12000, "currency": "CNY"}
    with pytest.raises(PlatformUnavailable):
        world.run(world.adapter.trades.refund_of("r1"), world.ok({"status": "SUCCESS"}))
