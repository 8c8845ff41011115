"""A terminal's day at the host: sign-on with fresh keys, sign-off, echo, settlement, batch upload (sheet 8.4, 9.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from unicom_coupon_adapters.unionpay_pos.batch_book import VoidTotals
from unicom_coupon_adapters.unionpay_pos.hosting import book, settlements
from unicom_coupon_adapters.unionpay_pos.hosting.asked import Asked, Told
from unicom_coupon_adapters.unionpay_pos.keys import (
    Cipher,
    KeyKind,
    MasterKey,
    WrappedKey,
    check_value,
    is_weak,
    load_working_keys,
    pack_key_download,
)
from unicom_coupon_adapters.unionpay_pos.mac import MacAlgorithm, MacKey
from unicom_coupon_sdk.platform.effects import Flow, RandomBytes
from unicom_coupon_sdk.platform.notebook import Notebook

if TYPE_CHECKING:
    from unicom_coupon_sdk.client import AsyncCouponClient

TYPES: Final = frozenset({"0800", "0820", "0500", "0320"})
_SIZES: Final = {"001": (8, 8, 0), "003": (16, 8, 0), "004": (16, 8, 16), "006": (16, 16, 16)}
_WIDE: Final = frozenset({MacAlgorithm.ECB_3DES, MacAlgorithm.X919})


@dataclass(frozen=True, slots=True)
class Day:
    """Management messages of the terminals in ``masters`` (their TMKs by number)."""

    client: AsyncCouponClient
    masters: Mapping[str, bytes]
    algorithm: MacAlgorithm
    voids: VoidTotals = "credit"

    async def serve(self, asked: Asked) -> Told:
        """Do what a management message asks."""
        network = asked.kind.network
        match asked.message.mti:
            case "0800" if network in _SIZES and (network == "006") == (self.algorithm is MacAlgorithm.SM4):
                return await self._sign_on(asked)
            case "0820" if network == "301":
                return Told()
            case "0820" if network == "002":
                return await self._noted(lambda notes: _sign_off(notes, asked))
            case "0500" if network == "201":
                return await self._noted(lambda notes: settlements.settle(notes, asked, voids=self.voids))
            case "0320" if network in {"201", "202", "203", "204", "205", "206", "207"}:
                return await self._noted(lambda notes: settlements.upload(notes, asked))
        return Told("40")

    async def mac_keys(self, asked: Asked) -> tuple[MacKey, ...]:
        """The keys that a message may be under, newest first; none when the terminal has not signed on today."""
        card, _ = await self.client.run(book.written(lambda notes: book.card(notes, asked.merchant, asked.terminal)))
        keys, previous = card["keys"], card["previous"]
        if keys is None or keys["day"] != book.day_of(asked.now):
            return ()
        kept = [keys]
        if previous is not None and previous["until"] >= asked.now.timestamp():
            kept.append(previous)
        return tuple(self._mac_key(asked.terminal, one["network"], one["field62"]) for one in kept)

    def _mac_key(self, terminal: str, network: str, field62: str) -> MacKey:
        working = load_working_keys(
            bytes.fromhex(field62), network_code=network, master=self._master(terminal, network)
        )
        return MacKey(working.mak, algorithm=self.algorithm)

    def _master(self, terminal: str, network: str) -> MasterKey:
        cipher = Cipher.SM4 if network == "006" else Cipher.DES
        return MasterKey.load(self.masters[terminal], field="tmk", cipher=cipher)

    async def _noted(self, work: Callable[[Notebook], Told]) -> Told:
        return await self.client.run(book.written(work))

    async def _sign_on(self, asked: Asked) -> Told:
        field62 = await self.client.run(self._fresh_keys(asked.terminal, asked.kind.network))

        def write(notes: Notebook) -> Told:
            card, name = book.card(notes, asked.merchant, asked.terminal)
            previous = card["keys"]
            if previous is not None:
                card["previous"] = {**previous, "until": asked.now.timestamp() + book.GRACE_S}
            card["keys"] = {"network": asked.kind.network, "field62": field62.hex(), "day": book.day_of(asked.now)}
            notes.put(name, card)
            kind = replace(asked.kind, batch=f"{card['batch']:06d}")
            return Told(fields={60: kind.packed(), 62: field62})

        return await self._noted(write)

    def _fresh_keys(self, terminal: str, network: str) -> Flow[bytes]:
        """Field 62: random keys with odd parity under the TMK, with their check values."""
        cipher = Cipher.SM4 if network == "006" else Cipher.DES
        master = self._master(terminal, network)
        wrapped = []
        for kind, size in zip(KeyKind, _SIZES[network], strict=True):
            width = 16 if kind is KeyKind.MAK and self.algorithm in _WIDE else size
            if not width:
                continue
            clear = bytes(width)
            while is_weak(clear):
                drawn = yield from RandomBytes(width)
                clear = bytes(byte if byte.bit_count() % 2 else byte ^ 1 for byte in drawn)
            wrapped.append(WrappedKey(kind, master.wrap(clear), check_value(clear, cipher=cipher)))
        return pack_key_download(tuple(wrapped), network_code=network)


def check_batch(notes: Notebook, asked: Asked) -> bool:
    """Whether a financial message is of the terminal's open batch."""
    card, _ = book.card(notes, asked.merchant, asked.terminal)
    return int(asked.kind.batch) == card["batch"] and not card["is_settled"]


def _sign_off(notes: Notebook, asked: Asked) -> Told:
    card, name = book.card(notes, asked.merchant, asked.terminal)
    if int(asked.kind.batch) not in {card["batch"], book.after(card["batch"])}:
        return Told("77")
    notes.put(name, {**book.first_terminal(), "batch": book.after(card["batch"]), "wrong": card["wrong"]})
    return Told()
