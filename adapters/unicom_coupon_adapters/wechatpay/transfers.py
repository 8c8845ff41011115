"""商家转账: the money of a cash coupon, to its user's balance once the user has confirmed it (sheet 3.1).

One number for ever: the redemption's id is ``out_bill_no``. Whatever comes back instead of a good answer proves
nothing, not even a refusal: the transfer may stand, and only the platform's own query may say that it failed. So every
answer but a verified success is unknown here, and so is a failure that the creating call itself reports.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from unicom_coupon_adapters.wechatpay import messages
from unicom_coupon_adapters.wechatpay.gateway import Answer, Gateway
from unicom_coupon_adapters.wechatpay.outcomes import (
    instant_or_none,
    malformed,
    not_done,
    openid_of,
    text_of,
    undecided,
)
from unicom_coupon_sdk.domain.redemption import Binding, HeldRedemption, Listing, Outcome
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import (
    Effected,
    ForgedMessage,
    LimitError,
    PlatformError,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
    ValidationError,
)
from unicom_coupon_sdk.platform import bill_files
from unicom_coupon_sdk.platform.adapter import BindOrder, IssueOrder
from unicom_coupon_sdk.platform.effects import Flow, Local, Now

PLATFORM = "wechatpay"
LEAST_FEN = 10
NAME_FROM_FEN = 30
NAME_NEEDED_FROM_FEN = 200_000
ASKED_FOR = timedelta(days=30)
"""How long the platform answers queries; documented for a sister product, so taken as the shorter truth."""

_RECEIPT_DIGESTS = {"SHA256": "sha256", "SM3": "sm3"}
UNDER_WAY = frozenset({"ACCEPTED", "PROCESSING", "WAIT_USER_CONFIRM", "TRANSFERING", "CANCELING"})
ENDED_WITHOUT = frozenset({"FAIL", "CANCELLED"})

_REASONS: Mapping[str, str] = {
    "OVERDUE_CLOSE": "wechatpay.transfer_overdue",
    **dict.fromkeys(("MCH_CANCEL", "CANCELLED"), "wechatpay.transfer_cancelled"),
    **dict.fromkeys(("NAME_NOT_CORRECT", "REAL_NAME_CHECK_FAIL", "ID_CARD_NOT_CORRECT"), "wechatpay.payee_name_wrong"),
    **dict.fromkeys(
        ("ACCOUNT_FROZEN", "ACCOUNT_NOT_EXIST", "OPENID_INVALID", "PAYEE_ACCOUNT_ABNORMAL"), "wechatpay.payee_account"
    ),
    **dict.fromkeys(
        (
            "DAY_RECEIVED_COUNT_EXCEED",
            "DAY_RECEIVED_QUOTA_EXCEED",
            "REALNAME_ACCOUNT_RECEIVED_QUOTA_EXCEED",
            "BLOCK_B2C_USERLIMITAMOUNT_BSRULE_MONTH",
            "BLOCK_B2C_USERLIMITAMOUNT_MONTH",
            "EXCEEDED_ESTIMATED_AMOUNT",
            "TRANSFER_QUOTA_EXCEED",
        ),
        "wechatpay.transfer_quota",
    ),
    **dict.fromkeys(("BUDGET_NOT_ENOUGH", "PAYER_ACCOUNT_ABNORMAL"), "wechatpay.payer_account"),
    **dict.fromkeys(
        ("TRANSFER_SCENE_INVALID", "TRANSFER_SCENE_UNAVAILABLE", "PRODUCT_AUTH_CHECK_FAIL"), "wechatpay.transfer_scene"
    ),
}
"""Our code for each ``fail_reason``; any other is ``wechatpay.transfer_failed`` and keeps the platform's word."""


@dataclass(frozen=True, slots=True)
class TransferBill:
    """A transfer as the platform has it. ``state`` is its word; ``package`` opens the user's confirmation page."""

    number: str
    platform_no: str
    state: str
    amount_fen: int | None
    openid: str | None = field(repr=False)
    reason: str | None
    package: str | None = field(repr=False)
    changed_at: datetime | None
    content: Mapping[str, Any] = field(repr=False)


class Transfers:
    """Transfers of one merchant, over one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._settings = gateway.settings

    def list_template(self, order: IssueOrder) -> Listing:
        """A cash template needs nothing on the platform."""
        return Listing(order.template.template_id, PLATFORM, {})

    def bind(self, order: BindOrder) -> Binding:
        """The coupon with the user whom it will be paid to. Raises ``ValidationError`` without an openid."""
        if order.holder.user is None:
            raise ValidationError("wechatpay.openid_required", field="holder.user", platform=PLATFORM)
        return Binding(order.coupon_id, PLATFORM, order.holder.user, {"binding_no": order.binding_no})

    def pay_out(self, held: HeldRedemption) -> Flow[Outcome]:
        """The transfer on its way: PENDING until its user confirms. Once by the redemption's id.

        Raises ``CallerError`` before anything is sent, ``PlatformUnavailable`` when nothing was, and
        ``PlatformUnknown`` for every answer that is not a verified success.
        """
        body = self._body(held)
        serial, sealed = None, None
        if held.payee_name is not None:
            serial, [sealed] = yield from self._gateway.seal_fields(held.payee_name)
        call = messages.CREATE_TRANSFER.call({**body, "user_name": sealed}, serial=serial)
        try:
            answer = yield from self._gateway.call(call, not_after=held.redemption.deadline)
        except (PlatformRefused, PlatformUnavailable) as error:
            if "status" not in error.details:
                raise  # no answer, since nothing was sent
            _doubt(error)
        bill = _bill(answer, number=held.redemption.redemption_id, is_write=True)
        if bill.state in ENDED_WITHOUT:
            return undecided("wechatpay.undecided", state=bill.state)
        return self._outcome(bill)

    def query(self, held: HeldRedemption) -> Flow[Outcome]:
        """What became of the transfer. A transfer that was there once and cannot be found any more says nothing."""
        now = yield from Now()
        number = held.redemption.redemption_id
        try:
            bill = yield from self.of_number(number)
        except PlatformRefused as error:
            if error.code != "wechatpay.not_found":
                raise
            if held.redemption.platform_no is not None or now >= held.redemption.held_at + ASKED_FOR:
                return undecided("wechatpay.undecided", state="404")
            return not_done("wechatpay.transfer_unknown", state="404")
        if bill.amount_fen != held.redemption.value_fen or bill.openid not in {None, openid_of(held.binding)}:
            return undecided("wechatpay.transfer_differs", state=bill.state)
        return self._outcome(bill)

    def of_number(self, number: str) -> Flow[TransferBill]:
        """The transfer of our number. Raises ``PlatformRefused`` (``wechatpay.not_found``)."""
        answer = yield from self._gateway.call(messages.READ_TRANSFER.call(path={"out_bill_no": number}))
        return _bill(answer, number=number, is_write=False)

    def cancel(self, number: str) -> Flow[str]:
        """Ask for a transfer to be called back before its user confirms it; the platform's state then.

        CANCELING says that it was heard and no more: ``recover`` learns what came first. Raises ``PlatformRefused``
        when it is too late.
        """
        answer = yield from self._gateway.call(messages.CANCEL_TRANSFER.call(path={"out_bill_no": number}))
        state = answer.text("state")
        if state is None:
            raise malformed(answer, field="state")
        return state

    def receipt(self, number: str, *, to: Path) -> Flow[bool]:
        """Whether the signed receipt of a transfer (电子回单) is at ``to`` now; it is asked for when nobody has yet.

        The platform makes it after the money has arrived, and takes its time: false is "later". Raises
        ``PlatformRefused`` when there will be none, and ``ForgedMessage`` for a file that is not the announced one.
        """
        try:
            answer = yield from self._gateway.call(messages.READ_RECEIPT.call(path={"out_bill_no": number}))
        except PlatformRefused as error:
            if error.code != "wechatpay.not_found":
                raise
            yield from self._gateway.call(messages.ASK_RECEIPT.call({"out_bill_no": number}))
            return False
        state = answer.text("state")
        if state == "FAILED":
            raise PlatformRefused("wechatpay.receipt_failed", platform=PLATFORM, request_id=answer.request_id)
        if state != "FINISHED":
            return False
        url, digest = answer.text("download_url"), answer.text("hash_value")
        algorithm = _RECEIPT_DIGESTS.get(answer.text("hash_type") or "")
        if url is None or digest is None or algorithm is None:
            raise malformed(answer, field="download_url", is_write=False)
        yield from self._gateway.download(url, to=to)
        yield from Local(lambda: _check_receipt(to, digest=digest, algorithm=algorithm))
        return True

    def _body(self, held: HeldRedemption) -> dict[str, Any]:
        settings, amount = self._settings, held.redemption.value_fen
        openid = openid_of(held.binding)
        if openid is None:
            raise ValidationError("wechatpay.openid_required", field="holder.user", platform=PLATFORM)
        if amount < LEAST_FEN:
            raise LimitError("wechatpay.transfer_least", field="cash_fen", platform=PLATFORM, least=LEAST_FEN)
        _check_name(held.payee_name, amount_fen=amount)
        report = {"活动名称": settings.transfer_activity, "奖励说明": settings.transfer_reward}
        return {
            "appid": settings.appid,
            "out_bill_no": held.redemption.redemption_id,
            "transfer_scene_id": settings.transfer_scene_id,
            "openid": openid,
            "transfer_amount": amount,
            "transfer_remark": held.template.name,
            "notify_url": settings.notify_url,
            "transfer_scene_report_infos": [
                {"info_type": kind, "info_content": content} for kind, content in report.items()
            ],
        }

    def _outcome(self, bill: TransferBill) -> Outcome:
        refs = {"transfer_bill_no": bill.platform_no}
        if bill.state == "SUCCESS":
            return Outcome(Effected.DONE, at=bill.changed_at, platform_no=bill.platform_no, refs=refs)
        if bill.state in ENDED_WITHOUT:
            reason = bill.reason or bill.state
            return not_done(_REASONS.get(reason, "wechatpay.transfer_failed"), state=reason)
        if bill.state not in UNDER_WAY:
            return undecided("wechatpay.undecided", state=bill.state)
        instructions = {}
        if bill.package is not None:
            own = {"mchId": self._settings.mchid, "appId": self._settings.appid}
            instructions = {**own, "package": bill.package}
        return Outcome(Effected.PENDING, platform_no=bill.platform_no, refs=refs, instructions=instructions)


def _check_name(name: Secret | None, *, amount_fen: int) -> None:
    """The name must be there from 2 000 yuan on, and must not below 0.30 yuan, where it would be checked by nobody."""
    if name is None and amount_fen >= NAME_NEEDED_FROM_FEN:
        raise ValidationError(
            "wechatpay.payee_name_missing", field="payee_name", platform=PLATFORM, least=NAME_NEEDED_FROM_FEN
        )
    if name is not None and amount_fen < NAME_FROM_FEN:
        raise ValidationError(
            "wechatpay.payee_name_unchecked", field="payee_name", platform=PLATFORM, least=NAME_FROM_FEN
        )


def _check_receipt(path: Path, *, digest: str, algorithm: str) -> None:
    found = bill_files.digest(path, algorithm=algorithm)
    if not hmac.compare_digest(found.encode(), digest.lower().encode()):
        path.unlink()
        raise ForgedMessage("wechatpay.receipt_digest", platform=PLATFORM)


def _doubt(error: PlatformError) -> NoReturn:
    told = {**error.state(), "reason": error.code}
    raise PlatformUnknown(error.code, **told) from error


def _bill(answer: Answer, *, number: str, is_write: bool) -> TransferBill:
    data = answer.content
    platform_no, state = text_of(data, "transfer_bill_no"), text_of(data, "state")
    if platform_no is None or state is None or data.get("out_bill_no") != number:
        raise malformed(answer, field="transfer_bill_no", is_write=is_write)
    amount = data.get("transfer_amount")
    return TransferBill(
        number=number,
        platform_no=platform_no,
        state=state,
        amount_fen=amount if isinstance(amount, int) else None,
        openid=text_of(data, "openid"),
        reason=text_of(data, "fail_reason"),
        package=text_of(data, "package_info"),
        changed_at=instant_or_none(data.get("update_time")) or instant_or_none(data.get("create_time")),
        content=data,
    )
