"""The control of a sandbox, as Python methods: what the control API offers, with the same names and checks.

The HTTP face (``door``) and the in-process sandbox both call these methods. Three of them make deliveries and so come
as rounds, which whoever owns the world drives in its own way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, TypeVar, cast

from unicom_coupon_sdk import __version__
from unicom_coupon_sdk.domain.bill import BillKind
from unicom_coupon_sdk.domain.times import instant_of
from unicom_coupon_sdk.errors import ValidationError
from unicom_coupon_sdk.sandbox.bills import BillDefect
from unicom_coupon_sdk.sandbox.clock import EARLIEST, LATEST
from unicom_coupon_sdk.sandbox.faults import SIGNATURE_FAULTS, Fault, FaultKind
from unicom_coupon_sdk.sandbox.notifications import is_loopback_url
from unicom_coupon_sdk.sandbox.rounds import Round, deliver_pending, move_clock
from unicom_coupon_sdk.sandbox.station import Station
from unicom_coupon_sdk.sandbox.world import SandboxWorld

T = TypeVar("T")

MOST_COUPONS: Final = 10_000
MOST_TIMES: Final = 1_000_000
LONGEST_DELAY_S: Final = 600.0
LARGEST_FEN: Final = 100_000_000_00


class Control:
    """What a test does to a sandbox from outside the platforms' protocols.

    Every method raises ``ValidationError`` that names the field when its arguments are wrong. Answers are JSON values.
    """

    def __init__(
        self,
        world: SandboxWorld,
        *,
        reaches_all: bool = False,
        on_credentials: Callable[[], None] = lambda: None,
    ) -> None:
        self._world = world
        self._reaches_all = reaches_all
        self._on_credentials = on_credentials

    def health(self) -> dict[str, Any]:
        """Version, platforms and simulated time."""
        return {"version": __version__, "platforms": list(self._world.stations), "now": self.now().isoformat()}

    def issue_coupons(
        self,
        platform: str,
        *,
        face_fen: int,
        count: int = 1,
        min_spend_fen: int | None = None,
        valid_days: int | None = None,
        holder: str | None = None,
        **more: Any,
    ) -> list[dict[str, Any]]:
        """Issue coupons on a platform: for each, ``code`` and what else its holder and merchant would know.

        ``more`` goes to the platform's emulator as it is; it says what it knows.
        """
        station = self._station(platform)
        wish: dict[str, Any] = {
            "count": _whole(count, field="count", most=MOST_COUPONS),
            "face_fen": _whole(face_fen, field="face_fen", most=LARGEST_FEN),
        }
        if min_spend_fen is not None:
            wish["min_spend_fen"] = _whole(min_spend_fen, field="min_spend_fen", least=0, most=LARGEST_FEN)
        if valid_days is not None:
            wish["valid_days"] = _whole(valid_days, field="valid_days", most=3650)
        if holder is not None:
            wish["holder"] = _text(holder, field="holder")
        return [dict(coupon) for coupon in self._within(station, lambda: station.emulator.issue({**more, **wish}))]

    def order(
        self, platform: str, *, amount_fen: int, holder: str | None = None, code: str | None = None, **more: Any
    ) -> dict[str, Any]:
        """A paid order on a platform, with the coupon ``code`` in it where the platform has that."""
        station = self._station(platform)
        wish: dict[str, Any] = {"amount_fen": _whole(amount_fen, field="amount_fen", most=LARGEST_FEN)}
        if holder is not None:
            wish["holder"] = _text(holder, field="holder")
        if code is not None:
            wish["code"] = _text(code, field="code")
        return dict(self._within(station, lambda: station.emulator.order({**more, **wish})))

    def deliver(self, platform: str, **wish: Any) -> dict[str, Any]:
        """What only a front end could do; the emulator's docstring says what ``wish`` holds."""
        station = self._station(platform)
        return dict(self._within(station, lambda: station.emulator.deliver(wish)))

    def coupon(self, platform: str, code: str) -> dict[str, Any] | None:
        """The emulator's view of a coupon, or ``None`` when it knows none by this code."""
        station = self._station(platform)
        view = self._within(station, lambda: station.emulator.view(code))
        return None if view is None else dict(view)

    def now(self) -> datetime:
        """The simulated time, aware, UTC."""
        return self._world.clock.now()

    def moving(self, *, now: str | datetime | None = None, advance_s: float | None = None) -> Round[datetime]:
        """The round that moves the clock to ``now`` or by ``advance_s`` seconds, doing all that falls due."""
        if (now is None) == (advance_s is None):
            raise ValidationError("sandbox.clock_move", field="now")
        if now is not None:
            target = now if isinstance(now, datetime) else instant_of(_text(now, field="now"), field="now")
            if target.tzinfo is None:
                raise ValidationError("time.naive", field="now")
        else:
            span = (LATEST - EARLIEST).total_seconds()
            try:
                target = self.now() + timedelta(seconds=_number(advance_s, field="advance_s", least=-span, most=span))
            except OverflowError:
                raise ValidationError("sandbox.clock_range", field="advance_s") from None
        if not EARLIEST <= target < LATEST:
            raise ValidationError("sandbox.clock_range", field="advance_s" if now is None else "now")
        return move_clock(self._world, target)

    def delivering(self) -> Round[list[dict[str, Any]]]:
        """The round that delivers once what is pending now; the notifications attempted, as they stand after it."""
        attempted = yield from deliver_pending(self._world)
        names = {(station.platform, key) for station, key in attempted}
        return [shown for shown in self.notifications() if (shown["platform"], shown["id"]) in names]

    def add_fault(
        self,
        platform: str,
        kind: str,
        *,
        times: int = 1,
        match: str | None = None,
        code: str | None = None,
        seconds: float | None = None,
        probe: bool = False,
    ) -> str:
        """Let ``kind`` go wrong the next ``times`` times; the fault's id.

        A ``bill_defect`` has the class of the defect as ``code``, and may have a kind of bill as ``match``.
        """
        station = self._station(platform)
        known = [name.value for name in FaultKind]
        if kind not in known:
            raise ValidationError("sandbox.fault_kind", field="kind", known=", ".join(known))
        fault_kind = FaultKind(kind)
        if fault_kind is FaultKind.ERROR and not code:
            raise ValidationError("sandbox.fault_code", field="code")
        if fault_kind is FaultKind.BILL_DEFECT:
            _one_of(code, BillDefect, field="code")
            if match is not None:
                _one_of(match, BillKind, field="match")
        if fault_kind is FaultKind.DELAY and seconds is None:
            raise ValidationError("sandbox.field_missing", field="seconds")
        if not isinstance(probe, bool):
            raise ValidationError("sandbox.field_type", field="probe", wanted="true or false")
        with self._world.lock, self._world.store.transaction():
            fault_id = f"f{self._world.store.next_number('faults')}"
        fault = Fault(
            fault_id=fault_id,
            kind=fault_kind,
            times=_whole(times, field="times", most=MOST_TIMES),
            match=None if match is None else _text(match, field="match"),
            code=None if code is None else _text(code, field="code"),
            seconds=0.0 if seconds is None else _number(seconds, field="seconds", least=0, most=LONGEST_DELAY_S),
            probe=probe and fault_kind in SIGNATURE_FAULTS,
        )
        with self._world.lock:
            station.faults.add(fault)
        return fault_id

    def faults(self) -> list[dict[str, Any]]:
        """The faults that still wait, with how many times each is left."""
        with self._world.lock:
            return [
                {"platform": name, **fault.shown()}
                for name, station in self._world.stations.items()
                for fault in station.faults.armed()
            ]

    def clear_faults(self) -> int:
        """Forget all faults; how many there were."""
        with self._world.lock:
            return sum(station.faults.clear() for station in self._world.stations.values())

    def bill_defects(self, *, platform: str | None = None) -> list[dict[str, Any]]:
        """What faults have spoiled in the bills made so far, of one platform or all.

        Each has ``class``, ``platform``, ``bill``, ``day``, ``kind`` (of the row, or of the total), ``number`` (ours;
        of an invented line the invented one; ``None`` for a total) and ``amount_fen`` (as it should have been).
        """
        chosen = self._world.stations.values() if platform is None else [self._station(platform)]
        with self._world.lock:
            return [{"platform": one.platform, **defect} for one in chosen for defect in one.bills.defects()]

    def requests(self, *, platform: str | None = None, since: int = 0) -> list[dict[str, Any]]:
        """The recorded exchanges after number ``since``, of one platform or all, oldest first."""
        if platform is not None:
            self._station(platform)
        since = _whole(since, field="since", least=0, most=2**53)
        with self._world.lock:
            return self._world.recorder.exchanges(platform=platform, since=since)

    def register_callback(self, platform: str, url: str, *, event: str | None = None) -> None:
        """Remember the address that a merchant enters in the platform's console; for one event, or for all."""
        station = self._station(platform)
        if not (self._reaches_all or is_loopback_url(_text(url, field="url"))):
            raise ValidationError("sandbox.callback_url", field="url")
        with self._world.lock:
            station.frame.register_url(url, event=None if event is None else _text(event, field="event"))

    def notifications(self) -> list[dict[str, Any]]:
        """The callbacks sent and due, each with its attempts and state."""
        with self._world.lock:
            return [shown for station in self._world.stations.values() for shown in station.notifications.listed()]

    def messages(self, to: str | None = None) -> list[dict[str, Any]]:
        """What phones have received, to one or all, oldest first."""
        with self._world.lock:
            sent = [message for station in self._world.stations.values() for message in station.messages.sent(to)]
        return sorted(sent, key=lambda message: cast("str", message["at"]))

    def key_steps(self) -> dict[str, list[str]]:
        """The steps of each platform's key rotation, in order."""
        with self._world.lock:
            return {name: list(station.emulator.key_steps()) for name, station in self._world.stations.items()}

    def rotate_keys(self, platform: str, step: str) -> dict[str, Any]:
        """Take a step of the platform's key rotation; what changed, with new credentials if there are any."""
        station = self._station(platform)
        steps = list(station.emulator.key_steps())
        if step not in steps:
            raise ValidationError("sandbox.key_step", field="step", known=", ".join(steps) or "-")
        changed = dict(self._within(station, lambda: station.emulator.rotate(step)))
        self._on_credentials()
        return changed

    def reset(self) -> None:
        """Empty state, request numbers forgotten too, same credentials; the clock shows real time again."""
        self._world.reset()

    def _station(self, platform: str) -> Station:
        station = self._world.station(platform) if isinstance(platform, str) else None
        if station is None:
            raise ValidationError(
                "sandbox.platform_unknown", field="platform", known=", ".join(self._world.stations) or "-"
            )
        return station

    def _within(self, station: Station, work: Callable[[], T]) -> T:
        with self._world.lock:
            try:
                with station.store.transaction():
                    return work()
            except ValueError as error:
                raise ValidationError("sandbox.wish", field="request", reason=str(error)) from None


class DrivenControl(Control):
    """``Control`` whose rounds are driven by ``run``, so that moving the clock is one plain call."""

    def __init__(
        self,
        world: SandboxWorld,
        *,
        run: Callable[[Round[Any]], Any],
        reaches_all: bool = False,
        on_credentials: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(world, reaches_all=reaches_all, on_credentials=on_credentials)
        self._run = run

    def advance(self, seconds: float) -> datetime:
        """Move the clock by ``seconds``; what falls due, callbacks included, has happened. The new time."""
        return cast("datetime", self._run(self.moving(advance_s=seconds)))

    def set_clock(self, now: datetime | str) -> datetime:
        """Move the clock to ``now``; what falls due, callbacks included, has happened. The new time."""
        return cast("datetime", self._run(self.moving(now=now)))

    def deliver_notifications(self) -> list[dict[str, Any]]:
        """Deliver once what is pending now, due or not; the notifications attempted, as they stand after it."""
        return cast("list[dict[str, Any]]", self._run(self.delivering()))


def _whole(value: object, *, field: str, most: int, least: int = 1) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValidationError("sandbox.field_type", field=field, wanted="a whole number")
    if not least <= value <= most:
        raise ValidationError("sandbox.field_range", field=field, least=least, most=most)
    return value


def _number(value: object, *, field: str, least: float, most: float) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValidationError("sandbox.field_type", field=field, wanted="a number")
    if not least <= value <= most:
        raise ValidationError("sandbox.field_range", field=field, least=least, most=most)
    return float(value)


def _one_of(value: object, known: type[StrEnum], *, field: str) -> None:
    if value not in list(known):
        raise ValidationError("sandbox.field_choice", field=field, known=", ".join(known))


def _text(value: object, *, field: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 2048:
        raise ValidationError("sandbox.field_type", field=field, wanted="a text of 1 to 2048 characters")
    return value
