"""Verdicts: what a reply says about an operation, as an ``Outcome``; and the bank's times."""

from __future__ import annotations

from datetime import UTC, datetime

from unicom_coupon_adapters.bank.envelopes import Reply
from unicom_coupon_adapters.bank.refusals import CODES
from unicom_coupon_sdk.domain.redemption import Outcome
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import Effected, PlatformRefused, PlatformUnknown

PLATFORM = "bank"
_KEPT = ("cmbOrderId", "bizDate", "settleDate")


def outcome_of(reply: Reply, *, state_field: str, number: str, amount_fen: int) -> Outcome:
    """The verdict in ``state_field``: S done, F and R not, P and anything else not known yet.

    Raises ``PlatformUnknown`` (``bank.answer_other``) when a success is of another order or amount: such a reply is no
    answer to this call.
    """
    state = reply.text(state_field) or reply.text("tradeState") or ""
    if state == "S":
        if reply.text("orderId") != number or reply.text("txnAmt") not in {None, str(amount_fen)}:
            raise PlatformUnknown("bank.answer_other", platform=PLATFORM, reason="orderId")
        refs = {name: value for name in _KEPT if (value := reply.text(name)) is not None}
        return Outcome(
            effected=Effected.DONE,
            at=instant_or_none(reply.text("txnTime")),
            platform_no=reply.text("cmbOrderId"),
            refs=refs,
        )
    if state in {"F", "R"}:
        return not_done(reply.text("errCode") or state)
    return undecided(state)


def not_done(code: str) -> Outcome:
    """It did not happen, by the bank's own record."""
    ours = CODES.get(code, "bank.not_done")
    return Outcome(effected=Effected.NOT_DONE, error=PlatformRefused(ours, platform=PLATFORM, platform_code=code))


def undecided(state: str) -> Outcome:
    """The bank does not know yet (P), or says what is not documented."""
    error = PlatformUnknown("bank.pending", platform=PLATFORM, platform_code=state or None, reason="tradeState")
    return Outcome(effected=Effected.UNKNOWN, error=error)


def moment_text(at: datetime) -> str:
    """``yyyyMMddHHmmss`` in Beijing (sheet §1.2)."""
    return at.astimezone(BEIJING).strftime("%Y%m%d%H%M%S")


def instant_or_none(text: str | None) -> datetime | None:
    """A time of the bank as a UTC instant; ``None`` when there is none that can be read."""
    if text is None or len(text) != 14 or not (text.isascii() and text.isdigit()):
        return None
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING).astimezone(UTC)
    except ValueError:
        return None
