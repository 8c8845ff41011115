"""分账: parts of an order's money to others, read back receiver by receiver, and fetched back (sheet 3.2).

A share is one request under the share's id, which also releases what nobody else gets to the merchant: so an order is
shared once, and nothing of it stays frozen. FINISHED is not success: each receiver has a result of its own, and a line
is believed to have ended only by that. Receivers are told apart by their accounts, so each may be named once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from unicom_coupon_adapters.wechatpay import messages
from unicom_coupon_adapters.wechatpay.gateway import Answer, Gateway
from unicom_coupon_adapters.wechatpay.outcomes import instant_or_none, malformed, not_done, text_of, undecided
from unicom_coupon_adapters.wechatpay.trade import Trade, Trades
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.redemption import Outcome
from unicom_coupon_sdk.domain.sharing import (
    HeldShare,
    HeldShareReturn,
    LineResult,
    Receiver,
    ShareLine,
    ShareOutcome,
    ShareRole,
)
from unicom_coupon_sdk.errors import Effected, PlatformRefused, PlatformUnavailable, ValidationError
from unicom_coupon_sdk.platform.effects import Flow, Now

PLATFORM = "wechatpay"
MOST_RECEIVERS = 50
EARLIEST = timedelta(minutes=1)

RELATIONS: Mapping[ShareRole, str] = {
    ShareRole.ISSUER: "BRAND",
    ShareRole.PLATFORM: "SERVICE_PROVIDER",
    ShareRole.USER: "USER",
}
"""How a receiver stands to the merchant, in the platform's words; the sheet does not list them."""

_RETURN_REASONS: Mapping[str, str] = {
    "BALANCE_NOT_ENOUGH": "wechatpay.return_balance",
    "ACCOUNT_ABNORMAL": "wechatpay.return_account",
    "PAYER_ACCOUNT_ABNORMAL": "wechatpay.return_account",
    "TIME_OUT_CLOSED": "wechatpay.return_closed",
}
_LINE_RESULTS: Mapping[object, Effected] = {"SUCCESS": Effected.DONE, "CLOSED": Effected.NOT_DONE}
_ENDED = frozenset(_LINE_RESULTS.values())


class Sharing:
    """Profit sharing of one merchant, over one gateway."""

    def __init__(self, gateway: Gateway, *, trades: Trades) -> None:
        self._gateway = gateway
        self._trades = trades
        self._appid = gateway.settings.appid

    def share(self, held: HeldShare) -> Flow[ShareOutcome]:
        """The share on its way, or ended. Once by the share's id.

        Receivers are made known first, which changes nothing for those that are. Raises ``ValidationError`` before
        anything is sent, ``PlatformUnavailable`` (``wechatpay.share_too_early``) within a minute of the payment, and as
        ``Gateway.call``.
        """
        _check(held.share.lines)
        trade = yield from self._ready_trade(held.redemption.order)
        receivers, serial = yield from self._receivers(held.share.lines)
        for receiver, line in zip(receivers, held.share.lines, strict=True):
            known = {"appid": self._appid, "relation_type": RELATIONS[line.role], **receiver}
            yield from self._gateway.call(messages.ADD_RECEIVER.call(known, serial=serial))
        wish = {
            "appid": self._appid,
            "transaction_id": trade.transaction_id,
            "out_order_no": held.share.share_id,
            "receivers": [
                {**receiver, "amount": line.amount_fen, "description": held.share.rule}
                for receiver, line in zip(receivers, held.share.lines, strict=True)
            ],
            "unfreeze_unsplit": True,
        }
        call = messages.SHARE.call(wish, serial=serial)
        answer = yield from self._gateway.call(call, not_after=held.share.deadline)
        return _outcome(answer, held, is_write=True)

    def query(self, held: HeldShare) -> Flow[ShareOutcome]:
        """What became of the share, line by line."""
        try:
            query = {"transaction_id": (yield from self._transaction_id(held.redemption.order))}
            call = messages.READ_SHARE.call(path={"out_order_no": held.share.share_id}, query=query)
            answer = yield from self._gateway.call(call)
        except PlatformRefused as error:
            if error.code not in {"wechatpay.not_found", "wechatpay.order_unknown"}:
                raise
            return ShareOutcome(
                Effected.NOT_DONE,
                platform_code=error.platform_code,
                request_id=error.request_id,
                error_code="wechatpay.share_unknown",
            )
        return _outcome(answer, held, is_write=False)

    def give_back(self, held: HeldShareReturn) -> Flow[Outcome]:
        """One receiver's part on its way back. Once by the return's id; users keep what they got (sheet 3.2)."""
        account = held.line.receiver.merchant_account
        if account is None:
            return not_done("wechatpay.return_personal", state="")
        wish = {
            "out_order_no": held.share.share_id,
            "out_return_no": held.return_id,
            "return_mchid": account,
            "amount": held.line.amount_fen,
            "description": held.share.rule,
        }
        answer = yield from self._gateway.call(messages.RETURN_SHARE.call(wish), not_after=held.deadline)
        return _returned(answer, held, is_write=True)

    def query_return(self, held: HeldShareReturn) -> Flow[Outcome]:
        """What became of a return; without a number of the platform's when it knows none."""
        if held.line.receiver.merchant_account is None:
            return not_done("wechatpay.return_personal", state="")
        call = messages.READ_SHARE_RETURN.call(
            path={"out_return_no": held.return_id}, query={"out_order_no": held.share.share_id}
        )
        try:
            answer = yield from self._gateway.call(call)
        except PlatformRefused as error:
            if error.code != "wechatpay.not_found":
                raise
            return not_done("wechatpay.return_unknown", state=error.platform_code or "")
        return _returned(answer, held, is_write=False)

    # --- further calls ---

    def unfreeze(self, transaction_id: str, *, number: str, description: str) -> Flow[str]:
        """Release an order that is not to be shared to the merchant; the platform's number. Once by ``number``."""
        wish = {"transaction_id": transaction_id, "out_order_no": number, "description": description}
        answer = yield from self._gateway.call(messages.UNFREEZE.call(wish))
        order_id = answer.text("order_id")
        if order_id is None:
            raise malformed(answer, field="order_id")
        return order_id

    def unsplit_fen(self, transaction_id: str) -> Flow[int]:
        """How much of an order may still be shared."""
        answer = yield from self._gateway.call(messages.UNSPLIT.call(path={"transaction_id": transaction_id}))
        amount = answer.content.get("unsplit_amount")
        if not isinstance(amount, int):
            raise malformed(answer, field="unsplit_amount", is_write=False)
        return amount

    # --- the parts of a share ---

    def _ready_trade(self, order: Order) -> Flow[Trade]:
        """The paid order, once the platform will share it: a minute after its payment."""
        trade = yield from self._trade(order)
        if not trade.is_paid:
            raise PlatformRefused("wechatpay.share_unpaid", platform=PLATFORM, platform_code=trade.state)
        now = yield from Now()
        if trade.paid_at is not None and now < trade.paid_at + EARLIEST:
            left_s = (trade.paid_at + EARLIEST - now).total_seconds()
            raise PlatformUnavailable("wechatpay.share_too_early", platform=PLATFORM, retry_after_s=left_s)
        return trade

    def _trade(self, order: Order) -> Flow[Trade]:
        if order.platform_order_no is not None:
            return self._trades.of_transaction(order.platform_order_no)
        return self._trades.of_order(order.order_no)

    def _transaction_id(self, order: Order) -> Flow[str | None]:
        if order.platform_order_no is not None:
            return order.platform_order_no
        return (yield from self._trades.of_order(order.order_no)).transaction_id

    def _receivers(self, lines: Sequence[ShareLine]) -> Flow[tuple[list[dict[str, str]], str | None]]:
        """The receivers as both calls want them, with the serial that their names are encrypted under."""
        names = [line.receiver.name for line in lines if line.receiver.name is not None]
        serial, sealed = (yield from self._gateway.seal_fields(*names)) if names else (None, [])
        left = iter(sealed)
        receivers = []
        for line in lines:
            kind, account = _account(line.receiver)
            name = {"name": next(left)} if line.receiver.name is not None else {}
            receivers.append({"type": kind, "account": account, **name})
        return receivers, serial


def _check(lines: Sequence[ShareLine]) -> None:
    """Raises ``ValidationError`` for what one request cannot say."""
    if not 0 < len(lines) <= MOST_RECEIVERS:
        raise ValidationError("wechatpay.share_receivers", field="parts", platform=PLATFORM, longest=MOST_RECEIVERS)
    if len({_account(line.receiver) for line in lines}) != len(lines):
        raise ValidationError("wechatpay.share_receiver_twice", field="parts", platform=PLATFORM)
    if any(line.receiver.user is None and line.receiver.name is None for line in lines):
        raise ValidationError("wechatpay.share_receiver_name", field="receiver.name", platform=PLATFORM)


def _account(receiver: Receiver) -> tuple[str, str]:
    if receiver.user is not None:
        return "PERSONAL_OPENID", receiver.user.reveal()
    return "MERCHANT_ID", receiver.merchant_account or ""


def _outcome(answer: Answer, held: HeldShare, *, is_write: bool) -> ShareOutcome:
    """Each line by its receiver's own result. The merchant's released rest is listed too, and is no line."""
    data = answer.content
    order_id, state = text_of(data, "order_id"), text_of(data, "state")
    if order_id is None or state is None or data.get("out_order_no") != held.share.share_id:
        raise malformed(answer, field="order_id", is_write=is_write)
    told = data.get("receivers")
    entries = [entry for entry in told if isinstance(entry, dict)] if isinstance(told, list) else []
    by_account = {(entry.get("type"), entry.get("account")): entry for entry in entries}
    results: dict[int, LineResult] = {}
    for line in held.share.lines:
        entry = by_account.get(_account(line.receiver))
        if entry is None and state == "PROCESSING":
            results[line.number] = LineResult(Effected.PENDING)
        elif entry is None or entry.get("amount") != line.amount_fen:
            return ShareOutcome(
                Effected.UNKNOWN,
                platform_no=order_id,
                platform_code=state,
                request_id=answer.request_id,
                error_code="wechatpay.share_differs",
            )
        else:
            results[line.number] = _line_result(entry)
    has_ended = all(result.effected in _ENDED for result in results.values())
    return ShareOutcome(
        Effected.DONE if has_ended else Effected.PENDING,
        platform_no=order_id,
        lines=results,
        at=_latest(entries) if has_ended else None,
        request_id=answer.request_id,
    )


def _line_result(entry: Mapping[str, Any]) -> LineResult:
    effected = _LINE_RESULTS.get(entry.get("result"), Effected.PENDING)
    reason = (text_of(entry, "fail_reason") or "CLOSED")[:64] if effected is Effected.NOT_DONE else None
    return LineResult(effected, platform_no=text_of(entry, "detail_id"), platform_code=reason)


def _latest(entries: Sequence[Mapping[str, Any]]) -> datetime | None:
    times = [at for entry in entries if (at := instant_or_none(entry.get("finish_time"))) is not None]
    return max(times, default=None)


def _returned(answer: Answer, held: HeldShareReturn, *, is_write: bool) -> Outcome:
    data = answer.content
    number, result = text_of(data, "return_id"), text_of(data, "result")
    if number is None or result is None or data.get("out_return_no") != held.return_id:
        raise malformed(answer, field="return_id", is_write=is_write)
    match result:
        case "SUCCESS":
            at = instant_or_none(data.get("finish_time"))
            return Outcome(Effected.DONE, at=at, platform_no=number)
        case "PROCESSING":
            return Outcome(Effected.PENDING, platform_no=number)
        case "FAILED":
            reason = text_of(data, "fail_reason") or result
            failed = not_done(_RETURN_REASONS.get(reason, "wechatpay.return_failed"), state=reason)
            return replace(failed, platform_no=number)
        case _:
            return undecided("wechatpay.undecided", state=result)
