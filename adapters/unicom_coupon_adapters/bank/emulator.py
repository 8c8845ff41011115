"""A bank, emulated: China Merchants Bank's envelope, ICBC's beside it, and one ledger of coupons behind both.

What it answers is fixed by the bank sheet (§1, §3, §4, §9). The coupon calls are this project's profile and no bank's.
Choices where the sheet leaves room:

- ``/polypay/v1.0/coupon/issuer/register``, ``…/bind`` and ``…/void`` let the issuer say which codes exist and whose
  they are; nothing else makes a code redeemable but the control API.
- A refusal that can never turn into a success is kept as an order in state F, so a late copy is refused alike; refusals
  of one-time codes are not kept, and a right code may follow under the same order number.
- ``orderId`` suffixes: ``_TMO`` answers 504 without a body after the burn (an emulator cannot close a connection; the
  fault ``drop_after`` can), ``_SYS`` and ``_SYN`` SYSTERM_ERROR after and before it, ``_BSG`` a bad signature, ``_ESC``
  a field with escaped slashes, ``_XTR`` unknown fields, ``_PND`` and ``_PNF`` pending for three queries, then S or F.
- Mobiles that end ``0000`` get the code 000000, ``0001`` no code is right, ``0002`` nothing arrives, ``0003``
  NOT_ALLOWED.
- The envelope has neither key serial nor time: see ``emulation.wire.spoiled`` for what those faults do.
- Expiry is worked out when a coupon is looked at; bills of refunds, the app payment calls and e-CNY are not there yet.
- The ICBC face has the coupon calls alone, as the sheet does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from unicom_coupon_adapters.bank.emulation import bills, callbacks, control, coupons, payments, wire
from unicom_coupon_adapters.bank.emulation.keys import STEPS, BankKeys
from unicom_coupon_adapters.bank.emulation.refusals import Refusal
from unicom_coupon_adapters.bank.emulation.world import Call, World
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Callback, Frame, Received

_OPERATIONS: Final[Mapping[str, Callable[[Call], Mapping[str, Any]]]] = {
    "coupon/verify": coupons.verify,
    "coupon/smsapply": coupons.smsapply,
    "coupon/redeem": coupons.redeem,
    "coupon/reverse": coupons.reverse,
    "coupon/query": coupons.query,
    "coupon/statementurl": bills.statementurl,
    "coupon/issuer/register": coupons.register,
    "coupon/issuer/bind": coupons.bind,
    "coupon/issuer/void": coupons.void,
    "mchorders/qrcodeapply": payments.qrcodeapply,
    "mchorders/pay": payments.pay,
    "mchorders/orderquery": payments.orderquery,
    "mchorders/cancel": payments.cancel,
    "mchorders/close": payments.close,
    "mchorders/refund": payments.refund,
    "mchorders/refundquery": payments.refundquery,
}
_ECHOED: Final = ("merId", "orderId", "reqNo")


class BankEmulator:
    """The platform without sockets; see ``unicom_coupon_sdk.sandbox.emulator.Emulator`` for what each member does."""

    name: str = "bank"

    def __init__(self, frame: Frame) -> None:
        self._world = World(frame, BankKeys(frame))

    def credentials(self) -> Mapping[str, Any]:
        """The keys of the sandbox contract's ``bank`` row; file paths are absolute."""
        return self._world.keys.credentials()

    def client_settings(self, base_url: str) -> Mapping[str, Any]:
        """The ``bank`` section of ``unicom-coupon.toml``: the CMB face."""
        return self._world.keys.settings(base_url)

    def icbc_settings(self, base_url: str) -> Mapping[str, Any]:
        """The same section for the ICBC face."""
        return self._world.keys.icbc_settings(base_url)

    def answer(self, request: Received) -> HttpAnswer:
        """Verify, act, answer, signed with the bank's key of this moment."""
        if request.method == "GET" and request.path.startswith(bills.PATH):
            return bills.download(self._world, request.path.removeprefix(bills.PATH))
        face = wire.face_of(request.path)
        biz: Mapping[str, Any] = {}
        try:
            call = wire.read(self._world, request)
            biz = call.biz
            operation = _OPERATIONS.get(call.operation)
            if operation is None or (face == "icbc" and not call.operation.startswith("coupon/")):
                return HttpAnswer(404, ())
            told = {**_echo(biz), **operation(call)}
        except Refusal as refusal:
            return wire.failure(self._world, face, refusal, _echo(biz))
        return self._finished(face, told, number=str(biz.get("orderId", "")), operation=call.operation)

    def refuse(self, request: Received, code: str) -> HttpAnswer:
        """The error answer with ``code``, at the level that the code belongs to."""
        try:
            biz = wire.read(self._world, request).biz
        except Refusal:
            biz = {}
        return wire.failure(self._world, wire.face_of(request.path), Refusal(code), _echo(biz))

    def spoil(self, kind: str, answer: HttpAnswer, *, probe: bool) -> HttpAnswer:
        """``answer`` with its signature spoiled; an unsigned answer comes back as it is."""
        return wire.spoiled(self._world, kind, answer, probe=probe)

    def render_callback(self, callback: Callback) -> tuple[str, Headers, bytes]:
        """The next attempt, signed now."""
        return callbacks.render(self._world, callback)

    def is_accepted(self, answer: HttpAnswer) -> bool:
        """Both codes SUCCESS under the merchant's signature end the delivery (sheet §1.4)."""
        return callbacks.is_accepted(self._world, answer)

    def fault_key(self, request: Received) -> str:
        """The path without query."""
        return request.path

    def tick(self) -> None:
        """Nothing is due: expiry is worked out when a coupon is looked at."""

    def issue(self, wish: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Coupons in holders' hands; see ``emulation.control.issue``."""
        return control.issue(self._world, wish)

    def order(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        """A paid order; see ``emulation.control.order``."""
        return control.order(self._world, wish)

    def deliver(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        """A payer's or issuer's hand; see ``emulation.control.deliver``."""
        return control.deliver(self._world, wish)

    def view(self, code: str) -> Mapping[str, Any] | None:
        """The coupon with that code, its state and history."""
        return control.view(self._world, code)

    def key_steps(self) -> Sequence[str]:
        """The bank's key changes: the next one signs, then the old one opens nothing any more."""
        return STEPS

    def rotate(self, step: str) -> Mapping[str, Any]:
        """Take a step. Raises ``ValueError`` for one out of its order."""
        return self._world.keys.rotate(step)

    def _finished(self, face: str, told: Mapping[str, Any], *, number: str, operation: str) -> HttpAnswer:
        """The success, spoiled as the suffix of a redemption's number asks for (sheet §9)."""
        suffix = number[-4:] if operation == "coupon/redeem" else ""
        if suffix == "_TMO":
            return HttpAnswer(504, ())
        if suffix == "_SYS":
            return wire.failure(self._world, face, Refusal("SYSTERM_ERROR"), _echo(told))
        extra = {"bankTrace": "X1"} if suffix == "_XTR" else None
        if suffix == "_XTR":
            told = {**told, "bankNote": {"seen": 1}}
        if suffix == "_ESC":
            told = {**told, "receiptUrl": "https://bank.invalid/receipt/1"}
        answer = wire.success(self._world, face, told, extra=extra)
        return self.spoil("bad_signature", answer, probe=False) if suffix == "_BSG" else answer


def _echo(biz: Mapping[str, Any]) -> dict[str, Any]:
    return {name: biz[name] for name in _ECHOED if isinstance(biz.get(name), str)}


__all__ = ["BankEmulator"]
