"""Phones: claims with the merchant's APIv2 signature, SOTER, login, and the control API's wishes (sheet §2.2, §5)."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from unicom_coupon_adapters.wechatpay.emulation.signatures_v2 import signature_v2
from unicom_coupon_sdk.sandbox.emulator import Received

from .bench import Bench

VECTORS = {
    one["id"]: one
    for one in json.loads((Path(__file__).parents[2] / "vectors" / "wechatpay.json").read_text(encoding="utf-8"))[
        "vectors"
    ]
}


@pytest.mark.parametrize("name", ["H01", "H02"])
def test_the_front_end_signature_is_the_vectors(name: str) -> None:
    vector = VECTORS[name]
    values = dict(pair.split("=", 1) for pair in vector["sign_message"].split("&")[:-1])
    assert signature_v2(values | {"empty": ""}, key=vector["apiv2_key"]) == vector["signature"]
    assert signature_v2(values | {"more": "1"}, key=vector["apiv2_key"]) != vector["signature"]


def signed(bench: Bench, values: dict[str, str]) -> str:
    text = "&".join(f"{name}={values[name]}" for name in sorted(values)) + f"&key={bench.told['apiv2_key']}"
    return hmac.new(bench.told["apiv2_key"].encode(), text.encode(), hashlib.sha256).hexdigest().upper()


def link(bench: Bench, stock: str, number: str = "L1", **changed: str) -> str:
    values = {
        "stock_id": stock,
        "out_request_no": number,
        "send_coupon_merchant": bench.told["mchid"],
        "open_id": "oH5",
    }
    values |= {"sign": signed(bench, values)} | changed
    query = "&".join(f"{name}={value}" for name, value in values.items())
    return f"https://action.weixin.qq.com/busifavor/getcouponinfo?{query}#wechat_redirect"


def test_a_link_gives_a_coupon_and_tells_the_merchant(bench: Bench) -> None:
    bench.frame.urls["COUPON.SEND"] = "https://merchant.example/x"
    told = bench.emulator.deliver({"kind": "h5", "url": link(bench, bench.stock())})
    assert (told["errcode"], told["openid"]) == (0, "oH5")
    _, plain, _ = bench.open_callback(bench.frame.sent[0])
    assert (plain["coupon_code"], plain["send_channel"]) == (told["coupon_code"], "BUSICOUPON_SEND_CHANNEL_H5")


def test_a_link_with_a_wrong_signature_or_merchant_shows_the_pages_number(bench: Bench) -> None:
    stock = bench.stock()
    assert bench.emulator.deliver({"url": link(bench, stock, open_id="oOther")})["errcode"] == 272758293
    assert bench.emulator.deliver({"url": link(bench, stock, sign="")})["errcode"] == 272758293
    values = {"stock_id": stock, "out_request_no": "L1", "send_coupon_merchant": "1900000109", "open_id": "oH5"}
    told = bench.emulator.deliver({"kind": "h5", "params": values | {"sign": signed(bench, values)}})
    assert told["errcode"] == 272756757


def test_the_apiv3_key_does_not_sign_links(bench: Bench) -> None:
    values = {
        "stock_id": bench.stock(),
        "out_request_no": "L1",
        "send_coupon_merchant": bench.told["mchid"],
        "open_id": "oH5",
    }
    sign = signature_v2(values, key=bench.told["apiv3_key"])
    assert bench.emulator.deliver({"kind": "h5", "params": values | {"sign": sign}})["errcode"] == 272758293


def test_a_number_claims_once(bench: Bench) -> None:
    url = link(bench, bench.stock())
    first = bench.emulator.deliver({"url": url})
    again = bench.emulator.deliver({"url": url})
    assert (again["errcode"], again["coupon_code"]) == ("DUPREQUEST", first["coupon_code"])


def plugin(bench: Bench, coupons: list[dict[str, str]], **changed: Any) -> dict[str, Any]:
    merchant = bench.told["mchid"]
    values = {f"{name}{index}": value for index, one in enumerate(coupons) for name, value in one.items()}
    sign = signed(bench, values | {"send_coupon_merchant": merchant})
    wish = {"send_coupon_params": coupons, "sign": sign, "send_coupon_merchant": merchant, "openid": "oMini"}
    return dict(bench.emulator.deliver({"kind": "mini_program", **wish, **changed}))


def test_the_plugin_claims_each_coupon_of_its_list(bench: Bench) -> None:
    stock, own = bench.stock(), bench.stock(coupon_code_mode="MERCHANT_API")
    coupons = [
        {"stock_id": stock, "out_request_no": "M1"},
        {"stock_id": own, "out_request_no": "M2", "coupon_code": "MY1"},
    ]
    told = plugin(bench, coupons)
    assert told["errcode"] == "OK"
    assert [one["code"] for one in told["send_coupon_result"]] == ["SUCCESS", "SUCCESS"]
    assert told["send_coupon_result"][1]["coupon_code"] == "MY1"
    assert plugin(bench, coupons, sign="0" * 64)["errcode"] == "SIGN_ERROR"


def test_the_plugin_takes_three_of_a_stock_at_most(bench: Bench) -> None:
    coupons = [{"stock_id": bench.stock(), "out_request_no": f"M{number}"} for number in range(1)] * 1
    stock = coupons[0]["stock_id"]
    many = [{"stock_id": stock, "out_request_no": f"M{number}"} for number in range(4)]
    assert plugin(bench, many)["errcode"] == "PARAM_ERROR"
    assert plugin(bench, many[:3])["errcode"] == "OK"


def test_one_refused_coupon_does_not_spoil_the_list(bench: Bench) -> None:
    stock = bench.stock(stock_send_rule={"max_coupons": 1, "max_coupons_per_user": 1})
    told = plugin(bench, [{"stock_id": stock, "out_request_no": "M1"}, {"stock_id": stock, "out_request_no": "M2"}])
    assert [one["code"] for one in told["send_coupon_result"]] == ["SUCCESS", "RULE_LIMIT"]


# -- WeChat calls -----------------------------------------------------------------------------------------------------


def weixin(bench: Bench, method: str, target: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    content = b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
    answer = bench.emulator.answer(Received(method, target, (), content))
    assert (answer.status, answer.header("Wechatpay-Signature")) == (200, None)
    told: dict[str, Any] = json.loads(answer.content)
    return told


def token(bench: Bench, **changed: Any) -> dict[str, Any]:
    asked = {"grant_type": "client_credential", "appid": bench.told["appid"], "secret": bench.told["app_secret"]}
    return weixin(bench, "POST", "/cgi-bin/stable_token", asked | changed)


def test_a_login_code_is_exchanged_once_for_the_openid(bench: Bench) -> None:
    code = bench.emulator.deliver({"kind": "login", "openid": "oMini"})["js_code"]
    secret = f"appid={bench.told['appid']}&secret={bench.told['app_secret']}"
    target = f"/sns/jscode2session?{secret}&js_code={code}&grant_type=authorization_code"
    told = weixin(bench, "GET", target)
    assert (told["openid"], len(told["session_key"])) == ("oMini", 24)
    assert weixin(bench, "GET", target)["errcode"] == 40163
    assert weixin(bench, "GET", target.replace(code, "0bad"))["errcode"] == 40029
    assert weixin(bench, "GET", target.replace("secret=", "secret=x"))["errcode"] == 40125
    late = bench.emulator.deliver({"kind": "login", "openid": "oMini"})["js_code"]
    bench.advance(minutes=6)
    assert weixin(bench, "GET", target.replace(code, late))["errcode"] == 40029


def test_a_stable_token_stays_until_forced_or_nearly_over(bench: Bench) -> None:
    first = token(bench)
    assert first["expires_in"] == 7200
    bench.advance(seconds=60)
    assert token(bench) == {"access_token": first["access_token"], "expires_in": 7140}
    forced = token(bench, force_refresh=True)
    assert forced["access_token"] != first["access_token"]
    bench.advance(seconds=6901)
    later = token(bench)
    assert later["access_token"] != forced["access_token"]
    assert verdict(bench, forced["access_token"])["errcode"] == 0
    assert verdict(bench, first["access_token"])["errcode"] == 40001
    assert token(bench, secret="wrong")["errcode"] == 40125
    assert token(bench, grant_type="password")["errcode"] == 40002


def verdict(bench: Bench, access_token: str, **changed: str) -> dict[str, Any]:
    body = {"openid": "oFace", "json_string": "{}", "json_signature": "x"} | changed
    return weixin(bench, "POST", f"/cgi-bin/soter/verify_signature?access_token={access_token}", body)


def face(bench: Bench, **wish: Any) -> dict[str, Any]:
    return dict(bench.emulator.deliver({"kind": "face", "openid": "oFace", "challenge": "券-1", **wish}))


def test_a_passed_face_check_is_confirmed_verbatim_only(bench: Bench) -> None:
    told = face(bench)
    result = json.loads(told["resultJSON"])
    assert (told["authMode"], result["raw"], result["counter"]) == ("facial", "券-1", 1)
    access = token(bench)["access_token"]
    proof = {"json_string": told["resultJSON"], "json_signature": told["resultJSONSignature"]}
    assert verdict(bench, access, **proof) == {"errcode": 0, "errmsg": "ok", "is_ok": True}
    respelt = json.dumps(result)
    assert verdict(bench, access, **(proof | {"json_string": respelt}))["is_ok"] is False
    assert verdict(bench, access, **(proof | {"openid": "oOther"}))["is_ok"] is False
    assert verdict(bench, "wrong", **proof)["errcode"] == 40001


def test_a_failed_face_check_is_not_confirmed_and_a_declined_one_gives_nothing(bench: Bench) -> None:
    told = face(bench, passes=False)
    proof = {"json_string": told["resultJSON"], "json_signature": told["resultJSONSignature"]}
    assert verdict(bench, token(bench)["access_token"], **proof)["is_ok"] is False
    assert face(bench, declined=True) == {"kind": "face", "errCode": 90008, "errMsg": "cancel"}
    assert face(bench, challenge="x" * 513)["errCode"] == 90004


def test_the_devices_counter_grows(bench: Bench) -> None:
    counters = [json.loads(face(bench)["resultJSON"])["counter"] for _ in range(3)]
    assert counters == [1, 2, 3]


def test_other_paths_and_bodies_of_wechat_are_errors_of_its_own(bench: Bench) -> None:
    assert weixin(bench, "GET", "/cgi-bin/elsewhere")["errcode"] == 40066
    assert weixin(bench, "GET", "/cgi-bin/stable_token")["errcode"] == 43002
    assert weixin(bench, "POST", "/cgi-bin/soter/verify_signature", {})["errcode"] == 41001
    refused = bench.emulator.refuse(Received("GET", "/sns/jscode2session", (), b""), "40001")
    assert json.loads(refused.content)["errcode"] == 40001


# -- the control API's wishes -----------------------------------------------------------------------------------------


def test_issued_coupons_differ_and_are_no_fault_triggers(bench: Bench) -> None:
    coupons = bench.emulator.issue(
        {"count": 150, "face_fen": 500, "min_spend_fen": 1000, "valid_days": 3, "holder": "oMany"}
    )
    codes = {one["code"] for one in coupons}
    assert len(codes) == 150
    assert {one["openid"] for one in coupons} == {"oMany"}
    assert not any(code[-4:-2] in {"90", "91"} for code in codes)


@pytest.mark.parametrize(
    "wish",
    [
        {"count": 0},
        {"count": "1"},
        {"face_fen": None},
        {"valid_days": 366},
        {"holder": ""},
        {"family": "cash"},
        {"owner_mchid": "x"},
    ],
)
def test_a_wrong_wish_is_a_value_error(bench: Bench, wish: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        bench.emulator.issue({"count": 1, "face_fen": 500} | wish)


def test_an_order_carries_the_coupon(bench: Bench) -> None:
    coupon = bench.issue(holder="oBuyer")
    order = bench.emulator.order({"amount_fen": 1000, "code": coupon["code"]})
    assert (order["openid"], order["code"], order["amount_fen"]) == ("oBuyer", coupon["code"], 1000)
    with pytest.raises(ValueError, match="another holder"):
        bench.emulator.order({"amount_fen": 1000, "code": coupon["code"], "holder": "oOther"})
    with pytest.raises(ValueError, match="no coupon"):
        bench.emulator.order({"amount_fen": 1000, "code": "nothing"})
    with pytest.raises(ValueError, match="taken"):
        bench.emulator.order({"amount_fen": 1000, "out_trade_no": order["out_trade_no"]})


@pytest.mark.parametrize(
    "wish", [{}, {"kind": "dance"}, {"kind": "login"}, {"kind": "h5"}, {"kind": "mini_program", "openid": "o"}]
)
def test_a_wrong_delivery_is_a_value_error(bench: Bench, wish: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"must be|missing|give the link"):
        bench.emulator.deliver(wish)


def test_a_coupon_of_no_one_has_no_view(bench: Bench) -> None:
    assert bench.emulator.view("nothing") is None


def test_the_view_tells_what_happened_with_its_numbers(bench: Bench) -> None:
    coupon = bench.issue()
    bench.use(coupon, use_request_no="U1")
    bench.give_back(coupon, "R1")
    view = bench.emulator.view(coupon["code"])
    assert view is not None
    assert [(one["event"], one.get("request_no")) for one in view["history"]][1:] == [("use", "U1"), ("return", "R1")]


def test_a_used_coupon_cannot_be_deleted_by_its_user(bench: Bench) -> None:
    coupon = bench.issue()
    bench.use(coupon)
    with pytest.raises(ValueError, match="USED"):
        bench.emulator.deliver({"kind": "delete", "code": coupon["code"]})


def test_the_fault_key_is_the_path_without_query(bench: Bench) -> None:
    assert bench.emulator.fault_key(Received("GET", "/v3/certificates?a=b", (), b"")) == "/v3/certificates"
