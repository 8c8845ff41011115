"""What an emulator is, and what the sandbox's frame gives it.

An emulator is a platform without sockets: it is handed requests as received (raw target, raw headers, raw body) and
hands back answers. Everything around it is the frame's: servers, recording, faults, the clock, delivery of callbacks,
persistence. So the same emulator serves over real sockets, in process, and in the simulator.

State lives in ``Frame.store`` and nowhere else: each request is one transaction of it, committed before the answer
goes out, so a killed sandbox has lost nothing that it answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Protocol

from unicom_coupon_sdk.domain.bill import BillKind, RowKind
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer
from unicom_coupon_sdk.sandbox.bills import BillLine, MadeBill


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it came over the wire. ``target`` is the raw request target: path and query, still encoded."""

    method: str
    target: str
    headers: Headers
    content: bytes = field(repr=False)
    base_url: str = ""

    def header(self, name: str) -> str | None:
        """The first value of ``name``, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    @property
    def path(self) -> str:
        """The target without its query, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The raw query, without the question mark; empty if there is none."""
        return self.target.partition("?")[2]


FRAME_METHOD: Final = "FRAME"
"""The ``method`` of a received frame: a message of a platform that speaks frames, with no target or headers."""


@dataclass(frozen=True, slots=True)
class FrameAnswer(HttpAnswer):
    """A frame that goes back (``content``, without its length; status 0, no headers), and how it goes.

    ``is_dropped`` closes the connection and ``is_silent`` leaves it open, both without an answer. ``ahead`` are frames
    that go out in the same segment before it. ``pace_s`` is the wait between single bytes; 0 sends all at once.
    """

    delay_s: float = 0.0
    pace_s: float = 0.0
    is_dropped: bool = False
    is_silent: bool = False
    ahead: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, content: bytes) -> FrameAnswer:
        """A plain answer."""
        return cls(0, (), content)


class Store(Protocol):
    """The emulator's documents, by kind and key; values are JSON. Reads see the writes of the same request.

    Documents of kind ``keys`` outlive ``POST /reset``, as credentials do. Kinds beginning with ``frame.`` are the
    frame's.
    """

    def get(self, kind: str, key: str) -> dict[str, Any] | None:
        """A copy of the document, or ``None``."""

    def put(self, kind: str, key: str, value: Mapping[str, Any]) -> None:
        """Write a document whole."""

    def delete(self, kind: str, key: str) -> None:
        """Forget a document; nothing happens when there is none."""

    def all(self, kind: str) -> Sequence[tuple[str, dict[str, Any]]]:
        """Every document of a kind, in the order of first writing."""

    def next_number(self, name: str) -> int:
        """1, 2, 3, … for each name."""


class Frame(Protocol):
    """What the sandbox gives an emulator."""

    @property
    def store(self) -> Store:
        """Where all state lives."""

    @property
    def directory(self) -> Path:
        """The emulator's own folder for key files; made at first start, kept over restarts."""

    @property
    def files_url(self) -> str:
        """Where plain HTTP requests reach an emulator that speaks frames and ``serves_files``."""

    def now(self) -> datetime:
        """The simulated time, aware, UTC."""

    def random_bytes(self, count: int) -> bytes:
        """From the sandbox's seed when it has one, else from the operating system."""

    def send_callback(self, callback: Callback) -> None:
        """Queue a callback for delivery on its schedule."""

    def send_message(self, to: str, *, kind: str, text: str, code: str | None = None) -> None:
        """Put a text into the outbox of phone messages."""

    def registered_url(self, event: str) -> str | None:
        """The callback address that the merchant registered for ``event`` (``POST /callbacks``), if any."""

    def make_bill(
        self,
        bill: BillKind,
        day: date,
        *,
        lines: Callable[[], Iterable[BillLine]],
        invent: Callable[[BillLine], BillLine],
        total_of: RowKind | None = None,
    ) -> MadeBill:
        """The bill of a Beijing ``day``, spoiled by the faults that wait when it is first asked for, then always alike.

        See ``sandbox.bills.BillBook.made``. Ask only for a day that is over.
        """


@dataclass(frozen=True, slots=True)
class Callback:
    """News that the emulator wants delivered to ``url``.

    ``schedule_s`` are the waits before each attempt, in seconds; the frame stops at an accepted attempt or at the
    end. The request itself is made anew for each attempt by ``Emulator.render_callback`` from ``payload``, so its
    timestamp and signature are fresh.
    """

    callback_id: str
    event: str
    url: str
    payload: dict[str, Any] = field(repr=False)
    schedule_s: tuple[float, ...]


class Emulator(Protocol):
    """One platform. ``name`` is the platform's; each instance serves one listener.

    An emulator with a true attribute ``speaks_frames`` is given frames over TCP: ``answer`` and ``refuse`` get a
    ``Received`` of method ``FRAME_METHOD`` and hand back a ``FrameAnswer``. With a true attribute ``serves_files``
    beside it, ``answer`` is given plain HTTP requests too, which come to ``Frame.files_url``.

    An emulator that is a further face of a platform (``AdapterPlugin.faces``) names that platform in ``face_of``. What
    its ``client_settings`` gives is then added to that platform's section.
    """

    name: str

    def __init__(self, frame: Frame) -> None: ...

    def credentials(self) -> Mapping[str, Any]:
        """The platform's section of ``sandbox.json`` without its addresses. Makes keys at first start."""

    def client_settings(self, base_url: str) -> Mapping[str, Any]:
        """The platform's section of ``unicom-coupon.toml`` for our own client."""

    def answer(self, request: Received) -> HttpAnswer:
        """Serve one request: verify, act, answer, signed. Never raises for what a client sends."""

    def refuse(self, request: Received, code: str) -> HttpAnswer:
        """The platform's error answer with its own ``code``, without doing anything (fault ``error``)."""

    def spoil(self, kind: str, answer: HttpAnswer, *, probe: bool) -> HttpAnswer:
        """``answer`` with a fault of the signature: ``bad_signature``, ``wrong_serial`` or ``stale_timestamp``.

        A fault that names the event of a callback spoils the callback: its headers and body come here as an answer
        with status 0.
        """

    def render_callback(self, callback: Callback) -> tuple[str, Headers, bytes]:
        """Method, headers and body of the next delivery attempt, signed now."""

    def is_accepted(self, answer: HttpAnswer) -> bool:
        """Whether the merchant's answer to a callback ends its delivery."""

    def fault_key(self, request: Received) -> str:
        """What ``match`` of a fault is compared with: the path without query, or the platform's method name."""

    def tick(self) -> None:
        """Do what is due at the simulated time: expiries and the like. Called after each move of the clock."""

    def issue(self, wish: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """``POST /coupons``: what holder and merchant would know of each. Raises ``ValueError`` with what is wrong."""

    def order(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        """``POST /orders``: a paid order."""

    def deliver(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        """``POST /deliveries``: what only a front end could do."""

    def view(self, code: str) -> Mapping[str, Any] | None:
        """``GET /coupons/{platform}/{code}``: ``{code, state, history: [{at, event, request_no?}]}``."""

    def key_steps(self) -> Sequence[str]:
        """``GET /keys``: the steps of the platform's rotation, in order."""

    def rotate(self, step: str) -> Mapping[str, Any]:
        """``POST /keys/rotate``: take a step; answers what changed, with any new credentials."""
