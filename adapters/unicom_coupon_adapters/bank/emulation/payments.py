"""聚合支付, what a coupon's merchant needs: orders, their query and end, refunds and theirs (sheet §1.7 to §1.9).

Choices where the sheet leaves room: a payment code has 18 digits, is used once and lives two minutes; a payment that
waits for its password closes after fifteen; the sealed terminal must be the one of ``termId``, else
DEVICEINFO_NOT_LAWFUL; ``cancel`` outside its time, and of a QR order, is NOT_ALLOWED.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from unicom_coupon_adapters.bank.emulation import callbacks, orders
from unicom_coupon_adapters.bank.emulation.keys import MER_ID, OTHER_MER_ID, USER_ID
from unicom_coupon_adapters.bank.emulation.refusals import Refusal
from unicom_coupon_adapters.bank.emulation.world import Call, World, stamp

QUERY_WINDOW: Final = timedelta(days=15)
CODE_LIFE: Final = timedelta(minutes=2)
CANCEL_FROM: Final = timedelta(seconds=15)
CANCEL_UNTIL: Final = timedelta(days=7)
REFUNDS_AN_ORDER: Final = 50
PAYMENTS: Final = frozenset({"PAY"})


def _check_who(call: Call) -> None:
    if call.text("merId", longest=32) not in {MER_ID, OTHER_MER_ID}:
        raise Refusal("MERID_NOT_EXIST")
    if call.text("userId", longest=32) != USER_ID:
        raise Refusal("USERID_NOT_EXIST")


def qrcodeapply(call: Call) -> Mapping[str, Any]:
    """A QR order. Numbers are unique: a repeat is ORDERID_DUPLICATION, even of the same request (sheet §1.9)."""
    _check_who(call)
    number, amount = call.text("orderId", longest=32), call.amount()
    if orders.find(call.world, orders.key_of(call, number)) is not None:
        raise Refusal("ORDERID_DUPLICATION")
    life = call.text("payValidTime", longest=10, required=False) or "900"
    if not life.isdigit():
        raise Refusal("PAYVALIDTIME_NOT_LAWFUL")
    order = add(
        call.world, mer=call.text("merId"), number=number, amount=amount, url=call.text("notifyUrl"), life_s=int(life),
        reserved=call.text("mchReserved", longest=128, required=False),
    )  # fmt: skip
    return {
        "orderId": number,
        "cmbOrderId": order["bank_number"],
        "qrCode": f"https://qr.95516.com/03080000/1004/{order['bank_number']}",
        "txnTime": stamp(call.world.now()),
    }


def pay(call: Call) -> Mapping[str, Any]:
    """An order paid with a shown code, at once or when the payer has typed a password. Numbers are unique, as above."""
    _check_who(call)
    world, number, amount = call.world, call.text("orderId", longest=32), call.amount()
    code, term, url = call.text("authCode", longest=128), call.text("termId", longest=8), call.text("notifyUrl")
    if call.sealed.get("encryptTerminalInfo", {}).get("device_id") != term:
        raise Refusal("DEVICEINFO_NOT_LAWFUL")
    if orders.find(world, orders.key_of(call, number)) is not None:
        raise Refusal("ORDERID_DUPLICATION")
    shown = world.store.get("payment_code", code)
    if shown is None or shown["used"] or world.now() > datetime.fromisoformat(shown["until"]):
        raise Refusal("AUTHCODE_NOT_LAWFUL")
    if amount > shown["balance"]:
        raise Refusal("NOT_ENOUGH")
    world.store.put("payment_code", code, {**shown, "used": True})
    order = add(
        world, mer=call.text("merId"), number=number, amount=amount, url=url, is_scan=True,
        reserved=call.text("mchReserved", longest=128, required=False),
    )  # fmt: skip
    return _told(world, order if shown["waits"] else settle(world, order))


def orderquery(call: Call) -> Mapping[str, Any]:
    """An order as it stands. An order that nobody paid in its life is closed."""
    _check_who(call)
    _, order = _payment(call, ours="orderId", theirs="cmbOrderId")
    return {**_told(call.world, order), "currencyCode": "156"}


def cancel(call: Call) -> Mapping[str, Any]:
    """An unpaid order of ``pay`` cancelled, from 15 s after it, for 7 days; again, the same."""
    _check_who(call)
    key, order = _payment(call, ours="origOrderId", theirs="origCmbOrderId")
    age = call.world.now() - datetime.fromisoformat(order["at"])
    if not order["is_scan"] or not CANCEL_FROM <= age <= CANCEL_UNTIL:
        raise Refusal("NOT_ALLOWED")
    return {"cancelState": _ended(call, key, order, letter="D"), **_ending(call, order)}


def close(call: Call) -> Mapping[str, Any]:
    """An unpaid order closed; again, the same."""
    _check_who(call)
    key, order = _payment(call, ours="origOrderId", theirs="origCmbOrderId")
    _ended(call, key, order, letter="C")
    return {"closeState": "C", **_ending(call, order)}


def _ended(call: Call, key: str, order: Mapping[str, Any], *, letter: str) -> str:
    """The letter that an unpaid order has now; the first end stands. Raises ``ORDER_PAID``."""
    state = state_of(call.world, order)
    if state in {"S", "R"}:
        raise Refusal("ORDER_PAID")
    ended = letter if state == "P" else state
    orders.put(call.world, key, {**order, "state": ended})
    return ended


def _ending(call: Call, order: Mapping[str, Any]) -> dict[str, Any]:
    return {"origOrderId": order["order_id"], "txnTime": stamp(call.world.now())}


def _told(world: World, order: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "orderId": order["order_id"],
        "cmbOrderId": order["bank_number"],
        "txnAmt": str(order["amount"]),
        "dscAmt": "0",
        "payType": "EC",
        "tradeState": state_of(world, order),
        "txnTime": stamp(datetime.fromisoformat(order["at"])),
    }


def refund(call: Call) -> Mapping[str, Any]:
    """A refund, whole or in part, at most fifty an order; once by its number."""
    _check_who(call)
    number = call.text("orderId", longest=32)
    stored = orders.repeat(call, number)
    if stored is not None:
        return stored
    world = call.world
    key, order = _payment(call, ours="origOrderId", theirs="origCmbOrderId")
    amount = call.amount("refundAmt")
    if state_of(world, order) not in {"S", "R"}:
        raise Refusal("UNPAIED_ORDER")
    if call.amount() != order["amount"]:
        raise Refusal("TXNAMT_ERROR")
    if order["refunded"] + amount > order["amount"]:
        raise Refusal("REFUNDAMT_ERROR")
    if order["refunds"] >= REFUNDS_AN_ORDER:
        raise Refusal("NOT_ALLOWED")
    told = {
        "orderId": number, "cmbOrderId": world.bank_number(), "refundAmt": str(amount), "refundDscAmt": "0",
        "refundState": "S", "txnTime": stamp(world.now()),
    }  # fmt: skip
    refunded = order["refunded"] + amount
    state = "R" if refunded == order["amount"] else "S"
    orders.put(world, key, {**order, "refunded": refunded, "refunds": order["refunds"] + 1, "state": state})
    made = {
        "kind": "REFUND", "order_id": number, "bank_number": told["cmbOrderId"], "state": "S", "reply": told,
        "fingerprint": orders.fingerprint(call), "at": world.now().isoformat(), "amount": amount, "refusal": "",
        "day": world.today().isoformat(), "mer": order["mer"], "orig": order["order_id"],
    }  # fmt: skip
    orders.put(world, orders.key_of(call, number), made)
    news = {"merId": order["mer"], **told, "currencyCode": "156", "payType": "EC"}
    callbacks.payment_news(world, "refund.success", news, url=call.biz.get("notifyUrl") or order["notify_url"])
    return told


def refundquery(call: Call) -> Mapping[str, Any]:
    """A refund; its state is under ``tradeState`` here (sheet §1.12)."""
    _check_who(call)
    _, order = orders.by_number(call, ours="orderId", theirs="cmbOrderId")
    if order["kind"] != "REFUND":
        raise Refusal("ORDERID_NOT_EXIST")
    told = {name: value for name, value in order["reply"].items() if name != "refundState"}
    return {**told, "currencyCode": "156", "tradeState": order["state"]}


def add(
    world: World,
    *,
    mer: str,
    number: str,
    amount: int,
    url: str,
    life_s: int = 900,
    reserved: str = "",
    is_scan: bool = False,
) -> dict[str, Any]:
    """A new order, not paid yet. ``is_scan``: the till scanned the payer's code, and not the payer the till's."""
    now = world.now()
    order: dict[str, Any] = {
        "kind": "PAY", "order_id": number, "bank_number": world.bank_number(), "state": "P", "refusal": "", "reply": {},
        "fingerprint": "", "at": now.isoformat(), "amount": amount, "day": world.today().isoformat(), "mer": mer,
        "notify_url": url, "refunded": 0, "refunds": 0, "reserved": reserved,
        "until": (now + timedelta(seconds=life_s)).isoformat(), "is_scan": is_scan,
    }  # fmt: skip
    orders.put(world, f"{mer}/{number}", order)
    return order


def show_code(world: World, balance: int, *, waits: bool) -> str:
    """What a payer does: a new payment code, good for ``balance`` fen; ``waits`` for the password then."""
    code = f"28{world.digits(16)}"
    until = (world.now() + CODE_LIFE).isoformat()
    world.store.put("payment_code", code, {"used": False, "until": until, "balance": balance, "waits": waits})
    return code


def settle(world: World, order: dict[str, Any]) -> dict[str, Any]:
    """What a payer does: the order is paid, and the merchant hears of it."""
    if state_of(world, order) != "P":
        raise ValueError("the order cannot be paid any more")
    order = {**order, "state": "S"}
    orders.put(world, f"{order['mer']}/{order['order_id']}", order)
    news = {
        "merId": order["mer"], "orderId": order["order_id"], "cmbOrderId": order["bank_number"],
        "txnAmt": str(order["amount"]), "dscAmt": "0", "currencyCode": "156", "payType": "EC",
        "txnTime": stamp(world.now()), **({"mchReserved": order["reserved"]} if order["reserved"] else {}),
    }  # fmt: skip
    callbacks.payment_news(world, "pay.success", news, url=order["notify_url"])
    return order


def state_of(world: World, order: Mapping[str, Any]) -> str:
    """The order's letter now."""
    late = order["state"] == "P" and world.now() > datetime.fromisoformat(order["until"])
    return "C" if late else str(order["state"])


def _payment(call: Call, *, ours: str, theirs: str) -> tuple[str, dict[str, Any]]:
    key, order = orders.by_number(call, ours=ours, theirs=theirs)
    if order["kind"] not in PAYMENTS:
        raise Refusal("ORDERID_NOT_EXIST")
    if call.world.now() - datetime.fromisoformat(order["at"]) > QUERY_WINDOW:
        raise Refusal("NOT_ALLOWED")
    return key, order
