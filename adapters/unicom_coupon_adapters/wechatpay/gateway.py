"""One call to WeChat Pay from end to end: time, nonce, signature, hosts, verification, meaning, and repetition.

Rules kept here and nowhere else:

- The timestamp that is signed is the one compared with the deadline, so nothing is signed after it.
- The request goes to the backup host unchanged when the first cannot be reached or does not answer: the host is not
  signed, and the request number makes a second arrival harmless (sheet 7).
- A success is believed only with a good signature over the received bytes. An error answer is believed unsigned, as
  ``refusals`` explains; but when it carries a signature, that must be good.
- What was unknown once stays unknown, unless a verified success follows: a later "no" may have overtaken the first.
- Reads are never unknown: they change nothing, so their unknown is "try again later".
"""

from __future__ import annotations

import contextlib
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pydantic_core
from tenacity import stop_after_attempt, stop_after_delay, wait_exponential

from unicom_coupon_adapters.wechatpay.certificates import RefreshGate, refuse_certificates, take_certificates
from unicom_coupon_adapters.wechatpay.credentials import Credentials
from unicom_coupon_adapters.wechatpay.messages import CERTIFICATES, Call
from unicom_coupon_adapters.wechatpay.refusals import PLATFORM, refusal_of
from unicom_coupon_adapters.wechatpay.settings import WechatPaySettings
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.errors import (
    CouponError,
    ForgedMessage,
    PlatformError,
    PlatformRefused,
    PlatformUnavailable,
    PlatformUnknown,
)
from unicom_coupon_sdk.platform.bill_files import LARGEST
from unicom_coupon_sdk.platform.effects import Flow, HttpCall, Now, RandomBytes, Sleep
from unicom_coupon_sdk.platform.retry import RetryPolicy, repeating
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer, HttpRequest, TransportRules

USER_AGENT = f"unicom-coupon-sdk/{version('unicom-coupon-sdk')}"
_NONCE_BYTES = 16
_WAIT_FOR_OTHERS_S = (0.2, 0.4, 0.8, 1.6)


_NEVER_SOON = frozenset({"platform.too_late", "wechatpay.statement_creating"})


class _Policy(RetryPolicy):
    __slots__ = ()

    def allows(self, error: PlatformError) -> bool:
        return error.code not in _NEVER_SOON and RetryPolicy.allows(self, error)


PATIENT = _Policy(
    stop=stop_after_attempt(4) | stop_after_delay(20),
    wait=wait_exponential(multiplier=1, min=1, max=4),
    repeat_unknown=True,
)
"""Four attempts, 1, 2 and 4 s apart (sheet 6), none after 20 s. Each write carries its number, so it may repeat."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A verified success. ``content`` is the parsed body, empty for 204; unknown fields are kept as received."""

    content: Mapping[str, Any] = field(repr=False)
    request_id: str | None

    def text(self, name: str) -> str | None:
        """A field that is text, or ``None``."""
        value = self.content.get(name)
        return value if isinstance(value, str) else None


@dataclass(frozen=True, slots=True)
class Exchange:
    """An answer as received, not verified, with the times before and after. For the doctor."""

    answer: HttpAnswer
    asked_at: datetime
    answered_at: datetime


class Gateway:
    """Calls of one merchant. Keeps keys, and the time of the last certificate download; no other state."""

    def __init__(self, settings: WechatPaySettings, credentials: Credentials) -> None:
        self.settings = settings
        self.credentials = credentials
        self._bases = settings.base_urls
        self._gate = RefreshGate()
        hosts = frozenset(urlsplit(url).hostname or "" for url in self._bases)
        self._rules = TransportRules(allowed_hosts=hosts)
        self._file_rules = replace(self._rules, largest_answer=LARGEST)

    def call(self, call: Call, *, not_after: datetime | None = None) -> Flow[Answer]:
        """The verified answer to ``call``, repeated by ``PATIENT``.

        ``not_after``: no request is signed at or after this instant. Raises ``PlatformRefused``,
        ``PlatformUnavailable`` (also ``platform.too_late``), and ``PlatformUnknown`` for writes only.
        """
        if self.credentials.accepts_certificates:
            yield from self._refresh_if_due()
        try:
            return (yield from repeating(lambda count: self._attempt(call, not_after=not_after, count=count), PATIENT))
        except PlatformUnknown as error:
            if call.api.is_write:
                raise
            raise _unavailable(error) from error

    def build(self, call: Call, *, now: datetime, nonce: str, base_url: str) -> HttpRequest:
        """``call`` signed at ``now``. Nothing after this touches the bytes."""
        api = call.api
        headers: Headers = (
            ("Accept", "application/json"),
            ("User-Agent", USER_AGENT),
            (
                "Authorization",
                self.credentials.signer.authorization(
                    api.method, target=call.target, body=call.content, timestamp=int(now.timestamp()), nonce=nonce
                ),
            ),
        )
        serial = call.serial or self._serial(now)
        if serial is not None:
            headers += (("Wechatpay-Serial", serial),)
        if call.content:
            headers += (("Content-Type", "application/json"),)
        return HttpRequest(api.method, base_url + call.target, headers, call.content)

    def exchange(self, call: Call) -> Flow[Exchange]:
        """One attempt at ``call`` on the first host, whatever comes back, unverified. For the doctor's eyes only."""
        now = yield from Now()
        nonce = (yield from RandomBytes(_NONCE_BYTES)).hex().upper()
        request = self.build(call, now=now, nonce=nonce, base_url=self._bases[0])
        answer = yield from HttpCall(request, self._rules)
        answered = yield from Now()
        return Exchange(answer, now, answered)

    def verify(self, headers: Headers, body: bytes) -> Flow[None]:
        """Return when an answer or callback is genuine. An unknown serial refreshes the certificates once.

        Raises ``ForgedMessage`` for every defect.
        """
        now = yield from Now()
        verifier = self.credentials.verifier
        try:
            verifier.check(headers, body=body, now=now)
        except ForgedMessage as error:
            if error.code != "wechatpay.serial_unknown" or not self.credentials.accepts_certificates:
                raise
            if not (yield from self._refreshed(now)):
                raise
        else:
            return
        now = yield from Now()
        verifier.check(headers, body=body, now=now)

    def refresh_certificates(self) -> Flow[int]:
        """Download the platform certificates and take them in; how many are in force.

        Raises ``ConfigurationError`` when the merchant has none (use the public key), ``ForgedMessage``,
        ``PlatformError``.
        """
        query = {"algorithm_type": self.credentials.suite.certificate_algorithm}
        try:
            made = yield from self.exchange(CERTIFICATES.call(query=query))
        except PlatformUnknown as error:
            raise _unavailable(error) from error
        if made.answer.status != 200:
            refusal = refusal_of(made.answer, is_write=False)
            refuse_certificates(made.answer, code=refusal.platform_code or "")
            raise refusal
        found = take_certificates(made.answer, credentials=self.credentials, now=made.answered_at)
        self._gate.done(made.answered_at)
        return len(found)

    def seal_fields(self, *texts: Secret) -> Flow[tuple[str, list[str]]]:
        """Personal fields encrypted for the platform, and the serial that ``Wechatpay-Serial`` must name with them.

        In certificate mode the certificates are downloaded first if there are none yet.
        Raises ``ValidationError`` (``crypto.too_long``) above 214 bytes, and ``PlatformUnavailable`` without a key.
        """
        now = yield from Now()
        found = self.credentials.encryption_key(now)
        if found is None:
            yield from self.refresh_certificates()
            found = self.credentials.encryption_key(now)
        if found is None:
            raise PlatformUnavailable("wechatpay.no_encryption_key", platform=PLATFORM)
        serial, key = found
        sealed = [b2a_base64(key.encrypt_field(text.reveal().encode()), newline=False).decode() for text in texts]
        return serial, sealed

    def download(self, url: str, *, to: Path) -> Flow[None]:
        """The file behind a ``download_url``, at ``to``. Such answers are unsigned (sheet 4): compare their digest.

        Raises ``PlatformRefused`` (``wechatpay.download_host`` before any I/O) and ``PlatformUnavailable``.
        """
        parts = urlsplit(url)
        if parts.hostname not in self._rules.allowed_hosts:
            raise PlatformRefused("wechatpay.download_host", platform=PLATFORM)
        target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        base = url[: len(url) - len(target)] if url.endswith(target) else self._bases[0]
        now = yield from Now()
        nonce = (yield from RandomBytes(_NONCE_BYTES)).hex().upper()
        signature = self.credentials.signer.authorization(
            "GET", target=target, body=b"", timestamp=int(now.timestamp()), nonce=nonce
        )
        headers = (("Accept", "*/*"), ("User-Agent", USER_AGENT), ("Authorization", signature))
        try:
            answer = yield from HttpCall(HttpRequest("GET", base + target, headers), self._file_rules, save_to=to)
        except PlatformUnknown as error:
            raise _unavailable(error) from error
        if answer.status != 200:
            raise refusal_of(answer, is_write=False)

    # --- one attempt ---

    def _attempt(self, call: Call, *, not_after: datetime | None, count: int) -> Flow[Answer]:
        now = yield from Now()
        if not_after is not None and now >= not_after:
            raise PlatformUnavailable("platform.too_late", platform=PLATFORM)
        entropy = yield from RandomBytes(_NONCE_BYTES + 1)
        nonce = entropy[:_NONCE_BYTES].hex().upper()
        pause_s = min(1 << count, 4) + entropy[_NONCE_BYTES] / 256  # 1, 2, 4 s and a part of a second (sheet 6)
        answer, lost = yield from self._send(call, now=now, nonce=nonce)
        try:
            return (yield from self._judge(call, answer, pause_s=pause_s))
        except (PlatformRefused, PlatformUnavailable) as error:
            if lost is not None and call.api.is_write:
                raise lost from error
            raise

    def _send(self, call: Call, *, now: datetime, nonce: str) -> Flow[tuple[HttpAnswer, PlatformUnknown | None]]:
        """The first answer from any host, and the error of a host that may have had the request before."""
        lost: PlatformUnknown | None = None
        refused: PlatformUnavailable | None = None
        request = self.build(call, now=now, nonce=nonce, base_url=self._bases[0])
        for base_url in self._bases:
            if refused is not None or lost is not None:
                request = _moved(request, url=base_url + call.target)
            try:
                answer = yield from HttpCall(request, self._rules)
            except PlatformUnknown as error:
                lost = _named(error)
            except PlatformUnavailable as error:
                refused = _named(error)
            else:
                return answer, lost
        raise lost or refused or PlatformUnavailable(platform=PLATFORM)

    def _judge(self, call: Call, answer: HttpAnswer, *, pause_s: float) -> Flow[Answer]:
        is_success = 200 <= answer.status < 300
        if is_success or answer.header("Wechatpay-Signature") is not None:
            try:
                yield from self.verify(answer.headers, answer.content)
            except ForgedMessage as error:
                _distrust(call, answer, error)
        if not is_success:
            raise refusal_of(answer, is_write=call.api.is_write, pause_s=pause_s)
        return Answer(_parsed(call, answer), answer.header("Request-ID"))

    # --- platform certificates ---

    def _serial(self, now: datetime) -> str | None:
        found = self.credentials.encryption_key(now)
        return found[0] if found is not None else None

    def _refresh_if_due(self) -> Flow[None]:
        now = yield from Now()
        if self._gate.is_due(now) and self._gate.claim(now):
            # What we have is still good when this fails; an unknown serial asks again and reports.
            with contextlib.suppress(CouponError):
                yield from self.refresh_certificates()

    def _refreshed(self, now: datetime) -> Flow[bool]:
        """Whether the certificates were just fetched, by this flow or by another one. False: do not ask now."""
        if self._gate.claim(now):
            try:
                yield from self.refresh_certificates()
            except CouponError:
                return False  # the caller raises what made it ask: the serial stays unknown
            return True
        for pause_s in _WAIT_FOR_OTHERS_S:
            if not self._gate.is_under_way((yield from Now())):
                break
            yield from Sleep(pause_s)
        return True


def _moved(request: HttpRequest, *, url: str) -> HttpRequest:
    """The same request for another host: same body, same signature. The mark in the agent is the platform's wish."""
    headers = tuple(
        (name, f"{value} (Retried-V1)" if name == "User-Agent" else value) for name, value in request.headers
    )
    return HttpRequest(request.method, url, headers, request.content)


def _parsed(call: Call, answer: HttpAnswer) -> Mapping[str, Any]:
    if not answer.content:
        return {}
    try:
        found = pydantic_core.from_json(answer.content)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    code, request_id = "wechatpay.answer_malformed", answer.header("Request-ID")
    if call.api.is_write:
        raise PlatformUnknown(code, platform=PLATFORM, request_id=request_id)
    raise PlatformUnavailable(code, platform=PLATFORM, request_id=request_id)


def _distrust(call: Call, answer: HttpAnswer, error: ForgedMessage) -> NoReturn:
    """An answer that is not genuine says nothing; after a write, what happened is not known."""
    kind = PlatformUnknown if call.api.is_write else PlatformUnavailable
    is_late = error.code == "wechatpay.clock"
    times: dict[str, Any] = {name: error.details[name] for name in ("message_time", "local_time") if is_late}
    raise kind(
        "wechatpay.answer_clock" if is_late else "wechatpay.answer_forged",
        platform=PLATFORM,
        request_id=answer.header("Request-ID"),
        reason=error.code,
        status=answer.status,
        **times,
    ) from error


def _unavailable(error: PlatformUnknown) -> PlatformUnavailable:
    state = {**error.details, "reason": error.details.get("reason", error.code)}
    return PlatformUnavailable(
        error.code,
        platform=PLATFORM,
        platform_code=error.platform_code,
        request_id=error.request_id,
        **state,  # type: ignore[arg-type]
    )


def _named(error: Any) -> Any:
    """A transport's error with the platform's name in it."""
    error.platform = error.platform or PLATFORM
    return error
