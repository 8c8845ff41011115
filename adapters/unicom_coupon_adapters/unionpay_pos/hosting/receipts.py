"""Electronic receipts at the host: each kept once beside its transaction (sheet 3.2, 4.8).

Kept are the slip's parts, and of the image its SHA-256: it may be a signature, which is nobody's business here, and the
digest is enough to prove later which image came.
"""

from __future__ import annotations

import hashlib
from typing import Final

from unicom_coupon_adapters.unionpay_pos.hosting import book
from unicom_coupon_adapters.unionpay_pos.hosting.asked import Asked, Told
from unicom_coupon_adapters.unionpay_pos.hosting.book import Stage
from unicom_coupon_adapters.unionpay_pos.tlv import parse_signature_tags
from unicom_coupon_sdk.platform.notebook import Notebook

_DONE: Final = frozenset({Stage.APPROVED, Stage.VOIDED})


def is_receipt(asked: Asked) -> bool:
    """Whether a message is a receipt in one part, which has a MAC where other 0820 have none."""
    return (asked.message.mti, asked.kind.kind, asked.kind.network) == ("0820", "07", "800")


def take(notes: Notebook, asked: Asked) -> Told:
    """Keep the receipt: 00, also for its copy; 94 for another one of the same transaction, 25 and 64 without it.

    Raises ``FrameError`` when its parts cannot be read.
    """
    message = asked.message
    tags, image = message.data(55), message.data(62)
    parse_signature_tags(tags)
    found = book.transaction(notes, asked.key)
    if found is None or found["stage"] not in _DONE or found.get("reference") != message.text(37):
        return Told("25")
    if found["amount"] != asked.amount:
        return Told("64")
    receipt = {"tags": tags.hex(), "image": hashlib.sha256(image).hexdigest()}
    kept = notes.opened(f"host/receipt/{asked.key}", first={**receipt, **asked.dated()})
    is_same = all(kept[part] == receipt[part] for part in receipt)
    return Told("00" if is_same else "94", fields={37: found["reference"]})
