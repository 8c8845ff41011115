"""How fast the UnionPay codec and the MAC are, beside pyiso8583 in the same run.

Run: ``python benchmarks/iso8583.py``. The rounds of both sides alternate, and each figure is the best of its rounds,
because a busy machine only ever makes a round slower. Compare ratios, not rates.
"""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path

from unicom_coupon_adapters.unionpay_pos.blocks import Des
from unicom_coupon_adapters.unionpay_pos.codec import pack, unpack
from unicom_coupon_adapters.unionpay_pos.fields import FIELDS, Content, Field
from unicom_coupon_adapters.unionpay_pos.mac import MacAlgorithm, MacKey

# This file is named like the peer: without its own folder on the path, the name means the peer.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]
iso8583 = importlib.import_module("iso8583")

ROUNDS = 11
SALE = bytes.fromhex(  # 15 fields: a test-bench sale (throw-away card and keys)
    "0200702004C020C0981116622155881234000000000000000001280000000302100012376221558812340000D3012201000000000000003130"
    "303030303031393939323930303534313130303031313536AF441670D36D1E5326000000000000000014220000010005003146413034434535"
)
REDEMPTION = bytes.fromhex(  # 10 fields: the coupon profile's enquiry
    "02002020048000C08015310000000030032063313030303030303139393932393030353431313030303131353600140300000100050000255641"
    "30323001125543323630333138303030303030303030313046333746444538"
)


def peer_spec() -> dict[str, dict[str, object]]:
    """Our field table in the terms of pyiso8583."""

    def row(data: str, lengths: int, size: int, **more: str) -> dict[str, object]:
        return {"data_enc": data, "len_enc": "bcd", "len_type": lengths, "max_len": size, "desc": "", **more}

    def of(field: Field) -> dict[str, object]:
        if field.shape.is_packed:
            pad = {"left_pad": "0"} if field.shape.pad == "left" else {"right_pad": "0"}
            return row("b", field.shape.length_bytes, field.size, len_count="nibbles", **pad)
        data = {Content.BYTES: "b", Content.GBK: "gbk"}.get(field.shape.content, "ascii")
        return row(data, field.shape.length_bytes, field.size)

    spec = {str(number): row("ascii", 0, 1) for number in range(1, 129)}
    spec.update(h=row("b", 0, 0), t=row("b", 0, 2), p=row("b", 0, 8))
    spec.update({str(number): of(field) for number, field in FIELDS.items()})
    return spec


def rate(work: Callable[[], object], *, seconds: float = 0.15) -> float:
    """Calls a second over about ``seconds``."""
    count, started = 0, time.perf_counter()
    while (spent := time.perf_counter() - started) < seconds:
        for _ in range(500):
            work()
        count += 500
    return count / spent


def beside(title: str, ours: Callable[[], object], peer: Callable[[], object]) -> None:
    """Prints both rates and their ratio; the rounds alternate."""
    best_ours = best_peer = 0.0
    for _ in range(ROUNDS):
        best_ours = max(best_ours, rate(ours))
        best_peer = max(best_peer, rate(peer))
    print(f"{title:34} {best_ours:>10,.0f}/s   pyiso8583 {best_peer:>8,.0f}/s   ratio {best_ours / best_peer:5.1f}")


def main() -> None:
    """Encode and decode two messages both ways, then the MACs of 120 bytes."""
    spec = peer_spec()
    for name, body in (("sale, 15 fields", SALE), ("coupon enquiry, 9 fields", REDEMPTION)):
        message, (theirs, _) = unpack(body), iso8583.decode(body, spec)
        assert pack(message) == body == bytes(iso8583.encode(theirs, spec)[0])
        beside(f"encode {name}", lambda m=message: pack(m), lambda d=theirs: iso8583.encode(d, spec))
        beside(f"decode {name}", lambda b=body: unpack(b), lambda b=body: iso8583.decode(b, spec))
    message_120, block = bytes(range(120)), bytes(8)
    for algorithm, size in ((MacAlgorithm.ECB, 8), (MacAlgorithm.ECB_3DES, 16), (MacAlgorithm.SM4, 16)):
        secret = bytes(range(1, size + 1))
        key, bare = MacKey(secret, algorithm=algorithm), Des(secret).encryptor()
        best = limit = renewed = 0.0
        for _ in range(ROUNDS):
            best = max(best, rate(lambda k=key: k.sign(message_120)))
            limit = max(limit, rate(lambda e=bare: (e(block), e(block))))
            renewed = max(renewed, rate(lambda s=secret, a=algorithm: MacKey(s, algorithm=a).sign(message_120)))
        print(
            f"MAC {algorithm.value:8} of 120 bytes           {best:>10,.0f}/s   two bare DES blocks {limit:>10,.0f}/s "
            f"ratio {best / limit:4.2f}   new key each time {renewed:>8,.0f}/s ratio {best / renewed:4.1f}"
        )


if __name__ == "__main__":
    main()
