from __future__ import annotations

import random

import pytest
from tests.unit.unionpay_pos.samples import random_message

from unicom_coupon_adapters.unionpay_pos.codec import pack, unpack
from unicom_coupon_adapters.unionpay_pos.walk import write_body


def round_trips(count: int, seed: int) -> None:
    """Half of the messages have one of forty field sets, so that their readers are the compiled ones."""
    draw = random.Random(seed)
    sets = [sorted(random_message(draw).fields) for _ in range(40)]
    for number in range(count):
        message = random_message(draw, draw.choice(sets) if number % 2 else None)
        body = pack(message)
        assert body == write_body(message.mti, message.fields)
        assert unpack(body) == message
        assert pack(unpack(body)) == body


def test_2000_random_messages_come_back_as_they_were() -> None:
    round_trips(2_000, 20260520)


@pytest.mark.slow
def test_100000_random_messages_come_back_as_they_were() -> None:
    round_trips(100_000, 8583)
