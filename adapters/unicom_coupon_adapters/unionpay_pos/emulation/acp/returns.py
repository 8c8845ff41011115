"""What gives a payment back: undo 31 and refund 04 (sheet 10.4).

An undo is carried out when it is accepted. A refund ends three seconds later, so that its outcome has to be asked for
or waited for, as with UnionPay.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from unicom_coupon_adapters.unionpay_pos.emulation.acp import coupons, transactions
from unicom_coupon_adapters.unionpay_pos.emulation.acp.refusals import Refusal
from unicom_coupon_adapters.unionpay_pos.emulation.acp.world import Call, Document

REFUND_S: Final = 3.0


def undo(call: Call) -> Mapping[str, str]:
    """消费撤销: the whole sum, on the payment's clearing day, before any refund. Raises 35, 36, 45."""
    transactions.check_new(call)
    original, amount = _original(call), call.amount()
    if original["is_undone"] or original["refunded"]:
        raise Refusal("45")
    if original["clearing"] != call.world.clearing().isoformat():
        raise Refusal("35")
    if amount != original["amount"]:
        raise Refusal("36")
    transaction = transactions.begin(call, amount=amount)
    _keep_original(call, original, is_undone=True)
    coupons.give_back(call.world, original["coupon"], number=transaction["order_id"])
    # It takes back what the payment brought, so the coupon counts for both.
    undone = {**transaction, **_named(original), "coupon": original["coupon"]}
    done = transactions.conclude(call.world, undone, code="00")
    return {**transactions.told(done), **transactions.outcome("00")}


def refund(call: Call) -> Mapping[str, str]:
    """退货: at most what is left, any number of times. Raises 35, 36 (more than is left), 45."""
    transactions.check_new(call)
    original, amount = _original(call), call.amount()
    if original["is_undone"] or original["refunded"] == original["amount"]:
        raise Refusal("45")
    if original["refunded"] + amount > original["amount"]:
        raise Refusal("36")
    transaction = transactions.begin(call, amount=amount)
    _keep_original(call, original, refunded=original["refunded"] + amount)
    final_at = call.world.now() + timedelta(seconds=REFUND_S)
    accepted = {**transaction, **_named(original), "final_at": final_at.isoformat()}
    transactions.put(call.world, accepted)
    transactions.tell(call.world, accepted, delay_s=REFUND_S)
    return {**transactions.told(accepted), **transactions.outcome("00")}


def _original(call: Call) -> Document:
    """The payment to give back, by the gateway's number or by ours. Raises 13 and 35."""
    if call.text("origQryId"):
        order_id = (call.store.get(transactions.BY_QUERY_ID, call.text("origQryId")) or {}).get("order_id", "")
        found = transactions.find(call.world, order_id)
    else:
        found = transactions.find(call.world, call.needed("origOrderId"))
        if found is not None and found["txn_time"] != call.needed("origTxnTime"):
            found = None
    if found is None or found["kind"] != "01" or found["state"] != transactions.DONE:
        raise Refusal("35")
    return found


def _keep_original(call: Call, original: Document, **changes: object) -> None:
    transactions.put(call.world, {**original, **changes})


def _named(original: Document) -> dict[str, str]:
    return {"original": original["order_id"], "original_query_id": original["query_id"]}
