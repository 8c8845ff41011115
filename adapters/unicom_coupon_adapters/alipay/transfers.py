"""Pay-outs: a cash coupon's amount to its holder's Alipay account (sheet §3.1). Certificate mode alone.

**Once, whatever happens.** The request number is the redemption's id for ever, and a request that may have arrived is
not sent again: Alipay documents the repeat of a number as safe, but merchants report refusals of identical repeats
(§3.1), and a refusal there would read like a failure. So a lost answer, an open one and a number that was used before
are all answered by asking. What the query says decides:

- SUCCESS is DONE; DEALING is PENDING; FAIL is NOT_DONE, at once and for good.
- REFUND is NOT_DONE too: the payee's bank sent the money back, so the holder has nothing and the coupon may be paid
  out again under another number. It follows SUCCESS on cards alone, to which this adapter does not pay; were it to
  contradict a pay-out that the ledger has as done, a person must look, and the account's bill shows the returned sum.
- No such order is NOT_DONE as of now. ``recover`` believes that only when nothing can arrive any more.

A signed refusal of a kind that the sheet names is definite once the query does not know the order or says FAIL. A
refusal of an unknown kind stays unknown unless the query says FAIL.
"""

from __future__ import annotations

from typing import Any

from unicom_coupon_adapters.alipay.codes import BEFORE_BUSINESS
from unicom_coupon_adapters.alipay.gateway import PATIENT, UNSENT, AlipayGateway, Node
from unicom_coupon_adapters.alipay.messages import LOGON_ID, USER_ID
from unicom_coupon_adapters.alipay.profile import NAME
from unicom_coupon_adapters.alipay.requests import Api, Call, Rest, members, of_beijing
from unicom_coupon_adapters.alipay.settings import AlipaySettings
from unicom_coupon_sdk.domain.money import fen_of_yuan, yuan_text
from unicom_coupon_sdk.domain.redemption import HeldRedemption, Outcome
from unicom_coupon_sdk.domain.sensitive import PlatformUser
from unicom_coupon_sdk.errors import (
    Effected,
    PlatformError,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    ValidationError,
)
from unicom_coupon_sdk.platform.effects import Flow
from unicom_coupon_sdk.platform.retry import repeating

LEAST_FEN, MOST_FEN = 10, 10_000_000_000
REMARK_FROM_FEN = 5_000_000
"""From 50 000 yuan on the payee must be told why."""

_PRODUCT = {"product_code": "TRANS_ACCOUNT_NO_PWD", "biz_scene": "DIRECT_TRANSFER"}

TRANSFER = Api(
    method="alipay.fund.trans.uni.transfer",
    required=members("out_biz_no trans_amount product_code biz_scene order_title payee_info"),
    optional=members("remark transfer_scene_name transfer_scene_report_infos"),
    rest=Rest("POST", "/v3/alipay/fund/trans/uni/transfer"),
)
QUERY = Api(
    method="alipay.fund.trans.common.query",
    required=members("out_biz_no product_code biz_scene"),
    is_write=False,
    rest=Rest("GET", "/v3/alipay/fund/trans/common/query"),
)


def check_amount(amount_fen: int, *, field: str, settings: AlipaySettings) -> None:
    """Raises ``ValidationError`` for a sum that Alipay would not pay: ``alipay.range``, ``alipay.remark_needed``."""
    if not LEAST_FEN <= amount_fen <= MOST_FEN:
        raise ValidationError(
            "alipay.range", field=field, platform=NAME, least=yuan_text(LEAST_FEN), most=yuan_text(MOST_FEN)
        )
    if amount_fen >= REMARK_FROM_FEN and settings.transfer_remark is None:
        raise ValidationError("alipay.remark_needed", field="transfer_remark", platform=NAME)


def transfer(held: HeldRedemption, settings: AlipaySettings) -> Call:
    """The transfer of ``held``'s amount to its user. Raises ``ValidationError`` before anything is sent."""
    redemption, user = held.redemption, held.binding.user
    check_amount(redemption.value_fen, field="value_fen", settings=settings)
    if user is None:
        raise ValidationError("alipay.user_needed", field="binding.user", platform=NAME)
    payee = _identity(user)
    if held.payee_name is not None:
        payee["name"] = held.payee_name.reveal()
    elif payee["identity_type"] == "ALIPAY_LOGON_ID":
        raise ValidationError("alipay.payee_name_needed", field="payee_name", platform=NAME)
    reports = settings.transfer_scene_reports
    return TRANSFER.call(
        {
            "out_biz_no": redemption.redemption_id,
            "trans_amount": yuan_text(redemption.value_fen),
            **_PRODUCT,
            "order_title": held.template.name,
            "payee_info": payee,
            "remark": settings.transfer_remark,
            "transfer_scene_name": settings.transfer_scene_name,
            "transfer_scene_report_infos": [
                {"info_type": kind, "info_content": content} for kind, content in reports.items()
            ],
        }
    )


def pay_out(held: HeldRedemption, *, gateway: AlipayGateway, settings: AlipaySettings) -> Flow[Outcome]:
    """Pay once, under the redemption's id, never after its deadline; see the head of this module."""
    call = transfer(held, settings)
    try:
        node = yield from repeating(lambda _: gateway.send(call, deadline=held.redemption.deadline), UNSENT)
    except PlatformUnavailable:
        raise  # no byte of it was sent, or Alipay said that it was too busy to begin
    except PlatformError as error:
        if error.code in BEFORE_BUSINESS:
            raise
        return (yield from _after(error, held, gateway=gateway))
    if node.text("status") in ("SUCCESS", "DEALING"):
        return _outcome(node, held)
    return (yield from _after(_unclear(node), held, gateway=gateway))


def query(held: HeldRedemption, *, gateway: AlipayGateway) -> Flow[Outcome]:
    """What Alipay knows of the pay-out. Raises ``PlatformUnavailable`` where it cannot be asked."""
    call = QUERY.call({"out_biz_no": held.redemption.redemption_id, **_PRODUCT})
    try:
        node = yield from repeating(lambda _: gateway.send(call), PATIENT)
    except PlatformRefused as error:
        if error.code == "alipay.transfer_missing":
            return Outcome.of(error)
        raise PlatformUnavailable(
            error.code, platform=NAME, platform_code=error.platform_code, request_id=error.request_id
        ) from error
    return _outcome(node, held)


def _after(error: PlatformError, held: HeldRedemption, *, gateway: AlipayGateway) -> Flow[Outcome]:
    """What became of a transfer that got ``error`` for an answer."""
    unknown = Outcome.of(
        PlatformUnknown(error.code, platform=NAME, platform_code=error.platform_code, request_id=error.request_id)
    )
    try:
        asked = yield from query(held, gateway=gateway)
    except PlatformUnavailable:
        return unknown
    is_missing = asked.error is not None and asked.error.code == "alipay.transfer_missing"
    if not is_missing:
        return unknown if asked.effected is Effected.UNKNOWN else asked
    is_definite = isinstance(error, PlatformRefused) and error.code != "alipay.business"
    return Outcome.of(error) if is_definite else unknown


def _outcome(node: Node, held: HeldRedemption) -> Outcome:
    """What a transfer's answer, or its query's, says of it."""
    status = node.text("status")
    told = node.text("trans_amount") or node.text("amount")
    if told and not _is_sum(told, held.redemption.value_fen):
        return Outcome.of(PlatformUnknown("alipay.answer_other", platform=NAME, request_id=node.trace_id))
    number = node.text("order_id") or None
    match status:
        case "SUCCESS":
            at = of_beijing(node.text("pay_date") or node.text("trans_date"))
            return Outcome(Effected.DONE, at=at, platform_no=number)
        case "DEALING":
            return Outcome(Effected.PENDING, platform_no=number)
        case "FAIL" | "REFUND":
            code = "alipay.transfer_failed" if status == "FAIL" else "alipay.transfer_returned"
            reason = node.text("error_code") or node.text("sub_order_error_code") or status
            return Outcome.of(PlatformRefused(code, platform=NAME, platform_code=reason[:64], request_id=node.trace_id))
    return Outcome.of(_unclear(node))


def _is_sum(text: str, fen: int) -> bool:
    """Whether ``text`` is that sum. A sum that cannot be read is another one, and no caller's mistake."""
    try:
        return fen_of_yuan(text) == fen
    except ValidationError:
        return False


def _unclear(node: Node) -> PlatformUnknown:
    status = node.text("status")[:64] or None
    return PlatformUnknown("alipay.cannot_tell", platform=NAME, platform_code=status, request_id=node.trace_id)


def _identity(user: PlatformUser) -> dict[str, Any]:
    text = user.reveal()
    if USER_ID.fullmatch(text):
        return {"identity": text, "identity_type": "ALIPAY_USER_ID"}
    kind = "ALIPAY_LOGON_ID" if LOGON_ID.fullmatch(text) else "ALIPAY_OPEN_ID"
    return {"identity": text, "identity_type": kind}
