"""Cashiers who keep what a host has promised them, over any number of lives of that host."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.unit.unionpay_pos.bench import TPDU, RawTerminal, code_of
from unicom_coupon_adapters.unionpay_pos import messages
from unicom_coupon_adapters.unionpay_pos.codec import pack_unsealed, unpack
from unicom_coupon_adapters.unionpay_pos.framing import Frame, header_of
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.messages import Reason


async def spoken(port: int, content: bytes) -> Message | None:
    """The answer to a frame on a connection of its own; ``None`` when there is none."""
    try:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(len(content).to_bytes(2, "big") + content)
                head = await reader.readexactly(2)
                return unpack(Frame.parse(await reader.readexactly(int.from_bytes(head, "big"))).body)
            finally:
                writer.transport.abort()
    except (OSError, asyncio.IncompleteReadError, TimeoutError):
        return None


def content_of(terminal: RawTerminal, message: Message) -> bytes:
    assert terminal.key is not None
    return Frame(TPDU, header_of(), terminal.key.seal(pack_unsealed(message))).content


@dataclass
class Line:
    """The line to a host, with ``ends`` called after so many answers to redemptions and voids."""

    port: int
    after: int = 0
    ends: Callable[[], object] = field(default=lambda: None)
    heard: int = 0

    async def say(self, content: bytes) -> Message | None:
        answer = await spoken(self.port, content)
        if answer is not None and answer.mti == "0210":
            self.heard += 1
            if self.heard == self.after:
                self.ends()
        return answer


@dataclass
class Cashier:
    """One coupon at one terminal: redeemed, and by plan kept, voided, or reversed although it was approved.

    What has no answer is reversed, in this life of the host or a later one, until the host has answered that.
    """

    terminal: RawTerminal
    code: str
    plan: str
    copies: int = 1
    promised: str | None = None
    """The coupon's state by the host's last word."""
    owed: Message | None = None
    redeemed: bool = False
    voided: bool = False

    @property
    def is_over(self) -> bool:
        return self.promised is not None and self.owed is None

    async def go(self, line: Line) -> None:
        """Carry on until the end, or until something has no answer."""
        if self.owed is not None and not await self._reverse(line):
            return
        if self.promised is not None:
            return
        request = self.terminal.redeem(self.code)
        answer = await self._say(line, request, copies=self.copies)
        if answer is None:
            return
        assert code_of(answer) == "00", code_of(answer)
        self.redeemed, self.promised = True, "redeemed"
        if self.plan == "reverse":
            self.owed, self.promised = request, None
            await self._reverse(line)
        if self.plan == "void":
            original = self.terminal.redeemed(request, answer)
            void = messages.void(self.terminal.card, sequence=self.terminal.next(), code=self.code, original=original)
            answer = await self._say(line, void, copies=self.copies)
            if answer is not None and code_of(answer) == "00":
                self.voided, self.promised = True, "available"

    async def _say(self, line: Line, message: Message, *, copies: int) -> Message | None:
        """The answer to ``message``, which is owed a reversal until it has one."""
        self.owed = message
        content = content_of(self.terminal, message)
        told = await asyncio.gather(*(line.say(content) for _ in range(copies)))
        answers = [answer for answer in told if answer is not None]
        if not answers:
            return None
        assert len({code_of(answer) for answer in answers}) == 1, "copies of a message are told the same"
        self.owed = None
        return answers[0]

    async def _reverse(self, line: Line) -> bool:
        assert self.owed is not None
        back = messages.reversal(self.owed, reason=Reason.NO_ANSWER)
        answer = await line.say(content_of(self.terminal, back))
        if answer is None:
            return False
        assert code_of(answer) == "00", code_of(answer)
        is_void = self.owed.text(3) == "200000"
        self.owed = None
        self.redeemed = is_void
        self.promised = "redeemed" if is_void else "available"
        return True


def cashiers(terminals: list[RawTerminal], codes: list[str], chance: random.Random) -> list[Cashier]:
    """A cashier for each coupon: half of them void it, the others keep or reverse it; some void twice."""
    return [
        Cashier(
            terminal=terminals[number % len(terminals)],
            code=code,
            plan=("void", "keep", "void", "reverse")[number % 4],
            copies=1 + (chance.random() < 0.2),
        )
        for number, code in enumerate(codes)
    ]
