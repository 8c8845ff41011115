"""Payments: scanned by the merchant, scanned by the payer, and in the payer's browser (sheet 10.4)."""

from __future__ import annotations

import html
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.emulation.acp import coupons, transactions
from unicom_coupon_adapters.unionpay_pos.emulation.acp.refusals import Refusal
from unicom_coupon_adapters.unionpay_pos.emulation.acp.sealed import check_sealed
from unicom_coupon_adapters.unionpay_pos.emulation.acp.world import Call, Document, World
from unicom_coupon_sdk.platform.wire import HttpAnswer

QR: Final = "qr"
QR_LIFE: Final = timedelta(minutes=1)
_QR_SCHEME: Final = "https://qr.95516.com/00010000/"


def scan(call: Call) -> Mapping[str, str]:
    """被扫 01/06: final at once, but for a payer who must type a password (05).

    A code that is unknown, used or older than a minute is 61, a payer with too little money 64; both stay as failed.
    """
    shown = call.needed("qrNo")
    amount = _checked(call, business="000000")
    transaction = transactions.begin(call, amount=amount)
    qr = call.store.get(QR, shown)
    if qr is None or qr["is_used"] or call.world.now() > datetime.fromisoformat(qr["until"]):
        return _answered(transactions.conclude(call.world, transaction, code="61"))
    call.store.put(QR, shown, {**qr, "is_used": True})
    transaction = {**transaction, "payer": qr["holder"], "chosen": qr["code"], "limit_fen": qr["limit_fen"]}
    if qr["needs_password"]:
        transactions.put(call.world, transaction)
        return _answered(transaction)
    return _answered(pay(call.world, transaction, holder=qr["holder"], code=qr["code"], limit_fen=qr["limit_fen"]))


def qr_code(call: Call) -> Mapping[str, str]:
    """主扫 01/07: a code that a payer scans within 15 minutes."""
    transaction = transactions.begin(call, amount=_checked(call, business="000000"))
    text = f"{_QR_SCHEME}{transaction['query_id']}{call.world.digits(10)}"
    transactions.put(call.world, {**transaction, "qr_code": text})
    return {**_accepted(transaction), "qrCode": text}


def front(call: Call) -> HttpAnswer:
    """01/01: the page that a payer's browser is shown; the payment comes by ``deliver``."""
    call.needed("frontUrl")
    transaction = transactions.begin(call, amount=_checked(call, business="000201"))
    return page(f"订单 {transaction['order_id']} 等待支付")


def page(text: str) -> HttpAnswer:
    """A page of UnionPay's cashier."""
    content = f'<!doctype html><html><head><meta charset="utf-8"></head><body><p>{html.escape(text)}</p></body></html>'
    return HttpAnswer(200, (("Content-Type", "text/html;charset=UTF-8"),), content.encode())


def query(call: Call) -> Mapping[str, str]:
    """00/00: a transaction by its number and time, both of which must be right. Raises 34."""
    found = transactions.find(call.world, call.needed("orderId"))
    if found is None or found["txn_time"] != call.needed("txnTime"):
        raise Refusal("34")
    standing = transactions.outcome(found["code"], of="origResp")
    return {**transactions.told(found), **standing, **transactions.outcome("00"), "bizType": "000000"}


def pay(
    world: World, transaction: Document, *, holder: str, code: str | None = None, limit_fen: int | None = None
) -> Document:
    """The payer pays, with the coupon that takes most off or the one called ``code``; 64 above ``limit_fen``."""
    number, amount = transaction["order_id"], transaction["amount"]
    if limit_fen is not None and amount > limit_fen:
        return transactions.conclude(world, transaction, code="64")
    used = coupons.use(world, holder=holder, code=code, amount=amount, number=number)
    return transactions.conclude(world, {**transaction, "payer": holder, "coupon": used}, code="00")


def show(world: World, wish: Mapping[str, Any]) -> dict[str, Any]:
    """A code on the phone of ``holder``, good for a minute and one payment."""
    holder = wish.get("holder")
    if not holder:
        raise ValueError("holder must name the payer")
    qr_no = f"62{world.digits(17)}"
    limit_fen = wish.get("limit_fen")
    if limit_fen is not None and not (isinstance(limit_fen, int) and limit_fen >= 0):
        raise ValueError("limit_fen must be a whole number")
    qr = {
        "holder": holder,
        "code": wish.get("code"),
        "until": (world.now() + QR_LIFE).isoformat(),
        "limit_fen": limit_fen,
        "needs_password": wish.get("needs_password") is True,
        "is_used": False,
    }
    world.store.put(QR, qr_no, qr)
    return {"qr_no": qr_no, "until": qr["until"]}


def _checked(call: Call, *, business: str) -> int:
    """The amount, after what every payment must have was found."""
    for name in ("channelType", "accessType"):
        call.needed(name)
    transactions.check_new(call)
    if call.needed("bizType") != business:
        raise Refusal("10", "报文格式错误[bizType]")
    check_sealed(call)
    return call.amount()


def _answered(transaction: Document) -> Mapping[str, str]:
    return {**transactions.told(transaction), **transactions.outcome(transaction["code"])}


def _accepted(transaction: Document) -> Mapping[str, str]:
    return {**transactions.told(transaction), **transactions.outcome("00")}
