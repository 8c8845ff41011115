"""Everything that reads a stranger's bytes off the POS wire, under one roof: for the fuzzer, and for pytest's replay.

The first byte of an input says which reader gets the rest. Only errors of the tree may come out; the compiled reader
must agree with the field table; and a message must survive being packed and read again.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from unicom_coupon_adapters.unionpay_pos import messages, subfields, tlv
from unicom_coupon_adapters.unionpay_pos.answers import is_answer, read_answer
from unicom_coupon_adapters.unionpay_pos.codec import _reader, pack, unpack
from unicom_coupon_adapters.unionpay_pos.coupon_block import CouponBlock
from unicom_coupon_adapters.unionpay_pos.framing import Frame, FrameReader, Framing
from unicom_coupon_adapters.unionpay_pos.iso_message import Message
from unicom_coupon_adapters.unionpay_pos.keys import parse_key_download
from unicom_coupon_adapters.unionpay_pos.mac import MacKey
from unicom_coupon_adapters.unionpay_pos.terminals import Terminal
from unicom_coupon_adapters.unionpay_pos.walk import read_body
from unicom_coupon_sdk.errors import CouponError

VECTORS: Final = Path(__file__).resolve().parents[1] / "vectors" / "unionpay_pos.json"

FINDINGS: Final[tuple[str, ...]] = ()
"""Inputs, in hexadecimal digits, that once made ``decode`` fail."""

_TERMINAL: Final = Terminal(number="10000001", merchant="999290054110001", serial="N1")
_SEQUENCE: Final = messages.Sequence(trace=31, batch=1)
_ASKED: Final = (
    messages.redeem(_TERMINAL, sequence=_SEQUENCE, code="UC202603180000001", value_fen=5_000),
    messages.settlement(_TERMINAL, sequence=_SEQUENCE, domestic=subfields.Totals()),
)
_KEY: Final = MacKey(bytes.fromhex("4F6D20C8B36E9D01"))
_compiled: Final = functools.lru_cache(maxsize=512)(_reader)


def _body(data: bytes) -> None:
    message = Message(*read_body(data))
    assert unpack(data) == message
    assert unpack(pack(message)) == message
    assert set(message.loggable()) == {"mti", *map(str, message.fields)}


def _compiled_body(data: bytes) -> None:
    """The compiled reader alone: it may give up, and what it does read is what the table says."""
    if len(data) < 10 or data[2] & 0x80:
        return
    try:
        found = _compiled(data[2:10])(data)
    except (ValueError, KeyError, IndexError):
        return
    if found is not None:
        assert found == Message(*read_body(data))


def _answer(data: bytes) -> None:
    for asked, key in ((_ASKED[0], _KEY), (_ASKED[1], None)):
        is_answer(asked)(data)
        with suppress(CouponError):
            answer = read_answer(data, request=asked, key=key)
            assert answer.block.state is not None
            assert answer.meaning is not None


def _stream(data: bytes) -> None:
    """A stream gives the same frames, and the same fault, however the network cuts it."""
    for framing in (Framing.BIN2, Framing.BCD2, Framing.ASCII4):
        assert _cut(data, framing, size=1) == _cut(data, framing, size=len(data) or 1)


def _cut(data: bytes, framing: Framing, *, size: int) -> tuple[list[bytes], str | None]:
    reader, found = FrameReader(framing), []
    try:
        for at in range(0, len(data), size):
            found += reader.feed(data[at : at + size])
    except CouponError as error:
        return [], error.code
    return found, None


def _digits(data: bytes) -> None:
    text = data.decode("latin-1")
    for read in (
        subfields.TransactionType.parse,
        subfields.Original.parse,
        subfields.Totals.parse,
        subfields.parse_totals,
        subfields.parse_details,
    ):
        with suppress(CouponError):
            read(text)


def _tags(data: bytes) -> None:
    for read in (
        tlv.parse_chip_data,
        tlv.parse_signature_tags,
        tlv.parse_text,
        functools.partial(tlv.parse_text, length_digits=2, prefix_bytes=3),
        functools.partial(tlv.parse_binary, field="62"),
        subfields.parse_sequence,
        lambda found: CouponBlock.parse_alternative(found.decode("latin-1")),
    ):
        with suppress(CouponError):
            read(data)


def _coupon(data: bytes) -> None:
    block = CouponBlock.parse(data)
    assert CouponBlock.parse(block.packed()) == block


def _keys(data: bytes) -> None:
    for network in ("001", "003", "004", "006", "007"):
        with suppress(CouponError):
            parse_key_download(data, network_code=network)


TARGETS: Final[tuple[Callable[[bytes], None], ...]] = (
    _body,
    _compiled_body,
    lambda data: _body(Frame.parse(data).body),
    _answer,
    _stream,
    _digits,
    _tags,
    _coupon,
    _keys,
)


def decode(data: bytes) -> None:
    """Read ``data``. Raises nothing but what is a fault of ours."""
    with suppress(CouponError):
        if data:
            TARGETS[data[0] % len(TARGETS)](data[1:])


def seeds() -> Iterator[bytes]:
    """The vectors' frames, bodies and fields for every reader that might take them."""
    for vector in json.loads(VECTORS.read_text("utf-8"))["vectors"]:
        for name in ("frame_hex", "body_hex", "field62", "field55", "three", "two"):
            if isinstance(text := vector.get(name), str):
                whole = bytes.fromhex(text) if name not in {"three", "two"} else text.encode()
                starts = (2, 13) if name == "frame_hex" else (0,)
                yield from (bytes([number]) + whole[at:] for at in starts for number in range(len(TARGETS)))
        for number in ("48", "60", "61", "62"):
            if isinstance(text := vector.get("fields", {}).get(number), str):
                raw = bytes.fromhex(text) if number == "62" else text.encode()
                yield from (bytes([target]) + raw for target in range(5, len(TARGETS)))
