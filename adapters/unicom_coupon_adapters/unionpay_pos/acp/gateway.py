"""One exchange with the gateway: sign, send, verify, and say what the answer means (sheet 10.1, 10.2, 10.5).

- Nothing in an answer is believed before its certificate's chain, name and dates and its signature were found right.
  What cannot be believed settles nothing: after a write what happened is unknown, after a read nothing did.
- A write goes out once. Its number makes a second one a duplicate, not a repeat, so the query decides, not a retry.
- The answer must name what was asked for: a genuine answer to another request is no answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from unicom_coupon_adapters.unionpay_pos.acp.canonical import form_body
from unicom_coupon_adapters.unionpay_pos.acp.codes import Meaning, error_of, meaning_of, untrusted
from unicom_coupon_adapters.unionpay_pos.acp.credentials import AcpKeys
from unicom_coupon_adapters.unionpay_pos.acp.encryption import FieldEncryption
from unicom_coupon_adapters.unionpay_pos.acp.messages import Call, Door, Messages
from unicom_coupon_adapters.unionpay_pos.acp.payment import TIME
from unicom_coupon_adapters.unionpay_pos.acp.settings import AcpSettings
from unicom_coupon_adapters.unionpay_pos.acp.signing import open_answer, open_notice
from unicom_coupon_adapters.unionpay_pos.compliance import SHIM
from unicom_coupon_sdk.crypto.certificates import Certificate
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import ConfigurationError, ForgedMessage, PlatformError, PlatformUnknown, ValidationError
from unicom_coupon_sdk.platform.effects import Flow, HttpCall, NewId, Now
from unicom_coupon_sdk.platform.retry import GENTLE, RetryPolicy, repeating
from unicom_coupon_sdk.platform.wire import HttpAnswer, HttpRequest, TransportRules

_FORM: Final = (("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8"),)
_ECHOED: Final = ("merId", "orderId", "txnTime", "txnType", "txnSubType", "txnAmt", "settleDate")
_NAMED: Final = frozenset({"merId", "orderId", "txnTime"})
_ENCRYPTION_LEAD: Final = timedelta(days=1)
_SETTLED: Final = frozenset({"unionpay_pos.acp_no_file", "unionpay_pos.acp_closed"})


class _Policy(RetryPolicy):
    __slots__ = ()

    def allows(self, error: PlatformError) -> bool:
        return error.code not in _SETTLED and RetryPolicy.allows(self, error)


PATIENT: Final = _Policy(stop=GENTLE.stop, wait=GENTLE.wait, repeat_unknown=True)
"""Three attempts at a read, but where the gateway said that there is nothing now, and seconds will not change it."""


class AcpGateway:
    """The gateway for one merchant. Keeps keys, and UnionPay's encryption certificate once it was fetched."""

    def __init__(self, settings: AcpSettings, keys: AcpKeys) -> None:
        self.settings = settings
        self.keys = keys
        self.messages = Messages(settings)
        self._rules = TransportRules(allowed_hosts=frozenset(settings.hosts), read_timeout_s=settings.read_timeout_s)
        self._encryption = keys.encryption

    def send(self, call: Call) -> Flow[Mapping[str, str]]:
        """The verified fields of a success, sent once.

        Raises ``PlatformRefused``; ``PlatformUnavailable`` (also for every read that got no trustworthy answer);
        ``PlatformUnknown`` for a write that got none or was not decided; ``ConfigurationError`` before anything is
        sent, when our certificate's dates are over.
        """
        now = yield from Now()
        signed = self.signed(call, now=now)
        try:
            answer = yield from HttpCall(
                HttpRequest("POST", self.url(call.door), _FORM, form_body(signed)), self._rules
            )
        except PlatformUnknown as error:
            raise untrusted(error.code, is_write=call.is_write, **error.details) from error
        fields = self._opened(answer, call, now)
        code = fields.get("respCode", "")
        if meaning_of(code) is not Meaning.DONE:
            raise error_of(code, is_write=call.is_write, query_id=fields.get("queryId"))
        return fields

    def ask(self, call: Call) -> Flow[Mapping[str, str]]:
        """As ``send`` for a read, repeated by ``PATIENT``."""
        return (yield from repeating(lambda _: self.send(call), PATIENT))

    def signed(self, call: Call, *, now: datetime) -> dict[str, str]:
        """The fields of ``call`` with its signature. Raises ``ComplianceError`` for a field that may not be sent."""
        self.keys.require_dates(now)
        return self.keys.signer.sign(SHIM.outgoing({name: text for name, text in call.fields.items() if text}))

    def url(self, door: Door) -> str:
        """Where ``door`` is."""
        base = self.settings.file_url if door is Door.FILES else self.settings.gateway_url
        return base.rstrip("/") + door.value

    def notice(self, body: bytes) -> Flow[Mapping[str, str]]:
        """The verified fields of a notice to this merchant. Raises ``ForgedMessage``."""
        now = yield from Now()
        try:
            fields = open_notice(body, verifier=self.keys.verifier, now=now)
        except ValidationError as error:
            raise ForgedMessage(error.code, **error.state()) from None
        if fields.get("merId") != self.settings.mer_id:
            raise ForgedMessage("unionpay_pos.acp_other_merchant", platform="unionpay_pos")
        return fields

    def encryption(self) -> Flow[FieldEncryption]:
        """UnionPay's encryption: by the certificate we have, or a fresh one where that is missing or about to end."""
        now = yield from Now()
        if self._encryption is None or not self._encryption.valid_at(now + _ENCRYPTION_LEAD):
            return (yield from self.update_encryption())
        return FieldEncryption(self._encryption)

    def update_encryption(self) -> Flow[FieldEncryption]:
        """UnionPay's current encryption certificate, fetched (95/00) and used from now on."""
        now = yield from Now()
        number = yield from NewId()
        call = self.messages.encryption_certificate(number, txn_time=f"{now.astimezone(BEIJING):{TIME}}")
        fields = yield from self.ask(call)
        try:
            certificate = Certificate.load(fields.get("encryptPubKeyCert", "").encode(), field="encryptPubKeyCert")
            encryption = FieldEncryption(certificate)
        except ConfigurationError:
            raise untrusted("unionpay_pos.acp_certificate", is_write=False) from None
        if not certificate.valid_at(now):
            raise untrusted("unionpay_pos.acp_certificate_dates", is_write=False)
        self._encryption = certificate
        return encryption

    def _opened(self, answer: HttpAnswer, call: Call, now: datetime) -> Mapping[str, str]:
        if answer.status != 200:
            raise untrusted("unionpay_pos.acp_http_status", is_write=call.is_write, status=answer.status)
        try:
            fields = open_answer(answer.content, verifier=self.keys.verifier, now=now)
        except (ForgedMessage, ValidationError) as error:
            raise untrusted(error.code, is_write=call.is_write, **error.details) from None
        for name in _ECHOED:
            asked, told = call.fields.get(name), fields.get(name)
            if asked and told != asked and (told or name in _NAMED):
                raise untrusted("unionpay_pos.acp_answer_other", is_write=call.is_write, reason=name)
        return fields
