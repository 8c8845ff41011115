"""UnionPay's online gateway, emulated: version 5.1.0 over HTTP, beside the POS host of the same platform.

What it answers is fixed by the sheet (§10, §11.3). Choices where it leaves one, the stricter reading:

- ``signMethod`` 01 alone; another version or method is 10, a signature, ``certId`` or date that is wrong 11;
- an order number is used once, whatever its ``txnTime`` (12); a refused payment keeps its number, a request that was
  never understood does not; a query with another ``txnTime`` is 34;
- an undo is refused with 45 after any refund or undo, 35 outside the clearing day, 36 for another sum;
- an undo gives the coupon back, a refund does not; only a coupon that the merchant pays for lowers ``settleAmt``;
- payment codes live a minute, open payments 15 minutes (69), refunds end after three seconds;
- whatever is not asked of it in the sheet's table 10.4 (pre-authorisation, app orders, card present) is 32 or 404;
- a synchronous answer echoes ``reqReserved`` unless it has a bare ``&``, which would cut the line;
- nobody is refused for asking too often: 37 comes by a fault on demand.

Faults are matched by path, or by ``txnType/txnSubType`` (``01/06``); notices are ``consume.notice``, ``undo.notice``
and ``refund.notice``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from unicom_coupon_adapters.unionpay_pos.emulation.acp import (
    control,
    coupons,
    files,
    payments,
    returns,
    transactions,
    wire,
)
from unicom_coupon_adapters.unionpay_pos.emulation.acp.certificates import Certificates
from unicom_coupon_adapters.unionpay_pos.emulation.acp.refusals import Refusal
from unicom_coupon_adapters.unionpay_pos.emulation.acp.world import MER_ID, STEPS, Call, World
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import Callback, Frame, Received

FRONT: Final = "/gateway/api/frontTransReq.do"
BACK: Final = "/gateway/api/backTransReq.do"
QUERY: Final = "/gateway/api/queryTrans.do"
FILES: Final = "/"
_ECHOED: Final = ("txnType", "txnSubType", "bizType", "accessType", "merId", "orderId", "txnTime")


def _certificate(call: Call) -> Mapping[str, str]:
    """95/00: UnionPay's encryption certificate of this moment."""
    if call.needed("certType") != "01":
        raise Refusal("10", "报文格式错误[certType]")
    _, certificate = call.world.encryption
    return {"certType": "01", "encryptPubKeyCert": certificate.pem.decode().strip(), **transactions.outcome("00")}


_HANDLERS: Final[Mapping[tuple[str, str], Callable[[Call], Mapping[str, str]]]] = {
    (BACK, "01/06"): payments.scan,
    (BACK, "01/07"): payments.qr_code,
    (BACK, "31/00"): returns.undo,
    (BACK, "04/00"): returns.refund,
    (BACK, "00/00"): payments.query,
    (QUERY, "00/00"): payments.query,
    (BACK, "95/00"): _certificate,
    (FILES, "76/01"): files.transfer,
}


class UnionPayAcpEmulator:
    """The gateway without sockets; ``unicom_coupon_sdk.sandbox.emulator.Emulator`` says what each member does."""

    name: str = "unionpay_acp"
    face_of: str = "unionpay_pos"

    def __init__(self, frame: Frame) -> None:
        self._world = World(frame, Certificates(frame))

    def credentials(self) -> Mapping[str, Any]:
        """The keys of the sandbox contract's ``unionpay_acp`` row; file paths are absolute."""
        shelf = self._world.certificates
        pfx, password = shelf.merchant_pfx()
        generation = self._world.generation("encryption_certificate")
        return {
            "mer_id": MER_ID,
            "signing_pfx_file": str(pfx),
            "signing_pfx_password": password.read_text("ascii"),
            "root_cert_file": str(shelf.root_file),
            "middle_cert_file": str(shelf.middle_file),
            "enc_cert_file": str(shelf.encryption_file(generation)),
        }

    def client_settings(self, base_url: str) -> Mapping[str, Any]:
        """What the gateway adds to the ``unionpay_pos`` section of ``unicom-coupon.toml``."""
        shelf = self._world.certificates
        pfx, password = shelf.merchant_pfx()
        acp = {
            "mer_id": MER_ID,
            "signing_pfx": f"file:{pfx}",
            "signing_pfx_password": f"file:{password}",
            "root_certs": [f"file:{shelf.root_file}"],
            "middle_certs": [f"file:{shelf.middle_file}"],
            "gateway_url": base_url,
            "file_url": base_url,
        }
        return {"merchant_no": MER_ID, "acp": acp}

    def answer(self, request: Received) -> HttpAnswer:
        """Verify, act, answer, signed with UnionPay's key of this moment."""
        if request.path not in {FRONT, BACK, QUERY, FILES}:
            return HttpAnswer(404, ())
        if request.method != "POST":
            return HttpAnswer(405, (("Allow", "POST"),))
        fields = wire.form_of(request)
        if fields is None:
            return HttpAnswer(400, ())
        try:
            call = wire.verified(self._world, fields)
            if request.path == FRONT:
                return payments.front(call)
            handler = _HANDLERS.get((request.path, _kind(fields)))
            if handler is None:
                raise Refusal("32")
            told = handler(call)
        except Refusal as refusal:
            return self._refused(request, fields, refusal)
        return wire.answer(self._world, {**_base(fields), **told})

    def refuse(self, request: Received, code: str) -> HttpAnswer:
        """The signed answer with ``respCode`` ``code``, without doing anything."""
        return self._refused(request, wire.form_of(request) or {}, Refusal(code))

    def spoil(self, kind: str, answer: HttpAnswer, *, probe: bool) -> HttpAnswer:
        """``answer`` with its signature spoiled, see ``emulation.acp.wire.spoiled``; ``probe`` changes nothing."""
        _ = probe
        return wire.spoiled(self._world, kind, answer)

    def render_callback(self, callback: Callback) -> tuple[str, Headers, bytes]:
        """The next attempt at a notice, signed now."""
        found = transactions.ended(self._world, callback.payload["order_id"])
        kind = {"txnType": found["kind"], "txnSubType": found["sub_kind"], "accessType": "0"}
        return wire.notice(self._world, {**_base(kind), **transactions.told(found), **transactions.outcome("00")})

    def is_accepted(self, answer: HttpAnswer) -> bool:
        """Status 200 ends the delivery (sheet §10.6)."""
        return answer.status == 200

    def fault_key(self, request: Received) -> str:
        """``txnType/txnSubType`` of the form, such as ``01/06``; the path where there is none."""
        return _kind(wire.form_of(request) or {}) or request.path

    def tick(self) -> None:
        """Nothing is due: what ends by time is worked out when it is looked at."""

    def issue(self, wish: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Coupons of a payer; see ``emulation.acp.coupons.issue``."""
        return coupons.issue(self._world, wish)

    def order(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        """A paid order; see ``emulation.acp.control.order``."""
        return control.order(self._world, wish)

    def deliver(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        """A payer's or the acquirer's hand; see ``emulation.acp.control.deliver``."""
        return control.deliver(self._world, wish)

    def view(self, code: str) -> Mapping[str, Any] | None:
        """The coupon with that code, its state and history."""
        return coupons.view(self._world, code)

    def key_steps(self) -> Sequence[str]:
        """UnionPay renews its encryption certificate (requests under the old one are 10), or its signing one."""
        return STEPS

    def rotate(self, step: str) -> Mapping[str, Any]:
        """Renew the certificate that ``step`` names. Raises ``ValueError`` for another."""
        if step not in STEPS:
            raise ValueError(f"step must be one of {', '.join(STEPS)}")
        return {"step": step, "generation": self._world.renew(step), **self.credentials()}

    def _refused(self, request: Received, fields: Mapping[str, str], refusal: Refusal) -> HttpAnswer:
        if request.path == FRONT:
            return payments.page(f"{refusal.text} [{refusal.code}]")
        told = {"respCode": refusal.code, "respMsg": f"{refusal.text}[{refusal.code}]"}
        return wire.answer(self._world, {**_base(fields), **told})


def _kind(fields: Mapping[str, str]) -> str:
    kinds = fields.get("txnType", ""), fields.get("txnSubType", "")
    return "/".join(kinds) if all(len(kind) == 2 and kind.isascii() and kind.isdigit() for kind in kinds) else ""


def _base(fields: Mapping[str, str]) -> dict[str, str]:
    """What every answer begins with: version and method, and what the request said of itself."""
    echoed = {name: fields[name] for name in _ECHOED if fields.get(name)}
    return {"version": "5.1.0", "encoding": "UTF-8", "signMethod": "01", **echoed}


__all__ = ["UnionPayAcpEmulator"]
