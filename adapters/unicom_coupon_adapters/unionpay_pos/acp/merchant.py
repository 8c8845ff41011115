"""One merchant at UnionPay's online gateway: everything that can be asked of it, in one place."""

from __future__ import annotations

from collections.abc import Mapping

from unicom_coupon_adapters.unionpay_pos.acp.bills import GatewayBills
from unicom_coupon_adapters.unionpay_pos.acp.credentials import AcpKeys
from unicom_coupon_adapters.unionpay_pos.acp.files import Files
from unicom_coupon_adapters.unionpay_pos.acp.gateway import AcpGateway
from unicom_coupon_adapters.unionpay_pos.acp.payments import Payments
from unicom_coupon_adapters.unionpay_pos.acp.settings import AcpSettings
from unicom_coupon_sdk.platform.effects import Flow


class AcpMerchant:
    """``payments`` and ``files`` are flows to run with ``client.run(…)``; ``gateway`` sends any other call.

    ``bills`` are the same files, on disk, for a reconciliation.

    Safe to share between threads and tasks; holds keys and nothing else.
    """

    def __init__(self, settings: AcpSettings, keys: AcpKeys) -> None:
        self.settings = settings
        self.gateway = AcpGateway(settings, keys)
        self.payments = Payments(self.gateway)
        self.files = Files(self.gateway)
        self.bills = GatewayBills(self.files, mer_id=settings.mer_id)

    def customer_fields(self, *, plain: Mapping[str, str], secret: Mapping[str, str]) -> Flow[Mapping[str, str]]:
        """``customerInfo`` and ``encryptCertId`` for the ``more`` of a payment, ``secret`` parts encrypted.

        UnionPay's certificate is fetched where none is at hand. Raises ``ComplianceError``
        (``unionpay_pos.acp_card_data``) for a part that a merchant may not hold: card verification numbers, expiry
        dates, PINs, tracks.
        """
        encryption = yield from self.gateway.encryption()
        sealed = encryption.customer_info(plain=plain, secret=secret)
        return {"customerInfo": sealed, "encryptCertId": encryption.cert_id}
