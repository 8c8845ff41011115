"""A small platform for tests of the sandbox's frame: HMAC-signed JSON, coupons that are used once, callbacks.

``POST /v1/coupons/use`` ``{code, request_no, notify_url?}`` and ``GET /v1/coupons/<code>``; requests and answers carry
``Token-Signature``, an HMAC over the body, and answers ``Token-TIME``, spelled so that a lost header case is seen.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Callback, Frame, Received

SCHEDULE = (0.0, 15.0, 30.0, 60.0)


def sign(key: str, content: bytes, at: str) -> str:
    return hmac.new(key.encode(), at.encode() + b"\n" + content, hashlib.sha256).hexdigest()


class TokenPay:
    name = "tokenpay"

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._file = frame.directory / "token.key"
        if not self._file.exists():
            self._file.write_text(secrets.token_hex(16))

    def credentials(self) -> Mapping[str, Any]:
        number = (self._frame.store.get("keys", "key") or {"number": 1})["number"]
        return {"key_file": str(self._file.absolute()), "key_number": number}

    def client_settings(self, base_url: str) -> Mapping[str, Any]:
        return {"base_url": base_url, "key": f"file:{self.credentials()['key_file']}", "absent": None}

    def answer(self, request: Received) -> HttpAnswer:
        given = request.header("Token-Signature") or ""
        if not hmac.compare_digest(given, sign(self._key(), request.content, "")):
            return self._signed(401, {"code": "SIGN_ERROR"})
        if request.path == "/v1/crash":
            self._frame.store.put("crash", "1", {"left": True})
            raise RuntimeError("SECRET-BODY-TEXT")
        if request.path == "/v1/smuggle":
            return HttpAnswer(200, (("X-Bad", "a\r\nX-Injected: b"),), b"{}")
        if request.path == "/v1/empty":
            return HttpAnswer(204, (("Token-Empty", "yes"),))
        if request.method == "GET":
            coupon = self.view(request.path.rpartition("/")[2])
            return self._signed(200, coupon) if coupon else self._signed(404, {"code": "NOT_FOUND"})
        return self._use(json.loads(request.content))

    def _use(self, wish: Mapping[str, Any]) -> HttpAnswer:
        store = self._frame.store
        if (repeat := store.get("use", wish["request_no"])) is not None:
            return self._signed(200, repeat)
        coupon = store.get("coupon", wish["code"])
        if coupon is None or coupon["state"] != "SENT":
            return self._signed(403, {"code": "NOT_USABLE"})
        self._moved(wish["code"], coupon, state="USED", event="use", request_no=wish["request_no"])
        told = {"use_no": store.next_number("use"), "nonce": self._frame.random_bytes(8).hex()}
        store.put("use", wish["request_no"], told)
        self._notify("COUPON.USE", wish.get("notify_url"), {"code": wish["code"]})
        return self._signed(200, told)

    def refuse(self, request: Received, code: str) -> HttpAnswer:
        return self._signed(500 if code == "SYSTEM_ERROR" else 400, {"code": code})

    def spoil(self, kind: str, answer: HttpAnswer, *, probe: bool) -> HttpAnswer:
        changed = {"Token-Signature": ("PROBE" if probe else "0" * 5) + kind}
        if kind == "stale_timestamp":
            changed = dict(self._proof(answer.content, at=self._frame.now() - timedelta(minutes=6)))
        headers = tuple((name, changed.get(name, value)) for name, value in answer.headers)
        return HttpAnswer(answer.status, headers, answer.content)

    def render_callback(self, callback: Callback) -> tuple[str, Headers, bytes]:
        if callback.payload.get("unrenderable"):
            raise RuntimeError("cannot be made")
        content = json.dumps({"id": callback.callback_id, "event": callback.event, **callback.payload}).encode()
        return "POST", (("Content-Type", "application/json"), *self._proof(content, at=self._frame.now())), content

    def is_accepted(self, answer: HttpAnswer) -> bool:
        return answer.status in {200, 204}

    def fault_key(self, request: Received) -> str:
        return request.path

    def tick(self) -> None:
        for code, coupon in self._frame.store.all("coupon"):
            if coupon["state"] == "SENT" and datetime.fromisoformat(coupon["until"]) <= self._frame.now():
                self._moved(code, coupon, state="EXPIRED", event="expire")
                self._notify("COUPON.EXPIRE", None, {"code": code})

    def issue(self, wish: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        if wish.get("family") == "none":
            raise ValueError("there is no such family")
        return [self._issue_one(wish) for _ in range(wish["count"])]

    def _issue_one(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        code = f"T{self._frame.store.next_number('coupon'):06d}{self._frame.random_bytes(4).hex().upper()}"
        until = self._frame.now() + timedelta(days=wish.get("valid_days", 30))
        coupon = {"until": until.isoformat(), "face_fen": wish["face_fen"], "history": []}
        self._moved(code, coupon, state="SENT", event="send")
        if holder := wish.get("holder"):
            self._frame.send_message(holder, kind="coupon", text="You have a coupon.", code=code)
        return {"code": code, "user": holder or "nobody"}

    def order(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"order_no": f"O{self._frame.store.next_number('order')}", **wish}

    def deliver(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(wish.get("callbacks", 0)):
            self._notify(wish["event"], wish.get("url"), {"unrenderable": wish.get("unrenderable", False)})
        return dict(wish)

    def view(self, code: str) -> Mapping[str, Any] | None:
        coupon = self._frame.store.get("coupon", code)
        return coupon and {"code": code, "state": coupon["state"], "history": coupon["history"]}

    def key_steps(self) -> Sequence[str]:
        return ("next", "old_void")

    def rotate(self, step: str) -> Mapping[str, Any]:
        if step == "old_void":
            raise ValueError("there is no newer key")
        self._frame.store.put("keys", "key", {"number": self.credentials()["key_number"] + 1})
        return {"step": step, **self.credentials()}

    def _key(self) -> str:
        return self._file.read_text()

    def _moved(
        self, code: str, coupon: dict[str, Any], *, state: str, event: str, request_no: str | None = None
    ) -> None:
        entry = {"at": self._frame.now().isoformat(), "event": event} | (
            {"request_no": request_no} if request_no else {}
        )
        moved = {**coupon, "state": state, "history": [*coupon["history"], entry]}
        self._frame.store.put("coupon", code, moved)

    def _notify(self, event: str, url: str | None, payload: dict[str, Any]) -> None:
        target = url or self._frame.registered_url(event)
        if target is not None:
            number = self._frame.store.next_number("callback")
            self._frame.send_callback(Callback(f"EV-{number}", event, target, payload, SCHEDULE))

    def _signed(self, status: int, value: Mapping[str, Any]) -> HttpAnswer:
        content = json.dumps(value).encode()
        proof = self._proof(content, at=self._frame.now())
        return HttpAnswer(status, (("Content-Type", "application/json"), *proof), content)

    def _proof(self, content: bytes, *, at: datetime) -> Headers:
        moment = at.isoformat()
        return (("Token-TIME", moment), ("Token-Signature", sign(self._key(), content, moment)))
