"""WeChat Pay, emulated: APIv3 over raw bytes, with its coupons, orders, callbacks and keys.

What it answers is fixed by the WeChat Pay sheet (§1 to §5, §10). Choices where the sheet says
*unconfirmed* or *may*, the stricter reading unless a plain client would be locked out:

- error answers are signed; unknown request keys are refused (400, tail 270924358);
- a request number counts once per merchant and call, also for sends;
- an order named in a redemption must be a paid one of the merchant;
- RULE_LIMIT (403) is the answer at every limit of a send;
- accounts are never empty: NOT_ENOUGH comes by a fault on demand;
- there is no rate limit of its own: 429 comes by a fault on demand;
- a missing ``User-Agent`` is accepted: the platform *may* refuse it, and a test client need not have one;
- the key state starts mixed; a rotation of the platform certificate is refused while the grey switch has a share
  between nothing and all.

Flow files of 代金券 and bundles of 商品券 are not there yet: their paths answer the documented 404 ``NOT_FOUND``, and a
wish for a bundle is refused whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from unicom_coupon_adapters.wechatpay.emulation import (
    answers,
    callbacks,
    control,
    front_end,
    share_returns,
    sharing,
    weixin,
)
from unicom_coupon_adapters.wechatpay.emulation.authentication import (
    BRAND_SCHEME,
    CAUSES,
    Caller,
    authenticate,
    sign_error,
)
from unicom_coupon_adapters.wechatpay.emulation.holdings import expire_due
from unicom_coupon_adapters.wechatpay.emulation.keyshelf import KeyShelf
from unicom_coupon_adapters.wechatpay.emulation.platform_keys import PUBLIC_KEY_ID, STEPS, PlatformKeys
from unicom_coupon_adapters.wechatpay.emulation.refusals import Refusal
from unicom_coupon_adapters.wechatpay.emulation.router import Router, read_query
from unicom_coupon_adapters.wechatpay.emulation.security import missing_serial
from unicom_coupon_adapters.wechatpay.emulation.transfers import close_due
from unicom_coupon_adapters.wechatpay.emulation.world import Call, World
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Callback, Frame, Received

_ROUTER: Final = Router()


class WechatPayEmulator:
    """The platform without sockets; see ``unicom_coupon_sdk.sandbox.emulator.Emulator`` for what each member does."""

    name: str = "wechatpay"

    def __init__(self, frame: Frame) -> None:
        shelf = KeyShelf(frame.directory, frame.now, frame.random_bytes)
        self._world = World(frame, PlatformKeys(shelf, frame.store))

    def credentials(self) -> Mapping[str, Any]:
        """The keys of the sandbox contract's ``wechatpay`` row and ``app_secret``; file paths are absolute."""
        return self._world.keys.credentials()

    def brand_credentials(self) -> Mapping[str, Any]:
        """What the sandbox's one brand signs with, for ``/brand/…`` calls: id, key and certificate files."""
        return self._world.keys.brand_credentials()

    def client_settings(self, base_url: str) -> Mapping[str, Any]:
        """The ``wechatpay`` section of ``unicom-coupon.toml``: keys as ``file:`` references, both hosts this one."""
        return self._world.keys.settings(base_url)

    def answer(self, request: Received) -> HttpAnswer:
        """Verify, act, answer, signed with the key that the request's ``Wechatpay-Serial`` names."""
        if weixin.is_weixin(request.path):
            return weixin.serve(self._world, request)
        try:
            caller = authenticate(request, keys=self._world.keys, now=self._world.now())
            _check_scheme(request, caller)
            handler, arguments = _ROUTER.find(request.method, request.path)
            call = Call(self._world, caller, request, arguments, read_query(request.query))
            reply = handler(call)
        except Refusal as told:
            return answers.refusal(self._world, request, told)
        return reply if isinstance(reply, HttpAnswer) else answers.success(self._world, request, reply)

    def refuse(self, request: Received, code: str) -> HttpAnswer:
        """The error answer with ``code``. ``SIGN_ERROR/<cause>`` names one of the causes of a 401.

        The WeChat calls take a number: ``40001`` answers ``errcode`` 40001.
        """
        if weixin.is_weixin(request.path):
            number = int(code) if code.lstrip("-").isdigit() else -1
            return weixin.finished(self._world, weixin.error(number))
        family, _, cause = code.partition("/")
        told = sign_error(cause) if family == "SIGN_ERROR" and cause in CAUSES else Refusal.general(family)
        return answers.refusal(self._world, request, told)

    def spoil(self, kind: str, answer: HttpAnswer, *, probe: bool) -> HttpAnswer:
        """``answer`` with its signature spoiled; an unsigned answer (a file, a WeChat call) comes back as it is."""
        return answers.spoiled(self._world, kind, answer, probe=probe)

    def render_callback(self, callback: Callback) -> tuple[str, Headers, bytes]:
        """The next attempt, encrypted with the APIv3 key and signed with the platform's key of this moment."""
        return callbacks.render(self._world, callback)

    def is_accepted(self, answer: HttpAnswer) -> bool:
        """200 and 204 end the delivery, whatever the body says (sheet §1.8)."""
        return answer.status in {200, 204}

    def fault_key(self, request: Received) -> str:
        """The path without query."""
        return request.path

    def tick(self) -> None:
        """Write down expiries, close transfers that nobody confirmed, carry out shares and returns."""
        expire_due(self._world)
        close_due(self._world)
        sharing.carry_out_due(self._world)
        share_returns.carry_out_due(self._world)

    def issue(self, wish: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Coupons in users' pockets; see ``emulation.control.issue``."""
        return control.issue(self._world, wish)

    def order(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        """A paid order; see ``emulation.control.order``."""
        return control.order(self._world, wish)

    def deliver(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a phone could do; see ``emulation.front_end.deliver``."""
        return front_end.deliver(self._world, wish)

    def view(self, code: str) -> Mapping[str, Any] | None:
        """The coupon with that code, its state and history."""
        return control.view(self._world, code)

    def key_steps(self) -> Sequence[str]:
        """The rotation's steps: platform certificate, the seven days of the switch, void, APIv3 key, merchant."""
        return STEPS

    def rotate(self, step: str) -> Mapping[str, Any]:
        """Take a step; see ``emulation.platform_keys``. Raises ``ValueError`` for one out of its order."""
        self.credentials()  # a rotation before the first start finds nothing to rotate
        return self._world.keys.rotate(step)


def _check_scheme(request: Received, caller: Caller) -> None:
    """Brand calls and brand signatures belong together, and name the public key (sheet §1.5 rule 5)."""
    is_brand_path = request.path.startswith("/brand/")
    if is_brand_path != (caller.brand_id is not None):
        raise sign_error("scheme")
    if is_brand_path and request.header("Wechatpay-Serial") != PUBLIC_KEY_ID:
        raise missing_serial()


__all__ = ["BRAND_SCHEME", "WechatPayEmulator"]
