"""What every envelope offers, and the field encryption that CMB defines and our profile uses with every bank."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import pydantic_core

from unicom_coupon_adapters.bank.messages import Call
from unicom_coupon_sdk.crypto.sm2 import Sm2PublicKey
from unicom_coupon_sdk.crypto.sm4 import BLOCK_BYTES, KEY_BYTES, Sm4
from unicom_coupon_sdk.domain.events import Acknowledgement
from unicom_coupon_sdk.errors import CouponError, ForgedMessage
from unicom_coupon_sdk.platform.wire import HttpRequest

PLATFORM = "bank"
_ZERO_IV = bytes(BLOCK_BYTES)


@dataclass(frozen=True, slots=True)
class Reply:
    """A verified reply in BCG names. ``error_code`` is the bank's, ``None`` when it did what was asked.

    ``is_understood`` false: the message itself was refused (returnCode FAIL), so nothing can have been done.
    """

    biz: Mapping[str, Any] = field(repr=False)
    error_code: str | None = None
    is_understood: bool = True

    def text(self, name: str) -> str | None:
        """A field that is text and not empty, or ``None``."""
        value = self.biz.get(name)
        return value if isinstance(value, str) and value else None


class Envelope(Protocol):
    """A bank's envelope. Everything is verified over the text as received, before it is read."""

    @property
    def bank(self) -> str:
        """The bank's short name."""

    @property
    def entropy_bytes(self) -> int:
        """How much randomness one attempt takes."""

    def build(self, call: Call, *, now: datetime, entropy: bytes) -> HttpRequest:
        """``call`` signed at ``now``. ``entropy`` is fresh for every attempt: it becomes keys and message numbers."""

    def read_reply(self, content: bytes) -> Reply:
        """The verified reply. Raises ``ForgedMessage``."""

    def read_notification(self, body: bytes) -> Mapping[str, Any]:
        """The business fields of genuine news. Raises ``ForgedMessage``."""

    def acknowledge(self, error: CouponError | None) -> Acknowledgement:
        """The signed answer to news."""


def compact(value: Mapping[str, Any]) -> str:
    """JSON text as it is signed and sent: no blanks, Chinese as it is."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def seal_field(value: Mapping[str, str], *, key: bytes) -> str:
    """A sensitive field: SM4-CBC, zero IV, PKCS#7, base64 (sheet §1.6). ``key`` serves one request and no other."""
    return b64encode(Sm4(key).encrypt_cbc_padded(compact(value).encode(), iv=_ZERO_IV)).decode()


def seal_fields(call: Call, *, key: bytes, bank_key: Sm2PublicKey) -> tuple[dict[str, Any], str | None]:
    """The business fields with the sensitive ones encrypted, and the key in its SM2 envelope if there are any."""
    biz = dict(call.biz)
    if not call.sealed:
        return biz, None
    biz |= {name: seal_field(value, key=key[:KEY_BYTES]) for name, value in call.sealed.items()}
    return biz, b64encode(bank_key.encrypt(key[:KEY_BYTES])).decode()


def signed_text(params: Mapping[str, str]) -> str:
    """Every parameter but ``sign``, sorted by name, as ``name=value`` joined by ``&`` (sheet §1.2)."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name != "sign")


def is_signed(text: str, signature: str, *, keys: Sequence[Sm2PublicKey]) -> bool:
    """Whether base64 ``signature`` is a strict DER SM2 signature over ``text`` by one of ``keys``."""
    try:
        der = b64decode(signature, validate=True)
    except (BadBase64, ValueError):
        return False
    return any(key.verify(der, text.encode()) for key in keys)


def json_object(content: bytes | str) -> dict[str, Any]:
    """``content`` as a JSON object. Raises ``ForgedMessage`` (``bank.message_malformed``)."""
    try:
        found = pydantic_core.from_json(content)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ForgedMessage("bank.message_malformed", platform=PLATFORM)
    return found
