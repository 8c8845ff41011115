"""Alipay, emulated: the classic gateway and OpenAPI v3 over one state, with coupons, trades, news and keys.

What it answers is fixed by the Alipay sheet (§1, §2, §4, §5, §6, §10). Choices where the sheet says *unconfirmed*, the
stricter reading unless a plain client would be locked out:

- a request's timestamp may be a day off (clients on hosts in other time zones send local time);
- a request number counts once per method; with other parameters it is INVALID_PARAMETER for coupons;
- a voucher that is used, expired or void refuses ``use`` with BIZ_ERROR; a void one reads EXPIRED;
- uses that were not made cannot be refunded; a delivered voucher of a stopped activity stays usable;
- a refused create sends no message; failures inside a list have ``retry`` false;
- there is no rate limit of its own: 40005 comes by a fault on demand;
- classic answers and news carry no time, so the fault ``stale_timestamp`` is a wrong signature there; in v3 it is
  validly signed and six minutes old. There is no probing form.

- of money, see ``emulation.transfers``, ``emulation.royalty`` and ``emulation.refunds``; of the marketing bill's
  columns, ``emulation.bill_sheets``.

SM2 (§1.10), page calls, red packets and the retired coupon families are not there: their methods are
``isv.invalid-method``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from unicom_coupon_adapters.alipay.emulation import (
    answers,
    bills,
    callbacks,
    classic,
    control,
    front_end,
    rest,
    royalty,
)
from unicom_coupon_adapters.alipay.emulation.classic import Asked, origin_form
from unicom_coupon_adapters.alipay.emulation.keyshelf import KeyShelf
from unicom_coupon_adapters.alipay.emulation.platform_keys import STEPS, PlatformKeys
from unicom_coupon_adapters.alipay.emulation.refusals import Refusal
from unicom_coupon_adapters.alipay.emulation.router import ROUTES
from unicom_coupon_adapters.alipay.emulation.vouchers import expire_due
from unicom_coupon_adapters.alipay.emulation.world import Call, World
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Callback, Frame, Received

_REST: Final = "/v3/"


class AlipayEmulator:
    """The platform without sockets; see ``unicom_coupon_sdk.sandbox.emulator.Emulator`` for what each member does."""

    name: str = "alipay"

    def __init__(self, frame: Frame) -> None:
        shelf = KeyShelf(frame.directory, frame.now, frame.random_bytes)
        self._world = World(frame, PlatformKeys(shelf, frame.store))

    def credentials(self) -> Mapping[str, Any]:
        """The keys of the sandbox contract's ``alipay`` row; file paths are absolute."""
        return self._world.keys.credentials()

    def client_settings(self, base_url: str) -> Mapping[str, Any]:
        """The ``alipay`` section of ``unicom-coupon.toml``: public-key mode, keys as ``file:`` references."""
        return self._world.keys.settings(base_url)

    def answer(self, request: Received) -> HttpAnswer:
        """Verify, act, answer, signed in the request's own mode."""
        path = _path(request)
        if path.startswith(_REST):
            return self._answer_rest(request)
        if path.startswith(bills.PATH):
            return bills.download(self._world, request)
        if path != classic.GATEWAY or request.method not in {"GET", "POST"}:
            return HttpAnswer(404 if path != classic.GATEWAY else 405, (("Content-Type", "text/plain"),), b"")
        asked = Asked.read(request)
        route = ROUTES.get(asked.method)
        try:
            classic.check_application(asked)
            if route is None:
                raise Refusal("isv.invalid-method", "不存在的方法名")
            verified = classic.verify(asked, world=self._world, flat=route.flat)
            call = Call(
                self._world,
                asked.method,
                verified.content,
                base_url=request.base_url,
                notify_url=verified.parameters.get("notify_url") or None,
                is_certified=asked.is_certified,
            )
            reply = route.perform(call)
        except Refusal as told:
            return answers.refusal(self._world, asked, told, is_method_known=route is not None)
        return answers.success(self._world, asked, reply, codeless=route.codeless)

    def refuse(self, request: Received, code: str) -> HttpAnswer:
        """The failure with ``code``: a sub-code (SYSTEM_ERROR, isv.app-call-limited), or a gateway code (20000)."""
        told = Refusal.on_demand(code)
        if _path(request).startswith(_REST):
            return answers.rest_refusal(self._world, rest.asked_of(request), told)
        return answers.refusal(self._world, Asked.read(request), told)

    def spoil(self, kind: str, answer: HttpAnswer, *, probe: bool) -> HttpAnswer:
        """``answer`` with its signature spoiled, see ``emulation.answers.spoiled``; ``probe`` changes nothing."""
        _ = probe
        return answers.spoiled(self._world, kind, answer)

    def render_callback(self, callback: Callback) -> tuple[str, Headers, bytes]:
        """The next attempt as a form, signed with the platform's key of this moment."""
        return callbacks.render(self._world, callback)

    def is_accepted(self, answer: HttpAnswer) -> bool:
        """Exactly ``success`` in the body ends the delivery (sheet §1.6)."""
        return answer.status == 200 and answer.content == b"success"

    def fault_key(self, request: Received) -> str:
        """The method's name, in v3 that of the classic method behind the path; the path where there is none."""
        path = _path(request)
        if path.startswith(_REST):
            placed = rest.place(request)
            return placed.method if placed is not None else path
        return (Asked.read(request).method if path == classic.GATEWAY else "") or path

    def tick(self) -> None:
        """Write down the expiries that are due, and end the shares that are."""
        expire_due(self._world)
        royalty.conclude_due(self._world)

    def issue(self, wish: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Vouchers in users' wallets; see ``emulation.control.issue``."""
        return control.issue(self._world, wish)

    def order(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        """A paid trade; see ``emulation.control.order``."""
        return control.order(self._world, wish)

    def deliver(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a phone or a console could do; see ``emulation.front_end.deliver``."""
        return front_end.deliver(self._world, wish)

    def view(self, code: str) -> Mapping[str, Any] | None:
        """The voucher with that code, its state and history."""
        return control.view(self._world, code)

    def key_steps(self) -> Sequence[str]:
        """The rotation's steps: platform certificate, application key, public key of Alipay, content key."""
        return STEPS

    def rotate(self, step: str) -> Mapping[str, Any]:
        """Take a step; see ``emulation.platform_keys``. Raises ``ValueError`` for one out of its order."""
        return self._world.keys.rotate(step)

    def _answer_rest(self, request: Received) -> HttpAnswer:
        asked = rest.asked_of(request)
        try:
            placed = rest.place(request)
            if placed is None:
                raise Refusal("isv.invalid-method", "请求的接口不存在")
            rest.verify(request, world=self._world)
            content = rest.content_of(request, placed, world=self._world)
            notify_url = content.pop("notify_url", None)
            call = Call(
                self._world,
                placed.method,
                content,
                base_url=request.base_url,
                notify_url=notify_url if isinstance(notify_url, str) else None,
                is_rest=True,
                is_certified=asked.is_certified,
            )
            reply = ROUTES[placed.method].perform(call)
        except Refusal as told:
            return answers.rest_refusal(self._world, asked, told)
        return answers.rest_success(self._world, asked, reply)


def _path(request: Received) -> str:
    return origin_form(request.target).partition("?")[0]


__all__ = ["AlipayEmulator"]
