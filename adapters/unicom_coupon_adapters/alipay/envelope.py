"""Answers of the classic gateway: where the signed text lies in the received bytes (sheet §1.5).

The signature covers the node's value as it was received, from its first character to its last. So the value is found
by its offsets in the text and handed on as that substring; a value that was parsed and written again, even if equal as
JSON, is another text and does not verify.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unicom_coupon_adapters.alipay.signing import AlipayVerifier, SignType, verify_text
from unicom_coupon_sdk.errors import ForgedMessage

ERROR_NODE = "error_response"
_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class Envelope:
    """An answer cut into its parts, not verified yet.

    ``signed_text`` is the node's value as received (with its quotes, when it is an encrypted string); ``value`` what
    it parses to.
    """

    node: str
    signed_text: str = field(repr=False)
    value: Any = field(repr=False)
    sign: str | None = field(repr=False)
    cert_sn: str | None

    @property
    def is_encrypted(self) -> bool:
        """Whether the node is a ciphertext. A failure may come in the clear though encryption was asked for."""
        return isinstance(self.value, str)

    def is_signed_by(self, verifier: AlipayVerifier, sign_type: SignType) -> bool:
        r"""Whether the signature is right for the substring as received.

        Where that fails and the text holds ``\/``, it is tried once more with ``/``, as Alipay's Java client does.
        """
        if not self.sign:
            return False
        if verify_text(self.signed_text, sign=self.sign, verifier=verifier, sign_type=sign_type):
            return True
        return "\\/" in self.signed_text and verify_text(
            self.signed_text.replace("\\/", "/"), sign=self.sign, verifier=verifier, sign_type=sign_type
        )


def node_name(method: str) -> str:
    """The answer node of ``method``: ``alipay.trade.pay`` → ``alipay_trade_pay_response``."""
    return f"{method.replace('.', '_')}_response"


def cut(body: bytes, *, method: str) -> Envelope:
    """The envelope in ``body`` for ``method``.

    Raises ``ForgedMessage`` ``alipay.answer_shape`` for anything that is not one JSON object in UTF-8 with exactly
    one of the method's node and ``error_response``, each member at most once.
    """
    spans = _members(body)
    names = [name for name in (node_name(method), ERROR_NODE) if name in spans]
    if len(names) != 1:
        raise _shapeless()
    text, value = spans[names[0]]
    if not isinstance(value, dict | str):
        raise _shapeless()
    return Envelope(
        node=names[0],
        signed_text=text,
        value=value,
        sign=_text_member(spans, "sign"),
        cert_sn=_text_member(spans, "alipay_cert_sn"),
    )


def _members(body: bytes) -> dict[str, tuple[str, Any]]:
    """The members of the outermost object: name → (text as received, parsed value). Strings may hold any brace."""
    spans: dict[str, tuple[str, Any]] = {}
    try:
        text = body.decode()
        at = _past(text, 0, "{")
        while True:
            name, at = _DECODER.raw_decode(text, at)
            at = _past(text, at, ":")
            value, end = _DECODER.raw_decode(text, at)
            if not isinstance(name, str) or name in spans:
                raise _shapeless()
            spans[name] = (text[at:end], value)
            at = _skip(text, end)
            if text[at : at + 1] == "}":
                break
            at = _past(text, at, ",")
    except (ValueError, RecursionError):  # a UnicodeDecodeError and a JSONDecodeError are ValueErrors
        raise _shapeless() from None
    if _skip(text, at + 1) != len(text):
        raise _shapeless()
    return spans


def _text_member(spans: Mapping[str, tuple[str, Any]], name: str) -> str | None:
    value = spans[name][1] if name in spans else None
    if value is not None and not isinstance(value, str):
        raise _shapeless()
    return value


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _past(text: str, at: int, mark: str) -> int:
    at = _skip(text, at)
    if text[at : at + 1] != mark:
        raise _shapeless()
    return _skip(text, at + 1)


def _shapeless() -> ForgedMessage:
    return ForgedMessage("alipay.answer_shape", platform="alipay")
