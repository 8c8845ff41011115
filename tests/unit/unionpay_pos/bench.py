"""A terminal of its own for tests: it speaks to anything that takes a frame and may give one back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from unicom_coupon_adapters.unionpay_pos import messages
from unicom_coupon_adapters.unionpay_pos.codec import pack, pack_unsealed, unpack
from unicom_coupon_adapters.unionpay_pos.coupon_block import CouponBlock, Tag
from unicom_coupon_adapters.unionpay_pos.framing import Frame, header_of
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.keys import MasterKey, load_working_keys
from unicom_coupon_adapters.unionpay_pos.mac import MacKey
from unicom_coupon_adapters.unionpay_pos.messages import Redeemed, Sequence, SignOn
from unicom_coupon_adapters.unionpay_pos.terminals import Terminal

TPDU = bytes.fromhex("6000030000")
ORDER = {Tag.ORDER_AMOUNT: f"{10_000:012d}"}


@dataclass
class RawTerminal:
    """``send`` takes a frame without its length and gives the answer's, or ``None``."""

    send: Callable[[bytes], bytes | None]
    tmk: bytes
    number: str = "10000001"
    merchant: str = "999290054110001"
    trace: int = 0
    batch: int = 1
    key: MacKey | None = None
    frames: list[Frame] = field(default_factory=list)

    @property
    def card(self) -> Terminal:
        return Terminal(number=self.number, merchant=self.merchant, serial="N1")

    def next(self) -> Sequence:
        self.trace += 1
        return Sequence(trace=self.trace, batch=self.batch)

    def raw(self, body: bytes) -> Message | None:
        answer = self.send(Frame(TPDU, header_of(), body).content)
        if answer is None:
            return None
        frame = Frame.parse(answer)
        self.frames.append(frame)
        return unpack(frame.body)

    def manage(self, message: Message) -> Message:
        answer = self.raw(pack(message))
        assert answer is not None
        return answer

    def call(self, message: Message) -> Message | None:
        assert self.key is not None
        return self.raw(self.key.seal(pack_unsealed(message)))

    def sign_on(self, network: SignOn = SignOn.DOUBLE_WITH_TRACK_KEY) -> Message:
        request = messages.sign_on(self.card, sequence=self.next(), keys=network, certificate="3125", serial="00000001")
        answer = self.manage(request)
        if answer.fields[39] == "00":
            master = MasterKey.for_sandbox(self.tmk, field="tmk")
            working = load_working_keys(answer.data(62), network_code=network.value, master=master)
            self.key = MacKey(working.mak)
            self.batch = int(answer.text(60)[2:8])
        return answer

    def redeem(
        self, code: str, fen: int = 2_000, *, key: str | None = None, sequence: Sequence | None = None
    ) -> Message:
        return messages.redeem(
            self.card, sequence=sequence or self.next(), code=code, value_fen=fen, key=key, about=ORDER
        )

    def redeemed(self, request: Message, answer: Message) -> Redeemed:
        return Redeemed(
            sequence=Sequence(trace=int(request.text(11)), batch=int(request.text(60)[2:8])),
            amount_fen=int(request.text(4)),
            date=answer.text(13),
            reference=answer.text(37),
            unicom_no=block(answer)[Tag.UNICOM_NO],
        )


def code_of(answer: Message | None) -> str:
    assert answer is not None
    return answer.text(39)


def block(answer: Message | None) -> CouponBlock:
    assert answer is not None
    return CouponBlock.parse(answer.data(62))
