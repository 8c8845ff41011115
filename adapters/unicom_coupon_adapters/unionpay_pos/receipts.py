"""Electronic receipts: what a slip shows, uploaded to the host as UnionPay's electronic signature (sheet 3.2, 4.8).

The sheet knows no receipt by another name: the message is 0820 with 60.3 ``800``, the slip's parts are tags ``FFxx`` of
field 55, and an image (JBIG: the signature, or the slip itself) is in field 62. It has a MAC, and names its transaction
by batch, trace and reference, so it is told apart from a second copy by nothing else. A coupon's slip has no card part.

How each tag is written is not confirmed beyond one terminal's source; texts are GBK and the time is BCD, as there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from unicom_coupon_adapters.unionpay_pos import messages
from unicom_coupon_adapters.unionpay_pos.answers import PLATFORM, Meaning
from unicom_coupon_adapters.unionpay_pos.frame_errors import refuse
from unicom_coupon_adapters.unionpay_pos.profile import clearing_date
from unicom_coupon_adapters.unionpay_pos.terminal import State, recorded
from unicom_coupon_adapters.unionpay_pos.tlv import parse_signature_tags
from unicom_coupon_adapters.unionpay_pos.transactions import Transactions, instant_of, redeemed_of
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import PlatformRefused
from unicom_coupon_sdk.platform.effects import Flow, Now

MOST_IMAGE: Final = 999
"""Bytes of an image that one message holds; larger ones in parts (802 to 809) are not sent, for want of a source."""

_KIND: Final = "卡券核销"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """What an electronic receipt shows. ``image`` is never kept.

    Raises ``FrameError`` ``unionpay_pos.frame_text`` for texts that GBK has not, ``…frame_length`` for an image that is
    empty or too large.
    """

    merchant_name: str
    image: bytes = field(repr=False)
    operator: str = "01"

    def tags(self, *, at: str, authorization: str | None) -> bytes:
        """Field 55: merchant, kind, operator, ``at`` (YYYYMMDDhhmmss), authorization code."""
        if not 0 < len(self.image) <= MOST_IMAGE:
            refuse("length", field="62", length=len(self.image), largest=MOST_IMAGE)
        if not (len(at) == 14 and at.isascii() and at.isdigit()):
            refuse("digit", field="55.FF06")
        parts = {
            "FF00": _text(self.merchant_name, name="55.FF00"),
            "FF01": _text(_KIND, name="55.FF01"),
            "FF02": _text(self.operator, name="55.FF02"),
            "FF06": bytes.fromhex(at),
        }
        if authorization is not None:
            parts["FF07"] = _text(authorization, name="55.FF07")
        packed = b"".join(bytes.fromhex(tag) + bytes([len(value)]) + value for tag, value in parts.items())
        assert set(parse_signature_tags(packed)) == set(parts)
        return packed


def _text(text: str, *, name: str) -> bytes:
    try:
        raw = text.encode("gbk")
    except UnicodeEncodeError:
        refuse("text", field=name)
    if not 0 < len(raw) <= 60:
        refuse("length", field=name, length=len(raw), largest=60)
    return raw


class Receipts:
    """Uploads the receipts of one terminal's transactions."""

    def __init__(self, transactions: Transactions) -> None:
        self._line = transactions.line

    def upload(self, operation_id: str, slip: Slip) -> Flow[None]:
        """Send the receipt of a transaction that was done; once, by the transaction: afterwards nothing is sent.

        Safe to repeat: the host knows a receipt by its transaction, and its "had it before" is success. Raises
        ``PlatformRefused`` (``unionpay_pos.original_unnamed`` for a transaction that is not done here),
        ``PlatformUnavailable``, and ``PlatformUnknown`` or ``ForgedMessage`` when no answer came that can be believed.
        """
        operation = yield from recorded(operation_id)
        if operation is None or operation.state is not State.DONE or operation.text("reference") is None:
            raise PlatformRefused("unionpay_pos.original_unnamed", platform=PLATFORM, field="redemption")
        if operation.text("receipt"):
            return
        now = yield from Now()
        at = instant_of(operation.note, now=now).astimezone(BEIJING)
        message = messages.receipt(
            self._line.terminal,
            original=redeemed_of(operation),
            clearing=operation.text("clearing") or f"{clearing_date(at):%m%d}",
            tags=slip.tags(at=f"{at:%Y%m%d%H%M%S}", authorization=operation.text("authorization")),
            image=slip.image,
        )
        keys = yield from self._line.signed_on()
        answer = yield from self._line.exchange(message, keys=keys)
        if answer.meaning is Meaning.SIGN_ON:
            yield from self._line.book.drop_keys(keys)
        if answer.code not in {"00", "94"}:
            raise answer.error()
        yield from self._line.book.annotate(operation, receipt="delivered")
