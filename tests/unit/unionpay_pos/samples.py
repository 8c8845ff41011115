"""Random and hypothesis messages made from the field table, and the vectors."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from unicom_coupon_adapters.unionpay_pos.fields import FIELDS, Content, Field
from unicom_coupon_adapters.unionpay_pos.iso_message import FieldValue, Message

VECTORS: dict[str, dict[str, Any]] = {
    vector["id"]: vector
    for vector in json.loads((Path(__file__).parents[2] / "vectors" / "unionpay_pos.json").read_text("utf-8"))[
        "vectors"
    ]
}
MESSAGES = [vector for vector in VECTORS.values() if "fields" in vector]
PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
CHINESE = "券已核销成功测试商户一消费 CUP01"


def value_of(number: int, text: str) -> FieldValue:
    """A vector's text as this program's value."""
    if FIELDS[number].shape.content is Content.BYTES:
        return bytes.fromhex(text)
    return text.replace("=", "D") if FIELDS[number].shape.content is Content.NIBBLES else text


def message_of(vector: dict[str, Any]) -> Message:
    return Message(
        vector["mti"], {int(number): value_of(int(number), text) for number, text in vector["fields"].items()}
    )


def body_of(vector: dict[str, Any]) -> bytes:
    return bytes.fromhex(vector["frame_hex"])[13:]


def random_value(draw: random.Random, row: Field) -> FieldValue:
    size = row.size if row.is_fixed else draw.randint(0, min(row.size, 120))
    match row.shape.content:
        case Content.DIGITS:
            return "".join(draw.choices("0123456789", k=size))
        case Content.NIBBLES:
            return "".join(draw.choices("0123456789ABCDEF", k=size))
        case Content.ASCII:
            return "".join(draw.choices(PRINTABLE, k=size))
        case Content.GBK:
            return "".join(draw.choices(CHINESE, k=size // 2))
        case Content.BYTES:
            return draw.randbytes(size)


def random_message(draw: random.Random, wanted: list[int] | None = None) -> Message:
    numbers = wanted if wanted is not None else draw.sample(sorted(FIELDS), draw.randint(0, 16))
    return Message(f"{draw.randint(0, 9999):04d}", {number: random_value(draw, FIELDS[number]) for number in numbers})


def values(row: Field) -> st.SearchStrategy[FieldValue]:
    low, high = (row.size if row.is_fixed else 0), row.size
    match row.shape.content:
        case Content.DIGITS:
            return st.text("0123456789", min_size=low, max_size=high)
        case Content.NIBBLES:
            return st.text("0123456789ABCDEF", min_size=low, max_size=high)
        case Content.ASCII:
            return st.text(PRINTABLE, min_size=low, max_size=high)
        case Content.GBK:
            return st.text(CHINESE, max_size=high // 2)
        case Content.BYTES:
            return st.binary(min_size=low, max_size=high)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    numbers = draw(st.sets(st.sampled_from(sorted(FIELDS)), max_size=12))
    mti = draw(st.text("0123456789", min_size=4, max_size=4))
    return Message(mti, {number: draw(values(FIELDS[number])) for number in numbers})
