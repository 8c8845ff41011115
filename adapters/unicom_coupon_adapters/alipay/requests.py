"""Calls, and the bytes they become on either gateway (sheet §1.2, §1.3, §1.11).

A ``Call`` says what is asked, once; ``RequestMaker`` turns it into a signed request of the classic gateway or of
OpenAPI v3. Business content is serialised exactly once, before signing. On the classic gateway the public parameters
go in the query, as Alipay's own clients do, and everything that is nobody else's business (content, tokens, login
codes) in the body, since queries end in access logs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote, quote_plus

import pydantic_core

from unicom_coupon_adapters.alipay.compliance import SHIM
from unicom_coupon_adapters.alipay.keys import AlipayKeys
from unicom_coupon_adapters.alipay.settings import AlipaySettings
from unicom_coupon_adapters.alipay.signing import V3Request, canonical, sign_text
from unicom_coupon_sdk.domain.sensitive import Secret
from unicom_coupon_sdk.domain.times import BEIJING
from unicom_coupon_sdk.errors import ConfigurationError, ValidationError
from unicom_coupon_sdk.platform.wire import HttpRequest

_CERTIFICATE_NAMES = ("app_cert_sn", "alipay_root_cert_sn")
_IN_QUERY = frozenset(
    ("app_id", "method", "format", "charset", "version", "timestamp", "sign_type", "encrypt_type", *_CERTIFICATE_NAMES)
)
_FORM = (("Content-Type", "application/x-www-form-urlencoded;charset=utf-8"), ("Accept", "*/*"))
_AS_IT_IS = (str, bool, int)
_NESTED = (dict, list)
_FORM_ENCODED = tuple(  # the percent sign first, since the others bring it in; the plus before the blank likewise
    (letter, quote_plus(letter))
    for letter in sorted(map(chr, range(128)), key=lambda letter: (letter != "%", letter != "+", letter))
    if quote_plus(letter) != letter
)
_GAP = "\0"
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Rest:
    """A call's form in OpenAPI v3: verb, and a path whose ``{names}`` are taken out of the content."""

    verb: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, whichever gateway carries it.

    Made by ``Api.call``, which has checked it. ``content`` becomes ``biz_content``, or the v3 body or query.
    ``parameters`` are business parameters beside it, for the few APIs that want them so. ``is_write``: without a
    trustworthy answer it is unknown whether it was done. ``codeless``: success carries no ``code`` (§5.2).
    """

    method: str
    content: Mapping[str, Any] = field(repr=False)
    is_write: bool
    rest: Rest | None = None
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    codeless: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """One API: its name, its v3 form if it has one, and the members its content may have.

    ``in_parameters``: the few APIs that take business parameters beside ``biz_content`` instead of inside.
    """

    method: str
    required: frozenset[str]
    optional: frozenset[str] = frozenset()
    is_write: bool = True
    rest: Rest | None = None
    in_parameters: bool = False
    codeless: bool = False
    _known: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_known", self.required | self.optional)
        SHIM.outgoing(dict.fromkeys(self._known))  # each member has its rule, once and for all

    def call(self, content: Mapping[str, Any]) -> Call:
        """The call with this content; members that are ``None`` or empty are left out.

        Raises ``ValidationError`` (``alipay.member_missing``, ``alipay.member_unknown``, ``alipay.float``) and
        ``ComplianceError`` (``compliance.not_sent``).
        """
        given = _kept(content)
        if not self.required <= given.keys():
            raise ValidationError("alipay.member_missing", field=min(self.required - given.keys()), method=self.method)
        if not given.keys() <= self._known:
            raise ValidationError("alipay.member_unknown", field=min(given.keys() - self._known), method=self.method)
        for name, value in given.items():
            if isinstance(value, _NESTED):
                SHIM.outgoing({name: value})
        return Call(
            method=self.method,
            content={} if self.in_parameters else given,
            parameters=given if self.in_parameters else {},
            is_write=self.is_write,
            rest=self.rest,
            codeless=self.codeless,
        )


def members(names: str) -> frozenset[str]:
    """Member names from a text with blanks between them."""
    return frozenset(names.split())


class RequestMaker:
    """Makes signed requests for one application. Holds no state but keys and constants; safe to share."""

    def __init__(self, settings: AlipaySettings, keys: AlipayKeys) -> None:
        if settings.encrypt_content and keys.cipher is None:
            raise ConfigurationError("alipay.mode_keys", field="aes_key", mode="encrypt_content")
        self._keys = keys
        self._url = settings.gateway_url
        self._v3_url = settings.v3_url.rstrip("/")
        self._app_id = settings.app_id
        self._life_s = settings.v3_request_life_s
        self._encrypts = settings.encrypt_content
        named = (
            ("format", "json"),
            ("charset", "utf-8"),
            ("version", "1.0"),
            ("sign_type", keys.sign_type.value),
            ("app_cert_sn", keys.app_cert_sn),
            ("alipay_root_cert_sn", keys.alipay_root_sn),
            ("app_auth_token", keys.app_auth_token),
        )
        self._fixed = {"app_id": settings.app_id, **{name: value for name, value in named if value}}
        certificates = (f"&{name}={self._fixed[name]}" for name in _CERTIFICATE_NAMES if name in self._fixed)
        self._head = f"{self._url}?app_id={settings.app_id}&method="
        self._before_time = "&format=json&charset=utf-8&version=1.0&timestamp="
        self._after_time = f"&sign_type={keys.sign_type.value}{''.join(certificates)}"
        self._token = f"&app_auth_token={_form(keys.app_auth_token)}" if keys.app_auth_token else ""
        self._pieces = self._usual_text()

    def _usual_text(self) -> tuple[str, ...]:
        """The canonical string of a call that has content alone, cut where content, method and time go, in this order.

        Made by ``canonical`` itself, once: names and their order are the same for every such call of an application.
        """
        gaps = dict.fromkeys(("biz_content", "method", "timestamp"), _GAP)
        encrypted = {"encrypt_type": "AES"} if self._encrypts else {}
        return tuple(canonical({**self._fixed, **encrypted, **gaps}).split(_GAP))

    def classic(self, call: Call, *, at: datetime) -> HttpRequest:
        """``call`` for ``gateway.do``, stamped ``at`` (aware) in Beijing time and signed."""
        stamp = beijing_text(at)
        encrypted = "&encrypt_type=AES" if self._encrypts and call.content else ""
        if call.content and not call.parameters:
            content = self._content(call)
            first, second, third, last = self._pieces
            text = f"{first}{content}{second}{call.method}{third}{stamp}{last}"
            body = f"biz_content={_form(content)}{self._token}"
        else:
            parameters = self.parameters(call, at=at)
            text = canonical(parameters)
            body = "&".join([f"{name}={_form(value)}" for name, value in parameters.items() if name not in _IN_QUERY])
        sign = _form_base64(sign_text(text, self._keys.app.signer))
        time = stamp.replace(" ", "+").replace(":", "%3A")
        url = f"{self._head}{call.method}{self._before_time}{time}{self._after_time}{encrypted}&sign={sign}"
        return HttpRequest("POST", url, _FORM, body.encode("ascii"))

    def _content(self, call: Call) -> str:
        text = _json(call.content)
        if self._encrypts and self._keys.cipher is not None:
            return self._keys.cipher.encrypt(text)
        return text

    def parameters(self, call: Call, *, at: datetime) -> dict[str, str]:
        """All parameters that are sent and signed, without ``sign``; no empty one among them."""
        parameters = {**self._fixed, "method": call.method, "timestamp": beijing_text(at)}
        if call.content:
            parameters["biz_content"] = self._content(call)
            if self._encrypts:
                parameters["encrypt_type"] = "AES"
        parameters.update(call.parameters)
        return parameters

    def v3(self, call: Call, *, at: datetime, nonce: str) -> HttpRequest:
        """``call`` for OpenAPI v3. It must have a ``rest`` form. ``nonce`` is fresh and also names the request."""
        rest = call.rest
        assert rest is not None
        left = {**call.content, **call.parameters}
        path = _PLACE.sub(lambda place: quote(str(left.pop(place[1])), safe=""), rest.path)
        body, target = "", path
        if rest.verb == "GET":
            target = f"{path}?{_query(left)}" if left else path
        else:
            body = _json(left)
        headers = [("Content-Type", "application/json; charset=utf-8"), ("alipay-request-id", nonce)]
        if body and self._encrypts and self._keys.cipher is not None:
            body = self._keys.cipher.encrypt(body)
            headers = [("Content-Type", "text/plain; charset=utf-8"), *headers[1:], ("alipay-encrypt-type", "AES")]
        url = self._v3_url + target
        signed = V3Request(
            app_id=self._app_id,
            app_cert_sn=self._keys.app_cert_sn,
            nonce=nonce,
            timestamp_ms=int(at.timestamp() * 1000),
            expires_s=self._life_s,
            verb=rest.verb,
            target=HttpRequest(rest.verb, url, ()).target,
            body=body,
            app_auth_token=self._keys.app_auth_token,
        )
        if self._keys.alipay_root_sn:
            headers.append(("alipay-root-cert-sn", self._keys.alipay_root_sn))
        if self._keys.app_auth_token:
            headers.append(("alipay-app-auth-token", self._keys.app_auth_token))
        headers.append(("Authorization", signed.authorization(self._keys.app.signer)))
        return HttpRequest(rest.verb, url, tuple(headers), body.encode())


def beijing_text(at: datetime) -> str:
    """``at`` as Alipay writes times: ``2026-01-15 10:20:31``, Beijing time whatever the host's zone is."""
    return at.astimezone(BEIJING).isoformat(" ", "seconds")[:19]


def of_beijing(text: str) -> datetime | None:
    """The UTC instant of a time as Alipay writes it; ``None`` for anything else."""
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING).astimezone(UTC)
    except ValueError:
        return None


def content_text(content: Mapping[str, Any]) -> str:
    """Business content as the JSON text that is signed and sent: compact, in the order given, nothing empty in it.

    Raises ``ValidationError`` ``alipay.float`` for a float: money is text here.
    """
    return _json(_kept(content))


def _kept(members: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in members.items():
        if type(value) is str:
            if value:
                kept[name] = value
        elif value is not None and value != []:
            kept[name] = _plain(value, name)
    return kept


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, _AS_IT_IS):
        return value
    if isinstance(value, Mapping):
        return _kept(value)
    if isinstance(value, list | tuple):
        return [_plain(item, name) for item in value]
    if isinstance(value, Decimal):
        return f"{value:.2f}"
    if isinstance(value, Secret):
        return value.reveal()
    raise ValidationError("alipay.float", field=name, shape=type(value).__name__)


def _json(value: Any) -> str:
    return pydantic_core.to_json(value).decode()


def _query(members: Mapping[str, Any]) -> str:
    return "&".join(
        f"{quote_plus(name)}={quote_plus(value if isinstance(value, str) else _json(value))}"
        for name, value in members.items()
    )


def _form(value: str) -> str:
    """``value`` as a form encodes it, like ``quote_plus``, which goes letter by letter and costs three times as much.

    Most letters that could need it do not occur, and looking for one that is not there is next to nothing.
    """
    if not value.isascii():
        return quote_plus(value)
    for letter, encoded in _FORM_ENCODED:
        if letter in value:
            value = value.replace(letter, encoded)
    return value


def _form_base64(value: str) -> str:
    """The same for base64, which has three letters to encode."""
    return value.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
