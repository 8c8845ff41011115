"""Electronic receipts at the emulated host: one for each transaction that was done (sheet 3.2, 4.8)."""

from __future__ import annotations

import hashlib
from typing import Final

from unicom_coupon_adapters.unionpay_pos.emulation.redemptions import RETURNED, SUCCESS, VOIDED, kept
from unicom_coupon_adapters.unionpay_pos.emulation.world import Decline, Request, Told
from unicom_coupon_adapters.unionpay_pos.tlv import parse_signature_tags

RECEIPT: Final = "receipt"


def is_receipt(request: Request) -> bool:
    """Whether a message is a receipt in one part. It has a MAC."""
    return (request.message.mti, request.kind.kind, request.kind.network) == ("0820", "07", "800")


def take(request: Request) -> Told:
    """Keep the receipt. The same again is 00, another for the same transaction 94. Raises ``Decline``."""
    message = request.message
    tags = parse_signature_tags(message.data(55))
    digest = hashlib.sha256(message.data(55) + message.data(62)).hexdigest()
    transaction = kept(request.world, request.key)
    if transaction is None or transaction["state"] not in {SUCCESS, VOIDED, RETURNED}:
        raise Decline("25")
    if transaction["reference"] != message.text(37) or transaction["clearing"] != message.text(15):
        raise Decline("25")
    if transaction["amount"] != request.amount:
        raise Decline("64")
    known = request.store.get(RECEIPT, request.key)
    if known is not None and known["digest"] != digest:
        raise Decline("94")
    shown = {tag: value.hex().upper() for tag, value in tags.items()}
    request.store.put(RECEIPT, request.key, {"digest": digest, "tags": shown, "image_bytes": len(message.data(62))})
    return Told(fields={37: transaction["reference"]})
