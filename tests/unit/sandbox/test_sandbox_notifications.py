"""Callbacks: sent, repeated on schedule, doubled, swallowed, spoiled; and never off this machine."""

from __future__ import annotations

import socket
from datetime import datetime

from tests.unit.sandbox.conftest import Merchant, Served
from tests.unit.sandbox.tokenpay import sign

from unicom_coupon_sdk.platform.wire import HttpAnswer, HttpRequest
from unicom_coupon_sdk.sandbox import Sandbox


def arm(served: Served, kind: str, **more: object) -> None:
    served.told("POST", "/faults", {"platform": "tokenpay", "kind": kind, **more})


def listed(served: Served) -> list[tuple[str, int, str]]:
    found = served.told("GET", "/notifications")["notifications"]
    return [(entry["event"], entry["attempts"], entry["state"]) for entry in found]


def send_callbacks(served: Served, merchant: Merchant, *, count: int = 1, **more: object) -> None:
    wish = {"platform": "tokenpay", "callbacks": count, "event": "COUPON.USE", "url": merchant.url, **more}
    served.told("POST", "/deliveries", wish)


def settle(served: Served) -> None:
    """Until what is due has been delivered: a clock that does not move still waits for that."""
    served.told("POST", "/clock", {"advance_s": 0})


def test_a_use_is_told_to_the_url_of_its_request(served: Served, merchant: Merchant) -> None:
    code = served.coupon()
    served.use(code, notify_url=merchant.url)
    settle(served)
    assert [body["code"] for _, body in merchant.received] == [code]
    assert listed(served) == [("COUPON.USE", 1, "delivered")]


def test_a_registered_address_is_used_when_the_request_names_none(served: Served, merchant: Merchant) -> None:
    served.told("POST", "/callbacks", {"platform": "tokenpay", "url": merchant.url + "/all"})
    served.told("POST", "/callbacks", {"platform": "tokenpay", "url": merchant.url, "event": "COUPON.USE"})
    served.use(served.coupon())
    settle(served)
    (entry,) = served.told("GET", "/notifications")["notifications"]
    assert entry["url"] == merchant.url


def test_without_any_address_nothing_is_sent(served: Served) -> None:
    served.use(served.coupon())
    assert listed(served) == []


def test_a_refused_callback_is_repeated_on_schedule_signed_anew(served: Served, merchant: Merchant) -> None:
    merchant.answers = [500, 404]
    send_callbacks(served, merchant)
    settle(served)
    assert listed(served) == [("COUPON.USE", 1, "pending")]
    served.told("POST", "/clock", {"advance_s": 14})
    assert len(merchant.received) == 1
    served.told("POST", "/clock", {"advance_s": 2})
    assert len(merchant.received) == 2
    served.told("POST", "/clock", {"advance_s": 31})
    assert listed(served) == [("COUPON.USE", 3, "delivered")]
    times = [datetime.fromisoformat(dict(headers)["Token-TIME"]) for headers, _ in merchant.received]
    assert [round((later - times[0]).total_seconds()) for later in times] == [0, 15, 45]
    assert len({body["id"] for _, body in merchant.received}) == 1


def test_a_callback_nobody_accepts_is_given_up_at_the_end_of_its_schedule(served: Served, merchant: Merchant) -> None:
    merchant.answers = [500] * 9
    send_callbacks(served, merchant)
    served.told("POST", "/clock", {"advance_s": 86400})
    assert listed(served) == [("COUPON.USE", 4, "failed")]


def test_a_merchant_that_is_not_there_counts_as_not_accepted(served: Served) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
        send_callbacks(served, Merchant(url=url))
        settle(served)
    assert listed(served) == [("COUPON.USE", 1, "pending")]


def test_deliver_sends_what_is_pending_before_it_is_due(served: Served, merchant: Merchant) -> None:
    merchant.answers = [500]
    send_callbacks(served, merchant)
    settle(served)
    told = served.told("POST", "/notifications/deliver", {})["notifications"]
    assert [(entry["attempts"], entry["state"]) for entry in told] == [(2, "delivered")]
    assert served.told("POST", "/notifications/deliver", {}) == {"notifications": []}


def test_a_moved_clock_delivers_what_expiries_cause(served: Served, merchant: Merchant) -> None:
    served.told("POST", "/callbacks", {"platform": "tokenpay", "url": merchant.url})
    served.coupon(valid_days=1)
    served.told("POST", "/clock", {"advance_s": 2 * 86400})
    assert merchant.events() == ["COUPON.EXPIRE"]


def test_a_duplicate_is_the_same_callback_twice(served: Served, merchant: Merchant) -> None:
    arm(served, "duplicate_notification")
    send_callbacks(served, merchant)
    settle(served)
    assert [body["id"] for _, body in merchant.received] == ["EV-1", "EV-1"]
    assert listed(served) == [("COUPON.USE", 2, "delivered")]


def test_a_swallowed_notification_is_never_sent(served: Served, merchant: Merchant) -> None:
    arm(served, "no_notification", match="/v1/coupons/use")
    code = served.coupon()
    assert served.use(code, notify_url=merchant.url).status == 200
    settle(served)
    assert (merchant.received, listed(served)) == ([], [])


def test_a_notification_fault_can_name_the_event(served: Served, merchant: Merchant) -> None:
    arm(served, "no_notification", match="COUPON.EXPIRE")
    send_callbacks(served, merchant)
    settle(served)
    assert merchant.events() == ["COUPON.USE"]
    assert len(served.told("GET", "/faults")["faults"]) == 1


def test_the_signature_of_a_callback_can_be_spoiled_by_its_event(served: Served, merchant: Merchant) -> None:
    arm(served, "bad_signature", match="COUPON.USE")
    send_callbacks(served, merchant, count=2)
    settle(served)
    signatures = sorted(dict(headers)["Token-Signature"] == "00000bad_signature" for headers, _ in merchant.received)
    assert signatures == [False, True]


def test_an_acknowledgement_that_is_not_heard_brings_the_callback_again(served: Served, merchant: Merchant) -> None:
    arm(served, "drop_after", match="COUPON.USE")
    send_callbacks(served, merchant)
    served.told("POST", "/clock", {"advance_s": 16})
    assert [body["id"] for _, body in merchant.received] == ["EV-1", "EV-1"]


def test_a_lost_callback_comes_on_the_next_attempt(served: Served, merchant: Merchant) -> None:
    arm(served, "drop_before", match="COUPON.USE")
    send_callbacks(served, merchant)
    settle(served)
    assert merchant.received == []
    served.told("POST", "/clock", {"advance_s": 16})
    assert merchant.events() == ["COUPON.USE"]


def test_a_delayed_callback_waits_in_simulated_time(served: Served, merchant: Merchant) -> None:
    arm(served, "delay", match="COUPON.USE", seconds=300)
    send_callbacks(served, merchant)
    settle(served)
    assert merchant.received == []
    served.told("POST", "/clock", {"advance_s": 301})
    assert merchant.events() == ["COUPON.USE"]


def test_callbacks_keep_the_case_and_order_of_their_headers_and_a_true_signature(
    served: Served, merchant: Merchant
) -> None:
    send_callbacks(served, merchant)
    settle(served)
    ((headers, body),) = merchant.received
    names = [name for name, _ in headers]
    assert names.index("Content-Type") < names.index("Token-TIME") < names.index("Token-Signature")
    import json

    given = dict(headers)
    assert given["Token-Signature"] == sign(served.key, json.dumps(body).encode(), given["Token-TIME"])


def test_no_callback_leaves_this_machine(served: Served) -> None:
    for url in ("http://example.com/x", "http://10.0.0.1/", "ftp://127.0.0.1/", "http://127.0.0.1.example.com/", "x"):
        answer = served.ask("POST", "/callbacks", {"platform": "tokenpay", "url": url})
        assert (answer.status, answer.json()["type"]) == (400, "urn:unicom-coupon:sandbox.callback_url")
    send_callbacks(served, Merchant(url="https://example.com/notify"))
    served.told("POST", "/notifications/deliver", {})
    assert listed(served) == [("COUPON.USE", 0, "blocked")]


def test_a_callback_that_cannot_be_made_holds_up_no_other(served: Served, merchant: Merchant) -> None:
    send_callbacks(served, merchant, unrenderable=True)
    send_callbacks(served, merchant)
    served.told("POST", "/clock", {"advance_s": 86400})
    assert listed(served) == [("COUPON.USE", 4, "failed"), ("COUPON.USE", 1, "delivered")]


def test_a_merchant_may_use_the_platform_while_it_takes_a_callback(sandbox: Sandbox) -> None:
    seen: list[object] = []

    def merchant(request: HttpRequest) -> HttpAnswer:
        seen.append(sandbox.control.notifications()[0]["state"])
        sandbox.control.advance(3600)
        return HttpAnswer(200, ())

    sandbox.merchant = merchant
    sandbox.control.deliver("tokenpay", callbacks=1, event="COUPON.USE", url="https://shop.invalid/")
    sandbox.control.deliver_notifications()
    assert seen == ["pending"]
    assert sandbox.control.notifications()[0]["state"] == "delivered"
