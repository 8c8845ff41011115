"""What the guard found before a redemption: who is there, what it is worth, which limits it uses up.

The guard alone makes an ``Admission``; the ledger takes it as the leave to hold a coupon. It lives in the domain
because both rooms know it and the ledger does not import the guard.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from unicom_coupon_sdk.domain.limits import Consumption
from unicom_coupon_sdk.domain.verification import VerifiedHolder


@dataclass(frozen=True, slots=True)
class Admission:
    """Leave to hold one coupon for one redemption.

    ``value_fen`` is what the coupon takes off the order. ``consumptions`` are taken from the limit counters in the
    transaction of the hold, all or none. ``deadline`` (aware UTC) is the last instant at which the redemption may be
    sent to the platform. ``challenge_id`` names the challenge that the proof answered; it is spent with the hold.
    """

    coupon_id: str
    verified: VerifiedHolder
    value_fen: int
    consumptions: tuple[Consumption, ...]
    deadline: datetime
    challenge_id: str | None = None
