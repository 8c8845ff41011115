"""Canonical strings and signatures of both gateways (sheet §1.4, §1.6, §1.10, §1.11).

Alipay signs texts, not trees. What is signed is always the exact text that is sent or was received: a request's own
parameters, an answer's own substring, a form's own values. Nothing here parses JSON or makes it anew.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from unicom_coupon_sdk.errors import ForgedMessage

V3_SCHEME = "ALIPAY-SHA256withRSA"
"""The scheme word of an OpenAPI v3 ``Authorization`` header."""


class SignType(StrEnum):
    """How a text is signed. Requests use ``RSA2`` or ``SM2``; ``RSA`` (SHA-1) is only for messages of old apps."""

    RSA2 = "RSA2"
    RSA = "RSA"
    SM2 = "SM2"


class AppSigner(Protocol):
    """The application's private key with its algorithm fixed: an RSA key, an SM2 key, or an object before an HSM."""

    def __call__(self, message: bytes) -> bytes:
        """The raw signature over ``message``."""
        ...


class AlipayVerifier(Protocol):
    """Alipay's public key with its algorithm chosen by a message's ``sign_type``."""

    def verifies(self, signature: bytes, message: bytes, sign_type: SignType) -> bool:
        """Whether ``signature`` is right for ``message``. Never raises for a wrong one."""
        ...


def canonical(parameters: Mapping[str, str], *, without: frozenset[str] = frozenset()) -> str:
    """The text to sign: ``name=value`` joined by ``&``, sorted by name, values as decoded text.

    ``sign`` and empty values are left out, whoever put them there; so are the names in ``without``. ``sign_type`` is
    signed in a request (§1.4).
    """
    return "&".join(
        [
            f"{name}={value}"
            for name in sorted(parameters)
            if (value := parameters[name]) and name != "sign" and name not in without
        ]
    )


def sign_text(text: str, signer: AppSigner) -> str:
    """The signature over ``text`` in UTF-8, as one line of base64: 344 characters for a 2048-bit RSA key."""
    return base64.b64encode(signer(text.encode())).decode("ascii")


def verify_text(text: str, *, sign: str, verifier: AlipayVerifier, sign_type: SignType, charset: str = "utf-8") -> bool:
    """Whether ``sign`` (base64) is Alipay's over exactly ``text``. False for anything that is not base64."""
    try:
        signature = base64.b64decode(sign, validate=True)
        message = text.encode(charset)
    except (binascii.Error, ValueError, LookupError):
        return False
    return bool(signature) and verifier.verifies(signature, message, sign_type)


_BESIDE = frozenset({"sign", "alipay_cert_sn"})
_V1 = frozenset({"sign_type", "alipay_cert_sn"})
_V2 = frozenset({"alipay_cert_sn"})


def verify_form(form: Mapping[str, str], *, verifier: AlipayVerifier, charset: str = "utf-8") -> str:
    """Which rule a form message was signed by: ``"V1"`` (without ``sign_type``) or ``"V2"`` (with it), tried in order.

    ``form`` holds each value decoded once from the received bytes. A stray ``alipay_cert_sn`` is never part of the
    text (§1.6). Raises ``ForgedMessage`` when neither rule fits or the sign type is unknown.
    """
    try:
        sign_type = SignType(form.get("sign_type") or SignType.RSA2)
    except ValueError:
        raise ForgedMessage("alipay.message_forged", platform="alipay") from None
    sign = form.get("sign", "")
    for rule, without in (("V1", _V1), ("V2", _V2)):
        text = canonical(form, without=without)
        if verify_text(text, sign=sign, verifier=verifier, sign_type=sign_type, charset=charset):
            return rule
    raise ForgedMessage("alipay.message_forged", platform="alipay")


def canonical_difference(parameters: Mapping[str, str], echoed: str) -> str:
    """The names of ``parameters`` in which the gateway's canonical string differs from ours; no value is shown.

    ``echoed`` is the ``sub_msg`` of ``isv.invalid-signature``: words, then the string, HTML-escaped (§1.4). Empty when
    the texts agree, which means that the key pair and not the text is wrong, or when there is no string in it.
    """
    theirs = _unescaped(echoed)
    parts = [f"{name}={value}" for name, value in sorted(parameters.items()) if value and name != "sign"]
    at = min((found for part in parts if (found := theirs.find(_name(part))) >= 0), default=-1)
    if at < 0:
        return ""
    differing = []
    for place, part in enumerate(parts):
        if theirs.startswith(part, at) and (
            place + 1 == len(parts) or theirs[at + len(part) : at + len(part) + 1] == "&"
        ):
            at += len(part) + 1
            continue
        differing.append(_name(part)[:-1])
        # Go on at the next part of ours that is there as a whole: a name alone may also stand inside a value.
        later = (theirs.find(f"&{part_}", at) for part_ in parts[place + 1 :])
        at = next((found + 1 for found in later if found >= 0), len(theirs))
    return ", ".join(differing)


def _name(part: str) -> str:
    return part[: part.index("=") + 1]


def _unescaped(text: str) -> str:
    """The five entities with their semicolons only: to a browser ``&timestamp`` begins with a multiplication sign."""
    for entity, letter in (("&quot;", '"'), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, letter)
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class V3Request:
    """What an OpenAPI v3 signature covers. ``target`` is path and query exactly as sent, already percent-encoded.

    ``timestamp_ms`` is the time in milliseconds since 1970 UTC. ``expires_s`` bounds the request's life, if given.
    """

    app_id: str
    app_cert_sn: str | None
    nonce: str
    timestamp_ms: int
    expires_s: int | None
    verb: str
    target: str
    body: str
    app_auth_token: str | None

    @property
    def head(self) -> str:
        """The ``authString``: the parameters of the signature itself."""
        parts = [f"app_id={self.app_id}"]
        if self.app_cert_sn:
            parts.append(f"app_cert_sn={self.app_cert_sn}")
        parts += [f"nonce={self.nonce}", f"timestamp={self.timestamp_ms}"]
        if self.expires_s is not None:
            parts.append(f"expired_seconds={self.expires_s}")
        return ",".join(parts)

    @property
    def message(self) -> str:
        """The lines that are signed, each ended by LF; the body line stays when it is empty."""
        lines = [self.head, self.verb, self.target, self.body]
        if self.app_auth_token:
            lines.append(self.app_auth_token)
        return "".join(f"{line}\n" for line in lines)

    def authorization(self, signer: AppSigner) -> str:
        """The whole ``Authorization`` header."""
        return f"{V3_SCHEME} {self.head},sign={sign_text(self.message, signer)}"


def v3_answer_message(*, timestamp: str, nonce: str, body: str) -> str:
    """The lines that Alipay signs in an OpenAPI v3 answer."""
    return f"{timestamp}\n{nonce}\n{body}\n"
