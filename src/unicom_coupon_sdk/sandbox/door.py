"""The control API over HTTP: routes, bodies and problem documents around ``Control``.

Errors are problem documents (RFC 9457). Their ``type`` is ``urn:unicom-coupon:`` and our stable code.

A web page must not be able to drive a sandbox on its reader's machine. So a body says that it is JSON or does not say
what it is, a foreign ``Origin`` is refused, and on loopback the ``Host`` must be a loopback name, which a rebound name
is not. Beyond loopback the bearer token is needed.
"""

from __future__ import annotations

import hmac
import inspect
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

from unicom_coupon_sdk.errors import CallerError, CouponError, ValidationError
from unicom_coupon_sdk.platform.wire import HttpAnswer
from unicom_coupon_sdk.sandbox.control import Control
from unicom_coupon_sdk.sandbox.emulator import Received
from unicom_coupon_sdk.sandbox.notifications import is_loopback_url
from unicom_coupon_sdk.sandbox.postman import Postman
from unicom_coupon_sdk.sandbox.server import Reply

LARGEST_BODY: Final = 1024 * 1024
PROBLEM: Final = "urn:unicom-coupon:"

Fields: TypeAlias = dict[str, Any]
Work: TypeAlias = Callable[[Fields], Fields | Awaitable[Fields]]
"""Does one call: takes the fields of the body (POST) or of the query (others), gives those of the answer."""

_log = logging.getLogger(__name__)

_STATUS: Final = {
    "sandbox.path_unknown": 404,
    "sandbox.coupon_unknown": 404,
    "sandbox.method": 405,
    "sandbox.too_large": 413,
    "sandbox.media_type": 415,
    "sandbox.token": 401,
    "sandbox.origin": 403,
    "sandbox.host": 421,
}


class ControlDoor:
    """Answers requests to the control API. ``token`` is asked for when it is given."""

    def __init__(self, control: Control, postman: Postman, *, token: str | None = None) -> None:
        self._control = control
        self._postman = postman
        self._token = token
        self._routes: dict[str, dict[str, Work]] = {
            "/health": {"GET": self._health},
            "/coupons": {"POST": self._issue},
            "/orders": {"POST": self._order},
            "/deliveries": {"POST": self._deliver},
            "/clock": {"GET": self._clock, "POST": self._move_clock},
            "/faults": {"GET": self._faults, "POST": self._add_fault, "DELETE": self._clear_faults},
            "/bills/defects": {"GET": self._bill_defects},
            "/requests": {"GET": self._requests},
            "/callbacks": {"POST": self._register},
            "/notifications": {"GET": self._notifications},
            "/notifications/deliver": {"POST": self._deliver_notifications},
            "/messages": {"GET": self._messages},
            "/keys": {"GET": self._keys},
            "/keys/rotate": {"POST": self._rotate},
            "/reset": {"POST": self._reset},
        }

    async def serve(self, received: Received, request_line: str) -> Reply:
        """Answer one request. Never raises."""
        try:
            self._admit(received)
            answer = self._work(received)(_fields(received))
            answer = await answer if inspect.isawaitable(answer) else answer
            return Reply(_json(200, answer))
        except CouponError as error:
            return Reply(problem(error))
        except Exception as error:  # noqa: BLE001 - an emulator's mistake; told as such, with nothing of the input
            _log.error("the control API failed: %s", type(error).__name__)
            return Reply(problem(CouponError("sandbox.failed", reason=type(error).__name__)))

    def refuse(self, status: int) -> HttpAnswer:
        """The problem document for a request that could not be read."""
        code = "sandbox.too_large" if status == 413 else "sandbox.unreadable"
        return problem(ValidationError(code, field="request"), status=status)

    def _admit(self, received: Received) -> None:
        host = received.header("Host") or ""
        if self._token is not None:
            scheme, _, given = (received.header("Authorization") or "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token.encode()):
                raise ValidationError("sandbox.token", field="Authorization")
        elif not is_loopback_url(f"http://{host}"):
            raise ValidationError("sandbox.host", field="Host")
        origin = received.header("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise ValidationError("sandbox.origin", field="Origin")

    def _work(self, received: Received) -> Work:
        methods = self._routes.get(received.path)
        if methods is None:
            match received.path.split("/"):
                case ["", "coupons", platform, code] if platform and code:
                    methods = {"GET": lambda _: self._coupon(unquote(platform), unquote(code))}
                case _:
                    raise ValidationError("sandbox.path_unknown", field="path")
        method = "GET" if received.method == "HEAD" else received.method
        if method not in methods:
            raise ValidationError("sandbox.method", field="method", allowed=", ".join(methods))
        return methods[method]

    def _health(self, _: Fields) -> Fields:
        return self._control.health()

    def _issue(self, body: Fields) -> Fields:
        return {"coupons": self._control.issue_coupons(**_needed(body, "platform", "face_fen"))}

    def _order(self, body: Fields) -> Fields:
        return {"order": self._control.order(**_needed(body, "platform", "amount_fen"))}

    def _deliver(self, body: Fields) -> Fields:
        return {"delivery": self._control.deliver(**_needed(body, "platform"))}

    def _coupon(self, platform: str, code: str) -> Fields:
        view = self._control.coupon(platform, code)
        if view is None:
            raise ValidationError("sandbox.coupon_unknown", field="code")
        return view

    def _clock(self, _: Fields) -> Fields:
        return {"now": self._control.now().isoformat()}

    async def _move_clock(self, body: Fields) -> Fields:
        now = await self._postman.run(self._control.moving(**_known(body, "now", "advance_s")))
        return {"now": now.isoformat()}

    def _faults(self, _: Fields) -> Fields:
        return {"faults": self._control.faults()}

    def _add_fault(self, body: Fields) -> Fields:
        known = _known(body, "platform", "kind", "times", "match", "code", "seconds", "probe")
        return {"id": self._control.add_fault(**_needed(known, "platform", "kind"))}

    def _clear_faults(self, _: Fields) -> Fields:
        return {"removed": self._control.clear_faults()}

    def _bill_defects(self, query: Fields) -> Fields:
        return {"defects": self._control.bill_defects(platform=query.get("platform") or None)}

    def _requests(self, query: Fields) -> Fields:
        since = query.get("since") or "0"
        if not (since.isascii() and since.isdigit() and len(since) <= 15):
            raise ValidationError("sandbox.field_type", field="since", wanted="a whole number")
        return {"requests": self._control.requests(platform=query.get("platform") or None, since=int(since))}

    def _register(self, body: Fields) -> Fields:
        self._control.register_callback(**_needed(_known(body, "platform", "url", "event"), "platform", "url"))
        return dict(body)

    def _notifications(self, _: Fields) -> Fields:
        return {"notifications": self._control.notifications()}

    async def _deliver_notifications(self, body: Fields) -> Fields:
        _known(body)
        return {"notifications": await self._postman.run(self._control.delivering())}

    def _messages(self, query: Fields) -> Fields:
        return {"messages": self._control.messages(query.get("to"))}

    def _keys(self, query: Fields) -> Fields:
        steps = self._control.key_steps()
        wanted = query.get("platform")
        return {"keys": [{"platform": name, "steps": steps[name]} for name in steps if wanted in {None, "", name}]}

    def _rotate(self, body: Fields) -> Fields:
        return self._control.rotate_keys(**_needed(_known(body, "platform", "step"), "platform", "step"))

    def _reset(self, body: Fields) -> Fields:
        _known(body)
        self._control.reset()
        return {}


def problem(error: CouponError, *, status: int | None = None) -> HttpAnswer:
    """``error`` as a problem document (RFC 9457)."""
    told = error.diagnostics()
    status = status or _STATUS.get(error.code) or (400 if isinstance(error, CallerError) else 500)
    document: Fields = {
        "type": PROBLEM + error.code,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": told.message,
    }
    if told.remedy:
        document["remedy"] = told.remedy
    if error.field:
        document["field"] = error.field
    answer = _json(status, document, content_type="application/problem+json")
    if error.code == "sandbox.token":
        return HttpAnswer(status, (*answer.headers, ("WWW-Authenticate", "Bearer")), answer.content)
    if error.code == "sandbox.method":
        return HttpAnswer(status, (*answer.headers, ("Allow", str(error.details["allowed"]))), answer.content)
    return answer


def _json(status: int, document: Mapping[str, Any], *, content_type: str = "application/json") -> HttpAnswer:
    content = json.dumps(document, ensure_ascii=False).encode()
    headers = (
        ("Content-Type", content_type),
        ("Content-Length", str(len(content))),
        ("Cache-Control", "no-store"),
    )
    return HttpAnswer(status, headers, content)


def _fields(received: Received) -> Fields:
    if received.method != "POST":
        return dict(parse_qsl(received.query, keep_blank_values=True))
    media_type = (received.header("Content-Type") or "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json" and received.content:
        raise ValidationError("sandbox.media_type", field="Content-Type")
    try:
        body = json.loads(received.content, parse_constant=_no_constant) if received.content.strip() else {}
    except (ValueError, RecursionError):
        raise ValidationError("sandbox.json", field="body") from None
    if not isinstance(body, dict):
        raise ValidationError("sandbox.json", field="body")
    return body


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _needed(body: Fields, *names: str) -> Fields:
    """``body``, which must have ``names``; keys that Python takes as arguments of its own are no fields of it."""
    for name in names:
        if body.get(name) is None:
            raise ValidationError("sandbox.field_missing", field=name)
    if "self" in body:
        raise ValidationError("sandbox.field_unknown", field="self")
    return body


def _known(body: Fields, *names: str) -> Fields:
    """``body``, which may have ``names`` and nothing else."""
    for name in body:
        if name not in names:
            raise ValidationError("sandbox.field_unknown", field=name[:40], known=", ".join(names) or "-")
    return body
