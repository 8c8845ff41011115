"""The fuzzer's targets inside pytest: the vectors with broken siblings, what fuzzing found, and hypothesis' bytes."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.targets import FINDINGS, TARGETS, decode, seeds

SEEDS = (*seeds(), *map(bytes.fromhex, FINDINGS))


def broken(seed: bytes, draw: random.Random) -> bytes:
    """A sibling of ``seed``: bits turned, bytes cut out, doubled or cut off. The reader's number stays."""
    data = bytearray(seed[1:])
    for _ in range(draw.randint(1, 3)):
        at, size = draw.randint(0, len(data)), draw.randint(1, 8)
        match draw.randrange(4):
            case 0 if data:
                data[at % len(data)] ^= 1 << draw.randrange(8)
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size]
            case _:
                del data[at:]
    return seed[:1] + bytes(data)


def test_the_vectors_and_their_broken_siblings_raise_nothing_outside_the_tree() -> None:
    draw = random.Random(8583)
    for seed in SEEDS:
        decode(seed)
        for _ in range(5):
            decode(broken(seed, draw))
    assert {seed[0] for seed in SEEDS} == set(range(len(TARGETS)))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(TARGETS) - 1), st.binary(max_size=400))
def test_any_bytes_raise_nothing_outside_the_tree(target: int, data: bytes) -> None:
    decode(bytes([target]) + data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SEEDS), st.randoms(use_true_random=False))
def test_any_damage_to_a_vector_raises_nothing_outside_the_tree(seed: bytes, draw: random.Random) -> None:
    decode(broken(seed, draw))
