"""The fault triggers of sheet 9.4: the last four digits of field 4, or of the coupon code, ask for trouble.

They work on redemptions, 9012 on the reversals of one, and ``91nn`` in a code on enquiries too. A trigger decides two
things: what the host does (``before``), and how its answer goes out (``played``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from unicom_coupon_adapters.unionpay_pos.codec import pack_unsealed
from unicom_coupon_adapters.unionpay_pos.framing import Frame
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.mac import MacKey
from unicom_coupon_sdk.sandbox.emulator import FrameAnswer

LATE_S: Final = 70.0
PACE_S: Final = 0.05
_UNDONE: Final = frozenset({"9003", "9004"})
_KNOWN: Final = frozenset(f"90{number:02d}" for number in range(1, 15))


@dataclass(frozen=True, slots=True)
class Trigger:
    """What was asked for; ``name`` is empty when nothing was."""

    name: str = ""

    @classmethod
    def of(cls, *, amount: str | None, code: str) -> Trigger:
        """The trigger in field 4, else in the code."""
        for text in (amount or "", code):
            last = text[-4:]
            if last in _KNOWN or (last[:2] == "91" and (last[2:].isdigit() or last == "91A0") and last != "9100"):
                return cls(last)
        return cls()

    @property
    def response(self) -> str | None:
        """The response code of ``91nn``."""
        return self.name[2:] if self.name.startswith("91") else None

    @property
    def is_undone(self) -> bool:
        """Whether the transaction is not carried out."""
        return self.name in _UNDONE

    def played(self, frame: Frame, message: Message, *, key: MacKey) -> FrameAnswer:
        """The answer ``message`` to ``frame``, spoiled as asked."""
        if self.name == "9006":
            message = _of_trace(message, plus=1)
        unsealed = pack_unsealed(message)
        if self.name == "9014":  # a bit that the field table does not have: nothing behind it can be read
            bitmap = int.from_bytes(unsealed[2:10], "big") | 1 << (64 - 46)
            unsealed = unsealed[:2] + bitmap.to_bytes(8, "big") + unsealed[10:]
        mac = key.sign(unsealed)
        if self.name == "9005":
            mac = mac[::-1] if mac[::-1] != mac else bytes([mac[0] ^ 1]) + mac[1:]
        answer = frame.answer(unsealed + mac, requirement=3 if self.name == "9009" else 0)
        if self.name == "9013":
            answer = replace(answer, tpdu=frame.tpdu)
        plain = FrameAnswer.of(answer.content)
        match self.name:
            case "9001":
                return replace(plain, delay_s=LATE_S)
            case "9002" | "9003":
                return replace(plain, is_silent=True)
            case "9004":
                return replace(plain, is_dropped=True)
            case "9007":
                return replace(plain, pace_s=PACE_S)
            case "9008":
                stale = key.seal(pack_unsealed(_of_trace(message, plus=-1)))
                return replace(plain, ahead=(frame.answer(stale).content,))
        return plain


def _of_trace(message: Message, *, plus: int) -> Message:
    trace = (int(message.text(11)) - 1 + plus) % 999_999 + 1
    return Message(message.mti, {**message.fields, 11: f"{trace:06d}"})
