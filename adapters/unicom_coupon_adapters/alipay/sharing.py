"""Profit sharing (分账): parts of a paid trade sent on, read back receiver by receiver, and fetched back (sheet §3.2).

**Sending.** Receivers are bound first, which changes nothing when they are; then one ``settle`` carries all parts under
the share's id. Up to five go in one step, all or none; more go asynchronously, each for itself. Its success means that
it was accepted, so the parts are read back and those answers decide. A lost answer is asked about before the same
request, under the same number, is sent again.

**Reading.** Alipay documents no answer for a number that it does not know. An empty list is one; INVALID_PARAMETER is
the only one of its codes that fits, and says as little as a slip in the request would. So then the trade itself is
asked for what was settled on it: nothing at all means that the share is not done, as of now. A row is a receiver's only
if it names the receiver as we did; whether Alipay echoes a login name is unconfirmed, so user ids are the safer names.

**Fetching back.** Alipay takes a receiver's part back only within a refund of the trade, and gives it to the buyer
(``refund_royalty_parameters``). So a return refunds exactly that part of the price; whoever refunds the order refunds
the rest. A trade that was paid at a till (当面付) names no receivers in a refund, each gives back by ratio, by itself:
Alipay refuses a return there, and ``trades.refund`` of the order is what fetches the parts. (Unconfirmed: whether a
refund may name receivers and be repeated by its number when the first was refused; both are taken at the sheet's word.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from unicom_coupon_adapters.alipay import trades
from unicom_coupon_adapters.alipay.gateway import PATIENT, UNSENT, AlipayGateway, Node
from unicom_coupon_adapters.alipay.messages import LOGON_ID, USER_ID
from unicom_coupon_adapters.alipay.profile import NAME
from unicom_coupon_adapters.alipay.requests import Api, Call, Rest, members, of_beijing
from unicom_coupon_adapters.alipay.settings import AlipaySettings
from unicom_coupon_sdk.domain.money import fen_of_yuan, yuan_text
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.redemption import Outcome
from unicom_coupon_sdk.domain.sharing import (
    HeldShare,
    HeldShareReturn,
    LineResult,
    Receiver,
    ShareLine,
    ShareOutcome,
)
from unicom_coupon_sdk.errors import (
    Effected,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    ValidationError,
)
from unicom_coupon_sdk.platform.effects import Flow
from unicom_coupon_sdk.platform.retry import repeating

AT_ONCE, AT_MOST = 5, 50
"""How many receivers fit into a synchronous settle, and into an asynchronous one."""

_BIND_AT_ONCE = 20
_SENDS = 3

BIND = Api(
    method="alipay.trade.royalty.relation.bind",
    required=members("out_request_no receiver_list"),
    rest=Rest("POST", "/v3/alipay/trade/royalty/relation/bind"),
)
SETTLE = Api(
    method="alipay.trade.order.settle",
    required=members("out_request_no trade_no royalty_parameters royalty_mode"),
    optional=members("extend_params"),
    rest=Rest("POST", "/v3/alipay/trade/order/settle"),
)
QUERY = Api(
    method="alipay.trade.order.settle.query",
    required=members("out_request_no trade_no"),
    is_write=False,
    rest=Rest("GET", "/v3/alipay/trade/order/settle/query"),
)
REFUND = Api(
    method=trades.REFUND.method,
    required=members("trade_no out_request_no refund_amount refund_royalty_parameters"),
    rest=trades.REFUND.rest,
)


def share(held: HeldShare, *, gateway: AlipayGateway, settings: AlipaySettings) -> Flow[ShareOutcome]:
    """Bind the receivers, send each its part once, and read back what each got; never sent after the deadline."""
    call = settle(held, settings)
    yield from _bind(held, gateway=gateway)
    lost: PlatformUnknown | None = None
    for _ in range(_SENDS):
        accepted = None
        try:
            accepted = yield from repeating(lambda _: gateway.send(call, deadline=held.share.deadline), UNSENT)
        except PlatformUnknown as error:
            lost = error
        except (PlatformRefused, PlatformUnavailable) as error:
            if lost is None:
                raise
            raise lost from error  # what was lost may still arrive, whatever is said of its repeat
        try:
            asked = yield from query(held, gateway=gateway)
        except PlatformUnavailable as error:
            return _unknown(lost or error)
        if asked.effected is not Effected.NOT_DONE:
            return asked
        if accepted is not None:
            return _unknown(PlatformUnknown("alipay.cannot_tell", platform=NAME, request_id=accepted.trace_id))
    assert lost is not None
    raise lost


def query(held: HeldShare, *, gateway: AlipayGateway) -> Flow[ShareOutcome]:
    """What each receiver got. Raises ``PlatformUnavailable`` where Alipay cannot be asked."""
    trade_no = trade_of(held.redemption.order)
    call = QUERY.call({"out_request_no": held.share.share_id, "trade_no": trade_no})
    try:
        node = yield from _repeated(call, gateway=gateway)
    except PlatformRefused as error:
        if error.code not in ("alipay.parameter", "alipay.trade_unknown"):
            raise _silent(error) from error
        settled = yield from _settled_on(trade_no, gateway=gateway)
        return _unknown(error) if "transfer" in settled else _not_done()
    rows = [row for row in node.rows("royalty_detail_list") if row.get("operation_type") in (None, "", "transfer")]
    if not rows:
        return _not_done()
    return _read_back(held.share.lines, rows, node)


def give_back(held: HeldShareReturn, *, gateway: AlipayGateway, settings: AlipaySettings) -> Flow[Outcome]:
    """Refund one receiver's part to the buyer out of that receiver's account, under the return's id."""
    trade_no, amount = trade_of(held.redemption.order), yuan_text(held.line.amount_fen)
    named = _receiver(held.line.receiver)
    part = {
        "royalty_type": "transfer",
        "trans_out": named["account"],
        "trans_out_type": named["type"],
        "trans_in": settings.seller_id,
        "trans_in_type": "userId",
        "amount": amount,
    }
    call = REFUND.call(
        {
            "trade_no": trade_no,
            "out_request_no": held.return_id,
            "refund_amount": amount,
            "refund_royalty_parameters": [part],
        }
    )
    node = yield from _repeated(call, gateway=gateway, deadline=held.deadline)
    if node.text("fund_change") == "Y":
        return _given_back(node, held)
    return (yield from _asked_return(held, gateway=gateway))  # N: by an earlier request of ours, or not at all


def query_return(held: HeldShareReturn, *, gateway: AlipayGateway) -> Flow[Outcome]:
    """Whether the part came back. Without a status it has not, as of now: the same number may be sent again."""
    call = trades.query_refund(request_no=held.return_id, trade_no=trade_of(held.redemption.order))
    try:
        node = yield from _repeated(call, gateway=gateway)
    except PlatformRefused as error:
        raise _silent(error) from error
    if node.text("refund_status") == "REFUND_SUCCESS":
        return _given_back(node, held)
    return Outcome.of(PlatformRefused("alipay.not_shared", platform=NAME, request_id=node.trace_id))


def _asked_return(held: HeldShareReturn, *, gateway: AlipayGateway) -> Flow[Outcome]:
    try:
        return (yield from query_return(held, gateway=gateway))
    except PlatformUnavailable as error:
        return Outcome.of(PlatformUnknown(error.code, platform=NAME, request_id=error.request_id))


def settle(held: HeldShare, settings: AlipaySettings) -> Call:
    """The one request that carries every part. Raises ``ValidationError`` before anything is sent."""
    lines = held.share.lines
    if not 1 <= len(lines) <= AT_MOST:
        raise ValidationError("alipay.too_many_receivers", field="rule", platform=NAME, most=AT_MOST)
    parts = []
    for line in lines:
        named = _receiver(line.receiver)
        parts.append(
            {
                "royalty_type": "transfer",
                "trans_in": named["account"],
                "trans_in_type": named["type"],
                "trans_in_name": named.get("name"),
                "amount": yuan_text(line.amount_fen),
                "desc": held.share.rule,
            }
        )
    return SETTLE.call(
        {
            "out_request_no": held.share.share_id,
            "trade_no": trade_of(held.redemption.order),
            "royalty_parameters": parts,
            "royalty_mode": "sync" if len(lines) <= AT_ONCE else "async",
            "extend_params": {"royalty_finish": "true"} if settings.share_finishes else None,
        }
    )


def trade_of(order: Order) -> str:
    """Alipay's number of the trade whose money is shared. Raises ``ValidationError`` ``alipay.trade_needed``."""
    if order.platform_order_no is None:
        raise ValidationError("alipay.trade_needed", field="order.platform_order_no", platform=NAME)
    return order.platform_order_no


def _bind(held: HeldShare, *, gateway: AlipayGateway) -> Flow[None]:
    """Make the receivers known, twenty at a time. No money moves, so whatever fails here, nothing was shared."""
    receivers = [_receiver(line.receiver) for line in held.share.lines]
    for start in range(0, len(receivers), _BIND_AT_ONCE):
        number = f"B{start // _BIND_AT_ONCE}_{held.share.share_id}"
        call = BIND.call({"out_request_no": number, "receiver_list": receivers[start : start + _BIND_AT_ONCE]})
        try:
            node = yield from _repeated(call, gateway=gateway, deadline=held.share.deadline)
        except PlatformUnknown as error:
            raise _silent(error) from error
        if node.text("result_code").upper() != "SUCCESS":
            raise PlatformRefused("alipay.receiver", platform=NAME, request_id=node.trace_id, reason="bind")


def _repeated(call: Call, *, gateway: AlipayGateway, deadline: datetime | None = None) -> Flow[Node]:
    return (yield from repeating(lambda _: gateway.send(call, deadline=deadline), PATIENT))


def _receiver(receiver: Receiver) -> dict[str, str]:
    """``receiver`` as Alipay names it. A login name is checked against the real name, so it needs one."""
    text = receiver.merchant_account or (receiver.user.reveal() if receiver.user is not None else "")
    name = {"name": receiver.name.reveal()} if receiver.name is not None else {}
    if USER_ID.fullmatch(text):
        return {"type": "userId", "account": text, **name}
    if receiver.user is not None and not LOGON_ID.fullmatch(text):
        return {"type": "openId", "account": text, **name}
    if not name:
        raise ValidationError("alipay.payee_name_needed", field="receiver.name", platform=NAME)
    return {"type": "loginName", "account": text, **name}


def _read_back(lines: Sequence[ShareLine], rows: Sequence[Mapping[str, Any]], node: Node) -> ShareOutcome:
    """Each line with its own row, found by receiver and sum; without one its outcome is not known."""
    left = list(rows)
    results: dict[int, LineResult] = {}
    for line in lines:
        row = next((row for row in left if _is_row_of(row, line)), None)
        if row is not None:
            left.remove(row)
            results[line.number] = _line(row)
    if len(results) < len(lines) or any(result.effected is Effected.UNKNOWN for result in results.values()):
        effected = Effected.UNKNOWN
    elif any(result.effected is Effected.PENDING for result in results.values()):
        effected = Effected.PENDING
    else:
        effected = Effected.DONE
    times = [at for row in rows if (at := of_beijing(str(row.get("execute_dt") or "")))]
    return ShareOutcome(
        effected=effected,
        platform_no=node.text("settle_no") or None,
        lines=results,
        at=max(times, default=None),
        request_id=node.trace_id,
    )


def _is_row_of(row: Mapping[str, Any], line: ShareLine) -> bool:
    account = _receiver(line.receiver)["account"]
    is_named = account in (row.get("trans_in"), row.get("trans_in_open_id"))
    return is_named and _is_sum(row.get("amount"), line.amount_fen)


def _line(row: Mapping[str, Any]) -> LineResult:
    effected = {
        "SUCCESS": Effected.DONE,
        "FAIL": Effected.NOT_DONE,
        "PROCESSING": Effected.PENDING,
    }.get(str(row.get("state")), Effected.UNKNOWN)
    reason = str(row.get("error_code") or "")[:64] or None
    return LineResult(effected, platform_no=str(row.get("detail_id") or "")[:64] or None, platform_code=reason)


def _settled_on(trade_no: str, *, gateway: AlipayGateway) -> Flow[frozenset[str]]:
    """The kinds of settling that the trade has seen; none, too, where Alipay knows no such trade."""
    call = trades.query(trade_no=trade_no, options=["trade_settle_info"])
    try:
        node = yield from _repeated(call, gateway=gateway)
    except PlatformRefused as error:
        if error.code == "alipay.trade_unknown":
            return frozenset()
        raise _silent(error) from error
    holder = Node(members=node.part("trade_settle_info"), trace_id=node.trace_id)
    return frozenset(str(row.get("operation_type")) for row in holder.rows("trade_settle_detail_list"))


def _given_back(node: Node, held: HeldShareReturn) -> Outcome:
    at: datetime | None = of_beijing(node.text("gmt_refund_pay"))
    return Outcome(Effected.DONE, at=at, platform_no=held.return_id)


def _is_sum(told: object, fen: int) -> bool:
    try:
        return told is not None and fen_of_yuan(str(told)) == fen
    except ValidationError:
        return False


def _silent(error: PlatformRefused | PlatformUnknown) -> PlatformUnavailable:
    """A question that was refused is one that could not be asked: it says nothing about what was done."""
    return PlatformUnavailable(
        error.code, platform=NAME, platform_code=error.platform_code, request_id=error.request_id
    )


def _not_done() -> ShareOutcome:
    return ShareOutcome(effected=Effected.NOT_DONE, error_code="alipay.not_shared")


def _unknown(error: PlatformRefused | PlatformUnavailable | PlatformUnknown) -> ShareOutcome:
    return ShareOutcome(
        effected=Effected.UNKNOWN,
        error_code=error.code,
        platform_code=error.platform_code,
        request_id=error.request_id,
    )
