"""A network that loses, delays, doubles and reorders, and a party in the middle who forges answers.

A request travels on its own: it may arrive long after its sender has given up, or has crashed. That is what makes
"not done" hard to know, and what the simulator is for.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from unicom_coupon_sdk.errors import CouponError, PlatformUnavailable, PlatformUnknown
from unicom_coupon_sdk.platform.effects import FrameCall, HttpCall
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.runtime.saved import save
from unicom_coupon_sdk.sandbox.emulator import FRAME_METHOD, Emulator, FrameAnswer, Received
from unicom_coupon_sdk.sandbox.simulation.schedule import Schedule


class Fate(Enum):
    """What becomes of one request."""

    ARRIVES = "arrives"
    LOST = "lost"
    ANSWER_LOST = "answer lost"
    LATE = "late"
    DOUBLED = "doubled"
    FORGED = "forged"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"


WEATHERS: dict[str, dict[Fate, int]] = {
    "fair": {
        Fate.ARRIVES: 60, Fate.LOST: 8, Fate.ANSWER_LOST: 10, Fate.LATE: 8, Fate.DOUBLED: 5, Fate.FORGED: 4,
        Fate.REFUSED: 3, Fate.UNREACHABLE: 2,
    },
    "storm": {
        Fate.ARRIVES: 20, Fate.LOST: 22, Fate.ANSWER_LOST: 14, Fate.LATE: 34, Fate.DOUBLED: 4, Fate.FORGED: 2,
        Fate.REFUSED: 2, Fate.UNREACHABLE: 2,
    },
    "forgers": {
        Fate.ARRIVES: 25, Fate.LOST: 6, Fate.ANSWER_LOST: 6, Fate.LATE: 6, Fate.DOUBLED: 12, Fate.FORGED: 40,
        Fate.REFUSED: 3, Fate.UNREACHABLE: 2,
    },
}  # fmt: skip
"""How often of a hundred, in each kind of world."""

TIMEOUT_S = 15.0
LATEST_S = 900.0
LATEST_FRAME_S = 150.0
"""A frame lives in one connection. It cannot come later than connection, host and wait allow (sheet 1.3 of POS)."""

Reply = Callable[[HttpAnswer | bytes | CouponError], None]


@dataclass
class Network:
    """Carries calls to emulators by host. ``calm`` means that everything arrives, at once."""

    schedule: Schedule
    random: random.Random
    emulators: dict[str, Emulator]
    weather: str = "fair"
    calm: bool = False
    carried: int = 0
    arrived: int = 0
    after_arrival: Callable[[], None] = field(default=lambda: None)

    def carry(self, call: HttpCall | FrameCall, reply: Reply) -> None:
        """Take ``call`` on its way; ``reply`` is called once, with an answer or with what a transport would raise."""
        emulator = self.emulators[call.request.host if isinstance(call, HttpCall) else call.endpoint.host]
        latest_s = LATEST_S if isinstance(call, HttpCall) else LATEST_FRAME_S
        weights = WEATHERS[self.weather]
        fate = Fate.ARRIVES if self.calm else self.random.choices(list(weights), list(weights.values()))[0]
        self.carried += 1
        go_s = 0.0 if self.calm else self.random.uniform(0.01, 2)
        if fate is Fate.UNREACHABLE:
            error = PlatformUnavailable("platform.not_reached", platform=emulator.name)
            self.schedule.put(go_s, lambda: reply(error))
            return
        if fate is Fate.LATE:
            go_s = self.random.uniform(TIMEOUT_S, self.random.choice((60.0, min(280.0, latest_s), latest_s)))
        heard = fate in (Fate.ARRIVES, Fate.DOUBLED, Fate.FORGED, Fate.REFUSED)
        if not heard:
            lost = PlatformUnknown("platform.no_answer", platform=emulator.name, reason="timeout")
            self.schedule.put(TIMEOUT_S, lambda: reply(lost))
        if fate is not Fate.LOST:
            self.schedule.put(go_s, lambda: self._arrive(emulator, call, fate, reply if heard else None))
        if fate is Fate.DOUBLED:
            again_s = self.random.uniform(go_s, latest_s)
            self.schedule.put(again_s, lambda: self._arrive(emulator, call, Fate.ARRIVES, None))

    def _arrive(self, emulator: Emulator, call: HttpCall | FrameCall, fate: Fate, reply: Reply | None) -> None:
        request = _received(call)
        refused = fate is Fate.REFUSED
        answer = emulator.refuse(request, "SYSTEM_ERROR") if refused else emulator.answer(request)
        self.arrived += 1
        self.after_arrival()
        if fate is Fate.FORGED:
            kind = self.random.choice(("bad_signature", "wrong_serial", "stale_timestamp"))
            answer = emulator.spoil(kind, answer, probe=self.random.random() < 0.3)
        if reply is not None:
            back_s = 0.0 if self.calm else self.random.uniform(0.01, 2)
            told = _told(call, answer, platform=emulator.name)
            if isinstance(told, CouponError) and not self.calm:
                back_s += TIMEOUT_S
            self.schedule.put(back_s, lambda: reply(told))


def _received(call: HttpCall | FrameCall) -> Received:
    if isinstance(call, FrameCall):
        return Received(FRAME_METHOD, "", (), call.content)
    request = call.request
    return Received(
        method=request.method,
        target=request.target,
        headers=request.headers,
        content=request.content,
        base_url=request.url.removesuffix(request.target),
    )


def _told(call: HttpCall | FrameCall, answer: HttpAnswer, *, platform: str) -> HttpAnswer | bytes | CouponError:
    """What the caller hears: the answer, or for a frame that it does not accept, nothing."""
    if isinstance(call, HttpCall):
        return save(answer, call)
    gone = isinstance(answer, FrameAnswer) and (answer.is_dropped or answer.is_silent)
    if gone or (call.accepts is not None and not call.accepts(answer.content)):
        return PlatformUnknown("platform.no_answer", platform=platform, reason="timeout")
    return answer.content
