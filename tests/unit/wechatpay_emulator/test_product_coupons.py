"""商品券, as a partner and as the brand itself (sheet §2.4)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .bench import Bench, body_of, decrypted, header, refusal_of

PARTNER = "/v3/marketing/partner/product-coupon"
BRAND = "/brand/marketing/product-coupon"


class Product:
    """A product coupon with one stock, called as a partner or as the brand."""

    def __init__(self, bench: Bench, *, as_brand: bool = False, **stock: Any) -> None:
        self.bench = bench
        brand = dict(bench.emulator.brand_credentials())
        self.brand_id = brand["brand_id"]
        self.base = BRAND if as_brand else PARTNER
        self.api_key = Path(brand["brand_api_key_file"]).read_text()
        self.signed: dict[str, str] = {}
        if as_brand:
            self.signed = {
                "scheme": "WECHATPAY-BRAND-SHA256-RSA2048",
                "mchid": "",
                "brand_id": self.brand_id,
                "serial_no": brand["brand_cert_serial"],
                "key_file": brand["brand_private_key_file"],
            }
        self.named = {} if as_brand else {"brand_id": self.brand_id}
        answer = self.post("/product-coupons", self.create_body(**stock))
        assert answer.status == 200, answer.content
        told = body_of(answer)
        self.product_id, self.stock_id = told["product_coupon_id"], told["stock"]["stock_id"]
        self.target = {"product_coupon_id": self.product_id, "stock_id": self.stock_id, "appid": bench.told["appid"]}

    def create_body(self, **stock: Any) -> dict[str, Any]:
        period = {
            "available_begin_time": "2026-05-01T00:00:00+08:00",
            "available_end_time": "2026-12-31T23:59:59+08:00",
        }
        kept = {
            "coupon_code_mode": "WECHATPAY",
            "stock_send_rule": {"max_count": 10, "max_count_per_user": 2},
            "single_usage_rule": {"coupon_available_period": period},
            "store_scope": "NONE",
        }
        return {
            "out_request_no": self.bench.number("create"),
            "scope": "ALL",
            "type": "NORMAL",
            "usage_mode": "SINGLE",
            "single_usage_info": {"normal_coupon": {"threshold": 1000, "discount_amount": 500}},
            "display_info": {"name": "全场满减😀", "image_url": "https://wxpaylogo.qpic.cn/x"},
            "stock": kept | stock,
        }

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self.bench.post(self.base + path, self.named | body, **self.signed)

    def send(self, openid: str = "oU", **changed: Any) -> Any:
        body = self.target | {"send_request_no": self.bench.number("send")} | changed
        return self.post(f"/users/{openid}/coupons", body)

    def act(self, code: str, verb: str, **changed: Any) -> Any:
        body = self.target | {"out_request_no": self.bench.number(verb[:6])} | changed
        return self.post(f"/users/oU/coupons/{code}/{verb}", body)

    def use(self, code: str, **changed: Any) -> Any:
        if not {"associated_order_info", "associated_pay_score_order_info"} & changed.keys():
            order = self.bench.emulator.order({"amount_fen": 2000, "holder": "oU"})
            changed["associated_order_info"] = {"transaction_id": order["transaction_id"]}
        return self.act(code, "use", use_time="2026-05-20T12:00:00+08:00", **changed)

    def effective(self) -> str:
        code = str(body_of(self.send())["coupon_code"])
        assert self.act(code, "confirm").status == 200
        return code

    def state(self, code: str) -> str:
        query = "&".join(f"{name}={value}" for name, value in (self.named | self.target).items())
        answer = self.bench.get(f"{self.base}/users/oU/coupons/{code}?{query}", **self.signed)
        return str(body_of(answer)["coupon_state"])


@pytest.fixture(params=[False, True], ids=["partner", "brand"])
def product(request: pytest.FixtureRequest, bench: Bench) -> Product:
    return Product(bench, as_brand=request.param)


def test_a_coupon_goes_from_confirming_to_used_and_back(product: Product) -> None:
    told = body_of(product.send())
    code = told["coupon_code"]
    assert (told["coupon_state"], told["send_channel"], told["brand_id"]) == ("CONFIRMING", "API", product.brand_id)
    assert (told["product_coupon"]["product_coupon_id"], told["stock"]["stock_id"]) == (
        product.product_id,
        product.stock_id,
    )
    assert refusal_of(product.use(code)) == (400, "INVALID_REQUEST")
    assert body_of(product.act(code, "confirm"))["coupon_state"] == "EFFECTIVE"
    used = body_of(product.use(code, saved_amount=500))
    assert (used["coupon_state"], used["single_usage_detail"]["saved_amount"]) == ("USED", 500)
    returned = body_of(product.act(code, "return"))
    assert returned["coupon_state"] == "EFFECTIVE"
    assert {"use_request_no", "return_request_no"} <= returned["single_usage_detail"].keys()
    assert body_of(product.use(code))["coupon_state"] == "USED"


def test_the_send_event_reaches_the_one_who_sent(product: Product, bench: Bench) -> None:
    is_brand = product.base == BRAND
    path = "/notify-config" if is_brand else "/notify-configs"
    assert bench.post(product.base + path, {"notify_url": "https://m.example/x"}, **product.signed).status == 200
    told = body_of(product.send(attach="订单1"))
    (sent,) = bench.frame.sent
    assert sent.event == ("PRODUCT_COUPON.SEND" if is_brand else "PRODUCT_COUPON_SP.SEND")
    method, _, content = bench.emulator.render_callback(sent)
    assert method == "POST"
    resource = json.loads(content)["resource"]
    plain = decrypted(resource, key=product.api_key if is_brand else bench.told["apiv3_key"])
    assert resource["associated_data"] == "product_coupon"
    assert (plain["coupon_code"], plain["brand_id"], plain["attach"]) == (
        told["coupon_code"],
        product.brand_id,
        "订单1",
    )
    assert {"unionid", "valid_begin_time", "valid_end_time", "send_channel"} <= plain.keys()


def test_a_pre_sent_coupon_is_claimed_once_by_its_user_within_five_minutes(product: Product, bench: Bench) -> None:
    def token() -> str:
        body = product.target | {"send_request_no": bench.number("pre")}
        return str(body_of(product.post("/users/oU/pre-send-coupon", body))["token"])

    first = token()
    assert (
        bench.emulator.deliver({"kind": "product_coupon", "token": first, "openid": "oX"})["errcode"] == "INVALID_TOKEN"
    )
    claimed = bench.emulator.deliver({"kind": "product_coupon", "token": first})
    assert claimed["errcode"] == "OK"
    assert product.state(claimed["code"]) == "CONFIRMING"
    assert bench.emulator.deliver({"kind": "product_coupon", "token": first})["errcode"] == "INVALID_TOKEN"
    late = token()
    bench.advance(minutes=5, seconds=1)
    assert bench.emulator.deliver({"kind": "product_coupon", "token": late})["errcode"] == "INVALID_TOKEN"


def test_calls_are_idempotent_by_number_and_refuse_other_data(product: Product) -> None:
    code = product.effective()
    first = product.use(code, out_request_no="USE_000001", store_id="A")
    order = body_of(first)["single_usage_detail"]["associated_order_info"]
    again = product.use(code, out_request_no="USE_000001", store_id="A", associated_order_info=order)
    assert again.content == first.content
    other = product.use(code, out_request_no="USE_000001", store_id="B", associated_order_info=order)
    assert refusal_of(other) == (400, "INVALID_REQUEST")
    assert header(other, "Request-ID").endswith("-268578927")


def test_exactly_one_existing_paid_order_belongs_to_a_use(product: Product, bench: Bench) -> None:
    code = product.effective()
    none = product.act(code, "use", use_time="2026-05-20T12:00:00+08:00")
    assert refusal_of(none) == (400, "PARAM_ERROR")
    assert refusal_of(product.use(code, associated_order_info={"transaction_id": "4" * 28})) == (400, "INVALID_REQUEST")
    order = bench.emulator.order({"amount_fen": 2000})
    half = {"out_trade_no": order["out_trade_no"]}
    assert refusal_of(product.use(code, associated_order_info=half)) == (400, "PARAM_ERROR")
    assert product.use(code, associated_order_info=half | {"mchid": bench.told["mchid"]}).status == 200


@pytest.mark.parametrize(
    ("prepare", "tail"),
    [("expire", 268578776), ("delete", 272756769), ("use", 268578367), ("deactivate", 268578367)],
)
def test_why_a_use_is_refused_is_in_the_tail(bench: Bench, prepare: str, tail: int) -> None:
    product = Product(bench)
    code = product.effective()
    if prepare == "expire":
        bench.advance(days=300)
    elif prepare == "delete":
        bench.emulator.deliver({"kind": "delete", "code": code})
    elif prepare == "use":
        product.use(code)
    else:
        assert body_of(product.act(code, "deactivate", deactivate_reason="错发"))["coupon_state"] == "DEACTIVATED"
    answer = product.use(code)
    assert refusal_of(answer) == (400, "INVALID_REQUEST")
    assert header(answer, "Request-ID").endswith(f"-{tail}")


def test_a_deleted_coupon_can_still_be_read(bench: Bench) -> None:
    product = Product(bench)
    code = product.effective()
    bench.emulator.deliver({"kind": "delete", "code": code})
    assert product.state(code) == "DELETED"


def test_limits_and_states_of_the_stock_are_told_in_the_tail(bench: Bench) -> None:
    product = Product(bench)
    for _ in range(2):
        assert product.send().status == 200
    assert header(product.send(), "Request-ID").endswith("-272756740")
    path = f"/product-coupons/{product.product_id}/stocks/{product.stock_id}"
    ended = product.post(f"{path}/deactivate", {"out_request_no": "END_0001", "deactivate_reason": "下架"})
    assert body_of(ended)["state"] == "DEACTIVATED"
    assert header(product.send("oOther"), "Request-ID").endswith("-268577984")


def test_a_wrong_appid_has_its_tail(bench: Bench) -> None:
    answer = Product(bench).send(appid="wx0000000000000000")
    assert header(answer, "Request-ID").endswith("-268578704")


def test_another_brand_sees_nothing_of_it(bench: Bench) -> None:
    product = Product(bench)
    code = product.effective()
    product.named = {"brand_id": "999"}
    answer = product.use(code)
    assert refusal_of(answer) == (404, "RESOURCE_NOT_EXISTS")
    assert header(answer, "Request-ID").endswith("-268578608")
    assert refusal_of(bench.get(f"{PARTNER}/product-coupons/{product.product_id}?brand_id=999"))[0] == 404


def test_codes_may_be_uploaded_or_assigned(bench: Bench) -> None:
    uploaded = Product(bench, coupon_code_mode="UPLOAD")
    path = f"/product-coupons/{uploaded.product_id}/stocks/{uploaded.stock_id}/upload-coupon-codes"
    told = body_of(uploaded.post(path, {"out_request_no": "UP_00001", "code_list": ["C1", "C1", "b d"]}))
    assert (told["success_code_list"], told["duplicate_code_list"], told["total_count"]) == (["C1"], ["C1"], 2)
    assert body_of(uploaded.send())["coupon_code"] == "C1"
    assert uploaded.send().status == 400
    assigned = Product(bench, coupon_code_mode="API_ASSIGN")
    assert refusal_of(assigned.send()) == (400, "PARAM_ERROR")
    assert body_of(assigned.send(coupon_code="MINE-1"))["coupon_code"] == "MINE-1"
    assert header(assigned.send(coupon_code="MINE-1"), "Request-ID").endswith("-272755200")


def test_a_coupon_takes_effect_on_its_day(bench: Bench) -> None:
    period = {
        "available_begin_time": "2026-05-01T00:00:00+08:00",
        "available_end_time": "2026-12-31T23:59:59+08:00",
        "wait_days_after_receive": 1,
        "available_days": 3,
    }
    product = Product(bench, single_usage_rule={"coupon_available_period": period})
    code = product.effective()
    assert product.state(code) == "PENDING"
    answer = product.use(code)
    assert header(answer, "Request-ID").endswith("-272755715")
    bench.advance(hours=12)
    assert product.state(code) == "EFFECTIVE"
    assert product.use(code).status == 200


def test_a_users_coupons_are_listed_by_state(bench: Bench) -> None:
    product = Product(bench)
    used, kept = product.effective(), product.effective()
    product.use(used)
    path = f"{PARTNER}/users/oU/coupons?brand_id={product.brand_id}&appid={bench.told['appid']}"
    assert body_of(bench.get(path))["total_count"] == 2
    told = body_of(bench.get(f"{path}&coupon_state=EFFECTIVE"))
    assert [one["coupon_code"] for one in told["user_coupon_list"]] == [kept]


def test_what_the_sandbox_does_not_serve_is_refused_whole(bench: Bench) -> None:
    product = Product(bench)
    for changed in (
        {"usage_mode": "PROGRESSIVE_BUNDLE"},
        {"stock": product.create_body(store_scope="SPECIFIC")["stock"]},
    ):
        answer = product.post("/product-coupons", product.create_body() | changed)
        assert refusal_of(answer) == (400, "INVALID_REQUEST")


def test_issued_product_coupons_await_their_confirmation(bench: Bench) -> None:
    (told,) = bench.emulator.issue({"count": 1, "face_fen": 500, "family": "product_coupon", "holder": "oU"})
    assert {"code", "stock_id", "openid", "appid", "product_coupon_id", "brand_id"} <= told.keys()
    view = bench.emulator.view(told["code"])
    assert view is not None
    assert view["state"] == "CONFIRMING"
