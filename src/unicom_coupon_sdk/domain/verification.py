"""Whether the person at the till may spend the coupon: a challenge, a proof, and a typed verdict.

``challenge`` says what the user must do; the proof carries the result back. Only the guard makes a
``VerifiedHolder``, and a redemption cannot be held without one, so nothing can switch verification off. Biometrics
never enter: where a face or finger is checked, it is by the user's own device or by the platform, and what comes here
is their signed verdict. A user who declines a face always has another way (the CAC and MPS measures on face
recognition, in force since 1 June 2025, art. 10: a face must not be the only way).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from unicom_coupon_sdk.domain.model import Value
from unicom_coupon_sdk.domain.sensitive import OneTimeCode, PhoneNumber, PlatformUser, Secret
from unicom_coupon_sdk.domain.token import QrToken


class Method(StrEnum):
    """How a user can prove who they are. A profile lists which it takes."""

    SCAN = "scan"  # the holder's rotating QR token or payment code is scanned at the till
    LOGIN = "login"  # the platform's mini-program or app says who is logged in
    BIOMETRIC = "biometric"  # the device checked a face or finger over our challenge; the platform vouches for it
    PHONE = "phone"  # the platform hands over the user's phone number, encrypted or by token
    SMS = "sms"  # a one-time code sent to the holder's phone
    TERMINAL = "terminal"  # a registered terminal vouches, over a MAC
    WALLET = "wallet"  # a wallet's authorisation


class ScanProof(Value):
    """The holder's rotating token, as scanned."""

    method: Literal["scan"] = "scan"
    token: QrToken


class LoginProof(Value):
    """A short-lived login code of the platform's app (WeChat ``wx.login``, Alipay auth code)."""

    method: Literal["login"] = "login"
    login_code: Secret
    device_fingerprint: Secret | None = None


class BiometricProof(Value):
    """A device's signed verdict over our challenge, byte for byte as the device gave it (WeChat SOTER)."""

    method: Literal["biometric"] = "biometric"
    challenge_id: str
    user: PlatformUser
    result_json: Secret
    signature: Secret
    device_fingerprint: Secret | None = None


class PhoneProof(Value):
    """The platform's encrypted or tokenised phone number of the user (Alipay ``my.getPhoneNumber``)."""

    method: Literal["phone"] = "phone"
    response: Secret


class SmsProof(Value):
    """The one-time code that the holder typed."""

    method: Literal["sms"] = "sms"
    challenge_id: str
    one_time_code: OneTimeCode


class TerminalProof(Value):
    """Made by a POS host after it has checked a terminal's MAC; never taken from outside."""

    method: Literal["terminal"] = "terminal"
    terminal_no: Annotated[str, StringConstraints(min_length=1, max_length=32)]
    merchant_no: Annotated[str, StringConstraints(min_length=1, max_length=32)]


class WalletProof(Value):
    """A wallet's authorisation for this redemption."""

    method: Literal["wallet"] = "wallet"
    authorisation: Secret


Proof = Annotated[
    ScanProof | LoginProof | BiometricProof | PhoneProof | SmsProof | TerminalProof | WalletProof,
    Field(discriminator="method"),
]


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the user must do before ``expires_at``. ``instructions`` go to the front end as they are.

    For WeChat's ``biometric`` they hold the SOTER challenge text; for ``sms`` when a code may be sent again.
    """

    challenge_id: str
    coupon_id: str
    platform: str
    method: Method
    expires_at: datetime
    instructions: dict[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Testimony:
    """What an adapter established about a proof: whom it shows.

    ``user`` is the platform's name for them and ``phone`` their number; the guard compares either with the coupon's
    holder. ``terminal_no`` is a terminal that vouches. ``in_redemption`` says that the platform itself checks the
    proof as part of the redemption (a bank's one-time code), so that nothing can be known before. ``tier`` is their
    level there, for limits that differ by level; without one every level's limit holds, so the lowest decides.
    """

    method: Method
    user: PlatformUser | None = None
    phone: PhoneNumber | None = None
    terminal_no: str | None = None
    in_redemption: bool = False
    tier: str | None = None


@dataclass(frozen=True, slots=True)
class VerifiedHolder:
    """The guard's verdict that the coupon's holder is there. Made by the guard alone.

    ``in_redemption``: the platform checks the proof itself, counts wrong ones, and lets a right one in once. The
    challenge is then not spent here, so that a holder who mistyped a one-time code may type it again.
    """

    coupon_id: str
    method: Method
    verified_at: datetime
    device_index: str | None = None
    tier: str | None = None
    challenge: Challenge | None = None
    in_redemption: bool = False
