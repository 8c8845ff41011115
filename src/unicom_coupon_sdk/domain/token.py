"""Rotating tokens: a coupon shown as a QR code that is worthless as a screenshot.

``UC1.<coupon id>.<step>.<tag>``: the step is the number of 30-second steps since 1970 in UTC, the tag the first
sixteen characters of base32(HMAC-SHA256(key, "UC1.<coupon id>.<step>")). A token is good in its own step and in the
two beside it (a slow scanner, a clock a little off), so for at most 60 s after its step ends. The coupon id is not a
secret and cannot be redeemed; only a fresh token or the code can.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime

from unicom_coupon_sdk.domain.sensitive import Sensitive
from unicom_coupon_sdk.errors import ValidationError, VerificationError

STEP_S = 30
PREFIX = "UC1."
_SLACK_STEPS = 1


class QrToken(Sensitive):
    """The text of a rotating QR code."""

    __slots__ = ()
    noun = "token"
    longest = 96

    @property
    def is_ours(self) -> bool:
        """Whether it has the form of a token made here; a platform's own payment code has not."""
        return self._text.startswith(PREFIX)


def make_token(coupon_id: str, *, at: datetime, key: bytes) -> QrToken:
    """The token to show at ``at`` (aware). ``key`` is the issuer's token key."""
    body = f"{PREFIX}{coupon_id}.{_step(at)}"
    return QrToken(f"{body}.{_tag(body, key)}")


def coupon_of_token(token: QrToken, *, at: datetime, key: bytes) -> str:
    """The coupon id that a genuine and fresh token shows.

    Raises ``VerificationError`` (``token.forged``, ``token.stale``) or ``ValidationError`` (``token.shape``).
    """
    body, _, tag = token.reveal().rpartition(".")
    prefix, _, rest = body.partition(".")
    coupon_id, _, step = rest.partition(".")
    if prefix + "." != PREFIX or not coupon_id or not (step.isascii() and step.isdigit()):
        raise ValidationError("token.shape", field="token")
    if not hmac.compare_digest(tag.encode(), _tag(body, key).encode()):
        raise VerificationError("token.forged", field="token")
    if abs(_step(at) - int(step)) > _SLACK_STEPS:
        raise VerificationError("token.stale", field="token", step_s=STEP_S)
    return coupon_id


def _step(at: datetime) -> int:
    return int(at.timestamp()) // STEP_S


def _tag(body: str, key: bytes) -> str:
    return base64.b32encode(hmac.digest(key, body.encode(), hashlib.sha256)[:10]).decode()
