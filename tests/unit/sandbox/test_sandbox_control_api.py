"""The control API over real sockets, call by call."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from tests.unit.sandbox.conftest import EMULATORS, Merchant, Served, call

from unicom_coupon_sdk import __version__
from unicom_coupon_sdk.sandbox import SandboxServer


def test_health_tells_version_platforms_and_simulated_time(served: Served) -> None:
    told = served.told("GET", "/health")
    assert told["version"] == __version__
    assert told["platforms"] == ["tokenpay"]
    assert datetime.fromisoformat(told["now"]).tzinfo is not None


def test_issued_coupons_are_seen_with_their_history(served: Served) -> None:
    code = served.coupon()
    view = served.told("GET", f"/coupons/tokenpay/{code}")
    assert (view["code"], view["state"]) == (code, "SENT")
    assert [entry["event"] for entry in view["history"]] == ["send"]


def test_a_use_appears_in_the_history_with_its_request_number(served: Served) -> None:
    code = served.coupon()
    assert served.use(code, "r7").status == 200
    assert served.told("GET", f"/coupons/tokenpay/{code}")["history"][-1]["request_no"] == "r7"


def test_the_fields_of_a_wish_that_the_frame_does_not_know_reach_the_emulator(served: Served) -> None:
    answer = served.ask("POST", "/coupons", {"platform": "tokenpay", "face_fen": 5, "family": "none"})
    assert answer.status == 400
    assert answer.json()["type"] == "urn:unicom-coupon:sandbox.wish"
    assert "no such family" in answer.json()["detail"]


def test_an_order_comes_with_the_platforms_number(served: Served) -> None:
    assert served.told("POST", "/orders", {"platform": "tokenpay", "amount_fen": 900})["order"]["order_no"] == "O1"


def test_a_delivery_is_the_front_ends_act(served: Served) -> None:
    told = served.told("POST", "/deliveries", {"platform": "tokenpay", "act": "scan"})
    assert told == {"delivery": {"act": "scan"}}


def test_messages_are_found_by_phone(served: Served) -> None:
    code = served.coupon(holder="13800000000")
    served.coupon(holder="13900000000")
    (message,) = served.told("GET", "/messages?to=13800000000")["messages"]
    assert (message["kind"], message["code"]) == ("coupon", code)
    assert len(served.told("GET", "/messages")["messages"]) == 2


def test_the_clock_advances_and_expiries_have_happened_when_the_call_answers(served: Served) -> None:
    code = served.coupon(valid_days=2)
    before = datetime.fromisoformat(served.told("GET", "/clock")["now"])
    after = datetime.fromisoformat(served.told("POST", "/clock", {"advance_s": 3 * 86400})["now"])
    assert timedelta(days=3) <= after - before < timedelta(days=3, minutes=1)
    assert served.told("GET", f"/coupons/tokenpay/{code}")["state"] == "EXPIRED"


def test_the_clock_can_be_set_to_a_time_in_any_zone(served: Served) -> None:
    now = served.told("POST", "/clock", {"now": "2031-02-03T04:05:06+08:00"})["now"]
    assert datetime.fromisoformat(now) - datetime.fromisoformat("2031-02-02T20:05:06+00:00") < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("wish", "type_"),
    [
        ({}, "sandbox.clock_move"),
        ({"now": "2031-01-01T00:00:00+00:00", "advance_s": 1}, "sandbox.clock_move"),
        ({"now": "2031-01-01T00:00:00"}, "time.naive"),
        ({"now": "soon"}, "time.shape"),
        ({"now": 5}, "sandbox.field_type"),
        ({"now": "1999-01-01T00:00:00+00:00"}, "sandbox.clock_range"),
        ({"advance_s": "5"}, "sandbox.field_type"),
        ({"advance_s": True}, "sandbox.field_type"),
        ({"advance_s": 9e99}, "sandbox.field_range"),
        ({"advance_s": 3e9}, "sandbox.clock_range"),
        ({"hours": 1}, "sandbox.field_unknown"),
    ],
)
def test_a_senseless_clock_move_is_refused_and_moves_nothing(
    served: Served, wish: dict[str, object], type_: str
) -> None:
    answer = served.ask("POST", "/clock", wish)
    assert (answer.status, answer.json()["type"]) == (400, f"urn:unicom-coupon:{type_}")
    now = datetime.fromisoformat(served.told("GET", "/clock")["now"])
    assert abs(now - datetime.now(now.tzinfo)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("wish", "type_"),
    [
        ({"platform": "tokenpay", "kind": "explode"}, "sandbox.fault_kind"),
        ({"platform": "tokenpay", "kind": ["error"]}, "sandbox.fault_kind"),
        ({"platform": "nopay", "kind": "drop_after"}, "sandbox.platform_unknown"),
        ({"platform": {}, "kind": "drop_after"}, "sandbox.platform_unknown"),
        ({"kind": "drop_after"}, "sandbox.field_missing"),
        ({"platform": "tokenpay", "kind": "error"}, "sandbox.fault_code"),
        ({"platform": "tokenpay", "kind": "delay"}, "sandbox.field_missing"),
        ({"platform": "tokenpay", "kind": "delay", "seconds": -1}, "sandbox.field_range"),
        ({"platform": "tokenpay", "kind": "drop_after", "times": 0}, "sandbox.field_range"),
        ({"platform": "tokenpay", "kind": "drop_after", "times": 1.5}, "sandbox.field_type"),
        ({"platform": "tokenpay", "kind": "drop_after", "match": 3}, "sandbox.field_type"),
        ({"platform": "tokenpay", "kind": "bad_signature", "probe": "yes"}, "sandbox.field_type"),
        ({"platform": "tokenpay", "kind": "drop_after", "time": 2}, "sandbox.field_unknown"),
        ({"platform": "tokenpay", "kind": "drop_after", "self": 2}, "sandbox.field_unknown"),
    ],
)
def test_a_senseless_fault_is_refused_and_not_armed(served: Served, wish: dict[str, object], type_: str) -> None:
    answer = served.ask("POST", "/faults", wish)
    assert (answer.status, answer.json()["type"]) == (400, f"urn:unicom-coupon:{type_}")
    assert served.told("GET", "/faults") == {"faults": []}


@pytest.mark.parametrize(
    "wish",
    [
        {"platform": "tokenpay", "count": 0, "face_fen": 1},
        {"platform": "tokenpay", "count": True, "face_fen": 1},
        {"platform": "tokenpay", "count": 1, "face_fen": 1.5},
        {"platform": "tokenpay", "count": 1},
        {"platform": "tokenpay", "count": 1, "face_fen": 1, "holder": ""},
        {"platform": "tokenpay", "count": 1, "face_fen": 1, "self": 1},
    ],
)
def test_a_senseless_issue_is_refused(served: Served, wish: dict[str, object]) -> None:
    answer = served.ask("POST", "/coupons", wish)
    assert answer.status == 400
    assert answer.header("Content-Type") == "application/problem+json"


def test_faults_are_listed_with_what_is_left_of_them_and_deleted(served: Served) -> None:
    wish = {"platform": "tokenpay", "kind": "bad_signature", "times": 2, "match": "/v1/coupons/use", "probe": True}
    fault_id = served.told("POST", "/faults", wish)["id"]
    served.use("none")
    assert served.told("GET", "/faults")["faults"] == [{**wish, "id": fault_id, "times": 1}]
    served.told("DELETE", "/faults")
    assert served.told("GET", "/faults")["faults"] == []


def test_an_unknown_coupon_path_or_platform_is_a_problem_document(served: Served) -> None:
    for target, status, type_ in [
        ("/coupons/tokenpay/none", 404, "sandbox.coupon_unknown"),
        ("/coupons/nopay/none", 400, "sandbox.platform_unknown"),
        ("/nothing", 404, "sandbox.path_unknown"),
        ("/coupons/tokenpay", 404, "sandbox.path_unknown"),
        ("/requests?since=x", 400, "sandbox.field_type"),
        ("/requests?platform=nopay", 400, "sandbox.platform_unknown"),
    ]:
        answer = served.ask("GET", target)
        assert (answer.status, answer.json()["type"]) == (status, f"urn:unicom-coupon:{type_}"), target
        assert answer.json()["status"] == status


def test_a_method_that_a_path_does_not_take_is_told_which_it_takes(served: Served) -> None:
    answer = served.ask("PUT", "/faults", {})
    assert answer.status == 405
    assert answer.header("Allow") == "GET, POST, DELETE"


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"a": NaN}', b"\xff", b"[" * 100_000, b"null"])
def test_a_body_that_is_no_json_object_is_refused(served: Served, body: bytes) -> None:
    answer = call(served.control, "POST", "/clock", body, {"Content-Type": "application/json"})
    assert (answer.status, answer.json()["type"]) == (400, "urn:unicom-coupon:sandbox.json")


def test_a_form_is_refused_so_that_no_web_page_can_send_one(served: Served) -> None:
    answer = call(served.control, "POST", "/reset", b"a=b", {"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.status, answer.json()["type"]) == (415, "urn:unicom-coupon:sandbox.media_type")


def test_a_foreign_origin_or_a_rebound_host_is_refused(served: Served) -> None:
    assert served.ask("GET", "/messages", Origin="https://evil.example").status == 403
    assert served.ask("GET", "/messages", Host="evil.example").status == 421
    assert served.ask("GET", "/messages", Host="localhost:1").status == 200


def test_a_body_over_one_mebibyte_is_refused_with_a_problem(served: Served) -> None:
    body = json.dumps({"now": "x" * (1024 * 1024)}).encode()
    answer = call(served.control, "POST", "/clock", body, {"Content-Type": "application/json"})
    assert (answer.status, answer.json()["type"]) == (413, "urn:unicom-coupon:sandbox.too_large")


def test_a_body_of_exactly_one_mebibyte_is_read(served: Served) -> None:
    body = b"{}" + b" " * (1024 * 1024 - 2)
    answer = call(served.control, "POST", "/notifications/deliver", body, {"Content-Type": "application/json"})
    assert answer.status == 200


def test_keys_are_listed_and_rotated_in_the_platforms_steps(server: SandboxServer, served: Served) -> None:
    assert served.told("GET", "/keys") == {"keys": [{"platform": "tokenpay", "steps": ["next", "old_void"]}]}
    assert served.told("POST", "/keys/rotate", {"platform": "tokenpay", "step": "next"})["key_number"] == 2
    assert json.loads(server.file.read_text())["tokenpay"]["key_number"] == 2
    assert served.ask("POST", "/keys/rotate", {"platform": "tokenpay", "step": "old_void"}).status == 400
    assert served.ask("POST", "/keys/rotate", {"platform": "tokenpay", "step": "other"}).status == 400


def test_reset_empties_state_but_keeps_the_credentials(
    server: SandboxServer, served: Served, merchant: Merchant
) -> None:
    code = served.coupon(holder="13800000000")
    served.told("POST", "/keys/rotate", {"platform": "tokenpay", "step": "next"})
    served.told("POST", "/callbacks", {"platform": "tokenpay", "url": merchant.url})
    served.use(code, "r1")
    served.told("POST", "/faults", {"platform": "tokenpay", "kind": "drop_after"})
    served.told("POST", "/clock", {"advance_s": 86400})
    credentials = server.credentials
    served.told("POST", "/reset", {})
    assert served.ask("GET", f"/coupons/tokenpay/{code}").status == 404
    for name in ("faults", "notifications", "messages", "requests"):
        assert served.told("GET", f"/{name}") == {name: []}
    assert server.credentials == credentials
    now = datetime.fromisoformat(served.told("GET", "/clock")["now"])
    assert abs(now - datetime.now(now.tzinfo)) < timedelta(minutes=1)
    again = served.coupon()
    assert served.use(again, "r1").json()["use_no"] == 1


def test_requests_are_recorded_byte_for_byte_with_header_case_and_order(served: Served) -> None:
    body = b'{"code": "none",  "request_no": "\xe4\xb8\xad"}'
    call(served.platform, "POST", "/v1/coupons/use?a=%7e&b", body, {"X-ONE": "1", "x-two": "2", "Token-Signature": "x"})
    (recorded,) = served.told("GET", "/requests?platform=tokenpay")["requests"]
    import base64

    assert recorded["request_line"] == "POST /v1/coupons/use?a=%7e&b HTTP/1.1"
    assert base64.b64decode(recorded["body_b64"]) == body
    names = [name for name, _ in recorded["headers"]]
    assert names[-3:] == ["X-ONE", "x-two", "Token-Signature"]
    assert recorded["status"] == 401
    assert [name for name, _ in recorded["answer_headers"]][:3] == ["Content-Type", "Token-TIME", "Token-Signature"]
    assert json.loads(base64.b64decode(recorded["answer_b64"])) == {"code": "SIGN_ERROR"}


def test_since_lists_only_what_came_after(served: Served) -> None:
    served.use("a")
    (first,) = served.told("GET", "/requests")["requests"]
    served.use("b")
    (second,) = served.told("GET", f"/requests?since={first['seq']}")["requests"]
    assert second["seq"] == first["seq"] + 1


def test_beyond_loopback_the_control_api_wants_its_token() -> None:
    with SandboxServer(emulators=EMULATORS, host="0.0.0.0", i_know=True) as server:
        served = Served.of(server.credentials)
        assert served.token is not None
        assert served.told("GET", "/health")["platforms"] == ["tokenpay"]
        for given in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": served.token},
            {"Authorization": "Bearer é"},
        ):
            answer = call(served.control, "GET", "/health", headers=given)
            assert (answer.status, answer.header("WWW-Authenticate")) == (401, "Bearer")
            assert served.token not in answer.content.decode()
