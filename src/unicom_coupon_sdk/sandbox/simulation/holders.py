"""The people of a world: what the holder of a coupon can show at a till, whatever their platform asks for."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from unicom_coupon_sdk.domain.coupon import Coupon
from unicom_coupon_sdk.domain.order import Order
from unicom_coupon_sdk.domain.requests import ChallengeRequest
from unicom_coupon_sdk.domain.token import make_token
from unicom_coupon_sdk.domain.verification import Challenge, Method, Proof, ScanProof, SmsProof
from unicom_coupon_sdk.flows.challenge import challenge
from unicom_coupon_sdk.platform.effects import Flow
from unicom_coupon_sdk.sandbox.simulation.schedule import Schedule

Start = Callable[[Flow[Any], Callable[[Any], None]], None]
"""Begins a flow on some host; the function gets its result or its error, unless the host dies."""

_GUESS: Final = SmsProof.parse({"challenge_id": "NEVERASKED", "one_time_code": "135790"})
"""What somebody hands over who was never sent a code."""


@dataclass
class Holders:
    """Everybody who holds a coupon in one world. ``mistypes`` is how often a one-time code is typed wrong."""

    schedule: Schedule
    random: random.Random
    setting: Any
    token_key: bytes
    phones: Mapping[str, list[Mapping[str, str | None]]]
    mistypes: float = 0.1
    _last: dict[tuple[str, str], Proof] = field(default_factory=dict)

    def prove(
        self, coupon: Coupon, platform: str, order: Order, then: Callable[[Proof], None], *, start: Start
    ) -> None:
        """Call ``then`` with a proof: a rotating token at once, a one-time code when it was asked for.

        Where no new code comes (the coupon is spent, one was sent a moment ago), it is the last one again, as with a
        person who presses the button twice.
        """
        if Method.SCAN in self.setting.adapter(platform).profile.methods:
            then(ScanProof(token=make_token(coupon.coupon_id, at=self.schedule.now, key=self.token_key)))
            return
        request = ChallengeRequest(coupon=coupon.code, platform=platform, method=Method.SMS, order=order)
        key = (coupon.coupon_id, platform)

        def answered(told: Any) -> None:
            if isinstance(told, Challenge):
                self._last[key] = self._typed(told, platform)
            then(self._last.get(key, _GUESS))

        start(challenge(request, setting=self.setting), answered)

    def _typed(self, told: Challenge, platform: str) -> Proof:
        texts = [message for message in self.phones[platform] if message["code"]]
        code = texts[-1]["code"] if texts else None
        if code is None or self.random.random() < self.mistypes:
            code = "246801"
        return SmsProof.parse({"challenge_id": told.challenge_id, "one_time_code": code})
