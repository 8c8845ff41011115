"""Payments through the gateway: take money, give it back, and find out what became of either (sheet 10.4, 10.5).

A coupon of UnionPay's or of an issuer is applied inside a payment, and told in its answer or notice. These calls stand
beside the adapter's verbs, for a merchant who also takes the payment by UnionPay. ``client.run(payments.scan(…))``.

After ``PlatformUnknown`` money may have moved: ``outcome`` asks until the gateway knows. It never repeats the payment.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from unicom_coupon_adapters.unionpay_pos.acp.codes import PLATFORM
from unicom_coupon_adapters.unionpay_pos.acp.gateway import AcpGateway
from unicom_coupon_adapters.unionpay_pos.acp.messages import Call
from unicom_coupon_adapters.unionpay_pos.acp.payment import (
    Instruction,
    Kind,
    Payment,
    PaymentState,
    absent,
    moment_of,
    payment_of,
)
from unicom_coupon_adapters.unionpay_pos.profile import clearing_date
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import PlatformRefused, PlatformUnavailable, PlatformUnknown, ValidationError
from unicom_coupon_sdk.platform.effects import Flow, Now, Sleep

PACE_S: Final = (1, 2, 4, 8, 16, 32)
"""The waits before each query of ``outcome``, in seconds; after the last the bill decides (sheet 10.5)."""

_FINAL: Final = frozenset({PaymentState.DONE, PaymentState.FAILED})


@dataclass(frozen=True, slots=True)
class BrowserForm:
    """What the payer's browser posts to UnionPay. Good for one payment."""

    action: str
    fields: Mapping[str, str] = field(repr=False)

    @property
    def page(self) -> str:
        """An HTML page that posts itself."""
        inputs = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in self.fields.items()
        )
        return (
            '<!doctype html><html><head><meta charset="utf-8"></head><body onload="document.forms[0].submit()">'
            f'<form method="post" action="{html.escape(self.action)}" accept-charset="utf-8">{inputs}'
            '<noscript><button type="submit">银联支付 UnionPay</button></noscript></form></body></html>'
        )


class Payments:
    """The payment side of one gateway. ``more`` adds fields that a contract asks for, such as ``termInfo``."""

    def __init__(self, gateway: AcpGateway) -> None:
        self._gateway = gateway
        self._messages = gateway.messages

    def scan(
        self,
        sale: Instruction,
        *,
        qr_no: Secret,
        term_id: str = "",
        reserved: str = "",
        more: Mapping[str, str] | None = None,
    ) -> Flow[Payment]:
        """被扫: the payment of whoever showed the code ``qr_no``, DONE.

        Raises ``PlatformRefused`` and ``PlatformUnavailable`` (nothing was taken) and ``PlatformUnknown``: the payer
        may still be typing a password, or no answer can be trusted. Then ``outcome`` decides.
        """
        call = self._messages.scan(sale, qr_no=qr_no, term_id=term_id, reserved=reserved, more=more)
        return (yield from self._sent(call, sale, state=PaymentState.DONE))

    def qr_code(self, sale: Instruction, *, reserved: str = "", more: Mapping[str, str] | None = None) -> Flow[str]:
        """主扫: the text of a QR code for the payer to scan; how it ends comes by notice or ``query``."""
        fields = yield from self._gateway.send(self._messages.qr_code(sale, reserved=reserved, more=more))
        if not fields.get("qrCode"):
            raise PlatformUnknown("unionpay_pos.acp_answer_other", platform=PLATFORM, reason="qrCode")
        return fields["qrCode"]

    def browser_form(
        self, sale: Instruction, *, front_url: str, reserved: str = "", more: Mapping[str, str] | None = None
    ) -> Flow[BrowserForm]:
        """The form that takes the payer's browser to UnionPay; nothing is sent by us.

        What the browser brings back to ``front_url`` proves nothing: wait for the notice, or ``query``.
        """
        call = self._messages.front(sale, front_url=front_url, reserved=reserved, more=more)
        now = yield from Now()
        return BrowserForm(self._gateway.url(call.door), self._gateway.signed(call, now=now))

    def undo(
        self, instruction: Instruction, *, original: Payment, more: Mapping[str, str] | None = None
    ) -> Flow[Payment]:
        """消费撤销: all of ``original`` taken back; accepted (OPEN), and ``outcome`` says how it ended.

        Only for a payment known to be DONE, on its clearing day (23:00 to 23:00, Beijing), in full, before any refund.
        Raises ``ValidationError`` ``unionpay_pos.acp_original_open``, ``…acp_amount_other``, ``…acp_undo_day`` (refund
        it instead) before anything is sent; else as ``scan``.
        """
        _require_done(original)
        if original.amount_fen != instruction.amount_fen:
            raise ValidationError("unionpay_pos.acp_amount_other", field="amount_fen", platform=PLATFORM)
        now = yield from Now()
        if _clearing_day(original) != f"{clearing_date(now):%m%d}":
            raise ValidationError("unionpay_pos.acp_undo_day", field="original", platform=PLATFORM)
        call = self._messages.undo(instruction, original=original, more=more)
        return (yield from self._sent(call, instruction, state=PaymentState.OPEN))

    def refund(
        self, instruction: Instruction, *, original: Payment, more: Mapping[str, str] | None = None
    ) -> Flow[Payment]:
        """退货: a part of ``original``, or all of it, given back; accepted (OPEN), and ``outcome`` says how it ended.

        Each refund has an instruction of its own. Raises ``ValidationError`` ``unionpay_pos.acp_original_open`` and
        ``…acp_amount_other`` (more than was paid) before anything is sent; else as ``scan``.
        """
        _require_done(original)
        if original.amount_fen is None or instruction.amount_fen > original.amount_fen:
            raise ValidationError("unionpay_pos.acp_amount_other", field="amount_fen", platform=PLATFORM)
        call = self._messages.refund(instruction, original=original, more=more)
        return (yield from self._sent(call, instruction, state=PaymentState.OPEN))

    def query(self, instruction: Instruction) -> Flow[Payment]:
        """How a payment, undo or refund stands. Raises ``PlatformUnavailable``: it could not be asked."""
        call = self._messages.query(instruction.order_id, instruction.txn_time)
        try:
            fields = yield from self._gateway.ask(call)
        except PlatformRefused as error:
            if error.platform_code == "34":
                return absent(instruction)
            # The query was refused, which says nothing of what it asked about.
            raise PlatformUnavailable(error.code, platform=PLATFORM, platform_code=error.platform_code) from error
        # The transaction's own code; respCode is the query's.
        payment = payment_of(fields, code=fields.get("origRespCode", ""), kind="")
        if not payment.is_of(instruction):
            raise PlatformUnavailable("unionpay_pos.acp_answer_other", platform=PLATFORM, reason="txnAmt")
        return payment

    def outcome(self, instruction: Instruction) -> Flow[Payment]:
        """How it ended, DONE or FAILED, asked for up to a minute with growing waits.

        Raises ``PlatformUnknown`` ``unionpay_pos.acp_undecided``: the bill of its clearing day decides
        (``files.fetch``), for "no such transaction" too, since a request may arrive late.
        """
        last = "-"
        for pause_s in PACE_S:
            yield from Sleep(pause_s)
            try:
                payment = yield from self.query(instruction)
            except PlatformUnavailable as error:
                last = error.platform_code or error.code
                continue
            if payment.state in _FINAL:
                return payment
            last = payment.code
        raise PlatformUnknown("unionpay_pos.acp_undecided", platform=PLATFORM, platform_code=last)

    def _sent(self, call: Call, instruction: Instruction, *, state: PaymentState) -> Flow[Payment]:
        fields = yield from self._gateway.send(call)
        asked = {name: call.fields[name] for name in ("txnAmt", "bizType")}
        return payment_of({**asked, **fields}, code=fields["respCode"], kind=call.fields["txnType"], state=state)


def _require_done(original: Payment) -> None:
    if original.state is not PaymentState.DONE or original.kind not in {Kind.PAYMENT, ""}:
        raise ValidationError("unionpay_pos.acp_original_open", field="original", platform=PLATFORM)


def _clearing_day(original: Payment) -> str | None:
    """The clearing day (MMDD) as the gateway told it, else the one of the payment's time."""
    if original.settle_day is not None:
        return original.settle_day
    paid_at = moment_of(original.txn_time)
    return f"{clearing_date(paid_at):%m%d}" if paid_at is not None else None
