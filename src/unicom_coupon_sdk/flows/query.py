"""Query: how a redemption stands, asking the platform if that is still open."""

from __future__ import annotations

from unicom_coupon_sdk.domain.redemption import Redemption
from unicom_coupon_sdk.errors import PlatformError
from unicom_coupon_sdk.flows.recover import resolve
from unicom_coupon_sdk.flows.setting import Setting
from unicom_coupon_sdk.platform.effects import Flow, Now, Transact


def query(redemption_id: str, *, setting: Setting) -> Flow[Redemption]:
    """The redemption as it is now. One that is open is asked about first; when that fails it is given as it stands.

    Raises ``ValidationError`` (``redemption.unknown``) for an id that is not this merchant's.
    """
    ledger = setting.ledger
    redemption = yield from Transact(ledger.redemption(redemption_id, merchant_id=setting.merchant_id))
    if redemption.is_settled:
        return redemption
    now = yield from Now()
    for item in (yield from Transact(ledger.unsettled_of(redemption_id, before=now))):
        try:
            yield from resolve(item, setting=setting)
        except PlatformError:  # the answer is then what the ledger knows: still open
            continue
    return (yield from Transact(ledger.redemption(redemption_id, merchant_id=setting.merchant_id)))
