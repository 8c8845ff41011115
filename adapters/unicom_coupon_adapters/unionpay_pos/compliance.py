"""UnionPay POS's compliance shim: for each field, whether it may be sent, kept and logged, and for how long.

Card numbers, tracks, PINs, card verification numbers, expiry dates and chip data (fields 2, 14, 23, 26, 35, 36, 52,
53, 55; ``accNo``, ``cardTransData`` and ``pin`` of the online gateway) have no row at all: a coupon needs none, so none
can be sent, kept or logged, and the merchant stays outside the scope of card data (PCI DSS, UPDSS; sheet 13.1). What
may be kept of a card that an acquirer tells us about is ``account_truncated``, made by ``truncated``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.coupon_block import MAGIC, CouponBlock
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.tlv import parse_signature_tags
from unicom_coupon_sdk.errors import ComplianceError
from unicom_coupon_sdk.platform.compliance import ComplianceShim, FieldRule

FIVE_YEARS: Final = 1827

_RECEIPT: Final = "0820"

_BINDING: Final = "sheet §13.3: 银发〔2021〕259号"
_TRACE: Final = "sheet §13.3: 259号文, transactions are complete, true and traceable; kept as long as bills"
_BEARER: Final = "sheet §13.1: the coupon code is a bearer value"
_PERSONAL: Final = "sheet §13.1; PIPL art. 6, 19"
_ACP: Final = "sheet §10.3"
_PCI: Final = "sheet §13.1: PCI DSS, first 6 and last 4 digits at most"


def _rules(names: str, *, send: bool, keep_days: int, log: bool, source: str, note: str = "") -> Iterable[FieldRule]:
    for name in names.split():
        yield FieldRule(field=name, send=send, keep_days=keep_days, log=log, source=source, note=note)


_TABLE: Final = (
    # What names a transaction and its outcome.
    *_rules("3 4 11 22 25 37 38 39 48 49 60 61 63", send=True, keep_days=FIVE_YEARS, log=True, source=_TRACE),
    *_rules("12 13 15 32 44", send=False, keep_days=FIVE_YEARS, log=True, source=_TRACE, note="answers only"),
    # Who we are: the terminal, its merchant, its hardware.
    *_rules("41 42", send=True, keep_days=FIVE_YEARS, log=True, source=_BINDING),
    *_rules(
        "59", send=True, keep_days=0, log=False, source=_BINDING, note="serial, factor and ciphertext, fresh each time"
    ),
    *_rules("terminal_serial", send=True, keep_days=FIVE_YEARS, log=False, source=_BINDING),
    # The coupon.
    *_rules("62", send=True, keep_days=0, log=False, source=_BEARER),
    *_rules("62.VA.01", send=True, keep_days=0, log=False, source=_BEARER, note="sealed in the ledger"),
    *_rules("62.VA.06", send=True, keep_days=0, log=False, source=_PERSONAL, note="last four digits of the phone only"),
    *_rules("62.VA.02 62.VA.03 62.VA.04 62.VA.05 62.VA.07", send=True, keep_days=FIVE_YEARS, log=True, source=_TRACE),
    *_rules("62.VA.08 62.VA.09 62.VA.0A", send=True, keep_days=FIVE_YEARS, log=True, source=_TRACE),
    # An electronic receipt: the clearing day and no chip data, only what a slip shows. Its image is in field 62.
    *_rules(
        "0820.15 0820.55.FF00 0820.55.FF01 0820.55.FF02 0820.55.FF06 0820.55.FF07",
        send=True,
        keep_days=FIVE_YEARS,
        log=True,
        source="sheet §4.8",
        note="receipts only",
    ),
    *_rules("64", send=True, keep_days=0, log=True, source="sheet §13.1: field 64 may be logged"),
    # The online gateway (ACP), by its own names.
    *_rules("version encoding signMethod certId encryptCertId", send=True, keep_days=0, log=True, source=_ACP),
    *_rules(
        "txnType txnSubType bizType channelType accessType", send=True, keep_days=FIVE_YEARS, log=True, source=_ACP
    ),
    *_rules("merId subMerId subMerName subMerAbbr termId", send=True, keep_days=FIVE_YEARS, log=True, source=_BINDING),
    *_rules("termInfo", send=True, keep_days=0, log=False, source=_BINDING, note="exact name unconfirmed"),
    *_rules("orderId txnTime txnAmt currencyCode", send=True, keep_days=FIVE_YEARS, log=True, source=_TRACE),
    *_rules("origQryId origOrderId origTxnTime", send=True, keep_days=FIVE_YEARS, log=True, source=_TRACE),
    *_rules("settleDate fileType certType backUrl frontUrl", send=True, keep_days=0, log=True, source=_ACP),
    *_rules("reqReserved", send=True, keep_days=0, log=False, source=_ACP, note="the merchant's own text, echoed"),
    *_rules("qrNo", send=True, keep_days=0, log=False, source="sheet §10.3", note="authority to pay, for a minute"),
    *_rules("customerInfo", send=True, keep_days=0, log=False, source=_PERSONAL, note="personal parts encrypted"),
    *_rules("order_id txn_time query_id", send=False, keep_days=FIVE_YEARS, log=True, source=_TRACE),
    # References that the ledger keeps by name.
    *_rules(
        "reference trace batch clearing_date local_date local_time authorization unicom_no terminal_no merchant_no",
        send=False,
        keep_days=FIVE_YEARS,
        log=True,
        source=_TRACE,
    ),
    # What an acquirer's file says of a transaction; the coupon's code is masked in it.
    *_rules(
        "merchant terminal rrn mti proc cond type unicom_txn amount_fen fee_fen net_fen resp status orig_batch"
        " orig_trace coupon_masked",
        send=False,
        keep_days=FIVE_YEARS,
        log=True,
        source="sheet §11.4; kept as long as bills",
        note="bills only",
    ),
    *_rules("account_truncated", send=False, keep_days=FIVE_YEARS, log=True, source=_PCI),
    *_rules(
        "key_check_value", send=False, keep_days=FIVE_YEARS, log=True, source="sheet §13.1: check values may be logged"
    ),
)

SHIM: Final = ComplianceShim("unionpay_pos", _TABLE)
"""The rules of UnionPay POS."""


def checked(message: Message) -> Message:
    """``message`` unchanged, when every field and every coupon tag in it may be sent.

    Raises ``ComplianceError`` ``compliance.not_sent`` that names the first that may not, and ``FrameError`` when field
    62 begins like a coupon block and is none.
    """
    parts: dict[str, Any] = {str(number): None for number in message.fields}
    private = message.fields.get(62)
    if isinstance(private, bytes) and private.startswith(MAGIC):
        parts["62"] = {f"62.VA.{tag:02X}": None for tag in CouponBlock.parse(private)}
    if message.mti == _RECEIPT and 55 in message:
        parts = {f"{_RECEIPT}.15" if name == "15" else name: one for name, one in parts.items() if name != "55"}
        parts |= {f"{_RECEIPT}.55.{tag}": None for tag in parse_signature_tags(message.data(55))}
    SHIM.outgoing(parts)
    return message


def truncated(account: str) -> str:
    """The first six and last four digits of a card number, the rest as stars: the most that may be kept or shown.

    A number that is truncated already stays as it is. Raises ``ComplianceError`` ``unionpay_pos.account_shape`` for
    anything that is not 13 to 19 digits, so nothing longer or stranger slips through as "truncated".
    """
    digits = account[:6] + account[-4:]
    middle = account[6:-4]
    if not (13 <= len(account) <= 19 and digits.isascii() and digits.isdigit()):
        raise ComplianceError("unionpay_pos.account_shape", field="account", platform="unionpay_pos")
    if not (set(middle) == {"*"} or (middle.isascii() and middle.isdigit())):
        raise ComplianceError("unionpay_pos.account_shape", field="account", platform="unionpay_pos")
    return f"{account[:6]}{'*' * len(middle)}{account[-4:]}"
