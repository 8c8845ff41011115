"""One call to the bank from end to end: time, signature, host, verification, meaning, and repetition.

- The timestamp that is signed is the one compared with the deadline, so nothing is signed after it.
- Each attempt is signed anew with a fresh key for its sensitive fields; its number stays, and makes it idempotent.
- No reply is believed without the bank's signature, failures neither: after a write, what happened is not known then.
- The reply must name the order that was asked about: an old genuine answer is no answer.
- What was unknown once stays unknown, unless a verified success follows (``repeating``).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from tenacity import stop_after_attempt, stop_after_delay, wait_exponential

from unicom_coupon_adapters.bank.envelopes import Envelope, Reply
from unicom_coupon_adapters.bank.messages import Call
from unicom_coupon_adapters.bank.refusals import UNKNOWN, refusal_of
from unicom_coupon_adapters.bank.settings import BankSettings
from unicom_coupon_sdk.errors import (
    ForgedMessage,
    PlatformError,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
)
from unicom_coupon_sdk.platform.bill_files import LARGEST
from unicom_coupon_sdk.platform.effects import Flow, HttpCall, Now, RandomBytes
from unicom_coupon_sdk.platform.retry import NEVER, RetryPolicy, repeating
from unicom_coupon_sdk.platform.wire import HttpAnswer, HttpRequest, TransportRules

PLATFORM = "bank"
_ECHOED = ("merId", "orderId", "origOrderId", "reqNo")


class _Policy(RetryPolicy):
    __slots__ = ()

    def allows(self, error: PlatformError) -> bool:
        return error.code != "platform.too_late" and RetryPolicy.allows(self, error)


PATIENT = _Policy(
    stop=stop_after_attempt(4) | stop_after_delay(20),
    wait=wait_exponential(multiplier=1, min=1, max=4),
    repeat_unknown=True,
)
"""Four attempts, 1, 2 and 4 s apart, none after 20 s: for reads and writes that are once by their number (§3.11)."""


class Gateway:
    """Calls of one merchant. Keeps keys and nothing else."""

    def __init__(self, settings: BankSettings, envelope: Envelope) -> None:
        self.settings = settings
        self.envelope = envelope
        self._rules = TransportRules(allowed_hosts=frozenset({settings.host}))

    @property
    def who(self) -> Mapping[str, str]:
        """The merchant and the cashier, which every call names."""
        return {"merId": self.settings.mer_id, "userId": self.settings.user_id}

    def call(self, call: Call, *, not_after: datetime | None = None) -> Flow[Reply]:
        """The verified success of ``call``, repeated by ``PATIENT`` if the bank makes it once by its number.

        ``not_after``: no request is signed at or after this instant. Raises ``PlatformRefused``,
        ``PlatformUnavailable`` (also ``platform.too_late``), and ``PlatformUnknown`` for writes only.
        """
        policy = PATIENT if call.api.is_repeatable else NEVER
        return (yield from repeating(lambda _: self._attempt(call, not_after=not_after), policy))

    def exchange(self, call: Call) -> Flow[HttpAnswer]:
        """One attempt at ``call``, whatever comes back, unverified. For the doctor's eyes only."""
        request = yield from self._signed(call, not_after=None)
        return (yield from HttpCall(request, self._rules))

    def download(self, url: str, *, save_to: Path) -> Flow[None]:
        """The file behind an address that a signed reply named, on disk.

        Raises ``PlatformRefused`` (``bank.download_host``) for a host that is neither the bank's nor declared.
        """
        host = urlsplit(url).hostname
        if host not in {self.settings.host, *self.settings.domestic_hosts}:
            raise PlatformRefused("bank.download_host", platform=PLATFORM, host=host or "-")
        request = HttpRequest("GET", url, (("Accept", "*/*"),))
        rules = TransportRules(allowed_hosts=frozenset({host}), largest_answer=LARGEST)
        try:
            answer = yield from HttpCall(request, rules, save_to=save_to)
        except PlatformUnknown as error:
            raise PlatformUnavailable("platform.no_answer", platform=PLATFORM, reason=error.code) from error
        if answer.status != 200:
            raise PlatformUnavailable("bank.status", platform=PLATFORM, status=answer.status)

    def _attempt(self, call: Call, *, not_after: datetime | None) -> Flow[Reply]:
        request = yield from self._signed(call, not_after=not_after)
        try:
            answer = yield from HttpCall(request, self._rules)
        except PlatformUnknown as error:
            _not_known(call, "platform.no_answer", reason=error.code)
        return self._judged(call, answer)

    def _signed(self, call: Call, *, not_after: datetime | None) -> Flow[HttpRequest]:
        entropy = yield from RandomBytes(max(1, self.envelope.entropy_bytes))
        now = yield from Now()
        if not_after is not None and now >= not_after:
            raise PlatformUnavailable("platform.too_late", platform=PLATFORM)
        return self.envelope.build(call, now=now, entropy=entropy)

    def _judged(self, call: Call, answer: HttpAnswer) -> Reply:
        if answer.status != 200:
            _not_known(call, "bank.status", status=answer.status)
        try:
            reply = self.envelope.read_reply(answer.content)
        except ForgedMessage as error:
            _not_known(call, "bank.answer_forged", reason=error.code)
        for name in _ECHOED:
            if name in call.biz and reply.biz.get(name, call.biz[name]) != call.biz[name]:
                _not_known(call, "bank.answer_other", reason=name)
        if reply.error_code is not None:
            raise refusal_of(reply, is_write=call.api.is_write, unknown=UNKNOWN | call.api.unknown)
        return reply


def _not_known(call: Call, code: str, **details: object) -> NoReturn:
    """Nothing trustworthy came back: unknown after a write, "try again later" after a read."""
    if call.api.is_write:
        raise PlatformUnknown(code, platform=PLATFORM, **details)  # type: ignore[arg-type]
    raise PlatformUnavailable(code, platform=PLATFORM, **details)  # type: ignore[arg-type]
