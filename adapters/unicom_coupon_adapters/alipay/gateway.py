"""One exchange with Alipay: sign, send, verify, and say what the answer means.

Nothing in an answer is believed before its signature was found right over the received bytes. What cannot be believed
(no signature, a wrong one, another shape, a proxy's page) settles nothing: for a write it is unknown whether it was
done, for a read nothing was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from unicom_coupon_adapters.alipay.codes import SUCCESS, error_of, plain, untrusted
from unicom_coupon_adapters.alipay.envelope import ERROR_NODE, Envelope, cut
from unicom_coupon_adapters.alipay.keys import AlipayKeys
from unicom_coupon_adapters.alipay.requests import Call, RequestMaker
from unicom_coupon_adapters.alipay.settings import AlipaySettings, Gateway
from unicom_coupon_adapters.alipay.signing import (
    AlipayVerifier,
    SignType,
    canonical_difference,
    v3_answer_message,
    verify_text,
)
from unicom_coupon_sdk.errors import ForgedMessage, PlatformError, PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.platform.effects import Flow, HttpCall, NewId, Now
from unicom_coupon_sdk.platform.retry import GENTLE, RetryPolicy
from unicom_coupon_sdk.platform.wire import HttpAnswer, TransportRules

ANSWER_WINDOW_S = 300
"""How far a v3 answer's own time may be from ours, in seconds. Classic answers carry no time."""

_DOWNLOAD = "alipay.open.app.alipaycert.download"
_ECHOED = ("activity_id", "out_trade_no", "trade_no", "out_biz_no", "out_request_no", "settle_no")
_TRACE = re.compile(r"[0-9A-Za-z_-]{1,64}")
_CODE = re.compile(r"[0-9A-Za-z_.-]{1,64}")
_VALUES = re.compile(r"[0-9A-Za-z_+=|@*-]*[0-9][0-9A-Za-z_+=|@*-]*")


@dataclass(frozen=True, slots=True)
class UntilDeadline(RetryPolicy):
    """A policy that also stops where there is no use in going on: the deadline does not come back."""

    def allows(self, error: PlatformError) -> bool:
        """Whether ``error`` may be followed by another attempt."""
        return error.code != "platform.too_late" and RetryPolicy.allows(self, error)


PATIENT = UntilDeadline(stop=GENTLE.stop, wait=GENTLE.wait, repeat_unknown=True)
"""Three attempts with growing waits, for reads and for writes that Alipay makes idempotent by their number (§6.4)."""

UNSENT = UntilDeadline(stop=GENTLE.stop, wait=GENTLE.wait)
"""The same for what may not be sent again once it may have arrived: only what certainly did not is repeated."""


@dataclass(frozen=True, slots=True)
class Node:
    """A verified success. ``members`` are the business members; ``trace_id`` names the exchange for their support."""

    members: Mapping[str, Any] = field(repr=False)
    trace_id: str | None

    def text(self, name: str) -> str:
        """A scalar member as text; empty when it is absent."""
        value = self.members.get(name)
        return "" if value is None or isinstance(value, dict | list) else str(value)

    def part(self, name: str) -> Mapping[str, Any]:
        """A member that is an object; empty when it is absent."""
        value = self.members.get(name)
        return value if isinstance(value, dict) else {}

    def rows(self, name: str) -> list[Mapping[str, Any]]:
        """A member that is a list of objects; empty when it is absent."""
        value = self.members.get(name)
        return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


@dataclass(frozen=True, slots=True)
class Exchange:
    """An answer as received, not verified yet, with the instant at which its request was stamped."""

    answer: HttpAnswer = field(repr=False)
    at: datetime
    is_v3: bool

    @property
    def date(self) -> str | None:
        """Alipay's clock, as its HTTP header says."""
        return self.answer.header("Date")


class AlipayGateway:
    """Both gateways of one application. Keeps no state but its keys."""

    def __init__(self, settings: AlipaySettings, keys: AlipayKeys) -> None:
        self.keys = keys
        self._maker = RequestMaker(settings, keys)
        self._v3 = settings.gateway is Gateway.V3
        hosts = {urlsplit(url).hostname or "" for url in (settings.gateway_url, settings.v3_url)}
        self.rules = TransportRules(allowed_hosts=frozenset(hosts), read_timeout_s=settings.read_timeout_s)

    def send(self, call: Call, *, deadline: datetime | None = None) -> Flow[Node]:
        """The verified success of ``call``, sent once, and never at or after ``deadline``.

        Raises ``PlatformRefused``; ``PlatformUnavailable`` (``platform.too_late`` when the deadline is over, and for
        every read that got no trustworthy answer); ``PlatformUnknown`` for a write that got none.
        """
        try:
            exchange = yield from self.exchange(call, deadline=deadline)
            return (yield from self.read(exchange, call))
        except PlatformUnknown as error:
            if call.is_write:
                raise
            raise PlatformUnavailable(
                error.code, platform="alipay", platform_code=error.platform_code, request_id=error.request_id
            ) from error

    def exchange(self, call: Call, *, deadline: datetime | None = None) -> Flow[Exchange]:
        """Sign and send ``call``, now, and hand back the answer unread. Raises as ``HttpCall`` does."""
        now = yield from Now()
        if deadline is not None and now >= deadline:
            raise PlatformUnavailable("platform.too_late", platform="alipay")
        if self._v3 and call.rest is not None:
            nonce = yield from NewId()
            answer = yield from HttpCall(self._maker.v3(call, at=now, nonce=nonce), self.rules)
            return Exchange(answer, now, is_v3=True)
        answer = yield from HttpCall(self._maker.classic(call, at=now), self.rules)
        return Exchange(answer, now, is_v3=False)

    def read(self, exchange: Exchange, call: Call) -> Flow[Node]:
        """What a received answer means, once its signature was found right. Raises as ``send`` does."""
        if exchange.is_v3:
            return (yield from self._read_v3(exchange.answer, call))
        return (yield from self._read_classic(exchange.answer, call, exchange.at))

    def _read_classic(self, answer: HttpAnswer, call: Call, now: datetime) -> Flow[Node]:
        trace_id = _trace(answer.header("trace_id"))
        if answer.status != 200:
            raise untrusted(
                "alipay.http_status", is_write=call.is_write, platform_code=str(answer.status), trace_id=trace_id
            )
        try:
            envelope = cut(answer.content, method=call.method)
        except ForgedMessage as error:
            raise untrusted(error.code, is_write=call.is_write, trace_id=trace_id) from None
        if not envelope.sign:
            raise self._unsigned(envelope, call, trace_id)
        verifiers = yield from self._verifiers(envelope.cert_sn, call, now)
        if not any(envelope.is_signed_by(verifier, self.keys.sign_type) for verifier in verifiers):
            raise untrusted("alipay.answer_forged", is_write=call.is_write, trace_id=trace_id)
        members = self._opened(envelope, call, trace_id)
        code = str(members.get("code", ""))
        succeeded = code == SUCCESS or (call.codeless and not code)
        if succeeded and envelope.node != ERROR_NODE:
            return _checked(members, call, trace_id)
        raise self._failure(call, code, members, now=now, trace_id=trace_id)

    def _opened(self, envelope: Envelope, call: Call, trace_id: str | None) -> Mapping[str, Any]:
        """The members of a verified node, decrypted where it is a ciphertext."""
        if not envelope.is_encrypted:
            members: Mapping[str, Any] = envelope.value
            return members
        try:
            if self.keys.cipher is None:
                raise ForgedMessage("message.undecryptable", platform="alipay")
            return _object(self.keys.cipher.decrypt(envelope.value))
        except ForgedMessage as error:
            raise untrusted(error.code, is_write=call.is_write, trace_id=trace_id) from None

    def _unsigned(self, envelope: Envelope, call: Call, trace_id: str | None) -> PlatformError:
        """An answer without signature is never a success, and its failure is hearsay: told, not believed (§1.5)."""
        members = envelope.value if isinstance(envelope.value, dict) else {}
        return untrusted(
            "alipay.unsigned",
            is_write=call.is_write,
            platform_code=_code(members.get("sub_code")) or _code(members.get("code")),
            trace_id=trace_id,
        )

    def _failure(
        self, call: Call, code: str, members: Mapping[str, Any], *, now: datetime, trace_id: str | None
    ) -> PlatformError:
        if code in ("", SUCCESS):  # signed, and yet no failure: it says nothing about what was done
            return untrusted("alipay.answer_shape", is_write=call.is_write, trace_id=trace_id)
        sub_code, words = _code(members.get("sub_code")), str(members.get("sub_msg") or members.get("msg") or "")
        if plain(sub_code) == "INVALID_SIGNATURE":
            reason = canonical_difference(self._maker.parameters(call, at=now), words)
        else:
            reason = without_values(words, call.content)
        return error_of(_code(code), sub_code, is_write=call.is_write, trace_id=trace_id, reason=reason)

    def _verifiers(self, cert_sn: str | None, call: Call, now: datetime) -> Flow[tuple[AlipayVerifier, ...]]:
        """The keys that may have signed an answer; a platform certificate that is not here yet is fetched, once."""
        try:
            return self.keys.verifiers(cert_sn, now)
        except ForgedMessage as error:
            if error.code != "message.unknown_key" or cert_sn is None or call.method == _DOWNLOAD:
                raise untrusted(error.code, is_write=call.is_write) from None
        try:
            yield from self.fetch_certificate(cert_sn, now)
            return self.keys.verifiers(cert_sn, now)
        except (ForgedMessage, PlatformError) as error:
            raise untrusted(error.code, is_write=call.is_write) from None

    def fetch_certificate(self, cert_sn: str, now: datetime) -> Flow[None]:
        """Fetch the platform certificate ``cert_sn`` and trust it if the root bundle vouches for it (§1.8).

        The answer's own signature is not what makes it trusted, since it may be by this very certificate; the chain
        is. Raises ``ForgedMessage`` ``alipay.certificate_untrusted`` or ``PlatformError``.
        """
        call = Call(method=_DOWNLOAD, content={"alipay_cert_sn": cert_sn}, is_write=False)
        answer = yield from HttpCall(self._maker.classic(call, at=now), self.rules)
        if answer.status != 200:
            raise untrusted("alipay.http_status", is_write=False, platform_code=str(answer.status))
        envelope = cut(answer.content, method=_DOWNLOAD)
        members = self._opened(envelope, call, None)
        code = str(members.get("code", ""))
        if code != SUCCESS or envelope.node == ERROR_NODE:
            raise error_of(_code(code), _code(members.get("sub_code")), is_write=False)
        self.keys.trust(str(members.get("alipay_cert_content", "")), cert_sn=cert_sn, at=now)

    def _read_v3(self, answer: HttpAnswer, call: Call) -> Flow[Node]:
        trace_id = _trace(answer.header("alipay-trace-id"))
        try:
            body = answer.content.decode()
        except UnicodeDecodeError:
            raise untrusted("alipay.answer_shape", is_write=call.is_write, trace_id=trace_id) from None
        yield from self._check_v3(answer, body, call, trace_id)
        try:
            if body and not body.startswith("{") and self.keys.cipher is not None:
                body = self.keys.cipher.decrypt(body)
            members = _object(body)
        except ForgedMessage as error:
            raise untrusted(error.code, is_write=call.is_write, trace_id=trace_id) from None
        if answer.status == 200:
            return _checked(members, call, trace_id)
        sub_code = _code(members.get("code"))
        if not sub_code:
            raise untrusted("alipay.answer_shape", is_write=call.is_write, trace_id=trace_id)
        raise error_of(
            "",
            sub_code,
            is_write=call.is_write,
            status=answer.status,
            trace_id=trace_id,
            reason=without_values(str(members.get("message", "")), call.content),
        )

    def _check_v3(self, answer: HttpAnswer, body: str, call: Call, trace_id: str | None) -> Flow[None]:
        stamp, sign = answer.header("alipay-timestamp") or "", answer.header("alipay-signature") or ""
        if not sign:
            code = _v3_code(body)
            raise untrusted("alipay.unsigned", is_write=call.is_write, platform_code=code, trace_id=trace_id)
        now = yield from Now()
        if not stamp.isdecimal() or abs(int(stamp) / 1000 - now.timestamp()) > ANSWER_WINDOW_S:
            raise untrusted("alipay.answer_stale", is_write=call.is_write, trace_id=trace_id)
        message = v3_answer_message(timestamp=stamp, nonce=answer.header("alipay-nonce") or "", body=body)
        verifiers = yield from self._verifiers(answer.header("alipay-sn"), call, now)
        if not any(
            verify_text(message, sign=sign, verifier=verifier, sign_type=SignType.RSA2) for verifier in verifiers
        ):
            raise untrusted("alipay.answer_forged", is_write=call.is_write, trace_id=trace_id)


def _checked(members: Mapping[str, Any], call: Call, trace_id: str | None) -> Node:
    """A success is for this call only if what it echoes is what was asked: a genuine answer to another call is not."""
    for name in _ECHOED:
        asked, told = call.content.get(name), members.get(name)
        if asked and told and str(asked) != str(told):
            raise untrusted("alipay.answer_other", is_write=call.is_write, trace_id=trace_id)
    return Node(members=members, trace_id=trace_id)


def without_values(words: str, content: Mapping[str, Any]) -> str:
    """A platform's sentence cut to 160 characters, with what could be a code, a number or a name masked.

    Names have no form of their own: they are known by standing in the request's ``content``.
    """
    for value in _texts(content):
        words = words.replace(value, "*")
    return _VALUES.sub("*", words)[:160]


def _texts(value: object) -> Iterator[str]:
    """Every text of two characters or more inside ``value``."""
    if isinstance(value, str):
        yield from (value,) if len(value) > 1 else ()
    elif isinstance(value, Mapping | list):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(one)


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ForgedMessage("alipay.answer_shape", platform="alipay")
    return value


def _v3_code(body: str) -> str | None:
    try:
        return _code(_object(body).get("code")) or None
    except ForgedMessage:
        return None


def _trace(value: str | None) -> str | None:
    return value if value and _TRACE.fullmatch(value) else None


def _code(value: object) -> str:
    text = value if isinstance(value, str) else ""
    return text if _CODE.fullmatch(text) else ""
