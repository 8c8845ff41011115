"""What goes wrong on request, seen by a client over real sockets."""

from __future__ import annotations

import http.client
import socket
import threading
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pytest
from tests.unit.sandbox.conftest import Served
from tests.unit.sandbox.tokenpay import sign

USE = "/v1/coupons/use"


def arm(served: Served, kind: str, **more: object) -> None:
    served.told("POST", "/faults", {"platform": "tokenpay", "kind": kind, **more})


def state(served: Served, code: str) -> str:
    told: str = served.told("GET", f"/coupons/tokenpay/{code}")["state"]
    return told


def test_drop_before_does_nothing_and_answers_nothing(served: Served) -> None:
    code = served.coupon()
    arm(served, "drop_before")
    with pytest.raises(http.client.RemoteDisconnected):
        served.use(code)
    assert state(served, code) == "SENT"
    assert served.told("GET", "/requests")["requests"][0]["status"] is None


def test_drop_after_does_it_and_answers_nothing(served: Served) -> None:
    code = served.coupon()
    arm(served, "drop_after")
    with pytest.raises(http.client.RemoteDisconnected):
        served.use(code, "r1")
    assert state(served, code) == "USED"
    assert served.use(code, "r1").json()["use_no"] == 1


def test_half_body_does_it_and_cuts_the_answer_short(served: Served) -> None:
    code = served.coupon()
    arm(served, "half_body")
    with pytest.raises(http.client.IncompleteRead) as cut:
        served.use(code)
    assert 0 < len(cut.value.partial) == (len(cut.value.partial) + (cut.value.expected or 0)) // 2
    assert state(served, code) == "USED"


def test_half_of_an_empty_body_is_no_answer(served: Served) -> None:
    arm(served, "half_body")
    with pytest.raises(http.client.RemoteDisconnected):
        served.send("GET", "/v1/empty")


def test_error_answers_with_the_platforms_code_and_does_nothing(served: Served) -> None:
    code = served.coupon()
    arm(served, "error", code="SYSTEM_ERROR")
    answer = served.use(code)
    assert (answer.status, answer.json()) == (500, {"code": "SYSTEM_ERROR"})
    assert state(served, code) == "SENT"


@pytest.mark.parametrize("kind", ["bad_signature", "wrong_serial"])
def test_a_fault_of_the_signature_spoils_what_was_done(served: Served, kind: str) -> None:
    code = served.coupon()
    arm(served, kind)
    answer = served.use(code)
    assert answer.header("Token-Signature") == f"00000{kind}"
    assert state(served, code) == "USED"


def test_a_probe_has_the_platforms_own_form(served: Served) -> None:
    arm(served, "bad_signature", probe=True)
    assert served.use("none").header("Token-Signature") == "PROBEbad_signature"


def test_a_stale_timestamp_is_validly_signed_six_minutes_ago(served: Served) -> None:
    arm(served, "stale_timestamp")
    answer = served.use("none")
    at = answer.header("Token-TIME") or ""
    assert answer.header("Token-Signature") == sign(served.key, answer.content, at)
    age = datetime.fromisoformat(served.told("GET", "/clock")["now"]) - datetime.fromisoformat(at)
    assert timedelta(minutes=6) <= age < timedelta(minutes=7)


def test_a_delay_holds_up_nobody_else(served: Served) -> None:
    arm(served, "delay", seconds=0.3, match=USE)
    order: list[str] = []

    def slow() -> None:
        served.use("none")
        order.append("slow")

    thread = threading.Thread(target=slow)
    thread.start()
    while served.told("GET", "/faults")["faults"]:
        pass  # until the slow request has met its fault
    served.send("GET", "/v1/coupons/none")
    order.append("quick")
    thread.join()
    assert order == ["quick", "slow"]


def test_a_client_that_leaves_during_a_delay_takes_nothing_with_it(served: Served) -> None:
    code = served.coupon()
    arm(served, "delay", seconds=60)
    parts = urlsplit(served.platform)
    body = b'{"code": "%s", "request_no": "r1"}' % code.encode()
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=0.2) as line:
        line.sendall(
            b"POST /v1/coupons/use HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nToken-Signature: %s\r\n\r\n%s"
            % (len(body), sign(served.key, body, "").encode(), body)
        )
        with pytest.raises(TimeoutError):
            line.recv(1)
    assert state(served, code) == "USED"


def test_a_fault_waits_for_what_it_matches(served: Served) -> None:
    arm(served, "error", code="BUSY", match=USE)
    assert served.send("GET", "/v1/coupons/none").status == 404
    assert served.use("none").json()["code"] == "BUSY"
    assert served.use("none").json()["code"] == "NOT_USABLE"


def test_a_fault_without_a_match_meets_the_next_request_whatever_it_is(served: Served) -> None:
    arm(served, "error", code="BUSY")
    assert served.send("GET", "/v1/coupons/none").json()["code"] == "BUSY"


def test_faults_strike_in_their_order_and_as_often_as_told(served: Served) -> None:
    arm(served, "error", code="FIRST", times=2)
    arm(served, "error", code="SECOND")
    told = [served.use("none").json()["code"] for _ in range(4)]
    assert told == ["FIRST", "FIRST", "SECOND", "NOT_USABLE"]


def test_a_request_of_the_control_api_meets_no_fault(served: Served) -> None:
    arm(served, "drop_before")
    served.coupon()
    assert len(served.told("GET", "/faults")["faults"]) == 1
