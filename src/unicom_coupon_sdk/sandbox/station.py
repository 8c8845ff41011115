"""One emulator at work: each request is one transaction, meets its fault, and is recorded before it is answered."""

from __future__ import annotations

import logging
import re
import threading
import time
import traceback
from collections.abc import Callable
from email.utils import format_datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox.bills import BillBook
from unicom_coupon_sdk.sandbox.clock import SimulatedClock
from unicom_coupon_sdk.sandbox.emulator import FRAME_METHOD, Emulator, FrameAnswer, Received
from unicom_coupon_sdk.sandbox.faults import (
    ATTEMPT_FAULTS,
    REQUEST_FAULTS,
    SIGNATURE_FAULTS,
    Fault,
    FaultBook,
    FaultKind,
)
from unicom_coupon_sdk.sandbox.frame import PlatformFrame
from unicom_coupon_sdk.sandbox.messages import MessageOutbox
from unicom_coupon_sdk.sandbox.notifications import Attempt, NotificationQueue
from unicom_coupon_sdk.sandbox.recorder import Exchange, Recorder
from unicom_coupon_sdk.sandbox.server import Reply
from unicom_coupon_sdk.sandbox.store import DocumentStore

_log = logging.getLogger(__name__)
_ROUTE_WORD: Final = re.compile(r"[a-z][a-z._-]{0,40}|v[0-9]{1,2}|")
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", FRAME_METHOD})


class Station:
    """A platform in the sandbox: its emulator with store, faults, notifications, messages and bills.

    ``lock`` is the world's: one request at a time, so in-process use by many threads is as safe as the event loop.
    """

    def __init__(
        self,
        emulator: type[Emulator],
        *,
        platform: str,
        store: DocumentStore,
        directory: Path,
        clock: SimulatedClock,
        recorder: Recorder,
        lock: threading.RLock,
        seed: int | None = None,
        reaches_all: bool = False,
        wake: Callable[[], None] = lambda: None,
        files_url: str = "",
    ) -> None:
        self.platform = platform
        self.store = store
        self.faults = FaultBook(store)
        self.notifications = NotificationQueue(store, platform=platform, reaches_all=reaches_all)
        self.messages = MessageOutbox(store)
        self.bills = BillBook(store, faults=self.faults)
        self._clock = clock
        self._recorder = recorder
        self._lock = lock
        self.log: Callable[[str], None] | None = None
        """Where a line about each request goes; nowhere unless it is set."""
        self.frame = PlatformFrame(
            store,
            platform=platform,
            directory=directory,
            clock=clock,
            faults=self.faults,
            notifications=self.notifications,
            messages=self.messages,
            bills=self.bills,
            seed=seed,
            wake=wake,
            files_url=files_url,
        )
        with store.transaction():
            self.emulator = emulator(self.frame)

    def serve(self, received: Received, request_line: str) -> Reply:
        """Answer a request: committed and recorded when this returns."""
        with self._lock:
            reply = self.handle(received, request_line)
            self.store.flush()
            self._recorder.flush()
        return reply

    def handle(self, received: Received, request_line: str) -> Reply:
        """Answer a request. The answer may go out only after ``SandboxWorld.flush`` has made it durable."""
        started = time.perf_counter()
        with self._lock:
            key = ""
            try:
                with self.store.gathered():
                    key = self.emulator.fault_key(received)
                    fault = self.faults.take(REQUEST_FAULTS, key, received.path, unmatched=True)
                    self.frame.serving = key
                    reply = self._reply(received, fault)
            except Exception as error:  # noqa: BLE001 - undone whole; the peer gets a plain failure, the log the place
                _log.error("%s failed: %s at %s", self.platform, type(error).__name__, _place(error))
                broken = None if received.method == FRAME_METHOD else self._finished(HttpAnswer(500, ()))
                reply = Reply(broken)
            finally:
                self.frame.serving = ""
            try:
                seq = self._record(received, request_line, reply)
            except ValueError:
                _log.error("%s put a line break into a header; its answer is not sent", self.platform)
                reply = Reply(None)
                seq = self._record(received, request_line, reply)
        if self.log is not None:
            method = received.method if received.method in _METHODS else "?"
            status = (reply.answer.status or "sent") if reply.answer else "dropped"
            taken_ms = (time.perf_counter() - started) * 1000
            self.log(f"{self.platform} #{seq} {method} {route_of(key)} {status} {taken_ms:.1f} ms")
        return reply

    @property
    def speaks_frames(self) -> bool:
        """Whether the platform speaks frames over TCP, and not HTTP."""
        return bool(getattr(self.emulator, "speaks_frames", False))

    @property
    def serves_files(self) -> bool:
        """Whether an emulator that speaks frames takes plain HTTP requests beside them."""
        return self.speaks_frames and bool(getattr(self.emulator, "serves_files", False))

    @property
    def face_of(self) -> str:
        """The platform whose face this is: its own name, but for a further face of another."""
        return str(getattr(self.emulator, "face_of", self.platform))

    def prepare(self, notification_id: str) -> Attempt | None:
        """The next delivery of a notification, signed now; ``None`` when nothing is to be delivered any more."""
        with self._lock, self.store.transaction():
            callback = self.notifications.callback(notification_id)
            if callback is None:
                return None
            fault = self.faults.take(ATTEMPT_FAULTS, callback.event, unmatched=False)
            kind = fault.kind if fault else None
            method, headers, content = self.emulator.render_callback(callback)
            if fault is not None and fault.kind in SIGNATURE_FAULTS:
                spoiled = self.emulator.spoil(fault.kind.value, HttpAnswer(0, headers, content), probe=fault.probe)
                headers, content = spoiled.headers, spoiled.content
            return Attempt(
                platform=self.platform,
                notification_id=notification_id,
                method=method,
                url=callback.url,
                headers=headers,
                content=content,
                is_half=kind is FaultKind.HALF_BODY,
                is_lost=kind is FaultKind.DROP_BEFORE,
                is_unheard=kind is FaultKind.DROP_AFTER,
            )

    def conclude(self, attempt: Attempt, answer: HttpAnswer | None) -> None:
        """Remember how a delivery went. ``answer`` is the merchant's, or ``None`` when there was none."""
        heard = None if attempt.is_unheard or attempt.is_lost else answer
        with self._lock, self.store.transaction():
            accepted = heard is not None and self.emulator.is_accepted(heard)
            self.notifications.conclude(attempt.notification_id, accepted=accepted, now=self._clock.now())
        _log.info("%s callback %s", self.platform, "accepted" if accepted else "not accepted")

    def abandon(self, notification_id: str) -> None:
        """Count an attempt that could not even be made, so that it is tried later, and at last given up."""
        with self._lock:
            self.notifications.conclude(notification_id, accepted=False, now=self._clock.now())

    def tick(self) -> None:
        """Let the emulator do what is due."""
        with self._lock, self.store.transaction():
            self.emulator.tick()

    def _reply(self, received: Received, fault: Fault | None) -> Reply:
        kind = fault.kind if fault else None
        if kind is FaultKind.DROP_BEFORE:
            return Reply(None)
        if fault is not None and kind is FaultKind.ERROR:
            return Reply(self._finished(self.emulator.refuse(received, fault.code or "")))
        answer = self.emulator.answer(received)
        if isinstance(answer, FrameAnswer) and (answer.is_dropped or answer.is_silent):
            return Reply(None, is_silent=answer.is_silent)
        # A body that is empty cannot be cut; what the client sees then is an answer that never came.
        if kind is FaultKind.DROP_AFTER or (kind is FaultKind.HALF_BODY and not answer.content):
            return Reply(None)
        if fault is not None and fault.kind in SIGNATURE_FAULTS:
            answer = self.emulator.spoil(fault.kind.value, answer, probe=fault.probe)
        delay_s = fault.seconds if fault is not None and kind is FaultKind.DELAY else 0.0
        is_half = kind is FaultKind.HALF_BODY
        if isinstance(answer, FrameAnswer):
            delay_s = max(delay_s, answer.delay_s)
            return Reply(answer, delay_s=delay_s, is_half=is_half, pace_s=answer.pace_s, ahead=answer.ahead)
        return Reply(self._finished(answer), delay_s=delay_s, is_half=is_half)

    def _finished(self, answer: HttpAnswer) -> HttpAnswer:
        """``answer`` with the length of its body, and a date when the emulator gave none. Frames have neither."""
        if isinstance(answer, FrameAnswer):
            return answer
        named = {name.lower() for name, _ in answer.headers}
        headers = answer.headers
        if "date" not in named:
            headers += (("Date", _http_date(int(self._clock.now().timestamp()))),)
        if "content-length" not in named and answer.status not in {204, 304}:
            headers += (("Content-Length", str(len(answer.content))),)
        return HttpAnswer(answer.status, headers, answer.content)

    def _record(self, received: Received, request_line: str, reply: Reply) -> int:
        answer = reply.answer
        content = answer.content if answer else b""
        return self._recorder.record(
            Exchange(
                at=self._clock.now(),
                platform=self.platform,
                request_line=request_line,
                headers=received.headers,
                content=received.content,
                status=(answer.status or None) if answer else None,
                answer_headers=answer.headers if answer else (),
                answer=content[: len(content) // 2] if reply.is_half else content,
            )
        )


@lru_cache(maxsize=256)
def route_of(key: str) -> str:
    """A path or method name with everything masked that is no word of a route: codes, ids, what a client made up."""
    return "/".join(part if _ROUTE_WORD.fullmatch(part) else "*" for part in key.split("/"))


@lru_cache(maxsize=2)
def _http_date(second: int) -> str:
    from datetime import UTC, datetime

    return format_datetime(datetime.fromtimestamp(second, UTC), usegmt=True)


def _place(error: BaseException) -> str:
    """Where an error arose, as file and line; its text could show what a client sent."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
