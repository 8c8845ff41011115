"""UnionPay POS, emulated: an acquirer's host over ISO 8583, with 33 terminals and profile UCP-1.

What it answers is fixed by the sheet (§1 to §9). Choices where it leaves one, the stricter reading unless a plain
terminal would be locked out:

- a frame that cannot be read closes the connection; nothing in it is guessed;
- declines have a MAC too, and before the MAC has passed only 03, 58, 77, 97 and A0 are said;
- an exact repeat is answered alike (``replay``), a repeat of what was reversed with 94;
- a reversal of what is not known, was declined or is reversed already is 00, and leaves a tombstone;
- field 62 of a sign-on is not compared with the serial, because terminals put a network licence there; the serial in
  field 59 A2 is, where it comes; its ciphertext is not, since the chips' keys are nobody's here;
- of an enquiry the code alone decides: a used or expired coupon is a 00 with its state;
- only coupon transactions are carried out: card sales, pre-authorisations and balances are 40.

The back end that the host asks is in ``emulation.coupons``. The files of each clearing day are there over HTTP, on a
port of their own. ``POST /deliveries`` takes the management calls of §9.4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from unicom_coupon_adapters.unionpay_pos.codec import pack, pack_unsealed, unpack
from unicom_coupon_adapters.unionpay_pos.emulation import bills, control, exchange
from unicom_coupon_adapters.unionpay_pos.emulation.cards import MERCHANT, NUMBERS, TPDU, Cards, serial_of
from unicom_coupon_adapters.unionpay_pos.emulation.redemptions import run_cancels
from unicom_coupon_adapters.unionpay_pos.emulation.world import Request, Told, World
from unicom_coupon_adapters.unionpay_pos.frame_errors import FrameError
from unicom_coupon_adapters.unionpay_pos.framing import Frame as WireFrame
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.subfields import TransactionType
from unicom_coupon_sdk.platform.wire import Headers, HttpAnswer
from unicom_coupon_sdk.sandbox.emulator import FRAME_METHOD, Callback, Frame, FrameAnswer, Received
from unicom_coupon_sdk.sandbox.notifications import is_loopback_url

DEFAULT_PORT: Final = 8583
_STEP: Final = "force_key_change"


SANDBOX_PATIENCE_S = 3.0
"""How long a client of the sandbox waits for an answer: a till's 60 s (sheet §8.1) would make a lost one a minute."""


class UnionPayPosEmulator:
    """The host without sockets; ``unicom_coupon_sdk.sandbox.emulator.Emulator`` says what each member does."""

    name: str = "unionpay_pos"
    speaks_frames: bool = True
    serves_files: bool = True

    def __init__(self, frame: Frame) -> None:
        self._world = World(frame, Cards(frame))

    def credentials(self) -> Mapping[str, Any]:
        """The keys of the sandbox contract's ``unionpay_pos`` row: one terminal, and ``terminals`` with 32 more."""
        return self._world.cards.credentials()

    def client_settings(self, base_url: str) -> Mapping[str, Any]:
        """The ``unionpay_pos`` section of ``unicom-coupon.toml``, with every terminal; plain TCP, as the wire is."""
        parts = urlsplit(base_url)
        cards = self._world.cards
        return {
            "host": parts.hostname or "127.0.0.1",
            "port": parts.port or DEFAULT_PORT,
            "tls": False,
            "tpdu": TPDU,
            "merchant_no": MERCHANT,
            "response_timeout_s": SANDBOX_PATIENCE_S,
            **self._bill_settings(),
            "terminals": {
                number: {"serial": serial_of(number), "tmk": f"file:{cards.master_file(number)}"} for number in NUMBERS
            },
        }

    def _bill_settings(self) -> dict[str, str]:
        """Where the bills are; left out where a client may not go, to a sandbox beyond loopback that has no TLS."""
        url = self._world.frame.files_url
        return {"bill_url": bills.url_template(url)} if url.startswith("https:") or is_loopback_url(url) else {}

    def answer(self, request: Received) -> HttpAnswer:
        """Check, act, answer, with a MAC where there is a key. Over HTTP: the acquirer's files."""
        if request.method != FRAME_METHOD:
            return bills.download(self._world, request.path) if request.method == "GET" else HttpAnswer(405, ())
        return exchange.serve(self._world, request.content)

    def refuse(self, request: Received, code: str) -> HttpAnswer:
        """The answer with response code ``code`` (two characters; anything else is 96), without doing anything.

        Over HTTP ``code`` is a status.
        """
        if request.method != FRAME_METHOD:
            return HttpAnswer(int(code) if re.fullmatch("[45][0-9]{2}", code) else 500, ())
        told = Told(code if len(code) == 2 and code.isalnum() and code.isascii() else "96")
        try:
            frame = WireFrame.parse(request.content)
            message = unpack(frame.body)
            kind = TransactionType.parse(message.text(60))
            asked = Request(self._world, message, kind, message.text(41), message.text(42))
        except FrameError:
            return FrameAnswer(0, (), b"", is_dropped=True)
        key = exchange.verified(asked, frame) if 64 in message else None
        if key is None:
            return exchange.plain(asked, frame, told)
        return exchange.sealed(asked, frame, told, key=key)

    def spoil(self, kind: str, answer: HttpAnswer, *, probe: bool) -> HttpAnswer:
        """``answer`` as somebody else's: a wrong MAC, another terminal's, or the answer to an earlier message.

        The sequence in an answer is all the time stamp it has, so ``stale_timestamp`` is a genuine old answer.
        """
        if not isinstance(answer, FrameAnswer) or not answer.content:
            return answer
        frame = WireFrame.parse(answer.content)
        try:
            message = unpack(frame.body)
        except FrameError:  # a fault trigger has spoiled it already
            return answer
        if kind == "wrong_serial":
            return self._as(answer, frame, {41: "99999999"}, message)
        if kind == "stale_timestamp":
            trace = (int(message.text(11)) - 2) % 999_999 + 1
            return self._as(answer, frame, {11: f"{trace:06d}"}, message)
        body = bytearray(frame.body)
        body[-1] ^= 0x01  # the MAC's last character, or the last check value of a sign-on
        return replace(answer, content=WireFrame(frame.tpdu, frame.header, bytes(body)).content)

    def _as(self, answer: FrameAnswer, frame: WireFrame, changed: Mapping[int, str], message: Message) -> FrameAnswer:
        other = Message(message.mti, {**message.fields, **changed})
        keys = self._world.cards.mac_keys(message.text(41)) if 64 in message else ()
        body = keys[0].seal(pack_unsealed(other)) if keys else pack(other)
        return replace(answer, content=WireFrame(frame.tpdu, frame.header, body).content)

    def render_callback(self, callback: Callback) -> tuple[str, Headers, bytes]:
        """A POS host sends no callbacks."""
        raise NotImplementedError(callback.event)

    def is_accepted(self, answer: HttpAnswer) -> bool:
        """A POS host sends no callbacks."""
        return True

    def fault_key(self, request: Received) -> str:
        """The message type, such as ``0200``; empty for a frame that cannot be read. Over HTTP: the path."""
        if request.method != FRAME_METHOD:
            return request.path
        try:
            return WireFrame.parse(request.content).body[:2].hex()
        except FrameError:
            return ""

    def tick(self) -> None:
        """Carry out the cancellations that are due. Coupons expire when they are looked at."""
        run_cancels(self._world)

    def issue(self, wish: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        """Coupons in pockets; see ``emulation.control.issue``."""
        return control.issue(self._world, wish)

    def order(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        """A POS network knows no orders."""
        raise ValueError("UnionPay POS has no orders; redeem at a terminal")

    def deliver(self, wish: Mapping[str, Any]) -> Mapping[str, Any]:
        """A management call of the host; see ``emulation.control.manage``."""
        return control.manage(self._world, wish)

    def view(self, code: str) -> Mapping[str, Any] | None:
        """The coupon with that code, its state and history."""
        return control.view(self._world, code)

    def key_steps(self) -> Sequence[str]:
        """One step: all terminals' working keys are void, and each must sign on again."""
        return (_STEP,)

    def rotate(self, step: str) -> Mapping[str, Any]:
        """Take the step. Raises ``ValueError`` for another."""
        if step != _STEP:
            raise ValueError(f"step must be {_STEP}")
        for number in NUMBERS:
            self._world.cards.forget_keys(number)
        return {"terminals": len(NUMBERS)}
