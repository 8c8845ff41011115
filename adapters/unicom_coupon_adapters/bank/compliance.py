"""The bank's compliance shim: for each field, whether it may be sent, kept and logged, and for how long.

Classes of JR/T 0171-2020 (sheet §6, our reading): C3 is authentication data (one-time codes): sent encrypted, never
kept, never logged. C2 is identity and account data: kept only in the ledger's sealed columns, shown masked. C1 is
internal data. The supervisor is the NFRA (国家金融监督管理总局), which replaced the CBIRC (银保监会) in 2023; its data
rules are 金规〔2024〕24号. GB/T 22239 wants audit records for at least six months; what ties a redemption to a bill is
kept for five years, as bills are.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from unicom_coupon_sdk.platform.compliance import ComplianceShim, FieldRule

FIVE_YEARS = 1827
SIX_MONTHS = 183


class DataClass(StrEnum):
    """The classes of JR/T 0171-2020."""

    C3 = "C3"
    C2 = "C2"
    C1 = "C1"


_CLASSES = {
    DataClass.C3: "JR/T 0171-2020 C3; JR/T 0092-2019; sheet §3.9",
    DataClass.C2: "JR/T 0171-2020 C2; NFRA 金规〔2024〕24号; PIPL art. 6, 19",
    DataClass.C1: "JR/T 0171-2020 C1",
}


def _rules(names: str, of: DataClass, *, send: bool, keep_days: int, log: bool, note: str = "") -> Iterable[FieldRule]:
    for name in names.split():
        yield FieldRule(field=name, send=send, keep_days=keep_days, log=log, source=_CLASSES[of], note=note)


_TABLE: tuple[FieldRule, ...] = (
    *_rules("smsCode", DataClass.C3, send=True, keep_days=0, log=False, note="inside encryptSms only"),
    *_rules("encryptSms encryptMobile encryptTerminalInfo encryptIdentity encryptTradeAddressInfo encryptKey",
            DataClass.C3,
            send=True, keep_days=0, log=False, note="SM4 under a key of one request"),
    *_rules("smsToken sms_token", DataClass.C3, send=True, keep_days=0, log=False, note="sealed with its challenge"),
    *_rules("mobile", DataClass.C2, send=True, keep_days=0, log=False, note="inside encryptMobile only"),
    *_rules("couponCode couponCodes", DataClass.C2, send=True, keep_days=0, log=False, note="sealed in the ledger"),
    *_rules("device_type device_id device_ip", DataClass.C2,
            send=True, keep_days=0, log=False, note="inside encryptTerminalInfo only"),
    *_rules("authCode openId buyerLogonId", DataClass.C2, send=True, keep_days=0, log=False),
    *_rules("name idNo idType cardNo", DataClass.C2, send=False, keep_days=0, log=False, note="PIPL: never asked for"),
    *_rules("mobileMask", DataClass.C2, send=False, keep_days=0, log=True),
    *_rules("couponCodeMask", DataClass.C2, send=False, keep_days=FIVE_YEARS, log=True, note="in bills"),
    *_rules("orderId cmbOrderId origOrderId origCmbOrderId txnAmt orderOrigAmt refundAmt txnTime bizDate settleDate"
            " tradeState reverseState refundState", DataClass.C2, send=True, keep_days=FIVE_YEARS, log=True),
    *_rules("kind couponBatch merchantShareAmt issuerShareAmt feeAmt netAmt", DataClass.C2,
            send=False, keep_days=FIVE_YEARS, log=True, note="bills only"),
    *_rules("redeemCount redeemAmt reverseCount reverseAmt refundCount sm3OfDetail", DataClass.C1,
            send=False, keep_days=FIVE_YEARS, log=True, note="bills only"),
    *_rules("merId userId storeId termId reqNo templateId binding_no", DataClass.C1,
            send=True, keep_days=FIVE_YEARS, log=True),
    *_rules("scene reason refundReason mchReserved notifyUrl body currencyCode payValidTime billDate billType billStage"
            " couponName faceAmt minTxnAmt validFrom validTo refundOrigAmt refundCouponAmt", DataClass.C1,
            send=True, keep_days=SIX_MONTHS, log=True),
)  # fmt: skip

SHIM = ComplianceShim("bank", _TABLE)
"""The rules of bank apps."""
