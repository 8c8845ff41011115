"""What is signed, on the classic gateway and on v3: the second writing of these rules in this project.

Sheet §1.4 (requests), §1.6 rule V1 (news), §1.11 (v3). Texts are encoded in the request's charset before signing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Final

from unicom_coupon_sdk.crypto.rsa import RsaPrivateKey, RsaPublicKey

SIGN_TYPES: Final = ("RSA2", "RSA")


def signing_text(parameters: Mapping[str, str], *, without: Iterable[str] = ("sign",)) -> str:
    """``name=value`` by byte order of the names, joined by ``&``; empty values and ``without`` left out."""
    left_out = frozenset(without)
    names = [name for name, value in parameters.items() if value != "" and name not in left_out]
    return "&".join([f"{name}={parameters[name]}" for name in sorted(names, key=lambda one: one.encode())])


def rest_text(credentials: str, *, verb: str, target: str, body: str, app_auth_token: str | None) -> str:
    """The v3 message: five parts at most, each followed by a line feed, the empty body too."""
    lines = [credentials, verb, target, body]
    if app_auth_token is not None:
        lines.append(app_auth_token)
    return "\n".join(lines) + "\n"


def rest_answer_text(timestamp: str, nonce: str, body: str) -> str:
    """The message that a v3 answer's signature covers."""
    return f"{timestamp}\n{nonce}\n{body}\n"


def signature(message: bytes, *, key: RsaPrivateKey, sign_type: str = "RSA2") -> str:
    """The signature in base64 without line breaks or escapes."""
    made = key.sign_sha256(message) if sign_type == "RSA2" else key.sign_sha1(message)
    return base64.b64encode(made).decode("ascii")


def is_signed(message: bytes, sign: str, *, keys: Iterable[RsaPublicKey], sign_type: str = "RSA2") -> bool:
    """Whether ``sign`` is over ``message`` by one of ``keys``."""
    try:
        raw = base64.b64decode(sign, validate=True)
    except (binascii.Error, ValueError):
        return False
    if sign_type == "RSA2":
        return any(key.verify_sha256(raw, message) for key in keys)
    return any(key.verify_sha1(raw, message) for key in keys)
