"""The POS host: an asyncio TCP or TLS server that terminals call, in front of a partner's own ledger.

::

    async with AsyncCouponClient(settings) as client:          # unionpay_pos with role = "host"
        async with UnionPayPosHost(client) as host:
            port = await host.start("0.0.0.0", 8583, tls=context)

Every financial message and every receipt must have a right MAC of its registered terminal, and every answer to one has
a MAC; before that only 03, 77, 97 and A0 are said. What is answered is durable first. A host that is killed and started
again carries on: cancel jobs are in the ledger's database, and half-done verifications are found again by their keys.

Peers are bounded in everything that they choose: number of connections, size and speed of frames, idle time, frames in
flight, and how much unread answer may pile up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from unicom_coupon_adapters.unionpay_pos.adapter import UnionPayPosAdapter
from unicom_coupon_adapters.unionpay_pos.codec import pack, pack_unsealed, unpack
from unicom_coupon_adapters.unionpay_pos.coupon_block import MAGIC, CouponBlock
from unicom_coupon_adapters.unionpay_pos.frame_errors import FrameError
from unicom_coupon_adapters.unionpay_pos.framing import LARGEST, Frame, FrameReader
from unicom_coupon_adapters.unionpay_pos.hosting import book, day, receipts
from unicom_coupon_adapters.unionpay_pos.hosting.asked import Asked, Told, answer_to
from unicom_coupon_adapters.unionpay_pos.hosting.desk import BUDGET_S, Desk
from unicom_coupon_adapters.unionpay_pos.hosting.settlements import Settled, settled
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.mac import MacKey
from unicom_coupon_adapters.unionpay_pos.settings import load_master_keys
from unicom_coupon_adapters.unionpay_pos.subfields import TransactionType
from unicom_coupon_sdk.crypto.providers import Keys
from unicom_coupon_sdk.errors import ComplianceError, ConfigurationError, CouponError

if TYPE_CHECKING:
    from unicom_coupon_sdk.client import AsyncCouponClient

MOST_CONNECTIONS: Final = 2000
MOST_IN_FLIGHT: Final = 200
MOST_A_CONNECTION: Final = 16
IDLE_S: Final = 60.0
FRAME_S: Final = 15.0
DRAIN_S: Final = 10.0
SWEEP_S: Final = 5.0
RECOVER_EVERY: Final = 12
"""Sweeps between two runs of ``recover``."""

_FINANCIAL: Final = frozenset({"0200", "0220", "0400"})
_CHUNK: Final = 4096

_log = logging.getLogger(__name__)


class UnionPayPosHost:
    """Serves terminals. One for each process; several processes may share one ledger and one register of terminals.

    ``client`` must have ``unionpay_pos`` set up with ``role = "host"``. ``acquirer`` is field 32 of answers.
    Raises ``ConfigurationError`` (``unionpay_pos.host_role``) otherwise.
    """

    def __init__(
        self,
        client: AsyncCouponClient,
        *,
        keys: Keys | None = None,
        acquirer: str = "00012900",
        budget_s: float = BUDGET_S,
        idle_s: float = IDLE_S,
        frame_s: float = FRAME_S,
    ) -> None:
        adapter = client.setting.adapter(book.PLATFORM)
        if not isinstance(adapter, UnionPayPosAdapter) or adapter.settings.role != "host":
            raise ConfigurationError("unionpay_pos.host_role", field="platforms.unionpay_pos.role")
        masters = load_master_keys(adapter.settings, keys or Keys.default())
        self._client = client
        self._register = adapter.register
        self._day = day.Day(client, masters, adapter.settings.mac, voids=adapter.settings.void_in_totals)
        self._desk = Desk(client, budget_s=budget_s)
        self._merchant = adapter.settings.merchant_no
        self._acquirer = acquirer
        self._idle_s = idle_s
        self._frame_s = frame_s
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._answering: set[asyncio.Task[None]] = set()
        self._in_flight = asyncio.Semaphore(MOST_IN_FLIGHT)
        self._is_draining = False

    @property
    def connections(self) -> int:
        """How many peers are connected."""
        return len(self._connections)

    async def start(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> int:
        """Listen; the port. Cancel jobs of an earlier life are carried out first. Raises ``ConfigurationError``."""
        await self._desk.run_cancels()
        try:
            self._server = await asyncio.start_server(self._connected, host, port, ssl=tls, backlog=1024)
        except OSError:
            raise ConfigurationError("unionpay_pos.cannot_listen", field="port", host=host, port=port) from None
        self._sweeper = asyncio.create_task(self._sweep())
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self, *, drain_s: float = DRAIN_S) -> None:
        """Stop listening, finish what is being answered within ``drain_s``, then close every connection."""
        self._is_draining = True
        if self._server is not None:
            self._server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        if self._answering:
            await asyncio.wait(list(self._answering), timeout=drain_s)
        for task in list(self._connections):
            task.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=drain_s)
        if self._server is not None:
            await self._server.wait_closed()

    async def answer(self, content: bytes) -> bytes | None:
        """The answer to one frame (both without their lengths); ``None`` for no answer.

        Raises ``FrameError`` for a frame that cannot be read: close the connection then.
        """
        frame = Frame.parse(content)
        message = unpack(frame.body)
        terminal, merchant = message.text(41), message.text(42)
        message.text(11)
        message.answer_type()
        kind = TransactionType.parse(message.text(60))
        asked = Asked(message, kind, terminal, merchant, self._client.clock.now())
        refused = self._refused(asked)
        if refused is not None:
            return self._plain(frame, asked, Told(refused))
        if message.mti in day.TYPES and not receipts.is_receipt(asked):
            try:
                told = await self._day.serve(asked)
            except FrameError:
                told = Told("30")
            return self._plain(frame, asked, await self._referenced(asked, told))
        if message.mti not in _FINANCIAL and not receipts.is_receipt(asked):
            return self._plain(frame, asked, Told("40"))
        return await self._financial(frame, asked)

    async def _financial(self, frame: Frame, asked: Asked) -> bytes | None:
        keys = await self._day.mac_keys(asked)
        if not keys:
            return self._plain(frame, asked, Told("77"))
        key = _verifying(frame.body, keys)
        if key is None:
            return self._plain(frame, asked, Told("A0"))
        try:
            private = asked.message.fields.get(62)
            if isinstance(private, bytes) and private.startswith(MAGIC):
                asked = asked.with_block(CouponBlock.parse(private))
            told = await self._told(asked)
        except FrameError:
            told = Told("30")
        except CouponError as error:
            told = Told.of(error)
        if told.is_silent:
            return None
        told = await self._referenced(asked, told)
        body = key.seal(pack_unsealed(answer_to(asked, told, acquirer=self._acquirer)))
        return frame.answer(body).content

    async def _told(self, asked: Asked) -> Told:
        if receipts.is_receipt(asked):
            return await self._client.run(book.written(lambda notes: receipts.take(notes, asked)))
        handler = self._desk.handler(asked)
        if handler is None:
            return Told("40")
        if asked.message.mti != "0400":
            is_open = await self._client.run(book.written(lambda notes: day.check_batch(notes, asked)))
            if not is_open:
                return Told("77")
        return await handler(asked)

    async def _referenced(self, asked: Asked, told: Told) -> Told:
        """What is told, with a reference of its own (field 37) where no transaction gives it one (sheet 3.3)."""
        if 37 in told.fields:
            return told
        number = await self._client.run(book.written(lambda notes: book.next_number(notes, "reference")))
        return replace(told, fields={**told.fields, 37: f"{asked.dated()['date']}{number % 10**8:08d}"})

    async def settled(self, terminal_no: str, *, batch: int, merchant_no: str | None = None) -> Settled | None:
        """What became of a terminal's batch: both totals and their differences; ``None`` when it was not settled."""
        merchant = merchant_no or self._merchant
        return await self._client.run(
            book.written(lambda notes: settled(notes, merchant=merchant, terminal=terminal_no, batch=batch))
        )

    def _refused(self, asked: Asked) -> str | None:
        try:
            self._register.bound(asked.terminal, merchant=asked.merchant)
        except ComplianceError as error:
            return "97" if error.code == "unionpay_pos.terminal_unknown" else "03"
        return None

    def _plain(self, frame: Frame, asked: Asked, told: Told) -> bytes:
        answer = answer_to(asked, told, acquirer=self._acquirer)
        if asked.message.mti == "0500" and told.code == "00":  # its verdict is in field 48
            answer = Message(answer.mti, {number: one for number, one in answer.fields.items() if number != 39})
        return frame.answer(pack(answer)).content

    # --- peers ---

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= MOST_CONNECTIONS or self._is_draining:
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            await self._converse(reader, writer)
        except (OSError, TimeoutError, FrameError):
            pass  # a peer that is gone, asleep, or speaks something else: nothing is owed to it
        except asyncio.CancelledError:
            if not self._is_draining:
                raise
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames, tasks = FrameReader(largest=LARGEST), set[asyncio.Task[None]]()
        sending = asyncio.Lock()
        try:
            while not self._is_draining:
                waits_s = self._frame_s if frames.waiting else self._idle_s
                chunk = await asyncio.wait_for(reader.read(_CHUNK), waits_s)
                if not chunk:
                    break
                for content in frames.feed(chunk):
                    while len(tasks) >= MOST_A_CONNECTION:
                        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                    task = asyncio.create_task(self._serve(content, writer, sending))
                    for group in (tasks, self._answering):
                        group.add(task)
                        task.add_done_callback(group.discard)
            if tasks:  # a terminal may close its sending side and still wait for its answers
                await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _serve(self, content: bytes, writer: asyncio.StreamWriter, sending: asyncio.Lock) -> None:
        async with self._in_flight:
            try:
                answer = await asyncio.shield(asyncio.ensure_future(self.answer(content)))
            except FrameError:
                writer.transport.abort()
                return
            except Exception as error:  # noqa: BLE001 - one message must not end the others; nothing is answered
                _log.error("a message failed: %s", type(error).__name__)
                return
            if answer is None:
                return
            try:
                async with sending, asyncio.timeout(self._frame_s):
                    writer.write(len(answer).to_bytes(2, "big") + answer)
                    await writer.drain()
            except (OSError, TimeoutError):
                writer.transport.abort()

    async def _sweep(self) -> None:
        """Cancel jobs every few seconds, ``recover`` every minute."""
        count = 0
        while True:
            await asyncio.sleep(SWEEP_S)
            count += 1
            try:
                await self._desk.run_cancels()
                if count % RECOVER_EVERY == 0:
                    await self._client.recover()
            except CouponError as error:
                _log.error("sweeping failed: %s", error.code)

    async def run_cancels(self) -> int:
        """Carry out the cancel jobs now; how many are left. Done by itself every few seconds."""
        return await self._desk.run_cancels()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _verifying(body: bytes, keys: tuple[MacKey, ...]) -> MacKey | None:
    """The key that ``body`` is under; ``None`` when it is under none."""
    if not body[9] & 1:
        return None
    return next((key for key in keys if key.verify(body[:-8], body[-8:])), None)
