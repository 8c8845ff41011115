"""Cancel jobs: what the host has promised to undo, undone in the ledger (sheet 5.3, 9.2).

A job is written before its promise goes out, and closed when the ledger shows that nothing is left to undo and nothing
can come any more. Whoever carries it out, and however often, the ledger's key makes it once.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from unicom_coupon_adapters.unionpay_pos.hosting import book
from unicom_coupon_adapters.unionpay_pos.hosting.book import Stage
from unicom_coupon_sdk.domain.redemption import ReverseRequest
from unicom_coupon_sdk.domain.state import OperationState
from unicom_coupon_sdk.errors import CouponError

if TYPE_CHECKING:
    from unicom_coupon_sdk.client import AsyncCouponClient

LATEST_S: Final = 60.0
"""Seconds after which a message that was received can no longer reach the ledger: its budget, thrice."""


def is_past(found: Mapping[str, Any], *, at: datetime) -> bool:
    """Whether a message can no longer be on its way from here to the ledger."""
    return bool(at.timestamp() >= found.get("at", 0.0) + LATEST_S)


async def run_cancels(client: AsyncCouponClient) -> int:
    """Carry out the cancel jobs that can be; how many are left. What fails stays written and is tried again."""
    left = 0
    for key in await client.run(book.written(book.cancels)):
        left += not await _run(client, key)
    return left


async def _run(client: AsyncCouponClient, key: str) -> bool:
    found = await client.run(book.written(lambda notes: book.transaction(notes, key)))
    assert found is not None, "a job names a transaction"
    try:
        is_done = await _is_undone(client, found)
    except CouponError:
        return False
    if is_done:
        await client.run(book.written(lambda notes: book.close_cancel(notes, key, stage=Stage.CANCELLED)))
    return is_done


async def _is_undone(client: AsyncCouponClient, found: Mapping[str, Any]) -> bool:
    ledger, merchant = client.setting.ledger, client.setting.merchant_id
    redemption = await client.read(ledger.redemption_of_key(merchant, found["idem"]))
    if redemption is None:
        return is_past(found, at=client.clock.now())
    if redemption.state in {OperationState.RELEASED, OperationState.REVERSED}:
        return True
    if redemption.state is not OperationState.DONE:
        redemption = await client.query(redemption.redemption_id)
        if redemption.state is not OperationState.DONE:
            return redemption.state in {OperationState.RELEASED, OperationState.REVERSED}
    key = f"{found['idem'][:56]}.cancel"
    reversal = await client.reverse(ReverseRequest(idempotency_key=key, redemption_id=redemption.redemption_id))
    return reversal.state is OperationState.DONE
