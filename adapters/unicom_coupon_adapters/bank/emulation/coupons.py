"""The coupon gateway profile's operations (sheet §3), and the issuer's own, which are this project's.

Check order: merchant, cashier, store, idempotency, coupon, cooperation, amount, one-time code, day limit, burn.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from unicom_coupon_adapters.bank.emulation import callbacks, onetime, orders
from unicom_coupon_adapters.bank.emulation.holdings import (
    DAY_LIMIT,
    check_amount,
    check_usable,
    find,
    give_room,
    record,
    state_of,
    take_room,
    used_today,
)
from unicom_coupon_adapters.bank.emulation.keys import MER_ID, OTHER_MER_ID, USER_ID
from unicom_coupon_adapters.bank.emulation.refusals import Refusal
from unicom_coupon_adapters.bank.emulation.world import BEIJING, Call, World, stamp

PENDING_QUERIES: Final = 3
QUERY_WINDOW: Final = timedelta(days=15)
_REVERSE_UNTIL: Final = (23, 30)


def check_who(call: Call) -> None:
    """Merchant, cashier and store. Raises their refusals."""
    if call.text("merId", longest=32) not in {MER_ID, OTHER_MER_ID}:
        raise Refusal("MERID_NOT_EXIST")
    if call.text("userId", longest=32) != USER_ID:
        raise Refusal("USERID_NOT_EXIST")
    number = call.text("reqNo", longest=32)
    if not (number.isascii() and number.replace("_", "").replace("-", "").isalnum()):
        raise Refusal("UNDEFINED_PRAM")
    store = call.text("storeId", longest=32, required=False)
    if store and not store.startswith("S"):  # the sandbox's cooperation list: every store whose number begins with S
        raise Refusal("STORE_NOT_COOPERATED")


def _check_cooperation(call: Call) -> None:
    if call.biz["merId"] != MER_ID:
        raise Refusal("MERCHANT_NOT_COOPERATED")


def verify(call: Call) -> Mapping[str, Any]:
    """The coupon, unchanged. A coupon of any state is shown; only an unknown one is refused."""
    check_who(call)
    world = call.world
    coupon = find(world, call.text("couponCode", longest=20))
    if "txnAmt" in call.biz:
        check_amount(call, coupon)
    state = state_of(world, coupon)
    balance = 0 if state == "R" else coupon["face"]
    return {
        "couponCode": masked(coupon["code"]),
        "couponState": state,
        "couponName": coupon["name"],
        "faceAmt": str(coupon["face"]),
        "balanceAmt": str(balance),
        "minTxnAmt": str(coupon["min"]),
        "validFrom": stamp(datetime.fromisoformat(coupon["from"])),
        "validTo": stamp(datetime.fromisoformat(coupon["until"]) - timedelta(seconds=1)),
        "cooperation": "Y" if call.biz["merId"] == MER_ID else "N",
        "needSms": "Y",
        "mobileMask": f"{coupon['mobile'][:3]}****{coupon['mobile'][-4:]}" if coupon["mobile"] else "",
        "dayLimitAmt": str(DAY_LIMIT),
        "dayUsedAmt": str(used_today(world, coupon["mobile"], world.today().isoformat())),
    }


def smsapply(call: Call) -> Mapping[str, Any]:
    """A one-time code on its way, once by ``reqNo``."""
    check_who(call)
    stored = orders.repeated_request(call)
    if stored is not None:
        return stored
    coupon = find(call.world, call.text("couponCode", longest=20))
    scene = call.text("scene", longest=8)
    if scene not in {"REDEEM", "REVERSE"}:
        raise Refusal("UNDEFINED_PRAM")
    if scene == "REDEEM":
        check_usable(call, coupon)
    elif coupon["base"] != "R":
        raise Refusal("REVERSE_STATE")
    _check_cooperation(call)
    amount = check_amount(call, coupon)
    if "encryptMobile" in call.biz and call.sealed_text("encryptMobile", "mobile") != coupon["mobile"]:
        raise Refusal("SMS_BINDING_MISMATCH")
    reply = onetime.send(call, coupon, amount=amount, scene=scene)
    record(call.world, coupon, event="sms", number=call.text("reqNo"))
    return orders.keep_request(call, reply)


def redeem(call: Call) -> Mapping[str, Any]:
    """The coupon burnt, once by ``orderId``. A refusal that can never turn is kept as an order in state F."""
    check_who(call)
    number = call.text("orderId", longest=32)
    stored = orders.repeat(call, number)
    if stored is not None:
        return stored
    if number.endswith("_SYN"):
        raise Refusal("SYSTERM_ERROR")
    world = call.world
    try:
        coupon = find(world, call.text("couponCode", longest=20))
        check_usable(call, coupon)
        _check_cooperation(call)
        amount = check_amount(call, coupon)
        onetime.spend(call, coupon, amount=amount, scene="REDEEM")
        take_room(world, coupon["mobile"], amount, day=world.today().isoformat())
    except Refusal as refusal:
        if refusal.is_final:
            orders.keep_refusal(call, number, refusal, kind="REDEEM")
        raise
    return _burn(call, coupon, number=number, amount=amount)


def _burn(call: Call, coupon: dict[str, Any], *, number: str, amount: int) -> Mapping[str, Any]:
    world = call.world
    settles, provisional = orders.settle_day(world.today())
    state = "P" if number.endswith(("_PND", "_PNF")) else "S"
    reply = {
        "orderId": number,
        "cmbOrderId": world.bank_number(),
        "tradeState": state,
        "txnAmt": str(amount),
        "txnTime": stamp(world.now()),
        "bizDate": world.today().strftime("%Y%m%d"),
        "settleDate": settles.strftime("%Y%m%d"),
        **({"settleProvisional": "Y"} if provisional else {}),
        "couponState": "R" if state == "S" else "L",
        "balanceAmt": "0" if state == "S" else str(coupon["face"]),
        **({"mchReserved": call.biz["mchReserved"]} if "mchReserved" in call.biz else {}),
    }
    order = {
        "kind": "REDEEM", "order_id": number, "bank_number": reply["cmbOrderId"], "state": state, "refusal": "",
        "reply": reply, "fingerprint": orders.fingerprint(call), "at": world.now().isoformat(), "amount": amount,
        "day": world.today().isoformat(), "code": coupon["code"], "mobile": coupon["mobile"], "queries": 0,
        "mer": call.biz["merId"], "user": call.biz["userId"], "store": call.biz.get("storeId", ""),
        "term": call.biz.get("termId", ""), "batch": coupon["batch"], "face": coupon["face"],
        "reserved": call.biz.get("mchReserved", ""), "notify_url": call.biz.get("notifyUrl", ""),
        "face_name": call.face,
    }  # fmt: skip
    key = orders.key_of(call, number)
    orders.put(world, key, order)
    if state == "S":
        record(world, coupon, event="use", number=number, base="R")
        callbacks.coupon_news(world, order)
    else:
        world.store.put("coupon", coupon["code"], {**coupon, "base": "P"})
    return reply


def reverse(call: Call) -> Mapping[str, Any]:
    """A redemption of the same business day undone before 23:30; its room in the day's limit is given back."""
    check_who(call)
    number = call.text("orderId", longest=32)
    stored = orders.repeat(call, number)
    if stored is not None:
        return stored
    world = call.world
    try:
        key, redeemed = orders.by_number(call, ours="origOrderId", theirs="origCmbOrderId")
        _check_reversible(call, redeemed)
    except Refusal as refusal:
        if refusal.is_final:
            orders.keep_refusal(call, number, refusal, kind="REVERSE")
        raise
    reply = {
        "orderId": number,
        "cmbOrderId": world.bank_number(),
        "reverseState": "S",
        "txnAmt": str(redeemed["amount"]),
        "txnTime": stamp(world.now()),
    }
    coupon = find(world, redeemed["code"])
    record(world, coupon, event="return", number=number, base="A")
    give_room(world, redeemed["mobile"], redeemed["amount"], day=redeemed["day"])
    reply["couponState"] = state_of(world, find(world, redeemed["code"]))
    order = {
        **redeemed, "kind": "REVERSE", "order_id": number, "bank_number": reply["cmbOrderId"], "state": "S",
        "reply": reply, "fingerprint": orders.fingerprint(call), "at": world.now().isoformat(),
        "orig": redeemed["order_id"], "notify_url": redeemed["notify_url"],
    }  # fmt: skip
    orders.put(world, orders.key_of(call, number), order)
    orders.put(world, key, {**redeemed, "state": "R", "reversed_by": number})
    callbacks.coupon_news(world, order)
    return reply


def _check_reversible(call: Call, redeemed: Mapping[str, Any]) -> None:
    world = call.world
    if redeemed["kind"] != "REDEEM" or redeemed["state"] != "S":
        raise Refusal("REVERSE_STATE")
    if call.amount() != redeemed["amount"]:
        raise Refusal("REVERSE_AMOUNT")
    local = world.now().astimezone(BEIJING)
    if world.today().isoformat() != redeemed["day"] or (local.hour, local.minute) >= _REVERSE_UNTIL:
        raise Refusal("REVERSE_WINDOW_CLOSED")


def query(call: Call) -> Mapping[str, Any]:
    """An order by either number. A pending one is decided after three queries."""
    check_who(call)
    world = call.world
    key, order = orders.by_number(call, ours="orderId", theirs="cmbOrderId")
    if order["kind"] not in {"REDEEM", "REVERSE"}:
        raise Refusal("ORDERID_NOT_EXIST")
    if world.now() - datetime.fromisoformat(order["at"]) > QUERY_WINDOW:
        raise Refusal("QUERY_WINDOW_CLOSED")
    if order["state"] == "P":
        order = _decided(world, key, order)
    told = {**order["reply"], "orderId": order["order_id"], "tradeState": order["state"], "kind": order["kind"]}
    if order["state"] == "F":
        told["errCode"] = order["refusal"] or "NOT_ALLOWED"
    if "reversed_by" in order:
        told["reversedBy"] = order["reversed_by"]
    return told


def _decided(world: World, key: str, order: dict[str, Any]) -> dict[str, Any]:
    order = {**order, "queries": order["queries"] + 1}
    if order["queries"] > PENDING_QUERIES:
        coupon = find(world, order["code"])
        done = order["order_id"].endswith("_PND")
        order["state"] = "S" if done else "F"
        order["reply"] = {**order["reply"], "tradeState": order["state"], "couponState": "R" if done else "A"}
        if done:
            record(world, coupon, event="use", number=order["order_id"], base="R")
            callbacks.coupon_news(world, order)
        else:
            record(world, coupon, event="fail", number=order["order_id"], base="A")
            give_room(world, order["mobile"], order["amount"], day=order["day"])
    orders.put(world, key, order)
    return order


# --- the issuer's operations: this project's extension ---


def register(call: Call) -> Mapping[str, Any]:
    """Codes that the issuer has issued. Once by ``reqNo``; a code that is there already is refused."""
    check_who(call)
    stored = orders.repeated_request(call)
    if stored is not None:
        return stored
    _check_cooperation(call)
    world = call.world
    codes = call.biz.get("couponCodes")
    if (
        not isinstance(codes, list)
        or not 0 < len(codes) <= 200
        or not all(isinstance(c, str) and 6 <= len(c) <= 20 for c in codes)
    ):
        raise Refusal("UNDEFINED_PRAM")
    if any(world.store.get("coupon", code) is not None for code in codes):
        raise Refusal("NOT_ALLOWED")
    made = {
        "mobile": "", "batch": call.text("templateId", longest=32), "name": call.text("couponName", longest=64),
        "face": call.amount("faceAmt"), "min": int(call.text("minTxnAmt", longest=13)), "base": "A", "bank": "cmb",
        "from": _moment(call.text("validFrom")).isoformat(),
        "until": (_moment(call.text("validTo")) + timedelta(seconds=1)).isoformat(), "history": [],
    }  # fmt: skip
    for code in codes:
        record(world, {**made, "code": code}, event="issue", number=call.text("reqNo"))
    return orders.keep_request(call, {"count": str(len(codes))})


def bind(call: Call) -> Mapping[str, Any]:
    """A code given to a mobile. Once by ``reqNo``; another holder's coupon is refused."""
    check_who(call)
    stored = orders.repeated_request(call)
    if stored is not None:
        return stored
    coupon = find(call.world, call.text("couponCode", longest=20))
    mobile = call.sealed_text("encryptMobile", "mobile")
    if not (len(mobile) == 11 and mobile.isascii() and mobile.isdigit()):
        raise Refusal("UNDEFINED_PRAM")
    if coupon["mobile"] not in {"", mobile} or coupon["base"] != "A":
        raise Refusal("NOT_ALLOWED")
    record(call.world, coupon, event="bind", number=call.text("reqNo"), mobile=mobile)
    return orders.keep_request(call, {"couponCode": masked(coupon["code"])})


def void(call: Call) -> Mapping[str, Any]:
    """An unused code withdrawn. Once by ``reqNo``; a used one is refused."""
    check_who(call)
    stored = orders.repeated_request(call)
    if stored is not None:
        return stored
    coupon = find(call.world, call.text("couponCode", longest=20))
    if coupon["base"] in {"R", "P"}:
        raise Refusal("COUPON_USED")
    record(call.world, coupon, event="void", number=call.text("reqNo"), base="V")
    return orders.keep_request(call, {"couponState": "V", "txnTime": stamp(call.world.now())})


def masked(code: str) -> str:
    """First four and last four."""
    return f"{code[:4]}{'*' * (len(code) - 8)}{code[-4:]}" if len(code) > 8 else "***"


def day_of(text: str) -> date:
    """A ``yyyyMMdd``. Raises ``UNDEFINED_PRAM``."""
    try:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=BEIJING).date()
    except ValueError:
        raise Refusal("UNDEFINED_PRAM") from None


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING).astimezone(UTC)
    except ValueError:
        raise Refusal("UNDEFINED_PRAM") from None
