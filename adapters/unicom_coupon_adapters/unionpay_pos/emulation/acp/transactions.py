"""The gateway's transactions: each is known by its order number, for ever, and told alike wherever it is told.

Order numbers are unique whatever their ``txnTime`` (stricter than the sheet's key); a query needs both.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.emulation.acp.refusals import Refusal, message
from unicom_coupon_adapters.unionpay_pos.emulation.acp.world import MER_ID, Call, Document, World, clearing_text
from unicom_coupon_sdk.sandbox.emulator import Callback

KIND: Final = "transaction"
BY_QUERY_ID: Final = "query-id"
DONE: Final = "DONE"
OPEN: Final = "OPEN"
FAILED: Final = "FAILED"
PATIENCE: Final = timedelta(minutes=15)
"""How long a payer may take; then the payment is 69. Our choice: the sheet has no figure."""

EVENTS: Final = {"01": "consume.notice", "31": "undo.notice", "04": "refund.notice"}
SCHEDULE_S: Final = (0.0, 60.0, 120.0, 240.0, 480.0, 960.0)
"""Waits before each attempt: at once, then five repeats with growing gaps, whose lengths are unconfirmed."""


def check_new(call: Call) -> None:
    """Nothing, when the request's number is good and new. Raises 12 for one that was used, 10 and 13."""
    order_id, txn_time = call.needed("orderId"), call.needed("txnTime")
    if not (8 <= len(order_id) <= 40 and order_id.isascii() and order_id.isalnum()):
        raise Refusal("10", "报文格式错误[orderId]")
    if not is_time(txn_time):
        raise Refusal("10", "报文格式错误[txnTime]")
    if call.store.get(KIND, order_id) is not None:
        raise Refusal("12")


def begin(call: Call, *, amount: int) -> Document:
    """A new transaction, open, of a request that ``check_new`` has let through."""
    return add(
        call.world,
        order_id=call.text("orderId"),
        txn_time=call.text("txnTime"),
        kind=call.text("txnType"),
        sub_kind=call.text("txnSubType"),
        amount=amount,
        business=call.text("bizType"),
        back_url=call.text("backUrl"),
        reserved=call.text("reqReserved"),
        terminal=call.text("termId"),
    )


def add(world: World, *, order_id: str, txn_time: str, kind: str, sub_kind: str, amount: int, **more: Any) -> Document:
    """A new transaction, open, under numbers of ours."""
    local, number = world.local(), world.store.next_number("transaction")
    transaction: Document = {
        "order_id": order_id,
        "txn_time": txn_time,
        "kind": kind,
        "sub_kind": sub_kind,
        "amount": amount,
        "state": OPEN,
        "code": "05",
        "query_id": f"{local:%Y%m%d%H%M%S}{number % 10**7:07d}",
        "trace_no": f"{number % 10**6:06d}",
        "trace_time": f"{local:%m%d%H%M%S}",
        "clearing": world.clearing().isoformat(),
        "until": (world.now() + PATIENCE).isoformat(),
        "business": "000000",
        "back_url": "",
        "reserved": "",
        "terminal": "",
        "payer": "",
        "coupon": None,
        "refunded": 0,
        "is_undone": False,
        "original": "",
        "original_query_id": "",
        "final_at": "",
        **more,
    }
    put(world, transaction)
    return transaction


def put(world: World, transaction: Mapping[str, Any]) -> None:
    """Write a transaction, findable by the gateway's number too."""
    world.store.put(KIND, transaction["order_id"], transaction)
    world.store.put(BY_QUERY_ID, transaction["query_id"], {"order_id": transaction["order_id"]})


def find(world: World, order_id: str) -> Document | None:
    """The transaction of that number as it stands now: who took too long has failed, what was due is done."""
    found = world.store.get(KIND, order_id)
    if found is None or found["state"] != OPEN:
        return found
    if found["final_at"] and world.now() >= datetime.fromisoformat(found["final_at"]):
        return {**found, "state": DONE, "code": "00"}
    if not found["final_at"] and world.now() > datetime.fromisoformat(found["until"]):
        return {**found, "state": FAILED, "code": "69"}
    return found


def conclude(world: World, transaction: Document, *, code: str) -> Document:
    """The end of a transaction, in this moment's clearing day; a success is told to the merchant."""
    state = DONE if code == "00" else FAILED
    done = {**transaction, "state": state, "code": code, "clearing": world.clearing().isoformat()}
    put(world, done)
    if state == DONE:
        tell(world, done)
    return done


def tell(world: World, transaction: Mapping[str, Any], *, delay_s: float = 0.0) -> None:
    """Queue the notice of a success for the request's ``backUrl``, else for the address registered for it."""
    event = EVENTS[transaction["kind"]]
    url = transaction["back_url"] or world.frame.registered_url(event)
    if url is None:
        return
    plan = (SCHEDULE_S[0] + delay_s, *SCHEDULE_S[1:])
    payload = {"order_id": transaction["order_id"]}
    world.frame.send_callback(Callback(transaction["query_id"], event, url, payload, plan))


def ended(world: World, order_id: str) -> Document:
    """The transaction that a notice is about. A notice tells what is done, so one that is delivered early ends it."""
    found = find(world, order_id)
    assert found is not None, "transactions are never forgotten"
    if found["state"] == OPEN:
        found = {**found, "state": DONE, "code": "00"}
        put(world, found)
    return found


def told(transaction: Mapping[str, Any]) -> dict[str, str]:
    """What answers and notices say of a transaction. ``settleAmt`` is less only by what the merchant itself pays."""
    coupon = transaction["coupon"]
    fields = {
        "bizType": transaction["business"],
        "merId": MER_ID,
        "orderId": transaction["order_id"],
        "txnTime": transaction["txn_time"],
        "txnAmt": str(transaction["amount"]),
        "currencyCode": "156",
        "queryId": transaction["query_id"],
        "traceNo": transaction["trace_no"],
        "traceTime": transaction["trace_time"],
        "reqReserved": transaction["reserved"],
    }
    if transaction["state"] == DONE:
        day = clearing_text(datetime.fromisoformat(transaction["clearing"]).date())
        fields |= {"settleAmt": str(settled(transaction)), "settleCurrencyCode": "156", "settleDate": day}
    if coupon is not None and transaction["kind"] == "01":
        fields["couponInfo"] = coupon["told"]
    if transaction["original_query_id"]:
        fields["origQryId"] = transaction["original_query_id"]
    return fields


def settled(transaction: Mapping[str, Any]) -> int:
    """What the merchant receives, or gives back, before fees."""
    coupon = transaction["coupon"]
    return int(transaction["amount"]) - (coupon["offset"] if coupon and coupon["sponsor"] == MER_ID else 0)


def outcome(code: str, *, of: str = "resp") -> dict[str, str]:
    """``respCode`` and ``respMsg``, or with ``of="origResp"`` those of the transaction that was asked about."""
    return {f"{of}Code": code, f"{of}Msg": f"{message(code)}[{code}]"}


def is_time(text: str) -> bool:
    """Whether ``text`` is YYYYMMDDhhmmss."""
    try:
        datetime.strptime(text, "%Y%m%d%H%M%S")  # noqa: DTZ007 - its shape alone
    except ValueError:
        return False
    return len(text) == 14
